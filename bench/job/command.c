/* SPDX-License-Identifier: Apache-2.0 */
/* Take the command line apart: options of the program, keys of jobs, and job files. */
#include "job/command.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

/* Write an explanation to ERROR and return -EINVAL. */
__attribute__((format(printf, 2, 3))) static int refuse(char *error, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(error, OPTIONS_ERROR_SIZE, format, arguments);
	va_end(arguments);
	return -EINVAL;
}

/* Take --output-format. */
static int take_format(struct command *command, const char *value, char *error)
{
	static const char *const names[] = { "normal", "json", "json+" };

	command->formats = 0;
	for (;;) {
		size_t length = strcspn(value, ","), i;

		for (i = 0; i < 3; i++)
			if (strlen(names[i]) == length && !strncmp(names[i], value, length))
				break;
		if (i == 3)
			return refuse(
				error,
				"--output-format=%.100s: not normal, json or json+, joined by ','",
				value);
		command->formats |= 1u << i;
		if (!value[length])
			return 0;
		value += length + 1;
	}
}

/* Take --repeat. */
static int take_repeat(struct command *command, const char *value, char *error)
{
	uint64_t repeat;

	if (options_parse_size(value, &repeat) < 0 || repeat < 1 || repeat > COMMAND_REPEAT_MAX)
		return refuse(error, "--repeat=%.100s: not a number 1..%d", value,
			      COMMAND_REPEAT_MAX);
	command->repeat = (uint32_t)repeat;
	return 0;
}

/* Take --budget. */
static int take_budget(struct command *command, const char *value, char *error)
{
	if (options_parse_time(value, &command->budget_ns) < 0 || !command->budget_ns)
		return refuse(error, "--budget=%.100s: not a time", value);
	return 0;
}

/* Take --eta. */
static int take_eta(struct command *command, const char *value, char *error)
{
	command->eta = !strcmp(value, "always") ? 1 : !strcmp(value, "never") ? -1 : 0;
	return command->eta || !strcmp(value, "auto")
		       ? 0
		       : refuse(error, "--eta=%.100s: not always, never or auto", value);
}

/* Take --output. */
static int take_output(struct command *command, const char *value, char *error)
{
	command->output = value;
	return 0;
}

/* Take --report. */
static int take_report(struct command *command, const char *value, char *error)
{
	command->report = value;
	return 0;
}

/* Take --results. */
static int take_results(struct command *command, const char *value, char *error)
{
	command->results = value;
	return 0;
}

/* Take --pool. */
static int take_pool(struct command *command, const char *value, char *error)
{
	command->pool = value;
	return 0;
}

/* Take --no-drain. */
static int take_no_drain(struct command *command, const char *value, char *error)
{
	command->drain = false;
	return 0;
}

/* Take --parse-only. */
static int take_parse_only(struct command *command, const char *value, char *error)
{
	command->parse_only = true;
	return 0;
}

/* Take --tour. */
static int take_tour(struct command *command, const char *value, char *error)
{
	command->tour = true;
	return 0;
}

/* Take --help[=TOPIC]. */
static int take_help(struct command *command, const char *value, char *error)
{
	command->help = true;
	command->help_topic = value;
	return 0;
}

/* Take --version. */
static int take_version(struct command *command, const char *value, char *error)
{
	command->version = true;
	return 0;
}

/* One option of the program. */
struct program_option {
	/* After "--". */
	const char *name;
	/* Whether it takes a value. */
	enum { VALUE_NONE, VALUE_OPTIONAL, VALUE_NEEDED } value;
	/* Take the option. */
	int (*take)(struct command *command, const char *value, char *error);
	/* How its value is shown. */
	const char *form;
	/* Its line in --help. */
	const char *help;
};

static const struct program_option program_options[] = {
	{ "output", VALUE_NEEDED, take_output, "=FILE", "write the report to this file" },
	{ "output-format", VALUE_NEEDED, take_format, "=FORMAT",
	  "normal, json, json+, or several joined by ','" },
	{ "report", VALUE_NEEDED, take_report, "=FILE.html", "write a page with charts, too" },
	{ "results", VALUE_NEEDED, take_results, "=FILE.md",
	  "write claims and figures into this page, print the figures that moved" },
	{ "pool", VALUE_NEEDED, take_pool, "=FILE,SIZE",
	  "work in a btrfs image, made when it is missing" },
	{ "repeat", VALUE_NEEDED, take_repeat, "=N", "run everything N times (pairs: 5)" },
	{ "budget", VALUE_NEEDED, take_budget, "=TIME",
	  "end after this time; repeat pairs less often to measure all" },
	{ "eta", VALUE_NEEDED, take_eta, "=WHEN",
	  "live rates: always, never, auto (on a terminal)" },
	{ "no-drain", VALUE_NONE, take_no_drain, "",
	  "do not wait for the kernel's cleaner between groups" },
	{ "tour", VALUE_NONE, take_tour, "",
	  "the tour that runs without arguments, with keys changed" },
	{ "parse-only", VALUE_NONE, take_parse_only, "", "check the jobs, run nothing" },
	{ "help", VALUE_OPTIONAL, take_help, "[=TOPIC]",
	  "print this help, or help on a key or on engines" },
	{ "version", VALUE_NONE, take_version, "", "print the version" },
};

#define PROGRAM_OPTIONS (sizeof(program_options) / sizeof(*program_options))

/* Find the option of the program called NAME. */
static const struct program_option *program_option(const char *name)
{
	for (size_t i = 0; i < PROGRAM_OPTIONS; i++)
		if (!strcmp(program_options[i].name, name))
			return &program_options[i];
	return NULL;
}

/* Take the option NAME with VALUE (NULL: none). */
static int take_option(struct command *command, const char *name, const char *value, char *error)
{
	const struct program_option *option = program_option(name);

	if (!option)
		return job_set_argument(&command->set, name, value, error);
	if (value && option->value == VALUE_NONE)
		return refuse(error, "--%s takes no value", name);
	if ((!value || !*value) && option->value == VALUE_NEEDED)
		return refuse(error, "--%s needs a value", name);
	return option->take(command, value, error);
}

/* Take the option at ARGV[*AT] apart and step over it. */
static int parse_option(struct command *command, int argc, char **argv, int *at, char *error)
{
	char name[OPTIONS_KEY_MAX];
	const char *argument = argv[*at] + 2, *equals = strchr(argument, '='),
		   *value = equals ? equals + 1 : NULL;
	size_t length = equals ? (size_t)(equals - argument) : strlen(argument);
	const struct program_option *option;
	bool needs_value;

	if (!length || length >= sizeof(name))
		return refuse(error, "%.100s: no such option", argv[*at]);
	memcpy(name, argument, length);
	name[length] = '\0';
	option = program_option(name);
	needs_value = option ? option->value == VALUE_NEEDED
			     : options_known(name) && !options_switch(name);
	if (!value && needs_value && *at + 1 < argc)
		value = argv[++*at];
	(*at)++;
	return take_option(command, name, value, error);
}

int command_parse(struct command *command, int argc, char **argv, char *error)
{
	int at = 1, r = 0;

	*command = (struct command){ .formats = COMMAND_NORMAL, .drain = true, .tour = argc < 2 };
	while (r == 0 && at < argc) {
		if (!strncmp(argv[at], "--", 2) && argv[at][2])
			r = parse_option(command, argc, argv, &at, error);
		else if (argv[at][0] == '-' && argv[at][1])
			r = refuse(error, "%.100s: no such option; long ones only", argv[at]);
		else
			r = job_set_read(&command->set, argv[at++], error);
	}
	return r;
}

/* Write the list of engines to FILE. */
static void help_engines(FILE *file)
{
	const struct bench_engine *engine;

	for (size_t i = 0; (engine = engine_at(i)); i++) {
		fprintf(file, "  %-16s %s\n", engine->name, engine->description);
		fprintf(file, "  %-16s   does:", "");
		for (uint32_t kind = 0; kind < BENCH_KINDS; kind++)
			if (engine->kinds & BENCH_BIT(kind))
				fprintf(file, " %s", engine_kind_name(kind));
		fprintf(file, "%s\n", engine->wait ? "" : " (one at a time on each thread)");
	}
	fprintf(file, "  %-16s %s\n", "external:PATH",
		"an engine in a shared object; see varve-bench(1)");
}

int command_help(FILE *file, const char *topic)
{
	if (topic && !strcmp(topic, "engines")) {
		help_engines(file);
		return 0;
	}
	if (topic)
		return options_help(file, topic);
	fprintf(file, "usage: varve-bench [OPTION | --KEY=VALUE | JOBFILE]...\n"
		      "       varve-bench compare A.json B.json [--fail-below=RATIO]\n"
		      "       varve-bench compare A.md B.md\n"
		      "       varve-bench claims RESULTS.md README.md [--write]\n"
		      "Without arguments: a tour of about a minute.\n\noptions:\n");
	for (size_t i = 0; i < PROGRAM_OPTIONS; i++) {
		char form[64];

		snprintf(form, sizeof(form), "--%s%s", program_options[i].name,
			 program_options[i].form);
		fprintf(file, "  %-26s %s\n", form, program_options[i].help);
	}
	fprintf(file, "\nkeys of jobs (ENGINE.KEY applies to that engine only):\n");
	options_help(file, NULL);
	fprintf(file, "\nengines:\n");
	help_engines(file);
	return 0;
}

void command_destroy(struct command *command)
{
	job_set_destroy(&command->set);
	free(command->pool_text);
}
