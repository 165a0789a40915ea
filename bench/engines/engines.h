/* SPDX-License-Identifier: Apache-2.0 */
/* Shared by the built-in engines: their declarations, and calls on layers by descriptor. */
#ifndef BENCH_ENGINES_H
#define BENCH_ENGINES_H

#include <sys/types.h>

#include "engine.h"

#define ENGINE(name) extern const struct bench_engine engine_##name;
#include "list.h"
#undef ENGINE

/* Make the empty layer NAME in the directory FD. Returns 0 or -errno. */
int layer_create(int fd, const char *name);

/*
 * Make the layer NAME in the directory FD from the subvolume that SOURCE has open. Returns 0 or
 * -errno.
 */
int layer_snapshot(int fd, const char *name, int source);

/* Destroy the layer NAME in the directory FD. Returns 0 or -errno. */
int layer_destroy(int fd, const char *name);

/* Wait for the transaction that is in flight on FD's file system. Returns 0 or -errno. */
int layer_commit(int fd);

/* Find the command NAME in PATH; its path goes to RET (SIZE bytes). Returns 0 or -ENOENT. */
int program_find(const char *name, char *ret, size_t size);

/*
 * Start the program ARGUMENTS[0], its output to OUT, its errors to ERR. Returns its id or -errno.
 */
pid_t program_start(char *const *arguments, int out, int err);

/* Wait for the process PID. Returns 0 or -errno; -EREMOTEIO: it failed. */
int program_wait(pid_t pid);

/* Most bytes that are kept of the first line of a program's errors. */
#define PROGRAM_WHY_SIZE 512

/*
 * Run the program ARGUMENTS[0] with ARGUMENTS (NULL last). Returns 0 or -errno; -EREMOTEIO: it
 * failed. WHY (PROGRAM_WHY_SIZE bytes) is then the first line of its errors, or describes the
 * errno: a program that works on many files may write a line for each.
 */
int program_run(char *const *arguments, char *why);

/*
 * Run ARGUMENTS, and keep the first line that it writes in RET (SIZE bytes). Returns 0 or -errno,
 * as program_run().
 */
int program_line(char *const *arguments, char *ret, size_t size);

#endif
