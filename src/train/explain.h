/*
 * explain.h: which tokens speak for a prediction: gradient times input (Shrikumar et al., "Not just
 * a black box").
 *
 * The attribution of token t is the sum over h of (d logit / d e[t][h]) e[t][h], e the word
 * embeddings and logit that of the class that the model predicts: positive for tokens that speak
 * for it. One thread; no dropout.
 */
#ifndef BERT_TRAIN_EXPLAIN_H
#define BERT_TRAIN_EXPLAIN_H

#include "train/network.h"

/* Whose prediction is explained, and of what. */
typedef struct ExplainRequest
{
	const BertConfig *config;
	const TensorTable *table;
	float *weights; /* (table->elements): the model's blocks one after the other */
	/* one sequence, or for multiple choice the choices of one example */
	const Batch *batch;
} ExplainRequest;

/*
 * attributions: (T). *predicted: the class, or the choice. Heads over the vocabulary and over
 * tokens are STATUS_UNSUPPORTED. All memory comes from the arena.
 */
bool explain_prediction(const ExplainRequest *request, Arena *arena, float *attributions,
						size_t *predicted, const MayContinue *question, Status *status);

#endif
