#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# A real client agrees: Debian's containers-storage with its btrfs driver, on the same layers.
# varve-test: timeout=120
set -euo pipefail
# shellcheck source-path=SCRIPTDIR
. "$(dirname "$0")/lib.sh"
lib_start_graph

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
truncate -s 5M "$base/hole"
for file in file big d1 old; do
	setfattr -n user.one -v "of $file" "$base/$file"
done
setfattr -n user.gone -v soon "$base/big"
# cap_net_raw+ep, as the kernel keeps it.
setfattr -n security.capability -v 0x0100000200200000000000000000000000000000 "$base/d3/e4/f5"
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
ln "$top/d1/newdir/n" "$top/d3/e4/third"
setfattr -n user.one -v other "$top/big"
setfattr -x user.gone "$top/big"
setfattr -n user.dir -v $'two\nlines' "$top/d3/e4"
setfattr -n security.capability -v 0x0100000200200000000000000000000000000000 "$top/d1/newdir/n"
echo x >"$top/made" && chmod 4755 "$top/made"
mknod "$top/block" b 7 200
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

# How cs and varve print these names in a list of changes is their own affair: they come now.
echo line >"$top/$(printf 'two\nlines')"
echo bytes >"$top/"$'\xff\xfe'
mkdir "$top/"$'d\xc3('
echo in >"$top/"$'d\xc3(/in'

# Print all that lies below the directory $1, but for nanoseconds, which containers-storage does not keep: kinds, modes, owners,
# sizes, targets, times, which names are one file; then attributes and content.
tell() (
	cd "$1"
	find . -mindepth 1 -printf '%y %m %U %G %l %T@ %P\0' | sed -zE 's/\.[0-9]+ / /' | LC_ALL=C sort -z | tr '\0' '\n'
	find . ! -type d -links +1 -printf '%i %n %P\n' | LC_ALL=C sort -k 3 |
		awk '!($1 in group) { group[$1] = ++groups } { printf "%s names, group %d: %s\n", $2, group[$1], $3 }'
	find . \( -type f -o -type d \) -print0 | LC_ALL=C sort -z |
		xargs -0 getfattr --absolute-names --no-dereference --encoding=hex --dump --match='^(user\.|security\.capability)'
	find . -type f -print0 | LC_ALL=C sort -z | xargs -0 sha256sum
)

# Print what the archive $1 holds, an entry a line; of whiteouts, which have no time of their own, without the time; then what
# tar makes of it.
holds() {
	tar --numeric-owner --full-time --quoting-style=escape -tvf "$1" | sed -E '/\.wh\./s/[0-9-]{10} [0-9:]{8}//' |
		tr -s ' ' | LC_ALL=C sort -k 6
	mkdir "$VARVE_TEST_MOUNT/x"
	tar --xattrs --xattrs-include='*' --same-owner -pxf "$1" -C "$VARVE_TEST_MOUNT/x"
	# A whiteout's own time, again.
	find "$VARVE_TEST_MOUNT/x" -name '.wh.*' -exec touch -d @0 {} +
	find "$VARVE_TEST_MOUNT/x" -type d -exec touch -d @0 {} +
	tell "$VARVE_TEST_MOUNT/x"
	rm -r "$VARVE_TEST_MOUNT/x"
}
for id in top base; do
	cs diff -u -f "$scratch/cs-$id.tar" "$id"
	quietly diff "$id" -o "$scratch/varve-$id.tar"
	holds "$scratch/cs-$id.tar" >"$scratch/cs.holds"
	holds "$scratch/varve-$id.tar" >"$scratch/varve.holds"
	diff "$scratch/cs.holds" "$scratch/varve.holds" || lib_fail "archives of $id differ"
	(($(wc -l <"$scratch/cs.holds") > 40)) || lib_fail "too few entries"
	grep -q 'user.one=' "$scratch/cs.holds" || lib_fail "no attribute was compared"
	grep -q 'security.capability=' "$scratch/cs.holds" || lib_fail "no capability was compared"
	grep -q 'names, group' "$scratch/cs.holds" || lib_fail "no links were compared"
done
grep -q '\.wh\.old' <(tar -tf "$scratch/cs-top.tar") || lib_fail "no whiteout was compared"

# ---- apply -------------------------------------------------------------------------------------------------------------------

# Each applies the other's archive, and its own.
tell "$top" >"$scratch/top.tells"
for archive in cs varve; do
	layer "$archive-by-cs" base
	cs applydiff -f "$scratch/$archive-top.tar" "$archive-by-cs" >/dev/null
	quietly create --parent base --apply "$scratch/$archive-top.tar" "$archive-by-varve"
	for by in cs varve; do
		tell "$layers/$archive-by-$by" >"$scratch/tells"
		diff "$scratch/top.tells" "$scratch/tells" || lib_fail "what $by makes of the archive of $archive differs"
	done
	run changes --parent "$archive-by-cs" "$archive-by-varve"
	expect 0 "" ""
	run changes --walk --parent top "$archive-by-varve"
	expect 0 "" ""
	# A whole layer from nothing.
	layer "$archive-base-by-cs"
	cs applydiff -f "$scratch/$archive-base.tar" "$archive-base-by-cs" >/dev/null
	quietly create --apply "$scratch/$archive-base.tar" "$archive-base-by-varve"
	for by in cs varve; do
		diff <(tell "$base") <(tell "$layers/$archive-base-by-$by") || lib_fail "what $by makes of the base layer of $archive differs"
	done
done
quietly rm cs-by-varve varve-by-varve cs-base-by-varve varve-base-by-varve
