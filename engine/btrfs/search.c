/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/btrfs/search.h"
#include "engine/base/limits.h"
#include "engine/base/util.h"

#include <endian.h>
#include <string.h>
#include <sys/ioctl.h>

int search_begin(struct search *search, int fd, uint64_t tree, uint64_t object_min,
		 uint64_t object_max, uint32_t type_min, uint32_t type_max, uint64_t transid_min)
{
	*search = (struct search){ .fd = fd };
	search->box = (struct btrfs_ioctl_search_key){
		.tree_id = tree,
		.min_objectid = object_min,
		.max_objectid = object_max,
		.max_offset = UINT64_MAX,
		.min_transid = transid_min,
		.max_transid = UINT64_MAX,
		.min_type = type_min,
		.max_type = type_max,
	};
	search->key = search->box;
	search->args = malloc(sizeof(*search->args) + SEARCH_BUFFER_BYTES);
	return search->args ? 0 : -ENOMEM;
}

/* Begin the key range behind the current item; false when there is nothing behind it. */
static bool search_advance(struct search *search)
{
	struct btrfs_ioctl_search_key *key = &search->key;

	/*
	 * The rest of this object, perhaps a million extents, is behind the types that are asked
	 * for.
	 */
	if (search->header.type > search->box.max_type) {
		key->min_objectid = search->header.objectid + 1;
		key->min_type = search->box.min_type;
		key->min_offset = 0;
		return search->header.objectid < search->box.max_objectid;
	}
	key->min_objectid = search->header.objectid;
	key->min_type = search->header.type;
	key->min_offset = search->header.offset + 1;
	if (key->min_offset)
		return true;
	if (key->min_type < UINT8_MAX)
		key->min_type++;
	else {
		key->min_type = 0;
		key->min_objectid++;
	}
	return key->min_objectid;
}

/* Ask the kernel for the next items: how many there are, or -errno. */
static int search_fill(struct search *search)
{
	int r;

	if (search->position && !search_advance(search))
		return 0;
	search->args->key = search->key;
	search->args->key.nr_items = UINT32_MAX;
	search->args->buf_size = SEARCH_BUFFER_BYTES;
	r = RET_NERRNO(ioctl(search->fd, BTRFS_IOC_TREE_SEARCH_V2, search->args));
	if (r < 0)
		return r;
	search->left = search->args->key.nr_items;
	search->position = 0;
	return search->left > 0;
}

/* Is the current item in the box? */
static bool search_wanted(const struct search *search)
{
	const struct btrfs_ioctl_search_header *header = &search->header;

	return header->type >= search->box.min_type && header->type <= search->box.max_type &&
	       header->objectid >= search->box.min_objectid &&
	       header->objectid <= search->box.max_objectid;
}

int search_next(struct search *search)
{
	do {
		const char *buffer = (const char *)search->args->buf;

		if (!search->left) {
			int r = search_fill(search);

			if (r <= 0)
				return r;
		}
		if (search->position > SEARCH_BUFFER_BYTES - sizeof(search->header))
			return -EUCLEAN;
		memcpy(&search->header, buffer + search->position, sizeof(search->header));
		if (search->header.len >
		    SEARCH_BUFFER_BYTES - sizeof(search->header) - search->position)
			return -EUCLEAN;
		search->item = buffer + search->position + sizeof(search->header);
		search->position += sizeof(search->header) + search->header.len;
		search->left--;
	} while (!search_wanted(search));
	return 1;
}

int search_reference(const struct search *search, uint64_t *ret_directory, char *ret_name)
{
	struct btrfs_root_ref ref;
	size_t length;

	if (search->header.len < sizeof(ref))
		return -EUCLEAN;
	memcpy(&ref, search->item, sizeof(ref));
	length = le16toh(ref.name_len);
	if (length > VARVE_ID_MAX || length > search->header.len - sizeof(ref))
		return -EUCLEAN;
	*ret_directory = le64toh(ref.dirid);
	memcpy(ret_name, (const char *)search->item + sizeof(ref), length);
	ret_name[length] = '\0';
	return 0;
}

bool search_attribute(const struct search *search, struct search_attribute *attribute)
{
	size_t left = search->header.len - attribute->end;
	const char *at = (const char *)search->item + attribute->end;
	struct btrfs_dir_item item;

	if (left < sizeof(item))
		return false;
	memcpy(&item, at, sizeof(item));
	attribute->name = at + sizeof(item);
	attribute->name_bytes = le16toh(item.name_len);
	attribute->value = attribute->name + attribute->name_bytes;
	attribute->value_bytes = le16toh(item.data_len);
	attribute->transid = le64toh(item.transid);
	attribute->end += sizeof(item) + attribute->name_bytes + attribute->value_bytes;
	return attribute->end <= search->header.len;
}

void search_end(struct search *search)
{
	free(search->args);
	search->args = NULL;
}
