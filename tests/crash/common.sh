# SPDX-License-Identifier: Apache-2.0
# What the crash tests share: a work directory, helper programs, images that are mounted, and the way back from all of it.
# Sourced, after `set -euo pipefail`. Every random choice follows from $seed, which is printed.

# shellcheck shell=bash disable=SC2034,SC2154

# A mount namespace that is made by somebody else while our images are mounted would keep their loop devices busy after
# we unmount them. The runner gives each test its own; without it, take one.
if [ "$(id -u)" != 0 ]; then
	echo "needs root, to mount images"
	exit 77
fi
if [ -z "${VARVE_TEST_DIR:-}" ]; then
	VARVE_TEST_DIR=unshared exec unshare --mount --propagation private -- "$0" "$@"
fi

crash=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd)
. "$crash/../lib/wait.sh"
top=$(cd -- "$crash/../.." && pwd)
build=${VARVE_BUILD:-$top/build}
seed=${VARVE_TEST_SEED:-$(($(date +%s%N) % 1000000))}
RANDOM=$((seed % 32768))
work=$(mktemp -d "${TMPDIR:-/tmp}/varve-crash.XXXXXX")
mounts=()
declare -A children=()

say() { printf '%s: %s\n' "${0##*/}" "$*"; }

# Fail with the words given. The records stay, to show what happened.
fail() {
	local kept i
	kept=$(mktemp -d "${TMPDIR:-/tmp}/varve-crash-records.XXXXXX")
	for i in "$work"/record*; do
		[ ! -f "$i" ] || cp "$i" "$kept/"
	done
	say "FAILED (VARVE_TEST_SEED=$seed): $*"
	say "the records are in $kept"
	exit 1
}
skip() { say "skipped: $*"; exit 77; }

# Undo everything: end our children, unmount in reverse order, remove the work directory. All children are killed before any is waited
# for: the load does not end while the program that serves its disk is stopped.
cleanup() {
	local status=$? i
	trap - EXIT
	for i in "${!children[@]}"; do
		kill -9 "$i" 2>/dev/null || true
	done
	for i in "${!children[@]}"; do
		wait "$i" 2>/dev/null || true
	done
	for ((i = ${#mounts[@]} - 1; i >= 0; i--)); do
		mountpoint -q "${mounts[i]}" || continue
		umount "${mounts[i]}" 2>/dev/null || umount -l "${mounts[i]}" || true
	done
	case $work in
	*/varve-crash.??????) rm -rf --one-file-system "$work" || true ;;
	esac
	exit "$status"
}
trap cleanup EXIT
trap 'exit 130' INT TERM

# How often a test does what it does: VARVE_TEST_ROUNDS, or $1, or in the soak $2.
rounds_get() {
	local usual=$1
	[ -z "${VARVE_TEST_SOAK:-}" ] || usual=$2
	printf '%s\n' "${VARVE_TEST_ROUNDS:-$usual}"
}

# Print the path of the helper program $1; compile it when the build has not.
program() {
	local path=$build/tests/crash/$1
	if ! [ -x "$path" ]; then
		path=$work/$1
		# shellcheck disable=SC2046 # pkg-config's answer is a list of words
		"${CC:-gcc}" -std=gnu11 -D_GNU_SOURCE -O2 -pthread -I"$top/api/include" -o "$path" "$crash/$1.c" \
			"$build/libvarve.a" $(pkg-config --libs liburing libbtrfsutil libselinux) >&2 || exit 1
	fi
	printf '%s\n' "$path"
}

# Mount $1 on the new directory $2, with further arguments of mount(8); it is unmounted at the end.
mount_at() {
	local what=$1 where=$2
	shift 2
	mkdir -p "$where"
	mount "$@" "$what" "$where"
	[[ " ${mounts[*]} " == *" $where "* ]] || mounts+=("$where")
}

# Make a btrfs image of size $2 in the file $1.
image_make() {
	truncate -s "$2" "$1"
	mkfs.btrfs -q -f "$1" >/dev/null
}

# Mount, on $work/reflink, a file system that can clone files.
reflink_make() {
	command -v mkfs.xfs >/dev/null || skip "no mkfs.xfs"
	truncate -s "$1" "$work/reflink.img"
	mkfs.xfs -q -m reflink=1 "$work/reflink.img"
	mount_at "$work/reflink.img" "$work/reflink" -o loop
}

# Unmount $1. A loop device lets go of its file a moment after the file system on it was unmounted, and tells nobody.
umount_soon() {
	wait_until "" umount_quietly "$1" || fail "$(cat "$work/umount.out")"
}
umount_quietly() { umount "$1" 2>"$work/umount.out"; }

# Serve the image $1 as the disk $work/disk, and log all that reaches it in $2, if that is given. $logstore is the program. 1: there is
# no FUSE.
logstore_start() {
	: >"$work/disk"
	: >"$work/logstore.out"
	"$logstore" --image "$1" --mount "$work/disk" ${2:+--log "$2"} >"$work/logstore.out" 2>&1 &
	server=$!
	children[$server]=logstore
	if ! wait_written "$server" "$work/logstore.out" grep -q serving "$work/logstore.out"; then
		say "no FUSE: $(cat "$work/logstore.out")"
		return 1
	fi
	mounts+=("$work/disk")
}

# Serve it no longer: the log is whole then. $1: "killed", where the program was.
logstore_end() {
	umount_soon "$work/disk"
	wait "$server" 2>/dev/null || [ "${1:-}" = killed ] || fail "logstore: $(cat "$work/logstore.out")"
	unset "children[$server]"
}

# Start the load on the home $1, with the record $2; further arguments are its own. Its process is $child.
churn_start() {
	local home=$1 record=$2
	shift 2
	: >"$record.out"
	"$churn" --home "$home" --record "$record" --limit "$((120 * ${VARVE_TEST_TIMEOUT_SCALE:-1}))" "$@" >"$record.out" 2>"$record.err" &
	child=$!
	children[$child]=load
}

# Wait until the load with the record $1 is under way.
churn_running() {
	wait_written "$child" "$1.out" grep -q running "$1.out" || fail "the load did not start: $(cat "$1.err")"
}

# Wait for the load $1 (a process), whose record is $2; it must end with a status that matches $3.
churn_end() {
	local status=0
	wait "$1" 2>/dev/null || status=$?
	unset "children[$1]"
	[[ "$status" =~ ^($3)$ ]] || fail "the load ended with $status instead of $3: $(cat "$2.out" "$2.err")"
}

# Wait until the load with the record $1 has written a random number of lines more, at most $2: a random moment of its work, however
# busy the machine is.
churn_moment() {
	local lines
	lines=$(($(wc -l <"$1") + 1 + RANDOM % $2))
	wait_written "$child" "$1" has_lines "$lines" "$1" || fail "the load has ended: $(cat "$1.out" "$1.err")"
}

# Has the file $2 at least $1 lines?
has_lines() { (($(wc -l <"$2") >= $1)); }

# Run verify with the arguments; it must find nothing wrong.
verify_all() {
	local status=0
	"$verify" "$@" >"$work/verify.out" 2>&1 || status=$?
	[ "$status" = 0 ] && return
	cat "$work/verify.out"
	fail "verify $* (status $status)"
}

# Check the unmounted image $1 with btrfs check. What full quotas count is the kernel's affair, and was seen a node off after a
# cut: that alone is said, not a failure.
image_check() {
	btrfs check --readonly "$1" >"$work/check.out" 2>&1 && return
	if grep -q '^Counts for qgroup id: .* are different' "$work/check.out" &&
		! grep -qiE '^(ERROR|WARNING|root [0-9]|ref mismatch|backref|bad |parent transid|checksum|csum|cache |there )' \
			"$work/check.out"; then
		say "btrfs check $1: only $(grep -c '^Counts for qgroup' "$work/check.out") quota groups are counted wrong"
		return
	fi
	cat "$work/check.out"
	fail "btrfs check $1"
}
