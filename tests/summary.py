#!/usr/bin/env python3
"""Add up the JUnit files of all builds: failures by name, skips with their reasons, one plain line at the end."""
import pathlib
import sys
import xml.etree.ElementTree as ET

results = pathlib.Path(sys.argv[1])
passed, failed, skipped = 0, [], {}
for broken in sorted(results.glob("*.failed")):
    failed.append(f"{broken.stem}: did not build or run")
for junit in sorted(results.glob("*.xml")):
    for case in ET.parse(junit).getroot().iter("testcase"):
        name = f"{junit.stem}: {case.get('name')}"
        status = case.get("status")
        if status == "run":
            passed += 1
        elif status in ("notrun", "disabled") and case.find("skipped") is not None:
            output = (case.findtext("system-out") or "").strip().splitlines()
            reason = next((l for l in reversed(output) if l.lower().startswith("skip")), None)
            skipped[name] = reason or (output[-1] if output else "no reason given")
        else:
            failed.append(name)
            output = (case.findtext("system-out") or "no output").strip().splitlines()
            print(f"== {name}: {case.get('status')}", *output[-60:], sep="\n    ")

for name in failed:
    print(f"failed   {name}")
for name, reason in skipped.items():
    print(f"skipped  {name}: {reason}")
print(f"{passed} passed, {len(failed)} failed, {len(skipped)} skipped")
sys.exit(1 if failed or passed == 0 else 0)
