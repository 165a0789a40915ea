/* SPDX-License-Identifier: Apache-2.0 */
/* wire.h: how gRPC writes numbers and texts into headers. */
#ifndef VARVE_SERVE_WIRE_H
#define VARVE_SERVE_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Bytes in front of each message: a flag for compression, and the size. */
#define WIRE_PREFIX_BYTES 5

/* The size that the prefix AT announces. */
uint32_t wire_size(const uint8_t at[WIRE_PREFIX_BYTES]);

/* Write the prefix of an uncompressed message of SIZE bytes. */
void wire_prefix(uint8_t at[WIRE_PREFIX_BYTES], uint32_t size);

/*
 * Parse a grpc-timeout ("100m": 1 to 8 digits and one of H, M, S, m, u, n) of LENGTH bytes: 0 or
 * -EINVAL.
 */
int wire_timeout(const char *text, size_t length, uint64_t *ret_ns);

/*
 * Write TEXT into OUT, of SIZE bytes, as grpc-message wants it: bytes that are no printable ASCII,
 * and "%", as "%" and two digits. What does not fit is cut off, between characters of UTF-8. Return
 * the length, without the NUL.
 */
size_t wire_percent(const char *text, char *out, size_t size);

/* Is the content type of LENGTH bytes that of protobuf by gRPC? */
bool wire_is_grpc(const char *type, size_t length);

#endif
