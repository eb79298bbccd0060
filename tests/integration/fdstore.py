#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""`notify`, `watchdog` and `fdstore` of a stack file: who is ready, what outlives a restart, who is told of what is refused."""
import json
import os
import subprocess
import sys

sys.path.insert(0, os.environ["UDS_SOURCE"] + "/tests/support")
from broker import BIN, DEADLINE, SANITIZED, Broker, Scene, check, need_root, run_parts, wait_for  # noqa: E402

need_root()
PRELUDE = """
import os, socket, sys, time
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
s.connect(os.environ["NOTIFY_SOCKET"])
def tell(text, *fds):
    socket.send_fds(s, [text.encode()], fds)
def barrier():
    r, w = os.pipe()
    tell("BARRIER=1", w)
    os.close(w)
    return os.read(r, 1) == b""
names = os.environ.get("LISTEN_FDNAMES", "").split(":")
"""


def sandbox(code, more=""):
    return f"{{command: [/usr/bin/python3, -c, {json.dumps(PRELUDE + code)}], {more}}}"


def listing(b):
    out = subprocess.run([BIN / "uds", "ls", "--to", b.path, "--json", "sandboxes"], capture_output=True, text=True,
                         timeout=DEADLINE)
    try:
        return {row["name"]: row for row in json.loads(out.stdout)["sandboxes"]}
    except (ValueError, KeyError):
        raise AssertionError(f"uds ls: {out}") from None


def readiness(scene):
    """The broker is ready when those are who say so; until then they are starting."""
    slow = sandbox("""
tell("STATUS=warming up")
time.sleep(0.3)
tell("READY=1\\nSTATUS=serving")
time.sleep(1000)
""", "notify: true")
    b = Broker(scene, f"""
sandboxes:
  slow: {slow}
  quick: {{command: [/bin/sleep, "1000"]}}
""").ready()
    order = [e["event"] for e in b.events if e["subject"] in ("slow", "broker")]
    check("the broker waits for it", order.index("ready") < order.index("listening"), order)
    check("with its status", b.find("slow", "ready")[0]["status"] == "serving", b.find("slow", "ready"))
    rows = listing(b)
    check("listed as ready", rows["slow"]["state"] == "ready" and rows["slow"]["status"] == "serving", rows)
    check("who says nothing is running", rows["quick"]["state"] == "running", rows)
    check("it ends with 0", b.end() == 0, b.log())
    scene.expect_nothing_left("readiness")


def late(scene):
    if SANITIZED:
        return
    b = Broker(scene, f"""
sandboxes:
  never: {sandbox("time.sleep(1000)", "ready_timeout: 200ms, restart: 'no'")}
  hangs: {sandbox("tell('READY=1'); time.sleep(1000)", "watchdog: 200ms, restart: on-failure")}
""").ready()
    check("who was not ready has failed", b.find("never", "ended")[0]["cause"] == "not-ready", b.log())
    end = b.wait("hangs", "ended")
    check("the watchdog", end["cause"] == "watchdog" and end["value"] == 200 and "restart_in_ms" in end, end)
    b.wait("hangs", "ready", count=2)
    check("it ends with 0", b.end() == 0, b.log())
    scene.expect_nothing_left("late")


def store(scene):
    """A descriptor goes from life to life, under its name, behind the sockets; the dead and the removed do not."""
    code = '''
if "count" not in names:  # the first life
    memory = os.memfd_create("count")
    os.write(memory, b"1")
    a, other = socket.socketpair()
    tell("FDSTORE=1\\nFDNAME=count", memory)
    tell("FDSTORE=1\\nFDNAME=gone", memory)
    tell("FDSTORE=1\\nFDNAME=dead", a.fileno())
    other.close()
    tell("FDSTOREREMOVE=1\\nFDNAME=gone")
    tell("FDSTORE=1\\nFDNAME=dir", os.open("/", os.O_RDONLY))
    tell("FDSTORE=1\\nFDNAME=more", memory)
    tell("FDSTORE=1\\nFDNAME=last", memory)  # in place of the dead one
    tell("FDSTORE=1\\nFDNAME=full", memory)
    assert barrier()
    sys.exit(1)
fd = 3 + names.index("count")
lives = int(os.pread(fd, 10, 0)) + 1
os.pwrite(fd, str(lives).encode(), 0)
tell(f"READY=1\\nSTATUS=life {lives} with " + " ".join(names))
assert barrier()
if lives < 3:
    sys.exit(1)
time.sleep(1000)
'''
    b = Broker(scene, f"""
sandboxes:
  keeper:
    command: [/usr/bin/python3, -c, {json.dumps(PRELUDE + code)}]
    listen: {{web: "tcp:127.0.0.1:0"}}
    fdstore: 3
    restart: always
  poor: {sandbox("tell('READY=1'); tell('FDSTORE=1', 0); assert barrier(); time.sleep(1000)", "notify: true")}
  wrong: {sandbox("tell('WATCHDOG_USEC=5'); tell('ERRNO=5'); assert barrier(); sys.exit(1)", "notify: true")}
""").ready()
    third = b.wait("keeper", "ready", count=2)
    check("it goes from life to life", third["status"] == "life 3 with web count more last", b.log())
    why = [e["why"] for e in b.find("keeper", "refused")]
    check("a directory is refused", any("of dir: it is of no kind" in w for w in why), why)
    check("and what is too much", any("of full: its store is full" in w for w in why), why)
    check("who may store nothing is told so", "nothing is stored for it" in b.wait("poor", "refused")["why"], b.log())
    check("who has no watchdog is told so", b.wait("wrong", "refused")["why"] == "WATCHDOG_USEC: it has no watchdog", b.log())
    check("what it says of its end is told", b.wait("wrong", "ended")["text"].startswith("exited with code 1, it said ERRNO=5: Input/output error"), b.log())
    check("it ends with 0", b.end() == 0, b.log())
    scene.expect_nothing_left("store")


def published(scene):
    """$SYS.sandbox.NAME.ready and .refused."""
    told = sandbox("""
time.sleep(0.5)
tell("NONSENSE=1")
assert barrier()
tell("READY=1\\nSTATUS=here")
time.sleep(1000)
""", "notify: true")
    b = Broker(scene, f"""
sandboxes:
  told: {told}
policy:
  - {{uid: 0, subscribe: [">", "$SYS.>"], admin: true}}
""")
    wait_for("the socket", lambda: os.path.exists(b.path))
    sub = subprocess.Popen([BIN / "uds", "sub", "--to", b.path, "--raw", "--count", "2", "$SYS.sandbox.told.ready",
                            "$SYS.sandbox.told.refused"], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    b.ready()
    out = sub.communicate(timeout=DEADLINE)
    check("both", b"NONSENSE: unknown" in out[0] and b"here" in out[0], out)
    check("it ends with 0", b.end() == 0, b.log())


run_parts(Scene(), readiness, late, store, published)
