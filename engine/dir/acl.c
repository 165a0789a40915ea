/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/dir/acl.h"

#include <endian.h>
#include <errno.h>
#include <linux/posix_acl.h>
#include <linux/posix_acl_xattr.h>
#include <stdlib.h>
#include <string.h>

bool acl_is(const char *name)
{
	return !strcmp(name, ACL_ACCESS) || !strcmp(name, ACL_DEFAULT);
}

size_t acl_bytes(size_t count)
{
	return sizeof(struct posix_acl_xattr_header) + count * sizeof(struct posix_acl_xattr_entry);
}

/* Order as the kernel wants it. */
static int acl_compare(const void *a, const void *b)
{
	const struct acl_entry *one = a, *other = b;

	if (one->tag != other->tag)
		return one->tag < other->tag ? -1 : 1;
	return one->id < other->id ? -1 : one->id > other->id;
}

void acl_write(void *acl, struct acl_entry *entries, size_t count)
{
	const struct posix_acl_xattr_header header = { htole32(POSIX_ACL_XATTR_VERSION) };

	qsort(entries, count, sizeof(*entries), acl_compare);
	memcpy(acl, &header, sizeof(header));
	for (size_t i = 0; i < count; i++) {
		const struct posix_acl_xattr_entry entry = { htole16(entries[i].tag),
							     htole16(entries[i].perm),
							     htole32(entries[i].id) };

		memcpy((char *)acl + acl_bytes(i), &entry, sizeof(entry));
	}
}

int acl_map(void *acl, size_t size, int (*map)(void *data, bool group, uint32_t *id), void *data)
{
	struct posix_acl_xattr_header header;
	struct posix_acl_xattr_entry entry;

	if (size < sizeof(header) || (size - sizeof(header)) % sizeof(entry))
		return -EBADMSG;
	memcpy(&header, acl, sizeof(header));
	if (le32toh(header.a_version) != POSIX_ACL_XATTR_VERSION)
		return -EBADMSG;
	for (size_t at = sizeof(header); at < size; at += sizeof(entry)) {
		uint32_t id;
		int r;

		memcpy(&entry, (char *)acl + at, sizeof(entry));
		if (le16toh(entry.e_tag) != ACL_USER && le16toh(entry.e_tag) != ACL_GROUP)
			continue;
		id = le32toh(entry.e_id);
		r = map(data, le16toh(entry.e_tag) == ACL_GROUP, &id);
		if (r)
			return r;
		entry.e_id = htole32(id);
		memcpy((char *)acl + at, &entry, sizeof(entry));
	}
	return 0;
}

unsigned acl_group(const void *acl, size_t size)
{
	struct posix_acl_xattr_entry entry;

	for (size_t at = sizeof(struct posix_acl_xattr_header); at + sizeof(entry) <= size;
	     at += sizeof(entry)) {
		memcpy(&entry, (const char *)acl + at, sizeof(entry));
		if (le16toh(entry.e_tag) == ACL_GROUP_OBJ)
			return le16toh(entry.e_perm) & 7;
	}
	return 7;
}
