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
# Print what lies below $1: everything that an archive keeps.
tell() {
	(cd "$1" && find . -mindepth 1 -printf '%P %y %m %U %G %n %l %T@ ' \( -type f -printf '%s ' -o -true \) -printf '\n' |
		sed -E 's/ d ([0-9]+ [0-9]+ [0-9]+) [0-9]+/ d \1 -/' | LC_ALL=C sort
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
expect 0 "{\"id\":\"top\",\"ok\":true,\"bytes\":$(stat -c %s "$scratch/top.tar")}"$'\n' ""

# ---- maps --------------------------------------------------------------------------------------------------------------

chown 100007:200008 "$top/a/one"
chown 100000:200000 "$top/a" "$top/b"
run diff top --uidmap 0:100000:10 --gidmap 0:200000:4 --gidmap 50:200004:6 -o "$scratch/mapped.tar"
[[ "$status" == 1 && "$(cat "$scratch/err")" == *"/.wh"*"Value too large"* ]] || lib_fail "not mapped: $(cat "$scratch/err")"
[[ "$(tar -tv --numeric-owner -f "$scratch/mapped.tar" a/one)" == *" 7/54 "* ]] || lib_fail "mapped: $(tar -tvf "$scratch/mapped.tar")"
run diff top --uidmap 0:1
expect 2 "" "varve: diff: --uidmap is CONTAINER:HOST:COUNT, not '0:1'"

# ---- readers ----------------------------------------------------------------------------------------------------------------

status=0
"$varve" "${lib_options[@]}" diff base 2>"$scratch/err" | head -c 1000 >/dev/null || status=$?
[[ "$status" == 1 && "$(cat "$scratch/err")" == *"Broken pipe"* ]] || lib_fail "a reader that goes: $status $(cat "$scratch/err")"
# One that stalls does not keep the command from being stopped.
mkfifo "$scratch/pipe"
exec {reader}<>"$scratch/pipe"
"$varve" "${lib_options[@]}" diff base >"$scratch/pipe" 2>"$scratch/err" &
child=$!
# Is the writer asleep in poll()?
asleep() {
	local task
	for task in "/proc/$child/task/"*; do
		if [[ "$(cat "$task/comm" "$task/wchan" 2>/dev/null)" == $'varve-stream\n'*poll* ]]; then
			return
		fi
	done
	return 1
}
await "the pipe to be full" asleep
kill -TERM "$child"
status=0
wait "$child" || status=$?
[[ "$status" == 143 && "$(cat "$scratch/err")" == *"1 cancelled"* ]] || lib_fail "stopped: $status $(cat "$scratch/err")"
exec {reader}<&-
run diff base -o /dev/full
expect 1 "" "varve: diff base: STREAM: *No space left on device"
run diff base -o "$scratch/none/x"
expect 1 "" "varve: diff: $scratch/none/x: No such file or directory"

# ---- libarchive that cannot be loaded --------------------------------------------------------------------------------------

mkdir "$scratch/broken"
echo nothing >"$scratch/broken/libarchive.so.13"
LD_LIBRARY_PATH="$scratch/broken" run diff base -o "$scratch/broken/out"
expect 1 "" "varve: diff base: STREAM: dlopen *archives take libarchive.so.13*"
LD_LIBRARY_PATH="$scratch/broken" run apply base -i "$scratch/base.tar"
expect 1 "" "varve: apply base: UNPACK: dlopen *archives take libarchive.so.13*"
LD_LIBRARY_PATH="$scratch/broken" run create --apply "$scratch/base.tar" broken
expect 1 "" "varve: create broken: *: dlopen *archives take libarchive.so.13*"
# What needs no archive does not ask for it.
LD_LIBRARY_PATH="$scratch/broken" quietly create not-broken
LD_LIBRARY_PATH="$scratch/broken" run diffsize base
expect 0 10785783$'\n' ""
