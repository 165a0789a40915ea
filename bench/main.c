/* SPDX-License-Identifier: Apache-2.0 */
/*
 * varve-bench measures layers as fio measures block devices.
 *
 * The files of this folder, each above what it uses:
 *
 *	main.c				the program, from arguments to reports
 *	tour.c				the jobs that run without arguments
 *	run.c				groups of jobs: set up, measure, collect, clean up
 *	report/compare.c, claims.c	varve-bench compare; README's table against the page of results
 *	report/report_*.c, pair.c	reports, from one struct results
 *	report/page.c, machine.c	the page of results, a section for each machine
 *	report/log.c, eta.c		latency logs, live rates
 *	report/result.c, spread.c, format.c	results, repeated measurements, numbers as text
 *	load/worker.c			one thread: keeps operations in flight and times them
 *	load/workload.c			which operation is next
 *	load/stats.c, histogram.c	what is counted
 *	load/guard.c			proof that a thread makes no file-system call
 *	place/pool.c			--pool: the image file that runs work in
 *	place/place.c, safety.c		the directory a run works in, and what it may remove
 *	place/fixture.c			parent layers
 *	engines/			the libraries and programs that are measured
 *	job/command.c			the command line
 *	job/job.c, options.c, claim.c	job files, the table of keys, claims
 */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <unistd.h>

#include "load/clock.h"
#include "job/command.h"
#include "report/claims.h"
#include "report/compare.h"
#include "report/pair.h"
#include "place/pool.h"
#include "report/report.h"
#include "run.h"
#include "tour.h"

#define EXIT_USAGE 2

/*
 * 1/BUDGET_RESERVE of the budget is kept for jobs that need more than their share to run once.
 */
#define BUDGET_RESERVE 8

/* A second signal this soon is the same request: a terminal and make both pass it on. */
#define SIGNAL_AGAIN_NS (2 * NS_PER_S)

/* Why a run ends early. */
enum stop { STOP_NOT, STOP_ASKED, STOP_BUDGET };

/* Why this run ends early; set by signal handlers. */
static volatile int stop;

/* End the run early; after a second signal, at once. */
static void on_signal(int number)
{
	static uint64_t first_ns;

	if (stop != STOP_ASKED)
		first_ns = clock_ns();
	else if (clock_ns() - first_ns > SIGNAL_AGAIN_NS)
		_exit(128 + number);
	stop = STOP_ASKED;
}

/* End the run because its time is over. */
static void on_alarm(int number)
{
	(void)number;
	if (!stop)
		stop = STOP_BUDGET;
}

/* Let the run end when NS have passed; 0: never. */
static void bound_time(uint64_t ns)
{
	struct sigaction action = { .sa_handler = on_alarm, .sa_flags = SA_RESTART };
	struct itimerval timer = { .it_value = { .tv_sec = (time_t)(ns / NS_PER_S),
						 .tv_usec = (suseconds_t)(ns % NS_PER_S / 1000) } };

	sigaction(SIGALRM, &action, NULL);
	setitimer(ITIMER_REAL, &timer, NULL);
}

/* Open NAME for writing; NULL is standard output. */
static FILE *output_open(const char *name)
{
	FILE *file = name ? fopen(name, "we") : stdout;

	if (!file)
		fprintf(stderr, "varve-bench: %s: %s\n", name, strerror(errno));
	return file;
}

/* Close FILE. Returns 0 or -EIO when something was not written. */
static int output_close(FILE *file)
{
	int failed = fflush(file) != 0 || ferror(file);

	if (file != stdout)
		failed |= fclose(file) != 0;
	return failed ? -EIO : 0;
}

/* Write the main report of COMMAND: as text, as JSON, or both. */
static int write_output(const struct command *command, const struct results *results)
{
	FILE *file = output_open(command->output);
	int r = 0, last;

	if (!file)
		return -EIO;
	if (command->tour)
		report_tour(file, &command->set, results);
	else if (command->formats & COMMAND_NORMAL) {
		report_human(file, results);
		pair_report(file, &command->set, results);
	}
	if (command->formats & (COMMAND_JSON | COMMAND_JSON_PLUS))
		r = report_json(file, &command->set, results, command->formats & COMMAND_JSON_PLUS);
	last = output_close(file);
	return r < 0 ? r : last;
}

/* Write the reports that COMMAND asks for. Returns the first failure, which is reported, or 0. */
static int write_reports(const struct command *command, const struct results *results)
{
	int first = write_output(command, results), r = 0, last;

	if (command->report) {
		FILE *file = output_open(command->report);

		r = file ? report_html(file, &command->set, results) : -EIO;
		last = file ? output_close(file) : 0;
		r = r < 0 ? r : last;
	}
	first = first < 0 ? first : r;
	/* The figures that moved come last. A run that was cut short leaves the page as it is. */
	if (command->results && stop == STOP_ASKED)
		fprintf(stderr, "varve-bench: %s stays as it was\n", command->results);
	else if (command->results)
		r = report_page(command->results, stderr, &command->set, results);
	first = first < 0 ? first : r;
	if (first < 0)
		fprintf(stderr, "varve-bench: the report: %s\n", strerror(-first));
	return first;
}

/* Run all jobs of COMMAND. */
static int run_jobs(const struct command *command, struct run *run)
{
	uint32_t repeat = command->repeat ? command->repeat : COMMAND_REPEAT_PAIR;
	uint64_t end = clock_ns() + command->budget_ns - command->budget_ns / BUDGET_RESERVE;
	bool paired = false;
	int first = 0;

	for (size_t i = 0; i < command->set.count; i++)
		paired |= command->set.jobs[i].engines != NULL;
	if (!paired)
		first = run_all(run, command->repeat ? command->repeat : 1);
	/* A job that the end of the budget cuts short has not failed. */
	if (!paired)
		return stop == STOP_BUDGET ? 0 : first;
	for (size_t i = 0; i < command->set.count && !run_ends(run); i++) {
		struct job *job = &command->set.jobs[i];
		char *alone[2] = { (char *)job->options.ioengine, NULL };
		uint64_t now = clock_ns(), left = now < end ? end - now : 0;
		int r = run_pair(run, job, job->engines ? job->engines : alone, repeat,
				 command->budget_ns ? left / (command->set.count - i) : UINT64_MAX);

		first = first || stop == STOP_BUDGET ? first : r;
		if (command->results)
			fprintf(stderr, "varve-bench: %zu of %zu: %s: %.1f s\n", i + 1,
				command->set.count, job->name,
				(double)job->took_ns / (double)NS_PER_S);
	}
	return first;
}

/* Print REASON. Returns its exit status. */
static int complain(const char *reason)
{
	fprintf(stderr, "varve-bench: %s\n", reason);
	return EXIT_FAILURE;
}

/* Carry out COMMAND. Returns the exit status. */
static int carry_out(const struct command *command)
{
	struct results results = { .when = time(NULL) };
	struct run_config config = { .drain = command->drain,
				     .eta = command->eta > 0 ||
					    (command->eta == 0 && isatty(STDERR_FILENO)) };
	struct run run = {
		.config = &config, .set = &command->set, .results = &results, .stop = &stop
	};
	/* SIGINT and SIGTERM end the run with its reports and its clean-up. */
	struct sigaction action = { .sa_handler = on_signal };
	struct pool pool = { 0 };
	int status = EXIT_SUCCESS;

	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
	signal(SIGPIPE, SIG_IGN);
	if (command->pool && pool_open(&pool, command->pool, run.error, sizeof(run.error)) < 0) {
		tour_finish(command);
		return complain(run.error);
	}
	if (pool.mounted) {
		config.directory = pool.mount;
		config.fixtures = pool.fixtures;
		config.pool = &pool;
	}
	bound_time(command->budget_ns);
	if (run_jobs(command, &run) < 0)
		status = complain(run.error);
	bound_time(0);
	results.unfinished = run.stalled           ? "an engine stalled"
			     : stop == STOP_BUDGET ? "the budget was spent"
			     : stop                ? "the run was interrupted"
						   : NULL;
	if (run_finish(&run) < 0)
		status = complain(run.error);
	if (pool_close(&pool, run.stalled, run.error, sizeof(run.error)) < 0)
		status = complain(run.error);
	for (size_t i = 0; i < results.count; i++)
		if (results.items[i].stats.error)
			status = EXIT_FAILURE;
	if ((results.count || results.failures_count || results.unfinished) &&
	    write_reports(command, &results) < 0)
		status = EXIT_FAILURE;
	results_destroy(&results);
	tour_finish(command);
	if (run.stalled) {
		/* Threads of the engine still run, with memory that exit() would take apart. */
		fflush(NULL);
		_exit(status);
	}
	return status;
}

int main(int argc, char **argv)
{
	char error[OPTIONS_ERROR_SIZE] = "";
	struct command command;
	int status = EXIT_SUCCESS, r;

	if (argc > 1 && !strcmp(argv[1], "compare"))
		return compare_main(argc - 2, argv + 2);
	if (argc > 1 && !strcmp(argv[1], "claims"))
		return claims_main(argc - 2, argv + 2);
	r = command_parse(&command, argc, argv, error);
	if (r == 0 && command.tour && !command.help && !command.version)
		r = tour_prepare(&command, error);
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
