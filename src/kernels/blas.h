/*
 * blas.h: OpenBLAS, opened lazily with dlopen after OPENBLAS_CORETYPE and the thread count are set,
 * because it reads both when it is loaded; it never starts a thread. The only file that knows BLAS.
 * For CPUs without kernels of ours: the "blas" family, and training's portable kernels.
 */
#ifndef BERT_KERNELS_BLAS_H
#define BERT_KERNELS_BLAS_H

#include <stddef.h>

#include "core/status.h"

/*
 * Loads OpenBLAS if that has not happened; STATUS_NOT_FOUND with the package's name when it is not
 * installed.
 */
bool blas_load(Status *status);
/* OpenBLAS's own configuration and core name; "not loaded" before */
const char *blas_description(void);

/*
 * C (m,n) = alpha op(A) op(B) + beta C, row-major; op(A) is (m,k), op(B) is (k,n). Call blas_load
 * first; sizes beyond int are refused there by the callers' bounds. Thread-safe.
 */
void blas_sgemm(bool transpose_a, bool transpose_b, size_t m, size_t n, size_t k, float alpha,
				const float *a, size_t lda, const float *b, size_t ldb, float beta, float *c,
				size_t ldc);

#endif
