/* SPDX-License-Identifier: Apache-2.0 */
/* varve-test: backend=any mount=no root=no */
/* Texts and numbers as gRPC writes them into headers. */
#include "test.h"
#include "wire.h"

START_TEST(test_timeouts)
{
	static const struct {
		const char *text;
		uint64_t ns;
	} good[] = {
		{ "1n", 1 },
		{ "20u", 20000 },
		{ "300m", 300000000 },
		{ "4S", 4000000000 },
		{ "5M", 300000000000 },
		{ "2H", 7200000000000 },
		{ "0m", 0 },
		{ "99999999S", 99999999000000000 },
		/* More than 64 bits hold. */
		{ "99999999H", UINT64_MAX },
	};
	static const char *const bad[] = { "",    "1",  "m",    "-1m",        "+1m", "1 m",
					   "1ms", "1s", "1.5S", "123456789m", "0x1m" };
	uint64_t ns;

	for (size_t i = 0; i < TEST_COUNT(good); i++) {
		test_error(wire_timeout(good[i].text, strlen(good[i].text), &ns), 0);
		ck_assert_msg(ns == good[i].ns, "%s", good[i].text);
	}
	for (size_t i = 0; i < TEST_COUNT(bad); i++) {
		ns = 7;
		ck_assert_msg(wire_timeout(bad[i], strlen(bad[i]), &ns) == -EINVAL, "%s", bad[i]);
		ck_assert_uint_eq(ns, 7);
	}
}
END_TEST

/* TEXT is encoded as EXPECTED in SIZE bytes. */
static void expect_percent(const char *text, size_t size, const char *expected)
{
	char out[256];

	memset(out, '#', sizeof(out));
	ck_assert_uint_eq(wire_percent(text, out, size), strlen(expected));
	ck_assert_str_eq(out, expected);
	ck_assert_int_eq(out[size], '#');
}

START_TEST(test_percent)
{
	expect_percent("", 100, "");
	expect_percent("no such layer: a/b", 100, "no such layer: a/b");
	expect_percent("50%", 100, "50%25");
	expect_percent("a\nb\x7f", 100, "a%0Ab%7F");
	expect_percent("\xc3\xa4", 100, "%C3%A4");
	/* Cut off: never within an escape or a character. */
	expect_percent("abcdef", 4, "abc");
	expect_percent("ab%", 5, "ab");
	expect_percent("ab%", 6, "ab%25");
	expect_percent("a\xc3\xa4", 7, "a");
	expect_percent("a\xc3\xa4", 8, "a%C3%A4");
	expect_percent("\xf0\x9f\x98\x80z", 13, "%F0%9F%98%80");
	expect_percent("\xf0\x9f\x98\x80z", 12, "");
}
END_TEST

START_TEST(test_content_type)
{
	static const char *const good[] = { "application/grpc", "application/grpc+proto",
					    "application/grpc;charset=utf-8",
					    "application/grpc+proto;v=1" };
	static const char *const bad[] = { "",
					   "application/grp",
					   "application/grpc+json",
					   "application/grpc-web",
					   "text/plain",
					   "application/grpc+protobuf" };

	for (size_t i = 0; i < TEST_COUNT(good); i++)
		ck_assert_msg(wire_is_grpc(good[i], strlen(good[i])), "%s", good[i]);
	for (size_t i = 0; i < TEST_COUNT(bad); i++)
		ck_assert_msg(!wire_is_grpc(bad[i], strlen(bad[i])), "%s", bad[i]);
}
END_TEST

START_TEST(test_prefix)
{
	static const uint32_t sizes[] = { 0, 1, 255, 256, 65536, 16u << 20, UINT32_MAX };
	uint8_t at[WIRE_PREFIX_BYTES];

	for (size_t i = 0; i < TEST_COUNT(sizes); i++) {
		wire_prefix(at, sizes[i]);
		ck_assert_uint_eq(at[0], 0);
		ck_assert_uint_eq(wire_size(at), sizes[i]);
	}
	wire_prefix(at, 0x01020304);
	ck_assert_mem_eq(at, "\0\1\2\3\4", WIRE_PREFIX_BYTES);
}
END_TEST

TEST_MAIN_UNIT("wire", test_timeouts, test_percent, test_content_type, test_prefix)
