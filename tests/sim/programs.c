/* SPDX-License-Identifier: Apache-2.0 */
#include "programs.h"
#include "engine/base/limits.h"
#include "kernel.h"
#include "schedule.h"

#include <fcntl.h>
#include <linux/btrfs.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

/* A layer that all programs contend for, and that is made of an archive. */
#define SHARED_UNPACKED "a-all"
/* The longest pause of a thread that cancels. */
#define CANCEL_PAUSE_NS 2000000

/*
 * What a user of layer ID may do at any time: make a subvolume in it, or in one that is there
 * already. It is of no concern whether that succeeds.
 */
static void program_nest(const char *id)
{
	struct btrfs_ioctl_vol_args args = { .name = "nested" };
	char path[MODEL_NAME_BYTES];
	int fd;

	snprintf(path, sizeof(path), SCHEDULE_HOME "/subvolumes/%s%s", id,
		 sim_random(2) ? "" : "/nested");
	sim_trace("a subvolume is made in %s", path);
	fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return;
	ioctl(fd, BTRFS_IOC_SUBVOL_CREATE, &args);
	close(fd);
}

/* Make the next request of PROGRAM: 1, 0 when none is possible now, or -errno. */
static int program_request(struct program *program)
{
	unsigned kind = sim_random(16), place = sim_random(LAYERS_OWN);
	struct layer *layer = &program->layers[place], *other = &program->layers[place ^ 1];
	/* Layers that all programs contend for. */
	const char *shared = (const char *const[]){ CONTENDED, "s-all", "l-all",
						    SHARED_UNPACKED }[sim_random(4)];

	/* Quota ends the spare copies, and so does a layer with a size. */
	if (spares_parent() && layer_sized(shared))
		shared = CONTENDED;
	if (spares_parent() && sim_random(4) == 0)
		spares_touch();
	if (spares_parent() && !strcmp(spares_parent(), CONTENDED)) {
		if (spares_birth().parent ? !sim_random(8) : sim_random(2))
			return spares_birth().parent ? request_remove(program, NULL, CONTENDED)
						     : request_create(program, NULL, CONTENDED);
	}
	if (spares_parent() && sim_random(2) && !layer->busy && !layer->live.present)
		return request_create(program, layer, layer->id);
	/* Requests that wait for an archive that nobody writes. */
	if (program->hasty && sim_random(2)) {
		kind = 2 + sim_random(2);
		shared = SHARED_UNPACKED;
	}
	if (kind == 0)
		return request_sync(program);
	if (kind == 1)
		return request_sweep(program);
	if (kind == 2)
		return request_create(program, NULL, shared);
	if (kind == 3)
		return request_remove(program, NULL, shared);
	if (sim_random(8) == 0)
		program_nest(sim_random(2) ? layer->id : shared);
	if (layer->busy)
		return 1;
	if (kind >= 5 && kind < 8 && layer_extended(layer->id))
		return request_apply(program, layer);
	if (kind >= 5 && kind < 8 && layer_resized(layer->id))
		return request_limit(program, layer);
	if (kind == 5 && layer_labelled(layer->id))
		return request_label(program, layer);
	if (kind == 8)
		return sim_random(2) ? request_flush(program, layer)
				     : request_freeze(program, layer);
	if (kind == 4 && !layer->live.absent && !other->busy && !other->live.present)
		return request_rename(program, layer, other);
	return sim_random(layer->live.present ? 4 : 16) ? request_create(program, layer, layer->id)
							: request_remove(program, layer, layer->id);
}

/* ---- programs -------------------------------------------------------------------------------- */

void program_leave(struct program *program)
{
	if (!program->hasty || program->threads || program->closing || sim_random(32))
		return;
	program->closing = program->closed = true;
	varve_close(program->store);
}

/* Open the store. */
static struct varve_store *program_open(void)
{
	struct varve_config config = VARVE_CONFIG_INIT;
	struct varve_store *store = NULL;
	struct varve_failure failure;
	char text[512];

	config.home = SCHEDULE_HOME;
	config.flags = sim_random(2) ? VARVE_OPEN_NO_URING : 0;
	/* Root opens the store of a user. */
	if (sim.current->process->uid != schedule_owner)
		config.flags |= VARVE_OPEN_SHARED_HOME;
	config.ring_entries = RING_ENTRIES_MIN << sim_random(2);
	config.requests_max = 2 * REQUESTS_MAX;
	config.fs_threads_max = 1 + sim_random(2);
	config.commit_threads_max = 1 + sim_random(4);
	/* A subvolume of which a file stays open is not dropped: creates would wait for ever. */
	config.backlog_max = sim_random(4) || spares_keep_open() ? 0 : 2;
	if (spares_parent() && sim_random(8))
		config.flags |= VARVE_OPEN_SPARES;
	if (varve_open(&config, &store, &failure) && !schedule_failed())
		sim_fail("open: %s", varve_strerror(&failure, text, sizeof(text)));
	return store;
}

/* A thread of PROGRAM that cancels requests. */
static void *program_cancel(void *data)
{
	struct program *program = data;

	while (!program->over) {
		struct timespec pause = { .tv_nsec = sim_random(CANCEL_PAUSE_NS) };

		request_cancel(&program->requests[sim_random(REQUESTS_MAX)]);
		nanosleep(&pause, NULL);
	}
	return NULL;
}

/* Make requests, up to AT_ONCE in flight. */
static void program_submit(struct program *program, unsigned at_once)
{
	while (program->left && program->in_flight < at_once) {
		int r;

		program->left--;
		/* Time passes, in which spare copies are made. */
		if (spares_parent() && sim_random(2))
			varve_wait(program->store, 1);
		/* In a callback. */
		if (program->closed)
			break;
		r = program_request(program);
		if (r < 0 && !schedule_failed())
			sim_fail("a request is refused: %d", r);
		if (r < 0)
			request_over(program->last);
		else if (program->hasty && program->in_flight && sim_random(2))
			request_cancel(program->last);
	}
}

/*
 * Write the archives of PROGRAM that are to be written; none as long as a request is in flight that
 * was cancelled: it has to end all the same.
 */
static void program_feed(struct program *program)
{
	for (unsigned i = 0; i < REQUESTS_MAX; i++)
		if (program->requests[i].used && program->requests[i].cancelled)
			return;
	for (unsigned i = 0; i < REQUESTS_MAX; i++)
		if (program->requests[i].used && program->requests[i].streams)
			request_feed(&program->requests[i]);
}

void *program_run(void *data)
{
	struct program *program = data;
	unsigned at_once = 1 + sim_random(spares_parent() ? 2 : REQUESTS_MAX - 1);
	pthread_t thread;

	program->store = program_open();
	if (!program->store)
		return NULL;
	program->threads = program->hasty && sim_random(2) &&
			   !pthread_create(&thread, NULL, program_cancel, program);
	while (!program->closed && (program->left || program->in_flight)) {
		program_submit(program, at_once);
		if (program->hasty && sim_random(16) == 0)
			break;
		program_feed(program);
		if (program->in_flight)
			varve_wait(program->store, -1);
	}
	program->over = program->closing = true;
	if (program->threads)
		pthread_join(thread, NULL);
	if (!program->closed)
		varve_close(program->store);
	if (program->in_flight)
		sim_fail("%u requests have no end", program->in_flight);
	return NULL;
}

void *program_recover(void *data)
{
	struct varve_store *store = program_open();
	struct varve_failure failure;
	char text[512];

	if (!store)
		return NULL;
	for (unsigned i = 0; i < 2; i++) {
		if (varve_sweep_wait(store, NULL, &failure) && !kernel.errors)
			sim_fail("sweep: %s", varve_strerror(&failure, text, sizeof(text)));
		model_drop();
	}
	varve_close(store);
	return NULL;
}

void *program_prepare(void *data)
{
	const unsigned *quota = data;
	struct varve_store *store;
	struct varve_failure failure;
	int fd;

	model_quota_control(*quota == MODEL_QUOTA_SIMPLE ? 4 : *quota == MODEL_QUOTA_FULL ? 1 : 2);
	store = program_open();
	if (varve_layer_create_wait(store, BASE, NULL, &failure))
		sim_fail("the base layer cannot be made");
	fd = open(ARCHIVE, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
	if (write(fd, "an archive", 10) != 10)
		sim_fail("the archive cannot be written");
	close(fd);
	varve_sync_wait(store, 0, NULL);
	varve_close(store);
	return NULL;
}
