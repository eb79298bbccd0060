#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""A sandbox is itself whichever socket of the broker it finds. It sees the host's files, and a listener for the host's peers may lie
among them: one rule for anybody must not become a rule for sandboxes, and the sandbox of a broker without root, which has the uid of
the broker's user, must not become that user."""
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

sys.path.insert(0, os.environ["UDS_SOURCE"] + "/tests/support")
from broker import BIN, NOBODY, Broker, Scene, check, need_root, run_parts  # noqa: E402

need_root()
STACK = """
sandboxes:
  own: {{command: [{0}/uds, ls], {1}}}
  host: {{command: [{0}/uds, ls, --to, "{2}"], {1}}}
{3}
"""


def outcome(b, name):
    return b.wait(name, "ended")


def asked(scene, name, where, address, options, policy, uid=0):
    """The host may list at that address; the sandbox may not, neither by its own link nor there."""
    b = Broker(scene, STACK.format(where, options, address, policy), listen=address, uid=uid,
               run=where / "run").ready()
    # What a sandbox that is refused ends with; not 0, and not because it could not be started.
    for sandbox in ("own", "host"):
        e = outcome(b, sandbox)
        check(f"{name}: {sandbox} is refused", "exited with code" in e["text"] and "code 0" not in e["text"], e)
    user = {"user": uid, "group": uid, "extra_groups": []} if uid else {}
    host = subprocess.run([where / "uds", "ls", "--to", address], capture_output=True, text=True, **user)
    check(f"{name}: the host is not", host.returncode == 0, host.stderr)
    check(f"{name}: it ends with 0", b.end() == 0, b.log())


def place(scene, uid):
    """A directory that sandboxes see; /tmp and /run are their own."""
    where = pathlib.Path(tempfile.mkdtemp(prefix="uds-doors-", dir="/var/tmp"))
    where.chmod(0o755)
    for program in ("uds", "uds-broker", "uds-router", "uds-cleaner", "uds-sandbox-init", "uds-sandbox-answer", "uds-ls"):
        shutil.copy(BIN / program, where)
    os.chown(where, uid, uid)
    return where


def root(scene):
    where = place(scene, 0)
    try:
        asked(scene, "root", where, f"{where}/b.sock", "env: {}",
              "policy: [{uid: 0, admin: true}, {any: true, admin: true}]")
        # No file to hide, and no network namespace in between: the id says who it is.
        asked(scene, "abstract", where, f"unix:@{where.name}", "isolate: [user, mount, pid, ipc, uts, cgroup]",
              "policy: [{uid: 0, admin: true}, {any: true, admin: true}]")
    finally:
        shutil.rmtree(where)


def rootless(scene):
    where = place(scene, NOBODY)
    try:
        asked(scene, "rootless", where, f"{where}/b.sock", "degrade: [cgroup, cpu, id-range, landlock, stats]", "",
              uid=NOBODY)
        options = "isolate: [user, mount, pid, ipc, uts, cgroup], degrade: [cgroup, cpu, id-range, landlock, stats]"
        b = Broker(scene, STACK.format(where, options, "x", ""), listen=f"unix:@{where.name}", uid=NOBODY,
                   run=where / "run")
        check("rootless: no abstract name where the network is shared", b.process.wait(15) != 0)
        b.reader.join(5)
        check("rootless: and it says why", b.said("shares the network"), b.log())
    finally:
        shutil.rmtree(where)


run_parts(Scene(), root, rootless)
