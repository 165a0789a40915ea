#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The harness costs so little that it can time what is fast: to issue, time, count and reap an operation takes no system call. How
# many a second that makes, bench/jobs/overhead.fio claims; here a machine that is busy with other things must pass.
# varve-test: backend=any mount=no root=no
set -euo pipefail
# shellcheck source-path=SCRIPTDIR
. "$(dirname "$0")/lib.sh"
bench_start
if instrumented; then
	skip "the build is instrumented: its calls say nothing"
fi
command -v strace >/dev/null || skip "strace is missing"

# Print how many system calls a run of $1 empty operations makes.
calls() {
	strace -f -qq -o "$scratch/trace" "$bench" --name=o --rw=noop --ioengine=noop --iodepth=32 "--number_ios=$1" >"$scratch/out" ||
		fail "status $?: $(cat "$scratch/out")"
	wc -l <"$scratch/trace"
}

few="$(calls 1000)"
many="$(calls 200000)"
((many - few < 2000)) || fail "199000 operations more made $((many - few)) system calls more"
