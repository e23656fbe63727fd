/* train_avx512.c: the training kernels for CPUs with AVX-512 F, BW, DQ and VL. */
#if defined(__x86_64__)

#define TARGET_NAME "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c"
#include "kernels/vector_avx512.h"
#include "kernels/vector_math.h"
#include "kernels/train_body.h"

TRAIN_TABLE(train_kernels_avx512, "avx512", sgemm_avx512);

#endif
