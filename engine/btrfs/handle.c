/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/btrfs/handle.h"
#include "engine/base/util.h"

#include <fcntl.h>
#include <string.h>

/* The kernel's FILEID_BTRFS_WITHOUT_PARENT. */
#define HANDLE_TYPE 0x4d

/* The kernel's struct btrfs_fid as far as it goes without a parent. */
struct handle_btrfs {
	uint64_t inode, subvolume;
	uint32_t generation;
} __attribute__((packed));

int handle_open(int fd, uint64_t subvolume, uint64_t inode, uint64_t generation, int flags)
{
	const struct handle_btrfs of = { .inode = inode, .subvolume = subvolume, .generation = (uint32_t)generation };
	union {
		struct file_handle handle;
		char bytes[sizeof(struct file_handle) + sizeof(of)];
	} u;

	u.handle.handle_bytes = sizeof(of);
	u.handle.handle_type = HANDLE_TYPE;
	memcpy(u.handle.f_handle, &of, sizeof(of));
	return RET_NERRNO(open_by_handle_at(fd, &u.handle, flags | O_NOFOLLOW | O_CLOEXEC));
}
