#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Archives of layers in which something is mounted: the layer's own content whichever way is taken, and nothing of what is mounted,
# which is not asked either.
# varve-test: backend=any timeout=120
set -euo pipefail
# shellcheck source-path=SCRIPTDIR
. "$(dirname "$0")/lib.sh"
lib_start pool
base="$home/subvolumes/base" top="$home/subvolumes/top"

quietly create base
mkdir "$base/dir" "$base/volume" "$base/stalled" "$base/place"
echo own >"$base/file"
echo own >"$base/dir/file"
echo own >"$base/volume/own"
echo own >"$base/place/own"
quietly create --parent base top
quietly create empty
echo changed >"$top/file"
echo changed >"$top/dir/file"
echo new >"$top/volume/new"
echo new >"$top/stalled/new"
btrfs subvolume create "$top/nested" >/dev/null
mkdir "$top/nested/volume"
echo new >"$top/nested/file"
echo new >"$top/nested/volume/new"

# Write the archives of all ways to $scratch/$1-NAME.tar, and what else is reported of the layer to $1-NAME.
tell() {
	quietly diff top -o "$scratch/$1-search.tar"
	quietly diff --walk top -o "$scratch/$1-walk.tar"
	quietly diff --parent "" top -o "$scratch/$1-whole.tar"
	quietly diff --parent "" --walk top -o "$scratch/$1-whole-walk.tar"
	quietly diff --parent empty top -o "$scratch/$1-unrelated.tar"
	for way in "" --walk; do
		run changes $way top
		mv "$scratch/out" "$scratch/$1-changes$way"
		run diffsize $way top
		mv "$scratch/out" "$scratch/$1-size$way"
	done
}

tell before
cmp "$scratch/before-search.tar" "$scratch/before-walk.tar"
cmp "$scratch/before-whole.tar" "$scratch/before-whole-walk.tar"
cmp "$scratch/before-whole.tar" "$scratch/before-unrelated.tar"
cmp "$scratch/before-changes" "$scratch/before-changes--walk"

# A volume, a file of the host's, in a nested subvolume too, on the parent's, and a file system that never answers.
mkdir "$scratch/volume"
echo outside >"$scratch/volume/outside"
mount --bind "$scratch/volume" "$top/volume"
mount --bind "$scratch/volume" "$base/place"
mount --bind "$scratch/volume/outside" "$top/file"
mount --bind "$scratch/volume/outside" "$top/nested/file"
mount --bind "$scratch/volume" "$top/nested/volume"
mounted=("$top/volume" "$base/place" "$top/file" "$top/nested/file" "$top/nested/volume")
lib_mounts+=("${mounted[@]}")
stalled=
# Undo the mount that never answers first: nobody may ask it.
finish() {
	local result=$?
	set +e
	exec {fuse}>&-
	umount -i -l "$top/stalled"
	(exit "$result")
	lib_finish
}
if [[ -c /dev/fuse ]] && exec {fuse}<>/dev/fuse &&
	mount -i -t fuse -o "fd=$fuse,rootmode=40000,user_id=0,group_id=0" stalled "$top/stalled"; then
	stalled=yes
	trap finish EXIT
fi

tell after
for file in "$scratch"/before-*; do
	cmp "$file" "$scratch/after-${file##*/before-}" || lib_fail "${file##*/before-} is another one with mounts"
done

# Without the privilege to look beneath, what is mounted upon is left out, and reported; the parent's place as well.
if ! setpriv --bounding-set=-sys_admin true 2>/dev/null; then
	lib_skip "all with privilege is right; there is no setpriv to go without"
fi
tool="$varve"
varve_without() {
	setpriv --bounding-set=-sys_admin "$tool" "$@"
}
varve=varve_without
expected=(file nested/file nested/volume volume ${stalled:+stalled})
run diff --parent "" top -o "$scratch/without.tar"
[[ "$status" == 1 ]] || lib_fail "whole, without: $status $(cat "$scratch/err")"
for name in "${expected[@]}"; do
	grep -q "/$name: .*left out: something is mounted there" "$scratch/err" || lib_fail "$name: $(cat "$scratch/err")"
done
(($(wc -l <"$scratch/err") == ${#expected[@]})) || lib_fail "reported: $(cat "$scratch/err")"
tar -xf "$scratch/without.tar" -O | { ! grep -q outside; } || lib_fail "what is mounted is in the archive"
[[ "$(tar -tf "$scratch/without.tar")" == $'dir/\ndir/file\nnested/\nplace/\nplace/own' ]] ||
	lib_fail "whole, without: $(tar -tf "$scratch/without.tar")"
run diff top -o "$scratch/without.tar"
[[ "$status" == 1 && "$(grep -c "left out: something is mounted there" "$scratch/err")" -ge 3 ]] ||
	lib_fail "changes, without: $status $(cat "$scratch/err")"
tar -xf "$scratch/without.tar" -O | { ! grep -q outside; } || lib_fail "what is mounted is in the archive of changes"
run changes top
expect 0 $'M /dir\nM /dir/file\nA /nested\nA /nested/file\nA /nested/volume\n' ""
run diffsize top
expect 0 $'8\n' ""

# Usage tells that it left something out; a shift does what it can reach, and fails with what it could not.
run usage --json top
[[ "$status" == 0 ]] || lib_fail "usage, without: $status $(cat "$scratch/err")"
grep -q '"mounts_left_out": *true' "$scratch/out" || lib_fail "usage, without: $(cat "$scratch/out")"
run chown --uidmap 0:100000:65536 --gidmap 0:100000:65536 top
[[ "$status" == 1 ]] || lib_fail "chown, without: $status"
grep -Eq "/(file|nested/file|nested/volume|volume|stalled)" "$scratch/err" || lib_fail "chown, without: $(cat "$scratch/err")"
[[ "$(stat -c %u "$top/dir/file" "$scratch/volume/outside")" == $'100000\n0' ]] ||
	lib_fail "chown, without: $(stat -c %u "$top/dir/file" "$scratch/volume/outside")"
