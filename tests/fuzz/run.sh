#!/bin/bash
# Fuzz with libFuzzer: tests/fuzz/run.sh RESULTS_DIR [SECONDS_EACH [TARGET]...], by default every target of this directory.
# As many at a time as there are CPUs. One line each: pass, fail or skip TARGET: what. Edges are places in the code that were reached, ours and the target's: first by
# what the tree keeps, then by what was found.
# A crash or a hang leaves its input in RESULTS_DIR and makes the exit status 1; add the input to tests/fuzz/regress/TARGET.
# What RESULTS_DIR/corpus-TARGET has found goes into the tree, as little of it as needed, by
#     RESULTS_DIR/TARGET -merge=1 tests/fuzz/corpus/TARGET RESULTS_DIR/corpus-TARGET
set -u
root=$(cd "$(dirname "$0")/../.." && pwd)
out=$(realpath -m "${1:?usage: tests/fuzz/run.sh RESULTS_DIR [SECONDS_EACH [TARGET]...]}")
seconds=${2:-60}
shift $(($# < 2 ? $# : 2))
if [ $# -eq 0 ]; then
    for source in "$root"/tests/fuzz/*_fuzz.c; do
        set -- "$@" "$(basename "$source" .c)"
    done
fi

for tool in clang protoc-c; do
    command -v $tool >/dev/null || { echo "skip fuzz: $tool is missing: tests/setup.sh installs it"; exit 77; }
done

# As cmake/UdsSanitize.cmake has it, and coverage for what is ours.
flags=(-g -O1 -D_GNU_SOURCE -fsanitize=address,undefined -fno-sanitize-recover=undefined
    -I"$root/libuds/include" -I"$root/libuds/src" -I"$root/sandbox/src" -I"$root/tests/support" -isystem "$out/proto")
rm -rf "$out/objects" "$out/proto" && mkdir -p "$out/proto" || exit 1
for proto in "$root"/proto/*.proto "$root"/tests/proto/*.proto; do
    protoc-c --c_out="$out/proto" -I"$(dirname "$proto")" "$proto" || exit 1
done
jobs=()
for part in libuds/src libuds/src/{wire,socket,conn,rpc,client,pb}; do
    mkdir -p "$out/objects/$part"
    (cd "$out/objects/$part" && exec clang "${flags[@]}" -fsanitize=fuzzer-no-link -c "$root/$part"/*.c) &
    jobs+=($!)
done
(cd "$out/proto" && clang "${flags[@]}" -c ./*.c "$root"/tests/support/{rawpeer,fuzz}.c &&
    exec clang "${flags[@]}" -fsanitize=fuzzer-no-link -c "$root/sandbox/src/notify-message.c") &
for job in "${jobs[@]}" $!; do
    wait "$job" || exit 1
done
mapfile -t objects < <(find "$out/objects" "$out/proto" -name '*.o')

# number PATTERN: the last number after it on standard input.
number() {
    grep -oE "$1 *[0-9]+" | tail -n 1 | grep -oE '[0-9]+$'
}

# fuzz TARGET. What it says comes in one piece, because others run beside it.
fuzz() {
    local target=$1 corpora=("$out/corpus-$1") known
    clang "${flags[@]}" -fsanitize=fuzzer "$root/tests/fuzz/$target.c" "${objects[@]}" -lprotobuf-c -o "$out/$target" || return
    mkdir -p "${corpora[0]}"
    for known in "$root/tests/fuzz/corpus/$target" "$root/tests/fuzz/regress/$target"; do
        [ -d "$known" ] && corpora+=("$known")
    done
    if "$out/$target" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=1024 -print_final_stats=1 \
        -artifact_prefix="$out/$target-" "${corpora[@]}" >"$out/$target.log" 2>&1; then
        echo "pass $target: $(number stat::number_of_executed_units: <"$out/$target.log") runs in $seconds s," \
            "edges $(grep INITED "$out/$target.log" | number cov:) at first, $(number cov: <"$out/$target.log") in the end"
    else
        echo "fail $target:"$'\n'"$(tail -n 40 "$out/$target.log" | sed 's/^/    /')"
        return 1
    fi
}

status=0 running=0
for target in "$@"; do
    if ((running == $(nproc))); then
        wait -n || status=1
        running=$((running - 1))
    fi
    fuzz "$target" &
    running=$((running + 1))
done
for ((; running > 0; running--)); do
    wait -n || status=1
done
exit $status
