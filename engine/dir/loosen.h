/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Removes what forbids to destroy or rename a subvolume: the flags of its root (chattr +i, +a), a
 * mode that denies its owner, the read-only state. One at a time, by the kernel's error.
 */
#ifndef VARVE_DIR_LOOSEN_H
#define VARVE_DIR_LOOSEN_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>

/* What was taken from the root of a subvolume. Begins zeroed, or with a number. */
struct loosened {
	/*
	 * btrfs's number of the subvolume: another of the same name is left alone. 0: the first
	 * that something is taken from.
	 */
	uint64_t number;
	/* FS_IMMUTABLE_FL, FS_APPEND_FL. */
	unsigned flags;
	/* The mode that it had, if that was changed. */
	mode_t mode;
	bool chmodded, written;
};

/*
 * A call on subvolume NAME in DIR_FD failed with ERROR (0 or -errno): remove the cause. 1:
 * something changed, the call may be tried again; 0: nothing is known to help; or -errno when the
 * cause could not be removed. *RET_DETAIL is set where a flag or a mode is the cause. Each cause is
 * removed once.
 */
int loosen(int dir_fd, const char *name, int error, struct loosened *loosened,
	   const char **ret_detail);

/*
 * The flags of NAME in DIR_FD, or of that directory, that may forbid a change, in words: a
 * constant; NULL for none.
 */
const char *loosen_detail(int dir_fd, const char *name);

/* Was anything taken? */
bool loosened_any(const struct loosened *loosened);

/*
 * Restore what was taken from NAME in DIR_FD, as far as possible: 0, or the first -errno, -ESTALE
 * when NAME is another subvolume now.
 */
int loosened_restore(int dir_fd, const char *name, const struct loosened *loosened);

#endif
