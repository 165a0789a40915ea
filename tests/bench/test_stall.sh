#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# A job that does not end is bounded: it fails with a message, and the run goes on, or ends where an engine keeps operations.
# varve-test: backend=any mount=no root=no
set -euo pipefail
# shellcheck source-path=SCRIPTDIR
. "$(dirname "$0")/lib.sh"
bench_start

# Longer than any machine takes for these runs, which end by themselves after a second or two.
readonly HANG_SECONDS=240

# An engine that never ends an operation. Its name is how: wait() sleeps until a signal comes, or queue() never returns, or
# queue() sleeps until a signal comes and then ends the operation.
for how in waits stuck slow; do
	cc -shared -fPIC -Wall -Werror -I"$bench_repository/bench" -DHOW="$how" -o "$scratch/$how.so" -x c - <<'END'
#include "engine.h"
#include <errno.h>
#include <unistd.h>

#define TEXT(word) #word
#define NAME(word) TEXT(word)

enum { waits, stuck, slow };

static int stall_open(const struct bench_env *env, void **ret_context, char *error, size_t size)
{
	*ret_context = (void *)env;
	return 0;
}

static int stall_queue(void *context, struct bench_op *op)
{
	while (HOW == stuck)
		pause();
	if (HOW == slow)
		pause();
	return HOW == slow ? BENCH_DONE : BENCH_QUEUED;
}

static int stall_wait(void *context, unsigned min, uint64_t timeout_ns)
{
	pause();
	return -EINTR;
}

static void stall_close(void *context)
{
}

const struct bench_engine bench_engine = {
	.version = BENCH_ENGINE_VERSION,
	.kinds = BENCH_BIT(BENCH_NOOP),
	.name = NAME(HOW),
	.description = "ends nothing",
	.homeless = true,
	.open = stall_open,
	.queue = stall_queue,
	.wait = HOW == waits ? stall_wait : NULL,
	.close = stall_close,
};
END
done

# Run the arguments and expect that the run ends by itself, as a failure.
ends() {
	status=0
	timeout --signal=KILL "$HANG_SECONDS" "$bench" "$@" >"$scratch/out" 2>"$scratch/err" || status=$?
	((status == 1)) || fail "varve-bench $*: status $status"
}

jobs=(--name=before --ioengine=noop --number_ios=10 --name=job --overtime=1)
after=(--name=after --ioengine=noop --number_ios=10)

# Operations in flight are left to the engine: the run ends, with the results of what ran before.
ends --rw=noop "${jobs[@]}" "--pair=noop,external:$scratch/waits.so" --iodepth=4 "${after[@]}"
expect err "job on external:.*waits.so: job job: engine waits: no operation has ended for 1 s; 4 in flight"
expect out '^before: '
grep -q '^after: ' "$scratch/out" && fail 'the run went on with operations in flight'

# A thread that does not come back is left, too.
ends --rw=noop "${jobs[@]}" "--pair=noop,external:$scratch/stuck.so" "${after[@]}"
expect err "engine stuck: no operation has ended for 1 s; a thread does not return"
expect out '^before: '

# With nothing in flight the run goes on. The last operation had a signal to end it.
ends --rw=noop "${jobs[@]}" "--pair=noop,external:$scratch/slow.so" --number_ios=10 "${after[@]}"
expect err "engine slow: no operation has ended for 1 s$"
expect out '^after: '

# A runtime that is over bounds the job, too: here the thread waits for the second operation to be due.
ends --rw=noop --name=job --ioengine=noop --runtime=1 --overtime=1 --thinktime=1h
expect err "engine noop: its runtime has been over for 1 s$"
