/*
 * peak.h: the clock (the thread's CPU time, so that a busy machine does not count), and the core's
 * peak with what a family of kernels uses: loops over registers.
 */
#ifndef BERT_BENCH_PEAK_H
#define BERT_BENCH_PEAK_H

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
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

/* A loop, and the operations of one of its twelve instructions. */
typedef struct Peak
{
	void (*loop)(size_t n);
	double operations;
	size_t n; /* of a try, a fraction of a millisecond */
} Peak;

#if defined(__x86_64__)
#include <immintrin.h>

#define TWELVE(X) X(0) X(1) X(2) X(3) X(4) X(5) X(6) X(7) X(8) X(9) X(10) X(11)
#define DECLARE(i) __m512 a##i = _mm512_set1_ps((float) i);
#define DECLARE_HALF(i) __m256 a##i = _mm256_set1_ps((float) i);
#define FMA(i) __asm__ volatile("vfmadd231ps %1,%1,%0" : "+v"(a##i) : "v"(b));
#define BF16(i) __asm__ volatile("vdpbf16ps %1,%1,%0" : "+v"(a##i) : "v"(b));
#define VNNI(i) __asm__ volatile("vpdpbusd %1,%1,%0" : "+v"(a##i) : "v"(b));
#define VNNI_HALF(i) __asm__ volatile("%{vex%} vpdpbusd %1,%1,%0" : "+x"(a##i) : "x"(b));
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
PEAK(peak_int8_half, __m256, _mm256_set1_ps, DECLARE_HALF, VNNI_HALF, "avx2")

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

/* The fastest instruction for the precision's products that the kernels use. */
static inline Peak
peak_of(const Kernels *kernels, Precision precision)
{
	const CpuFeatures *cpu = cpu_features();
	const double tile = 4 * 2.0 * 16 * 16 / 12; /* four products, counted as twelve */

	if (precision == PRECISION_BF16 && !kernels->bf16_attention)
		precision = PRECISION_FP32; /* weights are widened */
	if (strcmp(kernels->name, "amx") == 0 && precision == PRECISION_BF16)
		return (Peak){peak_tiles_bf16, 32 * tile, 4000};
	if (strcmp(kernels->name, "amx") == 0 && precision == PRECISION_INT8)
		return (Peak){peak_tiles_int8, 64 * tile, 4000};
	if (strcmp(kernels->name, "avx2") == 0 && precision == PRECISION_INT8)
		return cpu->avx_vnni ? (Peak){peak_int8_half, 64, 40000} : (Peak){NULL, 0, 0};
	if (strcmp(kernels->name, "avx2") == 0 && precision == PRECISION_FP32)
		return (Peak){peak_fp32_half, 16, 40000};
	if (precision == PRECISION_INT8 && cpu->avx512_vnni)
		return (Peak){peak_int8, 128, 40000};
	if (precision == PRECISION_BF16 && cpu->avx512_bf16)
		return (Peak){peak_bf16, 64, 40000};
	if (precision == PRECISION_FP32 && cpu->avx512)
		return (Peak){peak_fp32, 32, 40000};
	return (Peak){NULL, 0, 0};
}
#else
static inline Peak
peak_of(const Kernels *kernels, Precision precision)
{
	(void) kernels;
	(void) precision;
	return (Peak){NULL, 0, 0};
}
#endif

/* Operations a second over so many seconds: what the core gives at the moment. 0: not known */
static inline double
peak_now(const Peak *peak, double seconds)
{
	double start = now();
	double operations = 0;

	if (peak->loop == NULL)
		return 0;
	do
	{
		peak->loop(peak->n);
		operations += peak->operations * 12 * (double) peak->n;
	} while (now() - start < seconds);
	return operations / (now() - start);
}

static inline int
peak_compare(const void *a, const void *b)
{
	double x = *(const double *) a;
	double y = *(const double *) b;

	return (x > y) - (x < y);
}

static inline double
median(double *x, size_t n)
{
	qsort(x, n, sizeof *x, peak_compare);
	return x[n / 2];
}

#define MOST_TRIES 4000

/*
 * What is measured, try by try. A core's clock and its share of what it has in common with others
 * change with what these do, so the peak's loop runs before and after each try; the median of the
 * pairs is the share of the peak.
 */
typedef struct Tries
{
	Peak peak;
	double operations;
	double before; /* operations a second */
	double rate[MOST_TRIES];
	double share[MOST_TRIES];
	size_t n;
} Tries;

static inline void
tries_begin(Tries *tries, const Kernels *kernels, Precision precision, double operations)
{
	tries->peak = peak_of(kernels, precision);
	tries->operations = operations;
	tries->n = 0;
	tries->before = peak_now(&tries->peak, 1e-3);
}

/* seconds: what the operations took */
static inline void
tries_add(Tries *tries, double seconds)
{
	double after = peak_now(&tries->peak, fmin(0.02, fmax(5e-4, seconds / 4)));

	if (tries->n == MOST_TRIES)
		return;
	tries->rate[tries->n] = tries->operations / seconds;
	if (after > 0)
		tries->share[tries->n] = 2 * tries->rate[tries->n] / (tries->before + after);
	tries->before = after;
	tries->n++;
}

static inline void
tries_report(Tries *tries)
{
	printf(" %9.1f GFLOP/s", median(tries->rate, tries->n) / 1e9);
	printf(", best %7.1f", tries->rate[tries->n - 1] / 1e9);
	if (tries->peak.loop != NULL)
		printf("  %5.1f %% of the peak", 100 * median(tries->share, tries->n));
	printf("\n");
}

#endif
