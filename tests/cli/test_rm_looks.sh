#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# varve-test: mount=yes root=yes backend=any
# A privileged removal looks at no file, however many there are and whatever is nested: strace sees no call on any name in
# the layer but those of the subvolumes, and no directory is read.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR
. "$(dirname "$0")/lib.sh"
command -v strace >/dev/null || { echo "needs strace"; exit 77; }
lib_start pool

readonly DIRECTORIES=20 NESTED=50
files=100
if [[ -n "${VARVE_TEST_SOAK:-}" ]]; then
	files=5000
fi

quietly create layer
layer="$home/subvolumes/layer"
for ((i = 0; i < DIRECTORIES; i++)); do
	mkdir "$layer/looked-at-$i"
	(cd "$layer/looked-at-$i" && seq -f 'looked-at-%g' "$files" | xargs touch)
done
for ((i = 0; i < NESTED; i++)); do
	btrfs -q subvolume create "$layer/looked-at-$((i % DIRECTORIES))/nested-$i" 2>/dev/null ||
		btrfs subvolume create "$layer/looked-at-$((i % DIRECTORIES))/nested-$i" >/dev/null
done
(cd "$layer" && printf '%s/looked-at\n' looked-at-*/nested-* | xargs touch)
sync --file-system "$home"

# A leak checker cannot work under a tracer.
ASAN_OPTIONS="${ASAN_OPTIONS:-}:detect_leaks=0" strace -f -qq -s 4096 -e trace=all -o "$scratch/trace" \
	"$varve" "${lib_options[@]}" rm layer
if [[ -e "$layer" ]]; then
	lib_fail "the layer is still there"
fi
# Of the directories in it at most those are opened in which something is nested; nothing is called on a file.
if grep -E '"([^"]*/)?looked-at(-[0-9]+)?"' "$scratch/trace" | grep -vE ' (openat2?)\(.*O_DIRECTORY' | head -3 | grep .; then
	lib_fail "calls on files of the layer"
fi
# Directories that are read: the store's own staging and trash, never as many entries as the layer has files.
entries="$(sed -n 's/.* getdents64(.*\/\* \([0-9]*\) entries.*/\1/p' "$scratch/trace" | awk '{ n += $1 } END { print n + 0 }')"
if ((entries >= files)); then
	lib_fail "directories were read: $entries entries"
fi
# So many calls as there are subvolumes, not files.
calls="$(grep -cE ' (ioctl|openat2?|statx|newfstatat|unlinkat|io_uring_enter)\(' "$scratch/trace")"
if ((calls > 40 * NESTED)); then
	lib_fail "$calls calls for $NESTED nested subvolumes and $((files * DIRECTORIES)) files"
fi
# The proof that it can fail: the same layer, walked.
quietly create other
mkdir "$home/subvolumes/other/looked-at-0"
touch "$home/subvolumes/other/looked-at-0/looked-at"
ASAN_OPTIONS="${ASAN_OPTIONS:-}:detect_leaks=0" strace -f -qq -o "$scratch/trace" \
	"$varve" "${lib_options[@]}" usage --method walk other >/dev/null
grep -q '"looked-at"' "$scratch/trace" || lib_fail "strace does not see a look at a file"
