/* SPDX-License-Identifier: Apache-2.0 */
/* varve-test: backend=any mount=no root=no timeout=120 */
/*
 * Random frames, and damaged ones: see frames.c. With VARVE_TEST_SOAK many more. fuzz/test_frames
 * has chosen ones.
 */
#include <nghttp2/nghttp2.h>

#include "frames.h"
#include "grpc.h"
#include "test.h"

#define INPUTS 3000
#define INPUTS_SOAK 300000
#define INPUT_BYTES_MAX 512

/* An input that grows by frames. */
struct input {
	uint8_t bytes[INPUT_BYTES_MAX];
	size_t size;
	uint64_t seed;
	/* The stream of the last HEADERS. */
	uint8_t stream;
};

/* The next random number below BOUND. */
static uint8_t draw(struct input *input, unsigned bound)
{
	return (uint8_t)(test_random(&input->seed) % bound);
}

/* Add a frame with the payload PAYLOAD of frames.c. */
static void add(struct input *input, uint8_t type, uint8_t flags, uint8_t stream, uint8_t payload)
{
	const uint8_t head[] = { type, flags, stream, 0x80 | payload };

	memcpy(input->bytes + input->size, head, sizeof(head));
	input->size += sizeof(head);
}

/* Add a frame that makes sense at this place, or (seldom) none. */
static void add_some(struct input *input)
{
	uint8_t recent = (uint8_t)(input->stream - 2 * draw(input, 4)), kind = draw(input, 100);

	if (kind < 40) {
		input->stream = (uint8_t)(input->stream + 2);
		add(input, NGHTTP2_HEADERS, draw(input, 12) ? 4 : draw(input, 6), input->stream,
		    draw(input, 7));
	} else if (kind < 80) {
		add(input, NGHTTP2_DATA, draw(input, 4) != 0,
		    draw(input, 3) ? input->stream : recent, 8 + draw(input, 6));
	} else if (kind < 86) {
		add(input, NGHTTP2_RST_STREAM, 0, recent, 15);
	} else if (kind < 91) {
		add(input, NGHTTP2_WINDOW_UPDATE, 0, draw(input, 2) ? 0 : recent, 14);
	} else if (kind < 96) {
		add(input, NGHTTP2_SETTINGS, 0, 0, 16 + draw(input, 3));
	} else if (kind < 98) {
		add(input, NGHTTP2_CONTINUATION, draw(input, 6), recent, 7);
	} else {
		add(input, draw(input, 12), draw(input, 255), draw(input, 255), draw(input, 19));
	}
}

START_TEST(test_random_frames)
{
	/* Each of these is what some of the inputs are answered. */
	static const unsigned seen[] = { GRPC_OK,
					 GRPC_CANCELLED,
					 GRPC_DEADLINE_EXCEEDED,
					 GRPC_RESOURCE_EXHAUSTED,
					 GRPC_UNIMPLEMENTED,
					 GRPC_INTERNAL };
	const unsigned count = getenv("VARVE_TEST_SOAK") ? INPUTS_SOAK : INPUTS;
	struct input input = { .seed = test_seed() };

	for (unsigned i = 0; i < count; i++) {
		input.stream = (uint8_t)-1;
		input.bytes[0] = (uint8_t)(test_random(&input.seed) & ~1u);
		input.size = 1;
		while (input.size + 4 <= sizeof(input.bytes) && draw(&input, 40))
			add_some(&input);
		/* One in four is damaged somewhere. */
		if (input.size > 1 && !draw(&input, 4))
			input.bytes[1 + test_random(&input.seed) % (input.size - 1)] ^=
				(uint8_t)(1 + draw(&input, 255));
		frames_run(input.bytes, input.size);
	}
	for (size_t i = 0; i < TEST_COUNT(seen); i++)
		ck_assert_msg(frames_ended(seen[i]) > 0, "no call ended with %u", seen[i]);
}
END_TEST

START_TEST(test_random_bytes)
{
	static const char preface[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
	uint64_t seed = test_seed();

	for (unsigned i = 0; i < INPUTS / 10; i++) {
		uint8_t input[INPUT_BYTES_MAX];
		size_t size = 1 + test_random(&seed) % (sizeof(input) - 1);

		for (size_t j = 0; j < size; j++)
			input[j] = (uint8_t)test_random(&seed);
		input[0] |= 1;
		if (test_random(&seed) % 2 && size > sizeof(preface))
			memcpy(input + 1, preface, sizeof(preface) - 1);
		frames_run(input, size);
	}
}
END_TEST

TEST_MAIN_UNIT("frames", test_random_frames, test_random_bytes)
