/* choose.h: the kernel families that are compiled in; only choose.c and tests look at them. */
#ifndef BERT_KERNELS_CHOOSE_H
#define BERT_KERNELS_CHOOSE_H

#include "kernels/kernels.h"

typedef struct KernelFamily
{
	const Kernels *kernels;
	bool (*usable)(void); /* on this CPU */
	const char *needs;    /* for messages */
} KernelFamily;

#if defined(__x86_64__)
extern const Kernels kernels_amx;
extern const Kernels kernels_avx512_bf16;
extern const Kernels kernels_avx512_vnni;
extern const Kernels kernels_avx512;
extern const Kernels kernels_avx2_vnni;
extern const Kernels kernels_avx2;
#endif
#if defined(__aarch64__)
extern const Kernels kernels_neon_bf16;
extern const Kernels kernels_neon_dotprod;
extern const Kernels kernels_neon;
#endif
extern const Kernels kernels_blas;

/*
 * Best first; several may share a name, the first usable one is meant. Ends with a NULL kernels.
 */
extern const KernelFamily kernel_families[];

#endif
