/* SPDX-License-Identifier: Apache-2.0 */
#include "storm.h"

#include "test.h"

#include <dirent.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#define PLACES_MAX 16
#define TARGETS_MAX 64
#define ARMS_MAX 24
#define MOUNTS_MAX 64
#define GUARDS 2
#define SOAK_FACTOR 100
/*
 * Tries after which the attacker looks for its places anew, as the operation may have replaced
 * them.
 */
#define TRIES_PER_LOOK 256

/* What both processes see. */
struct shared {
	_Atomic uint64_t count;
	_Atomic bool ready, stop;
};

/* A directory that the attacker works in. */
struct place {
	char *path;
	const char *arms[ARMS_MAX];
	unsigned arms_count;
};

/* A name that it exchanges. */
struct target {
	const struct place *place;
	const char *name;
};

struct storm {
	uid_t user, owner;
	struct shared *shared;
	/* The guarded trees, and what they were. */
	char *guards[GUARDS], *before[GUARDS];
	struct place places[PLACES_MAX];
	unsigned places_count;
	struct target targets[TARGETS_MAX];
	unsigned targets_count;
	/* What is mounted in the places when the attacker starts. */
	char *mounts[MOUNTS_MAX];
	unsigned mounts_count;
	int pid, inotify;
};

uint64_t storm_scaled(uint64_t count)
{
	return getenv("VARVE_TEST_SOAK") ? SOAK_FACTOR * count : count;
}

/* ---- the guarded trees ----------------------------------------------------------------------- */

static void describe_directory(FILE *file, const char *path);

/* Print the attributes of PATH to FILE. */
static void describe_attributes(FILE *file, const char *path)
{
	char names[1024], value[1024];
	ssize_t length = llistxattr(path, names, sizeof(names));
	for (char *name = names; length > 0 && name < names + length; name += strlen(name) + 1) {
		ssize_t size = lgetxattr(path, name, value, sizeof(value));
		fprintf(file, " %s=%.*s", name, size > 0 ? (int)size : 0, value);
	}
}

/* Print all that PATH is to FILE, and what is below it. */
static void describe(FILE *file, const char *path)
{
	struct stat stat;
	if (lstat(path, &stat) < 0) {
		fprintf(file, "%s: %s\n", path, strerror(errno));
		return;
	}
	fprintf(file,
		"%s: %o %u:%u links=%u size=%lld rdev=%u:%u mtime=%lld.%09ld ctime=%lld.%09ld",
		path, stat.st_mode, stat.st_uid, stat.st_gid, (unsigned)stat.st_nlink,
		(long long)stat.st_size, major(stat.st_rdev), minor(stat.st_rdev),
		(long long)stat.st_mtime, stat.st_mtim.tv_nsec, (long long)stat.st_ctime,
		stat.st_ctim.tv_nsec);
	describe_attributes(file, path);
	if (S_ISREG(stat.st_mode)) {
		char *text = test_read(path);
		fprintf(file, " [%s]", text ? text : strerror(errno));
	}
	fputc('\n', file);
	if (S_ISDIR(stat.st_mode))
		describe_directory(file, path);
}

/* Describe what is in the directory PATH, in the order of the names. */
static void describe_directory(FILE *file, const char *path)
{
	struct dirent **entries;
	int count = scandir(path, &entries, NULL, alphasort);
	for (int i = 0; i < count; i++) {
		if (strcmp(entries[i]->d_name, ".") && strcmp(entries[i]->d_name, ".."))
			describe(file, test_path("%s/%s", path, entries[i]->d_name));
		free(entries[i]);
	}
	if (count >= 0)
		free(entries);
}

/* All of the tree PATH as a text, to be freed. */
static char *describe_tree(const char *path)
{
	size_t size;
	char *text;
	FILE *file = open_memstream(&text, &size);
	ck_assert_ptr_nonnull(file);
	describe(file, path);
	fclose(file);
	return text;
}

/*
 * Make the file PATH, which may lie on another file system than the test's, with the content TEXT.
 */
static void make_file(const char *path, const char *text)
{
	int descriptor = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	ck_assert_int_ge(descriptor, 0);
	ck_assert_int_eq(write(descriptor, text, strlen(text)), strlen(text));
	close(descriptor);
}

/* Give PATH, of a guarded tree, MODE and all that an operation might change. */
static void set_metadata(const struct storm *storm, const char *path, mode_t mode)
{
	const struct timespec times[2] = { { .tv_sec = 1000000 }, { .tv_sec = 1000000 } };
	ck_assert_int_eq(lchown(path, storm->owner, storm->owner), 0);
	if (mode)
		ck_assert_int_eq(chmod(path, mode), 0);
	ck_assert_int_eq(lsetxattr(path, "trusted.guard", "guarded", 7, 0), 0);
	ck_assert_int_eq(utimensat(AT_FDCWD, path, times, AT_SYMLINK_NOFOLLOW), 0);
}

/* Make the guarded tree ROOT, what is deepest first. */
static void make_guard(struct storm *storm, const char *root)
{
	char *directory = test_path("%s/directory", root),
	     *below = test_path("%s/below", directory);
	char *null = test_path("%s/null", root), *fifo = test_path("%s/fifo", root),
	     *link = test_path("%s/link", root);
	test_mkdir(directory);
	test_mkdir(below);
	for (unsigned i = 0; i < 3; i++) {
		char *file = test_path("%s/file-%u", i == 0 ? root : i == 1 ? directory : below, i);
		make_file(file, "guarded");
		set_metadata(storm, file, 0640);
	}
	make_file(test_path("%s/setuid", root), "privileged");
	set_metadata(storm, test_path("%s/setuid", root), 04755);
	ck_assert_int_eq(mknod(null, S_IFCHR | 0600, makedev(1, 3)), 0);
	set_metadata(storm, null, 0600);
	ck_assert_int_ge(inotify_add_watch(storm->inotify, null, IN_OPEN), 0);
	ck_assert_int_eq(mkfifo(fifo, 0600), 0);
	set_metadata(storm, fifo, 0600);
	ck_assert_int_eq(symlink("file-0", link), 0);
	set_metadata(storm, link, 0);
	set_metadata(storm, below, 0755);
	set_metadata(storm, directory, 0755);
	set_metadata(storm, root, 0755);
}

char *storm_changes(const struct storm *storm)
{
	for (unsigned i = 0; i < GUARDS; i++) {
		char *after = describe_tree(storm->guards[i]), *text = NULL;
		if (strcmp(after, storm->before[i]) &&
		    asprintf(&text, "before:\n%safter:\n%s", storm->before[i], after) < 0)
			text = NULL;
		free(after);
		if (text)
			return text;
	}
	return NULL;
}

void storm_check(const struct storm *storm)
{
	char *changes = storm_changes(storm);
	ck_assert_msg(!changes, "what is outside of the layer was changed\n%s",
		      changes ? changes : "");
	free(changes);
}

unsigned storm_opens(struct storm *storm)
{
	char buffer[4096] __attribute__((aligned(__alignof__(struct inotify_event))));
	unsigned count = 0;
	ssize_t length;
	while ((length = read(storm->inotify, buffer, sizeof(buffer))) > 0)
		for (char *at = buffer; at < buffer + length;) {
			const struct inotify_event *event = (const struct inotify_event *)at;
			count += event->mask & IN_OPEN ? 1 : 0;
			at += sizeof(*event) + event->len;
		}
	return count;
}

struct storm *storm_new(uid_t user, uid_t owner)
{
	struct storm *storm = test_alloc(sizeof(*storm));
	storm->user = user;
	storm->owner = owner;
	ck_assert_int_eq(unshare(CLONE_NEWNS), 0);
	ck_assert_int_eq(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL), 0);
	storm->shared = mmap(NULL, sizeof(*storm->shared), PROT_READ | PROT_WRITE,
			     MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	ck_assert_ptr_ne(storm->shared, MAP_FAILED);
	storm->inotify = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
	ck_assert_int_ge(storm->inotify, 0);
	for (unsigned i = 0; i < GUARDS; i++) {
		storm->guards[i] = test_path("%s-guard", test_home());
		test_mkdir(storm->guards[i]);
		if (i)
			ck_assert_int_eq(mount("none", storm->guards[i], "tmpfs", 0, "size=1m"), 0);
		make_guard(storm, storm->guards[i]);
		storm->before[i] = describe_tree(storm->guards[i]);
	}
	return storm;
}

/* ---- the arms -------------------------------------------------------------------------------- */

/* Where the next arm of PLACE goes, by the name KIND. */
static char *next_arm(struct place *place, const char *kind)
{
	ck_assert_uint_lt(place->arms_count, ARMS_MAX);
	const char *name = test_path(STORM_PREFIX "%s-%u", kind, place->arms_count + 1);
	place->arms[place->arms_count++] = name;
	return test_path("%s/%s", place->path, name);
}

/* Add links to what is in the guarded tree GUARD. */
static void arm_links(struct storm *storm, struct place *place, const char *guard)
{
	static const char *const names[] = { "/file-0", "/setuid", "/directory", "/null", "/fifo" };
	char up[PATH_MAX] = "..";
	for (unsigned i = 0; i < TEST_COUNT(names); i++)
		ck_assert_int_eq(symlink(test_path("%s%s", guard, names[i]),
					 next_arm(place, "link")),
				 0);
	for (const char *slash = strchr(place->path + 1, '/'); slash;
	     slash = strchr(slash + 1, '/'))
		strcat(up, "/..");
	ck_assert_int_eq(symlink(test_path("%s%s/file-0", up, guard), next_arm(place, "relative")),
			 0);
	ck_assert_int_eq(symlink(test_path("/proc/self/root%s/directory", guard),
				 next_arm(place, "magic")),
			 0);
}

/* Mount SOURCE in PLACE. */
static void arm_mount(struct place *place, const char *source, bool directory)
{
	char *path = next_arm(place, "mount");
	if (directory)
		test_mkdir(path);
	else
		make_file(path, STORM_TEXT);
	ck_assert_int_eq(mount(source, path, NULL, MS_BIND, NULL), 0);
}

void storm_arm(struct storm *storm, const char *directory, unsigned arms)
{
	ck_assert_uint_lt(storm->places_count, PLACES_MAX);
	struct place *place = &storm->places[storm->places_count++];
	*place = (struct place){ .path = test_strdup(directory) };
	ck_assert_int_eq(chown(directory, storm->user, storm->user), 0);
	for (unsigned i = 0; i < GUARDS && arms & STORM_LINKS; i++)
		arm_links(storm, place, storm->guards[i]);
	if (arms & STORM_DIRECTORIES) {
		char *path = next_arm(place, "directory");
		test_mkdir(path);
		make_file(test_path("%s/file", path), STORM_TEXT);
		ck_assert_int_eq(chown(path, storm->user, storm->user), 0);
	}
	if (arms & STORM_FIFOS) {
		char *path = next_arm(place, "fifo");
		ck_assert_int_eq(mkfifo(path, 0666), 0);
		ck_assert_int_eq(chown(path, storm->user, storm->user), 0);
	}
	if (arms & STORM_DEVICES) {
		char *path = next_arm(place, "device");
		ck_assert_int_eq(mknod(path, S_IFCHR | 0600, makedev(1, 3)), 0);
		ck_assert_int_ge(inotify_add_watch(storm->inotify, path, IN_OPEN), 0);
	}
	if (arms & STORM_FILES) {
		char *path = next_arm(place, "file");
		make_file(path, STORM_TEXT);
		ck_assert_int_eq(chown(path, storm->user, storm->user), 0);
	}
	for (unsigned i = 0; i < GUARDS && arms & STORM_MOUNTS; i++)
		arm_mount(place, test_path("%s/directory", storm->guards[i]), true);
	if (arms & STORM_MOUNTS)
		arm_mount(place, test_path("%s/file-0", storm->guards[0]), false);
}

/* Find what is mounted in the places now. */
static void find_mounts(struct storm *storm)
{
	FILE *file = fopen("/proc/self/mountinfo", "re");
	char *line = NULL;
	size_t size = 0;
	storm->mounts_count = 0;
	ck_assert_ptr_nonnull(file);
	while (getline(&line, &size, file) > 0) {
		char point[PATH_MAX];
		bool ours = false;
		if (sscanf(line, "%*u %*u %*s %*s %4095s", point) != 1)
			continue;
		for (unsigned i = 0; i < storm->places_count; i++) {
			size_t length = strlen(storm->places[i].path);
			ours |= !strncmp(point, storm->places[i].path, length) &&
				point[length] == '/';
		}
		if (!ours)
			continue;
		ck_assert_uint_lt(storm->mounts_count, MOUNTS_MAX);
		storm->mounts[storm->mounts_count++] = test_strdup(point);
	}
	free(line);
	fclose(file);
}

void storm_disarm(struct storm *storm)
{
	find_mounts(storm);
	while (storm->mounts_count)
		ck_assert_int_eq(umount2(storm->mounts[--storm->mounts_count],
					 MNT_DETACH | UMOUNT_NOFOLLOW),
				 0);
	storm->places_count = storm->targets_count = 0;
}

/* ---- the attacker ---------------------------------------------------------------------------- */

/* The next random number of *STATE. */
static uint64_t next_random(uint64_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	return *state ^= *state << 17;
}

/*
 * Become the user, in a mount namespace where nothing is mounted in the places: there they can be
 * renamed.
 */
static bool become_user(const struct storm *storm)
{
	if (unshare(CLONE_NEWNS) < 0)
		return false;
	for (unsigned i = storm->mounts_count; i--;)
		if (umount2(storm->mounts[i], MNT_DETACH | UMOUNT_NOFOLLOW) < 0)
			return false;
	if (setgroups(0, NULL) < 0 || setresgid(storm->user, storm->user, storm->user) < 0 ||
	    setresuid(storm->user, storm->user, storm->user) < 0)
		return false;
	/* Another user's process forgets it. */
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	return true;
}

/* The place that holds PLACE, from which the user reaches it; NULL where there is none. */
static const struct place *above(const struct storm *storm, const struct place *place)
{
	for (const struct place *other = storm->places; other < storm->places + storm->places_count;
	     other++) {
		size_t length = strlen(other->path);
		if (!strncmp(place->path, other->path, length) && place->path[length] == '/')
			return other;
	}
	return NULL;
}

/*
 * Open the places anew that lie in others. The user can go to no layer by its path, as its
 * container is in it.
 */
static void look(const struct storm *storm, int *places)
{
	for (unsigned i = 0; i < storm->places_count; i++) {
		const struct place *other = above(storm, &storm->places[i]);
		if (!other)
			continue;
		if (places[i] >= 0)
			close(places[i]);
		places[i] = openat(places[other - storm->places],
				   storm->places[i].path + strlen(other->path) + 1,
				   O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	}
}

/* Exchange one name of a target for an arm, and mostly back. */
static void exchange(const struct storm *storm, const struct target *target, int place,
		     uint64_t *random)
{
	const char *arm = target->place->arms[next_random(random) % target->place->arms_count];
	if (renameat2(place, target->name, place, arm, RENAME_EXCHANGE) < 0)
		return;
	storm->shared->count++;
	for (unsigned turns = next_random(random) % 4; turns; turns--)
		sched_yield();
	if (next_random(random) % 8 &&
	    renameat2(place, target->name, place, arm, RENAME_EXCHANGE) == 0)
		storm->shared->count++;
}

/* What the attacker does. Allocates nothing: the process that it was forked from has threads. */
static int attack(void *data)
{
	const struct storm *storm = data;
	uint64_t random = 88172645463325252u + (uint64_t)getpid();
	int places[PLACES_MAX];
	for (unsigned i = 0; i < storm->places_count; i++)
		places[i] = open(storm->places[i].path,
				 O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	bool ready = become_user(storm);
	storm->shared->ready = true;
	for (unsigned long tries = 0; ready && !storm->shared->stop; tries++) {
		const struct target *target = &storm->targets[tries % storm->targets_count];
		if (tries % TRIES_PER_LOOK == 0)
			look(storm, places);
		exchange(storm, target, places[target->place - storm->places], &random);
	}
	return ready ? 0 : 1;
}

void storm_start(struct storm *storm, const char *const *paths)
{
	storm->targets_count = 0;
	for (; *paths; paths++) {
		const char *slash = strrchr(*paths, '/');
		struct target *target = &storm->targets[storm->targets_count++];
		ck_assert_uint_le(storm->targets_count, TARGETS_MAX);
		*target = (struct target){ .name = test_strdup(slash + 1) };
		for (unsigned i = 0; i < storm->places_count; i++)
			if (strlen(storm->places[i].path) == (size_t)(slash - *paths) &&
			    !strncmp(storm->places[i].path, *paths, (size_t)(slash - *paths)))
				target->place = &storm->places[i];
		ck_assert_msg(target->place, "%s lies in no armed directory", *paths);
	}
	find_mounts(storm);
	storm->shared->ready = storm->shared->stop = false;
	storm->pid = test_child_start(attack, storm);
	while (!storm->shared->ready)
		sched_yield();
}

uint64_t storm_count(const struct storm *storm)
{
	return storm->shared->count;
}

void storm_wait(const struct storm *storm, uint64_t count)
{
	for (uint64_t end = storm->shared->count + count; storm->shared->count < end;)
		sched_yield();
}

void storm_stop(struct storm *storm)
{
	storm->shared->stop = true;
	ck_assert_int_eq(test_child_end(storm->pid), 0);
}

/* ---- the rest -------------------------------------------------------------------------------- */

void storm_check_privileged(const char *directory)
{
	struct dirent **entries;
	int count = scandir(directory, &entries, NULL, alphasort);
	for (int i = 0; i < count; i++) {
		const char *name = entries[i]->d_name, *path = test_path("%s/%s", directory, name);
		struct stat stat;
		if (strcmp(name, ".") && strcmp(name, "..") && lstat(path, &stat) == 0) {
			if (S_ISDIR(stat.st_mode))
				storm_check_privileged(path);
			bool privileged = (stat.st_uid == 0 && stat.st_mode & S_ISUID) ||
					  (stat.st_gid == 0 && stat.st_mode & S_ISGID) ||
					  lgetxattr(path, "security.capability", NULL, 0) > 0;
			char *text = privileged && S_ISREG(stat.st_mode) ? test_read(path) : NULL;
			ck_assert_msg(!text || strcmp(text, STORM_TEXT), "%s: privileged, mode %o",
				      path, stat.st_mode);
		}
		free(entries[i]);
	}
	if (count >= 0)
		free(entries);
}

void storm_end(struct storm *storm)
{
	storm_disarm(storm);
	ck_assert_int_eq(umount2(storm->guards[1], MNT_DETACH), 0);
	for (unsigned i = 0; i < GUARDS; i++) {
		free(storm->before[i]);
		test_remove(storm->guards[i]);
	}
	munmap(storm->shared, sizeof(*storm->shared));
	close(storm->inotify);
}
