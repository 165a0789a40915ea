#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Power cuts in the strong model (see test_powercut_torn.sh), each of a file system of its own that is made anew: what goes wrong in
# the first transactions of a file system shows only here. An image that does not mount or does not pass btrfs check is kept, with
# the log that it was made from, the image that the log began with, and what was said; the rest goes on.
# VARVE_TEST_ROUNDS: how many cuts (3; in the soak 50; `make crash-cuts` 1000). VARVE_TEST_KEEP: where to keep (in TMPDIR).
# varve-test: mount=no timeout=180
set -euo pipefail
. "$(dirname -- "$0")/common.sh"

cuts=$(rounds_get 3 50)
churn=$(program churn)
# shellcheck disable=SC2034 # verify_all uses it.
verify=$(program verify)
logstore=$(program logstore)
replay=$(program replay)
[ -c /dev/fuse ] || skip "no /dev/fuse"
kept=${VARVE_TEST_KEEP:-}
bad=0 layers=0 lost=0 flushed=0
drops=(50 100 0 90)
record=$work/record

# Keep what is known of cut $1, which failed because of $2, and say where. A copy lies beside it, as the image may be changed.
keep() {
	[ -n "$kept" ] || kept=$(mktemp -d "${TMPDIR:-/tmp}/varve-crash-images.XXXXXX")
	mkdir -p "$kept/$seed-$1"
	cp --sparse=always "$work/cut" "$work/start" "$work/log" "$kept/$seed-$1/"
	cp "$record" "$kept/$seed-$1/record"
	{ printf '%s\n' "$2" "replay ${replay_options[*]}"; cat "$work/check.out" "$work/mount.out"; dmesg | tail -n 40; } >"$kept/$seed-$1/why"
	bad=$((bad + 1))
	say "cut $1: $2; kept in $kept/$seed-$1"
}

# Make a file system, load it, and leave in $work/log what reached its disk since $work/start.
load() {
	local server i
	rm -f "$work/live" "$work/start" "$work/log" "$work/cut" "$record"
	image_make "$work/live" 512M
	mount_at "$work/live" "$work/mnt" -o loop
	"$churn" --prepare --home "$work/mnt/home"
	umount_soon "$work/mnt"
	cp --sparse=always --reflink=auto "$work/live" "$work/start"
	logstore_start "$work/live" "$work/log" || skip "no FUSE"
	mount_at "$work/disk" "$work/mnt" -o loop
	churn_start "$work/mnt/home" "$record" --seed "$((seed + $1))" --seconds "0.$((1 + RANDOM % 9))"
	churn_end "$child" "$record" 0
	umount_soon "$work/mnt"
	logstore_end
}

# Cut the power of the file system of number $1 at a moment of the load, and look at what is left.
cut() {
	local records flushes before dropped torn at status=0
	read -r records flushes < <("$replay" --log "$work/log")
	flushed=$((flushed + flushes))
	at=(--records "$((1 + (RANDOM * 32768 + RANDOM) % records))")
	replay_options=("${at[@]}" --seed "$((seed + $1))" --drop "${drops[$1 % 4]}")
	cp --sparse=always --reflink=auto "$work/start" "$work/cut"
	read -r before dropped torn < <("$replay" --log "$work/log" --image "$work/cut" "${replay_options[@]}")
	lost=$((lost + dropped + torn))
	: >"$work/mount.out"
	if ! btrfs check --readonly "$work/cut" >"$work/check.out" 2>&1; then
		mkdir -p "$work/mnt"
		mount -o loop,ro "$work/cut" "$work/mnt" >"$work/mount.out" 2>&1 || status=$?
		((status)) || umount_soon "$work/mnt"
		keep "$1" "btrfs check fails, mount gives $status"
	elif ! mount -o loop "$work/cut" "$work/mnt" >"$work/mount.out" 2>&1; then
		keep "$1" "does not mount"
	else
		verify_all --home "$work/mnt/home" --record "$record" --model cut --before "$before" --after "$before"
		layers=$((layers + $(sed -n 's/^verify: \([0-9]*\) layers.*/\1/p' "$work/verify.out")))
		umount_soon "$work/mnt"
	fi
}

for ((n = 0; n < cuts; n++)); do
	load "$n"
	cut "$n"
	((n % 50 != 49)) || say "$((n + 1)) cuts, $bad bad"
done
say "$cuts cuts of $cuts file systems, $flushed flushes: $lost writes lost or torn, $layers layers whole, $bad images bad; seed $seed"
((bad == 0)) || fail "$bad of $cuts images: see $kept"
