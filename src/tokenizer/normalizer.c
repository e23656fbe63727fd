/*
 * normalizer.c: the reference's Bert normalizer as a stream: cleaning, Chinese characters set
 * apart, canonical decomposition with marks dropped, lower-casing.
 *
 * Every normalized character stands for exactly one original character. Where canonical ordering
 * moves marks, the reference gives original characters to normalized ones in the new order; the run
 * buffer below does the same.
 */
#include <string.h>

#include "tokenizer/encoder.h"
#include "tokenizer/unicode.h"

#define INSERTION_SORT_MAX 32
#define ASK_CHARACTERS 16384 /* of a run between two questions: a millisecond or less */

/* In one of ASK_CHARACTERS turns. */
static inline bool
told_to_stop(Normalizer *normalizer, size_t turn)
{
	if (bulk_turn(turn, ASK_CHARACTERS) && !may_continue(normalizer->question, normalizer->status))
		normalizer->stopped = true;
	return normalizer->stopped;
}

void
normalizer_init(Normalizer *normalizer, uint32_t normalize, Arena *arena, EmitCharacter emit,
				void *context)
{
	memset(normalizer, 0, sizeof *normalizer);
	normalizer->normalize = normalize;
	normalizer->arena = arena;
	normalizer->emit = emit;
	normalizer->context = context;
}

/* The last step: lower-casing. */
static void
emit_lowered(Normalizer *normalizer, uint32_t c, uint8_t bits, uint32_t origin)
{
	if ((normalizer->normalize & NORMALIZE_LOWERCASE) != 0 && (bits & UNICODE_LOWERS) != 0)
	{
		uint32_t lowered[UNICODE_MAX_MAPPING];
		int count = unicode_lower(c, lowered);

		for (int i = 0; i < count; i++)
			normalizer->emit(normalizer->context, lowered[i], unicode_record(lowered[i]).bits,
							 origin);
	}
	else
		normalizer->emit(normalizer->context, c, bits, origin);
}

static void
sort_run(Normalizer *normalizer)
{
	RunChar *run = normalizer->run;
	size_t n = normalizer->run_length;

	if (n <= INSERTION_SORT_MAX)
	{
		for (size_t i = 1; i < n; i++)
		{
			RunChar moving = run[i];
			size_t j = i;

			for (; j > 0 && run[j - 1].combining_class > moving.combining_class; j--)
				run[j] = run[j - 1];
			run[j] = moving;
		}
	}
	else
	{
		/* Long runs are an attack or a test: a counting sort keeps them linear. */
		ArenaMark mark = arena_mark(normalizer->arena);
		RunChar *sorted = arena_alloc_array(normalizer->arena, n, sizeof *sorted);
		size_t place[257] = {0};

		if (sorted == NULL)
		{
			normalizer->failed = true;
			return;
		}
		for (size_t i = 0; i < n && !told_to_stop(normalizer, i); i++)
			place[run[i].combining_class + 1]++;
		for (int k = 0; k < 256; k++)
			place[k + 1] += place[k];
		for (size_t i = 0; i < n && !told_to_stop(normalizer, i); i++)
			sorted[place[run[i].combining_class]++] = run[i];
		if (!normalizer->stopped &&
			!bulk_copy(run, sorted, n * sizeof *run, normalizer->question, normalizer->status))
			normalizer->stopped = true;
		arena_rewind(normalizer->arena, mark);
	}
}

static void
flush_run(Normalizer *normalizer)
{
	size_t next = 0;

	sort_run(normalizer);
	for (size_t i = 0;
		 i < normalizer->run_length && !normalizer->failed && !told_to_stop(normalizer, i); i++)
	{
		RunChar character = normalizer->run[i];

		if (!character.added)
			normalizer->last_origin = normalizer->origins[next++];
		if ((character.bits & UNICODE_MARK) == 0)
			emit_lowered(normalizer, character.c, character.bits, normalizer->last_origin);
	}
	normalizer->run_length = 0;
	normalizer->n_origins = 0;
}

static bool
grow(Normalizer *normalizer, void **array, size_t *capacity, size_t element)
{
	size_t larger = *capacity == 0 ? 64 : *capacity * 2;
	void *copy = arena_alloc_array(normalizer->arena, larger, element);

	if (copy == NULL)
	{
		normalizer->failed = true;
		return false;
	}
	if (!bulk_copy(copy, *array, *capacity * element, normalizer->question, normalizer->status))
	{
		normalizer->stopped = true;
		return false;
	}
	*array = copy;
	*capacity = larger;
	return true;
}

/* One character of decomposed text. */
static void
push_decomposed(Normalizer *normalizer, uint32_t c, UnicodeRecord record, bool added,
				uint32_t origin)
{
	RunChar *last;

	if (record.combining_class == 0)
	{
		if (normalizer->run_length > 0)
			flush_run(normalizer);
		if (!added)
			normalizer->last_origin = origin;
		if ((record.bits & UNICODE_MARK) == 0)
			emit_lowered(normalizer, c, record.bits, normalizer->last_origin);
		return;
	}
	if (normalizer->run_length == normalizer->run_capacity &&
		!grow(normalizer, (void **) &normalizer->run, &normalizer->run_capacity,
			  sizeof *normalizer->run))
		return;
	if (!added)
	{
		if (normalizer->n_origins == normalizer->origins_capacity &&
			!grow(normalizer, (void **) &normalizer->origins, &normalizer->origins_capacity,
				  sizeof *normalizer->origins))
			return;
		normalizer->origins[normalizer->n_origins++] = origin;
	}
	last = &normalizer->run[normalizer->run_length++];
	last->c = c;
	last->combining_class = record.combining_class;
	last->added = added;
	last->bits = record.bits;
}

static void
push_accents(Normalizer *normalizer, uint32_t c, UnicodeRecord record, uint32_t origin)
{
	if ((normalizer->normalize & NORMALIZE_ACCENTS) == 0)
		emit_lowered(normalizer, c, record.bits, origin);
	else if ((record.bits & UNICODE_DECOMPOSES) == 0)
		push_decomposed(normalizer, c, record, false, origin);
	else
	{
		uint32_t parts[UNICODE_MAX_MAPPING];
		int count = unicode_decompose(c, parts);

		for (int i = 0; i < count; i++)
			push_decomposed(normalizer, parts[i], unicode_record(parts[i]), i > 0, origin);
	}
}

void
normalizer_push(Normalizer *normalizer, uint32_t c, uint32_t origin)
{
	UnicodeRecord record = unicode_record(c);
	UnicodeRecord space = {UNICODE_SPACE, 0};

	if ((normalizer->normalize & NORMALIZE_CLEAN) != 0)
	{
		if ((record.bits & UNICODE_CLEANED) != 0)
			return;
		if ((record.bits & UNICODE_SPACE) != 0)
		{
			c = ' ';
			record = space;
		}
	}
	if ((normalizer->normalize & NORMALIZE_CHINESE) != 0 && (record.bits & UNICODE_CHINESE) != 0)
	{
		push_accents(normalizer, ' ', space, origin);
		push_accents(normalizer, c, record, origin);
		push_accents(normalizer, ' ', space, origin);
	}
	else
		push_accents(normalizer, c, record, origin);
}

void
normalizer_finish(Normalizer *normalizer)
{
	if (normalizer->run_length > 0)
		flush_run(normalizer);
}
