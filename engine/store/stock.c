/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/store/stock.h"
#include "engine/base/limits.h"
#include "engine/btrfs/fs.h"
#include "engine/btrfs/qgroup.h"
#include "engine/btrfs/subvol.h"
#include "engine/dir/loosen.h"
#include "engine/store/backlog.h"
#include "engine/store/layer.h"
#include "engine/store/layout.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/vfs.h>

/* A layer of which copies are held, or may be soon. */
struct stock_parent {
	/* "": none. */
	char id[VARVE_ID_MAX + 1];
	/* Its copies, all of the state ORIGIN; how many; how many it is to have after a refill. */
	struct list copies;
	struct stock_origin origin;
	unsigned count, wanted;
	/* Creates have come one soon after another. */
	bool again;
	/* Times that a copy did not fit, in a row. */
	unsigned misfits;
	/* When a create came last; the last refill began, 0: none did; the next one may. */
	uint64_t used_ns, filled_ns, rested_ns;
};

/* The refill under way. */
struct stock_refill {
	/* NULL: it was forgotten meanwhile. */
	struct stock_parent *parent;
	char id[VARVE_ID_MAX + 1];
	/* Looks at the parent; then closes it. */
	struct call call;
	int source_fd;
	struct stock_origin origin;
	/* Copies to be made, those for which there is room, those under way. */
	unsigned count;
	uint64_t room;
	unsigned left;
	/* Those made; the first error. */
	struct list made;
	int error;
	/* The file system's transaction before and after. */
	uint64_t begun, ended;
	/* Make no more. */
	_Atomic bool cancelled;
	bool working;
};

/* Does the kernel put buffered writes into the tree before it finds the name taken? */
enum stock_order { STOCK_UNKNOWN, STOCK_FLUSHES, STOCK_FLUSHES_NOT };

struct stock {
	struct varve_store *store;
	struct stock_parent parents[STOCK_PARENTS_MAX];
	struct stock_refill refill;
	/* The name of the next copy. */
	uint64_t serial;
	/* Copies to be destroyed; those that the job works on; those that could not be. */
	struct list drops, dropping, stuck;
	struct commit_job tidy;
	bool tidying;
	/* When to try again what is stuck; the last try has begun. */
	uint64_t stuck_ns;
	bool ends;
	enum stock_order order;
	/* Copies held, made, taken and dropped so far. */
	uint64_t held, made, taken, dropped;
};

/* The copy whose job is in a list by LINK. */
static struct stock_copy *stock_copy_of(struct list *link)
{
	return container_of(list_entry(link, struct commit_job, link), struct stock_copy, job);
}

/* Count the copies in the statistics. */
static void stock_publish(const struct stock *stock)
{
	struct core *core = &stock->store->core;

	pthread_mutex_lock(&core->counting);
	core->statistics.spares = stock->held;
	core->statistics.spares_made = stock->made;
	core->statistics.spares_taken = stock->taken;
	core->statistics.spares_dropped = stock->dropped;
	pthread_mutex_unlock(&core->counting);
}

const char *stock_name(const struct stock_copy *copy, char buffer[STOCK_NAME_SIZE])
{
	snprintf(buffer, STOCK_NAME_SIZE, "%" PRIx64 ".spare", copy->serial);
	return buffer;
}

/* Are A and B one parent in one state? */
static bool stock_same(const struct stock_origin *a, const struct stock_origin *b)
{
	return a->number == b->number && a->ctransid == b->ctransid &&
	       !memcmp(a->uuid, b->uuid, sizeof(a->uuid));
}

/* The state of the parent that INFO describes. */
static struct stock_origin stock_origin(const struct btrfs_ioctl_get_subvol_info_args *info)
{
	struct stock_origin origin = { .number = info->treeid, .ctransid = info->ctransid };

	memcpy(origin.uuid, info->uuid, sizeof(origin.uuid));
	return origin;
}

int stock_check(struct varve_store *store, const struct stock_copy *copy, int source_fd,
		const char *source)
{
	struct btrfs_ioctl_get_subvol_info_args info;
	struct stock_origin origin;
	char name[STOCK_NAME_SIZE];
	int r;

	/* What is buffered in the parent goes into its tree; see the header. */
	r = subvol_snapshot(layout_slot(store, copy->slot), stock_name(copy, name), source_fd,
			    false);
	/* A success: the copy was gone, and what was made in its place is dropped in its stead. */
	if (r != -EEXIST)
		return STOCK_MISFIT;
	r = layer_prove(store, source_fd, source, &info);
	if (r)
		return r;
	origin = stock_origin(&info);
	return stock_same(&origin, &copy->origin) ? 0 : STOCK_MISFIT;
}

/* ---- drops ----------------------------------------------------------------------------------- */

/* Let COPY be destroyed. */
static void stock_drop(struct stock *stock, struct stock_copy *copy)
{
	list_append(&stock->drops, &copy->job.link);
	stock->dropped++;
}

/* Destroy what is in the way, at a boundary. */
static int stock_tidy_work(struct commit_job *job)
{
	struct stock *stock = container_of(job, struct stock, tidy);

	list_for_each(link, &stock->dropping) {
		struct stock_copy *copy = stock_copy_of(link);
		int dir_fd = layout_slot(stock->store, copy->slot), r;
		struct loosened loosened = { 0 };
		const char *detail = NULL;
		char name[STOCK_NAME_SIZE];

		stock_name(copy, name);
		do
			r = subvol_destroy(dir_fd, name);
		while (r && loosen(dir_fd, name, r, &loosened, &detail) > 0);
		/* Another process may have removed it. */
		copy->gone = !r || r == -ENOENT;
	}
	return 0;
}

/* Free the copies on LIST. */
static void stock_free_list(struct list *list)
{
	struct list *link;

	while ((link = list_pop(list)))
		free(stock_copy_of(link));
}

/* Note what was destroyed. What could not be is tried again; at the end it is left to a sweep. */
static void stock_tidied(struct commit_job *job, int result)
{
	struct stock *stock = container_of(job, struct stock, tidy);
	struct list *link;

	stock->tidying = false;
	while ((link = list_pop(&stock->dropping))) {
		struct stock_copy *copy = stock_copy_of(link);

		if (copy->gone)
			backlog_destroyed(stock->store);
		if (copy->gone || stock->ends) {
			free(copy);
			continue;
		}
		list_append(&stock->stuck, link);
		stock->stuck_ns = now_ns();
	}
	stock_publish(stock);
}

/* Have some of the drops destroyed at the next boundary. */
static void stock_tidy(struct stock *stock)
{
	struct list *link;

	if (stock->tidying || list_empty(&stock->drops))
		return;
	for (unsigned i = 0; i < STOCK_DROPS_MAX && (link = list_pop(&stock->drops)); i++)
		list_append(&stock->dropping, link);
	stock->tidying = true;
	stock->tidy.work = stock_tidy_work;
	stock->tidy.done = stock_tidied;
	commit_tidy(&stock->store->commits, &stock->tidy);
}

/* ---- parents --------------------------------------------------------------------------------- */

/* Find the parent ID, NULL: there is none. */
static struct stock_parent *stock_find(struct stock *stock, const char *id)
{
	for (size_t i = 0; i < STOCK_PARENTS_MAX; i++)
		if (!strcmp(stock->parents[i].id, id))
			return &stock->parents[i];
	return NULL;
}

/* Drop the copies of PARENT that are held. */
static void stock_drop_held(struct stock *stock, struct stock_parent *parent)
{
	stock->held -= parent->count;
	stock->dropped += parent->count;
	parent->count = 0;
	list_splice(&stock->drops, &parent->copies);
}

/* Drop the copies of PARENT, also those that are being made. */
static void stock_empty(struct stock *stock, struct stock_parent *parent)
{
	stock_drop_held(stock, parent);
	if (stock->refill.parent == parent) {
		stock->refill.parent = NULL;
		stock->refill.cancelled = true;
	}
	stock_publish(stock);
}

/* Forget PARENT, with its copies. */
static void stock_clear(struct stock *stock, struct stock_parent *parent)
{
	stock_empty(stock, parent);
	*parent = (struct stock_parent){ .wanted = STOCK_COPIES_MIN };
	list_init(&parent->copies);
}

/* Put ID in the place of the parent that was not used for the longest time. */
static struct stock_parent *stock_note(struct stock *stock, const char *id)
{
	struct stock_parent *oldest = stock->parents;

	for (size_t i = 1; i < STOCK_PARENTS_MAX; i++)
		if (stock->parents[i].used_ns < oldest->used_ns)
			oldest = &stock->parents[i];
	stock_clear(stock, oldest);
	snprintf(oldest->id, sizeof(oldest->id), "%s", id);
	return oldest;
}

/* Make no copies of PARENT for a while. */
static void stock_rest(const struct stock *stock, struct stock_parent *parent)
{
	parent->rested_ns = now_ns() + stock->store->settings.stock_rest_ns;
}

/* Is PARENT, of which copies are held, not used any more at NOW? */
static bool stock_idle(const struct stock *stock, const struct stock_parent *parent, uint64_t now)
{
	return now - parent->used_ns >= stock->store->settings.stock_idle_ns;
}

/* ---- creates --------------------------------------------------------------------------------- */

struct stock_copy *stock_take(struct varve_store *store, const char *source)
{
	struct stock *stock = store->stock;
	struct stock_parent *parent;
	uint64_t now = now_ns();
	struct list *link;

	if (!stock || stock->order == STOCK_FLUSHES_NOT)
		return NULL;
	parent = stock_find(stock, source);
	if (!parent)
		parent = stock_note(stock, source);
	parent->again = parent->used_ns && !stock_idle(stock, parent, now);
	parent->used_ns = now;
	link = list_pop(&parent->copies);
	if (!link)
		return NULL;
	parent->count--;
	stock->held--;
	return stock_copy_of(link);
}

void stock_taken(struct varve_store *store, const char *source, struct stock_copy *copy)
{
	struct stock_parent *parent = stock_find(store->stock, source);

	if (parent)
		parent->misfits = 0;
	free(copy);
	store->stock->taken++;
	stock_publish(store->stock);
}

void stock_return(struct varve_store *store, const char *source, struct stock_copy *copy)
{
	struct stock_parent *parent = stock_find(store->stock, source);

	/* The parent may have been forgotten meanwhile, or have changed. */
	if (!parent || !stock_same(&copy->origin, &parent->origin) ||
	    parent->count >= STOCK_COPIES_MAX) {
		stock_drop(store->stock, copy);
		return;
	}
	list_append(&parent->copies, &copy->job.link);
	parent->count++;
	store->stock->held++;
	stock_publish(store->stock);
}

void stock_misfit(struct varve_store *store, const char *source, struct stock_copy *copy)
{
	struct stock_parent *parent = stock_find(store->stock, source);

	/* The others may have been dropped for another create, and newer ones be there. */
	if (!parent || !stock_same(&copy->origin, &parent->origin)) {
		stock_drop(store->stock, copy);
		return;
	}
	stock_drop(store->stock, copy);
	stock_empty(store->stock, parent);
	parent->origin = (struct stock_origin){ 0 };
	/* A parent that is being written to changes again. */
	if (++parent->misfits >= STOCK_MISFITS_MAX)
		stock_rest(store->stock, parent);
}

void stock_forget(struct varve_store *store, const char *source)
{
	struct stock_parent *parent = store->stock ? stock_find(store->stock, source) : NULL;

	if (parent)
		stock_clear(store->stock, parent);
}

/* ---- the refill ------------------------------------------------------------------------------ */

/* The refill is over: hold what was made, or drop it. */
static void stock_filled(struct call *call)
{
	struct stock_refill *refill = container_of(call, struct stock_refill, call);
	struct stock *stock = container_of(refill, struct stock, refill);
	struct stock_parent *parent = refill->parent;
	bool hold = parent && stock->order == STOCK_FLUSHES;
	uint64_t made = 0;
	struct list *link;

	/* The call was not made. */
	fd_close(TAKE_FD(refill->source_fd));
	refill->working = false;
	refill->parent = NULL;
	while ((link = list_pop(&refill->made))) {
		struct stock_copy *copy = stock_copy_of(link);

		stock->made++;
		made++;
		if (!hold || parent->count >= STOCK_COPIES_MAX) {
			stock_drop(stock, copy);
			continue;
		}
		list_append(&parent->copies, link);
		parent->count++;
		stock->held++;
	}
	/* Where none could be made, the next refill would begin at once. */
	if (parent && (refill->error || !hold || !made))
		stock_rest(stock, parent);
	/*
	 * Before Linux 6.6 snapshots hardly share commits, and all requests wait for those of a
	 * refill.
	 */
	if (parent && made > STOCK_COPIES_MIN && (refill->ended - refill->begun) * 2 > made)
		parent->wanted = STOCK_COPIES_MIN;
	/* Those that are held take room. */
	if (refill->error == -ENOSPC)
		for (size_t i = 0; i < STOCK_PARENTS_MAX; i++)
			stock_empty(stock, &stock->parents[i]);
	stock_publish(stock);
	trace(&stock->store->core.io.trace, TRACE_OP, "stock: %s has %u copies", refill->id,
	      parent ? parent->count : 0);
}

/* Close the parent; at the first time, see by one of the copies whether they can be used. */
static int stock_close_run(struct call *call)
{
	struct stock_refill *refill = container_of(call, struct stock_refill, call);
	struct stock *stock = container_of(refill, struct stock, refill);

	fd_close(TAKE_FD(refill->source_fd));
	refill->ended = fs_generation(stock->store->layout.home_fd);
	if (stock->order == STOCK_UNKNOWN && !list_empty(&refill->made)) {
		const struct stock_copy *copy = stock_copy_of(refill->made.next);
		char name[STOCK_NAME_SIZE];

		return subvol_probe_flush(layout_slot(stock->store, copy->slot),
					  stock_name(copy, name));
	}
	return -EAGAIN;
}

/* The parent is closed. */
static void stock_closed(struct call *call)
{
	struct stock_refill *refill = container_of(call, struct stock_refill, call);
	struct stock *stock = container_of(refill, struct stock, refill);

	if (call->result >= 0) {
		stock->order = call->result ? STOCK_FLUSHES : STOCK_FLUSHES_NOT;
		/* The copy has a file more now. */
		stock->made++;
		stock_drop(stock, stock_copy_of(list_pop(&refill->made)));
	} else if (stock->order == STOCK_UNKNOWN)
		refill->error = call->result;
	stock_filled(call);
}

/* Close the parent, and end the refill. */
static void stock_close(struct stock_refill *refill)
{
	struct stock *stock = container_of(refill, struct stock, refill);

	call_function(&refill->call, LANE_COMMIT, "close", stock_close_run);
	refill->call.done = stock_closed;
	io_submit(&stock->store->core.io, &refill->call);
}

/* Make one copy, as a member of a group. */
static int stock_make_work(struct commit_job *job)
{
	struct stock_copy *copy = container_of(job, struct stock_copy, job);
	struct stock *stock = container_of(job->commits, struct varve_store, commits)->stock;
	char name[STOCK_NAME_SIZE];
	int dir_fd;

	if (stock->refill.cancelled)
		return -ECANCELED;
	copy->slot = job->slot;
	dir_fd = layout_slot(stock->store, copy->slot);
	return dir_fd < 0 ? dir_fd
			  : subvol_snapshot(dir_fd, stock_name(copy, name), stock->refill.source_fd,
					    false);
}

/* One copy was made, or not. */
static void stock_made(struct commit_job *job, int result)
{
	struct stock_copy *copy = container_of(job, struct stock_copy, job);
	struct stock *stock = container_of(job->commits, struct varve_store, commits)->stock;
	struct stock_refill *refill = &stock->refill;

	if (result) {
		refill->error = refill->error ? refill->error : result;
		refill->cancelled = true;
		free(copy);
	} else
		list_append(&refill->made, &copy->job.link);
	if (!--refill->left)
		stock_close(refill);
}

/* Open the parent and see how it is; -EBUSY: the store is to have no copies now. */
static int stock_look_run(struct call *call)
{
	struct stock_refill *refill = container_of(call, struct stock_refill, call);
	struct varve_store *store = container_of(refill, struct stock, refill)->store;
	struct btrfs_ioctl_get_subvol_info_args info;
	struct statfs statfs_;
	int r;

	if (fstatfs(store->layout.home_fd, &statfs_) < 0)
		return negative_errno();
	if (statfs_.f_bavail < statfs_.f_blocks / PACE_FREE_PART)
		return -ENOSPC;
	refill->room = (uint64_t)statfs_.f_bavail * (uint64_t)statfs_.f_bsize / STOCK_ROOM_PART /
		       STOCK_RESERVED_BYTES;
	r = qgroup_mode(&store->fs);
	if (r < 0)
		return r;
	if (r != VARVE_QUOTA_OFF)
		return -EBUSY;
	refill->source_fd = layer_open(store, refill->id);
	if (refill->source_fd < 0)
		return refill->source_fd;
	r = layer_prove(store, refill->source_fd, refill->id, &info);
	if (r)
		return r;
	refill->origin = stock_origin(&info);
	refill->begun = fs_generation(store->layout.home_fd);
	return 0;
}

/* The parent was looked at: have the copies made. */
static void stock_looked(struct call *call)
{
	struct stock_refill *refill = container_of(call, struct stock_refill, call);
	struct stock *stock = container_of(refill, struct stock, refill);
	struct stock_parent *parent = refill->parent;

	refill->error = MIN(call->result, 0);
	/* Those that are held are of an earlier state. */
	if (!refill->error && parent && !stock_same(&parent->origin, &refill->origin)) {
		stock_drop_held(stock, parent);
		parent->origin = refill->origin;
	}
	for (uint64_t count = MIN(refill->count, refill->room);
	     !refill->error && parent && refill->left < count; refill->left++) {
		struct stock_copy *copy = fault_calloc(&stock->store->core.io.fault, 1,
						       sizeof(*copy));

		if (!copy)
			break;
		copy->serial = ++stock->serial;
		copy->origin = refill->origin;
		copy->job.work = stock_make_work;
		copy->job.done = stock_made;
		commit_join(&stock->store->commits, &copy->job);
	}
	if (!refill->left)
		stock_close(refill);
}

/* Are more copies of PARENT to be made at NOW? */
static bool stock_short(const struct stock *stock, const struct stock_parent *parent, uint64_t now)
{
	unsigned few = MIN(parent->wanted / 2, STOCK_COPIES_MIN);
	unsigned left = MAX(parent->wanted / STOCK_REFILL_PART, few);

	return parent->again && parent->count <= left && now >= parent->rested_ns &&
	       !stock_idle(stock, parent, now);
}

/* Begin to refill PARENT: with more copies each time that they do not last, else with fewer. */
static void stock_refill(struct stock *stock, struct stock_parent *parent, uint64_t now)
{
	const struct settings *settings = &stock->store->settings;
	struct stock_refill *refill = &stock->refill;
	uint64_t lasted = now - parent->filled_ns;

	if (parent->filled_ns && lasted < settings->stock_fast_ns)
		parent->wanted = MIN(2 * parent->wanted, STOCK_COPIES_MAX);
	if (parent->filled_ns && lasted > settings->stock_slow_ns)
		parent->wanted = MAX(parent->wanted / 2, STOCK_COPIES_MIN);
	parent->filled_ns = now;
	/* They are enough now. */
	if (parent->count >= parent->wanted)
		return;
	refill->parent = parent;
	memcpy(refill->id, parent->id, sizeof(refill->id));
	refill->count = parent->wanted - parent->count;
	refill->left = 0;
	refill->error = 0;
	refill->cancelled = false;
	refill->working = true;
	call_function(&refill->call, LANE_COMMIT, "openat2", stock_look_run);
	refill->call.done = stock_looked;
	io_submit(&stock->store->core.io, &refill->call);
}

/* ---- the store's ----------------------------------------------------------------------------- */

/* Make and drop copies, as it is time for. */
static void stock_turn(struct varve_store *store)
{
	struct stock *stock = store->stock;
	uint64_t now = now_ns();
	/* The store is to end: no request can come any more. */
	bool ends = atomic_load(&store->core.stopping) && list_empty(&store->core.in_flight);

	for (size_t i = 0; i < STOCK_PARENTS_MAX; i++) {
		struct stock_parent *parent = &stock->parents[i];

		if (!*parent->id)
			continue;
		if (ends || stock_idle(stock, parent, now))
			stock_clear(stock, parent);
		else if (!stock->refill.working && stock_short(stock, parent, now) &&
			 backlog_may_make(store))
			stock_refill(stock, parent, now);
	}
	/* No time wakes the store for them: where nothing can be destroyed, it sleeps. */
	if (ends || now - stock->stuck_ns >= store->settings.stock_rest_ns)
		list_splice(&stock->drops, &stock->stuck);
	stock->ends |= ends;
	stock_tidy(stock);
}

/* Nanoseconds until a parent is idle, -1: there is none. */
static int64_t stock_due(const struct varve_store *store)
{
	const struct stock *stock = store->stock;
	uint64_t now, first = UINT64_MAX;

	for (size_t i = 0; i < STOCK_PARENTS_MAX; i++)
		if (*stock->parents[i].id)
			first = MIN(first, stock->parents[i].used_ns);
	if (first == UINT64_MAX)
		return -1;
	now = now_ns();
	first += store->settings.stock_idle_ns;
	return first > now ? (int64_t)(first - now) : 0;
}

/* Are there copies, or is there work? */
static bool stock_busy(const struct varve_store *store)
{
	const struct stock *stock = store->stock;

	return stock->held || stock->refill.working || stock->tidying ||
	       !list_empty(&stock->drops) || !list_empty(&stock->stuck);
}

/* Free the stock, with its copies in a forked child. */
static void stock_free(struct varve_store *store)
{
	struct stock *stock = store->stock;

	for (size_t i = 0; i < STOCK_PARENTS_MAX; i++)
		stock_free_list(&stock->parents[i].copies);
	stock_free_list(&stock->refill.made);
	stock_free_list(&stock->drops);
	stock_free_list(&stock->dropping);
	stock_free_list(&stock->stuck);
	free(stock);
}

static const struct store_part stock_part = {
	.turn = stock_turn,
	.due = stock_due,
	.busy = stock_busy,
	.free = stock_free,
};

int stock_init(struct varve_store *store)
{
	struct stock *stock;

	/* Without privilege a copy cannot be destroyed again. */
	if (!(store->settings.flags & VARVE_OPEN_SPARES) || !store->layout.privileged)
		return 0;
	stock = calloc(1, sizeof(*stock));
	if (!stock)
		return -ENOMEM;
	stock->store = store;
	stock->refill.source_fd = -EBADF;
	list_init(&stock->refill.made);
	list_init(&stock->drops);
	list_init(&stock->dropping);
	list_init(&stock->stuck);
	for (size_t i = 0; i < STOCK_PARENTS_MAX; i++) {
		list_init(&stock->parents[i].copies);
		stock->parents[i].wanted = STOCK_COPIES_MIN;
	}
	store->stock = stock;
	store->stock_part = &stock_part;
	return 0;
}
