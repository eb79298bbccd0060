#!/bin/bash
# The main job: untrusted images, decoded in jails. Does its own set-up, shows what it shows, leaves nothing behind.
set -u
root=$(cd "$(dirname "$0")/.." && pwd)

usage() {
    cat <<'HELP'
usage: examples/demo.sh [--json] [--out DIR] [IMAGE...]

Installs missing packages, builds, starts a broker with a sandboxed decoder, and shows
thumbnails, what the decoder sees, what a bomb does to it, what refuses it when it
misbehaves, and what the broker saw. Works as root and as an ordinary user.

  IMAGE...     PNG or JPEG files (default: a few that come with the example)
  --out DIR    keep the thumbnails there
  --json       one JSON document instead of text; "output" names what --out keeps

$UDS_BIN: a directory of built programs to use instead of building.

Exit status: 0 all as it should be, 1 something was not (it says what), 2 usage.

examples:
  examples/demo.sh
  examples/demo.sh ~/photos/*.jpg
  examples/demo.sh --json | jq .misbehaviour
HELP
}

json= out= images=()
while [ $# -gt 0 ]; do
    case $1 in
    --json) json=1 ;;
    --out) [ $# -ge 2 ] || { usage >&2; exit 2; }; out=$2; shift ;;
    -h | --help) usage; exit 0 ;;
    --) shift; images+=("$@"); break ;;
    -*) echo "demo: $1: not an option: see --help" >&2; exit 2 ;;
    *) images+=("$1") ;;
    esac
    shift
done

dir= broker= child= problems=0 stopped=
pids=() cgroups=()

say() { [ -n "$json" ] || printf '%s\n' "$@"; }
section() { say "" "$1"; }
problem() {
    echo "demo: $1" >&2
    problems=$((problems + 1))
}
fatal() {
    echo "demo: $1" >&2
    exit 1
}

# Runs in the background and waits: a signal that comes meanwhile is handled at once, not afterwards.
run() {
    "$@" &
    child=$!
    wait "$child"
    local code=$?
    child=
    return $code
}

stop_broker() {
    [ -n "$broker" ] || return 0
    kill -TERM "$broker" 2>/dev/null
    wait "$broker"
    broker=
}

clean_up() {
    trap '' INT TERM
    [ -z "$child" ] || kill -TERM "$child" 2>/dev/null
    stop_broker
    [ -z "$dir" ] || rm -rf "$dir"
}
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# ---- set-up ----

build() {
    local log=$root/build/demo.log
    mkdir -p "$root/build" || exit 1
    run "$root/tests/setup.sh" || exit 1
    [ -f "$root/build/release/build.ninja" ] || say "building, this takes a minute the first time"
    if ! { run cmake -S "$root" --preset release && run cmake --build "$root/build/release" --target \
        uds-cli uds-broker uds-router uds-cleaner uds-sandbox-init uds-sandbox-answer uds-ls \
        thumbnail-decoder thumbnail-client thumbnail-images; } >"$log" 2>&1; then
        grep -E 'error|FAILED' -A 3 "$log" | head -n 20 >&2
        fatal "build: $root: it failed: all of it is in $log"
    fi
    UDS_BIN=$root/build/release/bin
}

[ -n "${UDS_BIN:-}" ] || build
bin=$UDS_BIN
shipped=$bin/../examples/thumbnail
for program in uds uds-broker uds-router thumbnail-decoder thumbnail-client; do
    [ -x "$bin/$program" ] || fatal "$bin/$program: not there: build it, or unset UDS_BIN"
done
[ ${#images[@]} -gt 0 ] || images=("$shipped"/images/*)

dir=$(mktemp -d "${TMPDIR:-/tmp}/uds-demo.XXXXXX") || exit 1
uid=$(id -u)
degrade=
[ "$uid" = 0 ] || degrade="cgroup, cpu, id-range, stats"
sed -e "s|@RUN_DIR@|$dir/run|" -e "s|@DECODER@|$(readlink -f "$bin/thumbnail-decoder")|" -e "s|@UID@|$uid|" \
    -e "s|@DEGRADE@|$degrade|" "$root/examples/thumbnail/stack.yaml.in" >"$dir/stack.yaml"
export UDS_BROKER="unix:$dir/run/broker.sock"
keep=$out # without it the thumbnails go when the demo does, and are not named
mkdir -p -- "${out:=$dir/out}" || exit 1

client() { run "$bin/thumbnail-client" ${json:+--json} --out "$out" "$@"; }

# ---- the broker ----

mkfifo "$dir/ready"
"$bin/uds" up --ready-fd 9 "$dir/stack.yaml" 9>"$dir/ready" 2>"$dir/log" &
broker=$!
run timeout 20 head -c 1 "$dir/ready" >"$dir/byte"
if [ ! -s "$dir/byte" ]; then
    cat "$dir/log" >&2
    fatal "broker: it did not start (its words are above)"
fi
if [ "$uid" = 0 ]; then
    say "As root: each sandbox has its own namespaces, host ids and cgroup."
else
    say "As uid $uid, without root: what the kernel does not grant is left out, as the stack file permits."
fi
[ -n "$json" ] || sed -n -E -e 's/, cgroup [^,]*//' -e 's/^[a-z]+: +started/  &/p' "$dir/log"
explain() { ! grep -qE "degraded: .*\b$1\b" "$dir/log" || say "  without $1: $2"; }
explain cgroup "memory is limited by RLIMIT_DATA, pids by RLIMIT_NPROC, cpu by nothing; no statistics"
explain cpu "cpu is limited by nothing"
explain id-range "one host id, that of the caller, instead of a range of its own"
explain landlock "passed files are protected by other means, or not passed"
explain stats "no statistics"

# ---- what must be gone at the end ----

remember() {
    local list pid
    list=$("$bin/uds" ls --json sandboxes) || return
    mapfile -t cgroups < <(grep -o '"cgroup": "[^"]*"' <<<"$list" | sed 's/.*: "\(.*\)"/\1/' | grep .)
    pids=("$broker")
    # The broker's descendants, and theirs.
    local i=0
    while [ $i -lt ${#pids[@]} ]; do
        for pid in $(cat /proc/"${pids[$i]}"/task/*/children 2>/dev/null); do
            pids+=("$pid")
        done
        i=$((i + 1))
    done
}

left_behind() {
    local pid cgroup
    for pid in "${pids[@]}"; do
        [ ! -e "/proc/$pid" ] || echo "process $pid ($(tr '\0' ' ' <"/proc/$pid/cmdline" 2>/dev/null))"
    done
    for cgroup in "${cgroups[@]}"; do
        find /sys/fs/cgroup -maxdepth 8 -type d -path "*$cgroup" 2>/dev/null | sed 's/^/cgroup /'
    done
    grep -F "$dir" /proc/self/mountinfo | awk '{print "mount " $5}'
    find "$dir/run" -type s 2>/dev/null | sed 's/^/socket /'
}

# ---- the show ----

section "1  Thumbnails: descriptors of images go in, sealed memory comes out"
client -- "${images[@]}" >"$dir/thumbnails"
code=$?
[ -n "$json" ] || cat "$dir/thumbnails"
[ $code = 0 ] || problem "an image failed"

section "2  What the decoder sees"
client --view >"$dir/view"
code=$?
[ -n "$json" ] || cat "$dir/view"
[ $code = 0 ] || problem "the decoder is not isolated, or could not be looked at"

section "3  Bombs: small files of huge dimensions that must be held whole"
small=$shipped/images/palette.png
client --out "$dir" "$shipped/bombs/interlaced-bomb.png" "$small" "$shipped/bombs/progressive-bomb.jpg" "$small" >"$dir/bombs"
[ -n "$json" ] || cat "$dir/bombs"
[ -n "$json" ] || sed -n 's/^decoder: killed/  &/p' "$dir/log"
expected='callee-oom'
[ "$uid" = 0 ] || expected='(callee-oom|memory-limit)'
if [ -n "$json" ]; then
    hits=$(grep -cE "\"status\": \"$expected\"" "$dir/bombs")
    good=$(grep -c '"ok": true' "$dir/bombs")
else
    hits=$(grep -cE "FAILED $expected" "$dir/bombs")
    good=$(grep -c ' → ' "$dir/bombs")
fi
[ "$hits" = 2 ] || problem "bombs: $hits of 2 ended at the memory limit"
[ "$good" = 2 ] || problem "bombs: $good of 2 images after them succeeded"

section "4  A decoder that misbehaves, and what refuses it"
client --subject rogue --misbehave "$small" >"$dir/misbehaviour"
code=$?
[ -n "$json" ] || cat "$dir/misbehaviour"
[ $code = 0 ] || problem "an attempt was not refused"

section "5  What the broker saw"
remember
"$bin/uds" ls ${json:+--json} sandboxes >"$dir/list" || problem "the broker does not list"
[ -n "$json" ] || sed 's/^/  /' "$dir/list"

stop_broker
left_behind >"$dir/left"
[ ! -s "$dir/left" ] || problem "something is left behind: $(paste -s -d, "$dir/left")"
if [ -z "$json" ]; then
    say ""
    [ -s "$dir/left" ] || say "Ended: no process, cgroup, mount or socket is left."
else
    [ -n "$keep" ] || sed -i 's/, "output": "\([^"\\]\|\\.\)*"//' "$dir/thumbnails"
    sed -i 's/, "output": "\([^"\\]\|\\.\)*"//' "$dir/bombs"
    part() { grep . "$1" || echo null; } # a step that failed may have said nothing
    printf '{"uid": %s, "thumbnails": %s, "view": %s, "bombs": %s, "misbehaviour": %s, "broker": %s, ' "$uid" \
        "$(part "$dir/thumbnails")" "$(part "$dir/view")" "$(part "$dir/bombs")" "$(part "$dir/misbehaviour")" \
        "$(part "$dir/list")"
    printf '"left": %s, "problems": %s}\n' "$(wc -l <"$dir/left")" "$problems"
fi
[ "$problems" = 0 ]
