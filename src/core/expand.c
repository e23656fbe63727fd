/* expand.c: see expand.h. */
#include "core/expand.h"

#include <string.h>

#include "core/checked.h"

#define ASK_BYTES ((size_t) 1024 * 1024)

/* What is left of both sides. */
typedef struct Expansion
{
	const unsigned char *in;
	const unsigned char *in_end;
	unsigned char *begin;
	unsigned char *out;
	unsigned char *out_end;
	unsigned char *asked_at;
	const MayContinue *question;
	bool stopped;
} Expansion;

static Expansion
expansion(const void *in, size_t in_bytes, void *out, size_t out_bytes, const MayContinue *question)
{
	return (Expansion){.in = in,
					   .in_end = (const unsigned char *) in + in_bytes,
					   .begin = out,
					   .out = out,
					   .out_end = (unsigned char *) out + out_bytes,
					   .asked_at = out,
					   .question = question};
}

static size_t
in_left(const Expansion *e)
{
	return (size_t) (e->in_end - e->in);
}

static size_t
out_left(const Expansion *e)
{
	return (size_t) (e->out_end - e->out);
}

/* Asks when there is a megabyte more than last time; true when told to stop. */
static bool
is_stopped(Expansion *e)
{
	if ((size_t) (e->out - e->asked_at) < ASK_BYTES)
		return false;
	e->asked_at = e->out;
	e->stopped = !may_continue(e->question, NULL);
	return e->stopped;
}

/* The result: whether all went well and both sides are used up. */
static bool
finish(const Expansion *e, bool ok, Status *status)
{
	if (e->stopped)
		return status_fail(status, STATUS_CANCELLED, "canceled on request");
	return (ok && e->in == e->in_end && e->out == e->out_end) ||
		   status_fail(status, STATUS_INVALID_DATA, "compressed data is damaged");
}

/* At most a megabyte from `distance` back: what is copied is there to be copied once more. */
static void
repeat_piece(unsigned char *out, size_t distance, size_t length)
{
	const unsigned char *from = out - distance;

	while (length > distance)
	{
		memcpy(out, from, distance);
		out += distance;
		length -= distance;
		distance *= 2; /* from here to `from` is the same text twice */
	}
	memcpy(out, from, length);
}

/* False when it is told to stop, or does not lie within the output. */
static bool
repeat(Expansion *e, size_t distance, size_t length)
{
	if (distance == 0 || distance > (size_t) (e->out - e->begin) || length > out_left(e))
		return false;
	while (length > 0)
	{
		size_t n = size_min(length, ASK_BYTES);

		repeat_piece(e->out, distance, n);
		e->out += n;
		length -= n;
		if (is_stopped(e))
			return false;
	}
	return true;
}

/* --- pglz --- */

#define PGLZ_ITEMS 8          /* that share a byte of flags */
#define PGLZ_SHORTEST 3       /* a repetition */
#define PGLZ_LONGEST_SHORT 18 /* longer ones have a byte more */

static bool
pglz_repetition(Expansion *e)
{
	size_t length;
	size_t distance;

	if (in_left(e) < 2)
		return false;
	length = (e->in[0] & 0x0fU) + PGLZ_SHORTEST;
	distance = (size_t) (e->in[0] & 0xf0U) << 4 | e->in[1];
	e->in += 2;
	if (length == PGLZ_LONGEST_SHORT)
	{
		if (in_left(e) == 0)
			return false;
		length += *e->in++;
	}
	/* the last one may say more than there is left */
	return repeat(e, distance, size_min(length, out_left(e)));
}

static bool
pglz_items(Expansion *e)
{
	unsigned flags = *e->in++;

	for (int i = 0; i < PGLZ_ITEMS && in_left(e) > 0 && out_left(e) > 0; i++, flags >>= 1)
		if ((flags & 1) == 0)
			*e->out++ = *e->in++;
		else if (!pglz_repetition(e))
			return false;
	return true;
}

bool
expand_pglz(const void *in, size_t in_bytes, void *out, size_t out_bytes,
			const MayContinue *question, Status *status)
{
	Expansion e = expansion(in, in_bytes, out, out_bytes, question);
	bool ok = true;

	while (ok && in_left(&e) > 0 && out_left(&e) > 0)
		ok = pglz_items(&e) && !is_stopped(&e);
	return finish(&e, ok, status);
}

/* --- lz4 --- */

#define LZ4_GOES_ON 15
#define LZ4_SHORTEST 4

/* Adds the bytes that a length goes on in. */
static bool
lz4_length(Expansion *e, size_t *length)
{
	unsigned char more;

	if (*length < LZ4_GOES_ON)
		return true;
	do
	{
		if (in_left(e) == 0)
			return false;
		more = *e->in++;
		*length += more;
	} while (more == 255);
	return true;
}

/* Bytes as they are, and what is repeated after them. */
static bool
lz4_sequence(Expansion *e)
{
	unsigned token = *e->in++;
	size_t plain = token >> 4;
	size_t repeated = token & 0x0fU;
	size_t distance;

	if (!lz4_length(e, &plain) || plain > in_left(e) || plain > out_left(e))
		return false;
	memcpy(e->out, e->in, plain);
	e->in += plain;
	e->out += plain;
	if (in_left(e) == 0)
		return true;
	if (in_left(e) < 2)
		return false;
	distance = e->in[0] | (size_t) e->in[1] << 8;
	e->in += 2;
	return lz4_length(e, &repeated) && repeat(e, distance, repeated + LZ4_SHORTEST);
}

bool
expand_lz4(const void *in, size_t in_bytes, void *out, size_t out_bytes,
		   const MayContinue *question, Status *status)
{
	Expansion e = expansion(in, in_bytes, out, out_bytes, question);
	bool ok = true;

	while (ok && in_left(&e) > 0)
		ok = lz4_sequence(&e) && !is_stopped(&e);
	return finish(&e, ok, status);
}
