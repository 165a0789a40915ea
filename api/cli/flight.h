/* SPDX-License-Identifier: Apache-2.0 */
/*
 * flight.h: many requests in flight, results in the order of the ids.
 *
 * Ids come from a stream and each becomes a request at once, as long as there is room; so they
 * share commits, and a stream of any length takes the same memory. Results are reported in the
 * order of the ids: those that are early wait in their slots.
 *
 *	ids -> [slot][slot][slot][slot][slot][slot] -> report
 *	  tail: submitted last  ...  ended, waits   head: reported next
 */
#ifndef VARVE_CLI_FLIGHT_H
#define VARVE_CLI_FLIGHT_H

#include <stdbool.h>
#include <stddef.h>

#include <varve.h>

#include "cli.h"
#include "failures.h"
#include "ids.h"

/* After waiting for ids for this long, report failures. */
#define FLIGHT_REPORT_MS 200
/*
 * The most ids on their way: more than a store takes at once, so that one that is late keeps few
 * others from starting.
 */
#define FLIGHT_SLOTS 8192

struct flight;

/* One id on its way. */
struct flight_slot {
	struct flight *flight;         /* Where it belongs. */
	char *id;                      /* The id. */
	varve_request request;         /* Its request, while that is in flight. */
	struct varve_progress seen;    /* How far it is. */
	bool ended;                    /* It waits to be reported. */
	int error;                     /* How it ended: 0 or negative errno. */
	struct varve_failure *failure; /* Why, when it failed. */
	void *payload;                 /* What `take` kept, freed with free(). */
};

/* What to do with each id. */
struct flight_job {
	/* The operation, as the library calls it: "create". */
	const char *name;
	/* The same, done: "created". */
	const char *past;
	/* It is one request that has no id. */
	bool single;
	/* Submit a request about ID. Return what the library returns. */
	int (*submit)(struct flight *flight, const char *id, varve_callback *callback,
		      void *user_data, varve_request *ret_request);
	/* Keep what is needed of RESULT in slot->payload; runs in the callback. NULL: nothing. */
	void (*take)(struct flight_slot *slot, const struct varve_result *result);
	/* Is the failure of SLOT as good as success? NULL: never. */
	bool (*forgive)(const struct flight_slot *slot);
	/*
	 * Write what SLOT has found. NULL, or not called because it failed: an object with "ok" as
	 * JSON, nothing as text.
	 */
	void (*report)(struct flight_slot *slot);
	/* Call `report` also where something failed, as long as there is a payload. */
	bool report_failed;
};

/* Requests in flight, and their results. */
struct flight {
	/* The run of the command. */
	struct cli *cli;
	/* What to do with each id. */
	const struct flight_job *job;
	/* The job's own. */
	void *data;
	/* Where the ids come from. */
	struct ids *ids;
	/* FLIGHT_SLOTS of them, used round and round. */
	struct flight_slot *slots;
	/* Slots reported so far. */
	size_t head;
	/* Slots filled so far: tail - head are in use. */
	size_t tail;
	/* Slots whose callback has not run. */
	size_t in_flight;
	/* Ids that were done. */
	size_t done;
	/* Ids that failed. */
	size_t failed;
	/* Ids whose requests were cancelled because of a signal. */
	size_t cancelled;
	/* Failures that are not yet reported. */
	struct failures failures;
	/* The store took no more: the last slot is to be submitted again. */
	bool full;
	/* A signal came: nothing more is submitted. */
	bool stopped;
};

/*
 * Do JOB for each of COUNT IDS, which are taken literally. DATA is passed on as flight->data.
 * Report failures, and return an exit status.
 */
int flight_run(struct cli *cli, const struct flight_job *job, const char *const *ids, size_t count,
	       void *data);

/* Do JOB, which is single, once. Otherwise as flight_run(). */
int flight_run_single(struct cli *cli, const struct flight_job *job, void *data);

/* Do JOB for each operand of the command line, - being standard input. Else as flight_run(). */
int flight_run_operands(struct cli *cli, const struct flight_job *job,
			const struct arguments *arguments, void *data);

/* For flight_job.report: write nothing, not even as JSON. */
void flight_report_nothing(struct flight_slot *slot);

/* For flight_job.forgive: a layer that does not exist, or not any more, is no failure. */
bool flight_forgive_missing(const struct flight_slot *slot);

#endif
