/*
 * train_kernels.h: the element-wise and row-wise kernels of training, written once (train_body.h)
 * over the primitives that inference uses too (vector_avx512.h, vector_avx2.h, vector_neon.h,
 * vector_portable.h).
 *
 * They allocate nothing and start no thread. Results depend on the instruction set, never on
 * alignment or on how rows are split among calls, with the exception of sums over rows, which
 * callers split in a fixed way.
 */
#ifndef BERT_KERNELS_TRAIN_KERNELS_H
#define BERT_KERNELS_TRAIN_KERNELS_H

#include <stddef.h>
#include <stdint.h>

#include "core/status.h"
#include "kernels/activation.h"
#include "kernels/sgemm.h"

/*
 * Dropout keeps one bit per element (1: kept), in rows of dropout_row_bytes(columns) bytes. Eight
 * elements take one Philox block, 16 bits each: the block's position is row *
 * dropout_row_bytes(columns) + byte, so that a mask is a function of (seed, stream, row, column)
 * and of nothing else. threshold: of 65536; an element is dropped when its 16 bits are below it.
 */
typedef struct DropoutKey
{
	uint64_t seed;
	uint64_t stream;
	uint32_t threshold;
	float scale; /* of what is kept: 65536 / (65536 - threshold) */
} DropoutKey;

static inline size_t
dropout_row_bytes(size_t columns)
{
	return (columns + 15) / 16 * 2;
}

/* One AdamW step's numbers; see src/train/adamw.h for where they come from. */
typedef struct AdamwStep
{
	float gradient_scale; /* clipping */
	float beta1;
	float beta2;
	float rest1; /* 1 - beta1 and 1 - beta2, rounded once */
	float rest2;
	float epsilon;
	float step_size; /* learning rate with bias correction */
	float decay;     /* learning rate * weight decay; 0 for none */
} AdamwStep;

/* Dropout, residual and LayerNorm of m rows of n, forward and backward. */
typedef struct AddNorm
{
	size_t m;
	size_t n;
	const float *gamma; /* (n) */
	const float *beta;  /* (n), forward only */
	float eps;
	const uint8_t *bits; /* of dropout (see DropoutKey), or NULL: none */
	float scale;         /* of what dropout keeps */
	float *mean;         /* (m): forward writes them, backward reads them */
	float *rstd;
} AddNorm;

typedef struct AddNormGradients
{
	float *ds;     /* (m,n), may be dy */
	float *dx;     /* (m,n), before dropout; NULL without bits */
	float *dgamma; /* (n) += */
	float *dbeta;  /* (n) += */
	float *dbias;  /* (n) += column sums of the gradient of x; or NULL */
} AddNormGradients;

/* Softmax of m rows of n, and dropout of it. */
typedef struct SoftmaxCall
{
	size_t m;
	size_t n;
	float scale; /* of the scores */
	/* row i sees columns 0 .. causal_from + i, the others become 0; SIZE_MAX: all are seen */
	size_t causal_from;
	const uint8_t *bits; /* of dropout, or NULL: none */
	float keep_scale;    /* of what dropout keeps */
} SoftmaxCall;

typedef struct TrainKernels
{
	const char *name;

	/* see sgemm.h; scratch: SGEMM_SCRATCH_FLOATS */
	void (*sgemm)(const SgemmCall *call, float *scratch);

	/* y = act(u); u becomes act'(u) */
	void (*activation_forward)(Activation activation, size_t n, float *u, float *y);
	/* dy (m,n) becomes dy * derivative; bias_gradient (n) += its column sums */
	void (*activation_backward)(size_t m, size_t n, const float *derivative, float *dy,
								float *bias_gradient);
	/* out (n) += column sums of x (m, ld) */
	void (*column_sum)(size_t m, size_t n, const float *x, size_t ld, float *out);
	/* y += a x */
	void (*axpy)(size_t n, float a, const float *x, float *y);
	/* x *= a */
	void (*scale)(size_t n, float a, float *x);
	double (*dot)(size_t n, const float *x, const float *y);

	/* bits of rows first_row .. first_row+m-1; bits points at the first of them */
	void (*dropout_bits)(const DropoutKey *key, size_t first_row, size_t m, size_t columns,
						 uint8_t *bits);
	/* x (m, n): kept elements times scale, the others 0 */
	void (*dropout_apply)(size_t m, size_t n, const uint8_t *bits, float scale, float *x,
						  size_t ld);

	/* x (m,n) becomes s = dropout(x) + residual, y = (s - mean) * rstd * gamma + beta; residual
	 * NULL: 0 */
	void (*add_norm_forward)(const AddNorm *norm, const float *residual, float *x, float *y);
	/* from dy (m,n) and s (m,n) to the gradients */
	void (*add_norm_backward)(const AddNorm *norm, const float *dy, const float *s,
							  const AddNormGradients *gradients);

	/*
	 * scores (m,n) become softmax(scores * scale); dropped = dropout of that (may be NULL without
	 * bits)
	 */
	void (*softmax_forward)(const SoftmaxCall *call, float *scores, float *dropped);
	/*
	 * dp (m,n), the gradient of the dropped probabilities, becomes the gradient of the unscaled
	 * scores
	 */
	void (*softmax_backward)(const SoftmaxCall *call, const float *probs, float *dp);
	/* logits (n) become scale * (softmax - onehot(label)); returns the cross-entropy (unscaled) */
	double (*cross_entropy_row)(size_t n, float *logits, size_t label, float scale);

	void (*adamw)(size_t n, float *w, const float *g, float *m, float *v, const AdamwStep *step);
	double (*sum_squares)(size_t n, const float *x);
} TrainKernels;

/*
 * name: "auto" (the best this CPU and system can run), "avx512", "avx2", "neon", "portable";
 * STATUS_UNSUPPORTED when the CPU lacks it, STATUS_NOT_FOUND when the portable one's matrix
 * products, OpenBLAS, are not installed.
 */
const TrainKernels *train_kernels_choose(const char *name, Status *status);

/* Whether the best kernels multiply bf16 by instructions of its own: else it is slower than fp32.
 */
bool train_bf16_is_faster(void);

extern const TrainKernels train_kernels_portable;
#if defined(__x86_64__)
extern const TrainKernels train_kernels_avx2;
extern const TrainKernels train_kernels_avx512;

void sgemm_avx2(const SgemmCall *call, float *scratch);
void sgemm_avx512(const SgemmCall *call, float *scratch);
void sgemm_avx512_bf16(const SgemmCall *call, float *scratch);
void sgemm_amx(const SgemmCall *call, float *scratch);
#elif defined(__aarch64__)
extern const TrainKernels train_kernels_neon;

void sgemm_neon(const SgemmCall *call, float *scratch);
void sgemm_neon_bf16(const SgemmCall *call, float *scratch);
#endif

#endif
