# SPDX-License-Identifier: MIT
"""Rows whose checks need more than a sandbox and a probe: programs of their own."""
import os
import pathlib
import subprocess

from harness import BIN, PATIENCE, row

INTEGRATION = pathlib.Path(__file__).resolve().parents[1] / "integration"


@row(51, "the broker's side", who=("root",), slow=True,
     why="hostile_peer and router_attack hold one attack each against a check of its own")
def broker(c):
    """Descriptors of forbidden kinds, too many, cut off; frames of any size; other names; floods. In every run of the suite
    by themselves."""
    env = dict(os.environ, UDS_BIN=str(BIN), UDS_SOURCE=str(INTEGRATION.parents[1]), UDS_BUILD=str(BIN.parent))
    for name in ("hostile_peer.py", "router_attack.py", "router_hostile.py"):
        done = subprocess.run([INTEGRATION / name], capture_output=True, text=True, env=env, timeout=170 * PATIENCE, check=False)
        c.check(name, done.returncode == 0, (done.stdout + done.stderr)[-300:])
