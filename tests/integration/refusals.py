#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What users mistype: each line is refused by the exit code that its page names, in words that say what was wrong and what to do.
As root, and once more as nobody."""
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor

SOURCE = pathlib.Path(__file__).resolve().parents[2]
BIN = pathlib.Path(os.environ.get("UDS_BIN", SOURCE / "build/release/bin"))
NOBODY = 65534
EITHER = [ # the words, the exit code, what is said: in bash, descriptor 5 is a file that can be read, 6 one that can be written
    ("run", 121, "no command: name one"),
    ("run --bogus true", 121, "--bogus: no such option"),
    ("run --mem 1 true", 121, "--mem: no such option, or the beginning of several"),
    ("run --unshare-net true", 121, "--unshare-net: is the default here; leave it out"),
    ("run --env=A=b env", 121, "--env: is --setenv NAME VALUE here"),
    ("run -p MemoryMax=5M true", 121, "-p: is an option for each here: --memory"),
    ("run --ro-b / / true", 121, "--ro-b: no such option"),
    ("run --timeou=1s true", 121, "--timeou: no such option"),
    ("exec --set A=1 x true", 121, "--set: no such option"),
    ("cgroup create --mem 1M x", 2, "--mem: no such option"),
    ("run --json=1 true", 121, "--json=1: not an option, or takes no value"),
    ("run --memory", 121, "--memory: needs a value"),
    ("run nosuch", 122, "name an existing program"),
    ("run --cpu 50 true", 121, "as 50% or 200%"),
    ("run --memory 64m true", 121, "as 64M or 1G"),
    ("run --pids 0 true", 121, "1 or more"),
    ("run --cpuset 1-0 true", 121, "as 0-1,3"),
    ("run --io-max /dev/null:rbps=1M true", 121, "name a disk"),
    ("run --rlimit nofile=64:32 true", 121, "SOFT at most HARD"),
    ("run --rlimit stack=4K true", 121, "no program starts with less than 16K"),
    ("run --rlimit cpu=0 true", 121, "0 seconds: it would be killed when it starts"),
    ("run --rlimit as=1000 true", 121, "rlimit as or data is too low for a program to start: 4M"),
    ("run --rlimit data=0 true", 121, "rlimit as or data is too low"),
    ("run --timeout 0 true", 121, "above 0, as 10s"),
    ("run --grace 1s true", 121, "name --timeout too"),
    ("run --degrade '' true", 121, "is not a list of cgroup"),
    ("run --landlock-scope '' true", 121, "is not a list of abstract-sockets, signals"),
    ("run --keep-env= true", 121, "is not a list of names"),
    ("run --share-uts --hostname x true", 121, "leave out --share-uts"),
    ("run --share-net --net none true", 121, "leave out --share-net"),
    ("run --share-user true", 121, "leave out --share-user"),
    ("run --no-cgroup --cgroup-parent /x true", 121, "leave out one of the two"),
    ("run --secret a=5 --secret a=5 true", 121, "two have this name"),
    ("run --secret a=file:/etc/passwd/x true", 121, "Not a directory"),
    ("run --setenv LISTEN_FDS 3 --fd a=5 true", 121, "--setenv LISTEN_FDS: --fd, --listen, --notify and --watchdog set that"),
    ("run --notify --setenv NOTIFY_SOCKET x true", 121, "--setenv NOTIFY_SOCKET: "),
    ("run --fd a=99 true", 121, "open it in the shell"),
    ("run true <.", 121, "descriptor 0 is a directory, through which all of the host"),
    ("run --info-fd 5 true", 121, "cannot be written"),
    ("run --block-fd 6 true", 121, "cannot be read"),
    ("run --size 4Q --tmpfs /mnt true", 121, "as 65536 or 64M"),
    ("run --remount-ro /etc true", 121, "nothing is mounted there"),
    ("run --tmpfs x true", 121, "must be an absolute path"),
    ("run --bind /nosuch /mnt true", 121, "/nosuch: No such file"),
    ("run --ro-bind /etc/passwd /mnt true", 121, "a directory goes where a directory is"),
    ("run --bind / /nosuch true", 121, "make it there, or name what is"),
    ("run --listen a=unix:$PWD/s,mod=0666 true", 121, "mod=0666: is no option"),
    ("run --seccomp strct true", 121, "default, strict, none or a file"),
    ("run --jail nosuch true", 121, "no such program in the usual directories"),
    ("run --root host --jail ls true", 121, "contradicts --root host"),
    ("run --root empty --jail ls true", 121, "contradicts --root empty"),
    ("run --jail-add @nss --root empty true", 121, "contradicts --jail and --jail-add"),
    ("run --mask /proc/self true", 121, "mask: /proc/self: is another path in each process"),
    ("run --mask //proc/./thread-self/environ true", 121, "is another path in each process"),
    ("run --cap-add all --disable-userns true", 121, "who has sys_resource may raise that limit"),
    ("run --dir /x true", 121, "name a place on a --tmpfs"),
    ("run --symlink a /etc/x true", 121, "name a place on a --tmpfs"),
    ("run --mask / true", 121, "mask: /: use an absolute path below /"),
    ("run --share-net --join net=$$ true", 121, "--share-net: contradicts --join net"),
    ("run --share-net --net netns:x true", 121, "--share-net: contradicts --net netns:x"),
    ("run --join ipc=$$ --join ipc=$$ true", 121, "join: ipc: named twice"),
    ("run --net none --join net=$$ true", 121, "leave out --share-net and --join net"),
    ("run --rlimit nofile=unlimited true", 121, "above our hard limit"),
    ("run --seccomp <(:) true", 121, "must be a file"),
    ("run --seccomp-fd 8 true 8</dev/zero", 121, "more than the 4096 instructions"),
    ("run --seccomp $PWD/nothing true", 122, "must allow what starts a program: execve, brk, mmap"),
    ("run --seccomp $PWD/no-exec true", 122, "must allow what starts a program"),
    ("run --ro-bind $PWD/closed /mnt --setenv PATH /mnt:/usr/bin nosuch", 122, "nosuch, in PATH: No such file"),
    ("run --rlimit nofile=3 true", 127, "error while loading shared libraries"), # it was started
    ("run --uid nobody true", 121, "is not the number of an id"),
    ("run --uid 4294967295 true", 121, "is not the number of an id"),
    ("run --chdir /proc/self/fd/1 true", 121, "links of /proc to one are not followed"),
    ("run --chdir /etc/passwd true", 121, "name a directory"),
    ("run --seccomp $PWD/no-error true", 121, "'EFOO' is no system call of this machine, nor an error"),
    ("run --seccomp $PWD/no-json true", 121, 'is no JSON, for want of a: "'),
    ("run --seccomp-fd 8 true 8<$PWD/no-bpf", 121, "it is no program that seccomp(2) takes"),
    ("run --io-max 999:99:rbps=1M true", 121, "is no disk that there is"),
    ("run --io-max /nosuch:rbps=1M true", 121, "does not exist; name a disk"),
    ("run --jail ls --upper tmpfs true", 121, "`uds jail build` makes a directory of one"),
    ("run --run-dir /proc/x true", 121, "cannot be made: "),
    ("run --profile $PWD/nosuch", 121, "nosuch: No such file or directory"),
    ("run --setenv ASAN_OPTIONS detect_leaks=0 --ro-bind $UDS_BIN /mnt -- /mnt/uds run true", 121, "clone3 is hidden from this process"),
    ("run --name a/b true", 121, "1 to 48 of letters"),
    ("exec --setenv LISTEN_FDS 3 --fd a=5 never-made true", 121, "--setenv LISTEN_FDS: --fd sets that itself"),
    ("sandbox start --fd a=5 --setenv LISTEN_PID 3 never-made true", 121, "--setenv LISTEN_PID: --fd sets that itself"),
    ("exec never-made true", 121, "none of yours runs under this name"),
    ("exec x", 121, "no command: name one"),
    ("sandbox", 2, "no word: is none of ls, start, gc"),
    ("sandbox ls x", 2, "ls: takes no argument"),
    ("cgroup", 2, "is none of create"),
    ("cgroup exec", 121, "of which group"),
    ("cgroup exec never-made -- true", 121, "there is no such group"),
    ("cgroup set never-made --pids 5", 1, "there is no such group"),
    ("cgroup freeze a b", 2, "one name is enough"),
    ("layer commit a b --keep ''", 2, "a list of setuid"),
    ("layer diff /nosuch", 1, "name a directory that exists"),
    ("jail list nosuch", 1, "no such program in the usual directories"),
    ("bwrap --ro-bind / / --hostname x true", 1, "Specifying --hostname requires --unshare-uts"),
]
ALL = "--share-user --share-mount --share-pid --share-net --share-ipc --share-uts --share-cgroup"
BY = { # of one user alone
    "root": [
        ("run --uid 70000 true", 121, "uid: ids inside go from 0 to 65535"),
        ("run --gid 70000 true", 121, "gid: ids inside go from 0 to 65535"),
        ("run --host-root --uid 70000 -- id -u", 0, "70000"),
        ("run --host-root --id-range true", 121, "id-range: it needs a user namespace of its own"),
    ],
    "nobody": [
        (f"run {ALL} --chroot true", 121, "chroot: there is no root of its own to enter"),
        ("run --uid 70000 --gid 70001 -- sh -c 'id -u; id -g'", 0, "70000\n70001\n"),
        (f"run {ALL} --id-range true", 121, "id-range: it needs a user namespace of its own"),
    ],
}
FILES = {"nothing": "base none\n", "no-exec": "deny execve\n", "no-error": "deny mkdir EFOO\n", "no-json": "{\n",
         "no-bpf": "no BPF!!"}
TAKEN = [ # what is meant well is taken
    ("run --jail ls -- ls /", "usr"),
    ("run --hostname other -- hostname", "other"),
    ("run --setenv LISTEN_FDS 3 -- sh -c 'echo $LISTEN_FDS'", "3"),
    ("run --mask /proc/selfish true", ""),
    ("run --size 1M --tmpfs /mnt -- df --output=size -B1 /mnt", "1048576"),
    ("run --rlimit nofile=64 --rlimit nofile=128 -- sh -c 'ulimit -n'", "128"),
    ("run --rlimit nofile=3 --landlock-ro / --degrade=landlock --ro-bind $UDS_BIN/test/sbx-probe /tmp/probe -- /tmp/probe say here", "here"),
    ("run --rlimit nofile=0 --rlimit fsize=0 --rlimit nproc=0 --rlimit memlock=0 --ro-bind $UDS_BIN/test/sbx-probe /tmp/probe -- /tmp/probe say here", "here"),
    ("run --rlimit stack=16K true", ""),
    ("run -- sh -c 'while read a b c d e; do [ \"$a $b $c\" != \"Max core file\" ] || echo $e; done </proc/self/limits'", "1"),
    ("run --perms 700 --dir /tmp/a/b -- sh -c 'cd /tmp/a/b && pwd'", "/tmp/a/b"),
    ("run --rlimit nofile=4 -- sh -c 'ulimit -n'", "4"),
    ("bwrap --ro-bind / / --chdir usr pwd", "/usr"),
]


def run(line, user, place):
    script = f"exec 5</etc/passwd 6>/dev/null\n{BIN}/uds {line}"
    drop = dict(user=NOBODY, group=NOBODY, extra_groups=[]) if user == "nobody" else {}
    return subprocess.run(["bash", "-c", script], cwd=place, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=30,
                          env={"PATH": os.environ["PATH"], "XDG_RUNTIME_DIR": str(place), "UDS_BIN": str(BIN)}, **drop)


def main():
    users = ["root", "nobody"] if os.geteuid() == 0 else ["user"]
    places = {}
    for user in users:
        places[user] = pathlib.Path(tempfile.mkdtemp(prefix=f"refusals-{user}-"))
        if user == "nobody":
            os.chown(places[user], NOBODY, NOBODY)
        for name, text in FILES.items():
            (places[user] / name).write_text(text)
        (places[user] / "closed").mkdir(0)
    jobs = [(u, line, code, words) for u in users for line, code, words in EITHER]
    jobs += [(u, line, code, words) for u in users for line, code, words in BY["nobody" if u == "user" else u]]
    jobs += [(u, line, 0, words) for u in users for line, words in TAKEN]
    failed = 0
    with ThreadPoolExecutor(4) as pool:
        for (user, line, code, words), p in zip(jobs, pool.map(lambda j: run(j[1], j[0], places[j[0]]), jobs)):
            said = p.stdout + p.stderr
            if p.returncode != code or words not in said:
                failed += 1
                print(f"FAIL {user}: uds {line}: {p.returncode} and not {code}, or not {words!r}:\n{said}")
    for place in places.values():
        shutil.rmtree(place)
    print(f"{len(jobs)} lines, {failed} failed")
    return bool(failed)


if __name__ == "__main__":
    sys.exit(main())
