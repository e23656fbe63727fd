/* train_portable.c: the training kernels in plain C; matrix products by OpenBLAS. */
#include "core/checked.h"
#include "kernels/blas.h"
#include "kernels/portable.h"

#include "kernels/vector_portable.h"
#include "kernels/vector_math.h"
#include "kernels/train_body.h"

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
				blas_sgemm(&(SgemmCall){.transpose_a = call->transpose_a,
										.transpose_b = call->transpose_b,
										.accumulate = true,
										.m = m,
										.n = n,
										.k = k,
										.a = a,
										.lda = call->transpose_a ? m : k,
										.b = scratch,
										.ldb = call->transpose_b ? k : n,
										.c = call->c + row * call->ldc + column,
										.ldc = call->ldc});
			}
		}
}

/* By OpenBLAS. */
static void
sgemm_portable(const SgemmCall *call, float *scratch)
{
	SgemmCall product = *call;

	for (size_t i = 0; i < call->m; i++)
		if (call->bias != NULL)
			memcpy(call->c + i * call->ldc, call->bias, call->n * sizeof(float));
		else if (!call->accumulate)
			memset(call->c + i * call->ldc, 0, call->n * sizeof(float));
	product.accumulate = true;
	if (call->bf16)
		add_rounded_product(call, scratch);
	else
		blas_sgemm(&product);
}

TRAIN_TABLE(train_kernels_portable, "portable", sgemm_portable);
