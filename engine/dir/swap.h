/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Active swap files, which keep the subvolume that they lie in from being destroyed, and from
 * having a snapshot made of it.
 */
#ifndef VARVE_DIR_SWAP_H
#define VARVE_DIR_SWAP_H

/*
 * Find an active swap file in the subvolume NAME of DIR_FD ("": DIR_FD itself), as far as this
 * process sees the kernel's list of them. A sentence for a person, to be freed; NULL: none is
 * known. Lane thread.
 */
char *swap_detail(int dir_fd, const char *name);

#endif
