/* neon.c: the kernels for every AArch64 CPU. */
#if defined(__aarch64__)

#include "kernels/vector_neon.h"
#include "kernels/vector_table.h"

VECTOR_TABLE(kernels_neon, "neon", "NEON", 0x6e650001, 0x6e651001, 0x6e652001);

#endif
