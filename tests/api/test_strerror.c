/* SPDX-License-Identifier: Apache-2.0 */
/* varve-test: backend=any mount=no root=no */
/* varve_strerror(): one line, whatever is in the failure and however small the buffer. */
#include "test.h"

#include <ctype.h>

/* A failure like the one of the header's example. */
static struct varve_failure example(void)
{
	struct varve_failure failure = { .error = -EEXIST,
					 .operation = "create",
					 .step = "SNAPSHOT" };
	failure.call = "BTRFS_IOC_SNAP_CREATE_V2";
	strcpy(failure.id, "web-1");
	strcpy(failure.path, "/pool/subvolumes/web-1");
	return failure;
}

START_TEST(test_example)
{
	struct varve_failure failure = example();
	char text[512];
	ck_assert_ptr_eq(varve_strerror(&failure, text, sizeof(text)), text);
	ck_assert_str_eq(
		text,
		"create web-1: SNAPSHOT: BTRFS_IOC_SNAP_CREATE_V2 /pool/subvolumes/web-1: File exists");
}
END_TEST

START_TEST(test_detail)
{
	struct varve_failure failure = example();
	char text[512];
	strcpy(failure.detail, "something that a person should know");
	varve_strerror(&failure, text, sizeof(text));
	ck_assert_ptr_nonnull(strstr(text, "something that a person should know"));
	ck_assert_ptr_nonnull(strstr(text, "web-1"));
}
END_TEST

START_TEST(test_parts_missing)
{
	struct varve_failure failure = example();
	char text[512];
	failure.call = NULL;
	failure.path[0] = 0;
	failure.id[0] = 0;
	varve_strerror(&failure, text, sizeof(text));
	ck_assert_ptr_nonnull(strstr(text, "create"));
	ck_assert_ptr_nonnull(strstr(text, "SNAPSHOT"));
	ck_assert_ptr_nonnull(strstr(text, "File exists"));
	ck_assert_ptr_null(strstr(text, "(null)"));
	ck_assert_ptr_null(strstr(text, "  "));
	/* Nothing failed: the rest is empty. */
	struct varve_failure none = { 0 };
	ck_assert_ptr_eq(varve_strerror(&none, text, sizeof(text)), text);
	ck_assert_ptr_null(strstr(text, "(null)"));
}
END_TEST

START_TEST(test_not_printable)
{
	struct varve_failure failure = example();
	char text[4096];
	strcpy(failure.id, "a\nb\xff\x1b[31m");
	strcpy(failure.path, "/pool/\x01\x7f/caf\xc3\xa9");
	varve_strerror(&failure, text, sizeof(text));
	ck_assert_ptr_nonnull(strstr(text, "a\\x0ab\\xff\\x1b[31m"));
	ck_assert_ptr_nonnull(strstr(text, "/pool/\\x01\\x7f/caf\\xc3\\xa9"));
	for (size_t i = 0; text[i]; i++)
		ck_assert_msg(isprint((unsigned char)text[i]), "byte 0x%02x",
			      (unsigned char)text[i]);
}
END_TEST

START_TEST(test_every_size)
{
	struct varve_failure failure = example();
	char whole[4096];
	strcpy(failure.detail, "more");
	memset(failure.id, '\n', VARVE_ID_MAX);
	memset(failure.path, 0xe9, VARVE_FAILURE_PATH_SIZE - 1);
	varve_strerror(&failure, whole, sizeof(whole));
	for (size_t size = 1; size < sizeof(whole); size++) {
		char *text = malloc(size);
		memset(text, 'X', size);
		ck_assert_ptr_eq(varve_strerror(&failure, text, size), text);
		size_t length = strnlen(text, size);
		ck_assert_msg(length < size, "no NUL in %zu bytes", size);
		ck_assert_msg(!strncmp(text, whole, length), "size %zu: '%s'", size, text);
		free(text);
	}
	/* Of no bytes none is written. */
	char guard = 'X';
	varve_strerror(&failure, &guard, 0);
	ck_assert_int_eq(guard, 'X');
}
END_TEST

START_TEST(test_unknown_error)
{
	struct varve_failure failure = example();
	char text[512];
	failure.error = -99999;
	varve_strerror(&failure, text, sizeof(text));
	ck_assert_ptr_nonnull(strstr(text, "99999"));
}
END_TEST

TEST_MAIN_UNIT("strerror", test_example, test_detail, test_parts_missing, test_not_printable,
	       test_every_size, test_unknown_error)
