/* SPDX-License-Identifier: Apache-2.0 */
/* main.c: the command `varve`: global options; finds and runs the command. */
#include "cli.h"

#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "interrupt.h"
#include "store.h"

/** The column in which the summary of a command begins. */
#define MAIN_COLUMN 28
/** Bytes for the name of the command in messages. */
#define MAIN_NAME_SIZE 64

#define MAIN_ROW(name) &name##_command,
static const struct command *const main_commands[] = { CLI_COMMANDS(MAIN_ROW) };
#undef MAIN_ROW

/** Run what follows for each command. */
#define MAIN_FOREACH(command)                                                                                          \
	for (const struct command *const *row = main_commands, *command;                                               \
	     row < main_commands + sizeof(main_commands) / sizeof(main_commands[0]) && (command = *row); row++)

static const char main_notes[] =
	"\nAn ID is 1 to 255 bytes without '/'. The operand - stands for ids from standard input, one a line.\n"
	"\nWith --json a name that is not UTF-8 has U+FFFD in place of the bytes that are not, and a second member\n"
	"(\"id_hex\" beside \"id\") has all its bytes in hexadecimal. Failures are objects with \"ok\" false, and go to\n"
	"standard error, too.\n"
	"\nExit status: 0 all was done; 1 something failed, the rest was done; 2 usage; 128 and its number after a signal.\n";

/** Return how many words of OPERANDS are the name of COMMAND: 0, 1 or 2. */
static size_t main_match(const struct command *command, char *const *operands, size_t count) {
	const char *space = strchr(command->name, ' ');
	size_t length = space ? (size_t)(space - command->name) : strlen(command->name);

	if (count == 0 || strlen(operands[0]) != length || memcmp(operands[0], command->name, length) != 0)
		return 0;
	if (!space)
		return 1;
	return count > 1 && strcmp(operands[1], space + 1) == 0 ? 2 : 0;
}

/** Is WORD the first of the two words of some command? */
static bool main_is_group(const char *word) {
	MAIN_FOREACH(command) {
		size_t length = strcspn(command->name, " ");

		if (command->name[length] && strlen(word) == length && memcmp(word, command->name, length) == 0)
			return true;
	}
	return false;
}

/** Write one line for each command; those of GROUP only, unless that is NULL. */
static void main_list(FILE *file, const char *group) {
	MAIN_FOREACH(command) {
		size_t length = strcspn(command->name, " ");

		if (!group || (strlen(group) == length && memcmp(group, command->name, length) == 0))
			fprintf(file, "  %-*s%s\n", MAIN_COLUMN - 2, command->name, command->summary);
	}
}

/** Write the help of the whole, or of GROUP. */
static void main_help(FILE *file, const char *group) {
	fprintf(file, "Usage: varve [OPTION]... %s%sCOMMAND [ARGUMENT]...\n", group ? group : "", group ? " " : "");
	fprintf(file, "%s\nCommands:\n", group ? "" : "Store container layers on btrfs.\n");
	main_list(file, group);
	fprintf(file, "\nOptions:\n");
	options_help(file, store_options);
	if (!group)
		fputs(main_notes, file);
}

/** Write the help of COMMAND. */
static void main_help_command(FILE *file, const struct command *command) {
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

/** Complain that the command line of the command or group NAME ("": of the whole) makes no sense. Return CLI_USAGE. */
__attribute__((format(printf, 2, 3))) static int main_usage(const char *name, const char *format, ...) {
	va_list arguments;

	fprintf(stderr, "varve: %s%s", name, *name ? ": " : "");
	va_start(arguments, format);
	vfprintf(stderr, format, arguments);
	va_end(arguments);
	fprintf(stderr, "\nTry 'varve %s%s--help' for more.\n", name, *name ? " " : "");
	return CLI_USAGE;
}

/** Write where the help is, after getopt_long() has complained about the options of NAME. Return CLI_USAGE. */
static int main_usage_options(const char *name) {
	fprintf(stderr, "Try 'varve %s%s--help' for more.\n", name, *name ? " " : "");
	return CLI_USAGE;
}

/** Find the command that the operands of ARGUMENTS begin with, and in how many words. */
static const struct command *main_find(const struct arguments *arguments, size_t *ret_words) {
	MAIN_FOREACH(command) {
		size_t words = main_match(command, arguments->operands, arguments->operands_count);

		if (words > 0) {
			*ret_words = words;
			return command;
		}
	}
	return NULL;
}

/** Is the command line of COMMAND complete? Return CLI_DONE, or CLI_USAGE after a message. */
static int main_check(const struct command *command, const struct arguments *arguments) {
	for (const struct option_spec *spec = command->options; spec && spec->name; spec++) {
		if (spec->required && !options_has(arguments, spec->name))
			return main_usage(command->name, "--%s %s is missing", spec->name, spec->argument);
	}
	if (arguments->operands_count < command->operands_min)
		return main_usage(command->name, "operands are missing: %s", command->operands);
	if (arguments->operands_count > command->operands_max)
		return main_usage(command->name, "one operand too many: '%s'",
				  arguments->operands[command->operands_max]);
	return CLI_DONE;
}

/** Open the store if COMMAND needs it, and run it. Return an exit status. */
static int main_execute(struct cli *cli, const struct command *command, const struct arguments *arguments) {
	int status = command->answers ? CLI_UNKNOWN : CLI_FAILED;

	cli->answers = command->answers;
	cli->looks = command->looks;
	if (command->storeless || store_open(cli, command) == 0)
		status = command->run(cli, arguments);
	if (status == (command->answers ? CLI_UNKNOWN : CLI_FAILED) && interrupt_signal())
		return CLI_SIGNALLED + interrupt_signal();
	return status;
}

/** Parse what follows the name of COMMAND, and run it. Return an exit status. */
static int main_command(struct cli *cli, const struct command *command, size_t words, struct arguments *arguments) {
	char **argv = (char **)arguments->operands + words - 1;
	int argc = (int)(arguments->operands_count - words + 1);
	char name[MAIN_NAME_SIZE];
	int status;

	snprintf(name, sizeof(name), "varve: %s", command->name);
	argv[0] = name; /* getopt_long() begins its messages with it. */
	if (options_parse(arguments, argc, argv, command->options, store_options, false) < 0)
		return main_usage_options(command->name);
	if (options_has(arguments, "help")) {
		main_help_command(cli->output.file, command);
		return CLI_DONE;
	}
	status = main_check(command, arguments);
	if (status != CLI_DONE)
		return status;
	if (store_configure(cli, arguments) < 0)
		return CLI_USAGE;
	return main_execute(cli, command, arguments);
}

/** Show the help of a group ("pool"), or complain that what follows is not a command of it. Return an exit status. */
static int main_group(struct cli *cli, struct arguments *arguments) {
	const char *group = arguments->operands[0];
	char **argv = (char **)arguments->operands;
	char name[MAIN_NAME_SIZE];

	snprintf(name, sizeof(name), "varve: %s", group);
	argv[0] = name;
	if (options_parse(arguments, (int)arguments->operands_count, argv, store_options, NULL, true) < 0)
		return main_usage_options(group);
	if (options_has(arguments, "help")) {
		main_help(cli->output.file, group);
		return CLI_DONE;
	}
	if (arguments->operands_count == 0)
		return main_usage(group, "no command given");
	return main_usage(group, "no such command: '%s'", arguments->operands[0]);
}

/** Parse the global options, and find and run the command. Return an exit status. */
static int main_run(struct cli *cli, int argc, char **argv, struct arguments *arguments) {
	const struct command *command;
	size_t words;

	if (options_parse(arguments, argc, argv, store_options, NULL, true) < 0)
		return main_usage_options("");
	command = main_find(arguments, &words);
	if (command)
		return main_command(cli, command, words, arguments);
	if (arguments->operands_count > 0 && main_is_group(arguments->operands[0]))
		return main_group(cli, arguments);
	if (options_has(arguments, "help")) {
		main_help(cli->output.file, NULL);
		return CLI_DONE;
	}
	if (arguments->operands_count == 0)
		return main_usage("", "no command given");
	return main_usage("", "no such command: '%s'", arguments->operands[0]);
}

int main(int argc, char **argv) {
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
	argv[0] = "varve"; /* getopt_long() begins its messages with it. */
	/* Whoever does not know a program tries this. */
	if (argc == 2 && strcmp(argv[1], "--version") == 0)
		argv[1] = "version";
	status = main_run(&cli, argc, argv, &arguments);
	store_close(&cli);
	options_free(&arguments);
	r = output_finish(&cli.output);
	if (r == 0 || (status != CLI_DONE && !cli.answers))
		return status;
	if (r == -EPIPE || r == -EINTR)
		return CLI_SIGNALLED + (r == -EPIPE ? SIGPIPE : interrupt_signal());
	return cli.answers ? CLI_UNKNOWN : CLI_FAILED;
}
