#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Digests of archives: those of create --apply, apply and diff are those of sha256sum; an archive that has not the expected one is
# not published.
# varve-test: timeout=120
set -euo pipefail
# shellcheck source-path=SCRIPTDIR
. "$(dirname "$0")/lib.sh"
lib_start pool
layers="$home/subvolumes"

# Print the digest of the file $1.
sum_of() {
	local sum
	sum="$(sha256sum <"$1")"
	printf 'sha256:%s' "${sum%% *}"
}

# What --digests prints for a stream in the file $1 that is $2 without compression.
lines_of() {
	printf 'digest %s\ndiff_id %s\nsize %s\nplain_size %s\n' "$(sum_of "$1")" "$(sum_of "$2")" "$(stat -c %s "$1")" "$(stat -c %s "$2")"
}

# ---- diff ----------------------------------------------------------------------------------------------------------------

quietly create base
mkdir "$layers/base/dir"
# More than all pieces hold that wait to be hashed.
head -c 3000000 /dev/urandom >"$layers/base/dir/random"
echo text >"$layers/base/text"
run diff base -o "$scratch/base.tar" --digests
cp "$scratch/out" "$scratch/told"
expect 0 "$(lines_of "$scratch/base.tar" "$scratch/base.tar")"$'\n' ""
run diff base --json -o "$scratch/again.tar" --digests
[[ "$(jq -r '"digest \(.digest)\ndiff_id \(.diff_id)\nsize \(.size)\nplain_size \(.plain_size)"' "$scratch/out")" == "$(cat "$scratch/told")" ]] ||
	lib_fail "the digests as JSON" "$(cat "$scratch/out")"
run diff base --json -o "$scratch/again.tar"
[[ "$(jq 'has("digest")' "$scratch/out")" == false ]] || lib_fail "digests that were not asked for"
run diff base --digests
expect 2 "" "varve: diff: --digests needs --output: *"

# ---- compressed ----------------------------------------------------------------------------------------------------------

for how in gzip gzip:1 zstd zstd:7; do
	format="${how%:*}"
	if command -v "$format" >/dev/null; then
		run diff base --compress "$how" --digests -o "$scratch/compressed"
		cp "$scratch/out" "$scratch/told"
		"$format" -t -q <"$scratch/compressed" || lib_fail "$how: $format -t"
		"$format" -dc <"$scratch/compressed" | cmp - "$scratch/base.tar" || lib_fail "$how: other bytes"
		lines_of "$scratch/compressed" "$scratch/base.tar" | cmp - "$scratch/told" || lib_fail "$how: other digests"
		# Through a pipe whose reader is slow to begin, the same bytes.
		"$varve" "${lib_options[@]}" diff base --compress "$how" | cmp - "$scratch/compressed" || lib_fail "$how: not the same bytes again"
		quietly create --apply "$scratch/compressed" "from-$format${how#"$format"}"
		run changes --parent base "from-$format${how#"$format"}"
		expect 0 "" ""
	fi
done
for how in lz4 gzip:10 zstd:20 gzip: gzip:x gzip:0; do
	run diff base --compress "$how" -o "$scratch/none"
	[[ "$status" != 0 && ! -e "$scratch/none" ]] || lib_fail "$how is taken"
done

# ---- create and apply ----------------------------------------------------------------------------------------------------

tar -C "$layers/base" -cf "$scratch/small.tar" text
: >"$scratch/empty.tar"
# What stands behind the end of an archive belongs to both digests.
{
	cat "$scratch/small.tar"
	head -c 1000000 /dev/zero
	echo garbage
} >"$scratch/behind.tar"

# The archive $2, which is $3 without compression, has its digests where it is unpacked; $1 names it.
digested() {
	local digest diff_id
	run create --digests --apply "$2" "$1"
	expect 0 "$(lines_of "$2" "$3")"$'\n' "$4"
	quietly create "$1-into"
	run apply --digests "$1-into" <"$2"
	expect 0 "$(lines_of "$2" "$3")"$'\n' "$4"
	# Through a pipe, with the digests that it has, and with another one.
	digest="$(sum_of "$2")"
	diff_id="$(sum_of "$3")"
	cat "$2" | "$varve" "${lib_options[@]}" create --expect "$digest" --expect-diff-id "$diff_id" --apply - "$1-expected" \
		>"$scratch/out" 2>"$scratch/err" || lib_fail "refused: $(cat "$scratch/err")"
	run create --expect "${digest/%?/z}" --apply "$2" "$1-bad"
	expect 1 "" "varve: create $1-bad: a digest is \"sha256:\"*"
	if [[ "$digest" != "$diff_id" ]]; then
		run create --expect "$diff_id" --apply "$2" "$1-bad"
		expect 1 "" "*varve: create $1-bad: *Bad message (the digest is $digest, and $diff_id was expected*"
	fi
	run create --expect-diff-id "$other" --apply "$2" "$1-bad"
	expect 1 "" "*varve: create $1-bad: *Bad message (the diff id is $diff_id, and $other was expected*"
	run create --expect "$other" --apply "$2" "$1-bad"
	expect 1 "" "*varve: create $1-bad: *Bad message (the digest is $digest, and $other was expected*"
	[[ ! -e "$layers/$1-bad" ]] || lib_fail "a layer of another digest is there"
	run apply --expect "$other" "$1-into" -i "$2"
	expect 1 "" "*varve: apply $1-into: *Bad message (the digest is $digest, and $other was expected*"
}

other="sha256:$(printf '%064d' 7)"
for name in base behind; do
	digested "$name-plain" "$scratch/$name.tar" "$scratch/$name.tar" ""
done
digested empty "$scratch/empty.tar" "$scratch/empty.tar" "*it may be cut off*"
{
	head -c 1000000 "$scratch/base.tar" | gzip
	tail -c +1000001 "$scratch/base.tar" | gzip
	head -c 10240 /dev/zero
} >"$scratch/members.gz"
digested gzip "$scratch/members.gz" "$scratch/base.tar" ""
gzip -c "$scratch/small.tar" >"$scratch/small.gz"
digested small-gzip "$scratch/small.gz" "$scratch/small.tar" ""
if command -v zstd >/dev/null; then
	{
		head -c 1000000 "$scratch/base.tar" | zstd -q
		tail -c +1000001 "$scratch/base.tar" | zstd -q
	} >"$scratch/frames.zst"
	digested zstd "$scratch/frames.zst" "$scratch/base.tar" ""
fi

# ---- what has no digest --------------------------------------------------------------------------------------------------

head -c 500000 "$scratch/members.gz" >"$scratch/bad"
run create --digests --apply "$scratch/bad" bad
expect 1 "" "varve: create bad: *the archive is cut off*"
run create --digests bad
expect 2 "" "varve: create: digests are those of an archive*"
[[ ! -e "$layers/bad" ]] || lib_fail "a half-made layer is there"
