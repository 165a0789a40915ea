/* SPDX-License-Identifier: Apache-2.0 */
/* varve in a loop around epoll(7). The work itself is in churn.c. */
#include "churn.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <unistd.h>

/* Print what WHAT failed with, and exit. */
static void die(const char *what)
{
	perror(what);
	exit(1);
}

/* Return a descriptor that is readable at every tick. */
static int make_timer(void)
{
	struct itimerspec tick = { .it_interval.tv_nsec = CHURN_TICK_MS * 1000000,
				   .it_value.tv_nsec = CHURN_TICK_MS * 1000000 };
	int timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);

	if (timer_fd < 0 || timerfd_settime(timer_fd, 0, &tick, NULL) < 0)
		die("timerfd");
	return timer_fd;
}

/* Take the ticks that have come. */
static void tick(struct churn *churn, int timer_fd)
{
	uint64_t expirations;

	if (read(timer_fd, &expirations, sizeof(expirations)) == sizeof(expirations))
		churn_tick(churn);
}

/* End the loop. */
static void stop(void *data)
{
	bool *running = data;

	*running = false;
}

/* example: begin */
/* Watch FD, level-triggered: it stays readable while callbacks are left. */
static void watch(int epoll_fd, int fd)
{
	struct epoll_event event = { .events = EPOLLIN, .data.fd = fd };

	if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event) < 0)
		die("epoll_ctl");
}

/* Serve the store and the timer until RUNNING is cleared by a callback. */
static void loop(struct churn *churn, int epoll_fd, int timer_fd,
		 const bool *running)
{
	struct epoll_event event;

	watch(epoll_fd, varve_fd(churn->store));
	watch(epoll_fd, timer_fd);
	while (*running) {
		if (epoll_wait(epoll_fd, &event, 1, -1) != 1)
			continue;
		if (event.data.fd == timer_fd)
			tick(churn, timer_fd);
		else if (varve_dispatch(churn->store, CHURN_CALLBACKS_MAX) < 0)
			die("varve_dispatch");
	}
}
/* example: end */

/* Run. */
int main(int argc, char **argv)
{
	int epoll_fd = epoll_create1(EPOLL_CLOEXEC), timer_fd = make_timer();
	bool running = true;
	struct churn churn;

	if (epoll_fd < 0)
		die("epoll_create1");
	churn_open(&churn, argc, argv);
	churn_start(&churn, stop, &running);
	loop(&churn, epoll_fd, timer_fd, &running);
	close(timer_fd);
	close(epoll_fd);
	return churn_finish(&churn, "epoll");
}
