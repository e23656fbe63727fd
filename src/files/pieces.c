/* pieces.c: writing and reading a vocabulary with scores, merges and a character map. */
#include "files/pieces.h"

#include <string.h>

#include "core/bulk.h"
#include "files/config.h"

static const char magic[8] = {'B', 'E', 'R', 'T', 'P', 'C', 'S', '1'};
#define HEADER_BYTES 28 /* magic and five numbers */
#define ASK_PIECES 8192 /* tokens between two questions */

static void
put32(char *at, uint32_t value)
{
	for (int i = 0; i < 4; i++)
		at[i] = (char) (unsigned char) (value >> (8 * i));
}

static uint32_t
get32(const char *at)
{
	uint32_t value = 0;

	for (int i = 0; i < 4; i++)
		value |= (uint32_t) (unsigned char) at[i] << (8 * i);
	return value;
}

static void
put_score(char *at, double score)
{
	uint64_t bits;

	memcpy(&bits, &score, sizeof bits);
	put32(at, (uint32_t) bits);
	put32(at + 4, (uint32_t) (bits >> 32));
}

static double
get_score(const char *at)
{
	uint64_t bits = get32(at) | (uint64_t) get32(at + 4) << 32;
	double score;

	memcpy(&score, &bits, sizeof score);
	return score;
}

char *
pieces_write(Arena *arena, const Pieces *pieces, size_t *length, Status *status)
{
	size_t n = pieces->n;
	size_t texts = pieces->offsets[n];
	size_t bytes = HEADER_BYTES + n * (pieces->scores != NULL ? 10 : 2) +
				   (size_t) pieces->n_merges * 8 + texts + pieces->charsmap_length;
	char *out = arena_alloc(arena, bytes);
	char *at = out + HEADER_BYTES;

	if (out == NULL)
	{
		arena_fail(arena, status, "the vocabulary", bytes);
		return NULL;
	}
	memcpy(out, magic, sizeof magic);
	put32(out + 8, pieces->n);
	put32(out + 12, pieces->n_merges);
	put32(out + 16, (uint32_t) texts);
	put32(out + 20, (uint32_t) pieces->charsmap_length);
	put32(out + 24, pieces->scores != NULL);
	for (size_t i = 0; i < n; i++, at += 2)
	{
		uint32_t piece = pieces->offsets[i + 1] - pieces->offsets[i];

		at[0] = (char) (unsigned char) piece;
		at[1] = (char) (unsigned char) (piece >> 8);
	}
	for (size_t i = 0; pieces->scores != NULL && i < n; i++, at += 8)
		put_score(at, pieces->scores[i]);
	for (size_t i = 0; i < (size_t) pieces->n_merges * 2; i++, at += 4)
		put32(at, pieces->merges[i]);
	if (!bulk_copy(at, pieces->texts, texts, arena_question(arena), status) ||
		!bulk_copy(at + texts, pieces->charsmap, pieces->charsmap_length, arena_question(arena),
				   status))
		return NULL;
	*length = bytes;
	return out;
}

static bool
damaged(Status *status)
{
	return status_fail(status, STATUS_INVALID_DATA, "the vocabulary is damaged");
}

static bool
read_scores(Arena *arena, const char *at, Pieces *pieces, Status *status)
{
	double *scores = arena_alloc_array(arena, pieces->n, sizeof *scores);

	if (scores == NULL)
		return arena_fail(arena, status, "the vocabulary", pieces->n * sizeof *scores);
	for (size_t i = 0; i < pieces->n; i++)
	{
		scores[i] = get_score(at + 8 * i);
		if (!(scores[i] > -1e30 && scores[i] < 1e30)) /* NaN too */
			return damaged(status);
		if (bulk_turn(i, ASK_PIECES) && !arena_may_continue(arena, status))
			return false;
	}
	pieces->scores = scores;
	return true;
}

static bool
read_merges(Arena *arena, const char *at, Pieces *pieces, Status *status)
{
	size_t n = (size_t) pieces->n_merges * 2;
	uint32_t *merges = arena_alloc_array(arena, n, sizeof *merges);

	if (merges == NULL)
		return arena_fail(arena, status, "the merges", n * sizeof *merges);
	for (size_t i = 0; i < n; i++)
	{
		merges[i] = get32(at + 4 * i);
		if (merges[i] >= pieces->n)
			return damaged(status);
		if (bulk_turn(i, ASK_PIECES) && !arena_may_continue(arena, status))
			return false;
	}
	pieces->merges = merges;
	return true;
}

static bool
read_offsets(Arena *arena, const char *at, size_t texts, Pieces *pieces, Status *status)
{
	uint32_t *offsets = arena_alloc_array(arena, (size_t) pieces->n + 1, sizeof *offsets);

	if (offsets == NULL)
		return arena_fail(arena, status, "the vocabulary", pieces->n * sizeof *offsets);
	offsets[0] = 0;
	for (size_t i = 0; i < pieces->n; i++)
	{
		uint32_t piece = (unsigned char) at[2 * i] | (uint32_t) (unsigned char) at[2 * i + 1] << 8;

		if (piece > PIECES_MAX_LENGTH)
			return damaged(status);
		offsets[i + 1] = offsets[i] + piece; /* at most CONFIG_MAX_VOCAB * PIECES_MAX_LENGTH */
		if (bulk_turn(i, ASK_PIECES) && !arena_may_continue(arena, status))
			return false;
	}
	pieces->offsets = offsets;
	return offsets[pieces->n] == texts || damaged(status);
}

bool
pieces_read(Arena *arena, const char *bytes, size_t length, Pieces *pieces, Status *status)
{
	const char *at = bytes + HEADER_BYTES;
	size_t texts;
	size_t expected;
	uint32_t scored;

	memset(pieces, 0, sizeof *pieces);
	if (length < HEADER_BYTES || memcmp(bytes, magic, sizeof magic) != 0)
		return damaged(status);
	pieces->n = get32(bytes + 8);
	pieces->n_merges = get32(bytes + 12);
	texts = get32(bytes + 16);
	pieces->charsmap_length = get32(bytes + 20);
	scored = get32(bytes + 24);
	if (pieces->n == 0 || pieces->n > CONFIG_MAX_VOCAB || pieces->n_merges > PIECES_MAX_MERGES ||
		texts > PIECES_MAX_BYTES || pieces->charsmap_length > PIECES_MAX_CHARSMAP || scored > 1)
		return damaged(status);
	expected = HEADER_BYTES + (size_t) pieces->n * (scored == 1 ? 10 : 2) +
			   (size_t) pieces->n_merges * 8 + texts + pieces->charsmap_length;
	if (length != expected)
		return damaged(status);
	if (!read_offsets(arena, at, texts, pieces, status))
		return false;
	at += (size_t) pieces->n * 2;
	if (scored == 1)
	{
		if (!read_scores(arena, at, pieces, status))
			return false;
		at += (size_t) pieces->n * 8;
	}
	if (pieces->n_merges > 0 && !read_merges(arena, at, pieces, status))
		return false;
	at += (size_t) pieces->n_merges * 8;
	pieces->texts = at;
	if (pieces->charsmap_length > 0)
		pieces->charsmap = (const unsigned char *) at + texts;
	return true;
}
