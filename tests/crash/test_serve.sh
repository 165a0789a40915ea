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
for i in /usr/bin/python3 python3; do
	if "$i" -c 'import grpc, google.protobuf' 2>/dev/null; then
		python=$i
		break
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

# One process checks all disks. It may fail at any time: what it says then is in check.err.
mkfifo "$work/asked" "$work/answered"
load check "$work/mnt/home" "$record" <"$work/asked" >"$work/answered" 2>"$work/check.err" &
checker=$!
children[$checker]=check
exec 8>"$work/asked" 9<"$work/answered"

# Make the disk of moment $1; $at is what it is, $before the time before which all acknowledgements count.
disk_make() {
	local number=$1
	at=(--records "$((1 + (RANDOM * 32768 + RANDOM) % records))")
	if ((number % 2)) && ((${#acknowledged[@]})); then
		at=(--until "${acknowledged[(RANDOM * 32768 + RANDOM) % ${#acknowledged[@]}]}")
	fi
	"$clone" "$disks/start" "$disks/cut-$number" >/dev/null
	read -r before _ < <("$replay" --log "$disks/log" --image "$disks/cut-$number" "${at[@]}" --seed "$((seed + number))" \
		--drop "${drops[number % 4]}")
	image_check "$disks/cut-$number"
}

# Have the disk of moment $1 checked, which is $at.
check_start() {
	checked_at="${at[*]}"
	mount_at "$disks/cut-$1" "$work/mnt" -o loop
	printf '%s\n' "$before" >&8
}

# Wait for what the check of moment $1 finds.
check_end() {
	local answer
	read -r answer <&9 || fail "moment $1, $checked_at: $(tail -n 5 "$work/check.err")"
	umount_soon "$work/mnt"
	rm -f "$disks/cut-$1"
	answer=${answer#*, }
	promised=$((promised + ${answer%% *}))
	(($1 % 50 != 49)) || say "$(($1 + 1)) of $moments moments: $promised promised snapshots were there"
}

# The next disk is made while one is checked; two of them cannot be mounted at once, for they are the same file system.
disk_make 0
check_start 0
for ((i = 1; i < moments; i++)); do
	disk_make "$i"
	check_end "$((i - 1))"
	check_start "$i"
done
check_end "$((moments - 1))"
exec 8>&- 9<&-
wait "$checker" || fail "the check: $(tail -n 5 "$work/check.err")"
unset "children[$checker]"
say "$moments moments of $records records, $flushes flushes: $promised promised snapshots were there; seed $seed"
[ "$promised" -gt 0 ] || fail "no snapshot was ever promised"
