#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# varve-serve and power cuts in the strong model (see test_powercut_torn.sh): on the disk of each moment the daemon starts, what a Commit
# had promised is there with all its data, no layer is without a record nor a record without its layer, leftovers are swept, and what is
# left can be removed. VARVE_TEST_ROUNDS: how many moments (4; in the soak 500).
# varve-test: mount=no timeout=300
set -euo pipefail
. "$(dirname -- "$0")/common.sh"

moments=$(rounds_get 4 500)
clone=$(program clone)
logstore=$(program logstore)
replay=$(program replay)
[ -c /dev/fuse ] || skip "no /dev/fuse"
[ -x "$build/varve-serve" ] || skip "varve-serve was not built"
command -v protoc >/dev/null || skip "needs protobuf-compiler"
mkdir "$work/messages"
protoc -I "$top/api/serve" --python_out "$work/messages" snapshots.proto
python=
# Debian's modules are those of Debian's own python3.
for i in python3 /usr/bin/python3; do
	if "$i" -c 'import grpc, google.protobuf' 2>/dev/null; then
		python=$i
	fi
done
[ -n "$python" ] || skip "needs python3-grpcio and python3-protobuf"
load() {
	PYTHONPATH=$work/messages:$top/tests/serve VARVE_BUILD=$build VARVE_TEST_MOUNT=$work "$python" -B "$crash/snapshots_load.py" "$@"
}

reflink_make 8G
disks=$work/reflink
image_make "$disks/live" 1G
"$clone" "$disks/live" "$disks/start" >/dev/null || skip "no reflinks here"
logstore_start "$disks/live" "$disks/log" || skip "no FUSE"
mount_at "$work/disk" "$work/mnt" -o loop
record=$work/record
load load "$work/mnt/home" "$record" "$seed" "${VARVE_TEST_SECONDS:-2}" || fail "the load failed"
umount_soon "$work/mnt"
logstore_end

read -r records flushes < <("$replay" --log "$disks/log")
[ "$flushes" -gt 3 ] || fail "a load with $flushes flushes proves nothing"
# The moments at which a Commit had just been acknowledged: a promise given too early shows best there.
mapfile -t acknowledged < <(awk '$2 == "committed" { print $1 }' "$record")
drops=(50 100 0 90)
promised=0
for ((i = 0; i < moments; i++)); do
	at=(--records "$((1 + (RANDOM * 32768 + RANDOM) % records))")
	if ((i % 2)) && ((${#acknowledged[@]})); then
		at=(--until "${acknowledged[(RANDOM * 32768 + RANDOM) % ${#acknowledged[@]}]}")
	fi
	"$clone" "$disks/start" "$disks/cut" >/dev/null
	read -r before _ < <("$replay" --log "$disks/log" --image "$disks/cut" "${at[@]}" --seed "$((seed + i))" --drop "${drops[i % 4]}")
	image_check "$disks/cut"
	mount_at "$disks/cut" "$work/mnt" -o loop
	load check "$work/mnt/home" "$record" "$before" >"$work/check.said" 2>"$work/check.err" ||
		fail "moment ${at[*]}: $(tail -n 5 "$work/check.err")"
	umount_soon "$work/mnt"
	promised=$((promised + $(sed 's/.*, \([0-9]*\) of.*/\1/' "$work/check.said")))
	rm -f "$disks/cut"
done
say "$moments moments of $records records, $flushes flushes: $promised promised snapshots were there; seed $seed"
[ "$promised" -gt 0 ] || fail "no snapshot was ever promised"
