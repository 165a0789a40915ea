#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The weak model of a power cut: every write that the disk completed is there. The image under load lies on a file system
# with reflinks and is cloned at random moments; each clone must pass btrfs check, mount, and keep every promise that was
# made before its moment. VARVE_TEST_ROUNDS: how many clones (6; in the soak 150).
# varve-test: mount=no timeout=300
set -euo pipefail
. "$(dirname -- "$0")/common.sh"

clones=$(rounds_get 6 150)
churn=$(program churn)
verify=$(program verify)
clone=$(program clone)
record=$work/record
layers=0

# Make $1 clones under a load with the options $3..., on an image mounted with the options $2, and check each.
cuts() {
	local count=$1 mount_options=$2 times=() before after i
	image_make "$work/reflink/live" 1G
	mount_at "$work/reflink/live" "$work/mnt" -o "loop,$mount_options"
	"$churn" --prepare --home "$work/mnt/home"
	sync -f "$work/mnt"
	churn_start "$work/mnt/home" "$record" --seed "$seed" "${@:3}"
	churn_running "$record"
	for ((i = 0; i < count; i++)); do
		churn_moment "$record" 60
		times[i]=$("$clone" "$work/reflink/live" "$work/reflink/clone.$i") || skip "no reflinks here"
	done
	kill -TERM "$child" || true
	churn_end "$child" "$record" 0
	umount_soon "$work/mnt"
	for ((i = 0; i < count; i++)); do
		read -r before after <<<"${times[i]}"
		image_check "$work/reflink/clone.$i"
		mount_at "$work/reflink/clone.$i" "$work/mnt" -o "loop,$mount_options"
		verify_all --home "$work/mnt/home" --record "$record" --model cut --before "$before" --after "$after"
		umount_soon "$work/mnt"
		layers=$((layers + $(sed -n 's/^verify: \([0-9]*\) layers.*/\1/p' "$work/verify.out")))
		rm -f "$work/reflink/clone.$i"
	done
	rm -f "$work/reflink/live" "$record"*
}

reflink_make 8G
cuts "$clones" defaults
say "$clones power cuts: $layers layers whole; seed $seed"
[ "$layers" -gt 0 ] || fail "no layer was ever there"
# With sizes, in the mode of quota that btrfs check knows; and a record of a size is a small file, which btrfs is set not
# to keep in the tree, where it would be safe by luck.
cuts $(((clones + 2) / 3)) max_inline=0 --sized full
say "$(((clones + 2) / 3)) power cuts with sizes"
