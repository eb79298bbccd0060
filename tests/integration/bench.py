#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""uds-bench: every workload over every medium for a few milliseconds, the shape of its JSON, its exit codes, and that a
side that dies is an error and not a figure. No time is judged here."""
import contextlib
import json
import os
import pathlib
import select
import signal
import subprocess
import sys
import time

BENCH = pathlib.Path(os.environ["UDS_BIN"]) / "uds-bench"
ENVIRONMENT = ("kernel", "machine", "cpus_online", "cpus_allowed", "clock_read_ns", "unix_sndbuf", "tcp_sndbuf",
               "compiler", "build", "uds_bench", "libuds", "load_before", "load_after", "steal_percent")
QUANTILES = ("p50_ns", "p90_ns", "p99_ns", "p999_ns", "max_ns")


def expect(what, condition):
    if not condition:
        raise AssertionError(what)


def run(*arguments, code=0):
    done = subprocess.run([BENCH, *arguments], capture_output=True, text=True, timeout=150)
    expect(f"{arguments}: exit {done.returncode}: {done.stderr}", done.returncode in (code if isinstance(code, tuple) else (code,)))
    return done


def measured(*arguments, code=0):
    return json.loads(run(*arguments, "--pairs", "2", "--time", "2ms", "--json", "--quiet", code=code).stdout)


def check_interval(where, interval, pairs):
    expect(f"{where}: {interval}", 0 < interval["low"] <= interval["median"] <= interval["high"])
    expect(f"{where}: pairs {interval['pairs']}", interval["pairs"] == pairs)


def check_contender(where, c, result):
    where = f"{where} {c['medium']}"
    expect(f"{where}: measured nothing", c["messages"] > 0 and c["seconds"] > 0)
    # Each figure is printed with six digits.
    values = [c[q] for q in QUANTILES]
    ordered = all(low <= high * (1 + 1e-5) for low, high in zip(values, values[1:]))
    expect(f"{where}: percentiles out of order: {values}", ordered and values[-1] > 0)
    rate = c["messages"] / c["seconds"]
    expect(f"{where}: rate {c['messages_per_second']}, not {rate}", abs(c["messages_per_second"] / rate - 1) < 1e-4)
    expect(f"{where}: bytes", abs(c["bytes_per_second"] / (rate * result["size"]) - 1) < 1e-4)
    expect(f"{where}: cpu {c['cpu_ns_per_message']}", c["cpu_ns_per_message"] >= 0)
    expect(f"{where}: switches", c["switches_per_message"] >= 0)
    check_interval(where, c["ratio"], 2)
    check_interval(where, c["p99_ratio"], 2)
    if c["medium"] == result["reference"]:
        expect(f"{where}: not 1 to itself", c["ratio"]["median"] == 1)


def check_document(document, media=None, against_best=False):
    expect("format", document["format"] == "uds-bench/1")
    missing = [name for name in ENVIRONMENT if name not in document["environment"]]
    expect(f"the environment lacks {missing}", not missing)
    for result in document["results"]:
        where = f"{result['workload']} {result['size']} {result['cpus']} x{result['batch']}"
        seen = [c["medium"] for c in result["contenders"]]
        out = [o["medium"] for o in result["left_out"]]
        expect(f"{where}: {seen} and {out}", media is None or sorted(seen + out) == sorted(media))
        expect(f"{where}: a reason is missing", all(o["reason"] for o in result["left_out"]))
        # The last of a bar is held against the fastest of the others.
        references = seen[:-1] if against_best and len(seen) > 1 else seen[:1] or [None]
        expect(f"{where}: reference", result["reference"] in references)
        kind = "messages_per_second" if result["workload"] == "oneway" else "p50_ns"
        expect(f"{where}: {result['ratio_of']}", result["ratio_of"] == kind)
        for contender in result["contenders"]:
            check_contender(where, contender, result)


def every_workload_over_every_medium(listing, sizes, cpus):
    names = [m["name"] for m in listing["media"]]
    here = {m["name"] for m in listing["media"] if "absent" not in m}
    for workload in (w["name"] for w in listing["workloads"]):
        document = measured(workload, "--media", ",".join(names), "--size", sizes, "--cpus", cpus)
        check_document(document, names)
        taking_part = {c["medium"] for r in document["results"] for c in r["contenders"]}
        print(f"{workload}: {len(document['results'])} contests, {len(taking_part)} media")
        expect(f"{workload}: {taking_part - here} are not in this build", taking_part <= here)
        usual = {"exec"} if workload == "start" else {"uds-stream", "libuds", "libuds-ring"}
        expect(f"{workload}: {usual} are left out", usual <= taking_part)
        if workload == "oneway":
            cells = {(r["size"], r["cpus"], r["batch"] > 1) for r in document["results"]}
            expect("un-batched and batched are not shown together",
                   all((size, cpus, not batched) in cells for size, cpus, batched in cells))


def large_bodies():
    for workload in ("rtt", "oneway", "bulk"):
        document = measured(workload, "--media", "uds-stream,uds-dgram,tcp,pipe,libuds,libuds-ring", "--size", "1M", "--cpus", "free")
        check_document(document)
        expect("a datagram of 1 MiB", all("uds-dgram" in [o["medium"] for o in r["left_out"]] for r in document["results"]))


def bars():
    document = measured("bars", code=(0, 3))
    check_document(document, against_best=True)
    expect("one result for each bar", len(document["bars"]) == len(document["results"]) > 0)
    for bar in document["bars"]:
        expect(f"{bar}", bar["verdict"] in ("missed", "open", "met", "aim met", "not run"))
        expect(f"{bar}", bar["sense"] in ("at-least", "at-most") and bar["must"] > 0 and bar["aim"] > 0)
        if bar["verdict"] != "not run":
            check_interval(bar["what"], bar["ratio"], 2)
    # While both run a ring is held against the least that two cores can do, and where it sleeps against a socket.
    rings = {(bar["theirs"], bar["cpus"]) for bar in document["bars"] if bar["ours"] == "libuds-ring"}
    expect(f"bars of the ring: {rings}", rings == {("cacheline", "2cpu"), ("uds-stream", "1cpu")})


def words_for_people():
    text = run("rtt", "--media", "uds-stream,tcp,cacheline", "--size", "64", "--cpus", "1cpu", "--pairs", "2", "--time", "2ms")
    for wanted in ("MEDIUM", "UDS or TCP?", "left out, 64 B 1cpu: cacheline: spins", "Load "):
        expect(f"'{wanted}' is not in: {text.stdout}", wanted in text.stdout)
    expect(f"no progress: {text.stderr}", "[1/1] rtt" in text.stderr)
    help_text = run("--help").stdout
    expect("--help lacks examples and exit codes", "examples:" in help_text and "exit codes:" in help_text)
    for workload in json.loads(run("list", "--json").stdout)["workloads"]:
        expect(f"--help lacks the command {workload['name']}", f"\n  {workload['name']} " in help_text)
    expect("--version", run("--version").stdout.startswith("uds-bench "))


def wrong_usage():
    for arguments, words in ((["fly"], "fly: no such command"), (["rtt", "--size", "17M"], "--size"), (["--size", "x"], "--size: x"),
                             (["--media", "tcp,smoke"], "smoke: no such medium"), (["--cpus", "3cpu"], "3cpu"),
                             (["--pairs", "0"], "--pairs"), (["--time", "61s"], "--time"), (["--batch", "-1"], "--batch"),
                             (["--nonsense"], "--nonsense: no such option"), (["rtt", "oneway"], "one command"),
                             (["bars", "--size", "64"], "not with bars"), (["--time"], "wants a value")):
        done = run(*arguments, code=2)
        expect(f"{arguments}: {done.stderr}", words in done.stderr and done.stdout == "")
        expect(f"{arguments}: not one line: {done.stderr}", done.stderr.count("\n") == 1)
    with open("/dev/full", "w") as full:
        done = subprocess.run([BENCH, "list"], stdout=full, stderr=subprocess.PIPE, text=True)
    expect(f"a full disk: {done}", done.returncode == 1 and "cannot write" in done.stderr)


def children_of(pid):
    try:
        return [int(p) for p in pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except FileNotFoundError:
        return []


def both_sides(bench):
    deadline = time.monotonic() + 60
    while len(children := children_of(bench.pid)) < 2:
        expect("the two sides never came", time.monotonic() < deadline and bench.poll() is None)
    return children


def start_long():
    return subprocess.Popen([BENCH, "rtt", "--media", "uds-stream", "--size", "64", "--cpus", "1cpu", "--pairs", "1", "--time", "50s", "--quiet"],
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def killed_side():
    with start_long() as bench:
        # The first pair may belong to the verifying pass and be at its end. One child alone is LeakSanitizer's.
        while bench.poll() is None:
            if len(sides := children_of(bench.pid)) == 2:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(sides[-1], signal.SIGKILL)
        _, errors = bench.communicate(timeout=60)
    expect(f"a killed side: exit {bench.returncode}: {errors}", bench.returncode == 1)
    expect(f"a killed side: {errors}", "uds-bench: rtt, 64 bytes, 1cpu: uds-stream: the " in errors)


def killed_parent():
    with start_long() as bench:
        sides = both_sides(bench)
        fds = [os.pidfd_open(p) for p in sides]
        bench.kill()
        bench.communicate(timeout=60)
    for fd in fds:
        ended, _, _ = select.select([fd], [], [], 60)
        expect("a side outlives its parent", ended)
        os.close(fd)


def main():
    if not BENCH.exists():
        print("skipped: uds-bench was not built (UDS_BENCH=OFF)")
        sys.exit(77)
    listing = json.loads(run("list", "--json").stdout)
    wrong_usage()
    words_for_people()
    every_workload_over_every_medium(listing, "64,4K", "2cpu")
    every_workload_over_every_medium(listing, "64", "1cpu,free")
    large_bodies()
    bars()
    killed_side()
    killed_parent()


main()
