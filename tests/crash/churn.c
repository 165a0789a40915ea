/* SPDX-License-Identifier: Apache-2.0 */
/*
 * churn: the load of the crash tests. Opens a store and keeps a number of creates and removes in
 * flight until its time is over, it gets SIGTERM, or it is killed. What it asks for and the results
 * go into the record (record.h), from which verify can tell what must be there afterwards.
 *
 *	churn --prepare --home HOME			the base layers and the sentinels that must survive everything
 *	churn --home HOME --record FILE [--seed N] ...	the load
 *
 * The load, all of it drawn from the seed: empty layers of several modes, snapshots of the bases
 * and of other layers (also of ones whose own create is still in flight), layers unpacked from the
 * archive of a base, read-only ones, batches, two requests queued on one id, durable and relaxed
 * mixed, nested subvolumes made in some layers before they are removed, some requests cancelled;
 * with --sized MODE (of quota: full, or default for what the kernel has best) some layers have a
 * size; with --grouped each second id joins a group of layers (slot_group()), of which there are
 * GROUPS, whenever it is created. Every second id has a label and a record (look_labelled()), which
 * tell what the layer looks like.
 *
 * --die: the load kills itself a moment after it has asked for the removal of a layer with many
 * nested subvolumes, which is the longest way that a layer can be on; a kill from outside seldom
 * meets it.
 *
 * Every request must have exactly one callback, each within --limit seconds of the one before. Exit
 * status: 0 all was as promised; 1 a request ended as it should not have; 2 it could not run; 3 no
 * callback came, or close hung; 4 the record could not be written.
 */
#include "content.h"
#include "record.h"

#include "varve.h"

#include <getopt.h>
#include <linux/btrfs.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

/* Most ids in one batch. */
#define BATCH_MAX 12

/* Requests that are queued on one id at most. */
#define PENDING_MAX 2

/*
 * Subvolumes that are nested in a layer beside a pair: so many that they are not destroyed in one
 * go.
 */
#define NESTED_MORE 150

/* Groups of layers, and the limit that they share, in MiB. */
#define GROUPS 3
#define GROUP_MIB 512

/* Longest pause of the load. */
#define LULL_MS_MAX 30

/* Longest time in microseconds between such a removal and the end of the process. */
#define DIE_US_MAX 20000

/* Requests that a load goes on to make after its file system has failed (--failing). */
#define AFTER_FAILURE 500

/* One id, and what the load believes of it. */
struct slot {
	char id[48];
	bool present;     /* Will be there once all that was asked for has been done. */
	struct look look; /* ... and looks like this. */
	bool present_now; /* Is there, as far as callbacks said. */
	struct look look_now;
	uint64_t told;     /* Ordinal + 1 of the newest request that said so. */
	unsigned pending;  /* Requests on it that have not ended. */
	unsigned children; /* Creates in flight that start from it. */
	bool nested;       /* Subvolumes are nested in it: it is no parent any more. */
};

/* One id of a request. */
struct item {
	uint64_t ordinal; /* Its number in the record. */
	struct slot *slot;
};

struct churn;

/* One request in flight. */
struct request {
	struct churn *churn;
	varve_request handle;
	enum varve_operation operation;
	struct look look;    /* create: what the layers will look like. */
	struct slot *parent; /* create: the slot that it starts from, or NULL. */
	bool applied;        /* create: the content comes from an archive. */
	bool ended;          /* Its callback ran. */
	size_t count;        /* Of items. */
	struct item items[BATCH_MAX];
	struct request *next; /* In the list of all. */
};

/* The load. */
struct churn {
	struct varve_store *store;
	const char *home;
	/* Of every id. */
	const char *prefix;
	/* Descriptor of the record. */
	int record;
	/* State of the generator; never 0. */
	uint64_t random;
	unsigned relaxed_percent;
	/* Longest time without a callback. */
	unsigned limit_s;
	/* The file system will fail: errors are expected. */
	bool failing;
	/* End by closing with requests in flight. */
	bool close_busy;
	/* End by killing itself: see above. */
	bool die;
	/* Subvolumes beside the pair in the layer nested into last. */
	unsigned nested_more;
	/* Some layers have a size. */
	bool sized;
	/* Some layers join groups. */
	bool grouped;
	/* The bases as archives, in memory. */
	int archives[CONTENT_BASES + 1];
	/* Option that says which mode of quota they need, or NULL. */
	const char *quota;
	struct slot *slots;
	size_t slots_count;
	/* All that were made, newest first. */
	struct request *requests;
	/* Requests to keep in flight. */
	unsigned depth;
	unsigned in_flight;
	/* Of the next item. */
	uint64_t ordinal;
	/* Items; `cancels` counts requests. */
	uint64_t submitted, ended, failed, applied, cancels, unexpected;
	/* Requests made since the first failure. */
	unsigned after_failure;
};

/* Set by SIGTERM. */
static volatile sig_atomic_t stop;

/* Ask the load to end. */
static void on_term(int signal)
{
	stop = 1;
}

/* The load of this process, for on_alarm(). */
static const struct churn *watched;

/*
 * Give up: nothing was called back for too long. The process is at its end, so it may say in plain
 * words what is missing.
 */
static void on_alarm(int signal)
{
	dprintf(STDERR_FILENO,
		"churn: HANG: a callback or varve_close() is overdue; %u requests in flight:\n",
		watched->in_flight);
	for (const struct request *request = watched->requests; request; request = request->next)
		for (size_t i = 0; !request->ended && i < request->count; i++)
			dprintf(STDERR_FILENO, "churn: %s %s, ordinal %llu, parent %s\n",
				request->operation == VARVE_CREATE ? "create" : "remove",
				request->items[i].slot->id,
				(unsigned long long)request->items[i].ordinal,
				request->parent ? request->parent->id : "-");
	_exit(3);
}

/* Draw a number below BOUND. */
static unsigned draw(struct churn *churn, unsigned bound)
{
	churn->random ^= churn->random << 13;
	churn->random ^= churn->random >> 7;
	churn->random ^= churn->random << 17;
	return (unsigned)((churn->random >> 24) % bound);
}

/* True in PERCENT of the cases. */
static bool chance(struct churn *churn, unsigned percent)
{
	return draw(churn, 100) < percent;
}

/* ---- preparation ----------------------------------------------------------------------------- */

/* Make the file NAME below DIRECTORY with TEXT in it. */
static int make_file(int directory, const char *name, const char *text)
{
	int fd = openat(directory, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0640), r = 0;

	if (fd < 0)
		return -errno;
	if (write(fd, text, strlen(text)) != (ssize_t)strlen(text))
		r = -EIO;
	close(fd);
	return r;
}

/* Make the subvolume PATH below DIRECTORY, and fill it with the tree of BASE. */
static int make_subvolume(int directory, const char *path, int base)
{
	struct btrfs_ioctl_vol_args arguments = { 0 };
	const char *slash = strrchr(path, '/');
	char above[PATH_MAX];
	int parent, fd, r;

	/* The ioctl takes a name, no path. */
	snprintf(above, sizeof(above), "./%.*s", slash ? (int)(slash - path) : 0, path);
	strncpy(arguments.name, slash ? slash + 1 : path, sizeof(arguments.name) - 1);
	parent = openat(directory, above, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (parent < 0)
		return -errno;
	r = ioctl(parent, BTRFS_IOC_SUBVOL_CREATE, &arguments) < 0 ? -errno : 0;
	fd = r < 0 ? -1 : openat(parent, arguments.name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (r == 0)
		r = fd < 0 ? -errno : content_write(fd, base);
	if (fd >= 0)
		close(fd);
	close(parent);
	return r;
}

/*
 * Put what is none of the store's business into the home and beside it (verify.c,
 * sentinels_check()).
 */
static int prepare_sentinels(const char *home)
{
	int fd = open(home, O_RDONLY | O_DIRECTORY | O_CLOEXEC), r;

	if (fd < 0)
		return -errno;
	r = make_file(fd, "foreign.txt", "foreign\n");
	if (!r)
		r = make_file(fd, "subvolumes/plain-file", "no layer\n");
	if (!r && mkdirat(fd, "subvolumes/plain-directory", 0755) < 0)
		r = -errno;
	if (!r)
		r = make_file(fd, "subvolumes/plain-directory/file", "no layer either\n");
	if (!r && mkdirat(fd, "quotas", 0700) < 0 && errno != EEXIST)
		r = -errno;
	if (!r)
		r = make_file(fd, "quotas/base-2", "1073741824\n");
	if (!r)
		r = make_subvolume(fd, "foreign-subvolume", 2);
	if (!r)
		r = make_file(fd, "../beside.txt", "beside\n");
	if (!r)
		r = make_subvolume(fd, "../beside-subvolume", 1);
	if (!r && syncfs(fd) < 0)
		r = -errno;
	close(fd);
	return r;
}

/* Create the base layers and fill them. */
static int prepare_bases(struct churn *churn)
{
	for (int base = 1; base <= CONTENT_BASES; base++) {
		char id[32], *path;
		int fd, r;

		snprintf(id, sizeof(id), "base-%d", base);
		r = varve_layer_create_wait(churn->store, id, NULL, NULL);
		if (r == 0)
			r = varve_layer_get_wait(churn->store, id, NULL, &path, NULL);
		if (r < 0)
			return r;
		fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		free(path);
		r = fd < 0 ? -errno : content_write(fd, base);
		if (fd >= 0)
			close(fd);
		if (r < 0)
			return r;
	}
	return varve_sync_wait(churn->store, 0, NULL);
}

/* Pack the base layers. */
static int pack_bases(struct churn *churn)
{
	int r = 0;

	for (int base = 1; r >= 0 && base <= CONTENT_BASES; base++) {
		char id[32];

		snprintf(id, sizeof(id), "base-%d", base);
		churn->archives[base] = memfd_create(id, MFD_CLOEXEC);
		r = churn->archives[base] < 0
			    ? -errno
			    : varve_layer_diff_wait(churn->store, id, NULL, churn->archives[base],
						    NULL, NULL, NULL);
	}
	return r;
}

/*
 * Make subvolumes nested two deep in SLOT's layer; in one of two cases a directory lies between, in
 * one of three there are many more beside.
 */
static int nest(struct churn *churn, struct slot *slot)
{
	unsigned more = churn->nested_more = chance(churn, 33) ? NESTED_MORE : 0;
	char *path, name[sizeof(CONTENT_NESTED) + 16];
	int fd = -1, r = varve_layer_get_wait(churn->store, slot->id, NULL, &path, NULL);

	if (r < 0)
		return r;
	slot->nested = true;
	size_record_write(churn->record, record_now(), "nesting %s", slot->id);
	fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	free(path);
	r = fd < 0 ? -errno : make_subvolume(fd, CONTENT_NESTED, 1);
	if (!r)
		r = make_subvolume(fd,
				   chance(churn, 50) ? CONTENT_NESTED "/deeper"
						     : CONTENT_NESTED "/d00/deeper",
				   0);
	for (unsigned i = 0; !r && i < more; i++) {
		snprintf(name, sizeof(name), CONTENT_NESTED "/more-%u", i);
		r = make_subvolume(fd, name, 0);
	}
	if (fd >= 0)
		close(fd);
	if (!r)
		size_record_write(churn->record, record_now(), "nested %s %u", slot->id, more);
	return r;
}

/* ---- ends ------------------------------------------------------------------------------------ */

/*
 * Is ERROR one that REQUEST may end with? A cancelled parent or predecessor explains an id that is
 * missing or there.
 */
static bool error_expected(const struct request *request, int error)
{
	if (error == 0 || request->churn->failing)
		return true;
	if (error == -ECANCELED || error == -ENOENT || error == -EEXIST)
		return request->churn->cancels > 0;
	return false;
}

/* Take note of how ITEM of REQUEST ended. */
static void item_end(struct request *request, struct item *item,
		     const struct varve_outcome *outcome)
{
	struct churn *churn = request->churn;
	struct slot *slot = item->slot;
	char text[2048];

	churn->ended++;
	if (strcmp(outcome->id, slot->id) != 0 || !error_expected(request, outcome->error)) {
		churn->unexpected++;
		fprintf(stderr, "churn: unexpected end of %s (asked for %s): %s\n", outcome->id,
			slot->id,
			outcome->failure ? varve_strerror(outcome->failure, text, sizeof(text))
					 : "no failure");
	}
	churn->applied += request->applied && !outcome->error;
	if (outcome->error < 0) {
		churn->failed++;
	} else if (item->ordinal >= slot->told) {
		/* The callback of a batch comes after that of a later request on one of its ids. */
		slot->told = item->ordinal + 1;
		slot->present_now = request->operation == VARVE_CREATE;
		slot->nested = false;
		slot->look_now = request->look;
	}
	if (--slot->pending > 0)
		return;
	slot->present = slot->present_now;
	slot->look = slot->look_now;
}

/* The callback of every request. */
static void on_end(struct varve_store *store, const struct varve_result *result, void *user_data)
{
	uint64_t now = record_now();
	struct request *request = user_data;
	struct churn *churn = request->churn;

	alarm(churn->limit_s);
	if (request->ended || result->operation != request->operation ||
	    result->outcomes_count != request->count) {
		fprintf(stderr,
			"churn: a callback that makes no sense: ended=%d operation=%d outcomes=%zu of %zu\n",
			request->ended, (int)result->operation, result->outcomes_count,
			request->count);
		churn->unexpected++;
		return;
	}
	request->ended = true;
	for (size_t i = 0; i < request->count; i++)
		size_record_write(churn->record, now, "end %llu %d",
				  (unsigned long long)request->items[i].ordinal,
				  result->outcomes[i].error);
	for (size_t i = 0; i < request->count; i++)
		item_end(request, &request->items[i], &result->outcomes[i]);
	if (request->parent)
		request->parent->children -= (unsigned)request->count;
	churn->in_flight--;
}

/* ---- submissions ----------------------------------------------------------------------------- */

/* Take back what REQUEST, which was refused, had announced. */
static void request_refused(struct request *request, const struct slot *before)
{
	struct churn *churn = request->churn;

	for (size_t i = 0; i < request->count; i++) {
		struct slot *slot = request->items[i].slot;

		size_record_write(churn->record, record_now(), "refused %llu",
				  (unsigned long long)request->items[i].ordinal);
		slot->present = before[i].present;
		slot->look = before[i].look;
		slot->pending--;
	}
	if (request->parent)
		request->parent->children -= (unsigned)request->count;
	request->ended = true;
}

/*
 * Write the announcements of REQUEST, and foresee what it does to its slots; *BEFORE keeps what
 * they were.
 */
static void request_announce(struct request *request, bool durable, struct slot *before)
{
	struct churn *churn = request->churn;
	bool create = request->operation == VARVE_CREATE;

	for (size_t i = 0; i < request->count; i++) {
		struct slot *slot = request->items[i].slot;
		struct look look = create ? request->look : (struct look){ 0 };

		before[i] = *slot;
		request->items[i].ordinal = churn->ordinal++;
		size_record_write(churn->record, record_now(),
				  "submit %llu %s %s %d %o %d %u %d %s",
				  (unsigned long long)request->items[i].ordinal,
				  create ? "create" : "remove", slot->id, look.base, look.mode,
				  look.read_only, look.size_mib, durable,
				  request->parent ? request->parent->id : "-");
		slot->present = create;
		if (create)
			slot->look = look;
		slot->pending++;
	}
	if (request->parent)
		request->parent->children += (unsigned)request->count;
}

/* The group that SLOT's layers join: "job-0" and on, which follows from its id; -1: none. */
static int slot_group(const struct churn *churn, const struct slot *slot)
{
	size_t number = (size_t)(slot - churn->slots);

	return churn->grouped && number % 2 == 0 ? (int)(number / 2 % GROUPS) : -1;
}

/*
 * Hand REQUEST, whose layer OPTIONS describe, to the library: it is unpacked from the archive of
 * its base.
 */
static int request_call_applied(struct request *request, struct varve_create_options *options)
{
	struct churn *churn = request->churn;
	struct varve_apply_options apply = VARVE_APPLY_OPTIONS_INIT;
	char path[64];
	int r;

	/* Opened anew, because each reads at its own pace. */
	snprintf(path, sizeof(path), "/proc/self/fd/%d", churn->archives[request->look.base]);
	options->apply = &apply;
	options->apply_fd = open(path, O_RDONLY | O_CLOEXEC);
	r = varve_layer_create(churn->store, request->items[0].slot->id, options, on_end, request,
			       &request->handle);
	close(options->apply_fd);
	return r;
}

/* Hand REQUEST to the library. */
static int request_call(struct request *request, uint64_t flags)
{
	struct varve_create_options options = VARVE_CREATE_OPTIONS_INIT;
	struct varve_store *store = request->churn->store;
	const char *ids[BATCH_MAX], *storage_options[3] = { NULL, NULL, NULL };
	int group_number = slot_group(request->churn, request->items[0].slot);
	char base[32], size[32], group[32], label[LOOK_LABEL_BYTES], bytes[LOOK_RECORD_BYTES];
	const char *labels[] = { label, NULL };

	for (size_t i = 0; i < request->count; i++)
		ids[i] = request->items[i].slot->id;
	if (request->operation == VARVE_REMOVE)
		return request->count > 1
			       ? varve_layer_remove_batch(store, ids, request->count, flags, on_end,
							  request, &request->handle)
			       : varve_layer_remove(store, ids[0], flags, on_end, request,
						    &request->handle);
	options.flags = flags | (request->look.read_only ? VARVE_CREATE_READ_ONLY : 0);
	if (request->look.size_mib) {
		snprintf(size, sizeof(size), "size=%uM", request->look.size_mib);
		storage_options[0] = size;
	}
	if (group_number >= 0) {
		snprintf(group, sizeof(group), "group=job-%d:%dM", group_number, GROUP_MIB);
		storage_options[!!storage_options[0]] = group;
	}
	if (storage_options[0])
		options.storage_options = storage_options;
	if (look_labelled(ids[0])) {
		look_label(&request->look, label);
		options.labels = labels;
		memset(bytes, request->look.base, sizeof(bytes));
		options.record = bytes;
		options.record_bytes = request->look.base ? sizeof(bytes) : 0;
	}
	if (request->applied)
		return request_call_applied(request, &options);
	if (request->parent) {
		options.parent = request->parent->id;
	} else if (request->look.base) {
		snprintf(base, sizeof(base), "base-%d", request->look.base);
		options.parent = base;
	} else {
		options.mode = request->look.mode;
	}
	return request->count > 1 ? varve_layer_create_batch(store, ids, request->count, &options,
							     on_end, request, &request->handle)
				  : varve_layer_create(store, ids[0], &options, on_end, request,
						       &request->handle);
}

/* Announce and submit REQUEST. A full queue is no error: the caller dispatches and goes on. */
static int request_submit(struct request *request)
{
	struct churn *churn = request->churn;
	bool durable = !chance(churn, churn->relaxed_percent);
	struct slot before[BATCH_MAX];
	int r;

	request->next = churn->requests;
	churn->requests = request;
	request_announce(request, durable, before);
	r = request_call(request, durable ? VARVE_DURABLE : VARVE_RELAXED);
	if (r < 0) {
		request_refused(request, before);
		return r == -EAGAIN ? 0 : r;
	}
	churn->in_flight++;
	churn->submitted += request->count;
	if (!churn->failing && chance(churn, 3)) {
		churn->cancels++;
		varve_cancel(churn->store, request->handle);
	}
	return 0;
}

/*
 * Can SLOT be a parent whose look is known? Not if it is queued for more than its own create:
 * should one of several requests be cancelled, the layer is another one than foreseen.
 */
static bool slot_is_parent(const struct slot *slot)
{
	return slot->present && !slot->nested &&
	       (slot->pending == 0 || (slot->pending == 1 && !slot->present_now));
}

/* Draw what the layers of REQUEST, a create, start from and look like. */
static void draw_look(struct churn *churn, struct request *request)
{
	static const unsigned modes[] = { 0755, 0555, 0700, 01777 };
	unsigned kind = draw(churn, 8);
	struct slot *parent = &churn->slots[draw(churn, (unsigned)churn->slots_count)];

	if (kind < 2) {
		request->look = (struct look){ .mode = modes[draw(churn, 4)],
					       .read_only = chance(churn, 20) };
	} else {
		request->look.base = 1 + (int)draw(churn, CONTENT_BASES);
		request->look.mode = 0755;
		request->look.read_only = chance(churn, 20);
	}
	if (churn->sized && chance(churn, 40))
		request->look.size_mib = 32 + draw(churn, 16);
	if (kind > 5 && slot_is_parent(parent) && parent != request->items[0].slot) {
		request->parent = parent;
		request->look.base = parent->look.base;
		request->look.mode = parent->look.mode;
	} else if (kind > 4 && request->count == 1 && !request->look.read_only) {
		request->applied = true;
	}
}

/*
 * May SLOT go into REQUEST? Only idle ids go into a batch, so that what they are is known; all with
 * the same options.
 */
static bool slot_fits(const struct request *request, const struct slot *slot, bool batch)
{
	const struct churn *churn = request->churn;

	if (slot_group(churn, slot) != slot_group(churn, request->items[0].slot) ||
	    look_labelled(slot->id) != look_labelled(request->items[0].slot->id))
		return false;
	for (size_t i = 0; i < request->count; i++)
		if (request->items[i].slot == slot)
			return false;
	return slot->pending < (batch ? 1 : PENDING_MAX) &&
	       slot->present == (request->operation == VARVE_REMOVE);
}

/* Draw the ids of REQUEST, whose first one is there. */
static void draw_batch(struct churn *churn, struct request *request)
{
	size_t wanted = 2 + draw(churn, BATCH_MAX - 1);

	for (size_t i = 0; i < 3 * wanted && request->count < wanted; i++) {
		struct slot *slot = &churn->slots[draw(churn, (unsigned)churn->slots_count)];

		if (slot_fits(request, slot, true))
			request->items[request->count++].slot = slot;
	}
}

/* Kill this process, a random moment from now. */
static void die(struct churn *churn)
{
	struct timespec moment = { 0, 1000L * (1 + draw(churn, DIE_US_MAX)) };

	nanosleep(&moment, NULL);
	kill(getpid(), SIGKILL);
}

/* Draw one request and submit it. Returns 0, also when the draw fell on an id that is busy. */
static int churn_once(struct churn *churn)
{
	struct slot *slot = &churn->slots[draw(churn, (unsigned)churn->slots_count)];
	struct request *request;
	int r;

	if (slot->pending >= PENDING_MAX)
		return 0;
	request = calloc(1, sizeof(*request));
	if (!request)
		return -ENOMEM;
	request->churn = churn;
	request->operation = slot->present ? VARVE_REMOVE : VARVE_CREATE;
	request->items[request->count++].slot = slot;
	if (slot->pending == 0 && chance(churn, 10))
		draw_batch(churn, request);
	if (request->operation == VARVE_CREATE) {
		draw_look(churn, request);
		for (size_t i = 0; i < request->count; i++)
			if (request->items[i].slot == request->parent)
				request->items[i] = request->items[--request->count];
	} else if (!slot->pending && !slot->children && !slot->look.read_only && !slot->nested &&
		   chance(churn, 12)) {
		r = nest(churn, slot);
		if (r < 0 && !churn->failing) {
			fprintf(stderr, "churn: cannot nest in %s: %s\n", slot->id, strerror(-r));
			free(request);
			return r;
		}
	}
	r = request_submit(request);
	if (churn->die && churn->nested_more)
		die(churn);
	churn->nested_more = 0;
	return r;
}

/* ---- the run --------------------------------------------------------------------------------- */

/* Is the load to go on at the time NOW? */
static bool churn_goes_on(struct churn *churn, uint64_t now, uint64_t until)
{
	if (stop || churn->unexpected || now >= until)
		return false;
	return !churn->failing || churn->failed == 0 || churn->after_failure++ < AFTER_FAILURE;
}

/* Run callbacks until fewer than DEPTH requests are in flight. */
static int churn_wait(struct churn *churn, unsigned depth)
{
	while (churn->in_flight > depth) {
		int r = varve_wait(churn->store, 1000);

		if (r < 0 && r != -EINTR) {
			fprintf(stderr, "churn: varve_wait: %s\n", strerror(-r));
			return r;
		}
	}
	return 0;
}

/*
 * Do nothing for a moment. While requests follow each other, the commit that one causes makes the
 * one before durable; a promise that was given too early shows only when nothing follows.
 */
static void churn_lull(struct churn *churn)
{
	struct timespec pause = { 0, 1000000L * (1 + draw(churn, LULL_MS_MAX)) };

	nanosleep(&pause, NULL);
}

/* Keep the load up until UNTIL (record_now()). */
static int churn_run(struct churn *churn, uint64_t until)
{
	int r = 0;

	while (r >= 0 && churn_goes_on(churn, record_now(), until)) {
		/*
		 * One at a time, bursts, and lulls: groups of every size, and creates that go
		 * straight into place.
		 */
		bool alone = chance(churn, 30), drain = alone || chance(churn, 20);
		unsigned burst = alone ? 1 : 1 + draw(churn, churn->depth);

		for (unsigned i = 0; r >= 0 && i < burst && churn->in_flight < churn->depth; i++)
			r = churn_once(churn);
		if (r >= 0)
			r = churn_wait(churn, drain ? 0
						    : churn->depth - 1 -
							      draw(churn, churn->depth / 2 + 1));
		if (r >= 0 && drain && chance(churn, 30))
			churn_lull(churn);
	}
	return r;
}

/* Count the requests that were accepted and have had no callback. */
static uint64_t churn_unanswered(const struct churn *churn)
{
	uint64_t count = 0;

	for (const struct request *request = churn->requests; request; request = request->next)
		count += !request->ended;
	return count;
}

/* End the load: let it drain, or close over it; say how it went. Returns the exit status. */
static int churn_finish(struct churn *churn, int error)
{
	uint64_t unanswered;

	alarm(churn->limit_s);
	if (churn->close_busy)
		churn->cancels++;
	else if (churn_wait(churn, 0) < 0)
		churn->unexpected++;
	alarm(churn->limit_s);
	varve_close(churn->store);
	alarm(0);
	unanswered = churn_unanswered(churn);
	printf("churn: %llu submitted, %llu ended, %llu failed, %llu applied, %llu cancelled, %llu unexpected, %llu unanswered\n",
	       (unsigned long long)churn->submitted, (unsigned long long)churn->ended,
	       (unsigned long long)churn->failed, (unsigned long long)churn->applied,
	       (unsigned long long)churn->cancels, (unsigned long long)churn->unexpected,
	       (unsigned long long)unanswered);
	if (error < 0)
		fprintf(stderr, "churn: refused: %s\n", strerror(-error));
	return churn->unexpected || unanswered || (error < 0 && !churn->failing) ? 1 : 0;
}

/* Free all that CHURN holds beside the store. */
static void churn_free(struct churn *churn)
{
	while (churn->requests) {
		struct request *next = churn->requests->next;

		free(churn->requests);
		churn->requests = next;
	}
	free(churn->slots);
}

/* Open the store as VARVE_TEST_BACKEND says. */
static int churn_open(struct churn *churn)
{
	struct varve_config config = VARVE_CONFIG_INIT;
	const char *backend = getenv("VARVE_TEST_BACKEND");
	const char *options[] = { churn->quota, NULL };
	struct varve_failure failure;
	char text[2048];
	int r;

	config.home = churn->home;
	config.options = options;
	if (backend && strcmp(backend, "threads") == 0)
		config.flags |= VARVE_OPEN_NO_URING;
	r = varve_open(&config, &churn->store, &failure);
	if (r < 0)
		fprintf(stderr, "churn: %s\n", varve_strerror(&failure, text, sizeof(text)));
	return r;
}

/* Prepare a home; returns the exit status. */
static int prepare(struct churn *churn)
{
	int r = churn_open(churn);

	if (r < 0)
		return 2;
	r = prepare_bases(churn);
	varve_close(churn->store);
	if (r == 0)
		r = prepare_sentinels(churn->home);
	if (r < 0)
		fprintf(stderr, "churn: cannot prepare %s: %s\n", churn->home, strerror(-r));
	return r < 0 ? 2 : 0;
}

/* Set the slots up, open the store, run the load for SECONDS; returns the exit status. */
static int load(struct churn *churn, double seconds)
{
	int r;

	churn->slots = calloc(churn->slots_count, sizeof(*churn->slots));
	if (!churn->slots || churn_open(churn) < 0 || pack_bases(churn) < 0)
		return 2;
	for (size_t i = 0; i < churn->slots_count; i++)
		snprintf(churn->slots[i].id, sizeof(churn->slots[i].id), "%s%zu", churn->prefix, i);
	/* A process that waits for the load to be under way reads the first line. */
	printf("churn: running\n");
	fflush(stdout);
	alarm(churn->limit_s);
	r = churn_run(churn, record_now() + (uint64_t)(seconds * 1e9));
	return churn_finish(churn, r);
}

int main(int argc, char **argv)
{
	enum {
		PREPARE = 256,
		HOME,
		RECORD,
		SEED,
		PREFIX,
		SLOTS,
		DEPTH,
		SECONDS,
		RELAXED,
		LIMIT,
		FAILING,
		CLOSE_BUSY,
		SIZED,
		GROUPED,
		DIE
	};
	static const struct option options[] = {
		{ "prepare", 0, NULL, PREPARE }, { "home", 1, NULL, HOME },
		{ "record", 1, NULL, RECORD },   { "seed", 1, NULL, SEED },
		{ "prefix", 1, NULL, PREFIX },   { "slots", 1, NULL, SLOTS },
		{ "depth", 1, NULL, DEPTH },     { "seconds", 1, NULL, SECONDS },
		{ "relaxed", 1, NULL, RELAXED }, { "limit", 1, NULL, LIMIT },
		{ "failing", 0, NULL, FAILING }, { "close-busy", 0, NULL, CLOSE_BUSY },
		{ "sized", 1, NULL, SIZED },     { "die", 0, NULL, DIE },
		{ "grouped", 0, NULL, GROUPED }, { NULL, 0, NULL, 0 },
	};
	struct churn churn = { .prefix = "layer-",
			       .record = -1,
			       .slots_count = 48,
			       .depth = 24,
			       .relaxed_percent = 50,
			       .limit_s = 20 };
	const char *record = NULL;
	bool preparing = false;
	double seconds = 3600;
	uint64_t seed = 1;
	int option, r;

	while ((option = getopt_long(argc, argv, "", options, NULL)) >= 0) {
		switch (option) {
		case PREPARE:
			preparing = true;
			break;
		case HOME:
			churn.home = optarg;
			break;
		case RECORD:
			record = optarg;
			break;
		case SEED:
			seed = strtoull(optarg, NULL, 0);
			break;
		case PREFIX:
			churn.prefix = optarg;
			break;
		case SLOTS:
			churn.slots_count = strtoul(optarg, NULL, 0);
			break;
		case DEPTH:
			churn.depth = (unsigned)strtoul(optarg, NULL, 0);
			break;
		case SECONDS:
			seconds = strtod(optarg, NULL);
			break;
		case RELAXED:
			churn.relaxed_percent = (unsigned)strtoul(optarg, NULL, 0);
			break;
		case LIMIT:
			churn.limit_s = (unsigned)strtoul(optarg, NULL, 0);
			break;
		case FAILING:
			churn.failing = true;
			break;
		case CLOSE_BUSY:
			churn.close_busy = true;
			break;
		case DIE:
			churn.die = true;
			break;
		case GROUPED:
			churn.grouped = true;
			break;
		case SIZED:
			churn.sized = true;
			churn.quota = strcmp(optarg, "full") == 0 ? "quota=full" : NULL;
			break;
		default:
			return 2;
		}
	}
	if (!churn.home || (!preparing && !record) || !churn.slots_count || !churn.depth ||
	    strlen(churn.prefix) > 16) {
		fprintf(stderr,
			"usage: churn --home HOME --prepare | --record FILE [--seed N] [--seconds S] ...\n");
		return 2;
	}
	if (preparing)
		return prepare(&churn);
	churn.random = seed * 0x9e3779b97f4a7c15ULL + 0x2545f4914f6cdd1dULL;
	churn.record = open(record, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	if (churn.record < 0) {
		perror(record);
		return 2;
	}
	watched = &churn;
	signal(SIGTERM, on_term);
	signal(SIGALRM, on_alarm);
	r = load(&churn, seconds);
	churn_free(&churn);
	close(churn.record);
	return r;
}
