#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""labs.py [--broken] [--verbose] [EXERCISE]...: docs/labs.md, line by line, and what it prints.

The document says how it is to be read. Beside that it has, for this program alone,
    <!-- needs: COMMAND -->              if that is refused (exit status 121), the exercise is skipped, with its words
    <!-- broken by: WORDS => OTHERS -->  with --broken each exercise is run so changed, and has to fail
before the first block of an exercise, or of a part of it that is for another user. Exercises for ordinary users run as nobody
when this is started by root."""
import os
import pathlib
import re
import select
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time

SOURCE = pathlib.Path(__file__).resolve().parents[2]
BIN = pathlib.Path(os.environ.get("UDS_BIN", SOURCE / "build/release/bin"))
DOCUMENT = SOURCE / "docs/labs.md"
ROOT = os.geteuid() == 0
NOBODY = 65534
PATIENCE_S = 600 if os.environ.get("UDS_VM") else 30 # an emulated guest is slow
ATTEMPTS = 3 # where something is measured: a host that takes CPUs from a guest counts them as used
# What the document leaves out. The first may come in the middle of what the command says.
NOT_PRINTED = re.compile(r"uds run: .*: started without .*\n|^/bin/bash: line \d+: +\d+ (Killed|Terminated) .*\n", re.M)


class Unmet(Exception):
    """A line printed something else, or nothing in time."""


class Exercise:
    """What is typed, in order, and what each line is to print: for one user."""

    def __init__(self, title):
        self.title, self.needs, self.change, self.lines = title, None, None, []

    def measures(self):
        return any("~" in line for _, _, expected in self.lines for line in expected)

    def is_for_root(self):
        return self.lines[0][0] == "#"

    def broken(self):
        was, then = self.change
        other = Exercise(self.title)
        other.lines = [(prompt, command.replace(was, then), expected) for prompt, command, expected in self.lines]
        if other.lines == self.lines:
            sys.exit(f"{self.title}: no line has {was!r}")
        return other


def read_document():
    exercises, title, inside, needs, change = [], None, False, None, None
    for line in DOCUMENT.read_text().splitlines():
        if line.startswith("## "):
            title, needs = line[3:], None
        elif line.startswith("```"):
            inside = line == "```console"
        elif (m := re.fullmatch(r"<!-- needs: (.*) -->", line)):
            needs = m[1]
        elif (m := re.fullmatch(r"<!-- broken by: (.*) => (.*) -->", line)):
            change = m.groups()
            exercises.append(Exercise(title))
            exercises[-1].needs, exercises[-1].change = needs, change
        elif inside and line[:2] in ("# ", "$ "):
            exercises[-1].lines.append((line[0], line[2:], []))
        elif inside:
            exercises[-1].lines[-1][2].append(line)
    for e in exercises:
        if len({prompt for prompt, _, _ in e.lines}) != 1:
            sys.exit(f"{e.title}: lines of more than one user in one shell")
    return exercises


def pattern(expected, words):
    """The regular expression of expected lines: a word that has been seen is compared, and numbers are named by their place."""
    about, out = [], []
    for line in expected:
        if line == "...":
            out.append(r"(?:.*\n)*?")
            continue
        text = ""
        for piece in re.split(r"(\.\.\.|~[\d.]+|<\w+>|\s+)", line.strip()):
            if piece == "...":
                text += ".*"
            elif piece.startswith("~"):
                text += f"(?P<about{len(about)}>[\\d.]+)"
                about.append(float(piece[1:]))
            elif re.fullmatch(r"<\w+>", piece):
                name = piece[1:-1]
                seen = words.get(name)
                text += re.escape(seen) if seen else f"(?P={name})" if f"P<{name}>" in text + "".join(out) else f"(?P<{name}>\\S+)"
            else:
                text += r"\s*" if piece.isspace() else re.escape(piece)
        out.append(rf"\s*{text}\s*?\n")
    return "".join(out), about


def matches(expected, printed, words):
    text, about = pattern(expected, words)
    m = re.fullmatch(text, printed)
    if not m:
        return False
    for i, want in enumerate(about):
        if not want * 0.8 <= float(m[f"about{i}"]) <= want * 1.2:
            return False
    words.update((k, v) for k, v in m.groupdict().items() if not k.startswith("about"))
    return True


class Shell:
    """A bash that is typed to, in a directory of its own; it and all that it started end with it."""

    def __init__(self, base, uid):
        self.uid, self.env = uid, dict(os.environ, PATH=f"{base}/bin:/usr/sbin:/usr/bin:/sbin:/bin", LC_ALL="C")
        for name in ("UDS_BROKER", "NOTIFY_SOCKET"):
            self.env.pop(name, None)
        self.dir = pathlib.Path(tempfile.mkdtemp(dir=base, prefix="lab-"))
        self.home = pathlib.Path(tempfile.mkdtemp(dir=base, prefix="run-"))
        if uid and ROOT:
            os.chown(self.dir, uid, uid)
            os.chown(self.home, uid, uid)
        elif ROOT:
            self.dir.chmod(0o755)
        self.env["XDG_RUNTIME_DIR"] = str(self.home)
        self.text = ""
        self.bash = subprocess.Popen(["/bin/bash", "--norc"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=self.env,
                                     stderr=subprocess.STDOUT, cwd=self.dir, preexec_fn=self.become)

    def become(self):
        os.setsid()
        if self.uid and ROOT:
            os.setgroups([])
            os.setresgid(self.uid, self.uid, self.uid)
            os.setresuid(self.uid, self.uid, self.uid)

    def beside(self, command, place):
        """Not typed: run by another shell."""
        return subprocess.run(["/bin/bash", "-c", command], stdin=subprocess.DEVNULL, capture_output=True, text=True, cwd=place,
                              check=False, env=self.env, preexec_fn=self.become, timeout=PATIENCE_S)

    def refusal(self, command):
        """Why this cannot be had here, or None."""
        r = self.beside(command, self.home)
        if r.returncode not in (0, 121):
            raise Unmet(f"{command}\n  {r.returncode}: {r.stderr}")
        return r.stderr.strip() if r.returncode else None

    def printed(self, until):
        """What came so far, without what the document leaves out, as soon as @until says it is all."""
        end = time.monotonic() + PATIENCE_S
        while True:
            lines = NOT_PRINTED.sub("", self.text)
            if until(lines):
                return lines
            if not select.select([self.bash.stdout], [], [], max(0, end - time.monotonic()))[0]:
                raise Unmet(f"nothing more within {PATIENCE_S} s; so far:\n{lines}")
            piece = os.read(self.bash.stdout.fileno(), 65536)
            if not piece:
                raise Unmet(f"the shell has ended; so far:\n{lines}")
            self.text += piece.decode(errors="replace")

    def type(self, command, expected, words):
        self.text = ""
        # The same way for every line: status and job table are the shell's own, its input is not the commands'.
        self.bash.stdin.write(f"eval {shlex.quote('(exit $status); ' + command)} < /dev/null; status=$?; echo '\1'\n".encode())
        self.bash.stdin.flush()
        text = self.printed(lambda lines: "\1\n" in lines)
        if command.endswith("&") and expected: # it says so itself when it is there
            text = self.printed(lambda lines: lines.count("\n") > len(expected))
        text = text.replace("\1\n", "")
        if not matches(expected, text, words):
            raise Unmet("\n    ".join([command, "-- expected", *expected, "-- printed", *text.splitlines()[:40]]))
        if command.endswith("&"):
            self.await_start(command)

    def await_start(self, command):
        """What a person does not notice: that a command takes a moment before it does something, and a sandbox one more before
        `uds exec` finds it."""
        name, file = re.search(r"uds run --name (\S+)", command), re.search(r"> (\S+) &$", command)
        end = time.monotonic() + PATIENCE_S
        while (name and f'"name": "{name[1]}"' not in self.beside("uds sandbox ls --json", self.dir).stdout
               or file and not self.beside(f"cat {file[1]}", self.dir).stdout):
            if time.monotonic() > end:
                raise Unmet(f"{command}: nothing has begun")
            time.sleep(0.01)

    def end(self, commands):
        for group in re.findall(r"uds cgroup create (\S+)", commands):
            subprocess.run([BIN / "uds", "cgroup", "delete", group, "--kill"], env=self.env, capture_output=True, check=False)
        try:
            os.killpg(self.bash.pid, signal.SIGTERM)
        except ProcessLookupError:
            pass
        self.bash.stdin.close()
        try:
            self.bash.wait(5)
        except subprocess.TimeoutExpired:
            self.bash.kill()
        self.bash.stdout.close()
        for place in (self.dir, self.home):
            subprocess.run(["chmod", "-R", "u+rwx", place], check=False)
            shutil.rmtree(place)


def run(e, base, verbose):
    """("pass"|"fail"|"skip", words)."""
    if e.is_for_root() and not ROOT:
        return "skip", "only root can"
    shell = Shell(base, 0 if e.is_for_root() else NOBODY)
    words = {}
    try:
        if e.needs and (why := shell.refusal(e.needs)):
            return "skip", why
        for _, command, expected in e.lines:
            began = time.monotonic()
            shell.type(command, expected, words)
            if verbose:
                print(f"  {time.monotonic() - began:5.2f} s  {command}\n          {shell.text.strip()}".replace("\1", ""), flush=True)
    except Unmet as why:
        return "fail", str(why)
    finally:
        shell.end("\n".join(command for _, command, _ in e.lines))
    return "pass", ""


def stop(signo, _):
    sys.exit(128 + signo) # through every finally


def main():
    options = {word for word in sys.argv[1:] if word.startswith("--")}
    wanted = [word for word in sys.argv[1:] if not word.startswith("--")]
    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    broken, failed, skipped = "--broken" in options, 0, []
    with tempfile.TemporaryDirectory(prefix="uds-labs-", dir="/var/tmp") as name: # on a disk
        base = pathlib.Path(name)
        base.chmod(0o755)
        (base / "bin").mkdir() # nobody may not be able to read the build tree
        for program in ("uds", "uds-sandbox-init", "uds-sandbox-answer", "uds-cleaner"):
            shutil.copy2(BIN / program, base / "bin")
        for e in read_document():
            if wanted and not any(e.title.startswith(f"{w}.") for w in wanted):
                continue
            began = time.monotonic()
            for _ in range(ATTEMPTS if e.measures() and not broken else 1):
                verdict, words = run(e.broken() if broken else e, base, "--verbose" in options)
                if verdict != "fail":
                    break
            if broken:
                verdict = {"pass": "fail", "fail": "pass"}.get(verdict, verdict)
            print(f"{verdict:5} {time.monotonic() - began:5.2f} s  {e.title}{' (nobody)' if ROOT and not e.is_for_root() else ''}"
                  + (f"\n{words}" if words else ""), flush=True)
            failed += verdict == "fail"
            skipped += [f"{e.title}: {words}"] if verdict == "skip" else []
    if failed:
        sys.exit(f"{failed} exercises {'do not notice' if broken else 'failed'}")
    for words in skipped:
        print(f"SKIP {words}")


if __name__ == "__main__":
    main()
