/* SPDX-License-Identifier: Apache-2.0 */
/* The table of keys, and the parsers of their values. */
#include "job/options.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "load/clock.h"

#define COUNT_OF(array) (sizeof(array) / sizeof(*(array)))
#define SIZE_LIMIT (1ull << 50)
#define TIME_LIMIT (366 * 86400 * NS_PER_S)

/* How a value is written. */
enum option_type {
	OPTION_STRING,       /* Any text that is not empty. */
	OPTION_NUMBER,       /* A whole number. */
	OPTION_SIZE,         /* A whole number with a unit. */
	OPTION_RANGE,        /* A size, or two joined by '-'. */
	OPTION_SECONDS,      /* A time; without a unit in seconds. */
	OPTION_MICROSECONDS, /* A time; without a unit in microseconds. */
	OPTION_BOOL,         /* 0 or 1; alone it means 1. */
	OPTION_CHOICE,       /* One of a list of words. */
	OPTION_MIX,          /* KIND:PERCENT, joined by ','. */
	OPTION_PERCENTILES,  /* Numbers joined by ':'. */
};

/* One key. */
struct option {
	const char *key;            /* Its name. */
	enum option_type type;      /* How its value is written. */
	size_t offset;              /* Where in struct options it lies. */
	uint64_t min;               /* Smallest number. */
	uint64_t max;               /* Largest number. */
	const char *const *choices; /* Words of OPTION_CHOICE, NULL last. */
	const char *help;           /* One line. */
};

static const char *const workload_names[] = {
	[BENCH_NOOP] = "noop",       [BENCH_CREATE] = "create",     [BENCH_SNAPSHOT] = "snapshot",
	[BENCH_REMOVE] = "remove",   [BENCH_GET] = "get",           [BENCH_USAGE] = "usage",
	[BENCH_WALK] = "walk",       [BENCH_CHOWN] = "chown",       [BENCH_RELABEL] = "relabel",
	[BENCH_CHANGES] = "changes", [BENCH_DIFF] = "diff",         [BENCH_QUOTA] = "quota",
	[BENCH_APPLY] = "apply",     [BENCH_DIFFSIZE] = "diffsize", [BENCH_INFO] = "info",
	[BENCH_EXISTS] = "exists",   [BENCH_LIST] = "list",         [BENCH_SYNC] = "sync",
	[BENCH_SWEEP] = "sweep",     [BENCH_COMMIT] = "commit",     [BENCH_FLUSH] = "flush",
	[WORKLOAD_CHURN] = "churn",  [WORKLOAD_MIX] = "mix",        NULL,
};
static const char *const churn_names[] = { "set", "forkjoin", "pipeline", NULL };
static const char *const fixture_names[] = { "flat", "image", NULL };
static const char *const method_names[] = { "auto",        "walk",       "search", "delta",
					    "delta-exact", "delta-walk", NULL };
static const char *const quota_names[] = { "off", "full", "simple", NULL };
static const char *const compress_names[] = { "none", "gzip", "zstd", NULL };
static const char *const durability_names[] = { "relaxed", "durable", NULL };

#define AT(field) offsetof(struct options, field)

static const struct option table[] = {
	{ "name", OPTION_STRING, AT(name), 0, 0, NULL,
	  "name of the job; on the command line it begins one" },
	{ "description", OPTION_STRING, AT(description), 0, 0, NULL, "purpose of the job" },
	{ "rw", OPTION_CHOICE, AT(rw), 0, 0, workload_names,
	  "operation of the job, such as snapshot" },
	{ "rwmix", OPTION_MIX, AT(mix), 0, 100, NULL,
	  "KIND:PERCENT,...: do these in a mix (implies rw=mix)" },
	{ "ioengine", OPTION_STRING, AT(ioengine), 0, 0, NULL,
	  "engine that does the work: see --help=engines; external:PATH loads one" },
	{ "iodepth", OPTION_NUMBER, AT(iodepth), 1, OPTIONS_DEPTH_MAX, NULL,
	  "operations in flight on each thread" },
	{ "numjobs", OPTION_NUMBER, AT(numjobs), 1, OPTIONS_THREADS_MAX, NULL,
	  "threads, each with layers of its own" },
	{ "directory", OPTION_STRING, AT(directory), 0, 0, NULL,
	  "directory on btrfs in which the run makes its own" },
	{ "runtime", OPTION_SECONDS, AT(runtime), 0, TIME_LIMIT, NULL, "stop after this time" },
	{ "overtime", OPTION_SECONDS, AT(overtime), 0, TIME_LIMIT, NULL,
	  "fail when no operation ends for this time, or the job for this time after runtime; 0: never" },
	{ "time_based", OPTION_BOOL, AT(time_based), 0, 1, NULL,
	  "run for the whole runtime, whatever number_ios is" },
	{ "loops", OPTION_NUMBER, AT(loops), 1, SIZE_LIMIT, NULL, "repeat the work N times" },
	{ "number_ios", OPTION_NUMBER, AT(number_ios), 1, SIZE_LIMIT, NULL,
	  "layers (noop: requests) for each thread in one loop" },
	{ "ramp_time", OPTION_SECONDS, AT(ramp_time), 0, TIME_LIMIT, NULL,
	  "run for this time before anything is counted" },
	{ "rate_iops", OPTION_NUMBER, AT(rate_iops), 0, 1000000000, NULL,
	  "operations a second on each thread; latency then counts from the time an operation was due" },
	{ "thinktime", OPTION_MICROSECONDS, AT(thinktime), 0, TIME_LIMIT, NULL,
	  "pause after each operation (us)" },
	{ "startdelay", OPTION_SECONDS, AT(startdelay), 0, TIME_LIMIT, NULL,
	  "pause before the first operation" },
	{ "size", OPTION_SIZE, AT(size), 0, SIZE_LIMIT, NULL, "bytes in the parent layer" },
	{ "nrfiles", OPTION_NUMBER, AT(nrfiles), 0, 10000000, NULL, "files in the parent layer" },
	{ "dirfiles", OPTION_NUMBER, AT(dirfiles), 1, 10000000, NULL,
	  "files in each directory of a flat parent layer" },
	{ "filesize", OPTION_RANGE, AT(filesize), 0, SIZE_LIMIT, NULL,
	  "bytes in each file, or a range LOW-HIGH" },
	{ "bs", OPTION_SIZE, AT(bs), 512, 64 << 20, NULL, "bytes in each write that fills a file" },
	{ "buffer_compress_percentage", OPTION_NUMBER, AT(compressible), 0, 99, NULL,
	  "percent of zeros in files whose other content differs; 0: all have the same content" },
	{ "randseed", OPTION_NUMBER, AT(randseed), 0, UINT64_MAX, NULL,
	  "seed of the tree and of the operations" },
	{ "fixture", OPTION_CHOICE, AT(fixture), 0, 0, fixture_names, "shape of the parent layer" },
	{ "aged", OPTION_NUMBER, AT(aged), 0, 1000000, NULL,
	  "rounds of change that the parent layer goes through first" },
	{ "edits", OPTION_NUMBER, AT(edits), 0, 10000000, NULL,
	  "files that are rewritten in each live layer first" },
	{ "nested", OPTION_NUMBER, AT(nested), 0, 10000, NULL,
	  "subvolumes that are made in each live layer first" },
	{ "live", OPTION_NUMBER, AT(live), 0, 10000000, NULL,
	  "layers that each thread makes before the clock starts" },
	{ "batch", OPTION_NUMBER, AT(batch), 1, OPTIONS_BATCH_MAX, NULL, "layers in each request" },
	{ "remove_batch", OPTION_NUMBER, AT(remove_batch), 1, OPTIONS_BATCH_MAX, NULL,
	  "layers in each removal of a mix" },
	{ "limit", OPTION_SIZE, AT(limit), 0, SIZE_LIMIT, NULL,
	  "bytes that each new layer may hold; needs quota" },
	{ "record", OPTION_SIZE, AT(record), 0, OPTIONS_RECORD_MAX, NULL,
	  "bytes of the record of each new layer, beside a label" },
	{ "fill", OPTION_SIZE, AT(fill), 0, 1 << 30, NULL,
	  "bytes that are written into each new layer, and before each flush" },
	{ "cold", OPTION_BOOL, AT(cold), 0, 1, NULL,
	  "mount the pool anew before the clock starts; needs --pool" },
	{ "full", OPTION_BOOL, AT(full), 0, 1, NULL,
	  "changes, diff, diffsize: compare with nothing, not with the parent" },
	{ "compress", OPTION_CHOICE, AT(compress), 0, 0, compress_names,
	  "apply: how the archive is compressed" },
	{ "churn", OPTION_CHOICE, AT(churn), 0, 0, churn_names,
	  "how churn's layers depend on each other" },
	{ "width", OPTION_NUMBER, AT(width), 1, 4096, NULL,
	  "layers of one fork, or of one pipeline" },
	{ "durability", OPTION_CHOICE, AT(durability), 0, 0, durability_names,
	  "when an operation has ended: relaxed or durable" },
	{ "quota", OPTION_CHOICE, AT(quota), 0, 0, quota_names,
	  "mode of quota while the job runs; needs --pool" },
	{ "stonewall", OPTION_BOOL, AT(stonewall), 0, 1, NULL,
	  "begin after all jobs above have ended" },
	{ "group_reporting", OPTION_BOOL, AT(group_reporting), 0, 1, NULL,
	  "one report for all threads of the job" },
	{ "write_lat_log", OPTION_STRING, AT(lat_log), 0, 0, NULL,
	  "write latencies to PREFIX_{slat,clat,lat}.N.log" },
	{ "write_iops_log", OPTION_STRING, AT(iops_log), 0, 0, NULL,
	  "write rates to PREFIX_iops.N.log" },
	{ "write_bw_log", OPTION_STRING, AT(bw_log), 0, 0, NULL,
	  "write KiB/s (of layer content) to PREFIX_bw.N.log" },
	{ "log_avg_msec", OPTION_NUMBER, AT(log_avg_ms), 0, 3600000, NULL,
	  "average the logs over N ms; 0: log each operation" },
	{ "percentile_list", OPTION_PERCENTILES, AT(percentiles), 0, 100, NULL,
	  "percentiles to report, joined by ':'" },
	{ "pair", OPTION_STRING, AT(pair), 0, 0, NULL,
	  "engines to run in turn, joined by ','; see --repeat" },
	{ "claim", OPTION_STRING, AT(claim), 0, 0, NULL,
	  "figures that the pair must reach, such as iops>=6" },
	{ "guard_calls", OPTION_BOOL, AT(guard_calls), 0, 1, NULL,
	  "trap file-system calls of the job's threads, count them" },
	{ "method", OPTION_CHOICE, AT(method), 0, 0, method_names,
	  "varve: the method of usage and changes" },
	{ "unprivileged", OPTION_BOOL, AT(unprivileged), 0, 1, NULL,
	  "varve: run without CAP_SYS_ADMIN, also as root" },
	{ "background", OPTION_BOOL, AT(background), 0, 1, NULL,
	  "varve: removals run in the background" },
	{ "server", OPTION_STRING, AT(server), 0, 0, NULL,
	  "snapshotter, containerd: the command that starts the server; {root}, {socket}, {bin} are replaced" },
	{ "socket", OPTION_STRING, AT(socket), 0, 0, NULL,
	  "snapshotter: the socket of a running server" },
	{ "digests", OPTION_BOOL, AT(digests), 0, 1, NULL,
	  "varve: take the digests of the archive of apply" },
	{ "ring_entries", OPTION_NUMBER, AT(ring_entries), 0, 4096, NULL,
	  "varve: depth of the io_uring" },
	{ "fs_threads_max", OPTION_NUMBER, AT(fs_threads_max), 0, 64, NULL,
	  "varve: threads for short calls" },
	{ "commit_threads_max", OPTION_NUMBER, AT(commit_threads_max), 0, 512, NULL,
	  "varve: snapshots in flight" },
	{ "backlog_max", OPTION_NUMBER, AT(backlog_max), 0, 1000000, NULL,
	  "varve: removed layers beyond which creates wait" },
};

static const double percentiles_default[] = { 1,  5,  10, 20, 30,   40,   50,    60,   70,
					      80, 90, 95, 99, 99.5, 99.9, 99.95, 99.99 };

/* Find the line of the table for KEY, NULL when there is none. */
static const struct option *option_find(const char *key)
{
	for (size_t i = 0; i < COUNT_OF(table); i++)
		if (!strcmp(table[i].key, key))
			return &table[i];
	return NULL;
}

/*
 * Parse the digits at *TEXT into *RET and step over them. Returns 0, -EINVAL (no digit) or -ERANGE.
 */
static int parse_digits(const char **text, uint64_t *ret)
{
	uint64_t value = 0;

	if (!isdigit((unsigned char)**text))
		return -EINVAL;
	for (; isdigit((unsigned char)**text); (*text)++) {
		if (__builtin_mul_overflow(value, 10, &value) ||
		    __builtin_add_overflow(value, (uint64_t)(**text - '0'), &value))
			return -ERANGE;
	}
	*ret = value;
	return 0;
}

/* Parse a size at *TEXT and step over it. */
static int parse_size_at(const char **text, uint64_t *ret)
{
	static const char units[] = "kmgtp";
	const char *unit;
	uint64_t value;
	int r = parse_digits(text, &value);

	if (r < 0)
		return r;
	unit = **text ? strchr(units, tolower((unsigned char)**text)) : NULL;
	if (unit) {
		if (__builtin_mul_overflow(value, 1ull << 10 * (unit - units + 1), &value))
			return -ERANGE;
		(*text)++;
		if (tolower((unsigned char)**text) == 'i')
			(*text)++;
	}
	if (tolower((unsigned char)**text) == 'b')
		(*text)++;
	*ret = value;
	return 0;
}

int options_parse_size(const char *text, uint64_t *ret)
{
	uint64_t value;
	int r = parse_size_at(&text, &value);

	if (r < 0)
		return r;
	if (*text)
		return -EINVAL;
	*ret = value;
	return 0;
}

/* Parse TEXT as a time whose unit, when it has none, is UNIT_NS. */
static int parse_time(const char *text, uint64_t unit_ns, uint64_t *ret)
{
	static const struct {
		const char *suffix;
		uint64_t ns;
	} units[] = { { "us", NS_PER_US },      { "usec", NS_PER_US },    { "ms", NS_PER_MS },
		      { "msec", NS_PER_MS },    { "s", NS_PER_S },        { "sec", NS_PER_S },
		      { "m", 60 * NS_PER_S },   { "min", 60 * NS_PER_S }, { "h", 3600 * NS_PER_S },
		      { "d", 86400 * NS_PER_S } };
	uint64_t value;
	int r = parse_digits(&text, &value);

	if (r < 0)
		return r;
	for (size_t i = 0; *text && i < COUNT_OF(units); i++) {
		if (!strcasecmp(text, units[i].suffix)) {
			unit_ns = units[i].ns;
			text += strlen(text);
		}
	}
	if (*text)
		return -EINVAL;
	return __builtin_mul_overflow(value, unit_ns, ret) ? -ERANGE : 0;
}

int options_parse_time(const char *text, uint64_t *ret_ns)
{
	return parse_time(text, NS_PER_S, ret_ns);
}

/* Parse LOW or LOW-HIGH. */
static int parse_range(const char *text, struct range *ret)
{
	struct range range;
	int r = parse_size_at(&text, &range.low);

	if (r < 0)
		return r;
	range.high = range.low;
	if (*text == '-') {
		text++;
		r = parse_size_at(&text, &range.high);
		if (r < 0)
			return r;
	}
	if (*text || range.high < range.low)
		return -EINVAL;
	*ret = range;
	return 0;
}

/* Find TEXT among WORDS (NULL last). */
static int parse_choice(const char *text, const char *const *words, uint32_t *ret)
{
	for (uint32_t i = 0; words[i]; i++) {
		if (!strcmp(words[i], text)) {
			*ret = i;
			return 0;
		}
	}
	return -EINVAL;
}

/* Parse KIND:PERCENT,... into the BENCH_KINDS percentages at RET. */
static int parse_mix(const char *text, uint8_t *ret)
{
	uint8_t mix[BENCH_KINDS] = { 0 };
	unsigned sum = 0;

	for (;;) {
		size_t length = strcspn(text, ":");
		uint64_t percent;
		uint32_t kind;
		int r;

		for (kind = 0; kind < BENCH_KINDS; kind++)
			if (strlen(workload_names[kind]) == length &&
			    !strncmp(workload_names[kind], text, length))
				break;
		if (kind == BENCH_KINDS || text[length] != ':' || mix[kind])
			return -EINVAL;
		text += length + 1;
		r = parse_digits(&text, &percent);
		if (r < 0)
			return r;
		if (percent < 1 || percent > 100)
			return -ERANGE;
		mix[kind] = (uint8_t)percent;
		sum += (unsigned)percent;
		if (!*text)
			break;
		if (*text++ != ',')
			return -EINVAL;
	}
	if (sum != 100)
		return -ERANGE;
	memcpy(ret, mix, sizeof(mix));
	return 0;
}

/* Parse ascending numbers joined by ':'. */
static int parse_percentiles(const char *text, struct percentiles *ret)
{
	struct percentiles list = { 0 };

	for (;;) {
		char *end;
		double value;

		if (!isdigit((unsigned char)*text))
			return -EINVAL;
		value = strtod(text, &end);
		if (!isfinite(value) || value < 0 || value > 100 ||
		    list.count == OPTIONS_PERCENTILES_MAX)
			return -ERANGE;
		if (list.count && value <= list.values[list.count - 1])
			return -EINVAL;
		list.values[list.count++] = value;
		if (!*end)
			break;
		if (*end != ':')
			return -EINVAL;
		text = end + 1;
	}
	*ret = list;
	return 0;
}

/* Parse TEXT as a number of OPTION's type and range. */
static int parse_number(const struct option *option, const char *text, uint64_t *ret)
{
	uint64_t value;
	int r;

	switch (option->type) {
	case OPTION_SECONDS:
		r = parse_time(text, NS_PER_S, &value);
		break;
	case OPTION_MICROSECONDS:
		r = parse_time(text, NS_PER_US, &value);
		break;
	case OPTION_SIZE:
		r = options_parse_size(text, &value);
		break;
	default:
		r = parse_digits(&text, &value);
		if (r == 0 && *text)
			r = -EINVAL;
		break;
	}
	if (r < 0)
		return r;
	if (value < option->min || value > option->max)
		return -ERANGE;
	*ret = value;
	return 0;
}

/* Store VALUE in the field of OPTION. */
static int option_store(const struct option *option, struct options *options, const char *value)
{
	void *field = (char *)options + option->offset;
	uint64_t number;
	int r;

	switch (option->type) {
	case OPTION_STRING:
		*(const char **)field = value;
		return *value ? 0 : -EINVAL;
	case OPTION_RANGE:
		return parse_range(value, field);
	case OPTION_CHOICE:
		r = parse_choice(value, option->choices, field);
		if (r == 0 && field == &options->rw && options->rw != WORKLOAD_MIX)
			memset(options->mix, 0, sizeof(options->mix));
		return r;
	case OPTION_PERCENTILES:
		return parse_percentiles(value, field);
	case OPTION_MIX:
		r = parse_mix(value, field);
		if (r == 0)
			options->rw = WORKLOAD_MIX;
		return r;
	case OPTION_BOOL:
		r = parse_number(option, value, &number);
		if (r == 0)
			*(bool *)field = number;
		return r;
	default:
		return parse_number(option, value, field);
	}
}

void options_init(struct options *options)
{
	*options = (struct options){
		.ioengine = "varve",
		.rw = BENCH_SNAPSHOT,
		.iodepth = 1,
		.numjobs = 1,
		.overtime = OPTIONS_OVERTIME_NS,
		.loops = 1,
		.nrfiles = 64,
		.dirfiles = 100,
		.filesize = { 4096, 4096 },
		.bs = 64 << 10,
		.randseed = 1,
		.batch = 1,
		.remove_batch = 1,
		.width = 8,
		.percentiles.count = COUNT_OF(percentiles_default),
	};
	memcpy(options->percentiles.values, percentiles_default, sizeof(percentiles_default));
}

/*
 * Return whether PREFIX (LENGTH bytes) may stand before the dot of `PREFIX.key`: it is the name of
 * an engine, with or without a label.
 */
static bool engine_prefix(const char *prefix, size_t length)
{
	const struct bench_engine *engine;
	const char *label = memchr(prefix, '@', length);

	if (label)
		length = (size_t)(label - prefix);
	for (size_t i = 0; (engine = engine_at(i)); i++)
		if (strlen(engine->name) == length && !strncmp(engine->name, prefix, length))
			return true;
	return length == strlen("external") && !strncmp(prefix, "external", length);
}

/* Find the line of the table for KEY, which may be `ENGINE.KEY`. */
static const struct option *option_find_any(const char *key)
{
	const char *dot = strchr(key, '.');

	return option_find(dot && engine_prefix(key, (size_t)(dot - key)) ? dot + 1 : key);
}

bool options_known(const char *key)
{
	return option_find_any(key);
}

bool options_switch(const char *key)
{
	const struct option *option = option_find_any(key);

	return option && option->type == OPTION_BOOL;
}

/* Explain in ERROR why VALUE is refused for OPTION. */
static void option_explain(const struct option *option, const char *value, int r, char *error)
{
	switch (option->type) {
	case OPTION_CHOICE: {
		size_t at = (size_t)snprintf(error, OPTIONS_ERROR_SIZE, "%s=%.100s: not one of",
					     option->key, value);

		for (size_t i = 0; option->choices[i] && at < OPTIONS_ERROR_SIZE; i++)
			at += (size_t)snprintf(error + at, OPTIONS_ERROR_SIZE - at, " %s",
					       option->choices[i]);
		break;
	}
	case OPTION_MIX:
		snprintf(error, OPTIONS_ERROR_SIZE,
			 "%s=%.100s: not KIND:PERCENT,... with a sum of 100", option->key, value);
		break;
	case OPTION_PERCENTILES:
		snprintf(error, OPTIONS_ERROR_SIZE,
			 "%s=%.100s: not up to %d ascending numbers 0..100 joined by ':'",
			 option->key, value, OPTIONS_PERCENTILES_MAX);
		break;
	case OPTION_STRING:
		snprintf(error, OPTIONS_ERROR_SIZE, "%s: empty value", option->key);
		break;
	default:
		if (r == -ERANGE)
			snprintf(error, OPTIONS_ERROR_SIZE, "%s=%.100s: out of range", option->key,
				 value);
		else
			snprintf(error, OPTIONS_ERROR_SIZE, "%s=%.100s: does not parse",
				 option->key, value);
	}
}

int options_set(struct options *options, const char *key, const char *value, char *error)
{
	const struct option *option = option_find(key);
	int r;

	if (!option) {
		snprintf(error, OPTIONS_ERROR_SIZE, "%.100s: no such key", key);
		return -ENOENT;
	}
	if (!value && option->type != OPTION_BOOL) {
		snprintf(error, OPTIONS_ERROR_SIZE, "%s: needs a value", key);
		return -EINVAL;
	}
	r = option_store(option, options, value ? value : "1");
	if (r < 0)
		option_explain(option, value ? value : "1", r, error);
	return r;
}

int options_check(const struct options *options, char *error)
{
	const char *reason = NULL;
	unsigned mixed = 0;

	for (size_t i = 0; i < BENCH_KINDS; i++)
		mixed += options->mix[i];
	if (options->time_based && !options->runtime)
		reason = "time_based needs a runtime";
	else if (options->rw == WORKLOAD_MIX && !mixed)
		reason = "rw=mix needs rwmix";
	else if ((options->rw == BENCH_REMOVE || options->rw == BENCH_COMMIT) &&
		 options->time_based && !options->live && !options->number_ios)
		reason =
			"rw=remove and rw=commit need number_ios: their layers are made before the clock starts";
	else if (options->guard_calls && options->fill)
		reason = "guard_calls forbids the writes of fill";
	else if (options->limit && !options->quota)
		reason = "limit needs quota";
	else if (options->batch > 1 && (options->rw == BENCH_APPLY || options->mix[BENCH_APPLY]))
		reason = "apply takes no batch";
	else if (options->rw == WORKLOAD_CHURN && options->batch > 1)
		reason = "rw=churn takes no batch";
	else if (options->iodepth * options->numjobs > OPTIONS_DEPTH_MAX)
		reason = "iodepth times numjobs is over 65536";
	if (!reason)
		return 0;
	snprintf(error, OPTIONS_ERROR_SIZE, "%s", reason);
	return -EINVAL;
}

uint64_t options_number(const struct options *options, const char *key)
{
	const struct option *option = option_find(key);

	if (!option)
		return 0;
	switch (option->type) {
	case OPTION_NUMBER:
	case OPTION_SIZE:
	case OPTION_SECONDS:
	case OPTION_MICROSECONDS:
		return *(const uint64_t *)((const char *)options + option->offset);
	case OPTION_CHOICE:
		return *(const uint32_t *)((const char *)options + option->offset);
	case OPTION_BOOL:
		return *(const bool *)((const char *)options + option->offset);
	default:
		return 0;
	}
}

const char *options_text(const struct options *options, const char *key)
{
	const struct option *option = option_find(key);

	if (!option || option->type != OPTION_STRING)
		return NULL;
	return *(const char *const *)((const char *)options + option->offset);
}

const char *options_workload_name(uint32_t rw)
{
	return rw < WORKLOADS ? workload_names[rw] : "?";
}

const char *engine_kind_name(enum bench_kind kind)
{
	return options_workload_name(kind);
}

/* Write the values that OPTION takes to FILE. */
static void option_help_values(FILE *file, const struct option *option)
{
	static const char *const forms[] = {
		[OPTION_STRING] = "text",
		[OPTION_NUMBER] = "a whole number",
		[OPTION_SIZE] = "a size (k, m, g, t: powers of 1024)",
		[OPTION_RANGE] = "a size, or two joined by '-'",
		[OPTION_SECONDS] = "a time (us, ms, s, m, h, d; alone: seconds)",
		[OPTION_MICROSECONDS] = "a time (us, ms, s, m, h, d; alone: microseconds)",
		[OPTION_BOOL] = "0 or 1; alone: 1",
		[OPTION_MIX] = "KIND:PERCENT,... with a sum of 100",
		[OPTION_PERCENTILES] = "up to 20 ascending numbers 0..100, joined by ':'",
	};

	fprintf(file, "  value: ");
	if (option->type == OPTION_CHOICE) {
		for (size_t i = 0; option->choices[i]; i++)
			fprintf(file, "%s%s", i ? " | " : "", option->choices[i]);
		fputc('\n', file);
		return;
	}
	fprintf(file, "%s\n", forms[option->type]);
	if (option->type == OPTION_NUMBER || option->type == OPTION_SIZE)
		fprintf(file, "  range: %llu..%llu\n", (unsigned long long)option->min,
			(unsigned long long)option->max);
}

int options_help(FILE *file, const char *key)
{
	const struct option *option = key ? option_find(key) : NULL;

	if (key && !option)
		return -ENOENT;
	if (option) {
		fprintf(file, "%s: %s\n", option->key, option->help);
		option_help_values(file, option);
		return 0;
	}
	for (size_t i = 0; i < COUNT_OF(table); i++)
		fprintf(file, "  %-20s %s\n", table[i].key, table[i].help);
	return 0;
}
