/* SPDX-License-Identifier: Apache-2.0 */
/*
 * replay: makes the disk that a power cut would have left.
 *
 *	replay --log LOG					print "RECORDS FLUSHES"
 *	replay --log LOG --image IMAGE --records N | --until NS [--seed S] [--drop PERCENT]
 *
 * IMAGE is a copy of the disk as it was when the log began (logstore.c). The first N records, or
 * those before the moment NS, are applied to it: all up to the last flush among them, for that is
 * what a flush promises; of the later ones PERCENT (50) are lost, and of those kept one in eight is
 * torn at a 4096-byte boundary (a disk writes one block whole, not more). Prints "NS LOST TORN": NS
 * is the time of the first record left out, so whatever was acknowledged before NS rests on records
 * that were applied.
 */
#include "record.h"
#include "writelog.h"

#include <fcntl.h>
#include <getopt.h>
#include <linux/falloc.h>
#include <stdbool.h>
#include <sys/mman.h>
#include <sys/stat.h>

/* The smallest unit that a disk writes whole. */
#define DISK_BLOCK 4096u

/* The log, and where in it. */
struct replay {
	const char *log; /* Mapped. */
	size_t size;     /* Its bytes. */
	int image;
	uint64_t random; /* State of the generator; never 0. */
	unsigned drop_percent;
	uint64_t lost, torn;
};

/* Draw a number below BOUND. */
static uint64_t draw(struct replay *replay, uint64_t bound)
{
	replay->random ^= replay->random << 13;
	replay->random ^= replay->random >> 7;
	replay->random ^= replay->random << 17;
	return (replay->random >> 16) % bound;
}

/*
 * The record at *OFFSET, which then moves behind it; NULL at the end, also of a record that was cut
 * off.
 */
static const struct writelog_record *record_next(const struct replay *replay, size_t *offset)
{
	const struct writelog_record *record = (const void *)(replay->log + *offset);
	size_t size;

	if (*offset + sizeof(*record) > replay->size)
		return NULL;
	if (record->magic != WRITELOG_MAGIC) {
		fprintf(stderr, "replay: the log makes no sense at %zu\n", *offset);
		exit(2);
	}
	size = sizeof(*record) + (record->type == WRITELOG_WRITE ? record->length : 0);
	/* Lengths are multiples of 8, as a disk's sectors are, so records stay aligned. */
	if (size > replay->size - *offset || size % 8)
		return NULL;
	*offset += size;
	return record;
}

/*
 * Count records and flushes among the first LIMIT that came before UNTIL, and find the last flush.
 */
static void survey(const struct replay *replay, uint64_t limit, uint64_t until,
		   uint64_t *ret_records, uint64_t *ret_flushes, uint64_t *ret_last_flush)
{
	const struct writelog_record *record;
	uint64_t records = 0, flushes = 0, last = 0;
	size_t offset = 0;

	for (; records < limit && (record = record_next(replay, &offset)) && record->ns < until;
	     records++) {
		if (record->type != WRITELOG_FLUSH)
			continue;
		flushes++;
		last = records;
	}
	*ret_records = records;
	*ret_flushes = flushes;
	*ret_last_flush = last;
}

/* Apply the first LENGTH bytes of RECORD. */
static int record_apply(struct replay *replay, const struct writelog_record *record,
			uint64_t length)
{
	if (record->type == WRITELOG_DISCARD)
		return fallocate(replay->image, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
				 (off_t)record->offset, (off_t)length) < 0
			       ? -errno
			       : 0;
	return pwrite(replay->image, record + 1, length, (off_t)record->offset) == (ssize_t)length
		       ? 0
		       : -EIO;
}

/* Apply RECORD, which no flush follows: perhaps not, perhaps in part. */
static int record_apply_unflushed(struct replay *replay, const struct writelog_record *record)
{
	uint64_t length = record->length;

	if (draw(replay, 100) < replay->drop_percent) {
		replay->lost++;
		return 0;
	}
	if (record->type == WRITELOG_WRITE && length > DISK_BLOCK && draw(replay, 8) == 0) {
		length = DISK_BLOCK * (1 + draw(replay, length / DISK_BLOCK));
		if (length >= record->length)
			length = record->length;
		else
			replay->torn++;
	}
	return record_apply(replay, record, length);
}

/*
 * Apply the first LIMIT records, those before UNTIL at most. Returns the time of the first one left
 * out through *RET_NS.
 */
static int replay_apply(struct replay *replay, uint64_t limit, uint64_t until, uint64_t *ret_ns)
{
	uint64_t records, flushes, last_flush, i;
	const struct writelog_record *record;
	size_t offset = 0;
	int r = 0;

	survey(replay, limit, until, &records, &flushes, &last_flush);
	for (i = 0; r == 0 && i < records && (record = record_next(replay, &offset)); i++) {
		if (record->type == WRITELOG_FLUSH)
			continue;
		r = flushes && i < last_flush ? record_apply(replay, record, record->length)
					      : record_apply_unflushed(replay, record);
	}
	record = record_next(replay, &offset);
	*ret_ns = record ? record->ns : UINT64_MAX;
	return r;
}

/* Map the log FILE. */
static int replay_open(struct replay *replay, const char *file)
{
	int fd = open(file, O_RDONLY | O_CLOEXEC);
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0)
		return -errno;
	replay->size = (size_t)st.st_size;
	replay->log = mmap(NULL, replay->size + 1, PROT_READ, MAP_PRIVATE, fd, 0);
	close(fd);
	return replay->log == MAP_FAILED ? -errno : 0;
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "log", 1, NULL, 'l' },   { "image", 1, NULL, 'i' }, { "records", 1, NULL, 'n' },
		{ "until", 1, NULL, 'u' }, { "seed", 1, NULL, 's' },  { "drop", 1, NULL, 'd' },
		{ NULL, 0, NULL, 0 },
	};
	struct replay replay = { .image = -1, .drop_percent = 50, .random = 1 };
	const char *log = NULL, *image = NULL;
	uint64_t limit = UINT64_MAX, until = UINT64_MAX, records, flushes, last, ns = 0;
	int option, r;

	while ((option = getopt_long(argc, argv, "", options, NULL)) >= 0) {
		switch (option) {
		case 'l':
			log = optarg;
			break;
		case 'i':
			image = optarg;
			break;
		case 'n':
			limit = strtoull(optarg, NULL, 0);
			break;
		case 'u':
			until = strtoull(optarg, NULL, 0);
			break;
		case 's':
			replay.random = strtoull(optarg, NULL, 0) * 0x9e3779b97f4a7c15ULL +
					0x2545f4914f6cdd1dULL;
			break;
		case 'd':
			replay.drop_percent = (unsigned)strtoul(optarg, NULL, 0);
			break;
		default:
			return 2;
		}
	}
	r = log ? replay_open(&replay, log) : -EINVAL;
	if (r < 0) {
		fprintf(stderr, "usage: replay --log LOG [--image IMAGE --records N ...]: %s\n",
			strerror(-r));
		return 2;
	}
	if (!image) {
		survey(&replay, UINT64_MAX, UINT64_MAX, &records, &flushes, &last);
		printf("%llu %llu\n", (unsigned long long)records, (unsigned long long)flushes);
		return 0;
	}
	replay.image = open(image, O_WRONLY | O_CLOEXEC);
	r = replay.image < 0 ? -errno : replay_apply(&replay, limit, until, &ns);
	if (r < 0) {
		fprintf(stderr, "replay: %s: %s\n", image, strerror(-r));
		return 2;
	}
	printf("%llu %llu %llu\n", (unsigned long long)ns, (unsigned long long)replay.lost,
	       (unsigned long long)replay.torn);
	return 0;
}
