/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The algorithm of the reference driver (the btrfs driver of containers/storage), step by step and
 * one at a time on each thread: what users run today. It opens its directories by path for each
 * call, and walks a layer with lstat, in the order of names, before it destroys it. Written in C,
 * so it is not slower than the original.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/btrfs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "engines.h"

#define SUBVOLUME_INODE 256
#define QUOTA_SIZE 32
#define LIMIT_BYTES (64ull << 30)
/* What chown and relabel set; any value does, as every entry differs from it at first. */
#define OWNER_ID 1000
#define LABEL "system_u:object_r:container_file_t:s0"

/* A context. */
struct reference {
	/* What the harness said. */
	const struct bench_env *env;
	/* Entries that its walks visited, since the measured time began. */
	uint64_t entries;
	/* Bytes that usage summed up. */
	uint64_t bytes;
	/* Changed entries that it found. */
	uint64_t changes;
	/* Size limit of new layers; 0: none. */
	uint64_t limit;
	/* Quota was turned on. */
	bool quota_enabled;
	/* Where archives go. */
	int null_fd;
	/* Changed files are read, as for an archive. */
	bool archiving;
	/* The layer that is being walked to be destroyed. */
	const char *root;
};

/* What a walk does with each entry. */
typedef int visitor(struct reference *reference, const char *path, const struct stat *st);

/* Visit PATH, whose status is ST, and all below it, by name. */
static int walk(struct reference *reference, const char *path, const struct stat *st,
		visitor *visit)
{
	struct dirent **entries;
	int count, r;

	reference->entries++;
	r = visit(reference, path, st);
	if (r < 0 || !S_ISDIR(st->st_mode))
		return r;
	count = scandir(path, &entries, NULL, alphasort);
	if (count < 0)
		return errno == ENOENT ? 0 : -errno;
	for (int i = 0; i < count; i++) {
		char child[PATH_MAX];
		struct stat child_st;

		if (r == 0 && strcmp(entries[i]->d_name, ".") && strcmp(entries[i]->d_name, "..")) {
			if (snprintf(child, sizeof(child), "%s/%s", path, entries[i]->d_name) >=
			    PATH_MAX)
				r = -ENAMETOOLONG;
			else if (lstat(child, &child_st) < 0)
				r = errno == ENOENT ? 0 : -errno;
			else
				r = walk(reference, child, &child_st, visit);
		}
		free(entries[i]);
	}
	free(entries);
	return r;
}

/* Visit all of layer PATH. */
static int walk_layer(struct reference *reference, const char *path, visitor *visit)
{
	struct stat st;

	return lstat(path, &st) < 0 ? -errno : walk(reference, path, &st, visit);
}

/* Look at an entry and do nothing. */
static int visit_nothing(struct reference *reference, const char *path, const struct stat *st)
{
	return 0;
}

/* Sum up what is not a directory. */
static int visit_usage(struct reference *reference, const char *path, const struct stat *st)
{
	if (!S_ISDIR(st->st_mode))
		reference->bytes += (uint64_t)st->st_size;
	return 0;
}

/* Give an entry another owner, after a look for what a change of owner would take away. */
static int visit_chown(struct reference *reference, const char *path, const struct stat *st)
{
	char capability[64];

	/* Most entries have none. */
	if (lgetxattr(path, "security.capability", capability, sizeof(capability)) > 0)
		return -EOPNOTSUPP;
	return lchown(path, st->st_uid == OWNER_ID ? 0 : OWNER_ID,
		      st->st_gid == OWNER_ID ? 0 : OWNER_ID) < 0
		       ? -errno
		       : 0;
}

/* Give an entry a label. */
static int visit_label(struct reference *reference, const char *path, const struct stat *st)
{
	return lsetxattr(path, "security.selinux", LABEL, sizeof(LABEL), 0) < 0 ? -errno : 0;
}

static int destroy(struct reference *reference, const char *directory, const char *name);

/* Destroy a subvolume that lies in the layer; the walked layer itself is destroyed last. */
static int visit_destroy(struct reference *reference, const char *path, const struct stat *st)
{
	char directory[PATH_MAX];
	const char *name = strrchr(path, '/') + 1;
	struct stat again;

	if (!S_ISDIR(st->st_mode) || !strcmp(path, reference->root))
		return 0;
	if (lstat(path, &again) < 0)
		return errno == ENOENT ? 0 : -errno;
	if (again.st_ino != SUBVOLUME_INODE)
		return 0;
	snprintf(directory, sizeof(directory), "%.*s", (int)(name - path - 1), path);
	return destroy(reference, directory, name);
}

/* Walk NAME in DIRECTORY for nested subvolumes, then destroy it. */
static int destroy(struct reference *reference, const char *directory, const char *name)
{
	char path[PATH_MAX];
	const char *outer = reference->root;
	int fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC), r;

	if (fd < 0)
		return -errno;
	if (snprintf(path, sizeof(path), "%s/%s", directory, name) >= PATH_MAX) {
		r = -ENAMETOOLONG;
	} else {
		reference->root = path;
		r = walk_layer(reference, path, visit_destroy);
		reference->root = outer;
	}
	if (r == 0)
		r = layer_destroy(fd, name);
	close(fd);
	return r;
}

/* The directory of both sides that is being compared. */
struct sides {
	const char *layer;  /* In the layer; NULL: it is not there. */
	const char *parent; /* In the parent; NULL: it is not there. */
};

/*
 * Read what the comparison looks at beside the status of PATH: attributes, as the driver does for
 * every entry.
 */
static void read_attributes(const char *path)
{
	char value[256];

	/* Both fail on most entries; the cost is in the calls. */
	if (lgetxattr(path, "security.capability", value, sizeof(value)) < 0)
		value[0] = '\0';
	if (llistxattr(path, value, sizeof(value)) < 0)
		value[0] = '\0';
}

/* Read the file PATH to its end and write it to /dev/null, in the place of an archive. */
static int archive_file(const struct reference *reference, const char *path)
{
	char buffer[32 << 10];
	ssize_t n;
	int fd = open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);

	if (fd < 0)
		return errno == ENOENT ? 0 : -errno;
	while ((n = read(fd, buffer, sizeof(buffer))) > 0)
		if (write(reference->null_fd, buffer, (size_t)n) != n)
			break;
	close(fd);
	return n < 0 ? -errno : n > 0 ? -EIO : 0;
}

/* Return whether the statuses A and B are those of an unchanged entry. */
static bool same_entry(const struct stat *a, const struct stat *b)
{
	return a->st_mode == b->st_mode && a->st_uid == b->st_uid && a->st_gid == b->st_gid &&
	       a->st_rdev == b->st_rdev && a->st_mtim.tv_sec == b->st_mtim.tv_sec &&
	       a->st_mtim.tv_nsec == b->st_mtim.tv_nsec &&
	       (S_ISDIR(a->st_mode) || a->st_size == b->st_size);
}

static int compare(struct reference *reference, const struct sides *sides);

/* Compare the entry NAME of SIDES; IN_LAYER, IN_PARENT: on which it is. */
static int compare_entry(struct reference *reference, const struct sides *sides, const char *name,
			 bool in_layer, bool in_parent)
{
	char a[PATH_MAX], b[PATH_MAX];
	struct stat sa = { 0 }, sb = { 0 };
	bool deeper;

	if (snprintf(a, sizeof(a), "%s/%s", in_layer ? sides->layer : "", name) >= PATH_MAX ||
	    snprintf(b, sizeof(b), "%s/%s", in_parent ? sides->parent : "", name) >= PATH_MAX)
		return -ENAMETOOLONG;
	if ((in_layer && lstat(a, &sa) < 0) || (in_parent && lstat(b, &sb) < 0))
		return errno == ENOENT ? 0 : -errno;
	if (in_layer)
		read_attributes(a);
	if (in_parent)
		read_attributes(b);
	reference->entries += in_layer + in_parent;
	if (in_layer != in_parent || !same_entry(&sa, &sb)) {
		int r = reference->archiving && in_layer && S_ISREG(sa.st_mode)
				? archive_file(reference, a)
				: 0;

		if (r < 0)
			return r;
		reference->changes++;
	}
	deeper = (in_layer && S_ISDIR(sa.st_mode)) || (in_parent && S_ISDIR(sb.st_mode));
	if (!deeper)
		return 0;
	return compare(reference, &(struct sides){ in_layer && S_ISDIR(sa.st_mode) ? a : NULL,
						   in_parent && S_ISDIR(sb.st_mode) ? b : NULL });
}

/* List PATH (NULL: nothing) by name without "." and "..". Returns how many, or -errno. */
static int list(const char *path, struct dirent ***ret)
{
	int count = path ? scandir(path, ret, NULL, alphasort) : 0, kept = 0;

	if (count < 0)
		return -errno;
	for (int i = 0; i < count; i++) {
		if (strcmp((*ret)[i]->d_name, ".") && strcmp((*ret)[i]->d_name, ".."))
			(*ret)[kept++] = (*ret)[i];
		else
			free((*ret)[i]);
	}
	return kept;
}

/* Compare all entries of SIDES, by name: the whole of both trees is looked at. */
static int compare(struct reference *reference, const struct sides *sides)
{
	struct dirent **a = NULL, **b = NULL;
	int na = list(sides->layer, &a), nb = list(sides->parent, &b), i = 0, k = 0,
	    r = na < 0   ? na
		: nb < 0 ? nb
			 : 0;

	while (r == 0 && (i < na || k < nb)) {
		int order = i == na ? 1 : k == nb ? -1 : strcmp(a[i]->d_name, b[k]->d_name);

		r = compare_entry(reference, sides, order <= 0 ? a[i]->d_name : b[k]->d_name,
				  order <= 0, order >= 0);
		i += order <= 0;
		k += order >= 0;
	}
	for (i = 0; i < na; i++)
		free(a[i]);
	for (k = 0; k < nb; k++)
		free(b[k]);
	free(a);
	free(b);
	return r;
}

/* Write HOME/FOLDER/ID into PATH. */
static int home_path(const struct reference *reference, const char *folder, const char *id,
		     char *path)
{
	return snprintf(path, PATH_MAX, "%s/%s/%s", reference->env->home, folder, id) >= PATH_MAX
		       ? -ENAMETOOLONG
		       : 0;
}

/* Limit: one ioctl on the layer, and the file that records the size. */
static int reference_quota(struct reference *reference, const char *id, uint64_t bytes)
{
	struct btrfs_ioctl_qgroup_limit_args args = { .lim.flags = BTRFS_QGROUP_LIMIT_MAX_RFER,
						      .lim.max_rfer = bytes };
	char path[PATH_MAX], text[QUOTA_SIZE];
	int r = home_path(reference, "subvolumes", id, path), fd, length;

	fd = r < 0 ? r : open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return r < 0 ? r : -errno;
	r = ioctl(fd, BTRFS_IOC_QGROUP_LIMIT, &args) < 0 ? -errno : 0;
	close(fd);
	snprintf(path, sizeof(path), "%s/quotas", reference->env->home);
	if (r == 0 && mkdir(path, 0700) < 0 && errno != EEXIST)
		return -errno;
	if (r == 0)
		r = home_path(reference, "quotas", id, path);
	if (r < 0)
		return r;
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	if (fd < 0)
		return -errno;
	length = snprintf(text, sizeof(text), "%llu", (unsigned long long)bytes);
	if (write(fd, text, (size_t)length) != length)
		r = -EIO;
	close(fd);
	return r;
}

/* Call the ioctl REQUEST with ARGUMENT on the directory of layers, which is opened by its path. */
static int subvolumes_ioctl(const struct reference *reference, unsigned long request,
			    void *argument)
{
	int fd = open(reference->env->subvolumes, O_RDONLY | O_DIRECTORY | O_CLOEXEC), r;

	if (fd < 0)
		return -errno;
	r = ioctl(fd, request, argument) < 0 ? -errno : 0;
	close(fd);
	return r;
}

/*
 * Destroy the quota group of the layer at PATH. The kernel may refuse as long as the layer exists;
 * the driver goes on then.
 */
static void destroy_group(const char *path)
{
	struct btrfs_ioctl_ino_lookup_args lookup = { .objectid = SUBVOLUME_INODE };
	struct btrfs_ioctl_qgroup_create_args args = { 0 };
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0)
		return;
	if (ioctl(fd, BTRFS_IOC_INO_LOOKUP, &lookup) == 0) {
		args.qgroupid = lookup.treeid;
		ioctl(fd, BTRFS_IOC_QGROUP_CREATE, &args);
	}
	close(fd);
}

/* Create: look at the parent, open source and destination by path, one ioctl; then the limit. */
static int reference_create(struct reference *reference, const char *id, const char *parent)
{
	struct btrfs_ioctl_quota_ctl_args quota = { .cmd = BTRFS_QUOTA_CTL_ENABLE };
	const char *subvolumes = reference->env->subvolumes;
	char path[PATH_MAX];
	struct stat st;
	int fd, source, r;

	if (mkdir(subvolumes, 0700) < 0 && errno != EEXIST)
		return -errno;
	r = parent ? home_path(reference, "subvolumes", parent, path) : 0;
	if (r < 0)
		return r;
	if (parent && stat(path, &st) < 0)
		return -errno;
	source = parent ? open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -EBADF;
	if (parent && source < 0)
		return -errno;
	fd = open(subvolumes, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	r = fd < 0 ? -errno : parent ? layer_snapshot(fd, id, source) : layer_create(fd, id);
	if (fd >= 0)
		close(fd);
	if (source >= 0)
		close(source);
	/* The driver turns quota on with the first limit. */
	if (r == 0 && reference->limit && !reference->quota_enabled) {
		r = subvolumes_ioctl(reference, BTRFS_IOC_QUOTA_CTL, &quota);
		reference->quota_enabled = r == 0;
	}
	if (r == 0 && reference->limit)
		r = reference_quota(reference, id, reference->limit);
	return r;
}

/*
 * Remove: look at the layer and its quota file, destroy its quota group, walk and destroy, make
 * sure that it is gone, wait for a rescan.
 */
static int reference_remove(struct reference *reference, const char *id)
{
	char path[PATH_MAX], quota[PATH_MAX];
	struct stat st;
	int r = home_path(reference, "subvolumes", id, path);

	if (r == 0)
		r = home_path(reference, "quotas", id, quota);
	if (r < 0)
		return r;
	if (stat(path, &st) < 0)
		return -errno;
	if (stat(quota, &st) == 0 && unlink(quota) < 0)
		return -errno;
	if (reference->limit)
		destroy_group(path);
	r = destroy(reference, reference->env->subvolumes, id);
	if (r < 0)
		return r;
	if (lstat(path, &st) == 0)
		return -EEXIST;
	/* The driver waits for a rescan of the quota groups, whether or not one runs. */
	return reference->limit ? subvolumes_ioctl(reference, BTRFS_IOC_QUOTA_RESCAN_WAIT, NULL)
				: 0;
}

/* Get: look at the layer, read its quota file. */
static int reference_get(struct reference *reference, const char *id)
{
	char path[PATH_MAX], quota[QUOTA_SIZE];
	struct stat st;
	int r = home_path(reference, "subvolumes", id, path), fd;

	if (r < 0)
		return r;
	if (stat(path, &st) < 0)
		return -errno;
	r = home_path(reference, "quotas", id, path);
	fd = r < 0 ? r : open(path, O_RDONLY | O_CLOEXEC);
	if (fd >= 0) {
		if (read(fd, quota, sizeof(quota)) < 0)
			r = -errno;
		close(fd);
	}
	return r < 0 ? r : S_ISDIR(st.st_mode) ? 0 : -ENOTDIR;
}

/* Do KIND to layer ID. */
static int reference_one(struct reference *reference, enum bench_kind kind, const char *id,
			 const char *parent)
{
	static visitor *const visits[BENCH_KINDS] = {
		[BENCH_USAGE] = visit_usage,
		[BENCH_WALK] = visit_nothing,
		[BENCH_CHOWN] = visit_chown,
		[BENCH_RELABEL] = visit_label,
	};
	char path[PATH_MAX], other[PATH_MAX];
	struct dirent **names = NULL;
	int r;

	switch (kind) {
	case BENCH_CREATE:
		return reference_create(reference, id, NULL);
	case BENCH_SNAPSHOT:
		return reference_create(reference, id, parent);
	case BENCH_REMOVE:
		return reference_remove(reference, id);
	case BENCH_GET:
		return reference_get(reference, id);
	case BENCH_QUOTA:
		return reference_quota(reference, id, LIMIT_BYTES);
	case BENCH_EXISTS:
		r = home_path(reference, "subvolumes", id, path);
		return r < 0                                                    ? r
		       : stat(path, &(struct stat){ 0 }) < 0 && errno != ENOENT ? -errno
										: 0;
	case BENCH_LIST:
		r = list(reference->env->subvolumes, &names);
		for (int i = 0; i < r; i++)
			free(names[i]);
		free(names);
		return r < 0 ? r : 0;
	case BENCH_CHANGES:
	case BENCH_DIFF:
	case BENCH_DIFFSIZE:
		/*
		 * The size of a difference: the same comparison; what it adds up is in the status
		 * that it has.
		 */
		reference->archiving = kind == BENCH_DIFF;
		r = home_path(reference, "subvolumes", id, path);
		if (r == 0 && *parent)
			r = home_path(reference, "subvolumes", parent, other);
		return r < 0 ? r
			     : compare(reference, &(struct sides){ path, *parent ? other : NULL });
	default:
		r = home_path(reference, "subvolumes", id, path);
		return r < 0 ? r : walk_layer(reference, path, visits[kind]);
	}
}

static int reference_open(const struct bench_env *env, void **ret_context, char *error, size_t size)
{
	struct reference *reference = calloc(1, sizeof(*reference));

	if (!reference)
		return -ENOMEM;
	reference->env = env;
	reference->limit = env->option(env, "limit");
	reference->null_fd = open("/dev/null", O_WRONLY | O_CLOEXEC);
	if (reference->null_fd < 0) {
		int r = -errno;

		free(reference);
		return r;
	}
	*ret_context = reference;
	return 0;
}

static int reference_queue(void *context, struct bench_op *op)
{
	struct reference *reference = context;

	for (uint32_t i = 0; op->kind != BENCH_NOOP && i < op->count; i++) {
		int r = reference_one(reference, op->kind, op->ids[i], op->parent);

		if (r < 0 && !op->error)
			op->error = r;
	}
	return BENCH_DONE;
}

static void reference_reset(void *context)
{
	struct reference *reference = context;

	reference->entries = reference->bytes = reference->changes = 0;
}

static bool reference_figure(void *context, unsigned index, struct bench_figure *ret)
{
	struct reference *reference = context;

	const struct bench_figure figures[] = {
		{ "entries_walked", (double)reference->entries, false },
		{ "changes_listed", (double)reference->changes, false },
	};

	if (index >= sizeof(figures) / sizeof(*figures))
		return false;
	*ret = figures[index];
	return true;
}

static void reference_close(void *context)
{
	struct reference *reference = context;

	close(reference->null_fd);
	free(reference);
}

const struct bench_engine engine_reference = {
	.version = BENCH_ENGINE_VERSION,
	.kinds = (BENCH_BIT(BENCH_KINDS) - 1) &
		 ~(BENCH_BIT(BENCH_APPLY) | BENCH_BIT(BENCH_INFO) | BENCH_BIT(BENCH_SYNC) |
		   BENCH_BIT(BENCH_SWEEP) | BENCH_BIT(BENCH_FLUSH)),
	.name = "reference",
	.description = "the reference driver's own steps, one at a time on each thread",
	.open = reference_open,
	.queue = reference_queue,
	.reset = reference_reset,
	.figure = reference_figure,
	.close = reference_close,
};
