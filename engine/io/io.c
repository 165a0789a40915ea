/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How a sleeping reactor is woken, once for any number of posts:
 *
 *	reactor                           other thread
 *	sleeping = true                   post to the inbox
 *	inbox empty? -> wait for wake_fd  if sleeping: sleeping = false, write to wake_fd
 *
 * Both sides store first and load second, sequentially consistent: at least one sees the other.
 */
#include "engine/io/io.h"

#include <poll.h>
#include <string.h>
#include <sys/eventfd.h>

int io_init(struct io *io)
{
	list_init(&io->done);
	spin_init(&io->spin);
	io->wake_fd = RET_NERRNO(eventfd(0, EFD_CLOEXEC));
	return MIN(io->wake_fd, 0);
}

/* Wake the reactor, if it sleeps. */
static void io_wake(struct io *io)
{
	uint64_t one = 1;

	if (!atomic_load(&io->sleeping) || !atomic_exchange(&io->sleeping, false))
		return;
	while (write(io->wake_fd, &one, sizeof(one)) < 0 && errno == EINTR)
		;
	wakes_add(&io->wakes);
}

void io_post(struct io *io, struct inbox_node *node)
{
	inbox_post(&io->inbox, node);
	io_wake(io);
}

void io_interrupt(struct io *io)
{
	atomic_store(&io->interrupted, true);
	io_wake(io);
}

/* Receive a lane's finished call, on the reactor. */
static void io_received(struct inbox_node *node)
{
	struct call *call = container_of(node, struct call, node);

	call->done(call);
}

/* Send a finished call back, from a lane thread. */
static void io_lane_finished(void *data, struct call *call)
{
	struct io *io = data;

	call->node.receive = io_received;
	io_post(io, &call->node);
}

int io_start(struct io *io, const struct io_config *config)
{
	static const char *const names[LANES] = { [LANE_FS] = "fs",
						  [LANE_COMMIT] = "commit",
						  [LANE_WALK] = "walk",
						  [LANE_STREAM] = "stream",
						  [LANE_LONG] = "long" };
	int r = 0;

	for (int i = 0; !r && i < LANES; i++)
		r = lane_start(&io->lanes[i], names[i], config->threads_max[i], io_lane_finished,
			       io, &io->fault, &io->trace);
	if (r) {
		io_stop(io);
		return r;
	}
	io->ring_error = config->no_uring ? -ECANCELED
					  : ring_start(&io->ring, config->ring_entries, io->wake_fd,
						       &io->trace);
	return 0;
}

void io_submit(struct io *io, struct call *call)
{
	call->result = fault_hit(&io->fault, FAULT_SUBMISSION);
	if (call->result)
		list_append(&io->done, &call->link);
	else if (ring_can(&io->ring, call->kind)) {
		io->ring_calls++;
		ring_submit(&io->ring, call);
	} else {
		enum call_lane lane = call->kind == CALL_FUNCTION ? call->lane : LANE_FS;

		io->lane_calls++;
		lane_submit(&io->lanes[lane], call);
		if (lane == LANE_FS || lane == LANE_COMMIT)
			wakes_add(&io->wakes);
	}
}

bool io_withdraw(struct io *io, struct call *call)
{
	return call->kind == CALL_FUNCTION && lane_withdraw(&io->lanes[call->lane], call);
}

/* Run the done() of finished calls; return whether there were any. */
static bool io_finish(struct io *io)
{
	struct list done = LIST_INIT(done), *link;
	bool any = false;

	list_splice(&done, &io->done);
	while ((link = list_pop(&done))) {
		struct call *call = list_entry(link, struct call, link);

		any = true;
		if (call->result == -ECANCELED) {
			/* The kernel could start no worker: a lane makes the call. */
			io->lane_calls++;
			lane_submit(&io->lanes[LANE_FS], call);
		} else
			call->done(call);
	}
	return any;
}

/* Hand calls to the kernel, sleeping up to TIMEOUT_NS. */
static void io_kernel(struct io *io, int64_t timeout_ns)
{
	struct timespec ts = { .tv_sec = timeout_ns / 1000000000,
			       .tv_nsec = timeout_ns % 1000000000 };
	struct pollfd pollfd = { .fd = io->wake_fd, .events = POLLIN };
	uint64_t count;

	if (io->ring.usable)
		ring_turn(&io->ring, timeout_ns, &io->done);
	else if (timeout_ns && ppoll(&pollfd, 1, timeout_ns < 0 ? NULL : &ts, NULL) > 0)
		while (read(io->wake_fd, &count, sizeof(count)) < 0 && errno == EINTR)
			;
}

/*
 * Wait for a post awake, if that pays: not while the ring has calls, whose end would not be seen.
 * True if there is a post.
 */
static bool io_spin(struct io *io, int64_t timeout_ns)
{
	struct spin_wait wait = { 0 };

	if (io->ring.in_flight || (timeout_ns >= 0 && timeout_ns < SPIN_NS))
		return false;
	while (inbox_empty(&io->inbox)) {
		/* An interrupt is for one turn: if it stayed set, no later turn would sleep. */
		if (atomic_load_explicit(&io->interrupted, memory_order_relaxed))
			return atomic_exchange(&io->interrupted, false);
		if (!spin_again(&io->spin, &wait))
			return false;
	}
	return true;
}

bool io_turn(struct io *io, int64_t timeout_ns)
{
	uint64_t begin;
	bool any;

	io_kernel(io, 0);
	any = io_finish(io);
	for (struct inbox_node *node = inbox_take(&io->inbox), *next; node; node = next) {
		next = node->next;
		node->receive(node);
		any = true;
	}
	if (any || io_spin(io, timeout_ns))
		return true;
	begin = now_ns();
	atomic_store(&io->sleeping, true);
	if (!inbox_empty(&io->inbox) || !list_empty(&io->done) ||
	    atomic_exchange(&io->interrupted, false))
		timeout_ns = 0;
	io_kernel(io, timeout_ns);
	atomic_store(&io->sleeping, false);
	spin_slept(&io->spin, begin);
	return false;
}

void io_stop(struct io *io)
{
	for (int i = 0; i < LANES; i++)
		lane_stop(&io->lanes[i]);
	ring_stop(&io->ring);
}

void io_free(struct io *io)
{
	fd_close(io->wake_fd);
}

void io_abandon(struct io *io)
{
	if (io->ring.usable)
		fd_close(io->ring.uring.ring_fd);
	io->ring.usable = false;
}
