#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The strong model of a power cut: only what was flushed is sure to be there; later writes are lost or torn at random. The
# disk under load is served by logstore, which logs each write and flush; replay then makes the disk of any moment, and on
# each the promises made before that moment must hold. VARVE_TEST_ROUNDS: how many moments (8; in the soak 150).
# varve-test: mount=no timeout=300
set -euo pipefail
. "$(dirname -- "$0")/common.sh"

moments=$(rounds_get 8 150)
churn=$(program churn)
verify=$(program verify)
clone=$(program clone)
logstore=$(program logstore)
replay=$(program replay)
[ -c /dev/fuse ] || skip "no /dev/fuse"
reflink_make 8G
disks=$work/reflink
image_make "$disks/live" 1G

# The bases are made before the log begins, so that it is all load.
mount_at "$disks/live" "$work/mnt" -o loop
"$churn" --prepare --home "$work/mnt/home"
umount_soon "$work/mnt"
"$clone" "$disks/live" "$disks/start" >/dev/null || skip "no reflinks here"

logstore_start "$disks/live" "$disks/log" || skip "no FUSE"
mount_at "$work/disk" "$work/mnt" -o loop
record=$work/record
# Every other seed with limits, in the mode of quota that btrfs check knows.
options=()
((seed % 2)) || options=(--sized full)
churn_start "$work/mnt/home" "$record" --seed "$seed" "${options[@]}" --seconds "${VARVE_TEST_SECONDS:-3}"
churn_end "$child" "$record" 0
umount_soon "$work/mnt"
logstore_end

read -r records flushes < <("$replay" --log "$disks/log")
[ "$flushes" -gt 3 ] || fail "a load with $flushes flushes proves nothing"
# The moments at which something durable had just been acknowledged: a promise given too early shows best there.
mapfile -t acknowledged < <(awk '$2 == "submit" { durable[$3] = $10 } $2 == "end" && $4 == 0 && durable[$3] { print $1 }' \
	"$record")
layers=0 lost=0
drops=(50 100 0 90)
for ((i = 0; i < moments; i++)); do
	at=(--records "$((1 + (RANDOM * 32768 + RANDOM) % records))")
	if ((i % 2)) && ((${#acknowledged[@]})); then
		at=(--until "${acknowledged[(RANDOM * 32768 + RANDOM) % ${#acknowledged[@]}]}")
	fi
	"$clone" "$disks/start" "$disks/cut" >/dev/null
	read -r before dropped torn < <("$replay" --log "$disks/log" --image "$disks/cut" "${at[@]}" --seed "$((seed + i))" \
		--drop "${drops[i % 4]}")
	image_check "$disks/cut"
	mount_at "$disks/cut" "$work/mnt" -o loop
	verify_all --home "$work/mnt/home" --record "$record" --model cut --before "$before" --after "$before"
	umount_soon "$work/mnt"
	layers=$((layers + $(sed -n 's/^verify: \([0-9]*\) layers.*/\1/p' "$work/verify.out")))
	lost=$((lost + dropped + torn))
	rm -f "$disks/cut"
done
say "$moments moments of $records records, $flushes flushes: $lost writes lost or torn, $layers layers whole; ${options[*]:-no sizes}; seed $seed"
[ "$layers" -gt 0 ] || fail "no layer was ever there"
