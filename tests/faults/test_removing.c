/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A check and a sweep, of this store and of another, while a removal is between two of its calls:
 * the layer is destroyed and its records are not yet removed, or it is in the trash, from where a
 * failure would put it back. The check finds nothing, and the sweep leaves the size. A create of
 * its name by another store waits where it would take or replace the records.
 *
 * varve-test: backend=both
 */
#include "quota.h"

#include <btrfsutil.h>
#include <dlfcn.h>
#include <fcntl.h>
#include <linux/btrfs.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <unistd.h>

/* The stores that look; where the home is. */
static struct varve_store *stores[2];
static char *looked_home;
/* The next call after which they look: a destroy, a rename into the trash; it fails afterwards. */
static _Atomic bool after_destroy, after_rename, destroy_fails;
/* A sweep is asked for, too; how often they looked. */
static bool sweeps;
static unsigned looks;
/* The store and the removal that is cancelled once the root of the layer is unlinked. */
static struct varve_store *cancelled_store;
static varve_request cancelled;
static _Atomic bool after_unlink;

/* Another store's create of the layer, which begins where the stores would look; it waits. */
static void (*creates)(struct varve_store *store, struct test_record *record);
static struct test_record created;
static atomic_uint waits;

/* Take a line of the trace of the stores that look. */
static void take_line(void *log_data, const char *line)
{
	if (strstr(line, "another process holds the lock"))
		atomic_fetch_add(&waits, 1);
}

/* Let the stores look, or one of them begin to create the layer. */
static void look(void)
{
	looks++;
	if (creates) {
		creates(stores[1], &created);
		while (!created.calls && !atomic_load(&waits))
			ck_assert_int_ge(varve_wait(stores[1], 1), 0);
		return;
	}
	for (size_t i = 0; i < TEST_COUNT(stores); i++) {
		struct varve_finding *findings;
		struct varve_sweep_report report = VARVE_SWEEP_REPORT_INIT;
		struct varve_failure failure;
		size_t count;
		test_ok(varve_check_wait(stores[i], &findings, &count, &failure), &failure);
		ck_assert_msg(!count, "%s: %s", findings[0].path, findings[0].detail);
		free(findings);
		if (!sweeps)
			continue;
		test_ok(varve_sweep_wait(stores[i], &report, &failure), &failure);
		ck_assert_uint_eq(report.quota_files_removed, 0);
		ck_assert_uint_eq(report.records_removed, 0);
		ck_assert(test_exists(test_path("%s/quotas/layer", looked_home)));
	}
}

/* These stand for the C library's. */
__attribute__((visibility("default"))) int ioctl(int fd, unsigned long request, ...)
{
	va_list arguments;
	va_start(arguments, request);
	void *argument = va_arg(arguments, void *);
	va_end(arguments);
	if (request == BTRFS_IOC_SNAP_DESTROY_V2 && atomic_exchange(&destroy_fails, false)) {
		errno = EIO;
		return -1;
	}
	return (int)syscall(SYS_ioctl, fd, request, argument);
}

/* This stands for libbtrfsutil's. */
__attribute__((visibility("default"))) enum btrfs_util_error btrfs_util_delete_subvolume_fd(
	int fd, const char *name, int flags)
{
	enum btrfs_util_error (*real)(int, const char *, int);
	void *symbol = dlsym(RTLD_NEXT, "btrfs_util_delete_subvolume_fd");
	memcpy(&real, &symbol, sizeof(real));
	enum btrfs_util_error r = real(fd, name, flags);
	int error = errno;
	if (r == BTRFS_UTIL_OK && !strcmp(name, "layer") && atomic_exchange(&after_destroy, false))
		look();
	errno = error;
	return r;
}

__attribute__((visibility("default"))) int renameat2(int from_fd, const char *from, int to_fd,
						     const char *to, unsigned flags)
{
	int r = (int)syscall(SYS_renameat2, from_fd, from, to_fd, to, flags), error = errno;
	if (!strcmp(from, "layer") && !r && atomic_exchange(&after_rename, false))
		look();
	errno = error;
	return r;
}

/* What an owner empties is in the trash, OWNER.NUMBER; nothing in it has a dot in its name. */
__attribute__((visibility("default"))) int unlinkat(int dir_fd, const char *name, int flags)
{
	int r = (int)syscall(SYS_unlinkat, dir_fd, name, flags), error = errno;
	if (!r && flags & AT_REMOVEDIR && strchr(name, '.') &&
	    atomic_exchange(&after_unlink, false))
		test_error(varve_cancel(cancelled_store, cancelled), 0);
	errno = error;
	return r;
}

/* Make a home with a layer that has a size and a label, and a store that looks from outside. */
static struct varve_store *begin(bool nested)
{
	const char *const labels[] = { "a=1", NULL }, *const sizes[] = { "size=8m", NULL };
	struct varve_create_options options = VARVE_CREATE_OPTIONS_INIT;
	struct varve_failure failure;
	looked_home = test_home();
	stores[0] = open_in_mode(looked_home, VARVE_QUOTA_FULL);
	struct varve_config config = test_config(looked_home);
	config.debug = "op";
	config.log = take_line;
	stores[1] = test_open_config(&config);
	options.labels = labels;
	options.storage_options = sizes;
	test_ok(varve_layer_create_wait(stores[0], "layer", &options, &failure), &failure);
	ck_assert(test_exists(test_path("%s/quotas/layer", looked_home)));
	if (nested)
		test_subvolume_create(test_path("%s/inner", test_layer(looked_home, "layer")));
	looks = 0;
	return stores[0];
}

/* Mount the file system of the stores, which are open, again with FLAGS. */
static void remount(unsigned long flags)
{
	ck_assert_msg(!mount(NULL, test_mount(), NULL, MS_REMOUNT | flags, NULL), "remount: %s",
		      strerror(errno));
}

static void end(unsigned expected)
{
	ck_assert_uint_eq(looks, expected);
	test_close(stores[1]);
	test_close(stores[0]);
}

START_TEST(test_destroyed)
{
	struct varve_store *store = begin(false);
	after_destroy = true;
	test_remove_layer(store, "layer");
	ck_assert(!test_exists(test_path("%s/quotas/layer", looked_home)));
	ck_assert(!test_exists(test_path("%s/.varve/layers/layer", looked_home)));
	/* What is left without a removal is found, and swept. */
	record_size(looked_home, "layer", "8388608");
	struct varve_sweep_report report = VARVE_SWEEP_REPORT_INIT;
	struct varve_finding *findings;
	size_t count;
	test_error(varve_check_wait(stores[1], &findings, &count, NULL), 0);
	ck_assert_uint_eq(count, 1);
	free(findings);
	test_error(varve_sweep_wait(stores[1], &report, NULL), 0);
	ck_assert_uint_eq(report.quota_files_removed, 1);
	/* What has the mark stays open, but not for writing. */
	remount(MS_RDONLY);
	remount(0);
	end(1);
}
END_TEST

START_TEST(test_in_trash)
{
	struct varve_store *store = begin(true);
	after_rename = sweeps = true;
	test_remove_layer(store, "layer");
	sweeps = false;
	ck_assert(!test_exists(test_path("%s/quotas/layer", looked_home)));
	end(1);
}
END_TEST

START_TEST(test_put_back)
{
	struct varve_store *store = begin(true);
	after_rename = sweeps = destroy_fails = true;
	test_error(varve_layer_remove_wait(store, "layer", 0, NULL), -EIO);
	sweeps = false;
	ck_assert(test_layer_exists(looked_home, "layer"));
	ck_assert(test_exists(test_path("%s/quotas/layer", looked_home)));
	/* The removal is over: its mark is gone. */
	test_subvolume_destroy(test_path("%s/inner", test_layer(looked_home, "layer")));
	test_subvolume_destroy(test_layer(looked_home, "layer"));
	struct varve_sweep_report report = VARVE_SWEEP_REPORT_INIT;
	test_error(varve_sweep_wait(stores[1], &report, NULL), 0);
	ck_assert_uint_eq(report.quota_files_removed, 1);
	ck_assert_uint_eq(report.records_removed, 1);
	end(1);
}
END_TEST

/* A create without records that fails once it has begun: it would take the size that was left. */
static void create_from_garbage(struct varve_store *store, struct test_record *record)
{
	struct varve_create_options options = VARVE_CREATE_OPTIONS_INIT;
	struct varve_apply_options apply = VARVE_APPLY_OPTIONS_INIT;
	char garbage[1024];
	int fd = memfd_create("garbage", MFD_CLOEXEC);
	memset(garbage, 'x', sizeof(garbage));
	ck_assert_int_eq(pwrite(fd, garbage, sizeof(garbage), 0), sizeof(garbage));
	options.apply = &apply;
	options.apply_fd = fd;
	test_error(varve_layer_create(store, "layer", &options, test_record, record, NULL), 0);
	close(fd);
}

/* A create with records of its own, which would replace those that were left. */
static void create_recorded(struct varve_store *store, struct test_record *record)
{
	const char *const labels[] = { "b=2", NULL }, *const sizes[] = { "size=4m", NULL };
	struct varve_create_options options = VARVE_CREATE_OPTIONS_INIT;
	options.labels = labels;
	options.storage_options = sizes;
	test_error(varve_layer_create(store, "layer", &options, test_record, record, NULL), 0);
}

/* Assert that the layer has LABEL. */
static void assert_label(struct varve_store *store, const char *label)
{
	const char *const wanted[] = { label, NULL };
	struct varve_find_options options = VARVE_FIND_OPTIONS_INIT;
	char **ids;
	size_t count;
	options.labels = wanted;
	test_error(varve_layer_find_wait(store, &options, &ids, NULL, &count, NULL), 0);
	ck_assert_uint_eq(count, 1);
	free(ids);
}

/* What a failed removal puts back has its records, though others create a layer of its name. */
static void put_back_beside(void (*create)(struct varve_store *store, struct test_record *record))
{
	struct varve_store *store = begin(true);
	creates = create;
	memset(&created, 0, sizeof(created));
	atomic_store(&waits, 0);
	after_rename = destroy_fails = true;
	test_error(varve_layer_remove_wait(store, "layer", 0, NULL), -EIO);
	creates = NULL;
	test_error(test_await(stores[1], &created), -EEXIST);
	ck_assert(test_layer_exists(looked_home, "layer"));
	ck_assert_str_eq(test_read(test_path("%s/quotas/layer", looked_home)), "8388608");
	assert_label(store, "a=1");
	end(1);
}

START_TEST(test_put_back_beside_failure)
{
	put_back_beside(create_from_garbage);
}
END_TEST

START_TEST(test_put_back_beside_create)
{
	put_back_beside(create_recorded);
}
END_TEST

/* A removal that succeeds lets the create go on, which has its own records. */
START_TEST(test_create_waits)
{
	struct varve_store *store = begin(true);
	creates = create_recorded;
	memset(&created, 0, sizeof(created));
	atomic_store(&waits, 0);
	after_rename = true;
	test_remove_layer(store, "layer");
	creates = NULL;
	test_error(test_await(stores[1], &created), 0);
	ck_assert_str_eq(test_read(test_path("%s/quotas/layer", looked_home)), "4194304");
	assert_label(store, "b=2");
	end(1);
}
END_TEST

static int cancel_emptied(void *home)
{
	const char *const labels[] = { "a=1", NULL };
	struct varve_create_options options = VARVE_CREATE_OPTIONS_INIT;
	struct test_record record = { 0 };
	struct varve_store *store = test_open(home);
	options.labels = labels;
	test_error(varve_layer_create_wait(store, "layer", &options, NULL), 0);
	test_mkdir(test_path("%s/directory", test_layer(home, "layer")));
	cancelled_store = store;
	after_unlink = true;
	test_error(varve_layer_remove(store, "layer", 0, test_record, &record, &cancelled), 0);
	test_error(test_await(store, &record), 0);
	ck_assert(!after_unlink);
	ck_assert_int_eq(test_layers(home), 0);
	ck_assert_int_eq(test_entries(test_path("%s/.varve/trash", (char *)home)), 0);
	ck_assert(!test_exists(test_path("%s/.varve/layers/layer", (char *)home)));
	test_close(store);
	return 0;
}

/* A cancel that comes when the owner has removed all of the layer comes too late. */
START_TEST(test_cancelled_late)
{
	test_as_nobody_denied(cancel_emptied);
}
END_TEST

TEST_MAIN("removing", test_destroyed, test_in_trash, test_put_back, test_put_back_beside_failure,
	  test_put_back_beside_create, test_create_waits, test_cancelled_late)
