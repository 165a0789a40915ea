/* SPDX-License-Identifier: Apache-2.0 */
/* Sizes as people write them. */
#ifndef VARVE_BASE_SIZE_H
#define VARVE_BASE_SIZE_H

#include <stdint.h>

/* As varve_size_parse(); neither is NULL. */
int size_parse(const char *text, uint64_t *ret_bytes);

#endif
