/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The library's threads: small stacks, a name, and all signals blocked, because signals are for the
 * program.
 */
#ifndef VARVE_BASE_THREAD_H
#define VARVE_BASE_THREAD_H

#include <pthread.h>
#include <stdbool.h>

/* Bytes of a thread's name, its NUL included. */
#define THREAD_NAME_BYTES 16

/*
 * Start a thread "varve-NAME" that calls RUN with DATA and is to be joined. 0 and *RET_THREAD, or
 * -errno.
 */
int thread_start(const char *name, void *(*run)(void *data), void *data, pthread_t *ret_thread);

/* The number of CPUs that the calling thread may run on; CPU_SETSIZE where the kernel has more. */
unsigned thread_cpus(void);

/*
 * Give the calling thread, which must be ours, a working directory (the root) and a umask of its
 * own, unless it has them: false where that is refused. Takes no privilege.
 */
bool thread_leave_fs(void);

#endif
