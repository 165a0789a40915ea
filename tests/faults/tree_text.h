/* SPDX-License-Identifier: Apache-2.0 */
/* A tree as text, so that two trees can be compared. For one program: it is all static. */
#ifndef FAULTS_TREE_TEXT_H
#define FAULTS_TREE_TEXT_H

#include "test.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

/* Add BYTES to the checksum SUM. */
static uint64_t digest(uint64_t sum, const void *bytes, size_t size)
{
	for (size_t i = 0; i < size; i++)
		sum = sum * 0x100000001b3 + ((const unsigned char *)bytes)[i];
	return sum;
}

/* Print a checksum of the content of the file PATH. */
static void print_content(FILE *file, const char *path)
{
	static char block[65536];
	uint64_t sum = 0;
	ssize_t length;
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	while ((length = read(fd, block, sizeof(block))) > 0)
		sum = digest(sum, block, (size_t)length);
	fprintf(file, " content=%llx", (unsigned long long)sum);
	close(fd);
}

static int by_name(const struct dirent **a, const struct dirent **b)
{
	return strcmp((*a)->d_name, (*b)->d_name);
}

/* Print to FILE what PATH, called NAME, is and what is below it, but no times and inode numbers. */
static void print_tree(FILE *file, const char *path, const char *name)
{
	struct dirent **entries;
	char names[512], value[512];
	struct stat stat;
	ck_assert_msg(lstat(path, &stat) == 0, "%s: %s", path, strerror(errno));
	fprintf(file, "%s %o %u:%u %u", name, stat.st_mode, stat.st_uid, stat.st_gid,
		S_ISDIR(stat.st_mode) ? 0 : (unsigned)stat.st_nlink);
	ssize_t length = llistxattr(path, names, sizeof(names));
	for (char *key = names; length > 0 && key < names + length; key += strlen(key) + 1)
		fprintf(file, " %s=%.*s", key, (int)lgetxattr(path, key, value, sizeof(value)),
			value);
	if (S_ISREG(stat.st_mode)) {
		fprintf(file, " size=%lld", (long long)stat.st_size);
		print_content(file, path);
	}
	fputc('\n', file);
	if (!S_ISDIR(stat.st_mode))
		return;
	int count = scandir(path, &entries, NULL, by_name);
	for (int i = 0; i < count; i++) {
		if (strcmp(entries[i]->d_name, ".") && strcmp(entries[i]->d_name, "..")) {
			char *below = NULL, *below_name = NULL;
			ck_assert_int_gt(asprintf(&below, "%s/%s", path, entries[i]->d_name), 0);
			ck_assert_int_gt(asprintf(&below_name, "%s/%s", name, entries[i]->d_name),
					 0);
			print_tree(file, below, below_name);
			free(below);
			free(below_name);
		}
		free(entries[i]);
	}
	free(entries);
}

#endif
