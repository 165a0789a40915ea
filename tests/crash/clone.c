/* SPDX-License-Identifier: Apache-2.0 */
/*
 * clone SOURCE TARGET: copies a disk image as it is at one moment (FICLONE: writers are held off
 * while the extents are shared), and prints two times of the record's clock (record.h) between
 * which that moment lies: "BEFORE AFTER". Exit status 77 when the file system has no reflinks.
 */
#include "record.h"

#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>

int main(int argc, char **argv)
{
	int source, target;
	uint64_t before;

	if (argc != 3) {
		fprintf(stderr, "usage: clone SOURCE TARGET\n");
		return 2;
	}
	source = open(argv[1], O_RDONLY | O_CLOEXEC);
	target = open(argv[2], O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (source < 0 || target < 0) {
		perror(source < 0 ? argv[1] : argv[2]);
		return 1;
	}
	before = record_now();
	if (ioctl(target, FICLONE, source) < 0) {
		int error = errno;

		perror("FICLONE");
		return error == EOPNOTSUPP || error == ENOTTY || error == EXDEV ? 77 : 1;
	}
	printf("%llu %llu\n", (unsigned long long)before, (unsigned long long)record_now());
	return 0;
}
