/* SPDX-License-Identifier: Apache-2.0 */
/* A longjmp() to another stack is what is done here, and no mistake. */
#undef _FORTIFY_SOURCE

#include "tasks.h"
#include "engine/base/util.h"
#include "kernel.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <ucontext.h>

struct sim sim;

/* The real one, also while a task runs. */
void *__real_mmap(void *at, size_t size, int protection, int flags, int fd, off_t offset);

/* Bytes in front of memory: what class it is of. */
#define ARENA_HEADER 16

/* ---- random numbers, failures ---------------------------------------------------------------- */

/* splitmix64. */
static uint64_t sim_random64(void)
{
	uint64_t z = sim.random += 0x9e3779b97f4a7c15;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
	z = (z ^ z >> 27) * 0x94d049bb133111eb;
	return z ^ z >> 31;
}

unsigned sim_random(unsigned count)
{
	return (unsigned)((sim_random64() >> 32) * count >> 32);
}

bool sim_chance(unsigned chance)
{
	return chance && (sim_random64() >> 56) < chance;
}

void sim_trace_print(const char *format, ...)
{
	const struct task *task = sim.current;
	va_list arguments;

	fprintf(stderr, "%6u %10.6f ", sim.steps, (double)sim.now_ns / 1e9);
	if (task)
		fprintf(stderr, "p%u %-14s ", task->process->number, task->name);
	va_start(arguments, format);
	vfprintf(stderr, format, arguments);
	va_end(arguments);
	fputc('\n', stderr);
}

/* Go back to sim_run(), with the outcome END. */
static _Noreturn void sim_leave(enum sim_end end)
{
	sim.end = end;
	sim.current = NULL;
	_longjmp(sim.back, 1);
}

void sim_fail(const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(sim.failure, sizeof(sim.failure), format, arguments);
	va_end(arguments);
	sim_trace("FAILED: %s", sim.failure);
	sim_leave(SIM_FAILED);
}

/* ---- memory ---------------------------------------------------------------------------------- */

/* SIZE bytes of memory, for as long as the program runs. */
static char *memory_of(size_t size)
{
	void *memory = __real_mmap(NULL, size, PROT_READ | PROT_WRITE,
				   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (memory == MAP_FAILED)
		abort();
	return memory;
}

/* The class of SIZE bytes. */
static unsigned sim_arena_class(size_t size)
{
	return size <= 16 ? 0 : (unsigned)(60 - __builtin_clzl(size - 1));
}

void *sim_arena_take(struct process *process, size_t size)
{
	struct sim_arena *arena = &process->arena;
	unsigned class = sim_arena_class(size);
	char *memory;

	if (class >= SIM_ARENA_CLASSES)
		return NULL;
	memory = arena->free[class];
	if (memory) {
		memcpy(&arena->free[class], memory, sizeof(void *));
		return memory;
	}
	if (arena->used + ARENA_HEADER + (16ul << class) > SIM_ARENA_BYTES)
		return NULL;
	memory = arena->base + arena->used + ARENA_HEADER;
	arena->used += ARENA_HEADER + (16ul << class);
	memory[-ARENA_HEADER] = (char)class;
	return memory;
}

/* The process whose memory is at MEMORY; NULL: none. */
static struct process *sim_arena_owner(const void *memory)
{
	for (unsigned i = 0; i < SIM_PROCESSES_MAX; i++) {
		struct process *process = &sim.processes[i];
		uintptr_t offset = (uintptr_t)memory - (uintptr_t)process->arena.base;

		if (process->arena.base && offset < SIM_ARENA_BYTES)
			return process;
	}
	return NULL;
}

size_t sim_arena_size(const void *memory)
{
	return sim_arena_owner(memory) ? 16ul << ((const char *)memory)[-ARENA_HEADER] : 0;
}

void sim_arena_give(struct process *process, void *memory)
{
	unsigned class = (unsigned)((char *)memory)[-ARENA_HEADER];

	if (sim_arena_owner(memory) != process)
		sim_fail("memory of another process is freed");
	memcpy(memory, &process->arena.free[class], sizeof(void *));
	process->arena.free[class] = memory;
}

/* ---- tasks ----------------------------------------------------------------------------------- */

/* TASK may run. */
static void task_ready(struct task *task)
{
	task->state = TASK_RUNNABLE;
	task->runnable_at = sim.runnable_count;
	sim.runnable[sim.runnable_count++] = task;
}

/* TASK, which is runnable, is in STATE from now on. */
static void task_halt(struct task *task, enum task_state state)
{
	struct task *last = sim.runnable[--sim.runnable_count];

	sim.runnable[task->runnable_at] = last;
	last->runnable_at = task->runnable_at;
	task->state = state;
}

/* Let the time come that a blocked task waits for: the earliest. Is there one? */
static bool task_advance(void)
{
	uint64_t earliest = SIM_FOREVER;

	for (unsigned i = 0; i < sim.tasks_used; i++)
		if (sim.tasks[i].state == TASK_BLOCKED && sim.tasks[i].until_ns < earliest)
			earliest = sim.tasks[i].until_ns;
	if (earliest == SIM_FOREVER)
		return false;
	if (sim.now_ns < earliest)
		sim.now_ns = earliest;
	for (unsigned i = 0; i < sim.tasks_used; i++) {
		struct task *task = &sim.tasks[i];

		if (task->state == TASK_BLOCKED && task->until_ns <= sim.now_ns) {
			task->timed_out = true;
			task_ready(task);
		}
	}
	return true;
}

/* Does any process still run? */
static bool sim_alive(void)
{
	for (unsigned i = 0; i < sim.processes_used; i++)
		if (sim.processes[i].alive)
			return true;
	return false;
}

/* Fail, because nothing moves; say what each task waits for. */
static _Noreturn void sim_hang(const char *how)
{
	for (unsigned i = 0; sim.trace && i < sim.tasks_used; i++) {
		const struct task *task = &sim.tasks[i];

		if (task->state == TASK_BLOCKED)
			sim_trace("p%u %s is blocked until %llu", task->process->number, task->name,
				  (unsigned long long)task->until_ns);
	}
	sim_fail("hang: %s", how);
}

/* Choose the task that goes on. */
static struct task *task_choose(void)
{
	if (!sim_alive())
		sim_leave(SIM_ENDED);
	while (!sim.runnable_count)
		if (!task_advance())
			sim_hang("no task can run, and none waits for a time");
	if (sim.now_ns > SIM_HANG_NS)
		sim_hang("it takes too long");
	return sim.runnable[sim.runnable_count > 1 ? sim_random(sim.runnable_count) : 0];
}

/* Go on with TASK, on its stack. */
static _Noreturn void task_resume(struct task *task)
{
	sim.current = task;
	errno = task->saved_errno;
	_longjmp(task->context, 1);
}

/* Let the task that is chosen go on; returns when the current one goes on. */
static void task_switch(void)
{
	struct task *task = sim.current, *next = task_choose();

	if (next == task)
		return;
	task->saved_errno = errno;
	if (!_setjmp(task->context))
		task_resume(next);
}

void task_yield(void)
{
	if (sim.runnable_count > 1 && sim_chance(sim.switch_chance))
		task_switch();
}

bool task_block(const void *on, uint64_t until_ns)
{
	struct task *task = sim.current;

	task->on = on;
	task->until_ns = until_ns;
	task->timed_out = false;
	task_halt(task, TASK_BLOCKED);
	task_switch();
	task->on = NULL;
	return task->timed_out;
}

void task_wake(const void *on, bool all)
{
	struct task *waiting[SIM_TASKS_MAX];
	unsigned count = 0;

	for (unsigned i = 0; i < sim.tasks_used; i++)
		if (sim.tasks[i].state == TASK_BLOCKED && sim.tasks[i].on == on)
			waiting[count++] = &sim.tasks[i];
	if (!all && count) {
		waiting[0] = waiting[count > 1 ? sim_random(count) : 0];
		count = 1;
	}
	for (unsigned i = 0; i < count; i++)
		task_ready(waiting[i]);
}

/* The current task has ended. */
static _Noreturn void task_end(void)
{
	struct task *task = sim.current;
	struct process *process = task->process;

	task_halt(task, TASK_ENDED);
	task_wake(task, true);
	/* As by exit(): the first task is the program. */
	if (task == process->main)
		sim_kill(process);
	else if (task->detached)
		task_free(task);
	task_resume(task_choose());
}

/*
 * The bottom of each stack: the first time it notes itself as the place where tasks begin, and goes
 * back to where the stack was made.
 */
static void task_bottom(void)
{
	if (!_setjmp(sim.making->begin))
		_longjmp(sim.made, 1);
	sim.current->result = sim.current->run(sim.current->data);
	task_end();
}

/* Make the stack of TASK, which is kept for the next schedules. */
static void task_make_stack(struct task *task)
{
	ucontext_t bottom;

	task->stack = memory_of(SIM_STACK_BYTES);
	getcontext(&bottom);
	bottom.uc_stack.ss_sp = task->stack;
	bottom.uc_stack.ss_size = SIM_STACK_BYTES;
	makecontext(&bottom, task_bottom, 0);
	sim.making = task;
	if (!_setjmp(sim.made))
		setcontext(&bottom);
}

struct task *task_start(struct process *process, const char *name, void *(*run)(void *data),
			void *data)
{
	struct task *task = NULL;

	for (unsigned i = 0; !task && i < SIM_TASKS_MAX; i++)
		if (sim.tasks[i].state == TASK_FREE)
			task = &sim.tasks[i];
	if (!task)
		return NULL;
	if (!task->stack)
		task_make_stack(task);
	sim.tasks_used = MAX(sim.tasks_used, (unsigned)(task - sim.tasks) + 1);
	task->number = ++sim.task_next;
	task->process = process;
	snprintf(task->name, sizeof(task->name), "%s", name);
	task->run = run;
	task->data = data;
	task->on = NULL;
	task->saved_errno = 0;
	task->in_call = task->doomed = task->detached = false;
	memcpy(&task->context, &task->begin, sizeof(task->context));
	process->tasks++;
	task_ready(task);
	return task;
}

/* ---- processes ------------------------------------------------------------------------------- */

struct process *sim_process(const char *name, void *(*run)(void *data), void *data)
{
	struct process *process = &sim.processes[sim.processes_used++];

	if (!process->arena.base)
		process->arena.base = memory_of(SIM_ARENA_BYTES);
	process->arena.used = 0;
	memset(process->arena.free, 0, sizeof(process->arena.free));
	process->number = sim.processes_used;
	process->uid = 0;
	process->alive = true;
	process->doomed = false;
	process->tasks = 0;
	process->main = task_start(process, name, run, data);
	return process;
}

/* PROCESS has no tasks any more. */
static void sim_ended(struct process *process)
{
	process->alive = process->doomed = false;
	kernel_exit(process);
}

void task_free(struct task *task)
{
	if (task->state == TASK_RUNNABLE)
		task_halt(task, TASK_FREE);
	task->state = TASK_FREE;
	task->process->tasks--;
}

void sim_kill(struct process *process)
{
	unsigned busy = 0;

	for (unsigned i = 0; i < sim.tasks_used; i++) {
		struct task *task = &sim.tasks[i];

		if (task->state == TASK_FREE || task->process != process)
			continue;
		if (task->in_call && task->state != TASK_ENDED) {
			task->doomed = true;
			busy++;
		} else
			task_free(task);
	}
	process->doomed = busy;
	if (!busy)
		sim_ended(process);
}

void sim_call_begin(void)
{
	sim.current->in_call = true;
}

void sim_call_end(void)
{
	struct task *task = sim.current;
	struct process *process = task->process;

	task->in_call = false;
	if (!task->doomed)
		return;
	task_free(task);
	if (!process->tasks)
		sim_ended(process);
	task_resume(task_choose());
}

void sim_kill_all(void)
{
	for (unsigned i = 0; i < sim.tasks_used; i++)
		if (sim.tasks[i].state != TASK_FREE)
			task_free(&sim.tasks[i]);
	for (unsigned i = 0; i < sim.processes_used; i++)
		if (sim.processes[i].alive)
			sim_ended(&sim.processes[i]);
	sim.processes_used = 0;
}

void sim_begin(uint64_t seed)
{
	sim_kill_all();
	sim.random = seed;
	sim.now_ns = 1000000000;
	sim.steps = sim.cut_at = sim.kill_at = sim.kill_number = 0;
	sim.switch_chance = 128;
	*sim.failure = '\0';
	sim.tasks_used = sim.task_next = 0;
}

enum sim_end sim_run(void)
{
	if (!_setjmp(sim.back))
		task_resume(task_choose());
	return sim.end;
}

bool sim_check(void (*check)(void))
{
	if (_setjmp(sim.back))
		return false;
	check();
	return true;
}

void sim_point(void)
{
	if (++sim.steps > SIM_STEPS_MAX)
		sim_hang("too many calls");
	if (sim.steps == sim.cut_at) {
		sim_trace("the power is cut");
		sim_leave(SIM_CUT);
	}
	if (sim.steps == sim.kill_at && sim.kill_number <= sim.processes_used) {
		struct process *victim = &sim.processes[sim.kill_number - 1];

		if (victim->alive && !victim->doomed) {
			bool here = victim == sim.current->process && !sim.current->in_call;

			sim_trace("process %u is killed", victim->number);
			sim_kill(victim);
			if (here)
				task_resume(task_choose());
		}
	}
	task_yield();
}
