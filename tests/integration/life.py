#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""How a command of `uds run` begins and ends, and who is told: as root and as nobody. Each cause of an end is told apart,
by exit code on stderr and by record on --json-status-fd; what the caller's signals are like is not the command's business.
"""
import json
import os
import select
import signal
import subprocess
import sys
import time

sys.path.insert(0, os.environ["UDS_SOURCE"] + "/tests/support")
from callers import PATIENCE, check, main, within  # noqa: E402


def told(c, *words, **more):
    """Exit code, records of --json-status-fd, stderr."""
    read, write = os.pipe()
    p = c.start("--name", "life", "--json-status-fd", write, *words, stdin=subprocess.DEVNULL, pass_fds=(write,), **more)
    os.close(write)
    with os.fdopen(read) as f:
        out, err = p.communicate(timeout=60)
        return p.returncode, [json.loads(line) for line in f], err


def test_ends_apart(c):
    (c.dir / "bound").mkdir()
    script = c.dir / "bound" / "script"
    script.write_text("no format that the kernel knows\n")
    script.chmod(0o755)
    bound = ("--ro-bind", c.dir / "bound", "/opt")
    for what, code, outcome, words in (
            ("its own 0", 0, "exited", ("--", "true")), ("its own 123", 123, "exited", ("--", "sh", "-c", "exit 123")),
            ("its own 122", 122, "exited", ("--", "sh", "-c", "exit 122")),
            ("its own 137", 137, "exited", ("--", "sh", "-c", "exit 137")),
            ("a signal", 137, "signaled", ("--", "sh", "-c", "kill -KILL $$")),
            ("the timeout", 123, "timeout", ("--timeout", "100ms", "--", "sleep", "1000")),
            ("exec ENOENT", 122, "refused", ("--", "/no/such")), ("exec EACCES", 122, "refused", ("--", "/etc/passwd")),
            ("exec ENOEXEC", 122, "refused", (*bound, "--", "/opt/script")),
            ("set-up", 121, "refused", ("--chdir", "/no/such", "--", "true"))):
        got, records, err = told(c, *words)
        end = records[-1] if records else {}
        c.check(f"{what}: {code}", got == code and end.get("outcome") == outcome, (got, records, err))
        c.check(f"{what}: a record of its code only if it ran",
                end.get("exit-code") == (None if outcome == "refused" else code), end)
    errors = [told(c, *bound, "--", path)[2] for path in ("/no/such", "/etc/passwd", "/opt/script")]
    words = ("No such file", "Permission denied; it is a directory, or not executable", "Exec format error; it is no program")
    c.check("each failure to execute in its own words", all(w in e for w, e in zip(words, errors)), errors)


def test_status(c):
    code, records, _ = told(c, "--share-net", "--", "sh", "-c", "readlink /proc/self/ns/pid >/dev/null; exit 4")
    c.check("three records", code == 4 and len(records) == 3, records)
    born, started, ended = records
    c.check("bubblewrap's first, with the namespaces that are new", born["child-pid"] > 1 and born["pid-namespace"] > 1
            and "net-namespace" not in born, born)
    report = started["report"]
    c.check("then what was granted", report["namespaces"]["pid"] == born["pid-namespace"] and report["seccomp"] == "default"
            and "/proc/kcore" in report["masked"] and report["host_uid"] != 0, report)
    c.check("then its end, with bubblewrap's member", ended["exit-code"] == 4 and "stats" in ended, ended)
    # Both ends of the wait: what was started may be configured from outside before it runs.
    info, block = os.pipe(), os.pipe()
    p = c.start("--info-fd", info[1], "--block-fd", block[0], "--", "echo", "ran", pass_fds=(info[1], block[0]))
    os.close(info[1])
    with os.fdopen(info[0]) as f:
        born = json.load(f)
    c.check("info: who it is, and then its end",
            os.stat(f"/proc/{born['child-pid']}/ns/net").st_ino == born["net-namespace"], born)
    c.check("blocked: nothing ran", not select.select([p.stdout], [], [], 0.1)[0])
    os.write(block[1], b"x")
    c.check("then it does", p.communicate(timeout=60)[0] == "ran\n" and p.returncode == 0, p.returncode)
    p = c.start("--block-fd", block[0], "--json-status-fd", 2, "--", "echo", "ran", pass_fds=(block[0],))
    p.stderr.readline()
    p.send_signal(signal.SIGTERM)
    out, err = p.communicate(timeout=60)
    c.check("a signal ends the wait", p.returncode == 121 and out == "", (p.returncode, out, err))
    for fd in block:
        os.close(fd)
    read, write = os.pipe()
    os.close(read)
    p = c.start("--json-status-fd", write, "--", "true", pass_fds=(write,), stdin=subprocess.DEVNULL)
    os.close(write)
    out, err = p.communicate(timeout=60)
    c.check("nobody to tell: it does not start", p.returncode == 121 and "Broken pipe" in err, (p.returncode, err))


def test_report(c):
    done = c.start("--report", "--timeout", "60s", "--", "true")
    _, err = done.communicate(timeout=60)
    c.check("a report for people", all(w in err for w in (
        "namespaces", "pid ", "seccomp", "masked", "/proc/kcore", "left out", "capabilities none", "net          none")), err)
    if c.uid == 0:
        _, err = c.start("--report", "--memory", "32M", "--cpu-weight", "200", "--cpuset", "0", "--", "true").communicate(timeout=60)
        c.check("all limits are in it", all(w in err for w in ("memory       32M\n", "cpu-weight   200\n", "cpuset       0\n")) and "max" not in err, err)
    c.check("says what is left out", ("id-range" in err.split("left out")[1]) == (c.uid != 0), err)
    _, err = c.start("--assert", "--degrade", "id-range,cgroup", "--", "true").communicate(timeout=60)
    c.check("--assert permits no omission",
            ("id-range" not in err and "ids" not in err) if c.uid == 0 else "--assert" in err, err)


def test_signals(c):
    """[45] The caller ignores SIGCHLD and more, and blocks everything."""
    def hostile():
        for signo in (signal.SIGCHLD, signal.SIGPIPE, signal.SIGINT, signal.SIGUSR1, signal.SIGTSTP):
            signal.signal(signo, signal.SIG_IGN)
        signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        c.become()
    p = subprocess.Popen(c.words("run", "--name", "life", "--", "cat", "/proc/self/status"),
                         preexec_fn=hostile, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=c.env())
    out, err = p.communicate(timeout=60)
    c.check("[45] the command sees none of it", p.returncode == 0 and
            all(f"{x}:\t{'0' * 16}\n" in out for x in ("SigBlk", "SigIgn", "SigCgt")),
            (p.returncode, out, err))
    waits = "trap 'exit 9' TERM; echo up; while :; do sleep 0.02; done"
    p = subprocess.Popen(c.words("run", "--name", "life", "--", "sh", "-c", waits),
                         preexec_fn=hostile, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=c.env())
    p.stdout.readline()
    p.send_signal(signal.SIGTERM)
    c.check("[45] and its signals pass", p.wait(PATIENCE) == 9, p.returncode)
    p.communicate()


def test_timeout(c):
    trap = "trap 'echo asked; exit 5' TERM; echo up; while :; do sleep 0.02; done"
    slow = PATIENCE // 10 # until a shell in an emulated guest has set its trap
    code, records, _ = told(c, "--timeout", f"{150 * slow}ms", "--", "sh", "-c", trap, stdout=subprocess.PIPE)
    c.check("TERM first", code == 123 and records[-1]["outcome"] == "timeout", (code, records))
    start = time.monotonic()
    deaf = trap.replace("; exit 5", "")
    p = c.start("--timeout", f"{200 * slow}ms", "--grace", "300ms", "--", "sh", "-c", deaf)
    out, err = p.communicate(timeout=60)
    c.check("a kill after the grace", p.returncode == 123 and out.endswith("asked\n") and
            time.monotonic() - start > 0.45, (p.returncode, out, err))
    p = c.start("--timeout", "150ms", "--grace", "0", "--", "sh", "-c", trap)
    out, err = p.communicate(timeout=60)
    refused = c.start("--grace", "5s", "--", "true")
    c.check("a grace without a timeout is refused", "name --timeout too" in refused.communicate(timeout=60)[1] and
            refused.returncode == 121, refused.returncode)
    c.check("at once without one", p.returncode == 123 and "asked" not in out, (p.returncode, out, err))


def test_parent(c):
    """--die-with-parent: a shell that is killed takes it along."""
    command = ("--", "sh", "-c", "'echo up; exec sleep 1000'")
    words = " ".join(map(str, c.words("run", "--name", "orphan", "--die-with-parent", *command)))
    p = subprocess.Popen(["sh", "-c", f"{words}; true"], preexec_fn=c.become, stdout=subprocess.PIPE,
                         stderr=subprocess.DEVNULL, text=True, env=c.env())
    p.stdout.readline()
    within(lambda: c.list())
    pids = [x[k] for x in c.list() for k in ("launcher_pid", "init_pid")]
    p.kill()
    p.wait()
    gone = within(lambda: not any(os.path.exists(f"/proc/{pid}") for pid in pids))
    c.check("it dies with its parent", len(pids) == 2 and gone, pids)
    c.check("and its record goes", within(lambda: not list((c.dir / "run" / "records").iterdir())))
    p.stdout.close()


if __name__ == "__main__":
    sys.exit(main(globals()))
