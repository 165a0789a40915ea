/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fsck.c: the command `check`. What layers are to the library it says itself. What they are to
 * containerd stands in their records, which varve-serve reads: that is run where there are
 * snapshots.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include "cli.h"
#include "flight.h"
#include "serve.h"

/* The label of layers that are snapshots of varve-serve. */
#define FSCK_SNAPSHOT_LABEL "varve.snapshot"

/* What `check` has found. */
struct fsck {
	uint64_t total; /* How many findings. */
	uint64_t swept; /* ... of which `gc` does something about. */
};

/* Submit a check. */
static int fsck_submit(struct flight *flight, const char *id, varve_callback *callback,
		       void *user_data, varve_request *ret_request)
{
	return varve_check(flight->cli->store, callback, user_data, ret_request);
}

/* Write FINDING. */
static void fsck_write(struct cli *cli, const struct varve_finding *finding)
{
	json_t *object;

	if (!cli->json) {
		output_text(&cli->output, "%s ", finding->kind);
		output_name(&cli->output, *finding->path ? finding->path : "-");
		output_text(&cli->output, ": ");
		output_name(&cli->output, finding->detail);
		output_text(&cli->output, "; gc %s", finding->sweep ? finding->sweep : "leaves it");
		output_end(&cli->output);
		return;
	}
	object = output_result(&cli->output, NULL, NULL);
	json_object_set_new(object, "kind", json_string(finding->kind));
	output_set_name(object, "path", finding->path);
	output_set_name(object, "detail", finding->detail);
	json_object_set_new(object, "gc",
			    finding->sweep ? json_string(finding->sweep) : json_null());
	output_json(&cli->output, object);
}

/* Write the findings at once: there may be thousands, not to be kept twice. */
static void fsck_take(struct flight_slot *slot, const struct varve_result *result)
{
	struct fsck *fsck = slot->flight->data;

	fsck->total = result->findings_total;
	for (size_t i = 0; i < result->findings_count; i++) {
		fsck->swept += result->findings[i].sweep != NULL;
		fsck_write(slot->flight->cli, &result->findings[i]);
	}
}

static const struct flight_job fsck_job = {
	.name = "check",
	.single = true,
	.submit = fsck_submit,
	.take = fsck_take,
	/* How many there are comes after the snapshots. */
	.report = flight_report_nothing,
};

/* Write the findings that varve-serve writes to FILE, an object a line. Return 0 or -errno. */
static int fsck_snapshots_read(struct cli *cli, struct fsck *fsck, FILE *file)
{
	json_error_t error;
	json_t *object;

	while ((object = json_loadf(file, JSON_DISABLE_EOF_CHECK, &error))) {
		struct varve_finding finding = { .kind = "snapshot" };
		int r = json_unpack(object, "{s:s, s:s}", "path", &finding.path, "detail",
				    &finding.detail);

		if (!r) {
			fsck->total++;
			fsck_write(cli, &finding);
		}
		json_decref(object);
		if (r)
			return -EBADMSG;
	}
	return json_error_code(&error) == json_error_premature_end_of_input ? 0 : -EBADMSG;
}

/* Check the snapshots of varve-serve, if there are any. Return an exit status. */
static int fsck_snapshots(struct cli *cli, struct fsck *fsck)
{
	static const char *const labels[] = { FSCK_SNAPSHOT_LABEL, NULL };
	struct varve_find_options options = VARVE_FIND_OPTIONS_INIT;
	struct varve_failure failure;
	int r, status = -1;
	size_t count;
	FILE *file = NULL;
	char **ids;
	pid_t pid;

	options.labels = labels;
	r = varve_layer_find_wait(cli->store, &options, &ids, NULL, &count, &failure);
	if (r) {
		output_failure(&cli->output, &failure);
		return CLI_UNKNOWN;
	}
	free(ids);
	if (!count)
		return CLI_DONE;
	r = serve_start(cli, "check", &pid, &file);
	if (r) {
		serve_complain(cli, "check of snapshots", r);
		return CLI_UNKNOWN;
	}
	r = fsck_snapshots_read(cli, fsck, file);
	fclose(file);
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	if (WIFEXITED(status) && WEXITSTATUS(status) < CLI_UNKNOWN && !r)
		return CLI_DONE;
	/* Else it has said why. */
	if (!WIFEXITED(status) || r)
		output_complain(&cli->output, "check of snapshots: varve-serve has failed");
	return CLI_UNKNOWN;
}

/* Write how many findings there are in JSON; as text nothing. */
static void fsck_report(struct cli *cli, const struct fsck *fsck)
{
	json_t *object;

	if (!cli->json)
		return;
	object = output_result(&cli->output, NULL, NULL);
	output_set_number(object, "findings", fsck->total);
	output_set_number(object, "gc_findings", fsck->swept);
	output_json(&cli->output, object);
}

/* Check the store for faults. */
static int fsck_run(struct cli *cli, const struct arguments *arguments)
{
	struct fsck fsck = { 0 };
	int status = flight_run_single(cli, &fsck_job, &fsck);

	if (status == CLI_FAILED)
		return CLI_UNKNOWN;
	if (status == CLI_DONE)
		status = fsck_snapshots(cli, &fsck);
	if (status != CLI_DONE)
		return status;
	fsck_report(cli, &fsck);
	return fsck.total ? CLI_NO : CLI_DONE;
}

const struct command check_command = {
	.name = "check",
	.operands = "",
	.summary = "check the store for faults",
	.notes =
		"Each line is a finding: its kind, the path below the home, the fault, and what `gc` does about it.\n"
		"Snapshots of 'varve serve' are checked, too, also while it runs. Nothing is changed.\n"
		"Exit status: 0 no finding; 1 there are findings; 2 an error.\n",
	.open_flags = CLI_OPEN_LOOK,
	.looks = true,
	.answers = true,
	.run = fsck_run,
};
