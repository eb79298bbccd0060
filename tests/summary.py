#!/usr/bin/env python3
"""Add up the JUnit files of all builds: failures by name, skips with their reasons, one plain line at the end.

A test that passes may have left out a part: each line of its output that begins with "skip" or, from Criterion, "[SKIP]" says
which and why, and is counted as a skip beside it.
"""
import pathlib
import re
import sys
import xml.etree.ElementTree as ET

results = pathlib.Path(sys.argv[1])
PART = re.compile(r"(?:\[SKIP\]|skip(?:ped)?\b):?\s*(.*)", re.IGNORECASE)
OF_CRITERION = "[RUN ]", "[PASS]"
passed, failed, skipped = 0, [], []
for broken in sorted(results.glob("*.failed")):
    failed.append(f"{broken.stem}: did not build or run")
for junit in sorted(results.glob("*.xml")):
    for case in ET.parse(junit).getroot().iter("testcase"):
        name = f"{junit.stem}: {case.get('name')}"
        status = case.get("status")
        output = [line for line in (case.findtext("system-out") or "").strip().splitlines() if not line.startswith(OF_CRITERION)]
        parts = [match[1] for match in map(PART.match, output) if match]
        if status == "run":
            passed += 1
            skipped += [(f"a part of {name}", part) for part in parts]
        elif status in ("notrun", "disabled") and case.find("skipped") is not None:
            skipped.append((name, (parts or output or ["no reason given"])[-1]))
        else:
            failed.append(name)
            print(f"== {name}: {case.get('status')}", *(output or ["no output"])[-60:], sep="\n    ")

for name in failed:
    print(f"failed   {name}")
for name, reason in skipped:
    print(f"skipped  {name}: {reason}")
print(f"{passed} passed, {len(failed)} failed, {len(skipped)} skipped")
sys.exit(1 if failed or passed == 0 else 0)
