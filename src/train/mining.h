/*
 * mining.h: hard negatives: for every anchor the documents that are most alike without being right,
 * as sentence-transformers' mine_hard_negatives finds them, among all documents.
 */
#ifndef BERT_TRAIN_MINING_H
#define BERT_TRAIN_MINING_H

#include "train/nearest.h"
#include "train/relevance.h"

typedef struct MiningOptions
{
	size_t num_negatives; /* of an anchor, at most */
	size_t range_min;     /* so many of the best are left out */
	double max_score;     /* INFINITY: any */
	double min_score;     /* -INFINITY: any */
	/* less alike than the least alike positive, by so much, or such a part of it; NAN: any */
	double absolute_margin;
	double relative_margin;
} MiningOptions;

typedef struct MiningData
{
	size_t n_anchors;
	size_t n_documents;
	size_t columns;
	const float *anchors; /* (n_anchors, columns), of length 1 */
	/* (n_documents, columns), of length 1; the limits without margins do without */
	const float *documents;
	const Relevance *positives;
	Similarity similarity;
	ThreadPool *pool; /* or NULL */
} MiningData;

/* The negatives of anchor a: found[a k .. a k + counts[a] - 1], the most alike first. */
typedef struct MinedNegatives
{
	size_t k;
	const Neighbour *found;
	const size_t *counts;
} MinedNegatives;

/* Whether limits hang on how alike the positives are. */
bool mining_has_margin(const MiningOptions *options);

/* limits (n_anchors): what max_score and the margins leave to the negatives of each anchor */
void mining_limits(const MiningData *data, const MiningOptions *options,
				   const TrainKernels *kernels, double *limits);

/* Memory comes from the arena. */
bool mining_find(const MiningData *data, const MiningOptions *options, Arena *arena,
				 MinedNegatives *out, const MayContinue *question, Status *status);

#endif
