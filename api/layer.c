/* SPDX-License-Identifier: Apache-2.0 */
/* Layers: arguments checked, then handed to the engine. */
#include "api/check.h"
#include "engine/core/request.h"
#include "engine/store/store.h"

#include <string.h>

#define LAYER_CREATE_FLAGS \
	(VARVE_DURABLE | VARVE_RELAXED | VARVE_CREATE_READ_ONLY | VARVE_CREATE_NOWAIT)
#define LAYER_APPLY_FLAGS                                                            \
	(VARVE_OVERFLOW_IDS | VARVE_APPLY_SKIP_DEVICES | VARVE_APPLY_IGNORE_OWNERS | \
	 VARVE_APPLY_WRITEBACK | VARVE_DIGESTS)
#define LAYER_MODE_DEFAULT 0755
#define LAYER_MODE_MASK 07777u

/* Check an optional id to start from; an empty one stands for none. */
static int layer_source(struct varve_store *store, const char *id, const char **ret_id)
{
	*ret_id = id && *id ? id : NULL;
	return *ret_id ? check_id(store, VARVE_CREATE, id) : 0;
}

/* Check the ranges of ids for OPERATION. */
static int layer_ranges(struct varve_store *store, enum varve_operation operation,
			const struct varve_id_map *ranges, size_t count)
{
	if (count <= VARVE_ID_MAPS_MAX && (ranges || !count))
		return 0;
	return request_refuse(&store->core, operation, -EINVAL, NULL,
			      "at most 340 entries in a map of ids");
}

/* Check the text of a DIGEST (may be NULL) for OPERATION. */
static int layer_digest(struct varve_store *store, enum varve_operation operation,
			const char *digest)
{
	size_t length = digest ? strnlen(digest, VARVE_DIGEST_SIZE) : 0;

	if (!digest || (length == VARVE_DIGEST_SIZE - 1 && !strncmp(digest, "sha256:", 7) &&
			strspn(digest + 7, "0123456789abcdef") == length - 7))
		return 0;
	return request_refuse(&store->core, operation, -EINVAL, NULL,
			      "a digest is \"sha256:\" and 64 hexadecimal digits, in lower case");
}

/*
 * Copy how to unpack what FD gives, GIVEN, to OURS, and check it for OPERATION; KNOWN are the flags
 * that it may have.
 */
static int layer_apply_options(struct varve_store *store, enum varve_operation operation,
			       struct varve_apply_options *ours,
			       const struct varve_apply_options *given, int fd, uint64_t known)
{
	int r = check_options(store, operation, ours, sizeof(*ours), given);

	if (!r && ours->room && fd != VARVE_STREAM)
		r = request_refuse(&store->core, operation, -EINVAL, NULL,
				   "room goes with VARVE_STREAM in the place of a descriptor");
	if (!r)
		r = check_flags(store, operation, ours->flags, known | LAYER_APPLY_FLAGS);
	if (!r && ours->force_mode & ~(uint64_t)LAYER_MODE_MASK)
		r = request_refuse(&store->core, operation, -EINVAL, NULL,
				   "force_mode has other bits than permissions");
	if (!r)
		r = layer_digest(store, operation, ours->expect);
	if (!r)
		r = layer_digest(store, operation, ours->expect_diff_id);
	if (!r)
		r = layer_ranges(store, operation, ours->uids, ours->uids_count);
	return r ? r : layer_ranges(store, operation, ours->gids, ours->gids_count);
}

/* The options of a create in this version's size, and what they point to. */
struct layer_create {
	struct varve_create_options options;
	struct varve_chown_options chown;
	struct varve_apply_options apply;
	size_t labels_count;
};

/* Check the record of COUNT bytes at BYTES. */
static int layer_record_bytes(struct varve_store *store, enum varve_operation operation,
			      const void *bytes, size_t count)
{
	if (count > VARVE_RECORD_BYTES_MAX)
		return request_refuse(&store->core, operation, -E2BIG, NULL,
				      "a record has at most 49152 bytes");
	if (count && !bytes)
		return request_refuse(&store->core, operation, -EINVAL, NULL,
				      "a record without its bytes");
	return 0;
}

/*
 * Copy the options GIVEN and what they point to, and check them one by one. ID is for the record of
 * a refusal.
 */
static int layer_create_options(struct varve_store *store, const char *id,
				struct layer_create *ours, const struct varve_create_options *given)
{
	struct varve_create_options *options = &ours->options;
	int r = check_options(store, VARVE_CREATE, options, sizeof(*options), given);

	if (r)
		return r;
	if (options->mode & ~LAYER_MODE_MASK)
		return request_refuse(&store->core, VARVE_CREATE, -EINVAL, id,
				      "mode has other bits than permissions");
	if (options->chown) {
		r = check_chown(store, VARVE_CREATE, &ours->chown, options->chown);
		options->chown = &ours->chown;
	}
	if (!r && options->label && *options->label)
		r = check_label(store, VARVE_CREATE, options->label);
	if (!r)
		r = check_flags(store, VARVE_CREATE, options->flags, LAYER_CREATE_FLAGS);
	if (!r)
		r = check_labels(store, VARVE_CREATE, options->labels, false, &ours->labels_count);
	if (!r)
		r = layer_record_bytes(store, VARVE_CREATE, options->record, options->record_bytes);
	if (r || !options->apply)
		return r;
	r = layer_apply_options(store, VARVE_CREATE, &ours->apply, options->apply,
				options->apply_fd, 0);
	options->apply = &ours->apply;
	if (!r && (options->flags & VARVE_CREATE_READ_ONLY || !id))
		r = request_refuse(&store->core, VARVE_CREATE, -EINVAL, id,
				   "an archive goes into one layer, a writable one");
	return r;
}

/*
 * Check the options GIVEN (may be NULL) and parse them; OURS holds what ARGUMENTS point to. ID is
 * for the record of a refusal.
 */
static int layer_options(struct varve_store *store, const char *id, struct layer_create *ours,
			 const struct varve_create_options *given,
			 struct create_arguments *arguments)
{
	const struct varve_create_options *options = &ours->options;
	char reason[VARVE_FAILURE_DETAIL_SIZE];
	int r;

	*arguments = (struct create_arguments){
		.mode = LAYER_MODE_DEFAULT, .storage.size = store->settings.quota.size_default
	};
	if (!given)
		return 0;
	r = layer_create_options(store, id, ours, given);
	if (r)
		return r;
	arguments->chown = options->chown;
	arguments->label = options->label && *options->label ? options->label : NULL;
	arguments->flags = options->flags;
	arguments->labels = (struct record_change){ .set = options->labels,
						    .set_count = ours->labels_count,
						    .replace = true,
						    .bytes = options->record,
						    .bytes_count = options->record_bytes };
	if (options->mode)
		arguments->mode = options->mode;
	/* The default is for layers that can grow. */
	if (options->flags & VARVE_CREATE_READ_ONLY)
		arguments->storage.size = 0;
	arguments->apply = options->apply;
	arguments->apply_fd = options->apply_fd;
	r = layer_source(store, options->parent, &arguments->parent);
	if (!r)
		r = layer_source(store, options->template_id, &arguments->template_id);
	if (r)
		return r;
	r = options_parse_storage(options->storage_options, store->settings.quota.size_min,
				  &arguments->storage, reason, sizeof(reason));
	if (!r && (arguments->storage.size || arguments->storage.groups_count) &&
	    store->settings.quota.policy == QUOTA_NEVER) {
		r = -ENOTSUP;
		strcpy(reason, "a size or a group, and the store was opened with quota=off");
	}
	return r ? request_refuse(&store->core, VARVE_CREATE, r, id, reason) : 0;
}

int varve_layer_create_batch(struct varve_store *store, const char *const *ids, size_t count,
			     const struct varve_create_options *options, varve_callback *callback,
			     void *user_data, varve_request *ret_request)
{
	struct create_arguments arguments;
	struct layer_create ours;
	int r = check_request(store, VARVE_CREATE, callback);

	if (!r)
		r = check_ids(store, VARVE_CREATE, ids, count);
	if (!r)
		r = layer_options(store, count == 1 ? ids[0] : NULL, &ours, options, &arguments);
	if (r)
		return r;
	r = create_submit(store, ids, count, &arguments,
			  &(struct submit){ callback, user_data, ret_request });
	return r == -EBADF ? request_refuse(&store->core, VARVE_CREATE, r, ids[0],
					    "the descriptor cannot be read")
			   : r;
}

int varve_layer_create(struct varve_store *store, const char *id,
		       const struct varve_create_options *options, varve_callback *callback,
		       void *user_data, varve_request *ret_request)
{
	return varve_layer_create_batch(store, &id, 1, options, callback, user_data, ret_request);
}

int varve_layer_remove_batch(struct varve_store *store, const char *const *ids, size_t count,
			     uint64_t flags, varve_callback *callback, void *user_data,
			     varve_request *ret_request)
{
	int r = check_request(store, VARVE_REMOVE, callback);

	if (!r)
		r = check_ids(store, VARVE_REMOVE, ids, count);
	if (!r)
		r = check_flags(store, VARVE_REMOVE, flags,
				VARVE_DURABLE | VARVE_RELAXED | VARVE_REMOVE_BACKGROUND);
	return r ? r
		 : remove_submit(store, ids, count, flags,
				 &(struct submit){ callback, user_data, ret_request });
}

int varve_layer_remove(struct varve_store *store, const char *id, uint64_t flags,
		       varve_callback *callback, void *user_data, varve_request *ret_request)
{
	return varve_layer_remove_batch(store, &id, 1, flags, callback, user_data, ret_request);
}

int varve_layer_get(struct varve_store *store, const char *id, const char *const *options,
		    varve_callback *callback, void *user_data, varve_request *ret_request)
{
	int r = check_layer(store, VARVE_GET, callback, id);

	for (; !r && options && *options; options++)
		if (strcmp(*options, "ro"))
			r = request_refuse(&store->core, VARVE_GET, -EINVAL, id,
					   "the btrfs driver supports no mount option but \"ro\"");
	return r ? r : get_submit(store, id, &(struct submit){ callback, user_data, ret_request });
}

int varve_layer_put(struct varve_store *store, const char *id)
{
	if (!store)
		return -EINVAL;
	return core_here(&store->core) ? check_id(store, VARVE_GET, id) : -ECHILD;
}

int varve_layer_exists(struct varve_store *store, const char *id, varve_callback *callback,
		       void *user_data, varve_request *ret_request)
{
	int r = check_layer(store, VARVE_EXISTS, callback, id);

	return r ? r
		 : exists_submit(store, id, &(struct submit){ callback, user_data, ret_request });
}

int varve_layer_open(struct varve_store *store, const char *id, uint64_t flags,
		     varve_callback *callback, void *user_data, varve_request *ret_request)
{
	int r = check_layer(store, VARVE_OPEN_LAYER, callback, id);

	if (!r)
		r = check_flags(store, VARVE_OPEN_LAYER, flags, 0);
	return r ? r
		 : open_layer_submit(store, id,
				     &(struct submit){ callback, user_data, ret_request });
}

int varve_layer_list(struct varve_store *store, varve_callback *callback, void *user_data,
		     varve_request *ret_request)
{
	int r = check_request(store, VARVE_LIST, callback);

	return r ? r
		 : list_submit(store, NULL, 0, false, NULL, NULL,
			       &(struct submit){ callback, user_data, ret_request });
}

int varve_layer_find(struct varve_store *store, const struct varve_find_options *options,
		     varve_callback *callback, void *user_data, varve_request *ret_request)
{
	struct varve_find_options ours = VARVE_FIND_OPTIONS_INIT;
	size_t count = 0;
	int r = check_request(store, VARVE_LIST, callback);

	if (!r && options)
		r = check_options(store, VARVE_LIST, &ours, sizeof(ours), options);
	if (!r)
		r = check_flags(store, VARVE_LIST, ours.flags, VARVE_FIND_RECORDS);
	if (!r)
		r = check_filters(store, ours.labels, &count);
	if (!r && ours.found && !(ours.flags & VARVE_FIND_RECORDS))
		r = request_refuse(&store->core, VARVE_LIST, -EINVAL, NULL,
				   "a function for what is found goes with VARVE_FIND_RECORDS");
	return r ? r
		 : list_submit(store, ours.labels, count, ours.flags & VARVE_FIND_RECORDS,
			       ours.found, ours.found_data,
			       &(struct submit){ callback, user_data, ret_request });
}

int varve_layer_label(struct varve_store *store, const char *id,
		      const struct varve_label_options *options, varve_callback *callback,
		      void *user_data, varve_request *ret_request)
{
	struct varve_label_options ours = VARVE_LABEL_OPTIONS_INIT;
	struct record_change change = { 0 };
	int r = check_layer(store, VARVE_LABEL, callback, id);

	if (!r && options)
		r = check_options(store, VARVE_LABEL, &ours, sizeof(ours), options);
	if (!r)
		r = check_flags(store, VARVE_LABEL, ours.flags,
				VARVE_DURABLE | VARVE_RELAXED | VARVE_LABEL_ONLY |
					VARVE_LABEL_RECORD | VARVE_LABEL_COMPARE);
	if (!r)
		r = check_labels(store, VARVE_LABEL, ours.labels, false, &change.set_count);
	if (!r)
		r = check_labels(store, VARVE_LABEL, ours.deleted, true, &change.deleted_count);
	if (!r)
		r = layer_record_bytes(store, VARVE_LABEL, ours.record, ours.record_bytes);
	if (!r && ours.record_bytes && !(ours.flags & VARVE_LABEL_RECORD))
		r = request_refuse(&store->core, VARVE_LABEL, -EINVAL, id,
				   "a record without VARVE_LABEL_RECORD");
	if (r)
		return r;
	change.set = ours.labels;
	change.deleted = ours.deleted;
	change.only = ours.flags & VARVE_LABEL_ONLY;
	change.replace = ours.flags & VARVE_LABEL_RECORD;
	change.bytes = ours.record;
	change.bytes_count = ours.record_bytes;
	return labels_submit(store, id, &change, ours.flags & VARVE_LABEL_COMPARE, ours.revision,
			     ours.flags, &(struct submit){ callback, user_data, ret_request });
}

int varve_layer_record(struct varve_store *store, const char *id, varve_callback *callback,
		       void *user_data, varve_request *ret_request)
{
	int r = check_layer(store, VARVE_RECORD, callback, id);

	return r ? r
		 : read_record_submit(store, id,
				      &(struct submit){ callback, user_data, ret_request });
}

int varve_layer_usage(struct varve_store *store, const char *id, uint64_t flags,
		      varve_callback *callback, void *user_data, varve_request *ret_request)
{
	const uint64_t methods = VARVE_USAGE_WALK | VARVE_USAGE_SEARCH;
	const struct submit submit = { callback, user_data, ret_request };
	int r = check_layer(store, VARVE_USAGE, callback, id);

	if (!r)
		r = check_flags(store, VARVE_USAGE, flags,
				methods | VARVE_USAGE_DELTA | VARVE_USAGE_NO_FLUSH);
	if (!r && (flags & methods) == methods)
		r = request_refuse(&store->core, VARVE_USAGE, -EINVAL, id,
				   "walk and search at once");
	if (r)
		return r;
	if (flags & VARVE_USAGE_DELTA)
		return usage_delta_submit(store, id, flags, &submit);
	return usage_submit(store, id, flags, &submit);
}

int varve_layer_info(struct varve_store *store, const char *id, varve_callback *callback,
		     void *user_data, varve_request *ret_request)
{
	int r = check_layer(store, VARVE_INFO, callback, id);

	return r ? r : info_submit(store, id, &(struct submit){ callback, user_data, ret_request });
}

/* ---- what is in a layer ---------------------------------------------------------------------- */

/* Check ID and the OPTIONS of a comparison, which are ours, for OPERATION. */
static int layer_compared(struct varve_store *store, enum varve_operation operation, const char *id,
			  const struct varve_changes_options *options)
{
	int r = check_id(store, operation, id);

	if (!r && options->parent && *options->parent)
		r = check_id(store, operation, options->parent);
	if (!r)
		r = check_flags(store, operation, options->flags,
				VARVE_CHANGES_WALK | (operation == VARVE_DIFF
							      ? VARVE_OVERFLOW_IDS | VARVE_DIGESTS
							      : 0));
	if (!r)
		r = layer_ranges(store, operation, options->uids, options->uids_count);
	if (!r)
		r = layer_ranges(store, operation, options->gids, options->gids_count);
	if (!r)
		r = layer_ranges(store, operation, options->parent_uids,
				 options->parent_uids_count);
	return r ? r
		 : layer_ranges(store, operation, options->parent_gids, options->parent_gids_count);
}

/*
 * Copy the options GIVEN (may be NULL) of a comparison of ID for OPERATION to OURS, and check them.
 */
static int layer_changes_options(struct varve_store *store, enum varve_operation operation,
				 const char *id, struct varve_changes_options *ours,
				 const struct varve_changes_options *given)
{
	int r = 0;

	varve_changes_options_init(ours, sizeof(*ours));
	if (given)
		r = check_options(store, operation, ours, sizeof(*ours), given);
	return r ? r : layer_compared(store, operation, id, ours);
}

int layer_changes(struct varve_store *store, const char *id,
		  const struct varve_changes_options *options, bool keep,
		  const struct submit *submit)
{
	struct varve_changes_options ours;
	int r = check_request(store, VARVE_CHANGES, submit->callback);

	if (!r)
		r = layer_changes_options(store, VARVE_CHANGES, id, &ours, options);
	return r ? r : changes_submit(store, id, &ours, keep, submit);
}

int varve_layer_changes(struct varve_store *store, const char *id,
			const struct varve_changes_options *options, varve_callback *callback,
			void *user_data, varve_request *ret_request)
{
	return layer_changes(store, id, options, false,
			     &(struct submit){ callback, user_data, ret_request });
}

int varve_layer_diff_size(struct varve_store *store, const char *id,
			  const struct varve_changes_options *options, varve_callback *callback,
			  void *user_data, varve_request *ret_request)
{
	struct varve_changes_options ours;
	int r = check_request(store, VARVE_DIFF_SIZE, callback);

	if (!r)
		r = layer_changes_options(store, VARVE_DIFF_SIZE, id, &ours, options);
	return r ? r
		 : diff_size_submit(store, id, &ours,
				    &(struct submit){ callback, user_data, ret_request });
}

/* Check where an archive is to go. */
static int layer_sink(struct varve_store *store, const struct varve_diff_options *options, int fd)
{
	if (!options->sink != (fd != VARVE_STREAM))
		return request_refuse(&store->core, VARVE_DIFF, -EINVAL, NULL,
				      "a sink goes with VARVE_STREAM in the place of a descriptor");
	if (options->chunk_bytes > VARVE_STREAM_BYTES)
		return request_refuse(&store->core, VARVE_DIFF, -EINVAL, NULL,
				      "a chunk of more than VARVE_STREAM_BYTES");
	return 0;
}

/* Check how an archive is to be compressed. */
static int layer_compression(struct varve_store *store, const struct varve_diff_options *options)
{
	static const uint64_t levels[] = { [VARVE_COMPRESS_NONE] = 0,
					   [VARVE_COMPRESS_GZIP] = GZIP_LEVEL_MAX,
					   [VARVE_COMPRESS_ZSTD] = ZSTD_LEVEL_MAX };

	if (options->compress >= ARRAY_SIZE(levels))
		return request_refuse(&store->core, VARVE_DIFF, -EINVAL, NULL,
				      "a compression that is not known");
	if (options->compress_level > levels[options->compress])
		return request_refuse(&store->core, VARVE_DIFF, -EINVAL, NULL,
				      "gzip has levels 1 to 9, zstd 1 to 19");
	if (options->compress_threads > VARVE_COMPRESS_THREADS_MAX)
		return request_refuse(&store->core, VARVE_DIFF, -EINVAL, NULL,
				      "at most 8 threads compress an archive");
	return 0;
}

int varve_layer_diff(struct varve_store *store, const char *id,
		     const struct varve_diff_options *options, int fd, varve_callback *callback,
		     void *user_data, varve_request *ret_request)
{
	struct varve_diff_options ours = VARVE_DIFF_OPTIONS_INIT;
	struct varve_changes_options compared;
	int r = check_request(store, VARVE_DIFF, callback);

	if (!r && options)
		r = check_options(store, VARVE_DIFF, &ours, sizeof(ours), options);
	if (r)
		return r;
	compared = (struct varve_changes_options){
		.size = sizeof(compared),
		.parent = ours.parent,
		.flags = ours.flags,
		.uids = ours.uids,
		.uids_count = ours.uids_count,
		.gids = ours.gids,
		.gids_count = ours.gids_count,
		.parent_uids = ours.parent_uids,
		.parent_uids_count = ours.parent_uids_count,
		.parent_gids = ours.parent_gids,
		.parent_gids_count = ours.parent_gids_count,
	};
	r = layer_compared(store, VARVE_DIFF, id, &compared);
	if (!r)
		r = layer_sink(store, &ours, fd);
	if (!r)
		r = layer_compression(store, &ours);
	if (r)
		return r;
	r = diff_submit(store, id, &compared, &ours, fd,
			&(struct submit){ callback, user_data, ret_request });
	return r == -EBADF ? request_refuse(&store->core, VARVE_DIFF, r, id,
					    "the descriptor cannot be written")
			   : r;
}

int varve_layer_apply(struct varve_store *store, const char *id,
		      const struct varve_apply_options *options, int fd, varve_callback *callback,
		      void *user_data, varve_request *ret_request)
{
	struct varve_apply_options none = VARVE_APPLY_OPTIONS_INIT, ours;
	int r = check_layer(store, VARVE_APPLY, callback, id);

	if (!r)
		r = layer_apply_options(store, VARVE_APPLY, &ours, options ? options : &none, fd,
					VARVE_DURABLE | VARVE_RELAXED);
	if (r)
		return r;
	r = apply_submit(store, id, &ours, fd,
			 &(struct submit){ callback, user_data, ret_request });
	return r == -EBADF ? request_refuse(&store->core, VARVE_APPLY, r, id,
					    "the descriptor cannot be read")
			   : r;
}
