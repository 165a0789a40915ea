# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
# lib.sh: what the scripts of this suite share. A test sources it and calls bench_start [mount]; then $scratch is a directory of
# its own, and with "mount" $mnt is a btrfs: the runner's, or one in an image that the test makes and takes away.
set -euo pipefail
export LC_ALL=C.UTF-8

readonly BENCH_IMAGE_SIZE=1G

bench_repository="$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)"
VARVE_BUILD="${VARVE_BUILD:-$bench_repository/build}"
VARVE_TEST_BACKEND="${VARVE_TEST_BACKEND:-uring}"
bench="$VARVE_BUILD/varve-bench"
# The engine of this backend.
engine=varve
if [[ "$VARVE_TEST_BACKEND" == threads ]]; then
	engine=varve-threads
fi
own_mount=""
scratch=""
# Exit status of the last run().
status=0

# End the test as skipped, because of $1.
skip() {
	printf '%s\n' "$1"
	exit 77
}

# End the test as failed, with the arguments as reasons.
fail() {
	printf '%s:%s: failed:\n' "${BASH_SOURCE[1]##*/}" "${BASH_LINENO[0]}"
	printf '%s\n' "$@"
	if [[ -n "$scratch" ]]; then
		head -n 40 "$scratch/out" "$scratch/err" 2>/dev/null || true
	fi
	exit 1
}

# Undo what bench_start did.
bench_finish() {
	local result=$?
	trap - EXIT
	if [[ -n "$own_mount" ]] && mountpoint -q "$own_mount"; then
		umount "$own_mount"
	fi
	if [[ -n "$scratch" && -d "$scratch" ]]; then
		rm -rf --one-file-system "${scratch:?}"
	fi
	exit "$result"
}

# Begin a test; "mount": with a btrfs.
bench_start() {
	[[ -x "$bench" ]] || skip "varve-bench was not built (libuv or jansson is missing)"
	scratch="$(mktemp -d)"
	trap bench_finish EXIT
	if [[ "${1:-}" != mount ]]; then
		return
	fi
	mnt="${VARVE_TEST_MOUNT:-}"
	if [[ -n "$mnt" ]]; then
		return
	fi
	(($(id -u) == 0)) || skip "needs root to mount an image"
	truncate -s "$BENCH_IMAGE_SIZE" "$scratch/image"
	mkfs.btrfs -q "$scratch/image" >/dev/null 2>&1 || skip "mkfs.btrfs is missing"
	mkdir "$scratch/mnt"
	mount -o loop "$scratch/image" "$scratch/mnt" || skip "cannot mount an image here"
	own_mount="$scratch/mnt"
	mnt="$own_mount"
}

# Run varve-bench with the arguments; its status goes to $status, its output to $scratch/out and $scratch/err.
run() {
	status=0
	"$bench" "$@" >"$scratch/out" 2>"$scratch/err" || status=$?
}

# Run it and expect success.
run_well() {
	run "$@"
	((status == 0)) || fail "varve-bench $*: status $status"
}

# Is the program built with a sanitizer? Its speed says nothing then, and strace and the search for leaks exclude each other.
instrumented() {
	grep -q -e asan -e tsan <(ldd "$bench")
}

# Can strace watch the program?
traceable() {
	command -v strace >/dev/null && ! instrumented
}

# Expect that the file $1 (out or err) has a line that matches $2.
expect() {
	grep -Eq -- "$2" "$scratch/$1" || fail "std$1 has no line like: $2"
}

# Expect that nothing is left on the file system.
expect_clean() {
	local left
	left="$(find "$mnt" -mindepth 1 -maxdepth 1)"
	[[ -z "$left" ]] || fail "left behind: $left"
}

# Make a section of a page of results with the heading $1, of rows "JOB|FIGURE|MEASURED".
section() {
	local job figure measured row
	printf '## %s\n\n| job | what | claim | measured | kept |\n| --- | --- | --- | --- | --- |\n' "$1"
	shift
	for row in "$@"; do
		IFS='|' read -r job figure measured <<<"$row"
		printf '| %s | what it does | %s at least 1.00 | %s | yes |\n' "$job" "$figure" "$measured"
	done
	printf '\n### By engine\n\n| job | engine | runs |\n| --- | --- | --- |\n| %s | varve | 5 |\n\n' "$job"
}
