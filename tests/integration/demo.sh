#!/bin/bash
# The demo as it comes, and on real images of the distribution: text and JSON.
set -u
if [ "$UDS_SANITIZED" != 0 ] && [ "$(id -u)" != 0 ]; then
    echo "a sanitizer's shadow memory does not fit under RLIMIT_DATA, which limits memory where we are not root"
    exit 77
fi
dir=$(mktemp -d "${TMPDIR:-/tmp}/uds-demo-test.XXXXXX") || exit 1
trap 'rm -rf "$dir"' EXIT
export TMPDIR=$dir
failed=0
bad() {
    echo "FAILED: $1"
    failed=$((failed + 1))
}

"$UDS_SOURCE/examples/demo.sh" --out "$dir/out" >"$dir/text" 2>"$dir/errors" || bad "exit $?"
[ ! -s "$dir/errors" ] || bad "stderr: $(cat "$dir/errors")"
[ "$(grep -c '→' "$dir/text")" = 10 ] || bad "8 images and 2 after the bombs should succeed"
[ "$(grep -c 'different' "$dir/text")" = 7 ] || bad "seven namespaces of its own"
for what in 'open /etc/passwd' 'connect to 127.0.0.1' 'fork without end' 'send a directory' 're-open the image' \
    'fchmod the image' 'publish on' 'ask the broker'; do
    grep -qE "^  $what" "$dir/text" || bad "the attempt '$what' is missing"
done
! grep -q SUCCEEDED "$dir/text" || bad "an attempt succeeded"
grep -q 'no process, cgroup, mount or socket is left' "$dir/text" || bad "the last line is missing"
[ "$(find "$dir/out" -name '*.thumb.png' | wc -l)" = 8 ] || bad "thumbnails: $(ls "$dir/out")"

# Real files, whatever this machine has of them.
mapfile -t real < <(find /usr/share /usr/lib/python3* \( -name '*.png' -o -name '*.jpg' \) -type f -size +1k 2>/dev/null | head -n 10)
"$UDS_SOURCE/examples/demo.sh" --json "${real[@]}" >"$dir/json" 2>"$dir/errors" || bad "--json: exit $?: $(cat "$dir/errors")"
python3 - "$dir/json" "$(id -u)" "${#real[@]}" <<'PY' || bad "--json: $(cat "$dir/json")"
import json, sys
demo, root, count = json.load(open(sys.argv[1])), sys.argv[2] == "0", int(sys.argv[3]) or 8
assert demo["problems"] == 0 and demo["left"] == 0
assert len(demo["thumbnails"]) == count and all(t["ok"] for t in demo["thumbnails"])
for t in demo["thumbnails"]:
    assert 1 <= max(t["width"], t["height"]) <= 256 and t["source_width"] >= t["width"]
view = demo["view"]
assert len(view["namespaces"]) == 7
assert all(n["inside"] != n["host"] for n in view["namespaces"].values()), view
assert view["cap_effective"] == 0 and view["cap_bounding"] == 0 and view["no_new_privs"] and view["seccomp"] == 2
assert all(i.startswith("lo") for i in view["interfaces"])
assert not any(f.startswith("/etc/passwd") for f in view["files"])
bombs = demo["bombs"]
assert [b["ok"] for b in bombs] == [False, True, False, True], bombs
decoder = next(s for s in demo["broker"]["sandboxes"] if s["name"] == "decoder")
rogue = next(s for s in demo["broker"]["sandboxes"] if s["name"] == "rogue")
if root:
    for b in bombs[0], bombs[2]:
        assert b["status"] == "callee-oom" and b["value"] == 64 << 20, b
    assert view["host"]["known"] and view["host"]["uid"] >= 0x70000000
    assert view["host"]["memory_limit"] == 64 << 20 and view["host"]["pids_limit"] in (8, 9)  # and the init of the sandbox
    assert view["host"]["cpu_limit"].startswith("50%")
    assert decoder["oom_kills"] >= 2 and decoder["starts"] == 3, decoder
    assert decoder["cpu_usec"] > 0 and decoder["memory_peak_bytes"] > 32 << 20
    assert rogue["pids_refused"] >= 1 and decoder["degraded"] == []
else:
    for b in bombs[0], bombs[2]:
        assert b["status"] == "memory-limit" and "rlimit" in b["error"] and b["value"] == 64 << 20, b
    assert decoder["starts"] == 1 and decoder["degraded"]
assert rogue["denied"] >= 2
assert len(demo["misbehaviour"]) == 8
for attempt in demo["misbehaviour"]:
    assert attempt["refused"] and attempt["refused_by"], attempt
PY
# What is no image fails by itself, whatever it is called; the rest of the demo does not depend on it.
mkdir "$dir/odd"
mkfifo "$dir/odd/fifo.png"
echo text >"$dir/odd/text.png"
cp "$UDS_BUILD/examples/thumbnail/images/palette.png" "$dir/odd/-one two.png"
(cd "$dir/odd" && timeout 60 "$UDS_SOURCE/examples/demo.sh" --json -- fifo.png -one\ two.png missing.png text.png .) \
    >"$dir/json" 2>"$dir/errors"
code=$?
[ $code = 1 ] || bad "odd images: exit $code: $(cat "$dir/errors")"
[ "$(cat "$dir/errors")" = "demo: an image failed" ] || bad "odd images: stderr: $(cat "$dir/errors")"
python3 - "$dir/json" <<'PY' || bad "odd images: $(cat "$dir/json")"
import json, sys
demo = json.load(open(sys.argv[1]))
assert demo["problems"] == 1 and demo["left"] == 0
assert [t.get("status", "ok") for t in demo["thumbnails"]] == ["fd-refused", "ok", "failed", "bad-request", "fd-refused"]
assert not any("output" in t for t in demo["thumbnails"] + demo["bombs"]), "a file that is gone is named"
assert len(demo["misbehaviour"]) == 8 and all(a["refused"] for a in demo["misbehaviour"])
assert [a["outcome"] for a in demo["misbehaviour"]].count("fd-refused") == 1
PY
# What it makes below $TMPDIR is gone, of all runs.
[ -z "$(find "$dir" -maxdepth 1 -name 'uds-demo.*')" ] || bad "left: $(ls "$dir")"
[ $failed = 0 ] || cat "$dir/text"
[ $failed = 0 ]
