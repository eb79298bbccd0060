#!/bin/sh
# Man pages are clean mdoc.
set -eu
cd "$(dirname "$0")/../docs/man"
status=0
for page in *.[1-8]; do
    warnings=$(groff -mdoc -ww -Tascii -z "$page" 2>&1) || true
    [ -z "$warnings" ] || { echo "$page: $warnings"; status=1; }
done
exit $status
