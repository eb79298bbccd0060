# SPDX-License-Identifier: MIT
"""cgroups and what stands in for them: limits, where a payload is born, what is left."""
import os
import pathlib
import subprocess
import time

from harness import PATIENCE, Unfit, await_line, end, ends, more, row, verbs

def need_cgroup(c, r):
    if not r.ran and "--degrade=cgroup" in r.err:
        raise Unfit(f"no cgroup: {r.err.strip()[:200]}")


@row(34, "memory", without="limit-memory")
def memory(c):
    r = c.run(*c.cgroup(), "--memory", "32M", "--pids", "6", probe=verbs("hog 128"))
    need_cgroup(c, r)
    c.check("over the limit is OOM", r.report.get("outcome") == "oom" and r.report["value"] == str(32 << 20), r.report)
    c.check("with its peak", 24 << 20 <= int(r.report["peak"]) <= 32 << 20, r.report)


@row(35, "swap", without="limit-swap")
def swap(c):
    """Read back where it acts: this needs no swap to be there."""
    process, report = c.start([*c.cgroup(), "--memory", "32M", "--jail", c.probe], [c.probe, "sleep"])
    try:
        c.check("it runs", await_line(process.stdout, "sleep"), "")
        files = {f: pathlib.Path(d, f).read_text().strip() for d in c.leftovers() if d.startswith("/sys")
                 for f in ("memory.memsw.limit_in_bytes", "memory.swap.max", "memory.swappiness") if pathlib.Path(d, f).exists()}
        if not files:
            raise Unfit("no control of swap in this kernel")
        c.check("swap does not defeat the limit", "33554432" in files.values() or "0" in files.values(), files)
    finally:
        end(process)
        os.close(report)


@row(36, "cpu", without="limit-cpu", slow=True)
def cpu(c):
    probe = str(c.base / "bin/limit-probe")
    for _ in range(3): # a host that takes the CPUs of a guest away counts that as used
        r = c.uds(*c.cgroup(), "--cpu", "20%", "--cpu-weight", "10000", "--jail", probe, "--", probe, "cpu", "8", "2000")
        if 17 <= float(r.out or 0) <= 23:
            return
    c.check("20 % within 3 points", False, r.out + r.err)


@row(37, "cpu weights", without="limit-weight", slow=True)
def weights(c):
    probe = str(c.base / "bin/limit-probe")
    for _ in range(3): # others want that CPU, too
        ratio = weigh(c, probe)
        if 2.55 <= ratio <= 3.45:
            return
    c.check("100:300 within 15 %", False, ratio)


def weigh(c, probe):
    parent = c.cgroup()
    runs = [c.popen(c.uds_argv(*parent, "--jail", probe, "--cpuset", "0", "--cpu-weight", weight, "--", probe, "cpu", "1", "3000", "go"),
                    stdin=subprocess.PIPE) for weight in ("100", "300")]
    for r in runs:
        await_line(r.stderr, "ready")
    for r in runs:
        r.stdin.close()
        r.stdin = None
    light, heavy = (float(r.communicate(timeout=60 * PATIENCE)[0] or 1) for r in runs)
    return heavy / light


@row(38, "processes", without="limit-pids")
def pids(c):
    r = c.run(*c.cgroup(), "--memory", "32M", "--pids", "6", probe=verbs("forks 20"))
    need_cgroup(c, r)
    c.check("forks end at the limit", r["forks"] == "EAGAIN 5", r["forks"])


@row(39, "disk", without="limit-io", slow=True)
def disk(c):
    """Past the cache, as integration/cgroup_controls does for each of the four rates."""
    probe, data = str(c.base / "bin/limit-probe"), c.dir / "data"
    data.mkdir()
    os.chmod(data, 0o777)
    (data / "file").write_bytes(bytes(4 << 20))
    os.chmod(data / "file", 0o666)
    os.sync()
    for _ in range(3): # a busy host may be what keeps it below its limit
        r = c.uds(*c.cgroup(), "--io-max", f"{data}:wbps=1M", "--degrade", "buffered-writes", "--bind", data, "/d", "--jail", probe, "--",
                  probe, "wbps", "/d/file", "2000")
        if "on no block device" in r.err:
            raise Unfit("no disk below the directory of the tests")
        if 0.8 * (1 << 20) <= float(r.out or 0) <= 1.2 * (1 << 20):
            return
    c.check("1 MiB a second within 20 %", False, r.out + r.err)


@row(40, "born in its cgroup", without="join")
def born_inside(c):
    process, report = c.start([*c.cgroup(), "--memory", "32M", "--jail", c.probe],
                              [c.probe, *verbs("cat /proc/self/cgroup", "daemonize", "sleep")], stdin=subprocess.DEVNULL)
    try:
        text = b""
        while b"sleep" not in text:
            piece = os.read(process.stdout.fileno(), 65536)
            text += piece
            if not piece:
                break
        places = [d for d in c.leftovers() if d.startswith("/sys")]
        need = 3 # PID 1, the payload, its daemon
        for place in places:
            found = len(pathlib.Path(place, "cgroup.procs").read_text().split())
            c.check(f"payload, daemon and PID 1 are in {place}", found == need, found)
        c.check("there is one", places, places)
        paths = {line.split(":", 2)[2] for line in text.decode().splitlines() if line.count(":") == 2}
        c.check("it is the root of what it sees", paths <= {"/"}, text)
    finally:
        end(process)
        os.close(report)


@row(41, "cgroups are removed", without="cleaner")
def removed(c):
    probe = verbs("daemonize", "sleep")
    process, report = c.start([*c.cgroup(), "--memory", "32M", "--jail", c.probe], [c.probe, *probe])
    await_line(process.stdout, "sleep")
    for place in c.leftovers(): # frozen, and with a group below: where removal is hardest
        for file, word in (("freezer.state", "FROZEN"), ("cgroup.freeze", "1")):
            if pathlib.Path(place, file).exists():
                pathlib.Path(place, file).write_text(word)
    end(process)
    os.close(report)
    left = c.nothing_left(2)
    c.check("after the launcher was killed, frozen", not left, left)
    r = c.run(*c.cgroup(), "--memory", "32M", probe=verbs("hog 128"))
    left = c.nothing_left(0)
    c.check("after OOM", not left, left)
    r = c.run(*c.cgroup(), probe=verbs("daemonize"))
    left = c.nothing_left(0)
    c.check("after an end in order", r.ran and not left, left)


@row(42, "no stray processes", without="die,cleaner")
def strays(c):
    def daemon(options, how):
        read, write = os.pipe()
        process, report = c.start([*options, "--jail", c.probe, "--fd", f"life={write}"],
                                  [c.probe, "daemonize", *(("--", "sleep") if how else ())], pass_fds=(write,))
        os.close(write)
        if how:
            await_line(process.stdout, "sleep")
        if how == "kill":
            process.kill()
        gone = ends(read, 5 if not c.without else 1)
        if not gone:
            c.kill_strays()
        c.finish(process, "its end")
        os.close(read)
        os.close(report)
        return gone
    c.check("everything ends when the launcher is killed", daemon([], "kill"))
    c.check("a daemon ends with its sandbox", daemon([], None))
    c.check("also without a pid namespace", daemon(["--isolate", "user,mount"], None))
    c.check("by timeout", daemon(["--isolate", "user,mount", "--timeout", "300"], "timeout"))
    c.check("by death of the launcher", daemon(["--isolate", "user,mount", "--timeout", "30000"], "kill"))


@more()
def without_cgroup(c):
    options = ("--memory", "32M", "--pids", "6")
    if c.uid == 0:
        return
    r = c.run(*options, probe=verbs("forks 20", "hog 128"))
    c.check("a limit without a cgroup is refused, with the knob", r.code == 126 and "--degrade=cgroup" in r.err, r.err)
    r = c.run(*options, "--degrade", "cgroup", probe=verbs("forks 20"))
    c.check("or becomes an rlimit: processes", r["forks"] == "EAGAIN 5", r.out + r.err)
    r = c.run(*options, "--degrade", "cgroup", probe=verbs("hog 128"))
    c.check("and memory", r["hog"] == "ENOMEM", r.out)
    c.check("and the report says so", int(r.report["degraded"]) & 1 and r.report["rlimit"] == "1", r.report)
    r = c.run(*options, "--degrade", "cgroup", "--assert", probe=verbs("exit 0"))
    c.check("--assert takes nothing less", r.code in (125, 126), r.err)
