/* SPDX-License-Identifier: Apache-2.0 */
/*
 * logstore: serves a disk image as a file for a loop device, and decides what becomes of the
 * writes.
 *
 *	logstore --image IMAGE --mount FILE [--log LOG]
 *
 * FILE, an empty file, is covered by a FUSE mount whose root is a regular file: there is nothing to
 * look up. Requests are served one after the other, so the log (writelog.h) has them in an order
 * that the disk could have seen. Nothing is cached: a write is answered when it is in IMAGE and in
 * LOG.
 *
 * SIGUSR1: from now on writes, flushes and discards fail with EIO. SIGUSR2: reads do, too. It
 * speaks the kernel's protocol itself (linux/fuse.h), so that it needs no library, prints
 * "logstore: serving" once FILE can be opened, and ends when FILE is unmounted.
 */
#include "record.h"
#include "writelog.h"

#include <fcntl.h>
#include <getopt.h>
#include <linux/falloc.h>
#include <linux/fuse.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/uio.h>

/* Bytes of the largest write that is asked for. */
#define WRITE_MAX (1u << 20)

/* Bytes of the largest request: a write and what comes before its data. */
#define REQUEST_MAX (WRITE_MAX + 4096u)

/* The disk. */
struct logstore {
	int fuse; /* /dev/fuse */
	int image;
	int log; /* -1: none. */
};

/* Set by signals: what fails. */
static volatile sig_atomic_t writes_fail, reads_fail;

/* Let writes fail; let everything fail. */
static void on_signal(int signal)
{
	writes_fail = 1;
	reads_fail = signal == SIGUSR2;
}

/* Answer the request UNIQUE with ERROR (0 or negative errno) and SIZE bytes of DATA. */
static void answer(struct logstore *logstore, uint64_t unique, int error, const void *data,
		   size_t size)
{
	struct fuse_out_header header = { .unique = unique, .error = error };
	struct iovec parts[2] = { { &header, sizeof(header) }, { (void *)data, error ? 0 : size } };

	header.len = (uint32_t)(sizeof(header) + parts[1].iov_len);
	/* ENOENT: the request was given up meanwhile. */
	if (writev(logstore->fuse, parts, 2) < 0 && errno != ENOENT)
		fprintf(stderr, "logstore: answer: %s\n", strerror(errno));
}

/* Append a record and, of a write, its DATA to the log. */
static int log_append(struct logstore *logstore, enum writelog_type type, uint64_t offset,
		      uint64_t length, const void *data)
{
	struct writelog_record record = { WRITELOG_MAGIC, type, record_now(), offset, length };
	struct iovec parts[2] = { { &record, sizeof(record) },
				  { (void *)data, data ? length : 0 } };
	ssize_t size = (ssize_t)(sizeof(record) + parts[1].iov_len);

	if (logstore->log < 0)
		return 0;
	return writev(logstore->log, parts, 2) == size ? 0 : -EIO;
}

/* Fill *ATTRIBUTES with what the file looks like. */
static int attributes_get(struct logstore *logstore, struct fuse_attr *attributes)
{
	struct stat st;

	if (fstat(logstore->image, &st) < 0)
		return -errno;
	memset(attributes, 0, sizeof(*attributes));
	attributes->ino = FUSE_ROOT_ID;
	attributes->size = (uint64_t)st.st_size;
	attributes->blocks = (uint64_t)st.st_blocks;
	attributes->mode = S_IFREG | 0600;
	attributes->nlink = 1;
	attributes->blksize = 4096;
	return 0;
}

/* Serve FUSE_INIT. */
static void serve_init(struct logstore *logstore, uint64_t unique, const struct fuse_init_in *in)
{
	struct fuse_init_out out = { .major = FUSE_KERNEL_VERSION,
				     .minor = FUSE_KERNEL_MINOR_VERSION };

	out.max_readahead = in->max_readahead;
	out.flags = in->flags & (FUSE_BIG_WRITES | FUSE_MAX_PAGES);
	out.max_background = 64;
	out.congestion_threshold = 48;
	out.max_write = WRITE_MAX;
	out.max_pages = WRITE_MAX / 4096;
	out.time_gran = 1;
	answer(logstore, unique, 0, &out, sizeof(out));
}

/* Serve FUSE_READ. */
static void serve_read(struct logstore *logstore, uint64_t unique, const struct fuse_read_in *in)
{
	static char buffer[WRITE_MAX];
	ssize_t n = in->size > sizeof(buffer)
			    ? -1
			    : pread(logstore->image, buffer, in->size, (off_t)in->offset);

	if (reads_fail || n < 0)
		answer(logstore, unique, -EIO, NULL, 0);
	else
		answer(logstore, unique, 0, buffer, (size_t)n);
}

/* Serve FUSE_WRITE. */
static void serve_write(struct logstore *logstore, uint64_t unique, const struct fuse_write_in *in)
{
	struct fuse_write_out out = { .size = in->size };
	const void *data = in + 1;

	if (writes_fail || log_append(logstore, WRITELOG_WRITE, in->offset, in->size, data) < 0 ||
	    pwrite(logstore->image, data, in->size, (off_t)in->offset) != (ssize_t)in->size)
		answer(logstore, unique, -EIO, NULL, 0);
	else
		answer(logstore, unique, 0, &out, sizeof(out));
}

/* Serve FUSE_FALLOCATE: a loop device discards and zeroes with it. */
static void serve_fallocate(struct logstore *logstore, uint64_t unique,
			    const struct fuse_fallocate_in *in)
{
	int r = 0;

	if (!(in->mode & (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE)))
		r = -EOPNOTSUPP;
	else if (writes_fail ||
		 log_append(logstore, WRITELOG_DISCARD, in->offset, in->length, NULL) < 0)
		r = -EIO;
	else if (fallocate(logstore->image, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
			   (off_t)in->offset, (off_t)in->length) < 0)
		r = -errno;
	answer(logstore, unique, r, NULL, 0);
}

/* Serve one request. Returns false when it was the last. */
static bool serve(struct logstore *logstore, const struct fuse_in_header *header)
{
	struct fuse_open_out opened = { .open_flags = FOPEN_DIRECT_IO };
	struct fuse_attr_out attributes = { 0 };
	const void *in = header + 1;
	int r;

	switch (header->opcode) {
	case FUSE_INIT:
		serve_init(logstore, header->unique, in);
		break;
	case FUSE_GETATTR:
		r = attributes_get(logstore, &attributes.attr);
		answer(logstore, header->unique, r, &attributes, sizeof(attributes));
		break;
	case FUSE_OPEN:
		answer(logstore, header->unique, 0, &opened, sizeof(opened));
		break;
	case FUSE_READ:
		serve_read(logstore, header->unique, in);
		break;
	case FUSE_WRITE:
		serve_write(logstore, header->unique, in);
		break;
	case FUSE_FSYNC:
		r = writes_fail || log_append(logstore, WRITELOG_FLUSH, 0, 0, NULL) < 0 ? -EIO : 0;
		answer(logstore, header->unique, r, NULL, 0);
		break;
	case FUSE_FALLOCATE:
		serve_fallocate(logstore, header->unique, in);
		break;
	case FUSE_FLUSH:
	case FUSE_RELEASE:
		answer(logstore, header->unique, 0, NULL, 0);
		break;
	case FUSE_FORGET:
	case FUSE_BATCH_FORGET:
	case FUSE_INTERRUPT:
		break;
	case FUSE_DESTROY:
		answer(logstore, header->unique, 0, NULL, 0);
		return false;
	default:
		answer(logstore, header->unique, -ENOSYS, NULL, 0);
	}
	return true;
}

/* Serve requests until the mount is gone. Returns the exit status. */
static int serve_all(struct logstore *logstore)
{
	static union {
		struct fuse_in_header header;
		char bytes[REQUEST_MAX];
	} request;
	bool more = true;

	while (more) {
		ssize_t n = read(logstore->fuse, request.bytes, sizeof(request.bytes));

		if (n < 0 && (errno == EINTR || errno == EAGAIN || errno == ENOENT))
			continue;
		if (n < 0 && errno == ENODEV)
			break;
		if (n < (ssize_t)sizeof(request.header)) {
			perror("logstore: /dev/fuse");
			return 1;
		}
		more = serve(logstore, &request.header);
		if (request.header.opcode == FUSE_INIT) {
			printf("logstore: serving\n");
			fflush(stdout);
		}
	}
	return 0;
}

/* Cover FILE with the mount. */
static int mount_on(struct logstore *logstore, const char *file)
{
	char options[128];

	logstore->fuse = open("/dev/fuse", O_RDWR | O_CLOEXEC);
	if (logstore->fuse < 0)
		return -errno;
	snprintf(options, sizeof(options), "fd=%d,rootmode=%o,user_id=0,group_id=0", logstore->fuse,
		 S_IFREG);
	return mount("logstore", file, "fuse", MS_NOSUID | MS_NODEV, options) < 0 ? -errno : 0;
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "image", 1, NULL, 'i' },
		{ "mount", 1, NULL, 'm' },
		{ "log", 1, NULL, 'l' },
		{ NULL, 0, NULL, 0 },
	};
	struct logstore logstore = { -1, -1, -1 };
	const char *image = NULL, *file = NULL, *log = NULL;
	int option, r;

	while ((option = getopt_long(argc, argv, "", options, NULL)) >= 0) {
		switch (option) {
		case 'i':
			image = optarg;
			break;
		case 'm':
			file = optarg;
			break;
		case 'l':
			log = optarg;
			break;
		default:
			return 2;
		}
	}
	if (!image || !file) {
		fprintf(stderr, "usage: logstore --image IMAGE --mount FILE [--log LOG]\n");
		return 2;
	}
	logstore.image = open(image, O_RDWR | O_CLOEXEC);
	if (log)
		logstore.log = open(log, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0600);
	if (logstore.image < 0 || (log && logstore.log < 0)) {
		perror(logstore.image < 0 ? image : log);
		return 2;
	}
	signal(SIGUSR1, on_signal);
	signal(SIGUSR2, on_signal);
	r = mount_on(&logstore, file);
	if (r < 0) {
		fprintf(stderr, "logstore: cannot mount on %s: %s\n", file, strerror(-r));
		/* No FUSE in this kernel or container: the caller has to do without. */
		return r == -ENOENT || r == -ENODEV || r == -EPERM ? 77 : 2;
	}
	return serve_all(&logstore);
}
