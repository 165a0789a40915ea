/* SPDX-License-Identifier: Apache-2.0 */
/*
 * interrupt.c: SIGINT, SIGTERM and SIGHUP as a number and a descriptor.
 *
 * Handlers, not a signal mask with a signalfd: programs that the library starts (mkfs.btrfs) get
 * the default action back when they are executed, so that a Ctrl-C ends them, whereas they would
 * inherit a mask. The handler may run on any thread; the descriptor wakes the one that polls.
 */
#include "interrupt.h"

#include <errno.h>
#include <signal.h>
#include <stdint.h>
#include <sys/eventfd.h>
#include <unistd.h>

static const int interrupt_numbers[] = { SIGINT, SIGTERM, SIGHUP };
static bool interrupt_caught[sizeof(interrupt_numbers) / sizeof(interrupt_numbers[0])];
static volatile sig_atomic_t interrupt_number;
static volatile sig_atomic_t interrupt_seen[NSIG];
static const char *volatile interrupt_path;
static int interrupt_event = -EBADF;

/* Note signal NUMBER, and wake the poll; the second of a kind kills the process. */
static void interrupt_handle(int number)
{
	int saved = errno;
	uint64_t one = 1;

	if (interrupt_seen[number]) {
		if (interrupt_path)
			unlink(interrupt_path);
		signal(number, SIG_DFL);
		raise(number);
	}
	interrupt_seen[number] = 1;
	interrupt_number = number;
	if (write(interrupt_event, &one, sizeof(one)) < 0)
		(void)0; /* It is at its maximum: readable anyway. */
	errno = saved;
}

void interrupt_breaks(bool breaks)
{
	struct sigaction action = { .sa_handler = interrupt_handle,
				    .sa_flags = breaks ? 0 : SA_RESTART };

	for (size_t i = 0; i < sizeof(interrupt_numbers) / sizeof(interrupt_numbers[0]); i++) {
		if (interrupt_caught[i])
			sigaction(interrupt_numbers[i], &action, NULL);
	}
}

int interrupt_catch(void)
{
	interrupt_event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (interrupt_event < 0)
		return -errno;
	for (size_t i = 0; i < sizeof(interrupt_numbers) / sizeof(interrupt_numbers[0]); i++) {
		struct sigaction before;

		/*
		 * A program that is started with a signal ignored (nohup, a shell's background job)
		 * leaves it so.
		 */
		interrupt_caught[i] = sigaction(interrupt_numbers[i], NULL, &before) == 0 &&
				      before.sa_handler != SIG_IGN;
	}
	interrupt_breaks(false);
	return 0;
}

void interrupt_unlink(const char *path)
{
	interrupt_path = path;
}

int interrupt_signal(void)
{
	return interrupt_number;
}

int interrupt_fd(void)
{
	return interrupt_event;
}
