/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Before it places the records of a layer, a create looks whether the layer is there already:
 * another process may have made it meanwhile. A look that fails is no answer: the other layer keeps
 * its labels.
 *
 * varve-test: backend=both
 */
#include "quota.h"

#include <fcntl.h>
#include <linux/btrfs.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* What the next look for the layer does: first another store makes it, then a look fails. */
enum { NOTHING, OTHER_IS_FASTER, FAILS };
static _Atomic int next_look;

/* The other process's store. */
static struct varve_store *other;

/* Make the layer with the label LABEL in STORE. */
static int make(struct varve_store *store, const char *label, struct varve_failure *failure)
{
	const char *labels[] = { label, NULL };
	struct varve_create_options options = VARVE_CREATE_OPTIONS_INIT;

	options.labels = labels;
	return varve_layer_create_wait(store, "layer", &options, failure);
}

/* This stands for the C library's. */
__attribute__((visibility("default"))) int fstatat(int fd, const char *path, struct stat *stat,
						   int flags)
{
	int r = (int)syscall(SYS_newfstatat, fd, path, stat, flags), error = errno;

	if (strcmp(path, "layer"))
		return r;
	if (next_look == OTHER_IS_FASTER) {
		next_look = NOTHING;
		test_error(make(other, "by=other", NULL), 0);
		next_look = FAILS;
	} else if (atomic_compare_exchange_strong(&next_look, &(int){ FAILS }, NOTHING)) {
		errno = EIO;
		return -1;
	}
	errno = error;
	return r;
}

START_TEST(test_failed_look)
{
	char *home = test_home();
	struct varve_store *store = test_open(home);
	struct varve_layer_record *record;
	struct varve_failure failure;

	other = test_open(home);
	next_look = OTHER_IS_FASTER;
	test_error(make(store, "by=us", &failure), -EIO);
	ck_assert_int_eq(next_look, NOTHING);
	test_ok(varve_layer_record_wait(store, "layer", &record, &failure), &failure);
	ck_assert_uint_eq(record->labels_count, 1);
	ck_assert_str_eq(record->labels[0], "by=other");
	free(record);
	ck_assert_uint_eq(test_leftovers(home), 0);
	test_close(other);
	test_close(store);
}
END_TEST

/* The next look for a limit fails; where the layer must not be when the snapshot is made. */
static _Atomic bool limit_fails;
static char *unseen;
/* The next search of a tree fails with this. */
static _Atomic int search_error;

/* These stand for the C library's. */
__attribute__((visibility("default"))) int openat(int fd, const char *path, int flags, ...)
{
	va_list arguments;
	va_start(arguments, flags);
	mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(arguments, mode_t) : 0;
	va_end(arguments);
	if (!strncmp(path, "qgroups/0_", 10) && atomic_exchange(&limit_fails, false)) {
		errno = EIO;
		return -1;
	}
	return (int)syscall(SYS_openat, fd, path, flags, mode);
}

__attribute__((visibility("default"))) int ioctl(int fd, unsigned long request, ...)
{
	va_list arguments;
	va_start(arguments, request);
	void *argument = va_arg(arguments, void *);
	va_end(arguments);
	if (request == BTRFS_IOC_TREE_SEARCH_V2 && search_error) {
		errno = atomic_exchange(&search_error, 0);
		return -1;
	}
	int r = (int)syscall(SYS_ioctl, fd, request, argument);
	if (request == BTRFS_IOC_SNAP_CREATE_V2 && unseen)
		ck_assert(!test_exists(unseen));
	return r;
}

START_TEST(test_limit_of_parent)
{
	/* A snapshot that is to have no limit is never seen with that of its parent. */
	char *home = test_home();
	struct varve_store *store = open_in_mode(home, VARVE_QUOTA_FULL);

	test_error(create_with(store, "parent", NULL, "size=8m", 0), 0);
	unseen = test_layer(home, "layer");
	limit_fails = true;
	test_error(create_with(store, "layer", "parent", NULL, 0), 0);
	unseen = NULL;
	ck_assert(!limit_fails);
	assert_limit(store, home, "layer", 0);
	test_close(store);
}
END_TEST

START_TEST(test_privilege)
{
	/* Only a refusal tells that the caller has no privilege: another error ends the open. */
	static const int errors[] = { EIO, ENOMEM, EPERM, EACCES };
	char *home = test_home();
	struct varve_config config = test_config(home);
	struct varve_status_entry *entries;
	struct varve_failure failure;
	struct varve_store *store;
	size_t count;

	test_close(test_open(home));
	for (size_t i = 0; i < TEST_COUNT(errors); i++) {
		bool refused = errors[i] == EPERM || errors[i] == EACCES;

		search_error = errors[i];
		test_error(varve_open(&config, &store, &failure), refused ? 0 : -errors[i]);
		ck_assert_int_eq(search_error, 0);
		if (!refused) {
			ck_assert_str_eq(failure.call, "BTRFS_IOC_TREE_SEARCH_V2");
			continue;
		}
		test_ok(varve_status_wait(store, &entries, &count, &failure), &failure);
		while (count && strcmp(entries[count - 1].key, "privileged"))
			count--;
		ck_assert_str_eq(entries[count - 1].value, "no");
		free(entries);
		test_close(store);
	}
}
END_TEST

TEST_MAIN("looks", test_failed_look, test_limit_of_parent, test_privilege)
