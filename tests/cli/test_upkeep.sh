#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# status, sync and gc.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR
. "$(dirname "$0")/lib.sh"
lib_start pool
quietly create a

# ---- status ------------------------------------------------------------------------------------------------------------

run status
[[ "$status" == 0 && ! -s "$scratch/err" ]] || lib_fail "status: $status, $(cat "$scratch/err")"
cp "$scratch/out" "$scratch/text"
kernel="$(uname -r)"
grep -Eq "^kernel +.*${kernel//./\\.}" "$scratch/text" || lib_fail "no kernel:" "$(cat "$scratch/text")"
# Keys are padded to one column, in which all values begin.
columns="$(sed -E 's/^([a-z0-9_]+ +).*/\1/' "$scratch/text" | awk '{ print length($0) }' | sort -u | wc -l)"
[[ "$columns" == 1 ]] || lib_fail "not aligned:" "$(cat "$scratch/text")"
run status --json
[[ "$status" == 0 && "$(wc -l <"$scratch/out")" == 1 ]] || lib_fail "status --json:" "$(cat "$scratch/out")"
while read -r key _; do
	grep -Eq "\"$key\":(\"|[0-9])" "$scratch/out" || lib_fail "no $key in" "$(cat "$scratch/out")"
done <"$scratch/text"
if command -v jq >/dev/null; then
	[[ "$(jq -r 'del(.id, .ok) | keys_unsorted[]' "$scratch/out")" == "$(awk '{ print $1 }' "$scratch/text")" ]] || lib_fail "other keys"
fi

# ---- sync --------------------------------------------------------------------------------------------------------------

quietly sync
quietly rm a --relaxed
quietly sync --wait-clean
[[ -z "$(btrfs subvolume list -d "$VARVE_TEST_MOUNT")" ]] || lib_fail "sync --wait-clean did not wait for the cleaner"
run sync --json
expect 0 '{"id":null,"ok":true}'$'\n' ""

# The cleaner is often fast enough to be done anyway; the trace tells which of the two was asked for.
run sync --debug op
grep -q ' sync .*: COMMIT' "$scratch/err" || lib_fail "no commit:" "$(cat "$scratch/err")"
! grep -q ' sync .*: CLEAN' "$scratch/err" || lib_fail "plain sync waits for the cleaner"
run sync --debug op --wait-clean
grep -q ' sync .*: CLEAN' "$scratch/err" || lib_fail "sync --wait-clean does not wait for the cleaner"

# ---- gc ----------------------------------------------------------------------------------------------------------------

run gc
expect 0 "staging_removed      0
trash_removed        0
quota_files_removed  0
quota_groups_removed 0
records_removed      0
failures             0
" ""
mkdir -p "$home/quotas" "$home/.varve/trash"
echo 1048576 >"$home/quotas/gone"
btrfs subvolume create "$home/.varve/trash/leftover" >/dev/null
# A record that is none.
mkdir -p "$home/.varve/layers"
: >"$home/.varve/layers/gone"
# A command that only looks leaves that to gc.
run ls
expect 0 "" ""
run gc
expect 0 "staging_removed      0
trash_removed        1
quota_files_removed  1
quota_groups_removed 0
records_removed      1
failures             0
" ""
[[ ! -e "$home/quotas/gone" && ! -e "$home/.varve/layers/gone" && ! -e "$home/.varve/trash/leftover" ]] || lib_fail "gc has left something"
run gc --json
expect 0 '{"id":null,"ok":true,"staging_removed":0,"trash_removed":0,"quota_files_removed":0,"quota_groups_removed":0,"records_removed":0,"failures":0}'$'\n' ""
