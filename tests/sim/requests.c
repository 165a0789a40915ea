/* SPDX-License-Identifier: Apache-2.0 */
#include "requests.h"
#include "programs.h"
#include "schedule.h"
#include "tasks.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* With what a stream ends that is not complete. */
#define STREAM_ERROR (-ECONNABORTED)

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
	else if (layer && !schedule_failed() && !(schedule_owner && layer_sized(layer->id)))
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
		    layers_has(&model.disk, layer->id) != layer->live.present)
			sim_fail("layer %s is not durable behind a sync", layer->id);
	}
}

/* The record of LAYER was changed, durably: the one that is visible is on the disk, too. */
static void request_labelled(const struct layer *layer)
{
	const struct model_image *images[] = { &model.now, &model.disk };
	const struct model_inode *inodes[2] = { NULL, NULL };

	for (unsigned i = 0; i < 2; i++) {
		int records = layers_find(images[i], RECORDS);
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
	int subvolumes = layers_find(&model.disk, "subvolumes"),
	    quotas = layers_find(&model.disk, "quotas");
	const struct model_entry *entry = model_find(&model.disk, subvolumes, layer->id),
				 *size = model_find(&model.disk, quotas, layer->id);
	const struct model_group *group =
		entry ? model_group(&model.disk,
				    model.disk.roots[model.disk.inodes[entry->inode].root].id)
		      : NULL;

	if (!group || group->limit != bytes || !size ||
	    memcmp(model.disk.inodes[size->inode].tree, text, strlen(text)))
		sim_fail("layer %s: its durable limit is not durable", layer->id);
}

/* What was in the archive is in LAYER, durably where REQUEST is. */
static void request_applied(const struct request *request)
{
	const char *id = request->layer->id;
	char path[MODEL_NAME_BYTES];

	snprintf(path, sizeof(path), "subvolumes/%s", id);
	layers_check_content(&model.now, false, id, layers_find(&model.now, path));
	if (request->is_durable)
		layers_check_content(&model.disk, true, id, layers_find(&model.disk, path));
}

/* The layer of REQUEST is read-only, or writable, and so it is on the disk, if it is there. */
static void request_frozen(const struct request *request)
{
	const char *id = request->layer->id;
	struct model_image *images[] = { &model.now, &model.disk };

	for (unsigned i = 0; i < 2; i++) {
		int subvolumes = layers_find(images[i], "subvolumes");
		const struct model_entry *entry = model_find(images[i], subvolumes, id);
		const struct model_inode *inode = entry ? &images[i]->inodes[entry->inode] : NULL;

		if (inode && images[i]->roots[inode->root].read_only != request->read_only)
			sim_fail("layer %s is %s%s after a %s", id,
				 request->read_only ? "writable" : "read-only",
				 i ? " on the disk" : "", request->read_only ? "freeze" : "thaw");
	}
}

void request_over(struct request *request)
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

/* A request of PROGRAM that changes LAYER, which stays. */
static struct request *request_change(struct program *program, enum varve_operation operation,
				      struct layer *layer)
{
	layer->busy = true;
	layer->version++;
	return request_new(program, operation, layer);
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

int request_create(struct program *program, struct layer *layer, const char *id)
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
	if (sim_random(4) == 0 && !parent->busy && !parent->live.absent && !schedule_owner)
		options.parent = parent->id;
	options.flags = request_flag(request) | (sim_random(8) ? 0 : VARVE_CREATE_READ_ONLY);
	options.storage_options = layer_sized(id) ? sized : NULL;
	options.labels = layer_labelled(id) ? labels : NULL;
	if (layer_unpacked(id)) {
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

int request_remove(struct program *program, struct layer *layer, const char *id)
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

int request_apply(struct program *program, struct layer *layer)
{
	struct varve_apply_options options = VARVE_APPLY_OPTIONS_INIT;
	struct request *request = request_change(program, VARVE_APPLY, layer);
	int fd = request_archive(request), r;

	options.flags = request_flag(request);
	sim_trace("apply to %s", layer->id);
	r = varve_layer_apply(program->store, layer->id, &options, fd, request_ended, request,
			      &request->handle);
	if (fd >= 0)
		close(fd);
	return r;
}

int request_rename(struct program *program, struct layer *layer, struct layer *to)
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

int request_label(struct program *program, struct layer *layer)
{
	static const char *const values[][2] = { { "k=v", NULL }, { "k=w", NULL } };
	struct varve_label_options options = VARVE_LABEL_OPTIONS_INIT;
	struct request *request = request_change(program, VARVE_LABEL, layer);

	options.flags = request_flag(request);
	options.labels = values[sim_random(2)];
	sim_trace("label %s", layer->id);
	return varve_layer_label(program->store, layer->id, &options, request_ended, request,
				 &request->handle);
}

int request_limit(struct program *program, struct layer *layer)
{
	struct request *request = request_change(program, VARVE_QUOTA, layer);

	request->bytes = sim_random(2) ? LAYER_LIMIT : LIMIT_OTHER;
	sim_trace("limit %s to %llu", layer->id, (unsigned long long)request->bytes);
	return varve_quota_limit(program->store, layer->id, request->bytes, request_ended, request,
				 &request->handle);
}

int request_freeze(struct program *program, struct layer *layer)
{
	struct request *request = request_change(program, VARVE_FREEZE, layer);

	request->read_only = sim_random(2);
	sim_trace("%s %s", request->read_only ? "freeze" : "thaw", layer->id);
	return varve_layer_freeze(program->store, layer->id,
				  request->read_only ? 0 : VARVE_FREEZE_THAW, request_ended,
				  request, &request->handle);
}

int request_flush(struct program *program, struct layer *layer)
{
	struct request *request = request_change(program, VARVE_FLUSH, layer);

	request->is_durable = true;
	sim_trace("flush %s", layer->id);
	return varve_layer_flush(program->store, layer->id, 0, request_ended, request,
				 &request->handle);
}

int request_sync(struct program *program)
{
	struct request *request = request_new(program, VARVE_SYNC, NULL);

	for (unsigned i = 0; i < LAYERS_OWN; i++)
		request->versions[i] = program->layers[i].busy ? UINT32_MAX
							       : program->layers[i].version;
	return varve_sync(program->store, 0, request_ended, request, &request->handle);
}

int request_sweep(struct program *program)
{
	struct request *request = request_new(program, VARVE_SWEEP, NULL);

	return varve_sweep(program->store, request_ended, request, &request->handle);
}

void request_cancel(struct request *request)
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

void request_feed(struct request *request)
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
