/* neon_dotprod.c: the same with byte dot products. */
#if defined(__aarch64__)

#define TARGET_NAME "arch=armv8.2-a+dotprod"
#define HAVE_DOTPROD
#include "kernels/vector_neon.h"
#include "kernels/vector_table.h"

VECTOR_TABLE(kernels_neon_dotprod, "neon", "NEON dotprod", 0x6e650001, 0x6e651001, 0x6e652001);

#endif
