/* embeddings.c: gathering rows, and adding gradients back to them. */
#include "train/embeddings.h"

#include <string.h>

#define EMBEDDINGS_SITE 1

/* The position of token t, the next of its sequence. */
static size_t
next_position(const Network *network, const Batch *batch, size_t t, size_t *count)
{
	int position = config_next_position(network->config, batch->input_ids[t], count);

	return (size_t) (batch->position_ids != NULL ? batch->position_ids[t] : position);
}

static size_t
type_of(const Batch *batch, size_t t)
{
	return batch->token_type_ids == NULL ? 0 : (size_t) batch->token_type_ids[t];
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
	{
		size_t count = 0;

		for (size_t t = (size_t) batch->cu_seqlens[b]; t < (size_t) batch->cu_seqlens[b + 1]; t++)
		{
			size_t position = next_position(network, batch, t, &count);
			float *sum = saved->sum + t * n;

			memcpy(sum, embeddings->word + (size_t) batch->input_ids[t] * n, n * sizeof(float));
			if (embeddings->type != NULL)
				kernels->axpy(n, 1.0f, embeddings->type + type_of(batch, t) * n, sum);
			if (absolute)
				kernels->axpy(n, 1.0f, embeddings->position + position * n, sum);
		}
	}
	train_norm_forward(network->compute, &norm, NULL, saved->normed);
	train_dropout_forward(network->compute, &dropout, tokens, n, saved->normed);
	if (embeddings->projection.weight != NULL)
		train_linear_forward(network->compute, &embeddings->projection, tokens, saved->normed,
							 saved->out);
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

/* The gradient of the sums (T, E) to the rows they were made of. */
static void
rows_backward(Network *network, const Batch *batch, const float *d_sums)
{
	const EmbeddingParameters *embeddings = &network->embeddings;
	const TrainKernels *kernels = network->compute->kernels;
	size_t n = embeddings->norm.n;
	bool absolute = network->config->position_embedding_type == POSITION_ABSOLUTE;
	int padding = config_padding_token(network->config);
	/* families that count positions from the padding token have a row of it among them too */
	bool padded = network->config->family->positions_follow_padding;

	for (size_t b = 0; b < batch->n_sequences; b++)
	{
		size_t count = 0;

		for (size_t t = (size_t) batch->cu_seqlens[b]; t < (size_t) batch->cu_seqlens[b + 1]; t++)
		{
			size_t position = next_position(network, batch, t, &count);
			const float *d_sum = d_sums + t * n;

			if (batch->input_ids[t] != padding)
				kernels->axpy(n, 1.0f, d_sum, word_row(network, (size_t) batch->input_ids[t]));
			if (embeddings->d_type != NULL)
				kernels->axpy(n, 1.0f, d_sum, embeddings->d_type + type_of(batch, t) * n);
			if (absolute && !(padded && position == (size_t) padding))
				kernels->axpy(n, 1.0f, d_sum, embeddings->d_position + position * n);
		}
	}
}

float *
train_embeddings_backward(Network *network, const Batch *batch, float probability, uint64_t seed,
						  const EmbeddingsSaved *saved, float *dy)
{
	const EmbeddingParameters *embeddings = &network->embeddings;
	const Linear *projection = &embeddings->projection;
	size_t n = embeddings->norm.n;
	size_t tokens = (size_t) batch->cu_seqlens[batch->n_sequences];
	Dropout dropout = train_dropout_make(saved->bits, probability, seed, EMBEDDINGS_SITE, 0);
	NormCall norm = embeddings_norm(embeddings, tokens, saved);

	if (projection->weight != NULL)
	{
		train_linear_backward_weight(network->compute, projection, tokens, saved->normed, dy);
		train_linear_backward_bias(network->compute, projection, tokens, dy);
		train_linear_backward_input(network->compute, projection, tokens, dy, false,
									saved->d_normed);
		dy = saved->d_normed;
	}
	train_dropout_backward(network->compute, &dropout, tokens, n, dy);
	train_norm_backward(network->compute, &norm, dy, dy, NULL, NULL);
	if (embeddings->d_word != NULL)
		rows_backward(network, batch, dy);
	return dy;
}
