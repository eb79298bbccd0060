#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""`secrets:` of a stack, and the places that `uds run --secret` reads: who gets them, who does not, and what is refused."""
import json
import os
import pathlib
import signal
import subprocess
import sys

sys.path.insert(0, os.environ["UDS_SOURCE"] + "/tests/support")
from broker import BIN, NOBODY, Broker, Scene, check, need_root, run_parts, wait_for  # noqa: E402

need_root()
FILE, VARIABLE = "hush-f1e5", "hush-ea97"
LOOK = ("cd /run/secrets; echo life $(cat key) $(cat word) $(stat -c %a-%u . key word | tr '\\n' ' ') "
        "$( (echo >key) 2>/dev/null || echo ro) $(tr '\\0' '\\n' </proc/self/environ | grep -c hush) >&2; exec sleep 1000")


def secret_file(scene, name="key", text=FILE, mode=0o600, uid=0):
    path = scene.dir / name
    path.write_text(text)
    os.chown(path, uid, uid)
    path.chmod(mode)
    return path


def holders(root):
    """Processes below one whose environment, arguments or maps show a secret."""
    found = []
    for pid in [root, *pathlib.Path(f"/proc/{root}/task/{root}/children").read_text().split()]:
        for what in ("environ", "cmdline"):
            if b"hush-" in pathlib.Path(f"/proc/{pid}/{what}").read_bytes():
                found.append(f"{pid} {what}")
    return found


def run_sandbox_ls(run):
    return subprocess.run([BIN / "uds", "sandbox", "ls", "--json", "--run-dir", run], capture_output=True, text=True).stdout


def lives(scene):
    """Each life has them, whether it waited or not; they are nowhere else."""
    key = secret_file(scene)
    places = {"key": f"file:{key}", "word": "env:WORD"}
    entry = {"command": ["/bin/sh", "-c", LOOK], "restart": "always", "uid": 7, "secrets": places, "degrade": ["cgroup"]}
    stack = {"sandboxes": {"cold": entry, "warm": {**entry, "warm": 1}},
             "templates": {"job": {"secrets": {"word": "env:WORD"}, "degrade": ["cgroup"]}, "none": {"degrade": ["cgroup"]}}}
    env = {**os.environ, "WORD": VARIABLE}
    text = json.dumps(stack)
    b = Broker(scene, text, env=env).ready()
    key.unlink()  # as it was when the broker was started
    expected = f"life {FILE} {VARIABLE} 700-7 400-7 400-7 ro 0"
    for life in range(1, 4):
        for name in ("cold", "warm"):
            b.wait(name, "started", life)
        wait_for("their words", lambda: sum(line.startswith("life ") for line in b.other) >= 2 * life)
        for name in ("cold", "warm"):
            os.kill(b.find(name, "started")[life - 1]["pid"], signal.SIGKILL)
    words = [line.strip() for line in b.other if line.startswith("life ")]
    check("lives: every life has them", set(words[:6]) == {expected}, words)
    for template, told in (("job", VARIABLE), ("none", "")):
        done = subprocess.run([BIN / "uds", "sandbox", "start", "--run-dir", scene.run, template, "--", "/bin/cat", "/run/secrets/word"],
                              capture_output=True, text=True, timeout=60)
        check(f"lives: a template {template}", done.stdout == told, done)
    listed = subprocess.run([BIN / "uds", "ls", "--json", "--to", f"unix:{b.path}"], capture_output=True, text=True).stdout
    check("lives: uds ls does not know them", "warm" in listed and "hush-" not in listed + run_sandbox_ls(scene.run))
    check("lives: nor has a process of the broker", not holders(b.pid), holders(b.pid))
    check("lives: it ends with 0", b.end() == 0, b.log())
    check("lives: nor does the log", "hush-" not in b.log().replace(expected, ""), b.log())
    scene.expect_nothing_left("lives")


def rootless(scene):
    run = scene.dir / "rootless"
    run.mkdir(mode=0o700)
    os.chown(run, NOBODY, NOBODY)
    key = secret_file(scene, uid=NOBODY, mode=0o400)
    stack = {"sandboxes": {"w": {"command": ["/bin/sh", "-c", LOOK], "secrets": {"key": f"file:{key}", "word": "env:WORD"}, "warm": 1,
                                 "restart": "always", "degrade": ["cgroup", "id-range", "landlock"]}}}
    b = Broker(scene, json.dumps(stack), listen=f"{run}/b.sock", uid=NOBODY, run=run, env={**os.environ, "WORD": VARIABLE}).ready()
    for life in (1, 2):
        pid = b.wait("w", "started", life)["pid"]
        wait_for("its words", lambda: sum(line.startswith("life ") for line in b.other) >= life)
        os.kill(pid, signal.SIGKILL)
    words = {line for line in b.other if line.startswith("life ")}
    check("rootless: both lives have them", words == {f"life {FILE} {VARIABLE} 700-{NOBODY} 400-{NOBODY} 400-{NOBODY} ro 0"}, words)
    check("rootless: it ends with 0", b.end() == 0, b.log())
    scene.expect_nothing_left("rootless")


def refused(scene):
    """By line and column, and never by what the secret is."""
    others = scene.dir / "open"
    others.mkdir(mode=0o777)
    others.chmod(0o777)
    (scene.dir / "link").symlink_to(secret_file(scene))
    os.mkfifo(scene.dir / "fifo", 0o600)
    shown = secret_file(scene, "shown", mode=0o604)
    for what, value, column, words in (
            ("the secret itself", VARIABLE, 17, "does not say where the secret is; file:/PATH or env:VARIABLE"),
            ("a relative path", "file:key", 17, "names no absolute path"),
            ("no variable", "'env:'", 17, "names no variable"),
            ("a list", "[a]", 17, "must be one place"),
            ("not there", "file:/nowhere/key", 17, "No such file"),
            ("not set", "env:NO_SUCH_VARIABLE", 17, "there is no such variable"),
            ("shown to all", f"file:{shown}", 17, "chmod o="),
            ("its group's to write", f"file:{secret_file(scene, 'grouped', mode=0o660)}", 17, "chmod g-w"),
            ("another's", f"file:{secret_file(scene, 'his', uid=NOBODY)}", 17, "belongs to another user"),
            ("a link", f"file:{scene.dir}/link", 17, "root follows none"),
            ("in everybody's directory", f"file:{secret_file(scene, 'open/key')}", 17, "everybody may write in it"),
            ("no file", f"file:{scene.dir}/fifo", 17, "is no regular file"),
            ("too large", f"file:{secret_file(scene, 'large', 'x' * (1 << 20) + 'x')}", 17, "too large")):
        text = f"sandboxes:\n  a:\n    command: [/bin/true]\n    secrets:\n      some_key: {value}\n"
        done = subprocess.run([BIN / "uds-broker", "--check", "--config", scene.stack(text)], capture_output=True, text=True)
        check(f"refused: {what}", done.returncode != 0 and f"stack.yaml:5:{column}: field 'sandboxes.a.secrets.some_key'" in done.stderr and
              words in done.stderr and "hush-" not in done.stderr, done)
    half = "x" * (600 << 10)
    stack = {"templates": {"a": {"secrets": {name: f"file:{secret_file(scene, name, half)}" for name in ("one", "two")}}}}
    done = subprocess.run([BIN / "uds-broker", "--check", "--config", scene.stack(json.dumps(stack))], capture_output=True, text=True)
    check("refused: together", "'templates.a.secrets.two'" in done.stderr and "too large" in done.stderr, done)
    for name in ("'a/b'", "'.x'", "''"):
        text = f"sandboxes: {{a: {{command: [/bin/true], secrets: {{{name}: 'env:WORD'}}}}}}"
        done = subprocess.run([BIN / "uds-broker", "--check", "--config", scene.stack(text)], capture_output=True, text=True)
        check(f"refused: {name}", "is no name for a secret" in done.stderr, done)


def printed(scene):
    """A plan says which there are, not what is in them."""
    stack = {"sandboxes": {"a": {"command": ["/bin/cat", "/run/secrets/key", "/run/secrets/word"], "degrade": ["cgroup"],
                                 "secrets": {"key": f"file:{secret_file(scene)}", "word": "env:WORD"}}}}
    env, config = {**os.environ, "WORD": VARIABLE}, scene.stack(json.dumps(stack))
    done = subprocess.run([BIN / "uds-broker", "--check", "--config", config], capture_output=True, text=True, env=env)
    check("printed: --check", "/run/secrets/key" in done.stdout and "hush-" not in done.stdout + done.stderr, done)
    done = subprocess.run([BIN / "uds", "run", "--run-dir", scene.run, "--profile", config], capture_output=True, text=True, env=env)
    check("printed: a profile has them", done.stdout == FILE + VARIABLE, done)
    done = subprocess.run([BIN / "uds", "run", "--run-dir", scene.run, "--degrade", "cgroup", "--keep-env", "--secret", "w=env:WORD", "--",
                           "/bin/sh", "-c", "cat /run/secrets/w; echo ${WORD-unset}"], capture_output=True, text=True, env=env)
    check("printed: --keep-env does not keep it", done.stdout == f"{VARIABLE}unset\n", done)
    with subprocess.Popen([BIN / "uds", "run", "--run-dir", scene.run, "--degrade", "cgroup", "--secret", "w=env:WORD", "--", "/bin/sh", "-c",
                           "echo up; read x"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=env) as p:
        p.stdout.readline()
        check("printed: nor does our environment show it", not holders(p.pid), holders(p.pid))
    for bad in ("w=WORD", "w=env:", "w=file:x", "w"):
        done = subprocess.run([BIN / "uds", "run", "--secret", bad, "--", "true"], capture_output=True, text=True)
        check(f"printed: --secret {bad}", done.returncode == 121 and "--secret w" in done.stderr, done)


run_parts(Scene(), lives, rootless, refused, printed)
