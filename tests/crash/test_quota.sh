#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Crashes under a load of layers with a size limit, every second of them in a group with others. Whenever a process was
# killed (kill -9), and in every image that is cloned at a random moment of the load: the limit of each visible layer is
# what is recorded for it (verify.c looks whether that is what was asked for); it is in the group that it was to join, and in
# no other, and that group has its limit; and when all layers are gone no quota group is left without a subvolume, no group of
# layers, and no record of either.
# VARVE_TEST_ROUNDS: how many kills, and how many clones (4; in the soak 60).
# varve-test: mount=no timeout=300
set -euo pipefail
. "$(dirname -- "$0")/common.sh"

rounds=$(rounds_get 4 60)
churn=$(program churn)
clone=$(program clone)
varve=$build/varve
command -v jq >/dev/null || skip "no jq"

# Check the visible layers of the home $1; add to `limited`.
check_limits() {
	local home=$1 id limit recorded
	while IFS=$'\t' read -r id limit; do
		case $id in base-*) continue ;; esac
		recorded=0
		[ ! -e "$home/quotas/$id" ] || recorded=$(<"$home/quotas/$id")
		[ "$limit" = "$recorded" ] || fail "the layer $id has the limit $limit and the record '$recorded'"
		[ "$limit" = 0 ] || limited=$((limited + 1))
	done < <("$varve" --home "$home" ls | "$varve" --home "$home" --json info - |
		jq -r 'select(.ok) | [.id, .quota_limit] | @tsv')
}

# Check the groups of the visible layers of the home $1; add to `grouped`. What they are to be is slot_group()'s in churn.c.
check_members() {
	local home=$1 id number size name expected bytes qgroups
	local -A parents=() names=() recorded_bytes=()
	qgroups=/sys/fs/btrfs/$(findmnt -no UUID "$work/mnt")/qgroups
	while read -r number bytes; do
		parents[$number]=$bytes
	done < <(btrfs qgroup show --raw -p "$home" | awk '$1 ~ /^0\// { print $1, $4 }')
	for name in "$home"/.varve/groups/*; do
		[ -e "$name" ] || continue
		# It has no end of line.
		read -r size id <"$name" || [ -n "$id" ]
		names[$id]=1/$((16#${name##*/}))
		recorded_bytes[$id]=$size
	done
	while IFS=$'\t' read -r id number; do
		case $id in base-*) continue ;; esac
		expected=-
		if ((${id##*-} % 2 == 0)); then
			expected=job-$((${id##*-} / 2 % 3))
			size=${recorded_bytes[$expected]:-none}
			expected=${names[$expected]:-"its group, which is not recorded"}
			bytes=$(<"$qgroups/${expected/\//_}/max_referenced")
			[ "$size" = "$bytes" ] && [ "$size" = 536870912 ] || fail "the group of $id has the limit $bytes and the record $size"
			grouped=$((grouped + 1))
		fi
		[ "${parents[0/$number]}" = "$expected" ] || fail "the layer $id is in ${parents[0/$number]} instead of $expected"
	done < <("$varve" --home "$home" ls | "$varve" --home "$home" --json info - |
		jq -r 'select(.ok) | [.id, .subvolume_id] | @tsv')
}

# Remove what is in the home $1, and check that nothing of quota is left.
check_groups() {
	local home=$1 status
	"$varve" --home "$home" gc >"$work/gc.out"
	"$varve" --home "$home" ls | grep -v '^base-' | "$varve" --home "$home" --relaxed rm - || true
	"$varve" --home "$home" sync --wait-clean
	"$varve" --home "$home" quota gc >"$work/gc.out"
	status=$("$varve" --home "$home" --json quota status)
	[ "$(jq -r '[.mode, .groups_stale, .records] | @tsv' <<<"$status")" = $'simple\t0\t0' ] || fail "quota: $status"
	[ -z "$(ls "$home/.varve/groups")" ] || fail "groups of no layers are recorded: $(ls "$home/.varve/groups")"
	if btrfs qgroup show "$home" | grep "^1/"; then
		fail "groups of no layers are left"
	fi
}

# Prepare a home: bases, and quota that runs.
prepare() {
	"$churn" --prepare --home "$1"
	rm -f "$1/quotas/base-2"
	"$varve" --home "$1" quota enable --simple
}

reflink_make 8G
image_make "$work/reflink/live" 1G
mount_at "$work/reflink/live" "$work/mnt" -o loop
home=$work/mnt/home
prepare "$home"
grep -q squota "/sys/fs/btrfs/$(findmnt -no UUID "$work/mnt")/qgroups/mode" || skip "no simple quotas"
sync -f "$work/mnt"

limited=0 grouped=0
for ((i = 0; i < rounds; i++)); do
	record=$work/record.kill.$i
	churn_start "$home" "$record" --seed "$((seed + i))" --sized simple --grouped
	churn_running "$record"
	churn_moment "$record" 60
	kill -9 "$child" || true
	churn_end "$child" "$record" 137
	check_limits "$home"
	check_members "$home"
	check_groups "$home"
done
say "$rounds kills: $limited layers with their limit, $grouped in a group"
[ "$limited" -gt 0 ] && [ "$grouped" -gt 0 ] || fail "no layer with a size, or none in a group, was ever there"

record=$work/record
churn_start "$home" "$record" --seed "$seed" --sized simple --grouped
churn_running "$record"
for ((i = 0; i < rounds; i++)); do
	churn_moment "$record" 60
	"$clone" "$work/reflink/live" "$work/reflink/clone.$i" >"$work/clone.out" || skip "no reflinks here"
done
kill -TERM "$child" || true
churn_end "$child" "$record" 0
umount_soon "$work/mnt"

limited=0 grouped=0
for ((i = 0; i < rounds; i++)); do
	# No btrfs check: that of Debian 12 does not know simple quotas.
	mount_at "$work/reflink/clone.$i" "$work/mnt" -o loop
	check_limits "$home"
	check_members "$home"
	check_groups "$home"
	umount_soon "$work/mnt"
	rm -f "$work/reflink/clone.$i"
done
say "$rounds images: $limited layers with their limit, $grouped in a group; seed $seed"
[ "$limited" -gt 0 ] && [ "$grouped" -gt 0 ] || fail "no image had a layer with a size, or none in a group"
