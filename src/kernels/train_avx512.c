/* train_avx512.c: the training kernels for AVX-512 (F, BW, DQ, VL). */
#if defined(__x86_64__)

#include "kernels/train_kernels.h"

#include <immintrin.h>

#define TARGET __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx2,fma")))
#define INLINE static inline __attribute__((always_inline)) TARGET
#define WIDTH 16
#define TABLE train_kernels_avx512
#define TABLE_NAME "avx512"
#define SGEMM sgemm_avx512

typedef __m512 vf;
typedef __m512i vu;

INLINE __mmask16
tail_mask(size_t k)
{
	return (__mmask16) (k >= WIDTH ? 0xFFFF : (1u << k) - 1);
}

INLINE vf
v_load(const float *p, size_t k)
{
	return _mm512_maskz_loadu_ps(tail_mask(k), p);
}

INLINE void
v_store(float *p, vf x, size_t k)
{
	_mm512_mask_storeu_ps(p, tail_mask(k), x);
}

INLINE vf
v_set(float a)
{
	return _mm512_set1_ps(a);
}

INLINE vf
v_add(vf a, vf b)
{
	return _mm512_add_ps(a, b);
}

INLINE vf
v_sub(vf a, vf b)
{
	return _mm512_sub_ps(a, b);
}

INLINE vf
v_mul(vf a, vf b)
{
	return _mm512_mul_ps(a, b);
}

INLINE vf
v_div(vf a, vf b)
{
	return _mm512_div_ps(a, b);
}

INLINE vf
v_fma(vf a, vf b, vf c)
{
	return _mm512_fmadd_ps(a, b, c);
}

INLINE vf
v_max(vf a, vf b)
{
	return _mm512_max_ps(a, b);
}

INLINE vf
v_min(vf a, vf b)
{
	return _mm512_min_ps(a, b);
}

INLINE vf
v_abs(vf a)
{
	return _mm512_abs_ps(a);
}

INLINE vf
v_sqrt(vf a)
{
	return _mm512_sqrt_ps(a);
}

/* a > 0 ? x : y */
INLINE vf
v_if_positive(vf a, vf x, vf y)
{
	return _mm512_mask_blend_ps(_mm512_cmp_ps_mask(a, _mm512_setzero_ps(), _CMP_GT_OQ), y, x);
}

/* the first k lanes of x, y in the others */
INLINE vf
v_first(vf x, size_t k, vf y)
{
	return _mm512_mask_blend_ps(tail_mask(k), y, x);
}

INLINE vf
v_round(vf a)
{
	return _mm512_roundscale_ps(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}

/* a * 2^n for integral n in -126 .. 127 */
INLINE vf
v_times_power(vf a, vf n)
{
	return _mm512_scalef_ps(a, n);
}

INLINE float
v_sum(vf a)
{
	return _mm512_reduce_add_ps(a);
}

INLINE float
v_largest(vf a)
{
	return _mm512_reduce_max_ps(a);
}

/* sum of squares or products in double */
INLINE double
v_dot_double(vf a, vf b)
{
	__m512d low = _mm512_mul_pd(_mm512_cvtps_pd(_mm512_castps512_ps256(a)),
								_mm512_cvtps_pd(_mm512_castps512_ps256(b)));
	__m512d high = _mm512_mul_pd(_mm512_cvtps_pd(_mm512_extractf32x8_ps(a, 1)),
								 _mm512_cvtps_pd(_mm512_extractf32x8_ps(b, 1)));

	return _mm512_reduce_add_pd(_mm512_add_pd(low, high));
}

/* the elements of a whose bit is set, 0 elsewhere; bits: 2 bytes */
INLINE vf
v_keep(vf a, const uint8_t *bits)
{
	return _mm512_maskz_mov_ps((__mmask16) (bits[0] | bits[1] << 8), a);
}

INLINE vu
u_set(uint32_t a)
{
	return _mm512_set1_epi32((int) a);
}

/* first, first + 1, ... */
INLINE vu
u_count(uint32_t first)
{
	return _mm512_add_epi32(
		_mm512_set1_epi32((int) first),
		_mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15));
}

INLINE vu
u_xor3(vu a, vu b, vu c)
{
	return _mm512_ternarylogic_epi32(a, b, c, 0x96);
}

INLINE vu
u_mul_low(vu a, vu b)
{
	return _mm512_mullo_epi32(a, b);
}

INLINE vu
u_mul_high(vu a, vu b)
{
	vu even = _mm512_srli_epi64(_mm512_mul_epu32(a, b), 32);
	vu odd = _mm512_mul_epu32(_mm512_srli_epi64(a, 32), _mm512_srli_epi64(b, 32));

	return _mm512_mask_blend_epi32(0xAAAA, even, odd);
}

/* bits | (bit where half of word is at least threshold); half: 0 low, 1 high 16 bits */
INLINE vu
u_compare(vu bits, vu word, int half, vu threshold, uint32_t bit)
{
	vu value =
		half ? _mm512_srli_epi32(word, 16) : _mm512_and_si512(word, _mm512_set1_epi32(0xFFFF));

	return _mm512_mask_or_epi32(bits, _mm512_cmpge_epu32_mask(value, threshold), bits,
								_mm512_set1_epi32((int) bit));
}

INLINE void
u_store_bytes(uint8_t *p, vu bits, size_t k)
{
	_mm_mask_storeu_epi8(p, tail_mask(k), _mm512_cvtepi32_epi8(bits));
}

#include "kernels/train_body.h"

#endif
