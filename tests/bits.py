#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""No two flags of one enum are the same bit: two hands that each take the next free one do not meet in a merge."""
import pathlib
import re
import sys

root = pathlib.Path(__file__).resolve().parent.parent
PARTS = ("libuds", "sandbox", "broker", "cli", "bench", "examples")
ENUM = re.compile(r"\benum\b[^{;()]*\{([^{}]*)\}")
FLAG = re.compile(r"\b([A-Z]\w*)\s*=\s*\(?\s*1[uUlL]*\s*<<\s*(\d+)")


def without_comments(text):
    return re.sub(r"/\*.*?\*/", "", text, flags=re.S)


def shared(text):
    """Pairs of names of one enum that have one bit, and how many flags there are."""
    pairs, count = [], 0
    for body in ENUM.findall(without_comments(text)):
        first = {}
        for name, bit in FLAG.findall(body):
            count += 1
            if first.setdefault(int(bit), name) != name:
                pairs.append((first[int(bit)], name))
    return pairs, count


def main():
    # Seen to fail, before the tree's silence means anything.
    planted = "enum e { A = 1u << 0, /* = 1u << 1 */ B = 1u\n << 1, C = 1u << 1 };\nenum { D = 1u << 1 };\n"
    if shared(planted) != ([("B", "C")], 4):
        sys.exit("bits: the check itself is broken: it did not find the planted pair")
    found, flags = [], 0
    for source in sorted(p for part in PARTS for s in ("*.c", "*.h") for p in (root / part).rglob(s)):
        pairs, count = shared(source.read_text())
        flags += count
        found += [f"{source.relative_to(root)}: {a} and {b} are the same bit" for a, b in pairs]
    print("\n".join(found) or f"{flags} flags, each a bit of its own in its enum")
    sys.exit(1 if found else 0)


main()
