/* SPDX-License-Identifier: Apache-2.0 */
/* Parses the names in an archive, before anything is opened by them. */
#ifndef VARVE_ARCHIVE_TAR_NAME_H
#define VARVE_ARCHIVE_TAR_NAME_H

/* ".wh.NAME" deletes NAME, which may have as many bytes as any other name. */
#define WHITEOUT_PREFIX ".wh."

/* The prefix of names for an archiver's own use. */
#define WHITEOUT_META ".wh..wh."

/*
 * Write NAME to CLEAN (as long as NAME) as a path from the layer's root, with no '/' at either end,
 * and no ".", ".." nor empty part. An absolute name begins at the layer's root, too. 0; -EINVAL
 * when it leads out, or -ENAMETOOLONG, and *RET_DETAIL, a constant, is the reason.
 */
int tar_name_clean(const char *name, char *clean, const char **ret_detail);

#endif
