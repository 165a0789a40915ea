/* SPDX-License-Identifier: Apache-2.0 */
/* A file system, as the queries of it need it. */
#ifndef VARVE_BTRFS_FS_HANDLE_H
#define VARVE_BTRFS_FS_HANDLE_H

#include "engine/base/fault.h"
#include "engine/base/trace.h"

struct fs_handle {
	/* A directory of the file system; /sys/fs/btrfs/FSID, negative where there is no sysfs. */
	int fd, sysfs_fd;
	/* Injected faults; where traces go. */
	struct fault *fault;
	const struct trace *trace;
};

#endif
