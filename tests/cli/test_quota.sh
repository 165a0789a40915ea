#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# varve-test: timeout=120 kernel-says=rescan.is.already.in.progress
# Sizes, groups and the quota commands; limits hold over a remount, which is what a reboot is to a file system.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR
. "$(dirname "$0")/lib.sh"
lib_start pool

# A pool of our own: it is unmounted and mounted again.
pool="$scratch/pool"
lib_mounts+=("$pool")
quietly pool create "$scratch/pool.img" --size 512m --mount "$pool"
home="$pool/store"
lib_options+=(--home "$home")

# Layer $1 has the limit $2 in force ("-": none).
expect_limit() {
	local limit
	run info "$1"
	limit="$(sed -n 's/^Limit: *//p' "$scratch/out")"
	[[ "$limit" == "$2" ]] || lib_fail "layer $1 has the limit $limit, not $2" "$(cat "$scratch/out")"
}

# Writing $2 MiB into layer $1 fails for want of quota.
expect_full() {
	if dd if=/dev/zero of="$home/subvolumes/$1/file" bs=1M count="$2" conv=fsync 2>"$scratch/dd"; then
		lib_fail "$2 MiB went into layer $1"
	fi
	grep -q "Disk quota exceeded" "$scratch/dd" || lib_fail "$(cat "$scratch/dd")"
}

quietly create first
quietly rm first
run quota status
expect 0 "mode             off
records          0
" ""
run quota enable --simple
mode=simple
if [[ "$status" != 0 ]]; then
	expect 1 "" "varve: quota: *Operation not supported (this kernel has no simple quotas*"
	run quota status
	expect 0 "mode             off
records          0
" ""
	mode=full
	quietly quota enable
	quietly quota rescan --wait
else
	quietly quota enable --simple
	run quota enable
	expect 1 "" "varve: quota: *Device or resource busy (quota runs in the other mode*"
fi
quietly create base --size 8m
quietly create child --parent base --opt size=6M
[[ "$(cat "$home/quotas/child")" == 6291456 ]] || lib_fail "child is not recorded: $(cat "$home/quotas/child")"
expect_limit base 8388608
expect_limit child 6291456
expect_full base 20

# ---- a remount ---------------------------------------------------------------------------------------------------------

quietly pool umount "$pool"
quietly pool mount "$scratch/pool.img" "$pool"
run quota status --json
expect 0 '{"id":null,"ok":true,"mode":"'"$mode"'","inconsistent":false,"rescan_running":false,"groups":3,"groups_stale":0,"records":2}'$'\n' ""
expect_limit child 6291456
expect_full child 20
quietly rm child

# ---- limit -------------------------------------------------------------------------------------------------------------

quietly quota limit base none
expect_limit base -
[[ ! -e "$home/quotas/base" ]] || lib_fail "a layer without a limit is recorded"
quietly quota limit base 64m
expect_limit base 67108864
run quota limit base lots
expect 2 "" "varve: quota limit: lots: not a size*"
run quota limit base 0
expect 2 "" "varve: quota limit: 0: not a size*"
run quota limit nothing 1m
expect 1 "" "varve: no layer nothing"

# ---- what is recorded is applied by get --------------------------------------------------------------------------------

quietly quota disable
run quota status
expect 0 "mode             off
records          1
" ""
quietly quota enable
run quota rescan --wait
expect 0 "" ""
expect_limit base -
run get base
expect 0 "$home/subvolumes/base"$'\n' ""
expect_limit base 67108864
run quota status
[[ "$status" == 0 ]] || lib_fail "quota status: $(cat "$scratch/err")"
grep -q "^mode  *full$" "$scratch/out" || lib_fail "$(cat "$scratch/out")"
grep -q "full quotas make" "$scratch/err" || lib_fail "quota status does not say what full quotas cost"
run status
grep -q "^quota  *full$" "$scratch/out" || lib_fail "$(cat "$scratch/out")"
# ---- a remount in full mode, and inconsistency ---------------------------------------------------------------------------

quietly create child --parent base --size 6m
quietly pool umount "$pool"
quietly pool mount "$scratch/pool.img" "$pool"
expect_limit base 67108864
expect_limit child 6291456
dd if=/dev/zero of="$home/subvolumes/base/data" bs=1M count=1 conv=fsync 2>"$scratch/dd" || lib_fail "$(cat "$scratch/dd")"
expect_full child 20
run usage child
grep -q "^Limit: *6291456$" "$scratch/out" || lib_fail "$(cat "$scratch/out")"
btrfs qgroup create 1/100 "$pool"
number="$("$varve" --home "$home" info --json child | sed 's/.*"subvolume_id":\([0-9]*\).*/\1/')"
btrfs qgroup assign --no-rescan "0/$number" 1/100 "$pool" >"$scratch/assign" 2>&1 || true
run quota status
grep -q "warning: quota is inconsistent: limits are not enforced" "$scratch/err" || lib_fail "$(cat "$scratch/err")"
quietly quota rescan --wait
run quota status
if grep -q inconsistent "$scratch/err"; then
	lib_fail "after a rescan: $(cat "$scratch/err")"
fi
quietly rm child

# ---- groups ------------------------------------------------------------------------------------------------------------

if [[ "$mode" == full ]]; then
	# Nothing of groups here; what is stale goes, where the kernel does not do that itself.
	quietly quota disable
	quietly quota enable
	quietly quota rescan --wait
	quietly rm base
	quietly sync --wait-clean
	run quota gc
	[[ "$status" == 0 ]] || lib_fail "quota gc: $(cat "$scratch/err")"
	run quota status --json
	expect 0 '{"id":null,"ok":true,"mode":"full","inconsistent":false,"rescan_running":false,"groups":1,"groups_stale":0,"records":0}'$'\n' ""
	quietly pool umount "$pool"
	exit
fi
quietly quota disable
quietly quota enable --simple
quietly create --group job:8m --group all one two
dd if=/dev/zero of="$home/subvolumes/one/file" bs=1M count=6 conv=fsync 2>"$scratch/dd" || lib_fail "$(cat "$scratch/dd")"
expect_full two 6
quietly quota limit --group job 64m
rm -f "$home/subvolumes/two/file"
dd if=/dev/zero of="$home/subvolumes/two/file" bs=1M count=6 conv=fsync 2>"$scratch/dd" || lib_fail "$(cat "$scratch/dd")"
run quota limit --group nothing 1m
expect 1 "" "varve: quota*nothing: No such file or directory (the store has no such group)"
quietly rm two
quietly rm one
[[ -z "$(ls "$home/.varve/groups")" ]] || lib_fail "the groups are still there"
if btrfs qgroup show "$pool" | grep -q "^1/"; then
	lib_fail "$(btrfs qgroup show "$pool")"
fi
quietly rm base
quietly sync --wait-clean
run quota gc
[[ "$status" == 0 ]] || lib_fail "quota gc: $(cat "$scratch/err")"
run quota status --json
expect 0 '{"id":null,"ok":true,"mode":"simple","inconsistent":false,"rescan_running":false,"groups":1,"groups_stale":0,"records":0}'$'\n' ""
quietly pool umount "$pool"
