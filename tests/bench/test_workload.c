/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The sequences of operations, played against a model of which layers are there: nothing is made
 * twice, used before it is there or removed twice; the work is done to the last layer.
 */
/* varve-test: backend=any root=no */
#include "test.h"
#include "load/random.h"
#include "load/workload.h"

#include <search.h>

#define SLOTS 16

/* The layers that are there, by name. */
struct model {
	void *names;  /* Tree of strings. */
	size_t count; /* How many. */
	size_t most;  /* Most there were. */
};

/* Order two names. */
static int by_name(const void *a, const void *b)
{
	return strcmp(a, b);
}

/* Take note of a new layer. */
static void model_add(struct model *model, const char *name)
{
	ck_assert_msg(!tfind(name, &model->names, by_name), "%s is made twice", name);
	tsearch(test_strdup(name), &model->names, by_name);
	if (++model->count > model->most)
		model->most = model->count;
}

/* Take a layer away. */
static void model_remove(struct model *model, const char *name)
{
	ck_assert_msg(tdelete(name, &model->names, by_name), "%s is removed but not there", name);
	model->count--;
}

/* Names belong to the test: there is nothing to free in a node. */
static void keep(void *name)
{
}

/* Forget all layers. */
static void model_clear(struct model *model)
{
	tdestroy(model->names, keep);
	*model = (struct model){ 0 };
}

/* Is there a layer NAME? */
static bool model_has(struct model *model, const char *name)
{
	return tfind(name, &model->names, by_name);
}

/* See that what SLOT asks for can be done, when it begins. */
static void check_begin(struct model *model, const struct workload *workload,
			const struct slot *slot)
{
	const struct bench_op *op = &slot->op;

	if (op->kind == BENCH_SNAPSHOT && strcmp(op->parent, workload->parent))
		ck_assert_msg(model_has(model, op->parent), "parent %s is not there", op->parent);
	for (uint32_t i = 0; i < op->count; i++) {
		if (op->kind == BENCH_REMOVE)
			model_remove(model, op->ids[i]);
		else if (op->kind != BENCH_SNAPSHOT && op->kind != BENCH_CREATE &&
			 op->kind != BENCH_NOOP)
			ck_assert_msg(model_has(model, op->ids[i]), "%s is used but not there",
				      op->ids[i]);
	}
}

/*
 * Play OPTIONS with SLOTS operations in flight that end in random order. Counts the kinds in KINDS.
 * Returns the total.
 */
static uint64_t play(const struct options *options, struct model *model, uint64_t *kinds)
{
	struct workload workload;
	struct slot slots[SLOTS] = { 0 }, *busy[SLOTS], *spare[SLOTS];
	uint64_t random = 5, total = 0;
	size_t busy_count = 0, spare_count = SLOTS;
	bool ended = false;

	ck_assert_int_eq(workload_init(&workload, options, "p.", 1), 0);
	for (uint64_t i = 0; i < workload.prepared; i++)
		model_add(model, test_path("p.%llu", (unsigned long long)i));
	for (size_t i = 0; i < SLOTS; i++) {
		spare[i] = &slots[i];
		ck_assert_int_eq(workload_slot_init(&workload, &slots[i]), 0);
	}
	while (!ended || busy_count) {
		size_t pick;

		while (!ended && spare_count) {
			enum workload_next next = workload_next(&workload, spare[spare_count - 1]);

			if (next == WORKLOAD_END || (next == WORKLOAD_WAIT && !busy_count))
				ended = true;
			if (next != WORKLOAD_OPERATION)
				break;
			check_begin(model, &workload, spare[spare_count - 1]);
			busy[busy_count++] = spare[--spare_count];
		}
		if (!busy_count)
			break;
		pick = random_next(&random) % busy_count;
		for (uint32_t i = 0; i < busy[pick]->op.count; i++)
			if (busy[pick]->op.kind == BENCH_SNAPSHOT ||
			    busy[pick]->op.kind == BENCH_CREATE)
				model_add(model, busy[pick]->op.ids[i]);
		kinds[busy[pick]->op.kind] += busy[pick]->op.count;
		total += busy[pick]->op.count;
		ck_assert_int_eq(workload_ended(&workload, busy[pick]), 0);
		spare[spare_count++] = busy[pick];
		busy[pick] = busy[--busy_count];
	}
	for (size_t i = 0; i < SLOTS; i++)
		workload_slot_destroy(&slots[i]);
	workload_destroy(&workload);
	return total;
}

START_TEST(test_create_and_remove)
{
	struct options options;
	struct model model = { 0 };
	uint64_t kinds[BENCH_KINDS] = { 0 };

	options_init(&options);
	options.rw = BENCH_CREATE;
	options.number_ios = 1003;
	options.batch = 10;
	ck_assert_uint_eq(play(&options, &model, kinds), 1003);
	ck_assert_uint_eq(model.count, 1003);
	options.rw = BENCH_REMOVE;
	options.loops = 2;
	model_clear(&model);
	ck_assert_uint_eq(play(&options, &model, kinds), 2006);
	ck_assert_uint_eq(model.count, 0);
	model_clear(&model);
}
END_TEST

START_TEST(test_churn_set)
{
	struct options options;
	struct model model = { 0 };
	uint64_t kinds[BENCH_KINDS] = { 0 };

	options_init(&options);
	options.rw = WORKLOAD_CHURN;
	options.iodepth = SLOTS;
	options.live = 100;
	options.number_ios = 5000;
	ck_assert_uint_eq(play(&options, &model, kinds), 5000);
	/* The set stays what it was, give or take what is in flight. */
	ck_assert_uint_le(model.most, 100 + SLOTS);
	ck_assert_uint_ge(model.count, 100 - SLOTS);
	ck_assert_uint_le(kinds[BENCH_SNAPSHOT] - kinds[BENCH_REMOVE], SLOTS);
	model_clear(&model);
}
END_TEST

START_TEST(test_forkjoin)
{
	struct options options;
	struct model model = { 0 };
	uint64_t kinds[BENCH_KINDS] = { 0 };

	options_init(&options);
	options.rw = WORKLOAD_CHURN;
	options.churn = CHURN_FORKJOIN;
	options.width = 4;
	options.iodepth = SLOTS;
	options.number_ios = 8000;
	ck_assert_uint_eq(play(&options, &model, kinds), 8000);
	/* Four forks at a time, each of four and the base they come from. */
	ck_assert_uint_le(model.most, 4 * (4 + 1));
	ck_assert_uint_gt(kinds[BENCH_REMOVE], 3900);
	model_clear(&model);
}
END_TEST

START_TEST(test_pipeline)
{
	struct options options;
	struct model model = { 0 };
	uint64_t kinds[BENCH_KINDS] = { 0 };

	options_init(&options);
	options.rw = WORKLOAD_CHURN;
	options.churn = CHURN_PIPELINE;
	options.width = 5;
	options.iodepth = SLOTS;
	options.number_ios = 8000;
	ck_assert_uint_eq(play(&options, &model, kinds), 8000);
	ck_assert_uint_le(model.most, SLOTS * 5);
	ck_assert_uint_gt(kinds[BENCH_REMOVE], 3900);
	/* A fork of one with nothing beside it has no removal at first: it must not stand still. */
	options.churn = CHURN_FORKJOIN;
	options.width = 1;
	model_clear(&model);
	ck_assert_uint_eq(play(&options, &model, kinds), 8000);
	model_clear(&model);
}
END_TEST

START_TEST(test_mix)
{
	struct options options;
	struct model model = { 0 };
	uint64_t kinds[BENCH_KINDS] = { 0 };

	options_init(&options);
	options.rw = WORKLOAD_MIX;
	options.mix[BENCH_SNAPSHOT] = 50;
	options.mix[BENCH_REMOVE] = 20;
	options.mix[BENCH_GET] = 30;
	options.live = 50;
	options.number_ios = 20000;
	ck_assert_uint_eq(play(&options, &model, kinds), 20000);
	ck_assert_uint_ge(kinds[BENCH_SNAPSHOT], 9600);
	ck_assert_uint_le(kinds[BENCH_SNAPSHOT], 10400);
	ck_assert_uint_ge(kinds[BENCH_GET], 5700);
	ck_assert_uint_le(kinds[BENCH_GET], 6300);
	/*
	 * With batches of removals that are larger than what is there, layers are made until there
	 * are enough.
	 */
	model_clear(&model);
	memset(kinds, 0, sizeof(kinds));
	options.mix[BENCH_SNAPSHOT] = 90;
	options.mix[BENCH_REMOVE] = 10;
	options.mix[BENCH_GET] = 0;
	options.remove_batch = 200;
	ck_assert_uint_eq(play(&options, &model, kinds), 20000);
	ck_assert_uint_gt(kinds[BENCH_REMOVE], 200 * 40);
	model_clear(&model);
}
END_TEST

START_TEST(test_reads)
{
	struct options options;
	struct model model = { 0 };
	uint64_t kinds[BENCH_KINDS] = { 0 };

	options_init(&options);
	options.rw = BENCH_USAGE;
	ck_assert_uint_eq(play(&options, &model, kinds), WORKLOAD_WALKS_DEFAULT);
	ck_assert_uint_eq(model.count, 1);
	model_clear(&model);
}
END_TEST

/* All layers take turns, and those of a batch are different ones. */
START_TEST(test_flush)
{
	struct workload workload;
	struct slot slot = { 0 };
	struct options options;
	struct model model = { 0 };
	uint64_t kinds[BENCH_KINDS] = { 0 };

	options_init(&options);
	options.rw = BENCH_FLUSH;
	options.batch = 8;
	options.number_ios = 100;
	ck_assert_uint_eq(play(&options, &model, kinds), 100);
	ck_assert_uint_eq(model.count, 8);
	model_clear(&model);
	options.live = 12;
	ck_assert_int_eq(workload_init(&workload, &options, "p.", 1), 0);
	ck_assert_int_eq(workload_slot_init(&workload, &slot), 0);
	for (unsigned i = 0; i < 9; i++) {
		ck_assert_int_eq(workload_next(&workload, &slot), WORKLOAD_OPERATION);
		ck_assert_uint_eq(slot.op.count, 8);
		for (unsigned j = 0; j < 8; j++)
			ck_assert_str_eq(slot.op.ids[j], test_path("p.%u", (i * 8 + j) % 12));
		ck_assert_int_eq(workload_ended(&workload, &slot), 0);
	}
	workload_slot_destroy(&slot);
	workload_destroy(&workload);
}
END_TEST

TEST_MAIN_UNIT("workload", test_create_and_remove, test_churn_set, test_forkjoin, test_pipeline,
	       test_mix, test_reads, test_flush)
