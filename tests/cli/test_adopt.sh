#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# gc --adopt makes layers of plain directories, as they are; killed in the middle it leaves the directory, and a leftover.
# varve-test: backend=any
set -euo pipefail
# shellcheck source-path=SCRIPTDIR
. "$(dirname "$0")/lib.sh"
if ! command -v setfattr >/dev/null || ! command -v python3 >/dev/null; then
	lib_skip "needs setfattr and python3"
fi
lib_start pool

# Print all that there is of the tree $1: kinds, modes, owners, sizes, targets, times, which names are one file; attributes and
# content as far as paths are not too long for the programs.
tell() (
	cd "$1"
	find . -printf '%y %m %U %G %l %T@ %P\0' | LC_ALL=C sort -z | tr '\0' '\n'
	find . -type b,c -exec stat -c '%t %T %n' {} + | LC_ALL=C sort
	find . ! -type d -links +1 -printf '%i %n %P\n' | LC_ALL=C sort -k 3 |
		awk '!($1 in group) { group[$1] = ++groups } { printf "%s names, group %d: %s\n", $2, group[$1], $3 }'
	find . -maxdepth 9 -print0 | LC_ALL=C sort -z | xargs -0 getfattr --absolute-names --no-dereference --encoding=hex --dump --match=- 2>/dev/null
	find . -maxdepth 9 -type f -size -1M -print0 | LC_ALL=C sort -z | xargs -0 sha256sum
	find . -type f -printf '%s %P\n' | LC_ALL=C sort
)

quietly create layer
plain="$home/subvolumes/plain"
mkdir -p "$plain/a/b" "$plain/c" "$plain/closed"
echo small >"$plain/a/small"
head -c 300000 /dev/urandom >"$plain/a/b/large"
truncate -s 5M "$plain/hole"
ln "$plain/a/small" "$plain/c/again"
ln "$plain/a/small" "$plain/third"
ln -s ../nowhere "$plain/c/link"
ln "$plain/c/link" "$plain/a/link"
mkfifo "$plain/fifo"
mknod "$plain/null" c 1 3
python3 -c 'import socket, sys; socket.socket(socket.AF_UNIX).bind(sys.argv[1])' "$plain/socket"
touch "$plain/nocow" "$plain/"$'\xff\n' "$plain/$(printf '%0255d' 0)"
chattr +C "$plain/nocow"
head -c 20000 /dev/urandom >"$plain/nocow"
chmod 4750 "$plain/a/small"
chown -h 11:22 "$plain/c/link" "$plain/fifo" "$plain/hole"
mkdir "$plain/flags" "$plain/flags/"{D,m,c}
touch "$plain/flags/"{m,c}/in "$plain/flags/"file-{A,S,d,m,c,lzo}
for flag in A S d m c; do
	chattr "+$flag" "$plain/flags/file-$flag"
done
for flag in D m c; do
	chattr "+$flag" "$plain/flags/$flag"
done
setfattr -n btrfs.compression -v lzo "$plain/flags/file-lzo"
setfattr -n user.one -v 1 "$plain/a/b" "$plain"
setfattr -n trusted.two -v 2 "$plain/hole"
setfattr -n security.capability -v 0x0100000200200000000000000000000000000000 "$plain/a/b/large"
(
	cd "$plain"
	# 200 of them: 20 at a time, as all have a path that is too long.
	printf -v way 'down-the-very-long-way/%.0s' {1..20}
	for ((i = 0; i < 10; i++)); do
		mkdir -p "$way"
		cd "$way"
	done
	echo deep >file
)
chmod 0 "$plain/closed"
chmod 1711 "$plain"
find "$plain" -depth ! -type l -path '*/[ac]*' -exec touch -d '1969-12-31 23:59:58.123456789' {} +
mkdir "$home/subvolumes/empty"

tell "$plain" >"$scratch/before"
lsattr -R "$plain/flags" >"$scratch/flags"
# What a copy or an old directory is while it is neither in its place nor gone: in staging, or under a reserved name.
staged() {
	[[ -n "$(find "$home/subvolumes" -maxdepth 1 -name '.varve*')" || -n "$(find "$home/.varve/staging" -mindepth 3 -maxdepth 3 2>/dev/null)" ]]
}
nothing_left() {
	! staged || lib_fail "something is left:" "$(ls -AR "$home/.varve")"
}
extents() {
	sync "$plain/a/b/large"
	filefrag -s -v "$plain/a/b/large" | sed '/^Filesystem/d'
}
extents >"$scratch/extents"
run gc --adopt
sort -o "$scratch/out" "$scratch/out"
grep -c '^adopted ' "$scratch/out" | grep -qx 2 || lib_fail "gc:" "$(cat "$scratch/out" "$scratch/err")"
expect_layers empty layer plain
tell "$plain" >"$scratch/after"
diff "$scratch/before" "$scratch/after" || lib_fail "the layer is another tree"
lsattr -R "$plain/flags" | diff "$scratch/flags" - || lib_fail "the layer has other flags"
lsattr "$plain/nocow" | grep -q '^[^ ]*C' || lib_fail "nocow has lost its flag"
extents | diff "$scratch/extents" - || lib_fail "the content was copied, not shared"
nothing_left
quietly check
quietly create --parent plain child
run gc --adopt
[[ "$status" == 0 ]] || lib_fail "a second time: status $status"
! grep -q '^adopted' "$scratch/out" || lib_fail "a second time:" "$(cat "$scratch/out")"
mkdir "$home/subvolumes/more"
run --json gc --adopt
[[ "$status" == 0 && "$(tail -n 1 "$scratch/out")" == '{"id":"more","ok":true,"adopted":true}' ]] || lib_fail "json:" "$(cat "$scratch/out")"

# ---- what cannot be adopted stays as it is ------------------------------------------------------------------------------

mkdir -p "$home/subvolumes/nesting/in"
btrfs subvolume create "$home/subvolumes/nesting/in/side" >/dev/null
mkdir -p "$home/subvolumes/mounted/in" "$scratch/other"
lib_mounts+=("$home/subvolumes/mounted/in")
mount --bind "$scratch/other" "$home/subvolumes/mounted/in"
run gc --adopt
[[ "$status" == 1 ]] || lib_fail "status $status"
grep -q '^varve: .*nesting/in/side: .*a subvolume is nested in it' "$scratch/err" || lib_fail "nested:" "$(cat "$scratch/err")"
grep -q '^varve: .*mounted/in: .*something is mounted in it' "$scratch/err" || lib_fail "mounted:" "$(cat "$scratch/err")"
umount "$home/subvolumes/mounted/in"
[[ -d "$home/subvolumes/nesting/in/side" && -d "$home/subvolumes/mounted/in" ]] || lib_fail "a directory is gone"
nothing_left
btrfs subvolume delete "$home/subvolumes/nesting/in/side" >/dev/null
rmdir "$home/subvolumes/nesting/in" "$home/subvolumes/nesting" "$home/subvolumes/mounted/in" "$home/subvolumes/mounted"

# ---- checksums, copy-on-write and limits ---------------------------------------------------------------------------------

mkdir "$home/subvolumes/sums" "$home/subvolumes/sums/nocow"
chattr +C "$home/subvolumes/sums/nocow"
head -c 200000 /dev/urandom >"$home/subvolumes/sums/nocow/in"
head -c 200000 /dev/urandom >"$home/subvolumes/sums/plain"
# A file with checksums in a directory whose new files have none.
mv "$home/subvolumes/sums/plain" "$home/subvolumes/sums/nocow/moved"
mount -o remount,nodatasum "$VARVE_TEST_MOUNT"
{ head -c 100000 /dev/urandom && truncate -s 3M /dev/stdout && head -c 10 /dev/urandom; } >"$home/subvolumes/sums/bare"
mount -o remount,datasum "$VARVE_TEST_MOUNT"
tell "$home/subvolumes/sums" >"$scratch/before"
lsattr -R "$home/subvolumes/sums" >"$scratch/flags"
run gc --adopt
[[ "$status" == 0 ]] || lib_fail "gc --adopt:" "$(cat "$scratch/err")"
tell "$home/subvolumes/sums" >"$scratch/after"
diff "$scratch/before" "$scratch/after" || lib_fail "sums is another tree"
lsattr -R "$home/subvolumes/sums" | diff "$scratch/flags" - || lib_fail "sums has other flags"

mkdir "$home/subvolumes/sized"
run create --size 8M example
cp "$home/quotas/example" "$home/quotas/sized"
run gc --adopt
[[ "$status" == 0 ]] || lib_fail "gc --adopt:" "$(cat "$scratch/err")"
quietly check
if head -c 16M /dev/urandom >"$home/subvolumes/sized/file" 2>/dev/null; then
	lib_fail "the recorded size is not in force"
fi

# ---- very many findings: a check keeps no more than 10,000 of them ---------------------------------------------------------

(cd "$home/subvolumes" && seq -f 'file%g' 10001 | xargs touch --)
mkdir -p "$home/subvolumes/late" "$home/subvolumes/refused/in"
mount --bind "$scratch/other" "$home/subvolumes/refused/in"
run gc --adopt
[[ "$status" == 1 && "$(cat "$scratch/out")" == *"adopted              late"* ]] || lib_fail "many files:" "$(cat "$scratch/out" "$scratch/err")"
grep -q '^varve: plain directories .* are left: at least 1' "$scratch/err" || lib_fail "what is left:" "$(cat "$scratch/err")"
(cd "$home/subvolumes" && seq -f 'file%g' 10001 | xargs rm --)
umount "$home/subvolumes/refused/in"
rmdir "$home/subvolumes/refused/in" "$home/subvolumes/refused"
quietly rm late
# The long form: 10,001 directories, none is left.
if [[ -n "${VARVE_TEST_SOAK-}" ]]; then
	(cd "$home/subvolumes" && seq -f 'many%g' 10001 | xargs mkdir --)
	run gc --adopt
	[[ "$status" == 0 ]] || lib_fail "many directories:" "$(tail -n 3 "$scratch/err")"
	[[ "$(grep -c '^adopted ' "$scratch/out")" == 10001 ]] || lib_fail "adopted:" "$(grep -c '^adopted ' "$scratch/out")"
	quietly check
	(cd "$home/subvolumes" && ls -d many*) >"$scratch/many"
	xargs "$varve" "${lib_options[@]}" rm <"$scratch/many"
fi

# ---- killed --------------------------------------------------------------------------------------------------------------

many="$home/subvolumes/many"
mkdir "$many"
for ((i = 0; i < 12; i++)); do
	mkdir "$many/$i"
	(cd "$many/$i" && seq 100 | split -l 1)
done
tell "$many" >"$scratch/before"
"$varve" "${lib_options[@]}" gc --adopt >/dev/null 2>&1 &
await "the copy" staged
kill -s KILL $!
wait $! 2>/dev/null || true
tell "$many" >"$scratch/after"
diff "$scratch/before" "$scratch/after" || lib_fail "killed, it is another tree"
# As if it had been killed after the exchange.
mkdir -p "$home/subvolumes/.varve.123-dead.7.adopted/in"
touch "$home/subvolumes/.varve.123-dead.7.adopted/in/file"
run gc
[[ "$status" == 0 ]] || lib_fail "gc:" "$(cat "$scratch/err")"
nothing_left
run gc --adopt
[[ "$status" == 0 ]] || lib_fail "gc --adopt:" "$(cat "$scratch/err")"
tell "$many" >"$scratch/after"
diff "$scratch/before" "$scratch/after" || lib_fail "adopted, it is another tree"
quietly check
