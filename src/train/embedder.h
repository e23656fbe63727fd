/*
 * embedder.h: embeddings of many samples of one text each, on several threads. What a text gives
 * does not depend on which others are there.
 */
#ifndef BERT_TRAIN_EMBEDDER_H
#define BERT_TRAIN_EMBEDDER_H

#include "train/predict.h"

typedef struct EmbedderCall
{
	const Predictor *predictor; /* of a model without a head */
	ThreadPool *pool;           /* NULL: the calling thread alone */
	size_t memory;              /* bytes that each thread may take */
	size_t n;
	const Sample *samples; /* (n) */
	size_t columns;
	float *out; /* (n, columns) */
} EmbedderCall;

/* The question is asked on the calling thread only. Memory comes from the system's allocator. */
bool embedder_run(const EmbedderCall *call, const MayContinue *question, Status *status);

#endif
