/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The root is labelled last, so that its label says that the rest is done. Where it has the label
 * already, each label is looked at first, which is cheaper than to write it: by a search, see
 * xattr_search.h.
 */
#include "engine/walk/label.h"
#include "engine/btrfs/abi.h"
#include "engine/dir/opath.h"
#include "engine/dir/xattr.h"
#include "engine/store/store.h"

#include <pwd.h>
#include <selinux/selinux.h>
#include <string.h>
#include <sys/xattr.h>

/* Bytes for a user's record in the user database. */
#define LABEL_USER_BYTES 4096

int label_check(const char *text)
{
	unsigned colons = 0;

	/* Two bytes to spare: a shared one may grow by its level. */
	if (strlen(text) + 3 > LABEL_BYTES)
		return -ENAMETOOLONG;
	for (const char *at = text; *at; at++)
		colons += *at == ':';
	return colons < 3 ? -EINVAL : 0;
}

void label_make(const char *text, bool shared, char *ret_text)
{
	char *level;

	strcpy(ret_text, text);
	if (!shared || !*text)
		return;
	level = ret_text;
	for (int i = 0; i < 3; i++)
		level = strchr(level, ':') + 1;
	strcpy(level, "s0");
}

int label_valid(const char *text)
{
	if (is_selinux_enabled() != 1)
		return 1;
	return security_check_context(text) ? -EINVAL : 0;
}

/* Is PATH the home directory HOME, which may be NULL? */
static bool label_is_home(const char *path, const char *home)
{
	return home && *home && !strcmp(path, home);
}

bool label_refused(const char *path)
{
	static const char *const system[] = { "/",     "/bin",        "/boot",    "/dev",
					      "/etc",  "/etc/passwd", "/etc/pki", "/etc/shadow",
					      "/home", "/lib",        "/lib64",   "/media",
					      "/opt",  "/proc",       "/root",    "/run",
					      "/sbin", "/srv",        "/sys",     "/tmp",
					      "/usr",  "/var",        "/var/lib", "/var/log" };
	const char *sudo_user = getenv("SUDO_USER");
	char buffer[LABEL_USER_BYTES];
	struct passwd user, *found = NULL;

	for (size_t i = 0; i < ARRAY_SIZE(system); i++)
		if (!strcmp(path, system[i]))
			return true;
	if (sudo_user)
		getpwnam_r(sudo_user, &user, buffer, sizeof(buffer), &found);
	return label_is_home(path, getenv("HOME")) || (found && label_is_home(path, found->pw_dir));
}

/* The attribute that the trees are searched for. */
static const char *const label_attributes[] = { XATTR_LABEL, NULL };

/* Is OLD, of SIZE bytes (negative: there is none), the label? */
static bool label_same(const struct label *label, const char *old, ssize_t size)
{
	return size == (ssize_t)label->size && !memcmp(old, label->text, label->size);
}

/* Does FD have the label? */
static bool label_has(const struct label *label, int fd)
{
	char old[LABEL_BYTES];

	return label_same(label, old, fgetxattr(fd, XATTR_LABEL, old, sizeof(old)));
}

/* Does INODE of SUBVOLUME have the label? Where the root does not have it: no, without a search. */
static enum xattr_search_answer label_lookup(struct label *label, uint64_t subvolume,
					     uint64_t inode)
{
	return label->fast ? xattr_search_lookup(&label->labelled, subvolume, inode)
			   : XATTR_SEARCH_NO;
}

/*
 * Label an entry that is no directory, unless it has the label. All entries of a layer get the same
 * label, so it does no harm if the name leads to another entry of the layer by now. Where a name
 * may lead out of the layer, to a mount, the entry is open (walk->hold).
 */
static int label_visit(struct walk *walk, struct walk_entry *entry)
{
	struct label *label = walk->data;
	enum xattr_search_answer answer = label_lookup(label, entry->dir->subvolume,
						       entry->stat ? entry->stat->stx_ino
								   : entry->inode);
	char old[LABEL_BYTES];
	ssize_t size = -ENODATA;

	if (answer == XATTR_SEARCH_YES)
		return 0;
	if (answer == XATTR_SEARCH_UNKNOWN)
		size = entry->fd < 0 ? xattr_get(entry->xattr_dir, entry->name, XATTR_LABEL, old,
						 sizeof(old))
				     : opath_getxattr(entry->fd, XATTR_LABEL, old, sizeof(old));
	if (label_same(label, old, size))
		return 0;
	if (entry->fd >= 0)
		return opath_setxattr(entry->fd, XATTR_LABEL, label->text, label->size);
	return xattr_set(entry->xattr_dir, entry->name, XATTR_LABEL, label->text, label->size);
}

/* Label FD, which is DIR, unless it has the label. */
static int label_dir(struct label *label, const struct walk_dir *dir, int fd)
{
	enum xattr_search_answer answer = label_lookup(label, dir->subvolume, dir->inode);

	if (answer == XATTR_SEARCH_YES || (answer == XATTR_SEARCH_UNKNOWN && label_has(label, fd)))
		return 0;
	return RET_NERRNO(fsetxattr(fd, XATTR_LABEL, label->text, label->size, 0));
}

/* Label a directory that is not the root. */
static int label_enter(struct walk *walk, struct walk_dir *dir, const struct statx *stat)
{
	int r;

	/* One that stands for a nested subvolume has no attributes. */
	if (!dir->parent || stat->stx_ino == ABI_STAND_IN_INODE)
		return 0;
	r = label_dir(walk->data, dir, dir->fd);
	if (r)
		walk_failed(walk, dir, NULL, "fsetxattr", r);
	return 0;
}

/* Label the root, unless something failed below it. */
static int label_leave(struct walk *walk, struct walk_dir *dir)
{
	return dir->parent || walk->error ? 0 : label_dir(walk->data, dir, walk->root_fd);
}

/* Free what was found. */
static void label_release(struct walk *walk)
{
	struct label *label = walk->data;

	xattr_search_free(&label->labelled);
}

static const struct walk_class label_class = {
	.call = "setxattrat",
	.slow_factor = 8,
	.enter = label_enter,
	.visit = label_visit,
	.leave = label_leave,
	.leave_root = true,
	.release = label_release,
};

int label_init(struct label *label, struct varve_store *store, int root_fd, const char *id,
	       const char *text, const _Atomic bool *cancelled)
{
	int r = walk_init(&label->walk, store, &label_class, root_fd, id, cancelled);

	if (r)
		return r;
	label->walk.data = label;
	label->text = text;
	/* The kernel keeps labels with their NUL. */
	label->size = strlen(text) + 1;
	label->fast = label_has(label, root_fd);
	xattr_search_init(&label->labelled, store, root_fd, label_attributes, label->text,
			  label->size, cancelled);
	return 0;
}
