#!/usr/bin/env python3
"""guest.py [CTEST_ARGUMENT]...: inside the guest, the release build's tests; one line each: pass, fail or skip NAME: what.

Emulated, everything takes ten to a hundred times as long: so do the limits of time, which are edited in place, for what
lies under the guest's / is a throw-away layer. Left out is what does not depend on the kernel (the tree, the package,
the corpora), and what would be an emulator inside an emulator."""
import os
import pathlib
import re
import subprocess
import sys
import xml.etree.ElementTree as ET

PATIENCE, LIMIT = 20, 600 # times as long, at most so many seconds
LEFT_OUT = "^(tree|package|fuzz)/|ring_aarch64$|^threads/(threads|ring_stress)_test$"

if "UDS_VM" not in os.environ:
    sys.exit("guest.py: runs inside a guest only: tests/vm/run.sh")
build = pathlib.Path(__file__).resolve().parents[2] / "build/release"
for file in build.rglob("CTestTestfile.cmake"):
    text = re.sub(r'( TIMEOUT "|--timeout=)(\d+)', lambda m: m[1] + str(min(int(m[2]) * PATIENCE, LIMIT)), file.read_text())
    file.write_text(text)

junit = "/run/junit.xml"
ctest = subprocess.Popen(
    ["ctest", "--test-dir", build, "--no-tests=error", "--output-junit", junit, "--test-output-size-failed", "100000",
     "-E", LEFT_OUT, *sys.argv[1:]], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
for line in ctest.stdout: # as they end, to show that it lives
    if m := re.match(r"\s*\d+/\d+ Test +#\d+: (\S+) \.+ +Passed +([\d.]+) sec", line):
        print(f"pass {m[1]}: {m[2]} s", flush=True)
    elif re.match(r"\s*\d+/\d+ Test +#", line): # told in full at the end
        print("   ", line.strip(), flush=True)
ctest.wait()

failed = False
for case in ET.parse(junit).getroot().iter("testcase"):
    name, output = case.get("name"), (case.findtext("system-out") or "no output").strip().splitlines()
    if case.get("status") == "run":
        continue
    if case.find("skipped") is not None:
        reason = next((l for l in reversed(output) if l.lower().startswith("skip")), output[-1])
        print(f"skip {name}: {reason}")
    else:
        failed = True
        print(f"fail {name}: after {float(case.get('time')):.1f} s", *output[-60:], sep="\n    ")
sys.exit(1 if failed else 0)
