/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Runs a fuzz target without libFuzzer: `replay [--cut] TARGET FILE...` gives it each file once;
 * with --cut also what is left of it when it ends, or has a byte turned over, in each block of 512
 * bytes.
 */
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fuzz.h"

#define INPUT_BYTES_MAX (1 << 20)
#define BLOCK_BYTES 512

/* What is run. */
static const struct fuzz_target *target;

/* An input, and what is left of the bytes behind it. */
struct input {
	uint8_t *bytes;
	size_t size;
};

/* Read FILE; exits when that fails. */
static struct input input_read(const char *file)
{
	struct input input = { malloc(INPUT_BYTES_MAX), 0 };
	int fd = open(file, O_RDONLY | O_CLOEXEC);
	ssize_t length = 0;

	while (fd >= 0 && input.bytes &&
	       (length = read(fd, input.bytes + input.size, INPUT_BYTES_MAX - input.size)) > 0)
		input.size += (size_t)length;
	if (fd < 0 || !input.bytes || length < 0 || close(fd) < 0) {
		perror(file);
		exit(1);
	}
	return input;
}

/* Run INPUT with what flags it has but for CLEAR, and SET. */
static unsigned run(const struct input *input, size_t size, uint8_t clear, uint8_t set)
{
	uint8_t *copy = malloc(size + 1);

	if (!copy)
		abort();
	memcpy(copy, input->bytes, size);
	if (size)
		copy[0] = (uint8_t)((copy[0] & ~clear) | set);
	target->run(copy, size);
	free(copy);
	return 1;
}

/*
 * Run INPUT cut off at and within each block, with and without the zeros of an end, and damaged in
 * each.
 */
static unsigned run_cut(struct input *input)
{
	unsigned count = 0;

	for (size_t at = 1; at < input->size; at += BLOCK_BYTES) {
		size_t byte = at + at / BLOCK_BYTES * 37 % BLOCK_BYTES;

		count += run(input, at, 0, 0) + run(input, at, 0, 3);
		count += run(input, at + BLOCK_BYTES / 3 < input->size ? at + BLOCK_BYTES / 3 : at,
			     0, 3);
		if (byte >= input->size)
			continue;
		input->bytes[byte] ^= 0x40;
		count += run(input, input->size, 1, 0) + run(input, input->size, 0, 1);
		input->bytes[byte] ^= 0x40;
	}
	return count;
}

int main(int argc, char **argv)
{
	bool cut = argc > 1 && !strcmp(argv[1], "--cut");
	struct input *inputs = calloc((size_t)argc, sizeof(*inputs));
	int first = 2 + cut;
	unsigned count = 0;

	target = argc > first ? fuzz_find(argv[first - 1]) : NULL;
	if (!inputs || !target)
		return 1;
	/* The target changes its root: read them first. */
	for (int i = first; i < argc; i++)
		inputs[i] = input_read(argv[i]);
	for (int i = first; i < argc; i++) {
		count += run(&inputs[i], inputs[i].size, 0, 0);
		count += cut ? run_cut(&inputs[i]) : 0;
		free(inputs[i].bytes);
	}
	free(inputs);
	target->end();
	printf("%u inputs\n", count);
	return count ? 0 : 1;
}
