#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The global options reach the library: on both sides of the command, and each does what it says.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR
. "$(dirname "$0")/lib.sh"
lib_start pool

# --debug: a trace on standard error, and nothing of it on standard output.
run create --debug op a
[[ "$status" == 0 && ! -s "$scratch/out" ]] || lib_fail "create --debug op: $status, $(cat "$scratch/out")"
grep -q ' create a: STAGE' "$scratch/err" || lib_fail "no trace:" "$(cat "$scratch/err")"
# Alone and durable, an empty layer needs a commit of its own ...
grep -q 'commit: commit' "$scratch/err" || lib_fail "a durable create committed nothing:" "$(cat "$scratch/err")"
# ... and relaxed it does not.
for side in "--relaxed create b" "create c --relaxed"; do
	# shellcheck disable=SC2086 # Words.
	run --debug op $side
	grep -q ' create [bc]: STAGE' "$scratch/err" || lib_fail "no trace:" "$(cat "$scratch/err")"
	! grep -q 'commit: commit' "$scratch/err" || lib_fail "--relaxed is lost in $side"
done
run --debug frobnicate ls
expect 1 "" "varve: open: *debug*"

# --no-uring.
run status --no-uring
grep -Eq '^io_uring +off' "$scratch/out" || lib_fail "io_uring is used:" "$(cat "$scratch/out")"

# --store-opt: each of them, and case does not count.
run --store-opt colour=red ls
expect 1 "" 'varve: open: *colour=red*'
run --store-opt BTRFS.min_space=1m ls --store-opt also=wrong
expect 1 "" 'varve: open: *also=wrong*'
run --store-opt btrfs.min_space=1m create small --opt size=512k
expect 1 "" 'varve: create small: *'
expect_layers a b c

# --private-mount: the home is a mount point while the command runs, and not after.
if ((EUID == 0)); then
	mkfifo "$scratch/fifo"
	"$varve" "${lib_options[@]}" --private-mount create --json - <"$scratch/fifo" >"$scratch/stream" &
	child=$!
	exec {writer}>"$scratch/fifo"
	echo mounted >&"$writer"
	await_written "the first answer" "$scratch/stream" test -s "$scratch/stream"
	mountpoint -q "$home" || lib_fail "--private-mount mounts nothing"
	exec {writer}>&-
	wait "$child" || lib_fail "create --private-mount: $?"
	! mountpoint -q "$home" || lib_fail "--private-mount leaves its mount"
	expect_layers a b c mounted
fi

# --allow-shared-home: without it a store that others can change is refused, but for looking at it.
chmod 0777 "$home/subvolumes"
run create shared
expect 1 "" "varve: open: $home/subvolumes: Operation not permitted*--allow-shared-home*"
run exists a
expect 0 "" "varve: open: $home/subvolumes: Operation not permitted*--allow-shared-home*"
run --allow-shared-home create shared
expect 0 "" ""
run --allow-shared-home rm shared
expect 0 "" ""
chmod 0700 "$home/subvolumes"
run exists a
expect 0 "" ""
