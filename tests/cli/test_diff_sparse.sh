#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Archives of sparse files of any size: holes are not read, what no map has is left out and reported, and sizes do not overflow.
# varve-test: backend=any timeout=120
set -euo pipefail
# shellcheck source-path=SCRIPTDIR
. "$(dirname "$0")/lib.sh"
lib_start pool
layer="$home/subvolumes/layer"
readonly EXBI8=9223372036854775807 PEBI4=4503599627370496

quietly create layer
truncate -s "$EXBI8" "$layer/hole"
truncate -s "$EXBI8" "$layer/begin"
printf 'begin' | dd of="$layer/begin" conv=notrunc status=none
head -c 200000 /dev/urandom >"$layer/data"
truncate -s "$EXBI8" "$layer/data"
truncate -s 5G "$layer/middle"
printf 'middle' | dd of="$layer/middle" bs=1 seek=3G conv=notrunc status=none
truncate -s "$PEBI4" "$layer/end"
printf 'end' >>"$layer/end"
: >"$layer/none"

quietly diff layer -o "$scratch/layer.tar"
(($(stat -c %s "$scratch/layer.tar") < 400000)) || lib_fail "an archive of $(stat -c %s "$scratch/layer.tar") bytes"
"$varve" "${lib_options[@]}" diff --walk layer | cmp - "$scratch/layer.tar" || lib_fail "searched and walked differ"
# tar, and an apply, make the same files of it.
mkdir "$scratch/x"
tar -xf "$scratch/layer.tar" -C "$scratch/x" middle none
mkdir "$home/x"
tar -xf "$scratch/layer.tar" -C "$home/x"
for name in hole begin data middle end none; do
	[[ "$(stat -c %s "$home/x/$name")" == "$(stat -c %s "$layer/$name")" ]] || lib_fail "$name: its size in the archive"
	cmp -n 200000 "$home/x/$name" "$layer/$name" || lib_fail "$name: its beginning"
done
cmp -i 3G -n 6 "$home/x/middle" "$layer/middle" || lib_fail "the middle"
cmp -i "$PEBI4" "$home/x/end" "$layer/end" || lib_fail "the end"
(($(stat -c %b "$scratch/x/middle") < 64)) || lib_fail "the holes are filled"

# ---- sums -----------------------------------------------------------------------------------------------------------------

for question in "diffsize layer" "diffsize --walk layer"; do
	# shellcheck disable=SC2086
	run $question
	expect 0 "$EXBI8"$'\n' ""
done
for method in search walk; do
	run usage --method "$method" layer --json
	[[ "$status" == 0 && "$(cat "$scratch/out")" == *"\"bytes\":$EXBI8,"* ]] || lib_fail "usage by $method: $(cat "$scratch/out")"
done

# ---- what no map tells -----------------------------------------------------------------------------------------------------

# More than 4 PiB of holes before data; a further name of it is none of the archive's, either.
truncate -s "$((PEBI4 + 8192))" "$layer/far"
printf 'far' >>"$layer/far"
ln "$layer/far" "$layer/far-too"
run diff layer -o "$scratch/far.tar"
[[ "$status" == 1 && "$(grep -c "far.*left out: its holes" "$scratch/err")" == 2 ]] || lib_fail "far: $status $(cat "$scratch/err")"
[[ "$(tar -tf "$scratch/far.tar")" == "$(tar -tf "$scratch/layer.tar")" ]] || lib_fail "far: $(tar -tvf "$scratch/far.tar")"

# ---- a bound for registries ------------------------------------------------------------------------------------------------

quietly create small
head -c 4096 /dev/urandom >"$home/subvolumes/small/file"
quietly diff small --max-file-size 4k -o "$scratch/small.tar"
[[ "$(tar -tf "$scratch/small.tar")" == file ]] || lib_fail "as large as it may be"
truncate -s 4097 "$home/subvolumes/small/file"
run diff small --max-file-size 4k -o "$scratch/small.tar"
expect 1 "" "varve: diff small: */subvolumes/small/file: File too large (the file has more bytes than file_size_max*)"
[[ "$(tar -xOf "$scratch/small.tar" file | wc -c)" == 4096 ]] || lib_fail "the archive that was there is gone"
for size in 0 -1 x 99999999999999999999; do
	run diff small --max-file-size "$size"
	expect 2 "" "varve: diff: --max-file-size $size: *"
done
