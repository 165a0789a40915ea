#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# A real power cut: the machine is killed at a random moment of a heavy load. Its disk must then pass btrfs check and keep
# every promise that had been made; the record of the load leaves the machine line by line through a port.
# VARVE_TEST_ROUNDS: how often (2).
set -euo pipefail
# shellcheck disable=SC2034,SC2154

here=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd)
. "$here/../crash/common.sh"

readonly LINES_MIN=50 LINES_SPREAD=300 BOOT_LIMIT_S=240
rounds=${VARVE_TEST_ROUNDS:-2}
churn=$(program churn)
verify=$(program verify)

# Boot with the disk $work/disk, run the load, cut the power once its record has $1 lines.
cut_after() {
	local lines=$1 machine status=0
	rm -f "$work/cut"
	: >"$work/record"
	"$here/vm" run --build "$build" --disk "$work/disk" --record "$work/record" --cut "$work/cut" --limit "$BOOT_LIMIT_S" \
		"build/tests/crash/churn --home /disk/home --record /dev/vport0p3 --seed $((seed + lines)) --limit 200" \
		>"$work/machine.out" 2>&1 &
	machine=$!
	# The machine ends at its limit.
	wait_written "$machine" "$work/record" has_lines "$lines" "$work/record" || true
	: >"$work/cut"
	wait "$machine" || status=$?
	((status == 0)) || fail "the machine ended with $status: $(cat "$work/machine.out")"
	(($(wc -l <"$work/record") >= lines)) || fail "the load did not get far: $(cat "$work/machine.out")"
}

image_make "$work/disk" 1G
mount_at "$work/disk" "$work/mnt" -o loop
"$churn" --prepare --home "$work/mnt/home"
umount_soon "$work/mnt"
for ((round = 1; round <= rounds; round++)); do
	cut_after $((LINES_MIN + RANDOM % LINES_SPREAD))
	mount_at "$work/disk" "$work/mnt" -o loop
	verify_all --home "$work/mnt/home" --record "$work/record" --model cut --purge
	umount_soon "$work/mnt"
	image_check "$work/disk"
	say "$(wc -l <"$work/record") lines of record; $(tail -n 1 "$work/verify.out")"
done
say "$rounds power cuts of a machine; seed $seed"
