#!/bin/sh
# Man pages are clean mdoc; every public header has one, with its errors and with examples that compile. That all functions of
# the header are there, each with its whole contract, is seen to where the pages are made (docs/man/from-header.py).
# $UDS_BUILD: where the tree is built; without it only the hand-written pages are looked at.
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)
made=${UDS_BUILD:+$UDS_BUILD/man}
status=0
for page in "$root"/docs/man/*.[1-8] ${made:+"$made"/*.3}; do
    warnings=$(groff -mdoc -ww -Tascii -z "$page" 2>&1) || true
    [ -z "$warnings" ] || { echo "$page: $warnings"; status=1; }
done
[ -n "$made" ] || exit $status

dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
for page in "$root/docs/man/uds.3" "$root/docs/man/sbx.3" "$root"/libuds/include/uds/*.h "$root"/sandbox/include/sbx/*.h; do
    if [ "${page%.h}" != "$page" ]; then
        page=$made/$(basename "$(dirname "$page")")_$(basename "$page" .h).3
    fi
    name=$(basename "$page" .3)
    [ -s "$page" ] || { echo "$name(3) is missing: docs/man/$name.3.in"; status=1; continue; }
    grep -q '^\.Sh ERRORS' "$page" || { echo "$name(3) does not say its errors"; status=1; }
    python3 - "$page" "$dir/$name.c" <<'PY'
import re, sys
page = open(sys.argv[1]).read()
examples = page.split(".Sh EXAMPLES", 1)
code = re.findall(r"^\.Bd -literal[^\n]*\n(.*?)^\.Ed$", examples[1], re.S | re.M) if len(examples) == 2 else []
open(sys.argv[2], "w").write("\n".join(code).replace(r"\&", "").replace(r"\e", "\\"))
PY
    [ -s "$dir/$name.c" ] || { echo "$name(3) has no example"; status=1; continue; }
    cc -std=c11 -D_GNU_SOURCE -Wall -Wextra -Werror -fsyntax-only -I"$root/libuds/include" -I"$root/sandbox/include" "$dir/$name.c" ||
        { echo "$name(3): its example does not compile"; status=1; }
done
exit $status
