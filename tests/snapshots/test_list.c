/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `varve serve list` beside a daemon that changes the home while it is read: what is printed fits
 * together, and it ends.
 *
 * varve-test: timeout=120 options=nobarrier
 */
#include "fake.h"

#include "limits.h"
#include "list.h"

#include <fcntl.h>
#include <getopt.h>
#include <sys/mman.h>
#include <unistd.h>

/* The daemon; how many of the next readings it makes a snapshot behind; the readings. */
static struct node *node;
static unsigned changes, readings;
/* The layer that the last reading does not find; NULL: none. */
static const char *missed;

/* The records have been read: make a child of "base". */
static void after_find(void)
{
	readings++;
	node_hidden = readings == LIST_READS_MAX - 1 ? missed : NULL;
	if (!changes)
		return;
	changes--;
	node_expect(node, node_create(node, "Prepare", test_path("new%u", readings), "base", NULL),
		    GRPC_OK);
}

/* Put a file in the place of descriptor FD, whose own one is *RET_SAVED then. */
static int capture_begin(int fd, int *ret_saved)
{
	int file = memfd_create("output", MFD_CLOEXEC);

	ck_assert_int_ge(file, 0);
	*ret_saved = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	ck_assert_int_ge(dup2(file, fd), 0);
	return file;
}

/* Put SAVED back in the place of FD: what went to FILE meanwhile. */
static char *capture_end(int fd, int file, int saved)
{
	off_t size = lseek(file, 0, SEEK_END);
	char *text = test_alloc((size_t)size + 1);

	ck_assert_int_eq(pread(file, text, (size_t)size, 0), size);
	ck_assert_int_ge(dup2(saved, fd), 0);
	close(saved);
	close(file);
	return text;
}

/* Run the command, with CHANGES behind its first readings: its output, and its messages. */
static char *list(unsigned count, char **ret_messages)
{
	char *argv[] = { "list", "--home", node->home, "--why", "--json", NULL };
	int out, err, saved_out, saved_err;
	char *text;

	fflush(NULL);
	changes = count;
	readings = 0;
	node_after_find = after_find;
	optind = 0;
	out = capture_begin(STDOUT_FILENO, &saved_out);
	err = capture_begin(STDERR_FILENO, &saved_err);
	ck_assert_int_eq(list_main(TEST_COUNT(argv) - 1, argv, false), 0);
	text = capture_end(STDOUT_FILENO, out, saved_out);
	*ret_messages = capture_end(STDERR_FILENO, err, saved_err);
	node_after_find = NULL;
	return text;
}

/* How often PART is in TEXT. */
static unsigned count_parts(const char *text, const char *part)
{
	unsigned count = 0;

	while ((text = strstr(text, part))) {
		text += strlen(part);
		count++;
	}
	return count;
}

START_TEST(test_changes)
{
	char *messages, *text;

	node = node_open(test_home());
	node_make(node, "base", NULL);
	/* Two readings tell that nothing changes. */
	text = list(0, &messages);
	ck_assert_uint_eq(readings, 2);
	ck_assert_msg(strstr(text, "\"children\":0"), "%s", text);
	/* What is made behind a reading is in the ones that are printed, with all that it says. */
	for (unsigned count = 1; count < LIST_READS_MAX - 1; count++) {
		text = list(count, &messages);
		ck_assert_uint_eq(readings, count + 2);
		ck_assert_str_eq(messages, "");
		ck_assert_msg(!strstr(text, "\"stray\""), "%s", text);
		ck_assert_uint_eq(count_parts(text, "\"parent\":\"base\""), count);
		ck_assert_msg(strstr(text, test_path("\"children\":%u", count)), "%s", text);
		for (unsigned i = 1; i <= count; i++)
			node_expect(node, node_key(node, "Remove", test_path("new%u", i)), GRPC_OK);
	}
	node_close(node);
}
END_TEST

START_TEST(test_endless)
{
	char *messages, *text;

	node = node_open(test_home());
	node_make(node, "base", NULL);
	text = list(UINT32_MAX, &messages);
	ck_assert_uint_eq(readings, LIST_READS_MAX);
	ck_assert_msg(strstr(messages, "changed during each of"), "%s", messages);
	ck_assert_uint_ge(count_parts(text, "\"parent\":\"base\""), LIST_READS_MAX - 1);
	/* What was made behind the last reading of the records is no leak. */
	ck_assert_msg(!strstr(text, "\"stray\""), "%s", text);
	for (unsigned i = 1; i <= LIST_READS_MAX; i++)
		node_expect(node, node_key(node, "Remove", test_path("new%u", i)), GRPC_OK);
	/* Nor have those whose parent was not read lost it: the reading before has it. */
	missed = "s0";
	text = list(UINT32_MAX, &messages);
	ck_assert_msg(strstr(messages, "changed during each of"), "%s", messages);
	ck_assert_uint_eq(count_parts(text, "\"parent\":\"base\""), LIST_READS_MAX - 1);
	ck_assert_msg(!strstr(text, "\"orphan\":true"), "%s", text);
	node_close(node);
}
END_TEST

TEST_MAIN("list", test_changes, test_endless)
