/* SPDX-License-Identifier: MIT */
typedef int uds_pb_placeholder; /* goes when the first source file of this directory comes */
