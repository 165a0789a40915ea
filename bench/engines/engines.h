/* SPDX-License-Identifier: Apache-2.0 */
/* What the built-in engines share: their declarations, and calls on layers by descriptor. */
#ifndef BENCH_ENGINES_H
#define BENCH_ENGINES_H

#include "../engine.h"

#define ENGINE(name) extern const struct bench_engine engine_##name;
#include "list.h"
#undef ENGINE

/* Make the empty layer NAME in the directory FD. Returns 0 or -errno. */
int layer_create(int fd, const char *name);

/* Make the layer NAME in the directory FD from the subvolume that SOURCE has open. Returns 0 or -errno. */
int layer_snapshot(int fd, const char *name, int source);

/* Destroy the layer NAME in the directory FD. Returns 0 or -errno. */
int layer_destroy(int fd, const char *name);

/* Wait for the transaction that is in flight on FD's file system. Returns 0 or -errno. */
int layer_commit(int fd);

#endif
