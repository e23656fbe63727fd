/* sampler.c: permutations, batches without common texts, pairs of a class. */
#include "train/sampler.h"

#include <string.h>

#define NOBODY UINT32_MAX
/* Samples that a batch may pass over before it is left short: bounds what many equal texts cost. */
#define MOST_DEFERRED 4096

struct Sampler
{
	SamplerOptions options;
	uint32_t count;
	int64_t epoch;       /* of the order; -1: none */
	uint32_t *order;     /* (count) */
	uint32_t *shuffled;  /* (count): before it is arranged */
	size_t n_batches;    /* of the order; 0: every batch is full but the last */
	uint32_t *starts;    /* (n_batches + 1), room for count + 1 */
	uint32_t *numbers;   /* (batch_size x gradient_accumulation): batches of a step */
	size_t *key_offsets; /* (count + 1); NULL: nothing is arranged by texts */
	uint64_t *keys;
	uint32_t *next;       /* (count): of the samples that are left */
	size_t table_size;    /* a power of two */
	uint64_t *table;      /* (table_size): texts of the batch in the making */
	uint32_t *table_used; /* (table_size): the batch that a place was taken in */
	int32_t *classes;     /* (count); NULL: nothing is arranged by classes */
	int32_t n_classes;
	uint32_t *waiting; /* (n_classes): a sample of the class without a partner, or NOBODY */
};

static bool
no_memory(Arena *arena, size_t bytes, Status *status)
{
	return arena_fail(arena, status, "the order of samples", bytes);
}

/* Calls for each sample, whose memory goes with the call. */
typedef bool (*SampleVisit)(Sampler *sampler, uint32_t index, const Sample *sample, Status *status);

static bool
visit_samples(Sampler *sampler, Arena *arena, SpillReader *reader, SampleVisit visit,
			  const MayContinue *question, Status *status)
{
	for (uint32_t i = 0; i < sampler->count; i++)
	{
		ArenaMark mark = arena_mark(arena);
		Sample sample;

		if (!may_continue(question, status) || !spill_read(reader, i, arena, &sample, status) ||
			!visit(sampler, i, &sample, status))
			return false;
		arena_rewind(arena, mark);
	}
	return true;
}

/* How many texts a sample has, into the next one's offset. */
static bool
count_texts(Sampler *sampler, uint32_t index, const Sample *sample, Status *status)
{
	(void) status;
	sampler->key_offsets[index + 1] = sampler->key_offsets[index] + sample->n_sequences;
	return true;
}

static bool
take_keys(Sampler *sampler, uint32_t index, const Sample *sample, Status *status)
{
	uint64_t *keys = sampler->keys + sampler->key_offsets[index];

	(void) status;
	for (uint32_t s = 0; s < sample->n_sequences; s++)
		keys[s] = sample_text_key(sample, s);
	return true;
}

static bool
take_class(Sampler *sampler, uint32_t index, const Sample *sample, Status *status)
{
	if (sample->labels[0] < 0)
		return status_fail(status, STATUS_INVALID_DATA, "a sample without a class");
	sampler->classes[index] = sample->labels[0];
	if (sampler->n_classes <= sample->labels[0])
		sampler->n_classes = sample->labels[0] + 1;
	return true;
}

/* The most texts that a batch can have. */
static size_t
most_texts(const Sampler *sampler)
{
	size_t most = 0;

	for (uint32_t i = 0; i < sampler->count; i++)
		if (sampler->key_offsets[i + 1] - sampler->key_offsets[i] > most)
			most = sampler->key_offsets[i + 1] - sampler->key_offsets[i];
	if (most * sampler->options.batch_size < sampler->key_offsets[sampler->count])
		return most * sampler->options.batch_size;
	return sampler->key_offsets[sampler->count];
}

static bool
prepare_texts(Sampler *sampler, Arena *arena, SpillReader *reader, const MayContinue *question,
			  Status *status)
{
	size_t count = sampler->count;

	sampler->key_offsets = arena_alloc_array_zero(arena, count + 1, sizeof(size_t));
	sampler->next = arena_alloc_array(arena, count, sizeof(uint32_t));
	sampler->starts = arena_alloc_array(arena, count + 1, sizeof(uint32_t));
	if (sampler->key_offsets == NULL || sampler->next == NULL || sampler->starts == NULL)
		return no_memory(arena, count * 16, status);
	if (!visit_samples(sampler, arena, reader, count_texts, question, status))
		return false;
	for (sampler->table_size = 16; sampler->table_size < 2 * most_texts(sampler);)
		sampler->table_size *= 2;
	sampler->keys = arena_alloc_array(arena, sampler->key_offsets[count], sizeof(uint64_t));
	sampler->table = arena_alloc_array(arena, sampler->table_size, sizeof(uint64_t));
	sampler->table_used = arena_alloc_array(arena, sampler->table_size, sizeof(uint32_t));
	if (sampler->keys == NULL || sampler->table == NULL || sampler->table_used == NULL)
		return no_memory(arena, sampler->key_offsets[count] * 8, status);
	return visit_samples(sampler, arena, reader, take_keys, question, status);
}

static bool
prepare_classes(Sampler *sampler, Arena *arena, SpillReader *reader, const MayContinue *question,
				Status *status)
{
	sampler->classes = arena_alloc_array(arena, sampler->count, sizeof(int32_t));
	if (sampler->classes == NULL)
		return no_memory(arena, sampler->count * sizeof(int32_t), status);
	if (!visit_samples(sampler, arena, reader, take_class, question, status))
		return false;
	sampler->waiting = arena_alloc_array(arena, (size_t) sampler->n_classes, sizeof(uint32_t));
	return sampler->waiting != NULL ||
		   no_memory(arena, (size_t) sampler->n_classes * sizeof(uint32_t), status);
}

Sampler *
sampler_create(Arena *arena, SpillReader *reader, const SamplerOptions *options,
			   const MayContinue *question, Status *status)
{
	Sampler *sampler = arena_alloc_zero(arena, sizeof *sampler);
	ArenaMark mark;
	Sample first;
	EmbeddingShape shape;
	bool ok = true;

	if (sampler == NULL)
	{
		no_memory(arena, sizeof *sampler, status);
		return NULL;
	}
	sampler->options = *options;
	sampler->count = (uint32_t) spill_samples(reader);
	sampler->epoch = -1;
	sampler->order = arena_alloc_array(arena, sampler->count, sizeof(uint32_t));
	sampler->numbers = arena_alloc_array(
		arena, options->batch_size * options->gradient_accumulation, sizeof(uint32_t));
	if (sampler->order == NULL || sampler->numbers == NULL)
	{
		no_memory(arena, sampler->count * sizeof(uint32_t), status);
		return NULL;
	}
	if (options->task != TRAIN_EMBEDDING || sampler->count == 0)
		return sampler;
	sampler->shuffled = arena_alloc_array(arena, sampler->count, sizeof(uint32_t));
	if (sampler->shuffled == NULL)
	{
		no_memory(arena, sampler->count * sizeof(uint32_t), status);
		return NULL;
	}
	mark = arena_mark(arena);
	if (!spill_read(reader, 0, arena, &first, status))
		return NULL;
	shape = sample_shape(&first);
	arena_rewind(arena, mark);
	if (shape == EMBEDDING_PAIRS)
		ok = prepare_texts(sampler, arena, reader, question, status);
	else if (shape == EMBEDDING_LABELS)
		ok = prepare_classes(sampler, arena, reader, question, status);
	return ok ? sampler : NULL;
}

/* --- Batches without common texts --- */

/* The place of a text in the table of batch number `batch` (from 1), or a free one. */
static size_t
table_place(const Sampler *sampler, uint64_t key, uint32_t batch)
{
	size_t at = (size_t) (key * UINT64_C(0x9E3779B97F4A7C15) >> 20) & (sampler->table_size - 1);

	while (sampler->table_used[at] == batch && sampler->table[at] != key)
		at = (at + 1) & (sampler->table_size - 1);
	return at;
}

/* Whether none of the sample's texts is in the batch; then they are now. */
static bool
join_batch(Sampler *sampler, uint32_t index, uint32_t batch)
{
	const uint64_t *keys = sampler->keys;
	size_t end = sampler->key_offsets[index + 1];

	for (size_t k = sampler->key_offsets[index]; k < end; k++)
		if (sampler->table_used[table_place(sampler, keys[k], batch)] == batch)
			return false;
	for (size_t k = sampler->key_offsets[index]; k < end; k++)
	{
		size_t at = table_place(sampler, keys[k], batch);

		sampler->table[at] = keys[k];
		sampler->table_used[at] = batch;
	}
	return true;
}

/*
 * Goes through the samples that are left, in order, and takes each that shares no text with the
 * batch, until that is full; then again for the next batch, as many as an epoch has.
 */
static void
arrange_texts(Sampler *sampler, const uint32_t *shuffled)
{
	size_t wanted =
		(size_t) sampler_steps_per_epoch(sampler) * sampler->options.gradient_accumulation;
	uint32_t head = 0;
	uint32_t taken = 0;

	memset(sampler->table_used, 0, sampler->table_size * sizeof(uint32_t));
	for (uint32_t i = 0; i < sampler->count; i++)
		sampler->next[i] = i + 1 < sampler->count ? i + 1 : NOBODY;
	sampler->n_batches = 0;
	while (head != NOBODY && sampler->n_batches < wanted)
	{
		uint32_t batch = (uint32_t) ++sampler->n_batches;
		uint32_t before = NOBODY;
		size_t size = 0;
		size_t deferred = 0;

		sampler->starts[batch - 1] = taken;
		for (uint32_t at = head;
			 at != NOBODY && size < sampler->options.batch_size && deferred < MOST_DEFERRED;
			 at = sampler->next[at])
		{
			if (!join_batch(sampler, shuffled[at], batch))
			{
				before = at;
				deferred++;
				continue;
			}
			sampler->order[taken++] = shuffled[at];
			size++;
			if (before == NOBODY)
				head = sampler->next[at];
			else
				sampler->next[before] = sampler->next[at];
		}
	}
	sampler->starts[sampler->n_batches] = taken;
}

/* --- Pairs of a class --- */

static void
arrange_classes(Sampler *sampler, const uint32_t *shuffled)
{
	uint32_t taken = 0;

	for (int32_t c = 0; c < sampler->n_classes; c++)
		sampler->waiting[c] = NOBODY;
	for (uint32_t i = 0; i < sampler->count; i++)
	{
		uint32_t *waiting = &sampler->waiting[sampler->classes[shuffled[i]]];

		if (*waiting == NOBODY)
			*waiting = shuffled[i];
		else
		{
			sampler->order[taken++] = *waiting;
			sampler->order[taken++] = shuffled[i];
			*waiting = NOBODY;
		}
	}
	for (int32_t c = 0; c < sampler->n_classes; c++)
		if (sampler->waiting[c] != NOBODY)
			sampler->order[taken++] = sampler->waiting[c];
}

static void
begin_epoch(Sampler *sampler, int64_t epoch)
{
	uint32_t *shuffled = sampler->shuffled;

	if (shuffled == NULL || (sampler->key_offsets == NULL && sampler->classes == NULL))
	{
		spill_shuffle(sampler->options.seed, (uint64_t) epoch, sampler->count, sampler->order);
		sampler->epoch = epoch;
		return;
	}
	spill_shuffle(sampler->options.seed, (uint64_t) epoch, sampler->count, shuffled);
	if (sampler->key_offsets != NULL)
		arrange_texts(sampler, shuffled);
	else
		arrange_classes(sampler, shuffled);
	sampler->epoch = epoch;
}

int64_t
sampler_steps_per_epoch(const Sampler *sampler)
{
	size_t per_step = sampler->options.batch_size * sampler->options.gradient_accumulation;

	return (int64_t) ((sampler->count + per_step - 1) / per_step);
}

/* Where batch number `batch` of the epoch begins; the end for those past the last. */
static uint32_t
batch_start(const Sampler *sampler, size_t batch)
{
	if (sampler->n_batches > 0)
		return sampler->starts[batch < sampler->n_batches ? batch : sampler->n_batches];
	return batch * sampler->options.batch_size < sampler->count
			   ? (uint32_t) (batch * sampler->options.batch_size)
			   : sampler->count;
}

void
sampler_step(Sampler *sampler, int64_t step, SamplerStep *out)
{
	int64_t steps = sampler_steps_per_epoch(sampler);
	size_t first = (size_t) (step % steps) * sampler->options.gradient_accumulation;
	uint32_t n = 0;

	if (sampler->epoch != step / steps)
		begin_epoch(sampler, step / steps);
	out->indices = sampler->order + batch_start(sampler, first);
	for (size_t b = 0; b < sampler->options.gradient_accumulation; b++)
		for (uint32_t i = batch_start(sampler, first + b); i < batch_start(sampler, first + b + 1);
			 i++)
			sampler->numbers[n++] = (uint32_t) b;
	out->batches = sampler->numbers;
	out->n = n;
}
