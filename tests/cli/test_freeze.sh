#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# freeze makes layers read-only, thaw writable; both again change nothing, and what is wrong is reported. So it is for flush.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR
. "$(dirname "$0")/lib.sh"
lib_start pool

quietly create a b
quietly freeze a b
if touch "$home/subvolumes/a/new" 2>/dev/null; then
	lib_fail "a can be written"
fi
quietly freeze a
run info --json a
grep -q '"read_only":true' "$scratch/out" || lib_fail "info:" "$(cat "$scratch/out")"
quietly create --parent a child
touch "$home/subvolumes/child/new"
quietly thaw a
touch "$home/subvolumes/a/new"
quietly thaw a
if touch "$home/subvolumes/b/new" 2>/dev/null; then
	lib_fail "b can be written"
fi
quietly rm b
mkdir "$home/subvolumes/plain"
for command in freeze thaw flush; do
	run "$command" missing
	expect 1 "" "varve: no layer missing"
	run "$command" plain
	expect 1 "" "varve: ${command/thaw/freeze} plain: *not a subvolume of this store*"
	run --json "$command" a
	expect 0 '{"id":"a","ok":true}'$'\n' ""
done
