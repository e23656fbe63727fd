/* train_neon.c: the training kernels for every AArch64 CPU. */
#if defined(__aarch64__)

#include "kernels/vector_neon.h"
#include "kernels/vector_math.h"
#include "kernels/train_body.h"

TRAIN_TABLE(train_kernels_neon, "neon", sgemm_neon);

#endif
