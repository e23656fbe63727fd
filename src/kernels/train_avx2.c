/* train_avx2.c: the training kernels for CPUs with AVX2, FMA and F16C. */
#if defined(__x86_64__)

#define TARGET_NAME "avx2,fma,f16c"
#include "kernels/vector_avx2.h"
#include "kernels/vector_math.h"
#include "kernels/train_body.h"

TRAIN_TABLE(train_kernels_avx2, "avx2", sgemm_avx2);

#endif
