#!/bin/bash
# Every test: install what is missing, build, run, and end with one line "N passed, N failed, N skipped".
set -u
root=$(cd "$(dirname "$0")/.." && pwd)
cd "$root" || exit 1

usage() {
    cat <<'HELP'
usage: tests/run.sh [--preset NAME]... [--filter REGEX] [--long]

Installs missing packages, builds and runs all tests, at most 15 minutes.

  --preset NAME    only this build, all of its tests: dev, release, dev-clang or release-clang (may repeat; default: all
                   four, and in each the tests that can tell it from the others)
  --filter REGEX   only tests whose name matches (ctest -R)
  --long           afterwards, of the release build: rings under load, a soak of ten million messages, two minutes of
                   fuzzing of each target, valgrind, the checks of sandboxes and kills at length, and guests with other
                   kernels: one to two hours more. Its result stays in tests/long-result.txt; tests/long.py runs single
                   parts

Exit status: 0 all passed (skips are listed with their reasons), 1 something failed, 2 usage.
HELP
}

presets=()
filter=()
long=
while [ $# -gt 0 ]; do
    case $1 in
    --preset) [ $# -ge 2 ] || { usage >&2; exit 2; }; presets+=("$2"); shift ;;
    --filter) [ $# -ge 2 ] || { usage >&2; exit 2; }; filter=(-R "$2"); shift ;;
    --long) long=1 ;;
    -h | --help) usage; exit 0 ;;
    *) echo "tests/run.sh: unknown argument '$1': see --help" >&2; exit 2 ;;
    esac
    shift
done
# Those that tell the builds apart (tests/CMakeLists.txt), unless somebody asks for one build.
declare -A without=()
if [ ${#presets[@]} -eq 0 ]; then
    presets=(release dev release-clang dev-clang)
    without=([dev]=once [release-clang]='once|gcc' [dev-clang]='once|gcc')
fi

[ -z "$long" ] || [[ " ${presets[*]} " == *" release "* ]] || presets+=(release)

tests/setup.sh ${long:+--long} || exit 1

results=$(mktemp -d) || exit 1
trap 'rm -rf "$results"' EXIT
for preset in "${presets[@]}"; do
    start=$SECONDS
    if ! { cmake --preset "$preset" -DUDS_WERROR=ON && cmake --build --preset "$preset"; } \
        >"$results/$preset.log" 2>&1; then
        echo "== $preset: build failed"
        grep -E 'error|warning|FAILED' -A 5 "$results/$preset.log" | head -n 60
        echo "$preset" >"$results/$preset.failed"
        continue
    fi
    echo "== $preset: built in $((SECONDS - start)) s"
    start=$SECONDS
    ctest --test-dir "build/$preset" --parallel 2 --no-tests=error --output-junit "$results/$preset.xml" \
        --test-output-size-failed 100000 --test-output-size-passed 100000 ${without[$preset]:+--label-exclude "${without[$preset]}"} "${filter[@]}" >"$results/$preset.ctest" 2>&1
    echo "== $preset: tested in $((SECONDS - start)) s"
done

if [ -n "$long" ] && [ ! -e "$results/release.failed" ]; then
    tests/long.py --results "$results" # what failed is in its files, for the summary
fi

python3 tests/summary.py "$results"
