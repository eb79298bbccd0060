#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""kill -9 of the router: sandboxes live on, another router comes, links come back through the redial end, and the
listening sockets are the same."""
import json
import os
import signal
import sys
import time

sys.path.insert(0, os.environ["UDS_SOURCE"] + "/tests/support")
from broker import Broker, Scene, check, need_root, run_parts, start_time, wait_for  # noqa: E402
from wire import Peer  # noqa: E402

need_root()

# Says HELLO on its link, then on each link that arrives, and tells which HELLO it got.
PAYLOAD = r"""
import os, socket, sys
def say(*words): sys.stderr.write("inside: " + " ".join(map(str, words)) + "\n")
def fd_of(name): return int(os.environ[name].removeprefix("fd:"))
import struct
def u32(tag, v): return struct.pack("<HHI", tag, 4, v)
head = u32(32, 1 << 20) + u32(33, 16) + struct.pack("<HHQ", 34, 8, 0)
hello = struct.pack("<BBBBIHHIQ", 0xD5, 1, 1, 0, 0, len(head), 0, 0, 0) + head
redial = socket.socket(fileno=fd_of("UDS_BROKER_REDIAL"))
link = socket.socket(fileno=fd_of("UDS_BROKER"))
n = 0
while True:
    link.sendall(hello)
    say("link", n, "type", link.recv(24, socket.MSG_WAITALL)[2])
    while link.recv(4096): pass
    say("lost", n)
    try: redial.send(b"x")
    except OSError as e: say("redial takes nothing:", e.strerror)
    data, fds, _, _ = socket.recv_fds(redial, 16, 4)
    say("redial", len(data), len(fds))
    link = socket.socket(fileno=fds[0])
    n += 1
"""


def kill_router(b):
    pid = b.child("uds-router")
    os.kill(pid, signal.SIGKILL)
    return pid


def links_come_back(scene):
    stack = {
        "sandboxes": {
            "one": {"command": ["/usr/bin/python3", "-c", PAYLOAD], "restart": "always"},
            "two": {"command": ["/bin/sleep", "1000"]},
        }
    }
    b = Broker(scene, json.dumps(stack)).ready()
    wait_for("the first link", lambda: b.said("link 0 type 1"))
    pids = [b.find(name, "started")[0]["pid"] for name in ("one", "two")]
    starts = [start_time(pid) for pid in pids]
    inode = os.stat(b.path).st_ino
    sock = scene.run / f"broker-{b.pid}" / "one" / "broker.sock"
    inside = sock.stat().st_ino
    waiting = Peer(b.path)

    old = kill_router(b)
    e = b.wait("router", "ended")
    check("the cause is told", "killed by signal 9" in e["cause"] and e["restart_in_ms"] == 0, e)
    e = b.wait("router", "started")
    check("another router", e["pid"] != old and b.child("uds-router") == e["pid"], e)
    wait_for("the second link", lambda: b.said("link 1 type 1"))
    check("the link came as one byte and one descriptor", b.said("redial 1 1"), b.log())
    check("nobody can write to the supervisor through it", b.said("redial takes nothing: Broken pipe"), b.log())
    check("sandboxes live on", [start_time(pid) for pid in pids] == starts and not b.find("one", "ended"), b.log())
    check("the sockets are the same", (os.stat(b.path).st_ino, sock.stat().st_ino) == (inode, inside))
    waiting.wait_closed()
    waiting.close()
    Peer(b.path).close()
    Peer(str(sock)).close()

    # Again and again, at once: it waits longer each time, and still comes back.
    waits = []
    for n in (2, 3, 4):
        kill_router(b)
        waits.append(b.wait("router", "ended", n)["restart_in_ms"])
        b.wait("router", "started", n)
        wait_for(f"link {n}", lambda n=n: b.said(f"link {n} type 1"))
    check("a back-off when it dies young again", waits == [100, 200, 400], waits)
    Peer(b.path).close()
    check("sandboxes lived through all of it", [start_time(pid) for pid in pids] == starts, b.log())
    check("it ends with 0", b.end() == 0, b.log())
    scene.expect_nothing_left("links come back")


def while_a_sandbox_is_down(scene):
    """What ends while there is no router is known to the next one; a signal ends the broker in that gap too."""
    stack = "sandboxes: {a: {command: [/bin/sleep, '1000'], restart: always}}\n"
    b = Broker(scene, stack).ready()
    for n in (1, 2):
        kill_router(b)
        b.wait("router", "ended", n)
        b.wait("router", "started", n)
    os.kill(b.find("a", "started")[0]["pid"], signal.SIGKILL)
    kill_router(b)
    b.wait("a", "started", 2)
    b.wait("router", "started", 3)
    kill_router(b)
    b.wait("router", "ended", 4)
    before = time.monotonic()
    check("a signal in the gap", b.end() == 0 and time.monotonic() - before < 8, b.log())
    scene.expect_nothing_left("in the gap")


def stopped(scene):
    """A router that is frozen ends with the broker all the same."""
    b = Broker(scene).ready()
    os.kill(b.child("uds-router"), signal.SIGSTOP)
    check("a frozen router does not keep the broker", b.end() == 0, b.log())
    scene.expect_nothing_left("frozen")


run_parts(Scene(), links_come_back, while_a_sandbox_is_down, stopped)
