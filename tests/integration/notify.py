#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""NOTIFY_SOCKET of `uds run`: readiness, status, watchdog, barrier, the main process, and what is refused."""
import json
import os
import pathlib
import socket
import subprocess
import sys
import time

sys.path.insert(0, os.environ["UDS_SOURCE"] + "/tests/support")
from broker import BIN, DEADLINE, NOBODY, PATIENCE, SANITIZED, Scene, check, need_root, run_parts  # noqa: E402

need_root()
PRELUDE = """
import array, os, socket, sys, time
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
s.connect(os.environ["NOTIFY_SOCKET"])
def tell(text, *fds):
    socket.send_fds(s, [text.encode() if isinstance(text, str) else text], fds)
def barrier():
    r, w = os.pipe()
    tell("BARRIER=1", w)
    os.close(w)
    return os.read(r, 1) == b""
"""


def run(scene, code, *args, uid=0, env=None, prefix=()):
    extra = {"user": uid, "group": uid, "extra_groups": [], "env": {"XDG_RUNTIME_DIR": str(scene.dir / "nobody")}}
    p = subprocess.run([scene.program("uds", uid), "run", *([] if uid else ["--run-dir", scene.run]), "--json", "--name",
                        "d", *args, "--", "/usr/bin/python3", "-c", PRELUDE + code], capture_output=True, text=True,
                       timeout=DEADLINE, **(extra if uid else {"env": env}))
    lines = p.stderr.splitlines()
    try:
        return p.returncode, p.stdout, lines[:-1], json.loads(lines[-1])
    except (IndexError, ValueError):
        raise AssertionError(f"no report: {p.returncode} {p.stderr}") from None


def told(scene):
    (scene.dir / "nobody").mkdir(mode=0o700)
    os.chown(scene.dir / "nobody", NOBODY, NOBODY)
    code, out, err, report = run(scene, """
assert os.environ["WATCHDOG_PID"] == str(os.getpid()) and os.environ["WATCHDOG_USEC"] == "60000000"
tell("READY=1\\nSTATUS=serving \\u00e4\\x1b[2J")
print(barrier())
tell("STATUS=bye\\nSTOPPING=1\\nERRNO=5")  # and it is gone before anybody has read that
""", "--notify", "--watchdog", "60s")
    notify = report["notify"]
    check("it ends well", (code, out) == (0, "True\n"), (code, out, err))
    check("told", notify == {"ready": True, "stopping": True, "status": "bye", "errno": 5, "refused": 0}, notify)
    code, out, err, report = run(scene, 'tell("READY=1\\nSTATUS=\\u00e4\\x1b[2J")', "--notify")
    check("a status is printable", report["notify"]["status"] == "ä?[2J", report["notify"])
    code, out, err, report = run(scene, 'tell("READY=1"); print(barrier())', "--notify", "--degrade=cgroup", uid=NOBODY)
    check("rootless", report.get("notify", {}).get("ready") and out == "True\n", (err, report))
    out = subprocess.run([BIN / "uds", "run", "--run-dir", scene.run, "--root", "jail", "--jail", "/usr/bin/env",
                          "--notify", "--", "/usr/bin/env"], capture_output=True, text=True, timeout=DEADLINE)
    check("in a jail", "NOTIFY_SOCKET=/run/host/notify\n" in out.stdout and "WATCHDOG" not in out.stdout, out)


def lines(scene):
    """--json-status-fd: a line when it is ready and one when it is stopping, however often it says so."""
    r, w = os.pipe()
    code = PRELUDE + "for i in range(50): tell('READY=1\\nSTATUS=a'); tell('RELOADING=1'); tell('STOPPING=1')"
    subprocess.run([BIN / "uds", "run", "--run-dir", scene.run, "--notify", "--json-status-fd", str(w), "--",
                    "/usr/bin/python3", "-c", code], pass_fds=[w], timeout=DEADLINE)
    os.close(w)
    with os.fdopen(r) as f:
        told = [json.loads(line)["notify"] for line in f if "notify" in line]
    check("three lines", [(n["ready"], n["stopping"]) for n in told] == [(True, False), (True, True), (True, True)] or
          [(n["ready"], n["stopping"]) for n in told] == [(True, True), (True, True)], told)


def refused(scene):
    code, out, err, report = run(scene, """
r, w = os.pipe()
for text, fds in (("FDSTORE=1\\nFDNAME=x", [r]), ("READY=1", [r, w]), ("FOO=1", []), ("READY=2", []),
                  ("MAINPID=99999", []), ("BARRIER=1", []), (b"STATUS=" + b"x" * 5000, []), ("A\\0B", []),
                  ("FOO=1\\nWATCHDOG=trigger", [])):
    tell(text, *fds)
    assert barrier()
os.close(w)
print(os.read(r, 1))  # nobody has kept a copy
""", "--notify")
    words = ("FDSTORE=1: nothing is stored for it", "2 descriptors came that no line is about", "FOO: unknown",
             "READY=2: no such value", "MAINPID=99999: there is no such process", "BARRIER=1: it comes alone",
             "a message above 4096 bytes", "a message with a NUL in it", "WATCHDOG=trigger: it has no watchdog (and 1 more of that message)")
    for line, word in zip(err, words):
        check(f"said: {word}", line.startswith("uds run: d: notify: refused: ") and word in line, line)
    check("each once", len(err) == len(words) and report["notify"]["refused"] == len(words) + 1, (err, report["notify"]))
    check("what was not wrong was taken", report["notify"]["ready"])
    check("no descriptor has stayed", out == "b''\n", out)
    code, out, err, report = run(scene, "for i in range(300): tell('FOO=1')", "--notify")
    check("a flood is not printed", len(err) == 10 and "more are not shown" in err[-1], err)
    check("but counted", report["notify"]["refused"] == 300, report["notify"])


def lingering(scene):
    """A socket whose last close waits: PID 1 must not be who does that."""
    before = time.monotonic()
    code, out, err, report = run(scene, """
import struct
server = socket.create_server(("127.0.0.1", 0))
def send_full():
    full = socket.create_connection(server.getsockname())
    full.setblocking(False)
    full.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 60))
    try:
        while True:
            full.send(b"x" * 65536)
    except BlockingIOError:
        pass
    for i in range(4):
        tell("BARRIER=1", os.open("/dev/null", os.O_RDONLY)) # PID 1 reads on when we are gone
    tell("X_A=1", full.fileno())
    os._exit(0) # which does not wait, as our close(2) could
for i in range(8):
    if os.fork() == 0:
        send_full()
    os.wait()
assert barrier()
print("served", flush=True)
""", "--notify")
    took = time.monotonic() - before
    check("what lingers holds up nobody", (code, out) == (0, "served\n") and took < DEADLINE / 2, (code, out, err, took))


def clocks(scene):
    if not SANITIZED:
        before = time.monotonic()
        code, out, err, report = run(scene, "time.sleep(60)", "--ready-timeout", "200ms")
        check("not ready", code == 123 and report["outcome"] == "not-ready" and report["value"] == 200 and
              "READY=1 within 200" in err[0], (code, err, report))
        code, out, err, report = run(scene, "tell('READY=1'); time.sleep(60)", "--watchdog", "200ms")
        check("watchdog", code == 123 and report["outcome"] == "watchdog" and "no" in err[0], (code, err, report))
        code, out, err, report = run(scene, "tell('READY=1\\nWATCHDOG_USEC=100000'); time.sleep(60)", "--watchdog", "60s")
        check("an interval of its own", report["outcome"] == "watchdog" and report["value"] == 100, report)
        code, out, err, report = run(scene, "tell('WATCHDOG=trigger'); time.sleep(60)", "--watchdog", "60s")
        check("triggered", report["outcome"] == "watchdog" and report["value"] == 0 and "said WATCHDOG=trigger" in err[0], (err, report))
        check("all of that at once", time.monotonic() - before < DEADLINE / 2, time.monotonic() - before)
    code, out, err, report = run(scene, f"""
tell("EXTEND_TIMEOUT_USEC=600000000")
time.sleep(0.7 * {PATIENCE})
tell("READY=1")
for i in range(7):
    time.sleep(0.15 * {PATIENCE})
    tell("WATCHDOG=1")
""", "--ready-timeout", f"{600 * PATIENCE}ms", "--watchdog", f"{PATIENCE}s")
    check("extended, and alive", code == 0 and report["notify"]["ready"], (err, report))


def main_process(scene):
    """The first process forks a daemon, says so and goes: the daemon's end is the sandbox's."""
    code, out, err, report = run(scene, """
r, w = os.pipe()
pid = os.fork()
if pid == 0:
    os.read(r, 1)  # until the first is gone
    print("served", flush=True)
    os._exit(7)
tell(f"MAINPID={pid}\\nREADY=1")
assert barrier()
""".replace("os.read(r, 1)", "os.close(w); os.read(r, 1)"), "--notify")
    check("it was waited for", (code, out) == (7, "served\n"), (code, out, err))


def apart(scene):
    """Nobody else reaches it, and nothing of it is left on the host."""
    at = scene.dir / "outer"
    manager = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    manager.bind(str(at))
    manager.settimeout(DEADLINE)
    run(scene, "tell('READY=1\\nSTATUS=up'); assert barrier(); tell('STOPPING=1')", "--notify", "--keep-env",
        env=dict(os.environ, NOTIFY_SOCKET=str(at)))
    check("our own manager is told", manager.recv(1000) == b"READY=1\nSTATUS=up\n")
    check("also of the end", manager.recv(1000) == b"STOPPING=1\n")
    check("not on the host", not pathlib.Path("/run/host/notify").exists())
    for args, words in ((["--share-mount"], "leave out --share-mount"), (["--bind", str(scene.dir), "/run"], "mount /run elsewhere"),
                        (["--watchdog", "0s"], "is not a duration above 0")):
        p = subprocess.run([BIN / "uds", "run", "--run-dir", scene.run, "--notify", *args, "--", "true"],
                           capture_output=True, text=True, timeout=DEADLINE)
        check(f"refused: {words}", p.returncode == 121 and words in p.stderr, p.stderr)


run_parts(Scene(), told, lines, refused, lingering, clocks, main_process, apart)
