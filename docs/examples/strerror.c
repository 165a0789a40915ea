/* SPDX-License-Identifier: Apache-2.0 */
/* Decide by the error, print the record: the example of varve_strerror(3) and varve_errors(7). */
#include "example.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* example: begin */
/* What a program does about a failed create. */
enum verdict { VERDICT_DONE, VERDICT_LATER, VERDICT_GIVE_UP };

/* Decide what to do about FAILURE, and print it where the program gives up. */
static enum verdict judge(const struct varve_failure *failure)
{
	char line[2048];

	switch (failure->error) {
	case 0:
	case -EEXIST:	/* Another process was faster. */
		return VERDICT_DONE;
	case -EAGAIN:	/* The queue is full, or the cleaner is behind. */
	case -EDQUOT:
	case -ENOSPC:	/* Space comes back when layers are removed. */
		return VERDICT_LATER;
	default:
		varve_strerror(failure, line, sizeof(line));
		fprintf(stderr, "%s\n", line);
		return VERDICT_GIVE_UP;
	}
}
/* example: end */

/* Expect the line about FAILURE to hold each of TEXTS, NULL last. */
static int expect_line(const struct varve_failure *failure, const char *const *texts)
{
	char line[2048], cut[8];

	varve_strerror(failure, line, sizeof(line));
	puts(line);
	for (; *texts != NULL; texts++) {
		if (strstr(line, *texts) == NULL) {
			fprintf(stderr, "the line lacks '%s'\n", *texts);
			return 1;
		}
	}
	return strlen(varve_strerror(failure, cut, sizeof(cut))) == sizeof(cut) - 1 ? 0 : 1;
}

/* Do nothing with a result. */
static void ignore(struct varve_store *store, const struct varve_result *result, void *user_data)
{
}

/* Run. */
int main(int argc, char **argv)
{
	static const char *const exists[] = { "create twice", "File exists", NULL };
	static const char *const missing[] = { "create orphan", "No such file or directory", NULL };
	static const char *const refused[] = { "CHECK", "a\\x0ab/", "Invalid argument", NULL };
	struct varve_store *store = example_open(argc, argv);
	struct varve_create_options options = VARVE_CREATE_OPTIONS_INIT;
	struct varve_failure failure;
	int bad = 0;

	options.parent = "nobody";
	if (varve_layer_create_wait(store, "twice", NULL, &failure) < 0)
		example_die(&failure);
	bad |= varve_layer_create_wait(store, "twice", NULL, &failure) != -EEXIST || judge(&failure) != VERDICT_DONE;
	bad |= expect_line(&failure, exists);
	bad |= varve_layer_create_wait(store, "orphan", &options, &failure) != -ENOENT;
	bad |= judge(&failure) != VERDICT_GIVE_UP || expect_line(&failure, missing);
	bad |= varve_layer_create(store, "a\nb/", NULL, ignore, NULL, NULL) != -EINVAL;
	bad |= varve_refusal(store, &failure) != 0 || expect_line(&failure, refused);
	if (varve_layer_remove_wait(store, "twice", 0, &failure) < 0)
		example_die(&failure);
	varve_close(store);
	return bad;
}
