/* SPDX-License-Identifier: Apache-2.0 */
#include "service.h"

#include "recover.h"
#include "rpc.h"

#include <errno.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>

#define PATH_PREFIX "/containerd.services.snapshots.v1.Snapshots/"

const struct grpc_method snapshots_methods[] = {
	{ PATH_PREFIX "Prepare", &snapshots__create_request__descriptor, prepare_start, true },
	{ PATH_PREFIX "View", &snapshots__create_request__descriptor, view_start, true },
	{ PATH_PREFIX "Mounts", &snapshots__key_request__descriptor, mounts_start, false },
	{ PATH_PREFIX "Commit", &snapshots__commit_request__descriptor, commit_start, true },
	{ PATH_PREFIX "Remove", &snapshots__key_request__descriptor, remove_start, true },
	{ PATH_PREFIX "Stat", &snapshots__key_request__descriptor, stat_start, false },
	{ PATH_PREFIX "Update", &snapshots__update_request__descriptor, update_start, true },
	{ PATH_PREFIX "List", &snapshots__list_request__descriptor, list_start, false },
	{ PATH_PREFIX "Usage", &snapshots__key_request__descriptor, usage_start, true },
	{ PATH_PREFIX "Cleanup", &snapshots__key_request__descriptor, cleanup_start, true },
	{ 0 },
};

/* Say what of the home is not served. */
static void snapshots_say(const struct snapshots_options *options,
			  const struct recovered *recovered)
{
	char line[256] = "";

	if (recovered->strays_count)
		snprintf(line, sizeof(line),
			 "%zu layers of snapshots are not served: their records cannot be read; ",
			 recovered->strays_count);
	if (recovered->orphans)
		snprintf(line + strlen(line), sizeof(line) - strlen(line),
			 "%zu snapshots have lost their parent; ", recovered->orphans);
	if (!*line)
		return;
	snprintf(line + strlen(line), sizeof(line) - strlen(line), "see `varve serve list --why`");
	if (options->say)
		options->say(options->say_data, line);
	else
		fprintf(stderr, "%s\n", line);
}

/* Fill SNAPSHOTS: 0 or -errno. */
static int snapshots_load(struct snapshots *snapshots, const struct snapshots_options *options,
			  struct varve_failure *ret_failure)
{
	struct recovered recovered = { 0 };
	char *home = realpath(options->home, NULL);
	int r = home ? 0 : -errno;

	if (home && asprintf(&snapshots->subvolumes, "%s/subvolumes", home) < 0) {
		snapshots->subvolumes = NULL;
		r = -ENOMEM;
	}
	if (!r)
		r = index_init(&snapshots->index);
	*ret_failure = (struct varve_failure){ .error = r, .operation = "open" };
	if (!r)
		r = recover(snapshots->store, &snapshots->index, &recovered, ret_failure);
	/* What is damaged is swept soon: a person should hear of it before. */
	if (!r)
		r = recover_leaks(snapshots->store, &snapshots->index, &recovered, ret_failure);
	if (!r) {
		snapshots->next_number = recovered.next_number;
		snapshots_say(options, &recovered);
	}
	recovered_destroy(&recovered);
	free(home);
	/* The records that the library has read are gone; what they took is given back. */
	malloc_trim(0);
	return r;
}

int snapshots_open(struct varve_store *store, const struct snapshots_options *options,
		   struct snapshots **ret_snapshots, struct varve_failure *ret_failure)
{
	struct snapshots *snapshots = calloc(1, sizeof(*snapshots));
	int r;

	if (!snapshots) {
		*ret_failure = (struct varve_failure){ .error = -ENOMEM, .operation = "open" };
		return -ENOMEM;
	}
	snapshots->store = store;
	snapshots->commit_relaxed = options->commit_relaxed;
	snapshots->usage_exact = options->usage_exact;
	link_init(&snapshots->rpcs);
	link_init(&snapshots->lists);
	r = snapshots_load(snapshots, options, ret_failure);
	if (r) {
		snapshots_close(snapshots);
		return r;
	}
	*ret_snapshots = snapshots;
	return 0;
}

bool snapshots_busy(const struct snapshots *snapshots)
{
	return !link_alone(&snapshots->rpcs);
}

size_t snapshots_count(const struct snapshots *snapshots)
{
	return snapshots->index.count;
}

void snapshots_close(struct snapshots *snapshots)
{
	if (!snapshots)
		return;
	index_destroy(&snapshots->index);
	free(snapshots->subvolumes);
	free(snapshots);
}
