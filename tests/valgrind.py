#!/usr/bin/env python3
"""tests/valgrind.py [REGEX]: the unit tests of the release build and a short soak under valgrind, for what the sanitizers do not
see: reads of memory that nothing was written to; and leaks of memory and descriptors once more, by other means.
One line each: pass, fail or skip NAME: what. Part of tests/run.sh --long.

What counts is what valgrind says. Whether the tests pass was seen without it, and some cannot pass here; what they left
lying when they gave up is not counted."""
import concurrent.futures
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[1]
BIN = ROOT / "build/release/bin"
PARTS = ("libuds", "router", "supervisor", "sandbox", "cli", "bench", "thumbnail") # of tests/unit, in this order
# Not its warnings about ioctls that are newer than it is.
ERRORS = re.compile(r"(Invalid|Conditional jump|Use of uninit|Syscall param|Mismatched|Source and dest|Argument '|"
                    r"Process terminating with default action of signal (4|7|8|11) )")
# memmove(3) with a check is the same code as memcpy(3) with one, and valgrind takes one for the other.
NOT_AN_ERROR = re.compile(r"Source and destination overlap in memcpy_chk.*\n *at .*\n *by .*: memmove ")
LOST = re.compile(r"[\d,() a-z]*bytes in [\d,]+ blocks are (definitely|possibly) lost|Open .*(descriptor|socket)")
# Sees a signal end close(2), for which valgrind holds signals back: it would wait for 200 s and then fail.
NOT_THIS = "!(fd_close/waits_no_longer_than_the_limit*)"
DEADLINE_S = 1200 # of one program: seen 160 on a busy machine
# A frame of ours; what Criterion allocates (it calls the tests, and they call it) is its own business.
OURS = re.compile(r"(at|by) 0x[0-9A-F]+: .*\b(libuds|sandbox|broker|cli|bench|proto|examples|tests)/[^ ]*\.[ch]:\d+\)")


def judge(log, failed):
    """The blocks of one process's log that are complaints. @failed: tests, as their functions are called."""
    text = re.sub(r"^==\d+== ?", "", log.read_text(errors="replace"), flags=re.M)
    blocks = [block.strip() for block in re.split(r"\n\s*\n", text)]
    found = [block for block in blocks if ERRORS.match(block) and not NOT_AN_ERROR.match(block)]
    # A copy by fork(2) has all that the process had which it was copied from, that one's log among it, and ends by _exit(2).
    copied = any(pid != log.name for pid in re.findall(rf"^Open .*: {log.parent}/(\d+)$", text, re.M))
    if not copied and "Process terminating" not in text:
        for block in blocks:
            stack = block.split("libcriterion.so")[0]
            if LOST.match(block) and OURS.search(stack) and not any(name in block for name in failed):
                found.append(block)
    return found


def run(name, end, command):
    """@end is in the output of what has come to its end."""
    # libjpeg's vector code reads more than it has, and what comes of it looks like never written.
    env = os.environ | {"JSIMD_FORCENONE": "1"}
    start = time.monotonic()
    with tempfile.TemporaryDirectory() as logs:
        os.chmod(logs, 0o1777) # some become other users
        done = subprocess.run(
            ["timeout", "-k", "5", str(DEADLINE_S), "valgrind", "--trace-children=yes", "--vgdb=no", "--leak-check=full", "--show-leak-kinds=definite,possible",
             "--track-fds=yes", "--fullpath-after=", "--num-callers=40", f"--log-file={logs}/%p", *command],
            env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace")
        failed = {m[1] + "_" + m[2] + "_impl" for m in re.finditer(r"^\[(?:FAIL|SKIP|----)\] (\w+)::(\w+)", done.stdout, re.M)}
        processes = list(pathlib.Path(logs).iterdir())
        found = [block for log in processes for block in judge(log, failed)]
    took = f"{len(processes)} processes in {time.monotonic() - start:.0f} s"
    if failed:
        took += f"; {len(failed)} of its tests cannot run here"
    if not re.search(end, done.stdout, re.M):
        return f"fail {name}: it did not come to its end ({took})\n" + done.stdout[-4000:]
    if found:
        return f"fail {name}: {len(found)} complaints ({took})\n" + "\n".join(dict.fromkeys(found))
    return f"pass {name}: {took}"


def main():
    if not shutil.which("valgrind"):
        print("skip valgrind: it is missing: tests/setup.sh --long installs it")
        return 77
    jobs = [("soak", "^soak: .* connections", [BIN / "test/soak", "20000"])]
    for part in PARTS:
        jobs += [(test.name, "Synthesis", [test, "--jobs=1", "--verbose=1", "--filter", NOT_THIS]) for test in sorted(BIN.glob(f"{part}_*_test"))]
    jobs = [job for job in jobs if re.search(sys.argv[1] if len(sys.argv) > 1 else "", job[0])]
    failed = False
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        for job in concurrent.futures.as_completed([pool.submit(run, *job) for job in jobs]):
            print(job.result(), flush=True)
            failed |= job.result().startswith("fail")
    return failed


sys.exit(main())
