/* SPDX-License-Identifier: Apache-2.0 */
/* options.c: tables of options: parsing (by getopt_long), usage text. */
#include "options.h"

#include <errno.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>

/* getopt_long() returns this plus an option's place in the joined table: clear of all letters. */
#define OPTIONS_KEY 256
/* The column in which the help of an option begins. */
#define OPTIONS_COLUMN 32

/* The tables of one command, joined in the form that getopt_long() wants. */
struct options_table {
	const struct option_spec *specs[OPTIONS_MAX]; /* The options. */
	struct option longs[OPTIONS_MAX + 1];         /* Their long forms. */
	char letters[2 + 2 * OPTIONS_MAX + 1];        /* Their short forms. */
	size_t count;                                 /* How many. */
};

/* Append SPECS to TABLE. */
static void options_join(struct options_table *table, const struct option_spec *specs)
{
	size_t letters = strlen(table->letters);

	for (; specs && specs->name && table->count < OPTIONS_MAX; specs++) {
		table->longs[table->count] = (struct option){
			.name = specs->name,
			.has_arg = specs->argument ? required_argument : no_argument,
			.val = OPTIONS_KEY + (int)table->count,
		};
		table->specs[table->count++] = specs;
		if (!specs->letter)
			continue;
		table->letters[letters++] = specs->letter;
		if (specs->argument)
			table->letters[letters++] = ':';
	}
	table->letters[letters] = '\0';
}

/* Find the option of TABLE for which getopt_long() returned KEY. */
static const struct option_spec *options_find(const struct options_table *table, int key)
{
	if (key >= OPTIONS_KEY)
		return table->specs[key - OPTIONS_KEY];
	for (size_t i = 0; i < table->count; i++) {
		if (table->specs[i]->letter == key)
			return table->specs[i];
	}
	return NULL;
}

void options_free(struct arguments *arguments)
{
	free(arguments->given);
	free(arguments->values);
	memset(arguments, 0, sizeof(*arguments));
}

/* Note that SPEC was given with VALUE. Return 0 or -ENOMEM. */
static int options_note(struct arguments *arguments, const struct option_spec *spec,
			const char *value)
{
	size_t count = arguments->given_count + 1;
	const struct option_spec **given = reallocarray(arguments->given, count, sizeof(*given));
	const char **values;

	if (!given)
		return -ENOMEM;
	arguments->given = given;
	values = reallocarray(arguments->values, count, sizeof(*values));
	if (!values)
		return -ENOMEM;
	arguments->values = values;
	given[count - 1] = spec;
	values[count - 1] = value;
	arguments->given_count = count;
	return 0;
}

/* Parse by TABLE. Return 0 or -errno. */
static int options_parse_table(struct arguments *arguments, int argc, char **argv,
			       const struct options_table *table)
{
	int key, r;

	optind = 0;
	while ((key = getopt_long(argc, argv, table->letters, table->longs, NULL)) != -1) {
		const struct option_spec *spec = options_find(table, key);

		if (!spec)
			return -EINVAL;
		r = options_note(arguments, spec, spec->argument ? optarg : NULL);
		if (r < 0) {
			fprintf(stderr, "%s: %s\n", argv[0], strerror(-r));
			return r;
		}
	}
	arguments->operands = argv + optind;
	arguments->operands_count = (size_t)(argc - optind);
	return 0;
}

int options_parse(struct arguments *arguments, int argc, char **argv,
		  const struct option_spec *specs, const struct option_spec *more, bool first,
		  char **ret_message)
{
	struct options_table table = { .letters = "+" };
	FILE *kept = stderr, *stream;
	char *message = NULL;
	size_t length = 0;
	int r;

	if (!first)
		table.letters[0] = '\0';
	options_join(&table, specs);
	options_join(&table, more);
	/* getopt_long() words mistakes well, but only on stderr, which is a variable in glibc. */
	stream = open_memstream(&message, &length);
	if (!stream)
		return -ENOMEM;
	stderr = stream;
	r = options_parse_table(arguments, argc, argv, &table);
	stderr = kept;
	fclose(stream);
	if (r == 0) {
		free(message);
		return 0;
	}
	message[strcspn(message, "\n")] = '\0';
	*ret_message = message;
	return r;
}

bool options_has(const struct arguments *arguments, const char *name)
{
	for (size_t i = 0; i < arguments->given_count; i++) {
		if (strcmp(arguments->given[i]->name, name) == 0)
			return true;
	}
	return false;
}

const char *options_value(const struct arguments *arguments, const char *name)
{
	for (size_t i = arguments->given_count; i > 0; i--) {
		if (strcmp(arguments->given[i - 1]->name, name) == 0)
			return arguments->values[i - 1];
	}
	return NULL;
}

const char **options_values(const struct arguments *arguments, const char *name)
{
	const char **values = calloc(arguments->given_count + 1, sizeof(*values));
	size_t count = 0;

	for (size_t i = 0; values && i < arguments->given_count; i++) {
		if (strcmp(arguments->given[i]->name, name) == 0)
			values[count++] = arguments->values[i];
	}
	return values;
}

void options_help(FILE *file, const struct option_spec *specs)
{
	for (; specs && specs->name; specs++) {
		int width = 0;

		width += specs->letter ? fprintf(file, "  -%c, ", specs->letter)
				       : fprintf(file, "      ");
		width += fprintf(file, "--%s", specs->name);
		if (specs->argument)
			width += fprintf(file, " %s", specs->argument);
		fprintf(file, "%*s%s\n", width < OPTIONS_COLUMN ? OPTIONS_COLUMN - width : 2, "",
			specs->help);
	}
}

void options_usage(FILE *file, const struct option_spec *specs)
{
	bool optional = false;

	for (const struct option_spec *spec = specs; spec && spec->name; spec++)
		optional |= !spec->required;
	if (optional)
		fprintf(file, " [OPTION]...");
	for (; specs && specs->name; specs++) {
		if (specs->required)
			fprintf(file, " --%s %s", specs->name, specs->argument);
	}
}
