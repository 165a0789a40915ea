/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where the data of a sparse file lies: exactly, and, when it is in too many pieces, with small
 * holes as data.
 *
 * varve-test: backend=any
 */
#include <fcntl.h>
#include <unistd.h>

#include "engine/archive/pieces.h"
#include "engine/base/limits.h"
#include "test.h"

/* Data lies in sectors. */
#define SECTOR 4096

static _Atomic bool cancelled;

/* A new file with a sector of data at each of the COUNT sectors PLACES, and of SIZE sectors. */
static int make(const off_t *places, size_t count, off_t size)
{
	int descriptor = open(test_mount(), O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	char data[SECTOR];

	memset(data, 'x', sizeof(data));
	ck_assert_int_ge(descriptor, 0);
	for (size_t i = 0; i < count; i++)
		ck_assert_int_eq(pwrite(descriptor, data, sizeof(data), places[i] * SECTOR),
				 SECTOR);
	ck_assert_int_eq(ftruncate(descriptor, size * SECTOR), 0);
	return descriptor;
}

/* Fail the test unless piece INDEX is from sector AT to END. */
static void check(const struct pieces *pieces, size_t index, off_t at, off_t end)
{
	ck_assert_uint_lt(index, pieces->count);
	ck_assert_int_eq(pieces->list[index].at, at * SECTOR);
	ck_assert_int_eq(pieces->list[index].end, end * SECTOR);
}

START_TEST(test_exact)
{
	const off_t places[] = { 1, 2, 7, 1000000 };
	struct pieces pieces = { .max = SPARSE_PIECES_MAX };
	int descriptor = make(places, TEST_COUNT(places), 2000000);

	test_error(pieces_find(&pieces, descriptor, (off_t)2000000 * SECTOR, &cancelled), 0);
	ck_assert_uint_eq(pieces.count, 3);
	check(&pieces, 0, 1, 3);
	check(&pieces, 1, 7, 8);
	check(&pieces, 2, 1000000, 1000001);
	/* What came behind the reported size does not count. */
	test_error(pieces_find(&pieces, descriptor, (off_t)2 * SECTOR, &cancelled), 0);
	ck_assert_uint_eq(pieces.count, 1);
	check(&pieces, 0, 1, 2);
	ck_assert_int_eq(ftruncate(descriptor, 0), 0);
	test_error(pieces_find(&pieces, descriptor, (off_t)2000000 * SECTOR, &cancelled), 0);
	ck_assert_uint_eq(pieces.count, 0);
	test_error(pieces_whole(&pieces, 5), 0);
	ck_assert_uint_eq(pieces.count, 1);
	pieces_free(&pieces);
	close(descriptor);
}
END_TEST

/* Of 40 pieces 10 are far from the others, which then are one. */
START_TEST(test_too_many)
{
	struct pieces pieces = { .max = 12 };
	off_t places[40];
	int descriptor;

	for (unsigned i = 0; i < TEST_COUNT(places); i++)
		places[i] = i < 30 ? 2 * i : 1000 * i;
	descriptor = make(places, TEST_COUNT(places), 100000);
	test_error(pieces_find(&pieces, descriptor, (off_t)100000 * SECTOR, &cancelled), 0);
	ck_assert_uint_eq(pieces.count, 11);
	check(&pieces, 0, 0, 59);
	check(&pieces, 1, 30000, 30001);
	check(&pieces, 10, 39000, 39001);
	/* The next one begins anew. */
	pieces.max = 100;
	test_error(pieces_find(&pieces, descriptor, (off_t)100000 * SECTOR, &cancelled), 0);
	ck_assert_uint_eq(pieces.count, 40);
	/* Holes of more than 1 MiB are never filled. */
	pieces.max = 5;
	test_error(pieces_find(&pieces, descriptor, (off_t)100000 * SECTOR, &cancelled), -EFBIG);
	pieces_free(&pieces);
	close(descriptor);
}
END_TEST

START_TEST(test_bounds)
{
	const off_t places[] = { 0, SPARSE_HOLES_BYTES_MAX / SECTOR + 1 };
	struct pieces pieces = { .max = SPARSE_PIECES_MAX };
	int descriptor = make(places, TEST_COUNT(places), places[1] + 1);

	test_error(pieces_find(&pieces, descriptor, (places[1] + 1) * SECTOR, &cancelled), 0);
	test_error(pieces_find(&pieces, descriptor, INT64_MAX, &cancelled), 0);
	ck_assert_uint_eq(pieces.count, 2);
	close(descriptor);
	descriptor = make((const off_t[]){ places[1] }, 1, places[1] + 1);
	test_error(pieces_find(&pieces, descriptor, (places[1] + 1) * SECTOR, &cancelled), -EFBIG);
	cancelled = true;
	test_error(pieces_find(&pieces, descriptor, (places[1] + 1) * SECTOR, &cancelled),
		   -ECANCELED);
	pieces_free(&pieces);
	close(descriptor);
}
END_TEST

TEST_MAIN("pieces", test_exact, test_too_many, test_bounds)
