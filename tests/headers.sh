#!/bin/sh
# Each public header compiles alone, in C11 and in C++17, with gcc and with clang, and so does what uses its UDS_…_INIT.
# Headers of the tree, or of an installation whose include directory is the argument.
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)
[ $# -gt 0 ] || set -- "$root/libuds/include" "$root/sandbox/include"
flags=$(pkg-config --cflags libprotobuf-c)
for dir in "$@"; do
    flags="$flags -I$dir"
done

# UDS_FOO_INIT initialises a struct uds_foo.
users() {
    for dir in "$@"; do
        [ ! -e "$dir/$header" ] || sed -n 's/^#define \(UDS_[A-Z_]*_INIT\) .*/\1/p' "$dir/$header"
    done | while read -r init; do
        type=$(echo "${init%_INIT}" | tr A-Z a-z)
        echo "struct $type use_$type(void); struct $type use_$type(void) { struct $type s = $init; return s; }"
    done
}

count=0
for header in $(cd "$1" && ls uds/*.h) $([ $# -lt 2 ] || (cd "$2" && ls sbx/*.h)); do
    for mode in "gcc -std=c11 -x c" "g++ -std=c++17 -x c++" "clang -std=c11 -x c" "clang++ -std=c++17 -x c++"; do
        # shellcheck disable=SC2086
        { printf '#include <%s>\n' "$header"; users "$@"; } |
            $mode -Wall -Wextra -Wpedantic -Werror -fsyntax-only $flags - ||
            { echo "headers: $header does not compile alone: $mode"; exit 1; }
        count=$((count + 1))
    done
done
[ "$count" -gt 0 ] || { echo "headers: $1/uds: none there"; exit 1; }
echo "$count compilations"
