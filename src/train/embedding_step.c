/* embedding_step.c: a batch whole, or in pieces with kept embeddings. */
#include "train/embedding_step.h"

#include <string.h>

#define PIECE_SEED UINT64_C(0x9E3779B97F4A7C15)

/* Sequences first .. end - 1 of a batch, as a batch. */
typedef struct Piece
{
	size_t first;
	size_t end;
	Batch batch;
	EmbeddingRun embedding;
	NetworkRun run;
} Piece;

/* offsets (end - first + 1): memory for those of the piece */
static void
piece_make(const NetworkRun *whole, size_t index, size_t first, size_t end, size_t hidden,
		   int32_t *offsets, Piece *piece)
{
	const Batch *batch = whole->batch;
	size_t from = (size_t) batch->cu_seqlens[first];

	for (size_t s = first; s <= end; s++)
		offsets[s - first] = batch->cu_seqlens[s] - (int32_t) from;
	piece->first = first;
	piece->end = end;
	piece->batch = (Batch){.n_sequences = end - first,
						   .cu_seqlens = offsets,
						   .input_ids = batch->input_ids + from,
						   .token_type_ids = batch->token_type_ids + from};
	piece->embedding = *whole->embedding;
	if (piece->embedding.skip != NULL)
		piece->embedding.skip += first;
	piece->run = *whole;
	piece->run.batch = &piece->batch;
	piece->run.embedding = &piece->embedding;
	piece->run.targets = NULL;
	piece->run.counts = NULL;
	piece->run.seed += index * PIECE_SEED;
	if (piece->run.start_hidden != NULL)
		piece->run.start_hidden += from * hidden;
}

/* A batch in pieces. */
typedef struct Pieces
{
	Network *network;
	const NetworkRun *whole;
	size_t limit;
	size_t n;
	size_t *ends; /* (n) */
	int32_t *offsets;
	size_t columns;
	float *embeddings; /* (B, columns) */
	float *gradient;   /* (B, columns) */
} Pieces;

static void
piece_of(const Pieces *pieces, size_t index, Piece *piece)
{
	piece_make(pieces->whole, index, index == 0 ? 0 : pieces->ends[index - 1], pieces->ends[index],
			   (size_t) pieces->network->config->hidden_size, pieces->offsets, piece);
}

/* Whether sequences first .. end - 1 fit. */
static bool
piece_fits(const Pieces *pieces, size_t first, size_t end, bool *fits, Status *status)
{
	Piece piece;
	size_t bytes;

	piece_make(pieces->whole, 0, first, end, (size_t) pieces->network->config->hidden_size,
			   pieces->offsets, &piece);
	if (!network_memory(pieces->network, &piece.run, &bytes, status))
		return false;
	*fits = bytes <= pieces->limit;
	return true;
}

/* As many sequences as fit, one at least, in every piece. */
static bool
pieces_divide(Pieces *pieces, Status *status)
{
	size_t sequences = pieces->whole->batch->n_sequences;

	for (size_t first = 0; first < sequences; first = pieces->ends[pieces->n++])
	{
		size_t fitting = first + 1;
		size_t beyond = sequences + 1;

		while (beyond - fitting > 1)
		{
			size_t end = fitting + (beyond - fitting) / 2;
			bool fits;

			if (!piece_fits(pieces, first, end, &fits, status))
				return false;
			if (fits)
				fitting = end;
			else
				beyond = end;
		}
		pieces->ends[pieces->n] = fitting;
	}
	return true;
}

static bool
pieces_open(Pieces *pieces, Status *status)
{
	Arena *arena = pieces->whole->embedding->arena;
	size_t sequences = pieces->whole->batch->n_sequences;

	pieces->columns = train_pooling_columns(&pieces->network->sentence,
											(size_t) pieces->network->config->hidden_size);
	pieces->ends = arena_alloc_array(arena, sequences, sizeof *pieces->ends);
	pieces->offsets = arena_alloc_array(arena, sequences + 1, sizeof *pieces->offsets);
	pieces->embeddings = arena_alloc_array(arena, sequences * pieces->columns, sizeof(float));
	pieces->gradient = arena_alloc_array(arena, sequences * pieces->columns, sizeof(float));
	if (pieces->ends == NULL || pieces->offsets == NULL || pieces->embeddings == NULL ||
		pieces->gradient == NULL)
		return arena_fail(arena, status, "a batch's embeddings",
						  2 * sequences * pieces->columns * sizeof(float));
	return pieces_divide(pieces, status);
}

static bool
pieces_forward(const Pieces *pieces, Status *status)
{
	for (size_t i = 0; i < pieces->n; i++)
	{
		HeadResult result;
		Piece piece;

		piece_of(pieces, i, &piece);
		piece.run.backward = false;
		if (!network_run(pieces->network, &piece.run, &result, status))
			return false;
		memcpy(pieces->embeddings + piece.first * pieces->columns, result.logits,
			   result.n_rows * pieces->columns * sizeof(float));
	}
	return true;
}

static bool
pieces_backward(const Pieces *pieces, Status *status)
{
	for (size_t i = 0; i < pieces->n; i++)
	{
		HeadResult result;
		Piece piece;
		size_t bytes;

		piece_of(pieces, i, &piece);
		piece.run.d_logits = pieces->gradient + piece.first * pieces->columns;
		if (!network_memory(pieces->network, &piece.run, &bytes, status))
			return false;
		piece.run.recompute = bytes > pieces->limit;
		if (!network_run(pieces->network, &piece.run, &result, status))
			return false;
	}
	return true;
}

bool
train_embedding_step(Network *network, const NetworkRun *run, size_t limit, HeadResult *result,
					 size_t *pieces_made, Status *status)
{
	const EmbeddingRun *embedding = run->embedding;
	Pieces pieces = {.network = network, .whole = run, .limit = limit};
	ArenaMark mark = arena_mark(embedding->arena);
	EmbeddingRows rows;
	size_t bytes = 0;
	bool ok;

	*pieces_made = 1;
	if (limit > 0 && !network_memory(network, run, &bytes, status))
		return false;
	if (bytes <= limit)
		return network_run(network, run, result, status);
	memset(result, 0, sizeof *result);
	ok = pieces_open(&pieces, status) && pieces_forward(&pieces, status);
	*pieces_made = pieces.n;
	rows = (EmbeddingRows){pieces.columns, pieces.embeddings, pieces.gradient, embedding->weight};
	ok = ok &&
		 embedding_loss(embedding->loss, embedding->examples, network->compute, &rows,
						embedding->arena, &result->loss, status) &&
		 pieces_backward(&pieces, status);
	arena_rewind(embedding->arena, mark);
	return ok;
}
