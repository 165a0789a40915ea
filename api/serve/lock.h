/* SPDX-License-Identifier: Apache-2.0 */
/* lock.h: one daemon a home: it holds the lock of HOME/serve.lock, where its process id is. */
#ifndef VARVE_SERVE_LOCK_H
#define VARVE_SERVE_LOCK_H

/*
 * Take the lock of HOME. Return a descriptor that holds it; or -errno after a message: -EBUSY,
 * which names the process, where another daemon has it.
 */
int lock_home(const char *home);

#endif
