/* SPDX-License-Identifier: Apache-2.0 */
/* flight.c: many requests in flight, results in the order of the ids. */
#include "flight.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "interrupt.h"

/* Return the slot of the NUMBERth id. */
static struct flight_slot *flight_slot(struct flight *flight, size_t number)
{
	return &flight->slots[number % FLIGHT_SLOTS];
}

/* Note how SLOT ended. */
static void flight_end(struct flight_slot *slot, int error, const struct varve_failure *failure)
{
	slot->ended = true;
	slot->error = error;
	if (!failure)
		return;
	slot->failure = output_memory(malloc(sizeof(*failure)));
	*slot->failure = *failure;
}

/* Add how far a slot's request has come. */
static void flight_progressed(struct varve_store *store, varve_request request,
			      const struct varve_progress *seen, void *user_data)
{
	struct flight_slot *slot = user_data;
	struct progress *progress = &slot->flight->cli->progress;

	progress->entries += seen->entries - slot->seen.entries;
	progress->bytes += seen->bytes - slot->seen.bytes;
	progress->left = seen->left;
	slot->seen = *seen;
}

/* Take the result of a slot's request. */
static void flight_ended(struct varve_store *store, const struct varve_result *result,
			 void *user_data)
{
	struct flight_slot *slot = user_data;
	struct flight *flight = slot->flight;
	struct varve_progress seen = VARVE_PROGRESS_INIT;

	flight->in_flight--;
	if (flight->cli->progress.enabled && varve_progress(store, result->request, &seen) == 0)
		flight_progressed(store, result->request, &seen, slot);
	flight_end(slot, result->error, result->failure);
	if (flight->job->take)
		flight->job->take(slot, result);
}

/* Submit the request of SLOT. Return 0, also where it was refused for good, or -EAGAIN. */
static int flight_submit(struct flight *flight, struct flight_slot *slot)
{
	struct varve_failure failure = { .operation = flight->job->name, .step = "CHECK" };
	int r = flight->job->submit(flight, slot->id, flight_ended, slot, &slot->request);

	if (r == 0) {
		flight->in_flight++;
		if (flight->cli->progress.enabled)
			varve_progress_watch(flight->cli->store, slot->request, flight_progressed,
					     slot);
		return 0;
	}
	if (r == -EAGAIN && flight->in_flight > 0)
		return r;
	varve_refusal(flight->cli->store, &failure);
	if (!failure.id[0]) /* The options may have been refused; name the id nevertheless. */
		snprintf(failure.id, sizeof(failure.id), "%s", slot->id);
	failure.error = r;
	flight_end(slot, r, &failure);
	return 0;
}

/*
 * Put ID into the next slot and submit it. Return 0, or -EAGAIN when it must be submitted again.
 */
static int flight_start(struct flight *flight, const char *id)
{
	struct flight_slot *slot = flight_slot(flight, flight->tail++);
	struct varve_failure failure = { 0 };
	int r = 0;

	memset(slot, 0, sizeof(*slot));
	slot->flight = flight;
	slot->id = output_memory(strdup(id));
	if (!flight->job->single)
		r = ids_check(flight->ids, id, flight->job->name, &failure);
	if (r == 0)
		return flight_submit(flight, slot);
	flight_end(slot, r, &failure);
	return 0;
}

/*
 * Submit requests until the ids or the room end. Return what ids_next() found last; IDS_FOUND: the
 * room has ended.
 */
static enum ids_found flight_fill(struct flight *flight)
{
	enum ids_found found = IDS_FOUND;
	const char *id;

	if (flight->full)
		flight->full = flight_submit(flight, flight_slot(flight, flight->tail - 1)) ==
			       -EAGAIN;
	while (!flight->full && flight->tail - flight->head < FLIGHT_SLOTS) {
		found = ids_next(flight->ids, &id);
		if (found != IDS_FOUND)
			return found;
		flight->full = flight_start(flight, id) == -EAGAIN;
	}
	return found;
}

/* Write the outcome of SLOT. */
static void flight_report(struct flight *flight, struct flight_slot *slot)
{
	const struct flight_job *job = flight->job;
	struct output *output = &flight->cli->output;

	if (slot->error && job->forgive && job->forgive(slot)) {
		free(slot->failure);
		slot->failure = NULL;
		slot->error = 0;
	}
	if (slot->error == -ECANCELED && flight->stopped) {
		flight->cancelled++; /* Reported in one line for all. */
	} else if (slot->error == -EPIPE && output->error == -EPIPE) {
		; /* The reader is gone: report nothing. */
	} else if (slot->error) {
		flight->failed++;
		failures_add(&flight->failures, output, slot->failure);
	} else {
		flight->done++;
	}
	if (job->report && (!slot->error || (job->report_failed && slot->payload)))
		job->report(slot);
	else if (flight->cli->json)
		output_json(output,
			    output_result(output, job->single ? NULL : slot->id, slot->failure));
}

/* Report the slots that have ended, up to the first that has not. */
static void flight_drain(struct flight *flight)
{
	size_t before = flight->head;

	while (flight->head < flight->tail) {
		struct flight_slot *slot = flight_slot(flight, flight->head);

		if (!slot->ended)
			break;
		flight_report(flight, slot);
		free(slot->id);
		free(slot->failure);
		free(slot->payload);
		flight->head++;
	}
	if (flight->head != before)
		output_flush(&flight->cli->output);
}

/* After a signal: submit nothing more, and cancel what is in flight. */
static void flight_stop(struct flight *flight)
{
	flight->stopped = true;
	if (flight->full) { /* It was never accepted: as if its id had not been read. */
		free(flight_slot(flight, --flight->tail)->id);
		flight->full = false;
	}
	for (size_t number = flight->head; number < flight->tail; number++) {
		struct flight_slot *slot = flight_slot(flight, number);

		if (!slot->ended)
			varve_cancel(flight->cli->store, slot->request);
	}
}

/*
 * Sleep until a request has ended, an id can be read (READING) or a signal has come; run callbacks.
 */
static int flight_wait(struct flight *flight, bool reading)
{
	struct cli *cli = flight->cli;
	struct pollfd fds[] = {
		{ .fd = varve_fd(cli->store), .events = POLLIN },
		{ .fd = flight->stopped ? -1 : interrupt_fd(), .events = POLLIN },
		{ .fd = reading ? STDIN_FILENO : -1, .events = POLLIN },
	};
	bool idle = flight->in_flight == 0 && flight->failures.count > 0;
	int r = poll(fds, sizeof(fds) / sizeof(fds[0]),
		     idle ? FLIGHT_REPORT_MS : progress_timeout_ms(&cli->progress));

	if (r < 0 && errno != EINTR)
		return -errno;
	if (r == 0 && idle)
		failures_report(&flight->failures, &cli->output);
	if (r <= 0)
		return 0;
	if (fds[0].revents) {
		r = varve_dispatch(cli->store, 0);
		if (r < 0)
			return r;
	}
	if (fds[2].revents) {
		r = ids_fill(flight->ids);
		if (r < 0) {
			failures_report(&flight->failures, &cli->output);
			output_complain(&cli->output, "%s: standard input: %s", flight->job->name,
					strerror(-r));
			flight->failed++;
		}
	}
	return 0;
}

/*
 * Submit, wait and report until nothing is left. Return 0, or -errno when the loop itself failed.
 */
static int flight_loop(struct flight *flight)
{
	struct cli *cli = flight->cli;
	enum ids_found found = IDS_WAIT;
	int r = 0;

	while (r == 0) {
		/* Without a reader requests that only read are of no use. */
		if ((interrupt_signal() || (cli->looks && cli->output.error == -EPIPE)) &&
		    !flight->stopped)
			flight_stop(flight);
		if (!flight->stopped)
			found = flight_fill(flight);
		flight_drain(flight);
		progress_update(&cli->progress, flight->done + flight->failed, flight->failed);
		/* Reporting made room. */
		if (found == IDS_FOUND && !flight->stopped && !flight->full &&
		    flight->tail - flight->head < FLIGHT_SLOTS)
			continue;
		if (flight->in_flight == 0 && (flight->stopped || found == IDS_END))
			break;
		r = flight_wait(flight, found == IDS_WAIT && !flight->stopped);
	}
	return r;
}

/* Report that a signal ended the work, and what was done before. */
static void flight_report_stopped(const struct flight *flight)
{
	struct output *output = &flight->cli->output;
	const char *name = sigabbrev_np(interrupt_signal());

	if (!flight->job->single)
		output_complain(output, "%s: stopped by SIG%s: %zu %s, %zu failed, %zu cancelled",
				flight->job->name, name, flight->done, flight->job->past,
				flight->failed, flight->cancelled);
	else if (flight->cancelled)
		output_complain(output, "%s: stopped by SIG%s", flight->job->name, name);
}

/* As flight_run(), with the operand - for standard input unless LITERAL is set. */
static int flight_run_list(struct cli *cli, const struct flight_job *job, const char *const *list,
			   size_t count, bool literal, void *data)
{
	struct ids *ids = output_memory(malloc(sizeof(*ids)));
	struct flight flight = { .cli = cli, .job = job, .data = data, .ids = ids };
	int r;

	ids_init(ids, list, count, literal, cli->output.end);
	flight.slots = output_memory(calloc(FLIGHT_SLOTS, sizeof(*flight.slots)));
	progress_start(&cli->progress, job->name, job->single ? 1 : ids_total(ids));
	r = flight_loop(&flight);
	progress_finish(&cli->progress);
	failures_report(&flight.failures, &cli->output);
	if (r < 0)
		output_complain(&cli->output, "%s: %s", job->name, strerror(-r));
	if (flight.stopped && interrupt_signal())
		flight_report_stopped(&flight);
	/*
	 * A loop that failed leaves requests in flight, whose callbacks need the slots until the
	 * store is closed.
	 */
	if (flight.in_flight > 0) {
		varve_close(cli->store);
		cli->store = NULL;
	}
	free(flight.slots);
	free(ids);
	return r < 0 || flight.failed || (flight.stopped && interrupt_signal()) ? CLI_FAILED
										: CLI_DONE;
}

int flight_run(struct cli *cli, const struct flight_job *job, const char *const *ids, size_t count,
	       void *data)
{
	return flight_run_list(cli, job, ids, count, true, data);
}

int flight_run_single(struct cli *cli, const struct flight_job *job, void *data)
{
	static const char *const nothing[] = { "" };

	return flight_run(cli, job, nothing, 1, data);
}

int flight_run_operands(struct cli *cli, const struct flight_job *job,
			const struct arguments *arguments, void *data)
{
	return flight_run_list(cli, job, (const char *const *)arguments->operands,
			       arguments->operands_count, false, data);
}

void flight_report_nothing(struct flight_slot *slot)
{
}

bool flight_forgive_missing(const struct flight_slot *slot)
{
	return slot->error == -ENOENT;
}
