/* SPDX-License-Identifier: Apache-2.0 */
/* SELinux labels of a tree. */
#ifndef VARVE_WALK_LABEL_H
#define VARVE_WALK_LABEL_H

#include "engine/walk/walk.h"
#include "engine/walk/xattr_search.h"

struct label {
	struct walk walk;
	/* The label, ended by NUL, and its bytes with that. */
	const char *text;
	size_t size;
	/* The root has it already: most files will, too. */
	bool fast;
	/* Files that have it. */
	struct xattr_search labelled;
};

/* Bytes of the longest label, with its NUL: more than an extended attribute may have on btrfs. */
#define LABEL_BYTES 4096

/* Is TEXT a label in form: at least three ':', and not too long? 0, -EINVAL, -ENAMETOOLONG. */
int label_check(const char *text);

/* Copy TEXT to RET_TEXT (LABEL_BYTES); where SHARED, with level s0. */
void label_make(const char *text, bool shared, char *ret_text);

/*
 * Is there a policy, and does it know TEXT? 0, 1 (SELinux is off: nothing is to be done), -EINVAL.
 */
int label_valid(const char *text);

/* May PATH, a tree's root, not be relabelled because it is part of the system? */
bool label_refused(const char *path);

/*
 * Prepare the relabelling of the tree at ROOT_FD, layer ID's, with TEXT, which has to live on; then
 * as walk_init().
 */
int label_init(struct label *label, struct varve_store *store, int root_fd, const char *id,
	       const char *text, const _Atomic bool *cancelled);

#endif
