/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A fuzz target: frames of a client. Whatever a client sends, the server lives, and nothing is left
 * of it when the client is gone.
 *
 *	input	byte 0		bit 0: the rest is sent as it stands; bits 1 to 4: in pieces of 2^n bytes; bit 5: the client
 *				does not read; bit 6: no settings; bit 7: what is held is answered in between
 *		the rest	frames, behind a preface: TYPE FLAGS STREAM LENGTH payload. Where the length has its highest
 *				bit, the payload is one of those below
 */
#include "frames.h"

#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "fuzz.h"
#include "rig.h"
#include "test.h"

#define FRAMES_BYTES_MAX 65536
/* The largest message of Flood and Pour. */
#define FRAMES_FLOOD_BYTES 200000

enum {
	FRAMES_RAW = 1 << 0,
	FRAMES_PIECE_SHIFT = 1,
	FRAMES_PIECE_MASK = 15,
	FRAMES_DEAF = 1 << 5,
	FRAMES_NO_SETTINGS = 1 << 6,
	FRAMES_RELEASE = 1 << 7,
};

/* A header of the blocks below, as a literal: the lengths are given by the strings. */
#define HEADER(name, value) "\0" name value
#define METHOD HEADER("\7:method", "\4POST")
#define SCHEME HEADER("\7:scheme", "\4http")
#define AUTHORITY HEADER("\12:authority", "\1x")
#define TYPE HEADER("\14content-type", "\20application/grpc")
#define CALL(path) METHOD SCHEME AUTHORITY HEADER("\5:path", path) TYPE
#define BLOCK(bytes)                     \
	{                                \
		bytes, sizeof(bytes) - 1 \
	}

/* Payloads that frames can have. */
static const struct {
	const char *bytes;
	size_t size;
} frames_payloads[] = {
	BLOCK(CALL("\17/test.Test/Echo")),
	BLOCK(CALL("\17/test.Test/Hold")),
	BLOCK(CALL("\20/test.Test/Flood")),
	BLOCK(CALL("\17/test.Test/Pour")),
	BLOCK(CALL("\17/test.Test/Hold") HEADER("\14grpc-timeout", "\0020n")),
	BLOCK(CALL("\34/grpc.health.v1.Health/Watch")),
	BLOCK(CALL("\2/x")),
	BLOCK(HEADER("\4more", "\4more")),
	/* Messages: empty, "hi", cut off, compressed, one that does not parse, too large a one. */
	BLOCK("\0\0\0\0\0"),
	BLOCK("\0\0\0\0\4\12\2hi"),
	BLOCK("\0\0\0\1\4\12\2hi"),
	BLOCK("\1\0\0\0\0"),
	BLOCK("\0\0\0\0\1\377"),
	BLOCK("\0\377\0\0\0"),
	/* WINDOW_UPDATE, RST_STREAM, SETTINGS. */
	BLOCK("\0\1\0\0"),
	BLOCK("\0\0\0\10"),
	BLOCK("\0\4\0\0\0\0"),
	BLOCK("\0\4\177\377\377\377"),
	BLOCK("\0\3\0\0\0\1\0\1\0\0\0\0"),
};

static struct rig *rig;

/* Translate the frames that DATA describes into OUT. Return how many bytes. */
static size_t frames_make(const uint8_t *data, size_t size, bool settings, uint8_t *out)
{
	static const char preface[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
	static const uint8_t empty_settings[9] = { [3] = 4 };
	size_t at = 0, length = sizeof(preface) - 1;

	memcpy(out, preface, length);
	if (settings) {
		memcpy(out + length, empty_settings, sizeof(empty_settings));
		length += sizeof(empty_settings);
	}
	while (at + 4 <= size) {
		const uint8_t *head = data + at;
		const void *payload = head + 4;
		size_t bytes = head[3];

		at += 4;
		if (bytes & 0x80) {
			size_t number = (bytes & 0x7f) % TEST_COUNT(frames_payloads);

			payload = frames_payloads[number].bytes;
			bytes = frames_payloads[number].size;
		} else {
			if (bytes > size - at)
				bytes = size - at;
			at += bytes;
		}
		if (length + 9 + bytes > FRAMES_BYTES_MAX)
			break;
		memset(out + length, 0, 9);
		out[length + 2] = (uint8_t)bytes;
		out[length + 3] = head[0];
		out[length + 4] = head[1];
		out[length + 8] = head[2];
		if (bytes)
			memcpy(out + length + 9, payload, bytes);
		length += 9 + bytes;
	}
	return length;
}

/* Send SIZE bytes in pieces of PIECE; read what comes, unless DEAF. */
static void frames_send(int fd, const uint8_t *bytes, size_t size, size_t piece, bool deaf)
{
	static uint8_t answer[65536];
	unsigned idle = 0;

	for (size_t at = 0; at < size || idle < 2;) {
		size_t part = size - at < piece ? size - at : piece;
		ssize_t sent = part ? send(fd, bytes + at, part, MSG_NOSIGNAL | MSG_DONTWAIT) : 0;

		if (sent > 0)
			at += (size_t)sent;
		idle = loop_turn(rig->loop, 0) > 0 || sent > 0 ? 0 : idle + 1;
		if (!deaf && recv(fd, answer, sizeof(answer), MSG_DONTWAIT) > 0)
			idle = 0;
		/* The server reads no more. */
		if (idle > 2)
			return;
	}
}

unsigned frames_ended(unsigned status)
{
	return rig->ended[status];
}

void frames_run(const uint8_t *data, size_t size)
{
	static uint8_t bytes[FRAMES_BYTES_MAX];
	uint8_t flags;
	size_t length;
	int fd;

	if (!rig) {
		struct server_limits limits = server_limits_default;

		limits.streams_max = 16;
		limits.resets_max = 20;
		limits.input_bytes_max = 100000;
		limits.output_bytes_max = 2 * FRAMES_FLOOD_BYTES;
		rig = rig_create(&limits);
		rig->flood_bytes = FRAMES_FLOOD_BYTES;
	}
	if (size < 1 || size > FRAMES_BYTES_MAX)
		return;
	flags = *data++;
	size--;
	if (!(flags & FRAMES_RAW)) {
		length = frames_make(data, size, !(flags & FRAMES_NO_SETTINGS), bytes);
	} else {
		memcpy(bytes, data, size);
		length = size;
	}
	fd = rig_connect_raw(rig);
	frames_send(fd, bytes, flags & FRAMES_RELEASE ? length / 2 : length,
		    (size_t)1 << (flags >> FRAMES_PIECE_SHIFT & FRAMES_PIECE_MASK),
		    flags & FRAMES_DEAF);
	if (flags & FRAMES_RELEASE) {
		rig_release(rig);
		frames_send(fd, bytes + length / 2, length - length / 2, FRAMES_BYTES_MAX,
			    flags & FRAMES_DEAF);
	}
	close(fd);
	rig_run(rig);
	rig_release(rig);
	rig_run(rig);
	/* Nothing is left of it. */
	rig_require(rig->server->connections_count == 0);
	rig_require(rig->server->calls_count == 0);
	rig_require(rig->server->calls_owned == 0);
	rig_require(rig->server->input_bytes == 0);
	rig_require(rig->server->output_bytes == 0);
	rig_require(rig->flooding == 0);
}

/* Free the server. */
static void frames_end(void)
{
	if (rig)
		rig_destroy(rig);
	rig = NULL;
}

const struct fuzz_target fuzz_frames = { "frames", frames_run, frames_end };
