#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The first program of README.md is short, is what was built, and does what it says.
# varve-test: backend=any
set -euo pipefail
# shellcheck source=tests/embedding/embedding.sh
. "$(dirname "${BASH_SOURCE[0]}")/embedding.sh"

readonly LINES_MAX=30

need_built docs/examples/first
"$root/docs/first-program" "$root/README.md" >"$tmp/first.c"
cmp "$tmp/first.c" "$build/docs/examples/first.c" || fail "README.md has another program than was built"
lines="$(wc -l <"$tmp/first.c")"
((lines <= LINES_MAX)) || fail "$lines lines, more than $LINES_MAX"

need_mount
home="$mount/first"
expect_status 0 "$tmp/output" "$build/docs/examples/first" "$home"
[[ "$(cat "$tmp/output")" == "$home/subvolumes/web" ]] || fail "it printed: $(cat "$tmp/output")"
[[ -d "$home/subvolumes/web" && -d "$home/subvolumes/base" ]] || fail "the layers are not there"
expect_status 1 "$tmp/output" "$build/docs/examples/first" "$home"
expect_line "$tmp/output" '^create base: .*: File exists$'
expect_status 1 "$tmp/output" "$build/docs/examples/first" /proc/varve
