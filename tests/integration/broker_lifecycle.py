#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The broker from start to end: without configuration, with sandboxes that end in every way, rootless, and by each signal."""
import json
import os
import pathlib
import shutil
import signal
import socket
import stat
import subprocess
import sys
import time

sys.path.insert(0, os.environ["UDS_SOURCE"] + "/tests/support")
from broker import BIN, NOBODY, PATIENCE, Broker, Scene, check, need_root, run_parts, wait_for  # noqa: E402
from wire import Peer  # noqa: E402

need_root()


def without_configuration(scene):
    b = Broker(scene).ready()
    mode = os.stat(b.path)
    check("the socket is ours alone", stat.S_IMODE(mode.st_mode) == 0o600, oct(mode.st_mode))
    Peer(b.path).close()
    check("it ends with 0", b.end() == 0, b.log())
    check("its last word is 'stopped'", b.events[-1]["event"] == "stopped", b.events)
    scene.expect_nothing_left("without configuration")


def text_lines(scene):
    stack = scene.stack("sandboxes: {a: {command: [/bin/sleep, '100']}, longer: {command: [/bin/sleep, '100']}}\n")
    path = scene.dir / "t.sock"
    p = subprocess.Popen(
        [BIN / "uds-broker", "--run-dir", scene.run, "--config", stack, "--listen", path],
        stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True)
    lines = []
    for line in p.stderr:
        if not line.startswith("=="):  # a sanitizer's
            lines.append(line.rstrip("\n"))
        if line.endswith("ready\n"):
            p.send_signal(signal.SIGINT)
    check("text: exit status", p.wait() == 0, lines)
    check("text: one line per event", len(lines) == 8, lines)
    check("text: aligned", len({line.index(" " + line.split(": ", 1)[1].lstrip()) for line in lines}) == 1, lines)
    check("text: started", lines[0].startswith("a:      started (pid ") and "host uids " in lines[0] and
          "cgroup /" in lines[0] and lines[0].endswith("degraded: nothing)"), lines)
    check("text: listening", lines[2] == f"broker: listening on unix:{path}", lines)
    check("text: stopping", lines[4] == "broker: stopping (SIGINT)", lines)
    scene.expect_nothing_left("text")


def ends(scene):
    """Each way to end, and what follows by the restart policy."""
    stack = """
sandboxes:
  done: {command: [/bin/true], restart: on-failure}
  crash: {command: [/bin/sh, -c, "exit 3"], restart: on-failure}
  fail: {command: [/bin/sh, -c, "exit 4"]}
  oom: {command: [/usr/bin/tail, /dev/zero], limits: {memory: 32M}, restart: on-failure}
  late: {command: [/bin/sleep, "100"], timeout: 300ms, restart: "no"}
  killed: {command: [/bin/sh, -c, "kill -SEGV $$"], restart: "no"}
"""
    b = Broker(scene, stack).ready()
    e = b.wait("done", "ended")
    check("ends: exit 0 is no failure", (e["cause"], e["value"]) == ("exited", 0) and "restart_in_ms" not in e, e)
    waits = [b.wait("crash", "ended", n)["restart_in_ms"] for n in (1, 2, 3)]
    check("ends: the back-off doubles", waits == [100, 200, 400], waits)
    check("ends: exit code is told", b.find("crash", "ended")[0]["value"] == 3, b.log())
    e = b.wait("fail", "ended")
    check("ends: restart no", e["value"] == 4 and e["text"].endswith("not restarted"), e)
    e = b.wait("oom", "ended")
    check("ends: OOM with limit", (e["cause"], e["value"]) == ("oom", 32 << 20), e)
    check("ends: OOM with peak", 30 << 20 <= e["peak_bytes"] <= 32 << 20, e)
    check("ends: OOM in words", e["text"].startswith("killed by OOM (limit 32 MiB, peak 3"), e)
    first, second = b.wait("oom", "started"), b.wait("oom", "started", 2)
    check("ends: a fresh cgroup and fresh ids for every start", first["pid"] != second["pid"], b.log())
    e = b.wait("late", "ended")
    check("ends: timeout", (e["cause"], e["value"]) == ("timeout", 300), e)
    e = b.wait("killed", "ended")
    check("ends: signal", (e["cause"], e["value"]) == ("signaled", signal.SIGSEGV) or
          (e["cause"], e["value"]) == ("exited", 128 + signal.SIGSEGV), e)
    check("ends: it ends with 0", b.end() == 0, b.log())
    scene.expect_nothing_left("ends")


INSIDE = r"""
import os, socket, sys
def say(*words): sys.stderr.write("inside: " + " ".join(map(str, words)) + "\n")
say("broker", os.environ["UDS_BROKER"], "redial", os.environ["UDS_BROKER_REDIAL"])
say("env", ",".join(sorted(os.environ)))
s = socket.socket(socket.AF_UNIX); s.connect("/run/uds/broker.sock"); say("connected")
try: open("/run/uds/x", "w"); say("WROTE")
except OSError as e: say("run is", e.strerror)
say("others", os.listdir("/run/uds"))
say("nofile", __import__("resource").getrlimit(7)[0])
say("ids", os.getuid(), os.getgid())
import time; time.sleep(100)
"""


def place(scene):
    stack = {"sandboxes": {"in": {"command": ["/usr/bin/python3", "-c", INSIDE], "env": {"A": "b"}, "uid": 7}}}
    b = Broker(scene, json.dumps(stack)).ready()
    wait_for("the payload's words", lambda: b.said("ids"))
    e = b.wait("in", "started")
    sock = scene.run / f"broker-{b.pid}" / "in" / "broker.sock"
    st = sock.stat()
    check("place: the socket is the payload's alone", (st.st_uid, stat.S_IMODE(st.st_mode)) == (e["host_uid"], 0o600),
          (st, e))
    check("place: that uid is of its range", e["uid_first"] <= e["host_uid"] < e["uid_first"] + e["uid_count"], e)
    check("place: range is high", e["uid_first"] >= 0x70000000 and e["uid_count"] == 65536, e)
    check("place: the way there is closed", stat.S_IMODE(sock.parent.parent.stat().st_mode) == 0o700)
    check("place: it can connect", b.said("inside: connected"), b.log())
    check("place: read-only", b.said("Read-only file system"), b.log())
    check("place: only its own socket", b.said("others ['broker.sock']"), b.log())
    check("place: links after the listening descriptors", b.said("broker fd:3 redial fd:4"), b.log())
    check("place: clean environment", b.said("env A,") and not b.said("UDS_BIN"), b.log())
    check("place: its own file limit", b.said(f"nofile {__import__('resource').getrlimit(7)[0]}"), b.log())
    check("place: uid", b.said("ids 7 7"), b.log())
    router = b.child("uds-router")
    uids = pathlib.Path(f"/proc/{router}/status").read_text().split("Uid:")[1].split()[:4]
    check("place: the router's uid is nobody else's", len(set(uids)) == 1 and int(uids[0]) >= 0x70000000 and
          not e["uid_first"] <= int(uids[0]) < e["uid_first"] + 65536, uids)
    check("place: it ends with 0", b.end() == 0, b.log())
    scene.expect_nothing_left("place")


def stubborn(scene):
    stack = """
sandboxes:
  deaf: {command: [/bin/sh, -c, "trap '' TERM; while :; do sleep 1; done"]}
"""
    b = Broker(scene, stack).ready()
    before = time.monotonic()
    code = b.end()
    took = time.monotonic() - before
    check("stubborn: TERM, then kill after 2 s", code == 0 and 1.9 <= took < 8 * PATIENCE, (code, took, b.log()))
    scene.expect_nothing_left("stubborn")
    b = Broker(scene, stack).ready()
    before = time.monotonic()
    b.process.send_signal(signal.SIGTERM)
    b.wait("broker", "stopping")
    code = b.end(signal.SIGINT)
    took = time.monotonic() - before
    check("stubborn: the second signal kills at once", code == 0 and took < 1.9 * PATIENCE, (code, took, b.log()))
    scene.expect_nothing_left("stubborn, twice")


def readiness(scene):
    path = str(scene.dir / "notify")
    notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    notify.bind(path)
    notify.settimeout(20)
    r, w = os.pipe()
    os.set_inheritable(w, True)
    p = subprocess.Popen(
        [BIN / "uds-broker", "--run-dir", scene.run, "--listen", scene.dir / "n.sock", "--ready-fd", str(w)],
        pass_fds=[w], env={**os.environ, "NOTIFY_SOCKET": path}, stderr=subprocess.DEVNULL)
    os.close(w)
    check("readiness: a byte", os.read(r, 16) == b"\n")
    check("readiness: then the end", os.read(r, 16) == b"")
    check("readiness: READY=1", notify.recv(100) == b"READY=1")
    p.terminate()
    check("readiness: STOPPING=1", notify.recv(100) == b"STOPPING=1")
    check("readiness: exit status", p.wait() == 0)
    os.close(r)
    notify.close()
    os.unlink(path)
    scene.expect_nothing_left("readiness")


def inherited_socket(scene):
    path = str(scene.dir / "act.sock")
    s = socket.socket(socket.AF_UNIX)
    s.bind(path)
    s.listen()
    p = subprocess.Popen([BIN / "uds-broker", "--run-dir", scene.run, "--listen", f"fd:{s.fileno()}"],
                         pass_fds=[s.fileno()], stderr=subprocess.PIPE, text=True)
    for line in p.stderr:
        if line.endswith("ready\n"):
            break
    Peer(path).close()
    p.terminate()
    check("inherited: exit status", p.wait() == 0)
    check("inherited: the file is its maker's", os.path.exists(path))
    s.close()
    os.unlink(path)
    scene.expect_nothing_left("inherited")


def rootless(scene):
    home = scene.dir / "nobody"
    home.mkdir()
    os.chown(home, NOBODY, NOBODY)
    stack = """
sandboxes:
  decoder:
    command: [/bin/sleep, "100"]
    limits: {cpu: 50%, memory: 64M, pids: 8}
    degrade: [cgroup, cpu, id-range, stats]
"""
    b = Broker(scene, stack, listen=str(home / "b.sock"), uid=NOBODY, run=home / "run").ready()
    e = b.wait("decoder", "started")
    check("rootless: each omission is named", "cgroup" in e["degraded"] and "id-range" in e["degraded"], e)
    check("rootless: one id, the caller's", e["host_uid"] == NOBODY, e)
    check("rootless: no cgroup", e["cgroup"] == "", e)
    listing = subprocess.run([scene.program("uds", NOBODY), "ls", "--to", f"unix:{home}/b.sock"], user=NOBODY, group=NOBODY,
                             capture_output=True, text=True)
    # nobody's own uid is the overflow id, by which a namespace that maps one id shows all others.
    check("rootless: nobody is known as the owner", listing.returncode == 0 and f"uid:{NOBODY}" in listing.stdout, listing)
    check("rootless: it ends with 0", b.end() == 0, b.log())
    files = [p for p in home.rglob("*") if p.name not in ("run", "ids", "records")]
    check("rootless: nothing is left", not files and not scene.alive(), (files, scene.alive()))
    shutil.rmtree(home)


run_parts(Scene(), without_configuration, text_lines, ends, place, stubborn, readiness, inherited_socket, rootless)
