/* SPDX-License-Identifier: MIT */
#ifndef SBXI_BLOCKED_H
#define SBXI_BLOCKED_H

/*
 * Why a user namespace is refused to us, or one that we made is good for nothing (Ubuntu 24.04's AppArmor lets it be made
 * and then denies what is done with it), and which knob says so: "; …", or "" if no knob does.
 * @sysctl: "/proc/sys"; @err: what the kernel said, positive. Static text.
 */
const char *sbxi_blocked_advice(const char *sysctl, int err);

#endif
