/* SPDX-License-Identifier: Apache-2.0 */
/*
 * interrupt.c: SIGINT and SIGTERM as a number and a descriptor.
 *
 * Handlers, not a signal mask with a signalfd: programs that the library starts (mkfs.btrfs) get the default action back
 * when they are executed, so that a Ctrl-C ends them, whereas they would inherit a mask. The handler may run on any
 * thread; the descriptor wakes the one that polls.
 */
#include "interrupt.h"

#include <errno.h>
#include <signal.h>
#include <stdint.h>
#include <sys/eventfd.h>
#include <unistd.h>

static volatile sig_atomic_t interrupt_number;
static int interrupt_event = -EBADF;

/** Note signal NUMBER, and wake the poll. */
static void interrupt_handle(int number) {
	int saved = errno;
	uint64_t one = 1;

	interrupt_number = number;
	if (write(interrupt_event, &one, sizeof(one)) < 0)
		(void)0; /* It is at its maximum: readable anyway. */
	errno = saved;
}

int interrupt_catch(void) {
	static const int numbers[] = { SIGINT, SIGTERM };
	struct sigaction action = { .sa_handler = interrupt_handle, .sa_flags = SA_RESTART | SA_RESETHAND };

	interrupt_event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (interrupt_event < 0)
		return -errno;
	for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
		struct sigaction before;

		/* Who started us with a signal ignored (nohup, a shell's background job) means it. */
		if (sigaction(numbers[i], NULL, &before) || before.sa_handler == SIG_IGN)
			continue;
		if (sigaction(numbers[i], &action, NULL))
			return -errno;
	}
	return 0;
}

int interrupt_signal(void) {
	return interrupt_number;
}

int interrupt_fd(void) {
	return interrupt_event;
}
