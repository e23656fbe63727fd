/* vocab_text.c: lines, trimmed, sorted and without repetitions. */
#include "files/vocab_text.h"

#include <stdlib.h>
#include <string.h>

#include "core/bulk.h"
#include "core/checked.h"
#include "core/sort.h"
#include "files/config.h"

#define ASK_LINES 16384 /* a power of two */
#define COUNT_BYTES ((size_t) 1024 * 1024)

/* Bytes of the white space character (Unicode's White_Space) that text[0 .. length) ends with. */
static size_t
space_at_end(const char *text, size_t length)
{
	const unsigned char *end = (const unsigned char *) text + length;

	if (length >= 1 && (end[-1] == ' ' || (end[-1] >= '\t' && end[-1] <= '\r')))
		return 1;
	if (length >= 2 && end[-2] == 0xC2 && (end[-1] == 0x85 || end[-1] == 0xA0))
		return 2;
	if (length < 3)
		return 0;
	if ((end[-3] == 0xE1 && end[-2] == 0x9A && end[-1] == 0x80) ||
		(end[-3] == 0xE3 && end[-2] == 0x80 && end[-1] == 0x80) ||
		(end[-3] == 0xE2 && end[-2] == 0x81 && end[-1] == 0x9F))
		return 3;
	if (end[-3] == 0xE2 && end[-2] == 0x80 &&
		((end[-1] >= 0x80 && end[-1] <= 0x8A) || end[-1] == 0xA8 || end[-1] == 0xA9 ||
		 end[-1] == 0xAF))
		return 3;
	return 0;
}

static int
compare_lines(const void *a, const void *b)
{
	const VocabLine *x = a;
	const VocabLine *y = b;
	int order;

	if (x->length != y->length)
		return x->length < y->length ? -1 : 1;
	order = memcmp(x->text, y->text, x->length);
	return order != 0 ? order : (x->id > y->id) - (x->id < y->id);
}

static int
compare_texts(const void *key, const void *line)
{
	const VocabLine *x = key;
	const VocabLine *y = line;

	if (x->length != y->length)
		return x->length < y->length ? -1 : 1;
	return memcmp(x->text, y->text, x->length);
}

/* SIZE_MAX and *status when told to stop. */
static size_t
count_lines(const Arena *arena, const char *text, size_t length, Status *status)
{
	size_t n = length > 0 && text[length - 1] != '\n';

	for (size_t begin = 0; begin < length; begin += COUNT_BYTES)
	{
		size_t end = size_min(length, begin + COUNT_BYTES);

		for (size_t i = begin; i < end; i++)
			n += text[i] == '\n';
		if (!arena_may_continue(arena, status))
			return SIZE_MAX;
	}
	return n;
}

/* All lines by id; *lines is (n_lines). */
static bool
split(Arena *arena, const char *text, size_t length, VocabText *vocab, VocabLine **lines,
	  Status *status)
{
	size_t n = count_lines(arena, text, length, status);

	if (n == SIZE_MAX)
		return false;
	if (n > CONFIG_MAX_VOCAB)
		return status_fail(status, STATUS_LIMIT, "the vocabulary has %zu lines, the limit is %d", n,
						   CONFIG_MAX_VOCAB);
	*lines = arena_alloc_array(arena, n + 1, sizeof **lines);
	if (*lines == NULL)
		return arena_fail(arena, status, "the vocabulary", n * sizeof **lines);
	vocab->n_lines = 0;
	for (size_t begin = 0; begin < length;)
	{
		const char *newline = memchr(text + begin, '\n', length - begin);
		size_t end = newline == NULL ? length : (size_t) (newline - text);
		size_t stop = end;
		size_t space;

		while ((space = space_at_end(text + begin, stop - begin)) > 0)
			stop -= space;
		(*lines)[vocab->n_lines] = (VocabLine){text + begin, stop - begin, vocab->n_lines};
		vocab->n_lines++;
		begin = end + 1;
		if (bulk_turn((size_t) vocab->n_lines, ASK_LINES) && !arena_may_continue(arena, status))
			return false;
	}
	return true;
}

/* Empties repeated lines but the last, and counts what is left. */
static bool
leave_last(Arena *arena, VocabLine *lines, VocabText *vocab, Status *status)
{
	size_t n = 0;
	size_t kept = 0;

	vocab->sorted = arena_alloc_array(arena, (size_t) vocab->n_lines + 1, sizeof *vocab->sorted);
	if (vocab->sorted == NULL)
		return arena_fail(arena, status, "the vocabulary",
						  (size_t) vocab->n_lines * sizeof *vocab->sorted);
	for (int32_t i = 0; i < vocab->n_lines; i++)
	{
		if (lines[i].length > 0)
			vocab->sorted[n++] = lines[i];
		if (bulk_turn((size_t) i, ASK_LINES) && !arena_may_continue(arena, status))
			return false;
	}
	vocab->n_tokens = (size_t) vocab->n_lines > n ? 1 : 0;
	if (!sort_array(arena, vocab->sorted, n, sizeof *vocab->sorted, compare_lines, status))
		return false;
	for (size_t i = 0; i < n; i++)
	{
		if (i + 1 < n && compare_texts(&vocab->sorted[i], &vocab->sorted[i + 1]) == 0)
			lines[vocab->sorted[i].id].length = 0;
		else
			vocab->sorted[kept++] = vocab->sorted[i];
		if (bulk_turn(i, ASK_LINES) && !arena_may_continue(arena, status))
			return false;
	}
	vocab->n_sorted = kept;
	vocab->n_tokens += (int32_t) kept;
	return true;
}

bool
vocab_text_read(Arena *arena, const char *text, size_t length, VocabText *vocab, Status *status)
{
	VocabLine *lines;
	char *at;

	memset(vocab, 0, sizeof *vocab);
	if (length > VOCAB_TEXT_MAX_BYTES)
		return status_fail(status, STATUS_LIMIT, "the vocabulary has %zu bytes, the limit is %zu",
						   length, VOCAB_TEXT_MAX_BYTES);
	if (!split(arena, text, length, vocab, &lines, status) ||
		!leave_last(arena, lines, vocab, status))
		return false;
	vocab->text = at = arena_alloc(arena, length + 2);
	if (at == NULL)
		return arena_fail(arena, status, "the vocabulary", length);
	while (vocab->n_lines > 0 && lines[vocab->n_lines - 1].length == 0)
		vocab->n_lines--;
	for (int32_t i = 0; i < vocab->n_lines; i++)
	{
		memcpy(at, lines[i].text, lines[i].length);
		at += lines[i].length;
		*at++ = '\n';
		if (bulk_turn((size_t) i, ASK_LINES) && !arena_may_continue(arena, status))
			return false;
	}
	vocab->length = (size_t) (at - vocab->text);
	return true;
}

bool
vocab_text_of_pieces(Arena *arena, const Pieces *pieces, VocabText *vocab, Status *status)
{
	size_t n = 0;
	size_t kept = 0;

	vocab->sorted = arena_alloc_array(arena, (size_t) pieces->n + 1, sizeof *vocab->sorted);
	if (vocab->sorted == NULL)
		return arena_fail(arena, status, "the vocabulary", pieces->n * sizeof *vocab->sorted);
	for (uint32_t i = 0; i < pieces->n; i++)
		if (pieces->offsets[i + 1] > pieces->offsets[i])
			vocab->sorted[n++] =
				(VocabLine){pieces->texts + pieces->offsets[i],
							pieces->offsets[i + 1] - pieces->offsets[i], (int32_t) i};
	qsort(vocab->sorted, n, sizeof *vocab->sorted, compare_lines);
	/* of repeated ones the last counts */
	for (size_t i = 0; i < n; i++)
		if (i + 1 == n || compare_texts(&vocab->sorted[i], &vocab->sorted[i + 1]) != 0)
			vocab->sorted[kept++] = vocab->sorted[i];
	vocab->n_sorted = kept;
	vocab->n_lines = (int32_t) pieces->n;
	return true;
}

int32_t
vocab_text_find(const VocabText *vocab, const char *token)
{
	VocabLine key = {token, strlen(token), 0};
	const VocabLine *found =
		bsearch(&key, vocab->sorted, vocab->n_sorted, sizeof key, compare_texts);

	return found == NULL ? -1 : found->id;
}

bool
vocab_text_trims(const char *token, size_t length)
{
	return space_at_end(token, length) > 0;
}
