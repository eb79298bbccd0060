#!/bin/bash
# The demo as an ordinary user. Root becomes one: a uid that nobody has, without groups and capabilities.
set -u
[ "$UDS_SANITIZED" = 0 ] || { echo "a sanitizer's shadow memory does not fit under RLIMIT_DATA"; exit 77; }
if [ "$(id -u)" != 0 ]; then
    echo "we are an ordinary user: the test 'demo' is this one"
    exit 77
fi
dir=$(mktemp -d "${TMPDIR:-/tmp}/uds-rootless.XXXXXX") || exit 1
trap 'rm -rf "$dir"' EXIT
user=64242
become=(setpriv --reuid "$user" --regid "$user" --clear-groups --inh-caps=-all --bounding-set=-all)
"${become[@]}" unshare -U true 2>/dev/null || { echo "user namespaces are switched off for ordinary users"; exit 77; }

# The build may be where only root can read.
mkdir -p "$dir/build/bin" "$dir/build/examples/thumbnail" "$dir/source/tests/integration" "$dir/source/examples/thumbnail" "$dir/tmp"
for program in uds uds-broker uds-router uds-cleaner uds-sandbox-init uds-sandbox-answer uds-ls thumbnail-decoder thumbnail-client; do
    cp "$UDS_BIN/$program" "$dir/build/bin/" || exit 1
done
cp -r "$UDS_BUILD/examples/thumbnail/images" "$UDS_BUILD/examples/thumbnail/bombs" "$dir/build/examples/thumbnail/"
cp "$UDS_SOURCE/examples/demo.sh" "$dir/source/examples/"
cp "$UDS_SOURCE/examples/thumbnail/stack.yaml.in" "$dir/source/examples/thumbnail/"
cp "$UDS_SOURCE/tests/integration/demo.sh" "$dir/source/tests/integration/"
chown -R "$user:$user" "$dir/tmp"
chmod -R a+rX "$dir"

env -i PATH="$PATH" TMPDIR="$dir/tmp" UDS_SANITIZED=0 UDS_BIN="$dir/build/bin" UDS_BUILD="$dir/build" \
    UDS_SOURCE="$dir/source" "${become[@]}" "$dir/source/tests/integration/demo.sh"
code=$?
left=$(pgrep -u "$user" -a)
[ -z "$left" ] || { echo "FAILED: processes are left: $left"; code=1; }
rm -rf "/tmp/uds-$user"
exit $code
