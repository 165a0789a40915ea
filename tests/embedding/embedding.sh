# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# What the tests of this folder share; they source it. They can be run by hand, too: without VARVE_TEST_MOUNT they make an
# image of their own.
set -euo pipefail
export LC_ALL=C

root="$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)"
build="${VARVE_BUILD:-$root/build}"
# shellcheck disable=SC2034
read -r -a backends <<<"${VARVE_TEST_BACKEND:-uring threads}"
# A folder of this test alone, removed at the end.
tmp="$(mktemp -d "${TMPDIR:-/tmp}/varve-embedding-XXXXXX")"
# shellcheck disable=SC2034
readonly root build backends tmp
# Of the image that a test by hand makes itself.
readonly IMAGE_SIZE="${EMBEDDING_IMAGE_SIZE:-1G}"

# Unmount what was mounted below $tmp, and remove it.
clean_up() {
	local target
	findmnt --raw --noheadings --output TARGET | awk -v below="$tmp/" 'index($0, below) == 1' | sort -r |
		while read -r target; do
			umount -- "$target" || umount --lazy -- "$target"
		done
	rm -rf --one-file-system -- "${tmp:?}"
}
trap clean_up EXIT

# End as skipped, for the reason given.
skip() {
	printf '%s\n' "$*"
	exit 77
}

# End as failed.
fail() {
	printf 'failed: %s\n' "$*" >&2
	exit 1
}

# Expect the file $1 to have a line that matches $2, a regular expression.
expect_line() {
	grep -Eq -- "$2" "$1" || fail "no line is like '$2' in: $(cat "$1")"
}

# Run what follows $2, its output in the file $2; expect it to exit with $1.
expect_status() {
	local status=0 wanted="$1" output="$2"
	shift 2
	"$@" >"$output" 2>&1 || status=$?
	((status == wanted)) || fail "$* exited with $status, not $wanted: $(cat "$output")"
}

# Set `mount` to a btrfs of this test alone.
need_mount() {
	if [[ -n "${VARVE_TEST_MOUNT:-}" ]]; then
		mount="$VARVE_TEST_MOUNT"
		return 0
	fi
	(($(id -u) == 0)) || skip "needs root"
	command -v mkfs.btrfs >/dev/null || skip "needs mkfs.btrfs"
	mount="$tmp/mount"
	mkdir -- "$mount"
	truncate -s "$IMAGE_SIZE" "$tmp/image"
	mkfs.btrfs -q "$tmp/image" >/dev/null 2>&1
	mount -t btrfs -o loop,user_subvol_rm_allowed "$tmp/image" "$mount"
}

# Expect the program $1 of the build to be there.
need_built() {
	[[ -x "$build/$1" ]] || fail "$build/$1 is not built"
}

# Is the library built with a sanitizer? Then it does not link without one, and has symbols that are not ours.
is_sanitized() {
	nm "$build/libvarve.a" | grep -E ' U __(asan|tsan|ubsan)_' >/dev/null
}
