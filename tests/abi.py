#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What a program may call is the same set in three places: the public headers (UDS_EXPORT), the version script, and the
shared library's dynamic symbols with their version. There is no private node: libuds-event and libuds-pb stand on what
everybody may call, and so does libuds-sandbox. The version that the header says is the one of the libraries' names, too."""
import os
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
BUILD = pathlib.Path(os.environ["UDS_BUILD"])
HEADERS = ROOT / "libuds/include/uds"
SANDBOX = ROOT / "sandbox/include/sbx"
NODE = "LIBUDS_0.1"
OWN = {"event.h": "libuds-event", "pb.h": "libuds-pb"}  # every other header is libuds'
WHERE = {"libuds": "libuds", "libuds-event": "libuds", "libuds-pb": "libuds", "libuds-sandbox": "sandbox"}  # in tree and build


def declared(text):
    """Names of the functions that a header exports, and of those that it only declares."""
    text = re.sub(r"/\*.*?\*/", "", text, flags=re.S)
    text = re.sub(r"^[ \t]*#(?:[^\n]*\\\n)*[^\n]*$", "", text, flags=re.M)
    while re.search(r"\{[^{}]*\}", text):
        text = re.sub(r"\{[^{}]*\}", "", text)
    exported, forgotten = set(), set()
    for statement in text.split(";"):
        name = re.search(r"\b((?:udsi?|sbxi?)_\w+)\s*\(", statement)
        if name and not re.search(r"\btypedef\b", statement):
            (exported if "UDS_EXPORT" in statement else forgotten).add(name[1])
    return exported, forgotten


def scripted(text):
    """Names in a version script's nodes: {node: names}."""
    text = re.sub(r"/\*.*?\*/", "", text, flags=re.S)
    return {node: set(re.findall(r"([\w*]+)\s*;", body.split("local:")[0].replace("global:", "")))
            for node, body in re.findall(r"([\w.]+)\s*\{(.*?)\}", text, flags=re.S)}


def provided(library):
    """The dynamic symbols that a library defines, with their versions: {node: names}."""
    out = subprocess.run(["nm", "-D", "--defined-only", library], check=True, capture_output=True, text=True).stdout
    nodes = {}
    for line in out.splitlines():
        kind, name = line.split()[-2:]
        symbol, _, node = name.partition("@@")
        if kind != "A":  # the node itself
            nodes.setdefault(node, set()).add(symbol)
    return nodes


def differences(what, here, there):
    return ([f"{what[0]} has {n}, {what[1]} does not" for n in sorted(here - there)] +
            [f"{what[1]} has {n}, {what[0]} does not" for n in sorted(there - here)])


def soname(library):
    out = subprocess.run(["readelf", "-d", library], check=True, capture_output=True, text=True).stdout
    return re.search(r"SONAME.*\[(.*)\]", out)[1]


def check_library(name, exported):
    sym = ROOT / WHERE[name] / f"{name}.sym"
    library = BUILD / WHERE[name] / f"{name}.so"
    nodes, found = scripted(sym.read_text()), provided(library)
    problems = [f"{sym.name} has the node {n}: only {NODE} is known" for n in nodes if n != NODE]
    problems += [f"{library.name} has {', '.join(sorted(s))} under '{n}': only {NODE} is known"
                 for n, s in found.items() if n != NODE]
    problems += differences(("the public header", sym.name), exported, nodes.get(NODE, set()))
    problems += differences((sym.name, library.name), nodes.get(NODE, set()), found.get(NODE, set()))
    if soname(library) != f"{name}.so.0":
        problems.append(f"{library.name} is called {soname(library)}")
    return problems


def check_version():
    header = (HEADERS / "version.h").read_text()
    number = ".".join(re.search(rf"UDS_VERSION_{part}\s+(\d+)", header)[1] for part in ("MAJOR", "MINOR", "PATCH"))
    text = re.search(r'UDS_VERSION_STRING\s+"(.*)"', header)[1]
    problems = [] if number == text else [f"version.h: the numbers say {number}, the string says {text}"]
    return problems + [f"{n}.so.{text} is not in the build" for n, where in WHERE.items()
                       if not (BUILD / where / f"{n}.so.{text}").exists()]


def main():
    # Seen to fail: what is planted must be found before silence means anything.
    planted = "/* UDS_EXPORT int uds_a(void); */\n#define X(a) \\\n uds_b(a)\nUDS_EXPORT UDS_NODISCARD int\nuds_c(int (*f)(int));\n" \
              "struct s { int (*uds_d)(int); };\ntypedef int (*uds_e_fn)(int);\nint uds_f(void);\n"
    if declared(planted) != ({"uds_c"}, {"uds_f"}):
        sys.exit(f"abi: the check itself is broken: {declared(planted)}")
    if scripted("N_1 { global: a; b; local: *; };") != {"N_1": {"a", "b"}} or not differences("xy", {"a"}, {"b"}):
        sys.exit("abi: the check itself is broken")

    exported = {name: set() for name in WHERE}
    problems = check_version()
    for header in sorted([*HEADERS.glob("*.h"), *SANDBOX.glob("*.h")]):
        names, forgotten = declared(header.read_text())
        library = "libuds-sandbox" if header.parent == SANDBOX else OWN.get(header.name, "libuds")
        exported[library] |= names
        problems += [f"{header.parent.name}/{header.name} declares {n} without UDS_EXPORT" for n in sorted(forgotten)]
        alien = [n for n in names if not n.startswith(header.parent.name + "_")]
        problems += [f"{header.parent.name}/{header.name} declares {n}" for n in sorted(alien)]
    for name in WHERE:
        problems += check_library(name, exported[name])
    print("\n".join(problems) or ", ".join(f"{n}: {len(exported[n])} functions" for n in WHERE))
    sys.exit(1 if problems else 0)


main()
