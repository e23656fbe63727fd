/*
 * windows.c: truncation, overflow windows and templates ([CLS] A [SEP] and [CLS] A [SEP] B [SEP]
 * where nothing else is said), as the reference's truncate_encodings, Encoding::truncate and
 * Encoding::merge_with make them.
 */
#include "core/checked.h"
#include "tokenizer/encoder.h"

/* The parts of one text's tokens: part i begins at i * step and has at most size tokens. */
typedef struct Parts
{
	const TokenList *list;
	size_t size;
	size_t step;
	size_t count;
} Parts;

int
tokenizer_special_count(const Tokenizer *tokenizer, bool pair)
{
	int count = 0;

	for (uint32_t i = 0; i < tokenizer->n_template[pair]; i++)
		count += tokenizer->templates[pair][i].what >= 0;
	return count;
}

static int
special_count(const Tokenizer *tokenizer, const EncodeOptions *options, bool pair)
{
	return options->special_tokens ? tokenizer_special_count(tokenizer, pair) : 0;
}

static bool
make_parts(Parts *parts, const TokenList *list, size_t keep, const EncodeOptions *options,
		   Status *status)
{
	parts->list = list;
	parts->size = keep;
	parts->step = keep;
	parts->count = 1;
	if (keep >= list->n || !options->overflow)
		return true;
	if (keep == 0)
		return status_fail(status, STATUS_INVALID_ARGUMENT,
						   "max_length leaves no room for a window's tokens");
	if (options->stride < 0 || (size_t) options->stride >= keep)
		return status_fail(status, STATUS_INVALID_ARGUMENT,
						   "stride %d must be less than the %zu tokens of a window",
						   options->stride, keep);
	parts->step = keep - (size_t) options->stride;
	parts->count = (list->n - keep + parts->step - 1) / parts->step + 1;
	return true;
}

/* How many tokens of each text are kept; false when the strategy cannot do it. */
static bool
choose_lengths(const EncodeOptions *options, size_t room, size_t *first, size_t *second, bool pair,
			   Status *status)
{
	size_t total = *first + *second;
	size_t *target;

	if (options->truncation == TRUNCATE_NONE || total <= room)
		return true;
	if (room == 0)
	{
		*first = *second = 0;
		return true;
	}
	if (options->truncation == TRUNCATE_LONGEST_FIRST)
	{
		size_t *shorter = *first > *second ? second : first;
		size_t *longer = *first > *second ? first : second;

		if (!pair)
		{
			*first = room;
			return true;
		}
		if (*shorter > room)
			*longer = *shorter;
		else
			*longer = room - *shorter > *shorter ? room - *shorter : *shorter;
		if (*shorter + *longer > room)
		{
			*shorter = room / 2;
			*longer = room / 2 + room % 2;
		}
		return true;
	}
	if (options->truncation == TRUNCATE_ONLY_SECOND && !pair)
		return status_fail(status, STATUS_INVALID_ARGUMENT,
						   "cannot truncate the second text: there is none");
	target = options->truncation == TRUNCATE_ONLY_FIRST ? first : second;
	if (*target <= total - room)
		return status_fail(status, STATUS_INVALID_ARGUMENT,
						   "cannot truncate the %s text enough for max_length %d",
						   target == first ? "first" : "second", options->max_length);
	*target -= total - room;
	return true;
}

static size_t
part_length(const Parts *parts, size_t index)
{
	size_t begin = index * parts->step;
	size_t left = parts->list->n - begin;

	return left < parts->size ? left : parts->size;
}

/* What making windows needs beside their parts. */
typedef struct Maker
{
	const Tokenizer *tokenizer;
	Arena *arena;
	const EncodeOptions *options;
	const MayContinue *question;
	Status *status;
} Maker;

#define ASK_WINDOWS 256 /* windows between two questions */

static void
put_special(Encoding *encoding, int32_t id, int32_t type_id)
{
	size_t n = encoding->n++;

	encoding->ids[n] = id;
	encoding->type_ids[n] = type_id;
	encoding->starts[n] = 0;
	encoding->ends[n] = 0;
	encoding->words[n] = -1;
	encoding->sequences[n] = -1;
}

static bool
put_part(const Maker *maker, Encoding *encoding, const Parts *parts, size_t index,
		 const TemplatePiece *piece)
{
	const TokenList *list = parts->list;
	size_t begin = index * parts->step;
	size_t n = part_length(parts, index);
	size_t at = encoding->n;
	int8_t sequence = piece->what == TEMPLATE_SECOND ? 1 : 0;
	const MayContinue *question = maker->question;
	Status *status = maker->status;

	if (n == 0)
		return true;
	if (!bulk_copy(encoding->ids + at, list->ids + begin, n * sizeof *list->ids, question,
				   status) ||
		!bulk_copy(encoding->starts + at, list->starts + begin, n * sizeof *list->starts, question,
				   status) ||
		!bulk_copy(encoding->ends + at, list->ends + begin, n * sizeof *list->ends, question,
				   status) ||
		!bulk_copy(encoding->words + at, list->words + begin, n * sizeof *list->words, question,
				   status))
		return false;
	for (size_t i = 0; i < n; i++)
	{
		encoding->type_ids[at + i] = piece->type;
		encoding->sequences[at + i] = sequence;
		if (list->trims != NULL)
			token_trim_placed(list->trims[begin + i], i == 0, &encoding->starts[at + i],
							  &encoding->ends[at + i]);
		if (bulk_turn(i, 1 << 20) && !may_continue(question, status))
			return false;
	}
	encoding->n += n;
	return true;
}

/* Part i of the first text with part j of the second, if there is one. */
static bool
make_window(const Maker *maker, const Parts *first, size_t i, const Parts *second, size_t j,
			Encoding *encoding)
{
	Arena *arena = maker->arena;
	const Tokenizer *t = maker->tokenizer;
	bool pair = second != NULL;
	size_t n = part_length(first, i) + (pair ? part_length(second, j) : 0) +
			   (size_t) special_count(t, maker->options, pair);

	encoding->n = 0;
	encoding->ids = arena_alloc_array(arena, n, sizeof *encoding->ids);
	encoding->type_ids = arena_alloc_array(arena, n, sizeof *encoding->type_ids);
	encoding->starts = arena_alloc_array(arena, n, sizeof *encoding->starts);
	encoding->ends = arena_alloc_array(arena, n, sizeof *encoding->ends);
	encoding->words = arena_alloc_array(arena, n, sizeof *encoding->words);
	encoding->sequences = arena_alloc_array(arena, n, sizeof *encoding->sequences);
	if (encoding->ids == NULL || encoding->type_ids == NULL || encoding->starts == NULL ||
		encoding->ends == NULL || encoding->words == NULL || encoding->sequences == NULL)
		return arena_fail(arena, maker->status, "an encoding", n);
	for (uint32_t k = 0; k < t->n_template[pair]; k++)
	{
		const TemplatePiece *piece = &t->templates[pair][k];
		bool is_second = piece->what == TEMPLATE_SECOND;
		const Parts *parts = is_second ? second : first;

		if (piece->what >= 0)
		{
			if (maker->options->special_tokens)
				put_special(encoding, piece->what, piece->type);
		}
		/* the template of one text has no second */
		else if (parts != NULL && !put_part(maker, encoding, parts, is_second ? j : i, piece))
			return false;
	}
	return true;
}

/* Whether a text has at most one special token before and one behind it, and the type 0. */
static bool
fits_list(const Tokenizer *t)
{
	const TemplatePiece *pieces = t->templates[0];
	uint32_t n = t->n_template[0];
	uint32_t text = 0;

	while (text < n && pieces[text].what >= 0)
		text++;
	return text <= 1 && text + 2 >= n && text < n && pieces[text].type == 0;
}

/* The window of a text that is not cut into several: its list becomes the encoding. */
static bool
make_only_window(const Maker *maker, const TokenList *list, size_t keep, Encoding *encoding)
{
	Arena *arena = maker->arena;
	const Tokenizer *t = maker->tokenizer;
	bool special = maker->options->special_tokens;
	const TemplatePiece *first = &t->templates[0][0];
	const TemplatePiece *last = &t->templates[0][t->n_template[0] - 1];
	size_t front = special && first->what >= 0 ? 1 : 0;
	size_t n = keep + (size_t) special_count(t, maker->options, false);

	encoding->ids = list->ids - front;
	encoding->starts = list->starts - front;
	encoding->ends = list->ends - front;
	encoding->words = list->words - front;
	encoding->type_ids = arena_alloc_array(arena, n, sizeof *encoding->type_ids);
	encoding->sequences = arena_alloc_array(arena, n, sizeof *encoding->sequences);
	if (encoding->type_ids == NULL || encoding->sequences == NULL)
		return arena_fail(arena, maker->status, "an encoding", n);
	if (!bulk_clear(encoding->type_ids, n * sizeof *encoding->type_ids, maker->question,
					maker->status) ||
		!bulk_clear(encoding->sequences, n, maker->question, maker->status))
		return false;
	for (size_t i = 0; list->trims != NULL && i < keep; i++)
	{
		token_trim_placed(list->trims[i], i == 0, &list->starts[i], &list->ends[i]);
		if (bulk_turn(i, 1 << 20) && !may_continue(maker->question, maker->status))
			return false;
	}
	encoding->n = 0;
	if (front > 0)
		put_special(encoding, first->what, first->type);
	encoding->n = keep + front;
	if (encoding->n < n)
		put_special(encoding, last->what, last->type);
	return true;
}

/*
 * The first with the first; every further part of the first text with all of the second; then the
 * rest.
 */
static bool
make_windows(const Maker *maker, const Parts *a, const Parts *b, Encoding *windows)
{
	size_t n = 0;
	size_t parts = b == NULL ? 1 : b->count;

	if (!make_window(maker, a, 0, b, 0, &windows[n++]))
		return false;
	for (size_t i = 1; i <= a->count; i++)
		for (size_t j = i == a->count ? 1 : 0; j < parts; j++)
		{
			if (bulk_turn(n, ASK_WINDOWS) && !may_continue(maker->question, maker->status))
				return false;
			if (!make_window(maker, a, i % a->count, b, j, &windows[n++]))
				return false;
		}
	return true;
}

/* Parameters: the end of tokenizer_encode, which hands on all that it was given. */
bool
windows_build(const Tokenizer *tokenizer, Arena *arena, const TokenList *first,
			  const TokenList *second, const EncodeOptions *options, const MayContinue *question,
			  EncodeResult *result, Status *status)
{
	Maker maker = {tokenizer, arena, options, question, status};
	size_t keep_first = first->total;
	size_t keep_second = second != NULL ? second->total : 0;
	size_t room = SIZE_MAX;
	Parts a;
	Parts b = {NULL, 0, 0, 1};
	size_t count;

	if (options->truncation != TRUNCATE_NONE)
	{
		int special = special_count(tokenizer, options, second != NULL);

		if (options->max_length < special)
			return status_fail(status, STATUS_INVALID_ARGUMENT,
							   "max_length %d leaves no room for the %d special tokens",
							   options->max_length, special);
		room = (size_t) (options->max_length - special);
	}
	if (!choose_lengths(options, room, &keep_first, &keep_second, second != NULL, status) ||
		!make_parts(&a, first, keep_first, options, status) ||
		(second != NULL && !make_parts(&b, second, keep_second, options, status)))
		return false;
	result->truncated = keep_first < first->n || (second != NULL && keep_second < second->n);
	if (!size_mul(a.count, b.count, &count))
		return status_fail(status, STATUS_LIMIT, "too many windows");
	result->windows = arena_alloc_array(arena, count, sizeof *result->windows);
	if (result->windows == NULL)
		return arena_fail(arena, status, "windows", count);
	result->n_windows = count;
	if (second == NULL && count == 1 && fits_list(tokenizer))
		return make_only_window(&maker, first, keep_first, &result->windows[0]);
	return make_windows(&maker, &a, second != NULL ? &b : NULL, result->windows);
}
