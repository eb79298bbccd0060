#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""A router that was taken over gets nothing: the confinement refuses it, the supervisor refuses it, and both live on.

helpers/router-attack.c runs in the real router's place, under root and without; this reads what became of each attempt and
looks at the process from outside, in /proc. A sanitizer build has a wider filter: there it is the supervisor's answers that count.
"""
import os
import pathlib
import re
import sys

sys.path.insert(0, os.environ["UDS_SOURCE"] + "/tests/support")
from broker import NOBODY, SANITIZED, Broker, Scene, check, most_answers, run_parts, start_time, wait_for  # noqa: E402

STACK = """
sandboxes:
  runs: {command: [/bin/sleep, "1000"], restart: always%s}
"""
# What asks about something that is in the table, or is only read.
ALLOWED = {"Start a declared id", "Stats a declared id", "Attest the pid of init", "Attest with a pidfd of the supervisor"}


def look(pid, root):
    """What the kernel says about the confined process."""
    text = pathlib.Path(f"/proc/{pid}/status").read_text()
    facts = dict(line.split(":\t", 1) for line in text.splitlines() if ":\t" in line)
    for field in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
        check(f"{field} is empty", int(facts[field], 16) == 0, facts[field])
    check("no new privileges", facts["NoNewPrivs"] == "1", facts["NoNewPrivs"])
    check("a seccomp filter", facts["Seccomp"] == "2", facts["Seccomp"])
    if root:
        uids, gids = facts["Uid"].split(), facts["Gid"].split()
        check("a uid of its own", len(set(uids)) == 1 and int(uids[0]) >= 0x70000000, uids)
        check("a gid of its own", len(set(gids)) == 1 and int(gids[0]) >= 0x70000000, gids)
        check("no groups", facts["Groups"].strip() == "", facts["Groups"])
        check("an empty root", os.listdir(f"/proc/{pid}/root/") == [])
        for ns in ("mnt", "net", "ipc", "uts"):
            check(f"{ns} namespace of its own", os.stat(f"/proc/{pid}/ns/{ns}").st_ino != os.stat(f"/proc/self/ns/{ns}").st_ino)


def read(b):
    """What it says of itself."""
    said = "\n".join(b.other)
    check("none succeeded", SANITIZED or not re.search(r"^SUCCEEDED", said, re.M), re.findall(r"^SUCCEEDED.*", said, re.M))
    refused = re.findall(r"^refused: ", said, re.M)
    check("there were attacks", len(refused) > 60, said)
    answers = re.findall(r"^answer: (.*): ([a-z-]+|not sent or lost: \w+)(?: .*)?$", said, re.M)
    check("every verb was tried", len(answers) > 25, answers)
    for what, verdict in answers:
        check(f"answer: {what}", (verdict == "ok") == (what in ALLOWED), verdict)
    floods = {verb: tuple(map(int, n)) for verb, *n in
              re.findall(r"^flood: (\w+): (\d+) ok, (\d+) refused, (\d+) lost in (\d+) ms$", said, re.M)}
    check("every verb was flooded", set(floods) == {"Start", "Stats", "Attest"}, floods)
    for verb, (ok, refused, lost, took_ms) in floods.items():
        check(f"flood: {verb}: every question is answered", ok + refused == 3000 and lost == 0, floods)
        check(f"flood: {verb}: no more than the rate", ok <= most_answers(verb, took_ms), floods)
    check("flood: a descriptor that is no pidfd is never attested", floods.get("Attest", (1,))[0] == 0, floods)
    check("starting the running did nothing", len(b.find("runs", "started")) == 1, b.log())


def attack(scene, uid, degrade):
    run = scene.run
    if uid:
        home = scene.dir / "home"
        home.mkdir()
        os.chown(home, uid, uid)
        run = home / "run"
    b = Broker(scene, STACK % degrade, args=["--router", scene.program("test/router-attack", uid)], uid=uid, run=run,
               listen=str(run.parent / "b.sock")).ready()
    pid = b.wait("runs", "started")["pid"]
    started = start_time(pid)
    wait_for("the last attack", lambda: b.said("attack: over") or b.process.poll() is not None, 120)
    router = b.child("router-attack")
    check("it is still the same router", router is not None and not b.find("router", "ended"), b.log())
    if router and not SANITIZED:
        look(router, not uid and os.geteuid() == 0)
    read(b)
    check("the sandbox lives", start_time(pid) == started, b.log())
    check("the broker ends with 0", b.end() == 0, b.log())
    check("the router does not outlive it", not scene.alive(), scene.alive())


def as_we_are(scene):
    attack(scene, 0, "" if os.geteuid() == 0 else ", degrade: [cgroup, cpu, id-range, stats]")
    scene.expect_nothing_left("as we are")


def rootless(scene):
    if os.geteuid() == 0 and not SANITIZED:
        attack(scene, NOBODY, ", degrade: [cgroup, cpu, id-range, stats]")


run_parts(Scene(), as_we_are, rootless)
