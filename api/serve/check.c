/* SPDX-License-Identifier: Apache-2.0 */
/*
 * check.c: see check.h. The home is read as at the start of the daemon, which may run and change
 * it meanwhile: of a parent and its child the one can be read before a request and the other one
 * after it, as if they contradicted each other. So a home with faults is read once more, and a
 * fault is one that is there both times: recovered_keep_both().
 *
 * Layers that only have a name as the daemon gives them are faults where there are snapshots:
 * elsewhere a person has named them so.
 */
#include "check.h"

#include "recover.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

/* Read the home: 0 or -errno. READING is to be destroyed in any case. */
static int check_read(struct reading *reading, struct varve_store *store,
		      struct varve_failure *ret_failure)
{
	int r = reading_take(reading, store, ret_failure);

	if (!r && (reading->index.count || reading->recovered.strays_count))
		r = recover_leaks(store, &reading->index, &reading->recovered, ret_failure);
	return r;
}

/* Write the fault STRAY of a snapshot, which is SERVED or not: 0 or -ENOMEM. */
static int check_write(const struct stray *stray, bool served)
{
	char path[sizeof("subvolumes/") + VARVE_ID_MAX];
	json_t *object;
	char *detail;
	int r;

	snprintf(path, sizeof(path), "subvolumes/%s", stray->id);
	if (asprintf(&detail, "%s: %s%s%s",
		     served ? "a snapshot" : "a layer of a snapshot, which is not served",
		     stray_text(stray->reason, NULL), stray->key ? ": " : "",
		     stray->key ? stray->key : "") < 0)
		return -ENOMEM;
	object = json_pack("{s:s, s:s}", "path", path, "detail", detail);
	r = object && !json_dumpf(object, stdout, JSON_COMPACT) && putchar('\n') != EOF ? 0
											: -ENOMEM;
	json_decref(object);
	free(detail);
	return r;
}

/* Write the COUNT faults at STRAYS: 0 or -ENOMEM. */
static int check_write_all(const struct stray *strays, size_t count, bool served)
{
	int r = 0;

	for (size_t i = 0; !r && i < count; i++)
		r = check_write(&strays[i], served);
	return r;
}

int check_home(struct varve_store *store, uint64_t *ret_count, struct varve_failure *ret_failure)
{
	struct reading one = { 0 }, other = { 0 };
	struct recovered *faulty = &one.recovered;
	int r = check_read(&one, store, ret_failure);

	*ret_count = 0;
	if (!r && (faulty->strays_count || faulty->faults_count)) {
		r = check_read(&other, store, ret_failure);
		recovered_keep_both(faulty, &other.recovered);
		if (!r)
			r = check_write_all(faulty->strays, faulty->strays_count, false);
		if (!r)
			r = check_write_all(faulty->faults, faulty->faults_count, true);
		*ret_count = faulty->strays_count + faulty->faults_count;
		reading_destroy(&other);
	}
	reading_destroy(&one);
	return r;
}
