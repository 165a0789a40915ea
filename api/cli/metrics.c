/* SPDX-License-Identifier: Apache-2.0 */
/*
 * metrics.c: `status --metrics`. The text is OpenMetrics, and by having gauges alone also what
 * node_exporter's textfile collector reads.
 */
#include "metrics.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "destination.h"

/* The numbers to be written. */
struct metrics {
	FILE *file;
	const char *home, *kernel, *version;
	size_t layers, records;
	/* NULL: not known. */
	const struct varve_quota *quota;
	const char *backlog;
};

/*
 * Write VALUE as a label's: escaped, without control characters, which a terminal would obey, and
 * where it is not UTF-8, without bytes above ASCII.
 */
static void metrics_label(FILE *file, const char *value)
{
	json_t *valid = json_string(value);

	for (const char *at = value; *at; at++) {
		if (*at == '\\' || *at == '"')
			fputc('\\', file);
		if (*at == '\n')
			fputs("\\n", file);
		else if ((unsigned char)*at < ' ' || *at == 0x7f || (!valid && *at & 0x80))
			fputc('?', file);
		else
			fputc(*at, file);
	}
	json_decref(valid);
}

/* Write the head of the gauge NAME; UNIT may be NULL. */
static void metrics_head(const struct metrics *metrics, const char *name, const char *unit,
			 const char *help)
{
	fprintf(metrics->file, "# TYPE varve_%s gauge\n# HELP varve_%s %s\n", name, name, help);
	if (unit)
		fprintf(metrics->file, "# UNIT varve_%s %s\n", name, unit);
}

/* Write the sample NAME, with LABEL=TEXT where it has one. */
static void metrics_sample(const struct metrics *metrics, const char *name, const char *label,
			   const char *text, uint64_t value)
{
	fprintf(metrics->file, "varve_%s{home=\"", name);
	metrics_label(metrics->file, metrics->home);
	if (label) {
		fprintf(metrics->file, "\",%s=\"", label);
		metrics_label(metrics->file, text);
	}
	fprintf(metrics->file, "\"} %" PRIu64 "\n", value);
}

/* Write the gauge NAME. */
static void metrics_gauge(const struct metrics *metrics, const char *name, const char *unit,
			  const char *help, uint64_t value)
{
	metrics_head(metrics, name, unit, help);
	metrics_sample(metrics, name, NULL, NULL, value);
}

/* Write the gauges of quota. */
static void metrics_quota(const struct metrics *metrics)
{
	static const char *const modes[] = { "off", "full", "simple" };
	const struct varve_quota *quota = metrics->quota;

	metrics_head(metrics, "quota_mode", NULL, "1 for the mode in which quota runs.");
	for (unsigned i = 0; i < sizeof(modes) / sizeof(*modes); i++)
		metrics_sample(metrics, "quota_mode", "mode", modes[i], (unsigned)quota->mode == i);
	metrics_gauge(metrics, "quota_inconsistent", NULL,
		      "1 where limits are not enforced until a rescan is done.",
		      (quota->flags & VARVE_QUOTA_INCONSISTENT) != 0);
	metrics_gauge(metrics, "quota_rescan_running", NULL, "1 while a rescan runs.",
		      (quota->flags & VARVE_QUOTA_RESCAN_RUNNING) != 0);
	metrics_gauge(metrics, "quota_groups", NULL, "Quota groups of the file system.",
		      quota->groups);
	metrics_gauge(metrics, "quota_groups_stale", NULL,
		      "Quota groups of subvolumes that are gone.", quota->groups_stale);
	metrics_gauge(metrics, "layers_with_size", NULL, "Layers with a recorded size.",
		      quota->records);
}

/* Write the space of the file system, as statvfs() of the home tells. */
static void metrics_space(const struct metrics *metrics)
{
	struct statvfs space;

	if (statvfs(metrics->home, &space) < 0)
		return;
	metrics_gauge(metrics, "filesystem_size_bytes", "bytes", "Size of the file system.",
		      space.f_blocks * space.f_frsize);
	metrics_gauge(metrics, "filesystem_available_bytes", "bytes",
		      "Space of the file system that is available to users.",
		      space.f_bavail * space.f_frsize);
	metrics_gauge(metrics, "filesystem_used_bytes", "bytes",
		      "Space of the file system that is used.",
		      (space.f_blocks - space.f_bfree) * space.f_frsize);
}

/* Write all gauges. */
static void metrics_write(const struct metrics *metrics)
{
	metrics_head(metrics, "version", NULL, "1; the version of libvarve.");
	metrics_sample(metrics, "version", "version", metrics->version, 1);
	metrics_head(metrics, "kernel", NULL, "1; the release of the kernel.");
	metrics_sample(metrics, "kernel", "release", metrics->kernel, 1);
	metrics_gauge(metrics, "layers", NULL, "Layers of the store.", metrics->layers);
	metrics_gauge(metrics, "layers_with_record", NULL, "Layers with labels or a record.",
		      metrics->records);
	if (metrics->backlog)
		metrics_gauge(metrics, "cleaner_backlog_subvolumes", NULL,
			      "Removed subvolumes of the file system that await the cleaner.",
			      strtoull(metrics->backlog, NULL, 10));
	if (metrics->quota)
		metrics_quota(metrics);
	metrics_space(metrics);
	fputs("# EOF\n", metrics->file);
}

/* The value of KEY in the status; "" where there is none. */
static const char *metrics_status(const struct varve_status_entry *entries, size_t count,
				  const char *key)
{
	for (size_t i = 0; i < count; i++)
		if (!strcmp(entries[i].key, key))
			return entries[i].value;
	return "";
}

/* Write METRICS to the file NAMED. Return an exit status. */
static int metrics_output(struct cli *cli, struct metrics *metrics, const char *named)
{
	struct destination destination = { .fd = -1 };
	char *text = NULL;
	size_t size = 0;
	FILE *file;
	int r;

	metrics->file = open_memstream(&text, &size);
	if (!metrics->file)
		output_memory(NULL);
	metrics_write(metrics);
	fclose(metrics->file);
	output_memory(text);
	if (!named || !strcmp(named, "-")) {
		output_text(&cli->output, "%s", text);
		free(text);
		return CLI_DONE;
	}
	if (destination_open(&destination, &cli->output, "status", named) < 0) {
		free(text);
		return CLI_FAILED;
	}
	file = fdopen(dup(destination.fd), "w");
	r = !file || fwrite(text, 1, size, file) != size;
	if (file && fclose(file))
		r = 1;
	if (r)
		output_complain(&cli->output, "status: %s: %s", named, strerror(errno));
	free(text);
	if (destination_close(&destination, &cli->output, "status", !r) < 0)
		r = 1;
	return r ? CLI_FAILED : CLI_DONE;
}

int metrics_run(struct cli *cli, const char *file)
{
	struct varve_find_options find = VARVE_FIND_OPTIONS_INIT;
	struct varve_quota quota = VARVE_QUOTA_INIT;
	struct varve_status_entry *entries = NULL;
	struct varve_failure failure = { 0 };
	struct metrics metrics = { .version = varve_version() };
	size_t count = 0;
	int status = CLI_FAILED;
	struct varve_layer_record **records = NULL;
	int r = varve_status_wait(cli->store, &entries, &count, &failure);

	find.flags = VARVE_FIND_RECORDS;
	if (!r)
		r = varve_layer_find_wait(cli->store, &find, NULL, &records, &metrics.layers,
					  &failure);
	for (size_t i = 0; !r && i < metrics.layers; i++)
		metrics.records += records[i] != NULL;
	/* Without privilege the numbers of quota stay unknown. */
	if (!r && !varve_quota_status_wait(cli->store, &quota, NULL))
		metrics.quota = &quota;
	if (r)
		output_failure(&cli->output, &failure);
	else {
		metrics.home = metrics_status(entries, count, "home");
		metrics.kernel = metrics_status(entries, count, "kernel");
		metrics.backlog = metrics_status(entries, count, "cleaner_backlog");
		if (*metrics.backlog < '0' || *metrics.backlog > '9')
			metrics.backlog = NULL;
		status = metrics_output(cli, &metrics, file);
	}
	free(entries);
	free(records);
	return status;
}
