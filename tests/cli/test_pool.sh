#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# varve-test: mount=no root=yes backend=any
# pool create, mount and umount: image files that become file systems, and every way in which they do not.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR
. "$(dirname "$0")/lib.sh"
if ((EUID != 0)); then
	lib_skip "needs root to mount a btrfs image"
fi
lib_start nothing
lib_options=()
image="$scratch/pool image"
mount="$scratch/mount point"
lib_mounts+=("$mount")

# No loop device holds the image any more. It goes a moment after the unmount: the kernel detaches it.
detached() {
	[[ -z "$(losetup --associated "$image")" ]]
}

quietly pool create "$image" --size 256m --mount "$mount"
[[ "$(stat -c %s "$image")" == 268435456 ]] || lib_fail "the image has $(stat -c %s "$image") bytes"
(($(stat -c %b "$image") * 512 < 134217728)) || lib_fail "the image is not sparse"
[[ "$(findmnt -n -o FSTYPE "$mount")" == btrfs ]] || lib_fail "no btrfs is mounted: $(findmnt "$mount")"
[[ "$(findmnt -n -o OPTIONS "$mount")" == *user_subvol_rm_allowed* ]] || lib_fail "$(findmnt -n -o OPTIONS "$mount")"
quietly --home "$mount/store" create a b

run pool create "$image" --size 256m --mount "$scratch/other"
expect 1 "" "varve: *$image*: File exists*"
run pool create --mount "$scratch/other" --size 1m "$scratch/small"
expect 1 "" "varve: *: a btrfs file system has at least * bytes"
[[ ! -e "$scratch/small" ]] || lib_fail "a pool that could not be made left its image"

# It cannot be unmounted while it is used.
exec {user}<"$mount/store"
run pool umount "$mount"
expect 1 "" "varve: *$mount*: Device or resource busy*"
exec {user}<&-
quietly pool umount "$mount"
! mountpoint -q "$mount" || lib_fail "it is still mounted"
await "the loop device to go" detached
run pool umount "$mount"
expect 1 "" "varve: *: Invalid argument (no btrfs*"
run --json pool umount "$mount"
[[ "$(cat "$scratch/out")" == '{"id":null,"ok":false,"error":"EINVAL","errno":22,'* ]] || lib_fail "$(cat "$scratch/out")"

# What was in it is there again.
run --json pool mount "$image" "$mount"
expect 0 '{"id":null,"ok":true}'$'\n' ""
run --home "$mount/store" ls
expect 0 $'a\nb\n' ""
[[ "$(findmnt -n -o OPTIONS "$mount")" == *user_subvol_rm_allowed* ]] || lib_fail "$(findmnt -n -o OPTIONS "$mount")"
quietly pool umount "$mount"
await "the loop device to go" detached

run pool mount "$scratch/missing" "$mount"
expect 1 "" "varve: *$scratch/missing*: No such file or directory*"
# A file that is no file system.
truncate -s 128M "$scratch/empty"
run pool mount "$scratch/empty" "$mount"
expect 1 "" "varve: *: Invalid argument*"
[[ -z "$(losetup --associated "$scratch/empty")" ]] || lib_fail "a pool that could not be mounted left a loop device"
