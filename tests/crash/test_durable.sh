#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Each operation that has a durable form, and a power cut in the moment that its callback runs: what it promised is there,
# content included. A layer that was unpacked relaxed is there whole as soon as anything made it durable. The weak model: the
# image is cloned in the callback; see durable.c. VARVE_TEST_ROUNDS: how often (1; in the soak 20).
# varve-test: mount=no timeout=300
set -euo pipefail
. "$(dirname -- "$0")/common.sh"

rounds=$(rounds_get 1 20)
durable=$(program durable)
failures=0

# Do all operations on an image mounted with the options $2, with quota in the mode $1, and check each copy.
cuts() {
	local mode=$1 mount_options=$2 name status=0 home=$work/mnt/home checked=0
	image_make "$work/reflink/live" 1G
	mount_at "$work/reflink/live" "$work/mnt" -o "loop,$mount_options"
	"$durable" --home "$home" --quota "$mode" --prepare || status=$?
	[ "$status" = 0 ] || { [ "$mode" = simple ] && skip "no simple quotas"; fail "cannot prepare"; }
	"$durable" --home "$home" --quota "$mode" --image "$work/reflink/live" --copy "$work/reflink/copy" || status=$?
	[ "$status" != 77 ] || skip "no reflinks here"
	[ "$status" = 0 ] || fail "an operation failed"
	umount_soon "$work/mnt"
	for name in $("$durable" --quota "$mode" --list); do
		# That of Debian 12 does not know simple quotas.
		[ "$mode" = simple ] || image_check "$work/reflink/copy.$name"
		mount_at "$work/reflink/copy.$name" "$work/mnt" -o "loop,$mount_options"
		"$durable" --home "$home" --quota keep --check "$name" || failures=$((failures + 1))
		umount_soon "$work/mnt"
		checked=$((checked + 1))
		rm -f "$work/reflink/copy.$name"
	done
	rm -f "$work/reflink/live"
	say "$checked operations, quota $mode, $mount_options"
}

reflink_make 8G
for ((round = 0; round < rounds; round++)); do
	cuts simple commit=300
	cuts full commit=300,max_inline=0
done
[ "$failures" = 0 ] || fail "$failures promises were not kept"
