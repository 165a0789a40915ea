/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A daemon that was killed is ready again with all its snapshots: how much memory that takes at
 * most, and in the soak how much processor time, compared with a find that keeps nothing.
 *
 * varve-test: timeout=120 options=nobarrier
 */
#include "fake.h"

#include <inttypes.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>

/* Snapshots, and in the soak: what is asked for there. */
#define SNAPSHOTS 4000
#define SNAPSHOTS_SOAK 20000
#define MEMORY_SOAK (16 << 20)
/* Bytes that a snapshot may take at most, and what reads all of them. */
#define SNAPSHOT_BYTES 600
#define READING_BYTES (1 << 20)
/* Processor time: so many times that of a find, and of a daemon without snapshots. */
#define TIMES_FIND 5

/* What the start of a daemon took. */
struct start {
	/* Milliseconds from its start to READY. */
	int64_t after_ms;
	/* Most bytes of memory by READY; milliseconds of processor time by its death. */
	size_t bytes;
	double cpu_ms;
};

static double ms(struct timeval time)
{
	return (double)time.tv_sec * 1000 + (double)time.tv_usec / 1000;
}

/* The line NAME of the status of PID, in bytes. */
static size_t status_bytes(pid_t pid, const char *name)
{
	char *line = strstr(test_read(test_path("/proc/%d/status", pid)), name);

	ck_assert_ptr_nonnull(line);
	return strtoul(line + strlen(name) + 1, NULL, 10) * 1024;
}

/* A socket for the messages of a daemon, at *RET_PATH. */
static int notify_socket(char **ret_path)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	*ret_path = test_path("%s/notify", test_mount());
	unlink(*ret_path);
	snprintf(address.sun_path, sizeof(address.sun_path), "%s", *ret_path);
	ck_assert_int_eq(bind(fd, (const struct sockaddr *)&address, sizeof(address)), 0);
	return fd;
}

/* Start a daemon on HOME, wait until it is ready, and kill it. */
static struct start start_daemon(const char *home)
{
	const char *build = getenv("VARVE_BUILD");
	struct start start;
	struct rusage usage;
	char *path, message[64] = "";
	int fd = notify_socket(&path), status;
	int64_t begin_ms = test_now_ms();
	pid_t pid = fork();

	ck_assert_int_ge(pid, 0);
	if (!pid) {
		setenv("NOTIFY_SOCKET", path, 1);
		execl(test_path("%s/varve-serve", build), "varve-serve", "--home", home, "--socket",
		      test_path("%s/socket", test_mount()), NULL);
		_exit(127);
	}
	/* A daemon that dies says nothing: the time limit of the test ends that. */
	ck_assert_int_gt(recv(fd, message, sizeof(message) - 1, 0), 0);
	ck_assert_str_eq(message, "READY=1");
	start.after_ms = test_now_ms() - begin_ms;
	start.bytes = status_bytes(pid, "VmHWM:");
	kill(pid, SIGKILL);
	ck_assert_int_eq(wait4(pid, &status, 0, &usage), pid);
	ck_assert_int_eq(WTERMSIG(status), SIGKILL);
	start.cpu_ms = ms(usage.ru_utime) + ms(usage.ru_stime);
	close(fd);
	return start;
}

static int pass_over(struct varve_store *store, varve_request request, const char *id,
		     const struct varve_layer_record *record, void *data)
{
	++*(size_t *)data;
	return 0;
}

/* Milliseconds of processor time of a find in HOME that keeps nothing. */
static double find_ms(const char *home, size_t wanted)
{
	struct varve_find_options options = VARVE_FIND_OPTIONS_INIT;
	struct varve_store *store = test_open(home);
	struct rusage before, after;
	struct varve_failure failure;
	size_t count = 0;

	options.flags = VARVE_FIND_RECORDS;
	options.found = pass_over;
	options.found_data = &count;
	getrusage(RUSAGE_SELF, &before);
	test_ok(varve_layer_find_wait(store, &options, NULL, NULL, NULL, &failure), &failure);
	getrusage(RUSAGE_SELF, &after);
	ck_assert_uint_eq(count, wanted);
	test_close(store);
	return ms(after.ru_utime) + ms(after.ru_stime) - ms(before.ru_utime) - ms(before.ru_stime);
}

START_TEST(test_ready)
{
	/* As containerd has them. */
	const char *const labels[] = {
		"containerd.io/gc.root=2026-11-27T19:41:55Z",
		"containerd.io/snapshot/cri.layer-digest=sha256:"
		"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
		NULL,
	};
	bool soak = getenv("VARVE_TEST_SOAK");
	size_t many = soak ? SNAPSHOTS_SOAK : SNAPSHOTS;
	struct node *node;
	struct start empty, full;
	double find;

	if (!getenv("VARVE_BUILD")) {
		test_skip("VARVE_BUILD names no build with a daemon");
		return;
	}
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
	test_skip("a sanitized program takes more memory and time");
	return;
#endif
	empty = start_daemon(test_home());
	node = node_open(test_home());
	node_make(node, "base", NULL);
	for (size_t i = 1; i < many; i++) {
		node_create(node, "Prepare", test_path("k8s.io/%zu/%064zx", i, i), "base", labels);
		while (varve_pending(node->store) > 512)
			varve_wait(node->store, -1);
	}
	while (varve_pending(node->store))
		varve_wait(node->store, -1);
	node_close(node);
	start_daemon(node->home);
	full = start_daemon(node->home);
	find = find_ms(node->home, many);
	/* What the clock says is for people: a busy machine is no failure. */
	printf("%zu snapshots: %zu KiB at most, %zu without; %.0f ms of processor time, %.0f "
	       "without, %.0f for a find; ready after %" PRId64 " ms\n",
	       many, full.bytes >> 10, empty.bytes >> 10, full.cpu_ms, empty.cpu_ms, find,
	       full.after_ms);
	ck_assert_uint_le(full.bytes, empty.bytes + READING_BYTES + many * SNAPSHOT_BYTES);
	if (!soak)
		return;
	ck_assert_uint_le(full.bytes, MEMORY_SOAK);
	ck_assert(full.cpu_ms <= TIMES_FIND * (empty.cpu_ms + find));
}
END_TEST

TEST_MAIN("ready", test_ready)
