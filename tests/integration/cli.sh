#!/bin/bash
# The verbs of uds against a broker without any configuration: what they print, how they exit, what they leave.
set -u
dir=$(mktemp -d "${TMPDIR:-/tmp}/uds-cli.XXXXXX") || exit 1
uds=$UDS_BIN/uds
export UDS_BROKER="unix:$dir/b.sock"
failed=0 broker= jobs=()

clean_up() {
    [ -z "$broker" ] || { kill "$broker" 2>/dev/null; wait "$broker" 2>/dev/null; }
    for job in "${jobs[@]}"; do
        kill "$job" 2>/dev/null
    done
    rm -rf "$dir"
}
trap clean_up EXIT

bad() {
    echo "FAILED: $1"
    failed=$((failed + 1))
}

# expect NAME CODE PATTERN COMMAND…: exit code, and a pattern that stdout and stderr together match.
expect() {
    local name=$1 code=$2 pattern=$3 got text
    shift 3
    echo "- $name" # seen where the test fails: also where it was when its time was over
    text=$("$@" 2>&1 </dev/null)
    got=$?
    [ "$got" = "$code" ] || bad "$name: exit $got, not $code: $text"
    grep -qE -- "$pattern" <<<"$text" || bad "$name: does not say '$pattern': $text"
}

# Until a file has a line that matches: no verb says anything before it is true.
await() {
    local deadline=$((SECONDS + 20))
    echo "- await $3"
    until grep -qsE -- "$2" "$1"; do
        [ $SECONDS -lt $deadline ] || { bad "$3: waited for '$2' in vain: $(cat "$1" 2>/dev/null)"; return 1; }
        read -r -t 0.02 <>"$dir/never"
    done
}
mkfifo "$dir/never" "$dir/ready"

# ---- without a broker ----

for verb in up cgroup layer jail ls pub sub request reply version; do
    expect "$verb --help" 0 '^examples:' "$uds" "$verb" --help
    expect "$verb --nonsense" 2 "^uds $verb: --nonsense: .*: see uds $verb --help" "$uds" "$verb" --nonsense
done
expect "help" 0 '^exit codes:' "$uds" --help
expect "no verb" 2 '^usage:' "$uds"
expect "unknown verb" 2 '^uds: frobnicate: no such verb' "$uds" frobnicate
expect "version" 0 '^uds [0-9]+\.' "$uds" version
expect "-V" 0 '^uds [0-9]+\.' "$uds" -V
expect "help of a verb" 0 '^usage: uds run' "$uds" help run
expect "help of a verb that may be a program of its own" 0 '^usage: uds ls' "$uds" help ls
ln -s loop "$dir/loop"
expect "an error in this machine's words" 121 "$dir/loop: Too many levels of symbolic links: see" "$uds" run --layer "$dir/loop" -- true
mkdir "$dir/beside"
cp "$UDS_BIN/uds" "$dir/beside"
printf '#!/bin/sh\necho it ran\n' >"$dir/beside/uds-broker"
chmod 755 "$dir/beside/uds-broker"
expect "what lies beside us is run" 0 '^it ran' "$dir/beside/uds" up "$dir/none.yaml"
chmod 777 "$dir/beside/uds-broker"
expect "not what anybody may have written" 1 'beside/uds-broker is not taken: everybody may write it: chmod o-w' "$dir/beside/uds" up "$dir/none.yaml"
chmod 755 "$dir/beside/uds-broker"
chmod 777 "$dir/beside"
expect "nor where anybody may write" 1 'its directory: everybody may write it: chmod o-w' "$dir/beside/uds" up "$dir/none.yaml"
chmod 755 "$dir/beside"
if [ "$(id -u)" != 0 ]; then
    echo "skip: only root can give files away: programs of others, or of a group, beside ours"
else
    chown 0:50 "$dir/beside/uds-broker"
    chmod 775 "$dir/beside/uds-broker"
    expect "not what a group may have written" 1 'uds-broker is not taken: a group may write it .*: chmod g-w' "$dir/beside/uds" up "$dir/none.yaml"
    chown 0:50 "$dir/beside" && chmod 2775 "$dir/beside"
    expect "but one that may write all of it, as in /usr/local" 0 '^it ran' "$dir/beside/uds" up "$dir/none.yaml"
    mkdir "$dir/libexec" "$dir/bin" && mkdir "$dir/libexec/uds"
    mv "$dir/beside/uds" "$dir/bin" && mv "$dir/beside/uds-broker" "$dir/libexec/uds"
    chown 0:0 "$dir/libexec/uds/uds-broker"
    chown 0:50 "$dir/libexec/uds" && chmod 2775 "$dir/libexec/uds"
    expect "nor where a group may write" 1 'is not taken: its directory: a group may write it' "$dir/bin/uds" up "$dir/none.yaml"
    chown 1:50 "$dir/libexec/uds" && chmod 755 "$dir/libexec/uds"
    expect "nor where somebody else may" 1 'its directory: it belongs to another user: chown it' "$dir/bin/uds" up "$dir/none.yaml"
    chown 1 "$dir/bin"
    expect "but he who may replace what asks" 0 '^it ran' "$dir/bin/uds" up "$dir/none.yaml"
fi
if [ "$(id -u)" = 0 ] && chmod 755 "$dir" && install -o 65534 -m 4755 "$UDS_BIN/test/more-rights" "$dir/more-rights" &&
    "$dir/more-rights" | grep -q '^secure 1'; then
    given=(XDG_RUNTIME_DIR=/nonexistent/us UDS_BROKER=unix:/theirs NOTIFY_SOCKET=nonsense)
    expect "the environment of our own program" 0 '^secure 0 broker unix:/theirs manager -22 ' env "${given[@]}" "$UDS_BIN/test/more-rights"
    expect "and of one that is more than who runs it" 0 '^secure 1 broker unix:/run/uds/broker.sock manager 0 run ($|.*/tmp/uds-65534)' \
        env "${given[@]}" "$dir/more-rights"
else
    echo "skip: a program that is setuid to somebody else: only root can make one, and not where nosuid is mounted"
fi
expect "gc of nothing" 1 '^uds sandbox: run directory: /nonexistent: No such file' "$uds" sandbox gc --run-dir /nonexistent
expect "no broker" 3 "^uds pub: connect: unix:$dir/b.sock: nobody listens there" "$uds" pub a b
expect "a file where the socket should be" 1 'address in use: what is there is no socket; ' "$UDS_BIN/uds-broker" --run-dir "$dir/run" --listen "$uds"
expect "bad address" 2 '^uds pub: address: smtp:x: not an address' "$uds" pub --to smtp:x a b
expect "bad fd" 1 '^uds pub: --fd: 77: Bad file descriptor' "$uds" pub --fd 77 a
expect "bad file" 1 '^uds pub: open: /nonexistent: No such file' "$uds" pub --file /nonexistent a
expect "bad header of a request" 2 '^uds request: -H: =x: not NAME=VALUE' "$uds" request -H =x a
expect "bad header of a reply" 2 '^uds reply: -H: x: not NAME=VALUE' "$uds" reply -H x a b
expect "bad header" 2 '^uds pub: -H: x: not NAME=VALUE' "$uds" pub -H x a
expect "bad duration" 2 '^uds sub: --timeout: soon: not a duration' "$uds" sub --timeout soon a
expect "two ways of output" 2 'exclude each other' "$uds" sub --json --raw a
expect "no reply" 2 'what is the reply' "$uds" reply a
expect "stdout that is full" 1 'standard output: cannot write' sh -c "'$uds' version >/dev/full"

# ---- completion ----

# offers WORD…: what bash would offer for the last word
offers() {
    (
        source "$UDS_SOURCE/cli/uds.bash"
        COMP_WORDS=("$uds" "$@") COMP_CWORD=$#
        _uds
        echo "${COMPREPLY[*]}"
    )
}
expect "verbs" 0 '^reply request$|^request reply$' offers re
expect "options" 0 '^--cpu .*--cpuset|^--cpu ' offers run --cp
expect "verbs of a verb" 0 '^watch$' offers cgroup w
expect "options of sandbox start" 0 '^--hostname$' offers sandbox start --name x --ho

# ---- with one ----

"$UDS_BIN/uds-broker" --listen "$UDS_BROKER" --run-dir "$dir/run" --ready-fd 9 9>"$dir/ready" 2>"$dir/log" &
broker=$!
timeout 20 head -c 1 "$dir/ready" >"$dir/byte"
[ -s "$dir/byte" ] || { cat "$dir/log"; echo "FAILED: the broker did not start"; exit 1; }

"$uds" sub --verbose --count 3 'news.>' >"$dir/sub" 2>"$dir/sub.err" &
sub=$!
"$uds" sub --verbose --json --count 3 'news.*' >"$dir/json" 2>"$dir/json.err" &
json=$!
jobs+=("$sub" "$json")
await "$dir/sub.err" 'news.>: subscribed' sub && await "$dir/json.err" 'subscribed' "sub --json"
expect "pub --confirm" 0 '' "$uds" pub --confirm news.weather sunny
expect "pub with a header" 0 '' "$uds" pub --confirm -H colour=red -H 'x=a"b' news.paint ''
printf 'a\0\377' >"$dir/bytes"
"$uds" pub --confirm news.bytes - <"$dir/bytes" || bad "pub from standard input"
wait "$sub" || bad "sub: exit $?"
wait "$json" || bad "sub --json: exit $?"
[ "$(wc -l <"$dir/sub.err")" = 1 ] || bad "sub says more than it must: $(cat "$dir/sub.err")"
grep -qE "^news.weather  uid:$(id -u)  sunny$" "$dir/sub" || bad "sub: $(cat "$dir/sub")"
grep -qE "^news.paint .*colour=red  x=a\"b$" "$dir/sub" || bad "sub does not show headers: $(cat "$dir/sub")"
grep -qE '^news.bytes .*\(3 bytes\)$' "$dir/sub" || bad "sub prints bytes: $(cat "$dir/sub")"
python3 - "$dir/json" <<'PY' || bad "sub --json: $(cat "$dir/json")"
import base64, json, sys
a, b, c = [json.loads(line) for line in open(sys.argv[1])]
assert (a["subject"], a["body"], a["sequence"], a["fds"]) == ("news.weather", "sunny", 1, []), a
assert b["headers"] == [["colour", "red"], ["x", 'a"b']] and b["body"] == "", b
assert base64.b64decode(c["body_base64"]) == b"a\0\xff", c
PY

"$uds" sub --verbose --raw --count 1 clock >"$dir/raw" 2>"$dir/raw.err" &
raw=$!
jobs+=("$raw")
await "$dir/raw.err" subscribed "sub --raw"
"$uds" pub --confirm clock - <"$dir/bytes"
wait "$raw"
cmp -s "$dir/raw" "$dir/bytes" || bad "sub --raw changes bytes"

"$uds" sub --verbose --count 1 files >"$dir/fds" 2>"$dir/fds.err" &
fds=$!
jobs+=("$fds")
await "$dir/fds.err" subscribed "sub of descriptors"
expect "pub --file" 0 '' "$uds" pub --confirm --file "$dir/bytes" files here
wait "$fds"
grep -qE '^files .*here  \[file-ro 3 bytes\]$' "$dir/fds" || bad "a descriptor: $(cat "$dir/fds" "$dir/fds.err")"

expect "sub --timeout" 0 '' "$uds" sub --timeout 100ms quiet
expect "sub --count --timeout" 5 '' "$uds" sub --timeout 100ms --count 1 quiet
expect "sub on nonsense" 2 'not a subject' "$uds" sub 'a..b'
expect "pub with a wildcard" 2 'not a subject' "$uds" pub 'a.*' x

# A member of a queue group gets a share: two messages, two members that end after one each.
for member in 1 2; do
    "$uds" sub --verbose --queue q --count 1 work >"$dir/q$member" 2>"$dir/q$member.err" &
    jobs+=("$!")
    eval "q$member=$!"
    await "$dir/q$member.err" subscribed "queue group"
done
"$uds" pub --confirm work one && "$uds" pub --confirm work two
# shellcheck disable=SC2154
wait "$q1" "$q2"
[ "$(cat "$dir/q1" "$dir/q2" | sort | awk '{print $3}' | paste -sd' ')" = "one two" ] ||
    bad "queue group: $(cat "$dir/q1" "$dir/q2")"

# ---- calls ----

serve() {
    rm -f "$dir/serve.err" # what the last one said is no answer
    "$uds" reply --verbose "$@" 2>"$dir/serve.err" &
    server=$!
    jobs+=("$server")
    await "$dir/serve.err" ': serving' "reply $1"
}
serve greeting hello
expect "request" 0 '^hello$' "$uds" request greeting
expect "no responders" 4 '^uds request: nobody: no-responders: ' "$uds" request nobody
expect "ls subscriptions counts what came to a server" 0 '^greeting +serves +uid:[0-9]+ +[0-9]+ +1 +0$' "$uds" ls subscriptions
for i in 8 7 6 5 4 3 2 1; do
    "$uds" sub --verbose "order.$i" 2>"$dir/order.$i" >&2 &
    jobs+=("$!")
    await "$dir/order.$i" subscribed "sub order.$i"
done
"$uds" ls --json | python3 -c 'import json,sys
d = json.load(sys.stdin)
ids, subjects = [c["id"] for c in d["connections"]], [s["subject"] for s in d["subscriptions"]]
assert len(ids) >= 8 and ids == sorted(ids) and subjects == sorted(subjects), (ids, subjects)' || bad "ls has no order"
kill "${jobs[@]: -8}"
"$uds" ls --json | python3 -c 'import json,sys; d=json.load(sys.stdin); assert d["subscriptions"][0]["serve"] and d["connections"] and d["sandboxes"] == []' ||
    bad "ls --json"
kill "$server"
wait "$server" || bad "reply ended by a signal: exit $?"

serve shout --count 2 -- tr a-z A-Z
[ "$(echo quiet | "$uds" request shout -)" = QUIET ] || bad "reply -- COMMAND"
# 300 KB through a command: neither side may block the other.
head -c 300000 /dev/zero | tr '\0' x | "$uds" request shout - | tr -d X | wc -c | grep -qx 0 || bad "a large request"
wait "$server" || bad "reply --count: exit $?"
serve fail --count 1 -- sh -c 'exit 7'
expect "a command that fails" 4 '^uds request: fail: internal: the command exited with 7' "$uds" request fail
wait "$server"
serve sum --count 1 -- sh -c 'sha256sum <&3; echo "$UDS_SUBJECT $UDS_SENDER $LISTEN_FDS"'
expect "a descriptor for a command" 0 "^$(sha256sum <"$dir/bytes" | cut -c1-64)" "$uds" request --file "$dir/bytes" sum
wait "$server"
serve slow --count 1 -- sleep 60
expect "no reply in time" 5 '^uds request: slow: deadline' "$uds" request --timeout 200ms slow
wait "$server" || bad "a command that is too slow is not killed: exit $?"
serve missing --count 1 -- /nonexistent/command
expect "a command that is not there" 4 'internal: the command exited with 127' "$uds" request missing
wait "$server"
grep -q 'run: /nonexistent/command: No such file' "$dir/serve.err" || bad "reply does not say which command is missing"

# ---- headers ----

serve dressed -H kind=fixed -H "esc=$(printf '\033[31m')" hello
"$uds" request dressed >"$dir/out" 2>"$dir/err"
[ "$(cat "$dir/out")" = hello ] || bad "a reply with headers: $(cat "$dir/out")"
grep -qx 'uds request: header of the reply: kind=fixed' "$dir/err" || bad "a reply's header: $(cat "$dir/err")"
grep -q "$(printf '\033')" "$dir/err" && bad "a header steers the terminal"
kill "$server"
wait "$server"
UDS_HEADER_OLD=stale serve headers -H row=x --stream -- sh -c \
    'echo "$UDS_HEADER_TRACE_ID|$UDS_HEADER_LD_PRELOAD|${LD_PRELOAD-}|${UDS_HEADER_OLD-}"'
text=$("$uds" request -H trace-id=17 -H Trace.ID=18 -H LD_PRELOAD=evil.so headers 2>"$dir/err")
[ "$text" = "17|evil.so||" ] || bad "headers of a request for a command: $text"
grep -qx 'uds request: header of the reply: row=x' "$dir/err" || bad "a command's reply has no header: $(cat "$dir/err")"
"$uds" request --stream headers >"$dir/out" 2>"$dir/err"
grep -qx 'uds request: header of the part: row=x' "$dir/err" || bad "a part has no header: $(cat "$dir/err")"
grep -qx 'uds request: header of the reply: row=x' "$dir/err" || bad "the end of a stream has no header: $(cat "$dir/err")"
kill "$server"
wait "$server"
long=$(printf '%05000d' 0) # names of headers may be so long
export "UDS_HEADER_$long=stale"
serve longer --count 1 -- sh -c 'env | grep -c ^UDS_HEADER_000; true'
unset "UDS_HEADER_$long"
expect "no long header of another request" 0 '^0$' "$uds" request longer
wait "$server"

# ---- streams ----

expect "--stream without a command" 2 'of what\?' "$uds" reply --stream a b
serve count --stream -- sh -c 'seq 1 1000; printf end'
[ "$("$uds" request --stream count)" = "$(seq 1 1000; echo end)" ] || bad "a stream"
[ "$("$uds" request count)" = "$(seq 1 1000; printf end)" ] || bad "the same in one reply"
kill "$server"
wait "$server"
# Nobody reads: the command stops where the window and the pipes are full, and does not print for ever.
serve endless --stream --count 1 -- sh -c 'exec 9>"$0"; i=0; while echo $i; do i=$((i + 1)); echo $i >&9; done' "$dir/endless"
mkfifo "$dir/fifo"
"$uds" request --stream endless >"$dir/fifo" &
request=$!
jobs+=("$request")
exec 8<"$dir/fifo"
read -r first <&8
[ "$first" = 0 ] || bad "the first part: $first"
last=-1
for _ in $(seq 100); do
    now=$(tail -n 1 "$dir/endless")
    [ "$now" = "$last" ] && break
    last=$now
    sleep 0.2
done
[ "$now" = "$last" ] || bad "a command that nobody reads goes on"
# The caller goes away: its command ends.
kill "$request"
wait "$request"
exec 8<&-
wait "$server" || bad "the command of a caller that went away is not killed: exit $?"
serve half --stream --count 1 -- sh -c 'echo one; echo two; exit 9'
expect "a stream that fails" 4 '^uds request: half: internal: the command exited with 9' "$uds" request --stream half
wait "$server"
serve lost --stream -- sh -c 'echo one; sleep 60'
"$uds" request --stream lost >"$dir/lost" 2>"$dir/lost.err" &
request=$!
jobs+=("$request")
await "$dir/lost" one "the first part"
kill -9 "$server"
wait "$request"
[ $? = 4 ] || bad "a server killed in the middle of a stream"
grep -q 'lost: callee-lost' "$dir/lost.err" || bad "a server killed in the middle: $(cat "$dir/lost.err")"

# ---- the broker goes away, and comes back ----

"$uds" sub --verbose --count 1 back >"$dir/back" 2>"$dir/back.err" &
back=$!
jobs+=("$back")
await "$dir/back.err" subscribed back
kill "$broker"
wait "$broker"
await "$dir/back.err" 'connection lost' "a lost broker is told"
"$UDS_BIN/uds-broker" --listen "$UDS_BROKER" --run-dir "$dir/run" 2>>"$dir/log" &
broker=$!
await "$dir/back.err" 'connected again' "a broker that is back"
deadline=$((SECONDS + 20))
until [ -s "$dir/back" ] || [ $SECONDS -ge $deadline ]; do
    "$uds" pub --confirm back again 2>/dev/null
done
wait "$back" || bad "sub across a restart: exit $?"

kill "$broker"
wait "$broker" || bad "the broker: exit $?"
broker=

# ---- in a sandbox: a script runs uds again and again, and each time it is that sandbox ----

cat >"$dir/stack.yaml" <<EOF
broker: {run_dir: $dir/run}
sandboxes:
  script:
    command: [/bin/sh, -c, "for i in 1 2 3; do $uds pub --confirm ours.\$i x && echo accepted \$i; done; $uds pub --confirm other x"]
    root: {jail: [/bin/sh, $uds]}
    publish: [ours.>]
    env: {ASAN_OPTIONS: detect_leaks=0} # LSan's tracer ptraces, which no sandbox may
    degrade: [cgroup, cpu, id-range, landlock, stats]
EOF
"$uds" up "$dir/stack.yaml" 2>"$dir/up" &
broker=$!
await "$dir/up" 'script: +exited|^uds-broker: ' "a script in a sandbox"
[ "$(grep -c '^accepted' "$dir/up")" = 3 ] && grep -q 'uds pub: other: denied: .*(default deny)' "$dir/up" ||
    bad "a script in a sandbox: $(cat "$dir/up")"
kill "$broker"
wait "$broker" || bad "the stack: exit $?"
broker=
[ ! -e "$dir/b.sock" ] || bad "the socket file is left"
[ $failed = 0 ]
