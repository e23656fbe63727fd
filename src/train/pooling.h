/*
 * pooling.h: from token states to embeddings as the model's own sentence settings say, and back:
 * poolings, Dense modules, unit length. Used by network.c only.
 */
#ifndef BERT_TRAIN_POOLING_H
#define BERT_TRAIN_POOLING_H

#include "nn/model.h"
#include "train/bump.h"
#include "train/compute.h"

/* How embeddings are made. */
typedef struct SentenceParameters
{
	PoolingModes pooling; /* n = 0: the model makes none */
	bool normalize;
	int n_dense;
	Linear dense[DENSE_MAX];
	DenseActivation activation[DENSE_MAX];
} SentenceParameters;

/* What the backward needs of the forward. B: sequences. */
typedef struct PoolingSaved
{
	float *pooled;             /* (B, n H) */
	float *sums[DENSE_MAX];    /* (B, out): before the activation */
	float *outputs[DENSE_MAX]; /* (B, out) */
	float *embeddings;         /* (B, D) */
	float *d_embeddings;       /* (B, D) */
	float *d_wide[2];          /* (B, widest) */
} PoolingSaved;

/* Numbers of an embedding, and the most of any step on the way. */
size_t train_pooling_columns(const SentenceParameters *sentence, size_t hidden);

/* backward: room for the gradients too */
void train_pooling_layout(const SentenceParameters *sentence, size_t sequences, size_t hidden,
						  bool backward, Bump *bump, PoolingSaved *saved);

/* saved->embeddings of the tokens. */
bool train_pooling_forward(Compute *compute, const SentenceParameters *sentence,
						   const PoolTokens *tokens, const PoolingSaved *saved, Status *status);

/*
 * From saved->d_embeddings, which is overwritten: gradients of the Dense modules, and d_hidden
 * (T, H), which is added to; NULL: not wanted.
 */
void train_pooling_backward(Compute *compute, const SentenceParameters *sentence,
							const PoolTokens *tokens, const PoolingSaved *saved, float *d_hidden);

#endif
