/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The io_uring, in the place of liburing's functions that enter the kernel. Each entry is made by a
 * task of its own, so that entries are made, and complete, in any order.
 */
#include "kernel.h"
#include "wrap.h"

#include <errno.h>
#include <fcntl.h>
#include <liburing.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Of 256 entries, for how many the kernel can start no thread. */
#define RING_NO_WORKER_CHANCE 2

/* What is in the memory that the kernel shares with a program. */
struct sim_ring {
	struct io_uring *uring;
	unsigned sq_head, sq_tail, cq_head, cq_tail;
	/* Entries that are being made. */
	struct ring_entry *entries;
};

struct ring_entry {
	struct ring_entry *next;
	struct sim_ring *ring;
	struct task *task;
	struct io_uring_sqe sqe;
};

/* Set up URING with room for COUNT entries, of which the kernel makes a power of two. */
static int ring_make(unsigned count, struct io_uring *uring)
{
	struct sim_ring *ring;
	unsigned entries = 1;

	while (entries < count)
		entries *= 2;
	ring = calloc(1, sizeof(*ring));
	memset(uring, 0, sizeof(*uring));
	uring->sq.sqes = calloc(entries, sizeof(*uring->sq.sqes));
	uring->cq.cqes = calloc(2ul * entries, sizeof(*uring->cq.cqes));
	if (!ring || !uring->sq.sqes || !uring->cq.cqes)
		return -ENOMEM;
	ring->uring = uring;
	uring->sq.ring_ptr = ring;
	uring->sq.khead = &ring->sq_head;
	uring->sq.ktail = &ring->sq_tail;
	uring->sq.ring_entries = entries;
	uring->sq.ring_mask = entries - 1;
	uring->cq.khead = &ring->cq_head;
	uring->cq.ktail = &ring->cq_tail;
	uring->cq.ring_entries = 2 * entries;
	uring->cq.ring_mask = 2 * entries - 1;
	uring->ring_fd = kernel_install(kernel_new_file(FILE_RING, 0));
	return uring->ring_fd < 0 ? uring->ring_fd : 0;
}

WRAP(int, io_uring_queue_init, (unsigned entries, struct io_uring *uring, unsigned flags))
{
	int r;

	OUTSIDE(__real_io_uring_queue_init(entries, uring, flags));
	r = kernel_enter("io_uring_setup", ERRORS_OPEN);
	if (!r)
		r = ring_make(entries, uring);
	sim_call_end();
	return r;
}

WRAP(int, io_uring_ring_dontfork, (struct io_uring * uring))
{
	OUTSIDE(__real_io_uring_ring_dontfork(uring));
	return 0;
}

WRAP(struct io_uring_probe *, io_uring_get_probe_ring, (struct io_uring * uring))
{
	struct io_uring_probe *probe;

	OUTSIDE(__real_io_uring_get_probe_ring(uring));
	probe = calloc(1, sizeof(*probe) + IORING_OP_LAST * sizeof(*probe->ops));
	if (!probe)
		return NULL;
	probe->last_op = IORING_OP_LAST - 1;
	for (unsigned i = 0; i < IORING_OP_LAST; i++)
		probe->ops[i].flags = IO_URING_OP_SUPPORTED;
	return probe;
}

WRAP(void, io_uring_free_probe, (struct io_uring_probe * probe))
{
	OUTSIDE(__real_io_uring_free_probe(probe));
	free(probe);
}

/* ---- entries --------------------------------------------------------------------------------- */

/* Make the call that SQE asks for: its result, or -errno. */
static int ring_call(const struct io_uring_sqe *sqe)
{
	const char *path = (const char *)(uintptr_t)sqe->addr;
	long r;

	switch (sqe->opcode) {
	case IORING_OP_NOP:
		return 0;
	case IORING_OP_READ:
		r = read(sqe->fd, (void *)(uintptr_t)sqe->addr, sqe->len);
		break;
	case IORING_OP_OPENAT2:
		r = syscall(SYS_openat2, sqe->fd, path, sqe->off, sqe->len);
		break;
	case IORING_OP_STATX:
		r = statx(sqe->fd, path, (int)sqe->statx_flags, sqe->len,
			  (struct statx *)(uintptr_t)sqe->off);
		break;
	case IORING_OP_UNLINKAT:
		r = unlinkat(sqe->fd, path, (int)sqe->unlink_flags);
		break;
	default:
		sim_fail("unknown call: entry %d of a ring", sqe->opcode);
	}
	return r < 0 ? -errno : (int)r;
}

/* Forget ENTRY, which is no longer made. */
static void ring_forget(struct ring_entry *entry)
{
	struct ring_entry **link = &entry->ring->entries;

	while (*link != entry)
		link = &(*link)->next;
	*link = entry->next;
	free(entry);
}

/* Make an entry, and tell its result. */
static void *ring_work(void *data)
{
	struct ring_entry *entry = data;
	struct sim_ring *ring = entry->ring;
	struct io_uring *uring = ring->uring;
	bool starved = entry->sqe.opcode != IORING_OP_READ && sim_chance(RING_NO_WORKER_CHANCE);
	int result = starved ? -ECANCELED : ring_call(&entry->sqe);

	uring->cq.cqes[ring->cq_tail & uring->cq.ring_mask] = (struct io_uring_cqe){
		.user_data = entry->sqe.user_data, .res = result
	};
	ring->cq_tail++;
	if (ring->cq_tail - ring->cq_head > uring->cq.ring_entries)
		sim_fail("the completions of a ring have no room");
	task_wake(ring, true);
	ring_forget(entry);
	return NULL;
}

/* Begin to make what is in the queue. */
static void ring_enter(struct io_uring *uring)
{
	struct sim_ring *ring = uring->sq.ring_ptr;

	sim_point();
	for (; ring->sq_head != uring->sq.sqe_tail; ring->sq_head++) {
		struct ring_entry *entry = calloc(1, sizeof(*entry));

		if (!entry)
			sim_fail("there is no memory for the entries of a ring");
		entry->ring = ring;
		entry->sqe = uring->sq.sqes[ring->sq_head & uring->sq.ring_mask];
		entry->next = ring->entries;
		ring->entries = entry;
		entry->task = task_start(sim.current->process, "uring", ring_work, entry);
		if (!entry->task)
			sim_fail("there are too many tasks for the entries of a ring");
		entry->task->detached = true;
	}
	ring->sq_tail = ring->sq_head;
}

/* Are there completions? */
static bool ring_completed(const struct io_uring *uring)
{
	return *uring->cq.khead != *uring->cq.ktail;
}

/* clang-format off */
WRAP(int, io_uring_submit_and_wait_timeout, (struct io_uring *uring, struct io_uring_cqe **ret_cqe,
					     unsigned count, struct __kernel_timespec *time,
					     sigset_t *mask))
{
	uint64_t until_ns = SIM_FOREVER;

	OUTSIDE(__real_io_uring_submit_and_wait_timeout(uring, ret_cqe, count, time, mask));
	ring_enter(uring);
	if (time)
		until_ns = sim.now_ns + (uint64_t)time->tv_sec * 1000000000 +
			   (uint64_t)time->tv_nsec;
	while (!ring_completed(uring))
		if (sim.now_ns >= until_ns || task_block(uring->sq.ring_ptr, until_ns))
			return -ETIME;
	return 0;
}
/* clang-format on */

WRAP(int, io_uring_submit_and_get_events, (struct io_uring * uring))
{
	OUTSIDE(__real_io_uring_submit_and_get_events(uring));
	ring_enter(uring);
	return 0;
}

WRAP(void, io_uring_queue_exit, (struct io_uring * uring))
{
	struct sim_ring *ring = uring->sq.ring_ptr;

	OUTSIDE(__real_io_uring_queue_exit(uring));
	while (ring->entries) {
		if (ring->entries->sqe.opcode != IORING_OP_READ)
			sim_fail("a ring is torn down with an entry in flight");
		task_free(ring->entries->task);
		ring_forget(ring->entries);
	}
	close(uring->ring_fd);
	free(uring->sq.sqes);
	free(uring->cq.cqes);
	free(ring);
}
