/* embeddings.h: word, position and type embeddings with LayerNorm and dropout, forward and
 * backward. Used by network.c only. */
#ifndef BERT_TRAIN_EMBEDDINGS_H
#define BERT_TRAIN_EMBEDDINGS_H

#include "train/network.h"

typedef struct EmbeddingsSaved
{
	float *sum;    /* (T, H) */
	uint8_t *bits; /* or NULL */
	float *mean;   /* (T) */
	float *rstd;
	float *out; /* (T, H) */
} EmbeddingsSaved;

void train_embeddings_forward(Network *network, const Batch *batch, float dropout, uint64_t seed,
							  EmbeddingsSaved *saved);

/*
 * From dy (T, H), overwritten with the gradient of the sum of embeddings. Word rows are added
 * sparsely: a row is cleared and listed in network->word_rows when the step first meets it. The
 * padding token's row gets no gradient.
 */
void train_embeddings_backward(Network *network, const Batch *batch, float dropout, uint64_t seed,
							   const EmbeddingsSaved *saved, float *dy);

#endif
