# SPDX-License-Identifier: MIT
"""An installation to test against: made with DESTDIR and then moved, so that whatever it knows of its place is wrong
unless it is relative. Build trees and sources are out of reach of what is compiled against it."""
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

SOURCE = pathlib.Path(os.environ["UDS_SOURCE"])
BUILD = pathlib.Path(os.environ["UDS_BUILD"])
STRICT = "-Wall -Wextra -Wpedantic -Werror"


class Installed:
    def __init__(self, name):
        self.work = pathlib.Path(tempfile.mkdtemp(prefix="uds-package."))
        stage = self.work / "stage"
        run(["cmake", "--install", BUILD], env={**os.environ, "DESTDIR": str(stage)})
        prefix = pathlib.Path(cached("CMAKE_INSTALL_PREFIX"))
        self.prefix = self.work / name
        shutil.move(stage / prefix.relative_to("/"), self.prefix)
        self.stage = stage
        self.libdir = next(self.prefix.glob("lib*/**/libuds.a")).parent
        self.pkgconfig = self.libdir / "pkgconfig"
        self.env = {
            **os.environ,
            "PATH": f"{self.work / 'bin'}:{self.prefix / 'bin'}:{os.environ['PATH']}",
            "PKG_CONFIG_PATH": str(self.pkgconfig),
            "CMAKE_PREFIX_PATH": str(self.prefix),
            "LD_LIBRARY_PATH": str(self.libdir),
        }
        self.wrap("cc", cached("CMAKE_C_COMPILER"))
        self.wrap("c++", "clang++" if "clang" in cached("CMAKE_C_COMPILER") else "g++")

    def wrap(self, name, compiler):
        """The compiler of this build under the name that people type, with warnings as errors."""
        path = self.work / "bin" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(f'#!/bin/sh\nexec {compiler} {STRICT} "$@"\n')
        path.chmod(0o755)

    def run(self, command, **options):
        return run(command, env=self.env, **options)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        shutil.rmtree(self.work)


def cached(name):
    for line in (BUILD / "CMakeCache.txt").read_text().splitlines():
        if line.startswith(f"{name}:"):
            return line.partition("=")[2]
    raise KeyError(name)


def run(command, **options):
    """Its output; a failure says what it was and all that it printed."""
    shell = isinstance(command, str)
    done = subprocess.run(command, shell=shell, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          timeout=100, **options)
    if done.returncode != 0:
        words = command if shell else " ".join(map(str, command))
        raise AssertionError(f"{words}: exit status {done.returncode}\n{done.stdout}")
    return done.stdout


def run_parts(*parts, name="prefix"):
    failed = 0
    with Installed(name) as installed:
        for part in parts:
            try:
                part(installed)
            except Exception as e:
                failed += 1
                print(f"FAILED {part.__name__}: {type(e).__name__}: {e}", flush=True)
    print(f"{failed} of {len(parts)} failed")
    sys.exit(1 if failed else 0)


def expect(what, condition):
    if not condition:
        raise AssertionError(what)
