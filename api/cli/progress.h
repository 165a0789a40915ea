/* SPDX-License-Identifier: Apache-2.0 */
/* progress.h: the line on a terminal with the progress. */
#ifndef VARVE_CLI_PROGRESS_H
#define VARVE_CLI_PROGRESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Work that is shorter than this shows no progress line. */
#define PROGRESS_DELAY_MS 1000
/* The line is written anew at most this often. */
#define PROGRESS_INTERVAL_MS 200

/* The progress line of one piece of work after the other. */
struct progress {
	/* Standard error is a terminal that can erase a line. */
	bool enabled;
	/* The line stands on the terminal now. */
	bool shown;
	/* The work, or NULL when none is under way. */
	const char *label;
	/* How many items there will be; 0: not known. */
	size_t total;
	/* Files and directories looked at so far, where that is what takes the time. */
	uint64_t entries;
	/* Their bytes, where they are added up. */
	uint64_t bytes;
	/* What is to be cleaned still, where that is waited for. */
	uint64_t left;
	/* When the work began. */
	int64_t started_ms;
	/* When the line was last written. */
	int64_t updated_ms;
};

/* Find out whether a progress line can be shown at all. */
void progress_init(struct progress *progress);

/* Begin work called LABEL on TOTAL items (0: not known). */
void progress_start(struct progress *progress, const char *label, size_t total);

/* Write the line anew, if it is time to: DONE items ended, of which FAILED failed. */
void progress_update(struct progress *progress, size_t done, size_t failed);

/* Return how long a poll may sleep before the next update, in milliseconds; -1: for ever. */
int progress_timeout_ms(const struct progress *progress);

/* Take the line off the terminal, because other text is about to be written. */
void progress_clear(struct progress *progress);

/* End the work. */
void progress_finish(struct progress *progress);

#endif
