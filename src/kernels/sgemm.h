/*
 * sgemm.h: fp32 products of matrices as they lie in memory, for training, whose weights change with
 * every step: what is packed is packed inside the call, into the caller's scratch. Behind
 * TrainKernels.sgemm; blas.c does it where we have no kernels of our own.
 */
#ifndef BERT_KERNELS_SGEMM_H
#define BERT_KERNELS_SGEMM_H

#include <stdbool.h>
#include <stddef.h>

/*
 * So much of op(B) (depth, columns) and of op(A) (rows, depth and some room) is packed at a time;
 * bench/bench_train ("gemm") measures it.
 */
#define SGEMM_SCRATCH_DEPTH ((size_t) 512)
#define SGEMM_SCRATCH_COLUMNS ((size_t) 1536)
#define SGEMM_SCRATCH_ROWS ((size_t) 192)

/*
 * Floats of scratch memory, 64-byte aligned, that a call takes, whatever its sizes; one per thread.
 */
#define SGEMM_SCRATCH_FLOATS \
	(SGEMM_SCRATCH_DEPTH * SGEMM_SCRATCH_COLUMNS + SGEMM_SCRATCH_ROWS * (SGEMM_SCRATCH_DEPTH + 16))

/*
 * C (m,n) = op(A) (m,k) op(B) (k,n) [+ bias (n) in every row] [+ C]. Row-major; op transposes or
 * not; the lds are those of the matrices as they lie in memory. k may be 0. An element's sum is
 * made in the same order whatever part of C a call computes, so splitting m and n among calls
 * changes no bit.
 */
typedef struct SgemmCall
{
	bool transpose_a; /* A lies as (k,m) */
	bool transpose_b; /* B lies as (n,k) */
	bool accumulate;  /* onto C; not together with a bias */
	/* A's and B's elements are rounded to bf16 (to nearest even); sums stay fp32 */
	bool bf16;
	size_t m;
	size_t n;
	size_t k;
	const float *a;
	size_t lda;
	const float *b;
	size_t ldb;
	const float *bias; /* (n) or NULL */
	float *c;
	size_t ldc;
} SgemmCall;

#endif
