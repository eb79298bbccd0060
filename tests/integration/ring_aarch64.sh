#!/bin/bash
# SPDX-License-Identifier: MIT
# The ring's words on weak memory: the library's core and the stress program, built for aarch64 and run under qemu-user.
# qemu translates loads and stores with the orders that the code asks for, and no stronger ones where the host is weaker;
# on an x86 host this shows that the atomics are there and lock-free, and what the compiler made of them for aarch64.
set -eu
cc=$(command -v aarch64-linux-gnu-gcc) || { echo "skip: no aarch64-linux-gnu-gcc (gcc-aarch64-linux-gnu)"; exit 77; }
qemu=$(command -v qemu-aarch64 || command -v qemu-aarch64-static) || { echo "skip: no qemu-aarch64 (qemu-user)"; exit 77; }
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT

echo 'int main(void) { return 0; }' >"$dir/empty.c"
"$cc" -static "$dir/empty.c" -o "$dir/empty" 2>/dev/null ||
    { echo "skip: no C library for aarch64 (libc6-dev-arm64-cross)"; exit 77; }

core=$(find "$UDS_SOURCE/libuds/src" -name '*.c' ! -path '*/event/*' ! -path '*/pb/*' ! -path '*/rpc/*' ! -path '*/client/*')
# shellcheck disable=SC2086
"$cc" -std=gnu11 -D_GNU_SOURCE -O2 -static -I"$UDS_SOURCE/libuds/include" -I"$UDS_SOURCE/libuds/src" \
    "$UDS_SOURCE/tests/threads/ring_stress_test.c" $core -o "$dir/stress" -lpthread

# What the handshake of sleeping stands on: a store that releases and a load that acquires, in program order with each
# other, and a fence between them for emulators that do not keep the order of these two (qemu 7.2 does not).
"${cc%gcc}objdump" -d "$dir/stress" --disassemble=udsi_ring_sleep >"$dir/sleep"
grep -ow 'stlr\|dmb\|ldar' "$dir/sleep" | tr '\n' ' ' | grep -q '^stlr dmb ldar' ||
    { echo "udsi_ring_sleep() is not made of stlr, dmb and ldar in this order:"; cat "$dir/sleep"; exit 1; }

"$qemu" "$dir/stress" 1000
"$qemu" "$dir/stress" 1000 fork
