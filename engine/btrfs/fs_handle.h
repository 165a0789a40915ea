/* SPDX-License-Identifier: Apache-2.0 */
/* What a query of a file system needs. */
#ifndef VARVE_BTRFS_FS_HANDLE_H
#define VARVE_BTRFS_FS_HANDLE_H

#include "engine/base/fault.h"
#include "engine/base/trace.h"

struct fs_handle {
	/* A directory of the file system; /sys/fs/btrfs/FSID, negative without sysfs. */
	int fd, sysfs_fd;
	/* Injected faults; the trace to write to. */
	struct fault *fault;
	const struct trace *trace;
};

#endif
