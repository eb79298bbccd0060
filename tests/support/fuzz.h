/* SPDX-License-Identifier: MIT */
#ifndef UDS_TEST_FUZZ_H
#define UDS_TEST_FUZZ_H

#include <uds/conn.h>

/* What several fuzz targets do and look at; without Criterion, for a fuzzer's process has none. */

/* The lowest free descriptor: the same at the end of a run as before it only if nothing below was left open. */
int fuzz_lowest_fd(void);

/* Moves a connection into another image and back, as an upgrade does. Returns the one that is there now, without callbacks; @conn
 * itself if it was closed. */
uds_conn *fuzz_move(uds_conn *conn);

#endif
