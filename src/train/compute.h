/*
 * compute.h: what every layer of training computes with: kernels, threads, and the linear and norm
 * operations that all layers share, forward beside backward.
 *
 * Matrix products are split over the thread pool by rows or columns of the result, so that the
 * order of every sum is fixed by the sizes and the number of threads: the same seed and threads
 * give the same bits. Sums over rows (biases, LayerNorm parameters) are made per part of the rows
 * and then added in order.
 *
 * Gradients of parameters accumulate ("+=") except where `accumulate` is false: then weights of
 * linear layers are overwritten, which saves clearing them.
 */
#ifndef BERT_TRAIN_COMPUTE_H
#define BERT_TRAIN_COMPUTE_H

#include "core/arena.h"
#include "core/threads.h"
#include "kernels/train_kernels.h"
#include "nn/tensor_table.h"

#define COMPUTE_MAX_THREADS 64

typedef struct Compute
{
	const TrainKernels *kernels;
	ThreadPool *pool; /* NULL: one thread */
	int threads;
	float *scratch;  /* (threads, SGEMM_SCRATCH_FLOATS) */
	float *partials; /* (threads, 3, partial_columns): sums over rows */
	size_t partial_columns;
	bool accumulate; /* false in the first micro-batch of a step */
	bool bf16;       /* linear layers multiply in bf16 */
} Compute;

/* widest: the most columns of any matrix whose rows are summed. */
bool compute_init(Compute *compute, Arena *arena, const TrainKernels *kernels, ThreadPool *pool,
				  size_t widest, Status *status);

/* A weight (out, in) with bias (out), and their gradients (NULL: frozen). bias may be NULL. */
typedef struct Linear
{
	size_t out;
	size_t in;
	float *weight;   /* (out, in) */
	float *bias;     /* (out) */
	float *d_weight; /* (out, in) */
	float *d_bias;   /* (out) */
} Linear;

typedef struct Norm
{
	size_t n; /* columns */
	float eps;
	float *gamma;   /* (n) */
	float *beta;    /* (n) */
	float *d_gamma; /* NULL: frozen */
	float *d_beta;
} Norm;

/* One product, computed by this worker alone. */
void compute_product(const Compute *compute, int worker, const SgemmCall *call);

/*
 * Part `part` of `parts` of n items: from .. to-1, sizes differing by at most one granule of `step`
 * items.
 */
void compute_part(size_t n, size_t step, size_t parts, size_t part, size_t *from, size_t *to);

/* y (m,out) = x (m,in) W^T + b */
void train_linear_forward(Compute *compute, const Linear *linear, size_t m, const float *x,
						  float *y);
/* dx (m,in) [+]= dy (m,out) W */
void train_linear_backward_input(Compute *compute, const Linear *linear, size_t m, const float *dy,
								 bool accumulate, float *dx);
/* d_weight (+)= dy^T x; does nothing for a frozen layer. The bias is linear_backward_bias's. */
void train_linear_backward_weight(Compute *compute, const Linear *linear, size_t m, const float *x,
								  const float *dy);
/* d_bias += column sums of dy (m,out); nothing for a frozen layer. */
void train_linear_backward_bias(Compute *compute, const Linear *linear, size_t m, const float *dy);

/* A dropout that is used (bits not NULL) or not. bits: (m, dropout_row_bytes(n)) */
typedef struct Dropout
{
	uint8_t *bits;
	DropoutKey key;
} Dropout;

/*
 * One dropout probability of one place in one step. An unused one when probability is 0 or bits is
 * NULL.
 */
Dropout train_dropout_make(uint8_t *bits, float probability, uint64_t seed, uint64_t site,
						   uint64_t part);

/*
 * Draws the mask of x (m,n) and applies it in place; the backward of it applies the same mask
 * again.
 */
void train_dropout_forward(Compute *compute, const Dropout *dropout, size_t m, size_t n, float *x);
void train_dropout_backward(Compute *compute, const Dropout *dropout, size_t m, size_t n,
							float *dx);

/* One LayerNorm of m rows, the dropout before it, and what its forward keeps for its backward. */
typedef struct NormCall
{
	const Norm *norm;
	Dropout dropout;
	size_t m;
	float *sum;  /* (m,n): the input, then the input of the norm itself */
	float *mean; /* (m) */
	float *rstd; /* (m) */
} NormCall;

/* sum (m,n) = dropout(sum) + residual; y (m,n) = norm(sum). residual (m,n) may be NULL. */
void train_norm_forward(Compute *compute, const NormCall *call, const float *residual, float *y);
/*
 * From dy: d_sum (the residual's gradient; may be dy) and, with dropout, d_x (the gradient before
 * dropout; without dropout it is d_sum itself and d_x is not written). d_bias (n): += column sums
 * of d_x, or NULL. Returns d_x or d_sum.
 */
float *train_norm_backward(Compute *compute, const NormCall *call, const float *dy, float *d_sum,
						   float *d_x, float *d_bias);

/*
 * y = act(u), u becomes the derivative; and back: dy becomes dy * derivative, d_bias (n) += its
 * column sums unless NULL.
 */
void train_activation_forward(Compute *compute, Activation activation, size_t m, size_t n, float *u,
							  float *y);
void train_activation_backward(Compute *compute, size_t m, size_t n, const float *derivative,
							   float *dy, float *d_bias);

/* out = x (m,n) rows, in parallel */
void compute_copy(Compute *compute, size_t n, const float *x, float *out);

#endif
