# SPDX-License-Identifier: MIT
"""The root: what of the host is in sight, and what can be written."""
import os
import subprocess

from harness import PATIENCE, ROOT, Run, Unfit, await_line, end, has_program, more, row, verbs


@row(3, "the host's root is unreachable", without="detach")
def host_root(c):
    r = c.run(probe=verbs("cat /proc/self/mountinfo"))
    c.check("no mount of the host's root is left", " / / " not in r.out.replace(" / / ro,nosuid,nodev", ""), r.out)
    r = c.run(probe=verbs("list /", "cat /proc/1/root/etc/shadow", "create /x", "create /dev/x",
                          "create /run/x", "mode /tmp", "create /tmp/x"))
    inside = set(r["list"].split()[1:])
    allowed = {"dev", "proc", "tmp", "run", c.probe.split("/")[1]}
    c.check("the jail holds what was named", inside == allowed, inside)
    c.check("the host's root is unreachable", r["cat"] in ("EACCES", "ENOENT", "EPERM"), r["cat"])
    c.check("the root is read-only", r.all("create") == ["EROFS", "EROFS", "EROFS", "ok"], r.out)
    r = c.run(jail=False, probe=verbs("cat /proc/self/mountinfo"))
    c.check("covered mounts of the host are gone", c.uid or " /sys/fs/cgroup" not in r.out, r.out)


def among_mounts(c, script, options, probe):
    """A launcher in a mount namespace of the test's own, where root has mounted something by @script."""
    if not ROOT:
        raise Unfit("it needs mounts that root makes, who does not run this")
    env = dict(os.environ, XDG_RUNTIME_DIR=str(c.dir))
    if c.without:
        env["UDS_WITHOUT"] = c.without
    caller = ["setpriv", f"--reuid={c.uid}", f"--regid={c.uid}", "--clear-groups"] if c.uid else []
    return subprocess.Popen(["unshare", "-m", "--propagation", "private", "sh", "-c", f'{script} && exec "$@"', "sh", *caller,
                             c.bin / "sbx-launch", "--run-dir", c.run_dir, "--name", f"{c.name}-m", "--jail", c.probe, *options, c.probe, *probe],
                            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=env)


def mount_below(c, options, probe):
    """With a mount below the bound directory."""
    process = among_mounts(c, f"mount -t tmpfs -o mode=777 x {c.dir}/tree/below", options, probe)
    out, err = process.communicate(timeout=60 * PATIENCE)
    return Run(process.returncode, out, err, "")


@row(5, "read-only, what is below too", without="below")
def read_only_below(c):
    tree = c.dir / "tree"
    (tree / "below").mkdir(parents=True)
    os.chmod(tree, 0o777)
    os.chmod(tree / "below", 0o777)
    r = mount_below(c, ["--no-seccomp", "--bind", f"{tree}:/data"], verbs(
        "create /data/x", "create /data/below/x", "remount /data", "remount /data/below"))
    c.check("neither can be written", r.all("create") == ["EROFS", "EROFS"], r.out + r.err)
    c.check("nor be remounted", set(r.all("remount")) == {"EPERM"}, r.out)
    r = c.run("--no-seccomp", jail=False, probe=verbs(
        "create /x", "create /etc/x", f"create {c.open}/x", "create /home/x", "remount /"))
    c.check("the host's root is read-only", set(r.all("create")) <= {"EROFS", "EACCES"}, r.out)
    c.check("it cannot be remounted", r["remount"] == "EPERM", r["remount"])


@row(6, "mounts do not travel", without="private")
def propagation(c):
    shared = c.dir / "shared"
    (shared / "later").mkdir(parents=True)
    os.chmod(shared, 0o755)
    process = among_mounts(c, f"mount --bind {shared} {shared} && mount --make-shared {shared}", ["--bind", f"{shared}:/shared"],
                           verbs("say ready", "wait", "list /shared/later"))
    try:
        ready = await_line(process.stdout, "ready")
        c.check("it runs", ready, "")
        # In the launcher's mount namespace, after the sandbox has its own.
        subprocess.run(["nsenter", "-t", str(process.pid), "-m", "sh", "-c",
                        f"mount -t tmpfs x {shared}/later && touch {shared}/later/host"], check=True)
        out, _ = process.communicate(b"\n", timeout=20 * PATIENCE)
        c.check("a mount of the host does not come in", b"host" not in out and b"list ok" in out, out)
    finally:
        end(process)
    before = open("/proc/self/mountinfo", "rb").read()
    c.uds("--tmpfs", "/srv", "--", "true")
    c.check("none goes out", open("/proc/self/mountinfo", "rb").read() == before)


@row(7, "no setuid, no devices from a bound directory", without={"root": "nosuid,nodev", "nobody": "nosuid"})
def setuid_and_devices(c):
    tree = c.dir / "tree"
    tree.mkdir()
    r = c.run("--bind", f"{tree}:/data", probe=verbs("cat /proc/self/mountinfo"))
    line = next((l for l in r.out.splitlines() if " /data " in l), "")
    c.check("the mount is nosuid", "nosuid" in line, line)
    c.check("and nodev", "nodev" in line, line)
    if c.uid == 0:
        os.mknod(tree / "null", 0o20666, os.makedev(1, 3))
        os.chmod(tree / "null", 0o666)
        r = c.run("--bind", f"{tree}:/data", probe=verbs("put /data/null x"))
        c.check("a device of the host's is none", r["put"] == "EACCES", r["put"])


@row(18, "symlinks at the targets of mounts", without="pivot,in-root", refused=True)
def symlinked_targets(c):
    """CVE-2021-30465 and CVE-2026-41579 without the race: the root of a stranger, in which everything leads elsewhere."""
    victim, root = c.open / f"victim-{c.name}", c.dir / "stranger"
    victim.mkdir()
    os.chmod(victim, 0o777)
    root.mkdir()
    for name in ("proc", "dev", "tmp", "run", "usr", "real"):
        (root / name).mkdir()
    os.symlink(victim, root / "abs")
    os.symlink("../../../../../../../../.." + str(victim), root / "rel")
    os.symlink("/proc/1/root" + str(victim), root / "magic")
    for path in (root, *root.iterdir()):
        if not path.is_symlink():
            os.chmod(path, 0o777)
    for link in ("abs", "rel", "magic"):
        c.uds("--root", "empty", "--bind", root, "/", "--ro-bind", "/usr", "/usr", "--dir", f"/{link}/made", "--", "/usr/bin/true")
        c.check(f"{link}: nothing is made on the host", not list(victim.iterdir()), list(victim.iterdir()))
    for name in ("proc", "dev"): # what we mount ourselves, over a link of theirs
        (root / name).rmdir()
        os.symlink(victim, root / name)
        r = c.uds("--root", "empty", "--bind", root, "/", "--ro-bind", "/usr", "/usr", "--symlink", "usr/lib64", "/lib64",
                  f"--{name}", f"/{name}", "--", "/usr/bin/true")
        c.check(f"/{name} is a link: the host is untouched", not list(victim.iterdir()), r.err)


@row(20, "a false null device", without="device")
def false_null(c):
    """CVE-2025-31133: what a mask is made of comes from the root of a stranger."""
    root = c.dir / "stranger"
    for name in ("dev", "usr", "data"):
        (root / name).mkdir(parents=True)
    (root / "data/hidden").write_text("hidden")
    (root / "target").write_text("target")
    os.symlink("/target", root / "dev/null")
    for lib in ("lib", "lib64"):
        os.symlink(f"usr/{lib}", root / lib)
    os.chmod(root / "target", 0o666)
    r = c.uds("--root", "empty", "--bind", root, "/", "--ro-bind", "/usr", "/usr", "--mask", "/data/hidden", "--", "/usr/bin/cat", "/data/hidden")
    c.check("it is refused, or covered by a true one", "target" not in r.out and "hidden" not in r.out.replace("/hidden", ""),
            r.out + r.err)


@row(21, "a false console and terminal", why="no node of a stranger's /dev is ever a source: /dev is a tmpfs of ours")
def false_console(c):
    """CVE-2025-52565."""
    root = c.dir / "stranger"
    (root / "dev/pts").mkdir(parents=True)
    (root / "usr").mkdir()
    for lib in ("lib", "lib64"):
        os.symlink(f"usr/{lib}", root / lib)
    (root / "target").write_text("target")
    for name in ("dev/console", "dev/pts/0", "dev/ptmx", "dev/tty"):
        os.symlink("/target", root / name)
    os.chmod(root / "target", 0o666)
    r = c.uds("--root", "empty", "--bind", root, "/", "--ro-bind", "/usr", "/usr", "--dev", "/dev", "--", "/usr/bin/cat", "/dev/console", "/dev/pts/0")
    c.check("none of them leads there", "target\n" not in r.out and r.ran, r.out + r.err)


@row(22, "/proc is masked", without="mask,proc-ro")
def proc(c):
    r = c.run("--no-seccomp", probe=verbs(
        "put /proc/sys/kernel/core_pattern x", "put /proc/sys/kernel/hostname x", "put /proc/sysrq-trigger h",
        "cat /proc/timer_list", "cat /proc/keys", "cat /proc/kallsyms"))
    c.check("/proc/sys is read-only", set(r.all("put")) <= {"EROFS", "EACCES", "ENOENT"}, r.out)
    tale = [line for line in r.out.splitlines() if line.startswith("cat ")]
    c.check("host-wide files are empty", len(tale) == 3 and set(tale) <= {"cat ok 0", "cat ENOENT"}, r.out)


@row(23, "/sys", without="mask,uncover")
def sys(c):
    r = c.run("--no-seccomp", jail=False, probe=verbs("list /sys", "create /sys/kernel/x", "list /run"))
    c.check("/sys and /run show nothing", [l for l in r.out.splitlines() if l.startswith("list")] == ["list ok", "list ok"], r.out)
    # Identity alone, with the host's mounts in reach: ids that own nothing write nothing.
    cgroup = next((p for p in ("/sys/fs/cgroup/memory", "/sys/fs/cgroup/unified", "/sys/fs/cgroup")
                   if os.path.exists(f"{p}/cgroup.procs")), "/sys/fs/cgroup")
    r = c.run("--no-seccomp", "--isolate", "user,pid,net,ipc,uts,cgroup", jail=False, probe=verbs(
        "put /proc/sys/kernel/core_pattern x", f"put {cgroup}/cgroup.procs 0", "put /etc/shadow x",
        "create /etc/x", "put /dev/kmsg x", "cat /etc/shadow"))
    c.check("without filters and mounts, host files stay closed",
            set(r.all("put") + r.all("create") + r.all("cat")) <= {"EACCES", "EROFS", "EPERM", "ENOENT"} and
            len(r.all("put")) == 4, r.out + r.err)


@row(24, "devices", without="dev,uncover")
def devices(c):
    r = c.run(jail=False, probe=verbs("list /dev"))
    usual = "fd full mqueue null ptmx pts random shm stderr stdin stdout tty urandom zero"
    c.check("/dev is minimal", sorted(r["list"].split()[1:]) == usual.split(), r["list"])
    r = c.run(probe=verbs("list /dev", "mknod /tmp/sda"))
    c.check("in a jail too", sorted(r["list"].split()[1:]) == usual.split(), r["list"])
    c.check("no block device can be made", r["mknod"] == "EPERM", r["mknod"])
    r = c.run("--no-seccomp", probe=verbs("mknod /tmp/sda"))
    c.check("nor without seccomp", r["mknod"] == "EPERM", r["mknod"])
    disk = next((f"/dev/{name}" for name in os.listdir("/sys/block") if os.path.exists(f"/dev/{name}")), None)
    if disk:
        r = c.run("--bind", f"{disk}:/disk", probe=verbs("cat /disk"))
        c.check("a bound block device cannot be opened", r["cat"] in ("EACCES", "EPERM"), r["cat"])
    r = c.run(jail=False, command=["/bin/sh", "-c", "touch /dev/full; echo written >/dev/null && echo ok"])
    c.check("a device's times stay as they are", "Read-only" in r.err, r.err)
    c.check("it can be written", r.out == "ok\n", r.out + r.err)
    if c.uid == 0: # who else has no use for it
        r = c.run("--host-root", jail=False, command=["/bin/chmod", "666", "/dev/full"])
        c.check("nor does the host's root change its mode", "Read-only" in r.err, r.out + r.err)


@row(25, "modes of /tmp and /dev/shm", without="sticky")
def modes(c):
    r = c.run("--no-seccomp", jail=False, probe=verbs("mode /tmp", "mode /dev/shm"))
    c.check("1777", r.out.count("mode ok 1777") == 2, r.out)


@more()
def binds(c):
    tree = c.dir / "tree"
    (tree / "below").mkdir(parents=True)
    (tree / "file").write_text("hello")
    for path in (tree, tree / "below"):
        os.chmod(path, 0o777)
    r = c.run("--no-seccomp", "--bind", f"{tree}:/data", probe=verbs("create /data/x", "remount /data", "cat /data/file"))
    c.check("a bind shows the host's file", "hello" in r.out, r.out)
    c.check("and is read-only", r["create"] == "EROFS" and r["remount"] == "EPERM", r.out)
    r = c.run("--bind-rw", f"{tree}:/data", probe=verbs("create /data/y"))
    c.check("a writable bind is writable", r["create"] == "ok", r.out + r.err)
    r = c.run("--bind", f"{tree}:/../../data/../data", probe=verbs("cat /data/file"))
    c.check("a target with .. stays inside", "hello" in r.out, r.out + r.err)
    r = c.run("--mask", "/data", "--bind", f"{tree}:/data", probe=verbs("list /data"))
    c.check("a mask hides", r["list"] == "ok", r.out + r.err)
    r = c.run("--bind", f"{tree}:/data", probe=verbs("cat /etc/passwd"), jail=False)
    c.check("a bind without a place on the host's root is refused by name",
            r.code == 126 and "/data" in r.err and "read-only" in r.err, r.err)
