#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What `cmake --install` leaves is complete, is nothing more, and works where it is moved to: by pkg-config and by
find_package, shared and static, from C and C++."""
import re
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

PROJECT = """
cmake_minimum_required(VERSION 3.25)
project(user LANGUAGES C CXX)
find_package(libuds 0.1 REQUIRED COMPONENTS event pb)
add_executable(shared user.c)
target_link_libraries(shared PRIVATE libuds::event libuds::pb)
add_executable(static user.c)
target_link_libraries(static PRIVATE libuds::event-static libuds::pb-static)
add_executable(shared++ user.cc)
set_target_properties(shared++ PROPERTIES CXX_STANDARD 17)
target_link_libraries(shared++ PRIVATE libuds::event libuds::pb)
"""


def files_are_all_there_and_no_others(installed):
    found = {str(p.relative_to(installed.prefix)) for p in installed.prefix.rglob("*") if not p.is_dir()}
    lib = installed.libdir.relative_to(installed.prefix)
    version = installed.run(["pkg-config", "--modversion", "libuds"]).strip()
    expected = {f"include/uds/{h.name}" for h in (SOURCE / "libuds/include/uds").glob("*.h")}
    for name in ("libuds", "libuds-event", "libuds-pb"):
        expected |= {f"{lib}/{name}{end}" for end in (".a", ".so", ".so.0", f".so.{version}")}
        expected.add(f"{lib}/pkgconfig/{name}.pc")
    expected |= {f"{lib}/cmake/libuds/libuds{end}.cmake" for end in ("Config", "ConfigVersion")}
    expected |= {str(p.relative_to(installed.prefix)) for p in installed.libdir.glob("cmake/libuds/*-targets*.cmake")}
    expected |= {"bin/uds", "bin/uds-bench", "bin/uds-broker", "libexec/uds/bwrap", "share/bash-completion/completions/uds", "share/doc/libuds/LICENSE"} | {f"libexec/uds/uds-{p}" for p in ("router", "sandbox-init", "cleaner")}
    if "INTERP" not in run(["readelf", "-lW", installed.prefix / "bin/uds"]):
        expected |= {"libexec/uds/uds-ls", "libexec/uds/uds-sandbox-answer"}  # uds is linked with musl
    expected |= {f"share/man/man{p.suffix[1:]}/{p.name}" for p in (SOURCE / "docs/man").glob("*.[1-8]")}
    expected |= {f"share/man/man3/{p.stem}" for p in (SOURCE / "docs/man").glob("*.3.in")}
    for header in (SOURCE / "libuds/include/uds").glob("*.h"):
        functions = re.findall(r"^UDS_EXPORT[^;]*?\b(uds_\w+)\(", header.read_text(), re.M)
        expected |= {f"share/man/man3/{f}.3" for f in functions}
    expect(f"missing {expected - found}, too much {found - expected}", expected == found)
    expect("something outside the prefix", not [p for p in installed.stage.rglob("*") if not p.is_dir()])


def no_file_remembers_where_it_was_built(installed):
    for path in [*installed.pkgconfig.iterdir(), *(installed.libdir / "cmake/libuds").iterdir()]:
        for place in (BUILD, SOURCE, installed.stage):
            expect(f"{path.name} names {place}", str(place) not in path.read_text())
    for path in installed.libdir.glob("*.so.*.*"):
        expect(f"{path.name} has a run path", not re.search(r"R(UN)?PATH", run(["readelf", "-d", path])))


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
    installed.run(["cmake", "-G", "Ninja", "-S", project, "-B", project / "b"])
    installed.run(["cmake", "--build", project / "b"])
    version = installed.run("pkg-config --modversion libuds")
    for program in ("shared", "static", "shared++"):
        needed = run(["readelf", "-d", project / "b" / program])
        expect(f"{program} needs\n{needed}", ("libuds.so.0" in needed) == (program != "static"))
        expect("the version", installed.run([project / "b" / program]) == version)


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
          pkg_config_leads_to_it, cmake_leads_to_it, cmake_refuses_what_it_is_not, programs_find_their_helpers,
          name="a prefix")  # a space is what the newcomer's $(pkg-config …) cannot bear, and everything else must
