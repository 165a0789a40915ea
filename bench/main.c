/* SPDX-License-Identifier: Apache-2.0 */
/*
 * varve-bench: is to layers what fio is to blocks.
 *
 * The files of this folder, each above what it uses:
 *
 *	main.c			what the program does, from arguments to reports
 *	command.c		the command line
 *	tour.c			what runs without arguments
 *	compare.c		varve-bench compare
 *	pool.c			--pool: the image file that runs work in
 *	report_*.c, pair.c	reports, from one struct results
 *	run.c			groups of jobs: set up, measure, collect, clean up
 *	worker.c		one thread: keeps operations in flight and times them
 *	workload.c		which operation is next
 *	engines/		who carries it out
 *	fixture.c		parent layers
 *	place.c, safety.c	the directory a run works in, and what it may remove
 *	log.c, eta.c		latency logs, live rates
 *	job.c, options.c	job files, and the table of keys
 *	stats.c, histogram.c	what is counted
 */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "command.h"
#include "pair.h"
#include "report.h"
#include "run.h"

#define EXIT_USAGE 2

static volatile int stop;

/* End the run early; the second time, at once. */
static void on_signal(int number) {
	if (stop)
		_exit(128 + number);
	stop = 1;
}

/* Let SIGINT and SIGTERM end the run with its reports and its clean-up. */
static void catch_signals(void) {
	struct sigaction action = {.sa_handler = on_signal};

	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
	signal(SIGPIPE, SIG_IGN);
}

/* Open NAME for writing; NULL is standard output. */
static FILE *output_open(const char *name) {
	FILE *file = name ? fopen(name, "we") : stdout;

	if (!file)
		fprintf(stderr, "varve-bench: %s: %s\n", name, strerror(errno));
	return file;
}

/* Close FILE. Returns 0 or -EIO when something was not written. */
static int output_close(FILE *file) {
	int failed = fflush(file) != 0 || ferror(file);

	if (file != stdout)
		failed |= fclose(file) != 0;
	return failed ? -EIO : 0;
}

/* Write the reports that COMMAND asks for. */
static int write_reports(const struct command *command, const struct results *results) {
	FILE *file = output_open(command->output);
	int r = 0;

	if (!file)
		return -errno;
	if (command->formats & COMMAND_NORMAL) {
		report_human(file, results);
		pair_report(file, &command->set, results);
	}
	return output_close(file) < 0 ? -EIO : r;
}

/* Run all jobs of COMMAND. */
static int run_jobs(const struct command *command, struct run *run) {
	uint32_t repeat = command->repeat ? command->repeat : COMMAND_REPEAT_PAIR;
	bool paired = false;
	int r = 0;

	for (size_t i = 0; i < command->set.count; i++)
		paired |= command->set.jobs[i].engines != NULL;
	if (!paired)
		return run_all(run, command->repeat ? command->repeat : 1);
	for (size_t i = 0; r == 0 && i < command->set.count && !stop; i++) {
		struct job *job = &command->set.jobs[i];
		char *alone[2] = {(char *)job->options.ioengine, NULL};

		r = run_pair(run, job, job->engines ? job->engines : alone, repeat);
	}
	return r;
}

/* Carry out COMMAND. Returns the exit status. */
static int carry_out(const struct command *command) {
	struct results results = {.when = time(NULL)};
	struct run_config config = {.drain = command->drain,
				    .eta = command->eta > 0 || (command->eta == 0 && isatty(STDERR_FILENO))};
	struct run run = {.config = &config, .set = &command->set, .results = &results, .stop = &stop};
	int status = EXIT_SUCCESS;

	catch_signals();
	if (run_jobs(command, &run) < 0) {
		fprintf(stderr, "varve-bench: %s\n", run.error);
		status = EXIT_FAILURE;
	}
	if (run_finish(&run) < 0) {
		fprintf(stderr, "varve-bench: %s\n", run.error);
		status = EXIT_FAILURE;
	}
	for (size_t i = 0; i < results.count; i++)
		if (results.items[i].stats.error)
			status = EXIT_FAILURE;
	if (results.count && write_reports(command, &results) < 0)
		status = EXIT_FAILURE;
	results_destroy(&results);
	return status;
}

int main(int argc, char **argv) {
	char error[OPTIONS_ERROR_SIZE] = "";
	struct command command;
	int status = EXIT_SUCCESS;
	int r = command_parse(&command, argc, argv, error);

	if (r == 0 && command.help) {
		status = command_help(stdout, command.help_topic) < 0 ? EXIT_USAGE : EXIT_SUCCESS;
		if (status)
			fprintf(stderr, "varve-bench: %s: no such key\n", command.help_topic);
	} else if (r == 0 && command.version) {
		printf("varve-bench %s\n", VARVE_VERSION);
	} else {
		r = r < 0 ? r : job_set_finish(&command.set, error);
		if (r < 0) {
			fprintf(stderr, "varve-bench: %s\n", error);
			status = EXIT_USAGE;
		} else if (!command.parse_only) {
			status = carry_out(&command);
		}
	}
	command_destroy(&command);
	return status;
}
