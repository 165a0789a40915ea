/* SPDX-License-Identifier: Apache-2.0 */
/*
 * verify: opens a store after a crash and holds it against the records of the loads that ran on it.
 *
 *	verify --home HOME --record FILE [--record FILE ...] [--model kill|cut] [--before NS] [--after NS] ...
 *
 * From the records it knows the set of states that each id may be in (model.h). It is checked that
 *
 * - what is visible is in that set, and whole: content, mode, read-only flag, nested subvolumes,
 *   the recorded size and the limit in force;
 * - the store's list is what lies in subvolumes/, and nothing is there that no record asked for;
 * - a sweep removes as many leftovers as were there, leaves nothing of a dead process, and finds
 *   nothing the second time;
 * - the sweep changed nothing that is visible, and sentinels and bases are as they were prepared;
 * - the store works: a layer can be created and removed.
 *
 * Of an image copied between two moments: --before says what had ended by then must show, --after
 * what was submitted later must not. --ignore PREFIX: another process is at work on ids that begin
 * so; what lies in staging is then its own.
 * --purge removes all but the bases at the end. --unswept: the store is opened without a sweep and
 * one is asked for; otherwise it is the sweep at open that has to clean up.
 *
 * Exit status: 0 all holds, 1 something does not (each on a line of standard error), 2 it could not
 * run.
 */
#include "content.h"
#include "model.h"

#include "varve.h"

#include <endian.h>
#include <getopt.h>
#include <linux/btrfs.h>
#include <linux/btrfs_tree.h>
#include <sys/ioctl.h>
#include <sys/vfs.h>

/* Most records that can be held against one store. */
#define RECORDS_MAX 4

/* The inode of every subvolume's root. */
#define SUBVOLUME_INODE 256

/* The whole check. */
struct verify {
	const char *home;
	int home_fd;
	struct varve_store *store;
	const char *records[RECORDS_MAX];
	size_t records_count;
	struct model model; /* What must be there. */
	const char *ignore; /* Prefix of ids that others are at work on, or NULL. */
	bool purge;
	bool unswept;
	size_t layers, failures;
	uint64_t staging, trash, quotas; /* Leftovers seen before the store was opened; */
	uint64_t records_staged;         /* ... and of those in staging the recorded sizes. */
};

/* Report something that does not hold. */
__attribute__((format(printf, 2, 3))) static void wrong(struct verify *verify, const char *format,
							...)
{
	va_list arguments;

	verify->failures++;
	fputs("verify: ", stderr);
	va_start(arguments, format);
	vfprintf(stderr, format, arguments);
	va_end(arguments);
	fputc('\n', stderr);
}

/* ---- what lies there ------------------------------------------------------------------------- */

/* Is the entry NAME of DIRECTORY a subvolume? */
static bool is_subvolume(int directory, const char *name)
{
	struct stat st;

	return fstatat(directory, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(st.st_mode) &&
	       st.st_ino == SUBVOLUME_INODE;
}

/* Is NAME in subvolumes/ one of the store's own, for what cannot be built anywhere else? */
static bool is_reserved(const char *name)
{
	return strncmp(name, ".varve", 6) == 0;
}

/* Open the directory NAME in DIRECTORY for reading its entries; NULL when it cannot be. */
static DIR *directory_open(int directory, const char *name)
{
	int fd = openat(directory, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

	return fd < 0 ? NULL : fdopendir(fd);
}

/* The next entry of STREAM beside "." and "..", or NULL. */
static struct dirent *directory_next(DIR *stream)
{
	struct dirent *item;

	while ((item = readdir(stream)))
		if (strcmp(item->d_name, ".") != 0 && strcmp(item->d_name, "..") != 0)
			break;
	return item;
}

/*
 * Count the subvolumes in the directory NAME of DIRECTORY and the plain directories below it; add
 * the files to *FILES.
 */
static uint64_t subvolumes_count(int directory, const char *name, uint64_t *files)
{
	DIR *stream = directory_open(directory, name);
	uint64_t count = 0;
	struct dirent *item;

	if (!stream)
		return 0;
	while ((item = directory_next(stream))) {
		if (is_subvolume(dirfd(stream), item->d_name))
			count++;
		else if (item->d_type == DT_DIR)
			count += subvolumes_count(dirfd(stream), item->d_name, files);
		else
			++*files;
	}
	closedir(stream);
	return count;
}

/* Count the half-made layers of the store; *RET_RECORDS: the sizes recorded for some of them. */
static uint64_t staging_count(const struct verify *verify, uint64_t *ret_records)
{
	uint64_t files = 0, count = subvolumes_count(verify->home_fd, ".varve/staging", &files);
	DIR *stream = directory_open(verify->home_fd, "subvolumes");
	struct dirent *item;

	while (stream && (item = directory_next(stream)))
		count += is_reserved(item->d_name);
	if (stream)
		closedir(stream);
	*ret_records = files;
	return count;
}

/* Is the subvolume open as FD read-only? */
static bool is_read_only(int fd)
{
	uint64_t flags = 0;

	return ioctl(fd, BTRFS_IOC_SUBVOL_GETFLAGS, &flags) == 0 && (flags & BTRFS_SUBVOL_RDONLY);
}

/* Read the limit in force for the subvolume open as FD, in bytes; 0: none, or no quota at all. */
static uint64_t limit_in_force(int fd)
{
	struct btrfs_ioctl_ino_lookup_args lookup = { .objectid = BTRFS_FIRST_FREE_OBJECTID };
	struct btrfs_ioctl_search_args search = { 0 };
	struct btrfs_ioctl_search_header header;
	struct btrfs_qgroup_limit_item item;

	if (ioctl(fd, BTRFS_IOC_INO_LOOKUP, &lookup) < 0)
		return 0;
	search.key = (struct btrfs_ioctl_search_key){
		.tree_id = BTRFS_QUOTA_TREE_OBJECTID,
		.min_type = BTRFS_QGROUP_LIMIT_KEY,
		.max_type = BTRFS_QGROUP_LIMIT_KEY,
		.min_offset = lookup.treeid,
		.max_offset = lookup.treeid,
		.max_transid = UINT64_MAX,
		.nr_items = 1,
	};
	if (ioctl(fd, BTRFS_IOC_TREE_SEARCH, &search) < 0 || search.key.nr_items == 0)
		return 0;
	memcpy(&header, search.buf, sizeof(header));
	memcpy(&item, search.buf + sizeof(header), sizeof(item));
	return le64toh(item.flags) & BTRFS_QGROUP_LIMIT_MAX_RFER ? le64toh(item.max_rfer) : 0;
}

/* The size that is recorded for layer ID, as text; "" of none. */
static const char *size_recorded(const struct verify *verify, const char *id, char *buffer,
				 size_t size)
{
	int quotas = openat(verify->home_fd, "quotas", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int fd = openat(quotas, id, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	ssize_t n = fd < 0 ? 0 : read(fd, buffer, size - 1);

	/* A record that is empty is none that a program could have written. */
	snprintf(buffer + (n > 0 ? n : 0), size - (size_t)(n > 0 ? n : 0), "%s",
		 fd >= 0 && n <= 0 ? "empty" : "");
	if (fd >= 0)
		close(fd);
	close(quotas);
	return buffer;
}

/* Check that layer ID, open as FD, has the size MIB, in the record and in force. */
static bool size_fits(const struct verify *verify, const char *id, int fd, unsigned mib)
{
	uint64_t bytes = (uint64_t)mib << 20;
	char recorded[64], expected[64];

	snprintf(expected, sizeof(expected), "%llu", (unsigned long long)bytes);
	if (strcmp(size_recorded(verify, id, recorded, sizeof(recorded)), mib ? expected : "") != 0)
		return false;
	/*
	 * In full mode a snapshot inherits the limit of its source, so nothing is known of one
	 * without a size.
	 */
	return !mib || limit_in_force(fd) == bytes;
}

/*
 * Does the tree in DIRECTORY have the content of BASE? *RET_SUM is its digest, *RET_NESTED whether
 * something is nested.
 */
static bool tree_is(int directory, int base, uint64_t *ret_sum, bool *ret_nested)
{
	static struct content_digest expected[CONTENT_BASES + 1];
	struct content_digest digest = { 0, 0 };

	*ret_nested = false;
	if (base > 0 && expected[base].entries == 0)
		expected[base] = content_expected(base);
	if (content_read(directory, "", &digest, ret_nested) < 0)
		return false;
	*ret_sum = digest.sum;
	return digest.sum == expected[base].sum && digest.entries == expected[base].entries;
}

/*
 * Are the subvolumes that churn.c nests, with MORE beside the pair, all there in the layer open as
 * FD?
 */
static bool nested_is_whole(int fd, unsigned more)
{
	int nested = openat(fd, CONTENT_NESTED, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC),
	    inner;
	bool whole = nested >= 0 && is_subvolume(fd, CONTENT_NESTED);
	struct content_digest digest = { 0, 0 }, expected = content_expected(1);
	char name[32];
	bool ignored;

	if (!whole) {
		if (nested >= 0)
			close(nested);
		return false;
	}
	whole = is_subvolume(nested, "deeper") || is_subvolume(nested, "d00/deeper");
	/* The subvolumes are entries of their own; what is left must be the tree of base 1. */
	if (content_read(nested, "", &digest, &ignored) < 0)
		whole = false;
	inner = is_subvolume(nested, "deeper");
	digest.sum -= content_hash_start(inner ? "deeper" : "d00/deeper", S_IFDIR | 0755, 1, 0);
	for (unsigned i = 0; i < more; i++) {
		snprintf(name, sizeof(name), "more-%u", i);
		whole = whole && is_subvolume(nested, name);
		digest.sum -= content_hash_start(name, S_IFDIR | 0755, 1, 0);
	}
	whole = whole && digest.sum == expected.sum &&
		digest.entries == expected.entries + 1 + more;
	close(nested);
	return whole;
}

/* Does the layer open as FD, with ROOT's mode, fit STATE? */
static bool layer_fits(int fd, mode_t root, const struct state *state, uint64_t *ret_sum)
{
	bool nested;

	if (!state->present || (root & 07777) != state->look.mode ||
	    is_read_only(fd) != state->look.read_only)
		return false;
	if (!tree_is(fd, state->look.base, ret_sum, &nested) || (nested && !state->nesting))
		return false;
	return !state->nested || nested_is_whole(fd, state->more);
}

/* Check that the layer ID, which has LOOK, has the label and the record that it was made with. */
static void labels_check(struct verify *verify, const char *id, const struct look *look)
{
	struct varve_layer_record *record;
	char label[LOOK_LABEL_BYTES];
	struct varve_failure failure;
	size_t bytes = look_labelled(id) && look->base ? LOOK_RECORD_BYTES : 0;
	bool same;

	if (varve_layer_record_wait(verify->store, id, &record, &failure) < 0) {
		wrong(verify, "%s: its record: %s: %s", id, strerror(-failure.error),
		      failure.detail);
		return;
	}
	look_label(look, label);
	same = record->labels_count == look_labelled(id) && record->bytes_count == bytes;
	if (same && look_labelled(id))
		same = !strcmp(record->labels[0], label);
	for (size_t i = 0; same && i < bytes; i++)
		same = ((const unsigned char *)record->bytes)[i] == look->base;
	if (!same)
		wrong(verify, "%s: expected the label %s and %zu bytes; it has %s and %zu bytes",
		      id, look_labelled(id) ? label : "none", bytes,
		      record->labels_count ? record->labels[0] : "none", record->bytes_count);
	free(record);
}

/* Check that no record of a layer is left that is gone, or has none. */
static void records_check(struct verify *verify)
{
	int directory = openat(verify->home_fd, ".varve/layers",
			       O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int subvolumes = openat(verify->home_fd, "subvolumes", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *stream = directory < 0 ? NULL : directory_open(directory, ".");
	struct dirent *entry;

	while (stream && (entry = directory_next(stream)))
		if (!verify->ignore &&
		    (!look_labelled(entry->d_name) || !is_subvolume(subvolumes, entry->d_name)))
			wrong(verify, "%s: a record of no layer is left", entry->d_name);
	if (stream)
		closedir(stream);
	if (directory >= 0)
		close(directory);
	close(subvolumes);
}

/*
 * Check the visible layer ID against what is known of it; AGAIN: it has been checked before, and
 * must not have changed.
 */
static void layer_check(struct verify *verify, int subvolumes, const char *id, bool again)
{
	struct subject *subject = model_subject(&verify->model, id, false);
	int fd = openat(subvolumes, id, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	bool fits = false, nested = false;
	char text[1024], recorded[64];
	uint64_t sum = 0;
	struct stat st;

	if (!subject || fd < 0 || fstat(fd, &st) < 0) {
		wrong(verify,
		      subject ? "%s: visible, but cannot be opened"
			      : "%s: visible, but nobody asked for it",
		      id);
		goto out;
	}
	for (size_t i = 0; i < subject->states_count && !fits; i++) {
		fits = layer_fits(fd, st.st_mode, &subject->states[i], &sum) &&
		       size_fits(verify, id, fd, subject->states[i].look.size_mib);
		if (fits && again)
			labels_check(verify, id, &subject->states[i].look);
	}
	if (!fits) {
		struct content_digest digest = { 0, 0 };
		int r = content_read(fd, "", &digest, &nested);

		wrong(verify,
		      "%s: expected %s; it has mode %o, %s, %llu entries, size \"%s\" and limit %llu%s%s",
		      id, states_describe(subject, text, sizeof(text)), st.st_mode & 07777,
		      is_read_only(fd) ? "ro" : "rw", (unsigned long long)digest.entries,
		      size_recorded(verify, id, recorded, sizeof(recorded)),
		      (unsigned long long)limit_in_force(fd), nested ? ", nested subvolumes" : "",
		      r < 0 ? " (cannot be read)" : "");
	}
	if (again && (!subject->visible || subject->digest != sum))
		wrong(verify, "%s: the sweep changed it", id);
	subject->visible = true;
	subject->digest = sum;
out:
	if (fd >= 0)
		close(fd);
}

/* Is ID one that is checked here: no base, and none of a process that is at work? */
static bool id_counts(const struct verify *verify, const char *id)
{
	return strncmp(id, "base-", 5) != 0 && !is_reserved(id) &&
	       (!verify->ignore || strncmp(id, verify->ignore, strlen(verify->ignore)) != 0);
}

/* Check every layer in subvolumes/ and every id of the records. Returns how many are visible. */
static size_t layers_check(struct verify *verify, bool again)
{
	DIR *stream = directory_open(verify->home_fd, "subvolumes");
	size_t visible = 0, seen = 0;
	struct dirent *item;
	char text[1024];

	if (!stream) {
		wrong(verify, "subvolumes: %s", strerror(errno));
		return 0;
	}
	while ((item = directory_next(stream))) {
		if (!is_subvolume(dirfd(stream), item->d_name) || !id_counts(verify, item->d_name))
			continue;
		visible++;
		layer_check(verify, dirfd(stream), item->d_name, again);
	}
	for (size_t i = 0; i < SUBJECTS_BUCKETS; i++) {
		for (struct subject *subject = verify->model.buckets[i]; subject;
		     subject = subject->next) {
			bool absent = false, gone = !is_subvolume(dirfd(stream), subject->id);

			seen += subject->visible;
			for (size_t j = 0; j < subject->states_count; j++)
				absent |= !subject->states[j].present;
			if (gone && subject->visible)
				wrong(verify, "%s: was visible, and is gone after the sweep",
				      subject->id);
			else if (gone && !absent)
				wrong(verify, "%s: absent; expected %s", subject->id,
				      states_describe(subject, text, sizeof(text)));
		}
	}
	if (again && seen != visible)
		wrong(verify, "%zu layers are visible after the sweep, %zu before", visible, seen);
	closedir(stream);
	return visible;
}

/* ---- sentinels ------------------------------------------------------------------------------- */

/* Check that the file PATH below the home contains TEXT. */
static void sentinel_file(struct verify *verify, const char *path, const char *text)
{
	int fd = openat(verify->home_fd, path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	char buffer[64];
	ssize_t n = fd < 0 ? -1 : read(fd, buffer, sizeof(buffer));

	if (n != (ssize_t)strlen(text) || memcmp(buffer, text, (size_t)n) != 0)
		wrong(verify, "%s: not as it was prepared", path);
	if (fd >= 0)
		close(fd);
}

/* Check that the subvolume PATH below the home is a tree of BASE. */
static void sentinel_subvolume(struct verify *verify, const char *path, int base)
{
	int fd = openat(verify->home_fd, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	bool nested;
	uint64_t sum;

	if (fd < 0 || !is_subvolume(verify->home_fd, path) || !tree_is(fd, base, &sum, &nested) ||
	    nested || is_read_only(fd))
		wrong(verify, "%s: not as it was prepared", path);
	if (fd >= 0)
		close(fd);
}

/* Check what churn.c prepared: bases, and things that are none of the store's business. */
static void sentinels_check(struct verify *verify)
{
	sentinel_file(verify, "foreign.txt", "foreign\n");
	sentinel_file(verify, "subvolumes/plain-file", "no layer\n");
	sentinel_file(verify, "subvolumes/plain-directory/file", "no layer either\n");
	sentinel_file(verify, "quotas/base-2", "1073741824\n");
	sentinel_file(verify, "../beside.txt", "beside\n");
	sentinel_subvolume(verify, "foreign-subvolume", 2);
	sentinel_subvolume(verify, "../beside-subvolume", 1);
	for (int base = 1; base <= CONTENT_BASES; base++) {
		char path[32];

		snprintf(path, sizeof(path), "subvolumes/base-%d", base);
		sentinel_subvolume(verify, path, base);
	}
}

/* ---- the store ------------------------------------------------------------------------------- */

/* Check that the store lists just the subvolumes of subvolumes/. */
static void list_check(struct verify *verify)
{
	int subvolumes = openat(verify->home_fd, "subvolumes", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	size_t count = 0, counted = 0;
	char **ids = NULL;
	int r = varve_layer_list_wait(verify->store, &ids, &count, NULL);

	if (r < 0)
		wrong(verify, "list: %s", strerror(-r));
	for (size_t i = 0; i < count; i++) {
		if (!id_counts(verify, ids[i]))
			continue;
		counted++;
		if (!is_subvolume(subvolumes, ids[i]))
			wrong(verify, "list: %s is not there", ids[i]);
	}
	free(ids);
	close(subvolumes);
	if (r == 0 && counted != verify->layers)
		wrong(verify, "list: %zu layers, but %zu are visible", counted, verify->layers);
}

/* Count the recorded sizes that have no layer. */
static uint64_t quotas_count(const struct verify *verify)
{
	int subvolumes = openat(verify->home_fd, "subvolumes", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *stream = directory_open(verify->home_fd, "quotas");
	struct dirent *item;
	uint64_t count = 0;

	while (stream && (item = directory_next(stream)))
		count += !is_subvolume(subvolumes, item->d_name);
	if (stream)
		closedir(stream);
	close(subvolumes);
	return count;
}

/* Leave a limit without a layer behind, for the sweep to find. */
static void plant_quota(struct verify *verify)
{
	int fd = openat(verify->home_fd, "quotas/no-such-layer", O_WRONLY | O_CREAT | O_CLOEXEC,
			0644);

	if (fd < 0 || write(fd, "4096\n", 5) != 5)
		wrong(verify, "quotas/no-such-layer: cannot be made");
	if (fd >= 0)
		close(fd);
}

/* Check that nothing is left of any process; while others are at work nothing can be said. */
static void leftovers_check(struct verify *verify, const char *when)
{
	uint64_t records = 0, staging = staging_count(verify, &records);
	uint64_t trash = subvolumes_count(verify->home_fd, ".varve/trash", &records);

	if (verify->ignore)
		return;
	if (quotas_count(verify))
		wrong(verify, "%s: %llu recorded sizes without a layer", when,
		      (unsigned long long)quotas_count(verify));
	if (staging || trash || records)
		wrong(verify, "%s: %llu layers in staging, %llu in trash, %llu files", when,
		      (unsigned long long)staging, (unsigned long long)trash,
		      (unsigned long long)records);
}

/*
 * Sweep, and check the report against STAGING, TRASH and QUOTAS (what must have been found). Of a
 * layer with a size two things may lie in staging, so up to RECORDS more may be reported.
 */
static void sweep_check(struct verify *verify, uint64_t staging, uint64_t records, uint64_t trash,
			uint64_t quotas, const char *which)
{
	struct varve_sweep_report report = VARVE_SWEEP_REPORT_INIT;
	struct varve_failure failure;
	char text[2048];
	int r = varve_sweep_wait(verify->store, &report, &failure);

	if (r < 0 || report.failures)
		wrong(verify, "%s sweep: %s (%llu failures)", which,
		      varve_strerror(&failure, text, sizeof(text)),
		      (unsigned long long)report.failures);
	/* What others left and are at work on cannot be distinguished from outside. */
	if (!verify->ignore &&
	    (report.quota_files_removed != quotas || report.staging_removed < staging ||
	     report.staging_removed > staging + records || report.trash_removed != trash))
		wrong(verify,
		      "%s sweep: reports %llu staging, %llu trash, %llu quotas; expected %llu, %llu, %llu",
		      which, (unsigned long long)report.staging_removed,
		      (unsigned long long)report.trash_removed,
		      (unsigned long long)report.quota_files_removed, (unsigned long long)staging,
		      (unsigned long long)trash, (unsigned long long)quotas);
}

/* Check that the store can still do its work. */
static void works_check(struct verify *verify)
{
	struct varve_create_options options = VARVE_CREATE_OPTIONS_INIT;
	struct varve_layer_info info = VARVE_LAYER_INFO_INIT;
	bool exists = true;
	int r;

	options.parent = "base-1";
	r = varve_layer_create_wait(verify->store, "after-the-crash", &options, NULL);
	if (r == 0)
		r = varve_layer_info_wait(verify->store, "after-the-crash", &info, NULL);
	if (r == 0 && strcmp(info.parent, "base-1") != 0)
		wrong(verify, "after-the-crash: its parent is \"%s\"", info.parent);
	if (r == 0)
		r = varve_layer_remove_wait(verify->store, "after-the-crash", 0, NULL);
	if (r == 0)
		r = varve_layer_exists_wait(verify->store, "after-the-crash", &exists, NULL);
	if (r < 0 || exists)
		wrong(verify, "a layer cannot be created and removed: %s",
		      r < 0 ? strerror(-r) : "it is still there");
}

/* Remove all layers but the bases. */
static void purge(struct verify *verify)
{
	size_t count = 0;
	char **ids = NULL;

	if (varve_layer_list_wait(verify->store, &ids, &count, NULL) < 0)
		count = 0;
	for (size_t i = 0; i < count; i++) {
		int r = id_counts(verify, ids[i]) ? varve_layer_remove_wait(verify->store, ids[i],
									    VARVE_RELAXED, NULL)
						  : 0;

		if (r < 0)
			wrong(verify, "purge: %s: %s", ids[i], strerror(-r));
	}
	free(ids);
}

/* Open the store as VARVE_TEST_BACKEND says. */
static bool store_open(struct verify *verify)
{
	struct varve_config config = VARVE_CONFIG_INIT;
	const char *backend = getenv("VARVE_TEST_BACKEND");
	struct varve_failure failure;
	char text[2048];

	config.home = verify->home;
	config.flags = VARVE_OPEN_EXISTING | (verify->unswept ? VARVE_OPEN_NO_SWEEP : 0);
	if (backend && strcmp(backend, "threads") == 0)
		config.flags |= VARVE_OPEN_NO_URING;
	if (varve_open(&config, &verify->store, &failure) == 0)
		return true;
	wrong(verify, "%s", varve_strerror(&failure, text, sizeof(text)));
	return false;
}

/* Check the store: before the sweep, the sweep, after it, and once it is closed. */
static void store_check(struct verify *verify)
{
	uint64_t ignored = 0;

	verify->staging = staging_count(verify, &verify->records_staged);
	verify->trash = subvolumes_count(verify->home_fd, ".varve/trash", &ignored);
	verify->layers = layers_check(verify, false);
	plant_quota(verify);
	verify->quotas = quotas_count(verify);
	if (!store_open(verify))
		return;
	if (verify->unswept)
		sweep_check(verify, verify->staging, verify->records_staged, verify->trash,
			    verify->quotas, "the first");
	leftovers_check(verify, "after the first sweep");
	sweep_check(verify, 0, 0, 0, 0, "the second");
	verify->layers = layers_check(verify, true);
	records_check(verify);
	list_check(verify);
	works_check(verify);
	if (verify->purge)
		purge(verify);
	varve_close(verify->store);
	leftovers_check(verify, "after close");
	sentinels_check(verify);
}

/* Read the command line; returns false when it cannot be understood. */
static bool arguments_read(struct verify *verify, int argc, char **argv)
{
	enum { HOME = 256, RECORD, MODEL, BEFORE, AFTER, IGNORE, PURGE, UNSWEPT };
	static const struct option options[] = {
		{ "home", 1, NULL, HOME },   { "record", 1, NULL, RECORD },
		{ "model", 1, NULL, MODEL }, { "before", 1, NULL, BEFORE },
		{ "after", 1, NULL, AFTER }, { "ignore", 1, NULL, IGNORE },
		{ "purge", 0, NULL, PURGE }, { "unswept", 0, NULL, UNSWEPT },
		{ NULL, 0, NULL, 0 },
	};
	int option;

	while ((option = getopt_long(argc, argv, "", options, NULL)) >= 0) {
		switch (option) {
		case HOME:
			verify->home = optarg;
			break;
		case RECORD:
			if (verify->records_count == RECORDS_MAX)
				return false;
			verify->records[verify->records_count++] = optarg;
			break;
		case MODEL:
			verify->model.cut = strcmp(optarg, "cut") == 0;
			if (!verify->model.cut && strcmp(optarg, "kill") != 0)
				return false;
			break;
		case BEFORE:
			verify->model.before = strtoull(optarg, NULL, 0);
			break;
		case AFTER:
			verify->model.after = strtoull(optarg, NULL, 0);
			break;
		case IGNORE:
			verify->ignore = optarg;
			break;
		case PURGE:
			verify->purge = true;
			break;
		case UNSWEPT:
			verify->unswept = true;
			break;
		default:
			return false;
		}
	}
	return verify->home && optind == argc;
}

int main(int argc, char **argv)
{
	static struct verify verify = { .home_fd = -1,
					.model = { .before = UINT64_MAX, .after = UINT64_MAX } };

	if (!arguments_read(&verify, argc, argv)) {
		fprintf(stderr,
			"usage: verify --home HOME --record FILE ... [--model kill|cut] [--before NS] [--after NS] "
			"[--ignore PREFIX] [--purge] [--unswept]\n");
		return 2;
	}
	for (size_t i = 0; i < verify.records_count; i++)
		if (!model_read(&verify.model, verify.records[i]))
			return 2;
	verify.home_fd = open(verify.home, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (verify.home_fd < 0) {
		perror(verify.home);
		return 2;
	}
	/*
	 * A limit is in force at once, and in the tree, where it is read from, with the next
	 * commit.
	 */
	syncfs(verify.home_fd);
	store_check(&verify);
	printf("verify: %zu layers of %zu ids, %llu in staging and %llu in trash before the sweep: %zu wrong\n",
	       verify.layers, verify.model.subjects, (unsigned long long)verify.staging,
	       (unsigned long long)verify.trash, verify.failures);
	close(verify.home_fd);
	return verify.failures ? 1 : 0;
}
