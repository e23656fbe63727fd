/* neon_bf16.c: the same with byte and bf16 dot products. */
#if defined(__aarch64__)

#define TARGET_NAME "arch=armv8.2-a+dotprod+bf16"
#define HAVE_DOTPROD
#define HAVE_BF16
#include "kernels/vector_neon.h"
#include "kernels/vector_table.h"

VECTOR_TABLE(kernels_neon_bf16, "neon", "NEON dotprod BF16", 0x6e650001, 0x6e651001, 0x6e652001);

#endif
