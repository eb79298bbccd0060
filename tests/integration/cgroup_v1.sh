#!/bin/sh
# SPDX-License-Identifier: MIT
# The same on v1 alone: a hybrid machine's mounts without the v2 tree, so that the freezer kills, stops and lets go.
set -u
[ "$(id -u)" = 0 ] || { echo "needs root"; exit 77; }
grep -q ' - cgroup cgroup .*memory' /proc/self/mountinfo || { echo "this machine has no memory hierarchy of v1"; exit 77; }
exec unshare -m sh -c '
    while v2=$(awk "\$(NF - 2) == \"cgroup2\" { print \$5; exit }" /proc/self/mountinfo) && [ -n "$v2" ]; do
        umount "$v2" || exit 1
    done
    "$UDS_BIN/uds" run --json -- true 2>&1 | grep -q "\"backend\": \"v1\"" || { echo "FAILED: the backend is not v1"; exit 1; }
    failed=0
    for test in cgroup_groups cgroup_limits; do
        "$UDS_SOURCE/tests/integration/$test.sh" || failed=1
    done
    exit $failed'
