#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# varve-test: mount=yes root=yes backend=any
# A file without attributes takes four system calls where a layer is made from an archive, a directory with something in it fifteen: strace
# counts those of archives with more and with fewer of them. Whatever the umask is, and what a directory lets files inherit, they have their modes and owners.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR
. "$(dirname "$0")/lib.sh"
command -v strace >/dev/null || { echo "needs strace"; exit 77; }
lib_start pool
layers="$home/subvolumes"

readonly DIRECTORIES=5 FEW=50 MORE=150 CALLS_MOST=4 DIRECTORY_CALLS_MOST=15
umask 022

# Pack $1 files in each directory as $scratch/$1.tar.
pack() {
	local i
	for ((i = 0; i < DIRECTORIES; i++)); do
		mkdir -p "$scratch/$1/dir-$i"
		(cd "$scratch/$1/dir-$i" && head -c $((1000 * $1)) /dev/urandom | split -b 1000 -a 4 -d - file-)
	done
	tar -C "$scratch/$1" --sort=name -cf "$scratch/$1.tar" .
}

# Print the number of calls on files and descriptors that creating a layer of $scratch/$1.tar takes.
calls_of() {
	# A leak checker cannot work under a tracer.
	ASAN_OPTIONS="${ASAN_OPTIONS:-}:detect_leaks=0" strace -f -qq -e trace=%file,%desc -e signal=none -o "$scratch/trace" \
		"$varve" "${lib_options[@]}" create --apply "$scratch/$1.tar" "made-$1"
	grep -c '(' "$scratch/trace"
}

pack "$FEW"
pack "$MORE"
few="$(calls_of "$FEW")"
more="$(calls_of "$MORE")"
files=$((DIRECTORIES * (MORE - FEW)))
# A few more to read the archive, and to wait.
if (((more - few) * 10 > files * (10 * CALLS_MOST + 1))); then
	sed -E 's/^[0-9]+ +([a-z0-9_]+)\(.*/\1/' "$scratch/trace" | sort | uniq -c | sort -rn | head
	lib_fail "$((more - few)) calls for $files files more"
fi

# Directories with a file in each: at the end their times are set, by the numbers that they were made with.
for count in "$FEW" "$MORE"; do
	mkdir "$scratch/directories-$count"
	(cd "$scratch/directories-$count" && seq 0 $((count - 1)) | xargs mkdir)
	for ((i = 0; i < count; i++)); do
		echo "$i" >"$scratch/directories-$count/$i/file"
		touch -d @"$((1000 + i))" "$scratch/directories-$count/$i"
	done
	tar -C "$scratch/directories-$count" --sort=name -cf "$scratch/directories-$count.tar" .
done
few="$(calls_of "directories-$FEW")"
more="$(calls_of "directories-$MORE")"
if (((more - few) * 10 > (MORE - FEW) * (10 * (DIRECTORY_CALLS_MOST + CALLS_MOST) + 1))); then
	sed -E 's/^[0-9]+ +([a-z0-9_]+)\(.*/\1/' "$scratch/trace" | sort | uniq -c | sort -rn | head
	lib_fail "$((more - few)) calls for $((MORE - FEW)) directories more"
fi
for ((i = 0; i < MORE; i++)); do
	printf '%d: %d 755\n' "$i" $((1000 + i))
done >"$scratch/expected"
(cd "$layers/made-directories-$MORE" && seq 0 $((MORE - 1)) | xargs stat -c '%n: %Y %a') >"$scratch/found"
diff "$scratch/expected" "$scratch/found" || lib_fail "directories have other times or modes"

# A large file begins to be written at once, and takes one more.
! grep -q sync_file_range "$scratch/trace" || lib_fail "small files are written one by one"
mkdir "$scratch/large"
head -c 1000000 /dev/urandom >"$scratch/large/file"
tar -C "$scratch/large" -cf "$scratch/large.tar" file
calls_of large >/dev/null
(($(grep -c 'sync_file_range(' "$scratch/trace") == 1)) || lib_fail "a large file does not begin to be written"

# A longer one each time that 1 MiB more is there, and at its end; a hole of a gigabyte is one step.
mkdir "$scratch/longer"
truncate -s 2500K "$scratch/longer/zeros"
tar -C "$scratch/longer" -cf "$scratch/longer.tar" zeros
calls_of longer >/dev/null
(($(grep -c 'sync_file_range(' "$scratch/trace") == 3)) || lib_fail "2.5 MiB begin to be written $(grep -c sync_file_range "$scratch/trace") times"
mkdir "$scratch/sparse"
truncate -s 1G "$scratch/sparse/hole"
echo end >>"$scratch/sparse/hole"
tar -C "$scratch/sparse" --sparse -cf "$scratch/sparse.tar" hole
calls_of sparse >/dev/null
(($(grep -c 'sync_file_range(' "$scratch/trace") == 2)) || lib_fail "a hole begins to be written more than once"

# ---- modes and owners ----------------------------------------------------------------------------------------------------

# A base whose directories let files inherit a group, or a list.
quietly create base
mkdir "$layers/base/"{plain,group,list}
chgrp 1234 "$layers/base/group"
chmod 2775 "$layers/base/group"
if command -v setfacl >/dev/null; then
	setfacl -d -m u:1234:rwx,o::--- "$layers/base/list"
fi
for directory in plain group list late; do
	mkdir -p "$scratch/tree/$directory"
	for mode in 644 755 600 4755 2755 666; do
		echo "$mode" >"$scratch/tree/$directory/$mode"
		chmod "$mode" "$scratch/tree/$directory/$mode"
	done
done
chgrp 1234 "$scratch/tree/late"
chmod 2775 "$scratch/tree/late"
# Without an entry for the directories of the base; "late" gets its group in the middle.
tar -C "$scratch/tree" --no-recursion -cf "$scratch/tree.tar" plain/644 late/644 late/755 plain/755 plain/600 plain/4755 plain/2755 plain/666 \
	{group,list}/{644,755,600,4755,2755,666} late late/{600,4755,2755,666}
for mask in 000 022 077; do
	(
		umask "$mask"
		quietly create --apply "$scratch/tree.tar" --parent base "masked-$mask"
	)
	for directory in plain group list late; do
		files=("$layers/masked-$mask/$directory/"{600,644,666,755,2755,4755})
		stat -c '%a %u %g' "${files[@]}" >"$scratch/are"
		printf '%s 0 0\n' 600 644 666 755 2755 4755 | diff - "$scratch/are" >"$scratch/differ" ||
			lib_fail "umask $mask: modes and owners in $directory:" "$(cat "$scratch/differ")"
		if command -v getfacl >/dev/null && getfacl -p "${files[@]}" | grep 1234; then
			lib_fail "umask $mask: files in $directory have inherited a list"
		fi
	done
done
