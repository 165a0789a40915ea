#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Labels under a policy that is enforced, and under one that is not: a context that the policy does not know is refused and
# changes nothing; one that it knows is what the kernel then tells of every file, directory and symbolic link.
# vm-options: --selinux --memory 3072 --limit 600
set -euo pipefail
. tests/vm/guest/common.sh

readonly label=system_u:object_r:container_file_t:s0:c1,c2 shared=system_u:object_r:container_file_t:s0
readonly other=system_u:object_r:container_ro_file_t:s0:c3 unknown=system_u:object_r:no_such_type_t:s0
home=/disk/store
layers=$home/subvolumes
options=()

fail() {
	echo "FAIL: $(getenforce) ${options[*]}: $*"
	exit 1
}

varve() {
	build/varve --home "$home" "${options[@]}" "$@"
}

# Fill the layer $1: a file, a directory and a symbolic link of each kind, a hard link, a fifo, a device, a socket's like.
fill() {
	local root=$layers/$1
	mkdir -p "$root/etc/deep/deeper"
	echo x >"$root/etc/file"
	echo x >"$root/etc/deep/deeper/file"
	ln "$root/etc/file" "$root/hard"
	ln -s /etc/passwd "$root/absolute"
	ln -s etc/deep "$root/etc/directory"
	ln -s nowhere "$root/etc/deep/dangling"
	mkfifo "$root/fifo"
	mknod "$root/null" c 1 3
	btrfs -q subvolume create "$root/nested"
	echo x >"$root/nested/file"
	local name
	for name in {1..300}; do
		: >"$root/etc/deep/$name"
	done
}

# Every entry of the layer $1 has the label $2, the root included: as stat tells (links themselves), and as getfilecon does.
expect_label() {
	local wrong path
	wrong=$(find "$layers/$1" -exec stat -c '%C %n' {} + | grep -vF "$2 " | head -n 3 || true)
	[[ -z "$wrong" ]] || fail "not $2: $wrong"
	for path in "" /etc /etc/file /hard /nested/file; do
		[[ "$(getfilecon "$layers/$1$path")" == *"$2" ]] || fail "getfilecon: $(getfilecon "$layers/$1$path")"
	done
	wrong=$(find "$layers/$1" -exec stat -c '%C' {} + | sort -u)
	[[ "$wrong" == "$2" ]] || fail "$1 has the labels $wrong"
}

# The command "$@" fails, for want of such a context in the policy.
expect_refused() {
	local output
	if output=$(varve "$@" 2>&1); then
		fail "not refused: $*"
	fi
	[[ "$output" == *"SELinux does not know this label"* ]] || fail "$*: $output"
}

# Labels of layers, by the command.
check_labels() {
	local before
	varve create base
	fill base
	before=$(find "$layers/base" -exec stat -c '%n %C %z' {} + | sort)
	for label_bad in "$unknown" system_u:object_r:container_file_t:s0:c9999 no_such_u:object_r:container_file_t:s0; do
		expect_refused relabel base "$label_bad"
		expect_refused create --parent base --selinux-label "$label_bad" never
	done
	[[ ! -e "$layers/never" ]] || fail "a create that was refused left a layer"
	[[ "$(find "$layers/base" -exec stat -c '%n %C %z' {} + | sort)" == "$before" ]] || fail "a refused label changed something"

	varve relabel base "$label"
	expect_label base "$label"
	varve relabel base "$other"
	expect_label base "$other"
	varve relabel --shared base "$label"
	expect_label base "$shared"
	varve relabel base "$label"

	varve create --parent base copy
	[[ "$(stat -c %C "$layers/copy/etc/file")" == "$label" ]] || fail "a snapshot lost its label"
	varve create --parent base --selinux-label "$other" labelled
	# Inode 2 stands for the nested subvolume, and has no attributes.
	[[ "$(find "$layers/labelled" -not -inum 2 -exec stat -c %C {} + | sort -u)" == "$other" ]] || fail "create --selinux-label: $(find \
		"$layers/labelled" -exec stat -c '%C %n' {} + | head -n 5)"
	varve create --selinux-label "$label" empty
	[[ "$(stat -c %C "$layers/empty")" == "$label" ]] || fail "create --selinux-label of a base: $(stat -c %C "$layers/empty")"
	expect_label base "$label"
	[[ "$(stat -c %C /etc/passwd)" != *container* ]] || fail "a link was followed"
	varve rm labelled copy empty base
}

[[ "$(getenforce)" == Enforcing ]] || fail "SELinux is $(getenforce)"
for mode in 1 0; do
	setenforce "$mode"
	for options in "" --no-uring; do
		read -ra options <<<"$options"
		check_labels
		printf 'ok   labels, %s, %s\n' "$(getenforce)" "${options[*]:-uring}"
		passed=$((passed + 1))
	done
done
setenforce 1
run_tests --backend uring ops/test_relabel
run_tests --backend threads ops/test_relabel
# A store works under the policy, and what it promises holds.
run_tests --backend uring api/test_remove
finish
