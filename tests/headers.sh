#!/bin/sh
# Each public header compiles alone, in C11 and in C++17.
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)
pb=$(pkg-config --cflags libprotobuf-c)
count=0
for header in "$root"/libuds/include/uds/*.h "$root"/sandbox/include/sbx/*.h; do
    name=${header#"$root"/*/include/}
    for mode in "cc -std=c11 -x c" "c++ -std=c++17 -x c++"; do
        # shellcheck disable=SC2086
        printf '#include <%s>\n' "$name" |
            $mode -Wall -Wextra -Wpedantic -Werror -fsyntax-only $pb \
                -I"$root/libuds/include" -I"$root/sandbox/include" - ||
            { echo "headers: $name does not compile alone: $mode"; exit 1; }
        count=$((count + 1))
    done
done
echo "$count compilations"
