#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# check finds what is not as it should be, says what gc would do, and changes nothing; rm --dry-run.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR
. "$(dirname "$0")/lib.sh"
lib_start pool

# Print all that lies in the store, to see that it stays so.
tell() {
	find "$home" -printf '%P %y %i %s %m %T@\n' | LC_ALL=C sort
}

# A store where all is well.
quietly create base
quietly create --parent base --read-only child
quietly check
run check --json
expect 0 '{"id":null,"ok":true,"findings":0,"gc_findings":0}'$'\n' ""

# One of each kind.
mkdir "$home/subvolumes/plain" "$home/subvolumes/base/inner"
echo x >"$home/subvolumes/file"
ln -s base "$home/subvolumes/link"
mkdir -p "$home/quotas" "$home/.varve/staging/123-dead/0" "$home/.varve/trash/123-dead.1"
chmod 0700 "$home/quotas" "$home/.varve" "$home/.varve/staging" "$home/.varve/trash"
echo 1048576 >"$home/quotas/gone"
echo lots >"$home/quotas/base"
btrfs subvolume create "$home/.varve/staging/123-dead/0/half" >/dev/null
btrfs subvolume create "$home/subvolumes/.varve.123-dead.7" >/dev/null
tell >"$scratch/before"
run check
tell >"$scratch/after"
cmp -s "$scratch/before" "$scratch/after" || lib_fail "check changed" "$(diff "$scratch/before" "$scratch/after")"
LC_ALL=C sort -o "$scratch/out" "$scratch/out"
expect 1 "directory subvolumes/plain: a plain directory, or another store's subvolume: no layer, until 'gc --adopt' makes one of it; gc leaves it
file subvolumes/file: not a directory: no layer; gc leaves it
file subvolumes/link: not a directory: no layer; gc leaves it
record quotas/base: the recorded size does not parse; gc leaves it
record quotas/gone: the recorded size of a layer that is gone; gc removes it
staging .varve/staging/123-dead: half-made layers of a process that is gone; gc removes it
staging subvolumes/.varve.123-dead.7: a half-made layer of a process that is gone; gc removes it
trash .varve/trash/123-dead.1: a half-destroyed layer of a process that is gone; gc removes it
" ""
run --json check
[[ "$status" == 1 && "$(tail -n 1 "$scratch/out")" == '{"id":null,"ok":true,"findings":8,"gc_findings":4}' ]] ||
	lib_fail "check --json:" "$(cat "$scratch/out")"
grep -Fxq '{"id":null,"ok":true,"kind":"file","path":"subvolumes/file","detail":"not a directory: no layer","gc":null}' \
	"$scratch/out" || lib_fail "check --json:" "$(cat "$scratch/out")"

# gc does what was said, and no more.
run gc
[[ "$status" == 0 ]] || lib_fail "gc: $(cat "$scratch/err")"
run check
LC_ALL=C sort -o "$scratch/out" "$scratch/out"
[[ "$status" == 1 && "$(cut -d : -f 1 "$scratch/out")" == "directory subvolumes/plain
file subvolumes/file
file subvolumes/link
record quotas/base" ]] || lib_fail "after gc:" "$(cat "$scratch/out")"
rmdir "$home/subvolumes/plain"
rm "$home/subvolumes/file" "$home/subvolumes/link" "$home/quotas/base"
quietly check

# What a living process is about is passed over.
mkfifo "$scratch/fifo"
"$varve" "${lib_options[@]}" create --json - <"$scratch/fifo" >"$scratch/stream" &
child=$!
exec {writer}>"$scratch/fifo"
seq -f 'alive-%g' 50 >&"$writer"
await_written "its answers" "$scratch/stream" grep -q alive-50 "$scratch/stream"
[[ -n "$(ls "$home/.varve/staging")" ]] || lib_fail "it has no directory in staging"
quietly check
exec {writer}>&-
wait "$child"
quietly check

# Snapshots of the daemon are none that this process could judge: without the program that does, that is no answer.
quietly create --label varve.snapshot=active s0
cp "$varve" "$scratch/varve-alone"
status=0
"$scratch/varve-alone" "${lib_options[@]}" check >"$scratch/out" 2>"$scratch/err" || status=$?
expect 2 "" "varve: check of snapshots: varve-serve *"
quietly rm s0

# A limit that is not in force, where quota can be had.
run create --size 10m sized
if [[ "$status" == 0 ]]; then
	quietly check
	btrfs qgroup limit none "0/$(btrfs inspect-internal rootid "$home/subvolumes/sized")" "$VARVE_TEST_MOUNT" 2>/dev/null ||
		btrfs qgroup limit none "$home/subvolumes/sized"
	run check
	expect 1 "limit subvolumes/sized: 10485760 bytes are recorded, but 0 in force (0: none): 'get' sets the limit; gc leaves it"$'\n' ""
	run get sized
	quietly check
	quietly quota disable
	run check
	expect 1 "limit quotas: quota is off: 1 recorded sizes are not in force; 'get' turns it on; gc leaves it"$'\n' ""
fi

# A store within a snapshot: the layers of the original are empty directories there.
btrfs subvolume create "$VARVE_TEST_MOUNT/around" >/dev/null
"$varve" "${lib_options[@]}" --home "$VARVE_TEST_MOUNT/around/store" create one
btrfs subvolume snapshot "$VARVE_TEST_MOUNT/around" "$VARVE_TEST_MOUNT/copy" >/dev/null
run --home "$VARVE_TEST_MOUNT/copy/store" check
expect 1 "stand-in subvolumes/one: the store is within a snapshot, where this empty directory stands for a layer of the original; gc removes it
" ""

# What could not be looked at is 2.
run --home "$VARVE_TEST_MOUNT/none" check
expect 2 "" "varve: open: *"

# ---- rm --dry-run ------------------------------------------------------------------------------------------------------

run rm --dry-run base missing child
expect 1 $'base\nchild\n' "varve: no layer missing"
run rm -n -f base missing
expect 0 $'base\n' ""
run rm -n --json base
expect 0 '{"id":"base","ok":true,"would_remove":true}'$'\n' ""
quietly exists base
quietly exists child
