/*
 * embedding_scores.h: what embeddings of a held-back set are worth, as sentence-transformers'
 * evaluators measure it, with the model's own similarity:
 *
 * - texts with a score (EmbeddingSimilarityEvaluator): how the similarities of a and b correlate
 *   with the scores: spearman, pearson
 * - anchors and positives (InformationRetrievalEvaluator): every anchor is a query, the corpus is
 *   all positives, each once; right for a query are the positives of all its rows: ndcg@10, mrr@10,
 *   map@100, accuracy@1, recall@10
 * - texts with a class: every text is a query, the corpus is all others, right are those of its
 *   class; a text alone in its class is no query. The same five numbers.
 */
#ifndef BERT_TRAIN_EMBEDDING_SCORES_H
#define BERT_TRAIN_EMBEDDING_SCORES_H

#include "files/sentence.h"
#include "train/metrics.h"
#include "train/trainer.h"

typedef struct EmbeddingScores EmbeddingScores;

typedef struct Score
{
	const char *name;
	double value;
} Score;

#define EMBEDDING_SCORES_MAX 5

/* What of embeddings is compared, and how. */
typedef struct EmbeddingCompare
{
	Similarity similarity;
	size_t dimensions; /* the first so many numbers; 0: all */
	bool normalize;    /* what was cut off gets length 1 again */
} EmbeddingCompare;

/* arena must outlive the scores. NULL and *status on failure. */
EmbeddingScores *embedding_scores_create(Arena *arena, const EmbeddingCompare *compare,
										 Status *status);

/* Embeddings of samples, as an evaluation has them. */
bool embedding_scores_add(EmbeddingScores *scores, const TrainSample *samples, size_t n,
						  const Evaluation *evaluation, Status *status);

/* *n of list (EMBEDDING_SCORES_MAX), the one that chooses the best weights first. */
bool embedding_scores_finish(EmbeddingScores *scores, const MayContinue *question,
							 Score list[EMBEDDING_SCORES_MAX], size_t *n, Status *status);

#endif
