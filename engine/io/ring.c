/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Set-up, best first: DEFER_TASKRUN runs completions only when we look, on our own thread (fastest,
 * Linux 6.1); COOP_TASKRUN does not interrupt us (5.19); plain. SQPOLL burns a CPU that the commits
 * need (measured: slowest by far on two cores), so it is not tried.
 *
 * Opcodes are probed, never assumed. Calls beyond the ring's depth wait in a list: the completion
 * queue can then never overflow. No call is ever cancelled: ECANCELED means that the kernel could
 * start no worker thread (RLIMIT_NPROC), and such calls are handed back for the lanes to make.
 */
#include "engine/io/ring.h"
#include "engine/base/limits.h"

static const struct {
	unsigned flags;
	const char *name;
} ring_setups[] = {
	{ IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_TASKRUN_FLAG,
	  "single_issuer,defer_taskrun" },
	{ IORING_SETUP_COOP_TASKRUN | IORING_SETUP_TASKRUN_FLAG, "coop_taskrun" },
	{ 0, "plain" },
};

/* The opcode of each kind of call; 0 (NOP) for those that have none. */
static const unsigned char ring_opcodes[CALL_KINDS] = {
	[CALL_OPENAT2] = IORING_OP_OPENAT2,
	[CALL_STATX] = IORING_OP_STATX,
	[CALL_UNLINKAT] = IORING_OP_UNLINKAT,
};

/*
 * Set up with the best flags this kernel takes, and fewer entries where the memory lock limit wants
 * that.
 */
static int ring_setup(struct ring *ring, unsigned entries)
{
	int r = -ENOSYS;

	for (; entries >= RING_ENTRIES_MIN; entries /= 2) {
		for (size_t i = 0; i < ARRAY_SIZE(ring_setups); i++) {
			ring->setup_flags = ring_setups[i].flags;
			r = io_uring_queue_init(entries, &ring->uring,
						ring_setups[i].flags | IORING_SETUP_CLAMP);
			if (r != -EINVAL)
				break;
		}
		if (r != -ENOMEM)
			break;
	}
	ring->entries = entries;
	return r;
}

int ring_start(struct ring *ring, unsigned entries, int wake_fd, const struct trace *trace)
{
	struct io_uring_probe *probe;
	int r;

	*ring = (struct ring){ .wake_fd = wake_fd, .trace = trace };
	list_init(&ring->waiting);
	r = ring_setup(ring, entries);
	if (r < 0)
		return r;
	/* A forked child must not complete into our queue. */
	io_uring_ring_dontfork(&ring->uring);
	/* Find out which of our opcodes the kernel has. */
	probe = io_uring_get_probe_ring(&ring->uring);
	for (unsigned i = 0; probe && i < CALL_KINDS; i++)
		if (ring_opcodes[i] && io_uring_opcode_supported(probe, ring_opcodes[i]))
			ring->kinds |= 1u << i;
	if (probe)
		io_uring_free_probe(probe);
	ring->usable = true;
	return 0;
}

bool ring_can(const struct ring *ring, enum call_kind kind)
{
	return ring->usable && ring->kinds & 1u << kind;
}

/* Write CALL into an entry; there is room. */
static void ring_prepare(struct ring *ring, struct call *call)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(&ring->uring);

	switch (call->kind) {
	case CALL_OPENAT2:
		io_uring_prep_openat2(sqe, call->openat2.dirfd, call->openat2.path,
				      &call->openat2.how);
		break;
	case CALL_STATX:
		io_uring_prep_statx(sqe, call->statx.dirfd, call->statx.path, call->statx.flags,
				    call->statx.mask, call->statx.buffer);
		break;
	case CALL_UNLINKAT:
		io_uring_prep_unlinkat(sqe, call->unlinkat.dirfd, call->unlinkat.path,
				       call->unlinkat.flags);
		break;
	default:
		io_uring_prep_nop(sqe);
		break;
	}
	io_uring_sqe_set_data(sqe, call);
	ring->in_flight++;
	ring->in_flight_peak = MAX(ring->in_flight_peak, ring->in_flight);
}

void ring_submit(struct ring *ring, struct call *call)
{
	list_append(&ring->waiting, &call->link);
}

/* Move waiting calls into the ring while there is room. One entry is kept for the wake. */
static void ring_fill(struct ring *ring)
{
	struct list *link;

	if (!ring->wake_armed && io_uring_sq_space_left(&ring->uring)) {
		struct io_uring_sqe *sqe = io_uring_get_sqe(&ring->uring);

		io_uring_prep_read(sqe, ring->wake_fd, &ring->wake_count, sizeof(ring->wake_count),
				   0);
		io_uring_sqe_set_data(sqe, NULL);
		ring->wake_armed = true;
	}
	while (ring->in_flight + 1 < ring->entries && io_uring_sq_space_left(&ring->uring) &&
	       (link = list_pop(&ring->waiting)))
		ring_prepare(ring, list_entry(link, struct call, link));
}

/* Append the calls that are complete to DONE. */
static void ring_reap(struct ring *ring, struct list *done)
{
	struct io_uring_cqe *cqe;
	unsigned head, count = 0;

	io_uring_for_each_cqe(&ring->uring, head, cqe)
	{
		struct call *call = io_uring_cqe_get_data(cqe);

		count++;
		if (!call) {
			ring->wake_armed = false;
			continue;
		}
		call->result = cqe->res;
		ring->in_flight--;
		trace(ring->trace, TRACE_RING, "ring: %s = %d", call->name, call->result);
		list_append(done, &call->link);
	}
	io_uring_cq_advance(&ring->uring, count);
}

void ring_turn(struct ring *ring, int64_t timeout_ns, struct list *done)
{
	struct __kernel_timespec ts = { .tv_sec = timeout_ns / 1000000000,
					.tv_nsec = timeout_ns % 1000000000 };
	struct io_uring_cqe *cqe;

	ring_fill(ring);
	/* Interrupted or timed out: the caller looks at its queues again in any case. */
	if (timeout_ns)
		io_uring_submit_and_wait_timeout(&ring->uring, &cqe, 1, timeout_ns < 0 ? NULL : &ts,
						 NULL);
	else if (ring->in_flight || io_uring_sq_ready(&ring->uring))
		io_uring_submit_and_get_events(&ring->uring);
	ring_reap(ring, done);
}

void ring_stop(struct ring *ring)
{
	if (ring->usable)
		io_uring_queue_exit(&ring->uring);
	ring->usable = false;
}

const char *ring_mode(const struct ring *ring)
{
	for (size_t i = 0; ring->usable && i < ARRAY_SIZE(ring_setups); i++)
		if (ring_setups[i].flags == ring->setup_flags)
			return ring_setups[i].name;
	return "off";
}
