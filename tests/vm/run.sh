#!/bin/bash
# tests/vm/run.sh [6.1|6.12]...: the release build's unit tests of the library in guests with older kernels, where what is
# newer than they are must be found missing and fallen back from: SO_PEERPIDFD (6.5), PIDFD_GET_INFO (6.13), SO_PASSRIGHTS (6.16).
set -u
root=$(cd "$(dirname "$0")/../.." && pwd)
[ $# -gt 0 ] || set -- 6.1 6.12
bin=$root/build/release/bin
[ -x "$bin/uds" ] || { echo "tests/vm/run.sh: build first: cmake --preset release && cmake --build --preset release" >&2; exit 2; }

failed=0
for kernel in "$@"; do
    start=$SECONDS
    UDS_VM_TIMEOUT=1500 "$root/tests/vm/vm.sh" "$kernel" "
        cd '$bin' || exit 1
        failed=0
        for test in libuds_*_test; do
            timeout 600 ./\$test --jobs=2 --timeout=300 >/tmp/log 2>&1 && continue
            failed=1
            echo \"FAILED: \$test\"
            grep -v '^\$' /tmp/log | tail -n 40
        done
        exit \$failed"
    status=$?
    case $status in
    0) echo "vm $kernel: the library's unit tests pass ($((SECONDS - start)) s)" ;;
    77) echo "vm $kernel: skipped" ;;
    *) echo "vm $kernel: FAILED"; failed=1 ;;
    esac
done
exit $failed
