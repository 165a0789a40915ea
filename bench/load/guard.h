/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Prove that a thread makes no file-system call: after guard_install() the kernel traps each one on
 * this thread; the call fails with EPERM and is counted. This lasts for the rest of the thread's
 * life, and holds for threads that it makes.
 */
#ifndef BENCH_GUARD_H
#define BENCH_GUARD_H

#include <stdint.h>

/*
 * Trap the file-system calls of the calling thread. Returns 0 or -errno (-ENOTSUP: not on this
 * machine's processor).
 */
int guard_install(void);

/* Return how many were trapped, on all threads. */
uint64_t guard_count(void);

#endif
