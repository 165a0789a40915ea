/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/diff/compare.h"
#include "engine/base/limits.h"
#include "engine/dir/opath.h"
#include "engine/base/util.h"
#include "engine/btrfs/abi.h"
#include "engine/diff/content.h"
#include "engine/dir/beneath.h"
#include "engine/dir/entries.h"
#include "engine/dir/listing.h"
#include "engine/dir/xattrs.h"
#include "engine/walk/walk.h"

#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

/* The slice is over: the next one continues with the current directory. */
#define COMPARE_LATER 2

/* A directory to be compared. */
struct compare_dir {
	/* Its inode number in both trees; 0: the numbers differ. */
	uint64_t inode;
	/* The delta covers it in both trees. */
	bool guided;
	/* Only the new tree has it. */
	bool added;
	/* "" or "/a/b". */
	char path[];
};

/* A directory on the stack. */
struct compare_child {
	uint64_t inode;
	bool guided, added;
	char name[];
} __attribute__((packed));

/* Directories on the stack whose parent is the same. */
struct compare_batch {
	struct list link;
	/* Bytes of the parent's path. */
	size_t length;
	/* Number of children. */
	unsigned count;
	/* How many bytes are used, and where the next child begins. */
	size_t used, at;
	/* The parent's path, its NUL, and the children. */
	char bytes[];
};

/* How far a directory is compared. */
enum compare_stage {
	COMPARE_OPEN,    /* it is to be opened */
	COMPARE_HINTED,  /* the names that the delta hints at */
	COMPARE_ABREAST, /* both trees, side by side */
	COMPARE_ASIDE,   /* what was put aside */
};

/* What one thread keeps between slices, which may end in the middle of a directory or a file. */
struct compare_worker {
	/* In compare->workers, while no thread uses it. */
	struct list link;
	struct compare *compare;
	/* When the slice is over. */
	uint64_t until_ns;
	/* Number of entries that were looked at. */
	unsigned looked;
	/* The slice's. */
	struct yield *yield;
	/* The current directory; NULL: none. */
	struct compare_dir *dir;
	enum compare_stage stage;
	/* Its descriptors in both trees; negative where a tree does not have it. */
	int fds[2];
	/* Its ancestors are in the list of changes. */
	bool listed;
	struct entries entries[2];
	/* Names that the delta hints at, and how many. */
	const char **names;
	size_t names_count;
	/* Entries without one of the same name at the same position in the other tree. */
	struct listing listings[2];
	/* The next of the hinted names, or of the two listings. */
	size_t next[2];
	struct xattrs xattrs[2];
	struct content content;
	struct change_list changes, covered;
	/* Subdirectories that are to be put on the stack; NULL: none. */
	struct compare_batch *batch;
};

/* ---- the stack ------------------------------------------------------------------------------- */

/* Put the worker's batch on the stack. */
static void compare_publish(struct compare_worker *worker)
{
	struct compare_batch *batch = TAKE_PTR(worker->batch), *shorter;
	struct compare *compare = worker->compare;
	bool many;

	if (!batch)
		return;
	shorter = realloc(batch, sizeof(*batch) + batch->used);
	batch = shorter ? shorter : batch;
	many = batch->count > 1;
	pthread_mutex_lock(&compare->lock);
	list_append(&compare->stack, &batch->link);
	compare->pending += batch->count;
	pthread_mutex_unlock(&compare->lock);
	if (many)
		job_more(&compare->job);
}

/* Put the subdirectory NAME of the current directory on the stack. 0 or -errno. */
static int compare_push(struct compare_worker *worker, const char *name, uint64_t inode,
			bool guided, bool added)
{
	const struct compare_child child = { .inode = inode, .guided = guided, .added = added };
	size_t length = strlen(worker->dir->path), size = sizeof(child) + strlen(name) + 1;
	struct compare_batch *batch;

	/* Of the path "/a/NAME" an archive has all but the first byte. */
	if (length + strlen(name) > ARCHIVE_PATH_BYTES_MAX)
		return -ENAMETOOLONG;
	if (worker->batch && worker->batch->used + size > length + 1 + COMPARE_BATCH_BYTES)
		compare_publish(worker);
	if (!worker->batch) {
		batch = fault_calloc(worker->compare->fault, 1,
				     sizeof(*batch) + length + 1 + MAX(size, COMPARE_BATCH_BYTES));
		if (!batch)
			return -ENOMEM;
		memcpy(batch->bytes, worker->dir->path, length);
		batch->length = length;
		batch->at = batch->used = length + 1;
		worker->batch = batch;
	}
	batch = worker->batch;
	memcpy(batch->bytes + batch->used, &child, sizeof(child));
	memcpy(batch->bytes + batch->used + sizeof(child), name, size - sizeof(child));
	batch->used += size;
	batch->count++;
	return 0;
}

/* Take a directory from the stack, which is not empty, with the lock held; NULL without memory. */
static struct compare_dir *compare_pop(struct compare *compare)
{
	struct compare_batch *batch = list_entry(compare->stack.prev, struct compare_batch, link);
	const struct compare_child *child = (const struct compare_child *)(batch->bytes +
									   batch->at);
	size_t size = strlen(child->name) + 1;
	struct compare_dir *dir = fault_calloc(compare->fault, 1,
					       sizeof(*dir) + batch->length + 1 + size);

	if (!dir)
		return NULL;
	dir->inode = child->inode;
	dir->guided = child->guided;
	dir->added = child->added;
	memcpy(dir->path, batch->bytes, batch->length);
	dir->path[batch->length] = '/';
	memcpy(dir->path + batch->length + 1, child->name, size);
	batch->at += sizeof(*child) + size;
	if (batch->at == batch->used) {
		list_remove(&batch->link);
		free(batch);
	}
	return dir;
}

/* ---- listing --------------------------------------------------------------------------------- */

/* List that NAME in the current directory was changed. */
static int compare_list(struct compare_worker *worker, enum varve_change_kind kind,
			const char *name)
{
	int r = 0;

	if (!worker->listed && !worker->dir->added)
		r = change_list_add_ancestors(&worker->changes, worker->dir->path);
	worker->listed = true;
	return r ? r : change_list_add(&worker->changes, kind, worker->dir->path, name);
}

/* List that all in the subdirectory NAME was added. */
static int compare_inside(struct compare_worker *worker, const char *name)
{
	if (worker->compare->collapse)
		return change_list_add_inside(&worker->changes, worker->dir->path, name);
	return compare_push(worker, name, 0, false, true);
}

/* List NAME, which is in the new tree alone; TYPE is a DT_ value. */
static int compare_added(struct compare_worker *worker, const char *name, unsigned char type)
{
	int r = compare_list(worker, VARVE_CHANGE_ADD, name);

	return r || type != DT_DIR ? r : compare_inside(worker, name);
}

/* ---- a pair ---------------------------------------------------------------------------------- */

/* Is STATX the empty directory that stands in for a subvolume? */
static bool compare_hollow(const struct statx *statx)
{
	return S_ISDIR(statx->stx_mode) && statx->stx_ino == ABI_STAND_IN_INODE;
}

/* Are these times the same? One without nanoseconds is equal to each in its second. */
static bool compare_time(const struct statx_timestamp *a, const struct statx_timestamp *b)
{
	return a->tv_sec == b->tv_sec && (a->tv_nsec == b->tv_nsec || !a->tv_nsec || !b->tv_nsec);
}

/* The owner of an inode. */
struct compare_owner {
	uint32_t uid, gid;
	/* They are ids of the container; else of the host, because the map lacks them. */
	bool mapped;
};

/*
 * Find the owner of STATX, by MAPS. root:root counts as the container's where the map lacks it,
 * because a shift treats it so.
 */
static struct compare_owner compare_owner(const struct idrange_maps *maps,
					  const struct statx *statx)
{
	struct compare_owner owner;

	if (!idrange_to_container(maps->uids, maps->uids_count, statx->stx_uid, &owner.uid) &&
	    !idrange_to_container(maps->gids, maps->gids_count, statx->stx_gid, &owner.gid))
		owner.mapped = true;
	else
		owner = (struct compare_owner){ statx->stx_uid, statx->stx_gid,
						!statx->stx_uid && !statx->stx_gid };
	return owner;
}

/* Do the owners differ, as the containers see them? */
static bool compare_owners(const struct compare *compare, const struct statx statx[2])
{
	struct compare_owner old = compare_owner(&compare->maps[0], &statx[0]);
	struct compare_owner new = compare_owner(&compare->maps[1], &statx[1]);

	return old.uid != new.uid || old.gid != new.gid || old.mapped != new.mapped;
}

/* Do the inodes differ in what a tar archive holds, owners aside? */
static bool compare_inodes(const struct statx *a, const struct statx *b)
{
	return a->stx_mode != b->stx_mode || a->stx_rdev_major != b->stx_rdev_major ||
	       a->stx_rdev_minor != b->stx_rdev_minor ||
	       !compare_time(&a->stx_mtime, &b->stx_mtime) ||
	       (!S_ISDIR(a->stx_mode) && a->stx_size != b->stx_size);
}

/* Do the symbolic links called NAME have different targets? 1, 0, -errno. */
static int compare_links(const struct compare_worker *worker, const char *name)
{
	char targets[2][PATH_MAX];
	ssize_t lengths[2];

	for (unsigned i = 0; i < 2; i++) {
		lengths[i] = readlinkat(worker->fds[i], name, targets[i], sizeof(targets[i]));
		if (lengths[i] < 0)
			return negative_errno();
	}
	return lengths[0] != lengths[1] || memcmp(targets[0], targets[1], (size_t)lengths[0]);
}

/*
 * Do the attributes of the entries called NAME differ? 1, also where they are too many to compare,
 * 0, -errno.
 */
static int compare_attributes(struct compare_worker *worker, const char *name)
{
	for (unsigned i = 0; i < 2; i++) {
		int r = xattrs_read(&worker->xattrs[i], worker->fds[i], name, xattrs_kept);

		if (r)
			return r == -E2BIG ? 1 : r;
	}
	return !xattrs_equal(&worker->xattrs[0], &worker->xattrs[1]);
}

/*
 * Does the device of STATX, in tree INDEX, say that it lies in that tree itself, and not in a
 * nested subvolume?
 */
static bool compare_own(const struct compare *compare, unsigned index, const struct statx *statx)
{
	return makedev(statx->stx_dev_major, statx->stx_dev_minor) == compare->devices[index];
}

/*
 * Are these one inode, unchanged since the common origin of the trees? A change sets ctime, and no
 * call sets that back.
 */
static bool compare_settled(const struct compare *compare, const struct statx statx[2])
{
	const struct statx_timestamp *time = &statx[0].stx_ctime;

	return statx[0].stx_ino == statx[1].stx_ino && compare_own(compare, 0, &statx[0]) &&
	       compare_own(compare, 1, &statx[1]) && time->tv_sec == statx[1].stx_ctime.tv_sec &&
	       time->tv_nsec == statx[1].stx_ctime.tv_nsec &&
	       time_before(time->tv_sec, time->tv_nsec, &compare->settled);
}

/* Do the entries called NAME differ? 1, 0, COMPARE_LATER, -errno. */
static int compare_differ(struct compare_worker *worker, const char *name,
			  const struct statx statx[2])
{
	int r;

	if (compare_hollow(&statx[0]) || compare_hollow(&statx[1]))
		return !S_ISDIR(statx[0].stx_mode) || !S_ISDIR(statx[1].stx_mode);
	if (compare_inodes(&statx[0], &statx[1]) || compare_owners(worker->compare, statx))
		return 1;
	if (S_ISLNK(statx[0].stx_mode))
		return compare_links(worker, name);
	if (S_ISDIR(statx[0].stx_mode))
		return compare_attributes(worker, name);
	if (!S_ISREG(statx[0].stx_mode))
		return 0;
	r = compare_attributes(worker, name);
	if (r || compare_settled(worker->compare, statx))
		return r;
	worker->content.until_ns = worker->until_ns;
	r = content_same(&worker->content, worker->fds, name, statx);
	if (r < 0)
		return r;
	if (r == CONTENT_LATER)
		return COMPARE_LATER;
	worker->content.call = "statx";
	return !r;
}

/* Compare the directories NAME later, unless the delta shows that they are equal. */
static int compare_descend(struct compare_worker *worker, const char *name,
			   const struct statx statx[2])
{
	const struct compare *compare = worker->compare;
	bool guided = worker->dir->guided;
	uint64_t inode = statx[0].stx_ino == statx[1].stx_ino ? statx[0].stx_ino : 0;

	for (unsigned i = 0; i < 2; i++)
		guided &= compare_own(compare, i, &statx[i]) && !compare_hollow(&statx[i]);
	if (guided && inode && !delta_changed(compare->delta, inode) &&
	    !delta_leads(compare->delta, inode))
		return 0;
	return compare_push(worker, name, inode, guided, false);
}

/* Look at NAME in one of the trees: 1, 0 when it is not there, or -errno. */
static int compare_look(int fd, const char *name, struct statx *ret_statx)
{
	/* A mount there is not accessed: a file system of a user may never answer. */
	const int flags = AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT | AT_STATX_DONT_SYNC;
	int r = fd < 0 ? -ENOENT
		       : RET_NERRNO(statx(fd, name, flags, STATX_BASIC_STATS | STATX_MNT_ID,
					  ret_statx));

	return opath_vanished(r) ? 0 : r ? r : 1;
}

/* Is STATX, in tree INDEX, that of something mounted in it? */
static bool compare_covered(const struct compare_worker *worker, unsigned index,
			    const struct statx *statx)
{
	return statx->stx_mnt_id != worker->compare->mounts[index];
}

/*
 * Compare the entries called NAME, which are in both trees, or were a moment ago. 0, COMPARE_LATER
 * or -errno.
 */
static int compare_pair(struct compare_worker *worker, const char *name)
{
	struct statx statx[2];
	int there[2], r;

	for (unsigned i = 0; i < 2; i++) {
		there[i] = compare_look(worker->fds[i], name, &statx[i]);
		if (there[i] < 0)
			return there[i];
	}
	/* The content beneath cannot be seen, so it is not listed. */
	if ((there[0] && compare_covered(worker, 0, &statx[0])) ||
	    (there[1] && compare_covered(worker, 1, &statx[1])))
		return change_list_add(&worker->covered, VARVE_CHANGE_MODIFY, worker->dir->path,
				       name);
	if (!there[1])
		return there[0] ? compare_list(worker, VARVE_CHANGE_DELETE, name) : 0;
	if (!there[0])
		return compare_added(worker, name, S_ISDIR(statx[1].stx_mode) ? DT_DIR : DT_REG);
	r = compare_differ(worker, name, statx);
	if (r == COMPARE_LATER)
		return r;
	/*
	 * The file of a paused comparison may have been exchanged for an entry without content to
	 * compare.
	 */
	content_leave(&worker->content);
	/* An entry that vanished between two looks has changed. */
	if (opath_vanished(r) || r == -EINVAL)
		r = 1;
	if (r > 0)
		r = compare_list(worker, VARVE_CHANGE_MODIFY, name);
	if (r || !S_ISDIR(statx[1].stx_mode))
		return r;
	if (!S_ISDIR(statx[0].stx_mode))
		return compare_inside(worker, name);
	return compare_descend(worker, name, statx);
}

/* ---- a directory ----------------------------------------------------------------------------- */

/* Is a subvolume nested at NAME in the current directory? */
static bool compare_forced(const struct compare_worker *worker, const char *name)
{
	const struct delta *delta = worker->compare->delta;
	const struct delta_hint *hint = NULL;

	if (delta->forced_count && worker->dir->inode)
		hint = delta_first(delta, worker->dir->inode);
	for (; hint; hint = delta_next(delta, hint))
		if (hint->forced && !strcmp(delta->names + hint->name, name))
			return true;
	return false;
}

/*
 * Compare NAME, which both trees have with the same INODE and TYPE (INODE 0: they differ), unless
 * the delta shows that it is equal.
 */
static int compare_both(struct compare_worker *worker, const char *name, uint64_t inode,
			unsigned char type)
{
	const struct delta *delta = worker->compare->delta;

	if (worker->dir->guided && inode && !delta_changed(delta, inode) &&
	    !(type == DT_DIR && (delta_leads(delta, inode) || compare_forced(worker, name))))
		return 0;
	return compare_pair(worker, name);
}

/* List NAME, which tree INDEX alone has. */
static int compare_alone(struct compare_worker *worker, unsigned index, const char *name,
			 unsigned char type)
{
	return index ? compare_added(worker, name, type)
		     : compare_list(worker, VARVE_CHANGE_DELETE, name);
}

/* Return INODE if both trees have that number and the same type, else 0. */
static uint64_t compare_same(uint64_t inode, unsigned char type, uint64_t other,
			     unsigned char other_type)
{
	return inode == other && type == other_type ? inode : 0;
}

/* Is the slice over? 0 or COMPARE_LATER. The clock is read once in WALK_PROBE calls. */
static int compare_time_over(struct compare_worker *worker)
{
	if (job_over(&worker->compare->job))
		return COMPARE_LATER;
	yield_look(worker->yield);
	return ++worker->looked % WALK_PROBE || now_ns() < worker->until_ns ? 0 : COMPARE_LATER;
}

/*
 * Put the current entry of tree INDEX aside, or list it where the other tree lacks the directory;
 * read the next one.
 */
static int compare_missed(struct compare_worker *worker, unsigned index)
{
	const struct dirent64 *entry = worker->entries[index].entry;
	int r = worker->fds[!index] < 0 ? compare_alone(worker, index, entry->d_name, entry->d_type)
					: listing_add(&worker->listings[index], entry);

	return r ? r : entries_next(&worker->entries[index]);
}

/*
 * Read the current directory of both trees side by side, and compare entries of the same name at
 * the same position: in trees of common origin, all but what was added or removed. The rest is put
 * aside. 0, COMPARE_LATER or -errno.
 */
static int compare_abreast(struct compare_worker *worker)
{
	struct entries *old = &worker->entries[0], *new = &worker->entries[1];
	int r = 0;

	while (!r && (old->entry || new->entry)) {
		const struct dirent64 *a = old->entry, *b = new->entry;
		bool new_first = !a || (b && new->position < old->position);

		r = compare_time_over(worker);
		if (r)
			return r;
		if (!a || !b || old->position != new->position || strcmp(a->d_name, b->d_name)) {
			r = compare_missed(worker, new_first);
			continue;
		}
		r = compare_both(worker, b->d_name,
				 compare_same(a->d_ino, a->d_type, b->d_ino, b->d_type), b->d_type);
		if (!r)
			r = entries_next(old);
		if (!r)
			r = entries_next(new);
	}
	if (r)
		return r;
	listing_sort(&worker->listings[0]);
	listing_sort(&worker->listings[1]);
	worker->next[0] = worker->next[1] = 0;
	worker->stage = COMPARE_ASIDE;
	return 0;
}

/* Compare what was put aside, by name. 0, COMPARE_LATER or -errno. */
static int compare_aside(struct compare_worker *worker)
{
	const struct listing *old = &worker->listings[0], *new = &worker->listings[1];
	size_t *next = worker->next;
	int r = 0;

	while (!r && (next[0] < old->count || next[1] < new->count)) {
		const struct listing_entry *a = next[0] < old->count ? listing_at(old, next[0])
								     : NULL;
		const struct listing_entry *b = next[1] < new->count ? listing_at(new, next[1])
								     : NULL;
		int order = !a ? 1 : !b ? -1 : strcmp(a->name, b->name);

		r = compare_time_over(worker);
		if (r)
			return r;
		if (order < 0)
			r = compare_alone(worker, 0, a->name, a->type);
		else if (order > 0)
			r = compare_alone(worker, 1, b->name, b->type);
		else
			r = compare_both(worker, b->name,
					 compare_same(a->inode, a->type, b->inode, b->type),
					 b->type);
		if (r == COMPARE_LATER)
			return r;
		next[0] += order <= 0;
		next[1] += order >= 0;
	}
	return r;
}

/* Find the names in the current directory that the delta hints at. 0 or -ENOMEM. */
static int compare_hints(struct compare_worker *worker)
{
	const struct delta *delta = worker->compare->delta;
	size_t count = 0, i = 0;

	for (const struct delta_hint *hint = delta_first(delta, worker->dir->inode); hint;
	     hint = delta_next(delta, hint))
		count++;
	worker->names = fault_calloc(worker->compare->fault, count + 1, sizeof(*worker->names));
	if (!worker->names)
		return -ENOMEM;
	for (const struct delta_hint *hint = delta_first(delta, worker->dir->inode); hint;
	     hint = delta_next(delta, hint))
		worker->names[i++] = delta->names + hint->name;
	qsort(worker->names, count, sizeof(*worker->names), string_order);
	worker->names_count = count;
	worker->next[0] = 0;
	return 0;
}

/* Compare the hinted names, each once. 0, COMPARE_LATER or -errno. */
static int compare_hinted(struct compare_worker *worker)
{
	const char *const *names = worker->names;
	int r = 0;

	for (size_t *i = &worker->next[0]; *i < worker->names_count; ++*i) {
		r = compare_time_over(worker);
		if (!r && (!*i || strcmp(names[*i - 1], names[*i])))
			r = compare_pair(worker, names[*i]);
		if (r)
			return r;
	}
	return 0;
}

/*
 * Open the current directory in tree INDEX. 0, also where it vanished or a mount covers it, or
 * -errno.
 */
static int compare_open(struct compare_worker *worker, unsigned index)
{
	int root = worker->compare->fds[index], fd;

	if (root < 0 || (!index && worker->dir->added))
		return 0;
	fd = beneath_open_list(root, worker->dir->path);
	if (opath_vanished(fd) || fd == -EXDEV)
		return 0;
	worker->fds[index] = fd;
	return MIN(fd, 0);
}

/* Close the current directory, and free it. */
static void compare_leave(struct compare_worker *worker)
{
	content_leave(&worker->content);
	/* Their numbers may be those of other descriptors later. */
	fd_close(TAKE_FD(worker->fds[0]));
	fd_close(TAKE_FD(worker->fds[1]));
	free(TAKE_PTR(worker->names));
	free(TAKE_PTR(worker->dir));
}

/* Open the current directory, and choose how to compare it. 0 or -errno. */
static int compare_enter(struct compare_worker *worker)
{
	const struct delta *delta = worker->compare->delta;
	const struct compare_dir *dir = worker->dir;
	int r = compare_open(worker, 0);

	worker->listed = false;
	worker->content.call = "statx";
	if (!r)
		r = compare_open(worker, 1);
	/* Hints name all that may differ in a directory that is not changed itself. */
	if (!r && dir->guided && dir->inode && !delta_changed(delta, dir->inode) &&
	    !delta_unnamed(delta, dir->inode)) {
		worker->stage = COMPARE_HINTED;
		return compare_hints(worker);
	}
	for (unsigned i = 0; !r && i < 2; i++) {
		listing_clear(&worker->listings[i]);
		r = entries_begin(&worker->entries[i], worker->fds[i]);
	}
	worker->stage = COMPARE_ABREAST;
	return r;
}

/* Continue with the current directory: 0 when it is done, COMPARE_LATER, or -errno. */
static int compare_go_on(struct compare_worker *worker)
{
	int r = worker->stage == COMPARE_OPEN ? compare_enter(worker) : 0;

	if (!r && worker->stage == COMPARE_HINTED)
		r = compare_hinted(worker);
	if (!r && worker->stage == COMPARE_ABREAST)
		r = compare_abreast(worker);
	if (!r && worker->stage == COMPARE_ASIDE)
		r = compare_aside(worker);
	compare_publish(worker);
	return r;
}

/* ---- threads --------------------------------------------------------------------------------- */

/*
 * Take a worker for this thread: one with a current directory, else an idle one, else a new one;
 * NULL without memory.
 */
static struct compare_worker *compare_take_worker(struct compare *compare)
{
	struct compare_worker *worker = NULL;

	pthread_mutex_lock(&compare->lock);
	list_for_each(link, &compare->workers)
		if (!worker || !worker->dir)
			worker = list_entry(link, struct compare_worker, link);
	if (worker) {
		list_remove(&worker->link);
		compare->pending -= worker->dir != NULL;
	}
	pthread_mutex_unlock(&compare->lock);
	if (worker)
		return worker;
	worker = fault_calloc(compare->fault, 1, sizeof(*worker));
	if (!worker)
		return NULL;
	*worker = (struct compare_worker){ .compare = compare,
					   .fds = { -EBADF, -EBADF },
					   .changes.fault = compare->fault,
					   .covered.fault = compare->fault,
					   .content = { .fault = compare->fault,
							.cancelled = compare->job.cancelled,
							.fds = { -EBADF, -EBADF } } };
	list_init(&worker->link);
	for (unsigned i = 0; i < 2; i++)
		worker->listings[i].fault = worker->xattrs[i].fault = compare->fault;
	return worker;
}

/* Take a directory unless there is a current one: 1, 0 when none is left, or -ENOMEM. */
static int compare_next(struct compare_worker *worker)
{
	struct compare *compare = worker->compare;
	bool any;

	if (worker->dir)
		return 1;
	pthread_mutex_lock(&compare->lock);
	worker->dir = TAKE_PTR(compare->root);
	any = worker->dir || !list_empty(&compare->stack);
	if (any && !worker->dir)
		worker->dir = compare_pop(compare);
	compare->pending -= any;
	pthread_mutex_unlock(&compare->lock);
	worker->stage = COMPARE_OPEN;
	return worker->dir ? 1 : any ? -ENOMEM : 0;
}

/* Record ERROR, in the current directory, if it is the first error. */
static void compare_failed(struct compare_worker *worker, int error)
{
	struct compare *compare = worker->compare;

	pthread_mutex_lock(&compare->lock);
	if (!compare->error) {
		compare->error = error;
		compare->failed_call = worker->content.call;
		compare->failed = strdup(worker->dir->path);
	}
	pthread_mutex_unlock(&compare->lock);
}

/* Compare directories until the slice is over. */
static int compare_slice(struct job *job, struct slice *slice)
{
	struct compare *compare = container_of(job, struct compare, job);
	struct compare_worker *worker = compare_take_worker(compare);
	int r = worker ? 0 : -ENOMEM;

	if (worker) {
		worker->until_ns = slice->until_ns;
		worker->yield = &slice->yield;
	}
	while (!r && !job_over(job) && (r = compare_next(worker)) > 0) {
		r = compare_go_on(worker);
		if (r < 0)
			compare_failed(worker, r);
		if (r != COMPARE_LATER)
			compare_leave(worker);
		if (!r && now_ns() >= slice->until_ns)
			break;
	}
	if (!worker)
		return r;
	/* Another thread may go on with this worker. */
	pthread_mutex_lock(&compare->lock);
	list_append(&compare->workers, &worker->link);
	compare->pending += worker->dir != NULL;
	pthread_mutex_unlock(&compare->lock);
	return MIN(r, 0);
}

/* The number of threads that would find a directory. */
static unsigned compare_wanted(struct job *job)
{
	struct compare *compare = container_of(job, struct compare, job);
	unsigned pending;

	pthread_mutex_lock(&compare->lock);
	pending = compare->pending;
	pthread_mutex_unlock(&compare->lock);
	return pending;
}

/* After the last slice: collect what each worker has found, and close what is open. */
static void compare_gather(struct compare *compare)
{
	struct list *link;

	while ((link = list_pop(&compare->workers))) {
		struct compare_worker *worker = list_entry(link, struct compare_worker, link);

		change_list_take(&compare->changes, &worker->changes);
		change_list_take(&compare->covered, &worker->covered);
		compare_leave(worker);
		for (unsigned i = 0; i < 2; i++) {
			entries_end(&worker->entries[i]);
			listing_free(&worker->listings[i]);
			xattrs_free(&worker->xattrs[i]);
		}
		content_free(&worker->content);
		free(worker);
	}
}

/* End the comparison: the job is over with RESULT. */
static void compare_over(struct job *job, int result)
{
	struct compare *compare = container_of(job, struct compare, job);

	compare_gather(compare);
	compare->done(compare, compare->error ? compare->error : result);
}

static const struct job_class compare_class = {
	.name = "compare",
	.slice = compare_slice,
	.wanted = compare_wanted,
	.done = compare_over,
};

/* ---- all together ---------------------------------------------------------------------------- */

/*
 * Push the roots on the stack, and note what distinguishes them from mounts and nested subvolumes.
 */
int compare_begin(struct compare *compare)
{
	struct compare_dir *dir;

	pthread_mutex_init(&compare->lock, NULL);
	list_init(&compare->stack);
	list_init(&compare->workers);
	compare->job.class = &compare_class;
	compare->changes.fault = compare->covered.fault = compare->fault;
	for (unsigned i = 0; i < 2; i++) {
		struct statx stat;

		if (compare->fds[i] < 0)
			continue;
		if (statx(compare->fds[i], "", AT_EMPTY_PATH, STATX_BASIC_STATS | STATX_MNT_ID,
			  &stat) < 0)
			return negative_errno();
		compare->devices[i] = makedev(stat.stx_dev_major, stat.stx_dev_minor);
		compare->mounts[i] = stat.stx_mnt_id;
	}
	if (compare->collapse && compare->fds[0] < 0)
		return change_list_add_inside(&compare->changes, "", NULL);
	dir = fault_calloc(compare->fault, 1, sizeof(*dir) + 1);
	if (!dir)
		return -ENOMEM;
	dir->inode = ABI_SUBVOL_ROOT_INODE;
	dir->guided = compare->delta;
	dir->added = compare->fds[0] < 0;
	compare->root = dir;
	compare->pending = 1;
	return 0;
}

int compare_try(struct compare *compare)
{
	uint64_t slice_ns = workers_slice_ns(compare->job.store);
	struct slice slice = { .job = &compare->job,
			       .yield.wakes = &compare->job.store->core.io.wakes,
			       .until_ns = now_ns() + MIN(COMPARE_TRY_NS, slice_ns) };
	int r = compare_slice(&compare->job, &slice);

	if (!r && compare_wanted(&compare->job))
		return COMPARE_MORE;
	compare_gather(compare);
	return r;
}

void compare_close(struct compare *compare)
{
	compare_gather(compare);
}

void compare_end(struct compare *compare)
{
	struct list *link;

	while ((link = list_pop(&compare->stack)))
		free(list_entry(link, struct compare_batch, link));
	free(compare->root);
	change_list_free(&compare->changes);
	change_list_free(&compare->covered);
	free(compare->failed);
	pthread_mutex_destroy(&compare->lock);
}
