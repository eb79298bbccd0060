#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The options of each verb and program are the same in four places: the parser's table, its --help, its manual page, and what completion
offers. Tables are read from the source, the rest is what the program and the page say.

$UDS_BUILD: where the tree is built."""
import os
import pathlib
import re
import subprocess
import sys

SOURCE = pathlib.Path(__file__).resolve().parent.parent
BIN = pathlib.Path(os.environ.get("UDS_BUILD", SOURCE / "build/release")) / "bin"
MAN = SOURCE / "docs/man"
OPTION = r"--([a-z][a-z0-9-]*)"
ENTRY = re.compile(r'\{\s*"([a-z0-9-]+)",\s*(?:no|required|optional)_argument')
BWRAP_ENTRY = re.compile(r'^    \{"([a-z0-9-]+)", \d', re.M)
MACRO = re.compile(r"\b(?:CLI_)?[A-Z]+_OPTIONS\b")

# The verb: where its table is, and its page. Pages of several verbs are compared with all of their tables.
VERBS = {
    "run": (["cli/run-options.c"], "uds-run.1"),
    "bwrap": (["cli/bwrap-options.c", "cli/mount-options.c"], "uds-bwrap.1"),
    "exec": (["cli/exec.c: options"], "uds-exec.1"),
    "sandbox": (["cli/sandbox.c", "cli/exec.c: start_options"], "uds-sandbox.1"),
    "cgroup": (["cli/cgroup.c"], "uds-cgroup.1"),
    "layer": (["cli/layer.c"], "uds-layer.1"),
    "jail": (["cli/jail.c"], "uds-jail.1"),
    "up": (["cli/up.c"], "uds.1"),
    "ls": (["cli/ls.c"], "uds.1"),
    "pub": (["cli/pub.c"], "uds.1"),
    "sub": (["cli/sub.c"], "uds.1"),
    "request": (["cli/request.c"], "uds.1"),
    "reply": (["cli/reply.c"], "uds.1"),
    "version": (["cli/main.c"], "uds.1"),
    "uds-broker": (["broker/supervisor/main.c"], "uds-broker.8"),
    "uds-bench": (["bench/options.c"], "uds-bench.1"),
}
# Said for all: not in each table, or not in each page.
COMMON = {"help", "version"}
# bubblewrap's words for mounts are in uds-run(1), which uds-bwrap(1) names.
ELSEWHERE = {"bwrap": set(BWRAP_ENTRY.findall((SOURCE / "cli/mount-options.c").read_text()))}


def macros():
    """#define X_OPTIONS… of cli/*.h: the names in them."""
    found = {}
    for header in (SOURCE / "cli").glob("*.h"):
        for m in re.finditer(r"#define ((?:CLI_)?[A-Z]+_OPTIONS)\b((?:.*\\\n)*.*)", header.read_text()):
            found[m[1]] = set(ENTRY.findall(m[2].replace("\\\n", "\n")))
    return found


def table(places, known):
    names = set()
    for place in places:
        path, _, array = place.partition(": ")
        text = (SOURCE / path).read_text()
        if array:
            text = re.search(rf"\b{array}\[\] = .*?NULL, 0, NULL, 0", text, re.S)[0]
        names |= set(ENTRY.findall(text)) | set(BWRAP_ENTRY.findall(text) if "bwrap" in path or "mount-" in path else [])
        for macro in MACRO.findall(text):
            names |= known.get(macro, set())
    return names


def program(verb):
    return [BIN / verb] if verb.startswith("uds-") else [BIN / "uds", verb]


def helped(verb):
    """What --help says, without its examples and what is in backticks: they show other verbs, too."""
    text = subprocess.run([*program(verb), "--help"], capture_output=True, text=True, check=True).stdout
    text = re.sub(r"\nexamples:.*", "", text, flags=re.S)
    return set(re.findall(OPTION, re.sub(r"`[^`]*`", "", text)))


def on_page(page):
    """Options that a page has an item for, or its synopsis; and all that it speaks of."""
    text = (MAN / page).read_text()
    heads, inside = text.partition(".Sh SYNOPSIS")[2].partition("\n.Sh ")[0].splitlines(), False
    for line in text.splitlines():
        inside = inside and line.startswith(".") and not line.startswith(".Xc")
        if line.startswith(".It") or inside:
            heads.append(line)
            inside = inside or "Xo" in line.split()
    words = lambda lines: {w[1:] for line in lines if re.match(r"\..*\bFl\b", line) for w in line.split()
                           if re.fullmatch(r"-[a-z][a-z0-9-]+", w)}
    return words(heads), words(text.splitlines())


def completed(verb):
    """What the shell offers after `uds VERB --`."""
    script = f"""
        source {SOURCE}/cli/uds.bash
        COMP_WORDS=({BIN}/uds {verb} --) COMP_CWORD=2
        _uds
        printf '%s\\n' "${{COMPREPLY[@]}}"
    """
    out = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True).stdout
    return {word[2:] for word in out.split() if word.startswith("--")}


def main():
    known, problems, tables, pages = macros(), [], {}, {}

    def differ(what, expected, found, where, spoken_of=frozenset()):
        problems.extend(f"{what}: --{n} is not in {where}" for n in sorted(expected - found - spoken_of - COMMON))
        problems.extend(f"{what}: {where} has --{n}, which it does not take" for n in sorted(found - expected - COMMON))

    for verb, (places, page) in VERBS.items():
        tables[verb] = table(places, known)
        if not tables[verb]:
            problems.append(f"{verb}: no table of options found in {', '.join(places)}")
        differ(verb, tables[verb], helped(verb), "its --help")
        if not verb.startswith("uds-"):
            differ(verb, tables[verb], completed(verb), "completion")
        pages.setdefault(page, set()).update(tables[verb] - ELSEWHERE.get(verb, set()))
    everything = set().union(*tables.values()) | COMMON
    for page, options in pages.items():
        heads, spoken_of = on_page(page)
        differ(page, options, heads, "the page", spoken_of)
        problems.extend(f"{page}: --{n} is an option of no verb" for n in sorted(spoken_of - everything))
    print("\n".join(problems) if problems else f"{sum(map(len, tables.values()))} options of {len(tables)} verbs and programs")
    return bool(problems)


if __name__ == "__main__":
    sys.exit(main())
