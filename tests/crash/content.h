/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the layers of the crash tests contain. A base is a number: 0 is an empty layer,
 * 1..CONTENT_BASES are trees that follow from the number alone. So a program that finds a layer
 * after a crash knows whether it is whole without having seen it before: the digest of what lies
 * there must be the digest of what the number stands for.
 *
 * A digest is the sum of the hashes of all entries (path, mode, links, size, content), so it needs
 * no order.
 */
#ifndef VARVE_TESTS_CRASH_CONTENT_H
#define VARVE_TESTS_CRASH_CONTENT_H

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Bases that have content. */
#define CONTENT_BASES 3

/* Bytes of the largest file; such a one is stored in extents, the small ones inline in the tree. */
#define CONTENT_FILE_MAX 70000

/* The entry in a layer's root below which the load puts nested subvolumes. */
#define CONTENT_NESTED "nested"

/* One entry of a tree. */
struct content_entry {
	char path[64];       /* Relative to the root. */
	mode_t mode;         /* Type and permission bits. */
	uint32_t links;      /* Hard links; 1 for all but files. */
	const void *data;    /* A file's content, a symbolic link's target. */
	size_t size;         /* Its bytes. */
	const char *same_as; /* An earlier path that this is a hard link to, or NULL. */
};

/* Take one entry; a negative errno ends the visit. */
typedef int content_visitor(const struct content_entry *entry, void *data);

/* The sum of the entries of a tree. */
struct content_digest {
	uint64_t sum;     /* Of the entries' hashes, modulo 2^64. */
	uint64_t entries; /* How many. */
};

/* Fold SIZE bytes into HASH (FNV-1a). */
static inline uint64_t content_hash(uint64_t hash, const void *data, size_t size)
{
	const unsigned char *p = data;

	for (size_t i = 0; i < size; i++)
		hash = (hash ^ p[i]) * 0x100000001b3ULL;
	return hash;
}

/* Begin the hash of an entry with all but its content. */
static inline uint64_t content_hash_start(const char *path, mode_t mode, uint32_t links,
					  uint64_t size)
{
	uint64_t numbers[3] = { mode, links, size };
	uint64_t hash = content_hash(0xcbf29ce484222325ULL, path, strlen(path) + 1);

	return content_hash(hash, numbers, sizeof(numbers));
}

/* Add a finished HASH to DIGEST. */
static inline void content_digest_add(struct content_digest *digest, uint64_t hash)
{
	digest->sum += hash;
	digest->entries++;
}

/* Fill BUFFER with what file NUMBER of BASE contains, and return how many bytes that is. */
static inline size_t content_file(int base, int number, unsigned char *buffer)
{
	uint64_t x = 0x9e3779b97f4a7c15ULL * (uint64_t)(base * 1000 + number + 1);
	size_t size = number % 16 == 5 ? CONTENT_FILE_MAX - (size_t)number
				       : (size_t)(x >> 40) % 2000;

	for (size_t i = 0; i < size; i++) {
		x ^= x << 13;
		x ^= x >> 7;
		x ^= x << 17;
		buffer[i] = (unsigned char)(x >> 32);
	}
	return size;
}

/* Show VISIT every entry of BASE below its root, directories before what is in them. */
static inline int content_visit(int base, content_visitor *visit, void *data)
{
	static const int directories[CONTENT_BASES + 1] = { 0, 2, 6, 10 };
	static const int files[CONTENT_BASES + 1] = { 0, 6, 40, 120 };
	static unsigned char buffer[CONTENT_FILE_MAX];
	struct content_entry entry;
	int r;

	for (int i = 0; i < directories[base]; i++) {
		entry = (struct content_entry){ .mode = S_IFDIR | (i % 2 ? 0750 : 0755),
						.links = 1 };
		snprintf(entry.path, sizeof(entry.path), "d%02d", i);
		if ((r = visit(&entry, data)) < 0)
			return r;
	}
	for (int i = 0; i < files[base]; i++) {
		entry = (struct content_entry){ .mode = S_IFREG | (i % 3 ? 0644 : 0755),
						.links = i == 0 ? 2 : 1,
						.data = buffer,
						.size = content_file(base, i, buffer) };
		snprintf(entry.path, sizeof(entry.path), "d%02d/f%03d", i % directories[base], i);
		if ((r = visit(&entry, data)) < 0)
			return r;
		if (i > 0)
			continue;
		entry.same_as = "d00/f000";
		strcpy(entry.path, "d01/hard");
		if ((r = visit(&entry, data)) < 0)
			return r;
		entry = (struct content_entry){ .path = "d01/link",
						.mode = S_IFLNK | 0777,
						.links = 1,
						.data = "../d00/f000",
						.size = 11 };
		if ((r = visit(&entry, data)) < 0)
			return r;
	}
	return 0;
}

/* Add ENTRY to the struct content_digest DATA: a content_visitor. */
static inline int content_visit_digest(const struct content_entry *entry, void *data)
{
	uint64_t hash = content_hash_start(entry->path, entry->mode, entry->links, entry->size);

	content_digest_add(data, content_hash(hash, entry->data, entry->size));
	return 0;
}

/* Make ENTRY below the directory whose descriptor DATA points to: a content_visitor. */
static inline int content_visit_write(const struct content_entry *entry, void *data)
{
	int root = *(int *)data, fd, r = 0;

	if (S_ISDIR(entry->mode))
		return mkdirat(root, entry->path, 0700) < 0 ||
				       fchmodat(root, entry->path, entry->mode & 07777, 0) < 0
			       ? -errno
			       : 0;
	if (entry->same_as)
		return linkat(root, entry->same_as, root, entry->path, 0) < 0 ? -errno : 0;
	if (S_ISLNK(entry->mode))
		return symlinkat(entry->data, root, entry->path) < 0 ? -errno : 0;
	fd = openat(root, entry->path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return -errno;
	if (write(fd, entry->data, entry->size) != (ssize_t)entry->size ||
	    fchmod(fd, entry->mode & 07777) < 0)
		r = errno ? -errno : -EIO;
	close(fd);
	return r;
}

/* Write the tree of BASE into the empty directory ROOT. */
static inline int content_write(int root, int base)
{
	return content_visit(base, content_visit_write, &root);
}

/* Work out the digest that BASE must have. */
static inline struct content_digest content_expected(int base)
{
	struct content_digest digest = { 0, 0 };

	content_visit(base, content_visit_digest, &digest);
	return digest;
}

/* Fold the content of the file NAME in DIRECTORY into *HASH. */
static inline int content_read_file(int directory, const char *name, uint64_t *hash)
{
	unsigned char buffer[16384];
	int fd = openat(directory, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	ssize_t n;
	int r;

	if (fd < 0)
		return -errno;
	while ((n = read(fd, buffer, sizeof(buffer))) > 0)
		*hash = content_hash(*hash, buffer, (size_t)n);
	r = n < 0 ? -errno : 0;
	close(fd);
	return r;
}

/*
 * Add everything below DIRECTORY (its path relative to the root being PREFIX, "" or ending in '/')
 * to *DIGEST. An entry CONTENT_NESTED of the root is left out; *RET_NESTED tells whether there is
 * one.
 */
static inline int content_read(int directory, const char *prefix, struct content_digest *digest,
			       bool *ret_nested)
{
	int fd = openat(directory, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC), r = 0;
	DIR *stream = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *item;

	if (!stream)
		return -errno;
	while (r == 0 && (item = readdir(stream))) {
		char path[PATH_MAX], target[PATH_MAX];
		struct stat st;
		uint64_t hash;
		ssize_t length;
		int child;

		if (strcmp(item->d_name, ".") == 0 || strcmp(item->d_name, "..") == 0)
			continue;
		if (!*prefix && strcmp(item->d_name, CONTENT_NESTED) == 0) {
			*ret_nested = true;
			continue;
		}
		snprintf(path, sizeof(path), "%s%s", prefix, item->d_name);
		if (fstatat(fd, item->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0) {
			r = -errno;
			break;
		}
		hash = content_hash_start(path, st.st_mode,
					  S_ISREG(st.st_mode) ? (uint32_t)st.st_nlink : 1,
					  S_ISDIR(st.st_mode) ? 0 : (uint64_t)st.st_size);
		if (S_ISLNK(st.st_mode)) {
			length = readlinkat(fd, item->d_name, target, sizeof(target));
			hash = content_hash(hash, target, length < 0 ? 0 : (size_t)length);
		} else if (S_ISREG(st.st_mode)) {
			r = content_read_file(fd, item->d_name, &hash);
		}
		content_digest_add(digest, hash);
		if (r == 0 && S_ISDIR(st.st_mode)) {
			strncat(path, "/", sizeof(path) - strlen(path) - 1);
			child = openat(fd, item->d_name,
				       O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
			r = child < 0 ? -errno : content_read(child, path, digest, ret_nested);
			if (child >= 0)
				close(child);
		}
	}
	closedir(stream);
	return r;
}

#endif
