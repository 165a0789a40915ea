/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/archive/gather.h"
#include "engine/base/util.h"
#include "engine/btrfs/fs.h"
#include "engine/btrfs/search.h"
#include "engine/btrfs/subvol.h"

#include <dirent.h>
#include <endian.h>
#include <linux/capability.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

/* Inodes whose numbers differ by no more than this are found by one search. */
#define GATHER_GAP 16
/* A search ends after so many unwanted items in a row: a new one is cheaper. */
#define GATHER_JUNK_MAX 48
/* Size of a capability without a root user id: it is the same in every user namespace. */
#define GATHER_CAPABILITY_BYTES 20

/* The state of a search for some items. */
struct gather_run {
	const struct gather *gather;
	/* In the order of their inode numbers; the current one is items[at]. */
	struct item **items;
	size_t count, at;
	/* The current inode has to be read by its path; its content was found. */
	bool refused, content;
};

/*
 * May this thread read any file? Else, with CAP_SYS_ADMIN alone, the tree would show it what it may
 * not open.
 */
static bool gather_may_read(void)
{
	const uint32_t wanted = 1u << CAP_DAC_READ_SEARCH | 1u << CAP_DAC_OVERRIDE;
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3] = { 0 };

	return !syscall(SYS_capget, &header, data) && data[0].effective & wanted;
}

int gather_begin(struct gather *gather, int fd, struct fault *fault)
{
	struct stat stat;
	int r;

	*gather = (struct gather){ .fd = fd, .fault = fault };
	if (!gather_may_read())
		return 0;
	if (fstat(fd, &stat) < 0)
		return negative_errno();
	gather->device_major = major(stat.st_dev);
	gather->device_minor = minor(stat.st_dev);
	r = subvol_number(fd, &gather->tree);
	if (!r)
		r = fs_sector_bytes(fd, &gather->sector);
	if (!r)
		r = fs_flush(fd);
	gather->generation = r ? 0 : fs_generation(fd);
	for (unsigned i = 0; !r && i < 2; i++)
		r = fs_flush(fd);
	return r ? r : gather->generation > 0;
}

/* Take the inode item that the search is at. */
static void gather_inode(struct gather_run *run, const struct search *search)
{
	const struct gather *gather = run->gather;
	struct item *item = run->items[run->at];
	struct statx *statx = &item->statx;
	struct btrfs_inode_item inode;
	uint64_t device;

	if (search->header.len < sizeof(inode))
		return;
	memcpy(&inode, search->item, sizeof(inode));
	if (le64toh(inode.transid) > gather->generation || !le32toh(inode.nlink))
		return;
	/* Twelve bits of major, twenty of minor number: the kernel's own dev_t. */
	device = le64toh(inode.rdev);
	*statx = (struct statx){
		.stx_mode = (uint16_t)le32toh(inode.mode),
		.stx_nlink = le32toh(inode.nlink),
		.stx_uid = le32toh(inode.uid),
		.stx_gid = le32toh(inode.gid),
		.stx_ino = item->inode,
		.stx_size = le64toh(inode.size),
		.stx_blocks = (le64toh(inode.nbytes) + gather->sector - 1) / gather->sector *
			      gather->sector / 512,
		.stx_mtime = { .tv_sec = (int64_t)le64toh(inode.mtime.sec),
			       .tv_nsec = le32toh(inode.mtime.nsec) },
		.stx_rdev_major = (uint32_t)(device >> 20),
		.stx_rdev_minor = (uint32_t)(device & 0xfffff),
		.stx_dev_major = gather->device_major,
		.stx_dev_minor = gather->device_minor,
	};
	if (statx->stx_mode >> 12 == item->type)
		item->state = ITEM_INODE;
}

/* Take the attributes in the item that the search is at. */
static void gather_attributes(struct gather_run *run, const struct search *search)
{
	struct xattrs *xattrs = &run->items[run->at]->xattrs;
	struct search_attribute at = { 0 };

	xattrs->fault = run->gather->fault;
	while (!run->refused && search_attribute(search, &at))
		run->refused = at.transid > run->gather->generation ||
			       xattrs_add(xattrs, at.name, at.name_bytes, at.value, at.value_bytes,
					  xattrs_kept) < 0 ||
			       xattrs_bytes(xattrs) > GATHER_XATTRS_BYTES;
	run->refused |= at.end > search->header.len;
}

/* Take the content in the extent that the search is at. */
static void gather_content(struct gather_run *run, const struct search *search)
{
	const size_t head = offsetof(struct btrfs_file_extent_item, disk_bytenr);
	struct item *item = run->items[run->at];
	struct btrfs_file_extent_item extent;
	size_t size = search->header.len - head;

	if (search->header.len < head)
		return;
	memcpy(&extent, search->item, head);
	run->refused |= le64toh(extent.generation) > run->gather->generation;
	if (extent.type != BTRFS_FILE_EXTENT_INLINE || extent.compression || extent.encryption ||
	    extent.other_encoding || search->header.offset || size != item->statx.stx_size ||
	    size != le64toh(extent.ram_bytes) || item_reserve(item, size + 1, run->gather->fault))
		return;
	memcpy(item->bytes, (const char *)search->item + head, size);
	item->bytes[size] = '\0';
	item->length = size;
	run->content = true;
}

/* The search is past the current inode: set the state of its item, and go to the next. */
static void gather_settle(struct gather_run *run)
{
	struct item *item = run->items[run->at++];
	mode_t type = item->statx.stx_mode & S_IFMT;
	bool empty = type != S_IFLNK && (type != S_IFREG || !item->statx.stx_size);

	xattrs_settle(&item->xattrs);
	for (size_t i = 0; i < item->xattrs.count; i++)
		run->refused |= !strcmp(item->xattrs.list[i].name, "security.capability") &&
				item->xattrs.list[i].size != GATHER_CAPABILITY_BYTES;
	if (item->state == ITEM_INODE && (run->content || empty))
		item->state = ITEM_WHOLE;
	if (run->refused || (type == S_IFLNK && item->state == ITEM_INODE))
		item->state = ITEM_NEW;
	if (item->state != ITEM_WHOLE)
		item->length = 0;
	if (item->state == ITEM_NEW)
		item->xattrs.count = 0;
	run->refused = run->content = false;
}

/* Take what SEARCH has found. Returns false if it is not wanted. */
static bool gather_take(struct gather_run *run, const struct search *search)
{
	while (run->at < run->count && run->items[run->at]->inode < search->header.objectid)
		gather_settle(run);
	if (run->at == run->count || run->items[run->at]->inode != search->header.objectid)
		return false;
	if (search->header.type == BTRFS_INODE_ITEM_KEY)
		gather_inode(run, search);
	else if (search->header.type == BTRFS_XATTR_ITEM_KEY)
		gather_attributes(run, search);
	else if (search->header.type == BTRFS_EXTENT_DATA_KEY &&
		 run->items[run->at]->state == ITEM_INODE)
		gather_content(run, search);
	/* Further extents add nothing. */
	return search->header.type != BTRFS_EXTENT_DATA_KEY || !search->header.offset;
}

/* Search from the current item to the one at LAST, or until GATHER_JUNK_MAX ends the search. */
static int gather_search(struct gather_run *run, size_t last)
{
	struct search search;
	unsigned junk = 0;
	int r = search_begin(&search, run->gather->fd, run->gather->tree,
			     run->items[run->at]->inode, run->items[last]->inode,
			     BTRFS_INODE_ITEM_KEY, BTRFS_EXTENT_DATA_KEY, 0);

	while (!r && junk < GATHER_JUNK_MAX && (r = search_next(&search)) > 0) {
		junk = gather_take(run, &search) ? 0 : junk + 1;
		r = 0;
	}
	/* After GATHER_JUNK_MAX the current inode has nothing wanted left; at the end, none has. */
	while (!r && run->at <= last &&
	       (junk < GATHER_JUNK_MAX || run->items[run->at]->inode == search.header.objectid)) {
		gather_settle(run);
		if (junk == GATHER_JUNK_MAX)
			break;
	}
	search_end(&search);
	return r;
}

/* Order by number. */
static int gather_order(const void *a, const void *b)
{
	const struct item *left = *(struct item *const *)a, *right = *(struct item *const *)b;

	return left->inode < right->inode ? -1 : left->inode > right->inode;
}

void gather_items(const struct gather *gather, struct item *const *items, size_t count)
{
	struct gather_run run = { .gather = gather,
				  .items = fault_calloc(gather->fault, count + 1, sizeof(*items)) };
	int r = 0;

	if (!run.items)
		return;
	for (size_t i = 0; i < count; i++)
		if (items[i]->inode && items[i]->type != DT_DIR)
			run.items[run.count++] = items[i];
	if (run.count > 1)
		qsort(run.items, run.count, sizeof(*run.items), gather_order);
	while (!r && run.at < run.count) {
		size_t last = run.at;

		while (last + 1 < run.count &&
		       run.items[last + 1]->inode - run.items[last]->inode <= GATHER_GAP)
			last++;
		r = gather_search(&run, last);
	}
	/* The files of items that the search has not reached are read. */
	for (; run.at < run.count; run.at++) {
		run.items[run.at]->state = ITEM_NEW;
		run.items[run.at]->xattrs.count = 0;
	}
	free(run.items);
}
