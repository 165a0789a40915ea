/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which call commits. START_SYNC leaves the commit to the transaction thread and waits until that
 * has begun it; when two processes ask at once the wake-up can be lost, and both wait for the 30 s
 * timer (Linux 6.18, found by the tests with several processes). fsync of the directory commits on
 * our own thread: btrfs lets it fall back to a full commit whenever a subvolume was created,
 * renamed or destroyed in the directory (btrfs_record_new_subvolume, btrfs_record_snapshot_destroy,
 * btrfs_set_log_full_commit), and skips it when all of that is on disk already. It flushes no other
 * file's data, as BTRFS_IOC_SYNC does.
 *
 * That holds for what was done in the directory. An owner, an attribute or a limit changes no
 * directory, and then fsync finds nothing to write. So fs_commit() gives it something: a file is
 * moved out of a directory just made, and that is synced. btrfs commits then, because a log of this
 * directory alone would lose the file (btrfs_record_unlink_dir, and last_unlink_trans in
 * btrfs_log_inode). The directory is new each time, because a move out of one that the log has
 * already forces nothing. Where the transaction of the move ends in between, all that was changed
 * before is in it, or in an earlier one.
 *
 * Which call wakes the cleaner. BTRFS_IOC_SYNC does. START_SYNC does, too, but see above. Waiting
 * with SUBVOL_SYNC_WAIT's FOR_ONE or FOR_QUEUED was tried and rejected: when the cleaner has gone
 * to sleep with work left they wait for the 30 s timer as well (32.7 s measured for 50 empty
 * subvolumes). So we ask for the count, and wake it again.
 */
#include "engine/btrfs/fs.h"
#include "engine/base/util.h"
#include "engine/btrfs/search.h"

#include <btrfsutil.h>
#include <fcntl.h>
#include <linux/fiemap.h>
#include <linux/fs.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>

int fs_commit_directory(int fd)
{
	return RET_NERRNO(fsync(fd));
}

/*
 * Move the file FILE, in DIR_FD, out of the directory DIR, which is made; sync that. *RET_MADE: up
 * to the sync.
 */
static int fs_commit_by_move(int dir_fd, const char *dir, const char *file, bool *ret_made)
{
	_cleanup_close_ int from_fd = -EBADF, fd = -EBADF;

	*ret_made = false;
	if (mkdirat(dir_fd, dir, 0700) < 0)
		return negative_errno();
	from_fd = open_directory(dir_fd, dir);
	if (from_fd < 0)
		return from_fd;
	fd = openat(from_fd, file, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0 || renameat(from_fd, file, dir_fd, file) < 0)
		return negative_errno();
	*ret_made = true;
	return RET_NERRNO(fsync(from_fd));
}

int fs_commit(int dir_fd, int fd)
{
	char dir[sizeof("commit.") + 12], file[sizeof("moved.") + 12];
	bool made;
	int r;

	snprintf(dir, sizeof(dir), "commit.%d", (int)gettid());
	snprintf(file, sizeof(file), "moved.%d", (int)gettid());
	r = fs_commit_by_move(dir_fd, dir, file, &made);
	if (!made) {
		int from_fd = openat(dir_fd, dir, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

		unlinkat(from_fd, file, 0);
		fd_close(from_fd);
	}
	unlinkat(dir_fd, file, 0);
	unlinkat(dir_fd, dir, AT_REMOVEDIR);
	return made ? r : fs_flush(fd);
}

int fs_flush(int fd)
{
	return btrfs_util_sync_fd(fd) ? negative_errno() : 0;
}

int fs_begin_commit(int fd)
{
	return btrfs_util_start_sync_fd(fd, NULL) ? negative_errno() : 0;
}

int fs_flush_data(int fd)
{
	int r = fs_flush(fd);

	/*
	 * The ioctl waits for all data, and does not report what was not written; this does, once
	 * for each descriptor.
	 */
	return r ? r : RET_NERRNO(syncfs(fd));
}

int fs_wait_written(int fd)
{
	struct fiemap fiemap = { .fm_length = FIEMAP_MAX_OFFSET, .fm_flags = FIEMAP_FLAG_SYNC };

	return RET_NERRNO(ioctl(fd, FS_IOC_FIEMAP, &fiemap));
}

uint64_t fs_generation(int fd)
{
	struct btrfs_ioctl_fs_info_args args = { .flags = BTRFS_FS_INFO_FLAG_GENERATION };

	if (ioctl(fd, BTRFS_IOC_FS_INFO, &args) < 0 ||
	    !(args.flags & BTRFS_FS_INFO_FLAG_GENERATION))
		return 0;
	return args.generation;
}

int fs_sector_bytes(int fd, uint32_t *ret_bytes)
{
	struct btrfs_ioctl_fs_info_args args = { 0 };
	int r = RET_NERRNO(ioctl(fd, BTRFS_IOC_FS_INFO, &args));

	if (r < 0)
		return r;
	*ret_bytes = args.sectorsize;
	return 0;
}

size_t fs_xattr_bytes(int fd)
{
	struct btrfs_ioctl_fs_info_args args = { 0 };

	if (ioctl(fd, BTRFS_IOC_FS_INFO, &args) < 0 || args.nodesize < ABI_XATTR_REST)
		return 0;
	return args.nodesize - ABI_XATTR_REST;
}

int fs_id(int fd, uint8_t *ret_id)
{
	struct btrfs_ioctl_fs_info_args args = { 0 };
	int r = RET_NERRNO(ioctl(fd, BTRFS_IOC_FS_INFO, &args));

	if (r < 0)
		return r;
	memcpy(ret_id, args.fsid, sizeof(args.fsid));
	return 0;
}

void fs_id_text(const uint8_t *id, char ret_text[FSID_TEXT_BYTES])
{
	size_t used = 0;

	for (size_t i = 0; i < BTRFS_FSID_SIZE; i++)
		used += (size_t)snprintf(ret_text + used, FSID_TEXT_BYTES - used, "%02x%s", id[i],
					 i == 3 || i == 5 || i == 7 || i == 9 ? "-" : "");
}

int fs_dead_collect(int fd, struct fs_dead *ret_dead, struct fault *fault)
{
	struct fs_dead dead = { 0 };
	struct search search;
	int r = search_begin(&search, fd, BTRFS_ROOT_TREE_OBJECTID, BTRFS_ORPHAN_OBJECTID,
			     BTRFS_ORPHAN_OBJECTID, BTRFS_ORPHAN_ITEM_KEY, BTRFS_ORPHAN_ITEM_KEY,
			     0);

	/* The key of an orphan item is the number of the subvolume: they come in order. */
	while (!r && (r = search_next(&search)) > 0) {
		r = fault_reserve(fault, &dead.ids, dead.count, 1, &dead.capacity,
				  sizeof(*dead.ids));
		if (!r)
			dead.ids[dead.count++] = search.header.offset;
	}
	search_end(&search);
	if (r)
		free(dead.ids);
	else
		*ret_dead = dead;
	return r;
}

void fs_dead_intersect(struct fs_dead *dead, const struct fs_dead *now)
{
	size_t kept = 0;

	for (size_t i = 0, j = 0; i < dead->count && j < now->count;) {
		if (dead->ids[i] == now->ids[j])
			dead->ids[kept++] = now->ids[j++], i++;
		else if (dead->ids[i] < now->ids[j])
			i++;
		else
			j++;
	}
	dead->count = kept;
}

int fs_dead_count(int fd, uint64_t *ret_count)
{
	struct abi_subvol_wait args = { .mode = ABI_SUBVOL_SYNC_COUNT };
	struct fs_dead dead;
	int r = RET_NERRNO(ioctl(fd, ABI_SUBVOL_SYNC_WAIT, &args));

	if (!r)
		*ret_count = args.count;
	if (r != -ENOTTY)
		return r;
	/* Before Linux 6.13 they are counted by searching. */
	r = fs_dead_collect(fd, &dead, NULL);
	if (r)
		return r;
	*ret_count = dead.count;
	free(dead.ids);
	return 0;
}
