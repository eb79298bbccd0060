#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""A router that was taken over gets nothing: the confinement refuses it, the supervisor refuses it, and both live on.

tests/integration/helpers/router-attack.c runs in the real router's place; this reads what became of each attempt and
looks at the process from outside, in /proc.
"""
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time

BIN = os.environ["UDS_BIN"]
ATTACK = os.path.join(BIN, "test", "router-attack")

STACK = """
broker:
  listen: [unix:{dir}/broker.sock]
sandboxes:
  sleeper:
    command: [/bin/sleep, "1000"]
    serve: [sleep]
    restart: no
{degrade}"""


def skip(reason):
    print(reason)
    sys.exit(77)


def wait_for(condition, what, seconds=60):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        value = condition()
        if value:
            return value
        time.sleep(0.05)
    raise AssertionError("never happened: " + what)


def children(pid):
    with open(f"/proc/{pid}/task/{pid}/children") as f:
        return [int(p) for p in f.read().split()]


def comm(pid):
    try:
        with open(f"/proc/{pid}/comm") as f:
            return f.read().strip()
    except OSError:
        return ""


def status(pid):
    with open(f"/proc/{pid}/status") as f:
        return dict(line.rstrip("\n").split(":\t", 1) for line in f if ":\t" in line)


def check_from_outside(pid):
    """What the kernel says about the confined process."""
    facts = status(pid)
    for field in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
        assert int(facts[field], 16) == 0, (field, facts[field])
    assert facts["NoNewPrivs"] == "1", facts["NoNewPrivs"]
    assert facts["Seccomp"] == "2", facts["Seccomp"]
    if os.geteuid() == 0:
        uids, gids = facts["Uid"].split(), facts["Gid"].split()
        assert len(set(uids)) == 1 and int(uids[0]) >= 0x70000000, uids
        assert len(set(gids)) == 1 and int(gids[0]) >= 0x70000000, gids
        assert facts["Groups"].strip() == "", facts["Groups"]
        assert os.listdir(f"/proc/{pid}/root/") == []
        for ns in ("mnt", "net", "ipc", "uts"):
            assert os.stat(f"/proc/{pid}/ns/{ns}").st_ino != os.stat(f"/proc/self/ns/{ns}").st_ino, ns


def check_answers(log):
    assert not re.search(r"^SUCCEEDED", log, re.M), re.findall(r"^SUCCEEDED.*", log, re.M)
    refused = re.findall(r"^refused: ", log, re.M)
    assert len(refused) > 60, len(refused)
    answers = re.findall(r"^answer: (.*?): ([a-z-]+)(.*)$", log, re.M)
    assert len(answers) > 25, len(answers)
    legitimate = {"Start a declared id", "Stats a declared id", "Attest the pid of init",
                  "Attest with a pidfd of the supervisor"}
    for what, verdict, _ in answers:
        assert verdict != "ok" or what in legitimate, (what, verdict)
    floods = re.findall(r"^flood: (\w+): (\d+) ok, (\d+) refused, (\d+) lost$", log, re.M)
    assert {f[0] for f in floods} == {"Start", "Stats", "Attest"}, floods
    # A flood of questions is a matter of rate; starting the same sandbox over and over is not done.
    starts = next(f for f in floods if f[0] == "Start")
    assert int(starts[2]) > 2000, starts


def run(directory):
    stack = os.path.join(directory, "stack.yaml")
    degrade = "" if os.geteuid() == 0 else "    degrade: [cgroup, id-range]\n"
    with open(stack, "w") as f:
        f.write(STACK.format(dir=directory, degrade=degrade))
    os.chmod(stack, 0o600)
    log_path = os.path.join(directory, "log")
    with open(log_path, "w") as log:
        broker = subprocess.Popen([os.path.join(BIN, "uds-broker"), "--config", stack, "--run-dir",
                                   os.path.join(directory, "run"), "--router", ATTACK],
                                  stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    read = lambda: open(log_path).read()
    try:
        try:
            wait_for(lambda: broker.poll() is not None or "attack: over" in read(), "attack: over")
        except AssertionError:
            print(read())
            raise
        if broker.poll() is not None:
            print(read())
            raise AssertionError(f"uds-broker ended with {broker.returncode}")
        routers = [p for p in children(broker.pid) if comm(p) == "router-attack"]
        assert len(routers) == 1, routers
        check_from_outside(routers[0])
        try:
            check_answers(read())
        except AssertionError:
            print(read())
            raise
        assert broker.poll() is None, "the supervisor must have lived through all this"
    finally:
        if broker.poll() is None:
            broker.send_signal(signal.SIGTERM)
        try:
            broker.wait(20)
        except subprocess.TimeoutExpired:
            broker.kill()
            broker.wait()
            raise
    assert not os.path.exists(f"/proc/{routers[0]}"), "the router outlived the broker"


def main():
    if os.environ.get("UDS_SANITIZED") == "1":
        skip("the sanitizers need a wider system call filter: confinement is tested on release")
    if not os.path.exists(ATTACK):
        skip("router-attack was not built")
    directory = tempfile.mkdtemp(prefix="uds-attack-")
    os.chmod(directory, 0o755)
    try:
        run(directory)
    finally:
        shutil.rmtree(directory, ignore_errors=True)


main()
