/* SPDX-License-Identifier: Apache-2.0 */
/* varve-test: backend=any mount=no root=no */
/* varve_size_parse(): the table of what it takes. */
#include "test.h"

#define KIB 1024ull
#define MIB (1024 * KIB)
#define GIB (1024 * MIB)
#define TIB (1024 * GIB)
#define PIB (1024 * TIB)

START_TEST(test_good)
{
	static const struct {
		const char *text;
		uint64_t bytes;
	} cases[] = {
		{ "0", 0 },
		{ "1", 1 },
		{ "123", 123 },
		{ "007", 7 },
		{ "32b", 32 },
		{ "32B", 32 },
		{ "32 B", 32 },
		{ "1k", KIB },
		{ "1K", KIB },
		{ "1kb", KIB },
		{ "1KB", KIB },
		{ "1kib", KIB },
		{ "1KiB", KIB },
		{ "1 k", KIB },
		{ "1ki", KIB },
		{ "2m", 2 * MIB },
		{ "3 MiB", 3 * MIB },
		{ "4G", 4 * GIB },
		{ "5t", 5 * TIB },
		{ "6P", 6 * PIB },
		{ "1.5k", 1536 },
		{ "1.5", 1 },
		{ "0.5k", 512 },
		{ "0.1k", 102 },
		{ "1.999", 1 },
		{ "2.5 GiB", 5 * GIB / 2 },
		{ "18446744073709551615", UINT64_MAX },
		{ "16383P", 16383 * PIB },
	};
	for (size_t i = 0; i < TEST_COUNT(cases); i++) {
		uint64_t bytes = 77;
		int error = varve_size_parse(cases[i].text, &bytes);
		ck_assert_msg(error == 0, "'%s': %s", cases[i].text, test_errno_name(error));
		ck_assert_msg(bytes == cases[i].bytes, "'%s' is %llu, not %llu", cases[i].text,
			      (unsigned long long)cases[i].bytes, (unsigned long long)bytes);
	}
}
END_TEST

START_TEST(test_bad)
{
	static const char *const bad[] = {
		"",    " ",   "k",   "b",    "-1",      "+1",  " 1",  "1  k", "1x",
		"1kk", "1bk", "1e3", "0x10", "1.",      ".5",  "1,5", "1k ",  "1kib1",
		"one", "inf", "nan", "1\n",  "1 kib b", "1eb", "--",
	};
	for (size_t i = 0; i < TEST_COUNT(bad); i++) {
		uint64_t bytes = 77;
		int error = varve_size_parse(bad[i], &bytes);
		ck_assert_msg(error == -EINVAL, "'%s': expected EINVAL, got %s", bad[i],
			      test_errno_name(error));
		ck_assert_uint_eq(bytes, 77);
	}
	test_error(varve_size_parse(NULL, &(uint64_t){ 0 }), -EINVAL);
}
END_TEST

START_TEST(test_overflow)
{
	static const char *const big[] = {
		"18446744073709551616", "16384P",   "99999999999999999999999999",
		"99999999999G",         "16384.0P", "99999999999999999999.5k"
	};
	for (size_t i = 0; i < TEST_COUNT(big); i++) {
		uint64_t bytes = 77;
		int error = varve_size_parse(big[i], &bytes);
		ck_assert_msg(error == -ERANGE, "'%s': expected ERANGE, got %s", big[i],
			      test_errno_name(error));
		ck_assert_uint_eq(bytes, 77);
	}
}
END_TEST

TEST_MAIN_UNIT("sizes", test_good, test_bad, test_overflow)
