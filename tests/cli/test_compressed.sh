#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Compressed archives, as apply and create --apply take them: each format, from files and pipes; what is cut off, damaged, compressed
# twice or otherwise; bombs. What the stage does at each byte is in tests/unit/test_inflate.c.
# varve-test: timeout=120
set -euo pipefail
# shellcheck source-path=SCRIPTDIR
. "$(dirname "$0")/lib.sh"
lib_start pool
layers="$home/subvolumes"

formats=()
for format in gzip zstd xz bzip2; do
	if command -v "$format" >/dev/null; then
		formats+=("$format")
	fi
done

# ---- what is whole -------------------------------------------------------------------------------------------------------

quietly create base
mkdir "$layers/base/dir"
# More than is held at once.
head -c 1300000 /dev/urandom >"$layers/base/dir/random"
head -c 2000000 /dev/zero >"$layers/base/zeros"
echo text >"$layers/base/dir/text"
ln "$layers/base/dir/text" "$layers/base/link"
quietly diff base -o "$scratch/base.tar"
printf 'text\n' >"$scratch/text"
tar -C "$scratch" -cf "$scratch/small.tar" text
for format in "${formats[@]}"; do
	"$format" -c <"$scratch/base.tar" >"$scratch/base.$format"
	"$format" -c <"$scratch/small.tar" >"$scratch/small.$format"
	quietly create --apply "$scratch/base.$format" "$format"
	run changes --parent base "$format"
	expect 0 "" ""
	quietly create "$format-into"
	cat "$scratch/base.$format" | "$varve" "${lib_options[@]}" apply "$format-into"
	run changes --parent base "$format-into"
	expect 0 "" ""
	quietly create --apply "$scratch/small.$format" "$format-small"
	cmp "$scratch/text" "$layers/$format-small/text"
done
# Two members, cut within an entry, and zeros behind them, as a tape has.
{
	head -c 1000000 "$scratch/base.tar" | gzip
	tail -c +1000001 "$scratch/base.tar" | gzip
	head -c 10240 /dev/zero
} >"$scratch/members"
quietly create --apply "$scratch/members" members
run changes --parent base members
expect 0 "" ""

# ---- what is not ---------------------------------------------------------------------------------------------------------

# A create from $1 fails with a message that has $2 in it, and leaves nothing.
refused() {
	run create --apply "$1" bad
	expect 1 "" "varve: create bad: *$2*"
	[[ ! -e "$layers/bad" ]] || lib_fail "a half-made layer is there"
}

for format in "${formats[@]}"; do
	head -c -1 "$scratch/base.$format" >"$scratch/bad"
	refused "$scratch/bad" "the archive is cut off: the $format data"
	head -c 100 "$scratch/small.$format" >"$scratch/bad"
	refused "$scratch/bad" "the archive is cut off: the $format data"
	# The checksum at the end, or next to it, behind the end of the archive.
	size="$(stat -c %s "$scratch/small.$format")"
	{
		head -c "$((size - 8))" "$scratch/small.$format"
		tail -c 8 "$scratch/small.$format" | tr '\000-\377' '\001-\377\000'
	} >"$scratch/bad"
	refused "$scratch/bad" "the archive is corrupt: the $format data"
	cat "$scratch/small.$format" "$scratch/text" >"$scratch/bad"
	refused "$scratch/bad" "the archive is corrupt: something else follows the $format data"
	gzip -c "$scratch/small.$format" >"$scratch/bad"
	refused "$scratch/bad" "compressed twice"
done
printf '\x04\x22\x4d\x18' >"$scratch/bad"
refused "$scratch/bad" "compressed by lz4"
if command -v xz >/dev/null; then
	xz --lzma2=dict=96MiB -c "$scratch/small.tar" >"$scratch/bad"
	refused "$scratch/bad" "more than 64 MiB"
fi
if command -v zstd >/dev/null; then
	zstd -q --long=28 -c <"$scratch/small.tar" >"$scratch/bad"
	refused "$scratch/bad" "more than 128 MiB"
fi

# ---- a bomb --------------------------------------------------------------------------------------------------------------

# Behind the end of the archive, without an end of its own: a create is cancelled in the midst of it.
head -c 64M /dev/zero | gzip >"$scratch/zeros.gz"
mkfifo "$scratch/pipe"
"$varve" "${lib_options[@]}" create --apply "$scratch/pipe" bomb 2>"$scratch/err" &
child=$!
{
	cat "$scratch/small.gzip"
	while cat "$scratch/zeros.gz"; do
		:
	done
} >"$scratch/pipe" 2>/dev/null &
writer=$!

# Is there a thread that decompresses?
inflating() {
	local task
	for task in "/proc/$child/task/"*; do
		if [[ "$(cat "$task/comm" 2>/dev/null)" == varve-inflate ]]; then
			return
		fi
	done
	return 1
}

await "the bomb" inflating
kill -TERM "$child"
status=0
wait "$child" || status=$?
[[ "$status" == 143 && "$(cat "$scratch/err")" == *"1 cancelled"* ]] || lib_fail "stopped: $status $(cat "$scratch/err")"
[[ ! -e "$layers/bomb" ]] || lib_fail "a layer that was cancelled is there"
wait "$writer" || true
