/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The unit of work is a directory: the thread that takes one reads it with getdents64 and handles
 * its entries at once, because an entry whose inode is cached costs 1 us that way, and no hand-over
 * is as cheap. Its subdirectories go on the thread's own stack, from which it takes the last one. A
 * thread whose stack is empty moves the older half of the longest one to its own: so each has a
 * part of the tree, far from the others', and they seldom want the same leaf of the file system.
 *
 *	           +-------------------------- set aside: too many children, or the slice is over
 *	           v                          |
 *	stacks -> take --> open, enter --> read, visit --> whole --> children over --> leave
 *	           ^                          |
 *	           +---- batch is done <-- ring: 128 entries at once, when they prove slow
 *
 * Slow entries. The clock is read after each WALK_PROBE entries. Where these took longer than
 * WALK_SLOW_NS each, and the thread slept meanwhile, their inodes come from a disk. Then the rest
 * of the buffer goes to the ring in one batch of statx (which the class uses, or which warms the
 * cache for its own call) or unlinkat. The directory waits, and the threads take others. The number
 * of threads depends on the same measurement, by slices: see workers.c.
 *
 * Memory. A directory that is wholly read and whose children are opened is freed, so that a chain
 * of directories takes no memory. Taking the last one first makes the walk depth-first: only the
 * directories beside each thread's way down wait. A directory with very many subdirectories is set
 * aside, below them, and continues from its position when they are done. The records of waiting
 * directories are bounded by WALK_RECORDS_BYTES_MAX.
 *
 * Hostile content. A directory is opened by openat2 from its parent's descriptor with
 * RESOLVE_BENEATH, NO_SYMLINKS, NO_MAGICLINKS and NO_XDEV, so that neither a link nor a mount is
 * entered; all calls take the descriptor and a name, and do not follow links. A directory that is
 * opened again must have the same inode; one that is gone or another is ignored. A call by name may
 * meet another entry than the one that was looked at. That entry is in the same directory and of
 * the layer, as no link is followed and, in a clone of the mount, no mount is seen. Where the
 * difference matters (an owner that depends on the look), or there is no clone, each entry is
 * opened by O_PATH (walk->hold).
 *
 * Rejected: a queue of paths (unbounded, and each one resolved anew); the ring for entries that are
 * cached (statx through io-wq 139 ms for 100,000, inline 87 ms with two threads); splitting one
 * directory among threads (getdents64 holds the directory's lock, and so do unlink and create).
 */
#include "engine/walk/walk.h"
#include "engine/btrfs/subvol.h"
#include "engine/core/fds.h"
#include "engine/dir/opath.h"
#include "engine/store/layer.h"
#include "engine/store/store.h"
#include "engine/walk/walk_dirs.h"

#include <dirent.h>
#include <fcntl.h>
#include <string.h>

/* What statx is asked for. */
#define WALK_STAT_MASK (STATX_BASIC_STATS | STATX_MNT_ID)
#define WALK_STAT_FLAGS (AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT | AT_STATX_DONT_SYNC)

/* A call of the ring for one entry. */
struct walk_call {
	struct call call;
	struct walk_batch *batch;
	struct statx stat;
	uint64_t inode;
	unsigned char type;
	char name[NAME_MAX + 1];
};

/* Calls of the ring for entries of one directory. */
struct walk_batch {
	/* In the reactor's inbox; then in walk->ready. */
	struct inbox_node node;
	struct list link;
	struct walk *walk;
	struct walk_dir *dir;
	/* Entries, and calls that are not done. */
	unsigned count, left;
	struct walk_call calls[WALK_BATCH];
};

/* ---- entries --------------------------------------------------------------------------------- */

/* The state of a thread that reads a directory. */
struct walk_reading {
	struct walk *walk;
	struct walk_dir *dir;
	struct slice *slice;
	/* Where subdirectories go. */
	struct stack *stack;
	/* Subdirectories that are not on the stack yet, and how many. */
	struct list children;
	unsigned children_count;
	/* Entries since the clock was read, and when that was. */
	unsigned probe;
	uint64_t probed_ns;
	/* Counted since then. */
	struct sums sums;
	/* The last WALK_PROBE entries were slow. */
	bool slow;
};

/* A mount covers NAME in DIR (NULL: DIR itself): report it, or leave it out. */
static void walk_mounted(struct walk *walk, const struct walk_dir *dir, const char *name)
{
	atomic_store(&walk->left_out, true);
	if (!walk->class->leaves_mounts)
		walk_failed(walk, dir, name, "openat2", walk->class->unlink ? -EBUSY : -EXDEV);
}

/* Call the class for ENTRY, which has its stat if the class needs one. */
static void walk_visit(struct walk *walk, struct walk_entry *entry)
{
	int r;

	if (entry->stat && entry->stat->stx_attributes & STATX_ATTR_MOUNT_ROOT) {
		walk_mounted(walk, entry->dir, entry->name);
		return;
	}
	r = walk->class->visit(walk, entry);
	if (r < 0 && !opath_vanished(r))
		walk_failed(walk, entry->dir, entry->name, walk->class->call, r);
}

/* Open ENTRY by O_PATH, stat it, and call the class. */
static void walk_hold(struct walk *walk, struct walk_entry *entry)
{
	struct walk_dir *dir = entry->dir;
	struct statx stat;

	if (walk->class->wanted && !walk->class->wanted(walk, dir->subvolume, entry->inode))
		return;
	do
		entry->fd = opath_open(dir->fd, entry->name, &stat);
	while (walk_shed(walk, entry->fd));
	if (entry->fd == -EXDEV)
		walk_mounted(walk, dir, entry->name);
	else if (entry->fd < 0 && !opath_vanished(entry->fd))
		walk_failed(walk, dir, entry->name, "openat2", entry->fd);
	if (entry->fd < 0)
		return;
	entry->stat = &stat;
	/* A directory that has replaced it is newer than the walk. */
	if (!S_ISDIR(stat.stx_mode))
		walk_visit(walk, entry);
	fd_close(entry->fd);
}

/* Handle an entry that is no directory, on this thread. */
static void walk_entry(struct walk_reading *reading, const struct dirent64 *dirent,
		       unsigned char type)
{
	struct walk *walk = reading->walk;
	struct walk_dir *dir = reading->dir;
	struct walk_entry entry = { .dir = dir,
				    .name = dirent->d_name,
				    .inode = dirent->d_ino,
				    .type = type,
				    .sums = &reading->sums,
				    .xattr_dir = &reading->slice->xattr_dir,
				    .fd = -EBADF,
				    .done = 1 };
	struct statx stat;

	if (walk->hold) {
		walk_hold(walk, &entry);
		return;
	}
	if (walk->class->stat || walk->mounts) {
		int r = RET_NERRNO(
			statx(dir->fd, entry.name, WALK_STAT_FLAGS, WALK_STAT_MASK, &stat));

		if (r && !opath_vanished(r))
			walk_failed(walk, dir, entry.name, "statx", r);
		/* A directory that has replaced it is newer than the walk. */
		if (r || S_ISDIR(stat.stx_mode))
			return;
		entry.stat = &stat;
	}
	walk_visit(walk, &entry);
}

/* Get the type of DIRENT, by statx where the directory does not list it. */
static unsigned char walk_type(struct walk_dir *dir, const struct dirent64 *dirent)
{
	struct statx stat;

	if (dirent->d_type != DT_UNKNOWN)
		return dirent->d_type;
	if (statx(dir->fd, dirent->d_name, WALK_STAT_FLAGS, STATX_TYPE, &stat))
		return DT_UNKNOWN;
	return IFTODT(stat.stx_mode);
}

/* ---- batches --------------------------------------------------------------------------------- */

/* Count a call that the ring has made; the last one makes the batch ready. */
static void walk_called(struct call *call)
{
	struct walk_batch *batch = container_of(call, struct walk_call, call)->batch;
	struct walk *walk = batch->walk;

	if (--batch->left)
		return;
	pthread_mutex_lock(&walk->lock);
	list_append(&walk->ready, &batch->link);
	atomic_fetch_add(&walk->pending, 1);
	pthread_mutex_unlock(&walk->lock);
	atomic_fetch_sub(&walk->batches, 1);
	job_turn(&walk->job);
}

/* Make the calls of a batch. Reactor. */
static void walk_post(struct inbox_node *node)
{
	struct walk_batch *batch = container_of(node, struct walk_batch, node);
	struct walk *walk = batch->walk;
	unsigned count = batch->count;

	batch->left = count;
	for (unsigned i = 0; i < count; i++) {
		struct walk_call *item = &batch->calls[i];

		if (walk->class->unlink && !walk->mounts)
			call_unlinkat(&item->call, batch->dir->fd, item->name, 0);
		else
			call_statx(&item->call, batch->dir->fd, item->name, WALK_STAT_FLAGS,
				   WALK_STAT_MASK, &item->stat);
		item->call.done = walk_called;
		io_submit(&walk->job.store->core.io, &item->call);
	}
}

/* Handle the entries of a batch whose calls are done. */
static void walk_take_batch(struct walk *walk, struct slice *slice, struct walk_batch *batch)
{
	bool stats = !walk->class->unlink || walk->mounts;
	struct sums sums = { 0 };

	xattr_dir_set(&slice->xattr_dir, batch->dir->fd);
	for (unsigned i = 0; i < batch->count && !job_over(&walk->job); i++) {
		struct walk_call *item = &batch->calls[i];
		struct walk_entry entry = { .dir = batch->dir,
					    .name = item->name,
					    .inode = item->inode,
					    .type = item->type,
					    .sums = &sums,
					    .xattr_dir = &slice->xattr_dir,
					    .fd = -EBADF,
					    .done = 1 };

		if (stats && item->call.result) {
			if (!opath_vanished(item->call.result))
				walk_failed(walk, batch->dir, item->name, "statx",
					    item->call.result);
			continue;
		}
		if (stats && S_ISDIR(item->stat.stx_mode))
			continue;
		entry.stat = stats ? &item->stat : NULL;
		entry.done = stats ? 1 : item->call.result;
		if (walk->hold)
			walk_hold(walk, &entry);
		else
			walk_visit(walk, &entry);
	}
	job_add(&walk->job, &sums);
}

/* ---- reading --------------------------------------------------------------------------------- */

/* Read the clock after WALK_PROBE entries: were they slow, and is the slice over? */
static bool walk_probe(struct walk_reading *reading)
{
	uint64_t now = now_ns();

	reading->slow = now - reading->probed_ns >= reading->walk->slow_ns * reading->probe;
	if (reading->slow && reading->walk->slow_ns)
		reading->slow = slice_slept(reading->slice);
	reading->probe = 0;
	reading->probed_ns = now;
	job_add(&reading->walk->job, &reading->sums);
	return now >= reading->slice->until_ns || job_over(&reading->walk->job);
}

/* Add the subdirectory NAME to the children. */
static void walk_child(struct walk_reading *reading, const char *name)
{
	struct walk *walk = reading->walk;
	struct walk_dir *child;
	int r;

	pthread_mutex_lock(&walk->lock);
	r = walk_dir_new(walk, reading->dir, name, &child);
	pthread_mutex_unlock(&walk->lock);
	if (r) {
		walk_failed(walk, reading->dir, name, "memory for what is nested this deep", r);
		return;
	}
	list_append(&reading->children, &child->link);
	reading->children_count++;
}

/* Handle one entry; true when this thread has to stop reading after it. */
static bool walk_read_entry(struct walk_reading *reading, const struct dirent64 *dirent)
{
	unsigned char type;

	if (!strcmp(dirent->d_name, ".") || !strcmp(dirent->d_name, ".."))
		return false;
	type = walk_type(reading->dir, dirent);
	if (type == DT_DIR)
		walk_child(reading, dirent->d_name);
	else
		walk_entry(reading, dirent, type);
	reading->sums.entries++;
	if (reading->children_count >= WALK_CHILDREN_MAX ||
	    (reading->children_count && atomic_load(&reading->walk->pending) >= WALK_PENDING_MAX))
		return true;
	yield_look(&reading->slice->yield);
	return ++reading->probe == WALK_PROBE && walk_probe(reading);
}

/*
 * Make a batch of the entries in the buffer from *AT on, and advance *AT; NULL where that is not
 * possible.
 */
static struct walk_batch *walk_collect(struct walk_reading *reading, ssize_t *at, ssize_t length)
{
	struct walk *walk = reading->walk;
	struct walk_batch *batch;

	if (!walk->ring || atomic_load(&walk->batches) >= WALK_BATCHES_MAX)
		return NULL;
	batch = fault_calloc(&walk->job.store->core.io.fault, 1, sizeof(*batch));
	if (!batch)
		return NULL;
	batch->walk = walk;
	batch->dir = reading->dir;
	for (; *at < length && batch->count < WALK_BATCH;) {
		const struct dirent64 *dirent = (const struct dirent64 *)(reading->slice->buffer +
									  *at);
		struct walk_call *item = &batch->calls[batch->count];

		if (dirent->d_type == DT_DIR || dirent->d_type == DT_UNKNOWN)
			break;
		item->batch = batch;
		item->inode = dirent->d_ino;
		item->type = dirent->d_type;
		strcpy(item->name, dirent->d_name);
		batch->count++;
		reading->dir->position = dirent->d_off;
		*at += dirent->d_reclen;
	}
	reading->sums.entries += batch->count;
	if (!batch->count)
		free(TAKE_PTR(batch));
	return batch;
}

/* How reading a directory ended: at its end, set aside for later, or with a batch. */
enum walk_read { WALK_WHOLE, WALK_ASIDE, WALK_BATCHED };

/* Handle LENGTH bytes of entries; WALK_WHOLE: all of them. */
static enum walk_read walk_read_buffer(struct walk_reading *reading, ssize_t length,
				       struct walk_batch **ret_batch)
{
	for (ssize_t at = 0; at < length;) {
		const struct dirent64 *dirent = (const struct dirent64 *)(reading->slice->buffer +
									  at);
		bool stop = walk_read_entry(reading, dirent);

		reading->dir->position = dirent->d_off;
		at += dirent->d_reclen;
		if (stop)
			return WALK_ASIDE;
		if (reading->slow && (*ret_batch = walk_collect(reading, &at, length)))
			return WALK_BATCHED;
	}
	return WALK_WHOLE;
}

/* Read DIR, which is open, until it ends or is set aside. */
static enum walk_read walk_read(struct walk_reading *reading, struct walk_batch **ret_batch)
{
	struct walk_dir *dir = reading->dir;
	enum walk_read result = WALK_WHOLE;

	/* The caller's descriptor of the root may have been read before, as by a shift of ids. */
	if ((dir->position || !dir->parent) && lseek(dir->fd, dir->position, SEEK_SET) < 0)
		walk_failed(reading->walk, dir, NULL, "lseek", negative_errno());
	xattr_dir_set(&reading->slice->xattr_dir, dir->fd);
	reading->probed_ns = now_ns();
	while (result == WALK_WHOLE) {
		ssize_t length = getdents64(dir->fd, reading->slice->buffer, READDIR_BUFFER_BYTES);

		if (length < 0 && errno != ENOENT)
			walk_failed(reading->walk, dir, NULL, "getdents64", negative_errno());
		if (length <= 0)
			break;
		result = walk_read_buffer(reading, length, ret_batch);
	}
	job_add(&reading->walk->job, &reading->sums);
	return result;
}

/*
 * Put the directory, if it was set aside, and on top of it its subdirectories on the stack. The
 * one that is taken next comes last.
 */
static void walk_push(struct walk_reading *reading, bool aside)
{
	struct walk *walk = reading->walk;
	unsigned count = reading->children_count + aside;

	if (!count)
		return;
	pthread_mutex_lock(&walk->lock);
	if (aside)
		stack_push(reading->stack, &reading->dir->link);
	while (!list_empty(&reading->children)) {
		struct list *next = walk->last_first ? reading->children.next
						     : reading->children.prev;

		list_remove(next);
		stack_push(reading->stack, next);
	}
	atomic_fetch_add(&walk->pending, count);
	pthread_mutex_unlock(&walk->lock);
	if (count > 1)
		job_more(&walk->job);
}

/* Fill in what FD shows of DIR: inode, device, subvolume. */
static int walk_look(struct walk_dir *dir, int fd, struct statx *ret_stat)
{
	const struct walk_dir *parent = dir->parent;
	int r = RET_NERRNO(
		statx(fd, "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC, WALK_STAT_MASK, ret_stat));

	if (r)
		return r;
	dir->inode = ret_stat->stx_ino;
	dir->device = walk_device(ret_stat);
	dir->subvolume = parent ? parent->subvolume : 0;
	if (parent && (dir->device == parent->device || dir->inode != ABI_SUBVOL_ROOT_INODE))
		return 0;
	return subvol_number(fd, &dir->subvolume);
}

/*
 * Call the class for DIR, whose descriptor is FD. DIR owns FD then, unless DIR is the root. 0, or
 * -errno to leave DIR out.
 */
static int walk_enter(struct walk *walk, struct walk_dir *dir, int fd)
{
	struct statx stat;
	int r = walk_look(dir, fd, &stat);

	if (r) {
		if (dir->parent)
			fd_close(fd);
		return r;
	}
	walk_attach(walk, dir, fd);
	r = walk->class->enter ? walk->class->enter(walk, dir, &stat) : 0;
	dir->entered = !r;
	if (r)
		walk_put(walk, dir);
	return r;
}

/* Open DIR, again or for the first time. */
static int walk_begin(struct walk *walk, struct walk_dir *dir)
{
	int fd;

	if (dir->entered) {
		fd = walk_get(walk, dir);
		return MIN(fd, 0);
	}
	if (!dir->parent)
		return walk_enter(walk, dir, walk->root_fd);
	fd = walk_get(walk, dir->parent);
	if (fd < 0)
		return fd;
	fd = walk_openat(walk, dir->parent->fd, dir->name);
	walk_put(walk, dir->parent);
	return fd < 0 ? fd : walk_enter(walk, dir, fd);
}

/*
 * After ERROR, DIR could not be opened. Where no descriptor was left, and other threads walk, put
 * DIR back and return true: this thread ends, with nothing open. A single thread goes on.
 */
static bool walk_back_out(struct walk *walk, struct stack *stack, struct walk_dir *dir, int error)
{
	bool out;

	if (!fds_missing(error))
		return false;
	pthread_mutex_lock(&walk->lock);
	out = atomic_load(&walk->threads) > 1;
	if (out) {
		atomic_store(&walk->crowded, true);
		stack_push(stack, &dir->link);
		atomic_fetch_add(&walk->pending, 1);
	}
	pthread_mutex_unlock(&walk->lock);
	return out;
}

/* Read DIR; false when this thread has to end, and has left DIR to another. */
static bool walk_directory(struct walk *walk, struct slice *slice, struct stack *stack,
			   struct walk_dir *dir)
{
	struct walk_reading reading = { .walk = walk, .dir = dir, .slice = slice, .stack = stack };
	struct walk_batch *batch = NULL;
	enum walk_read result;
	int r = walk_begin(walk, dir);

	list_init(&reading.children);
	if (walk_back_out(walk, stack, dir, r))
		return false;
	if (r) {
		if (r == -EXDEV)
			walk_mounted(walk, dir, NULL);
		else if (!opath_vanished(r) || !dir->parent)
			walk_failed(walk, dir, NULL, "openat2", r);
		walk_finish(walk, dir);
		return true;
	}
	result = walk_read(&reading, &batch);
	/* Once the directory is on the stack, another thread may take it, and free it. */
	if (result == WALK_ASIDE)
		walk_put(walk, dir);
	walk_push(&reading, result == WALK_ASIDE);
	if (result == WALK_BATCHED) {
		/* DIR stays open, and belongs to the batch from here on. */
		atomic_fetch_add(&walk->batches, 1);
		batch->node.receive = walk_post;
		io_post(&walk->job.store->core.io, &batch->node);
		return true;
	}
	if (result == WALK_ASIDE)
		return true;
	walk_put(walk, dir);
	walk_finish(walk, dir);
	return true;
}

/* Take a ready batch, or else the directory on top of STACK; false when there is neither. */
static bool walk_take(struct walk *walk, struct stack *stack, struct walk_batch **ret_batch,
		      struct walk_dir **ret_dir)
{
	struct list *link;

	*ret_batch = NULL;
	pthread_mutex_lock(&walk->lock);
	link = list_pop(&walk->ready);
	if (link) {
		*ret_batch = list_entry(link, struct walk_batch, link);
		*ret_dir = (*ret_batch)->dir;
	} else {
		link = deque_pop(&walk->deque, stack);
		if (link)
			*ret_dir = list_entry(link, struct walk_dir, link);
	}
	if (link)
		atomic_fetch_sub(&walk->pending, 1);
	pthread_mutex_unlock(&walk->lock);
	return link;
}

/* Walk until the slice is over. */
static int walk_slice(struct job *job, struct slice *slice)
{
	struct walk *walk = container_of(job, struct walk, job);
	struct walk_batch *batch;
	struct walk_dir *dir;
	struct stack *stack;

	pthread_mutex_lock(&walk->lock);
	stack = deque_join(&walk->deque);
	atomic_fetch_add(&walk->threads, 1);
	pthread_mutex_unlock(&walk->lock);
	while (!job_over(job) && walk_take(walk, stack, &batch, &dir)) {
		if (batch) {
			walk_take_batch(walk, slice, batch);
			free(batch);
			walk_put(walk, dir);
		}
		if (!walk_directory(walk, slice, stack, dir) || now_ns() >= slice->until_ns)
			break;
	}
	pthread_mutex_lock(&walk->lock);
	atomic_fetch_sub(&walk->threads, 1);
	deque_leave(stack);
	pthread_mutex_unlock(&walk->lock);
	return 0;
}

/* The number of threads that would find work. */
static unsigned walk_wanted(struct job *job)
{
	const struct walk *walk = container_of(job, struct walk, job);
	unsigned pending = atomic_load(&walk->pending);

	if (!atomic_load(&walk->crowded))
		return pending;
	return atomic_load(&walk->threads) ? 0 : MIN(pending, 1);
}

/* Does the ring still hold a batch? */
static bool walk_busy(struct job *job)
{
	return atomic_load(&container_of(job, struct walk, job)->batches);
}

void walk_free(struct walk *walk)
{
	struct walk_batch *batch;
	struct walk_dir *dir;

	if (!walk->class)
		return;
	while (walk_take(walk, walk->deque.all, &batch, &dir)) {
		if (batch)
			walk_put(walk, dir);
		free(batch);
		walk_finish(walk, dir);
	}
	spares_release(&walk->spares);
	pthread_mutex_destroy(&walk->reopen);
	pthread_mutex_destroy(&walk->lock);
	if (walk->class->release)
		walk->class->release(walk);
	walk->class = NULL;
}

/* End the walk: its job is over with RESULT. */
static void walk_done(struct job *job, int result)
{
	struct walk *walk = container_of(job, struct walk, job);

	if (!result)
		result = walk->error;
	walk_free(walk);
	walk->done(walk, result);
}

static const struct job_class walk_job_class = {
	.name = "walk",
	.slice = walk_slice,
	.wanted = walk_wanted,
	.busy = walk_busy,
	.done = walk_done,
};

int walk_init(struct walk *walk, struct varve_store *store, const struct walk_class *class,
	      int root_fd, const char *id, const _Atomic bool *cancelled)
{
	struct walk_dir *root;
	int r;

	*walk = (struct walk){
		.class = class, .root_fd = root_fd, .mounts = true, .crowded = workers_tight(store)
	};
	walk->fds_max = walk->crowded ? 0 : store->settings.walk_fds_max;
	walk->job = (struct job){ .class = &walk_job_class,
				  .store = store,
				  .cancelled = cancelled };
	walk->slow_ns = workers_slow_ns(store) * MAX(1, class->slow_factor);
	/*
	 * Without io_uring more threads do as well. With a threshold of 0 (tests) batches are made
	 * all the same, and lanes make the calls.
	 */
	walk->ring = !walk->slow_ns ||
		     ring_can(&store->core.io.ring, class->unlink ? CALL_UNLINKAT : CALL_STATX);
	deque_init(&walk->deque);
	list_init(&walk->ready);
	list_init(&walk->idle);
	r = walk_dir_new(walk, NULL, id, &root);
	if (r) {
		walk->class = NULL;
		return r;
	}
	pthread_mutex_init(&walk->lock, NULL);
	pthread_mutex_init(&walk->reopen, NULL);
	stack_push(walk->deque.all, &root->link);
	walk->pending = 1;
	spares_hold(&walk->spares, root_fd, WALK_SPARES);
	return 0;
}

int walk_run_here(struct walk *walk)
{
	int r;

	/* Calls of the ring return to the reactor, which does not know this walk. */
	walk->ring = false;
	/* The operation that it is a part of has reserved its descriptors. */
	walk->fds_max = MIN(walk->fds_max, WALK_HERE_FDS_MAX);
	/* The reverse order keeps threads apart, and slows down a single one. */
	walk->last_first = false;
	r = job_run_here(&walk->job);
	if (!r)
		r = walk->error;
	walk_free(walk);
	return r;
}
