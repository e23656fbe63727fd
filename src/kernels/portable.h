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
/*
 * The meaning of families whose CPUs know neither bf16 nor sums of four products of bytes: in bf16
 * only weights are rounded, rows stay fp32; int8 weights are bounded (int8_weights). Nothing runs
 * it but tests.
 */
extern const Kernels kernels_portable_narrow;

/* The element-wise and attention kernels of the portable family, for tables that borrow them. */
void portable_layer_norm(const LayerNorm *norm, size_t m, const float *x, size_t ldx, float *y,
						 size_t ldy);
void portable_softmax(size_t m, size_t n, float *x, size_t ld);
void portable_activation(Activation activation, size_t n, float *x);
void portable_axpy(size_t n, float a, const float *x, float *y);
float portable_dot(size_t n, const float *x, const float *y);
size_t portable_attention_bytes_from(size_t head_size, size_t most_tokens);
size_t portable_attention_scratch_size(Precision precision, size_t n_tokens, size_t head_size);
void portable_attention(const AttentionCall *call, void *scratch);

/* bias, activation and residual on finished rows */
void portable_epilogue(size_t m, size_t n, float *c, size_t ldc, const GemmEpilogue *epilogue);

/*
 * int8 weights: w ~ q * scale, |q| <= 127. Bounded: sums of products with bytes fit 16 bits. Such
 * a sum has the products of INT8_RUN groups of four weights, of the first two of each group or of
 * the last two. Its extremes are where only weights of one sign meet bytes other than zero:
 * INT8_BOUND is what such weights may add up to.
 */
#define INT8_RUN 4
#define INT8_TERMS (2 * INT8_RUN)
#define INT8_BOUND 128
_Static_assert(255 * INT8_BOUND <= INT16_MAX, "a sum of bounded weights fits 16 bits");

typedef struct Int8Scale
{
	float scale;
	float inverse; /* of scale; 0 where there is none */
} Int8Scale;

/* The largest sum of weights (k) of one sign in a run: as they are, or as they will be rounded. */
static inline float
int8_largest_sum(size_t k, const float *w, float inverse, bool rounded)
{
	float largest = 0;

	for (size_t run = 0; run < k; run += 4 * INT8_RUN)
		for (size_t half = 0; half < 4; half += 2)
		{
			float above = 0;
			float below = 0;

			for (size_t i = run + half; i < run + 4 * INT8_RUN; i += 4)
				for (size_t j = i; j < i + 2 && j < k; j++)
				{
					float value = rounded ? rintf(w[j] * inverse) : w[j] * inverse;

					above += fmaxf(value, 0);
					below -= fminf(value, 0);
				}
			largest = fmaxf(largest, fmaxf(above, below));
		}
	return largest;
}

/* For the weights (k) of a feature. */
static inline Int8Scale
int8_scale(bool bounded, size_t k, const float *w)
{
	Int8Scale result = {0, 0};
	float largest = 0;
	float sum;

	for (size_t i = 0; i < k; i++)
		largest = fmaxf(largest, fabsf(w[i]));
	if (largest <= 1e-36f) /* the inverse would not be finite */
		return result;
	result = (Int8Scale){largest / 127, 127 / largest};
	if (!bounded || int8_largest_sum(k, w, result.inverse, true) <= INT8_BOUND)
		return result;
	sum = int8_largest_sum(k, w, result.inverse, false);
	result.inverse *= fminf(1, INT8_BOUND / sum);
	/* each of a sum's terms may be rounded up by half a step */
	if (int8_largest_sum(k, w, result.inverse, true) > INT8_BOUND)
		result.inverse = 127 / largest * ((INT8_BOUND - INT8_TERMS / 2 - 0.01f) / sum);
	result.scale = 1 / result.inverse;
	return result;
}

static inline int8_t
int8_weight(float w, float inverse)
{
	return (int8_t) fminf(fmaxf(rintf(w * inverse), -127), 127);
}

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
