#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# varve-test: mount=yes root=yes backend=any
# A small file in an archive takes six system calls: it is opened by the number that its directory lists, looked at, its attributes
# listed, read, looked at again, closed. By its name it takes two more, for the look before it is opened. The archives are the same.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR
. "$(dirname "$0")/lib.sh"
command -v strace >/dev/null || { echo "needs strace"; exit 77; }
lib_start pool
layers="$home/subvolumes"

readonly DIRECTORIES=5 FEW=50 MORE=150 BY_NUMBER_MOST=6 BY_NAME_MOST=8

# Print the number of calls on files and descriptors, but for those that write, that an archive of layer $1 takes, with the options $2...
calls_of() {
	local layer="$1"
	shift
	# A leak checker cannot work under a tracer.
	ASAN_OPTIONS="${ASAN_OPTIONS:-}:detect_leaks=0" strace -f -qq -e trace=%file,%desc -e signal=none -o "$scratch/trace" \
		"$varve" "${lib_options[@]}" diff --parent= "$@" --output "$scratch/$layer$*.tar" "$layer"
	grep -E '^[0-9]+ +[a-z0-9_]+\(' "$scratch/trace" | grep -vcE ' (write|p?poll)\('
}

for count in "$FEW" "$MORE"; do
	quietly create "layer-$count"
	for ((i = 0; i < DIRECTORIES; i++)); do
		mkdir "$layers/layer-$count/dir-$i"
		(cd "$layers/layer-$count/dir-$i" && head -c $((3000 * count)) /dev/urandom | split -b 3000 -a 4 -d - file-)
	done
done
files=$((DIRECTORIES * (MORE - FEW)))

# Fail the test unless a file takes $1 calls at most, in an archive made with the options $2...
expect_calls() {
	local most="$1" few more
	shift
	few="$(calls_of "layer-$FEW" "$@")"
	more="$(calls_of "layer-$MORE" "$@")"
	((more - few >= files * 5)) || lib_fail "$((more - few)) calls cannot read $files files"
	# A few more to write the archive.
	if (((more - few) * 10 > files * (10 * most + 1))); then
		sed -E 's/^[0-9]+ +([a-z0-9_]+)\(.*/\1/' "$scratch/trace" | sort | uniq -c | sort -rn | head
		lib_fail "$((more - few)) calls for $files files more"
	fi
}

expect_calls "$BY_NUMBER_MOST"
expect_calls "$BY_NAME_MOST" --walk
cmp "$scratch/layer-$MORE.tar" "$scratch/layer-$MORE--walk.tar" || lib_fail "the archives differ"
