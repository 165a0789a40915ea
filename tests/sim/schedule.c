/* SPDX-License-Identifier: Apache-2.0 */
#include "schedule.h"
#include "engine/base/util.h"
#include "kernel.h"
#include "programs.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>

/* Calls that a program makes, more or less, in one request. */
#define CALLS_PER_REQUEST 40
/* How often the power is cut again while a store is being swept. */
#define CUTS_AGAIN_MAX 2
/* The owner of the store, and of all programs, where that is not root. */
#define USER 1000

struct schedule_statistics schedule_statistics;
uint32_t schedule_owner;

static struct program programs[PROGRAMS_MAX];
static unsigned programs_count;

/*
 * The file system as each schedule finds it, by the mode of quota, and by who owns the store;
 * transid 0: not made yet.
 */
static struct model_image templates[3][2];

bool schedule_failed(void)
{
	return kernel.errors || model.aborted || model.losses;
}

/* Let the model be as the template of QUOTA, which is made when it is first needed. */
static const char *schedule_begin(unsigned quota)
{
	layers.emptied_in_sight = false;
	kernel_begin();
	spares_begin(NULL);
	if (!templates[quota][schedule_owner != 0].transid) {
		enum seeded_bug bug = TAKE(seeded_bug, SEEDED_NONE);

		model_begin();
		sim_process("prepare", program_prepare, &quota)->uid = schedule_owner;
		if (sim_run() == SIM_FAILED)
			return sim.failure;
		seeded_bug = bug;
		templates[quota][schedule_owner != 0] = model.disk;
	}
	model_restore(&templates[quota][schedule_owner != 0]);
	return NULL;
}

/* Choose the parent of spare copies: one that stays, a contended one, one of the first program. */
static void schedule_choose_spares(void)
{
	static const char *const parents[] = { BASE, CONTENDED, CONTENDED, "p0-0" };

	spares_begin(parents[sim_random(4)]);
}

/* Choose the programs of a schedule; SPARES: their stores may have spare copies. */
static void schedule_choose(bool spares)
{
	unsigned calls = 0;

	programs_count = 1 + sim_random(PROGRAMS_MAX);
	layers.count = programs_count * LAYERS_OWN;
	for (unsigned i = 0; i < programs_count; i++) {
		struct program *program = &programs[i];

		*program = (struct program){ .number = i,
					     .layers = &layers.all[i * LAYERS_OWN],
					     .left = 1 +
						     sim_random(spares ? SCHEDULE_REQUESTS_MAX : 6),
					     .hasty = sim_random(4) == 0 };
		calls += 100 + CALLS_PER_REQUEST * program->left;
		for (unsigned j = 0; j < LAYERS_OWN; j++) {
			struct layer *layer = &program->layers[j];

			*layer = (struct layer){ .live = { .absent = true },
						 .durable = { .absent = true } };
			snprintf(layer->id, sizeof(layer->id), "%c%u-%u",
				 (spares ? "ppppllppaaee" : "ppssllaaqqee")[j], i, j);
		}
	}
	kernel.xattr_at = sim_random(2);
	kernel.sysfs = sim_random(4);
	kernel.users_destroy = sim_random(2);
	sim.switch_chance = (unsigned[]){ 8, 64, 256, 256 }[sim_random(4)];
	if (sim_random(4) == 0)
		kernel.error_chance = 65536 / calls * (1 + sim_random(4));
	if (sim_random(8) == 0) {
		kernel.full_from = 1 + sim_random(calls);
		kernel.full_until = kernel.full_from + sim_random(calls);
	}
	if (sim_random(16) == 0)
		model.loss_chance = 32;
	if (spares)
		schedule_choose_spares();
	layers.emptied_in_sight = schedule_owner && (kernel.error_chance || kernel.full_until);
	if (sim_random(16) == 0)
		model.commits_good = model.commits + 1 + sim_random(8);
	if (sim_random(2))
		sim.cut_at = 1 + sim_random(calls);
	else if (sim_random(2)) {
		sim.kill_at = 1 + sim_random(calls);
		sim.kill_number = 1 + sim_random(programs_count);
	}
}

/* Run what is to be run; false: it has failed. */
static bool schedule_go(void)
{
	enum sim_end end = sim_run();

	schedule_statistics.calls += sim.steps;
	schedule_statistics.errors += kernel.errors;
	sim.steps = sim.cut_at = sim.kill_at = 0;
	kernel.error_chance = model.commits_good = 0;
	kernel.full_from = kernel.full_until = 0;
	model.loss_chance = model.losses = 0;
	if (end == SIM_FAILED)
		return false;
	/* A file system whose commit has failed is of use again when it is mounted anew. */
	if (end == SIM_ENDED && model.aborted)
		end = SIM_CUT;
	if (end == SIM_CUT) {
		schedule_statistics.cuts++;
		sim_kill_all();
		model_cut();
	}
	return sim_check(end == SIM_CUT ? layers_check_cut : layers_check_end);
}

/*
 * Open the store again, sweep, check; the power may be cut meanwhile, the file system be full, or
 * calls fail: then once more.
 */
static bool schedule_recover(void)
{
	for (unsigned cuts = 0;; cuts++) {
		uint64_t before = schedule_statistics.cuts;
		bool failing = cuts < CUTS_AGAIN_MAX && sim_random(8) == 0;
		bool as_owner = schedule_owner && (failing || sim_random(2));

		if (cuts < CUTS_AGAIN_MAX && sim_random(4) == 0)
			sim.cut_at = 1 + sim_random(200);
		if (failing && sim_random(2))
			kernel.full_until = UINT_MAX;
		else if (failing)
			kernel.error_chance = 65536 / 200;
		sim.switch_chance = 64;
		layers.emptied_in_sight |= as_owner && failing;
		kernel.errors = 0;
		sim.processes_used = 0;
		sim_process("recover", program_recover, NULL)->uid = as_owner ? schedule_owner : 0;
		if (!schedule_go())
			return false;
		/* A sweep removes all when nothing fails, and root runs it. */
		if (schedule_statistics.cuts == before && !failing && !as_owner)
			return true;
	}
}

const char *schedule_run(uint64_t seed, bool trace)
{
	const char *failure;
	bool good;

	sim_begin(0);
	sim.trace = false;
	model.changed = model.committed = NULL;
	schedule_owner = seed % 24 < 3 ? USER : 0;
	failure = schedule_begin((unsigned)(seed % 3));
	if (failure)
		return failure;
	sim_begin(seed);
	sim.trace = trace;
	model.changed = layers_changed;
	model.committed = layers_committed;
	/* Without privilege, and while quota runs, there are no spare copies. */
	schedule_choose(seed % 3 == MODEL_QUOTA_OFF && !schedule_owner && sim_random(2));
	for (unsigned i = 0; i < programs_count; i++)
		sim_process(SCHEDULE_PROGRAM, program_run, &programs[i])->uid = schedule_owner;
	good = schedule_go() && schedule_recover() && sim_check(layers_check_swept);
	schedule_statistics.schedules++;
	schedule_statistics.kills += sim.kill_number != 0;
	schedule_statistics.with_spares += spares_parent() != NULL;
	schedule_statistics.commits += model.commits;
	return good ? NULL : sim.failure;
}
