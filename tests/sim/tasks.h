/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The simulator: the engine as it is, on a model of the kernel, in one thread.
 *
 *	sim.c		the program: seeds in, the first failure out
 *	schedule.[ch]	what one seed does: the programs, the cut, the recovery
 *	programs.[ch]	what a program does, from open to close
 *	requests.[ch]	how a request is made, and what has to be true when it has ended
 *	layers.[ch]	layers, and what of them is checked at any time
 *	spares.[ch]	the parent of spare copies, and what its children must be
 *	digests.[ch]	the threads that share digests, on a stream and a codec of their own
 *	seeded.c	bugs put into the engine on purpose, which the checks must find
 *	archive.c	a libarchive that knows one archive
 *	kernel.c	system calls in the place of libc's: descriptors, paths, errors on purpose
 *	files.c looks.c changes.c events.c	calls by what they do
 *	ioctls.c	the ioctls of btrfs
 *	ring.c		the io_uring
 *	unknown.c	calls that end a schedule, since the model has no answer
 *	model.[ch]	btrfs in memory: trees, transactions, what a power cut leaves
 *	threads.c	pthreads, clocks and memory in the place of libc's
 *	tasks.[ch]	tasks, simulated processes, virtual time
 *
 * A task is a coroutine: a thread of a simulated process. Tasks run one at a time, and change at
 * calls only: at each, the seed's random numbers decide whether another one goes on, so that a seed
 * is a schedule. Time is virtual: it advances when no task can run. The linker's --wrap puts our
 * functions in the place of libc's, in the objects of the engine and of the tests; called outside
 * of a task they are libc's.
 *
 * A simulated process has its memory, its descriptors and its locks. To kill it is to forget its
 * tasks. A power cut kills all of them, and the model goes back to what was durable.
 */
#ifndef SIM_TASKS_H
#define SIM_TASKS_H

#include <setjmp.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SIM_TASKS_MAX 256
#define SIM_PROCESSES_MAX 4
#define SIM_STACK_BYTES (256 * 1024)
#define SIM_ARENA_BYTES (64ul * 1024 * 1024)
/* Sizes of memory are powers of two, from 2^4 on. */
#define SIM_ARENA_CLASSES 24
/* Virtual time after which a program that has not ended hangs; longer than any pause of ours. */
#define SIM_HANG_NS (600 * 1000000000ull)
/* Calls after which it runs in a circle. */
#define SIM_STEPS_MAX 400000
/* Never, as a time to wait until. */
#define SIM_FOREVER UINT64_MAX

/* The memory of a process: handed out in order, taken back as a whole. */
struct sim_arena {
	char *base;
	size_t used;
	/* What was given back, by the size. */
	void *free[SIM_ARENA_CLASSES];
};

struct task;

struct process {
	unsigned number;
	/* Of 0 or of a user without privilege. */
	uint32_t uid;
	/* It has not ended; it is killed, and some of its tasks have calls to finish. */
	bool alive, doomed;
	/* Tasks of it that have not ended; the first one, with which it ends. */
	unsigned tasks;
	struct task *main;
	struct sim_arena arena;
};

enum task_state { TASK_FREE, TASK_RUNNABLE, TASK_BLOCKED, TASK_ENDED };

struct task {
	enum task_state state;
	/* Not used again in a schedule. */
	unsigned number;
	struct process *process;
	/* Its name in traces. */
	char name[16];
	void *(*run)(void *data);
	void *data, *result;
	/* Where it goes on, and where what runs on its stack begins. */
	jmp_buf context, begin;
	/* Kept from schedule to schedule. */
	char *stack;
	/* libc has one of these a thread. */
	int saved_errno;
	/* Blocked: on what, until when, and whether that time has come. */
	const void *on;
	uint64_t until_ns;
	bool timed_out;
	/* Its place among the runnable ones. */
	unsigned runnable_at;
	/* The call that it made last, for traces. */
	const char *call;
	/* It is in a call that a signal does not end; it is killed, and ends behind that. */
	bool in_call, doomed;
	/* No other task waits for its end. */
	bool detached;
};

/* How a run ended. */
enum sim_end {
	/* all processes have ended, or were killed */
	SIM_ENDED,
	/* the power was cut */
	SIM_CUT,
	/* a check, or the simulator itself, has found something */
	SIM_FAILED,
};

struct sim {
	uint64_t random;
	uint64_t now_ns;
	/* NULL: no task runs. */
	struct task *current;
	/* Calls made so far. */
	unsigned steps;
	/* When the power is cut; 0: not at all. */
	unsigned cut_at;
	/* When process KILL_NUMBER is killed; 0: not at all. */
	unsigned kill_at, kill_number;
	/* Of 256 calls, after how many another task may go on. */
	unsigned switch_chance;
	/* Why the run failed; "" for not. */
	char failure[512];
	/* Print what happens. */
	bool trace;
	struct task tasks[SIM_TASKS_MAX];
	/* How many of them were ever used in this schedule, and the number of the next one. */
	unsigned tasks_used, task_next;
	struct task *runnable[SIM_TASKS_MAX];
	unsigned runnable_count;
	struct process processes[SIM_PROCESSES_MAX];
	unsigned processes_used;
	/* Where sim_run() goes on; the stack that is being made, and where that goes on. */
	jmp_buf back, made;
	struct task *making;
	enum sim_end end;
};

extern struct sim sim;

/* Begin a schedule: no processes, time and calls from 0, random numbers by SEED. */
void sim_begin(uint64_t seed);

/* A random number below COUNT, which is not 0. */
unsigned sim_random(unsigned count);

/* Is it one of CHANCE times of 256? */
bool sim_chance(unsigned chance);

/* Start a process, whose first task is RUN(DATA). */
struct process *sim_process(const char *name, void *(*run)(void *data), void *data);

/*
 * Kill PROCESS: its tasks are forgotten, once they have finished calls that a signal does not end;
 * its descriptors are closed.
 */
void sim_kill(struct process *process);

/* Kill all. */
void sim_kill_all(void);

/* Run the tasks until all processes have ended, the power is cut, or the run fails. */
enum sim_end sim_run(void);

/* Run CHECK, outside of a task: false where it calls sim_fail(). */
bool sim_check(void (*check)(void));

/* A call is about to be made: the place for another task to go on, a kill, a power cut. */
void sim_point(void);

/* End the run as failed, with a reason. */
_Noreturn void sim_fail(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* A call begins that a signal does not end, or has ended: then a task that was killed ends. */
void sim_call_begin(void);
void sim_call_end(void);

/* Print, where the run is traced, what the current task does. */
#define sim_trace(...) ((void)(sim.trace && (sim_trace_print(__VA_ARGS__), 0)))
void sim_trace_print(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Start a task RUN(DATA) in the current process; NULL when there are too many. */
struct task *task_start(struct process *process, const char *name, void *(*run)(void *data),
			void *data);

/* Forget TASK, which has ended. */
void task_free(struct task *task);

/* Block the current task until task_wake(ON) or UNTIL_NS: was it the time? */
bool task_block(const void *on, uint64_t until_ns);

/* Wake one task that is blocked on ON, by chance; or ALL of them. */
void task_wake(const void *on, bool all);

/* Let another task go on, if the seed wants it. */
void task_yield(void);

/* Memory of PROCESS; NULL where there is none left. */
void *sim_arena_take(struct process *process, size_t size);

/* How many bytes there are at MEMORY; 0: it is not memory of a process. */
size_t sim_arena_size(const void *memory);

/* Give MEMORY back. */
void sim_arena_give(struct process *process, void *memory);

#endif
