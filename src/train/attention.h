/*
 * attention.h: one attention block (query, key, value, softmax, output, residual, LayerNorm),
 * forward and backward.
 *
 * Self- and cross-attention, causal or not, absolute or relative positions, key masks, dropout on
 * the probabilities and on the output. Sequences are packed; each (sequence, head) pair is computed
 * on its own, so nothing is padded.
 */
#ifndef BERT_TRAIN_ATTENTION_H
#define BERT_TRAIN_ATTENTION_H

#include "nn/model.h"
#include "train/compute.h"

typedef struct AttentionParameters
{
	size_t heads;
	size_t head_size;
	Linear query; /* (A, H); self-attention: query, key and value in one, (3A, H) */
	/* cross-attention: key and value in one, (2A, H); self-attention: out is 0 */
	Linear key_value;
	Linear output;
	Norm norm;
	PositionKind positions;
	size_t max_positions;  /* P */
	const float *distance; /* (2P - 1, head_size) or NULL */
	float *d_distance;     /* NULL: frozen */
	const float *bias;     /* (RELATIVE_BUCKETS, heads) on the scaled scores; or NULL */
	float *d_bias;         /* NULL: frozen */
} AttentionParameters;

/*
 * Which queries see which keys: the packed batch's geometry, the same for every layer with as many
 * heads.
 */
typedef struct AttentionShape
{
	size_t n_sequences;       /* B */
	const int32_t *q_offsets; /* (B + 1) */
	const int32_t *k_offsets; /* (B + 1); the same as q_offsets for self-attention */
	const uint8_t *key_mask;  /* (T_k) or NULL */
	bool causal;
	size_t longest_q;
	size_t longest_k;
	size_t *cells;    /* (B + 1) sums of L_q L_k before each sequence */
	size_t *bit_rows; /* (B + 1) sums of L_q dropout_row_bytes(L_k) */
} AttentionShape;

/* The keys' side of a shape. */
typedef struct AttentionKeys
{
	const int32_t *offsets; /* (B + 1) */
	const uint8_t *mask;    /* (T_k) or NULL */
	bool causal;
} AttentionKeys;

/* q_offsets (B + 1). The arrays must outlive the shape. */
bool train_attention_shape_init(AttentionShape *shape, Arena *arena, size_t n_sequences,
								const int32_t *q_offsets, const AttentionKeys *keys,
								Status *status);

/* What the backward needs of the forward. A = heads * head_size. */
typedef struct AttentionSaved
{
	float *q;           /* self: (T, 3A) of queries, keys, values; cross: (T_q, A) */
	float *kv;          /* cross: (T_k, 2A) */
	float *probs;       /* per sequence and head (L_q, L_k), before dropout */
	uint8_t *prob_bits; /* or NULL */
	float *context;     /* (T_q, A) */
	float *sum;         /* (T_q, H) */
	uint8_t *bits;      /* of the output, or NULL */
	float *mean;        /* (T_q) */
	float *rstd;        /* (T_q) */
	float *out;         /* (T_q, H) */
} AttentionSaved;

typedef struct AttentionDropout
{
	float probs;
	float hidden;
	uint64_t seed; /* of the step; the masks are a function of it, the site and the place */
	uint64_t site; /* two are used: site and site + 1 */
} AttentionDropout;

/* Memory that is used within one run only. */
typedef struct AttentionScratch
{
	float *tiles; /* (threads, attention_tile_floats) */
	size_t tile_floats;
	float *d_context; /* (T_q, A) */
	float *d_q;       /* like AttentionSaved.q */
	float *d_kv;      /* like AttentionSaved.kv */
	float *d_x;       /* (T_q, H) */
} AttentionScratch;

/* Floats of one thread's tiles. */
size_t train_attention_tile_floats(const AttentionParameters *parameters,
								   const AttentionShape *shape);

/* One attention block on one batch; the backward takes the same as the forward. */
typedef struct AttentionRun
{
	const AttentionParameters *parameters;
	const AttentionShape *shape;
	const float *x;      /* (T_q, H): queries and residual */
	const float *states; /* (T_k, H_k): keys and values; x itself for self-attention */
	AttentionDropout dropout;
	const AttentionSaved *saved; /* the arrays it points to: the forward writes them */
	const AttentionScratch *scratch;
} AttentionRun;

/* The result is saved->out. */
void train_attention_forward(Compute *compute, const AttentionRun *run);

/*
 * From dy (T_q, H), the gradient of saved->out: parameter gradients, and, when want_dx, dx (T_q,
 * H), the gradient of x. Without want_dx dx is overwritten as scratch. The states of
 * cross-attention are constants.
 */
void train_attention_backward(Compute *compute, const AttentionRun *run, const float *dy, float *dx,
							  bool want_dx);

#endif
