/*
 * portable.h: the plain C kernels. They say what every kernel means; the family "blas" borrows from
 * them, and tests compare the others with them.
 *
 * Panels hold PORTABLE_PANEL output features; the last one is padded with zeros. Within a panel,
 * for each input feature k, the panel's weights lie side by side. int8 panels are preceded, for the
 * whole matrix, by one scale and one sum of the quantized weights per (padded) output feature.
 *
 * Rows of int8: first a RowScale for each row, then k bytes for each row, padded to 64.
 */
#ifndef BERT_KERNELS_PORTABLE_H
#define BERT_KERNELS_PORTABLE_H

#include <math.h>

#include "core/bf16.h"
#include "kernels/kernels.h"

#define PORTABLE_PANEL 16

extern const Kernels kernels_portable;

/* The element-wise and attention kernels of the portable family, for tables that borrow them. */
void portable_layer_norm(const LayerNorm *norm, size_t m, const float *x, size_t ldx, float *y,
						 size_t ldy);
void portable_softmax(size_t m, size_t n, float *x, size_t ld);
void portable_activation(Activation activation, size_t n, float *x);
void portable_axpy(size_t n, float a, const float *x, float *y);
float portable_dot(size_t n, const float *x, const float *y);
size_t portable_attention_scratch_size(Precision precision, size_t n_tokens, size_t head_size);
void portable_attention(const AttentionCall *call, void *scratch);

/* bias, activation and residual on finished rows */
void portable_epilogue(size_t m, size_t n, float *c, size_t ldc, const GemmEpilogue *epilogue);

/*
 * int8 rows: x ~ scale * (q - zero), scale = (high - low) / QUANTIZE_STEPS. Adding QUANTIZE_MAGIC +
 * zero to x / scale rounds it and leaves q in the lowest byte. The row lies in the middle of 255
 * steps and is two margins shorter: each x between low and high is rounded at least QUANTIZE_MARGIN
 * away from where it would leave the byte and come back at the other end. Rounding in fp32 adds up
 * to less than a hundredth of that.
 */
#define QUANTIZE_MARGIN 0.01f /* steps */
#define QUANTIZE_STEPS (255 - 2 * QUANTIZE_MARGIN)
#define QUANTIZE_MAGIC 12582912.0f /* 1.5 * 2^23 */

typedef struct Quantizer
{
	float scale;
	float inverse; /* of scale; 0 where there is none */
	float zero;    /* 0 .. 255 */
} Quantizer;

/* For a row within low .. high, low <= 0 <= high. */
static inline Quantizer
quantizer_for(float low, float high)
{
	Quantizer q = {(high - low) / QUANTIZE_STEPS, 0, 0};

	if (q.scale > 1e-37f && q.scale <= 3.4e38f)
	{
		q.inverse = 1 / q.scale;
		q.zero = rintf(-low * q.inverse + QUANTIZE_MARGIN);
	}
	return q;
}

#endif
