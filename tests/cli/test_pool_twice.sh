#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# varve-test: mount=no root=yes backend=any timeout=180
# An image is on one loop device at most: a second mount of it, by any name, is refused, and the message says where it is mounted.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR
. "$(dirname "$0")/lib.sh"
if ((EUID != 0)); then
	lib_skip "needs root to mount a btrfs image"
fi
lib_start nothing
lib_options=()
mkdir "$scratch/images" "$scratch/bound" "$scratch/part"
image="$scratch/images/image"
mount="$scratch/one"
other="$scratch/two"
lib_mounts+=("$scratch/part" "$mount" "$other" "$scratch/bound")

# How many loop devices hold the image.
devices() {
	losetup --associated "$image" | wc -l
}

# No loop device holds the image any more.
detached() {
	(($(devices) == 0))
}

# Mounting $1 on $2 is refused, with a detail of the pattern $3, and makes no loop device more.
refused() {
	local before
	before="$(devices)"
	run pool mount "$1" "$2"
	expect 1 "" "varve: *$1: Device or resource busy ($3)*"
	(($(devices) == before)) || lib_fail "$1: $(losetup --associated "$image")"
}

quietly pool create "$image" --size 256m --mount "$mount"
quietly --home "$mount/store" create a b
ln "$image" "$scratch/images/hard"
ln -s image "$scratch/images/link"
mount --bind "$scratch/images" "$scratch/bound"
for name in "$image" "$scratch/images/hard" "$scratch/images/link" "$scratch/bound/image" "$scratch/images/../images/image"; do
	refused "$name" "$other" "the image is mounted on $mount (/dev/loop*)"
	[[ ! -e "$other" ]] || lib_fail "a mount that was refused made its directory"
done
refused "$image" "$mount" "the image is mounted on $mount (/dev/loop*)"
run pool create "$image" --size 256m --mount "$other"
expect 1 "" "varve: *$image: File exists (the image is mounted on $mount (/dev/loop*)*"
# Another mount namespace, where it is mounted too.
run_in_namespace=(unshare --mount --propagation private)
status=0
# shellcheck disable=SC2016 # The inner shell expands it.
"${run_in_namespace[@]}" bash -c 'umount "$3" && umount "$2" && "$0" pool mount "$1" "$2"' "$varve" "$image" "$mount" "$scratch/bound" \
	>"$scratch/out" 2>"$scratch/err" || status=$?
expect 1 "" "varve: *Device or resource busy (the image is attached to /dev/loop*, which is mounted in another mount namespace*"

# umount: of a namespace among two it says that the image is in use still; of the last the image is free when it returns.
"${run_in_namespace[@]}" "$varve" pool umount "$mount" >"$scratch/out" 2>"$scratch/err" || lib_fail "$(cat "$scratch/err")"
status=0
expect 0 "" "varve: pool umount: *: unmounted, but the image is attached to /dev/loop*, which is mounted in another*"
mount --bind "$mount/store" "$scratch/part"
run pool umount "$mount"
expect 0 "" "varve: pool umount: *: unmounted, but the image is mounted on $scratch/part (/dev/loop*"
refused "$image" "$other" "the image is mounted on $scratch/part (/dev/loop*)"
quietly pool umount "$scratch/part"
detached || lib_fail "still attached after the unmount: $(losetup --associated "$image")"
# By the name of the image.
run pool umount "$image"
expect 1 "" "varve: *Invalid argument (the image is not mounted)*"
quietly pool mount "$image" "$mount"
quietly pool umount "$scratch/images/hard"
detached || lib_fail "still attached after the unmount: $(losetup --associated "$image")"
! mountpoint -q "$mount" || lib_fail "not unmounted by the name of its image"

# What others attached, without our lock: not taken, and not detached.
device="$(losetup --find --show "$image")"
refused "$image" "$mount" "the image is attached to $device, which is not mounted: *"
mount "$device" "$mount"
refused "$image" "$other" "the image is mounted on $mount ($device)"
run pool umount "$mount"
expect 0 "" "varve: pool umount: *: unmounted, but the image is attached to $device, which is not mounted*"
(($(devices) == 1)) || lib_fail "a device that was not ours was detached"
losetup --detach "$device"
await "the loop device to go" detached
mkdir "$other"
mount -o loop "$image" "$other"
refused "$image" "$mount" "the image is mounted on $other (/dev/loop*)"
umount "$other"
# One that is about to go is waited for.
quietly pool mount "$image" "$mount"
quietly pool umount "$mount"

# Of many at once one wins; the image is attached once.
for round in 1 2 3; do
	children=()
	for i in {1..8}; do
		"$varve" pool mount "$image" "$scratch/race-$((i % 4))" 2>"$scratch/race.$i" &
		children+=($!)
	done
	won=0
	for i in {1..8}; do
		if wait "${children[i - 1]}"; then
			won=$((won + 1))
		else
			grep -q 'Device or resource busy (the image is ' "$scratch/race.$i" || lib_fail "$(cat "$scratch/race.$i")"
		fi
	done
	((won == 1)) || lib_fail "round $round: $won of 8 mounted it"
	(($(devices) == 1)) || lib_fail "$(losetup --associated "$image")"
	quietly pool umount "$image"
done

# Killed between attaching and mounting: nothing stays in the way.
strace -f -qq -o "$scratch/trace" -e trace=mount -e inject=mount:signal=SIGKILL "$varve" pool mount "$image" "$mount" 2>/dev/null && \
	lib_fail "it was not killed"
grep -q 'mount("/dev/loop' "$scratch/trace" || lib_fail "killed too early: $(cat "$scratch/trace")"
quietly pool mount "$image" "$mount"
# Killed thereafter, and unmounted by another process: that has been so all along. The lock has gone with the device.
quietly pool umount "$mount"
flock --nonblock "$image" true || lib_fail "the image is locked, and nothing holds it"

# Locked by a process that does not continue, as one that is stopped before it attaches: refused in the end, not for ever held up.
exec {locked}<"$image"
flock "$locked"
refused "$image" "$mount" "another process has the image locked: *"
exec {locked}<&-

btrfs check "$image" >"$scratch/check" 2>&1 || lib_fail "$(cat "$scratch/check")"
quietly pool mount "$image" "$mount"
run --home "$mount/store" ls
expect 0 $'a\nb\n' ""
quietly pool umount "$mount"

# What is no pool is left alone.
mkdir "$scratch/directory"
run pool mount "$scratch/directory" "$mount"
expect 1 "" "varve: *: Is a directory*"
mkfifo "$scratch/fifo"
run pool mount "$scratch/fifo" "$mount"
expect 1 "" "varve: *: Invalid argument (not a regular file*"
