#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What pages tell people to type works: the EXAMPLES of manual pages, `in a hurry` of `uds run --help`, and the table of
docs/coming-from.md. Root, in a mount namespace of its own with an empty /srv."""
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

SOURCE = pathlib.Path(__file__).resolve().parents[2]
BIN = pathlib.Path(os.environ.get("UDS_BIN", SOURCE / "build/release/bin"))
PAGES = ["uds-jail.1", "uds-layer.1", "uds-run.1", "uds-bwrap.1", "uds-cgroup.1", "uds-exec.1"]
# What an example has that a test has not: a terminal, a person who ends it, a daemon that serves on, a host with that name.
CHANGES = [
    (r"^\$ ", ""),
    (r"^uds run -t -- bash.*", "script -qec 'uds run -t -- true' /dev/null"),
    (r"^uds exec -t (.*)", r"script -qec 'uds exec -t \1 -c true' /dev/null"),
    (r"^uds cgroup watch build$", "uds cgroup watch build --count 1"),
    (r"^uds run (--net host -- curl)", r"uds run --dry-run \1"),
    (r"web=tcp:\*:8000(.* gunicorn)", r"web=tcp:*:0\1 --check-config"),
    (r"^ln -s .*", "true"),
    (r"--io-max (?:/|\.):", f"--io-max {SOURCE}:"),
]
# Refused where a machine lacks it: said, and not a failure of the example.
LACKS = re.compile(r"io-max|is on no block device|lacks it|this kernel has ABI|ip: command|jq: command|script: command")
SCENE = """
    chmod 755 .; printf '#!/bin/sh\\nread line <&3\\n' > decoder; printf '#!/bin/sh\\n' > prog; chmod +x decoder prog
    echo data > data; cp data file; cp data image.png; echo hello | xz > a.xz; echo key > secret; chmod 600 secret
    printf 'all:\\n\\t@true\\n' > Makefile; printf 'def app(environ, start):\\n    return []\\n' > app.py
    uds jail build base sh ls touch cat && uds jail build /srv/debian sh ls rm && mkdir -p /srv/debian/usr/share/doc
"""


def examples(page):
    text = (SOURCE / "docs/man" / page).read_text().partition(".Sh EXAMPLES\n")[2].partition("\n.Sh ")[0]
    text = text.replace(r"\(dq", '"').replace(r"\e", "\\").replace(r"\-", "-")
    literal = False
    for line in text.splitlines():
        literal = literal and line != ".Ed" or line.startswith(".Bd")
        if line.startswith(".Dl ") or literal and not line.startswith("."):
            line = line.removeprefix(".Dl ")
            yield f"{page}: {line}", line


def blocks(page):
    """Whole files that a page shows."""
    text = (SOURCE / "docs/man" / page).read_text().partition(".Sh EXAMPLES\n")[2].partition("\n.Sh ")[0]
    return re.findall(r"^\.Bd -literal.*\n((?:.*\n)*?)\.Ed$", text, re.M)


def files(place):
    """They are taken for what they are, and a program without needs runs under each filter."""
    for i, text in enumerate(blocks("uds-seccomp.5")):
        (place / f"filter{i}").write_text(text)
        yield f"uds-seccomp.5: {text.splitlines()[-1]}", f"uds run --seccomp ./filter{i} -- true"
    (place / "stack.yaml").write_text(blocks("uds-stack.5")[-1].replace("/usr/libexec/uds/decoder", "/bin/cat"))
    yield "uds-stack.5: the stack", "uds up --check stack.yaml"


def hurry():
    text = subprocess.run([BIN / "uds", "run", "--help"], capture_output=True, text=True, check=True).stdout
    part = text.partition("in a hurry:\n")[2].partition("\n\n")[0]
    for line in part.splitlines():
        if line.startswith("  uds"):
            command = re.split(r"   +", line.strip())[0]
            yield f"--help: {command}", command


def coming_from():
    for line in (SOURCE / "docs/coming-from.md").read_text().splitlines():
        here = line.rpartition(" | ")[2] if line.startswith("| ") else line
        for command in re.findall(r"`(uds [^`]*)`", here):
            if " " in command.removeprefix("uds run") and "FILE" not in command and "sleep 60" not in command:
                yield f"coming-from.md: {command}", command


def main():
    if os.geteuid() != 0:
        print("skipped: examples are for root")
        return 77
    place = pathlib.Path(tempfile.mkdtemp(dir="/srv"))
    env = {"PATH": f"{BIN}:{os.environ['PATH']}", "HOME": "/root", "LANG": "C", "TERM": "xterm"}
    shell = lambda line: subprocess.run(["bash", "-c", line], cwd=place, env=env, stdin=subprocess.DEVNULL, capture_output=True,
                                        text=True, timeout=60)
    jobs = []
    failed = lacking = count = 0
    try:
        scene = shell("set -e\n" + SCENE)
        assert scene.returncode == 0, scene.stderr
        for name in ("job", "web"):
            jobs.append(subprocess.Popen([BIN / "uds", "run", "--name", name, "--", "sh", "-c", "echo; exec sleep 300"], cwd=place,
                                         env=env, stdout=subprocess.PIPE))
            jobs[-1].stdout.readline()
        for name in ("job", "web"):
            assert shell(f"until uds exec {name} -- true; do :; done").returncode == 0
        lines = [pair for page in PAGES for pair in examples(page)] + list(hurry()) + list(coming_from())
        lines += list(files(place))
        for title, line in lines:
            for pattern, to in CHANGES:
                line = re.sub(pattern, to, line)
            count += 1
            p = shell(line)
            if p.returncode != 0 and LACKS.search(p.stderr):
                lacking += 1
                print(f"skip {title}: {p.stderr.strip()}")
            elif p.returncode != 0:
                failed += 1
                print(f"FAIL {title}: {p.returncode}: {p.stdout}{p.stderr}")
    finally:
        for job in jobs:
            job.terminate()
            job.wait()
        shutil.rmtree(place, ignore_errors=True)
    print(f"{count} examples, {lacking} that this machine lacks something for, {failed} failed")
    return bool(failed)


if __name__ == "__main__":
    if os.geteuid() == 0 and len(sys.argv) == 1:
        os.execvp("unshare", ["unshare", "-m", "--propagation", "private", "sh", "-c",
                              # A guest's: tmpfs has id-mapped mounts since Linux 6.3 only.
                              'if [ -n "$UDS_VM" ]; then mkdir /var/tmp/srv && mount --bind /var/tmp/srv /srv; '
                              'else mount -t tmpfs tmpfs /srv; fi && exec "$0" inside', __file__])
    sys.exit(main())
