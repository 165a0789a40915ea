/* SPDX-License-Identifier: Apache-2.0 */
/* The work that the embed_*.c examples share: see churn.h. */
#include "churn.h"
#include "example.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* What the ids begin with: they lie beside those of others. */
#define PREFIX "embed-"
/* Bytes of an id, with its NUL. */
#define ID_SIZE 32

static void churn_go_on(struct churn *churn);

/* Return the monotonic time in nanoseconds. */
static uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * UINT64_C(1000000000) + now.tv_nsec;
}

/* Write the id of layer NUMBER into ID: 0 is the base. */
static void make_id(char *id, unsigned number)
{
	if (number == 0)
		snprintf(id, ID_SIZE, PREFIX "base");
	else
		snprintf(id, ID_SIZE, PREFIX "%u", number);
}

/* Count the layers in a list that are ours. */
static unsigned count_ours(const struct varve_result *result)
{
	unsigned count = 0;
	size_t i;

	for (i = 0; i < result->ids_count; i++) {
		if (strncmp(result->ids[i], PREFIX, strlen(PREFIX)) == 0)
			count++;
	}
	return count;
}

/* Take down how a request ended, and go on. */
static void churn_ended(struct varve_store *store, const struct varve_result *result, void *user_data)
{
	struct churn *churn = user_data;
	char line[2048];

	churn->in_flight--;
	if (result->error != 0) {
		fprintf(stderr, "%s\n", varve_strerror(result->failure, line, sizeof(line)));
		churn->failed = true;
	} else if (result->operation == VARVE_CREATE) {
		churn->created++;
	} else if (result->operation == VARVE_REMOVE) {
		churn->removed++;
	} else if (churn->stage == CHURN_LIST) {
		churn->listed = count_ours(result);
	} else {
		churn->left = count_ours(result);
	}
	churn_go_on(churn);
}

/* Submit the request for layer NUMBER, or for the list. */
static int submit(struct churn *churn, unsigned number)
{
	struct varve_create_options options = VARVE_CREATE_OPTIONS_INIT;
	char id[ID_SIZE];

	make_id(id, number);
	if (churn->stage == CHURN_CREATE) {
		options.parent = number == 0 ? NULL : PREFIX "base";
		return varve_layer_create(churn->store, id, &options, churn_ended, churn, NULL);
	}
	if (churn->stage == CHURN_REMOVE)
		return varve_layer_remove(churn->store, id, 0, churn_ended, churn, NULL);
	return varve_layer_list(churn->store, churn_ended, churn, NULL);
}

/* Return how many requests the stage has: the base and the layers, or one list. */
static unsigned stage_requests(const struct churn *churn)
{
	if (churn->stage == CHURN_CREATE || churn->stage == CHURN_REMOVE)
		return churn->layers + 1;
	return 1;
}

/* Submit what the stage still lacks, until the queue is full. */
static void submit_more(struct churn *churn)
{
	struct varve_failure failure;
	char line[2048];
	int ret;

	while (!churn->failed && churn->submitted < stage_requests(churn)) {
		ret = submit(churn, churn->submitted);
		if (ret == -EAGAIN && churn->in_flight > 0) {
			churn->full++;
			return;
		}
		if (ret < 0) {
			varve_refusal(churn->store, &failure);
			fprintf(stderr, "%s\n", varve_strerror(&failure, line, sizeof(line)));
			churn->failed = true;
			return;
		}
		churn->submitted++;
		churn->in_flight++;
		if (churn->in_flight > churn->in_flight_peak)
			churn->in_flight_peak = churn->in_flight;
	}
}

/* Go on: more requests of this stage, else the next stage, once nothing is in flight. */
static void churn_go_on(struct churn *churn)
{
	submit_more(churn);
	while (churn->in_flight == 0 && churn->stage != CHURN_DONE) {
		churn->stage = churn->failed ? CHURN_DONE : churn->stage + 1;
		churn->submitted = 0;
		if (churn->stage == CHURN_DONE)
			churn->done(churn->done_data);
		else
			submit_more(churn);
	}
}

void churn_open(struct churn *churn, int argc, char **argv)
{
	unsigned long layers = argc > 3 ? strtoul(argv[3], NULL, 10) : CHURN_LAYERS;

	if (layers == 0 || layers > CHURN_LAYERS_MAX) {
		fprintf(stderr, "%s: 1 to %d layers\n", argv[0], CHURN_LAYERS_MAX);
		exit(2);
	}
	memset(churn, 0, sizeof(*churn));
	churn->layers = layers;
	churn->store = example_open(argc, argv);
}

void churn_start(struct churn *churn, void (*done)(void *done_data), void *done_data)
{
	churn->done = done;
	churn->done_data = done_data;
	churn->tick_ns = now_ns();
	churn_go_on(churn);
}

void churn_tick(struct churn *churn)
{
	uint64_t now = now_ns();

	if (churn->stage == CHURN_DONE)
		return;
	churn->ticks++;
	if (now - churn->tick_ns > churn->gap_ns_max)
		churn->gap_ns_max = now - churn->tick_ns;
	churn->tick_ns = now;
}

int churn_finish(struct churn *churn, const char *name)
{
	bool good = !churn->failed && churn->stage == CHURN_DONE && churn->created == churn->layers + 1 &&
		    churn->listed == churn->created && churn->removed == churn->created && churn->left == 0 &&
		    churn->ticks > 1;

	printf("%s: created %u, listed %u, removed %u, left %u; %u in flight at most, queue full %u times; "
	       "%u ticks, %.1f ms apart at most\n", name, churn->created, churn->listed, churn->removed, churn->left,
	       churn->in_flight_peak, churn->full, churn->ticks, churn->gap_ns_max / 1e6);
	varve_close(churn->store);
	return good ? 0 : 1;
}
