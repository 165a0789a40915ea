/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Another process takes a layer away between the call that opens it and the one that proves what it
 * is, as a removal does when it moves it to the trash: then there is no such layer, and no request
 * reports that it is no layer.
 */
#include <fcntl.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "engine/btrfs/abi.h"
#include "test.h"

/* What the other process renames, and to what; NULL: nothing. Once. */
static _Atomic(const char *) from;
static const char *to;

/* In the place of libc's. */
int ioctl(int fd, unsigned long request, ...)
{
	va_list arguments;
	va_start(arguments, request);
	void *argument = va_arg(arguments, void *);
	va_end(arguments);
	const char *layer = request == BTRFS_IOC_GET_SUBVOL_INFO ? atomic_exchange(&from, NULL)
								 : NULL;
	if (layer)
		ck_assert_int_eq(rename(layer, to), 0);
	return (int)syscall(SYS_ioctl, fd, request, argument);
}

static int run_usage(struct varve_store *store, struct varve_failure *failure)
{
	struct varve_layer_usage usage = VARVE_LAYER_USAGE_INIT;
	return varve_layer_usage_wait(store, "layer", 0, &usage, failure);
}

static int run_chown(struct varve_store *store, struct varve_failure *failure)
{
	static const struct varve_id_map map = { 0, 100000, 65536 };
	struct varve_chown_options options = VARVE_CHOWN_OPTIONS_INIT;
	options.uid_to = &map;
	options.uid_to_count = 1;
	return varve_layer_chown_wait(store, "layer", &options, failure);
}

static int run_open(struct varve_store *store, struct varve_failure *failure)
{
	int fd = -1, r = varve_layer_open_wait(store, "layer", 0, &fd, failure);
	if (!r)
		close(fd);
	return r;
}

static int run_info(struct varve_store *store, struct varve_failure *failure)
{
	struct varve_layer_info info = VARVE_LAYER_INFO_INIT;
	return varve_layer_info_wait(store, "layer", &info, failure);
}

static int run_changes(struct varve_store *store, struct varve_failure *failure)
{
	struct varve_change *changes = NULL;
	size_t count;
	int r = varve_layer_changes_wait(store, "layer", NULL, &changes, &count, failure);
	free(changes);
	return r;
}

static int run_diff(struct varve_store *store, struct varve_failure *failure)
{
	int fd = memfd_create("archive", MFD_CLOEXEC),
	    r = varve_layer_diff_wait(store, "layer", NULL, fd, NULL, NULL, failure);
	close(fd);
	return r;
}

static int run_apply(struct varve_store *store, struct varve_failure *failure)
{
	int fd = open("/dev/null", O_RDONLY | O_CLOEXEC),
	    r = varve_layer_apply_wait(store, "layer", NULL, fd, NULL, NULL, failure);
	close(fd);
	return r;
}

static int run_snapshot(struct varve_store *store, struct varve_failure *failure)
{
	struct varve_create_options options = VARVE_CREATE_OPTIONS_INIT;
	options.parent = "layer";
	return varve_layer_create_wait(store, "other", &options, failure);
}

static int run_freeze(struct varve_store *store, struct varve_failure *failure)
{
	return varve_layer_freeze_wait(store, "layer", 0, failure);
}

/* It has something nested, and so is opened. */
static int run_remove(struct varve_store *store, struct varve_failure *failure)
{
	return varve_layer_remove_wait(store, "layer", 0, failure);
}

static const struct {
	const char *name;
	int (*run)(struct varve_store *store, struct varve_failure *failure);
} operations[] = {
	{ "usage", run_usage },     { "chown", run_chown },
	{ "open", run_open },       { "info", run_info },
	{ "changes", run_changes }, { "diff", run_diff },
	{ "apply", run_apply },     { "create from it", run_snapshot },
	{ "freeze", run_freeze },   { "remove", run_remove },
};

START_TEST(test_taken_away)
{
	char *home = test_home(), *layer = test_layer(home, "layer"), text[1024];
	struct varve_store *store = test_open(home);
	to = test_path("%s/elsewhere", home);
	test_create(store, "parent", NULL);
	test_create(store, "layer", "parent");
	test_subvolume_create(test_path("%s/nested", layer));
	for (size_t i = 0; i < TEST_COUNT(operations); i++) {
		struct varve_failure failure = { 0 };
		from = layer;
		int r = operations[i].run(store, &failure);
		ck_assert_msg(!from, "%s does not prove what it opens", operations[i].name);
		ck_assert_msg(r == -ENOENT, "%s: %s: %s", operations[i].name, test_errno_name(r),
			      r ? varve_strerror(&failure, text, sizeof(text)) : "");
		ck_assert_int_eq(rename(to, layer), 0);
	}
	test_close(store);
}
END_TEST

TEST_MAIN("gone", test_taken_away)
