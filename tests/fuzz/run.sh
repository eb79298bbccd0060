#!/bin/bash
# Fuzz every target of this directory with libFuzzer: tests/fuzz/run.sh RESULTS_DIR [SECONDS_EACH]
# A crash leaves its input in RESULTS_DIR and makes the exit status 1; add the input to tests/fuzz/regress/TARGET.
set -u
root=$(cd "$(dirname "$0")/../.." && pwd)
out=${1:?usage: tests/fuzz/run.sh RESULTS_DIR [SECONDS_EACH]}
seconds=${2:-60}
status=0
for source in "$root"/tests/fuzz/*_fuzz.c; do
    target=$(basename "$source" .c)
    # shellcheck disable=SC2046
    clang -g -O1 -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=undefined -D_GNU_SOURCE \
        -I"$root/libuds/include" -I"$root/libuds/src" -I"$root/tests/support" \
        "$source" "$root/tests/support/rawpeer.c" \
        $(find "$root/libuds/src" -name '*.c' ! -path '*/event/*' ! -path '*/pb/*') -o "$out/$target" || { status=1; continue; }
    mkdir -p "$out/corpus-$target"
    [ -d "$root/tests/fuzz/corpus/$target" ] && cp "$root/tests/fuzz/corpus/$target"/* "$out/corpus-$target/"
    if "$out/$target" -max_total_time="$seconds" -print_final_stats=1 -artifact_prefix="$out/$target-" \
        "$out/corpus-$target" >"$out/$target.log" 2>&1; then
        echo "fuzz $target: $(grep -o 'stat::number_of_executed_units: *[0-9]*' "$out/$target.log" | grep -o '[0-9]*$') runs in $seconds s, nothing found"
    else
        echo "fuzz $target: FAILED"
        tail -n 40 "$out/$target.log"
        status=1
    fi
done
exit $status
