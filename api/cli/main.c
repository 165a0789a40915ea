/* SPDX-License-Identifier: Apache-2.0 */
/* main.c: the command `varve`: global options; finds and runs the command. */
#include "cli.h"

#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "interrupt.h"
#include "store.h"

/* The column in which the summary of a command begins. */
#define MAIN_COLUMN 28
/* A known command is proposed for a wrong word that differs in up to this many letters. */
#define MAIN_DISTANCE_MAX 2
/* Bytes for the name of the command in messages. */
#define MAIN_NAME_SIZE 64

#define MAIN_ROW(name) &name##_command,
static const struct command *const main_commands[] = { CLI_COMMANDS(MAIN_ROW) };
#undef MAIN_ROW

/* Run what follows for each command. */
#define MAIN_FOREACH(command)                                                          \
	for (const struct command *const *row = main_commands, *command;               \
	     row < main_commands + sizeof(main_commands) / sizeof(main_commands[0]) && \
	     (command = *row);                                                         \
	     row++)

static const char main_notes[] =
	"\nAn ID is 1 to 255 bytes without '/'. The operand - stands for ids from standard input, one a line.\n"
	"\nWith --json a name that is not UTF-8 has U+FFFD in place of invalid bytes, and a second member (\"id_hex\"\n"
	"beside \"id\") has all its bytes in hexadecimal. Failures are objects with \"ok\" false, and are reported on\n"
	"standard error, too.\n"
	"\nExit status: 0 success; 1 a part failed, the rest was done; 2 usage; 128 + N after signal N.\n";

/* Return how many words of OPERANDS are the name of COMMAND: 0, 1 or 2. */
static size_t main_match(const struct command *command, char *const *operands, size_t count)
{
	const char *space = strchr(command->name, ' ');
	size_t length = space ? (size_t)(space - command->name) : strlen(command->name);

	if (count == 0 || strlen(operands[0]) != length ||
	    memcmp(operands[0], command->name, length) != 0)
		return 0;
	if (!space)
		return 1;
	return count > 1 && strcmp(operands[1], space + 1) == 0 ? 2 : 0;
}

/* Is WORD the first of the two words of some command? */
static bool main_is_group(const char *word)
{
	MAIN_FOREACH(command) {
		size_t length = strcspn(command->name, " ");

		if (command->name[length] && strlen(word) == length &&
		    memcmp(word, command->name, length) == 0)
			return true;
	}
	return false;
}

/* Write the help of `varve`, or of GROUP. */
static void main_help(FILE *file, const char *group)
{
	fprintf(file, "Usage: varve [OPTION]... %s%sCOMMAND [ARGUMENT]...\n", group ? group : "",
		group ? " " : "");
	fprintf(file, "%s\nCommands:\n", group ? "" : "Store container layers on btrfs.\n");
	/* One line for each command; those of GROUP only, unless that is NULL. */
	MAIN_FOREACH(command) {
		size_t length = strcspn(command->name, " ");

		if (!group ||
		    (strlen(group) == length && memcmp(group, command->name, length) == 0))
			fprintf(file, "  %-*s%s\n", MAIN_COLUMN - 2, command->name,
				command->summary);
	}
	fprintf(file, "\nOptions:\n");
	options_help(file, store_options);
	if (!group)
		fputs(main_notes, file);
}

/* Write the help of COMMAND. */
static void main_help_command(FILE *file, const struct command *command)
{
	fprintf(file, "Usage: varve %s", command->name);
	options_usage(file, command->options);
	fprintf(file, "%s%s\n", *command->operands ? " " : "", command->operands);
	fprintf(file, "%c%s.\n", command->summary[0] - 'a' + 'A', command->summary + 1);
	if (command->options) {
		fprintf(file, "\nOptions:\n");
		options_help(file, command->options);
	}
	fprintf(file, "\nGlobal options:\n");
	options_help(file, store_options);
	if (command->notes)
		fprintf(file, "\n%s", command->notes);
}

/* Report a wrong command line of the command or group NAME ("": of `varve`). Return CLI_USAGE. */
__attribute__((format(printf, 3, 4))) static int main_usage(struct cli *cli, const char *name,
							    const char *format, ...)
{
	va_list arguments;
	char *text;

	va_start(arguments, format);
	if (vasprintf(&text, format, arguments) < 0)
		output_memory(NULL);
	va_end(arguments);
	output_complain(&cli->output, "%s%s%s", name, *name ? ": " : "", text);
	free(text);
	fprintf(stderr, "Try 'varve %s%s--help' for more.\n", name, *name ? " " : "");
	return CLI_USAGE;
}

/*
 * Parse ARGV for the command or group NAME ("": for `varve`), as options_parse(). Return
 * CLI_DONE, or CLI_USAGE after a message.
 */
static int main_parse(struct cli *cli, struct arguments *arguments, const char *name, int argc,
		      char **argv, const struct option_spec *specs, const struct option_spec *more,
		      bool first)
{
	char *message = NULL;

	/* It begins the message. */
	argv[0] = (char *)name;
	if (options_parse(arguments, argc, argv, specs, more, first, &message) == 0)
		return CLI_DONE;
	output_complain(&cli->output, "%s",
			*name || !message ? (char *)output_memory(message)
					  : message + strlen(": "));
	free(message);
	fprintf(stderr, "Try 'varve %s%s--help' for more.\n", name, *name ? " " : "");
	return CLI_USAGE;
}

/*
 * Return how many letters must be changed, added, left out or swapped with the next to make TO of
 * FROM.
 */
static size_t main_distance(const char *from, const char *to)
{
	size_t rows[3][MAIN_NAME_SIZE], length = strlen(to);

	if (strlen(from) >= MAIN_NAME_SIZE || length >= MAIN_NAME_SIZE)
		return SIZE_MAX;
	for (size_t j = 0; j <= length; j++)
		rows[0][j] = j;
	for (size_t i = 1; from[i - 1]; i++) {
		size_t *row = rows[i % 3];
		const size_t *above = rows[(i + 2) % 3], *before = rows[(i + 1) % 3];

		row[0] = i;
		for (size_t j = 1; j <= length; j++) {
			size_t best = above[j - 1] + (from[i - 1] != to[j - 1]);

			best = above[j] + 1 < best ? above[j] + 1 : best;
			best = row[j - 1] + 1 < best ? row[j - 1] + 1 : best;
			if (i > 1 && j > 1 && from[i - 1] == to[j - 2] &&
			    from[i - 2] == to[j - 1] && before[j - 2] + 1 < best)
				best = before[j - 2] + 1;
			row[j] = best;
		}
	}
	return rows[strlen(from) % 3][length];
}

/*
 * Complain that there is no command WORD, of GROUP if that is not NULL; and say what may have been
 * meant. Return CLI_USAGE.
 */
static int main_unknown(struct cli *cli, const char *group, const char *word)
{
	size_t nearest = MAIN_DISTANCE_MAX + 1;
	char meant[MAIN_NAME_SIZE] = "";

	MAIN_FOREACH(command) {
		const char *space = strchr(command->name, ' ');
		size_t first = strcspn(command->name, " "), distance;
		char name[MAIN_NAME_SIZE];

		if (group &&
		    (!space || strlen(group) != first || memcmp(group, command->name, first) != 0))
			continue;
		snprintf(name, sizeof(name), "%.*s", group ? (int)strlen(space + 1) : (int)first,
			 group ? space + 1 : command->name);
		distance = main_distance(word, name);
		/* Most letters must be right: "xx" is not meant to be "rm". */
		if (distance < nearest && distance * 2 < strlen(name)) {
			nearest = distance;
			strcpy(meant, name);
		}
	}
	return main_usage(cli, group ? group : "", "no such command: '%s'%s%s%s", word,
			  *meant ? "; did you mean '" : "", meant, *meant ? "'?" : "");
}

/* Find the command that the operands of ARGUMENTS begin with, and in how many words. */
static const struct command *main_find(const struct arguments *arguments, size_t *ret_words)
{
	MAIN_FOREACH(command) {
		size_t words = main_match(command, arguments->operands, arguments->operands_count);

		if (words > 0) {
			*ret_words = words;
			return command;
		}
	}
	return NULL;
}

/* Is the command line of COMMAND complete? Return CLI_DONE, or CLI_USAGE after a message. */
static int main_check(struct cli *cli, const struct command *command,
		      const struct arguments *arguments)
{
	for (const struct option_spec *spec = command->options; spec && spec->name; spec++) {
		if (spec->required && !options_has(arguments, spec->name))
			return main_usage(cli, command->name, "--%s %s is missing", spec->name,
					  spec->argument);
	}
	if (arguments->operands_count < command->operands_min)
		return main_usage(cli, command->name, "operands are missing: %s",
				  command->operands);
	if (arguments->operands_count > command->operands_max)
		return main_usage(cli, command->name, "one operand too many: '%s'",
				  arguments->operands[command->operands_max]);
	return CLI_DONE;
}

/* Open the store if COMMAND needs it, and run it. Return an exit status. */
static int main_execute(struct cli *cli, const struct command *command,
			const struct arguments *arguments)
{
	int status = command->answers ? CLI_UNKNOWN : CLI_FAILED;

	cli->answers = command->answers;
	cli->looks = command->looks;
	if (command->storeless || store_open(cli, command) == 0)
		status = command->run(cli, arguments);
	if (status == (command->answers ? CLI_UNKNOWN : CLI_FAILED) && interrupt_signal())
		return CLI_SIGNALLED + interrupt_signal();
	return status;
}

/*
 * Run COMMAND, which parses the COUNT words WORDS itself. Where it cannot run, show what is known
 * of it, if that was asked for. Return an exit status.
 */
static int main_pass(struct cli *cli, const struct command *command, struct arguments *arguments,
		     char *const *words, size_t count)
{
	int status;

	arguments->operands = words;
	arguments->operands_count = count;
	status = command->run(cli, arguments);
	if (count != 1 || strcmp(words[0], "--help") != 0)
		return status;
	main_help_command(cli->output.file, command);
	return CLI_DONE;
}

/* Show the help of the command or the group in the operands; without operands of `varve`. */
static int main_help_run(struct cli *cli, const struct arguments *arguments)
{
	const struct command *command;
	size_t words = 0;

	if (arguments->operands_count == 0) {
		main_help(cli->output.file, NULL);
		return CLI_DONE;
	}
	command = main_find(arguments, &words);
	if (command && words == arguments->operands_count) {
		static char help[] = "--help";
		char *const asked[] = { help };
		struct arguments none = { 0 };

		if (command->passes)
			return main_pass(cli, command, &none, asked, 1);
		main_help_command(cli->output.file, command);
		return CLI_DONE;
	}
	if (!command && !main_is_group(arguments->operands[0]))
		return main_unknown(cli, NULL, arguments->operands[0]);
	if (command || arguments->operands_count > 1)
		return main_unknown(cli, arguments->operands[0],
				    arguments->operands[arguments->operands_count - 1]);
	main_help(cli->output.file, arguments->operands[0]);
	return CLI_DONE;
}

const struct command help_command = {
	.name = "help",
	.operands = "[COMMAND]",
	.summary = "show help, of the command if one is named",
	.operands_max = 2,
	.storeless = true,
	.run = main_help_run,
};

/* Parse what follows the name of COMMAND, and run it. Return an exit status. */
static int main_command(struct cli *cli, const struct command *command, size_t words,
			struct arguments *arguments)
{
	char **argv = (char **)arguments->operands + words - 1;
	int argc = (int)(arguments->operands_count - words + 1);
	int status;

	if (command->passes)
		return main_pass(cli, command, arguments, argv + 1, (size_t)argc - 1);
	status = main_parse(cli, arguments, command->name, argc, argv, command->options,
			    store_options, false);
	if (status != CLI_DONE)
		return status;
	if (options_has(arguments, "version"))
		command = &version_command;
	if (options_has(arguments, "help")) {
		main_help_command(cli->output.file, command);
		return CLI_DONE;
	}
	status = main_check(cli, command, arguments);
	if (status != CLI_DONE)
		return status;
	if (store_configure(cli, arguments) < 0)
		return CLI_USAGE;
	return main_execute(cli, command, arguments);
}

/*
 * Show the help of a group ("pool"), or complain that what follows is not a command of it. Return
 * an exit status.
 */
static int main_group(struct cli *cli, struct arguments *arguments)
{
	const char *group = arguments->operands[0];
	char **argv = (char **)arguments->operands;
	int status = main_parse(cli, arguments, group, (int)arguments->operands_count, argv,
				store_options, NULL, true);

	if (status != CLI_DONE)
		return status;
	if (options_has(arguments, "help")) {
		main_help(cli->output.file, group);
		return CLI_DONE;
	}
	if (arguments->operands_count == 0)
		return main_usage(cli, group, "no command given");
	return main_unknown(cli, group, arguments->operands[0]);
}

/* Parse the global options, and find and run the command. Return an exit status. */
static int main_run(struct cli *cli, int argc, char **argv, struct arguments *arguments)
{
	const struct command *command;
	size_t words;

	int status = main_parse(cli, arguments, "", argc, argv, store_options, NULL, true);

	if (status != CLI_DONE)
		return status;
	command = main_find(arguments, &words);
	if (command && !options_has(arguments, "version"))
		return main_command(cli, command, words, arguments);
	if (arguments->operands_count > 0 && main_is_group(arguments->operands[0]))
		return main_group(cli, arguments);
	if (options_has(arguments, "help")) {
		main_help(cli->output.file, NULL);
		return CLI_DONE;
	}
	if (options_has(arguments, "version"))
		return store_configure(cli, arguments) < 0
			       ? CLI_USAGE
			       : main_execute(cli, &version_command, arguments);
	if (arguments->operands_count == 0)
		return main_usage(cli, "", "no command given");
	return main_unknown(cli, NULL, arguments->operands[0]);
}

/*
 * Is --json among the arguments? Checked before they are parsed, since mistakes in them are
 * reported in JSON, too.
 */
static bool main_wants_json(int argc, char **argv)
{
	for (int i = 1; i < argc && strcmp(argv[i], "--") != 0; i++) {
		if (strcmp(argv[i], "--json") == 0)
			return true;
	}
	return false;
}

/* Write the mistake in the command line, last reported on standard error, as a JSON object. */
static void main_usage_json(struct cli *cli)
{
	const struct varve_failure failure = { .error = -EINVAL,
					       .operation = "usage",
					       .step = "USAGE" };
	json_t *object = output_result(&cli->output, NULL, &failure);

	output_set_name(object, "message", cli->output.message ? cli->output.message : "");
	output_json(&cli->output, object);
}

int main(int argc, char **argv)
{
	struct arguments arguments = { 0 };
	struct cli cli = { 0 };
	int r, status;

	progress_init(&cli.progress);
	output_init(&cli.output, &cli.progress);
	r = interrupt_catch();
	if (argc < 1 || r < 0) {
		output_complain(&cli.output, "%s", strerror(argc < 1 ? EINVAL : -r));
		return CLI_FAILED;
	}
	cli.json = main_wants_json(argc, argv);
	status = main_run(&cli, argc, argv, &arguments);
	if (status == CLI_USAGE && !cli.answers && cli.json)
		main_usage_json(&cli);
	store_close(&cli);
	options_free(&arguments);
	r = output_finish(&cli.output);
	if (r == 0 || (status != CLI_DONE && !cli.answers))
		return status;
	if (r == -EPIPE || r == -EINTR)
		return CLI_SIGNALLED + (r == -EPIPE ? SIGPIPE : interrupt_signal());
	return cli.answers ? CLI_UNKNOWN : CLI_FAILED;
}
