/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/base/thread.h"
#include "engine/base/limits.h"

#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

int thread_start(const char *name, void *(*run)(void *data), void *data, pthread_t *ret_thread)
{
	pthread_attr_t attributes;
	sigset_t all, old;
	char full_name[THREAD_NAME_BYTES];
	int r;

	pthread_attr_init(&attributes);
	pthread_attr_setstacksize(&attributes, LANE_STACK_BYTES);
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	r = pthread_create(ret_thread, &attributes, run, data);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	pthread_attr_destroy(&attributes);
	if (r)
		return -r;
	snprintf(full_name, sizeof(full_name), "varve-%s", name);
	pthread_setname_np(*ret_thread, full_name);
	return 0;
}

unsigned thread_cpus(void)
{
	cpu_set_t cpus;

	if (sched_getaffinity(0, sizeof(cpus), &cpus) < 0)
		return CPU_SETSIZE;
	return (unsigned)CPU_COUNT(&cpus);
}

bool thread_leave_fs(void)
{
	return !unshare(CLONE_FS) && !chdir("/");
}
