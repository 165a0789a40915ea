/* SPDX-License-Identifier: Apache-2.0 */
/* output.c: standard output (text, escaping, JSON) and failures on standard error. */
#include "output.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <locale.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include <wchar.h>
#include <wctype.h>

#include "interrupt.h"
#include "progress.h"
#include "sentence.h"

/* U+FFFD, which stands for bytes that are not UTF-8. */
#define OUTPUT_REPLACEMENT "\xef\xbf\xbd"
/* Bytes in the longest key of a JSON member, with its NUL. */
#define OUTPUT_KEY_SIZE 64

void *output_memory(void *pointer)
{
	if (pointer)
		return pointer;
	/* An unfinished layer is harmless: it is whole, or a sweep removes it. */
	fprintf(stderr, "varve: %s\n", strerror(ENOMEM));
	_exit(1);
}

/*
 * Wait until standard output takes bytes. Return 0, or -EINTR when it is stalled and a signal has
 * come.
 */
static int output_wait(void)
{
	struct pollfd fds[] = { { .fd = STDOUT_FILENO, .events = POLLOUT },
				{ .fd = interrupt_fd(), .events = POLLIN } };

	while (!interrupt_signal()) {
		if (poll(fds, 2, -1) > 0 && fds[0].revents)
			return 0;
	}
	/* A slow reader still gets the results from before the signal. */
	while (poll(fds, 1, OUTPUT_GRACE_MS) < 0 && errno == EINTR)
		;
	return fds[0].revents ? 0 : -EINTR;
}

/* Write SIZE bytes of output_file; for stdio. */
static ssize_t output_write(void *cookie, const char *bytes, size_t size)
{
	struct output *output = cookie;
	size_t done = 0;

	while (done < size && !output->error) {
		/* A pipe that is writable takes this much at once. */
		size_t piece = output->stalls && size - done > PIPE_BUF ? PIPE_BUF : size - done;
		int r = output->stalls ? output_wait() : 0;
		ssize_t n = 0;

		if (r == 0) {
			interrupt_breaks(true);
			n = write(STDOUT_FILENO, bytes + done, piece);
			r = n < 0 ? -errno : 0;
			interrupt_breaks(false);
		}
		if (r == 0)
			done += (size_t)n;
		else if (r != -EAGAIN && (r != -EINTR || interrupt_signal()))
			output->error = r;
	}
	if (!output->error)
		return (ssize_t)size;
	errno = -output->error;
	return 0;
}

/* Does the user's environment take colours? */
static bool output_coloured(void)
{
	const char *term = getenv("TERM"), *refusal = getenv("NO_COLOR");

	return (!refusal || !*refusal) && term && *term && strcmp(term, "dumb") != 0;
}

void output_init(struct output *output, struct progress *progress)
{
	static const cookie_io_functions_t functions = { .write = output_write };
	struct stat stat;

	/* Were descriptor 1 closed, a file of the store could get it, and our output in it. */
	for (int fd = 0; fd <= STDERR_FILENO; fd++) {
		if (fcntl(fd, F_GETFD) < 0 && errno == EBADF)
			(void)!open("/dev/null", fd == STDIN_FILENO ? O_WRONLY : O_RDONLY);
	}
	setlocale(LC_CTYPE, "");
	signal(SIGPIPE, SIG_IGN);
	output->file = output_memory(fopencookie(output, "w", functions));
	output->terminal = isatty(STDOUT_FILENO);
	output->colours = output->terminal && output_coloured();
	output->stalls = fstat(STDOUT_FILENO, &stat) == 0 && !S_ISREG(stat.st_mode);
	if (output->terminal)
		setvbuf(output->file, NULL, _IOLBF, BUFSIZ);
	output->error = 0;
	output->end = '\n';
	output->source = "parent";
	output->progress = progress;
}

/* Make standard output ready for text: on a terminal, clear the progress line. */
static void output_begin(struct output *output)
{
	if (output->terminal)
		progress_clear(output->progress);
}

void output_text(struct output *output, const char *format, ...)
{
	va_list arguments;

	output_begin(output);
	va_start(arguments, format);
	vfprintf(output->file, format, arguments);
	va_end(arguments);
}

void output_bytes(struct output *output, const void *bytes, size_t count)
{
	output_begin(output);
	if (count)
		fwrite(bytes, 1, count, output->file);
}

/*
 * Write NAME with all that does not print in the user's locale as \xHH, so that no name can steer
 * the terminal, and a backslash as two, so that the name can be read back.
 */
static void output_escaped(FILE *file, const char *name)
{
	size_t left = strlen(name);
	mbstate_t state = { 0 };

	while (left > 0) {
		wchar_t wide;
		size_t length = mbrtowc(&wide, name, left, &state);

		if (length > left) { /* Not a character, or cut short. */
			memset(&state, 0, sizeof(state));
			length = 1;
			wide = L'\0';
		}
		if (wide == L'\\')
			fputs("\\\\", file);
		else if (iswprint((wint_t)wide))
			fwrite(name, 1, length, file);
		else
			for (size_t i = 0; i < length; i++)
				fprintf(file, "\\x%02x", (unsigned char)name[i]);
		name += length;
		left -= length;
	}
}

void output_name(struct output *output, const char *name)
{
	output_begin(output);
	if (output->terminal)
		output_escaped(output->file, name);
	else
		fputs(name, output->file);
}

void output_pair(struct output *output, const char *key, int width, const char *value)
{
	output_text(output, "%-*s ", width, key);
	output_name(output, value);
	output_end(output);
}

void output_pair_number(struct output *output, const char *key, int width, uint64_t number)
{
	output_text(output, "%-*s %" PRIu64 "\n", width, key, number);
}

void output_end(struct output *output)
{
	output_begin(output);
	fputc(output->end, output->file);
}

void output_json(struct output *output, json_t *object)
{
	char *line = json_dumps(output_memory(object), JSON_COMPACT);

	output_text(output, "%s\n", (char *)output_memory(line));
	free(line);
	json_decref(object);
}

void output_flush(struct output *output)
{
	fflush(output->file);
}

int output_finish(struct output *output)
{
	fclose(output->file);
	if (close(STDOUT_FILENO) < 0 && !output->error)
		output->error = -errno;
	if (output->error && output->error != -EPIPE && output->error != -EINTR)
		output_complain(output, "standard output: %s", strerror(-output->error));
	free(output->message);
	output->message = NULL;
	return output->error;
}

void output_complain(struct output *output, const char *format, ...)
{
	char line[OUTPUT_LINE_SIZE];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(line, sizeof(line), format, arguments);
	va_end(arguments);
	progress_clear(output->progress);
	fprintf(stderr, "varve: %s\n", line);
	free(output->message);
	output->message = output_memory(strdup(line));
}

void output_failure(struct output *output, const struct varve_failure *failure)
{
	char line[OUTPUT_FAILURE_SIZE], words[SENTENCE_SIZE];
	struct sentence sentence;

	sentence_begin(&sentence, failure, output->source);
	sentence_write(&sentence, words);
	if (output->debug)
		output_complain(output, "%s [%s]", words,
				varve_strerror(failure, line, sizeof(line)));
	else
		output_complain(output, "%s", words);
}

/*
 * Return the length of the UTF-8 character that P (of LEFT bytes) begins with, or 0 when there is
 * none.
 */
static size_t output_character(const char *p, size_t left)
{
	for (size_t length = 1; length <= 4 && length <= left; length++) {
		json_t *string = json_stringn(p, length);

		if (string) {
			json_decref(string);
			return length;
		}
	}
	return 0;
}

/* Make a JSON string of NAME with U+FFFD in place of each byte that is not UTF-8. */
static json_t *output_replaced(const char *name)
{
	size_t left = strlen(name), used = 0;
	char *text = output_memory(malloc(left * strlen(OUTPUT_REPLACEMENT) + 1));
	json_t *string;

	while (left > 0) {
		size_t length = output_character(name, left);

		if (length)
			memcpy(text + used, name, length);
		else
			memcpy(text + used, OUTPUT_REPLACEMENT, strlen(OUTPUT_REPLACEMENT));
		used += length ? length : strlen(OUTPUT_REPLACEMENT);
		name += length ? length : 1;
		left -= length ? length : 1;
	}
	string = json_stringn(text, used);
	free(text);
	return string;
}

/* Make a JSON string of the bytes of NAME in hexadecimal. */
static json_t *output_hex(const char *name)
{
	size_t length = strlen(name);
	char *text = output_memory(malloc(2 * length + 1));
	json_t *string;

	text[0] = '\0';
	for (size_t i = 0; i < length; i++)
		sprintf(text + 2 * i, "%02x", (unsigned char)name[i]);
	string = json_string(text);
	free(text);
	return string;
}

void output_set_name(json_t *object, const char *key, const char *name)
{
	char key_hex[OUTPUT_KEY_SIZE];
	json_t *string = json_string(name);

	if (string) {
		json_object_set_new(object, key, string);
		return;
	}
	snprintf(key_hex, sizeof(key_hex), "%s_hex", key);
	json_object_set_new(object, key, output_memory(output_replaced(name)));
	json_object_set_new(object, key_hex, output_memory(output_hex(name)));
}

void output_set_number(json_t *object, const char *key, uint64_t number)
{
	/* JSON readers have 63 bits, at most. */
	json_object_set_new(object, key,
			    json_integer(number > INT64_MAX ? INT64_MAX : (json_int_t)number));
}

/* Set member KEY of OBJECT to TEXT, unless that is NULL or empty. */
static void output_set_given(json_t *object, const char *key, const char *text)
{
	if (text && *text)
		output_set_name(object, key, text);
}

void output_skipped(struct output *output, const struct varve_result *result)
{
	for (size_t i = 0; i < result->skipped_count; i++)
		output_failure(output, &result->skipped[i]);
	if (result->skipped_total > result->skipped_count)
		output_complain(output, "%" PRIu64 " more entries were left out or changed",
				result->skipped_total - result->skipped_count);
}

/* Set the members of FAILURE in OBJECT. */
static void output_set_failure(const struct output *output, json_t *object,
			       const struct varve_failure *failure)
{
	const char *name = strerrorname_np(-failure->error);
	char words[SENTENCE_SIZE];
	struct sentence sentence;

	json_object_set_new(object, "error", name ? json_string(name) : json_null());
	json_object_set_new(object, "errno", json_integer(-failure->error));
	sentence_begin(&sentence, failure, output->source);
	output_set_name(object, "message", sentence_write(&sentence, words));
	output_set_given(object, "operation", failure->operation);
	output_set_given(object, "step", failure->step);
	output_set_given(object, "call", failure->call);
	output_set_given(object, "path", failure->path);
	output_set_given(object, "detail", failure->detail);
}

char *output_archive(const struct output *output, const struct varve_result *result, bool bytes)
{
	json_t *object = output_memory(json_object()), *skipped = output_memory(json_array());
	char *text;

	if (bytes)
		output_set_number(object, "bytes", result->bytes);
	if (result->digests) {
		output_set_name(object, "digest", result->digests->digest);
		output_set_name(object, "diff_id", result->digests->diff_id);
		output_set_number(object, "size", result->digests->stream_bytes);
		output_set_number(object, "plain_size", result->digests->plain_bytes);
	}
	for (size_t i = 0; i < result->skipped_count; i++) {
		json_t *entry = output_memory(json_object());

		output_set_failure(output, entry, &result->skipped[i]);
		json_array_append_new(skipped, entry);
	}
	json_object_set_new(object, "skipped", skipped);
	output_set_number(object, "skipped_total", result->skipped_total);
	text = output_memory(json_dumps(object, JSON_COMPACT));
	json_decref(object);
	return text;
}

char *output_digests(const struct varve_digests *digests)
{
	char *text;

	if (asprintf(&text, "digest %s\ndiff_id %s\nsize %" PRIu64 "\nplain_size %" PRIu64 "\n",
		     digests->digest, digests->diff_id, digests->stream_bytes,
		     digests->plain_bytes) < 0)
		text = NULL;
	return output_memory(text);
}

void output_set_archive(json_t *object, const char *archive)
{
	json_t *members = output_memory(json_loads(archive, 0, NULL));

	json_object_update(object, members);
	json_decref(members);
}

json_t *output_result(const struct output *output, const char *id,
		      const struct varve_failure *failure)
{
	json_t *object = output_memory(json_object());

	if (id)
		output_set_name(object, "id", id);
	else
		json_object_set_new(object, "id", json_null());
	json_object_set_new(object, "ok", json_boolean(!failure));
	if (failure)
		output_set_failure(output, object, failure);
	return object;
}

const char *output_time(char *buffer, int64_t seconds, uint32_t nanoseconds, int digits)
{
	static const uint32_t divisors[] = { 1000000000, 100000000, 10000000, 1000000, 100000,
					     10000,      1000,      100,      10,      1 };
	time_t time = seconds;
	struct tm tm;
	size_t used;

	/* A time that gmtime() cannot convert is written as seconds since the epoch. */
	if (!gmtime_r(&time, &tm) ||
	    !(used = strftime(buffer, OUTPUT_TIME_SIZE, "%Y-%m-%dT%H:%M:%S", &tm)))
		snprintf(buffer, OUTPUT_TIME_SIZE, "@%" PRId64, seconds);
	else if (digits > 0)
		snprintf(buffer + used, OUTPUT_TIME_SIZE - used, ".%0*" PRIu32 "Z", digits,
			 nanoseconds / divisors[digits]);
	else
		snprintf(buffer + used, OUTPUT_TIME_SIZE - used, "Z");
	return buffer;
}

const char *output_uuid(char *buffer, const uint8_t uuid[16])
{
	static const uint8_t zeros[16];
	char *end = buffer;

	if (memcmp(uuid, zeros, sizeof(zeros)) == 0)
		return NULL;
	for (int i = 0; i < 16; i++)
		end += sprintf(end, i == 4 || i == 6 || i == 8 || i == 10 ? "-%02x" : "%02x",
			       uuid[i]);
	return buffer;
}
