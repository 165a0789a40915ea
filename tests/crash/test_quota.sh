#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Crashes under a load of layers with a size limit. Whenever a process was killed (kill -9), and in every image that is
# cloned at a random moment of the load: the limit of each visible layer is what is recorded for it (verify.c looks whether
# that is what was asked for); and when all layers are gone no quota group is left without a subvolume, and no record
# without a layer.
# VARVE_TEST_ROUNDS: how many kills, and how many clones (4; in the soak 60).
# varve-test: mount=no timeout=240
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
		[ ! -e "$home/quotas/$id" ] || recorded=$(cat "$home/quotas/$id")
		[ "$limit" = "$recorded" ] || fail "the layer $id has the limit $limit and the record '$recorded'"
		[ "$limit" = 0 ] || limited=$((limited + 1))
	done < <("$varve" --home "$home" ls | "$varve" --home "$home" --json info - |
		jq -r 'select(.ok) | [.id, .quota_limit] | @tsv')
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

limited=0
for ((i = 0; i < rounds; i++)); do
	record=$work/record.kill.$i
	churn_start "$home" "$record" --seed "$((seed + i))" --sized simple
	churn_running "$record"
	sleep_random 400
	kill -9 "$child" || true
	churn_end "$child" "$record" 137
	check_limits "$home"
	check_groups "$home"
done
say "$rounds kills: $limited layers with their limit"
[ "$limited" -gt 0 ] || fail "no layer with a size was ever there"

record=$work/record
churn_start "$home" "$record" --seed "$seed" --sized simple
churn_running "$record"
for ((i = 0; i < rounds; i++)); do
	sleep_random 400
	"$clone" "$work/reflink/live" "$work/reflink/clone.$i" >"$work/clone.out" || skip "no reflinks here"
done
kill -TERM "$child" || true
churn_end "$child" "$record" 0
umount_soon "$work/mnt"

limited=0
for ((i = 0; i < rounds; i++)); do
	# No btrfs check: that of Debian 12 does not know simple quotas.
	mount_at "$work/reflink/clone.$i" "$work/mnt" -o loop
	check_limits "$home"
	check_groups "$home"
	umount_soon "$work/mnt"
	rm -f "$work/reflink/clone.$i"
done
say "$rounds images: $limited layers with their limit; seed $seed"
[ "$limited" -gt 0 ] || fail "no image had a layer with a size"
