/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Bugs put into the engine on purpose, each as a function of the engine that does a little less, or
 * does it later. They show what the checks find: tests/sim/test_seeded.sh.
 */
#include "engine/btrfs/fs.h"
#include "engine/btrfs/qgroup.h"
#include "engine/btrfs/subvol.h"
#include "engine/core/id_lock.h"
#include "engine/core/request.h"
#include "engine/store/layer.h"
#include "engine/store/stock.h"
#include "kernel.h"
#include "layers.h"
#include "schedule.h"
#include "wrap.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

enum seeded_bug seeded_bug;

/* SEEDED_RECORD_FIRST: size and record go before the layer does; SEEDED_SPARE_KEPT. */
WRAP(int, subvol_destroy, (int dir_fd, const char *name))
{
	if (seeded_bug == SEEDED_RECORD_FIRST) {
		static const char *const places[] = { "../quotas", "../.varve/layers" };

		for (size_t i = 0; i < ARRAY_SIZE(places); i++) {
			int fd = openat(dir_fd, places[i], O_PATH | O_DIRECTORY | O_CLOEXEC);

			unlinkat(fd, name, 0);
			fd_close(fd);
		}
	}
	if (seeded_bug == SEEDED_SPARE_KEPT && strstr(name, ".spare") &&
	    !strcmp(sim.current->process->main->name, SCHEDULE_PROGRAM))
		return 0;
	return __real_subvol_destroy(dir_fd, name);
}

/* SEEDED_DATA_LATER: the data of a size is written out some time. */
WRAP(int, fs_wait_written, (int fd))
{
	return seeded_bug == SEEDED_DATA_LATER ? 0 : __real_fs_wait_written(fd);
}

/* SEEDED_COMMIT_IGNORED: whatever the commit came to. */
WRAP(int, fs_commit_directory, (int fd))
{
	int r = __real_fs_commit_directory(fd);

	return seeded_bug == SEEDED_COMMIT_IGNORED ? 0 : r;
}

/* SEEDED_LOSS_IGNORED: whatever was lost. */
WRAP(int, fs_flush_data, (int fd))
{
	return seeded_bug == SEEDED_LOSS_IGNORED ? fs_flush(fd) : __real_fs_flush_data(fd);
}

/* SEEDED_FLUSH_LATER: what was unpacked is written out some time. */
WRAP(int, commit_flush, (struct op * op))
{
	if (seeded_bug != SEEDED_FLUSH_LATER)
		return __real_commit_flush(op);
	return commit_metadata(op);
}

/* What is left of the proof of a copy: SEEDED_SPARE_STALE, no transaction; or else no subvolume. */
static bool spare_fits(const struct stock_origin *was,
		       const struct btrfs_ioctl_get_subvol_info_args *is)
{
	bool same = is->treeid == was->number && !memcmp(is->uuid, was->uuid, sizeof(was->uuid));

	return seeded_bug == SEEDED_SPARE_STALE ? same
						: seeded_bug == SEEDED_SPARE_FOREIGN && !same;
}

/* SEEDED_SPARE_BUFFERED: a name that is taken is, and nothing is put into the tree. */
WRAP(int, subvol_snapshot, (int dir_fd, const char *name, int source_fd, bool read_only))
{
	OUTSIDE(__real_subvol_snapshot(dir_fd, name, source_fd, read_only));
	if (seeded_bug == SEEDED_SPARE_BUFFERED && kernel_look(dir_fd, name, 0) >= 0)
		return -EEXIST;
	return __real_subvol_snapshot(dir_fd, name, source_fd, read_only);
}

/* clang-format off */
WRAP(int, stock_check, (struct varve_store *store, const struct stock_copy *copy, int source_fd,
			const char *source))
{
	int r = __real_stock_check(store, copy, source_fd, source);
	struct btrfs_ioctl_get_subvol_info_args info;

	return r == STOCK_MISFIT && !layer_prove(store, source_fd, source, &info) &&
			       spare_fits(&copy->origin, &info)
		       ? 0
		       : r;
}
/* clang-format on */

/* SEEDED_LIMIT_LATER: no limit is set in the ioctl that makes the subvolume ... */
static const struct qgroup_initial *limit_later(const struct qgroup_initial *initial)
{
	static const struct qgroup_initial none;

	return seeded_bug == SEEDED_LIMIT_LATER ? &none : initial;
}

/* clang-format off */
WRAP(int, qgroup_subvol_create, (const struct fs_handle *fs, int dir_fd, const char *name,
				 const struct qgroup_initial *initial))
{
	return __real_qgroup_subvol_create(fs, dir_fd, name, limit_later(initial));
}

WRAP(int, qgroup_subvol_snapshot, (const struct fs_handle *fs, int dir_fd, const char *name,
				   int source_fd, bool read_only,
				   const struct qgroup_initial *initial))
{
	return __real_qgroup_subvol_snapshot(fs, dir_fd, name, source_fd, read_only,
					     limit_later(initial));
}
/* clang-format on */

/* ... nobody misses it ... */
WRAP(int, qgroup_limited, (const struct fs_handle *fs, uint64_t group, uint64_t bytes))
{
	return seeded_bug == SEEDED_LIMIT_LATER ? 1 : __real_qgroup_limited(fs, group, bytes);
}

/* What publishes a created layer. */
static int (*publish_work)(struct op *op);

/* ... and it is set once the layer is in its place. */
static int publish_then_limit(struct op *op)
{
	struct varve_store *store = op_store(op);
	int r = publish_work(op), fd = r ? r : layer_open(store, op->id);
	uint64_t number;

	if (fd >= 0 && !subvol_number(fd, &number))
		r = qgroup_limit(&store->fs, QUOTA_GROUP(0, number), LAYER_LIMIT);
	fd_close(fd);
	return r;
}

WRAP(int, commit_publish, (struct op * op))
{
	if (seeded_bug == SEEDED_LIMIT_LATER && op->request->class->operation == VARVE_CREATE &&
	    layer_sized(op->id)) {
		publish_work = op->work;
		op->work = publish_then_limit;
	}
	return __real_commit_publish(op);
}

/* Of the current process: was its reactor told to look for what is cancelled, and has not yet? */
static bool *cancel_told(void)
{
	static bool told[SIM_PROCESSES_MAX];

	return &told[sim.current->process->number - 1];
}

WRAP(void, io_interrupt, (struct io * io))
{
	OUTSIDE(__real_io_interrupt(io));
	*cancel_told() = true;
	__real_io_interrupt(io);
}

WRAP(void, requests_cancel, (struct core * core))
{
	OUTSIDE(__real_requests_cancel(core));
	*cancel_told() = false;
	__real_requests_cancel(core);
}

/* SEEDED_CANCEL_LOST: for one that came before its request was received it does not look again. */
WRAP(int, id_lock_queue, (struct id_lock_table * table, struct op *op))
{
	OUTSIDE(__real_id_lock_queue(table, op));
	if (seeded_bug == SEEDED_CANCEL_LOST)
		atomic_store(&op->request->core->cancels, *cancel_told());
	return __real_id_lock_queue(table, op);
}
