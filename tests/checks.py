#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""checks.py [--guest KERNEL] [--table] [--long] [--keep FILE] [ROW|NAME]...: the 52 checks of a sandbox, as root and as an ordinary user.

Without --table each check runs against the product. With --table it runs again with the defence that it is about taken
away (bin/unsafe, sandbox/src/without.h), where it has to fail; the table of both is printed, and written to FILE. With
--guest all this happens in a guest with that kernel and pure cgroup v2 (tests/vm)."""
import argparse
import concurrent.futures
import importlib
import multiprocessing
import os
import pathlib
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
import traceback

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE / "checks"))
sys.dont_write_bytecode = True
os.environ.setdefault("UDS_BIN", str(HERE.parent / "build/release/bin"))
from harness import BIN, MORE, NOBODY, ROOT, ROWS, UNSAFE, Caller, Noticed, Unfit # noqa: E402

MODULES = "processes root identity descriptors ipc filters resources outcomes layers load elsewhere".split()
for module in MODULES:
    importlib.import_module(module)
base = None


def attempt(check, tag, uid, without, refused=False):
    """("pass"|"fail"|"skip"|"error", words) of one check by one caller."""
    c = Caller(base, uid, tag, without)
    verdict, words, began = "pass", "", time.monotonic()
    try:
        check(c)
    except Noticed:
        pass
    except Unfit as reason:
        verdict, words = "skip", str(reason)
    except Exception: # pylint: disable=broad-except
        verdict, words = "error", traceback.format_exc(limit=-3)
    if verdict == "pass" and c.failures:
        verdict, words = "fail", c.failures[0]
        if without and not c.started and not refused:
            verdict, words = "error", f"it did not even start: {words}"
    if "UDS_TIMES" in os.environ:
        print(f"{time.monotonic() - began:6.2f} s {tag} {c.who} {verdict} {words}", flush=True)
    if (changed := c.host_changed()):
        verdict, words = "error", f"the host is another than before: {changed}"
    left = c.nothing_left(0 if without else 2)
    left += c.forget_cgroup() if not left and not without else []
    if left and not without:
        verdict, words = "fail", f"something is left: {left}"
        print(f"FAILED {c.who}: {tag}: {words}", flush=True)
    if verdict == "error":
        print(f"FAILED {c.who}: {tag}{' without ' + without if without else ''}: {words}", flush=True)
    if without: # what the product would have removed
        c.kill_strays()
        for place in (c.run_dir, c.dir / "uds"):
            if place.exists():
                subprocess.run([BIN / "uds", "sandbox", "gc", "--run-dir", place], capture_output=True, check=False)
        c.forget_cgroup()
    return verdict, words


def task(key):
    kind, index, uid, mode = key
    if kind == "more":
        return attempt(MORE[index][0], f"m{index}", uid, None)
    row = ROWS[index]
    without = row.without[who(uid)] if mode == "off" else None
    return attempt(row.check, f"{row.number}{mode}", uid, without, row.refused)


def who(uid):
    return "root" if uid == 0 else "nobody"


def tasks(options, uids):
    for index, row in enumerate(ROWS):
        if options.wanted and not {str(row.number), row.check.__name__} & set(options.wanted):
            continue
        if row.slow and not options.long:
            continue
        for uid in uids:
            if who(uid) in row.who:
                yield "row", index, uid, "on"
                if options.table and row.without[who(uid)]:
                    yield "row", index, uid, "off"
    for index, (check, callers) in enumerate(MORE):
        for uid in uids:
            if who(uid) in callers and (not options.wanted or check.__name__ in options.wanted):
                yield "more", index, uid, "on"


def cell(results, index, uid, mode):
    found = results.get(("row", index, uid, mode))
    return found[0] if found else "-"


def table(results, options):
    callers = (("root", 0), ("nobody", NOBODY)) if ROOT else (("nobody", os.geteuid()),)
    lines = [f"{'#':>2}  {'check':<46} " + " ".join(f"{w:<6} {'off':<5}" for w, _ in callers) + " without, or why not"]
    for index, row in sorted(enumerate(ROWS), key=lambda e: e[1].number):
        cells = " ".join(f"{cell(results, index, uid, 'on'):<6} {cell(results, index, uid, 'off'):<5}" for _, uid in callers)
        knobs = row.without.get("root") or row.without.get("nobody") or ""
        if row.without.get("nobody") and row.without["nobody"] != knobs and "nobody" in row.who:
            knobs += f" (nobody: {row.without['nobody']})"
        skipped = {f"{who(uid)}: {words}" for (kind, i, uid, _), (verdict, words) in results.items()
                   if (kind, i, verdict) == ("row", index, "skip")}
        why = "; ".join(filter(None, [knobs, row.why, *skipped, "seconds of measuring: --long" if row.slow and not options.long else ""]))
        lines.append(f"{row.number:>2}  {row.name:<46} {cells} {why}")
    return [re.sub(r" +$", "", line) for line in lines]


def product_is_clean(results):
    """Of all this nothing is in what is installed."""
    names = re.compile(rb"UDS_WITHOUT|UDS_STOP_AT|UNSAFE TESTING|seccomp-last|init-environment")
    for program in ("uds", "uds-broker", "uds-router", "uds-sandbox-init", "uds-sandbox-answer", "uds-ls", "uds-cleaner"):
        if (BIN / program).exists() and (found := names.search((BIN / program).read_bytes())):
            print(f"FAILED {program} of the product knows {found[0]!r}")
            results[("product", program)] = ("fail", "")


def knobs_spare_the_host(results):
    """Where mounts would reach the host, none is made: this program says so, and ends."""
    for options, without in (["--host-root"], "private"), ([], "private,ns-user"):
        r = subprocess.run([UNSAFE / "uds", "run", *options, "--dry-run", "--", "true"], capture_output=True, text=True, check=False,
                           env={**os.environ, "UDS_WITHOUT": without})
        if r.returncode != 64 or "the host would be mounted over" not in r.stderr:
            print(f"FAILED UDS_WITHOUT={without} {options}: {r.returncode} {r.stderr}")
            results[("knobs", without)] = ("fail", "")


def prepare():
    for directory in ("bin", "open", "unsafe"):
        (base / directory).mkdir()
    os.chmod(base, 0o755)
    os.chmod(base / "open", 0o777)
    for program in ("test/sbx-launch", "test/sbx-probe", "test/limit-probe", "uds", "uds-sandbox-init", "uds-sandbox-answer", "uds-cleaner"):
        shutil.copy(BIN / program, base / "bin")
    for program in UNSAFE.glob("*"):
        shutil.copy(program, base / "unsafe")


def place():
    """Where sandboxes see it, on a disk that has id-mapped mounts: a guest's / is an overlay. Not at /mnt, where a stranger's
    root lies over it when rows 18 and 19 do without a pivot: what they write in then is out of sight."""
    if not os.environ.get("UDS_VM"):
        return "/var/tmp"
    subprocess.run(["mkfs.ext4", "-q", "-F", "/dev/vda"], check=True)
    subprocess.run(["mount", "/dev/vda", "/media"], check=True)
    os.chmod("/media", 0o1777)
    return "/media"


def in_guest(options, arguments):
    """What the guest prints, and of that the table, because it writes nowhere but in itself."""
    command = shlex.join([str(HERE / "checks.py"), *arguments])
    with subprocess.Popen([HERE / "vm/vm.sh", options.guest, command], stdout=subprocess.PIPE, text=True,
                          env=dict(os.environ, UDS_VM_TIMEOUT="2400")) as guest:
        lines = []
        for line in guest.stdout:
            print(line, end="", flush=True)
            lines.append(line)
    if options.keep:
        options.keep.write_text("".join(line for line in lines if re.match(r" #  check|[ \d]\d  \S", line)))
    return guest.returncode


def main():
    global base
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--table", action="store_true")
    parser.add_argument("--long", action="store_true")
    parser.add_argument("--keep", metavar="FILE", type=pathlib.Path)
    parser.add_argument("--guest", metavar="KERNEL")
    parser.add_argument("wanted", nargs="*")
    options = parser.parse_args()
    if options.guest:
        return in_guest(options, ["--table"] * options.table + ["--long"] * options.long + options.wanted)
    if options.table and not UNSAFE.exists():
        print("skip: built without UDS_UNSAFE_TESTING, nothing can be taken away (the release preset is)")
        return 77
    base = pathlib.Path(tempfile.mkdtemp(prefix="sbx-checks-", dir=place()))
    prepare()
    uids = (0, NOBODY) if ROOT else (os.geteuid(),)
    order = list(tasks(options, uids))
    try:
        context = multiprocessing.get_context("fork")
        with concurrent.futures.ProcessPoolExecutor(max_workers=os.cpu_count(), mp_context=context) as pool:
            results = dict(zip(order, pool.map(task, order)))
    finally:
        shutil.rmtree(base)
    product_is_clean(results)
    if options.table and ROOT:
        knobs_spare_the_host(results)
    lines = table(results, options)
    if options.table:
        print("\n".join(lines))
        if options.keep:
            options.keep.write_text("\n".join(lines) + "\n")
    bad = [key for key, (verdict, _) in results.items()
           if verdict == "error" or verdict == ("pass" if key[-1] == "off" else "fail")]
    for key in bad:
        if key[-1] == "off" and results[key][0] == "pass":
            print(f"FAILED row {ROWS[key[1]].number}, {who(key[2])}: nobody notices that the defence is gone")
    for key, (verdict, words) in results.items():
        if verdict == "skip" and (key[-1] == "on" or results[(*key[:-1], "on")][0] != "skip"):
            print(f"skip row {ROWS[key[1]].number}, {who(key[2])}{'' if key[-1] == 'on' else ', without it'}: {words}")
    print(f"{len(results)} runs, {len(bad)} not as they should be")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
