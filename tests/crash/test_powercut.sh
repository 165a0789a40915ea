#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The weak model of a power cut: every write that the disk completed is there. The image under load lies on a file system
# with reflinks and is cloned at random moments; each clone must pass btrfs check, mount, and keep every promise that was
# made before its moment. VARVE_TEST_ROUNDS: how many clones (12; in the soak 150).
# varve-test: mount=no
set -euo pipefail
. "$(dirname -- "$0")/common.sh"

clones=$(rounds_get 12 150)
churn=$(program churn)
verify=$(program verify)
clone=$(program clone)
reflink_make 8G
image_make "$work/reflink/live" 1G
mount_at "$work/reflink/live" "$work/mnt" -o loop
"$churn" --prepare --home "$work/mnt/home"
sync -f "$work/mnt"

record=$work/record
churn_start "$work/mnt/home" "$record" --seed "$seed"
churn_running "$record"
times=()
for ((i = 0; i < clones; i++)); do
	sleep_random 400
	times[i]=$("$clone" "$work/reflink/live" "$work/reflink/clone.$i") || skip "no reflinks here"
done
kill -TERM "$child" || true
churn_end "$child" "$record" 0
umount_soon "$work/mnt"

layers=0
for ((i = 0; i < clones; i++)); do
	read -r before after <<<"${times[i]}"
	image_check "$work/reflink/clone.$i"
	mount_at "$work/reflink/clone.$i" "$work/mnt" -o loop
	verify_all --home "$work/mnt/home" --record "$record" --model cut --before "$before" --after "$after"
	umount_soon "$work/mnt"
	layers=$((layers + $(sed -n 's/^verify: \([0-9]*\) layers.*/\1/p' "$work/verify.out")))
	rm -f "$work/reflink/clone.$i"
done
say "$clones power cuts: $layers layers whole; seed $seed"
[ "$layers" -gt 0 ] || fail "no layer was ever there"
