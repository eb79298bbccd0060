#!/usr/bin/env python3
"""Includes point down only, and one file speaks to sockets with descriptors (docs/architecture.md); one makes memfds.

Every #include "..." and <uds/...>, <sbx/...> of the tree is checked, and every call of sendmsg(2) and recvmsg(2) in the
parts that speak by libuds: the sandbox library takes its listeners only, and keeps its own. The raw media of uds-bench
call them as well: they
are what libuds is measured against, and receive only from a process that the same run has forked."""
import pathlib
import re
import sys

root = pathlib.Path(__file__).resolve().parent.parent

# Each room and the rooms it may know. A room always knows itself.
MAY_KNOW = {
    "libuds/include": set(),
    "libuds/src/wire": {"libuds/include"},
    "libuds/src/socket": {"libuds/src/wire"},
    "libuds/src/conn": {"libuds/src/socket"},
    "libuds/src/rpc": {"libuds/src/conn"},
    "libuds/src/client": {"libuds/src/rpc"},
    "libuds/src/event": {"libuds/include"},  # libraries of their own: no more than what everybody may call
    "libuds/src/pb": {"libuds/include"},
    "libuds/src": {"libuds/include"},  # version, cleanup attributes, clock, blocks of memory: what every layer may use
    "sandbox/include": {"libuds/include"},  # the marks on declarations
    "sandbox/src": {"sandbox/include", "libuds/include"},
    "sandbox/init": {"sandbox/src"},
    "sandbox/cleaner": {"sandbox/src"},
    "sandbox/ask": {"sandbox/src"},
    "sandbox/answer": {"sandbox/ask"},
    "broker/router": {"libuds/include", "proto"},
    "broker/supervisor": {"libuds/include", "sandbox/include", "proto"},
    "cli": {"libuds/include", "sandbox/include", "proto"},
    "bench": {"libuds/include", "cli"},  # of cli: value, table and json, in which all programs speak
    "examples": {"libuds/include", "sandbox/include"},
    "proto": set(),
}


SEARCHED = ["libuds/src", "sandbox/src", "broker/router", "broker/supervisor", "cli", "bench"]


# What uds-sandbox-init and its launcher both include and is no word between them.
NOT_SPOKEN = {"without.h"}


def known(room):
    seen, todo = set(), [room]
    while todo:
        r = todo.pop()
        if r not in seen:
            seen.add(r)
            todo += MAY_KNOW[r]
    if room.startswith("libuds/src/"):
        seen.add("libuds/src")
    return seen


def room_of(path):
    rel = path.relative_to(root).as_posix()
    best = max((r for r in MAY_KNOW if rel.startswith(r + "/")), key=len, default=None)
    return best


def resolve(source, name, angled):
    if angled:
        for include in ("libuds/include", "sandbox/include"):
            if (root / include / name).exists():
                return root / include / name
        return None
    # Its own directory, its part's include directory as the build has it, the rooms that it may know, and then whatever a
    # bad include would reach.
    part = source.relative_to(root).parts[0]
    may_know = MAY_KNOW.get(room_of(source), ())
    order = [source.parent] + sorted(SEARCHED, key=lambda d: (not d.startswith(part), d not in may_know))
    for base in order:
        if (root / base / name).exists():
            return (root / base / name).resolve()
    if name.endswith(".pb-c.h"):
        proto = root / "proto" / (name[: -len(".pb-c.h")] + ".proto")
        return proto if proto.exists() else None
    return None


def violations(files):
    for source, text in files:
        room = room_of(source)
        if room is None:
            continue
        allowed = known(room)
        for number, line in enumerate(text.splitlines(), 1):
            m = re.match(r'\s*#\s*include\s*([<"])([^>"]+)[>"]', line)
            if not m:
                continue
            target = resolve(source, m[2], m[1] == "<")
            if target is None:
                continue
            to = room_of(target)
            if to is not None and to not in allowed:
                yield f"{source.relative_to(root)}:{number}: {room} may not include {m[2]} ({to})"


MESSAGE_CALL = re.compile(r"\b(sendm?msg|recvm?msg)\s*\(")
MESSAGE_FILE = "libuds/src/socket/io.c"
RAW_FLOORS = ("bench/media/stream.c", "bench/media/record.c")
MESSAGE_PARTS = ("libuds", "broker", "cli", "examples", "bench")


def without_comments(text):
    return re.sub(r"/\*.*?\*/", lambda m: "\n" * m[0].count("\n"), text, flags=re.S)


MEMFD_FILE = "libuds/src/socket/memfd.c"
EXECUTED = "sandbox/src/child.c"  # the one memfd that is executed: init, where namespaces are joined


def memfd_calls(files):
    """uds_memfd_create() says that they are not executable, which some machines want to be told."""
    for source, text in files:
        rel = source.relative_to(root)
        if rel.as_posix() in (MEMFD_FILE, EXECUTED):
            continue
        for number, line in enumerate(without_comments(text).splitlines(), 1):
            if re.search(r"(?<![\w(])memfd_create\s*\(", line):
                yield f"{rel}:{number}: memfd_create() outside {MEMFD_FILE}: use uds_memfd_create()"


def message_calls(files):
    for source, text in files:
        rel = source.relative_to(root)
        if rel.parts[0] not in MESSAGE_PARTS or rel.as_posix() in (MESSAGE_FILE, *RAW_FLOORS):
            continue
        for number, line in enumerate(without_comments(text).splitlines(), 1):
            m = MESSAGE_CALL.search(line)
            if m:
                yield f"{rel}:{number}: {m[1]}() outside {MESSAGE_FILE}"


def unspoken():
    """A launcher and an init of two builds know each other by a digest: of all that both include."""
    digested = set(re.search(r"^set\(spoken (.*)\)$", (root / "sandbox/CMakeLists.txt").read_text(), re.M)[1].split())
    for source in sorted((root / "sandbox/init").glob("*.[ch]")):
        for name in re.findall(r'^#include "(.+)"', source.read_text(), re.M):
            if (root / "sandbox/src" / name).exists() and name not in NOT_SPOKEN and f"src/{name}" not in digested:
                yield f"{source.relative_to(root)}: {name} is not in the digest of sandbox/CMakeLists.txt"


def main():
    # Seen to fail: upward includes and stray calls must be found before the tree's silence means anything.
    planted = "#include <uds/version.h>\n#include <sbx/sandbox.h>\n#include \"conn/conn.h\"\n"
    if len(list(violations([(root / "libuds/src/wire/planted.c", planted)]))) != 2:
        sys.exit("layering: the check itself is broken: it did not find two planted upward includes")
    planted = "/* recvmsg( */\nr = sendmsg(fd, &msg, 0);\nr = hooks.recvmmsg (fd);\nunix_dgram_sendmsg();\n"
    if len(list(message_calls([(root / "broker/router/planted.c", planted)]))) != 2:
        sys.exit("layering: the check itself is broken: it did not find two planted calls")
    planted = "/* memfd_create( */\nint fd = memfd_create(name, 0);\nr = uds_memfd_create(name, &fd);\nSCMP_SYS(memfd_create),\n"
    if len(list(memfd_calls([(root / "cli/planted.c", planted)]))) != 1:
        sys.exit("layering: the check itself is broken: it did not find the planted memfd")
    files = sorted({p for r in MAY_KNOW for s in ("*.c", "*.h") for p in (root / r).rglob(s)})
    texts = [(p, p.read_text()) for p in files]
    found = sorted(set(violations(texts)) | set(message_calls(texts)) | set(memfd_calls(texts)))
    found += sorted(unspoken())
    print("\n".join(found) or f"{len(files)} files: includes point down only, one file (and the raw floors) calls sendmsg and recvmsg, one memfd_create")
    sys.exit(1 if found else 0)


main()
