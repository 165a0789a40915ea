# SPDX-License-Identifier: Apache-2.0
# What the tests inside the machine share. Sourced, after `set -euo pipefail`, with /varve as working directory.
# shellcheck shell=bash disable=SC2034

# Emulation is slow: give everything this many times the usual limits.
export VARVE_TEST_TIMEOUT_SCALE=12 CK_TIMEOUT_MULTIPLIER=12
export VARVE_BUILD=/varve/build
readonly LIMIT_S=900
failed=0
passed=0
skipped=0

# Run the command $2... with VARVE_TEST_BACKEND=$1; print one line, and all its output if it has failed.
check() {
	local backend=$1 name status=0 started=$SECONDS
	shift
	name="${1#build/tests/} $backend"
	VARVE_TEST_BACKEND="$backend" timeout -k 10 "$LIMIT_S" "$@" >/tmp/output 2>&1 </dev/null || status=$?
	case $status in
	0)
		passed=$((passed + 1))
		printf 'ok   %4d s  %s\n' $((SECONDS - started)) "$name"
		;;
	77)
		skipped=$((skipped + 1))
		printf 'skip %4d s  %s: %s\n' $((SECONDS - started)) "$name" "$(tail -n 1 /tmp/output)"
		;;
	*)
		failed=$((failed + 1))
		printf 'FAIL %4d s  %s: status %d\n' $((SECONDS - started)) "$name" "$status"
		tail -n 60 /tmp/output | sed 's/^/      /'
		;;
	esac
}

# Run the command $2... as check() does, with a fresh btrfs as VARVE_TEST_MOUNT.
check_mounted() {
	local image=/disk/scratch
	truncate -s 0 "$image"
	truncate -s 1G "$image"
	mkfs.btrfs -q "$image" >/dev/null
	mkdir -p /tmp/mnt
	mount -t btrfs -o loop,user_subvol_rm_allowed "$image" /tmp/mnt
	VARVE_TEST_MOUNT=/tmp/mnt VARVE_TEST_DIR=/tmp check "$@"
	umount /tmp/mnt || umount -l /tmp/mnt
	rm -f "$image"
}

# Sum up; exit with 1 when something failed, or nothing ran.
finish() {
	printf '%d passed, %d failed, %d skipped\n' "$passed" "$failed" "$skipped"
	((failed == 0 && passed > 0))
	exit
}
