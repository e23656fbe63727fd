/* embeddings.h: word, position and type embeddings with LayerNorm and dropout, forward and
 * backward. Used by network.c only. */
#ifndef BERT_TRAIN_EMBEDDINGS_H
#define BERT_TRAIN_EMBEDDINGS_H

#include "train/network.h"

typedef struct EmbeddingsSaved
{
	float *sum;    /* (T, E) */
	uint8_t *bits; /* or NULL */
	float *mean;   /* (T) */
	float *rstd;
	float *normed;   /* (T, E): out itself where nothing projects it */
	float *out;      /* (T, H) */
	float *d_normed; /* (T, E), of a backward with a projection; else NULL */
} EmbeddingsSaved;

void train_embeddings_forward(Network *network, const Batch *batch, float dropout, uint64_t seed,
							  EmbeddingsSaved *saved);

/*
 * From dy (T, H), which is overwritten, to the parameters' gradients and that of the sum of
 * embeddings (T, E), which is returned. Word rows are added sparsely: a row is cleared and listed
 * in network->word_rows when the step first meets it. The padding token's rows get no gradient.
 */
float *train_embeddings_backward(Network *network, const Batch *batch, float dropout, uint64_t seed,
								 const EmbeddingsSaved *saved, float *dy);

#endif
