/* SPDX-License-Identifier: Apache-2.0 */
/* Helpers for every file of the engine: array sizes, containers, scoped memory and descriptors. */
#ifndef VARVE_BASE_UTIL_H
#define VARVE_BASE_UTIL_H

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))
#define container_of(ptr, type, member) ((type *)((char *)(ptr)-offsetof(type, member)))
/* Arguments are evaluated twice: pass no calls, whose second result may differ. */
#define MIN(a, b) ((a) < (b) ? (a) : (b))
#define MAX(a, b) ((a) > (b) ? (a) : (b))

/*
 * A member between members that threads on other CPUs write: they share no cache line, nor two that
 * a processor fetches together, wherever the struct begins.
 */
struct apart {
	char bytes[128];
};

/* Return the value of VAR and set VAR to EMPTY: ownership moves on. */
#define TAKE(var, empty)                        \
	({                                      \
		__typeof__(var) taken_ = (var); \
		(var) = (empty);                \
		taken_;                         \
	})
#define TAKE_FD(fd) TAKE(fd, -EBADF)
#define TAKE_PTR(ptr) TAKE(ptr, NULL)

/* Close FD unless it is negative; keep errno, so that it can stand in an error path. */
static inline void fd_close(int fd)
{
	int saved = errno;

	if (fd >= 0)
		close(fd);
	errno = saved;
}

static inline void fd_closep(int *fd)
{
	fd_close(*fd);
}

static inline void freep(void *ptr)
{
	free(*(void **)ptr);
}

/*
 * A descriptor or memory that is closed or freed when its scope ends; initialise with -EBADF or
 * NULL.
 */
#define _cleanup_close_ __attribute__((cleanup(fd_closep)))
#define _cleanup_free_ __attribute__((cleanup(freep)))

/* The errno of a failed libc call, negative. */
static inline int negative_errno(void)
{
	return errno > 0 ? -errno : -EIO;
}

/* RESULT of a libc call as 0.. or a negative errno. */
#define RET_NERRNO(expression)                                              \
	({                                                                  \
		__typeof__(expression) ret_ = (expression);                 \
		ret_ < 0 ? (__typeof__(expression))negative_errno() : ret_; \
	})

/*
 * Add bytes A and B, up to INT64_MAX: sparse files may have any size, and languages without
 * unsigned numbers read the sum.
 */
static inline uint64_t bytes_add(uint64_t a, uint64_t b)
{
	return a > INT64_MAX || b > INT64_MAX - a ? INT64_MAX : a + b;
}

/* Hint to the processor that this loop waits for another one. */
static inline void cpu_relax(void)
{
#if defined(__x86_64__) || defined(__i386__)
	__builtin_ia32_pause();
#elif defined(__aarch64__)
	__asm__ volatile("yield" ::: "memory");
#endif
}

/* What hash_bytes() begins with. */
#define HASH_BEGIN 14695981039346656037ull

/* Add SIZE bytes at DATA to HASH (FNV-1a, 64 bits). */
static inline uint64_t hash_bytes(uint64_t hash, const void *data, size_t size)
{
	for (const unsigned char *byte = (const unsigned char *)data; size--; byte++)
		hash = (hash ^ *byte) * 1099511628211ull;
	return hash;
}

/* Is the time of SECONDS and NANOSECONDS before LIMIT? */
static inline bool time_before(time_t seconds, long nanoseconds, const struct timespec *limit)
{
	return seconds < limit->tv_sec ||
	       (seconds == limit->tv_sec && nanoseconds < limit->tv_nsec);
}

/* Open the directory NAME in DIR_FD, which is no link: a descriptor or -errno. */
static inline int open_directory(int dir_fd, const char *name)
{
	return RET_NERRNO(openat(dir_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
}

/* Order pointers to strings bytewise, for qsort() and bsearch(). */
static inline int string_order(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* Nanoseconds in a millisecond. */
#define NS_PER_MS 1000000ull

/* Monotonic time in nanoseconds. */
static inline uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000ull + (uint64_t)ts.tv_nsec;
}

/* Processor time of this thread in nanoseconds. */
static inline uint64_t thread_cpu_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
	return (uint64_t)ts.tv_sec * 1000000000ull + (uint64_t)ts.tv_nsec;
}

#endif
