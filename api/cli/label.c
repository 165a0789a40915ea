/* SPDX-License-Identifier: Apache-2.0 */
/* label.c: the command `label`, and labels as the commands that list layers write them. */
#include "label.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "apply.h"
#include "flight.h"

json_t *label_json(const struct varve_layer_record *record)
{
	json_t *array = json_array();

	for (size_t i = 0; record && i < record->labels_count; i++) {
		json_t *object = json_object();
		char *key = output_memory(strdup(record->labels[i]));
		size_t length = strcspn(key, "=");

		key[length] = '\0';
		output_set_name(object, "key", key);
		output_set_name(object, "value", key + length + 1);
		json_array_append_new(array, object);
		free(key);
	}
	return array;
}

char *label_text(const struct varve_layer_record *record)
{
	size_t size = 1;
	char *text, *end;

	for (size_t i = 0; record && i < record->labels_count; i++)
		size += strlen(record->labels[i]) + 1;
	end = text = output_memory(calloc(1, size));
	for (size_t i = 0; record && i < record->labels_count; i++) {
		if (i)
			*end++ = ',';
		end = stpcpy(end, record->labels[i]);
	}
	return text;
}

/* Read up to SIZE bytes of FD to its end: how many there are, or -errno. */
static ssize_t label_read(int fd, char *bytes, size_t size)
{
	size_t count = 0;

	while (count < size) {
		ssize_t got = read(fd, bytes + count, size - count);

		if (got < 0 && errno != EINTR)
			return -errno;
		if (!got)
			break;
		count += got < 0 ? 0 : (size_t)got;
	}
	return (ssize_t)count;
}

int label_read_record(struct cli *cli, const char *command, const char *file, void **ret_bytes,
		      size_t *ret_count)
{
	int fd = apply_open(cli, command, file);
	ssize_t count;
	char *bytes;

	if (fd < 0)
		return fd;
	/* One byte more shows that it is too long, and nothing endless is read. */
	bytes = output_memory(malloc(VARVE_RECORD_BYTES_MAX + 1));
	count = label_read(fd, bytes, VARVE_RECORD_BYTES_MAX + 1);
	close(fd);
	if (count >= 0 && count <= VARVE_RECORD_BYTES_MAX) {
		*ret_bytes = bytes;
		*ret_count = (size_t)count;
		return 0;
	}
	free(bytes);
	if (count < 0)
		output_complain(&cli->output, "%s: %s: %s", command, file, strerror((int)-count));
	else
		output_complain(&cli->output, "%s: %s: a record has up to %d bytes", command, file,
				VARVE_RECORD_BYTES_MAX);
	return count < 0 ? (int)count : -E2BIG;
}

/* The change of labels. */
struct label_change {
	struct varve_label_options options; /* How. */
	bool show;                          /* Nothing: the labels are written. */
	bool bytes;                         /* Or the record. */
};

/* Submit the change of ID, or the question for its labels. */
static int label_submit(struct flight *flight, const char *id, varve_callback *callback,
			void *user_data, varve_request *ret_request)
{
	const struct label_change *change = flight->data;

	if (change->show)
		return varve_layer_record(flight->cli->store, id, callback, user_data, ret_request);
	return varve_layer_label(flight->cli->store, id, &change->options, callback, user_data,
				 ret_request);
}

/* Set member "record_hex" of OBJECT to the bytes of RECORD. */
static void label_set_bytes(json_t *object, const struct varve_layer_record *record)
{
	const unsigned char *bytes = record->bytes;
	char *text = output_memory(malloc(record->bytes_count * 2 + 1));

	*text = '\0';
	for (size_t i = 0; i < record->bytes_count; i++)
		sprintf(text + 2 * i, "%02x", bytes[i]);
	json_object_set_new(object, "record_hex", json_string(text));
	free(text);
}

/* Write the labels: they do not outlive the callback, and there is one layer. */
static void label_take(struct flight_slot *slot, const struct varve_result *result)
{
	const struct label_change *change = slot->flight->data;
	struct cli *cli = slot->flight->cli;
	json_t *object;

	if (result->error)
		return;
	if (cli->json) {
		object = output_result(&cli->output, slot->id, NULL);
		output_set_number(object, "revision", result->record->revision);
		output_set_number(object, "record_bytes", result->record->bytes_count);
		json_object_set_new(object, "labels", label_json(result->record));
		if (change->bytes)
			label_set_bytes(object, result->record);
		output_json(&cli->output, object);
		return;
	}
	if (change->bytes) {
		output_bytes(&cli->output, result->record->bytes, result->record->bytes_count);
		return;
	}
	for (size_t i = 0; change->show && i < result->record->labels_count; i++) {
		output_name(&cli->output, result->record->labels[i]);
		output_end(&cli->output);
	}
}

static const struct flight_job label_job = {
	.name = "label",
	.past = "labelled",
	.submit = label_submit,
	.take = label_take,
	.report = flight_report_nothing,
};

static const struct option_spec label_options[] = {
	{ .name = "delete", .argument = "KEY", .help = "delete this label, as KEY- (repeatable)" },
	{ .name = "only", .help = "delete all other labels" },
	{ .name = "record",
	  .argument = "FILE",
	  .help = "set the record to what FILE has, - being standard input" },
	{ .name = "print-record", .help = "write the record, and change nothing" },
	{ .name = "revision",
	  .argument = "N",
	  .help = "fail unless this is the layer's revision (see --json)" },
	{ 0 },
};

/*
 * Sort the operands behind the id, and the arguments of --delete, into LABELS and DELETED, which
 * have room for all.
 */
static void label_sort(const struct arguments *arguments, const char **labels, const char **deleted)
{
	for (size_t i = 0; i < arguments->given_count; i++)
		if (strcmp(arguments->given[i]->name, "delete") == 0)
			*deleted++ = arguments->values[i];
	for (size_t i = 1; i < arguments->operands_count; i++) {
		char *operand = arguments->operands[i];
		size_t length = strlen(operand);

		if (!strchr(operand, '=') && length > 1 && operand[length - 1] == '-') {
			operand[length - 1] = '\0';
			*deleted++ = operand;
		} else
			*labels++ = operand;
	}
}

/* Parse what --revision says, if it is there. Return 0, or -1 after a message. */
static int label_revision(struct cli *cli, const struct arguments *arguments,
			  struct varve_label_options *options)
{
	const char *text = options_value(arguments, "revision");
	char *end;

	if (!text)
		return 0;
	options->flags |= VARVE_LABEL_COMPARE;
	options->revision = strtoull(text, &end, 10);
	if (*text && strspn(text, "0123456789") == strlen(text))
		return 0;
	output_complain(&cli->output, "label: --revision %s: not a number", text);
	return -1;
}

/* See that a record can be written here. Return 0, or -1 after a message. */
static int label_prints(struct cli *cli, const struct label_change *change)
{
	const char *wrong = NULL;

	if (!change->bytes)
		return 0;
	if (!change->show)
		wrong = "--print-record changes nothing: leave out what does";
	else if (!cli->json && cli->output.terminal)
		wrong = "will not write a record to a terminal";
	if (wrong)
		output_complain(&cli->output, "label: %s", wrong);
	return wrong ? -1 : 0;
}

/* Change the labels of a layer, or write them. */
static int label_run(struct cli *cli, const struct arguments *arguments)
{
	const char *file = options_value(arguments, "record");
	size_t most = arguments->operands_count + arguments->given_count + 1;
	const char **labels = output_memory(calloc(most, sizeof(*labels))),
		   **deleted = output_memory(calloc(most, sizeof(*deleted)));
	struct label_change change = { .options = VARVE_LABEL_OPTIONS_INIT };
	struct arguments first = *arguments;
	void *bytes = NULL;
	int status = CLI_USAGE;

	label_sort(arguments, labels, deleted);
	change.options.labels = labels;
	change.options.deleted = deleted;
	if (options_has(arguments, "only"))
		change.options.flags |= VARVE_LABEL_ONLY;
	if (file)
		change.options.flags |= VARVE_LABEL_RECORD;
	change.bytes = options_has(arguments, "print-record");
	first.operands_count = 1;
	if (label_revision(cli, arguments, &change.options) == 0) {
		change.show = !*labels && !*deleted && !change.options.flags;
		status = label_prints(cli, &change) < 0 ? CLI_USAGE : CLI_DONE;
	}
	if (status == CLI_DONE && file &&
	    label_read_record(cli, "label", file, &bytes, &change.options.record_bytes) < 0)
		status = CLI_FAILED;
	change.options.record = bytes;
	if (status == CLI_DONE)
		status = flight_run_operands(cli, &label_job, &first, &change);
	free(bytes);
	free(labels);
	free(deleted);
	return status;
}

const struct command label_command = {
	.name = "label",
	.operands = "ID [KEY=VALUE|KEY-]...",
	.summary = "set or delete labels of a layer, or print them",
	.notes =
		"KEY=VALUE sets a label, KEY- deletes one. Without a change the labels are printed.\n",
	.options = label_options,
	.operands_min = 1,
	.operands_max = SIZE_MAX,
	.open_flags = VARVE_OPEN_EXISTING,
	.run = label_run,
};
