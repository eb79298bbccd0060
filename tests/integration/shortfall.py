#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What falls short of what was asked: limits that become rlimits, and what --assert does not permit. As root and as nobody."""
import json
import os
import shutil
import signal
import subprocess
import sys

sys.path.insert(0, os.environ["UDS_SOURCE"] + "/tests/support")
from callers import main, within  # noqa: E402

# Nobody has no cgroup to write in; root has none where none is mounted.
BARE = ("unshare", "-m", "sh", "-c", 'umount -l -R /sys/fs/cgroup; exec "$@"', "sh")


def run(c, *words, bare=True, **more):
    """Without a cgroup to be had."""
    words = c.words("run", *words)
    if c.uid == 0 and bare:
        words = [*BARE, *words]
    return subprocess.run(words, preexec_fn=c.become, capture_output=True, text=True, timeout=60, env=c.env(),
                          stdin=subprocess.DEVNULL, **more)


HUGE = "x = bytearray(200 << 20)"
MANY = "x = []\nwhile True: x.append('x' * 2000)"
STACKS = "import threading, time\nfor i in range(12): threading.Thread(target=time.sleep, args=(5,), daemon=True).start()"
COPES = "import mmap\ntry: mmap.mmap(-1, 1 << 30, flags=2)\nexcept OSError: pass"
GROWS = "import ctypes\nc = ctypes.CDLL(None)\nc.malloc.restype = c.realloc.restype = ctypes.c_void_p\n" \
        "p = c.realloc(ctypes.c_void_p(c.malloc(8 << 20)), ctypes.c_size_t(120 << 20))\nraise SystemExit(0 if p else 9)"


BLOCKS = "mkfifo /tmp/fifo && mount --bind /tmp/fifo /proc/$$/status && exec python3 -c 'x = bytearray(200 << 20)'"


def test_memory_limit(c):
    limit = ("--degrade", "cgroup", "--memory", "64M", "--pids", "20")
    for what, code, script in (("a huge request", 1, HUGE), ("many small ones", 1, MANY), ("stacks of threads", 1, STACKS),
                               ("one that grows", 9, GROWS)):
        r = run(c, *limit, "--json", "--", "python3", "-c", script)
        end = json.loads(r.stderr.splitlines()[-1])
        c.check(f"{what}: its own exit", r.returncode == code and end["outcome"] == "exited", (r.returncode, r.stderr))
        c.check(f"{what}: memory-limit (rlimit)", "memory-limit (rlimit): at 64 MiB" in r.stderr and "OOM" not in r.stderr, r.stderr)
        c.check(f"{what}: counted", end.get("memory_limit", {}).get("refused", 0) >= 1, end)
        c.check(f"{what}: the report has the limits",
                end["report"]["limits"] == {"memory_bytes": 64 << 20, "pids": 20} and end["report"]["pids_is_rlimit"], end)
    r = run(c, *limit, "--cap-add", "sys_admin", "--uid", "0", "--gid", "0", "--seccomp", "none", "--", "sh", "-c", BLOCKS)
    c.check("PID 1 waits for no FIFO of the payload's", r.returncode == 1 and "MemoryError" in r.stderr, (r.returncode, r.stderr))
    c.check("the first size", run(c, *limit, "--", "python3", "-c", HUGE).stderr.count("first 200 MiB") == 1)
    for what, script in (("who copes", COPES), ("who asks for nothing", "pass")):
        r = run(c, *limit, "--", "python3", "-c", script)
        c.check(f"{what} hears nothing of it", r.returncode == 0 and "(rlimit)" not in r.stderr, r.stderr)
    r = run(c, *limit, "--stats", "--", "python3", "-c", COPES)
    c.check("but by --stats", r.returncode == 0 and "it was refused memory 1 time, first 1.0 GiB" in r.stderr, r.stderr)
    r = run(c, *limit, "--", "python3", "-c", "raise SystemExit(3)")
    c.check("a failure without a refusal is not the limit's", r.returncode == 3 and "(rlimit)" not in r.stderr, r.stderr)
    r = run(c, "--degrade", "cgroup", "--cpu", "50%", "--cpuset", "0", "--memory-high", "1G", "--", "true")
    c.check("what else takes a cgroup is missing, and said", r.returncode == 0 and
            all(f"without {what}" in r.stderr for what in ("cpu limit", "cpuset", "memory-high")), r.stderr)
    r = run(c, "--degrade", "cgroup", "--memory", "64M", "--swap", "1M", "--", "true") if c.uid else None
    c.check("swap too", not r or r.returncode == 0 and "; swap is not limited\n" in r.stderr, r)
    r = run(c, *limit, "--report", "--", "true")
    c.check("for people too", "memory       64M, by RLIMIT_DATA\n" in r.stderr and "pids         20, by RLIMIT_NPROC\n" in r.stderr, r.stderr)
    c.check("refused forks are not counted, and it says so", "RLIMIT_NPROC, and nobody counts the forks that it refuses\n" in r.stderr, r.stderr)


def test_assert(c):
    """A start that it permits leaves nothing out."""
    def report(r):
        return json.loads(r.stderr.splitlines()[-1])["report"]
    r = run(c, "--json", "--", "true")
    c.check("unasserted it starts, and says what is left out", r.returncode == 0 and "stats" in report(r)["degraded"], r)
    ids = "ids: " if c.uid else None  # of others than root that comes first
    for what, words, says in (
            ("no cgroup", (), ids or "without a cgroup nothing is counted: "),
            ("no statistics", ("--no-cgroup", "--stats"), "--stats: without a cgroup there are none"),
            ("rlimits", ("--memory", "64M", "--degrade", "cgroup"), ids or "cgroup: "),
            ("no limit of cpu", ("--cpu", "50%", "--degrade", "cgroup,cpu"), ids or "cgroup: "),
            ("any CPU", ("--cpuset", "0", "--degrade", "cgroup,cpuset"), ids or "cgroup: ")):
        r = run(c, "--assert", *words, "--", "true")
        c.check(f"{what} is refused", r.returncode == 121 and says in r.stderr, (r.returncode, r.stderr))
    if c.uid:
        r = run(c, "--assert", "--id-range", "--degrade", "id-range", "--", "true")
        c.check("one id is refused", r.returncode == 121 and "/etc/subuid" in r.stderr, r.stderr)
        c.check("and it says what helps", "--id-range" in run(c, "--assert", "--", "true").stderr)
        return
    for what, words, bare in (("all of it", (), False), ("none asked for", ("--no-cgroup",), True)):
        r = run(c, "--assert", "--json", *words, "--", "true", bare=bare)
        c.check(f"{what}: it starts, and nothing is left out", r.returncode == 0 and report(r)["degraded"] == [], r.stderr)


def test_profile(c):
    """A stack file's id_range is --id-range."""
    if c.uid == 0:
        return
    stack = c.dir / "stack.yaml"
    for value, says in (("true", "/etc/subuid"), ("perhaps", "stack.yaml:4:15")):
        stack.write_text(f"sandboxes:\n  one:\n    command: [/bin/true]\n    id_range: {value}\n")
        stack.chmod(0o644)
        os.chown(stack, c.uid, -1) if os.geteuid() == 0 else None
        r = run(c, "--profile", stack)
        c.check(f"id_range: {value}", r.returncode == 121 and says in r.stderr, r.stderr)


def test_run_directory_gone(c):
    """A cleaner still ends what it knows when its run directory was deleted and its owner killed."""
    p = c.start("--name", "gone", "--", "sh", "-c", "echo up; exec sleep 1000")
    p.stdout.readline()
    within(lambda: c.list())
    init = c.list()[0]["init_pid"]
    os.kill(init, signal.SIGSTOP)  # so that it does not end by itself when the launcher does
    shutil.rmtree(c.dir / "run")
    p.kill()
    p.wait()
    gone = within(lambda: not os.path.exists(f"/proc/{init}"))
    if not gone:
        os.kill(init, signal.SIGCONT)
    c.check("its processes go", gone, init)
    for stream in (p.stdin, p.stdout, p.stderr):
        stream.close()


if __name__ == "__main__":
    sys.exit(main(globals()))
