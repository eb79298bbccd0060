# SPDX-License-Identifier: MIT
"""Ids, capabilities, and what brings them back."""
from harness import row, verbs
from processes import ALL_CAPS


def status_of(run):
    return {line.split(":")[0]: line.split(":")[-1].strip() for line in run.out.splitlines() if ":" in line}


@row(4, "the classic way out of a chroot", without={who: f"{caps},pivot" for who, caps in ALL_CAPS.items()})
def chroot_break(c):
    if not c.without:
        r = c.run(probe=verbs("unchroot"))
        c.check("chroot is refused", r["unchroot"] == "EPERM", r["unchroot"])
        r = c.run("--no-seccomp", probe=verbs("unchroot"))
        c.check("nor without seccomp", r["unchroot"] == "EPERM", r["unchroot"])
        return
    # With every capability inside, what is left is that / is a mount of its own and not a directory of the host.
    r = c.run("--no-seccomp", probe=verbs("unchroot", "list /"))
    c.check("it stays inside", "etc" not in r["list"].split(), r.out)


@row(8, "no_new_privs", without="nnp")
def no_new_privs(c):
    r = c.run("--no-seccomp", probe=verbs("cat /proc/self/status"))
    c.check("it is set", status_of(r).get("NoNewPrivs") == "1", r.out + r.err)


@row(9, "capabilities", without=ALL_CAPS)
def capabilities(c):
    found = status_of(c.run(probe=verbs("cat /proc/self/status")))
    for cap in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
        c.check(f"{cap} is empty", found.get(cap) == "0" * 16, found.get(cap))
    if not c.without:
        c.check("a filter is loaded", found.get("Seccomp_filters") == "1", found)


@row(10, "supplementary groups", without={"root": "groups", "nobody": None},
     why="rootless the kernel itself denies setgroups(2)")
def groups(c):
    r = c.run(probe=verbs("ids"))
    uid = 1000 if c.uid == 0 else c.uid
    c.check("ids are the payload's, without groups", r["ids"] == f"ok {uid} {uid} 0", r["ids"] + r.err)


@row(11, "id maps", without="map")
def id_maps(c):
    r = c.run(probe=verbs("cat /proc/self/uid_map", "cat /proc/self/setgroups"))
    uid = 1000 if c.uid == 0 else c.uid
    mapped = (r.out.split("cat ok ") + ["", ""])[1].split()[1:4]
    if c.uid == 0:
        c.check("a range of its own is mapped", len(mapped) == 3 and mapped[0] == "0" and mapped[2] == "65536" and
                0x70000000 <= int(mapped[1]) < 0x7fff0000, mapped)
        c.check("and reported", mapped[1] == r.report["uid_first"], r.report)
    else:
        c.check("one id is mapped", mapped == [str(uid), str(uid), "1"], mapped)
        c.check("setgroups is denied", r.out.rstrip().endswith("deny"), r.out)
        c.check("and it is said", int(r.report["degraded"]) & 4, r.report)


@row(12, "no user namespace inside, on request", without="disable-userns")
def nested_userns(c):
    r = c.run("--no-seccomp", "--disable-userns", probe=verbs(
        "unshare 0x10000000", "put /proc/sys/user/max_user_namespaces 100", "unshare 0x10000000"))
    c.check("refused, also after an attempt to raise the limit",
            len(r.all("unshare")) == 2 and set(r.all("unshare")) <= {"EPERM", "ENOSPC", "EUSERS"}, r.out + r.err)
