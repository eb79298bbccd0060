#!/usr/bin/env python3
"""tests/long.py [--results DIR] [--fuzz SECONDS] [PART]...: what takes longer than a change can wait, part by part, on the release build.

The last run of each part is kept in tests/long-result.txt: when, of which commit, on which kernel, what came of it. Parts are
commands; the lines "pass|fail|skip NAME: what" of their output are cases, or, where a command has a name here, its exit
status makes it one (77: skipped, its last line says why). What a signal (Ctrl-C) cuts short is kept as far as it came. DIR gets a JUnit file of each part for tests/summary.py."""
import argparse
import datetime
import os
import pathlib
import platform
import re
import signal
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ET

ROOT = pathlib.Path(__file__).resolve().parents[1]
BIN = ROOT / "build/release/bin"
RESULT = ROOT / "tests/long-result.txt"
HEAD = "The last run of each part of tests/run.sh --long, written by tests/long.py.\n"
GUESTS = "6.1", "6.12"
LISTED = 20 # passed cases of a part, beyond which they are only counted
cut_short = []
CASE = re.compile(r"(pass|fail|skip) (.+?): (.*)")


def parts(results, seconds):
    return {
        "threads": [("rings between threads, TSan", [BIN / "ring_stress_test", "250000"]),
                    ("threads, TSan", [BIN / "threads_test"]),
                    ("rings between processes", [BIN / "test/ring_stress_fork", "1000000", "fork"])],
        "soak": [("ten million messages", [BIN / "test/soak"])],
        "fuzz": [(None, [ROOT / "tests/fuzz/run.sh", results / "fuzz", str(seconds)])],
        "valgrind": [(None, [ROOT / "tests/valgrind.py"])],
        "checks": [("52 checks, each with and without its defence", [ROOT / "tests/checks.py", "--table", "--long", "--keep",
                                                                     ROOT / "tests/checks-table.txt"])],
        "bubblewrap": [(None, [ROOT / "tests/bubblewrap.sh"])],
        "neighbours": [("a sibling's calls and the host beside a fork bomb and memory hogs",
                        ["env", f"UDS_BIN={BIN}", f"UDS_SOURCE={ROOT}", ROOT / "tests/integration/cgroup_hostile.sh"])],
        "labs": [("exercises of docs/labs.md, each with its effect taken away", [ROOT / "tests/integration/labs.py", "--broken"])],
        "kills": [(None, [ROOT / "tests/kills.py", "--long"]),
                  ("200 kills of supervisor, cleaner, router and sandboxes",
                   ["env", "UDS_KILLS=200", f"UDS_BIN={BIN}", f"UDS_SOURCE={ROOT}", ROOT / "tests/integration/supervisor_killed.py"])],
        **{f"checks-{kernel}": [("52 checks in a guest, each with and without its defence",
                                 [ROOT / "tests/checks.py", "--guest", kernel, "--table", "--long", "--keep",
                                  ROOT / f"tests/checks-table-{kernel}.txt"])] for kernel in GUESTS},
        **{f"vm-{kernel}": [(None, [ROOT / "tests/vm/run.sh", kernel])] for kernel in GUESTS},
    }


def read_until_signal(process):
    """Its lines. The first signal ends it and all that it started; nothing after it begins any more."""
    def end(number, _):
        cut_short.append(signal.Signals(number).name)
        os.killpg(process.pid, signal.SIGTERM)

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, end)
    yield from process.stdout


def run(name, command):
    """Runs a command and shows its output meanwhile. Returns its cases as [verdict, name, text], and its peak in KiB."""
    cases, lines, start = [], [], time.monotonic()
    process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                               stderr=subprocess.STDOUT, text=True, errors="replace", start_new_session=True)
    for line in read_until_signal(process):
        line = line.rstrip("\n")
        print(f"[{time.monotonic() - start:5.0f} s] {line}", flush=True)
        lines.append(line)
        if not name and (case := CASE.fullmatch(line)):
            cases.append([*case.groups()])
        elif cases and cases[-1][0] == "fail" and line.startswith(" "):
            cases[-1][2] += "\n" + line
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = code = os.waitstatus_to_exitcode(status)
    took = f"{time.monotonic() - start:.0f} s"
    if cut_short:
        cases.append(["skip", name or "the rest", f"cut short by {cut_short[0]} after {took}"])
    elif name:
        verdict = "skip" if code == 77 else "pass" if code == 0 else "fail"
        text = lines[-1] if code == 77 and lines else "\n    ".join([took, *lines])
        cases = [[verdict, name, text if code in (0, 77) else f"status {code}, {text}"]]
    elif code not in (0, 77) and not any(case[0] == "fail" for case in cases) or not cases:
        cases.append(["fail", pathlib.Path(command[0]).name, "\n    ".join([f"status {code} after {took}", *lines[-20:]])])
    return cases, usage.ru_maxrss


def commit():
    git = ["git", "-C", str(ROOT)]
    head = subprocess.run([*git, "rev-parse", "--short=12", "HEAD"], capture_output=True, text=True)
    if head.returncode != 0:
        return "unknown"
    changes = subprocess.run([*git, "status", "--porcelain", "--", ".", f":!{RESULT.relative_to(ROOT)}", ":!tests/checks-table*.txt"],
                             capture_output=True, text=True)
    return head.stdout.strip() + (" and changes" if changes.stdout.strip() else "")


def report(part, cases, began, seconds, of, peak_kb):
    """One part's section of the file."""
    count = {verdict: sum(case[0] == verdict for case in cases) for verdict in ("pass", "fail", "skip")}
    text = [f"== {part}: {count['pass']} passed, {count['fail']} failed, {count['skip']} skipped",
            f"   {began:%Y-%m-%d %H:%M} UTC, {seconds:.0f} s, commit {of}",
            f"   Linux {re.match('[0-9.]*', platform.release())[0]}, {platform.machine()}, {os.cpu_count()} CPUs, load {os.getloadavg()[2]:.1f};"
            f" largest process {peak_kb // 1024} MiB"]
    for verdict, name, what in cases:
        if verdict != "pass" or count["pass"] <= LISTED:
            text.append(f"   {verdict} {name}: " + what.replace("\n", "\n   "))
    return "\n".join(text).replace(f"{ROOT}/", "") + "\n"


def keep(part, section, order):
    """Puts a section in the place of the part's last one."""
    old = RESULT.read_text() if RESULT.exists() else ""
    sections = {m[1]: m[0] for m in re.finditer(r"^== (\S+):.*\n(?: .*\n)*", old, re.M)}
    sections[part] = section
    RESULT.write_text("\n".join([HEAD, *(sections[name] for name in order if name in sections)]))


def junit(path, cases):
    suite = ET.Element("testsuite")
    for verdict, name, what in cases:
        status = {"pass": "run", "fail": "fail", "skip": "notrun"}[verdict]
        case = ET.SubElement(suite, "testcase", name=name, status=status)
        if verdict == "skip":
            ET.SubElement(case, "skipped")
        # What XML has no character for: control characters of some program's output.
        ET.SubElement(case, "system-out").text = re.sub(r"[^\t\n\x20-\ufffd]", "?", what)
    ET.ElementTree(suite).write(path)


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--results", type=pathlib.Path, metavar="DIR")
    arguments.add_argument("--fuzz", type=int, metavar="SECONDS", default=120, help="of each target (120)")
    arguments.add_argument("part", nargs="*")
    given = arguments.parse_args()
    results = given.results or pathlib.Path(tempfile.mkdtemp(prefix="uds-long."))
    results.mkdir(parents=True, exist_ok=True)
    known = parts(results, given.fuzz)
    if unknown := set(given.part) - set(known):
        arguments.error(f"no part {', '.join(unknown)}: there are {', '.join(known)}")
    if subprocess.run(["cmake", "--build", ROOT / "build/release"], stdout=subprocess.DEVNULL).returncode != 0:
        sys.exit("long.py: no release build: cmake --preset release && cmake --build --preset release")
    of, failed = commit(), False
    for part in given.part or known:
        cases, peak, began, start = [], 0, datetime.datetime.now(datetime.timezone.utc), time.monotonic()
        print(f"== {part}", flush=True)
        for name, command in known[part]:
            if cut_short:
                break
            new, kb = run(name, command)
            cases, peak = cases + new, max(peak, kb)
        section = report(part, cases, began, time.monotonic() - start, of, peak)
        keep(part, section, known)
        junit(results / f"long-{part}.xml", cases)
        print(section.splitlines()[0], flush=True)
        failed |= any(case[0] == "fail" for case in cases)
        if cut_short:
            return True
    return failed


sys.exit(main())
