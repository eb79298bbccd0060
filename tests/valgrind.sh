#!/bin/bash
# tests/valgrind.sh: the library's unit tests of the release build and a short soak under valgrind, for what the sanitizers do
# not see: reads of memory that nothing was written to. Part of tests/run.sh --long.
#
# What counts is what valgrind says. Whether the tests pass was seen without it: valgrind keeps the limit of descriptors to
# itself, so those that lower it cannot pass here. Leaks are the guard's business (tests/support/guard.c).
set -u
root=$(cd "$(dirname "$0")/.." && pwd)
bin=$root/build/release/bin
log=$(mktemp) || exit 1
trap 'rm -f "$log"' EXIT
# Not its warnings about ioctls that are newer than it is.
errors='^==[0-9]+== (Invalid|Conditional jump|Use of uninit|Syscall param|Mismatched|Source and dest|Process terminating|Argument)'
failed=0

# run NAME PATTERN COMMAND…: PATTERN is a line without which it did not run to its end.
run() {
    local name=$1 end=$2
    shift 2
    valgrind -q --trace-children=yes --leak-check=no --vgdb=no "$@" >"$log" 2>&1
    if ! grep -q "$end" "$log"; then
        echo "valgrind $name: FAILED: it did not come to its end"
    elif grep -qE "$errors" "$log"; then
        echo "valgrind $name: FAILED"
    else
        echo "valgrind $name: clean"
        return
    fi
    grep -v '^$' "$log" | tail -n 40
    failed=1
}

for test in "$bin"/libuds_*_test; do
    name=$(basename "$test" _test)
    run "${name#libuds_}" Synthesis "$test" --jobs=1 --timeout=600
done
run soak '^soak: .* connections' "$bin/test/soak" 20000
exit $failed
