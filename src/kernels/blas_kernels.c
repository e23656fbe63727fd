/*
 * blas_kernels.c: the "blas" family: OpenBLAS for fp32 products, plain C for the rest; for CPUs
 * without a family of their own. fp32 weights and rows stay as they are.
 */
#include <string.h>

#include "core/checked.h"
#include "kernels/blas.h"
#include "kernels/choose.h"
#include "kernels/portable.h"

#define ALIGNMENT 64

static size_t
matrix_size(size_t rows, size_t columns)
{
	size_t size;

	if (!size_mul(rows, columns, &size) || !size_mul(size, sizeof(float), &size) ||
		!size_add(size, ALIGNMENT, &size))
		return 0;
	return size_align(size - ALIGNMENT, ALIGNMENT);
}

static size_t
blas_gemm_packed_size(Precision precision, size_t n, size_t k)
{
	return precision == PRECISION_FP32 ? matrix_size(n, k)
									   : kernels_portable.gemm_packed_size(precision, n, k);
}

static bool
blas_gemm_pack(Precision precision, size_t n, size_t k, const float *w, size_t ld, void *panels,
			   const MayContinue *question)
{
	if (precision != PRECISION_FP32)
		return kernels_portable.gemm_pack(precision, n, k, w, ld, panels, question);
	for (size_t j = 0; j < n; j++)
	{
		memcpy((float *) panels + j * k, w + j * ld, k * sizeof(float));
		if (!may_continue(question, NULL))
			return false;
	}
	return true;
}

static size_t
blas_rows_size(Precision precision, size_t m, size_t k)
{
	return kernels_portable.rows_size(precision, m, k);
}

static Rows
blas_rows_convert(Precision precision, size_t m, size_t k, const float *a, size_t ld, void *buffer)
{
	return kernels_portable.rows_convert(precision, m, k, a, ld, buffer);
}

/* fp32: a row of products, where the residual may be C itself; a row in fp32 on its way to bf16 */
static size_t
blas_gemm_scratch_size(Precision precision, size_t n, size_t k)
{
	return precision == PRECISION_FP32 ? size_align(n * sizeof(float), ALIGNMENT)
									   : kernels_portable.gemm_scratch_size(precision, n, k);
}

/* c (m, n) = rows (m, lda) times the weight, onto what is there when asked */
static void
multiply(const PackedMatrix *w, size_t m, const float *rows, size_t lda, float *c, size_t ldc,
		 bool accumulate)
{
	blas_sgemm(&(SgemmCall){.transpose_b = true,
							.accumulate = accumulate,
							.m = m,
							.n = w->n,
							.k = w->k,
							.a = rows,
							.lda = lda,
							.b = w->panels,
							.ldb = w->k,
							.c = c,
							.ldc = ldc});
}

static void
blas_gemm(const PackedMatrix *w, size_t m, Rows rows, float *c, size_t ldc,
		  const GemmEpilogue *epilogue, void *scratch)
{
	GemmEpilogue rest = *epilogue;
	size_t lda = rows.stride / sizeof(float);
	bool in_place = epilogue->residual == c && epilogue->residual_ld == ldc &&
					epilogue->activation == ACTIVATION_NONE;

	if (w->precision != PRECISION_FP32)
	{
		kernels_portable.gemm(w, m, rows, c, ldc, epilogue, scratch);
		return;
	}
	if (epilogue->residual == c && !in_place)
	{
		/* an activation and a residual that the product would overwrite: row by row */
		for (size_t i = 0; i < m; i++)
		{
			GemmEpilogue row = {epilogue->bias, epilogue->activation,
								epilogue->residual + i * epilogue->residual_ld, 0, false};

			multiply(w, 1, (const float *) rows.data + i * lda, lda, scratch, w->n, false);
			portable_epilogue(1, w->n, scratch, w->n, &row);
			memcpy(c + i * ldc, scratch, w->n * sizeof(float));
		}
		return;
	}
	multiply(w, m, rows.data, lda, c, ldc, in_place);
	if (in_place)
		rest.residual = NULL;
	portable_epilogue(m, w->n, c, ldc, &rest);
}

static void
blas_gemm_bf16(const PackedMatrix *w, size_t m, Rows rows, uint16_t *c, size_t ldc,
			   const GemmEpilogue *epilogue, void *scratch)
{
	if (w->precision != PRECISION_FP32)
	{
		kernels_portable.gemm_bf16(w, m, rows, c, ldc, epilogue, scratch);
		return;
	}
	for (size_t i = 0; i < m; i++)
	{
		GemmEpilogue row = *epilogue;

		if (row.residual != NULL)
			row.residual += i * row.residual_ld;
		multiply(w, 1, (const float *) ((const uint8_t *) rows.data + i * rows.stride), w->k,
				 scratch, w->n, false);
		portable_epilogue(1, w->n, scratch, w->n, &row);
		for (size_t j = 0; j < w->n; j++)
			c[i * ldc + j] = float_to_bf16(((const float *) scratch)[j]);
	}
}

static Rows
blas_gemm_rows(const PackedMatrix *w, size_t m, Rows rows, void *buffer,
			   const GemmEpilogue *epilogue, void *scratch)
{
	if (w->precision != PRECISION_FP32)
		return kernels_portable.gemm_rows(w, m, rows, buffer, epilogue, scratch);
	blas_gemm(w, m, rows, buffer, w->n, epilogue, scratch);
	return (Rows){buffer, w->n * sizeof(float), NULL};
}

const Kernels kernels_blas = {
	.name = "blas",
	.features = "OpenBLAS and plain C",
	.layout = {0x626c0001, 0x706f1001, 0x706f2001},
	.meaning = {&kernels_portable, &kernels_portable, &kernels_portable},
	.bf16_attention = true,
	.gemm_packed_size = blas_gemm_packed_size,
	.gemm_pack = blas_gemm_pack,
	.rows_size = blas_rows_size,
	.rows_convert = blas_rows_convert,
	.gemm_scratch_size = blas_gemm_scratch_size,
	.gemm = blas_gemm,
	.gemm_bf16 = blas_gemm_bf16,
	.gemm_rows = blas_gemm_rows,
	.layer_norm = portable_layer_norm,
	.softmax = portable_softmax,
	.activation = portable_activation,
	.axpy = portable_axpy,
	.dot = portable_dot,
	.attention_bytes_from = portable_attention_bytes_from,
	.attention_scratch_size = portable_attention_scratch_size,
	.attention = portable_attention,
};
