/*
 * peak.h: the clock (the thread's CPU time, so that a busy machine does not count), and the core's
 * peak: loops over registers, best of many short tries.
 */
#ifndef BERT_BENCH_PEAK_H
#define BERT_BENCH_PEAK_H

#include <math.h>
#include <time.h>

#include "kernels/cpu.h"
#include "kernels/kernels.h"

static inline double
now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (double) t.tv_sec + (double) t.tv_nsec * 1e-9;
}

#if defined(__x86_64__)
#include <immintrin.h>

#define TWELVE(X) X(0) X(1) X(2) X(3) X(4) X(5) X(6) X(7) X(8) X(9) X(10) X(11)
#define DECLARE(i) __m512 a##i = _mm512_set1_ps((float) i);
#define DECLARE_HALF(i) __m256 a##i = _mm256_set1_ps((float) i);
#define FMA(i) __asm__ volatile("vfmadd231ps %1,%1,%0" : "+v"(a##i) : "v"(b));
#define BF16(i) __asm__ volatile("vdpbf16ps %1,%1,%0" : "+v"(a##i) : "v"(b));
#define VNNI(i) __asm__ volatile("vpdpbusd %1,%1,%0" : "+v"(a##i) : "v"(b));
#define PEAK(name, type, set, declare, instruction, isa)    \
	static __attribute__((target(isa))) void name(size_t n) \
	{                                                       \
		type b = set(1.0001f);                              \
		TWELVE(declare)                                     \
		for (size_t i = 0; i < n; i++)                      \
		{                                                   \
			TWELVE(instruction)                             \
		}                                                   \
	}

PEAK(peak_fp32, __m512, _mm512_set1_ps, DECLARE, FMA, "avx512f")
PEAK(peak_bf16, __m512, _mm512_set1_ps, DECLARE, BF16, "avx512f,avx512bf16")
PEAK(peak_int8, __m512, _mm512_set1_ps, DECLARE, VNNI, "avx512f,avx512vnni")
PEAK(peak_fp32_half, __m256, _mm256_set1_ps, DECLARE_HALF, FMA, "avx2,fma")

/* n times four products of tiles: 16 rows by 16 columns, 64 bytes deep */
#define PEAK_TILES(name, instruction)                                                \
	static __attribute__((target("amx-tile,amx-int8,amx-bf16"))) void name(size_t n) \
	{                                                                                \
		static const uint8_t config[64] = {                                          \
			[0] = 1,   [16] = 64, [18] = 64, [20] = 64, [22] = 64, [24] = 64,        \
			[26] = 64, [28] = 64, [30] = 64, [48] = 16, [49] = 16, [50] = 16,        \
			[51] = 16, [52] = 16, [53] = 16, [54] = 16, [55] = 16};                  \
		__asm__ volatile("ldtilecfg %0" : : "m"(config));                            \
		for (size_t i = 0; i < n; i++)                                               \
			__asm__ volatile(instruction " %%tmm6,%%tmm4,%%tmm0\n\t" instruction     \
										 " %%tmm7,%%tmm4,%%tmm1\n\t" instruction     \
										 " %%tmm6,%%tmm5,%%tmm2\n\t" instruction     \
										 " %%tmm7,%%tmm5,%%tmm3"                     \
							 :                                                       \
							 :);                                                     \
		__asm__ volatile("tilerelease");                                             \
	}

PEAK_TILES(peak_tiles_bf16, "tdpbf16ps")
PEAK_TILES(peak_tiles_int8, "tdpbusd")
#endif

/* operations a second, best of a few tries; 0 where there is no such loop */
static inline double
peak(Precision precision)
{
	double best = 0;
#if defined(__x86_64__)
	const CpuFeatures *cpu = cpu_features();

	for (int i = 0; i < 40; i++)
	{
		size_t n = 40000;
		double start = now();
		double operations = 0;

		if (precision != PRECISION_FP32 && cpu_allow_tiles())
		{
			n = 4000;
			/* of all four, a twelfth, as the others count one of twelve */
			operations = 4 * 2.0 * 16 * 16 * (precision == PRECISION_INT8 ? 64 : 32) / 12;
			precision == PRECISION_INT8 ? peak_tiles_int8(n) : peak_tiles_bf16(n);
		}
		else if (precision == PRECISION_INT8 && cpu->avx512_vnni)
			peak_int8(n), operations = 128;
		else if (precision == PRECISION_BF16 && cpu->avx512_bf16)
			peak_bf16(n), operations = 64;
		else if (precision == PRECISION_FP32 && cpu->avx512)
			peak_fp32(n), operations = 32;
		else if (precision == PRECISION_FP32 && cpu->avx2)
			peak_fp32_half(n), operations = 16;
		best = fmax(best, operations * 12 * (double) n / (now() - start));
	}
#endif
	return best;
}

#endif
