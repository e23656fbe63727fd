/* features.c: a hash table from sample ids to rows. */
#include "train/features.h"

#include <string.h>

#include "core/checked.h"

typedef struct Entry
{
	uint64_t id;
	float *rows; /* NULL: free */
	size_t n_rows;
} Entry;

struct Features
{
	Arena *arena;
	Network *network;
	bool first_rows;
	size_t budget;
	size_t used;     /* bytes */
	size_t capacity; /* a power of two */
	size_t n;
	Entry *entries;
	uint64_t computed;
};

Features *
features_create(Arena *arena, Network *network, bool first_rows, size_t budget, Status *status)
{
	Features *features = arena_alloc_zero(arena, sizeof *features);

	if (features == NULL)
	{
		arena_fail(arena, status, "features", sizeof *features);
		return NULL;
	}
	features->arena = arena;
	features->network = network;
	features->first_rows = first_rows;
	features->budget = budget;
	return features;
}

static Entry *
find(Entry *entries, size_t capacity, uint64_t id)
{
	size_t at = (size_t) (id * UINT64_C(0x9E3779B97F4A7C15) >> 20) & (capacity - 1);

	while (entries[at].rows != NULL && entries[at].id != id)
		at = (at + 1) & (capacity - 1);
	return &entries[at];
}

/*
 * Room for one more entry; false when there is none, which only means that the sample is not kept.
 */
static bool
reserve(Features *features)
{
	size_t capacity = features->capacity == 0 ? 1024 : 2 * features->capacity;
	Entry *larger;

	if (2 * (features->n + 1) <= features->capacity)
		return true;
	if (features->used + capacity * sizeof *larger > features->budget)
		return false;
	larger = arena_alloc_array_zero(features->arena, capacity, sizeof *larger);
	if (larger == NULL)
		return false;
	for (size_t i = 0; i < features->capacity; i++)
		if (features->entries[i].rows != NULL)
			*find(larger, capacity, features->entries[i].id) = features->entries[i];
	features->entries = larger;
	features->capacity = capacity;
	features->used += capacity * sizeof *larger;
	return true;
}

static void
keep(Features *features, uint64_t id, const float *rows, size_t n_rows)
{
	size_t bytes = n_rows * (size_t) features->network->config->hidden_size * sizeof(float);
	Entry *entry;
	float *copy;

	if (!reserve(features) || bytes > features->budget - features->used ||
		(copy = arena_alloc(features->arena, bytes)) == NULL)
		return;
	memcpy(copy, rows, bytes);
	entry = find(features->entries, features->capacity, id);
	*entry = (Entry){.id = id, .rows = copy, .n_rows = n_rows};
	features->used += bytes;
	features->n++;
}

/* The sample's rows computed in a batch of its own, into out. */
static bool
compute(Features *features, const AssembledBatch *assembled, size_t index, size_t n_rows,
		float *out, const MayContinue *question, Status *status)
{
	const Batch *all = &assembled->batch;
	size_t hidden = (size_t) features->network->config->hidden_size;
	size_t first = assembled->sequence_offsets[index];
	size_t sequences = assembled->sequence_offsets[index + 1] - first;
	size_t from = (size_t) all->cu_seqlens[first];
	int32_t offsets[SPILL_MAX_SEQUENCES + 1];
	Batch batch = {.n_sequences = sequences,
				   .cu_seqlens = offsets,
				   .input_ids = all->input_ids + from,
				   .token_type_ids = all->token_type_ids + from};
	const float *rows;

	if (sequences > SPILL_MAX_SEQUENCES)
		return status_fail(status, STATUS_LIMIT, "a sample of %zu sequences", sequences);
	for (size_t s = 0; s <= sequences; s++)
		offsets[s] = all->cu_seqlens[first + s] - (int32_t) from;
	if (!network_encode_frozen(features->network, &batch, &rows, question, status))
		return false;
	if (features->first_rows)
		for (size_t s = 0; s < sequences; s++)
			memcpy(out + s * hidden, rows + (size_t) offsets[s] * hidden, hidden * sizeof(float));
	else
		memcpy(out, rows, n_rows * hidden * sizeof(float));
	features->computed++;
	return true;
}

bool
features_fill(Features *features, const TrainSample *samples, size_t n,
			  const AssembledBatch *assembled, float *hidden, const MayContinue *question,
			  Status *status)
{
	size_t columns = (size_t) features->network->config->hidden_size;

	for (size_t i = 0; i < n; i++)
	{
		size_t n_rows =
			features->first_rows ? samples[i].sample->n_sequences : samples[i].sample->n_tokens;
		Entry *entry = features->capacity == 0
						   ? NULL
						   : find(features->entries, features->capacity, samples[i].id);

		if (entry != NULL && entry->rows != NULL && entry->n_rows == n_rows)
			memcpy(hidden, entry->rows, n_rows * columns * sizeof(float));
		else
		{
			if (!compute(features, assembled, i, n_rows, hidden, question, status))
				return false;
			if (entry == NULL || entry->rows == NULL)
				keep(features, samples[i].id, hidden, n_rows);
		}
		hidden += n_rows * columns;
	}
	return true;
}

uint64_t
features_kept(const Features *features)
{
	return features->n;
}

uint64_t
features_computed(const Features *features)
{
	return features->computed;
}
