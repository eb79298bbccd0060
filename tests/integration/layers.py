#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Roots of layers, as root and as nobody. Numbers in brackets are those of tests/checks/."""
import json
import os
import pathlib
import shutil
import signal
import stat
import subprocess
import sys
import tempfile

BIN = pathlib.Path(os.environ["UDS_BIN"])
NOBODY = 65534
ROOT = os.geteuid() == 0
failures = []
running = []  # to be ended whatever happens, before their records go


def check(name, condition, detail=""):
    if not condition:
        failures.append(name)
        print(f"FAILED {name}: {str(detail)[:500]!r}", flush=True)


class Caller:
    """The user on whose behalf it is done, with a base directory that holds what a root needs."""

    def __init__(self, base, uid):
        self.uid, self.who = uid, "nobody" if uid else "root"
        self.dir = base / self.who
        self.dir.mkdir()
        self.base = self.dir / "base"
        for name in ("usr", "proc", "dev", "sys", "tmp", "run", "etc", "home", "gone"):
            (self.base / name).mkdir(parents=True)
        for name in ("bin", "lib", "lib64"):
            (self.base / name).symlink_to(f"usr/{name}")
        (self.base / "etc/passwd").write_text("root:x:0:0::/:/bin/sh\n")
        (self.base / "gone/file").write_text("x")
        os.link(self.base / "etc/passwd", self.base / "etc/link")
        if uid:
            subprocess.run(["chown", "-hR", f"{uid}:{uid}", self.dir], check=True)
        self.bin = base / "bin"

    def become(self):
        if self.uid and ROOT:
            os.setgroups([])
            os.setresgid(self.uid, self.uid, self.uid)
            os.setresuid(self.uid, self.uid, self.uid)

    def uds(self, *words, **more):
        env = dict(os.environ, XDG_RUNTIME_DIR=str(self.dir))
        return subprocess.run([self.bin / "uds", *map(str, words)], stdin=subprocess.DEVNULL, capture_output=True, text=True,
                              env=env, preexec_fn=self.become, cwd=self.dir, timeout=60, **more)

    def options(self):
        return ["--run-dir", self.dir / "run", "--degrade", "cgroup", *(() if self.uid else ("--uid", 0, "--gid", 0))]

    def run(self, *options, sh="true", usr=True):
        return self.uds("run", *self.options(), *(("--ro-bind", "/usr", "/usr") if usr else ()), *options, "--", "sh", "-c", sh)

    def check(self, name, condition, detail=""):
        check(f"{self.who}: {name}", condition, detail)

    def says(self, name, want, *options, **more):
        r = self.run(*options, **more)
        self.check(name, r.stdout.split() == want.split() and r.returncode == 0, f"{r.stdout} [{r.returncode}: {r.stderr}]")

    def refuses(self, name, words, *options, **more):
        r = self.run(*options, **more)
        self.check(name, r.returncode == 121 and words in r.stderr, f"{r.returncode}: {r.stderr}")


def a_directory(c):
    own = c.uid or 0
    c.says("a directory is a root, its files keep their ids", f"{own} {own} x no", "--root", c.base,
           sh="stat -c '%u %g' /etc/passwd; cat /gone/file; echo; (echo >/etc/new) 2>/dev/null || echo no")
    if c.uid:
        c.refuses("not one with mounts in it", "nothing may be mounted below a layer", "--layer", "/", "--upper", "tmpfs", usr=False)
    mode = f"1777 {c.uid or 0}"
    c.says("[25] /tmp and /dev/shm", f"{mode} {mode}", "--root", c.base, sh="stat -c '%a %u' /tmp /dev/shm")
    c.says("[23] /sys is empty", "0", "--root", c.base, sh="ls -A /sys | wc -l")
    c.says("[22] /proc is masked", "0", "--root", c.base, sh="cat /proc/keys /proc/timer_list | wc -c")
    c.says("by chroot", "/ x 1", "--root", c.base, "--chroot",
           sh="pwd; cat /gone/file; echo; grep -cE '^([^ ]+ ){4}/ ' /proc/self/mountinfo")
    c.says("[4] chroot's root is one too", "usr", "--root", c.base, "--chroot", sh="cd /; cd ../../..; ls -d usr")
    c.says("by chroot, over an overlay", "x 1", "--root", c.base, "--upper", "tmpfs", "--chroot",
           sh="cat /gone/file; echo; grep -cE '^([^ ]+ ){4}/ ' /proc/self/mountinfo")
    bare = c.dir / "bare"
    bare.mkdir()
    (bare / "usr").mkdir()
    c.refuses("what it lacks and cannot be made is said", "read-only; make it there", "--root", bare, usr=False)


def hostile_directory(c):
    """[18] [20] [21]: links where mounts go."""
    names = {"proc": "/../../../etc", "dev": "../../home", "sys": "/usr/../home", "tmp": "/proc", "run": "/nowhere"}
    for name, target in names.items():
        bad = c.dir / f"bad-{name}"
        shutil.copytree(c.base, bad, symlinks=True)
        (bad / name).rmdir()
        (bad / name).symlink_to(target)
        if c.uid:
            subprocess.run(["chown", "-hR", f"{c.uid}:{c.uid}", bad], check=True)
        before = sorted(os.listdir("/etc")), sorted(os.listdir("/home"))
        r = c.run("--root", bad, "--upper", "tmpfs", sh="cat /proc/keys 2>/dev/null; echo in; (echo x >/proc/sysrq-trigger) 2>/dev/null && echo bad")
        inside = r.stdout == "in\n"
        c.check(f"[18] {name} is a link: refused or resolved inside", inside or r.returncode == 121, f"{r.returncode} {r.stdout} {r.stderr}")
        c.check(f"[18] {name}: the host is as it was", before == (sorted(os.listdir("/etc")), sorted(os.listdir("/home"))))
    bad = c.dir / "bad-null"
    shutil.copytree(c.base, bad, symlinks=True)
    (bad / "dev/null").symlink_to("/proc/sysrq-trigger")
    (bad / "dev/console").symlink_to("/proc/sys/kernel/core_pattern")
    if c.uid:
        subprocess.run(["chown", "-hR", f"{c.uid}:{c.uid}", bad], check=True)
    c.says("[20] what masks is the null device", "1:3 0", "--root", bad, "--mask", "/etc/passwd",
           sh="stat -L -c '%t:%T' /dev/null; cat /etc/passwd | wc -c")
    c.says("[21] there is no /dev/console of theirs", "no", "--root", bad, sh="test -e /dev/console -o -L /dev/console || echo no")


def layers(c):
    above = c.dir / 'a:b,c\\ "\n"'
    above.mkdir()
    (above / "two").write_text("two")
    if c.uid:
        os.chown(above, c.uid, c.uid)
        os.chown(above / "two", c.uid, c.uid)
    upper = c.dir / 'u:b,c\\ "\n"'
    before = snapshot(c.base)
    change = ("cat /two; rm /two; echo more >>/etc/passwd; mv /gone/file /home/file; rmdir /gone; mkdir /gone; echo n >/gone/new;"
              "chmod 700 /home; ln /etc/passwd /etc/other; truncate -s 5 /etc/link; ln -s x /home/sym")
    c.says("[46] layers, and an upper directory", "two", "--root", c.base, "--layer", above, "--upper", upper, sh=change)
    c.check("[46] the layers are as they were", before == snapshot(c.base), snapshot(c.base))
    c.says("[46] what was written is there again", "2 root: new file sym no", "--root", c.base, "--layer", above, "--upper", upper,
           sh="wc -l </etc/passwd; cat /etc/link; echo; ls /gone /home | grep -v -e : -e ^$; test -e /two || echo no")
    whiteout = os.lstat(upper / "two")
    c.check("[46] a whiteout", stat.S_ISCHR(whiteout.st_mode) and whiteout.st_rdev == 0)
    c.check("[46] an opaque directory", os.getxattr(upper / "gone", "user.overlay.opaque") == b"y")
    c.check("work is beside it", (c.dir / (upper.name + ".uds") / "work").is_dir())
    first = os.lstat(upper).st_uid
    c.check("it belongs to nobody else", first == c.uid if c.uid else first >= 0x70000000, first)
    c.says("[47] a tmpfs leaves nothing", "x", "--root", c.base, "--upper", "tmpfs", sh="echo x >/home/x; cat /home/x")
    c.check("[47] the layer is as it was", before == snapshot(c.base))
    c.says("two sandboxes share layers", "both", "--root", c.base, "--upper", c.dir / "other", sh="echo both")
    many = []
    for i in range(150): # before Linux 6.8 an option of fsconfig(2) holds some 70
        (c.dir / f"many-{i}").mkdir()
        (c.dir / f"many-{i}" / f"m{i}").write_text(str(i))
        many += ["--layer", c.dir / f"many-{i}"]
    c.says("150 layers", "0 149", "--root", c.base, *many, sh="cat /m0; echo; cat /m149")
    return upper, above


def one_writer(c, upper):
    env = dict(os.environ, XDG_RUNTIME_DIR=str(c.dir))
    options = [str(x) for x in ("--root", c.base, "--upper", upper)]
    first = subprocess.Popen([c.bin / "uds", "run", *map(str, c.options()), "--ro-bind", "/usr", "/usr", *options, "--", "sh", "-c",
                              "echo in; read x"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=env,
                             preexec_fn=c.become, cwd=c.dir)
    running.append(first)
    c.check("the first runs", first.stdout.readline() == b"in\n")
    c.refuses("[47] a second on the same upper directory", "one at a time can", *options)
    c.check("its errno", "uses it" in c.run(*options).stderr)
    first.kill()
    first.wait()
    first.stdout.close()
    first.stdin.close()
    for _ in range(200):  # its cleaner kills PID 1, with which the lock goes
        r = c.run(*options, sh="echo again")
        if r.returncode != 121:
            break
    c.check("[47] after kill -9 of the first it is free", r.stdout == "again\n", r.stderr)


def refusals(c, upper):
    c.refuses("an upper directory that holds others' files", "no sandbox has written", "--root", c.base, "--upper", c.dir / "many-1")
    c.refuses("an upper directory in a layer", "it lies in layer", "--root", c.base, "--upper", c.base / "upper")
    c.refuses("a layer in a layer", "it lies in layer", "--root", c.base, "--layer", c.base / "etc")
    c.refuses("a layer that is a file", "no directory", "--root", c.base, "--layer", c.base / "etc/passwd")
    c.refuses("no layer", "of which layers", "--upper", "tmpfs", usr=False)
    c.refuses("a layer of a jail", "the root is another", "--root", "jail", "--layer", c.base, usr=False)
    (c.dir / "link").symlink_to(upper)
    c.refuses("an upper directory that is a link", "symbolic link", "--root", c.base, "--upper", c.dir / "link")
    (c.dir / "open").mkdir()
    (c.dir / "open.uds").mkdir(mode=0o777)
    (c.dir / "open.uds").chmod(0o777)
    c.refuses("what is beside it is somebody else's too", "writable by nobody else", "--root", c.base, "--upper", c.dir / "open")
    stranger = c.dir / "stranger"
    stranger.mkdir()
    stranger.chmod(0o777)
    os.chown(stranger, *((0, 0) if c.uid else (NOBODY, NOBODY)))
    if not c.uid:
        c.says("one that a stranger has made is ours from now on", "755", "--root", c.base, "--upper", stranger, sh="stat -c %a /")
        c.check("and not the stranger's", stranger.stat().st_uid not in (0, NOBODY) and stranger.stat().st_mode & 0o777 == 0o755)
    elif ROOT:
        c.refuses("one that a stranger has made", "Operation not permitted", "--root", c.base, "--upper", stranger)


def host_root(c, shm):
    c.says("the host's / as a layer: /etc/passwd is root's inside, and can be written", "0 ok", "--layer", "/", "--upper", "tmpfs", usr=False,
           sh="stat -c %u /etc/passwd; echo x >>/etc/passwd && echo ok")
    c.says("on another file system", "new 0", "--layer", "/", "--upper", shm / "up", usr=False,
           sh="echo new >/etc/uds-test-new; cat /etc/uds-test-new; stat -c %u /etc/uds-test-new")
    c.check("the host has none of it", not os.path.exists("/etc/uds-test-new"))
    st = os.lstat(shm / "up/etc/uds-test-new")
    c.check("on the host it belongs to the sandbox's range", st.st_uid >= 0x70000000 and st.st_uid == os.lstat(shm / "up").st_uid, st.st_uid)


def ids(c):
    """Root only: the host's root, and whose files they are."""
    shm = pathlib.Path(tempfile.mkdtemp(dir="/dev/shm"))
    try:
        secret = c.base / "etc/shadow"
        secret.write_text("secret\n")
        secret.chmod(0o600)
        if subprocess.run(["findmnt", "-no", "FSTYPE", "/"], capture_output=True, text=True, check=False).stdout == "overlay\n":
            print("skip: / is an overlay, which has no id-mapped mounts: not the host's / as a layer")
        else:
            host_root(c, shm)
        r = c.uds("run", "--run-dir", c.dir / "run", "--ro-bind", "/usr", "/usr", "--root", c.base, "--uid", 1000, "--", "sh", "-c",
                  "cat /etc/shadow 2>&1; echo >/etc/passwd")
        c.check("who is not uid 0 inside has not its rights", "secret" not in r.stdout and r.stdout.count("ermission denied") == 1, r.stdout)
        c.check("a file system without id maps is refused, or degraded", no_idmap(c))
    finally:
        shutil.rmtree(shm)


def no_idmap(c):
    """sysfs cannot be id-mapped."""
    r = c.run("--root", c.base, "--layer", "/sys/kernel", "--upper", "tmpfs")
    degraded = c.uds("run", *c.options(), "--ro-bind", "/usr", "/usr", "--degrade", "layer-ids", "--root", c.base, "--layer", "/sys/kernel",
                     "--upper", "tmpfs", "--", "true")
    return r.returncode == 121 and "--degrade=layer-ids" in r.stderr and "without layer-ids" in degraded.stderr


def jail(c):
    """A copied jail."""
    listed = rows(c.uds("jail", "list", "sh", "ls", "@nss", "--json"))
    c.check("list: program, loader, library, group", any(k.endswith("/sh") for k in listed) and any("ld-linux" in k or "ld-musl" in k for k in listed)
            and any("libc.so" in k for k in listed) and "/etc/passwd" in listed, list(listed)[:9])
    r = c.uds("jail", "list", "/no/such")
    c.check("list: a file that is missing", r.returncode == 1 and "/no/such" in r.stderr, r.stderr)
    r = c.uds("jail", "list", "@all")
    c.check("list: no such group", r.returncode == 1 and "@nss, @locale and @tls" in r.stderr, r.stderr)
    r = c.uds("jail", "build", "jailed", "sh", "ls", "cat", "@nss")
    c.check("build", r.returncode == 0, r.stderr)
    c.check("[25] its /tmp", (c.dir / "jailed/tmp").stat().st_mode & 0o7777 == 0o1777)
    c.says("it is a root", "bin dev etc lib", "--root", "./jailed", usr=False, sh="ls / | cat | while read x; do case $x in bin|dev|etc|lib) echo $x;; esac; done")
    if not c.uid:
        done = subprocess.run(["chroot", c.dir / "jailed", "/bin/sh", "-c", "cd /; ls -d usr; cat /etc/passwd >/etc/copy && echo written"],
                              capture_output=True, text=True)
        c.check("for chroot(8) too, with an /etc that can be written", done.stdout.split() == ["usr", "written"], done.stderr)
    r = c.uds("jail", "build", "jailed", "sh", "true")
    c.check("build again, with more", r.returncode == 0 and list((c.dir / "jailed").glob("usr/bin/true")), r.stderr)
    (c.dir / "trapped").mkdir()
    (c.dir / "trapped/usr").symlink_to(c.dir / "victim")
    r = c.uds("jail", "build", "trapped", "sh")
    c.check("a link in the way is not followed", r.returncode == 1 and "in the way" in r.stderr and os.listdir(c.dir / "victim") == ["file"], r.stderr)
    r = c.uds("run", "--run-dir", c.dir / "run", "--degrade", "cgroup", "--root", "jail", "--jail-add", "@nss", "--", "/bin/ls", "/etc/passwd")
    c.check("--jail-add @nss", r.stdout == "/etc/passwd\n", r.stderr)


def secrets(c):
    """What only the payload reads."""
    read, write = os.pipe()
    os.write(write, b"hush-7c1e")
    os.close(write)
    look = ("cat /run/secrets/key; echo; stat -c '%a %u' /run/secrets/key; stat -c %a /run/secrets; (echo >/run/secrets/key) 2>/dev/null || echo ro;"
            "cat /proc/*/environ /proc/*/cmdline 2>/dev/null | tr '\\0' '\\n' | grep -c ^hush-7c1e; ls /proc/self/fd | wc -l")
    own_id = c.uid or 1000
    ids = [] if c.uid else ["--uid", own_id]
    r = c.uds("run", *c.options(), *ids, "--secret", f"key={read}", "--", "sh", "-c", look, pass_fds=(read,))
    os.close(read)
    c.check("a secret", r.stdout.split() == ["hush-7c1e", "400", str(own_id), "700", "ro", "0", "4"], r.stdout + r.stderr)
    own = c.dir / "own-run"
    own.mkdir()
    if c.uid:
        os.chown(own, c.uid, c.uid)
    with open(c.base / "etc/passwd") as f:
        r = c.uds("run", *c.options(), "--bind", own, "/run", "--secret", f"key={f.fileno()}", "--", "sh", "-c", "test -s /run/secrets/key && echo in",
                  pass_fds=(f.fileno(),))
    c.check("never in what is bound over /run", not (own / "secrets/key").exists(), r.stderr)
    for bad in ("a/b=0", ".x=0", "=0", "x=", "x=999"):
        r = c.uds("run", *c.options(), "--secret", bad, "--", "true")
        c.check(f"--secret {bad}", r.returncode == 121 and "--secret" in r.stderr, r.stderr)


def profile(c):
    """An entry of a stack file as options."""
    stack = c.dir / "stack.yaml"
    stack.write_text("sandboxes:\n  a:\n    command: [/bin/sh, -c, 'echo $GREET; ls /home | wc -l']\n"
                     f"    root: {{layers: [{c.base}], upper: tmpfs}}\n    env: {{GREET: 'a = b'}}\n    degrade: [cgroup, cpu]\n    limits: {{cpu: 50%}}\n"
                     "  b: {command: [/bin/true]}\n")
    stack.chmod(0o644)
    own = ["--run-dir", c.dir / "run", "--ro-bind", "/usr", "/usr"]
    r = c.uds("run", *own, "--profile", f"{stack}#a")
    c.check("a profile, and its command", r.stdout == "a = b\n0\n", f"{r.stdout} {r.stderr}")
    r = c.uds("run", *own, "--profile", f"{stack}#a", *(() if c.uid else ("--uid", 0)), "--setenv", "GREET", "other", "--", "/bin/sh", "-c", "echo $GREET; echo x >/home/x && echo wrote")
    c.check("options that follow override it", r.stdout == "other\nwrote\n", f"{r.stdout} {r.stderr}")
    long = "L" * 600
    wide = c.dir / "wide.yaml"
    wide.write_text(f"sandboxes:\n  a: {{command: [/usr/bin/env], degrade: [cgroup], env: {{{long}: long}}}}\n")
    wide.chmod(0o644)
    r = c.uds("run", "--run-dir", c.dir / "run", "--profile", wide)
    c.check("a long name is all there", f"{long}=long" in r.stdout.splitlines(), f"{r.stdout} {r.stderr}")
    for what, words, name in (("several entries", "name one by FILE#NAME", ""), ("no such entry", "no sandbox of that name", "#c")):
        r = c.uds("run", *own, "--profile", f"{stack}{name}", "--", "true")
        c.check(what, r.returncode == 121 and words in r.stderr, r.stderr)
    stack.chmod(0o666)
    r = c.uds("run", *own, "--profile", f"{stack}#a")
    c.check("a file that others may write", r.returncode == 121 and "everybody may write it" in r.stderr, r.stderr)


def rows(r):
    return {row["path"]: row for row in json.loads(r.stdout)} if r.returncode == 0 else {"": r.stderr}


def exact_names(c):
    """A name that JSON cannot say is there byte by byte."""
    upper = c.dir / "bytes"
    r = c.run("--root", c.base, "--upper", upper, sh="touch /plain \"$(printf '/caf\\351')\"")
    found = rows(c.uds("layer", "diff", upper, "--json"))
    c.check("the bytes of a name that is not UTF-8", found.get("/caf\ufffd", {}).get("path_hex") == b"/caf\xe9".hex(), f"{found} {r.stderr}")
    c.check("and of no other", found.get("/plain", {}).get("path_hex", 0) is None, found)


def verbs(c, upper, above):
    """What was written in layers(), looked at, made a layer, copied, thrown away."""
    diff = rows(c.uds("layer", "diff", upper, "--json"))
    want = {"/etc/passwd": "modified", "/etc/other": "added", "/etc/link": "modified", "/gone": "opaque", "/gone/new": "added",
            "/home": "modified", "/home/file": "added", "/home/sym": "added", "/two": "deleted"}
    c.check("diff", {k: v["change"] for k, v in diff.items() if isinstance(v, dict)} == want, diff)
    c.check("diff for people", "deleted" in c.uds("layer", "diff", upper).stdout)
    new = c.dir / "new:,"
    r = c.uds("layer", "commit", upper, new)
    c.check("commit", r.returncode == 0 and r.stdout == "", r.stdout + r.stderr)
    c.check("a link stays one", os.lstat(new / "etc/passwd").st_ino == os.lstat(new / "etc/other").st_ino)
    c.check("ids are the host's", os.lstat(new / "etc/passwd").st_uid == c.uid == os.lstat(new).st_uid, os.lstat(new / "etc/passwd"))
    look = "find / -xdev -path /usr -prune -o -path /proc -prune -o -path /run -prune -o -type d -printf '%p %m %U\\n' -o -printf '%p %y %m %s %U %l\\n' | sort | md5sum"
    base = ["--root", c.base, "--layer", above]
    seen = c.run(*base, "--upper", upper, sh=look)
    c.check("there is something to compare", seen.returncode == 0 and len(seen.stdout) > 30, seen.stderr)
    c.says("[47] the committed layer shows the same", seen.stdout, *base, "--layer", new, "--upper", "tmpfs", sh=look)
    r = c.uds("layer", "commit", upper, new)
    c.check("commit over a layer is refused", r.returncode == 1 and "exists" in r.stderr, r.stderr)
    merged = c.dir / "merged"
    subprocess.run(["cp", "-a", c.base, merged], check=True)
    shutil.copy(above / "two", merged / "two")
    if c.uid:
        os.chown(merged / "two", c.uid, c.uid)
    r = c.uds("layer", "commit", upper, merged, "--into")
    c.check("commit into a directory", r.returncode == 0, r.stderr)
    c.says("what is in it is the same", seen.stdout, "--root", merged, "--upper", "tmpfs", sh=look)
    r = c.uds("layer", "fork", upper, c.dir / "forked")
    c.check("fork", r.returncode == 0, r.stderr)
    c.says("the copy shows the same", seen.stdout, *base, "--upper", c.dir / "forked", sh=look)
    c.check("the first is as it was", rows(c.uds("layer", "diff", upper, "--json")) == diff)
    r = c.uds("layer", "reset", c.dir / "forked")
    c.check("reset", r.returncode == 0 and os.listdir(c.dir / "forked") == [], r.stderr)
    r = c.uds("layer", "diff", c.base)
    c.check("a directory that no sandbox has used", r.returncode == 1 and "no sandbox has used it" in r.stderr, r.stderr)


def state(pid):
    return pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


def nothing_of_ours(c):
    """Who walks a hostile tree holds no descriptor of who asked. Stopped, that one reads nothing, and the child waits."""
    upper = c.dir / "many"
    r = c.run("--root", c.base, "--upper", upper, sh="i=0; while [ $i -lt 2000 ]; do : >/home/$i; i=$((i+1)); done")
    c.check("many files", r.returncode == 0, r.stderr)
    marker, end = os.pipe()
    p = subprocess.Popen([c.bin / "uds", "layer", "diff", upper], stdout=subprocess.PIPE, pass_fds=[marker], preexec_fn=c.become)
    children = []
    while p.poll() is None and not children:
        children = pathlib.Path(f"/proc/{p.pid}/task/{p.pid}/children").read_text().split()
    p.send_signal(signal.SIGSTOP)
    while children and state(children[0]) not in "SZ":
        pass
    held = {os.readlink(f"/proc/{pid}/fd/{fd}") for pid in children for fd in os.listdir(f"/proc/{pid}/fd")}
    c.check("no descriptor of ours", held and os.readlink(f"/proc/self/fd/{marker}") not in held
            and os.readlink(f"/proc/self/fd/{p.stdout.fileno()}") not in held, held)
    p.send_signal(signal.SIGCONT)
    c.check("it ends", len(p.communicate(timeout=60)[0].splitlines()) >= 2000)
    os.close(marker)
    os.close(end)


def hostile_upper(c):
    """Links out, FIFOs, sockets, setuid bits, names, and depth."""
    upper = c.dir / "hostile"
    (c.dir / "victim").mkdir()
    (c.dir / "victim/file").write_text("safe")
    script = ("ln -s ../../../../../../.. /home/up; ln -s /etc/passwd /home/abs; mkfifo /home/fifo; cp /bin/true /home/su; chmod 6755 /home/su;"
              f"ln -s {c.dir}/victim /home/dir; printf x >\"/home/$(printf 'a\\033[31m\\302\\233\\n\\\\')\"; chmod 000 /home/fifo; mkdir -m 0 /home/none; rm -r /gone;"
              "ln -s / /gone; python3 -c 'import socket; socket.socket(socket.AF_UNIX).bind(\"/home/sock\")'; truncate -s 1G /home/sparse")
    r = c.run("--root", c.base, "--upper", upper, sh=script)
    c.check("a hostile tree", r.returncode == 0, r.stderr)
    r = c.uds("layer", "diff", upper)
    c.check("names are quoted", "a\\x1b[31m\\xc2\\x9b\\n\\\\" in r.stdout and "\033" not in r.stdout, r.stdout)
    target = c.dir / "hostile-layer"
    r = c.uds("layer", "commit", upper, target, "--json")
    dropped = {k: v["dropped"] for k, v in rows(r).items() if isinstance(v, dict)}
    c.check("what is dropped is said", dropped == {"/home/su": "setuid", "/home/sock": "socket"}, f"{dropped} {r.stderr}")
    lured, aside = c.dir / "lured", c.dir / ".lured.new"
    for link, options, words in ((aside, (), "remove it"), (lured, ("--into",), "or a link to one")):
        link.symlink_to(c.dir / "victim")
        r = c.uds("layer", "commit", upper, lured, *options)
        c.check(f"no link is followed to where it goes {options}", r.returncode == 1 and words in r.stderr
                and os.listdir(c.dir / "victim") == ["file"], f"{r.stderr} {os.listdir(c.dir / 'victim')}")
        link.unlink()
    for verb in ("commit", "fork"):
        r = c.uds("layer", verb, upper, upper / "in")
        c.check(f"{verb} into itself", r.returncode == 1 and "it lies in the upper directory" in r.stderr and not (upper / "in.uds").exists(), r.stderr)
    if not c.uid:
        aside.mkdir()
        os.chown(aside, NOBODY, NOBODY)
        r = c.uds("layer", "commit", upper, lured)
        c.check("nor is a stranger's directory taken", r.returncode == 1 and "remove it" in r.stderr and not lured.exists(), r.stderr)
        aside.rmdir()
    c.check("a setuid bit is gone", os.lstat(target / "home/su").st_mode & 0o7777 == 0o755)
    c.check("links are copied as links", os.readlink(target / "home/up").startswith("../../") and (target / "gone").is_symlink())
    c.check("holes stay holes", os.lstat(target / "home/sparse").st_blocks < 1000 and os.lstat(target / "home/sparse").st_size == 1 << 30)
    r = c.uds("layer", "commit", upper, c.dir / "kept", "--keep", "setuid")
    c.check("or kept", os.lstat(c.dir / "kept/home/su").st_mode & 0o7777 == 0o6755, r.stderr)
    trap = c.dir / "trap"
    subprocess.run(["cp", "-a", c.base, trap], check=True)
    (trap / "home").rmdir()
    (trap / "home").symlink_to(c.dir / "victim")
    r = c.uds("layer", "commit", upper, trap, "--into")
    c.check("a link in the target is replaced, not followed", r.returncode == 0 and not (trap / "home").is_symlink() and
            sorted(os.listdir(c.dir / "victim")) == ["file"], r.stderr)
    deep = c.dir / "deep"
    r = c.run("--root", c.base, "--upper", deep, sh="cd /home; i=0; while [ $i -lt 300 ]; do mkdir d; cd d; i=$((i+1)); done")
    r = c.uds("layer", "commit", deep, c.dir / "deep-layer")
    c.check("too deep is refused", r.returncode == 1 and "deeper than 256" in r.stderr, r.stderr[-200:])
    c.check("and nothing is left of it", not [x for x in os.listdir(c.dir) if "deep-layer" in x], os.listdir(c.dir))
    r = c.uds("layer", "reset", deep)
    c.check("but can be thrown away", r.returncode == 0 and os.listdir(deep) == [], r.stderr)


def frozen(c):
    """A sandbox that runs is frozen while it is looked at, and thawed when we are killed."""
    env = dict(os.environ, XDG_RUNTIME_DIR=str(c.dir))
    upper = c.dir / "running"
    writer = subprocess.Popen([c.bin / "uds", "run", "--run-dir", c.dir / "run", "--uid", "0", "--gid", "0", "--ro-bind", "/usr", "/usr", "--root",
                               c.base, "--upper", upper, "--", "sh", "-c", "mkdir /home/many; i=0; while [ $i -lt 600 ]; do : >/home/many/$i; i=$((i+1)); done; echo in;"
                               "while :; do i=$((i+1)); echo $i >/home/a; echo $i >/home/b; done"],
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=env)
    running.append(writer)
    writer.stdout.readline()
    for i in range(3):
        copy = c.dir / f"copy{i}"
        r = c.uds("layer", "fork", upper, copy)
        numbers = [int((copy / "home" / x).read_text() or -1) for x in "ab" if (copy / "home" / x).exists()]
        whole = [n for n in numbers if n >= 0]
        c.check("a copy is of one moment", r.returncode == 0 and (len(whole) < 2 or 0 <= whole[0] - whole[1] <= 1), f"{numbers} {r.stderr}")
    c.says("the copy starts beside it, with ids of its own", "0 0:0 4755 yes", "--root", c.base, "--upper", c.dir / "copy1",
           sh="stat -c %u /home/a; stat -c %u:%g /; touch /home/s; chmod 4755 /home/s; stat -c %a /home/s; echo x >>/home/a && echo yes")
    c.check("which were given to all of it", len({(os.lstat(c.dir / x).st_uid - 0x70000000) // 65536 for x in ("copy1", "copy1/home/a", "copy1/home/s")}) == 1
            and os.lstat(c.dir / "copy1").st_uid != os.lstat(upper).st_uid)
    c.says("also a second time", "4755 x", "--root", c.base, "--upper", c.dir / "copy1", sh="stat -c %a /home/s; tail -n 1 /home/a")
    r = c.uds("layer", "reset", upper)
    c.check("it cannot be emptied meanwhile", r.returncode == 1 and "stop that first" in r.stderr, r.stderr)
    many = subprocess.run([c.bin / "uds", "layer", "diff", upper, "--live"], capture_output=True, text=True, env=env)
    c.check("without freezing", many.returncode == 0, many.stderr)
    before = (upper / "home/a").stat().st_mtime_ns
    for delay in (0, 1, 2, 4):
        killed = subprocess.Popen([c.bin / "uds", "layer", "diff", upper], stdout=subprocess.DEVNULL, env=env)
        try:
            killed.wait(delay / 200)
        except subprocess.TimeoutExpired:
            killed.kill()
            killed.wait()
        changed = False
        for _ in range(2000):
            now = (upper / "home/a").stat().st_mtime_ns
            changed = now != before and not (c.dir / "running.uds/frozen").exists()
            before = now
            if changed:
                break
            subprocess.run(["true"])
        c.check("it goes on after a kill -9", changed)
    writer.kill()
    writer.wait()
    writer.stdout.close()


def snapshot(top):
    """Everything about a tree that a change would change."""
    lines = []
    for directory, dirs, files in os.walk(top):
        for name in sorted(dirs + files):
            path = pathlib.Path(directory) / name
            st = path.lstat()
            data = path.read_bytes() if stat.S_ISREG(st.st_mode) else os.readlink(path) if path.is_symlink() else ""
            lines.append((str(path), st.st_mode, st.st_uid, st.st_nlink, st.st_mtime_ns, data))
    return sorted(lines)


def everything(c):
    a_directory(c)
    hostile_directory(c)
    upper, above = layers(c)
    verbs(c, upper, above)
    exact_names(c)
    hostile_upper(c)
    if ROOT:
        nothing_of_ours(c)
    jail(c)
    secrets(c)
    profile(c)
    one_writer(c, upper)
    refusals(c, upper)
    if not c.uid:
        frozen(c)
        ids(c)


def main():
    base = pathlib.Path(tempfile.mkdtemp(prefix="uds-layers-", dir="/var/tmp")) # tmpfs has no id-mapped mounts before 6.3
    base.chmod(0o755)
    (base / "bin").mkdir()
    for name in ("uds", "uds-sandbox-init", "uds-sandbox-answer", "uds-cleaner", "uds-broker"):
        shutil.copy(BIN / name, base / "bin")
    try:
        for uid in (0, NOBODY) if ROOT else (os.geteuid(),):
            everything(Caller(base, uid))
    finally:
        for process in running:
            process.terminate()
            process.wait()
        shutil.rmtree(base, ignore_errors=True)
    print(f"{len(failures)} failures" if failures else "all as expected")
    return bool(failures)


sys.exit(main())
