/* SPDX-License-Identifier: Apache-2.0 */
/* label.h: labels as the commands write them. */
#ifndef VARVE_CLI_LABEL_H
#define VARVE_CLI_LABEL_H

#include "cli.h"

/** Return the labels of RECORD (may be NULL) as an array of objects with "key" and "value". */
json_t *label_json(const struct varve_layer_record *record);

/** Return the labels of RECORD (may be NULL), joined by commas; to be freed. */
char *label_text(const struct varve_layer_record *record);

#endif
