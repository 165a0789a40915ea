#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The commands apply and create --apply: round trips, whiteouts, maps, and archives that mean harm.
# varve-test: timeout=240
set -euo pipefail
# shellcheck source-path=SCRIPTDIR
. "$(dirname "$0")/lib.sh"
lib_start pool
layers="$home/subvolumes"

# ---- round trips ---------------------------------------------------------------------------------------------------------

quietly create base
base="$layers/base"
mkdir "$base/a" "$base/b" "$base/old"
echo one >"$base/a/one"
ln "$base/a/one" "$base/b/link"
ln -s ../b "$base/a/symlink"
ln -s /etc/passwd "$base/absolute"
mkfifo "$base/fifo"
mknod "$base/device" c 1 3
truncate -s 10M "$base/sparse"
echo end >>"$base/sparse"
truncate -s 1M "$base/hole"
echo bytes >"$base/"$'\xff\xfe'
echo utf8 >"$base/café"
head -c 300000 /dev/urandom >"$base/big"
chown 5:6 "$base/a/one" "$base/b"
chmod 4711 "$base/a/one"
touch -d @1000000.5 "$base/a" "$base/big"
touch "$base/old/1" "$base/old/2"
quietly diff base -o "$scratch/base.tar"
quietly create --apply "$scratch/base.tar" copy
run changes --parent base copy
expect 0 "" ""
"$varve" "${lib_options[@]}" diff copy | cmp - "$scratch/base.tar" || lib_fail "the copy's archive differs"
(($(stat -c %b "$layers/copy/sparse") < 64 && $(stat -c %b "$layers/copy/hole") == 0)) || lib_fail "not sparse"
[[ "$layers/copy/a/one" -ef "$layers/copy/b/link" ]] || lib_fail "the link is none"

quietly create --parent base top
top="$layers/top"
rm -r "$top/old" "$top/b/link" "$top/big" "$top/a/symlink"
mkdir "$top/old" "$top/big"
echo new >"$top/old/new"
echo inside >"$top/big/inside"
mkdir "$top/a/symlink"
quietly diff top -o "$scratch/top.tar"
quietly apply copy -i "$scratch/top.tar"
run changes --parent top copy
expect 0 "" ""
cmp "$top/big/inside" "$layers/copy/big/inside"
quietly create --parent base --apply "$scratch/top.tar" again
run changes --parent top again
expect 0 "" ""
# tar's own archives, through a pipe; missing directories are made.
tar -C "$base" -cf - a/one old/1 | "$varve" "${lib_options[@]}" create --apply - piped
[[ "$(cat "$layers/piped/a/one")" == one && "$(stat -c %a "$layers/piped/a")" == 755 ]] || lib_fail "from tar"
quietly create mapped
run apply mapped --uidmap 0:1000:10 --gidmap 0:2000:10 -i "$scratch/base.tar"
expect 0 "" ""
[[ "$(stat -c %u:%g "$layers/mapped/a/one" "$layers/mapped/big")" == $'1005:2006\n1000:2000' ]] || lib_fail "not mapped"
quietly rm copy again piped mapped

# A relaxed apply begins to write to disk where a flush is to follow.
if command -v strace >/dev/null; then
	quietly create begun
	for option in --relaxed --writeback; do
		ASAN_OPTIONS="${ASAN_OPTIONS:-}:detect_leaks=0" strace -f -qq -o "$scratch/trace" -e trace=sync_file_range "$varve" \
			"${lib_options[@]}" --relaxed apply "$option" begun -i "$scratch/base.tar"
		begun="$(grep -c sync_file_range "$scratch/trace" || true)"
		[[ "$option" == --relaxed || "$begun" != 0 ]] || lib_fail "nothing is on its way to the disk"
		[[ "$option" == --writeback || "$begun" == 0 ]] || lib_fail "a relaxed apply writes to disk:" "$(head -n 3 "$scratch/trace")"
	done
	quietly flush begun
	quietly rm begun
fi

# ---- archives made byte by byte -----------------------------------------------------------------------------------------

# As many bytes of 0 as a block has, as printf's %b takes them, two characters each.
printf -v zeros '\\0%.0s' {1..512}

# Add to the archive $archive an entry: name $1, type $2, target $3, size $4, content $5; all of them ASCII. No process is started.
entry() {
	local name="${1:0:100}" type="$2" target="${3:-}" content="${5:-}" size number=0000000 time=00000000000 text code i
	# The field of the sum counts as eight blanks.
	local sum=$((8 * 32))
	printf -v size '%011o' "${4:-0}"
	text="${name}0000644$number$number$size$time$type${target}ustar00"
	for ((i = 0; i < ${#text}; i++)); do
		printf -v code '%d' "'${text:i:1}"
		sum=$((sum + code))
	done
	printf '%s%b0000644\0%s\0%s\0%s\0%s\0%06o\0 %s%s%bustar\0%s%b' "$name" "${zeros:0:2 * (100 - ${#name})}" "$number" "$number" \
		"$size" "$time" "$sum" "$type" "$target" "${zeros:0:2 * (100 - ${#target})}" 00 "${zeros:0:2 * 247}" >>"$archive"
	if [[ -n "$content" ]]; then
		printf '%s%b' "$content" "${zeros:0:2 * (511 - (${#content} + 511) % 512)}" >>"$archive"
	fi
}

# End the archive.
end() {
	printf '%b%b' "$zeros" "$zeros" >>"$archive"
}

archive="$scratch/hostile.tar"
# What must not be touched.
mkdir "$scratch/outside"
echo safe >"$scratch/outside/file"
quietly create victim
echo safe >"$layers/victim/file"
ln -s "$scratch/outside" "$layers/base/out"
ln -s ../../victim "$layers/base/sibling"

# The archive at hand is refused with a message that has $1 in it, whichever way, and nothing of it is left.
refused() {
	run create --parent base --apply "$archive" bad
	expect 1 "" "varve: create bad: *$1*"
	[[ ! -e "$layers/bad" ]] || lib_fail "a half-made layer is there"
	[[ -z "$(find "$home/.varve/staging" -mindepth 3 2>/dev/null)" ]] || lib_fail "a leftover is there"
	untouched
	: >"$archive"
}

# Nothing outside of the layer was touched.
untouched() {
	local dir
	local -a names
	for dir in "$scratch/outside" "$layers/victim"; do
		names=("$dir"/* "$dir"/.[!.]*)
		[[ "${names[*]}" == "$dir/file $dir/.[!.]*" && "$(<"$dir/file")" == safe ]] || lib_fail "$dir was touched"
	done
}

for name in ../victim/file a/../../victim/file .. a/../.. /../victim/file; do
	entry good 0 "" 1 x
	entry "$name" 0 "" 1 x
	end
	refused '".."'
done
entry link 1 ../victim/file
end
refused '".."'
entry link 2 ""
end
refused "without a target"
entry "" 0 "" 1 x
end
refused "an entry without a name"
entry /. 0 "" 1 x
end
refused "the root of a layer is a directory"
for name in .wh... .wh.. .wh. a/.wh...; do
	entry "$name" 0
	end
	refused "a whiteout of"
done
entry file 0 "" 5000 short
end
refused "No data available (the archive is cut off)"
entry file 0 "" 8589934591 x
end
refused "the archive is cut off"
head -c 4096 /dev/urandom >"$archive"
refused "Bad message (the archive is corrupt)"
entry file 0 "" 1 x
printf 'X' | dd of="$archive" bs=1 seek=10 conv=notrunc status=none
end
refused "the archive is corrupt"
head -c 1500 "$scratch/base.tar" >"$archive"
refused "the archive is cut off"
entry file 0 "" 1 x
head -c 512 /dev/zero >>"$archive"
entry lost 0 "" 1 x
end
refused "a lone block of zeros, with more behind it"
entry good 0 "" 1 x
entry good/below 0 "" 1 x
end
refused "Not a directory"
entry link 1 missing
end
refused "No such file or directory"

# Links that are there are followed as if the layer was all there is: what they lead to is not outside.
entry out/file 0 "" 4 evil
end
run create --parent base --apply "$archive" inside
[[ "$status" == 0 || "$(cat "$scratch/err")" == *"No such file"* || "$(cat "$scratch/err")" == *"exists"* ]] || lib_fail "$(cat "$scratch/err")"
untouched
: >"$archive"
entry sibling/file 0 "" 4 evil
end
run apply base -i "$archive"
untouched
: >"$archive"
# A link in the archive itself, and a name through it.
entry sub 2 /
entry sub/etc/file 0 "" 4 evil
end
quietly create --apply "$archive" own
[[ "$(cat "$layers/own/etc/file")" == evil ]] || lib_fail "a link to the root leads elsewhere"
untouched
: >"$archive"

# Names as some builders write them: the root as "/" or "./", absolute names and targets of links, ".." within the layer. All is
# below the layer's root. A symbolic link is made as it is written.
entry / 5
entry ./ 5
entry "$scratch/outside/file" 0 "" 4 safe
entry /usr/ 5
entry usr/./bin/../bin/perl 0 "" 4 perl
entry /usr/bin/perlbug 1 /usr/bin/perl
entry usr/bin/up 2 ../../../..//etc/../x
entry out 2 ../../victim
entry /.wh.none 0
end
quietly create --apply "$archive" written
[[ "$(cd "$layers/written" && echo usr/bin/*)" == "usr/bin/perl usr/bin/perlbug usr/bin/up" && "$(stat -c %a "$layers/written")" == 644 ]] ||
	lib_fail "names" "$(ls -lR "$layers/written")"
[[ "$(cat "$layers/written/$scratch/outside/file")" == safe && "$layers/written/usr/bin/perlbug" -ef "$layers/written/usr/bin/perl" ]] ||
	lib_fail "absolute names"
[[ "$(readlink "$layers/written/usr/bin/up")" == "../../../..//etc/../x" && "$(readlink "$layers/written/out")" == ../../victim ]] ||
	lib_fail "links are not as written"
# And varve's own archive of that can be unpacked.
quietly diff written -o "$scratch/written.tar"
quietly create --apply "$scratch/written.tar" rewritten
run changes --parent written rewritten
expect 0 "" ""
quietly rm written rewritten
untouched
: >"$archive"

# Ends as some builders write them: none, one block of zeros, and whatever follows two. Where there is none that is said.
: >"$archive"
run create --apply "$archive" nothing
expect 0 "" "varve: apply: No data available (the archive has no end: it may be cut off)"
entry file 0 "" 1 x
run create --apply "$archive" endless
expect 0 "" "varve: apply: No data available (the archive has no end: it may be cut off)"
head -c 512 /dev/zero >>"$archive"
quietly create --apply "$archive" single
head -c 512 /dev/zero >>"$archive"
echo garbage >>"$archive"
head -c 5000 /dev/zero >>"$archive"
quietly create --apply "$archive" double
[[ "$(ls -A "$layers/nothing")" == "" && "$(ls -A "$layers/endless" "$layers/single" "$layers/double" | grep -c '^file$')" == 3 ]] || lib_fail "ends"
quietly rm nothing endless single double
: >"$archive"

# ---- whiteouts ------------------------------------------------------------------------------------------------------------

quietly create --parent base white
entry a 5
entry a/fresh 0 "" 1 x
entry a/.wh..wh..opq 0
entry old/.wh.1 0
entry .wh.b 0
entry .wh.gone 0
entry .wh..wh.aufs 0
entry .wh..wh.plnk/1.2 0 "" 6 linked
entry from 1 .wh..wh.plnk/1.2
end
run apply white -i "$archive"
expect 0 "" ""
[[ "$(cd "$layers/white" && echo a/* old/* .wh* b* from)" == "a/fresh old/2 .wh* big from" ]] || lib_fail "whiteouts" "$(ls -aR "$layers/white")"
[[ "$(cat "$layers/white/from")" == linked ]] || lib_fail "from .wh..wh.plnk"

# What the archive has itself stays when its directory is opaque, also what was there before it: a directory, a link.
mkdir "$base/a/kept" "$base/a/gone"
echo old >"$base/a/kept/old"
: >"$archive"
entry a 5
entry a/kept 5
entry a/link 1 hole
entry a/.wh..wh..opq 0
end
quietly create --parent base --apply "$archive" opaque
[[ "$(cd "$layers/opaque" && echo a/*)" == "a/kept a/link" && "$layers/opaque/a/link" -ef "$layers/opaque/hole" ]] ||
	lib_fail "opaque" "$(ls -aR "$layers/opaque/a")"

# ---- links and mounts ------------------------------------------------------------------------------------------------------

# One more name of a symbolic link is that, and not of what it leads to.
: >"$archive"
entry one 0 "" 1 x
entry first 2 one
entry second 1 first
end
quietly create --apply "$archive" links
[[ -L "$layers/links/second" && "$(stat -c %h "$layers/links/one" "$layers/links/second")" == $'1\n2' ]] ||
	lib_fail "links" "$(ls -li "$layers/links")"
# What is mounted in a layer is not of it: an archive means what lies beneath, and cannot take a mount point away.
quietly create mounted
mkdir "$layers/mounted/mount"
mount -t tmpfs none "$layers/mounted/mount"
lib_mounts=("$layers/mounted/mount" "${lib_mounts[@]}")
: >"$archive"
entry mount/file 0 "" 4 evil
end
run apply mounted -i "$archive"
expect 0 "" ""
[[ -z "$(ls "$layers/mounted/mount")" ]] || lib_fail "what is mounted was touched"
: >"$archive"
entry .wh.mount 0
end
run apply mounted -i "$archive"
expect 1 "" "varve: apply mounted: $layers/mounted/mount: *something is mounted there*"
umount "$layers/mounted/mount"
[[ "$(cat "$layers/mounted/mount/file")" == evil ]] || lib_fail "beneath the mount is nothing"
run apply mounted -i "$archive"
expect 0 "" ""

# ---- what is not kept ---------------------------------------------------------------------------------------------------------

: >"$archive"
entry both 0
entry .wh.both 0
end
for command in "create --apply $archive --json left" "apply left -i $archive --json"; do
	# shellcheck disable=SC2086
	run $command
	[[ "$status" == 0 && "$(cat "$scratch/err")" == *".wh.both: "*"deletes an entry of the archive itself"* ]] || lib_fail "not reported: $(cat "$scratch/err")"
	[[ "$(cat "$scratch/out")" == '{"id":"left","ok":true,"bytes":0,"skipped":[{"error":"EEXIST",'*'"skipped_total":1}' ]] ||
		lib_fail "not in JSON: $(cat "$scratch/out")"
done

# ---- other failures ------------------------------------------------------------------------------------------------------------

run apply none -i "$scratch/base.tar"
expect 1 "" "varve: no layer none"
run apply base -i "$scratch/none"
expect 1 "" "varve: apply: $scratch/none: No such file or directory"
run create --read-only --apply "$scratch/base.tar" x
expect 1 "" "varve: create x: an archive goes into one layer, a writable one*"
# A full file system leaves nothing.
head -c 32M /dev/zero >"$scratch/zeros"
run create --opt size=16m --apply "$scratch/base.tar" limited
expect 0 "" "varve: note: * quotas were turned on*"
tar -C "$scratch" -cf "$scratch/zeros.tar" zeros
run create --opt size=16m --apply "$scratch/zeros.tar" full
expect 1 "" "varve: create full: *Disk quota exceeded"
[[ ! -e "$layers/full" ]] || lib_fail "a layer that did not fit is there"
# Nor does one whose disk is full, and there is room again for another.
truncate -s 160M "$scratch/small.img"
mkfs.btrfs -q "$scratch/small.img"
mkdir "$scratch/small"
mount -o loop "$scratch/small.img" "$scratch/small"
lib_mounts=("$scratch/small" "${lib_mounts[@]}")
head -c 165M /dev/urandom >"$scratch/random"
tar -C "$scratch" -cf "$scratch/random.tar" random
rm "$scratch/random"
small=("$varve" --home "$scratch/small/home")
"${small[@]}" create there
for command in "create --apply $scratch/random.tar full" "apply there -i $scratch/random.tar"; do
	status=0
	# shellcheck disable=SC2086
	"${small[@]}" $command 2>"$scratch/err" || status=$?
	[[ "$status" == 1 && "$(cat "$scratch/err")" == *"No space left on device"* ]] ||
		lib_fail "on a full disk: $status $(cat "$scratch/err")"
	[[ ! -e "$scratch/small/home/subvolumes/full" ]] || lib_fail "a layer that the disk had no room for is there"
done
"${small[@]}" rm there
"${small[@]}" sync --wait-clean
"${small[@]}" create --apply "$scratch/base.tar" again
rm "$scratch/random.tar"
# A writer that stalls does not keep the command from being stopped.
mkfifo "$scratch/pipe"
"$varve" "${lib_options[@]}" create --apply "$scratch/pipe" stalled 2>"$scratch/err" &
child=$!
exec {writer}<>"$scratch/pipe"
await "the reader to wait" stream_asleep "$child"
kill -TERM "$child"
status=0
wait "$child" || status=$?
[[ "$status" == 143 && "$(cat "$scratch/err")" == *"1 cancelled"* ]] || lib_fail "stopped: $status $(cat "$scratch/err")"
[[ ! -e "$layers/stalled" ]] || lib_fail "a layer that was cancelled is there"
exec {writer}<&-
