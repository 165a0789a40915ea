/* SPDX-License-Identifier: Apache-2.0 */
/* progress.c: the line on a terminal with the progress. */
#include "progress.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

/* The longest line, with its NUL. */
#define PROGRESS_LINE_SIZE 160

/* Return the monotonic time in milliseconds. */
static int64_t progress_now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* Return how many columns of the terminal the line may take. */
static size_t progress_columns(void)
{
	struct winsize size;

	/* The last column stays free: some terminals wrap when it is written. */
	if (ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 1)
		return size.ws_col - 1;
	return 79;
}

/* Compose the line into BUFFER, of PROGRESS_LINE_SIZE bytes. */
static void progress_compose(const struct progress *progress, size_t done, size_t failed,
			     int64_t elapsed_ms, char *buffer)
{
	char items[48] = "", failures[32] = "", rate[32] = "", entries[48] = "", bytes[32] = "",
	     left[48] = "";

	if (progress->total > 1)
		snprintf(items, sizeof(items), " %zu of %zu,", done, progress->total);
	else if (progress->total == 0)
		snprintf(items, sizeof(items), " %zu done,", done);
	if (failed)
		snprintf(failures, sizeof(failures), " %zu failed,", failed);
	if (progress->total != 1)
		snprintf(rate, sizeof(rate), " %lld/s,",
			 (long long)done * 1000 / (long long)elapsed_ms);
	if (progress->entries)
		snprintf(entries, sizeof(entries), " %" PRIu64 " entries,", progress->entries);
	if (progress->bytes >> 20)
		snprintf(bytes, sizeof(bytes), " %" PRIu64 " MiB,", progress->bytes >> 20);
	if (progress->left)
		snprintf(left, sizeof(left), " %" PRIu64 " to be cleaned,", progress->left);
	snprintf(buffer, PROGRESS_LINE_SIZE, "%s:%s%s%s%s%s%s %lld s", progress->label, items,
		 failures, rate, entries, bytes, left, (long long)(elapsed_ms / 1000));
}

void progress_init(struct progress *progress)
{
	const char *term = getenv("TERM");

	memset(progress, 0, sizeof(*progress));
	progress->enabled = isatty(STDERR_FILENO) && term && *term && strcmp(term, "dumb") != 0;
}

void progress_start(struct progress *progress, const char *label, size_t total)
{
	progress->label = label;
	progress->total = total;
	progress->entries = progress->bytes = progress->left = 0;
	progress->started_ms = progress_now_ms();
	progress->updated_ms = 0;
}

void progress_update(struct progress *progress, size_t done, size_t failed)
{
	char line[PROGRESS_LINE_SIZE];
	int64_t now_ms, elapsed_ms;

	if (!progress->enabled || !progress->label)
		return;
	now_ms = progress_now_ms();
	elapsed_ms = now_ms - progress->started_ms;
	if (elapsed_ms < PROGRESS_DELAY_MS || now_ms - progress->updated_ms < PROGRESS_INTERVAL_MS)
		return;
	progress_compose(progress, done, failed, elapsed_ms, line);
	if (strlen(line) > progress_columns())
		line[progress_columns()] = '\0';
	fprintf(stderr, "\r%s\033[K", line);
	progress->updated_ms = now_ms;
	progress->shown = true;
}

int progress_timeout_ms(const struct progress *progress)
{
	return progress->enabled && progress->label ? PROGRESS_INTERVAL_MS : -1;
}

void progress_clear(struct progress *progress)
{
	if (!progress->shown)
		return;
	fputs("\r\033[K", stderr);
	progress->shown = false;
	progress->updated_ms = 0;
}

void progress_finish(struct progress *progress)
{
	progress_clear(progress);
	progress->label = NULL;
}
