/* train_avx2.c: the training kernels for AVX2 with FMA. */
#if defined(__x86_64__)

#include "kernels/train_kernels.h"

#include <immintrin.h>

#define TARGET __attribute__((target("avx2,fma")))
#define INLINE static inline __attribute__((always_inline)) TARGET
#define WIDTH 8
#define TABLE train_kernels_avx2
#define TABLE_NAME "avx2"
#define SGEMM sgemm_avx2

typedef __m256 vf;
typedef __m256i vu;

INLINE __m256i
tail_mask(size_t k)
{
	return _mm256_cmpgt_epi32(_mm256_set1_epi32((int) (k < WIDTH ? k : WIDTH)),
							  _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}

INLINE vf
v_load(const float *p, size_t k)
{
	return k >= WIDTH ? _mm256_loadu_ps(p) : _mm256_maskload_ps(p, tail_mask(k));
}

INLINE void
v_store(float *p, vf x, size_t k)
{
	if (k >= WIDTH)
		_mm256_storeu_ps(p, x);
	else
		_mm256_maskstore_ps(p, tail_mask(k), x);
}

INLINE vf
v_set(float a)
{
	return _mm256_set1_ps(a);
}

INLINE vf
v_add(vf a, vf b)
{
	return _mm256_add_ps(a, b);
}

INLINE vf
v_sub(vf a, vf b)
{
	return _mm256_sub_ps(a, b);
}

INLINE vf
v_mul(vf a, vf b)
{
	return _mm256_mul_ps(a, b);
}

INLINE vf
v_div(vf a, vf b)
{
	return _mm256_div_ps(a, b);
}

INLINE vf
v_fma(vf a, vf b, vf c)
{
	return _mm256_fmadd_ps(a, b, c);
}

INLINE vf
v_max(vf a, vf b)
{
	return _mm256_max_ps(a, b);
}

INLINE vf
v_min(vf a, vf b)
{
	return _mm256_min_ps(a, b);
}

INLINE vf
v_abs(vf a)
{
	return _mm256_andnot_ps(_mm256_set1_ps(-0.0f), a);
}

INLINE vf
v_sqrt(vf a)
{
	return _mm256_sqrt_ps(a);
}

/* a > 0 ? x : y */
INLINE vf
v_if_positive(vf a, vf x, vf y)
{
	return _mm256_blendv_ps(y, x, _mm256_cmp_ps(a, _mm256_setzero_ps(), _CMP_GT_OQ));
}

/* the first k lanes of x, y in the others */
INLINE vf
v_first(vf x, size_t k, vf y)
{
	return k >= WIDTH ? x : _mm256_blendv_ps(y, x, _mm256_castsi256_ps(tail_mask(k)));
}

INLINE vf
v_round(vf a)
{
	return _mm256_round_ps(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}

/* a * 2^n for integral n in -126 .. 127 */
INLINE vf
v_times_power(vf a, vf n)
{
	return _mm256_mul_ps(a,
						 _mm256_castsi256_ps(_mm256_slli_epi32(
							 _mm256_add_epi32(_mm256_cvtps_epi32(n), _mm256_set1_epi32(127)), 23)));
}

INLINE float
v_sum(vf a)
{
	__m128 x = _mm_add_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));

	x = _mm_add_ps(x, _mm_movehl_ps(x, x));
	return _mm_cvtss_f32(_mm_add_ss(x, _mm_movehdup_ps(x)));
}

INLINE float
v_largest(vf a)
{
	__m128 x = _mm_max_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));

	x = _mm_max_ps(x, _mm_movehl_ps(x, x));
	return _mm_cvtss_f32(_mm_max_ss(x, _mm_movehdup_ps(x)));
}

/* sum of squares or products in double */
INLINE double
v_dot_double(vf a, vf b)
{
	__m256d low = _mm256_mul_pd(_mm256_cvtps_pd(_mm256_castps256_ps128(a)),
								_mm256_cvtps_pd(_mm256_castps256_ps128(b)));
	__m256d high = _mm256_mul_pd(_mm256_cvtps_pd(_mm256_extractf128_ps(a, 1)),
								 _mm256_cvtps_pd(_mm256_extractf128_ps(b, 1)));
	__m256d sum = _mm256_add_pd(low, high);
	__m128d x = _mm_add_pd(_mm256_castpd256_pd128(sum), _mm256_extractf128_pd(sum, 1));

	return _mm_cvtsd_f64(_mm_add_sd(x, _mm_unpackhi_pd(x, x)));
}

/* the elements of a whose bit is set, 0 elsewhere; bits: 1 byte */
INLINE vf
v_keep(vf a, const uint8_t *bits)
{
	__m256i bit = _mm256_setr_epi32(1, 2, 4, 8, 16, 32, 64, 128);

	return _mm256_and_ps(a, _mm256_castsi256_ps(_mm256_cmpeq_epi32(
								_mm256_and_si256(_mm256_set1_epi32(bits[0]), bit), bit)));
}

INLINE vu
u_set(uint32_t a)
{
	return _mm256_set1_epi32((int) a);
}

/* first, first + 1, ... */
INLINE vu
u_count(uint32_t first)
{
	return _mm256_add_epi32(_mm256_set1_epi32((int) first),
							_mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}

INLINE vu
u_xor3(vu a, vu b, vu c)
{
	return _mm256_xor_si256(a, _mm256_xor_si256(b, c));
}

INLINE vu
u_mul_low(vu a, vu b)
{
	return _mm256_mullo_epi32(a, b);
}

INLINE vu
u_mul_high(vu a, vu b)
{
	vu even = _mm256_srli_epi64(_mm256_mul_epu32(a, b), 32);
	vu odd = _mm256_mul_epu32(_mm256_srli_epi64(a, 32), _mm256_srli_epi64(b, 32));

	return _mm256_blend_epi32(even, odd, 0xAA);
}

/* bits | (bit where half of word is at least threshold); half: 0 low, 1 high 16 bits */
INLINE vu
u_compare(vu bits, vu word, int half, vu threshold, uint32_t bit)
{
	vu value =
		half ? _mm256_srli_epi32(word, 16) : _mm256_and_si256(word, _mm256_set1_epi32(0xFFFF));

	return _mm256_or_si256(bits, _mm256_andnot_si256(_mm256_cmpgt_epi32(threshold, value),
													 _mm256_set1_epi32((int) bit)));
}

INLINE void
u_store_bytes(uint8_t *p, vu bits, size_t k)
{
	uint32_t lanes[WIDTH];

	_mm256_storeu_si256((__m256i *) lanes, bits);
	for (size_t i = 0; i < WIDTH && i < k; i++)
		p[i] = (uint8_t) lanes[i];
}

#include "kernels/train_body.h"

#endif
