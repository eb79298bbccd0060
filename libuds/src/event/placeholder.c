/* SPDX-License-Identifier: MIT */
typedef int uds_event_placeholder; /* goes when the first source file of this directory comes */
