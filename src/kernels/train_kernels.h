/*
 * train_kernels.h: the element-wise and row-wise kernels of training, written once (train_body.h)
 * over a few vector primitives per instruction set (train_avx512.c, train_avx2.c,
 * train_portable.c).
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

	/*
	 * x (m,n) becomes s = dropout(x) + residual, y = (s - mean) * rstd * gamma + beta. bits NULL:
	 * no dropout; residual NULL: 0.
	 */
	void (*add_norm_forward)(size_t m, size_t n, float *x, const float *residual,
							 const uint8_t *bits, float scale, const float *gamma,
							 const float *beta, float eps, float *y, float *mean, float *rstd);
	/*
	 * From dy: ds (m,n) the gradient of s (may be dy), and, when bits are given, dx the gradient of
	 * x before dropout. dgamma, dbeta (n) += ; dbias (n) += column sums of the gradient of x,
	 * unless NULL.
	 */
	void (*add_norm_backward)(size_t m, size_t n, const float *dy, const float *s,
							  const float *mean, const float *rstd, const float *gamma,
							  const uint8_t *bits, float scale, float *ds, float *dx, float *dgamma,
							  float *dbeta, float *dbias);

	/*
	 * scores (m,n) become softmax(scores * scale); dropped = dropout of that (may be NULL without
	 * bits). causal_from: row i sees columns 0 .. causal_from + i only, the others become 0
	 * (SIZE_MAX: all are seen).
	 */
	void (*softmax_forward)(size_t m, size_t n, float *scores, float scale, size_t causal_from,
							const uint8_t *bits, float keep_scale, float *dropped);
	/*
	 * dp (m,n), the gradient of the dropped probabilities, becomes the gradient of the unscaled
	 * scores
	 */
	void (*softmax_backward)(size_t m, size_t n, const float *probs, float scale,
							 const uint8_t *bits, float keep_scale, float *dp);
	/* logits (n) become scale * (softmax - onehot(label)); returns the cross-entropy (unscaled) */
	double (*cross_entropy_row)(size_t n, float *logits, size_t label, float scale);

	void (*adamw)(size_t n, float *w, const float *g, float *m, float *v, const AdamwStep *step);
	double (*sum_squares)(size_t n, const float *x);
} TrainKernels;

/*
 * name: "auto" (the best this CPU and system can run), "avx512", "avx2", "portable";
 * STATUS_UNSUPPORTED when the CPU lacks it, STATUS_NOT_FOUND when the portable one's matrix
 * products, OpenBLAS, are not installed.
 */
const TrainKernels *train_kernels_choose(const char *name, Status *status);

extern const TrainKernels train_kernels_portable;
#if defined(__x86_64__)
extern const TrainKernels train_kernels_avx2;
extern const TrainKernels train_kernels_avx512;

void sgemm_avx2(const SgemmCall *call, float *scratch);
void sgemm_avx512(const SgemmCall *call, float *scratch);
void sgemm_avx512_bf16(const SgemmCall *call, float *scratch);
#endif

#endif
