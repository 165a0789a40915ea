/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Input and output of a reactor: the ring, the lanes, and the inbox by which other threads reach
 * the reactor. The ring makes a submitted call if it has an opcode for it, else a lane does; the
 * call's done() runs in io_turn().
 */
#ifndef VARVE_IO_IO_H
#define VARVE_IO_IO_H

#include "engine/base/spin.h"
#include "engine/base/yield.h"
#include "engine/io/lane.h"
#include "engine/io/ring.h"

/* How to set up an io. */
struct io_config {
	/* Use no io_uring. */
	bool no_uring;
	/* Depth of the ring. */
	unsigned ring_entries;
	/* Most threads of each lane. */
	unsigned threads_max[LANES];
};

struct io {
	/* ---- any thread ---- */
	struct apart apart_inbox;
	/* Posts from other threads: requests, finished lane calls. */
	struct inbox inbox;
	/* Is the reactor asleep, or about to be? The thread that clears this wakes the reactor. */
	_Atomic bool sleeping;
	/* Look at more than the inbox before the next sleep. */
	_Atomic bool interrupted;
	/* Checked by threads that compute for long. */
	struct wakes wakes;
	struct apart apart_reactor;
	/* ---- the reactor's ---- */
	/* How the reactor waits for the next post. */
	struct spin spin;
	/* An eventfd that a sleeping reactor waits on. */
	int wake_fd;
	struct ring ring;
	/*
	 * Why there is no ring: 0: there is one; -ECANCELED: switched off; else the kernel's error.
	 */
	int ring_error;
	struct lane lanes[LANES];
	/* Calls that are done but whose done() has not run. */
	struct list done;
	/* Calls made by each side. */
	uint64_t ring_calls, lane_calls;
	struct fault fault;
	struct trace trace;
};

/* Prepare IO, on any thread. io->trace and io->fault stay as they are. */
int io_init(struct io *io);

/* Start lanes and ring, on the reactor's thread. */
int io_start(struct io *io, const struct io_config *config);

/* Post NODE to the reactor and wake it where it sleeps. Any thread. */
void io_post(struct io *io, struct inbox_node *node);

/* Let io_turn() return soon, for a change without a post. Any thread. */
void io_interrupt(struct io *io);

/* Make CALL; its done() runs later, in io_turn(), also when the submission fails. */
void io_submit(struct io *io, struct call *call);

/* Withdraw CALL; false when it is under way already. Only calls of a lane can be withdrawn. */
bool io_withdraw(struct io *io, struct call *call);

/*
 * Receive posts, run the done() of finished calls, submit. With nothing to do, sleep for at most
 * TIMEOUT_NS (negative: for ever) until there is. Returns false when it slept or could have.
 */
bool io_turn(struct io *io, int64_t timeout_ns);

/* Stop lanes and ring, on the reactor's thread; nothing may be in flight. */
void io_stop(struct io *io);

/* Free what io_init() made. */
void io_free(struct io *io);

/* Close the ring's descriptor in a forked child, where the ring itself is not mapped. */
void io_abandon(struct io *io);

#endif
