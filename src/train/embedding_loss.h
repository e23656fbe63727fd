/*
 * embedding_loss.h: losses over embeddings, with their gradients, as sentence-transformers 6 has
 * them: the one place that knows them. Where the embeddings come from does not matter here.
 *
 * A batch is examples, each of them some rows of embeddings one after the other:
 *
 * - EMBEDDING_PAIRS: anchor, positive and any number of negatives
 * - EMBEDDING_SCORES: two texts, and a number that says how alike they are
 * - EMBEDDING_TEXTS: one text, and the embedding that it is to have
 * - EMBEDDING_LABELS: one text, and its class
 *
 * With cos the cosine and e_i the example's rows:
 *
 * - multiple_negatives_ranking (MultipleNegativesRankingLoss): cross-entropy of scale cos(anchor,
 *   candidate) over all positives and negatives of the batch, the example's own positive being the
 *   right one; the mean over examples. multiple_negatives_symmetric_ranking: half of it, and half
 *   of the cross-entropy of scale cos(positive, anchor) over all anchors
 * - triplet (TripletLoss): max(0, d(anchor, positive) - d(anchor, negative) + margin); the mean
 *   over all negatives
 * - cosent (CoSENTLoss): log(1 + sum exp(scale (cos_j - cos_i))) over all i, j with score i >
 *   score j
 * - cosine_similarity (CosineSimilarityLoss): the mean of (cos - score)^2
 * - contrastive (ContrastiveLoss): the mean of (y d^2 + (1 - y) max(0, margin - d)^2) / 2, where y
 *   is the score, or, of texts with a class, over all pairs of a batch: 1 where the class is the
 *   same, else 0
 * - batch_all_triplet (BatchAllTripletLoss): max(0, d(a, p) - d(a, n) + margin) over all texts a, p
 *   of a class and n of another; the mean of those that are not 0
 * - mse (MSELoss): the mean, over all numbers of all embeddings, of (e - target)^2
 *
 * With dims (MatryoshkaLoss) the loss is the sum over all of them of the loss of the embeddings'
 * first so many numbers, scaled to length 1.
 */
#ifndef BERT_TRAIN_EMBEDDING_LOSS_H
#define BERT_TRAIN_EMBEDDING_LOSS_H

#include "train/compute.h"

typedef enum EmbeddingShape
{
	EMBEDDING_PAIRS,
	EMBEDDING_SCORES,
	EMBEDDING_TEXTS,
	EMBEDDING_LABELS,
	EMBEDDING_SHAPE_COUNT
} EmbeddingShape;

typedef enum EmbeddingLossKind
{
	LOSS_MULTIPLE_NEGATIVES_RANKING,
	LOSS_MULTIPLE_NEGATIVES_SYMMETRIC_RANKING,
	LOSS_TRIPLET,
	LOSS_COSENT,
	LOSS_COSINE_SIMILARITY,
	LOSS_CONTRASTIVE,
	LOSS_BATCH_ALL_TRIPLET,
	LOSS_MSE,
	EMBEDDING_LOSS_COUNT
} EmbeddingLossKind;

typedef enum EmbeddingDistance
{
	DISTANCE_COSINE, /* 1 less the cosine */
	DISTANCE_EUCLIDEAN,
	DISTANCE_MANHATTAN,
	EMBEDDING_DISTANCE_COUNT
} EmbeddingDistance;

#define EMBEDDING_MAX_DIMS 16

typedef struct EmbeddingLoss
{
	EmbeddingLossKind kind;
	double scale;  /* of cosines */
	double margin; /* between distances */
	EmbeddingDistance distance;
	int n_dims; /* 0: the whole embedding */
	int dims[EMBEDDING_MAX_DIMS];
} EmbeddingLoss;

/* What a loss can be told. */
typedef enum EmbeddingLossUse
{
	LOSS_USES_SCALE = 1,
	LOSS_USES_MARGIN = 2,
	LOSS_USES_DISTANCE = 4,
	LOSS_USES_DIMS = 8
} EmbeddingLossUse;

/* The reference's defaults. */
EmbeddingLoss embedding_loss_default(EmbeddingLossKind kind);
EmbeddingLossKind embedding_loss_of_shape(EmbeddingShape shape); /* when none is named */
bool embedding_loss_takes(EmbeddingLossKind kind, EmbeddingShape shape);
unsigned int embedding_loss_uses(EmbeddingLossKind kind); /* of EmbeddingLossUse */
const char *embedding_loss_name(EmbeddingLossKind kind);  /* "cosent" */
bool embedding_loss_parse(const char *name, EmbeddingLossKind *kind, Status *status);
const char *embedding_distance_name(EmbeddingDistance distance);
bool embedding_distance_parse(const char *name, EmbeddingDistance *distance, Status *status);
const char *embedding_shape_columns(EmbeddingShape shape); /* "(a, b, score)" */

typedef struct EmbeddingExamples
{
	size_t n;
	const size_t *offsets; /* (n + 1): rows offsets[i] .. offsets[i + 1] - 1 are example i's */
	const float *scores;   /* (n) of EMBEDDING_SCORES */
	const float *targets;  /* (n, target_columns) of EMBEDDING_TEXTS */
	size_t target_columns;
	const int64_t *labels; /* (n) of EMBEDDING_LABELS */
	bool labelled;         /* EMBEDDING_LABELS */
} EmbeddingExamples;

/* Embeddings, and the gradient of the loss by them. */
typedef struct EmbeddingRows
{
	size_t columns;
	const float *embeddings; /* (rows, columns) */
	float *gradient;         /* (rows, columns): receives the gradient times weight */
	double weight;
} EmbeddingRows;

/*
 * *value: the loss. Examples must have the rows that the loss needs: STATUS_INVALID_ARGUMENT.
 * Memory comes from the arena: of n examples with m positives and negatives about n m floats, and
 * three times the embeddings; the caller rewinds it.
 */
bool embedding_loss(const EmbeddingLoss *loss, const EmbeddingExamples *examples, Compute *compute,
					const EmbeddingRows *rows, Arena *arena, double *value, Status *status);

#endif
