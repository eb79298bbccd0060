#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What `cmake --install` leaves is complete, is nothing more, and works where it is moved to: by pkg-config and by
find_package, shared and static, from C and C++."""
import os
import pathlib
import re
import shutil
import subprocess

from installed import BUILD, SOURCE, expect, run, run_parts

PROGRAM = r"""
#include <stdio.h>
#include <string.h>
#include <uds/conn.h>
#include <uds/event.h>
#include <uds/pb.h>
#include <event2/event.h>

int main(void)
{
    uds_conn *a, *b;
    uds_event *attached;
    struct event_base *base = event_base_new();

    if (!base || uds_conn_pair(&a, &b, NULL) < 0 || uds_event_attach(&attached, a, base) < 0)
        return 1;
    uds_event_detach(attached);
    uds_conn_unref(a);
    uds_conn_unref(b);
    event_base_free(base);
    if (uds_pb_stub_free(NULL) || strcmp(uds_version(), UDS_VERSION_STRING) != 0)
        return 1;
    puts(uds_version());
    return 0;
}
"""

# A payload of exit status 3 and, by "library", which way the sandbox's own programs were found.
SANDBOX = r"""
#include <stdio.h>
#include <stdlib.h>
#include <sbx/sandbox.h>

int main(int argc, char **argv)
{
    const char *const command[] = {"/bin/sh", "-c", "exit 3", NULL};
    struct sbx_spec spec = SBX_SPEC_INIT;
    static struct sbx_error error;
    struct sbx_result result = SBX_RESULT_INIT;
    sbx_cleaner *cleaner = NULL;
    sbx_plan *plan = NULL;
    sbx *s = NULL;
    if (argc != 2)
        return 2;
    spec.argv = command;
    spec.run_dir = argv[1];
    spec.degrade = SBX_DEGRADE_CGROUP | SBX_DEGRADE_ID_RANGE | SBX_DEGRADE_STATS | SBX_DEGRADE_LANDLOCK;
    int r = sbx_plan_new(&plan, &spec, &error);
    if (r == 0)
        r = sbx_cleaner_new(&cleaner, argv[1], &error);
    if (r == 0)
        r = sbx_start(&s, plan, cleaner, &error);
    if (r == 0)
        r = sbx_wait(s, &result);
    if (r == 1)
        printf("outcome %d, %d\n", (int)result.outcome, (int)result.value);
    else
        printf("%s\n", error.text);
    sbx_free(s);
    sbx_plan_free(plan);
    sbx_cleaner_free(cleaner);
    return r == 1 ? 0 : 1;
}
"""

PROJECT = """
cmake_minimum_required(VERSION 3.25)
project(user LANGUAGES C CXX)
find_package(libuds 0.1 REQUIRED COMPONENTS event pb sandbox)
add_executable(shared user.c)
target_link_libraries(shared PRIVATE libuds::event libuds::pb)
add_executable(static user.c)
target_link_libraries(static PRIVATE libuds::event-static libuds::pb-static)
add_executable(shared++ user.cc)
set_target_properties(shared++ PROPERTIES CXX_STANDARD 17)
target_link_libraries(shared++ PRIVATE libuds::event libuds::pb)
add_executable(sandbox sandbox.c)
target_link_libraries(sandbox PRIVATE libuds::sandbox)
add_executable(sandbox-static sandbox.c)
target_link_libraries(sandbox-static PRIVATE libuds::sandbox-static)
"""


HEADERS = [*(SOURCE / "libuds/include/uds").glob("*.h"), *(SOURCE / "sandbox/include/sbx").glob("*.h")]


def files_are_all_there_and_no_others(installed):
    found = {str(p.relative_to(installed.prefix)) for p in installed.prefix.rglob("*") if not p.is_dir()}
    lib = installed.libdir.relative_to(installed.prefix)
    version = installed.run(["pkg-config", "--modversion", "libuds"]).strip()
    expected = {f"include/{h.parent.name}/{h.name}" for h in HEADERS}
    for name in ("libuds", "libuds-event", "libuds-pb", "libuds-sandbox"):
        expected |= {f"{lib}/{name}{end}" for end in (".a", ".so", ".so.0", f".so.{version}")}
        expected.add(f"{lib}/pkgconfig/{name}.pc")
    expected |= {f"{lib}/cmake/libuds/libuds{end}.cmake" for end in ("Config", "ConfigVersion")}
    expected |= {str(p.relative_to(installed.prefix)) for p in installed.libdir.glob("cmake/libuds/*-targets*.cmake")}
    expected |= {"bin/uds", "bin/uds-bench", "bin/uds-broker", "libexec/uds/bwrap", "share/bash-completion/completions/uds", "share/doc/libuds/LICENSE"} | {f"libexec/uds/uds-{p}" for p in ("router", "sandbox-init", "cleaner", "bench-floor")}
    if "INTERP" not in run(["readelf", "-lW", installed.prefix / "bin/uds"]):
        expected |= {"libexec/uds/uds-ls", "libexec/uds/uds-sandbox-answer"}  # uds is linked with musl
    expected |= {f"share/man/man{p.suffix[1:]}/{p.name}" for p in (SOURCE / "docs/man").glob("*.[1-8]")}
    expected |= {f"share/man/man3/{p.stem}" for p in (SOURCE / "docs/man").glob("*.3.in")}
    paged = {p.name for p in (SOURCE / "docs/man").glob("*.3.in")}
    for header in (h for h in HEADERS if f"{h.parent.name}_{h.stem}.3.in" in paged):
        functions = re.findall(r"^UDS_EXPORT[^;]*?\b((?:uds|sbx)_\w+)\(", header.read_text(), re.M)
        expected |= {f"share/man/man3/{f}.3" for f in functions}
    expect(f"missing {expected - found}, too much {found - expected}", expected == found)
    expect("something outside the prefix", not [p for p in installed.stage.rglob("*") if not p.is_dir()])


def no_file_remembers_where_it_was_built(installed):
    for path in [*installed.pkgconfig.iterdir(), *(installed.libdir / "cmake/libuds").iterdir()]:
        for place in (BUILD, SOURCE, installed.stage):
            expect(f"{path.name} names {place}", str(place) not in path.read_text())
    for path in installed.libdir.glob("*.so.*.*"):
        paths = re.findall(r"R(?:UN)?PATH.*\[(.*)\]", run(["readelf", "-d", path]))
        expect(f"{path.name} has the run path {paths}", paths == ([] if path.name.startswith("libuds.so") else ["$ORIGIN"]))


def programs_lie_at_no_fixed_address(installed):
    """Where musl is; glibc's own static programs do."""
    musl = "INTERP" not in run(["readelf", "-lW", installed.prefix / "bin/uds"])
    for path in [*(installed.prefix / "bin").iterdir(), *(installed.prefix / "libexec/uds").glob("uds-*")]:
        about = run(["readelf", "-hldW", path])
        expect(f"{path.name} lies at a fixed address", "DYN (" in about or not (musl or "INTERP" in about))
        expect(f"{path.name} writes into its own text", "TEXTREL" not in about)


def headers_compile_alone(installed):
    include = installed.work / "include"  # pkg-config's words, which a header test puts in a command line
    include.symlink_to(installed.prefix / "include")
    print(installed.run([SOURCE / "tests/headers.sh", include]), end="")


def pkg_config_leads_to_it(installed):
    (installed.work / "user.c").write_text(PROGRAM)
    (installed.work / "user.cc").write_text(PROGRAM)
    version = installed.run("pkg-config --modversion libuds-pb")
    flags = "pkg-config --cflags --libs libuds-event libuds-pb"
    for command in (f'eval cc -o shared user.c "$({flags})"',
                    f'eval c++ -std=c++17 -o shared++ user.cc "$({flags})"',
                    f'eval cc -static -o static user.c "$({flags} --static)"'):
        program = re.search(r"-o (\S+)", command)[1]
        installed.run(command, cwd=installed.work)
        needed = run(["readelf", "-d", installed.work / program])
        expect(f"{program} needs\n{needed}", ("libuds.so.0" in needed) == (program != "static"))
        expect("the version", installed.run([installed.work / program]) == version)


def cmake_leads_to_it(installed):
    project = installed.work / "project"
    project.mkdir()
    (project / "CMakeLists.txt").write_text(PROJECT)
    (project / "user.c").write_text(PROGRAM)
    (project / "user.cc").write_text(PROGRAM)
    (project / "sandbox.c").write_text(SANDBOX)
    installed.run(["cmake", "-G", "Ninja", "-S", project, "-B", project / "b"])
    installed.run(["cmake", "--build", project / "b"])
    version = installed.run("pkg-config --modversion libuds")
    for program in ("shared", "static", "shared++"):
        needed = run(["readelf", "-d", project / "b" / program])
        expect(f"{program} needs\n{needed}", ("libuds.so.0" in needed) == (program != "static"))
        expect("the version", installed.run([project / "b" / program]) == version)


def starts(installed, program, **more):
    """What the program says of the sandbox that it starts, from a directory that is no help."""
    done = subprocess.run([program, installed.work / "run"], env={**installed.env, **more}, cwd="/", text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=60)
    return done.stdout


def a_sandbox_of_a_program_finds_what_it_starts(installed):
    """By the shared library, wherever the program is; by the static one from bin. What lies beside it and is somebody
    else's, or anybody's, is not taken."""
    (installed.work / "sandbox.c").write_text(SANDBOX)
    (installed.work / "sandbox.cc").write_text(SANDBOX)
    flags = "pkg-config --cflags --libs"
    installed.run(f'eval cc -o sandbox sandbox.c "$({flags} libuds-sandbox)"', cwd=installed.work)
    installed.run(f'eval c++ -std=c++17 -o sandbox++ sandbox.cc "$({flags} libuds-sandbox)"', cwd=installed.work)
    installed.run(f'eval cc -static -o sandbox-static sandbox.c "$({flags} --static libuds-sandbox)"', cwd=installed.work)
    for program in ("sandbox", "sandbox++", "project/b/sandbox"):
        said = starts(installed, installed.work / program)
        expect(f"{program}: {said}", said == "outcome 1, 3\n")
    needed = run(["readelf", "-d", installed.work / "project/b/sandbox-static"])
    expect(f"sandbox-static needs\n{needed}", "libuds" not in needed)

    lost = installed.work / "sandbox-static"
    said = starts(installed, lost)
    expect(f"not beside it: {said}", "not found in" in said and f"{installed.work}, {installed.work}/../libexec/uds" in said)
    found = shutil.copy(lost, installed.prefix / "bin/of-ours")
    said = starts(installed, found)
    os.unlink(found)
    expect(f"static: {said}", said == "outcome 1, 3\n")
    beside = pathlib.Path(shutil.copy(installed.prefix / "libexec/uds/uds-cleaner", installed.work))
    beside.chmod(0o757)
    said = starts(installed, lost)
    expect(f"anybody's: {said}", "uds-cleaner is not taken: everybody may write it" in said)
    if os.geteuid() == 0:
        beside.chmod(0o755)
        os.chown(beside, 65534, 65534)
        said = starts(installed, lost)
        expect(f"somebody else's: {said}", "uds-cleaner is not taken: it belongs to another user" in said)


def another_builds_init_is_refused(installed):
    """The library and the program were installed at different times: a start says so, and leaves nothing."""
    init = installed.prefix / "libexec/uds/uds-sandbox-init"
    digest = int(re.search(r"-DSBXI_STEPS_DIGEST=(0x\w+)u", (BUILD / "build.ninja").read_text())[1], 16)
    whole = init.read_bytes()
    expect("the digest is not in uds-sandbox-init", digest.to_bytes(4, "little") in whole)
    init.write_bytes(whole.replace(digest.to_bytes(4, "little"), (digest ^ 1).to_bytes(4, "little")))
    said = starts(installed, installed.work / "sandbox")
    init.write_bytes(whole)
    expect(f"another build: {said}", "is of another build" in said and "install them together" in said)
    expect("something is left", not [*(installed.work / "run/records").iterdir()])


def cmake_refuses_what_it_is_not(installed):
    project = installed.work / "refused"
    project.mkdir()
    for wanted, words in (("0.2", r"compatible\s+with\s+requested"), ("0.1 COMPONENTS evnet", "evnet")):
        (project / "CMakeLists.txt").write_text(
            f"cmake_minimum_required(VERSION 3.25)\nproject(x NONE)\nfind_package(libuds {wanted} REQUIRED)\n")
        done = subprocess.run(["cmake", "-S", project, "-B", project / "b"], env=installed.env, text=True,
                              capture_output=True)
        expect(f"{wanted}: {done.stderr}", done.returncode != 0 and re.search(words, done.stderr))


def programs_find_their_helpers(installed):
    version = installed.run("pkg-config --modversion libuds").strip()
    expect("uds version", f"uds {version} (libuds {version})" in installed.run(["uds", "version"]))
    steps = installed.run(["uds", "run", "--dry-run", "--", "/bin/true"])
    expect(f"uds run --dry-run: {steps}", "true" in steps)
    steps = installed.run(["uds", "run", "--dry-run", "--cap-add", "net_raw", "--", "/bin/true"])  # a filter is made
    expect(f"uds run --dry-run --cap-add: {steps}", "net_raw" in steps)
    expect("uds ls --help", "usage: uds ls" in installed.run(["uds", "ls", "--help"]))


run_parts(files_are_all_there_and_no_others, no_file_remembers_where_it_was_built, programs_lie_at_no_fixed_address, headers_compile_alone,
          pkg_config_leads_to_it, cmake_leads_to_it, a_sandbox_of_a_program_finds_what_it_starts,
          another_builds_init_is_refused, cmake_refuses_what_it_is_not, programs_find_their_helpers,
          name="a prefix")  # a space is what the newcomer's $(pkg-config …) cannot bear, and everything else must
