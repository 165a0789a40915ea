/* SPDX-License-Identifier: Apache-2.0 */
#include "digests.h"
#include "kernel.h"
#include "tasks.h"

#include <string.h>

/* inflate.c as it is, by other names; what it calls by these is defined below. */
#define codec_find model_codec_find
#define digest_add model_digest_add
#define stream_interrupt model_stream_interrupt
#define stream_read model_stream_read
#define inflate_end model_inflate_end
#define inflate_finish model_inflate_finish
#define inflate_init model_inflate_init
#define inflate_read model_inflate_read
#include "engine/archive/inflate.c"

#define READS_MAX 24
/* Of 256 reads, and pieces, those behind which the writer, and the one that unpacks, pauses. */
#define PAUSE_CHANCE 64
/* The longest pause. */
#define PAUSE_NS 1000000
/* Bytes of a piece that are touched. */
#define TAG_BYTES sizeof(uint32_t)
/* Calls within which a failure is chosen. */
#define NTH_MAX 40

/* What is hashed: the stream, or the plain archive. */
struct hashed {
	unsigned count;
	/* A task is at it. */
	bool busy;
};

/* One schedule. */
struct sharing {
	struct inflate inflate;
	struct stream stream;
	struct digests digests;
	struct fault fault;
	_Atomic bool cancelled;
	/* Sizes of the reads, how many there are, and were made. */
	unsigned sizes[READS_MAX], reads_count, reads;
	/* Bytes that the codec is yet to take, and makes of nothing then; pieces begun. */
	size_t codec_left, rest;
	unsigned pieces;
	struct hashed in, out;
	/* The read that fails, and the piece hashed that does, counted down; 0: none. */
	unsigned read_fails, digest_fails;
	/* What has failed; how many pieces are enough for the task that unpacks. */
	bool read_failed, digest_failed, no_thread;
	unsigned leave;
	/* The stream was interrupted; a task is in a read, or in inflate_read(). */
	bool interrupted, reading, taking;
	/* The one that unpacks has enough: the writer writes no more. */
	bool left;
	struct task *unpacks;
};

static struct sharing *sharing;

struct digests_statistics digests_statistics;

/* Is all hashed that was read and decompressed? */
static bool all_hashed(void)
{
	const struct inflate *inflate = &sharing->inflate;

	return inflate->in.hashed == inflate->in.next && inflate->out.hashed == inflate->out.next;
}

/* Are there two tasks that share the digests? */
static bool shared(void)
{
	return sharing->inflate.threaded && sharing->inflate.share;
}

/* The tag of the piece at BYTES. */
static uint32_t tag_of(const void *bytes)
{
	uint32_t tag;

	memcpy(&tag, bytes, TAG_BYTES);
	return tag;
}

/* ---- the stream ------------------------------------------------------------------------------ */

/* The writer makes a pause: all tasks that can go on do. */
static void stream_pause(void)
{
	uint64_t until = sim.now_ns + 1 + sim_random(PAUSE_NS);

	while (!sharing->interrupted && sim.now_ns < until)
		task_block(&sharing->stream, until);
	/* Nobody waits for what the writer does not write, but for the end of this task. */
	while (!sharing->interrupted && sharing->left)
		task_block(&sharing->stream, SIM_FOREVER);
	if (sharing->interrupted || !sharing->taking || !shared())
		return;
	digests_statistics.starved++;
	if (!all_hashed())
		sim_fail("both tasks wait, and not all is hashed");
}

ssize_t stream_read(struct stream *stream, void *buffer, size_t size)
{
	unsigned at;

	sim_point();
	sharing->reading = true;
	if (sharing->left || sim_chance(PAUSE_CHANCE))
		stream_pause();
	sharing->reading = false;
	if (sharing->interrupted)
		return -ECANCELED;
	at = sharing->reads++;
	if (at + 1 == sharing->read_fails) {
		sharing->read_failed = true;
		return -EIO;
	}
	if (at >= sharing->reads_count)
		return 0;
	/* More did not fit. */
	if (size < sharing->sizes[at])
		sharing->codec_left -= sharing->sizes[at] - size;
	sharing->sizes[at] = (unsigned)MIN(size, (size_t)sharing->sizes[at]);
	sim_trace("reads piece %u, %u bytes", at, sharing->sizes[at]);
	memcpy(buffer, &(uint32_t){ at }, TAG_BYTES);
	return sharing->sizes[at];
}

void stream_interrupt(struct stream *stream)
{
	sharing->interrupted = true;
	task_wake(stream, true);
}

/* ---- the codec ------------------------------------------------------------------------------- */

static int codec_begin(struct decoder *decoder)
{
	return 0;
}

/* Take some bytes, and fill the piece or a part of it; behind the last byte the rest follows. */
static int codec_run(struct decoder *decoder)
{
	size_t taken = sim_random(4) ? decoder->in_left : MIN(decoder->in_left, (size_t)1 << 12);
	size_t made = decoder->out_left;

	sim_point();
	if (!decoder->in_left && sharing->codec_left)
		return CODEC_MORE;
	/* The first piece is filled at once: there is another thread then. */
	if (sharing->pieces && sim_random(2))
		made = taken && sim_random(2) ? 0 : 1 + sim_random((unsigned)made);
	if (!sharing->codec_left) {
		made = MIN(made, sharing->rest);
		sharing->rest -= made;
	}
	if (made && decoder->out_left == STREAM_CHUNK_BYTES) {
		sim_trace("decompresses piece %u", sharing->pieces);
		memcpy(decoder->out, &(uint32_t){ sharing->pieces++ }, TAG_BYTES);
	}
	decoder->in += taken;
	decoder->in_left -= taken;
	sharing->codec_left -= taken;
	decoder->out += made;
	decoder->out_left -= made;
	return sharing->codec_left || sharing->rest ? CODEC_MORE : CODEC_END;
}

static void codec_end(struct decoder *decoder)
{
}

static const struct codec model_codec = {
	CODEC_TEXTS("model", "nothing"),
	.begin = codec_begin,
	.run = codec_run,
	.end = codec_end,
};

const struct codec *codec_find(const uint8_t *bytes, size_t size)
{
	return sharing->inflate.codec ? NULL : &model_codec;
}

/* ---- the digests ----------------------------------------------------------------------------- */

int digest_add(struct digest *digest, const void *bytes, size_t size)
{
	bool first = digest == &sharing->digests.stream;
	struct hashed *hashed = first ? &sharing->in : &sharing->out;

	if (hashed->busy)
		sim_fail("two tasks take one digest");
	hashed->busy = true;
	if (sharing->digest_fails && !--sharing->digest_fails) {
		sharing->digest_failed = true;
		sim_point();
		hashed->busy = false;
		hashed->count++;
		return -ENOMEM;
	}
	for (unsigned look = 0; look < 3; look++) {
		/* The end of the stream is read as a piece of no bytes. */
		if (size && tag_of(bytes) != hashed->count)
			sim_fail("piece %u of the %s is hashed as number %u", tag_of(bytes),
				 first ? "stream" : "archive", hashed->count);
		sim_point();
	}
	if (first &&
	    size != (hashed->count < sharing->reads_count ? sharing->sizes[hashed->count] : 0))
		sim_fail("%zu bytes of piece %u are hashed", size, hashed->count);
	sim_trace("hashes piece %u of the %s", hashed->count, first ? "stream" : "archive");
	hashed->busy = false;
	hashed->count++;
	if (shared() && sim.current == sharing->unpacks)
		digests_statistics.hashed_here++;
	else if (shared())
		digests_statistics.hashed_there++;
	return 0;
}

/* ---- the tasks ------------------------------------------------------------------------------- */

/* Unpack for a while: the one that decompresses hashes when there is no room for more. */
static void unpack_pause(void)
{
	uint64_t until = sim.now_ns + 1 + sim_random(PAUSE_NS);

	while (sim.now_ns < until)
		task_block(NULL, until);
	if (!shared() || sharing->reading || sharing->inflate.ended)
		return;
	digests_statistics.full++;
	if (!all_hashed())
		sim_fail("there is no room, and not all is hashed");
}

/* The piece AT, of LENGTH bytes at BYTES, is the next one, also after a while. */
static void unpack_piece(unsigned at, const void *bytes, size_t length)
{
	if (tag_of(bytes) != at || (length < STREAM_CHUNK_BYTES && sharing->codec_left))
		sim_fail("piece %u came as number %u, with %zu bytes", tag_of(bytes), at, length);
	sim_point();
	if (sim_chance(PAUSE_CHANCE))
		unpack_pause();
	if (tag_of(bytes) != at)
		sim_fail("piece %u was changed while it was unpacked", at);
}

/* Has all been read, unpacked and hashed that came to the end R? */
static void unpack_check(int r, unsigned pieces)
{
	bool failed = sharing->read_failed || sharing->digest_failed ||
		      (!sharing->no_thread && atomic_load(&sharing->fault.hits));

	digests_statistics.digests_failed += sharing->digest_failed;
	digests_statistics.failed += r && r != -ECANCELED;
	digests_statistics.cancelled += r == -ECANCELED;
	if (!r && failed)
		sim_fail("a failure became an end");
	if (r == -EIO ? !sharing->read_failed : r && r != -ECANCELED && (r != -ENOMEM || !failed))
		sim_fail("ended with %d", r);
	if (r == -ECANCELED && !atomic_load(&sharing->cancelled))
		sim_fail("cancelled by nobody");
	if (!r && (pieces != sharing->pieces || sharing->out.count != pieces ||
		   sharing->in.count != sharing->reads || sharing->codec_left || sharing->rest))
		sim_fail("%u pieces of %u, %u of %u reads and %u pieces hashed", pieces,
			 sharing->pieces, sharing->in.count, sharing->reads, sharing->out.count);
}

/* The task that unpacks. */
static void *unpack(void *data)
{
	struct inflate *inflate = &sharing->inflate;
	ssize_t length = 1;
	const void *bytes;
	unsigned at = 0;

	sharing->unpacks = sim.current;
	while (length > 0 && at < sharing->leave) {
		sharing->taking = true;
		length = inflate_read(inflate, &bytes);
		sharing->taking = false;
		if (length > 0)
			unpack_piece(at++, bytes, (size_t)length);
	}
	if (length <= 0)
		unpack_check((int)length, at);
	else
		digests_statistics.left++;
	sharing->left = length > 0;
	inflate_end(inflate);
	return NULL;
}

/* The task that cancels, some time. */
static void *cancel(void *data)
{
	task_block(NULL, sim.now_ns + sim_random(8 * PAUSE_NS));
	atomic_store(&sharing->cancelled, true);
	stream_interrupt(&sharing->stream);
	return NULL;
}

/* Choose what happens. */
static void choose(struct sharing *to)
{
	*to = (struct sharing){ .reads_count = 1 + sim_random(READS_MAX),
				.digests.wanted = true,
				.rest = (1 + sim_random(12)) * STREAM_CHUNK_BYTES,
				.leave = UINT32_MAX };
	for (unsigned i = 0; i < to->reads_count; i++) {
		to->sizes[i] = i && sim_random(2) ? STREAM_CHUNK_BYTES
						  : TAG_BYTES + sim_random(CODEC_HEADER_BYTES / 2);
		to->codec_left += to->sizes[i];
	}
	switch (sim_random(8)) {
	case 0:
		to->leave = sim_random(NTH_MAX);
		break;
	case 1:
		to->read_fails = 1 + sim_random(READS_MAX);
		break;
	case 2:
	case 3:
		to->digest_fails = 1 + sim_random(NTH_MAX);
		break;
	case 4:
		fault_arm(&to->fault, FAULT_ALLOCATION, 1 + sim_random(NTH_MAX), -ENOTRECOVERABLE,
			  false);
		break;
	case 5:
		/* That is no failure. */
		to->no_thread = !sim_random(4);
		if (to->no_thread)
			fault_arm(&to->fault, FAULT_LANE, 1, -EAGAIN, false);
		break;
	default:
		break;
	}
	sim.switch_chance = 16u << sim_random(4);
}

const char *digests_run(uint64_t seed, bool trace)
{
	static struct sharing memory;
	struct process *process;
	enum sim_end end;

	sim_begin(seed);
	kernel_begin();
	sim.trace = trace;
	choose(&memory);
	inflate_init(&memory.inflate, &memory.stream, &memory.fault, &memory.cancelled);
	memory.inflate.digests = &memory.digests;
	process = sim_process("unpack", unpack, NULL);
	if (!sim_random(4))
		task_start(process, "cancel", cancel, NULL)->detached = true;
	sharing = &memory;
	end = sim_run();
	digests_statistics.schedules++;
	return end == SIM_FAILED ? sim.failure : NULL;
}
