/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A tar archive, not to be trusted, unpacked into a layer: entries replace what is there (a
 * directory stays one), ".wh.NAME" deletes, ".wh..wh..opq" empties a directory of what was there
 * before.
 *
 * Names are parsed here: "/" is the layer's root, and a name that leads out by ".." is refused. The
 * kernel opens the directory of an entry with the layer as its root (RESOLVE_IN_ROOT), so that no
 * link leads out. An entry is made, replaced or deleted as one name in that directory, which is
 * never followed. The path of an entry is kept only while it is unpacked. The times of each
 * directory are kept, because they are set at the end, and a mark if it existed before: so memory
 * grows with the number of directories, up to a bound.
 *
 * A user of the layer may exchange any name between two calls. So owner, mode and times are never
 * set by name: the new entry is opened by O_PATH, or as a directory, and has to be new, ours, and
 * of the right type; then the calls take the descriptor. Any other entry ends the unpacking with
 * -ESTALE. With CAP_SYS_ADMIN all calls go to a clone of the layer's mount: mounts in the layer are
 * not seen there, mount points cannot be removed (-EBUSY), and an entry goes to the layer's own
 * content beneath a mount. Without, no mount is entered: -EBUSY as well.
 */
#ifndef VARVE_ARCHIVE_UNPACK_H
#define VARVE_ARCHIVE_UNPACK_H

#include "engine/archive/unpack_state.h"

/*
 * Prepare to unpack an archive from FD, which is duplicated, or from the caller's writes
 * (VARVE_STREAM), for REQUEST, not yet submitted. 0 and *RET_UNPACK, or -errno (-EBADF: FD cannot
 * be read).
 */
int unpack_new(struct request *request, const struct varve_apply_options *options, int fd,
	       struct unpack **ret_unpack);

/*
 * Unpack into the directory ROOT_FD, for the current step of OP: 0, or -errno with the call and the
 * path set in OP. A thread that may wait for the writer.
 */
int unpack_run(struct unpack *unpack, struct op *op, int root_fd);

/* End the wait for a writer, for OP, which is to end. Reactor. */
void unpack_interrupt(struct unpack *unpack, struct op *op);

/* Close the descriptors; free all. NULL is fine. */
void unpack_close(struct unpack *unpack);
void unpack_free(struct unpack *unpack);

#endif
