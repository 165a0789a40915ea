/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Another process renames a layer away while it is opened, as a removal does: the layer is there or
 * it is not. It is never mistaken for something that is mounted there.
 */
#include <fcntl.h>
#include <unistd.h>

#include "engine/dir/beneath.h"
#include "engine/store/layer.h"
#include "test.h"

/* Renames there and back, at least: a look and a rename meet in some of them. */
#define RENAMES 20000

/* A layer that goes from FROM to TO and back, until STOP. */
struct renamer {
	const char *from, *to;
	_Atomic unsigned renames;
	_Atomic bool stop;
	int error;
};

static void *rename_away(void *data)
{
	struct renamer *renamer = data;
	while (!renamer->stop) {
		if (rename(renamer->from, renamer->to) || rename(renamer->to, renamer->from)) {
			renamer->error = errno;
			renamer->renames = RENAMES;
			break;
		}
		renamer->renames++;
	}
	return NULL;
}

/* How a case opens the layer: a descriptor or -errno. */
typedef int (*opener)(struct varve_store *store, int home_fd);

static int open_layer(struct varve_store *store, int home_fd)
{
	(void)home_fd;
	return layer_open(store, "layer");
}

static int open_name(struct varve_store *store, int home_fd)
{
	(void)home_fd;
	return beneath_open(store->layout.subvolumes_fd, "layer", O_RDONLY | O_DIRECTORY);
}

static int open_path(struct varve_store *store, int home_fd)
{
	(void)store;
	return beneath_open(home_fd, "subvolumes/layer", O_RDONLY | O_DIRECTORY);
}

/* Open the layer by OPEN while it is renamed out of `subvolumes` to TO and back. */
static void check_there_or_not(opener open_it, const char *to)
{
	char *home = test_home();
	struct varve_store *store = test_open(home);
	int home_fd = open(home, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	unsigned found = 0;
	pthread_t thread;
	test_create(store, "layer", NULL);
	struct renamer renamer = { .from = test_layer(home, "layer"),
				   .to = test_path("%s/%s", home, to) };
	ck_assert_int_eq(pthread_create(&thread, NULL, rename_away, &renamer), 0);
	while (renamer.renames < RENAMES) {
		int fd = open_it(store, home_fd);
		if (fd < 0) {
			ck_assert_msg(fd == -ENOENT, "%s", test_errno_name(fd));
			continue;
		}
		close(fd);
		found++;
	}
	renamer.stop = true;
	pthread_join(thread, NULL);
	ck_assert_int_eq(renamer.error, 0);
	ck_assert_uint_gt(found, 0);
	close(home_fd);
	test_close(store);
}

START_TEST(test_layer_open)
{
	check_there_or_not(open_layer, "away");
}
END_TEST

START_TEST(test_one_name)
{
	check_there_or_not(open_name, "away");
}
END_TEST

/* Out of the home, which is what the path is beneath. */
START_TEST(test_path_of_two)
{
	check_there_or_not(open_path, "../away");
}
END_TEST

TEST_MAIN("renamed_away", test_layer_open, test_one_name, test_path_of_two)
