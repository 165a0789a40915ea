/* SPDX-License-Identifier: Apache-2.0 */
/* Items of trees are taken apart within their bounds, whatever the lengths in them say. */
#include "engine/base/limits.h"
#include "engine/btrfs/search.h"
#include "test.h"

#include <endian.h>

/* An item: a reference, and its name. */
struct item {
	struct btrfs_root_ref ref;
	char name[2 * VARVE_ID_MAX];
} __attribute__((packed));

/* Take apart an item of SIZE bytes whose reference says LENGTH. */
static int take_apart(size_t size, unsigned length, char *ret_name)
{
	/* Exactly as large as it is, so that the sanitizers see a byte too much. */
	struct item *item = malloc(size),
		    whole = { .ref = { .dirid = htole64(257), .name_len = htole16(length) } };
	struct search search = { .header = { .len = size }, .item = item };
	uint64_t directory = 0;
	memset(whole.name, 'n', sizeof(whole.name));
	memcpy(item, &whole, size);
	int r = search_reference(&search, &directory, ret_name);
	ck_assert_uint_eq(directory, r ? 0 : 257);
	free(item);
	return r;
}

START_TEST(test_reference)
{
	char name[VARVE_ID_MAX + 1] = "";
	test_error(take_apart(sizeof(struct btrfs_root_ref) + 5, 5, name), 0);
	ck_assert_str_eq(name, "nnnnn");
	test_error(take_apart(sizeof(struct btrfs_root_ref) + VARVE_ID_MAX, VARVE_ID_MAX, name), 0);
	ck_assert_uint_eq(strlen(name), VARVE_ID_MAX);
	test_error(take_apart(sizeof(struct btrfs_root_ref) + 5, 6, name), -EUCLEAN);
	test_error(take_apart(sizeof(struct btrfs_root_ref) + 5, UINT16_MAX, name), -EUCLEAN);
	test_error(take_apart(sizeof(struct btrfs_root_ref) + VARVE_ID_MAX + 1, VARVE_ID_MAX + 1,
			      name),
		   -EUCLEAN);
	test_error(take_apart(sizeof(struct btrfs_root_ref) - 1, 0, name), -EUCLEAN);
}
END_TEST

TEST_MAIN_UNIT("search", test_reference)
