#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Between submission and dispatch the caller's thread makes no file-system call: what strace sees of it is waiting, waking
# and memory, and reads and writes of the library's own descriptors.
# varve-test: backend=both
set -euo pipefail

# What the caller's thread may do. read and write are looked at further down.
readonly ALLOWED='futex|poll|ppoll|read|write|mmap|munmap|mprotect|madvise|brk|sched_yield|restart_syscall|rt_sigprocmask'

if ! command -v strace >/dev/null; then
	echo "needs strace"
	exit 77
fi
directory="$(mktemp -d)"
trap 'rm -rf -- "${directory:?}"' EXIT

# A leak checker cannot work under a tracer.
ASAN_OPTIONS="${ASAN_OPTIONS:-}:detect_leaks=0" strace -f -y -o "$directory/trace" \
	"$VARVE_BUILD/tests/api/caller_thread" "$VARVE_TEST_MOUNT/home" "$VARVE_TEST_BACKEND" >"$directory/thread"
thread="$(cat "$directory/thread")"

# The calls of that thread between the marks; the second half of an interrupted line belongs to the first.
awk -v thread="$thread" '
	$1 != thread { next }
	/FROM HERE/ { on = 1; next }
	/TO HERE/ { on = 0 }
	on && !/<\.\.\. .* resumed>/ { sub(/^[0-9]+ +/, ""); print }
' "$directory/trace" >"$directory/calls"

if ! grep -q . "$directory/calls"; then
	echo "saw no call of thread $thread: the test sees nothing"
	exit 1
fi
if grep -vE "^($ALLOWED)\(" "$directory/calls"; then
	echo "calls that the caller's thread must not make"
	exit 1
fi
if grep -E '^(read|write)\(' "$directory/calls" | grep -vE '^[a-z]+\([0-9]+<anon_inode:\[?(eventfd|eventpoll|timerfd)'; then
	echo "reads or writes of something else than the library's own descriptors"
	exit 1
fi
# The proof that it can fail: other threads of the same run made such calls.
if ! awk -v thread="$thread" '$1 != thread && /(openat2?|ioctl|io_uring_enter)\(/ { seen = 1 } END { exit !seen }' \
	"$directory/trace"; then
	echo "no thread at all made a file-system call"
	exit 1
fi
echo "$(wc -l <"$directory/calls") calls of the caller's thread, none to a file system"
