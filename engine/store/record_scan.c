/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/store/record_scan.h"
#include "engine/btrfs/search.h"
#include "engine/btrfs/subvol.h"

#include <string.h>

int record_scan_add(struct record_scan *scan, struct fault *fault, uint64_t inode, void *of)
{
	int r = fault_reserve(fault, &scan->files, scan->count, 1, &scan->capacity,
			      sizeof(*scan->files));

	if (!r)
		scan->files[scan->count++] = (struct record_scan_file){ inode, of };
	return r;
}

void record_scan_end(struct record_scan *scan)
{
	free(TAKE_PTR(scan->files));
}

/* Compare two files by their inodes. */
static int record_scan_compare(const void *a, const void *b)
{
	const struct record_scan_file *left = a, *right = b;

	return (left->inode > right->inode) - (left->inode < right->inode);
}

/* Find the first chunk of a record in the current item: its bytes, and their number; or NULL. */
static const void *record_scan_chunk(const struct search *search, size_t *ret_count)
{
	struct search_attribute at = { 0 };

	while (search_attribute(search, &at)) {
		*ret_count = at.value_bytes;
		if (at.name_bytes == strlen(RECORD_ATTRIBUTE_FIRST) &&
		    !memcmp(at.name, RECORD_ATTRIBUTE_FIRST, at.name_bytes))
			return at.value;
	}
	return NULL;
}

/*
 * Search TREE for the records of the files from FIRST to LAST. Each inode that is found belongs to
 * the next file that has a number as large. As record_scan_run().
 */
static int record_scan_search(struct record_reader *reader, uint64_t tree,
			      const struct record_scan_file *first,
			      const struct record_scan_file *last,
			      int (*take)(void *data, void *of, struct record *record), void *data)
{
	struct fault *fault = &reader->store->core.io.fault;
	const struct record_scan_file *file = first;
	struct search search;
	int r = search_begin(&search, reader->dir.dir_fd, tree, first->inode, last->inode,
			     BTRFS_XATTR_ITEM_KEY, BTRFS_XATTR_ITEM_KEY, 0);

	while (!r && (r = search_next(&search)) > 0) {
		const void *content;
		struct record *record;
		size_t count;

		r = 0;
		while (file < last && file->inode < search.header.objectid)
			file++;
		content = file->inode == search.header.objectid ? record_scan_chunk(&search, &count)
								: NULL;
		if (!content)
			continue;
		/* What is not whole, damaged or not known is judged where it is read by name. */
		r = record_parse(fault, reader->arena, content, count, &record);
		if (!r)
			r = take(data, file->of, record);
		else if (r != -ENOMEM)
			r = 0;
	}
	search_end(&search);
	return r;
}

int record_scan_run(struct record_scan *scan, struct record_reader *reader,
		    int (*take)(void *data, void *of, struct record *record), void *data)
{
	const struct record_scan_file *files = scan->files;
	int r = fault_hit(&reader->store->core.io.fault, FAULT_RECORD);
	uint64_t tree;

	if (r || !scan->count)
		return r;
	r = subvol_number(reader->dir.dir_fd, &tree);
	qsort(scan->files, scan->count, sizeof(*scan->files), record_scan_compare);
	for (size_t i = 0, next; !r && i < scan->count; i = next) {
		for (next = i + 1; next < scan->count; next++)
			if (files[next].inode - files[next - 1].inode > RECORD_SCAN_GAP_MAX)
				break;
		r = record_scan_search(reader, tree, &files[i], &files[next - 1], take, data);
	}
	return r;
}
