/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The model as the kernel's calls: descriptors of each simulated process, paths, locks, eventfds,
 * and errors on purpose.
 */
#ifndef SIM_KERNEL_H
#define SIM_KERNEL_H

#include "tasks.h"

#include <limits.h>

#define KERNEL_FILES 1024
#define KERNEL_FDS 512
/* The lowest number of a descriptor: one of the real process never has it. */
#define KERNEL_FD_MIN 100000
/* Where the model is mounted. */
#define KERNEL_FSID_TEXT "76617276-652d-7369-6d20-6d6f64656c21"

enum file_kind {
	FILE_FREE,
	/* a file or directory of the model; with O_PATH a name for it only */
	FILE_INODE,
	/* the file system's directory in sysfs; a file of it, with its text */
	FILE_SYSFS,
	FILE_TEXT,
	FILE_EVENT,
	FILE_TIMER,
	FILE_PIPE,
	FILE_RING,
};

/* Most bytes that one open file may have locked. */
#define KERNEL_MARKS 32

/* An open file. */
struct file {
	enum file_kind kind;
	unsigned refs;
	int flags;
	/* Of a file of the model: its place; of a directory: the next entry. */
	int inode;
	uint64_t position;
	/* The losses of data that its syncfs() has told, or that came before it was opened. */
	unsigned losses;
	/* flock(); F_OFD_SETLK on single bytes. */
	bool locked;
	int64_t marks[KERNEL_MARKS];
	unsigned marks_count;
	/* Of an eventfd. */
	uint64_t count;
	/* Of sysfs. */
	char text[64];
};

/* Errors that calls may fail with on purpose. */
enum kernel_errors {
	/* a descriptor is made */
	ERRORS_OPEN,
	/* something is made or named */
	ERRORS_MAKE,
	/* something is removed: the kernel keeps room for that */
	ERRORS_REMOVE,
	/* data is written */
	ERRORS_WRITE,
	/* something is looked at */
	ERRORS_LOOK,
	/* nothing that the engine could do something about */
	ERRORS_NONE,
};

struct kernel {
	struct file files[KERNEL_FILES];
	/* Of each process: the place in `files`, + 1. */
	uint16_t fds[SIM_PROCESSES_MAX][KERNEL_FDS];
	/* Of 65536 calls, how many fail on purpose; how many did. */
	unsigned error_chance, errors;
	/* From which call on, and up to which, the file system is full; 0: never. */
	unsigned full_from, full_until;
	/* There is a sysfs; the calls of Linux 6.13 on attributes are there. */
	bool sysfs, xattr_at;
	/* Mounted with user_subvol_rm_allowed. */
	bool users_destroy;
};

extern struct kernel kernel;

/* No files are open; what is random in the calls is as the schedule wants it. */
void kernel_begin(void);

/* Close the descriptors of PROCESS. */
void kernel_exit(struct process *process);

/* A call NAME begins: 0, or the error it fails with on purpose. */
int kernel_enter(const char *name, enum kernel_errors errors);

/* Has the file system room now? */
bool kernel_has_room(void);

/* Is it full? That counts as an error on purpose. */
bool kernel_full(void);

/* The file of descriptor FD; NULL: none. */
struct file *kernel_file(int fd);

/* The place of the inode of FD, which has to be one of the model, and not O_PATH unless LOOK. */
int kernel_inode(int fd, bool look);

/*
 * Store DATA in the page that is mapped of FD, which is open for reading and writing: no call, but
 * false where that would kill.
 */
bool kernel_store(int fd, const void *data, size_t size, uint64_t offset);

/* A descriptor for FILE, or -errno. */
int kernel_install(struct file *file);

/* A descriptor for the inode SLOT, or -errno. */
int kernel_open_inode(int slot, int flags);

/* The descriptors of the current process: the place in `files`, + 1. */
uint16_t *kernel_fds(void);

/*
 * Go along PATH from DIR_FD up to the directory of its last name, which is copied to LAST: the
 * directory, or -errno. Links are followed nowhere: nothing that the engine asks for needs that.
 */
int kernel_walk(int dir_fd, const char *path, char last[NAME_MAX + 1]);

/* The inode at PATH; with AT_EMPTY_PATH in FLAGS that of DIR_FD itself where PATH is "". */
int kernel_look(int dir_fd, const char *path, int flags);

/* What the path of a descriptor begins with. */
extern const char kernel_links[];

/* A new file of KIND; NULL: there are too many. */
struct file *kernel_new_file(enum file_kind kind, int flags);

/* The answer of a call of libc: R, or errno and -1. */
long kernel_answer(long r);

/* getxattrat(), of Linux 6.13. */
long kernel_getxattrat(const long argument[6]);

/* The ioctls of btrfs: 0 or more, or -errno; the errors that they may fail with. */
long ioctls_run(int fd, unsigned long request, void *argument);
enum kernel_errors ioctls_errors(unsigned long request);

/* Write the file NAME of sysfs to TEXT: its length, or -errno. */
int ioctls_sysfs(const char *name, char *text, size_t size);

#endif
