/* cpu.h: what this CPU and this operating system let us use. Bits are set only when the registers
 * are saved, too. */
#ifndef BERT_KERNELS_CPU_H
#define BERT_KERNELS_CPU_H

#include <stdbool.h>

typedef struct CpuFeatures
{
	bool avx2; /* AVX2 and FMA */
	bool avx_vnni;
	bool avx512; /* F, BW, DQ, VL */
	bool avx512_vnni;
	bool avx512_bf16;
	/* tiles of bytes and of bf16, and VBMI; whether a process may use them says cpu_allow_tiles */
	bool amx;
	bool neon;
	bool neon_dotprod;
	bool neon_bf16;
	bool intel;
} CpuFeatures;

/* Found out once per process. */
const CpuFeatures *cpu_features(void);

/*
 * Linux has room for tiles only in processes that ask for it: asks once, for all threads of this
 * process and for those that it forks. False where the answer is no.
 */
bool cpu_allow_tiles(void);

#endif
