# SPDX-License-Identifier: MIT
"""Roots of layers; integration/layers has what else can be done with them."""
import os
import stat
import subprocess

from harness import await_line, end, row

ODD = 'a:b,c\\ "\n'


def make_base(c):
    """A root of little: what is needed to run the host's shell in it, and names that an option could not hold."""
    base = c.dir / "base"
    for name in ("usr", "proc", "dev", "sys", "tmp", "run", "etc", "gone", ODD):
        (base / name).mkdir(parents=True)
    for name in ("bin", "lib", "lib64"):
        (base / name).symlink_to(f"usr/{name}")
    for name in ("etc/file", "gone/file", "removed", ODD + "/file"):
        (base / name).write_text("low\n")
    os.link(base / "etc/file", base / "etc/link")
    subprocess.run(["chown", "-hR", f"{c.uid}:{c.uid}", base], check=True)
    return base


def snapshot(path):
    found = {}
    for root, dirs, files in os.walk(path):
        for name in dirs + files:
            full = os.path.join(root, name)
            st = os.lstat(full)
            text = open(full, "rb").read() if stat.S_ISREG(st.st_mode) else b""
            found[full] = (st.st_mode, st.st_uid, st.st_gid, st.st_nlink, st.st_size, st.st_mtime_ns, text)
    return found


def options(c, *more):
    as_root = ("--uid", "0", "--gid", "0") if c.uid == 0 else () # the owner of the layers' files
    return (*as_root, *map(str, more), "--ro-bind", "/usr", "/usr", "--", "/bin/sh", "-c")


@row(46, "layers are only read", without="overlay")
def copy_on_write(c):
    base, upper = make_base(c), c.dir / ("upper" + ODD)
    before = snapshot(base)
    change = ("echo more >>/etc/file; rm /removed; rm /gone/file; rmdir /gone; mkdir /gone; echo n >/gone/new; "
              "chmod 700 /tmp /etc; ln /etc/link /etc/third; cd /a:b*; echo x >>file; mv file other; pwd >/dev/null; cat other")
    r = c.uds(*options(c, "--layer", base, "--upper", upper), change)
    c.check("what was changed is seen inside", r.out == "low\nx\n", r.out + r.err)
    c.check("the layer is as it was", snapshot(base) == before)
    whiteout = os.lstat(upper / "removed")
    c.check("what was deleted is a whiteout", stat.S_ISCHR(whiteout.st_mode) and whiteout.st_rdev == 0, whiteout)
    c.check("what was made anew is opaque", os.getxattr(upper / "gone", "user.overlay.opaque") == b"y")
    r = c.uds(*options(c, "--layer", base, "--upper", upper), "cat /etc/file /gone/new; ls /gone; test -e /removed || echo no")
    c.check("and all of it is there again", r.out == "low\nmore\nn\nnew\nno\n", r.out + r.err)


@row(47, "one writer; what it wrote is a layer", without="upper-lock")
def one_writer(c):
    base, upper, new = make_base(c), c.dir / "upper", c.dir / "new"
    writer = options(c, "--layer", base, "--upper", upper)
    first = c.popen(c.uds_argv(*writer, "echo first >/etc/file; echo in; read x"), stdin=subprocess.PIPE)
    try:
        c.check("the first runs", await_line(first.stdout, "in"))
        r = c.uds(*writer, "echo second")
        c.check("a second is refused, by name", r.code == 121 and "one at a time" in r.err, r.out + r.err)
    finally:
        end(first)
    left = c.nothing_left(2)
    c.check("the first is gone when its launcher is", not left, left)
    r = c.uds(*writer, "rm /removed; cat /etc/file")
    c.check("then it is free", r.out == "first\n", r.out + r.err)
    done = c.popen([c.bin / "uds", "layer", "commit", "--run-dir", c.run_dir, upper, new])
    c.check("commit", done.wait() == 0, done.stderr.read())
    r = c.uds(*options(c, "--layer", base, "--layer", new), "cat /etc/file; test -e /removed || echo no")
    c.check("the new layer shows the same", r.out == "first\nno\n", r.out + r.err)
