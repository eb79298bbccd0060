#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""A protobuf service through a running broker (helpers/test-pb.c): answers, descriptors, deadlines, failures, refusals."""
import os
import pathlib
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "support"))
from broker import BIN, DEADLINE, Broker, Scene, check, run_parts  # noqa: E402

STACK = """
policy:
  - {uid: %d, call: [echo, nobody], serve: [echo]}
"""


def service(scene):
    broker = Broker(scene, stack=STACK % os.geteuid()).ready()
    test = subprocess.run(
        [str(BIN / "test" / "test-pb"), broker.path], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=3 * DEADLINE
    )
    check("test-pb", test.returncode == 0, f"{test.returncode}: {test.stdout.decode()}\n{broker.log()}")
    check("the broker ends well", broker.end() == 0, broker.log())
    scene.expect_nothing_left("service")


run_parts(Scene(), service)
