/* SPDX-License-Identifier: Apache-2.0 */
#include "labels.h"

#include <errno.h>
#include <stdlib.h>

void labels_destroy(struct labels *labels)
{
	free(labels->pairs);
	*labels = (struct labels){ 0 };
}

/* By key; of equal ones, which lie in one array of the wire's order, the later one first. */
static int label_order(const void *a, const void *b)
{
	const struct label *one = a, *other = b;
	int r = text_compare(one->key, other->key);

	return r ? r : (one->order < other->order) - (one->order > other->order);
}

/* Append TEXT and a NUL at *AT. */
static void labels_append(char **at, struct text text)
{
	memcpy(*at, text.bytes, text.count);
	*at += text.count;
	*(*at)++ = 0;
}

int labels_make(struct label *list, size_t count, struct labels *ret_labels)
{
	struct labels labels = { 0 };
	char *at;

	for (size_t i = 0; i < count; i++)
		list[i].order = i;
	if (count)
		qsort(list, count, sizeof(*list), label_order);
	/* What is to be left out loses its value. */
	for (size_t i = 1; i < count; i++)
		if (text_equal(list[i].key, list[i - 1].key))
			list[i].value.count = 0;
	for (size_t i = 0; i < count; i++) {
		if (!list[i].value.count)
			continue;
		labels.bytes += (uint32_t)(list[i].key.count + list[i].value.count + 2);
		labels.count++;
	}
	if (labels.count) {
		labels.pairs = at = malloc(labels.bytes);
		if (!at)
			return -ENOMEM;
		for (size_t i = 0; i < count; i++) {
			if (!list[i].value.count)
				continue;
			labels_append(&at, list[i].key);
			labels_append(&at, list[i].value);
		}
	}
	*ret_labels = labels;
	return 0;
}

bool labels_next(const struct labels *labels, struct label *label)
{
	const char *at = label->key.bytes ? label->value.bytes + label->value.count + 1
					  : labels->pairs;

	if (!labels->count || at == labels->pairs + labels->bytes)
		return false;
	label->key = text_of_string(at);
	label->value = text_of_string(at + label->key.count + 1);
	return true;
}

bool labels_find(const struct labels *labels, struct text key, struct text *ret_value)
{
	struct label label = { 0 };

	while (labels_next(labels, &label)) {
		if (!text_equal(label.key, key))
			continue;
		*ret_value = label.value;
		return true;
	}
	return false;
}

struct text labels_value(const struct labels *labels, const char *key)
{
	struct text value = text_of_string("");

	labels_find(labels, text_of_string(key), &value);
	return value;
}
