#!/bin/sh
# Each public header compiles alone, in C11 and in C++17, with gcc and with clang, and so does what uses its UDS_…_INIT.
# Headers of the tree, or of an installation whose include directory is the argument.
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)
[ $# -gt 0 ] || set -- "$root/libuds/include" "$root/sandbox/include"
flags=$(pkg-config --cflags libprotobuf-c)
headers=
for dir in "$@"; do
    flags="$flags -I$dir"
    headers="$headers $(cd "$dir" && ls -d uds/*.h sbx/*.h 2>/dev/null || true)"
done

# UDS_FOO_INIT initialises a struct uds_foo.
users() {
    for dir in "$@"; do
        [ ! -e "$dir/$header" ] || sed -n 's/^#define \([US][DB][SX]_[A-Z_]*_INIT\) .*/\1/p' "$dir/$header"
    done | sort -u | while read -r init; do
        type=$(echo "${init%_INIT}" | tr A-Z a-z)
        echo "struct $type use_$type(void); struct $type use_$type(void) { struct $type s = $init; return s; }"
    done
}

count=0
for header in $headers; do
    for mode in "gcc -std=c11 -x c" "g++ -std=c++17 -x c++" "clang -std=c11 -x c" "clang++ -std=c++17 -x c++"; do
        # shellcheck disable=SC2086
        { printf '#include <%s>\n' "$header"; users "$@"; } |
            $mode -Wall -Wextra -Wpedantic -Werror -fsyntax-only $flags - ||
            { echo "headers: $header does not compile alone: $mode"; exit 1; }
        count=$((count + 1))
    done
done
for part in uds sbx; do
    case $headers in *$part/*) ;; *) echo "headers: $*: no $part/*.h there"; exit 1 ;; esac
done
echo "$count compilations"
