/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The io_uring, which makes the calls that it has opcodes for. It belongs to the reactor's thread,
 * which sets it up (SINGLE_ISSUER binds it to that thread); no other thread uses it.
 */
#ifndef VARVE_IO_RING_H
#define VARVE_IO_RING_H

#include "engine/base/trace.h"
#include "engine/io/call.h"

#include <liburing.h>

struct ring {
	/* Is there a ring at all? The rest is meaningless when not. */
	bool usable;
	struct io_uring uring;
	/* Flags it was set up with. */
	unsigned setup_flags;
	/* Bit N: this kernel knows the opcode of call_kind N. */
	unsigned kinds;
	/* Calls in the ring: the maximum, now, and the peak. */
	unsigned entries, in_flight, in_flight_peak;
	/* Calls that wait for room. */
	struct list waiting;
	/* The descriptor that wakes the reactor, and where the ring reads its counter to. */
	int wake_fd;
	uint64_t wake_count;
	/* Is that read under way? */
	bool wake_armed;
	/* Where ring traces go. */
	const struct trace *trace;
};

/*
 * Set RING up with room for about ENTRIES calls. A negative errno means: no io_uring here; do
 * without.
 */
int ring_start(struct ring *ring, unsigned entries, int wake_fd, const struct trace *trace);

/* Can RING make calls of KIND? */
bool ring_can(const struct ring *ring, enum call_kind kind);

/* Take CALL, which ring_can() make. */
void ring_submit(struct ring *ring, struct call *call);

/*
 * Submit the calls to the kernel, wait up to TIMEOUT_NS (0: do not; negative: for ever) for a
 * completion or the wake descriptor, and append finished calls to DONE.
 */
void ring_turn(struct ring *ring, int64_t timeout_ns, struct list *done);

/* Tear RING down; nothing may be in flight but the wake. */
void ring_stop(struct ring *ring);

/* Names of the setup flags in use, for a person; a constant. */
const char *ring_mode(const struct ring *ring);

#endif
