/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Filters are read by one scanner, which looks one token ahead as containerd's does: a value begins
 * only behind an operator, so that `name==a-b` is one value and `labels.a-b` an error.
 */
#include "filter.h"

#include "limits.h"
#include "record.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

/* What a selector tests. */
enum filter_test { FILTER_PRESENT, FILTER_EQUAL, FILTER_NOT_EQUAL, FILTER_MATCHES };

/* The field that a selector looks at. */
enum filter_field { FIELD_OTHER, FIELD_NAME, FIELD_PARENT, FIELD_KIND, FIELD_LABEL };

/* One condition. */
struct selector {
	enum filter_field field;
	enum filter_test test;
	/* The key of a label, and the value: NULs may be in both. */
	char *key, *value;
	size_t key_bytes, value_bytes;
	/* Of "~=". */
	pcre2_code *pattern;
	/* The last one of its filter. */
	bool last;
};

struct filter_set {
	struct selector *selectors;
	size_t count;
	/* A filter that is empty: everything is taken. */
	bool all;
	bool slow;
	/* Of "~=". */
	pcre2_match_context *context;
	pcre2_match_data *data;
};

/* What the scanner found. */
enum token {
	TOKEN_END,
	TOKEN_WORD,
	TOKEN_VALUE,
	TOKEN_QUOTED,
	TOKEN_SEPARATOR,
	TOKEN_OPERATOR,
	TOKEN_BAD,
};

/* A filter that is being read. */
struct reader {
	struct text input;
	/* The next byte. */
	size_t at;
	/* The last token: its kind, beginning and bytes. */
	enum token token;
	size_t from, bytes;
	/* An operator came last: a value may follow. */
	bool value;
	char *reason;
};

/* Say WHY, and where in the filter: -EINVAL. */
static int reader_fail(struct reader *reader, const char *why, ...)
	__attribute__((format(printf, 2, 3)));
static int reader_fail(struct reader *reader, const char *why, ...)
{
	char quoted[FILTER_REASON_SIZE / 2];
	va_list arguments;
	int length;

	va_start(arguments, why);
	length = vsnprintf(reader->reason, FILTER_REASON_SIZE, why, arguments);
	va_end(arguments);
	if (length > 0 && length < FILTER_REASON_SIZE)
		snprintf(reader->reason + length, FILTER_REASON_SIZE - (size_t)length,
			 " at byte %zu of the filter %s", reader->from,
			 text_quote(reader->input, quoted, sizeof(quoted)));
	return -EINVAL;
}

/* The character at reader->at, and its bytes; 0 bytes: the end. */
static size_t reader_peek(const struct reader *reader, uint32_t *ret_character)
{
	struct text rest = { reader->input.bytes + reader->at, reader->input.count - reader->at };

	*ret_character = 0;
	return rest.count ? text_character(rest, ret_character) : 0;
}

/* Is CHARACTER a blank of Unicode? */
static bool is_blank(uint32_t character)
{
	return (character >= '\t' && character <= '\r') || character == ' ' || character == 0x85 ||
	       character == 0xa0 || character == 0x1680 ||
	       (character >= 0x2000 && character <= 0x200a) || character == 0x2028 ||
	       character == 0x2029 || character == 0x202f || character == 0x205f ||
	       character == 0x3000;
}

static bool is_word(uint32_t character)
{
	return character == '_' || (character >= '0' && character <= '9') ||
	       (character >= 'A' && character <= 'Z') || (character >= 'a' && character <= 'z');
}

static bool is_operator(uint32_t character)
{
	return character == '=' || character == '!' || character == '~';
}

/* May CHARACTER be in a value without quotes? */
static bool is_value(uint32_t character)
{
	return character > ' ' && character != ',' && (character < 0x7f || character > 0x9f) &&
	       !is_blank(character);
}

/* Go on over all characters for which IS. */
static void reader_skip(struct reader *reader, bool (*is)(uint32_t character))
{
	uint32_t character;
	size_t bytes;

	while ((bytes = reader_peek(reader, &character)) && is(character))
		reader->at += bytes;
}

/* Go on behind the quote that ends what QUOTE began: false where none does. */
static bool reader_skip_quoted(struct reader *reader, char quote)
{
	for (; reader->at < reader->input.count; reader->at++) {
		char byte = reader->input.bytes[reader->at];

		if (byte == quote) {
			reader->at++;
			return true;
		}
		if (byte == '\n')
			return false;
		if (byte == '\\')
			reader->at++;
	}
	return false;
}

/* Read the next token. */
static enum token reader_next(struct reader *reader)
{
	uint32_t character;
	size_t bytes;

	reader_skip(reader, is_blank);
	reader->from = reader->at;
	reader->bytes = 0;
	if (reader->at == reader->input.count)
		return reader->token = TOKEN_END;
	bytes = reader_peek(reader, &character);
	reader->at += bytes;
	if (character == '"' || character == '/' || character == '|') {
		reader->token = reader_skip_quoted(reader, (char)character) ? TOKEN_QUOTED
									    : TOKEN_BAD;
	} else if (character == ',' || character == '.') {
		reader->value = false;
		reader->token = TOKEN_SEPARATOR;
	} else if (is_operator(character)) {
		reader_skip(reader, is_operator);
		reader->value = true;
		reader->token = TOKEN_OPERATOR;
	} else if (reader->value) {
		reader_skip(reader, is_value);
		reader->value = false;
		reader->token = TOKEN_VALUE;
	} else if (is_word(character)) {
		reader_skip(reader, is_word);
		reader->token = TOKEN_WORD;
	} else {
		reader->token = TOKEN_BAD;
	}
	reader->bytes = reader->at - reader->from;
	return reader->token;
}

/* The value of the hexadecimal digit DIGIT; 16: none. */
static unsigned digit_value(char digit)
{
	if (digit >= '0' && digit <= '9')
		return (unsigned)(digit - '0');
	if (digit >= 'a' && digit <= 'f')
		return (unsigned)(digit - 'a') + 10;
	if (digit >= 'A' && digit <= 'F')
		return (unsigned)(digit - 'A') + 10;
	return 16;
}

/* Write CHARACTER as UTF-8 to OUT: the number of bytes. */
static size_t utf8_write(uint32_t character, char *out)
{
	size_t count = character < 0x80 ? 1 : character < 0x800 ? 2 : character < 0x10000 ? 3 : 4;

	if (count == 1) {
		*out = (char)character;
		return 1;
	}
	for (size_t i = count; --i > 0; character >>= 6)
		out[i] = (char)(0x80 | (character & 0x3f));
	*out = (char)((0xf00u >> count) | character);
	return count;
}

/*
 * Read the escape behind a backslash at *AT (END is behind the text): write what it stands for to
 * *OUT. False: there is no such escape.
 */
static bool unescape(const char **at, const char *end, char quote, char **out)
{
	static const char letters[] = "abfnrtv\\", meanings[] = "\a\b\f\n\r\t\v\\";
	char kind = *(*at)++;
	const char *letter = kind ? strchr(letters, kind) : NULL;
	unsigned base = 16, digits;
	uint32_t character = 0;

	if (letter || kind == quote) {
		*(*out)++ = letter ? meanings[letter - letters] : kind;
		return true;
	}
	if (kind >= '0' && kind <= '7') {
		base = 8;
		digits = 3;
		(*at)--;
	} else {
		digits = kind == 'x' ? 2 : kind == 'u' ? 4 : kind == 'U' ? 8 : 0;
	}
	if (!digits || end - *at < (ptrdiff_t)digits)
		return false;
	for (; digits; digits--) {
		unsigned value = digit_value(*(*at)++);

		if (value >= base)
			return false;
		character = character * base + value;
	}
	if (kind != 'u' && kind != 'U') {
		*(*out)++ = (char)character;
		return character <= 0xff;
	}
	if (character > 0x10ffff)
		return false;
	/* Half of a surrogate pair is no character. */
	if (character >= 0xd800 && character < 0xe000)
		character = 0xfffd;
	*out += utf8_write(character, *out);
	return true;
}

/* The content of the quoted token, in new memory: 0, -EINVAL, -ENOMEM. */
static int reader_unquote(struct reader *reader, char **ret_text, size_t *ret_bytes)
{
	const char *at = reader->input.bytes + reader->from + 1;
	const char *end = reader->input.bytes + reader->from + reader->bytes - 1;
	char quote = at[-1], *text = malloc(reader->bytes), *out = text;

	if (!text)
		return -ENOMEM;
	while (at < end) {
		if (*at != '\\') {
			*out++ = *at++;
			continue;
		}
		at++;
		if (at == end || !unescape(&at, end, quote, &out)) {
			free(text);
			return reader_fail(reader, "an escape that there is not in quotes");
		}
	}
	*ret_text = text;
	*ret_bytes = (size_t)(out - text);
	return 0;
}

/* The text of the token, in new memory; with EVEN also in the quotes of expressions. */
static int reader_text(struct reader *reader, bool even, const char *wanted, char **ret_text,
		       size_t *ret_bytes)
{
	const char *from = reader->input.bytes + reader->from;

	switch (reader->token) {
	case TOKEN_QUOTED:
		if (!even && *from != '"')
			return reader_fail(reader, "only \"...\" quotes a %s:", wanted);
		return reader_unquote(reader, ret_text, ret_bytes);
	case TOKEN_WORD:
	case TOKEN_VALUE:
		*ret_text = malloc(reader->bytes + 1);
		if (!*ret_text)
			return -ENOMEM;
		memcpy(*ret_text, from, reader->bytes);
		*ret_bytes = reader->bytes;
		return 0;
	case TOKEN_BAD:
		if (reader->bytes && strchr("\"/|", *from))
			return reader_fail(reader, "a quote without its end");
		return reader_fail(reader, "a %s was expected, not this character,", wanted);
	default:
		return reader_fail(reader, "a %s was expected", wanted);
	}
}

/* Append PART to the key of SELECTOR, behind a "." unless FIRST. */
static int selector_append(struct selector *selector, bool first, const char *part, size_t bytes)
{
	char *key = realloc(selector->key, selector->key_bytes + bytes + 2);

	if (!key)
		return -ENOMEM;
	selector->key = key;
	if (!first)
		key[selector->key_bytes++] = '.';
	memcpy(key + selector->key_bytes, part, bytes);
	selector->key_bytes += bytes;
	return 0;
}

/* Read the field path, and the token behind. */
static int reader_path(struct reader *reader, struct selector *selector)
{
	for (size_t count = 0;; count++) {
		char *part;
		size_t bytes;
		int r;

		if (count == FILTER_FIELDS_MAX)
			return reader_fail(reader, "more than %d parts in a field path",
					   FILTER_FIELDS_MAX);
		reader_next(reader);
		r = reader_text(reader, false, "field", &part, &bytes);
		if (r)
			return r;
		if (count) {
			r = selector_append(selector, count == 1, part, bytes);
		} else {
			struct text field = { part, bytes };

			selector->field = text_equal(field, text_of_string("name")) ? FIELD_NAME
					  : text_equal(field, text_of_string("parent"))
						  ? FIELD_PARENT
					  : text_equal(field, text_of_string("kind")) ? FIELD_KIND
					  : text_equal(field, text_of_string("labels"))
						  ? FIELD_LABEL
						  : FIELD_OTHER;
		}
		free(part);
		if (r)
			return r;
		/* A "." has to follow at once. */
		if (reader->at == reader->input.count || reader->input.bytes[reader->at] != '.')
			return 0;
		reader_next(reader);
	}
}

/* Compile the value of SELECTOR. */
static int reader_compile(struct reader *reader, struct selector *selector)
{
	int error;
	PCRE2_SIZE offset;
	PCRE2_UCHAR message[FILTER_REASON_SIZE / 2];

	if (selector->value_bytes > FILTER_PATTERN_BYTES_MAX)
		return reader_fail(reader, "an expression of more than %d bytes",
				   FILTER_PATTERN_BYTES_MAX);
	selector->pattern = pcre2_compile((PCRE2_SPTR)selector->value, selector->value_bytes,
					  PCRE2_UTF | PCRE2_NEVER_BACKSLASH_C |
						  PCRE2_DOLLAR_ENDONLY,
					  &error, &offset, NULL);
	if (selector->pattern)
		return 0;
	pcre2_get_error_message(error, message, sizeof(message));
	return reader_fail(reader, "no regular expression: %s,", (const char *)message);
}

/* Read one selector, and stop behind it. */
static int reader_selector(struct reader *reader, struct selector *selector)
{
	struct text sign;
	int r = reader_path(reader, selector);

	if (r)
		return r;
	selector->test = FILTER_PRESENT;
	if (reader->at == reader->input.count || reader->input.bytes[reader->at] == ',')
		return 0;
	if (reader_next(reader) != TOKEN_OPERATOR)
		return reader_fail(reader, "==, != or ~= was expected");
	sign = (struct text){ reader->input.bytes + reader->from, reader->bytes };
	if (text_equal(sign, text_of_string("==")))
		selector->test = FILTER_EQUAL;
	else if (text_equal(sign, text_of_string("!=")))
		selector->test = FILTER_NOT_EQUAL;
	else if (text_equal(sign, text_of_string("~=")))
		selector->test = FILTER_MATCHES;
	else
		return reader_fail(reader, "==, != or ~= was expected");
	reader_next(reader);
	r = reader_text(reader, selector->test == FILTER_MATCHES, "value", &selector->value,
			&selector->value_bytes);
	if (!r && selector->test == FILTER_MATCHES)
		r = reader_compile(reader, selector);
	return r;
}

/* Add a selector to SET: NULL for want of memory. */
static struct selector *filter_grow(struct filter_set *set)
{
	struct selector *selectors;

	/* Doubled. */
	if (!(set->count & (set->count - 1))) {
		selectors = reallocarray(set->selectors, set->count ? 2 * set->count : 1,
					 sizeof(*selectors));
		if (!selectors)
			return NULL;
		set->selectors = selectors;
	}
	set->selectors[set->count] = (struct selector){ 0 };
	return &set->selectors[set->count++];
}

/* Read one filter into SET. */
static int filter_read(struct filter_set *set, struct text text, char *reason)
{
	struct reader reader = { .input = text, .reason = reason };
	struct selector *selector;
	int r;

	if (!text.count) {
		set->all = true;
		return 0;
	}
	if (text.count > FILTER_BYTES_MAX)
		return reader_fail(&reader, "more than %d bytes", FILTER_BYTES_MAX);
	if (text_fault(text))
		return reader_fail(&reader, "%s", text_fault(text));
	for (;;) {
		if (set->count == FILTER_SELECTORS_MAX)
			return reader_fail(&reader, "more than %d conditions",
					   FILTER_SELECTORS_MAX);
		selector = filter_grow(set);
		if (!selector)
			return -ENOMEM;
		r = reader_selector(&reader, selector);
		if (r)
			return r;
		set->slow |= selector->pattern != NULL;
		if (reader.at == text.count) {
			selector->last = true;
			return 0;
		}
		/* Blanks do not count before a comma. */
		if (text.bytes[reader.at] != ',') {
			reader.from = reader.at;
			return reader_fail(&reader, "a comma was expected");
		}
		reader_next(&reader);
	}
}

int filter_set_read(const struct text *texts, size_t count, struct filter_set **ret_set,
		    char reason[FILTER_REASON_SIZE])
{
	struct filter_set *set;
	int r = 0;

	*ret_set = NULL;
	if (!count)
		return 0;
	set = calloc(1, sizeof(*set));
	if (!set)
		return -ENOMEM;
	for (size_t i = 0; !r && i < count; i++)
		r = filter_read(set, texts[i], reason);
	if (!r && set->slow) {
		set->context = pcre2_match_context_create(NULL);
		set->data = pcre2_match_data_create(1, NULL);
		if (!set->context || !set->data)
			r = -ENOMEM;
	}
	if (r) {
		filter_set_free(set);
		return r;
	}
	if (set->context) {
		pcre2_set_match_limit(set->context, FILTER_MATCH_STEPS_MAX);
		pcre2_set_depth_limit(set->context, FILTER_MATCH_STEPS_MAX);
		pcre2_set_heap_limit(set->context, FILTER_MATCH_KIB_MAX);
	}
	*ret_set = set;
	return 0;
}

void filter_set_free(struct filter_set *set)
{
	if (!set)
		return;
	for (size_t i = 0; i < set->count; i++) {
		free(set->selectors[i].key);
		free(set->selectors[i].value);
		pcre2_code_free(set->selectors[i].pattern);
	}
	pcre2_match_context_free(set->context);
	pcre2_match_data_free(set->data);
	free(set->selectors);
	free(set);
}

/* The value that SELECTOR looks at, "" where there is none: is it present? */
static bool selector_value(const struct selector *selector, const struct snapshot *snapshot,
			   struct text *ret_value)
{
	struct text key = { selector->key ? selector->key : "", selector->key_bytes };

	*ret_value = text_of_string("");
	switch (selector->field) {
	case FIELD_NAME:
		*ret_value = snapshot_key(snapshot);
		return true;
	case FIELD_PARENT:
		*ret_value = snapshot_parent_seen(snapshot);
		return true;
	case FIELD_KIND:
		*ret_value = text_of_string(snapshot_kind_name(snapshot->kind));
		return true;
	case FIELD_LABEL:
		return labels_find(&snapshot->labels, key, ret_value);
	default:
		return false;
	}
}

/* Does the expression of SELECTOR match VALUE? 1, 0, -EINVAL. */
static int selector_matches(const struct filter_set *set, const struct selector *selector,
			    struct text value, char *reason)
{
	char quoted[FILTER_REASON_SIZE / 2];
	struct text pattern = { selector->value, selector->value_bytes };
	int r = pcre2_match(selector->pattern, (PCRE2_SPTR)value.bytes, value.count, 0,
			    PCRE2_NO_UTF_CHECK, set->data, set->context);

	if (r >= 0)
		return 1;
	if (r == PCRE2_ERROR_NOMATCH)
		return 0;
	snprintf(reason, FILTER_REASON_SIZE, "the regular expression %s takes too many steps",
		 text_quote(pattern, quoted, sizeof(quoted)));
	return -EINVAL;
}

/* Is the condition of SELECTOR met? 1, 0, -EINVAL. */
static int selector_match(const struct filter_set *set, const struct selector *selector,
			  const struct snapshot *snapshot, char *reason)
{
	struct text value, wanted = { selector->value, selector->value_bytes };
	bool present = selector_value(selector, snapshot, &value);

	switch (selector->test) {
	case FILTER_EQUAL:
		return present && text_equal(value, wanted);
	case FILTER_NOT_EQUAL:
		return !text_equal(value, wanted);
	case FILTER_MATCHES:
		return selector_matches(set, selector, value, reason);
	default:
		return present;
	}
}

/* The work that SELECTOR is for SNAPSHOT. */
static unsigned selector_work(const struct selector *selector, const struct snapshot *snapshot)
{
	unsigned work = selector->pattern ? FILTER_WORK_MATCH : 1;

	/* The labels are searched one by one. */
	return selector->field == FIELD_LABEL ? work + snapshot->labels.bytes / FILTER_WORK_BYTES
					      : work;
}

int filter_set_match(const struct filter_set *set, const struct snapshot *snapshot,
		     struct filter_place *place, unsigned *work, char reason[FILTER_REASON_SIZE])
{
	if (!set || set->all)
		return 1;
	for (; place->selector < set->count; place->selector++) {
		const struct selector *selector = &set->selectors[place->selector];

		/* What is not met ends its filter. */
		if (!place->unmet) {
			unsigned needed = selector_work(selector, snapshot);
			int r;

			if (!*work)
				return -EAGAIN;
			*work -= needed < *work ? needed : *work;
			r = selector_match(set, selector, snapshot, reason);
			if (r < 0)
				return r;
			place->unmet = !r;
		}
		if (selector->last) {
			if (!place->unmet)
				return 1;
			place->unmet = false;
		}
	}
	return 0;
}
