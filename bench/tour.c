/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The tour: a few short jobs of the claims, and a table of what a layer costs today and with varve.
 */
#include "tour.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "report/format.h"
#include "report/pair.h"
#include "report/report.h"

#define TOUR_IMAGE "pool.img"
#define TOUR_SIZE "4g"
#define TOUR_REPEAT 2

/*
 * The runtimes add up to under a minute; the rest is making the image and waiting for the kernel's
 * cleaner.
 */
static const char tour_jobs[] = "[global]\n"
				"nrfiles=10\n"
				"filesize=4k\n"
				"runtime=2\n"
				"[create, one at a time]\n"
				"rw=snapshot\n"
				"pair=varve,reference\n"
				"durability=durable\n"
				"number_ios=300\n"
				"[create, 64 in flight]\n"
				"rw=snapshot\n"
				"pair=varve,reference\n"
				"iodepth=64\n"
				"number_ios=4096\n"
				"[create, 64 in flight, durable]\n"
				"rw=snapshot\n"
				"pair=varve,reference\n"
				"iodepth=64\n"
				"durability=durable\n"
				"number_ios=4096\n"
				"[create and remove, 64 pairs]\n"
				"rw=churn\n"
				"pair=varve,reference\n"
				"varve.iodepth=64\n"
				"varve.live=256\n"
				"reference.numjobs=64\n"
				"reference.live=4\n"
				"[remove a layer of 5,000 files]\n"
				"rw=remove\n"
				"pair=varve,reference\n"
				"nrfiles=5000\n"
				"filesize=512\n"
				"number_ios=50\n";

/* Choose a pool for COMMAND: an image in a new directory of its own. */
static int make_image(struct command *command, char *error)
{
	const char *temporary = getenv("TMPDIR");
	char directory[PATH_MAX / 2];

	snprintf(directory, sizeof(directory), "%s/varve-bench-tour.XXXXXX",
		 temporary ? temporary : "/tmp");
	if (!mkdtemp(directory)) {
		snprintf(error, OPTIONS_ERROR_SIZE, "%.400s: %s", directory, strerror(errno));
		return -errno;
	}
	if (asprintf(&command->pool_text, "%s/" TOUR_IMAGE "," TOUR_SIZE, directory) < 0) {
		command->pool_text = NULL;
		rmdir(directory);
		return -ENOMEM;
	}
	command->pool = command->pool_text;
	return 0;
}

int tour_prepare(struct command *command, char *error)
{
	int r;

	if (command->set.count) {
		snprintf(error, OPTIONS_ERROR_SIZE, "--tour has jobs of its own");
		return -EINVAL;
	}
	if (!command->repeat)
		command->repeat = TOUR_REPEAT;
	if (geteuid() != 0) {
		snprintf(error, OPTIONS_ERROR_SIZE,
			 "the tour makes a btrfs image and mounts it: it needs root; "
			 "with a directory on btrfs use --directory=DIR, see --help");
		return -EPERM;
	}
	r = job_set_parse(&command->set, "tour", tour_jobs, strlen(tour_jobs), error);
	if (r < 0)
		return r;
	printf("varve-bench: a tour of about a minute; varve-bench --help lists all options\n");
	fflush(stdout);
	return command->pool ? 0 : make_image(command, error);
}

void tour_finish(const struct command *command)
{
	char path[PATH_MAX];

	if (!command->pool_text)
		return;
	snprintf(path, sizeof(path), "%.*s",
		 (int)(strrchr(command->pool_text, ',') - command->pool_text), command->pool_text);
	unlink(path);
	*strrchr(path, '/') = '\0';
	rmdir(path);
}

/* Write the figures of ENGINE in JOB: layers a second, and the median latency. */
static void tour_cell(FILE *file, const struct results *results, const struct job *job,
		      const char *engine)
{
	struct spread iops = { 0 }, p50 = { 0 };
	char a[FORMAT_SIZE], b[FORMAT_SIZE], cell[2 * FORMAT_SIZE + 8];

	pair_collect(results, job, engine, "iops", &iops);
	pair_collect(results, job, engine, "lat_p50", &p50);
	snprintf(cell, sizeof(cell), "%s/s, %s", format_count(spread_median(&iops), a),
		 format_time(spread_median(&p50), b));
	fprintf(file, "  %-20s", cell);
}

void report_tour(FILE *file, const struct job_set *set, const struct results *results)
{
	fprintf(file, "\n%-32s  %-20s  %-20s  %s\n", "", "today", "varve", "times faster");
	for (size_t i = 0; i < set->count; i++) {
		const struct job *job = &set->jobs[i];
		struct spread ratio = { 0 };

		if (!job->engines)
			continue;
		pair_ratio(results, job, "iops", job->engines[0], job->engines[1], &ratio);
		fprintf(file, "%-32s", job->name);
		tour_cell(file, results, job, job->engines[1]);
		tour_cell(file, results, job, job->engines[0]);
		fprintf(file, "  %.1f (%.1f to %.1f)\n", spread_median(&ratio), spread_min(&ratio),
			spread_max(&ratio));
	}
	fprintf(file,
		"\ntoday: the reference driver's own steps, one at a time on each thread (64 threads for the pairs).\n"
		"Layers a second, and the latency that half of the operations stayed below.\n");
}
