/* SPDX-License-Identifier: Apache-2.0 */
/* Read job files and turn what they and the command line say into jobs. */
#include "job/job.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "job/claim.h"

/* Write an explanation to ERROR and return R. */
__attribute__((format(printf, 3, 4))) static int fail(int r, char *error, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(error, OPTIONS_ERROR_SIZE, format, arguments);
	va_end(arguments);
	return r;
}

/* Free PAIRS' strings and list. */
static void pairs_destroy(struct job_pairs *pairs)
{
	for (size_t i = 0; i < pairs->count; i++) {
		free(pairs->items[i].key);
		free(pairs->items[i].value);
		free(pairs->items[i].where);
	}
	free(pairs->items);
	*pairs = (struct job_pairs){ 0 };
}

/* Append copies of KEY, VALUE (may be NULL) and WHERE. Returns 0 or -ENOMEM. */
static int pairs_add(struct job_pairs *pairs, const char *key, const char *value, const char *where)
{
	struct job_pair pair = { strdup(key), value ? strdup(value) : NULL, strdup(where) }, *items;

	items = realloc(pairs->items, (pairs->count + 1) * sizeof(*items));
	if (items)
		pairs->items = items;
	if (!items || !pair.key || !pair.where || (value && !pair.value)) {
		free(pair.key);
		free(pair.value);
		free(pair.where);
		return -ENOMEM;
	}
	items[pairs->count++] = pair;
	return 0;
}

/* Free what JOB holds. */
static void job_destroy(struct job *job)
{
	free(job->name);
	free(job->where);
	pairs_destroy(&job->pairs);
	for (size_t i = 0; job->engines && job->engines[i]; i++)
		free(job->engines[i]);
	free(job->engines);
}

/* Begin a job called NAME that has the pairs of FROM. */
static int set_begin(struct job_set *set, const char *name, const struct job_pairs *from,
		     const char *where, char *error)
{
	struct job *jobs, job = { .on_line = from == &set->line };
	int r = 0;

	if (set->count == JOB_SECTIONS_MAX)
		return fail(-E2BIG, error, "%smore than %d sections", where, JOB_SECTIONS_MAX);
	job.name = strdup(name);
	job.where = strdup(where);
	jobs = realloc(set->jobs, (set->count + 1) * sizeof(*jobs));
	if (jobs)
		set->jobs = jobs;
	for (size_t i = 0; r == 0 && i < from->count; i++)
		r = pairs_add(&job.pairs, from->items[i].key, from->items[i].value,
			      from->items[i].where);
	if (!jobs || !job.name || !job.where || r < 0) {
		job_destroy(&job);
		return fail(-ENOMEM, error, "out of memory");
	}
	jobs[set->count++] = job;
	return 0;
}

/* Check KEY and VALUE by themselves, so that a bad line is reported where it stands. */
static int check_pair(const char *key, const char *value, const char *where, char *error)
{
	struct options scratch;
	char reason[OPTIONS_ERROR_SIZE];
	const char *dot = strchr(key, '.');
	int r;

	if (!options_known(key))
		return fail(-ENOENT, error, "%s%.100s: no such key", where, key);
	options_init(&scratch);
	r = options_set(&scratch, dot ? dot + 1 : key, value, reason);
	return r < 0 ? fail(r, error, "%s%.400s", where, reason) : 0;
}

/* Cut the blanks at both ends of TEXT, in place. */
static char *trim(char *text)
{
	size_t length;

	while (isspace((unsigned char)*text))
		text++;
	length = strlen(text);
	while (length && isspace((unsigned char)text[length - 1]))
		text[--length] = '\0';
	return text;
}

/* Take the line `[NAME]`. */
static int parse_section(struct job_set *set, char *line, const char *where, char *error)
{
	size_t length = strlen(line);

	if (length < 3 || line[length - 1] != ']')
		return fail(-EINVAL, error, "%sa section is written [name]", where);
	line[length - 1] = '\0';
	line = trim(line + 1);
	if (!*line || strlen(line) >= OPTIONS_KEY_MAX || strpbrk(line, "[]/"))
		return fail(-EINVAL, error, "%snot a name for a section", where);
	set->in_section = true;
	set->in_global = !strcmp(line, "global");
	return set->in_global ? 0 : set_begin(set, line, &set->global, where, error);
}

/*
 * Put VALUE into RET (JOB_LINE_MAX bytes), each ${NAME} replaced by that variable of the
 * environment, as fio does. fio takes a variable that is not set for an empty one; here it is an
 * error.
 */
static int expand(const char *value, const char *where, char *ret, char *error)
{
	size_t length = 0;

	while (*value) {
		const char *end = !strncmp(value, "${", 2) ? strchr(value, '}') : NULL,
			   *piece = value;
		char name[JOB_LINE_MAX];
		size_t size = 1;

		if (end) {
			snprintf(name, sizeof(name), "%.*s", (int)(end - value - 2), value + 2);
			piece = getenv(name);
			if (!piece)
				return fail(-EINVAL, error,
					    "%s${%.100s}: not set in the environment", where, name);
			size = strlen(piece);
			value = end;
		}
		if (length + size >= JOB_LINE_MAX)
			return fail(-EINVAL, error, "%sthe line is longer than %d bytes", where,
				    JOB_LINE_MAX - 1);
		memcpy(ret + length, piece, size);
		length += size;
		value++;
	}
	ret[length] = '\0';
	return 0;
}

/* Take the line `key=value` or `key`. */
static int parse_key(struct job_set *set, char *line, const char *where, char *error)
{
	char *equals = strchr(line, '='), *key, *value = NULL, expanded[JOB_LINE_MAX];
	struct job_pairs *pairs;
	int r;

	if (equals) {
		*equals = '\0';
		r = expand(equals + 1, where, expanded, error);
		if (r < 0)
			return r;
		value = trim(expanded);
	}
	key = trim(line);
	if (!set->in_section)
		return fail(-EINVAL, error,
			    "%s%.100s: no section yet; begin with [global] or [name]", where, key);
	if (!strcmp(key, "name"))
		return fail(-EINVAL, error, "%sname: the section has the name", where);
	r = check_pair(key, value, where, error);
	if (r < 0)
		return r;
	pairs = set->in_global ? &set->global : &set->jobs[set->count - 1].pairs;
	return pairs_add(pairs, key, value, where) < 0 ? fail(-ENOMEM, error, "out of memory") : 0;
}

/* Take the line `include FILE`: a relative name is looked for beside the file NAME. */
static int parse_include(struct job_set *set, const char *name, const char *file, const char *where,
			 char *error)
{
	const char *slash = strrchr(name, '/');
	char path[JOB_LINE_MAX], reason[OPTIONS_ERROR_SIZE];
	int length, r;

	if (*file == '/' || !slash)
		length = snprintf(path, sizeof(path), "%s", file);
	else
		length = snprintf(path, sizeof(path), "%.*s/%s", (int)(slash - name), name, file);
	if (!*file || length >= (int)sizeof(path))
		return fail(-EINVAL, error, "%sinclude needs the name of a file", where);
	if (!strcmp(path, "-"))
		return fail(-EINVAL, error, "%sinclude takes a file, not standard input", where);
	r = job_set_read(set, path, reason);
	return r < 0 ? fail(r, error, "%.120s%.390s", where, reason) : 0;
}

/* Take one line, which is changed. */
static int parse_line(struct job_set *set, const char *name, char *line, const char *where,
		      char *error)
{
	line = trim(line);
	if (!*line || *line == '#' || *line == ';')
		return 0;
	if (*line == '[')
		return parse_section(set, line, where, error);
	if (!strncmp(line, "include", 7) && isspace((unsigned char)line[7]))
		return parse_include(set, name, trim(line + 7), where, error);
	return parse_key(set, line, where, error);
}

int job_set_parse(struct job_set *set, const char *name, const char *text, size_t length,
		  char *error)
{
	const char *end = text + length;
	unsigned number = 0;

	while (text < end) {
		const char *stop = memchr(text, '\n', (size_t)(end - text));
		size_t size = (size_t)((stop ? stop : end) - text);
		char line[JOB_LINE_MAX], where[JOB_LINE_MAX];
		int r;

		snprintf(where, sizeof(where), "%.200s:%u: ", name, ++number);
		if (size >= sizeof(line))
			return fail(-EINVAL, error, "%sthe line is longer than %d bytes", where,
				    JOB_LINE_MAX - 1);
		memcpy(line, text, size);
		line[size] = '\0';
		for (size_t i = 0; i < size; i++)
			if (!line[i] ||
			    (iscntrl((unsigned char)line[i]) && !isspace((unsigned char)line[i])))
				return fail(-EINVAL, error, "%snot text", where);
		r = parse_line(set, name, line, where, error);
		if (r < 0)
			return r;
		text += size + 1;
	}
	return 0;
}

/* Read all of FD into *RET, to be freed. */
static int read_all(int fd, char **ret, size_t *ret_length)
{
	char *text = malloc(JOB_FILE_BYTES_MAX + 1);
	size_t length = 0;

	if (!text)
		return -ENOMEM;
	for (;;) {
		ssize_t n = read(fd, text + length, JOB_FILE_BYTES_MAX + 1 - length);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 || length + (size_t)n > JOB_FILE_BYTES_MAX) {
			int r = n < 0 ? -errno : -EFBIG;

			free(text);
			return r;
		}
		if (n == 0)
			break;
		length += (size_t)n;
	}
	*ret = text;
	*ret_length = length;
	return 0;
}

int job_set_read(struct job_set *set, const char *name, char *error)
{
	bool standard_input = !strcmp(name, "-");
	size_t length = 0, jobs = set->count;
	char *text = NULL;
	int fd, r;

	for (size_t i = 0; i < set->files_depth; i++)
		if (!strcmp(set->files[i], name))
			return fail(-ELOOP, error, "%.300s includes itself", name);
	if (set->files_depth == JOB_INCLUDE_DEPTH_MAX)
		return fail(-ELOOP, error, "%.300s: more than %d files include each other", name,
			    JOB_INCLUDE_DEPTH_MAX);
	if (set->files_read++ == JOB_INCLUDES_MAX)
		return fail(-ELOOP, error, "%.300s: more than %d files", name, JOB_INCLUDES_MAX);
	fd = standard_input ? STDIN_FILENO : open(name, O_RDONLY | O_CLOEXEC);
	r = fd < 0 ? -errno : read_all(fd, &text, &length);
	if (fd >= 0 && !standard_input)
		close(fd);
	if (r < 0)
		return fail(r, error, "%.300s: %s", name, strerror(-r));
	if (!set->files_depth) {
		pairs_destroy(&set->global);
		set->in_section = false;
	}
	set->files[set->files_depth++] = name;
	r = job_set_parse(set, name, text, length, error);
	set->files_depth--;
	free(text);
	if (r == 0 && !set->files_depth && set->count == jobs)
		r = fail(-EINVAL, error, "%.300s: no section but [global]", name);
	return r;
}

int job_set_argument(struct job_set *set, const char *key, const char *value, char *error)
{
	struct job_pairs *pairs;
	int r = check_pair(key, value, "--", error);

	if (r < 0)
		return r;
	if (!strcmp(key, "name")) {
		if (strpbrk(value, "[]/") || !strcmp(value, "global") ||
		    strlen(value) >= OPTIONS_KEY_MAX)
			return fail(-EINVAL, error, "--name=%.100s: not a name for a job", value);
		set->on_line = true;
		return set_begin(set, value, &set->line, "", error);
	}
	pairs = set->on_line ? &set->jobs[set->count - 1].pairs : &set->line;
	return pairs_add(pairs, key, value, "--") < 0 ? fail(-ENOMEM, error, "out of memory") : 0;
}

const struct job_pair *job_pair_at(const struct job_set *set, const struct job *job, size_t index)
{
	if (index < job->pairs.count)
		return &job->pairs.items[index];
	index -= job->pairs.count;
	return !job->on_line && index < set->line.count ? &set->line.items[index] : NULL;
}

/* Apply those of JOB's keys that are for ENGINE alone (NULL: those for all). */
static int job_apply(const struct job_set *set, struct job *job, const char *engine, char *error)
{
	const struct job_pair *pair;

	for (size_t i = 0; (pair = job_pair_at(set, job, i)); i++) {
		const char *dot = strchr(pair->key, '.'), *key = dot ? dot + 1 : pair->key;
		char reason[OPTIONS_ERROR_SIZE];
		int r;

		if (!dot != !engine ||
		    (dot && (strncmp(pair->key, engine, (size_t)(dot - pair->key)) ||
			     engine[dot - pair->key])))
			continue;
		r = options_set(&job->options, key, pair->value, reason);
		if (r < 0)
			return fail(r, error, "%.100s%.400s", pair->where, reason);
	}
	return 0;
}

int job_select(const struct job_set *set, struct job *job, const char *engine, char *error)
{
	char reason[OPTIONS_ERROR_SIZE];
	int r;

	options_init(&job->options);
	job->options.name = job->name;
	r = job_apply(set, job, NULL, error);
	if (r < 0)
		return r;
	if (engine)
		job->options.ioengine = engine;
	engine = job->options.ioengine;
	if (!strncmp(engine, "external:", 9))
		engine = "external";
	r = job_apply(set, job, engine, error);
	if (r < 0)
		return r;
	r = options_check(&job->options, reason);
	return r < 0 ? fail(r, error, "%.100sjob %.100s: %.200s", job->where, job->name, reason)
		     : 0;
}

/* Split JOB's pair= into its engines. */
static int job_split(struct job *job)
{
	const char *text = job->options.pair;
	size_t count = 0;

	if (!text)
		return 0;
	for (;;) {
		size_t length = strcspn(text, ",");
		char **engines = realloc(job->engines, (count + 2) * sizeof(*engines));

		if (!engines)
			return -ENOMEM;
		job->engines = engines;
		engines[count] = strndup(text, length);
		engines[count + 1] = NULL;
		if (!engines[count++])
			return -ENOMEM;
		if (!length)
			return -EINVAL;
		if (!text[length])
			return count < 2 ? -EINVAL : 0;
		text += length + 1;
	}
}

int job_set_finish(struct job_set *set, char *error)
{
	if (!set->count)
		return fail(-EINVAL, error,
			    "no job: name a job file, or begin one with --name=NAME");
	for (size_t i = 0; i < set->count; i++) {
		struct job *job = &set->jobs[i];
		int r = job_select(set, job, NULL, error);
		struct claim claim;
		const char *text;

		if (r < 0)
			return r;
		r = job_split(job);
		if (r < 0)
			return fail(
				r, error,
				"%.100sjob %.100s: pair=%.100s: not two engines or more joined by ','",
				job->where, job->name, job->options.pair);
		text = job->options.claim;
		while (text && (r = claim_parse(&text, &claim)) > 0)
			;
		if (r < 0)
			return fail(
				r, error,
				"%.100sjob %.100s: claim=%.100s: not METRIC>=NUMBER or METRIC<=NUMBER",
				job->where, job->name, job->options.claim);
		for (size_t k = 0; job->engines && job->engines[k]; k++) {
			r = job_select(set, job, job->engines[k], error);
			if (r < 0)
				return r;
		}
	}
	return 0;
}

void job_set_destroy(struct job_set *set)
{
	for (size_t i = 0; i < set->count; i++)
		job_destroy(&set->jobs[i]);
	free(set->jobs);
	pairs_destroy(&set->global);
	pairs_destroy(&set->line);
	*set = (struct job_set){ 0 };
}
