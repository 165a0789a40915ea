/* SPDX-License-Identifier: Apache-2.0 */
/*
 * POSIX access control lists as the kernel has them in attributes: their ids are those of a
 * container, or of the host.
 */
#ifndef VARVE_DIR_ACL_H
#define VARVE_DIR_ACL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The attributes: permissions; and those that new entries of a directory inherit. */
#define ACL_ACCESS "system.posix_acl_access"
#define ACL_DEFAULT "system.posix_acl_default"
#define ACL_PREFIX "system.posix_acl_"

/* One entry: TAG and PERM are those of linux/posix_acl.h, ID is that of ACL_USER and ACL_GROUP. */
struct acl_entry {
	uint16_t tag, perm;
	uint32_t id;
};

/* Is the attribute NAME one of them? */
bool acl_is(const char *name);

/* Bytes of a list of COUNT entries. */
size_t acl_bytes(size_t count);

/* Write COUNT ENTRIES, which are sorted by tag, to ACL. */
void acl_write(void *acl, struct acl_entry *entries, size_t count);

/*
 * What the list of SIZE bytes at ACL, whose form acl_map() has accepted, gives the owning group:
 * rwx bits; all where it does not say.
 */
unsigned acl_group(const void *acl, size_t size);

/*
 * Have MAP change each id, in place, in the list of SIZE bytes at ACL: 0, -EBADMSG (it is none), or
 * what MAP returned.
 */
int acl_map(void *acl, size_t size, int (*map)(void *data, bool group, uint32_t *id), void *data);

#endif
