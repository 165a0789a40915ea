/* SPDX-License-Identifier: Apache-2.0 */
/* status: get the state of a store, for a person or a bug report. Changes nothing. */
#include "engine/btrfs/fs.h"
#include "engine/btrfs/qgroup.h"
#include "engine/core/request.h"
#include "engine/ops/ops.h"
#include "engine/store/size_record.h"
#include "engine/store/store.h"

#include <btrfsutil.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>

/* Lines at most, and bytes of their values. */
#define STATUS_LINES 24
#define STATUS_TEXT_BYTES (4096 + HOME_PATH_MAX)

enum status_state { STATUS_ASK, STATUS_STATES };

struct status {
	struct op op;
	struct varve_status_entry entries[STATUS_LINES];
	size_t count;
	/* The values, one behind the other. */
	char text[STATUS_TEXT_BYTES];
	size_t used;
};

static struct status *status_of(struct op *op)
{
	return container_of(op, struct status, op);
}

/* Add a line. */
static void __attribute__((format(printf, 3, 4)))
status_add(struct status *status, const char *key, const char *format, ...)
{
	size_t room = sizeof(status->text) - status->used;
	va_list arguments;
	int length;

	va_start(arguments, format);
	length = vsnprintf(status->text + status->used, room, format, arguments);
	va_end(arguments);
	if (length < 0 || (size_t)length >= room || status->count == STATUS_LINES)
		return;
	status->entries[status->count++] = (struct varve_status_entry){ key, status->text +
										     status->used };
	status->used += (size_t)length + 1;
}

/* Add what is known of the ring. */
static void status_add_ring(struct status *status, const struct io *io)
{
	static const char *const kinds[CALL_KINDS] = {
		[CALL_OPENAT2] = "openat2", [CALL_STATX] = "statx", [CALL_UNLINKAT] = "unlinkat"
	};
	char text[128] = "";

	if (io->ring_error)
		status_add(status, "io_uring", "off (%s)",
			   io->ring_error == -ECANCELED ? "by configuration"
							: strerrorname_np(-io->ring_error));
	else
		status_add(status, "io_uring", "%s", ring_mode(&io->ring));
	for (int i = 0; i < CALL_KINDS; i++)
		if (ring_can(&io->ring, i) && kinds[i])
			snprintf(text + strlen(text), sizeof(text) - strlen(text), "%s%s",
				 *text ? "," : "", kinds[i]);
	status_add(status, "io_uring_operations", "%s", *text ? text : "none");
	status_add(status, "ring_entries", "%u", io->ring.usable ? io->ring.entries : 0);
}

/* Add how quota runs, and what it costs or is worth. */
static void status_add_quota(struct status *status, struct varve_store *store)
{
	static const char *const modes[] = {
		[VARVE_QUOTA_OFF] = "off",
		[VARVE_QUOTA_FULL] = "full",
		[VARVE_QUOTA_SIMPLE] = "simple",
	};
	int mode = qgroup_mode(&store->fs);
	uint64_t position;

	if (mode < 0) {
		status_add(status, "quota", "unknown (%s)", strerrorname_np(-mode));
		return;
	}
	status_add(status, "quota", "%s", modes[mode]);
	if (mode == VARVE_QUOTA_OFF)
		return;
	if (mode == VARVE_QUOTA_FULL && store->layout.privileged &&
	    qgroup_rescan_running(&store->fs, &position) > 0)
		status_add(status, "quota_rescan", "running, at %" PRIu64, position);
	if (qgroup_inconsistent(&store->fs) > 0)
		status_add(status, "quota_warning",
			   "inconsistent: limits are not enforced until a rescan is done");
	if (mode == VARVE_QUOTA_FULL)
		status_add(status, "quota_cost",
			   "full quotas make creating and removing layers many times slower");
}

/* Collect, on a lane thread. */
static int status_ask_run(struct call *call)
{
	struct status *status = status_of(container_of(call, struct op, call));
	struct varve_store *store = op_store(&status->op);
	char home[HOME_PATH_MAX + 1], fsid[FSID_TEXT_BYTES];
	struct utsname utsname;
	uint64_t dead;
	int r;

	uname(&utsname);
	status_add(status, "version", "%s", VARVE_VERSION);
	status_add(status, "libbtrfsutil", "%d.%d.%d", BTRFS_UTIL_VERSION_MAJOR,
		   BTRFS_UTIL_VERSION_MINOR, BTRFS_UTIL_VERSION_PATCH);
	status_add(status, "kernel", "%s", utsname.release);
	r = store_home(store, home);
	if (r)
		status_add(status, "home", "unknown (%s)", strerrorname_np(-r));
	else
		status_add(status, "home", "%s", home);
	fs_id_text(store->layout.fsid, fsid);
	status_add(status, "filesystem", "%s", fsid);
	status_add_ring(status, &store->core.io);
	status_add(status, "privileged", "%s", store->layout.privileged ? "yes" : "no");
	status_add(status, "durability", "%s",
		   store->settings.flags & VARVE_OPEN_RELAXED ? "relaxed" : "durable");
	status_add_quota(status, store);
	status_add(status, "requests_max", "%u", store->core.requests_max);
	status_add(status, "fs_threads_max", "%u", store->settings.io.threads_max[LANE_FS]);
	status_add(status, "commit_threads_max", "%u", store->settings.io.threads_max[LANE_COMMIT]);
	status_add(status, "cleaner_backlog_max", "%u", store->settings.backlog_max);
	r = fs_dead_count(store->layout.home_fd, &dead);
	if (r)
		status_add(status, "cleaner_backlog", "unknown (%s)", strerrorname_np(-r));
	else
		status_add(status, "cleaner_backlog", "%" PRIu64, dead);
	r = size_record_holder(store);
	if (r < 0)
		status_add(status, "records_lock", "unknown (%s)", strerrorname_np(-r));
	else if (r)
		status_add(status, "records_lock", "held by process %d", r);
	else
		status_add(status, "records_lock", "free");
	return 0;
}

static int status_ask(struct op *op)
{
	call_function(&op->call, LANE_LONG, "status", status_ask_run);
	return op_call(op);
}

static const struct op_step status_steps[STATUS_STATES] = {
	[STATUS_ASK] = { "ASK", status_ask, NULL, true },
};

static void status_result(struct request *request, struct varve_result *result)
{
	struct status *status = status_of(request->ops);

	if (status->op.error)
		return;
	result->status = status->entries;
	result->status_count = status->count;
}

static const struct op_class status_class = {
	.operation = VARVE_STATUS,
	.size = sizeof(struct status),
	.steps = status_steps,
	.steps_count = STATUS_STATES,
	.unwind = STATUS_STATES,
	.cancel_last = STATUS_ASK,
	.result = status_result,
};

int status_submit(struct varve_store *store, const struct submit *submit)
{
	struct request *request;
	int r = request_new(&store->core, &status_class, 1, 0, 0, &request);

	return r ? r
		 : request_submit(request, submit->callback, submit->user_data,
				  submit->ret_request);
}
