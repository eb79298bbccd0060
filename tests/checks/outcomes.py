# SPDX-License-Identifier: MIT
"""How it ends and what is said of it: exit status, signals, refusals."""
import ctypes
import os
import pathlib
import signal
import subprocess

from harness import PATIENCE, Run, more, row, verbs


@row(44, "exit status", without="status")
def exit_status(c):
    for code in (3, 255, 0):
        r = c.run(probe=verbs(f"exit {code}"))
        c.check(f"exit {code}", r.report.get("outcome") == "exited" and r.report["value"] == str(code), r.report)
    for signo in (signal.SIGSEGV, signal.SIGKILL):
        r = c.run(probe=verbs(f"raise {int(signo)}"))
        c.check(f"{signo.name}", r.report.get("outcome") == "signaled" and r.report["value"] == str(int(signo)), r.report)
    r = c.run(command=["/nope"])
    c.check("a missing program is named", r.code == 126 and "/nope: No such file" in r.err, r.err)
    c.check("and nothing ran", "running" not in r.report, r.report)
    r = c.run(jail=False, command=["/etc/passwd"])
    c.check("one that is no program", r.code == 126 and "Permission denied" in r.err, r.err)
    text, script = c.dir / "text", c.dir / "script"
    text.write_bytes(b"\x00\x01garbage")
    script.write_text("#!/no/such/shell\n")
    os.chmod(text, 0o755)
    os.chmod(script, 0o755)
    r = c.run("--bind", f"{text}:/text", command=["/text"])
    c.check("or no format", r.code == 126 and "Exec format error" in r.err, r.err)
    r = c.run("--bind", f"{script}:/script", command=["/script"])
    c.check("a missing interpreter is named", r.code == 126 and "/no/such/shell, the interpreter of /script" in r.err, r.err)
    r = c.run("--bind", "/bin/ls:/ls", command=["/ls"])
    c.check("a missing loader is named", r.code == 126 and "ld-linux" in r.err or "/ld" in r.err, r.err)
    r = c.run("--timeout", "300", probe=verbs("sleep"))
    c.check("a timeout is one", r.report.get("outcome") == "timeout" and r.report["value"] == "300", r.report)
    r = c.run("--stop", "5000", probe=verbs("sleep"))
    c.check("a stop is one", r.report.get("outcome") == "stopped", r.report)
    r = c.run("--isolate", "pid", probe=verbs("exit 0"))
    c.check("a spec that makes no sense is refused", r.code == 125 and "isolate" in r.err, r.err)


@row(45, "signals", without="signals")
def signals(c):
    def hostile():
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)
        signal.pthread_sigmask(signal.SIG_BLOCK, range(1, signal.NSIG))
    r = c.run(probe=verbs("signals", "exit 7"), preexec=hostile)
    c.check("dispositions and mask are those of birth", r["signals"] == "ok 0 0", r.out)
    c.check("a caller that ignores SIGCHLD hears the end", r.report.get("value") == "7", r.report)
    for signo in (signal.SIGUSR1, signal.SIGTERM, signal.SIGHUP):
        r = c.run("--signal", str(int(signo)), "--timeout", "5000", probe=verbs("sleep"))
        c.check(f"{signo.name} is passed on", r.report.get("outcome") == "signaled" and
                r.report["value"] == str(int(signo)), r.report)


@row(52, "refusals are clean", without={"root": None, "nobody": "refusal"},
     why="root has a cgroup to be refused nothing by; the words of each refusal are compared")
def refusals(c):
    """A kernel that says no: the cause is named, nothing is left."""
    if c.uid:
        r = c.run("--memory", "32M", probe=verbs("exit 0"))
        c.check("no cgroup: refused, with the knob", r.code == 126 and "--degrade=cgroup" in r.err, r.err)
        r = c.run("--isolate", "user,mount,pid", "--landlock", jail=False, probe=verbs("exit 0"))
        c.check("guarding a host root is refused", r.code == 125 and "jail" in r.err, r.err)
        return

    def forbid():
        libc = ctypes.CDLL(None)
        uid = os.geteuid()
        if libc.unshare(0x10000000):
            os._exit(99)
        pathlib.Path("/proc/self/setgroups").write_text("deny")
        pathlib.Path("/proc/self/uid_map").write_text(f"{uid} {uid} 1")
        pathlib.Path("/proc/self/gid_map").write_text(f"{uid} {uid} 1")
        pathlib.Path("/proc/sys/user/max_user_namespaces").write_text("0")
    r = c.run(probe=verbs("exit 0"), jail=False, preexec=forbid)
    c.check("no user namespaces: the knob is named", r.code == 126 and "user.max_user_namespaces" in r.err, r.err)
    script = 'mount -t tmpfs x /proc/fs && exec "$@"'
    done = subprocess.run(["unshare", "-m", "--propagation", "private", "sh", "-c", script, "sh",
                           c.bin / "sbx-launch", "/bin/true"], capture_output=True, timeout=60 * PATIENCE,
                          env=dict(os.environ, XDG_RUNTIME_DIR=str(c.dir)))
    c.check("in a container that hides /proc it says so", done.returncode == 126 and
            b"make /proc" in done.stderr and b"container hides" in done.stderr, done.stderr)
