#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The commands diff and diffsize: what tar makes of the archives, reproducibility, maps, readers that go or stall.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR
. "$(dirname "$0")/lib.sh"
lib_start pool
base="$home/subvolumes/base" top="$home/subvolumes/top"

quietly create base
mkdir "$base/a" "$base/b"
echo one >"$base/a/one"
ln "$base/a/one" "$base/b/link"
ln -s ../x "$base/a/symlink"
mknod "$base/device" c 1 3
mkfifo "$base/fifo"
truncate -s 10M "$base/sparse"
echo end >>"$base/sparse"
echo bytes >"$base/"$'\xff\xfe'
echo utf8 >"$base/café"
head -c 300000 /dev/urandom >"$base/big"
: >"$base/empty"
chown 7:8 "$base/big"
chmod 4711 "$base/big"

# ---- the whole layer ---------------------------------------------------------------------------------------------------

quietly diff base -o "$scratch/base.tar"
"$varve" "${lib_options[@]}" diff --walk base | cmp - "$scratch/base.tar" || lib_fail "the same layer gives other bytes"
mkdir "$scratch/x"
tar -xp --numeric-owner -f "$scratch/base.tar" -C "$scratch/x" 2>/dev/null
# Print what lies below $1: everything that an archive keeps, times to the second.
tell() {
	(cd "$1" && find . -mindepth 1 -printf '%P %y %m %U %G %n %l %T@ ' \( -type f -printf '%s ' -o -true \) -printf '\n' |
		sed -E 's/ d ([0-9]+ [0-9]+ [0-9]+) [0-9]+/ d \1 -/; s/ ([0-9]{9,10})\.[0-9]{10} / \1 /' | LC_ALL=C sort
		find . -type f -print0 | LC_ALL=C sort -z | xargs -0 sha256sum)
}
[[ "$(tell "$base")" == "$(tell "$scratch/x")" ]] || lib_fail "tar makes of it" "$(diff <(tell "$base") <(tell "$scratch/x"))"
(($(stat -c %b "$scratch/x/sparse") < 64)) || lib_fail "the sparse file is not sparse"
tar -t --quoting-style=literal -f "$scratch/base.tar" 2>/dev/null | sed 's|/$||' >"$scratch/names"
LC_ALL=C sort -c "$scratch/names" || lib_fail "not sorted"
# Each file once; the second name is a link, the hole counts.
run diffsize base
expect 0 "$((4 + 10485764 + 6 + 5 + 300000 + 4))"$'\n' ""
run diffsize base --json
expect 0 '{"id":"base","ok":true,"bytes":10785783}'$'\n' ""

# ---- many entries: they are searched for in the tree -----------------------------------------------------------------------

quietly create many
many="$home/subvolumes/many"
mkdir "$many/d" "$many/d-" "$many/links" "$many/plain" "$many/squeezed"
btrfs property set "$many/squeezed" compression zstd
for ((i = 0; i < 1200; i++)); do
	echo "$i" >"$many/d/f$i"
	echo "$i" >"$many/d-/f$i"
done
# One process makes them all, each link with the name that its target ends with.
ln -s -t "$many/links" ../plain/l{0..1199}
mkdir "$many"/d/dir{0..39}
for ((i = 0; i < 40; i++)); do
	head -c "$((i * 120))" /dev/zero >"$many/squeezed/z$i"
	head -c "$((i * 4000))" /dev/urandom >"$many/plain/f$i"
	ln "$many/plain/f$i" "$many/d/link$i"
	mknod "$many/plain/n$i" c "$i" "$((i * 1000))"
	: >"$many/plain/e$i"
done
truncate -s 1M "$many/plain/hole"
if command -v python3 >/dev/null; then
	python3 - "$many" <<'EOP'
import os, sys
many = sys.argv[1]
for i in range(40):
    os.setxattr(f"{many}/plain/f{i}", "user.one", b"%d" % i)
    os.setxattr(f"{many}/plain/f{i}", "user.another", b"x" * 100 * i)
    os.setxattr(f"{many}/d/dir{i}", "user.two", b"%d" % i)
os.setxattr(f"{many}/d/f7", "security.capability", bytes.fromhex("0100000200040000000000000000000000000000"))
EOP
fi
btrfs subvolume create "$many/d/nested" >/dev/null
for ((i = 0; i < 50; i++)); do
	echo "nested $i" >"$many/d/nested/f$i"
done
quietly diff many -o "$scratch/many.tar"
"$varve" "${lib_options[@]}" diff --walk many | cmp - "$scratch/many.tar" || lib_fail "searched and walked differ"
mkdir "$scratch/y"
# "d-" comes between "d" and what is in it.
tar -xp --delay-directory-restore --numeric-owner -f "$scratch/many.tar" -C "$scratch/y"
[[ "$(tell "$many")" == "$(tell "$scratch/y")" ]] || lib_fail "tar makes of many" "$(diff <(tell "$many") <(tell "$scratch/y"))"
tar -t --quoting-style=literal -f "$scratch/many.tar" | sed 's|/$||' >"$scratch/names"
LC_ALL=C sort -c "$scratch/names" || lib_fail "many are not sorted"
# What is written right before is in the archive, whatever the tree has of it by then.
echo late >"$many/d/f9"
"$varve" "${lib_options[@]}" diff many | tar -xO d/f9 | cmp - <(echo late) || lib_fail "late content"

# ---- changes -------------------------------------------------------------------------------------------------------------

quietly create --parent base top
quietly diff top -o "$scratch/none.tar"
[[ "$(tar -tf "$scratch/none.tar")" == "" ]] || lib_fail "no change is an empty archive"
rm "$top/b/link" "$top/empty"
echo more >>"$top/a/one"
touch "$top/.wh"
run diff top
[[ "$(tar -t <"$scratch/out")" == $'.wh\na/\na/one\nb/\nb/.wh.link\n.wh.empty' ]] || lib_fail "changes: $(tar -t <"$scratch/out")"
run diffsize top
expect 0 $'9\n' ""
run diff top -o "$scratch/top.tar" --json
expect 0 "{\"id\":\"top\",\"ok\":true,\"bytes\":$(stat -c %s "$scratch/top.tar"),\"skipped\":[],\"skipped_total\":0}"$'\n' ""

# ---- maps --------------------------------------------------------------------------------------------------------------

chown 100007:200008 "$top/a/one"
chown 100000:200000 "$top/a" "$top/b"
maps=(--uidmap 0:100000:10 --gidmap 0:200000:4 --gidmap 50:200004:6)
run diff top "${maps[@]}" -o "$scratch/mapped.tar"
[[ "$status" == 1 && "$(cat "$scratch/err")" == *"in no map"*"--overflow-ids"* ]] || lib_fail "in no map: $(cat "$scratch/err")"
[[ ! -e "$scratch/mapped.tar" ]] || lib_fail "an archive that failed is there"
run diff top "${maps[@]}" --overflow-ids -o "$scratch/mapped.tar"
[[ "$status" == 1 && "$(cat "$scratch/err")" == *"/.wh"*"Value too large"* ]] || lib_fail "not mapped: $(cat "$scratch/err")"
[[ "$(tar -tv --numeric-owner -f "$scratch/mapped.tar" a/one)" == *" 7/54 "* ]] || lib_fail "mapped: $(tar -tvf "$scratch/mapped.tar")"
run diff top --uidmap 0:1
expect 2 "" "varve: diff: --uidmap is CONTAINER:HOST:COUNT, not '0:1'"

# ---- readers ----------------------------------------------------------------------------------------------------------------

status=0
"$varve" "${lib_options[@]}" diff base 2>"$scratch/err" | head -c 1000 >/dev/null || status=$?
[[ "$status" == 141 && ! -s "$scratch/err" ]] || lib_fail "a reader that goes: $status $(cat "$scratch/err")"
# One that stalls does not keep the command from being stopped.
mkfifo "$scratch/pipe"
exec {reader}<>"$scratch/pipe"
"$varve" "${lib_options[@]}" diff base >"$scratch/pipe" 2>"$scratch/err" &
child=$!
await "the pipe to be full" stream_asleep "$child"
kill -TERM "$child"
status=0
wait "$child" || status=$?
[[ "$status" == 143 && "$(cat "$scratch/err")" == *"1 cancelled"* ]] || lib_fail "stopped: $status $(cat "$scratch/err")"
exec {reader}<&-
# A file that is changed while it is read: its size is the one in its header, and it is reported. It is larger than what is under way.
quietly create moving
head -c 3000000 /dev/urandom >"$home/subvolumes/moving/file"
cp "$home/subvolumes/moving/file" "$scratch/before"
for change in "truncate -s 1000000" "truncate -s 3000000" "truncate -s 4000000" "touch"; do
	exec {reader}<>"$scratch/pipe"
	"$varve" "${lib_options[@]}" diff moving >"$scratch/pipe" 2>"$scratch/err" &
	child=$!
	await "the pipe to be full" stream_asleep "$child"
	# shellcheck disable=SC2086
	$change "$home/subvolumes/moving/file"
	# With no end of ours in it, or it would not see the last writer go.
	(exec {reader}<&- && exec cat <"$scratch/pipe" >"$scratch/moving.tar") &
	copier=$!
	exec {reader}<&-
	status=0
	wait "$child" || status=$?
	wait "$copier"
	[[ "$status" == 1 && "$(cat "$scratch/err")" == *"/file"*"changed while it was read"* ]] ||
		lib_fail "$change: $status $(cat "$scratch/err")"
	size="$(tar -tvf "$scratch/moving.tar" file | awk '{ print $3 }')"
	tar -xOf "$scratch/moving.tar" file >"$scratch/moving.file"
	(($(stat -c %s "$scratch/moving.file") == size)) || lib_fail "$change: the archive has another size"
	cmp -n 65536 "$scratch/moving.file" "$scratch/before" || lib_fail "$change: the beginning is not the file's"
done
run diff base -o /dev/full
expect 1 "" "varve: diff base: /dev/full: No space left on device"
status=0
"$varve" "${lib_options[@]}" diff base >/dev/full 2>"$scratch/err" || status=$?
: >"$scratch/out"
expect 1 "" "varve: diff base: standard output: No space left on device"
run diff base -o "$scratch/none/x"
expect 1 "" "varve: diff: $scratch/none/x: No such file or directory"

# ---- libarchive that cannot be loaded --------------------------------------------------------------------------------------

mkdir "$scratch/broken"
echo nothing >"$scratch/broken/libarchive.so.13"
LD_LIBRARY_PATH="$scratch/broken" run diff base -o "$scratch/broken/out"
expect 1 "" "varve: diff base: *archives take libarchive.so.13*"
LD_LIBRARY_PATH="$scratch/broken" run apply base -i "$scratch/base.tar"
expect 1 "" "varve: apply base: *archives take libarchive.so.13*"
LD_LIBRARY_PATH="$scratch/broken" run create --apply "$scratch/base.tar" broken
expect 1 "" "varve: create broken: *archives take libarchive.so.13*"
# What needs no archive does not ask for it.
LD_LIBRARY_PATH="$scratch/broken" quietly create not-broken
LD_LIBRARY_PATH="$scratch/broken" run diffsize base
expect 0 10785783$'\n' ""

# ---- owners that become the overflow id: reported by chown and create, on standard error and in JSON ---------------------------

quietly create outside
touch "$home/subvolumes/outside/file"
chown 50:50 "$home/subvolumes/outside/file"
run create --parent outside --uidmap 0:100000:10 --gidmap 0:100000:10 --overflow-ids copy
[[ "$status" == 0 && "$(cat "$scratch/err")" == *"file"*"65534"* ]] || lib_fail "create: $status, $(cat "$scratch/err")"
run --json chown --uidmap 0:100000:10 --gidmap 0:100000:10 --overflow-ids outside
[[ "$status" == 0 && "$(cat "$scratch/out")" == *'"skipped":[{'*'"path":"file"'*'"skipped_total":1'* ]] ||
	lib_fail "chown: $status, $(cat "$scratch/out" "$scratch/err")"
