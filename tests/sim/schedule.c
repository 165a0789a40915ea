/* SPDX-License-Identifier: Apache-2.0 */
#include "schedule.h"
#include "engine/base/limits.h"
#include "engine/base/util.h"
#include "kernel.h"
#include "model.h"
#include "spares.h"
#include "tasks.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/btrfs.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <time.h>
#include <varve.h>

#define HOME SCHEDULE_HOME
/* Layers that each process has for itself. */
#define LAYERS_OWN 12
#define PROGRAMS_MAX 3
#define LAYERS_MAX (PROGRAMS_MAX * LAYERS_OWN)
#define REQUESTS_MAX 8
/* One that is always there, and the archive that layers are made of. */
#define BASE "p-base"
#define ARCHIVE "/archive"
/* One that all programs make and remove. */
#define CONTENDED "p-all"
/* A layer that all programs contend for, and that is made of an archive. */
#define SHARED_UNPACKED "a-all"
/* With what a stream ends that is not complete. */
#define STREAM_ERROR (-ECONNABORTED)
/* The longest pause of a thread that cancels. */
#define CANCEL_PAUSE_NS 2000000
/* Where records are below the home; where one has the uuid of its subvolume. */
#define RECORDS ".varve/layers"
#define RECORD_UUID 8
/* SCHEDULE_LIMIT, as it is recorded; another limit, that layers of some names may have as well. */
#define LIMIT_TEXT "8388608"
#define LIMIT_OTHER 9437184
#define LIMIT_OTHER_TEXT "9437184"
/* Calls that a program makes, more or less, in one request. */
#define CALLS_PER_REQUEST 40
/* How often the power is cut again while a store is being swept. */
#define CUTS_AGAIN_MAX 2

struct schedule_statistics schedule_statistics;

/* Which states a layer may be in. */
struct states {
	bool present, absent;
};

/* A layer that one program alone makes and removes. */
struct layer {
	char id[8];
	/* A request for it is in flight; how many there were. */
	bool busy;
	unsigned version;
	/* What may be visible, and what may be there after a power cut. */
	struct states live, durable;
	/* Where it was made from the parent of spare copies: what it has to be. */
	struct spares_birth birth;
};

struct request {
	bool used;
	struct program *program;
	enum varve_operation operation;
	bool is_durable;
	/* What it is about; of a rename, to what. NULL: all of them, or one that is shared. */
	struct layer *layer, *to;
	/* What of these was visible before it. */
	struct states before, to_before;
	/* As varve_cancel() takes it; 0: it is not accepted yet. */
	varve_request handle;
	/* It was cancelled; its archive is to be written; that was given up. */
	bool cancelled, streams, broken;
	/* Of a limit: the new one. */
	uint64_t bytes;
	/* Of a freeze: the layer is read-only then. */
	bool read_only;
	/* Of a create: what the layer has to be. */
	struct spares_birth birth;
	/* Of a sync: the versions that there were. */
	unsigned versions[LAYERS_OWN];
};

struct program {
	unsigned number;
	struct varve_store *store;
	struct layer *layers;
	struct request requests[REQUESTS_MAX];
	/* The one that was made last; how many are still to be made, and are in flight. */
	struct request *last;
	unsigned left, in_flight;
	/*
	 * It cancels requests, writes archives by varve_stream_write(), and closes the store before
	 * its requests have ended.
	 */
	bool hasty;
	/* It has a second thread, which cancels, and which is to end. */
	bool threads, over;
	/* It closes the store now, or has in a callback. */
	bool closing, closed;
};

static struct layer layers[LAYERS_MAX];
static struct program programs[PROGRAMS_MAX];
static unsigned programs_count;

/*
 * The file system as each schedule finds it, by the mode of quota, and by who owns the store;
 * transid 0: not made yet.
 */
static struct model_image templates[3][2];

/* The owner of the store, and of all programs. */
#define USER 1000
static uint32_t owner;

/*
 * A removal that empties its layer entry by entry may have no room to move it out of sight first,
 * and end halfway.
 */
static bool emptied_in_sight;

bool schedule_sized(const char *id)
{
	return *id == 's' || *id == 'q';
}

/* May the limit of layer ID be changed? */
static bool schedule_resized(const char *id)
{
	return *id == 'q';
}

/* Are archives unpacked into layer ID, once it is there? */
static bool schedule_extended(const char *id)
{
	return *id == 'e';
}

bool schedule_labelled(const char *id)
{
	return *id == 's' || *id == 'l';
}

bool schedule_unpacked(const char *id)
{
	return *id == 'a';
}

/* ---- what is checked ------------------------------------------------------------------------- */

int schedule_find(const struct model_image *image, const char *path)
{
	const struct model_entry *entry = model_find(image, MODEL_TOP, &HOME[1]);
	char name[MODEL_NAME_BYTES];

	while (entry && *path) {
		size_t length = strcspn(path, "/");

		memcpy(name, path, length);
		name[length] = '\0';
		path += length + (path[length] == '/');
		entry = model_find(image, entry->inode, name);
	}
	return entry ? entry->inode : MODEL_NONE;
}

/* Is there a layer ID in IMAGE? */
static bool schedule_has(const struct model_image *image, const char *id)
{
	int subvolumes = schedule_find(image, "subvolumes");

	return subvolumes != MODEL_NONE && model_find(image, subvolumes, id);
}

/* Is there a record of ID in IMAGE, and is it that of the subvolume UUID? */
static bool schedule_has_record(const struct model_image *image, const char *id, uint64_t uuid)
{
	int records = schedule_find(image, RECORDS);
	const struct model_entry *entry = records == MODEL_NONE ? NULL
								: model_find(image, records, id);
	const struct model_inode *inode = entry ? &image->inodes[entry->inode] : NULL;

	return inode && inode->xattr_size > RECORD_UUID + sizeof(uuid) &&
	       !memcmp(inode->xattr, "vrec", 4) &&
	       !memcmp(inode->xattr + RECORD_UUID, &uuid, sizeof(uuid));
}

/* Check that the layer ID of IMAGE has its size recorded; DISK: as far as that is written. */
static void schedule_check_size(const struct model_image *image, bool disk, const char *id)
{
	int quotas = schedule_find(image, "quotas");
	const struct model_entry *entry = quotas == MODEL_NONE ? NULL
							       : model_find(image, quotas, id);
	const struct model_inode *inode = entry ? &image->inodes[entry->inode] : NULL;

	if (!entry)
		sim_fail("%s: layer %s has no size", disk ? "durable" : "visible", id);
	if ((disk ? inode->disk_size : inode->size) != strlen(LIMIT_TEXT) ||
	    (memcmp(inode->data, LIMIT_TEXT, strlen(LIMIT_TEXT)) &&
	     (!schedule_resized(id) ||
	      memcmp(inode->data, LIMIT_OTHER_TEXT, strlen(LIMIT_OTHER_TEXT)))))
		sim_fail("%s: the size of layer %s is not whole", disk ? "durable" : "visible", id);
}

/* Check that the layer ID of IMAGE, whose root directory is TOP, has what was in the archive. */
static void schedule_check_content(const struct model_image *image, bool disk, const char *id,
				   int top)
{
	const struct model_entry *entry = top == MODEL_NONE ? NULL
							    : model_find(image, top, SCHEDULE_FILE);
	const struct model_inode *inode = entry ? &image->inodes[entry->inode] : NULL;
	const char *where = disk ? "durable" : "visible";

	if (emptied_in_sight)
		return;
	if (!inode)
		sim_fail("%s: layer %s has not what was in its archive", where, id);
	if ((disk ? inode->disk_size : inode->size) != strlen(SCHEDULE_CONTENT) ||
	    memcmp(inode->data, SCHEDULE_CONTENT, strlen(SCHEDULE_CONTENT)))
		sim_fail("%s: a file of layer %s is not whole", where, id);
}

/* Check all layers of IMAGE. */
static void schedule_check(struct model_image *image, bool disk)
{
	int subvolumes = schedule_find(image, "subvolumes");
	const char *where = disk ? "durable" : "visible";

	if (subvolumes == MODEL_NONE)
		return;
	for (uint16_t i = image->inodes[subvolumes].first; i != MODEL_NONE;
	     i = image->entries[i].next) {
		const struct model_entry *entry = &image->entries[i];
		const struct model_inode *inode = &image->inodes[entry->inode];
		const struct model_group *group = model_group(image, image->roots[inode->root].id);
		uint64_t wanted = schedule_sized(entry->name) ? SCHEDULE_LIMIT : 0;

		if (*entry->name == '.')
			continue;
		if (inode->ino != MODEL_ROOT_INO)
			sim_fail("%s: %s is no subvolume", where, entry->name);
		if ((group ? group->limit : 0) != wanted &&
		    !(schedule_resized(entry->name) && group && group->limit == LIMIT_OTHER))
			sim_fail("%s: layer %s has the limit %llu, not %llu", where, entry->name,
				 (unsigned long long)(group ? group->limit : 0),
				 (unsigned long long)wanted);
		if (wanted)
			schedule_check_size(image, disk, entry->name);
		if (schedule_unpacked(entry->name))
			schedule_check_content(image, disk, entry->name, entry->inode);
		if (schedule_has_record(image, entry->name, image->roots[inode->root].id) !=
		    schedule_labelled(entry->name))
			sim_fail("%s: layer %s has %s", where, entry->name,
				 schedule_labelled(entry->name) ? "no label" : "a label");
	}
}

/* Check that the layers of IMAGE that were made from the parent of spare copies are snapshots. */
static void schedule_check_births(const struct model_image *image)
{
	for (unsigned i = 0; spares_parent() && i < programs_count * LAYERS_OWN; i++)
		spares_check(image, layers[i].id, &layers[i].birth);
}

static void schedule_changed(void)
{
	spares_changed();
	schedule_check(&model.now, false);
	schedule_check_births(&model.now);
}

static void schedule_committed(void)
{
	schedule_check(&model.disk, true);
	schedule_check_births(&model.disk);
}

/* Check that the layers are as one of their STATES says; DURABLE: after a cut. */
static void schedule_check_states(bool durable)
{
	for (unsigned i = 0; i < programs_count * LAYERS_OWN; i++) {
		struct layer *layer = &layers[i];
		struct states *states = durable ? &layer->durable : &layer->live;
		bool present = schedule_has(&model.now, layer->id);

		if (!(present ? states->present : states->absent))
			sim_fail("layer %s is %s, and may not be", layer->id,
				 present ? "there" : "missing");
		layer->live = (struct states){ present, !present };
		if (durable)
			layer->durable = layer->live;
	}
}

static void schedule_check_cut(void)
{
	schedule_changed();
	schedule_check_states(true);
}

/* Check that the directory PATH below the home is empty, or missing. */
static void schedule_check_empty(const char *path)
{
	int slot = schedule_find(&model.now, path);
	const struct model_entry *entry = slot == MODEL_NONE ? NULL : model_next_entry(slot, 0);

	if (entry)
		sim_fail("the sweep has left %s/%s", path, entry->name);
}

/* Is the subvolume ROOT a layer, or in one? SUBVOLUMES is where layers are. */
static bool schedule_belongs(const struct model_root *root, int subvolumes)
{
	while (root->in_root != MODEL_TOP && !model.now.roots[root->in_root].dead)
		root = &model.now.roots[root->in_root];
	return root->in_root == MODEL_TOP && root->in_dir == subvolumes;
}

/* Check that each subvolume is a layer, or in one. */
static void schedule_check_places(void)
{
	int subvolumes = schedule_find(&model.now, "subvolumes");

	for (unsigned i = 1; i < model.now.roots_used; i++) {
		const struct model_root *root = &model.now.roots[i];

		if (root->id && !root->dead && !schedule_belongs(root, subvolumes))
			sim_fail("a subvolume is in no place of layers");
	}
}

static void schedule_check_end(void)
{
	schedule_check_states(false);
	/* A store that is closed has no spare copies. */
	if (spares_parent() && !kernel.errors && !sim.kill_number)
		schedule_check_places();
}

/* Check that nothing but layers is left. */
static void schedule_check_swept(void)
{
	int subvolumes = schedule_find(&model.now, "subvolumes"),
	    quotas = schedule_find(&model.now, "quotas"),
	    records = schedule_find(&model.now, RECORDS);

	schedule_check_empty(".varve/staging");
	schedule_check_empty(".varve/trash");
	for (const struct model_entry *entry = model_next_entry(subvolumes, 0); entry;
	     entry = model_next_entry(subvolumes, entry->index + 1))
		if (*entry->name == '.')
			sim_fail("the sweep has left %s", entry->name);
	for (const struct model_entry *entry = quotas == MODEL_NONE ? NULL
								    : model_next_entry(quotas, 0);
	     entry; entry = model_next_entry(quotas, entry->index + 1))
		if (!schedule_has(&model.now, entry->name))
			sim_fail("the size of %s is without its layer", entry->name);
	for (const struct model_entry *entry = records == MODEL_NONE ? NULL
								     : model_next_entry(records, 0);
	     entry; entry = model_next_entry(records, entry->index + 1)) {
		const struct model_entry *layer = model_find(&model.now, subvolumes, entry->name);

		if (!layer ||
		    !schedule_has_record(&model.now, entry->name, model_root_of(layer->inode)->id))
			sim_fail("the record of %s is without its layer", entry->name);
	}
	schedule_check_places();
	for (unsigned i = 0; i < model.now.groups_used; i++) {
		uint64_t id = model.now.groups[i].id;

		if (id && !model_root_by_id(&model.now, id))
			sim_fail("the quota group of subvolume %llu, which is gone, is left",
				 (unsigned long long)id);
	}
}

/* Has anything failed on purpose? */
static bool schedule_failed(void)
{
	return kernel.errors || model.aborted || model.losses;
}

/* ---- requests -------------------------------------------------------------------------------- */

/* A change of LAYER is under way: both states are possible from now on. */
static void layer_begin(struct layer *layer, bool present)
{
	layer->busy = true;
	layer->version++;
	if (present)
		layer->live.present = layer->durable.present = true;
	else
		layer->live.absent = layer->durable.absent = true;
}

/* LAYER is PRESENT, for sure. */
static void layer_known(struct layer *layer, bool present, bool is_durable)
{
	layer->live = (struct states){ present, !present };
	if (!is_durable)
		return;
	layer->durable = layer->live;
	if (schedule_has(&model.disk, layer->id) != present)
		sim_fail("layer %s: its durable %s is not durable", layer->id,
			 present ? "create" : "removal");
}

/* REQUEST was cancelled, or its archive given up: nothing has changed, unless undoing failed. */
static void request_undone(const struct request *request)
{
	if (schedule_failed())
		return;
	if (request->layer)
		request->layer->live = request->before;
	if (request->to)
		request->to->live = request->to_before;
}

/* Judge ERROR of REQUEST, which was not to fail. */
static void request_failed(const struct request *request, const struct varve_result *result)
{
	const struct layer *layer = request->layer;
	enum varve_operation operation = request->operation;
	char text[512];

	if (result->error == (request->broken ? STREAM_ERROR : 0) ||
	    (result->error == -ECANCELED && (request->cancelled || request->program->closing)))
		request_undone(request);
	else if (layer && result->error == -EEXIST && operation == VARVE_CREATE)
		layer_known(request->layer, true, false);
	else if (layer && result->error == -ENOENT &&
		 (operation == VARVE_REMOVE || operation == VARVE_LABEL ||
		  operation == VARVE_FLUSH || operation == VARVE_QUOTA ||
		  operation == VARVE_APPLY || operation == VARVE_FREEZE))
		layer_known(request->layer, false, false);
	/* It was made read-only. */
	else if (layer && result->error == -EROFS && operation == VARVE_APPLY)
		layer_known(request->layer, true, false);
	/* Another program, or another request, may take the parent away. */
	else if (result->error == -ENOENT && operation == VARVE_CREATE &&
		 spares_missed(&request->birth))
		sim_trace("its parent was missing");
	/* Without privilege a size may be refused. */
	else if (layer && !schedule_failed() && !(owner && schedule_sized(layer->id)))
		sim_fail("%s of %s: %s", varve_operation_name(operation), layer->id,
			 varve_strerror(result->failure, text, sizeof(text)));
}

/* A sync has ended: what had ended before it is durable. */
static void request_synced(const struct request *request)
{
	for (unsigned i = 0; i < LAYERS_OWN; i++) {
		struct layer *layer = &request->program->layers[i];

		if (layer->version != request->versions[i])
			continue;
		layer->durable = layer->live;
		if (layer->live.present != layer->live.absent &&
		    schedule_has(&model.disk, layer->id) != layer->live.present)
			sim_fail("layer %s is not durable behind a sync", layer->id);
	}
}

/* The record of LAYER was changed, durably: the one that is visible is on the disk, too. */
static void request_labelled(const struct layer *layer)
{
	const struct model_image *images[] = { &model.now, &model.disk };
	const struct model_inode *inodes[2] = { NULL, NULL };

	for (unsigned i = 0; i < 2; i++) {
		int records = schedule_find(images[i], RECORDS);
		const struct model_entry *entry = records == MODEL_NONE
							  ? NULL
							  : model_find(images[i], records,
								       layer->id);

		inodes[i] = entry ? &images[i]->inodes[entry->inode] : NULL;
	}
	if (!inodes[0] || !inodes[1] || inodes[0]->xattr_size != inodes[1]->xattr_size ||
	    memcmp(inodes[0]->xattr, inodes[1]->xattr, inodes[0]->xattr_size))
		sim_fail("layer %s: its durable label is not durable", layer->id);
}

/* The limit of LAYER is BYTES, durably. */
static void request_resized(const struct layer *layer, uint64_t bytes)
{
	const char *text = bytes == LIMIT_OTHER ? LIMIT_OTHER_TEXT : LIMIT_TEXT;
	int subvolumes = schedule_find(&model.disk, "subvolumes"),
	    quotas = schedule_find(&model.disk, "quotas");
	const struct model_entry *entry = model_find(&model.disk, subvolumes, layer->id),
				 *size = model_find(&model.disk, quotas, layer->id);
	const struct model_group *group =
		entry ? model_group(&model.disk,
				    model.disk.roots[model.disk.inodes[entry->inode].root].id)
		      : NULL;

	if (!group || group->limit != bytes || !size ||
	    memcmp(model.disk.inodes[size->inode].data, text, strlen(text)))
		sim_fail("layer %s: its durable limit is not durable", layer->id);
}

/* What was in the archive is in LAYER, durably where REQUEST is. */
static void request_applied(const struct request *request)
{
	const char *id = request->layer->id;
	char path[MODEL_NAME_BYTES];

	snprintf(path, sizeof(path), "subvolumes/%s", id);
	schedule_check_content(&model.now, false, id, schedule_find(&model.now, path));
	if (request->is_durable)
		schedule_check_content(&model.disk, true, id, schedule_find(&model.disk, path));
}

/* The layer of REQUEST is read-only, or writable, and so it is on the disk, if it is there. */
static void request_frozen(const struct request *request)
{
	const char *id = request->layer->id;
	struct model_image *images[] = { &model.now, &model.disk };

	for (unsigned i = 0; i < 2; i++) {
		int subvolumes = schedule_find(images[i], "subvolumes");
		const struct model_entry *entry = model_find(images[i], subvolumes, id);
		const struct model_inode *inode = entry ? &images[i]->inodes[entry->inode] : NULL;

		if (inode && images[i]->roots[inode->root].read_only != request->read_only)
			sim_fail("layer %s is %s%s after a %s", id,
				 request->read_only ? "writable" : "read-only",
				 i ? " on the disk" : "", request->read_only ? "freeze" : "thaw");
	}
}

/* REQUEST is over, whatever it came to. */
static void request_over(struct request *request)
{
	if (!request->used)
		sim_fail("a request has ended twice");
	if (request->layer)
		request->layer->busy = false;
	if (request->to)
		request->to->busy = false;
	request->used = false;
	request->program->in_flight--;
}

/* Close the store of PROGRAM in a callback, if it is to be. */
static void program_leave(struct program *program)
{
	if (!program->hasty || program->threads || program->closing || sim_random(32))
		return;
	program->closing = program->closed = true;
	varve_close(program->store);
}

/* A request has ended. */
static void request_ended(struct varve_store *store, const struct varve_result *result, void *data)
{
	struct request *request = data;
	struct layer *layer = request->layer;

	sim_trace("%s of %s has ended: %d", varve_operation_name(request->operation),
		  layer ? layer->id : "?", result->error);
	request_over(request);
	if (result->error)
		request_failed(request, result);
	else if (request->operation == VARVE_SYNC)
		request_synced(request);
	else if (layer && request->operation == VARVE_LABEL && request->is_durable)
		request_labelled(layer);
	else if (layer && request->operation == VARVE_QUOTA)
		request_resized(layer, request->bytes);
	else if (layer && request->operation == VARVE_APPLY)
		request_applied(request);
	else if (layer && request->operation == VARVE_FREEZE)
		request_frozen(request);
	else if (layer && request->operation != VARVE_LABEL)
		layer_known(layer,
			    request->operation == VARVE_CREATE || request->operation == VARVE_FLUSH,
			    request->is_durable);
	if (!result->error && request->to)
		layer_known(request->to, true, request->is_durable);
	program_leave(request->program);
}

/* A request of PROGRAM for LAYER. */
static struct request *request_new(struct program *program, enum varve_operation operation,
				   struct layer *layer)
{
	struct request *request = program->requests;

	while (request->used)
		request++;
	*request = (struct request){ .used = true,
				     .program = program,
				     .operation = operation,
				     .layer = layer,
				     .is_durable = sim_random(2) };
	if (layer)
		request->before = layer->live;
	program->in_flight++;
	program->last = request;
	schedule_statistics.requests++;
	return request;
}

/* The flag that says whether REQUEST is durable. */
static uint64_t request_flag(const struct request *request)
{
	return request->is_durable ? VARVE_DURABLE : VARVE_RELAXED;
}

/* A descriptor of the archive for REQUEST; VARVE_STREAM: it is to be written. */
static int request_archive(struct request *request)
{
	request->streams = request->program->hasty && sim_random(4);
	return request->streams ? VARVE_STREAM : open(ARCHIVE, O_RDONLY | O_CLOEXEC);
}

/* Make layer ID. */
static int request_create(struct program *program, struct layer *layer, const char *id)
{
	static const char *const sized[] = { "size=" LIMIT_TEXT, NULL }, *const labels[] = { "k=v",
											     NULL };
	struct varve_create_options options = VARVE_CREATE_OPTIONS_INIT;
	struct request *request = request_new(program, VARVE_CREATE, layer);
	const struct layer *parent = &program->layers[sim_random(LAYERS_OWN)];
	/* Whatever was there before may be on the disk still. */
	bool unknown = layer && (layer->live.present || layer->durable.present);
	struct varve_apply_options apply = VARVE_APPLY_OPTIONS_INIT;
	int fd = -1, r;

	if (layer)
		layer_begin(layer, true);
	if (sim_random(4))
		options.parent = BASE;
	/* Full quotas give it the limit of its parent, which takes privilege to remove. */
	if (sim_random(4) == 0 && !parent->busy && !parent->live.absent && !owner)
		options.parent = parent->id;
	options.flags = request_flag(request) | (sim_random(8) ? 0 : VARVE_CREATE_READ_ONLY);
	options.storage_options = schedule_sized(id) ? sized : NULL;
	options.labels = schedule_labelled(id) ? labels : NULL;
	if (schedule_unpacked(id)) {
		/* No file of the archive is in the parent; and the layer stays writable. */
		options.parent = sim_random(2) ? BASE : NULL;
		options.flags &= ~VARVE_CREATE_READ_ONLY;
		options.apply = &apply;
		options.apply_fd = fd = request_archive(request);
	}
	if (spares_parent() && sim_random(4) && strcmp(id, spares_parent())) {
		options.parent = spares_parent();
		request->birth = spares_birth();
	}
	if (layer)
		layer->birth = unknown ? (struct spares_birth){ 0 } : request->birth;
	sim_trace("create %s from %s", id, options.parent ? options.parent : "nothing");
	r = varve_layer_create(program->store, id, &options, request_ended, request,
			       &request->handle);
	if (fd >= 0)
		close(fd);
	return r;
}

/* Remove layer ID. */
static int request_remove(struct program *program, struct layer *layer, const char *id)
{
	struct request *request = request_new(program, VARVE_REMOVE, layer);

	if (layer)
		layer_begin(layer, false);
	sim_trace("remove %s", id);
	return varve_layer_remove(program->store, id,
				  request_flag(request) |
					  (sim_random(4) ? 0 : VARVE_REMOVE_BACKGROUND),
				  request_ended, request, &request->handle);
}

/* Unpack the archive into LAYER, if it is there. */
static int request_apply(struct program *program, struct layer *layer)
{
	struct varve_apply_options options = VARVE_APPLY_OPTIONS_INIT;
	struct request *request = request_new(program, VARVE_APPLY, layer);
	int fd = request_archive(request), r;

	layer->busy = true;
	layer->version++;
	options.flags = request_flag(request);
	sim_trace("apply to %s", layer->id);
	r = varve_layer_apply(program->store, layer->id, &options, fd, request_ended, request,
			      &request->handle);
	if (fd >= 0)
		close(fd);
	return r;
}

/* Rename LAYER, which is there, to TO, which is not. */
static int request_rename(struct program *program, struct layer *layer, struct layer *to)
{
	struct request *request = request_new(program, VARVE_RENAME, layer);

	to->birth = to->durable.present ? (struct spares_birth){ 0 } : layer->birth;
	request->to_before = to->live;
	layer_begin(layer, false);
	layer_begin(to, true);
	request->to = to;
	sim_trace("rename %s to %s", layer->id, to->id);
	return varve_layer_rename(program->store, layer->id, to->id, request_flag(request),
				  request_ended, request, &request->handle);
}

/* Change the label of LAYER, if it is there. */
static int request_label(struct program *program, struct layer *layer)
{
	static const char *const values[][2] = { { "k=v", NULL }, { "k=w", NULL } };
	struct varve_label_options options = VARVE_LABEL_OPTIONS_INIT;
	struct request *request = request_new(program, VARVE_LABEL, layer);

	layer->busy = true;
	layer->version++;
	options.flags = request_flag(request);
	options.labels = values[sim_random(2)];
	sim_trace("label %s", layer->id);
	return varve_layer_label(program->store, layer->id, &options, request_ended, request,
				 &request->handle);
}

/* Change the limit of LAYER, if it is there. */
static int request_limit(struct program *program, struct layer *layer)
{
	struct request *request = request_new(program, VARVE_QUOTA, layer);

	layer->busy = true;
	layer->version++;
	request->bytes = sim_random(2) ? SCHEDULE_LIMIT : LIMIT_OTHER;
	sim_trace("limit %s to %llu", layer->id, (unsigned long long)request->bytes);
	return varve_quota_limit(program->store, layer->id, request->bytes, request_ended, request,
				 &request->handle);
}

/* Make LAYER read-only or writable, if it is there. */
static int request_freeze(struct program *program, struct layer *layer)
{
	struct request *request = request_new(program, VARVE_FREEZE, layer);

	layer->busy = true;
	layer->version++;
	request->read_only = sim_random(2);
	sim_trace("%s %s", request->read_only ? "freeze" : "thaw", layer->id);
	return varve_layer_freeze(program->store, layer->id,
				  request->read_only ? 0 : VARVE_FREEZE_THAW, request_ended,
				  request, &request->handle);
}

/* Make LAYER durable, if it is there. */
static int request_flush(struct program *program, struct layer *layer)
{
	struct request *request = request_new(program, VARVE_FLUSH, layer);

	layer->busy = true;
	layer->version++;
	request->is_durable = true;
	sim_trace("flush %s", layer->id);
	return varve_layer_flush(program->store, layer->id, 0, request_ended, request,
				 &request->handle);
}

/* Make all durable. */
static int request_sync(struct program *program)
{
	struct request *request = request_new(program, VARVE_SYNC, NULL);

	for (unsigned i = 0; i < LAYERS_OWN; i++)
		request->versions[i] = program->layers[i].busy ? UINT32_MAX
							       : program->layers[i].version;
	return varve_sync(program->store, 0, request_ended, request, &request->handle);
}

/* Remove what is left over. */
static int request_sweep(struct program *program)
{
	struct request *request = request_new(program, VARVE_SWEEP, NULL);

	return varve_sweep(program->store, request_ended, request, &request->handle);
}

/* Cancel REQUEST, if it is in flight. Any thread of its program. */
static void request_cancel(struct request *request)
{
	varve_request handle = request->handle;
	int r;

	if (!request->used || !handle)
		return;
	sim_trace("%s is cancelled", varve_operation_name(request->operation));
	request->cancelled = true;
	r = varve_cancel(request->program->store, handle);
	if (r && r != -ENOENT)
		sim_fail("cancel: %d", r);
}

/* Write the archive of REQUEST, or give it up; it may have ended by now. */
static void request_feed(struct request *request)
{
	struct varve_store *store = request->program->store;
	int error = sim_random(4) ? 0 : STREAM_ERROR, r = 0;
	size_t taken;

	request->streams = false;
	request->broken = error;
	if (!error)
		r = varve_stream_write(store, request->handle, "an archive", 10, &taken);
	if (!r)
		r = varve_stream_end(store, request->handle, error);
	if (r && r != -EPIPE && r != -ENOENT)
		sim_fail("stream: %d", r);
}

/*
 * What a user of layer ID may do at any time: make a subvolume in it, or in one that is there
 * already. It is of no concern whether that succeeds.
 */
static void program_nest(const char *id)
{
	struct btrfs_ioctl_vol_args args = { .name = "nested" };
	char path[MODEL_NAME_BYTES];
	int fd;

	snprintf(path, sizeof(path), HOME "/subvolumes/%s%s", id, sim_random(2) ? "" : "/nested");
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
	if (spares_parent() && schedule_sized(shared))
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
	if (kind >= 5 && kind < 8 && schedule_extended(layer->id))
		return request_apply(program, layer);
	if (kind >= 5 && kind < 8 && schedule_resized(layer->id))
		return request_limit(program, layer);
	if (kind == 5 && schedule_labelled(layer->id))
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

/* Open the store. */
static struct varve_store *program_open(void)
{
	struct varve_config config = VARVE_CONFIG_INIT;
	struct varve_store *store = NULL;
	struct varve_failure failure;
	char text[512];

	config.home = HOME;
	config.flags = sim_random(2) ? VARVE_OPEN_NO_URING : 0;
	/* Root opens the store of a user. */
	if (sim.current->process->uid != owner)
		config.flags |= VARVE_OPEN_SHARED_HOME;
	config.ring_entries = RING_ENTRIES_MIN << sim_random(2);
	config.requests_max = 2 * REQUESTS_MAX;
	config.fs_threads_max = 1 + sim_random(2);
	config.commit_threads_max = 1 + sim_random(4);
	config.backlog_max = sim_random(4) ? 0 : 2;
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

/* What a program does: requests, some of them at once, until there are none left. */
static void *program_run(void *data)
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

/* What is done after a crash: open, which sweeps; sweep; and wait for the cleaner. */
static void *program_recover(void *data)
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

/* Make the store that all schedules begin with. */
static void *program_prepare(void *data)
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

/* ---- a schedule ------------------------------------------------------------------------------ */

/* Let the model be as the template of QUOTA, which is made when it is first needed. */
static const char *schedule_begin(unsigned quota)
{
	emptied_in_sight = false;
	kernel_begin();
	spares_begin(NULL);
	if (!templates[quota][owner != 0].transid) {
		enum seeded_bug bug = TAKE(seeded_bug, SEEDED_NONE);

		model_begin();
		sim_process("prepare", program_prepare, &quota)->uid = owner;
		if (sim_run() == SIM_FAILED)
			return sim.failure;
		seeded_bug = bug;
		templates[quota][owner != 0] = model.disk;
	}
	model_restore(&templates[quota][owner != 0]);
	return NULL;
}

/* Choose the parent of spare copies: one that stays, a contended one, one of the first program. */
static void schedule_choose_spares(void)
{
	static const char *const parents[] = { BASE, CONTENDED, CONTENDED, "p0-0" };

	spares_begin(parents[sim_random(4)]);
}

/* Choose the programs of a schedule; SPARES: their stores may have spare copies. */
static void schedule_choose(bool spares)
{
	unsigned calls = 0;

	programs_count = 1 + sim_random(PROGRAMS_MAX);
	for (unsigned i = 0; i < programs_count; i++) {
		struct program *program = &programs[i];

		*program = (struct program){ .number = i,
					     .layers = &layers[i * LAYERS_OWN],
					     .left = 1 + sim_random(spares ? 24 : 6),
					     .hasty = !spares && sim_random(4) == 0 };
		calls += 100 + CALLS_PER_REQUEST * program->left;
		for (unsigned j = 0; j < LAYERS_OWN; j++) {
			struct layer *layer = &program->layers[j];

			*layer = (struct layer){ .live = { .absent = true },
						 .durable = { .absent = true } };
			snprintf(layer->id, sizeof(layer->id), "%c%u-%u",
				 (spares ? "ppppllppaaee" : "ppssllaaqqee")[j], i, j);
		}
	}
	kernel.xattr_at = sim_random(2);
	kernel.sysfs = sim_random(4);
	kernel.users_destroy = sim_random(2);
	sim.switch_chance = (unsigned[]){ 8, 64, 256, 256 }[sim_random(4)];
	if (sim_random(4) == 0)
		kernel.error_chance = 65536 / calls * (1 + sim_random(4));
	if (sim_random(8) == 0) {
		kernel.full_from = 1 + sim_random(calls);
		kernel.full_until = kernel.full_from + sim_random(calls);
	}
	if (sim_random(16) == 0)
		model.loss_chance = 32;
	if (spares)
		schedule_choose_spares();
	emptied_in_sight = owner && (kernel.error_chance || kernel.full_until);
	if (sim_random(16) == 0)
		model.commits_good = model.commits + 1 + sim_random(8);
	if (sim_random(2))
		sim.cut_at = 1 + sim_random(calls);
	else if (sim_random(2)) {
		sim.kill_at = 1 + sim_random(calls);
		sim.kill_number = 1 + sim_random(programs_count);
	}
}

/* Run what is to be run; false: it has failed. */
static bool schedule_go(void)
{
	enum sim_end end = sim_run();

	schedule_statistics.calls += sim.steps;
	schedule_statistics.errors += kernel.errors;
	sim.steps = sim.cut_at = sim.kill_at = 0;
	kernel.error_chance = model.commits_good = 0;
	kernel.full_from = kernel.full_until = 0;
	model.loss_chance = model.losses = 0;
	if (end == SIM_FAILED)
		return false;
	/* A file system whose commit has failed is of use again when it is mounted anew. */
	if (end == SIM_ENDED && model.aborted)
		end = SIM_CUT;
	if (end == SIM_CUT) {
		schedule_statistics.cuts++;
		sim_kill_all();
		model_cut();
	}
	return sim_check(end == SIM_CUT ? schedule_check_cut : schedule_check_end);
}

/*
 * Open the store again, sweep, check; the power may be cut meanwhile, the file system be full, or
 * calls fail: then once more.
 */
static bool schedule_recover(void)
{
	for (unsigned cuts = 0;; cuts++) {
		uint64_t before = schedule_statistics.cuts;
		bool failing = cuts < CUTS_AGAIN_MAX && sim_random(8) == 0;
		bool as_owner = owner && (failing || sim_random(2));

		if (cuts < CUTS_AGAIN_MAX && sim_random(4) == 0)
			sim.cut_at = 1 + sim_random(200);
		if (failing && sim_random(2))
			kernel.full_until = UINT_MAX;
		else if (failing)
			kernel.error_chance = 65536 / 200;
		sim.switch_chance = 64;
		emptied_in_sight |= as_owner && failing;
		kernel.errors = 0;
		sim.processes_used = 0;
		sim_process("recover", program_recover, NULL)->uid = as_owner ? owner : 0;
		if (!schedule_go())
			return false;
		/* A sweep removes all when nothing fails, and root runs it. */
		if (schedule_statistics.cuts == before && !failing && !as_owner)
			return true;
	}
}

const char *schedule_run(uint64_t seed, bool trace)
{
	const char *failure;
	bool good;

	sim_begin(0);
	sim.trace = false;
	model.changed = model.committed = NULL;
	owner = seed % 24 < 3 ? USER : 0;
	failure = schedule_begin((unsigned)(seed % 3));
	if (failure)
		return failure;
	sim_begin(seed);
	sim.trace = trace;
	model.changed = schedule_changed;
	model.committed = schedule_committed;
	/* Without privilege, and while quota runs, there are no spare copies. */
	schedule_choose(seed % 3 == MODEL_QUOTA_OFF && !owner && sim_random(2));
	for (unsigned i = 0; i < programs_count; i++)
		sim_process(SCHEDULE_PROGRAM, program_run, &programs[i])->uid = owner;
	good = schedule_go() && schedule_recover() && sim_check(schedule_check_swept);
	schedule_statistics.schedules++;
	schedule_statistics.kills += sim.kill_number != 0;
	schedule_statistics.commits += model.commits;
	return good ? NULL : sim.failure;
}
