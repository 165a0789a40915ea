# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
# lib.sh: what the tests of the command share. A test sources it, calls lib_start, and then runs and expects.
#
# The runner gives a test its file system (VARVE_TEST_MOUNT). By hand, as root, a test makes itself one in an image.
set -euo pipefail
export LC_ALL=C.UTF-8
unset VARVE_HOME VARVE_DEBUG

readonly LIB_IMAGE_SIZE=1G

lib_repository="$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)"
# shellcheck source=tests/lib/wait.sh
. "$lib_repository/tests/lib/wait.sh"
VARVE_BUILD="${VARVE_BUILD:-$lib_repository/build}"
VARVE_TEST_BACKEND="${VARVE_TEST_BACKEND:-uring}"
varve="$VARVE_BUILD/varve"
# What every run of the command is given; a test adds to it.
lib_options=()
if [[ "$VARVE_TEST_BACKEND" == threads ]]; then
	lib_options+=(--no-uring)
fi
# Mount points of this test, to be unmounted at its end.
lib_mounts=()
# What the last run() left: exit status; standard output and error are in $scratch/out and $scratch/err.
status=0

# End the test as skipped, because of $1.
lib_skip() {
	printf '%s\n' "$1"
	exit 77
}

# End the test as failed, with where and why: the arguments, a line each.
lib_fail() {
	local depth=1
	while [[ "${BASH_SOURCE[depth]}" == */lib.sh ]]; do
		depth=$((depth + 1))
	done
	printf '%s:%s: failed:\n' "${BASH_SOURCE[depth]##*/}" "${BASH_LINENO[depth - 1]}"
	printf '%s\n' "$@"
	exit 1
}

# Unmount $1. Something may hold it for a moment more; what holds it for longer shall not keep the rest from being undone.
lib_umount() {
	wait_until "" umount "$1" 2>/dev/null && return
	printf 'still in use: %s\n' "$1"
	umount --lazy "$1"
}

# Undo what lib_start did; end what a failed test has left in the background.
lib_finish() {
	local result=$? mount child
	trap - EXIT
	for child in $(jobs -p); do
		kill -s KILL "$child" 2>/dev/null || true
		wait "$child" 2>/dev/null || true
	done
	for mount in "${lib_mounts[@]}"; do
		if mountpoint -q "$mount"; then
			lib_umount "$mount"
		fi
	done
	if [[ -n "${scratch:-}" && -d "$scratch" ]]; then
		# One file system: what is still mounted below is not ours to remove.
		rm -rf --one-file-system "${scratch:?}"
	fi
	exit "$result"
}

# Begin: make a scratch directory; where $1 is pool, not nothing, see that there is a btrfs, whose store is $home.
lib_start() {
	scratch="$(mktemp -d)"
	trap lib_finish EXIT
	if [[ ! -x "$varve" ]]; then
		lib_fail "no command $varve: build it first"
	fi
	if [[ "$1" != pool ]]; then
		return
	fi
	if [[ -z "${VARVE_TEST_MOUNT:-}" ]]; then
		if ((EUID != 0)); then
			lib_skip "needs root to mount a btrfs image"
		fi
		VARVE_TEST_MOUNT="$scratch/mnt"
		mkdir "$VARVE_TEST_MOUNT"
		lib_mounts+=("$VARVE_TEST_MOUNT")
		truncate -s "$LIB_IMAGE_SIZE" "$scratch/image"
		mkfs.btrfs -q "$scratch/image"
		mount -t btrfs -o loop,user_subvol_rm_allowed "$scratch/image" "$VARVE_TEST_MOUNT"
	fi
	home="$VARVE_TEST_MOUNT/store"
	lib_options+=(--home "$home")
}

# Run the command with the arguments; keep status, standard output and standard error.
run() {
	status=0
	"$varve" "${lib_options[@]}" "$@" >"$scratch/out" 2>"$scratch/err" || status=$?
}

# The last run ended with status $1, standard output $2 (exactly) and standard error $3 (a pattern, [ and \ quoted).
expect() {
	local error output
	# Read without a process: there are thousands of these. Only what has a NUL, or differs, goes to cmp.
	IFS= read -r -d '' error <"$scratch/err" || true
	error="${error%"${error##*[!$'\n']}"}"
	if [[ "$status" != "$1" ]]; then
		lib_fail "status $status instead of $1" "standard error: $error"
	fi
	if IFS= read -r -d '' output <"$scratch/out" || [[ "$output" != "$2" ]] && ! printf '%s' "$2" | cmp -s - "$scratch/out"; then
		lib_fail "standard output is" "$(cat -v "$scratch/out")" "instead of" "$(cat -v <<<"$2")" "standard error: $error"
	fi
	# shellcheck disable=SC2053 # It is a pattern.
	if [[ "$error" != $3 ]]; then
		lib_fail "standard error is" "$error" "instead of" "$3"
	fi
}

# Run the command with the arguments; it must succeed and print nothing.
quietly() {
	run "$@"
	expect 0 "" ""
}

# The layers of the store are the arguments.
expect_layers() {
	local names
	run ls
	if (($#)); then
		printf -v names '%s\n' "$@"
		expect 0 "$names" ""
	else
		expect 0 "" ""
	fi
}

# Print the file $1 with what differs from run to run replaced by words.
masked() {
	local hex='[0-9a-f]'
	sed -E -e "s/$hex{8}-$hex{4}-$hex{4}-$hex{4}-$hex{12}/UUID/g" \
		-e 's/[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{9}Z/TIME_NS/g' \
		-e 's/[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z/TIME/g' \
		-e 's/("(subvolume_id|generation|created_generation)":)[0-9]+/\1N/g' \
		-e 's/^((Subvolume ID|Generation|Created generation): +)[0-9]+$/\1N/' "$1" >"$scratch/masked"
	mv "$scratch/masked" "$1"
}

# Is a thread of process $1 that reads or writes a stream asleep in poll()? With await.
stream_asleep() {
	local task
	for task in "/proc/$1/task/"*; do
		if [[ "$(cat "$task/comm" "$task/wchan" 2>/dev/null)" == $'varve-stream\n'*poll* ]]; then
			return
		fi
	done
	return 1
}

# Call the arguments until they succeed: what the kernel has of threads and devices, of which it tells nobody. $1 says in words what is
# awaited.
await() {
	local what="$1"
	shift
	wait_until "" "$@" || lib_fail "waited in vain for $what"
}

# Call the arguments behind $2, each time that the process $child has written to the file $2, until they succeed.
await_written() {
	local what="$1" file="$2"
	shift 2
	wait_written "$child" "$file" "$@" || lib_fail "waited in vain for $what:" "$(cat -v "$file")"
}

# Let varve and containers-storage, called as `cs`, work in one store: the directory of the latter's driver, on which it mounts itself, is
# laid out as one. Sets graph, home and layers.
lib_start_graph() {
	command -v containers-storage >/dev/null || lib_skip "needs containers-storage"
	command -v setfattr >/dev/null || lib_skip "needs setfattr and getfattr"
	lib_start pool
	graph="$VARVE_TEST_MOUNT/graph"
	home="$graph/btrfs"
	layers="$home/subvolumes"
	lib_options+=(--home "$home")
	lib_mounts=("$home" "${lib_mounts[@]}")
}

# Run containers-storage.
cs() {
	containers-storage --graph "$graph" --run "$scratch/run" --storage-driver btrfs "$@"
}
