#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Every example, as a newcomer meets it: copied out of the tree, built against the installed package by the line in its
README (pkg-config), built again by its CMakeLists.txt (find_package), and both times run as the README shows it."""
import hashlib
import shutil

from installed import SOURCE, expect, run_parts
from session import Session, blocks, play

EXAMPLES = SOURCE / "examples"
LINES_MAX = 119
# Of another size: the demo's, which is built here and run by tests/integration/demo.sh; and those that are not C.
NOT_SMALL = {"thumbnail", "python", "activated"}


def names():
    return sorted(p.name for p in EXAMPLES.iterdir() if p.is_dir() and p.name not in NOT_SMALL)


def copied(installed, name, kind):
    target = installed.work / kind / name
    target.parent.mkdir(exist_ok=True)
    for neighbour in names():  # a README may use another example's program
        shutil.copytree(EXAMPLES / neighbour, target.parent / neighbour, dirs_exist_ok=True)
    return target


def is_small(name):
    sources = [p for p in (EXAMPLES / name).iterdir() if p.suffix in (".c", ".h")]
    expect(f"{name} has no C", sources)
    for path in sources:
        lines = len(path.read_text().splitlines())
        expect(f"{name}/{path.name}: {lines} lines are more than {LINES_MAX}", lines <= LINES_MAX)
    expect(f"examples/README.md does not list {name}", f"]({name})" in (EXAMPLES / "README.md").read_text())


def builds_by_pkg_config(installed, name):
    directory = copied(installed, name, "pkg-config")
    script = "set -e\n" + "".join(blocks(EXAMPLES / name / "README.md", "sh"))
    expect(f"{name}/README.md does not say how to build it", "pkg-config" in script)
    installed.run(script, cwd=directory)
    expect(f"{name}/README.md shows no run", play(EXAMPLES / name / "README.md", directory, installed.env))


def builds_by_find_package(installed, name):
    directory = copied(installed, name, "find_package")
    installed.run(["cmake", "-G", "Ninja", "-S", directory, "-B", directory / "build"])
    installed.run(["cmake", "--build", directory / "build"])
    for program in (directory / "build").iterdir():  # where the README's lines leave them
        if program.is_file() and program.stat().st_mode & 0o100:
            shutil.copy(program, directory)
    play(EXAMPLES / name / "README.md", directory, {**installed.env, "LD_LIBRARY_PATH": ""})


def part(name):
    def check(installed):
        is_small(name)
        builds_by_pkg_config(installed, name)
        builds_by_find_package(installed, name)
    check.__name__ = name
    return check


def thumbnail(installed):
    directory = installed.work / "thumbnail"
    shutil.copytree(EXAMPLES / "thumbnail", directory)
    installed.run(["cmake", "-G", "Ninja", "-S", directory, "-B", directory / "build"])
    installed.run(["cmake", "--build", directory / "build"])


def readme(installed):
    """The programs of the front page: against a broker at which somebody serves, and without one; and a jail."""
    directory = installed.work / "readme"
    directory.mkdir()
    (thumb, jail), lines = blocks(SOURCE / "README.md", "c"), blocks(SOURCE / "README.md", "sh")
    (directory / "thumb.c").write_text(thumb)
    (directory / "jail.c").write_text(jail)
    installed.run("".join(lines), cwd=directory)
    env = {**installed.env, "UDS_BROKER": f"unix:{directory}/b.sock"}
    with Session(directory, env) as session:
        session.type("./thumb < thumb.c", ["broker: No such file or directory"])
        session.type("uds-broker --listen $UDS_BROKER &", ["broker: listening on …", "broker: ready"])
        session.type("./thumb < thumb.c", ["no-responders nobody serves this subject"])
        session.type("uds reply --verbose thumbnail -- sh -c 'cmp thumb.c - <&3' &", ["uds reply: thumbnail: serving"])
        session.type("./thumb < thumb.c", ["ok "])
        session.type("echo hello > x; ./jail < x; sha256sum - < x", 2 * [hashlib.sha256(b"hello\n").hexdigest() + "  -"])


run_parts(*map(part, names()), thumbnail, readme)
