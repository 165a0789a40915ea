/* SPDX-License-Identifier: Apache-2.0 */
/* A file system, as what asks it needs it. */
#ifndef VARVE_BTRFS_FS_HANDLE_H
#define VARVE_BTRFS_FS_HANDLE_H

#include "engine/base/fault.h"
#include "engine/base/trace.h"

struct fs_handle {
	/* A directory of it; /sys/fs/btrfs/FSID, negative where there is no sysfs. */
	int fd, sysfs_fd;
	/* Faults that a test injects; what is traced. */
	struct fault *fault;
	const struct trace *trace;
};

#endif
