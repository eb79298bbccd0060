#!/usr/bin/env python3
"""guest.py [CTEST_ARGUMENT]...: inside the guest, the release build's tests; one line each: pass, fail or skip NAME: what.

Emulated, everything takes ten to a hundred times as long: so do the limits of time, which are edited in place, for what
lies under the guest's / is a throw-away layer."""
import os
import pathlib
import re
import subprocess
import sys
import xml.etree.ElementTree as ET

PATIENCE, LIMIT = 20, 600 # times as long, at most so many seconds
LEFT_OUT = {
    "^(tree|package|fuzz)/": "does not depend on the kernel",
    "^threads/(threads|ring_stress)_test$": "ThreadSanitizer, which does not depend on the kernel",
    "^integration/ring_aarch64$": "an emulator inside an emulator",
    "^integration/bench$": "two sides that spin for each other, on CPUs that are one thread of the emulator (seen)",
    "^integration/demo": "its calls have deadlines that an emulated guest cannot keep (seen)",
}

if "UDS_VM" not in os.environ:
    sys.exit("guest.py: runs inside a guest only: tests/vm/run.sh")
build = pathlib.Path(__file__).resolve().parents[2] / "build/release"
for file in build.rglob("CTestTestfile.cmake"):
    text = re.sub(r'( TIMEOUT "|--timeout=)(\d+)', lambda m: m[1] + str(min(int(m[2]) * PATIENCE, LIMIT)), file.read_text())
    file.write_text(text)

junit = "/run/junit.xml"
ctest = subprocess.Popen(
    ["ctest", "--test-dir", build, "--no-tests=error", "--output-junit", junit, "--output-on-failure",
     "-E", "|".join(LEFT_OUT), *sys.argv[1:]], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace")
for pattern, reason in LEFT_OUT.items():
    print(f"skip {pattern}: {reason}", flush=True)
failing = False
for line in ctest.stdout: # as they end, to show that it lives
    line = line.rstrip()
    if m := re.match(r"\s*\d+/\d+ Test +#\d+: (\S+) \.+ *(Passed|\*\*\*\S+).* ([\d.]+) sec", line):
        failing = m[2] not in ("Passed", "***Skipped")
        if m[2] != "***Skipped":
            print(f"{'fail' if failing else 'pass'} {m[1]}: {m[3]} s", flush=True)
    elif re.match(r"\s*Start +\d+:|\d+% tests passed", line):
        failing = False
    elif failing and line:
        print("    " + line, flush=True)
ctest.wait()

for case in ET.parse(junit).getroot().iter("testcase"): # ctest's output does not say why
    if case.find("skipped") is not None:
        output = (case.findtext("system-out") or "no reason given").strip().splitlines()
        print(f"skip {case.get('name')}: " + next((l for l in reversed(output) if l.lower().startswith("skip")), output[-1]))
sys.exit(ctest.returncode)
