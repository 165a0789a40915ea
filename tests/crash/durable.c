/* SPDX-License-Identifier: Apache-2.0 */
/*
 * durable: each operation that has a durable form, and the disk as it is when its callback runs.
 *
 *	durable --home HOME --quota MODE --prepare	the layers that the operations work on
 *	durable --home HOME --quota MODE --list		print the names of the operations
 *	durable --home HOME --image FILE --copy PREFIX	do them; in each callback copy the image FILE to PREFIX.NAME (FICLONE)
 *	durable --home HOME --check NAME		in a mounted copy: is all there that NAME promised?
 *
 * What is relaxed and has to be whole or absent is here, too: then the copy is taken when something
 * else has committed, which makes the renaming durable, and the layer must be there with all its
 * content.
 *
 * Exit status: 0 all was as promised, 1 it was not, 2 it could not run, 77 the image's file system
 * has no reflinks.
 */
#include "content.h"

#include "varve.h"

#include <endian.h>
#include <getopt.h>
#include <linux/btrfs.h>
#include <linux/btrfs_tree.h>
#include <linux/fs.h>
#include <selinux/selinux.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/xattr.h>

/* Whose content the layers have. */
#define BASE 3

/* The limits that layers and a group get, in bytes. */
#define LIMIT_BEFORE (64u << 20)
#define LIMIT (96u << 20)

/* Where owners go. */
#define HOST_ID 100000

static const char label[] = "system_u:object_r:container_file_t:s0:c1,c2";

/* The whole program. */
struct durable {
	struct varve_store *store;
	const char *home, *quota, *image, *copy;
	const char *name; /* Of the operation under way. */
	bool over;        /* Its callback ran. */
	int error;        /* ... and ended with this. */
	int archive;      /* The tree of BASE as an archive. */
	size_t wrong;     /* Things that are not as promised. */
};

/* One operation: how it is begun, and what must be in the copy. */
struct action {
	const char *name;
	int (*begin)(struct durable *durable, struct varve_store *store);
	void (*check)(struct durable *durable);
	bool full; /* It makes a difference under full quotas. */
};

/*
 * Here SELinux is on, and knows every label: what the library links is found in this program first.
 */
int is_selinux_enabled(void)
{
	return 1;
}

int security_check_context(const char *context)
{
	return 0;
}

/* ---- what happens ---------------------------------------------------------------------------- */

/* Copy the image as it is now. */
static int image_copy(const struct durable *durable)
{
	int source = open(durable->image, O_RDONLY | O_CLOEXEC), target, r;
	char path[PATH_MAX];

	snprintf(path, sizeof(path), "%s.%s", durable->copy, durable->name);
	target = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	r = source < 0 || target < 0 || ioctl(target, FICLONE, source) < 0 ? -errno : 0;
	if (source >= 0)
		close(source);
	if (target >= 0)
		close(target);
	return r;
}

/* The callback of an operation: the power fails now. */
static void on_end(struct varve_store *store, const struct varve_result *result, void *user_data)
{
	struct durable *durable = user_data;
	char text[2048];

	durable->error = result->error ? result->error : image_copy(durable);
	durable->over = true;
	if (result->error)
		fprintf(stderr, "durable: %s: %s\n", durable->name,
			result->failure ? varve_strerror(result->failure, text, sizeof(text))
					: strerror(-result->error));
}

/* The archive, from its beginning. */
static int archive_open(const struct durable *durable)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", durable->archive);
	return open(path, O_RDONLY | O_CLOEXEC);
}

/* How owners are shifted. */
static const struct varve_chown_options *shift(uint64_t flags)
{
	static const struct varve_id_map map = { 0, HOST_ID, 65536 };
	static struct varve_chown_options options = VARVE_CHOWN_OPTIONS_INIT;

	options.flags = flags;
	options.uid_to = options.gid_to = &map;
	options.uid_to_count = options.gid_to_count = 1;
	return &options;
}

static int chown_begin(struct durable *durable, struct varve_store *store)
{
	return varve_layer_chown(store, "chown", shift(VARVE_DURABLE), on_end, durable, NULL);
}

static int relabel_begin(struct durable *durable, struct varve_store *store)
{
	return varve_layer_relabel(store, "relabel", label, VARVE_DURABLE, on_end, durable, NULL);
}

static int apply_begin(struct durable *durable, struct varve_store *store)
{
	struct varve_apply_options options = VARVE_APPLY_OPTIONS_INIT;
	int fd = archive_open(durable), r;

	options.flags = VARVE_DURABLE;
	r = varve_layer_apply(store, "apply", &options, fd, on_end, durable, NULL);
	close(fd);
	return r;
}

static int rename_begin(struct durable *durable, struct varve_store *store)
{
	return varve_layer_rename(store, "rename", "renamed", VARVE_DURABLE, on_end, durable, NULL);
}

static int limit_begin(struct durable *durable, struct varve_store *store)
{
	return varve_quota_limit(store, "limit", LIMIT, on_end, durable, NULL);
}

static int unlimit_begin(struct durable *durable, struct varve_store *store)
{
	return varve_quota_limit(store, "unlimit", 0, on_end, durable, NULL);
}

static int group_begin(struct durable *durable, struct varve_store *store)
{
	return varve_quota_limit_group(store, "job", LIMIT, on_end, durable, NULL);
}

static int remove_begin(struct durable *durable, struct varve_store *store)
{
	return varve_layer_remove(store, "remove", VARVE_DURABLE, on_end, durable, NULL);
}

static int remove_nested_begin(struct durable *durable, struct varve_store *store)
{
	return varve_layer_remove(store, "remove-nested", VARVE_DURABLE, on_end, durable, NULL);
}

/* Create ID from PARENT with OPTIONS. */
static int create(struct durable *durable, const char *id, const char *parent,
		  struct varve_create_options options)
{
	options.size = sizeof(options);
	options.flags = VARVE_DURABLE;
	options.parent = parent;
	return varve_layer_create(durable->store, id, &options, on_end, durable, NULL);
}

static int create_begin(struct durable *durable, struct varve_store *store)
{
	return create(durable, "create", NULL, (struct varve_create_options){ .mode = 0711 });
}

static int create_snapshot_begin(struct durable *durable, struct varve_store *store)
{
	return create(durable, "create-snapshot", "source", (struct varve_create_options){ 0 });
}

static int create_sized_begin(struct durable *durable, struct varve_store *store)
{
	const char *options[] = { "size=96M", NULL };

	return create(durable, "create-sized", "source",
		      (struct varve_create_options){ .storage_options = options });
}

static int create_unsized_begin(struct durable *durable, struct varve_store *store)
{
	return create(durable, "create-unsized", "sized", (struct varve_create_options){ 0 });
}

static int create_shifted_begin(struct durable *durable, struct varve_store *store)
{
	return create(durable, "create-shifted", "source",
		      (struct varve_create_options){ .chown = shift(0), .label = label });
}

/* Create ID from the archive, shifted and labelled if SHIFTED. */
static int create_applied(struct durable *durable, const char *id, bool shifted)
{
	struct varve_apply_options apply = VARVE_APPLY_OPTIONS_INIT;
	struct varve_create_options options = { .apply = &apply,
						.apply_fd = archive_open(durable),
						.mode = 0755 };
	int r;

	if (shifted) {
		options.chown = shift(0);
		options.label = label;
	}
	r = create(durable, id, NULL, options);
	close(options.apply_fd);
	return r;
}

static int create_applied_begin(struct durable *durable, struct varve_store *store)
{
	return create_applied(durable, "create-applied", false);
}

static int create_all_begin(struct durable *durable, struct varve_store *store)
{
	return create_applied(durable, "create-all", true);
}

static int create_relaxed_begin(struct durable *durable, struct varve_store *store)
{
	struct varve_apply_options apply = VARVE_APPLY_OPTIONS_INIT;
	struct varve_create_options options = VARVE_CREATE_OPTIONS_INIT;
	int r;

	options.flags = VARVE_RELAXED;
	options.apply = &apply;
	options.apply_fd = archive_open(durable);
	r = varve_layer_create_wait(store, "create-relaxed", &options, NULL);
	close(options.apply_fd);
	return r ? r : create(durable, "other", NULL, (struct varve_create_options){ 0 });
}

/* ---- what must be there ---------------------------------------------------------------------- */

/* Report something that is not as promised. */
__attribute__((format(printf, 2, 3))) static void wrong(struct durable *durable, const char *format,
							...)
{
	va_list arguments;

	durable->wrong++;
	fprintf(stderr, "durable: %s: ", durable->name);
	va_start(arguments, format);
	vfprintf(stderr, format, arguments);
	va_end(arguments);
	fputc('\n', stderr);
}

/* Open the layer ID in the home; negative when it is not there. */
static int layer_open(const struct durable *durable, const char *id)
{
	char path[PATH_MAX];

	snprintf(path, sizeof(path), "%s/subvolumes/%s", durable->home, id);
	return open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
}

/* A program writes to the layer, which nothing has made durable yet. */
static int flush_begin(struct durable *durable, struct varve_store *store)
{
	int fd = layer_open(durable, "flush"), r = fd < 0 ? -errno : content_write(fd, BASE);

	if (fd >= 0)
		close(fd);
	return r < 0 ? r : varve_layer_flush(store, "flush", 0, on_end, durable, NULL);
}

/*
 * Count the entries below DIRECTORY, itself included, that are not owned by UID or (LABELLED) have
 * no label; add all of them to *ENTRIES.
 */
static size_t tree_count(int directory, uid_t uid, bool labelled, size_t *entries)
{
	DIR *stream = fdopendir(openat(directory, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
	struct dirent *item;
	size_t count = 0;

	while (stream && (item = readdir(stream))) {
		char path[64 + sizeof(item->d_name)], value[sizeof(label)];
		bool self = strcmp(item->d_name, ".") == 0;
		struct stat st;
		int child;

		if (strcmp(item->d_name, "..") == 0 ||
		    fstatat(dirfd(stream), item->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0)
			continue;
		if (S_ISDIR(st.st_mode) && !self) {
			child = openat(dirfd(stream), item->d_name,
				       O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
			count += tree_count(child, uid, labelled, entries);
			close(child);
			continue;
		}
		snprintf(path, sizeof(path), "/proc/self/fd/%d/%s", dirfd(stream), item->d_name);
		++*entries;
		count += st.st_uid != uid || st.st_gid != uid ||
			 (labelled && (lgetxattr(path, "security.selinux", value, sizeof(value)) !=
					       sizeof(label) ||
				       memcmp(value, label, sizeof(label)) != 0));
	}
	if (stream)
		closedir(stream);
	return count;
}

/* Check that layer ID is there with the content of a number: BASE or 0; owned by UID; LABELLED. */
static void tree_check(struct durable *durable, const char *id, int base, uid_t uid, bool labelled)
{
	struct content_digest digest = { 0, 0 }, expected = content_expected(base);
	int fd = layer_open(durable, id);
	size_t entries = 0, others;
	bool nested;

	if (fd < 0) {
		wrong(durable, "the layer %s is not there", id);
		return;
	}
	if (content_read(fd, "", &digest, &nested) < 0 || digest.sum != expected.sum ||
	    digest.entries != expected.entries)
		wrong(durable, "the layer %s has other content, in %llu entries", id,
		      (unsigned long long)digest.entries);
	others = tree_count(fd, uid, labelled, &entries);
	if (others)
		wrong(durable, "the layer %s: %zu of %zu entries have another owner or label", id,
		      others, entries);
	close(fd);
}

/* Check that layer ID has the limit BYTES (0: none), in force and recorded. */
static void limit_check(struct durable *durable, const char *id, uint64_t bytes)
{
	char path[PATH_MAX], text[32] = "", expected[32] = "";
	struct varve_layer_info info = VARVE_LAYER_INFO_INIT;
	int r = varve_layer_info_wait(durable->store, id, &info, NULL), fd;

	snprintf(path, sizeof(path), "%s/quotas/%s", durable->home, id);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd >= 0) {
		if (read(fd, text, sizeof(text) - 1) <= 0)
			strcpy(text, "empty");
		close(fd);
	}
	if (bytes)
		snprintf(expected, sizeof(expected), "%llu", (unsigned long long)bytes);
	if (r || info.quota_limit != bytes || strcmp(text, expected))
		wrong(durable, "the layer %s has the limit %llu and the record '%s' (%d)", id,
		      (unsigned long long)info.quota_limit, text, r);
}

static void chown_check(struct durable *durable)
{
	tree_check(durable, "chown", BASE, HOST_ID, false);
}

static void relabel_check(struct durable *durable)
{
	tree_check(durable, "relabel", BASE, 0, true);
}

static void apply_check(struct durable *durable)
{
	tree_check(durable, "apply", BASE, 0, false);
}

static void flush_check(struct durable *durable)
{
	tree_check(durable, "flush", BASE, 0, false);
}

static void limited_check(struct durable *durable)
{
	limit_check(durable, "limit", LIMIT);
}

static void unlimited_check(struct durable *durable)
{
	limit_check(durable, "unlimit", 0);
}

static void group_check(struct durable *durable)
{
	int fd = open(durable->home, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct btrfs_ioctl_search_args search = { 0 };
	struct btrfs_ioctl_search_header header;
	struct btrfs_qgroup_limit_item item;

	/* The group of the store is the only one above those of subvolumes. */
	search.key = (struct btrfs_ioctl_search_key){
		.tree_id = BTRFS_QUOTA_TREE_OBJECTID,
		.min_type = BTRFS_QGROUP_LIMIT_KEY,
		.max_type = BTRFS_QGROUP_LIMIT_KEY,
		.min_offset = 1ull << BTRFS_QGROUP_LEVEL_SHIFT,
		.max_offset = UINT64_MAX,
		.max_transid = UINT64_MAX,
		.nr_items = 1,
	};
	if (ioctl(fd, BTRFS_IOC_TREE_SEARCH, &search) < 0 || search.key.nr_items == 0) {
		wrong(durable, "there is no group with a limit");
	} else {
		memcpy(&header, search.buf, sizeof(header));
		memcpy(&item, search.buf + sizeof(header), sizeof(item));
		if (le64toh(item.max_rfer) != LIMIT)
			wrong(durable, "the group has the limit %llu",
			      (unsigned long long)le64toh(item.max_rfer));
	}
	close(fd);
}

/* Check that nothing is called ID. */
static void absent_check(struct durable *durable, const char *id)
{
	int fd = layer_open(durable, id);

	if (fd >= 0 || errno != ENOENT)
		wrong(durable, "the layer %s is there", id);
	if (fd >= 0)
		close(fd);
}

static void rename_check(struct durable *durable)
{
	absent_check(durable, "rename");
	tree_check(durable, "renamed", BASE, 0, false);
	limit_check(durable, "renamed", 64ull << 20);
}

static void remove_check(struct durable *durable)
{
	absent_check(durable, "remove");
}

static void remove_nested_check(struct durable *durable)
{
	absent_check(durable, "remove-nested");
}

static void create_check(struct durable *durable)
{
	int fd = layer_open(durable, "create");
	struct stat st;

	tree_check(durable, "create", 0, 0, false);
	if (fd < 0 || fstat(fd, &st) < 0 || (st.st_mode & 07777) != 0711)
		wrong(durable, "the layer create has another mode");
	if (fd >= 0)
		close(fd);
}

static void create_snapshot_check(struct durable *durable)
{
	tree_check(durable, "create-snapshot", BASE, 0, false);
}

static void create_sized_check(struct durable *durable)
{
	tree_check(durable, "create-sized", BASE, 0, false);
	limit_check(durable, "create-sized", LIMIT);
}

static void create_unsized_check(struct durable *durable)
{
	tree_check(durable, "create-unsized", BASE, 0, false);
	limit_check(durable, "create-unsized", 0);
}

static void create_shifted_check(struct durable *durable)
{
	tree_check(durable, "create-shifted", BASE, HOST_ID, true);
}

static void create_applied_check(struct durable *durable)
{
	tree_check(durable, "create-applied", BASE, 0, false);
}

static void create_all_check(struct durable *durable)
{
	tree_check(durable, "create-all", BASE, HOST_ID, true);
}

static void create_relaxed_check(struct durable *durable)
{
	tree_check(durable, "create-relaxed", BASE, 0, false);
	tree_check(durable, "other", 0, 0, false);
}

static const struct action actions[] = {
	{ "chown", chown_begin, chown_check, false },
	{ "relabel", relabel_begin, relabel_check, false },
	{ "apply", apply_begin, apply_check, false },
	{ "flush", flush_begin, flush_check, true },
	{ "limit", limit_begin, limited_check, true },
	{ "unlimit", unlimit_begin, unlimited_check, true },
	{ "rename", rename_begin, rename_check, true },
	{ "group", group_begin, group_check, true },
	{ "remove", remove_begin, remove_check, false },
	{ "remove-nested", remove_nested_begin, remove_nested_check, false },
	{ "create", create_begin, create_check, false },
	{ "create-snapshot", create_snapshot_begin, create_snapshot_check, false },
	{ "create-sized", create_sized_begin, create_sized_check, true },
	{ "create-unsized", create_unsized_begin, create_unsized_check, true },
	{ "create-shifted", create_shifted_begin, create_shifted_check, false },
	{ "create-applied", create_applied_begin, create_applied_check, false },
	{ "create-all", create_all_begin, create_all_check, false },
	{ "create-relaxed", create_relaxed_begin, create_relaxed_check, false },
};

/* ---- the run --------------------------------------------------------------------------------- */

/* Make the layer ID with the storage option OPTION (may be NULL) and the tree of BASE. */
static int prepare_layer(struct durable *durable, const char *id, const char *option, int base)
{
	struct varve_create_options options = VARVE_CREATE_OPTIONS_INIT;
	const char *list[] = { option, NULL };
	struct varve_failure failure;
	char text[2048];
	int fd, r;

	options.storage_options = list;
	r = varve_layer_create_wait(durable->store, id, &options, &failure);
	if (r < 0) {
		fprintf(stderr, "durable: %s\n", varve_strerror(&failure, text, sizeof(text)));
		return r;
	}
	fd = layer_open(durable, id);
	r = fd < 0 ? -errno : content_write(fd, base);
	if (fd >= 0)
		close(fd);
	return r;
}

/* Nest a subvolume in the layer remove-nested. */
static int prepare_nested(const struct durable *durable)
{
	struct btrfs_ioctl_vol_args arguments = { .name = CONTENT_NESTED };
	int fd = layer_open(durable, "remove-nested"), r;

	r = fd < 0 || ioctl(fd, BTRFS_IOC_SUBVOL_CREATE, &arguments) < 0 ? -errno : 0;
	if (fd >= 0)
		close(fd);
	return r;
}

/* Make all that the operations work on. */
static int prepare(struct durable *durable)
{
	static const struct {
		const char *id, *option;
		int base;
	} layers[] = {
		{ "source", NULL, BASE },
		{ "chown", NULL, BASE },
		{ "relabel", NULL, BASE },
		{ "apply", NULL, 0 },
		{ "flush", NULL, 0 },
		{ "limit", NULL, 0 },
		{ "sized", "size=64M", BASE },
		{ "unlimit", "size=64M", 0 },
		{ "grouped", "group=job:64M", 0 },
		{ "rename", "size=64M", BASE },
		{ "remove", NULL, BASE },
		{ "remove-nested", NULL, BASE },
	};
	int r = 0;

	for (size_t i = 0; r == 0 && i < sizeof(layers) / sizeof(*layers); i++)
		r = prepare_layer(durable, layers[i].id, layers[i].option, layers[i].base);
	if (r == 0)
		r = prepare_nested(durable);
	return r ? r : varve_sync_wait(durable->store, 0, NULL);
}

/* Do one operation; its callback copies the image. */
static int perform(struct durable *durable, const struct action *action)
{
	int r;

	durable->name = action->name;
	durable->over = false;
	r = action->begin(durable, durable->store);
	while (r >= 0 && !durable->over)
		r = varve_wait(durable->store, -1);
	return r < 0 ? r : durable->error;
}

/* Do all operations. */
static int perform_all(struct durable *durable)
{
	int r = varve_layer_diff_wait(durable->store, "source", NULL, durable->archive, NULL, NULL,
				      NULL);

	for (size_t i = 0; r >= 0 && i < sizeof(actions) / sizeof(*actions); i++)
		if (actions[i].full || strcmp(durable->quota, "full") != 0)
			r = perform(durable, &actions[i]);
	return r;
}

/* Check the copy after NAME. */
static void check(struct durable *durable, const char *name)
{
	durable->name = name;
	for (size_t i = 0; i < sizeof(actions) / sizeof(*actions); i++)
		if (strcmp(actions[i].name, name) == 0) {
			actions[i].check(durable);
			return;
		}
	wrong(durable, "no such operation");
}

/* Open the store. */
static int store_open(struct durable *durable)
{
	struct varve_config config = VARVE_CONFIG_INIT;
	const char *backend = getenv("VARVE_TEST_BACKEND");
	char quota[32], text[2048];
	const char *options[] = { quota, NULL };
	struct varve_failure failure;
	int r;

	snprintf(quota, sizeof(quota), "quota=%s", durable->quota);
	config.home = durable->home;
	config.options = options;
	if (backend && strcmp(backend, "threads") == 0)
		config.flags |= VARVE_OPEN_NO_URING;
	r = varve_open(&config, &durable->store, &failure);
	if (r < 0)
		fprintf(stderr, "durable: %s\n", varve_strerror(&failure, text, sizeof(text)));
	return r;
}

int main(int argc, char **argv)
{
	enum { PREPARE = 256, HOME, QUOTA, IMAGE, COPY, CHECK, LIST };
	static const struct option options[] = {
		{ "prepare", 0, NULL, PREPARE }, { "home", 1, NULL, HOME },
		{ "quota", 1, NULL, QUOTA },     { "image", 1, NULL, IMAGE },
		{ "copy", 1, NULL, COPY },       { "check", 1, NULL, CHECK },
		{ "list", 0, NULL, LIST },       { NULL, 0, NULL, 0 },
	};
	struct durable durable = { .quota = "simple",
				   .archive = memfd_create("archive", MFD_CLOEXEC) };
	bool preparing = false, listing = false;
	const char *checked = NULL;
	int option, r = 0;

	while ((option = getopt_long(argc, argv, "", options, NULL)) >= 0) {
		switch (option) {
		case PREPARE:
			preparing = true;
			break;
		case HOME:
			durable.home = optarg;
			break;
		case QUOTA:
			durable.quota = optarg;
			break;
		case IMAGE:
			durable.image = optarg;
			break;
		case COPY:
			durable.copy = optarg;
			break;
		case CHECK:
			checked = optarg;
			break;
		case LIST:
			listing = true;
			break;
		default:
			return 2;
		}
	}
	for (size_t i = 0; listing && i < sizeof(actions) / sizeof(*actions); i++)
		if (actions[i].full || strcmp(durable.quota, "full") != 0)
			puts(actions[i].name);
	if (listing)
		return 0;
	if (!durable.home || (!preparing && !checked && (!durable.image || !durable.copy))) {
		fprintf(stderr,
			"usage: durable --home HOME --prepare | --image FILE --copy PREFIX | --check NAME\n");
		return 2;
	}
	if (store_open(&durable) < 0)
		return 2;
	if (preparing)
		r = prepare(&durable);
	else if (checked)
		check(&durable, checked);
	else
		r = perform_all(&durable);
	varve_close(durable.store);
	if (r < 0)
		fprintf(stderr, "durable: %s: %s\n", durable.name ? durable.name : "prepare",
			strerror(-r));
	if (r == -EOPNOTSUPP || r == -ENOTTY || r == -EXDEV)
		return 77;
	return r < 0 ? 2 : durable.wrong > 0;
}
