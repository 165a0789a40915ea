/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The operations, as api/ calls them. Each submits a request whose arguments have been checked, and
 * returns what request_submit() returns, or -ENOMEM. One file each; none includes another.
 */
#ifndef VARVE_OPS_OPS_H
#define VARVE_OPS_OPS_H

#include "engine/store/options.h"
#include "engine/store/record_content.h"

#include <limits.h>

/* The callback of a request and its user data, and where the request's handle goes. */
struct submit {
	varve_callback *callback;
	void *user_data;
	varve_request *ret_request;
};

/* The arguments of a create, checked and parsed. */
struct create_arguments {
	const char *parent, *template_id;
	/* What is to be unpacked into it, and where that comes from; NULL: nothing. */
	const struct varve_apply_options *apply;
	int apply_fd;
	uint64_t flags;
	uint32_t mode;
	/* Its limit and its groups. */
	struct storage_options storage;
	/* A shift of ownership, an SELinux label; NULL: none. */
	const struct varve_chown_options *chown;
	const char *label;
	/* Its labels and its record. */
	struct record_change labels;
};

/* The requests about quota. */
enum quota_action {
	QUOTA_DO_STATUS,
	QUOTA_DO_ENABLE,
	QUOTA_DO_DISABLE,
	QUOTA_DO_LIMIT,
	QUOTA_DO_RESCAN,
	QUOTA_DO_GC
};

/* Their arguments; each action uses some. */
struct quota_arguments {
	enum quota_action action;
	enum varve_quota_mode mode;
	/* The layer, or NULL; the group of layers that a limit is for, or NULL. */
	const char *id, *group;
	uint64_t bytes;
	uint64_t flags;
};

int noop_submit(struct varve_store *store, const struct submit *submit);
int create_submit(struct varve_store *store, const char *const *ids, size_t count,
		  const struct create_arguments *arguments, const struct submit *submit);
int remove_submit(struct varve_store *store, const char *const *ids, size_t count, uint64_t flags,
		  const struct submit *submit);
int get_submit(struct varve_store *store, const char *id, const struct submit *submit);
int exists_submit(struct varve_store *store, const char *id, const struct submit *submit);
int open_layer_submit(struct varve_store *store, const char *id, const struct submit *submit);

/*
 * List the layers that have all of COUNT labels FILTERS, with RECORDS also their labels and
 * records, passed to FOUND (NULL: in the result) with DATA.
 */
int list_submit(struct varve_store *store, const char *const *filters, size_t count, bool records,
		varve_found *found, void *data, const struct submit *submit);

/* With COMPARE the change fails unless the record has REVISION. */
int labels_submit(struct varve_store *store, const char *id, const struct record_change *change,
		  bool compare, uint64_t revision, uint64_t flags, const struct submit *submit);
int read_record_submit(struct varve_store *store, const char *id, const struct submit *submit);
int info_submit(struct varve_store *store, const char *id, const struct submit *submit);
int usage_submit(struct varve_store *store, const char *id, uint64_t flags,
		 const struct submit *submit);
int usage_delta_submit(struct varve_store *store, const char *id, uint64_t flags,
		       const struct submit *submit);
int chown_submit(struct varve_store *store, const char *id,
		 const struct varve_chown_options *options, const struct submit *submit);
int relabel_submit(struct varve_store *store, const char *id, const char *label, uint64_t flags,
		   const struct submit *submit);

/* Has LABEL the form of an SELinux label? 0, -EINVAL, -ENAMETOOLONG. */
int relabel_check(const char *label);
int sync_submit(struct varve_store *store, uint64_t flags, const struct submit *submit);
int sweep_submit(struct varve_store *store, const struct submit *submit);
int flush_submit(struct varve_store *store, const char *id, const struct submit *submit);
int freeze_submit(struct varve_store *store, const char *id, uint64_t flags,
		  const struct submit *submit);
int rename_submit(struct varve_store *store, const char *id, const char *new_id, uint64_t flags,
		  const struct submit *submit);
int adopt_submit(struct varve_store *store, const char *id, uint64_t flags,
		 const struct submit *submit);
int check_submit(struct varve_store *store, const struct submit *submit);
int status_submit(struct varve_store *store, const struct submit *submit);

/* With KEEP the list in the result is the callback's after success, to be freed with free(). */
int changes_submit(struct varve_store *store, const char *id,
		   const struct varve_changes_options *options, bool keep,
		   const struct submit *submit);
int quota_submit(struct varve_store *store, const struct quota_arguments *arguments,
		 const struct submit *submit);
int diff_submit(struct varve_store *store, const char *id,
		const struct varve_changes_options *compared,
		const struct varve_diff_options *options, int fd, const struct submit *submit);
int apply_submit(struct varve_store *store, const char *id,
		 const struct varve_apply_options *options, int fd, const struct submit *submit);
int diff_size_submit(struct varve_store *store, const char *id,
		     const struct varve_changes_options *options, const struct submit *submit);

#endif
