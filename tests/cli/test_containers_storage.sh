#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# A real client agrees: Debian's containers-storage with its btrfs driver, on the same layers.
# varve-test: timeout=120
set -euo pipefail
# shellcheck source-path=SCRIPTDIR
. "$(dirname "$0")/lib.sh"
if ! command -v containers-storage >/dev/null; then
	lib_skip "needs containers-storage"
fi
lib_start pool
graph="$VARVE_TEST_MOUNT/graph"
# The driver's directory, on which it mounts itself, is laid out as a store.
home="$graph/btrfs"
layers="$home/subvolumes"
lib_options+=(--home "$home")
lib_mounts=("$home" "${lib_mounts[@]}")

# Run containers-storage.
cs() {
	containers-storage --graph "$graph" --run "$scratch/run" --storage-driver btrfs "$@"
}

# Make a layer named $1 from $2, or from nothing.
layer() {
	cs create-layer -i "$1" "${@:2}" >/dev/null
}

layer base
base="$layers/base"
mkdir "$base"/{d1,d3,d7,old,swap}
mkdir "$base/d3/e4" "$base/d7/e8"
echo five >"$base/d3/e4/f5"
echo nine >"$base/d7/e8/f9"
echo eight >"$base/d7/e8/f8"
ln "$base/d7/e8/f8" "$base/d1/link"
ln -s ../d7 "$base/d1/symlink"
touch "$base/old/"{1,2,3}
echo file >"$base/file"
mkfifo "$base/fifo"
mknod "$base/null" c 1 3
head -c 200000 /dev/urandom >"$base/big"
layer top base
top="$layers/top"
echo more >>"$top/d3/e4/f5"
rm "$top/d7/e8/f9" "$top/file"
mkdir "$top/d1/newdir" "$top/file"
echo n >"$top/d1/newdir/n"
ln "$top/d1/newdir/n" "$top/d1/newdir/second"
rm -r "$top/old" "$top/swap"
echo swap >"$top/swap"
chown 11:22 "$top/big"
chmod 2750 "$top/d7"
ln -sfn ../d3 "$top/d1/symlink"
touch -d @1500000000 "$top/null"
echo dash >"$top/d1-dash"
echo utf8 >"$top/café"
touch "$top/$(printf '%0200d' 0)"

# ---- changes ---------------------------------------------------------------------------------------------------------------

# As containers-storage writes them.
ours() {
	"$varve" "${lib_options[@]}" changes "$@" | sed -E 's/^M (.*)/Modify "\1"/; s/^A (.*)/Add "\1"/; s/^D (.*)/Delete "\1"/'
}
diff <(cs changes top | LC_ALL=C sort) <(ours top | LC_ALL=C sort) || lib_fail "changes differ"
diff <(cs changes top | LC_ALL=C sort) <(ours --walk top | LC_ALL=C sort) || lib_fail "changes differ when walked"
[[ "$(ours top | wc -l)" -gt 15 ]] || lib_fail "too few changes"

# ---- diff ------------------------------------------------------------------------------------------------------------------

# Print what the archive $1 holds, an entry a line; of whiteouts, which have no time of their own, without the time.
holds() {
	tar --numeric-owner --full-time --quoting-style=escape -tvf "$1" | sed -E '/\.wh\./s/[0-9-]{10} [0-9:]{8}//' |
		tr -s ' ' | LC_ALL=C sort -k 6
	mkdir "$1.x"
	tar -xf "$1" -C "$1.x"
	(cd "$1.x" && find . -type f -print0 | LC_ALL=C sort -z | xargs -0 sha256sum)
	rm -r "$1.x"
}
cs diff -u -f "$scratch/cs.tar" top
quietly diff top -o "$scratch/varve.tar"
holds "$scratch/cs.tar" >"$scratch/cs.holds"
holds "$scratch/varve.tar" >"$scratch/varve.holds"
diff "$scratch/cs.holds" "$scratch/varve.holds" || lib_fail "archives differ"
[[ "$(wc -l <"$scratch/cs.holds")" -gt 20 ]] || lib_fail "too few entries"

# ---- apply -------------------------------------------------------------------------------------------------------------------

# Each applies the other's archive, and its own.
for archive in cs varve; do
	layer "$archive-by-cs" base
	cs applydiff -f "$scratch/$archive.tar" "$archive-by-cs" >/dev/null
	quietly create --parent base --apply "$scratch/$archive.tar" "$archive-by-varve"
	run changes --parent "$archive-by-cs" "$archive-by-varve"
	expect 0 "" ""
	run changes --walk --parent top "$archive-by-varve"
	expect 0 "" ""
	diff -r --no-dereference --exclude fifo --exclude null "$top" "$layers/$archive-by-varve" || lib_fail "content differs"
done
quietly rm cs-by-varve varve-by-varve
