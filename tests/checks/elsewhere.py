# SPDX-License-Identifier: MIT
"""Rows whose checks need more than a sandbox and a probe: programs of their own."""
import os
import pathlib

from harness import BIN, PATIENCE, Unfit, row

INTEGRATION = pathlib.Path(__file__).resolve().parents[1] / "integration"


@row(51, "the broker's side", slow=True,
     why="hostile_peer and router_attack hold one attack each against a check of its own")
def broker(c):
    """Descriptors of forbidden kinds, too many, cut off; frames of any size; other names; floods. In every run of the suite
    by themselves."""
    env = dict(os.environ, UDS_BIN=str(BIN), UDS_SOURCE=str(INTEGRATION.parents[1]), UDS_BUILD=str(BIN.parent), XDG_RUNTIME_DIR=str(c.dir))
    # An ordinary user may not see what descriptors a broker holds, nor be two users.
    for name in ("hostile_peer.py", "router_attack.py", "router_hostile.py") if c.uid == 0 else ("router_attack.py",):
        try:
            process = c.popen([INTEGRATION / name], env=env)
        except PermissionError as problem:
            raise Unfit(str(problem)) from problem
        out, err = process.communicate(timeout=170 * PATIENCE)
        c.check(name, process.returncode == 0, (out + err)[-300:])
