/* SPDX-License-Identifier: Apache-2.0 */
/* Threads, clocks and memory of simulated processes, in the place of libc's. */
#include "kernel.h"
#include "wrap.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

/* What a look at the clock takes. */
#define CLOCK_LOOK_NS 1000
/* Of 256 times that a lock is taken, those before which another task may go on. */
#define LOCK_CHANCE 16
/* The first number that a process, and a thread, has. */
#define PROCESS_NUMBER_MIN 1000

/* What is in a pthread_mutex_t, and in a pthread_cond_t: zeros at first. */
struct mutex {
	struct task *owner;
	unsigned waiting;
};

struct condition {
	unsigned waiting;
};

/* ---- memory ---------------------------------------------------------------------------------- */

WRAP(void *, malloc, (size_t size))
{
	void *memory;

	OUTSIDE(__real_malloc(size));
	memory = sim_arena_take(sim.current->process, size);
	if (!memory)
		errno = ENOMEM;
	return memory;
}

WRAP(void *, calloc, (size_t count, size_t size))
{
	void *memory;

	OUTSIDE(__real_calloc(count, size));
	memory = __wrap_malloc(count * size);
	return memory ? memset(memory, 0, count * size) : NULL;
}

WRAP(void, free, (void *memory))
{
	if (!memory)
		return;
	if (!sim_arena_size(memory))
		__real_free(memory);
	else
		sim_arena_give(sim.current->process, memory);
}

WRAP(void *, realloc, (void *old, size_t size))
{
	size_t room = old ? sim_arena_size(old) : 0;
	void *memory;

	if (!sim.current || (old && !room))
		return __real_realloc(old, size);
	if (size <= room)
		return old;
	memory = __wrap_malloc(size);
	if (memory && old) {
		memcpy(memory, old, room);
		__wrap_free(old);
	}
	return memory;
}

WRAP(void *, reallocarray, (void *old, size_t count, size_t size))
{
	OUTSIDE(__real_reallocarray(old, count, size));
	return __wrap_realloc(old, count * size);
}

WRAP(char *, strdup, (const char *text))
{
	size_t size = strlen(text) + 1;
	char *copy;

	OUTSIDE(__real_strdup(text));
	copy = __wrap_malloc(size);
	return copy ? memcpy(copy, text, size) : NULL;
}

WRAP(char *, strndup, (const char *text, size_t max))
{
	size_t length = strnlen(text, max);
	char *copy;

	OUTSIDE(__real_strndup(text, max));
	copy = __wrap_calloc(1, length + 1);
	return copy ? memcpy(copy, text, length) : NULL;
}

WRAP(int, vasprintf, (char **ret_text, const char *format, va_list arguments))
{
	va_list again;
	int length;

	OUTSIDE(__real_vasprintf(ret_text, format, arguments));
	va_copy(again, arguments);
	length = vsnprintf(NULL, 0, format, again);
	va_end(again);
	*ret_text = length < 0 ? NULL : __wrap_malloc((size_t)length + 1);
	return *ret_text ? vsnprintf(*ret_text, (size_t)length + 1, format, arguments) : -1;
}

WRAP(int, asprintf, (char **ret_text, const char *format, ...))
{
	va_list arguments;
	int r;

	va_start(arguments, format);
	r = __wrap_vasprintf(ret_text, format, arguments);
	va_end(arguments);
	return r;
}

/* Pages are memory like any other. */
WRAP(void *, mmap, (void *at, size_t size, int protection, int flags, int fd, off_t offset))
{
	void *memory;

	OUTSIDE(__real_mmap(at, size, protection, flags, fd, offset));
	if (!(flags & MAP_ANONYMOUS))
		sim_fail("unknown call: mmap of a file");
	memory = __wrap_calloc(1, size);
	return memory ? memory : MAP_FAILED;
}

WRAP(int, munmap, (void *memory, size_t size))
{
	OUTSIDE(__real_munmap(memory, size));
	__wrap_free(memory);
	return 0;
}

WRAP(int, madvise, (void *memory, size_t size, int advice))
{
	OUTSIDE(__real_madvise(memory, size, advice));
	return 0;
}

WRAP(int, mprotect, (void *memory, size_t size, int protection))
{
	OUTSIDE(__real_mprotect(memory, size, protection));
	return 0;
}

/* ---- threads --------------------------------------------------------------------------------- */

WRAP(int, pthread_create, (pthread_t * to, const void *with, void *(*run)(void *), void *data))
{
	struct task *task;

	OUTSIDE(__real_pthread_create(to, with, run, data));
	task = task_start(sim.current->process, "thread", run, data);
	if (!task)
		return EAGAIN;
	memcpy(to, &task, sizeof(task));
	return 0;
}

/* The task of THREAD. */
static struct task *thread_task(pthread_t thread)
{
	struct task *task;

	memcpy(&task, &thread, sizeof(task));
	return task;
}

WRAP(int, pthread_join, (pthread_t thread, void **ret_result))
{
	struct task *task = thread_task(thread);

	OUTSIDE(__real_pthread_join(thread, ret_result));
	while (task->state != TASK_ENDED)
		task_block(task, SIM_FOREVER);
	if (ret_result)
		*ret_result = task->result;
	task_free(task);
	return 0;
}

WRAP(pthread_t, pthread_self, (void))
{
	pthread_t thread = 0;

	OUTSIDE(__real_pthread_self());
	memcpy(&thread, &sim.current, sizeof(sim.current));
	return thread;
}

WRAP(int, pthread_setname_np, (pthread_t thread, const char *name))
{
	OUTSIDE(__real_pthread_setname_np(thread, name));
	snprintf(thread_task(thread)->name, sizeof(sim.current->name), "%s", name);
	return 0;
}

WRAP(int, pthread_sigmask, (int how, const sigset_t *set, sigset_t *old))
{
	OUTSIDE(__real_pthread_sigmask(how, set, old));
	if (old)
		sigemptyset(old);
	return 0;
}

/* ---- locks ----------------------------------------------------------------------------------- */

WRAP(int, pthread_mutex_init, (pthread_mutex_t * mutex, const pthread_mutexattr_t *attributes))
{
	OUTSIDE(__real_pthread_mutex_init(mutex, attributes));
	memset(mutex, 0, sizeof(*mutex));
	return 0;
}

WRAP(int, pthread_mutex_destroy, (pthread_mutex_t * mutex))
{
	OUTSIDE(__real_pthread_mutex_destroy(mutex));
	if (((struct mutex *)mutex)->owner)
		sim_fail("a lock is destroyed while it is held");
	return 0;
}

WRAP(int, pthread_mutex_lock, (pthread_mutex_t * of))
{
	struct mutex *mutex = (struct mutex *)of;

	OUTSIDE(__real_pthread_mutex_lock(of));
	if (sim_chance(LOCK_CHANCE))
		task_yield();
	if (mutex->owner == sim.current)
		sim_fail("a lock is taken twice");
	while (mutex->owner) {
		mutex->waiting++;
		task_block(mutex, SIM_FOREVER);
		mutex->waiting--;
	}
	mutex->owner = sim.current;
	return 0;
}

WRAP(int, pthread_mutex_unlock, (pthread_mutex_t * of))
{
	struct mutex *mutex = (struct mutex *)of;

	OUTSIDE(__real_pthread_mutex_unlock(of));
	if (mutex->owner != sim.current)
		sim_fail("a lock is given back that is not held");
	mutex->owner = NULL;
	if (mutex->waiting)
		task_wake(mutex, false);
	return 0;
}

WRAP(int, pthread_cond_init, (pthread_cond_t * of, const pthread_condattr_t *attributes))
{
	OUTSIDE(__real_pthread_cond_init(of, attributes));
	memset(of, 0, sizeof(*of));
	return 0;
}

WRAP(int, pthread_cond_destroy, (pthread_cond_t * of))
{
	OUTSIDE(__real_pthread_cond_destroy(of));
	return 0;
}

/* Wait for OF until UNTIL_NS. */
static int condition_wait(pthread_cond_t *of, pthread_mutex_t *mutex, uint64_t until_ns)
{
	struct condition *condition = (struct condition *)of;
	bool timed_out;

	__wrap_pthread_mutex_unlock(mutex);
	condition->waiting++;
	timed_out = task_block(condition, until_ns);
	condition->waiting--;
	__wrap_pthread_mutex_lock(mutex);
	return timed_out ? ETIMEDOUT : 0;
}

WRAP(int, pthread_cond_wait, (pthread_cond_t * of, pthread_mutex_t *mutex))
{
	OUTSIDE(__real_pthread_cond_wait(of, mutex));
	return condition_wait(of, mutex, SIM_FOREVER);
}

WRAP(int, pthread_cond_timedwait, (pthread_cond_t * of, pthread_mutex_t *mutex, const void *time))
{
	const struct timespec *until = time;

	OUTSIDE(__real_pthread_cond_timedwait(of, mutex, until));
	return condition_wait(of, mutex,
			      (uint64_t)until->tv_sec * 1000000000 + (uint64_t)until->tv_nsec);
}

WRAP(int, pthread_cond_signal, (pthread_cond_t * of))
{
	OUTSIDE(__real_pthread_cond_signal(of));
	if (((struct condition *)of)->waiting)
		task_wake(of, false);
	return 0;
}

WRAP(int, pthread_cond_broadcast, (pthread_cond_t * of))
{
	OUTSIDE(__real_pthread_cond_broadcast(of));
	if (((struct condition *)of)->waiting)
		task_wake(of, true);
	return 0;
}

/* One processor; and the size of a page, which is read from no file. */
WRAP(long, sysconf, (int name))
{
	OUTSIDE(__real_sysconf(name));
	return name == _SC_NPROCESSORS_ONLN ? 1 : __real_sysconf(name);
}

/* A locale would be that of all tasks. Without one, names are bytes. */
WRAP(void *, newlocale, (int mask, const char *name, void *base))
{
	OUTSIDE(__real_newlocale(mask, name, base));
	errno = ENOENT;
	return NULL;
}

/* ---- time, and what a process is ------------------------------------------------------------- */

WRAP(int, clock_gettime, (clockid_t clock, struct timespec *ret_time))
{
	OUTSIDE(__real_clock_gettime(clock, ret_time));
	sim.now_ns += CLOCK_LOOK_NS;
	ret_time->tv_sec = (time_t)(sim.now_ns / 1000000000);
	ret_time->tv_nsec = (long)(sim.now_ns % 1000000000);
	return 0;
}

/* Sleep for TIME. */
static void sleep_for(const struct timespec *time)
{
	task_block(NULL,
		   sim.now_ns + (uint64_t)time->tv_sec * 1000000000 + (uint64_t)time->tv_nsec);
}

WRAP(int, nanosleep, (const struct timespec *time, struct timespec *left))
{
	OUTSIDE(__real_nanosleep(time, left));
	sleep_for(time);
	return 0;
}

WRAP(int, clock_nanosleep, (clockid_t clock, int flags, const struct timespec *time, void *left))
{
	OUTSIDE(__real_clock_nanosleep(clock, flags, time, left));
	if (flags & TIMER_ABSTIME)
		sim_fail("unknown call: clock_nanosleep with TIMER_ABSTIME");
	sleep_for(time);
	return 0;
}

WRAP(int, sched_yield, (void))
{
	OUTSIDE(__real_sched_yield());
	task_yield();
	return 0;
}

/* One CPU: nothing is waited for without sleeping. */
WRAP(int, sched_getaffinity, (pid_t process, size_t size, cpu_set_t *ret_cpus))
{
	OUTSIDE(__real_sched_getaffinity(process, size, ret_cpus));
	CPU_ZERO_S(size, ret_cpus);
	CPU_SET_S(0, size, ret_cpus);
	return 0;
}

WRAP(pid_t, getpid, (void))
{
	OUTSIDE(__real_getpid());
	return (pid_t)(PROCESS_NUMBER_MIN + sim.current->process->number);
}

WRAP(pid_t, gettid, (void))
{
	OUTSIDE(__real_gettid());
	return (pid_t)(2 * PROCESS_NUMBER_MIN + sim.current->number);
}

WRAP(uid_t, geteuid, (void))
{
	OUTSIDE(__real_geteuid());
	return sim.current->process->uid;
}

WRAP(gid_t, getegid, (void))
{
	OUTSIDE(__real_getegid());
	return sim.current->process->uid;
}

WRAP(int, getrlimit, (int resource, struct rlimit *ret_limit))
{
	OUTSIDE(__real_getrlimit(resource, ret_limit));
	*ret_limit = (struct rlimit){ KERNEL_FDS, KERNEL_FDS };
	return 0;
}

WRAP(ssize_t, getrandom, (void *memory, size_t size, unsigned flags))
{
	OUTSIDE(__real_getrandom(memory, size, flags));
	for (size_t i = 0; i < size; i++)
		((unsigned char *)memory)[i] = (unsigned char)sim_random(256);
	return (ssize_t)size;
}
