/* train_portable.c: the training kernels in plain C, a "vector" of one element. */
#include "kernels/train_kernels.h"

#include <math.h>
#include <string.h>

#include "core/checked.h"
#include "kernels/blas.h"
#include "kernels/portable.h"

#define TARGET
#define INLINE static inline
#define WIDTH 1
#define TABLE train_kernels_portable
#define TABLE_NAME "portable"
#define SGEMM sgemm_portable

typedef float vf;
typedef uint32_t vu;

INLINE vf
v_load(const float *p, size_t k)
{
	return *p;
}

INLINE void
v_store(float *p, vf x, size_t k)
{
	*p = x;
}

INLINE vf
v_set(float a)
{
	return a;
}

INLINE vf
v_add(vf a, vf b)
{
	return a + b;
}

INLINE vf
v_sub(vf a, vf b)
{
	return a - b;
}

INLINE vf
v_mul(vf a, vf b)
{
	return a * b;
}

INLINE vf
v_div(vf a, vf b)
{
	return a / b;
}

INLINE vf
v_fma(vf a, vf b, vf c)
{
	return a * b + c;
}

INLINE vf
v_max(vf a, vf b)
{
	return a > b ? a : b;
}

INLINE vf
v_min(vf a, vf b)
{
	return a < b ? a : b;
}

INLINE vf
v_abs(vf a)
{
	return fabsf(a);
}

INLINE vf
v_sqrt(vf a)
{
	return sqrtf(a);
}

INLINE vf
v_if_positive(vf a, vf x, vf y)
{
	return a > 0 ? x : y;
}

INLINE vf
v_first(vf x, size_t k, vf y)
{
	return x;
}

INLINE vf
v_round(vf a)
{
	return a < 0 ? (float) (int) (a - 0.5f) : (float) (int) (a + 0.5f);
}

/* a * 2^n for integral n in -126 .. 127 */
INLINE vf
v_times_power(vf a, vf n)
{
	uint32_t bits = (uint32_t) ((int) n + 127) << 23;
	float power;

	memcpy(&power, &bits, sizeof power);
	return a * power;
}

INLINE float
v_sum(vf a)
{
	return a;
}

INLINE float
v_largest(vf a)
{
	return a;
}

INLINE double
v_dot_double(vf a, vf b)
{
	return (double) a * b;
}

INLINE vu
u_set(uint32_t a)
{
	return a;
}

INLINE vu
u_count(uint32_t first)
{
	return first;
}

INLINE vu
u_xor3(vu a, vu b, vu c)
{
	return a ^ b ^ c;
}

INLINE vu
u_mul_low(vu a, vu b)
{
	return a * b;
}

INLINE vu
u_mul_high(vu a, vu b)
{
	return (uint32_t) ((uint64_t) a * b >> 32);
}

INLINE vu
u_compare(vu bits, vu word, int half, vu threshold, uint32_t bit)
{
	uint32_t value = half ? word >> 16 : word & 0xFFFF;

	return value >= threshold ? bits | bit : bits;
}

INLINE void
u_store_bytes(uint8_t *p, vu bits, size_t k)
{
	*p = (uint8_t) bits;
}

/* to (rows, columns) = from, rounded to bf16 */
static void
round_matrix(size_t rows, size_t columns, const float *from, size_t ld, float *to)
{
	for (size_t i = 0; i < rows; i++)
		for (size_t j = 0; j < columns; j++)
			to[i * columns + j] = bf16_to_float(float_to_bf16(from[i * ld + j]));
}

/* C += op(A) op(B): in fp32, of rounded copies of as much of both as the scratch holds */
static void
add_rounded_product(const SgemmCall *call, float *scratch)
{
	float *a = scratch + SGEMM_SCRATCH_DEPTH * SGEMM_SCRATCH_COLUMNS;

	for (size_t column = 0; column < call->n; column += SGEMM_SCRATCH_COLUMNS)
		for (size_t from = 0; from < call->k; from += SGEMM_SCRATCH_DEPTH)
		{
			size_t n = size_min(call->n - column, SGEMM_SCRATCH_COLUMNS);
			size_t k = size_min(call->k - from, SGEMM_SCRATCH_DEPTH);

			if (call->transpose_b)
				round_matrix(n, k, call->b + column * call->ldb + from, call->ldb, scratch);
			else
				round_matrix(k, n, call->b + from * call->ldb + column, call->ldb, scratch);
			for (size_t row = 0; row < call->m; row += SGEMM_SCRATCH_ROWS)
			{
				size_t m = size_min(call->m - row, SGEMM_SCRATCH_ROWS);

				if (call->transpose_a)
					round_matrix(k, m, call->a + from * call->lda + row, call->lda, a);
				else
					round_matrix(m, k, call->a + row * call->lda + from, call->lda, a);
				blas_sgemm(call->transpose_a, call->transpose_b, m, n, k, 1.0f, a,
						   call->transpose_a ? m : k, scratch, call->transpose_b ? k : n, 1.0f,
						   call->c + row * call->ldc + column, call->ldc);
			}
		}
}

/* By OpenBLAS. */
static void
sgemm_portable(const SgemmCall *call, float *scratch)
{
	for (size_t i = 0; i < call->m; i++)
		if (call->bias != NULL)
			memcpy(call->c + i * call->ldc, call->bias, call->n * sizeof(float));
		else if (!call->accumulate)
			memset(call->c + i * call->ldc, 0, call->n * sizeof(float));
	if (call->bf16)
		add_rounded_product(call, scratch);
	else
		blas_sgemm(call->transpose_a, call->transpose_b, call->m, call->n, call->k, 1.0f, call->a,
				   call->lda, call->b, call->ldb, 1.0f, call->c, call->ldc);
}

#include "kernels/train_body.h"
