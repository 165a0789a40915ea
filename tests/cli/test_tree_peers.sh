#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# varve-test: timeout=120
# Random trees, and what find, du and chown -R make of them: usage counts the same, chown leaves the same owners.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR
. "$(dirname "$0")/lib.sh"
lib_start pool

readonly TREES=$((${VARVE_TEST_SOAK:+10} + 2)) ENTRIES=150 HOST=100000

# Set `name` to one for entry $1: mostly plain, now and then as long as one can be, or of odd bytes.
name_of() {
	case $((RANDOM % 8)) in
	0)
		printf -v name '%s-%0250d' "$1" 0
		name="${name::255}"
		;;
	1) printf -v name '%s-\n \t*\xff\x01~' "$1" ;;
	*) name="name-$1" ;;
	esac
}

# Make $2 entries of all kinds in the directory $1, some in its directories.
make_tree() {
	local -a dirs=("$1")
	local last="" i name path
	for ((i = 0; i < $2; i++)); do
		name_of "$i"
		path="${dirs[RANDOM % ${#dirs[@]}]}/$name"
		if ((${#path} > 3500)); then
			continue
		fi
		case $((RANDOM % 12)) in
		0) mkfifo "$path" ;;
		1) mknod "$path" c 1 3 ;;
		2) ln -s /etc/passwd "$path" ;;
		3) [[ -z "$last" ]] || ln "$last" "$path" 2>/dev/null || true ;;
		4) truncate -s $((RANDOM * 1000)) "$path" ;;
		5 | 6 | 7) mkdir "$path" && dirs+=("$path") ;;
		8) btrfs subvolume create "$path" >/dev/null && dirs+=("$path") ;;
		*) head -c "$RANDOM" /dev/zero >"$path" && last="$path" ;;
		esac
	done
	chown -R -h 7:8 "${dirs[RANDOM % ${#dirs[@]}]}"
}

# The number that the last usage gave for $1.
usage_number() {
	sed -n "s/^$1: *//p" "$scratch/out"
}

RANDOM=20261122
for ((tree = 0; tree < TREES; tree++)); do
	quietly create "tree-$tree"
	layer="$home/subvolumes/tree-$tree"
	make_tree "$layer" "$ENTRIES"
	# What is mounted inside is not counted. The directory beneath it is the layer's own, which find, as it is pruned, leaves out.
	mkdir "$layer/mount"
	mount -t tmpfs none "$layer/mount"
	lib_mounts+=("$layer/mount")
	touch "$layer/mount/file"
	sync --file-system "$layer"
	find "$layer" -path "$layer/mount" -prune -o ! -type d -printf '%D:%i %s\n' | sort -u >"$scratch/files"
	find "$layer" -path "$layer/mount" -prune -o -type d -printf '%D:%i\n' | sort -u >"$scratch/dirs"
	bytes="$(awk '{ sum += $2 } END { print sum + 0 }' "$scratch/files")"
	inodes=$(($(wc -l <"$scratch/files") + $(wc -l <"$scratch/dirs")))
	disk="$(du --summarize --block-size=1 --exclude="$layer/mount" "$layer" | cut -f 1)"
	run usage --method walk "tree-$tree"
	numbers="$(usage_number Bytes) $(usage_number Inodes) $(usage_number 'Disk bytes')"
	[[ "$numbers" == "$bytes $((inodes + 1)) $disk" ]] || lib_fail "walk: $numbers" "find and du: $bytes $inodes + 1 $disk"
	umount "$layer/mount"
	rmdir "$layer/mount"
	run usage --method search "tree-$tree"
	numbers="$(usage_number Bytes) $(usage_number Inodes) $(usage_number 'Disk bytes')"
	[[ "$numbers" == "$bytes $inodes $disk" ]] || lib_fail "search: $numbers" "find and du: $bytes $inodes $disk"

	# Owners: theirs plus HOST, as two chown -R by what find finds.
	find "$layer" -printf '%P\0' | sort -z >"$scratch/names"
	find "$layer" -printf '%P\t%U\t%G\n' | awk -F '\t' -v OFS='\t' -v host="$HOST" \
		'NF >= 3 { $(NF - 1) += host; $NF += host } { print }' | sort >"$scratch/expected"
	quietly chown --uidmap "0:$HOST:65536" --gidmap "0:$HOST:65536" "tree-$tree"
	find "$layer" -printf '%P\t%U\t%G\n' | sort >"$scratch/owners"
	cmp "$scratch/expected" "$scratch/owners" || lib_fail "owners differ"
	find "$layer" -printf '%P\0' | sort -z | cmp - "$scratch/names" || lib_fail "names differ"
	# The other way, and the same that chown -R says of all that is root's.
	quietly chown --uidmap-from "0:$HOST:65536" --gidmap-from "0:$HOST:65536" "tree-$tree"
	chown -R -h --changes --from="$((HOST)):$((HOST))" 0:0 "$layer" >"$scratch/changes"
	[[ ! -s "$scratch/changes" ]] || lib_fail "left:" "$(head -3 "$scratch/changes")"
done
