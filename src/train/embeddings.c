/* embeddings.c: gathering rows, and adding gradients back to them. */
#include "train/embeddings.h"

#include <string.h>

#define EMBEDDINGS_SITE 1

static size_t
position_of(const Batch *batch, size_t sequence, size_t token)
{
	return batch->position_ids != NULL ? (size_t) batch->position_ids[token]
									   : token - (size_t) batch->cu_seqlens[sequence];
}

/* Its dropout follows the norm and is applied on its own. */
static NormCall
embeddings_norm(const EmbeddingParameters *embeddings, size_t tokens, const EmbeddingsSaved *saved)
{
	return (NormCall){.norm = &embeddings->norm,
					  .m = tokens,
					  .sum = saved->sum,
					  .mean = saved->mean,
					  .rstd = saved->rstd};
}

void
train_embeddings_forward(Network *network, const Batch *batch, float probability, uint64_t seed,
						 EmbeddingsSaved *saved)
{
	const EmbeddingParameters *embeddings = &network->embeddings;
	const TrainKernels *kernels = network->compute->kernels;
	size_t n = embeddings->norm.n;
	size_t tokens = (size_t) batch->cu_seqlens[batch->n_sequences];
	bool absolute = network->config->position_embedding_type == POSITION_ABSOLUTE;
	Dropout dropout = train_dropout_make(saved->bits, probability, seed, EMBEDDINGS_SITE, 0);
	NormCall norm = embeddings_norm(embeddings, tokens, saved);

	for (size_t b = 0; b < batch->n_sequences; b++)
		for (size_t t = (size_t) batch->cu_seqlens[b]; t < (size_t) batch->cu_seqlens[b + 1]; t++)
		{
			float *sum = saved->sum + t * n;

			memcpy(sum, embeddings->word + (size_t) batch->input_ids[t] * n, n * sizeof(float));
			kernels->axpy(
				n, 1.0f,
				embeddings->type +
					(batch->token_type_ids == NULL ? 0 : (size_t) batch->token_type_ids[t]) * n,
				sum);
			if (absolute)
				kernels->axpy(n, 1.0f, embeddings->position + position_of(batch, b, t) * n, sum);
		}
	train_norm_forward(network->compute, &norm, NULL, saved->out);
	train_dropout_forward(network->compute, &dropout, tokens, n, saved->out);
}

/* The gradient row of a word, cleared when the step meets it for the first time. */
static float *
word_row(Network *network, size_t id)
{
	size_t n = network->embeddings.norm.n;
	float *row = network->embeddings.d_word + id * n;
	WordRows *rows = &network->word_rows;

	if (!network->dense_words && rows->stamps[id] != rows->stamp)
	{
		rows->stamps[id] = rows->stamp;
		rows->rows[rows->n++] = (uint32_t) id;
		memset(row, 0, n * sizeof(float));
	}
	return row;
}

void
train_embeddings_backward(Network *network, const Batch *batch, float probability, uint64_t seed,
						  const EmbeddingsSaved *saved, float *dy)
{
	const EmbeddingParameters *embeddings = &network->embeddings;
	const TrainKernels *kernels = network->compute->kernels;
	size_t n = embeddings->norm.n;
	size_t tokens = (size_t) batch->cu_seqlens[batch->n_sequences];
	bool absolute = network->config->position_embedding_type == POSITION_ABSOLUTE;
	Dropout dropout = train_dropout_make(saved->bits, probability, seed, EMBEDDINGS_SITE, 0);
	NormCall norm = embeddings_norm(embeddings, tokens, saved);

	train_dropout_backward(network->compute, &dropout, tokens, n, dy);
	train_norm_backward(network->compute, &norm, dy, dy, NULL, NULL);
	if (embeddings->d_word == NULL)
		return;
	for (size_t b = 0; b < batch->n_sequences; b++)
		for (size_t t = (size_t) batch->cu_seqlens[b]; t < (size_t) batch->cu_seqlens[b + 1]; t++)
		{
			const float *d_sum = dy + t * n;

			if (batch->input_ids[t] != network->config->pad_token_id)
				kernels->axpy(n, 1.0f, d_sum, word_row(network, (size_t) batch->input_ids[t]));
			kernels->axpy(
				n, 1.0f, d_sum,
				embeddings->d_type +
					(batch->token_type_ids == NULL ? 0 : (size_t) batch->token_type_ids[t]) * n);
			if (absolute)
				kernels->axpy(n, 1.0f, d_sum,
							  embeddings->d_position + position_of(batch, b, t) * n);
		}
}
