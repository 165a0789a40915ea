/* SPDX-License-Identifier: Apache-2.0 */
/* label.h: labels and records as the commands read and write them. */
#ifndef VARVE_CLI_LABEL_H
#define VARVE_CLI_LABEL_H

#include "cli.h"

/* Return the labels of RECORD (may be NULL) as an array of objects with "key" and "value". */
json_t *label_json(const struct varve_layer_record *record);

/* Return the labels of RECORD (may be NULL), joined by commas; to be freed. */
char *label_text(const struct varve_layer_record *record);

/*
 * Read the record in FILE ("-": standard input) for COMMAND: 0, *RET_BYTES, which are to be freed,
 * and their number; or -errno after a message.
 */
int label_read_record(struct cli *cli, const char *command, const char *file, void **ret_bytes,
		      size_t *ret_count);

#endif
