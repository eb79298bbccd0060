#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""`warm:` of a stack: sandboxes that wait for the next life of one, and what becomes of them."""
import json
import os
import signal
import subprocess
import sys

sys.path.insert(0, os.environ["UDS_SOURCE"] + "/tests/support")
from broker import BIN, NOBODY, Broker, Scene, check, finish, need_root, run_parts, wait_for  # noqa: E402

need_root()
# The socket becomes the payload's in the moment after its start.
LIFE = r"""
until [ $(stat -c %a /run/uds/broker.sock) = 600 ]; do sleep 0.01; done
echo life $UDS_BROKER $LISTEN_FDNAMES $((LISTEN_PID - $$)) $(hostname) $(stat -c %u /run/uds/broker.sock) >&2
exec sleep 1000
"""


def listed(run, uid=0):
    extra = {"user": uid, "group": uid, "extra_groups": []} if uid else {}
    done = subprocess.run([BIN / "uds", "sandbox", "ls", "--json", "--run-dir", run], capture_output=True, text=True, check=True, **extra)
    return json.loads(done.stdout)


def waiting(run, uid=0):
    return {row["init_pid"] for row in listed(run, uid) if row["waiting"]}


def row_of(b, name):
    done = subprocess.run([BIN / "uds", "ls", "--json", "--to", f"unix:{b.path}", "sandboxes"], capture_output=True, text=True)
    return next(row for row in json.loads(done.stdout)["sandboxes"] if row["name"] == name)


def lives(scene):
    """Each next life is one that waited; another takes its place; no life is a former one's."""
    stack = {"sandboxes": {"w": {"command": ["/bin/sh", "-c", LIFE], "restart": "always", "warm": 2, "uid": 7,
                                 "listen": {"door": f"unix:{scene.dir}/door.sock"}}}}
    b = Broker(scene, json.dumps(stack)).ready()
    seen = {b.wait("w", "started")["pid"]}
    for life in range(1, 4):
        wait_for("two wait", lambda: len(waiting(scene.run)) == 2)
        pool = waiting(scene.run)
        for pid in pool:
            scene.remember(pid)
        wait_for("so says uds ls", lambda: (row_of(b, "w")["warm"], row_of(b, "w")["warm_wanted"]) == (2, 2))
        check("lives: those that wait are new", not pool & seen, (pool, seen))
        os.kill(b.find("w", "started")[-1]["pid"], signal.SIGKILL)
        pid = b.wait("w", "started", life + 1)["pid"]
        check("lives: one that waited is next", pid in pool, (pid, pool))
        wait_for("its words", lambda: sum(line.startswith("life ") for line in b.other) > life)
        e = b.find("w", "started")[-1]
        words = [line for line in b.other if line.startswith("life ")][-1]
        check("lives: it is told what a cold one is told", words == "life fd:4 door 0 w 7", words)
        check("lives: its ids are its own", e["host_uid"] % 65536 == 7, e)
        seen.add(pid)
    done = subprocess.run([BIN / "uds", "exec", "--run-dir", scene.run, "w", "--", "echo", "here"], capture_output=True, text=True)
    check("lives: uds exec means the one that runs", done.stdout == "here\n", done)
    check("lives: it ends with 0", b.end() == 0, b.log())
    scene.expect_nothing_left("lives")


def ends(scene):
    """A router that dies does not touch them, a supervisor that dies takes them along, a killed one is replaced."""
    stack = {"sandboxes": {"w": {"command": ["/bin/sleep", "1000"], "restart": "always", "warm": 3, "limits": {"memory": "64M", "pids": 8}}}}
    b = Broker(scene, json.dumps(stack)).ready()
    wait_for("three wait", lambda: len(waiting(scene.run)) == 3)
    pool = waiting(scene.run)
    for row in listed(scene.run):
        scene.remember(row["init_pid"])
        scene.cgroups.add(row["cgroup"])
    os.kill(b.child("uds-router"), signal.SIGKILL)
    b.wait("router", "started")
    check("ends: a router that dies does not touch them", waiting(scene.run) == pool, (waiting(scene.run), pool))
    wait_for("the new router knows of them", lambda: row_of(b, "w")["warm"] == 3)
    for pid in pool:
        os.kill(pid, signal.SIGKILL)
    os.kill(b.find("w", "started")[-1]["pid"], signal.SIGKILL)
    b.wait("w", "started", 2)
    wait_for("three others wait", lambda: len(waiting(scene.run)) == 3 and not waiting(scene.run) & pool)
    for row in listed(scene.run):
        scene.remember(row["init_pid"])
        scene.cgroups.add(row["cgroup"])
    b.end(signal.SIGKILL)
    scene.expect_nothing_left("ends")


def rootless(scene):
    run = scene.dir / "rootless"
    run.mkdir(mode=0o700)
    os.chown(run, NOBODY, NOBODY)
    stack = {"sandboxes": {"w": {"command": ["/bin/sh", "-c", "echo life $(hostname) >&2; sleep 1000"], "restart": "always",
                                 "warm": 1, "degrade": ["cgroup", "id-range", "landlock"]}}}
    b = Broker(scene, json.dumps(stack), listen=f"{run}/b.sock", uid=NOBODY, run=run).ready()
    wait_for("one waits", lambda: len(waiting(run, NOBODY)) == 1)
    pool = waiting(run, NOBODY)
    os.kill(b.wait("w", "started")["pid"], signal.SIGKILL)
    check("rootless: one that waited is next", b.wait("w", "started", 2)["pid"] in pool, b.log())
    check("rootless: it ends with 0", b.end() == 0, b.log())
    scene.expect_nothing_left("rootless")


def refused(scene):
    entry = "command: [/bin/true], "
    for what, text, words in (
            ("too many", f"a: {{{entry}warm: 65}}", "1 to 64"),
            ("none", f"a: {{{entry}warm: 0}}", "1 to 64"),
            ("together", ", ".join(f"s{n}: {{{entry}warm: 60}}" for n in range(5)), "at most 256 may"),
            ("an upper directory", f"a: {{{entry}warm: 1, root: {{layers: [/usr], upper: /tmp/u}}}}", "one sandbox at a time writes there"),
            ("a veth", f"a: {{{entry}warm: 1, net: veth}}", "one sandbox's at a time")):
        done = subprocess.run([BIN / "uds-broker", "--check", "--config", scene.stack(f"sandboxes: {{{text}}}")], capture_output=True, text=True)
        check(f"refused: {what}", done.returncode != 0 and words in done.stderr and "warm" in done.stderr, done)


run_parts(Scene(), lives, ends, rootless, refused)
finish()
