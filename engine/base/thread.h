/* SPDX-License-Identifier: Apache-2.0 */
/* Threads of ours: small stacks, a name, and no signals, which are the program's. */
#ifndef VARVE_BASE_THREAD_H
#define VARVE_BASE_THREAD_H

#include <pthread.h>

/* Bytes of a thread's name, its NUL included. */
#define THREAD_NAME_BYTES 16

/*
 * Start a thread "varve-NAME" that calls RUN with DATA and is to be joined. 0 and *RET_THREAD, or
 * -errno.
 */
int thread_start(const char *name, void *(*run)(void *data), void *data, pthread_t *ret_thread);

#endif
