#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# rename gives a layer another name: its record goes along, its limit, its children and what is open in it stay; what is wrong is reported.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR
. "$(dirname "$0")/lib.sh"
lib_start pool

quietly create base other
echo content >"$home/subvolumes/base/file"
quietly create --parent base child
echo more >"$home/subvolumes/child/added"

# ---- what goes with the name, and what stays ---------------------------------------------------------------------------

exec 3>>"$home/subvolumes/base/file"
quietly rename base new
expect_layers child new other
echo further >&3
exec 3>&-
[[ "$(cat "$home/subvolumes/new/file")" == $'content\nfurther' ]] || lib_fail "what was open is not written further"
run info --json child
grep -q '"parent":"new"' "$scratch/out" || lib_fail "the child's parent:" "$(cat "$scratch/out")"
run changes child
expect 0 $'A /added\nM /file\n' ""
run --json rename new base
expect 0 '{"id":"new","ok":true}'$'\n' ""
quietly --relaxed rename base new
quietly freeze new
quietly rename new frozen
expect_layers child frozen other
quietly thaw frozen
quietly rename frozen base

# A size: the record and the limit in force are those of before, under the new name alone.
run create --opt size=64M sized
[[ "$status" == 0 ]] || lib_fail "a size:" "$(cat "$scratch/err")"
run info --json sized
grep -o '"quota_limit":[0-9]*' "$scratch/out" >"$scratch/before"
quietly rename sized resized
[[ "$(cat "$home/quotas/resized")" == 67108864 ]] || lib_fail "the record is not renamed"
[[ ! -e "$home/quotas/sized" ]] || lib_fail "the old record is still there"
run info --json resized
grep -o '"quota_limit":[0-9]*' "$scratch/out" | cmp - "$scratch/before" || lib_fail "the limit:" "$(cat "$scratch/out")"
# A record that an earlier layer has left is not the renamed one's.
echo 4096 >"$home/quotas/free"
quietly rename other free
[[ ! -e "$home/quotas/free" ]] || lib_fail "the record of an earlier layer is taken"
quietly rename free other

# ---- what a crash leaves: the record under both names, the layer under one of them -------------------------------------

ln "$home/quotas/resized" "$home/quotas/next"
run gc
[[ "$status" == 0 && ! -e "$home/quotas/next" && -s "$home/quotas/resized" ]] || lib_fail "gc before the renaming:" "$(ls "$home/quotas")"
ln "$home/quotas/resized" "$home/quotas/next"
mv "$home/subvolumes/resized" "$home/subvolumes/next"
run gc
[[ "$status" == 0 && ! -e "$home/quotas/resized" && -s "$home/quotas/next" ]] || lib_fail "gc after the renaming:" "$(ls "$home/quotas")"
run check
expect 0 "" ""
quietly rm next

# ---- what is wrong -----------------------------------------------------------------------------------------------------

run rename missing name
expect 1 "" "varve: no layer missing"
run rename base other
expect 1 "" "varve: there is a layer other already"
mkdir "$home/subvolumes/plain"
ln -s other "$home/subvolumes/link"
run rename plain name
expect 1 "" "varve: rename plain: *not a subvolume of this store*"
run rename link name
expect 1 "" "varve: rename link: Not a directory"
run rename base plain
expect 1 "" "varve: there is a layer plain already"
run rename base link
expect 1 "" "varve: there is a layer link already"
run rename base base
expect 1 "" "varve: rename base: the new name is the old one"
run rename base ../up
expect 1 "" "varve: rename*"
run rename base
expect 2 "" "*"

lib_mounts+=("$home/subvolumes/base")
mkdir "$scratch/mounted"
mount --bind "$scratch/mounted" "$home/subvolumes/base"
run rename base name
umount "$home/subvolumes/base"
expect 1 "" "varve: rename base: *something is mounted on it*"
chattr +i "$home/subvolumes/base"
run rename base name
chattr -i "$home/subvolumes/base"
expect 1 "" "varve: rename base: *chattr*"
rm "$home/subvolumes/link"
rmdir "$home/subvolumes/plain"
expect_layers base child other
