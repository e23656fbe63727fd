/*
 * blas.h: OpenBLAS, opened lazily with dlopen after OPENBLAS_CORETYPE and the thread count are set,
 * because it reads both when it is loaded; it never starts a thread. The only file that knows BLAS.
 * For CPUs without kernels of ours: the "blas" family, and training's portable kernels.
 */
#ifndef BERT_KERNELS_BLAS_H
#define BERT_KERNELS_BLAS_H

#include <stddef.h>

#include "core/status.h"
#include "kernels/sgemm.h"

/*
 * Loads OpenBLAS if that has not happened; STATUS_NOT_FOUND with the package's name when it is not
 * installed.
 */
bool blas_load(Status *status);
/* OpenBLAS's own configuration and core name; "not loaded" before */
const char *blas_description(void);

/*
 * The call's product, of which bias and bf16 do not count here. Call blas_load first; sizes beyond
 * int are refused by the callers' bounds. Thread-safe.
 */
void blas_sgemm(const SgemmCall *call);

#endif
