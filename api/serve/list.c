/* SPDX-License-Identifier: Apache-2.0 */
/*
 * list.c: see list.h. The records are in the layers, so that the home is all that is read, as
 * recover.h does it for the daemon, which may change it meanwhile: then a snapshot can be seen
 * without its child, and a layer without its record. So the home is read until two readings in a
 * row are the same: what both have was there all the time between them, and they are listed. After
 * LIST_READS_MAX the last one is, and a message says so; what is wrong with a layer is then said
 * only where the one before it has it, too.
 *
 * Beside the snapshots there may be layers that belong to them and are not served: strays of
 * recover.h, and layers that have a name as the daemon gives them and no record. Nothing removes
 * those by itself.
 */
#include "list.h"

#include "check.h"
#include "limits.h"
#include "options.h"
#include "record.h"
#include "recover.h"

#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <libsmartcols.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <jansson.h>
#include <varve.h>

/* "-9223372036854775808" and a unit. */
#define NUMBER_SIZE 24

/* A column of the table. */
enum list_column { LIST_KEY, LIST_KIND, LIST_PARENT, LIST_AGE, LIST_SIZE, LIST_WHY, LIST_COLUMNS };

/* One run of the command. */
struct listing {
	/* Of varve_open(). */
	const char *home, *debug;
	uint64_t flags;
	bool why, json;
	/* The command is `check`, and has found so many faults. */
	bool check;
	uint64_t faults;
	struct varve_store *store;
	/* Two readings of the home; the one that is listed. */
	struct reading readings[2], *reading;
	/* Requests for usage in flight. */
	unsigned requests;
	/* Why one of them failed. */
	int error;
	struct varve_failure failure;
	int64_t now_ns;
};

/* ---- text ------------------------------------------------------------------------------------ */

/* TEXT with other than printable ASCII as \xHH, in new memory; NULL: no memory. */
static char *list_escape(struct text text)
{
	/* Each byte may become four, and text_quote() wants room for its dots. */
	size_t size = 4 * text.count + 8;
	char *buffer = malloc(size);

	if (!buffer)
		return NULL;
	text_quote(text, buffer, size);
	memmove(buffer, buffer + 1, strlen(buffer));
	buffer[strlen(buffer) - 1] = 0;
	return buffer;
}

/* TEXT, which is UTF-8, as a string of JSON. */
static json_t *list_string(struct text text)
{
	return json_stringn(text.bytes, text.count);
}

/* Write OBJECT, which is freed, as a line: 0 or -ENOMEM. */
static int list_object(json_t *object)
{
	int r = object && !json_dumpf(object, stdout, JSON_COMPACT) ? 0 : -ENOMEM;

	putchar('\n');
	json_decref(object);
	return r;
}

/* BYTES with a unit, into BUFFER. */
static const char *list_size(uint64_t bytes, char buffer[NUMBER_SIZE])
{
	static const char units[] = "KMGTPE";
	double value = (double)bytes;
	int unit = -1;

	while (value >= 1023.95 && unit + 1 < (int)strlen(units)) {
		value /= 1024;
		unit++;
	}
	if (unit < 0)
		snprintf(buffer, NUMBER_SIZE, "%" PRIu64, bytes);
	else
		snprintf(buffer, NUMBER_SIZE, "%.1f%c", value, units[unit]);
	return buffer;
}

/* How long ago TIME_NS is, into BUFFER. */
static const char *list_age(const struct listing *listing, int64_t time_ns,
			    char buffer[NUMBER_SIZE])
{
	int64_t age_s = (listing->now_ns - time_ns) / NS_PER_S;

	if (age_s < 0)
		age_s = 0;
	if (age_s < 120)
		snprintf(buffer, NUMBER_SIZE, "%" PRId64 "s", age_s);
	else if (age_s < 120 * 60)
		snprintf(buffer, NUMBER_SIZE, "%" PRId64 "m", age_s / 60);
	else if (age_s < 48 * 3600)
		snprintf(buffer, NUMBER_SIZE, "%" PRId64 "h", age_s / 3600);
	else
		snprintf(buffer, NUMBER_SIZE, "%" PRId64 "d", age_s / 86400);
	return buffer;
}

/* ---- usage ----------------------------------------------------------------------------------- */

/* One snapshot that is measured. */
struct measure {
	struct listing *listing;
	struct snapshot *snapshot;
};

/* A snapshot was measured, or not. One that is gone meanwhile has no size. */
static void list_measured(struct varve_store *store, const struct varve_result *result,
			  void *user_data)
{
	struct measure *measure = user_data;
	struct listing *listing = measure->listing;

	listing->requests--;
	if (!result->error) {
		measure->snapshot->usage_known = true;
		measure->snapshot->usage_bytes = result->usage->disk_bytes;
		measure->snapshot->usage_inodes = result->usage->inodes;
	} else if (result->error != -ENOENT && !listing->error) {
		listing->error = result->error;
		listing->failure = *result->failure;
	}
	free(measure);
}

/* Run callbacks until at most MOST requests are in flight. */
static void list_drain(struct listing *listing, unsigned most)
{
	while (listing->requests > most)
		varve_wait(listing->store, -1);
}

/* Measure SNAPSHOT: 0 or -errno. */
static int list_measure(struct listing *listing, struct snapshot *snapshot)
{
	struct measure *measure = malloc(sizeof(*measure));
	char layer[SNAPSHOT_LAYER_SIZE];
	int r;

	if (!measure)
		return -ENOMEM;
	*measure = (struct measure){ listing, snapshot };
	list_drain(listing, LIST_REQUESTS_MAX - 1);
	r = varve_layer_usage(listing->store, snapshot_layer(snapshot->number, layer),
			      VARVE_USAGE_DELTA, list_measured, measure, NULL);
	if (r) {
		varve_refusal(listing->store, &listing->failure);
		free(measure);
		return r;
	}
	listing->requests++;
	return 0;
}

/* Measure all whose usage their records do not have. */
static int list_measure_all(struct listing *listing)
{
	int r = 0;

	for (struct link *link = listing->reading->index.snapshots.next;
	     !r && link != &listing->reading->index.snapshots; link = link->next) {
		struct snapshot *snapshot = link_entry(link, struct snapshot, link);

		if (snapshot->kind == SNAPSHOT_VIEW)
			snapshot->usage_known = true;
		else if (!snapshot->usage_known)
			r = list_measure(listing, snapshot);
	}
	list_drain(listing, 0);
	return r;
}

/* ---- layers that are not served -------------------------------------------------------------- */

/* Write one layer that is not served: 0 or -ENOMEM. */
static int list_stray_write(const struct listing *listing, const struct stray *stray)
{
	const char *word, *reason = stray_text(stray->reason, &word);
	char *escaped, *escaped_key = NULL;

	if (listing->json)
		return list_object(json_pack("{s:s, s:s, s:s*}", "layer", stray->id, "stray", word,
					     "key", stray->key));
	escaped = list_escape(text_of_string(stray->id));
	if (stray->key)
		escaped_key = list_escape(text_of_string(stray->key));
	printf("layer %s is not served: %s%s%s\n", escaped ? escaped : stray->id, reason,
	       escaped_key ? ": " : "", escaped_key ? escaped_key : "");
	free(escaped);
	free(escaped_key);
	return 0;
}

/* Write all layers that are not served: 0 or -ENOMEM. */
static int list_strays(const struct listing *listing)
{
	const struct recovered *recovered = &listing->reading->recovered;
	int r = 0;

	for (size_t i = 0; !r && i < recovered->strays_count; i++)
		r = list_stray_write(listing, &recovered->strays[i]);
	return r;
}

/* ---- snapshots ------------------------------------------------------------------------------- */

/* Write SNAPSHOT as an object of JSON: 0 or -ENOMEM. */
static int list_json(const struct listing *listing, const struct snapshot *snapshot)
{
	char layer[SNAPSHOT_LAYER_SIZE];
	struct label label = { 0 };
	json_t *labels = json_object(), *object;
	int r = 0;

	while (labels_next(&snapshot->labels, &label))
		r |= json_object_setn_new(labels, label.key.bytes, label.key.count,
					  list_string(label.value));
	object = json_pack("{s:o, s:s, s:s, s:o, s:b, s:I, s:I, s:o, s:I}", "key",
			   list_string(snapshot_key(snapshot)), "kind",
			   snapshot_kind_name(snapshot->kind), "layer",
			   snapshot_layer(snapshot->number, layer), "parent",
			   list_string(snapshot_parent_key(snapshot)), "orphan",
			   recovered_orphan(&listing->reading->recovered, snapshot), "created",
			   (json_int_t)(snapshot->created_ns / NS_PER_S), "updated",
			   (json_int_t)(snapshot->updated_ns / NS_PER_S), "labels", labels,
			   "children", (json_int_t)snapshot->children);
	if (object && snapshot->usage_known) {
		r |= json_object_set_new(object, "size",
					 json_integer((json_int_t)snapshot->usage_bytes));
		r |= json_object_set_new(object, "inodes",
					 json_integer((json_int_t)snapshot->usage_inodes));
	}
	if (!r)
		return list_object(object);
	json_decref(object);
	return -ENOMEM;
}

/* What keeps SNAPSHOT alive, in new memory; NULL: no memory. */
static char *list_why(const struct listing *listing, const struct snapshot *snapshot)
{
	const struct snapshot *child = NULL;
	char *why;
	int r;

	if (!snapshot->children)
		return strdup("nothing");
	for (struct link *link = listing->reading->index.snapshots.next;
	     link != &listing->reading->index.snapshots && !child; link = link->next)
		if (link_entry(link, struct snapshot, link)->parent == snapshot)
			child = link_entry(link, struct snapshot, link);
	if (snapshot->children == 1)
		r = asprintf(&why, "its child %s", child->key);
	else
		r = asprintf(&why, "%" PRIu32 " children: %s, ...", snapshot->children, child->key);
	return r < 0 ? NULL : why;
}

/* Give LINE a CELL, on the heap, which is LINE's then: 0 or -ENOMEM. */
static int list_cell(struct libscols_line *line, enum list_column column, char *cell)
{
	return cell && !scols_line_refer_data(line, column, cell) ? 0 : -ENOMEM;
}

/* Add the row for SNAPSHOT to TABLE, which escapes what does not print: 0 or -ENOMEM. */
static int list_row(const struct listing *listing, struct libscols_table *table,
		    const struct snapshot *snapshot)
{
	struct libscols_line *line = scols_table_new_line(table, NULL);
	struct text parent = snapshot_parent_key(snapshot);
	bool orphan = recovered_orphan(&listing->reading->recovered, snapshot);
	char number[NUMBER_SIZE], *shown;

	if (!line || asprintf(&shown, "%s%.*s",
			      !parent.count ? "-"
			      : orphan      ? "(gone) "
					    : "",
			      (int)parent.count, parent.bytes) < 0)
		return -ENOMEM;
	if (list_cell(line, LIST_PARENT, shown) ||
	    list_cell(line, LIST_KEY, strdup(snapshot->key)) ||
	    list_cell(line, LIST_KIND, strdup(snapshot_kind_name(snapshot->kind))) ||
	    list_cell(line, LIST_AGE, strdup(list_age(listing, snapshot->created_ns, number))) ||
	    list_cell(line, LIST_SIZE,
		      strdup(snapshot->usage_known ? list_size(snapshot->usage_bytes, number)
						   : "-")))
		return -ENOMEM;
	return listing->why ? list_cell(line, LIST_WHY, list_why(listing, snapshot)) : 0;
}

/* Write the table of all snapshots: 0 or -ENOMEM. */
static int list_table(const struct listing *listing)
{
	static const char *const headings[LIST_COLUMNS] = {
		"KEY", "KIND", "PARENT", "AGE", "SIZE", "KEPT BY",
	};
	struct libscols_table *table = scols_new_table();
	int r = table ? 0 : -ENOMEM;

	for (int i = 0; !r && i < (listing->why ? LIST_COLUMNS : LIST_WHY); i++)
		if (!scols_table_new_column(table, headings[i], 0,
					    i == LIST_AGE || i == LIST_SIZE ? SCOLS_FL_RIGHT : 0))
			r = -ENOMEM;
	for (struct link *link = listing->reading->index.snapshots.next;
	     !r && link != &listing->reading->index.snapshots; link = link->next)
		r = list_row(listing, table, link_entry(link, struct snapshot, link));
	/* The table goes where it is wanted, however wide that is. */
	if (!r && listing->reading->index.count &&
	    (scols_table_set_termforce(table, SCOLS_TERMFORCE_NEVER) || scols_print_table(table)))
		r = -ENOMEM;
	scols_unref_table(table);
	return r;
}

/* Write everything: 0 or -errno. */
static int list_write(struct listing *listing)
{
	int r = 0;

	listing->now_ns = (int64_t)time(NULL) * NS_PER_S;
	if (listing->json) {
		for (struct link *link = listing->reading->index.snapshots.next;
		     !r && link != &listing->reading->index.snapshots; link = link->next)
			r = list_json(listing, link_entry(link, struct snapshot, link));
	} else {
		r = list_table(listing);
	}
	if (!r && listing->why)
		r = list_strays(listing);
	return r;
}

/* Have ONE and OTHER the same parent, or lost the same? */
static bool list_same_parent(const struct snapshot *one, const struct snapshot *other)
{
	if (!one->parent != !other->parent ||
	    (one->parent && one->parent->number != other->parent->number))
		return false;
	return text_equal(snapshot_parent_key(one), snapshot_parent_key(other));
}

/* Are the snapshots and strays of ONE those of OTHER? A change of a record moves its time. */
static bool list_same(const struct reading *one, const struct reading *other)
{
	const struct recovered *strays = &one->recovered, *others = &other->recovered;
	struct link *link = one->index.snapshots.next, *at = other->index.snapshots.next;

	if (one->index.count != other->index.count || strays->strays_count != others->strays_count)
		return false;
	for (; link != &one->index.snapshots; link = link->next, at = at->next) {
		const struct snapshot *snapshot = link_entry(link, struct snapshot, link),
				      *same = link_entry(at, struct snapshot, link);

		if (snapshot->number != same->number || snapshot->kind != same->kind ||
		    snapshot->updated_ns != same->updated_ns ||
		    !text_equal(snapshot_key(snapshot), snapshot_key(same)) ||
		    !list_same_parent(snapshot, same))
			return false;
	}
	for (size_t i = 0; i < strays->strays_count; i++)
		if (strays->strays[i].reason != others->strays[i].reason ||
		    strcmp(strays->strays[i].id, others->strays[i].id))
			return false;
	return true;
}

/* Read the home once: 0 or -errno. */
static int list_read(struct listing *listing)
{
	struct reading *reading = listing->reading;
	int r = reading_take(reading, listing->store, &listing->failure);

	return r || !listing->why ? r
				  : recover_leaks(listing->store, &reading->index,
						  &reading->recovered, &listing->failure);
}

/* Read the home until it has not changed meanwhile: 0 or -errno. */
static int list_read_settled(struct listing *listing)
{
	bool settled = false;
	int r = 0;

	for (unsigned i = 0; !r && !settled && i < LIST_READS_MAX; i++) {
		listing->reading = &listing->readings[i % 2];
		reading_destroy(listing->reading);
		r = list_read(listing);
		settled = i && !r && list_same(&listing->readings[0], &listing->readings[1]);
	}
	if (!r && !settled) {
		recovered_keep_both(&listing->reading->recovered,
				    &listing->readings[LIST_READS_MAX % 2].recovered);
		fprintf(stderr,
			"varve serve list: the snapshots changed during each of %d readings: the last one is listed\n",
			LIST_READS_MAX);
	}
	return r;
}

/* Read, measure, write: 0 or -errno. */
static int list_home(struct listing *listing)
{
	int r = list_read_settled(listing);

	if (!r)
		r = list_measure_all(listing);
	return r ? r : list_write(listing);
}

/* ---- the command ----------------------------------------------------------------------------- */

/* The word of the command. */
static const char *list_name(const struct listing *listing)
{
	return listing->check ? "check" : "list";
}

/* Do what the command is to do: 0 or -errno, after a message. */
static int list_run(struct listing *listing)
{
	struct varve_config config = VARVE_CONFIG_INIT;
	char text[VARVE_FAILURE_PATH_SIZE + 2 * VARVE_FAILURE_DETAIL_SIZE];
	int r;

	config.home = listing->home;
	config.debug = listing->debug;
	config.flags = listing->flags | VARVE_OPEN_EXISTING | VARVE_OPEN_NO_SWEEP;
	r = varve_open(&config, &listing->store, &listing->failure);
	if (!r)
		r = listing->check ? check_home(listing->store, &listing->faults, &listing->failure)
				   : list_home(listing);
	/* The size of one that could not be measured is missing. */
	if (!r)
		r = listing->error;
	if (r) {
		/* What was no request of the store is a lack of memory. */
		listing->failure.error = r;
		if (!listing->failure.operation)
			listing->failure.operation = list_name(listing);
		fprintf(stderr, "varve serve %s: %s\n", list_name(listing),
			varve_strerror(&listing->failure, text, sizeof(text)));
	}
	varve_close(listing->store);
	reading_destroy(&listing->readings[0]);
	reading_destroy(&listing->readings[1]);
	return r;
}

/* Write the help. */
static void list_help(void)
{
	puts("Usage: varve serve list [OPTION]...\n"
	     "List the snapshots of a home, also while the daemon runs.\n"
	     "   or: varve serve check [OPTION]...\n"
	     "Check the snapshots of a home for faults: one JSON object a line. 'varve check' runs it.\n"
	     "\n"
	     "Options:\n"
	     "      --home DIR            the store's directory (else $VARVE_HOME, else " OPTIONS_HOME
	     ")\n"
	     "      --why                 also what keeps each snapshot, and which layers are not served\n"
	     "      --json                one JSON object a line\n"
	     "      --no-uring            do not use io_uring\n"
	     "      --allow-shared-home   use a store's directory that other users can change\n"
	     "      --debug LIST          trace op,ring,lane,btrfs or all on standard error\n"
	     "  -h, --help                show this help\n"
	     "\n"
	     "Exit status of list: 0 all was listed; 1 failure; 2 usage.\n"
	     "Exit status of check: 0 no fault; 1 there are faults; 2 failure or usage.");
}

/* Take the OPTION, whose argument is in optarg: false where there is no such one. */
static bool list_take(struct listing *listing, int option)
{
	switch (option) {
	case 'd':
		listing->home = optarg;
		return true;
	case 'w':
		listing->why = true;
		return true;
	case 'j':
		listing->json = true;
		return true;
	case 'u':
		listing->flags |= VARVE_OPEN_NO_URING;
		return true;
	case 's':
		listing->flags |= VARVE_OPEN_SHARED_HOME;
		return true;
	case 't':
		listing->debug = optarg;
		return true;
	default:
		return false;
	}
}

/* Run the command whose options are taken: an exit status. */
static int list_exit(struct listing *listing)
{
	int failed = listing->check ? OPTIONS_USAGE : EXIT_FAILURE;

	if (list_run(listing))
		return failed;
	if (fflush(stdout) || ferror(stdout)) {
		fprintf(stderr, "varve serve %s: standard output: %s\n", list_name(listing),
			strerror(errno));
		return failed;
	}
	return listing->faults ? EXIT_FAILURE : EXIT_SUCCESS;
}

int list_main(int argc, char **argv, bool check)
{
	static const struct option options[] = {
		{ "home", required_argument, NULL, 'd' },
		{ "why", no_argument, NULL, 'w' },
		{ "json", no_argument, NULL, 'j' },
		{ "no-uring", no_argument, NULL, 'u' },
		{ "allow-shared-home", no_argument, NULL, 's' },
		{ "debug", required_argument, NULL, 't' },
		{ "help", no_argument, NULL, 'h' },
		{ NULL, 0, NULL, 0 },
	};
	struct listing listing = { .home = getenv("VARVE_HOME"), .check = check };
	int option;

	if (!listing.home || !*listing.home)
		listing.home = OPTIONS_HOME;
	while ((option = getopt_long(argc, argv, "h", options, NULL)) >= 0) {
		if (option == 'h') {
			list_help();
			return EXIT_SUCCESS;
		}
		if (!list_take(&listing, option)) {
			fprintf(stderr, "Try 'varve serve %s --help' for more.\n",
				list_name(&listing));
			return OPTIONS_USAGE;
		}
	}
	if (optind < argc) {
		fprintf(stderr, "varve serve %s: one operand too many: '%s'\n", list_name(&listing),
			argv[optind]);
		return OPTIONS_USAGE;
	}
	return list_exit(&listing);
}
