/* SPDX-License-Identifier: Apache-2.0 */
/* varve-test: kernel-says=deleting.default.subvolume */
/*
 * varve_sweep(), and the sweep at open: what crashed processes left goes, what living ones work on
 * stays.
 */
#include "test.h"

#include <fcntl.h>
#include <linux/btrfs.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

/* Put a subvolume with another one inside into the trash of HOME. */
static void litter(const char *home, const char *name)
{
	char *trash = test_path("%s/.varve/trash", home);
	mkdir(test_path("%s/.varve", home), 0700);
	mkdir(trash, 0700);
	test_subvolume_create(test_path("%s/%s", trash, name));
	test_subvolume_create(test_path("%s/%s/inner", trash, name));
	test_write(test_path("%s/%s/inner/file", trash, name), "x");
}

/* Record a size limit for a layer. */
static void write_quota(const char *home, const char *id)
{
	mkdir(test_path("%s/quotas", home), 0700);
	test_write(test_path("%s/quotas/%s", home, id), "1048576");
}

/* Sweep, and assert what it reports. */
static void assert_sweep(struct varve_store *store, uint64_t trash, uint64_t quota_files)
{
	struct varve_sweep_report report = { sizeof(report), 77, 77, 77, 77, 77, 77 };
	struct varve_failure failure;
	test_ok(varve_sweep_wait(store, &report, &failure), &failure);
	ck_assert_uint_eq(report.trash_removed, trash);
	ck_assert_uint_eq(report.quota_files_removed, quota_files);
	ck_assert_uint_eq(report.failures, 0);
	ck_assert_uint_eq(report.quota_groups_removed, 0);
}

START_TEST(test_nothing)
{
	char *home = test_home();
	struct varve_store *store = test_open(home);
	struct test_record record = { 0 };
	test_create(store, "layer", NULL);
	test_error(varve_sweep(store, test_record, &record, NULL), 0);
	test_error(test_await(store, &record), 0);
	ck_assert_int_eq(record.operation, VARVE_SWEEP);
	ck_assert(record.has_sweep);
	ck_assert_uint_eq(record.sweep.staging_removed, 0);
	ck_assert_uint_eq(record.sweep.trash_removed, 0);
	ck_assert_uint_eq(record.sweep.quota_files_removed, 0);
	ck_assert_uint_eq(record.sweep.failures, 0);
	ck_assert(test_layer_exists(home, "layer"));
	test_close(store);
}
END_TEST

START_TEST(test_trash_and_quotas)
{
	char *home = test_home();
	struct varve_store *store = test_open(home);
	test_create(store, "layer", NULL);
	test_subvolume_create(test_path("%s/inner", test_layer(home, "layer")));
	write_quota(home, "layer");
	write_quota(home, "ghost");
	write_quota(home, "other-ghost");
	litter(home, "one");
	litter(home, "two");
	assert_sweep(store, 2, 2);
	assert_sweep(store, 0, 0);
	ck_assert_uint_eq(test_leftovers(home), 0);
	ck_assert(test_exists(test_path("%s/quotas/layer", home)));
	ck_assert(!test_exists(test_path("%s/quotas/ghost", home)));
	ck_assert(test_is_subvolume(test_path("%s/inner", test_layer(home, "layer"))));
	test_close(store);
}
END_TEST

START_TEST(test_at_open)
{
	char *home = test_home();
	struct varve_config config = test_config(home);
	test_close(test_open(home));
	litter(home, "one");
	write_quota(home, "ghost");
	config.flags |= VARVE_OPEN_NO_SWEEP;
	test_close(test_open_config(&config));
	ck_assert_uint_eq(test_leftovers(home), 2);
	ck_assert(test_exists(test_path("%s/quotas/ghost", home)));
	test_close(test_open(home));
	ck_assert_uint_eq(test_leftovers(home), 0);
	ck_assert(!test_exists(test_path("%s/quotas/ghost", home)));
}
END_TEST

START_TEST(test_goes_on_after_failure)
{
	char *home = test_home();
	struct varve_store *store = test_open(home);
	struct test_record record = { 0 };
	struct varve_sweep_report report = VARVE_SWEEP_REPORT_INIT;
	struct varve_failure failure = { 0 };
	litter(home, "a");
	litter(home, "stuck");
	litter(home, "z");
	test_subvolume_set_default(test_path("%s/.varve/trash/stuck", home));
	test_error(varve_sweep(store, test_record, &record, NULL), 0);
	test_error(test_await(store, &record), -EPERM);
	ck_assert(record.has_failure);
	ck_assert(record.has_sweep);
	ck_assert_uint_eq(record.sweep.trash_removed, 2);
	ck_assert_uint_eq(record.sweep.failures, 1);
	/* The blocking twin reports also when it fails. */
	test_error(varve_sweep_wait(store, &report, &failure), -EPERM);
	ck_assert_uint_eq(report.failures, 1);
	ck_assert_uint_eq(report.trash_removed, 0);
	/* An open does not fail for it. */
	test_close(test_open(home));
	test_subvolume_set_default(test_mount());
	assert_sweep(store, 1, 0);
	ck_assert_uint_eq(test_leftovers(home), 0);
	test_close(store);
}
END_TEST

/*
 * Sweep a home in which the owner of some leftovers cannot be looked at: they stay, and the failure
 * names the first.
 */
static int sweep_unseen(void *home)
{
	struct varve_config config = test_config(home);
	config.flags |= VARVE_OPEN_NO_SWEEP;
	struct varve_store *store = test_open_config(&config);
	struct varve_sweep_report report = VARVE_SWEEP_REPORT_INIT;
	struct varve_failure failure = { 0 };
	litter(home, "1-0123456789abcdef.7");
	litter(home, "gone.7");
	test_error(varve_sweep_wait(store, &report, &failure), -EACCES);
	ck_assert_str_eq(failure.path,
			 test_path("%s/.varve/trash/1-0123456789abcdef.7", (char *)home));
	ck_assert_msg(strstr(failure.detail, ".varve/staging/1-0123456789abcdef"), "%s",
		      failure.detail);
	ck_assert_uint_eq(report.trash_removed, 1);
	/* The one in the trash, and the directory in staging. */
	ck_assert_uint_eq(report.failures, 2);
	/* A check finds no more than that, either. */
	struct varve_finding *findings;
	size_t count, unreadable = 0;
	test_ok(varve_check_wait(store, &findings, &count, &failure), &failure);
	for (size_t i = 0; i < count; i++)
		unreadable += !strcmp(findings[i].kind, "unreadable");
	ck_assert_uint_eq(unreadable, 2);
	free(findings);
	test_close(store);
	return 0;
}

START_TEST(test_unseen_owner)
{
	char *home = test_home_of_nobody();
	struct varve_config config = test_config(home);
	config.flags |= VARVE_OPEN_SHARED_HOME;
	config.root_uid = config.root_gid = TEST_NOBODY;
	test_close(test_open_config(&config));
	mkdir(test_path("%s/.varve", home), 0700);
	mkdir(test_path("%s/.varve/staging", home), 0700);
	ck_assert_int_eq(chown(test_path("%s/.varve", home), TEST_NOBODY, TEST_NOBODY), 0);
	ck_assert_int_eq(chown(test_path("%s/.varve/staging", home), TEST_NOBODY, TEST_NOBODY), 0);
	test_mkdir(test_path("%s/.varve/staging/1-0123456789abcdef", home));
	ck_assert_int_eq(chmod(test_path("%s/.varve/staging/1-0123456789abcdef", home), 0700), 0);
	test_as_nobody(sweep_unseen, home);
}
END_TEST

/*
 * Mount the directory OTHER at POINT, and see that a sweep of STORE fails for it and unmounts
 * nothing.
 */
static void assert_mounted(struct varve_store *store, const char *other, const char *point)
{
	struct varve_sweep_report report = VARVE_SWEEP_REPORT_INIT;
	struct varve_failure failure = { 0 };
	ck_assert_int_eq(mount(other, point, NULL, MS_BIND, NULL), 0);
	test_error(varve_sweep_wait(store, &report, &failure), -EBUSY);
	ck_assert_msg(strstr(failure.detail, point), "%s: %s", point, failure.detail);
	ck_assert_uint_ge(report.failures, 1);
	ck_assert(test_exists(test_path("%s/file", point)));
	ck_assert_int_eq(umount(point), 0);
	ck_assert(test_exists(test_path("%s/file", other)));
}

/*
 * What is mounted in a leftover keeps it, is named, and stays mounted: in whichever mount of the
 * file system that is.
 */
START_TEST(test_mounted)
{
	char *home = test_home(), *other = test_home(), *elsewhere = test_home();
	ck_assert_int_eq(unshare(CLONE_NEWNS), 0);
	ck_assert_int_eq(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL), 0);
	struct varve_store *store = test_open(home);
	char *left = test_path("%s/.varve/trash/left", home);
	char *plain = test_path("%s/.varve/staging/1-0123456789abcdef", home),
	     *odd = test_path("%s/o\rd\fd", other);
	litter(home, "left");
	test_mkdir(test_path("%s/inner/in side", left));
	test_mkdir(other);
	test_write(test_path("%s/file", other), "kept");
	test_mkdir(elsewhere);
	test_mkdir(odd);
	test_write(test_path("%s/file", odd), "kept");
	assert_mounted(store, other, test_path("%s/inner/in side", left));
	/* A volume's name may hold white space that /proc/self/mountinfo has as it is. */
	assert_mounted(store, odd, test_path("%s/inner", left));
	assert_mounted(store, other, test_path("%s/inner", left));
	assert_mounted(store, other, left);
	/* As the root of a container that is mounted elsewhere, with a volume in it. */
	ck_assert_int_eq(mount(left, elsewhere, NULL, MS_BIND, NULL), 0);
	assert_mounted(store, other, test_path("%s/inner/in side", elsewhere));
	/* That mount alone keeps nothing, nor does one whose name begins alike. */
	litter(home, "left-over");
	assert_mounted(store, other, test_path("%s-over", left));
	ck_assert(!test_exists(left));
	ck_assert_int_eq(umount2(elsewhere, MNT_DETACH), 0);
	/* What is mounted on a directory of the store's own is no leftover. */
	mkdir(test_path("%s/.varve/staging", home), 0700);
	test_mkdir(plain);
	test_mkdir(test_path("%s/0", plain));
	assert_mounted(store, other, test_path("%s/0", plain));
	assert_sweep(store, 0, 0);
	ck_assert_uint_eq(test_leftovers(home), 0);
	test_close(store);
}
END_TEST

/* Create and remove layers of HOME for ever. */
static int churn(void *home)
{
	struct varve_store *store = test_open_relaxed(home);
	struct varve_create_options options = VARVE_CREATE_OPTIONS_INIT;
	options.parent = "base";
	for (unsigned round = 0;; round++) {
		struct test_record *records = test_alloc(32 * sizeof(*records));
		for (int i = 0; i < 32; i++)
			test_error(varve_layer_create(store,
						      test_path("%d-%u-%d", getpid(), round, i),
						      &options, test_record, &records[i], NULL),
				   0);
		test_await_all(store, records, 32);
		for (int i = 0; i < 32; i++)
			if (records[i].error)
				return 1;
	}
}

START_TEST(test_after_kill)
{
	/* Killed at random moments: whole layers and sweepable leftovers, nothing else. */
	char *home = test_home();
	struct varve_config config = test_config(home);
	config.flags |= VARVE_OPEN_NO_SWEEP;
	struct varve_store *store = test_open(home);
	uint64_t swept = 0;
	test_create(store, "base", NULL);
	test_write(test_path("%s/mark", test_layer(home, "base")), "whole");
	test_close(store);
	for (int round = 0; round < 8; round++) {
		int layers = test_layers(home), pid = test_child_endless(churn, home);
		/* Let it get to work, a little further each time. */
		while (test_layers(home) < layers + 20 * round + 1)
			ck_assert_int_eq(kill(pid, 0), 0);
		ck_assert_int_eq(test_child_kill(pid), 128 + SIGKILL);
		store = test_open_config(&config);
		char **ids;
		size_t count;
		test_error(varve_layer_list_wait(store, &ids, &count, NULL), 0);
		for (size_t i = 0; i < count; i++)
			ck_assert_str_eq(test_read(test_path("%s/mark", test_layer(home, ids[i]))),
					 "whole");
		free(ids);
		struct varve_sweep_report report = VARVE_SWEEP_REPORT_INIT;
		struct varve_failure failure;
		unsigned leftovers = test_leftovers(home);
		test_ok(varve_sweep_wait(store, &report, &failure), &failure);
		ck_assert_uint_eq(report.staging_removed + report.trash_removed, leftovers);
		ck_assert_uint_eq(test_leftovers(home), 0);
		swept += leftovers;
		test_ok(varve_sweep_wait(store, &report, &failure), &failure);
		ck_assert_uint_eq(report.staging_removed, 0);
		test_close(store);
	}
	ck_assert_msg(swept > 0, "no kill left anything: this test tests nothing");
}
END_TEST

START_TEST(test_living_are_left_alone)
{
	if (!test_child_may_start_threads())
		return;
	char *home = test_home();
	struct varve_store *store = test_open(home);
	test_create(store, "base", NULL);
	int pid = test_child_endless(churn, home), layers;
	while ((layers = test_layers(home)) < 500) {
		struct varve_sweep_report report = VARVE_SWEEP_REPORT_INIT;
		struct varve_failure failure;
		test_ok(varve_sweep_wait(store, &report, &failure), &failure);
		ck_assert_uint_eq(report.staging_removed, 0);
		ck_assert_msg(kill(pid, 0) == 0, "the other process has failed");
	}
	/* Still alive: none of its creates has failed. */
	ck_assert_int_eq(test_child_kill(pid), 128 + SIGKILL);
	test_close(store);
}
END_TEST

START_TEST(test_own_are_left_alone)
{
	char *home = test_home();
	struct varve_store *store = test_open(home);
	struct varve_create_options options = VARVE_CREATE_OPTIONS_INIT;
	struct test_record records[200] = { 0 }, sweeps[200] = { 0 };
	test_create(store, "base", NULL);
	options.parent = "base";
	for (int i = 0; i < 200; i++) {
		test_error(varve_layer_create(store, test_path("%d", i), &options, test_record,
					      &records[i], NULL),
			   0);
		if (i % 20 == 0)
			test_error(varve_sweep(store, test_record, &sweeps[i], NULL), 0);
	}
	test_await_all(store, records, 200);
	for (int i = 0; i < 200; i++) {
		test_error(records[i].error, 0);
		if (i % 20 == 0)
			test_error(test_await(store, &sweeps[i]), 0);
	}
	ck_assert_int_eq(test_layers(home), 201);
	test_close(store);
}
END_TEST

START_TEST(test_hostile_trash)
{
	/* Plain files, directories and links in the trash lead nowhere. */
	char *home = test_home(), *outside = test_home();
	struct varve_store *store = test_open(home);
	struct varve_failure failure = { 0 };
	test_mkdir(outside);
	test_write(test_path("%s/precious", outside), "x");
	litter(home, "one");
	ck_assert_int_eq(symlink(outside, test_path("%s/.varve/trash/link", home)), 0);
	ck_assert_int_eq(symlink(outside, test_path("%s/.varve/trash/one/link", home)), 0);
	test_mkdir(test_path("%s/.varve/trash/directory", home));
	test_write(test_path("%s/.varve/trash/file", home), "x");
	varve_sweep_wait(store, NULL, &failure);
	ck_assert(test_exists(test_path("%s/precious", outside)));
	ck_assert_uint_eq(test_leftovers(home), 0);
	test_close(store);
}
END_TEST

TEST_MAIN("sweep", test_nothing, test_trash_and_quotas, test_mounted, test_at_open,
	  test_goes_on_after_failure, test_unseen_owner, test_after_kill,
	  test_living_are_left_alone, test_own_are_left_alone, test_hostile_trash)
