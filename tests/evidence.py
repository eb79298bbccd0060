#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Every test that docs/security-model.md names is there: rows of checks.py, programs, parts of them, unit tests."""
import pathlib
import re
import sys

HERE = pathlib.Path(__file__).resolve().parent
TEXT = (HERE.parent / "docs/security-model.md").read_text()
missing = []


def find(name):
    return [p for place in (HERE, HERE / "integration", HERE / "checks") if (p := place / name).is_file()]


rows = {int(n) for f in (HERE / "checks").glob("*.py") for n in re.findall(r"^@row\((\d+),", f.read_text(), re.M)}
for words in re.findall(r"\brows? (\d+(?:, \d+)*)", TEXT):
    missing += [f"row {n}" for n in map(int, words.split(", ")) if n not in rows]
for name, part in re.findall(r"`(?:tests/)?(\w+\.(?:py|sh))(?:: (\w+))?`", TEXT):
    if not any(not part or re.search(rf"^def (test_)?{part}\(", p.read_text(), re.M) for p in find(name)):
        missing.append(f"{name} {part}".strip())
for name, part in re.findall(r"`(\w+_test)(?:: (\w+))?`", TEXT):
    if not any(not part or re.search(rf"^Test\(\w+, {part}\b", p.read_text(), re.M) for p in (HERE / "unit").glob(f"*/{name}.c")):
        missing.append(f"{name} {part}".strip())
for title in re.findall(r"exercise (\d+) of", TEXT):
    if f"\n## {title}. " not in (HERE.parent / "docs/labs.md").read_text():
        missing.append(f"exercise {title}")
if missing:
    sys.exit("docs/security-model.md names what is not there: " + "; ".join(missing))
