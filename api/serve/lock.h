/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lock.h: one daemon a home: it holds the lock of HOME/serve.lock, where its process id is, and
 * that of the directory HOME/subvolumes, which nothing removes while there are layers.
 */
#ifndef VARVE_SERVE_LOCK_H
#define VARVE_SERVE_LOCK_H

/* The descriptors that hold the locks; negative: not held. */
struct lock {
	int file, directory;
};

/*
 * Take the locks of HOME: 0; or -errno after a message: -EBUSY, which names the process, where
 * another daemon has them.
 */
int lock_home(struct lock *lock, const char *home);

/* Give back what is held. */
void lock_release(struct lock *lock);

#endif
