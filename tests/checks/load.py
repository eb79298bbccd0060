# SPDX-License-Identifier: MIT
"""Many at once, and against somebody who changes the root meanwhile."""
import ctypes
import os
import pathlib
import threading

from harness import LONG, PATIENCE, SANITIZED, Unfit, row, verbs


@row(50, "200 at once, and nothing is left", without="removal")
def many(c):
    """Two rounds of one launcher: what it holds after the first, it holds after the second."""
    try:
        limits = (*c.cgroup(), "--memory", "64M")
    except Unfit:
        if c.without: # there is none to forget
            raise
        limits = ()
    before = pathlib.Path("/proc/self/mountinfo").read_text().count(str(c.dir))
    many_at_once = 40 if SANITIZED or PATIENCE > 1 else 200
    r = c.run("--repeat", "2", "--at-once", str(many_at_once), *limits, probe=verbs("exit 0"))
    c.check("all start and end", r.report.get("fine") == str(2 * many_at_once), f"{r.report} {r.err[-300:]}")
    c.check("no descriptor is left", r.report.get("fds") == r.report.get("fds_after"), r.report)
    c.check("no memory", SANITIZED or int(r.report.get("rss_after", 1 << 30)) <= int(r.report.get("rss", 0)) + 1024, r.report)
    left = c.nothing_left(0)
    c.check("no cgroup, record or process", not left, left)
    c.check("no mount", pathlib.Path("/proc/self/mountinfo").read_text().count(str(c.dir)) == before)


class Swapper(threading.Thread):
    """Exchanges two names for each other as fast as it can."""

    def __init__(self, one, other):
        super().__init__()
        self.names = os.fsencode(one), os.fsencode(other)
        self.times, self.ending = 0, False

    def run(self):
        libc = ctypes.CDLL(None, use_errno=True)
        while not self.ending:
            libc.renameat2(-100, self.names[0], -100, self.names[1], 2)
            self.times += 1


@row(19, "a root that changes meanwhile", without="pivot,in-root", refused=True)
def symlink_race(c):
    """CVE-2021-30465."""
    slow = SANITIZED or PATIENCE > 1
    starts = 200 if c.without else 20 if slow and not LONG else 100 if slow or not LONG else 1000
    victim, root = c.open / f"victim-{c.name}", c.dir / "stranger"
    for path in (victim, root, root / "usr", root / "place"):
        path.mkdir()
        os.chmod(path, 0o777)
    for lib in ("lib", "lib64"):
        os.symlink(f"usr/{lib}", root / lib)
    os.symlink(victim, root / "link")
    source = c.dir / "source"
    source.mkdir()
    swapper = Swapper(root / "place", root / "link")
    swapper.start()
    ran = 0
    try:
        for i in range(starts):
            r = c.uds("--root", "empty", "--bind", root, "/", "--ro-bind", "/usr", "/usr", "--dir", f"/place/{i}",
                      "--ro-bind", source, "/usr/.." * 60 + "/place/bound", "--", "/usr/bin/true")
            ran += r.code == 0
            c.check("a name with .. is found while others rename", "temporarily" not in r.err, r.err)
            if i % 10 == 9:
                c.check("nothing is made on the host", not list(victim.iterdir()), list(victim.iterdir()))
    finally:
        swapper.ending = True
        swapper.join()
    c.check("nothing is made on the host", not list(victim.iterdir()), list(victim.iterdir()))
    c.check("they were exchanged all the while", swapper.times > starts and ran, (swapper.times, ran))
