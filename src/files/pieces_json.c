/* pieces_json.c: vocabularies with scores and merges, from JSON and to it. */
#include "files/pieces_json.h"

#include <stdio.h>
#include <string.h>

#include "core/bulk.h"
#include "files/config.h"
#include "files/json.h"
#include "files/numbered_tokens.h"
#include "files/scores.h"

#define ASK_PIECES 8192 /* tokens between two questions */

/* --- Collecting tokens --- */

typedef struct Collector
{
	Arena *arena;
	Status *status;
	Pieces *out;
	char *texts;
	uint32_t *offsets;
	double *scores;
} Collector;

static bool
begin(Collector *c, size_t n, size_t bytes, bool scored)
{
	if (n == 0 || n > CONFIG_MAX_VOCAB)
		return status_fail(c->status, STATUS_INVALID_DATA,
						   "its vocabulary does not have 1 to %d tokens", CONFIG_MAX_VOCAB);
	if (bytes > PIECES_MAX_BYTES)
		return status_fail(c->status, STATUS_LIMIT, "its vocabulary has more than %zu bytes",
						   PIECES_MAX_BYTES);
	memset(c->out, 0, sizeof *c->out);
	c->texts = arena_alloc(c->arena, bytes + 1);
	c->offsets = arena_alloc_array(c->arena, n + 1, sizeof *c->offsets);
	c->scores = scored ? arena_alloc_array(c->arena, n, sizeof *c->scores) : NULL;
	if (c->texts == NULL || c->offsets == NULL || (scored && c->scores == NULL))
		return arena_fail(c->arena, c->status, "the vocabulary", bytes);
	c->offsets[0] = 0;
	c->out->n = (uint32_t) n;
	c->out->texts = c->texts;
	c->out->offsets = c->offsets;
	c->out->scores = c->scores;
	return true;
}

static bool
put(Collector *c, size_t id, const char *text, size_t length)
{
	if (length > PIECES_MAX_LENGTH)
		return status_fail(c->status, STATUS_LIMIT,
						   "its vocabulary's token %zu has %zu bytes, the limit is %d", id, length,
						   PIECES_MAX_LENGTH);
	memcpy(c->texts + c->offsets[id], text, length);
	c->offsets[id + 1] = c->offsets[id] + (uint32_t) length;
	return !bulk_turn(id, ASK_PIECES) || arena_may_continue(c->arena, c->status);
}

/* --- Unigram --- */

bool
pieces_from_scores(Arena *arena, const json_t *vocab, Pieces *out, Status *status)
{
	Collector c = {.arena = arena, .status = status, .out = out};
	size_t n = json_array_size(vocab);
	size_t bytes = 0;

	for (size_t i = 0; i < n; i++)
	{
		const json_t *entry = json_array_get(vocab, i);

		if (json_array_size(entry) != 2 || !json_is_string(json_array_get(entry, 0)) ||
			!json_is_number(json_array_get(entry, 1)))
			return status_fail(status, STATUS_INVALID_DATA,
							   "its vocabulary's entry %zu is not a token with a score", i);
		bytes += json_string_length(json_array_get(entry, 0));
	}
	if (!begin(&c, n, bytes, true))
		return false;
	for (size_t i = 0; i < n; i++)
	{
		const json_t *entry = json_array_get(vocab, i);
		const json_t *token = json_array_get(entry, 0);

		c.scores[i] = json_number_value(json_array_get(entry, 1));
		if (!(c.scores[i] > -1e30 && c.scores[i] < 1e30))
			return status_fail(status, STATUS_INVALID_DATA,
							   "its vocabulary's token %zu has the score %g", i, c.scores[i]);
		if (!put(&c, i, json_string_value(token), json_string_length(token)))
			return false;
	}
	return true;
}

/* --- BPE --- */

static bool
read_numbered(Arena *arena, const json_t *vocab, Pieces *out, Status *status)
{
	Collector c = {.arena = arena, .status = status, .out = out};
	NumberedTokens v;
	size_t next = 0;

	if (!numbered_tokens_from_json(arena, vocab, &v, status) ||
		!begin(&c, v.n == 0 ? 0 : (size_t) v.tokens[v.n - 1].id + 1, v.bytes, false))
		return false;
	for (size_t i = 0; i < v.n; i++)
	{
		while (next < (size_t) v.tokens[i].id)
			if (!put(&c, next++, "", 0))
				return false;
		if (!put(&c, next++, v.tokens[i].text, strlen(v.tokens[i].text)))
			return false;
	}
	return true;
}

static bool
find_token(const json_t *vocab, const char *text, size_t rank, uint32_t *id, Status *status)
{
	const json_t *value = json_object_get(vocab, text);

	if (value == NULL)
		return status_fail(status, STATUS_INVALID_DATA,
						   "merge %zu has \"%.60s\", which the vocabulary does not have", rank + 1,
						   text);
	*id = (uint32_t) json_integer_value(value);
	return true;
}

/* A merge from "left right". */
static bool
split_merge(const json_t *vocab, const char *text, size_t length, size_t rank, uint32_t pair[2],
			Status *status)
{
	char copy[2 * PIECES_MAX_LENGTH + 2];
	char *blank;

	if (length < sizeof copy)
	{
		memcpy(copy, text, length);
		copy[length] = '\0';
		blank = strchr(copy, ' ');
		if (blank != NULL && strlen(copy) == length && strchr(blank + 1, ' ') == NULL)
		{
			*blank = '\0';
			return find_token(vocab, copy, rank, &pair[0], status) &&
				   find_token(vocab, blank + 1, rank, &pair[1], status);
		}
	}
	return status_fail(status, STATUS_INVALID_DATA,
					   "merge %zu is not two tokens with a blank between them", rank + 1);
}

static bool
read_merge(const json_t *vocab, const json_t *merge, size_t rank, uint32_t pair[2], Status *status)
{
	const char *left = json_string_value(json_array_get(merge, 0));
	const char *right = json_string_value(json_array_get(merge, 1));

	if (json_is_string(merge))
		return split_merge(vocab, json_string_value(merge), json_string_length(merge), rank, pair,
						   status);
	if (json_array_size(merge) != 2 || left == NULL || right == NULL)
		return status_fail(status, STATUS_INVALID_DATA, "merge %zu is not two tokens", rank + 1);
	return find_token(vocab, left, rank, &pair[0], status) &&
		   find_token(vocab, right, rank, &pair[1], status);
}

static uint32_t *
merges_for(Arena *arena, size_t n, Status *status)
{
	uint32_t *pairs = NULL;

	if (n > PIECES_MAX_MERGES)
		status_fail(status, STATUS_LIMIT, "there are more than %u merges", PIECES_MAX_MERGES);
	else if ((pairs = arena_alloc_array(arena, n * 2 + 1, sizeof *pairs)) == NULL)
		arena_fail(arena, status, "the merges", n * 2 * sizeof *pairs);
	return pairs;
}

bool
pieces_from_merges(Arena *arena, const json_t *vocab, const json_t *merges, Pieces *out,
				   Status *status)
{
	size_t n = json_array_size(merges);
	uint32_t *pairs;

	if (!json_is_object(vocab) || !json_is_array(merges))
		return status_fail(status, STATUS_INVALID_DATA,
						   "its model has no vocabulary or no list of merges");
	pairs = merges_for(arena, n, status);
	if (pairs == NULL || !read_numbered(arena, vocab, out, status))
		return false;
	for (size_t i = 0; i < n; i++)
	{
		if (!read_merge(vocab, json_array_get(merges, i), i, pairs + 2 * i, status))
			return false;
		if (bulk_turn(i, ASK_PIECES) && !arena_may_continue(arena, status))
			return false;
	}
	out->merges = pairs;
	out->n_merges = (uint32_t) n;
	return true;
}

bool
pieces_from_files(Arena *arena, const json_t *vocab, const char *merges, size_t length, Pieces *out,
				  Status *status)
{
	size_t lines = 1;
	size_t n = 0;
	uint32_t *pairs;

	for (size_t i = 0; i < length; i++)
		lines += merges[i] == '\n';
	pairs = merges_for(arena, lines, status);
	if (pairs == NULL || !read_numbered(arena, vocab, out, status))
		return false;
	for (const char *line = merges, *end = merges + length; line < end;)
	{
		const char *newline = memchr(line, '\n', (size_t) (end - line));
		const char *stop = newline == NULL ? end : newline;
		const char *trimmed = stop > line && stop[-1] == '\r' ? stop - 1 : stop;

		if ((size_t) (trimmed - line) < 8 || strncmp(line, "#version", 8) != 0)
		{
			if (!split_merge(vocab, line, (size_t) (trimmed - line), n, pairs + 2 * n, status))
				return status_prefix(status, "merges.txt");
			n++;
		}
		line = stop + 1;
		if (bulk_turn(n, ASK_PIECES) && !arena_may_continue(arena, status))
			return false;
	}
	out->merges = pairs;
	out->n_merges = (uint32_t) n;
	return true;
}

/* --- Writing --- */

void
text_append(TextBuffer *buffer, const char *text, size_t length)
{
	if (buffer->capacity - buffer->length < length + 1)
	{
		size_t capacity = (buffer->length + length) * 2 + 4096;
		char *copy = buffer->failed ? NULL : arena_alloc(buffer->arena, capacity);

		buffer->failed |= copy == NULL;
		if (copy == NULL)
			return;
		if (buffer->length > 0)
			memcpy(copy, buffer->text, buffer->length);
		buffer->text = copy;
		buffer->capacity = capacity;
	}
	memcpy(buffer->text + buffer->length, text, length);
	buffer->length += length;
	buffer->text[buffer->length] = '\0';
}

void
text_append_string(TextBuffer *buffer, const char *text, size_t length)
{
	text_append(buffer, "\"", 1);
	for (size_t i = 0; i < length; i++)
	{
		unsigned char c = (unsigned char) text[i];
		char escape[8];

		if (c == '"' || c == '\\')
		{
			escape[0] = '\\';
			escape[1] = (char) c;
			text_append(buffer, escape, 2);
		}
		else if (c < 0x20)
		{
			snprintf(escape, sizeof escape, "\\u%04x", (unsigned) c);
			text_append(buffer, escape, 6);
		}
		else
			text_append(buffer, text + i, 1);
	}
	text_append(buffer, "\"", 1);
}

static void
append_token(TextBuffer *buffer, const Pieces *pieces, uint32_t id)
{
	text_append_string(buffer, pieces->texts + pieces->offsets[id],
					   pieces->offsets[id + 1] - pieces->offsets[id]);
}

static bool
append_scores(TextBuffer *buffer, const Pieces *pieces, Status *status)
{
	text_append(buffer, "\"vocab\":[", 9);
	for (uint32_t i = 0; i < pieces->n; i++)
	{
		char score[SCORE_TEXT_BYTES];

		text_append(buffer, i == 0 ? "[" : ",[", i == 0 ? 1 : 2);
		append_token(buffer, pieces, i);
		text_append(buffer, ",", 1);
		score_text(pieces->scores[i], score);
		text_append(buffer, score, strlen(score));
		text_append(buffer, "]", 1);
		if (bulk_turn(i, ASK_PIECES) && !arena_may_continue(buffer->arena, status))
			return false;
	}
	text_append(buffer, "]", 1);
	return true;
}

static bool
append_merges(TextBuffer *buffer, const Pieces *pieces, Status *status)
{
	bool first = true;

	text_append(buffer, "\"vocab\":{", 9);
	for (uint32_t i = 0; i < pieces->n; i++)
	{
		char id[16];

		if (pieces->offsets[i] == pieces->offsets[i + 1])
			continue;
		if (!first)
			text_append(buffer, ",", 1);
		first = false;
		append_token(buffer, pieces, i);
		text_append(buffer, id, (size_t) snprintf(id, sizeof id, ":%u", i));
		if (bulk_turn(i, ASK_PIECES) && !arena_may_continue(buffer->arena, status))
			return false;
	}
	text_append(buffer, "},\"merges\":[", 12);
	for (uint32_t i = 0; i < pieces->n_merges; i++)
	{
		text_append(buffer, i == 0 ? "[" : ",[", i == 0 ? 1 : 2);
		append_token(buffer, pieces, pieces->merges[2 * i]);
		text_append(buffer, ",", 1);
		append_token(buffer, pieces, pieces->merges[2 * i + 1]);
		text_append(buffer, "]", 1);
		if (bulk_turn(i, ASK_PIECES) && !arena_may_continue(buffer->arena, status))
			return false;
	}
	text_append(buffer, "]", 1);
	return true;
}

bool
pieces_append_vocab(TextBuffer *buffer, const Pieces *pieces, Status *status)
{
	return pieces->scores != NULL ? append_scores(buffer, pieces, status)
								  : append_merges(buffer, pieces, status);
}
