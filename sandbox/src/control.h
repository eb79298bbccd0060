/* SPDX-License-Identifier: MIT */
#ifndef SBXI_CONTROL_H
#define SBXI_CONTROL_H

/*
 * Between owner and uds-cleaner. It is started with fd 3 = control (SOCK_SEQPACKET), fd 4 = the locked record file,
 * argv[1] = the run directory, argv[2] = the record's name below <run>/records. The owner writes the file. Over the socket
 * it sends one byte at a time: SBXI_CONTROL_HOLD with descriptors; SBXI_CONTROL_CLOSE, now close those; another says that it
 * is done, and waits for the cleaner's exit.
 */

#define SBXI_CONTROL_FD        3
#define SBXI_CONTROL_RECORD    4

#define SBXI_CONTROL_HOLD      'h'
#define SBXI_CONTROL_HOLD_MOST 8
#define SBXI_CONTROL_CLOSE     'c'

#endif
