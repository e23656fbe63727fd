/* tied.c: copies found, compared and dropped. */
#include "nn/tied.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PIECE ((size_t) 1 << 16) /* floats compared between two questions: well below 1 ms */

#define NAME_BYTES 128

static const char bare_embeddings[] = "embeddings.word_embeddings.weight";

/* The tensors by the names of the family. */
typedef struct TiedNames
{
	char embeddings[NAME_BYTES];
	char decoder_weight[NAME_BYTES];
} TiedNames;

static TiedNames
names_of(const Family *family)
{
	TiedNames names;

	snprintf(names.embeddings, NAME_BYTES, "%s%s", family->base, bare_embeddings);
	snprintf(names.decoder_weight, NAME_BYTES, "%s.weight", family->predictions.decoder);
	return names;
}

static bool
same_shape(const CheckpointTensor *a, const CheckpointTensor *b)
{
	return a->rank == b->rank &&
		   memcmp(a->shape, b->shape, (size_t) a->rank * sizeof a->shape[0]) == 0;
}

static bool
is_readable(const CheckpointTensor *tensor)
{
	return tensor->dtype != DTYPE_OTHER && tensor->dtype != DTYPE_I8;
}

/* Whether the values are the same; NaN is the same as nothing. */
static bool
compare(Arena *arena, const CheckpointTensor *a, const CheckpointTensor *b,
		const MayContinue *question, bool *same, Status *status)
{
	ArenaMark mark = arena_mark(arena);
	float *left;

	*same = same_shape(a, b) && a->dtype == b->dtype && a->source == b->source &&
			a->offset == b->offset;
	if (*same || !same_shape(a, b) || !is_readable(a) || !is_readable(b))
		return true;
	left = arena_alloc_array(arena, 2 * PIECE, sizeof *left);
	if (left == NULL)
		return arena_fail(arena, status, "tensors", 2 * PIECE * sizeof *left);
	*same = true;
	for (uint64_t first = 0; *same && first < a->elements; first += PIECE)
	{
		size_t count = a->elements - first < PIECE ? (size_t) (a->elements - first) : PIECE;
		float *right = left + PIECE;

		if (!may_continue(question, status) || !checkpoint_read(a, first, count, left, status) ||
			!checkpoint_read(b, first, count, right, status))
			return false;
		for (size_t i = 0; *same && i < count; i++)
			*same = left[i] == right[i];
	}
	arena_rewind(arena, mark);
	return true;
}

static void
drop(Checkpoint *checkpoint, const char *name)
{
	size_t kept = 0;

	for (size_t i = 0; i < checkpoint->n_tensors; i++)
		if (strcmp(checkpoint->tensors[i].name, name) != 0)
			checkpoint->tensors[kept++] = checkpoint->tensors[i];
	checkpoint->n_tensors = kept;
}

static int
compare_names(const void *a, const void *b)
{
	return strcmp(((const CheckpointTensor *) a)->name, ((const CheckpointTensor *) b)->name);
}

/* The decoder's matrix is all that there is of the word embeddings. */
static void
rename_decoder(Checkpoint *checkpoint, const char *decoder)
{
	for (size_t i = 0; i < checkpoint->n_tensors; i++)
		if (strcmp(checkpoint->tensors[i].name, decoder) == 0)
			checkpoint->tensors[i].name = bare_embeddings;
	qsort(checkpoint->tensors, checkpoint->n_tensors, sizeof *checkpoint->tensors, compare_names);
}

static bool
resolve_weight(Arena *arena, Checkpoint *checkpoint, BertConfig *config, FileNotes *notes,
			   const MayContinue *question, Status *status)
{
	const TiedNames names = names_of(config->family);
	const CheckpointTensor *decoder = checkpoint_find(checkpoint, names.decoder_weight);
	const CheckpointTensor *embeddings = checkpoint_find(checkpoint, names.embeddings);
	bool same;

	if (embeddings == NULL)
		embeddings = checkpoint_find(checkpoint, bare_embeddings);
	if (decoder == NULL || !config->tie_word_embeddings)
		return true;
	if (embeddings == NULL)
	{
		rename_decoder(checkpoint, names.decoder_weight);
		return true;
	}
	if (!compare(arena, embeddings, decoder, question, &same, status))
		return false;
	if (same)
	{
		drop(checkpoint, names.decoder_weight);
		return true;
	}
	config->tie_word_embeddings = false;
	return notes_add(notes, NOTE_IGNORED, "config.json", "tie_word_embeddings", status);
}

static bool
resolve_bias(Arena *arena, Checkpoint *checkpoint, const Family *family, FileNotes *notes,
			 const MayContinue *question, Status *status)
{
	const char *alias = family->predictions.bias_alias;
	const char *other_name = family->predictions.bias;
	const CheckpointTensor *decoder = alias == NULL ? NULL : checkpoint_find(checkpoint, alias);
	const CheckpointTensor *other = checkpoint_find(checkpoint, other_name);
	bool same;

	if (decoder == NULL || other == NULL)
		return true;
	if (!compare(arena, decoder, other, question, &same, status) ||
		(!same && !notes_add(notes, NOTE_IGNORED, other->source->name, other_name, status)))
		return false;
	drop(checkpoint, other_name);
	return true;
}

bool
tied_resolve(Arena *arena, Checkpoint *checkpoint, BertConfig *config, FileNotes *notes,
			 const MayContinue *question, Status *status)
{
	return resolve_weight(arena, checkpoint, config, notes, question, status) &&
		   resolve_bias(arena, checkpoint, config->family, notes, question, status);
}
