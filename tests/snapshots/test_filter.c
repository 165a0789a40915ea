/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Filters: containerd's language, its errors, and bounds. The examples of the grammar were run
 * through containerd's own parser.
 *
 * varve-test: backend=any mount=no root=no
 */
#include "test.h"

#include "filter.h"
#include "limits.h"

/* A snapshot NAME with PARENT and LABELS ("KEY=VALUE", NULL last). */
static struct snapshot *snapshot_of(const char *name, const char *parent, unsigned kind,
				    const char *const *labels)
{
	struct snapshot *snapshot = snapshot_new(text_of_string(name), text_of_string(""));
	struct label list[8];
	size_t count = 0;

	if (*parent)
		snapshot_set_parent(snapshot, snapshot_of(parent, "", SNAPSHOT_COMMITTED, NULL));
	for (; labels && labels[count]; count++) {
		const char *value = strchr(labels[count], '=') + 1;

		list[count].key = (struct text){ labels[count],
						 (size_t)(value - labels[count]) - 1 };
		list[count].value = text_of_string(value);
	}
	test_error(labels_make(list, count, &snapshot->labels), 0);
	snapshot->kind = (uint8_t)kind;
	return snapshot;
}

/* Does SET take SNAPSHOT? With a single unit of work each time. */
static int match(const struct filter_set *set, const struct snapshot *snapshot, char *reason)
{
	struct filter_place place = { 0 };
	unsigned work;
	int r;

	do {
		work = 1;
		r = filter_set_match(set, snapshot, &place, &work, reason);
	} while (r == -EAGAIN);
	return r;
}

/* Which of four snapshots FILTERS take, as letters; or "!" and the reason. */
static char *taken(const char *const *filters)
{
	struct snapshot *snapshots[] = {
		snapshot_of("a", "", SNAPSHOT_ACTIVE, NULL),
		snapshot_of("b", "p", SNAPSHOT_COMMITTED,
			    (const char *const[]){ "foo=true", "x.y=1", "a \"b\\=q", NULL }),
		snapshot_of("c-d/e", "p", SNAPSHOT_VIEW,
			    (const char *const[]){ "foo=omg_asdf.asdf-qwer", NULL }),
		snapshot_of("d", "q, r", SNAPSHOT_ACTIVE,
			    (const char *const[]){ "=empty", "u=\xc3\xa4", NULL }),
	};
	struct text texts[8];
	struct filter_set *set;
	char reason[FILTER_REASON_SIZE] = "", *text = test_strdup("");
	size_t count = 0;
	int r;

	for (; filters[count]; count++)
		texts[count] = text_of_string(filters[count]);
	r = filter_set_read(texts, count, &set, reason);
	for (size_t i = 0; i < TEST_COUNT(snapshots); i++) {
		int taken = r ? 0 : match(set, snapshots[i], reason);

		if (taken < 0)
			r = taken;
		else if (taken)
			text = test_path("%s%c", text, "abcd"[i]);
		snapshot_free(snapshots[i]->parent);
		snapshot_free(snapshots[i]);
	}
	filter_set_free(set);
	if (r == -EINVAL)
		return test_path("!%s", reason);
	test_error(r, 0);
	return text;
}

#define TAKEN(...) taken((const char *const[]){ __VA_ARGS__, NULL })

START_TEST(test_language)
{
	static const struct {
		const char *filter, *taken;
	} cases[] = {
		{ "", "abcd" },
		{ "name", "abcd" },
		{ "name==a", "a" },
		{ "name!=a", "bcd" },
		{ "name.more==a", "a" },
		{ " name == a", "a" },
		{ "name==c-d/e", "c" },
		{ "name==\"c-d/e\"", "c" },
		{ "parent", "abcd" },
		{ "parent==p", "bc" },
		{ "parent==\"\"", "a" },
		{ "parent!=\"\"", "bcd" },
		{ "parent==\"q, r\"", "d" },
		{ "kind==active", "ad" },
		{ "kind==view", "c" },
		{ "kind==committed", "b" },
		{ "kind!=active,parent==p", "bc" },
		{ "kind==active,name==b", "" },
		{ "labels.foo", "bc" },
		{ "labels.foo==true", "b" },
		{ "labels.foo!=true", "acd" },
		{ "labels.foo==omg_asdf.asdf-qwer", "c" },
		{ "labels.x.y==1", "b" },
		{ "labels.\"x.y\"==1", "b" },
		{ "labels.\"x\".\"y\"==1", "b" },
		{ "labels.\"a \\\"b\\\\\"==q", "b" },
		{ "labels", "d" },
		{ "labels.u==\xc3\xa4", "d" },
		{ "labels.u==\"\\u00e4\"", "d" },
		{ "labels.u==\"\\xc3\\244\"", "d" },
		{ "other", "" },
		{ "other!=x", "abcd" },
		{ "name~=^[ab]$", "ab" },
		{ "name~=/^[ab]{1,2}$/,kind==active", "a" },
		{ "name~=|/|", "c" },
		{ "name~=\"c-d\"", "c" },
		{ "labels.u~=^.$", "d" },
		/* An absent field has the value "". */
		{ "labels.foo~=^$", "ad" },
	};

	for (size_t i = 0; i < TEST_COUNT(cases); i++)
		ck_assert_msg(!strcmp(TAKEN(cases[i].filter), cases[i].taken), "%s: %s, not %s",
			      cases[i].filter, TAKEN(cases[i].filter), cases[i].taken);
	ck_assert_str_eq(TAKEN("name==a", "name==d", "labels.none"), "ad");
	ck_assert_str_eq(TAKEN("name==a", ""), "abcd");
}
END_TEST

START_TEST(test_refused)
{
	static const struct {
		const char *filter, *reason;
	} cases[] = {
		{ "name==foo,", "field was expected" },
		{ "labels.", "field was expected" },
		{ ",name", "field was expected" },
		{ "name~=,id?=?fbaq", "value was expected" },
		{ "name==", "value was expected" },
		{ "name=a", "==, != or ~= was expected" },
		{ "name===a", "==, != or ~= was expected" },
		{ "name a", "==, != or ~= was expected" },
		{ "name ", "==, != or ~= was expected" },
		{ "labels.foo-bar==x", "==, != or ~= was expected" },
		{ "labels.ns/key==value", "==, != or ~= was expected" },
		{ "labels.key==/value", "quote without its end" },
		{ "labels.|foo|==x", "quotes a field" },
		{ "labels.foo==/x/", "quotes a value" },
		{ "labels.?\"x\"", "field was expected" },
		{ "name==a ,name==b", "comma was expected" },
		{ "name==\"a\"b", "comma was expected" },
		{ "name==\"a\nb\"", "quote without its end" },
		{ "name==\"\\q\"", "escape" },
		{ "name==\"\\xg0\"", "escape" },
		{ "name==\"\\400\"", "escape" },
		{ "name==\"\\U00110000\"", "escape" },
		{ "name~=/\\d/", "escape" },
		{ "name~=[", "regular expression" },
		{ "name~=/\\\\C/", "regular expression" },
		{ "name==\xff", "UTF-8" },
		{ "name==\xed\xa0\x80", "UTF-8" },
		/* 2^n steps. */
		{ "labels.foo~=^(.+.+)+[!0]$", "too many steps" },
	};

	for (size_t i = 0; i < TEST_COUNT(cases); i++) {
		char *got = TAKEN(cases[i].filter);

		ck_assert_msg(*got == '!' && strstr(got, cases[i].reason), "%s: %s, not %s",
			      cases[i].filter, got, cases[i].reason);
	}
}
END_TEST

/* COUNT times PART, behind FIRST. */
static char *repeated(const char *first, const char *part, size_t count)
{
	char *text = test_alloc(strlen(first) + count * strlen(part) + 1),
	     *at = stpcpy(text, first);

	while (count--)
		at = stpcpy(at, part);
	return text;
}

START_TEST(test_bounds)
{
	ck_assert(strstr(TAKEN(repeated("name==", "a", FILTER_BYTES_MAX)), "more than 65536"));
	ck_assert(strstr(TAKEN(repeated("name", ",name", FILTER_SELECTORS_MAX)),
			 "more than 1024 conditions"));
	ck_assert_str_eq(TAKEN(repeated("name", ",name", FILTER_SELECTORS_MAX - 1)), "abcd");
	ck_assert(strstr(TAKEN(repeated("labels", ".a", FILTER_FIELDS_MAX)), "more than 256"));
	ck_assert(strstr(TAKEN(repeated("name~=", "a", FILTER_PATTERN_BYTES_MAX + 1)),
			 "more than 4096"));
	ck_assert_str_eq(TAKEN(repeated("name==", "a", FILTER_BYTES_MAX - 6)), "");
}
END_TEST

TEST_MAIN_UNIT("filter", test_language, test_refused, test_bounds)
