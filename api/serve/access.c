/* SPDX-License-Identifier: Apache-2.0 */
/* access.c: see access.h. */
#include "access.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "complain.h"

#define ACCESS_TEXT_BYTES_MAX 512

struct access {
	struct loop *loop;
	int fd;
	enum access_level level;
	/* Writes the lines at the end of the turn. */
	struct loop_task task;
	/* Lines that were dropped since the last one was written. */
	uint64_t dropped;
	size_t size;
	char buffer[COMPLAIN_BYTES_MAX];
};

int access_level(const char *name)
{
	static const char *const names[] = { "none", "failures", "all" };

	for (int i = 0; i < 3; i++) {
		if (!strcmp(names[i], name))
			return i;
	}
	return -EINVAL;
}

const char *access_status_name(enum grpc_status status)
{
	static const char *const names[] = {
		"OK",
		"CANCELLED",
		"UNKNOWN",
		"INVALID_ARGUMENT",
		"DEADLINE_EXCEEDED",
		"NOT_FOUND",
		"ALREADY_EXISTS",
		"PERMISSION_DENIED",
		"RESOURCE_EXHAUSTED",
		"FAILED_PRECONDITION",
		"ABORTED",
		"OUT_OF_RANGE",
		"UNIMPLEMENTED",
		"INTERNAL",
		"UNAVAILABLE",
		"DATA_LOSS",
	};

	return (unsigned)status < sizeof(names) / sizeof(names[0]) ? names[status] : "UNKNOWN";
}

/* The task: write the lines, unless that would block. */
static void access_write(void *data)
{
	struct access *access = data;

	if (access->size)
		complain_write(access->fd, access->buffer, access->size, &access->dropped);
	access->size = 0;
}

int access_create(struct loop *loop, int fd, enum access_level level, struct access **ret_access)
{
	struct access *access = calloc(1, sizeof(*access));

	if (!access)
		return -ENOMEM;
	access->loop = loop;
	access->fd = fd;
	access->level = level;
	loop_task_init(&access->task, access_write, access);
	*ret_access = access;
	return 0;
}

void access_destroy(struct access *access)
{
	if (!access)
		return;
	access_write(access);
	loop_task_stop(&access->task);
	free(access);
}

/*
 * Write SIZE bytes of TEXT into OUT in quotes, MAX at most, what is not plain ASCII as \xHH. Each
 * byte takes four at most.
 */
static void access_quote(char *out, const void *text, size_t size, size_t max)
{
	const unsigned char *bytes = text;

	*out++ = '"';
	for (size_t i = 0; i < size && i < max; i++) {
		if (bytes[i] >= ' ' && bytes[i] <= '~' && bytes[i] != '"' && bytes[i] != '\\')
			*out++ = (char)bytes[i];
		else
			out += sprintf(out, "\\x%02x", bytes[i]);
	}
	strcpy(out, size > max ? "...\"" : "\"");
}

/* Find the key, or else the name, that MESSAGE is about. */
static const void *access_key(const ProtobufCMessage *message, size_t *ret_size)
{
	static const char *const names[] = { "key", "name" };

	for (size_t i = 0; message && i < 2; i++) {
		const ProtobufCFieldDescriptor *field =
			protobuf_c_message_descriptor_get_field_by_name(message->descriptor,
									names[i]);
		const char *at;

		if (!field || field->label == PROTOBUF_C_LABEL_REPEATED)
			continue;
		at = (const char *)message + field->offset;
		if (field->type == PROTOBUF_C_TYPE_BYTES) {
			const ProtobufCBinaryData *data = (const void *)at;

			*ret_size = data->len;
			return data->data;
		}
		if (field->type == PROTOBUF_C_TYPE_STRING) {
			const char *const *string = (const void *)at;

			*ret_size = *string ? strlen(*string) : 0;
			return *string;
		}
	}
	return NULL;
}

void access_record(struct access *access, const struct server_record *record)
{
	char key[4 * ACCESS_KEY_BYTES_MAX + 8] = "", text[4 * ACCESS_TEXT_BYTES_MAX + 8] = "";
	char path[4 * GRPC_PATH_BYTES_MAX + 8], line[sizeof(access->buffer)];
	const void *found;
	size_t size = 0;
	int length;

	if (access->level == ACCESS_NONE ||
	    (access->level == ACCESS_FAILURES && record->status == GRPC_OK))
		return;
	found = access_key(record->message, &size);
	if (found)
		access_quote(key, found, size, ACCESS_KEY_BYTES_MAX);
	if (*record->text)
		access_quote(text, record->text, strlen(record->text), ACCESS_TEXT_BYTES_MAX);
	access_quote(path, record->path, strlen(record->path), GRPC_PATH_BYTES_MAX);
	length = snprintf(line, sizeof(line),
			  "call=%" PRIu64 " pid=%d method=%s%s%s status=%s ms=%.3f%s%s\n",
			  record->number, (int)record->pid,
			  record->method ? record->path + 1 : path, *key ? " key=" : "", key,
			  access_status_name(record->status), (double)record->duration_ns / 1e6,
			  *text ? " text=" : "", text);
	if (access->size + (size_t)length > sizeof(access->buffer))
		access_write(access);
	memcpy(access->buffer + access->size, line, (size_t)length);
	access->size += (size_t)length;
	loop_defer(access->loop, &access->task);
}
