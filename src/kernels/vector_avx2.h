/*
 * vector_avx2.h: the primitives of the vector_ headers in AVX2 and FMA; see vector_avx512.h. The
 * including file defines TARGET_NAME and, where the CPU has AVX-VNNI, HAVE_VNNI. bf16 is widened to
 * fp32, two products a group.
 */
#include <immintrin.h>
#include <math.h>
#include <stdbool.h>
#include <string.h>

#include "core/checked.h"
#include "kernels/portable.h"

#define TARGET __attribute__((target(TARGET_NAME)))
#define INLINE static inline __attribute__((always_inline, target(TARGET_NAME)))

#define VW 8
#define NV 2
#define QUANTIZED_OFFSET 0
#define WIDENED_BF16 1

typedef __m256 vf;
typedef __m256i vi;
typedef __m256i vg;
typedef __m256i vu;

INLINE __m256i
first_lanes(size_t n)
{
	static const int32_t lanes[16] = {-1, -1, -1, -1, -1, -1, -1, -1, 0, 0, 0, 0, 0, 0, 0, 0};

	return _mm256_loadu_si256((const __m256i *) (lanes + 8 - n));
}

INLINE vf
v_set(float x)
{
	return _mm256_set1_ps(x);
}
INLINE vf
v_load(const float *p)
{
	return _mm256_loadu_ps(p);
}
INLINE vf
v_broadcast(const float *p)
{
	return _mm256_broadcast_ss(p);
}
INLINE vf
v_load_n(const float *p, size_t n)
{
	return _mm256_maskload_ps(p, first_lanes(n));
}
INLINE void
v_store(float *p, vf x)
{
	_mm256_storeu_ps(p, x);
}
INLINE void
v_store_n(float *p, vf x, size_t n)
{
	_mm256_maskstore_ps(p, first_lanes(n), x);
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
v_min(vf a, vf b)
{
	return _mm256_min_ps(a, b);
}
INLINE vf
v_max(vf a, vf b)
{
	return _mm256_max_ps(a, b);
}
INLINE vf
v_abs(vf a)
{
	return _mm256_andnot_ps(_mm256_set1_ps(-0.0f), a);
}
INLINE vf
v_fma(vf a, vf b, vf c)
{
	return _mm256_fmadd_ps(a, b, c);
}
INLINE vf
v_fnma(vf a, vf b, vf c)
{
	return _mm256_fnmadd_ps(a, b, c);
}
INLINE vf
v_round(vf a)
{
	return _mm256_round_ps(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}

/* a 2^n for -150 <= n <= 128, a about 1; zero where the result would be denormal */
INLINE vf
v_times_power(vf a, vf n)
{
	vf half = _mm256_floor_ps(_mm256_mul_ps(n, _mm256_set1_ps(0.5f)));
	vf rest = _mm256_sub_ps(n, half);
	__m256i bias = _mm256_set1_epi32(127);
	vf power = _mm256_castsi256_ps(
		_mm256_slli_epi32(_mm256_add_epi32(_mm256_cvtps_epi32(half), bias), 23));
	vf last = _mm256_castsi256_ps(
		_mm256_slli_epi32(_mm256_add_epi32(_mm256_cvtps_epi32(rest), bias), 23));
	vf tiny = _mm256_cmp_ps(n, _mm256_set1_ps(-126.0f), _CMP_LT_OQ);

	return _mm256_andnot_ps(tiny, _mm256_mul_ps(_mm256_mul_ps(a, power), last));
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

INLINE vf
v_from_int(vi a)
{
	return _mm256_cvtepi32_ps(a);
}
INLINE vi
i_zero(void)
{
	return _mm256_setzero_si256();
}
INLINE vi
i_load(const uint32_t *p)
{
	return _mm256_loadu_si256((const __m256i *) p);
}
INLINE vi
i_add(vi a, vi b)
{
	return _mm256_add_epi32(a, b);
}
INLINE void
i_store(uint32_t *p, vi a)
{
	_mm256_storeu_si256((__m256i *) p, a);
}
INLINE vg
g_load(const uint8_t *p)
{
	return _mm256_loadu_si256((const __m256i *) p);
}
INLINE void
g_store(uint8_t *p, vg a)
{
	_mm256_storeu_si256((__m256i *) p, a);
}

INLINE vg
g_broadcast(const uint8_t *p)
{
	int32_t group;

	memcpy(&group, p, sizeof group);
	return _mm256_set1_epi32(group);
}

INLINE vf
g_first_bf16(vg pairs)
{
	return _mm256_castsi256_ps(_mm256_slli_epi32(pairs, 16));
}

INLINE vf
g_second_bf16(vg pairs)
{
	return _mm256_castsi256_ps(_mm256_and_si256(pairs, _mm256_set1_epi32((int) 0xFFFF0000)));
}

INLINE vf
dot_bf16(vf sum, vg a, vg b)
{
	sum = _mm256_fmadd_ps(g_first_bf16(a), g_first_bf16(b), sum);
	return _mm256_fmadd_ps(g_second_bf16(a), g_second_bf16(b), sum);
}

#ifdef HAVE_VNNI
/* a: unsigned, b: signed bytes; exact */
INLINE vi
dot_int8(vi sum, vg a, vg b)
{
	return _mm256_dpbusd_avx_epi32(sum, a, b);
}
#else
#define WIDE_INT8 "kernels/avx2_int8.h"
#endif

/* the low halves of the lanes, of which the high halves are zero */
INLINE __m128i
low_halves(vi x)
{
	return _mm_packus_epi32(_mm256_castsi256_si128(x), _mm256_extracti128_si256(x, 1));
}

/* to the nearest value of bf16, the even one of two */
INLINE vf
v_round_bf16(vf x)
{
	vi bits = _mm256_castps_si256(x);
	vi odd = _mm256_and_si256(_mm256_srli_epi32(bits, 16), _mm256_set1_epi32(1));
	vi rounded = _mm256_add_epi32(_mm256_add_epi32(bits, _mm256_set1_epi32(0x7FFF)), odd);
	vi nan = _mm256_castps_si256(_mm256_cmp_ps(x, x, _CMP_UNORD_Q));

	rounded = _mm256_blendv_epi8(rounded, _mm256_or_si256(bits, _mm256_set1_epi32(0x400000)), nan);
	return g_second_bf16(rounded);
}

INLINE void
v_store_bf16(uint16_t *p, vf x)
{
	vi bits = _mm256_castps_si256(v_round_bf16(x));

	_mm_storeu_si128((__m128i *) p, low_halves(_mm256_srli_epi32(bits, 16)));
}

INLINE void
v_quantize(uint8_t *q, vf x, vf inverse, vf offset)
{
	vi bits = _mm256_castps_si256(_mm256_fmadd_ps(x, inverse, offset));
	__m128i words = low_halves(_mm256_and_si256(bits, _mm256_set1_epi32(255)));

	_mm_storel_epi64((__m128i *) q, _mm_packus_epi16(words, words));
}

INLINE void
g_pairs(const uint16_t *row, const uint16_t *next, uint32_t *out)
{
	vi low = _mm256_cvtepu16_epi32(_mm_loadu_si128((const __m128i *) row));
	vi high = _mm256_cvtepu16_epi32(_mm_loadu_si128((const __m128i *) next));

	_mm256_storeu_si256((__m256i *) out, _mm256_or_si256(low, _mm256_slli_epi32(high, 16)));
}

INLINE void
g_transpose(const uint8_t *rows, size_t ld, uint32_t *out, size_t ldo)
{
	/* halves of two rows, 4 apart, in one register; then 4x4 transposes inside the halves */
#pragma GCC unroll 2
	for (size_t j = 0; j < 2; j++)
	{
		__m256i r[4];
		__m256i t[4];

#pragma GCC unroll 4
		for (size_t i = 0; i < 4; i++)
			r[i] = _mm256_inserti128_si256(
				_mm256_castsi128_si256(_mm_loadu_si128((const __m128i *) (rows + i * ld + 16 * j))),
				_mm_loadu_si128((const __m128i *) (rows + (i + 4) * ld + 16 * j)), 1);
		t[0] = _mm256_unpacklo_epi32(r[0], r[1]);
		t[1] = _mm256_unpackhi_epi32(r[0], r[1]);
		t[2] = _mm256_unpacklo_epi32(r[2], r[3]);
		t[3] = _mm256_unpackhi_epi32(r[2], r[3]);
		_mm256_storeu_si256((__m256i *) (out + 4 * j * ldo), _mm256_unpacklo_epi64(t[0], t[2]));
		_mm256_storeu_si256((__m256i *) (out + (4 * j + 1) * ldo),
							_mm256_unpackhi_epi64(t[0], t[2]));
		_mm256_storeu_si256((__m256i *) (out + (4 * j + 2) * ldo),
							_mm256_unpacklo_epi64(t[1], t[3]));
		_mm256_storeu_si256((__m256i *) (out + (4 * j + 3) * ldo),
							_mm256_unpackhi_epi64(t[1], t[3]));
	}
}

#ifdef HAVE_VNNI
#define BYTE_ATTENTION_FROM 64

INLINE vf
v_load_bf16(const uint16_t *p)
{
	return _mm256_castsi256_ps(
		_mm256_slli_epi32(_mm256_cvtepu16_epi32(_mm_loadu_si128((const __m128i *) p)), 16));
}

INLINE void
g_quads(const uint8_t *rows, size_t ld, uint32_t *out)
{
	__m128i ab = _mm_unpacklo_epi8(_mm_loadl_epi64((const __m128i *) rows),
								   _mm_loadl_epi64((const __m128i *) (rows + ld)));
	__m128i cd = _mm_unpacklo_epi8(_mm_loadl_epi64((const __m128i *) (rows + 2 * ld)),
								   _mm_loadl_epi64((const __m128i *) (rows + 3 * ld)));

	_mm_storeu_si128((__m128i *) out, _mm_unpacklo_epi16(ab, cd));
	_mm_storeu_si128((__m128i *) (out + 4), _mm_unpackhi_epi16(ab, cd));
}

#define EXP2_BYTES_UNIT 8
static const int32_t exp2_bytes_table[EXP2_BYTES_UNIT] = {65280, 59862, 54894, 50338,
														  46160, 42329, 38816, 35594};

/* VW words of 255 * 256 * 2^((x - highest) / EXP2_BYTES_UNIT), in lanes of 32 bits */
INLINE vi
v_exp2_words(const float *x, vf highest)
{
	/* what is too large for an int becomes INT_MIN, here 2^31: zero */
	vi steps = _mm256_cvtps_epi32(_mm256_sub_ps(highest, v_load(x)));

	return _mm256_srlv_epi32(
		_mm256_permutevar8x32_epi32(i_load((const uint32_t *) exp2_bytes_table), steps),
		_mm256_srli_epi32(steps, 3));
}

INLINE vg
v_exp2_bytes(const float *x, vf highest, const uint16_t *dither)
{
	/* packing goes half by half */
	const __m256i in_order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
	vi low = _mm256_packus_epi32(v_exp2_words(x, highest), v_exp2_words(x + VW, highest));
	vi high =
		_mm256_packus_epi32(v_exp2_words(x + 2 * VW, highest), v_exp2_words(x + 3 * VW, highest));

	low = _mm256_add_epi16(low, g_load((const uint8_t *) dither));
	high = _mm256_add_epi16(high, g_load((const uint8_t *) (dither + 2 * VW)));
	return _mm256_permutevar8x32_epi32(
		_mm256_packus_epi16(_mm256_srli_epi16(low, 8), _mm256_srli_epi16(high, 8)), in_order);
}
#endif

INLINE vf
v_sqrt(vf a)
{
	return _mm256_sqrt_ps(a);
}

INLINE vf
v_if_positive(vf a, vf x, vf y)
{
	return _mm256_blendv_ps(y, x, _mm256_cmp_ps(a, _mm256_setzero_ps(), _CMP_GT_OQ));
}

INLINE vf
v_first(vf x, size_t n, vf y)
{
	return n >= VW ? x : _mm256_blendv_ps(y, x, _mm256_castsi256_ps(first_lanes(n)));
}

INLINE vf
v_keep(vf a, uint32_t bits)
{
	__m256i bit = _mm256_setr_epi32(1, 2, 4, 8, 16, 32, 64, 128);

	return _mm256_and_ps(a, _mm256_castsi256_ps(_mm256_cmpeq_epi32(
								_mm256_and_si256(_mm256_set1_epi32((int) bits), bit), bit)));
}

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

INLINE vu
u_set(uint32_t a)
{
	return _mm256_set1_epi32((int) a);
}

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

INLINE vu
u_compare(vu bits, vu word, int half, vu threshold, uint32_t bit)
{
	vu value =
		half ? _mm256_srli_epi32(word, 16) : _mm256_and_si256(word, _mm256_set1_epi32(0xFFFF));

	return _mm256_or_si256(bits, _mm256_andnot_si256(_mm256_cmpgt_epi32(threshold, value),
													 _mm256_set1_epi32((int) bit)));
}

INLINE void
u_store_bytes(uint8_t *p, vu bits, size_t n)
{
	uint32_t lanes[VW];

	_mm256_storeu_si256((__m256i *) lanes, bits);
	for (size_t i = 0; i < VW && i < n; i++)
		p[i] = (uint8_t) lanes[i];
}

#define HAVE_GELU

/*
 * GELU(x) - max(x, 0) is an even function: polynomials for 8 intervals of |x| up to 5.6, each a
 * least-maximum fit (greatest error 4.4e-7), their coefficients picked from registers; nothing is
 * left of it further out.
 */
static const float gelu_table[6][8] = {
	{-3.52473137e-07f, -0.169374198f, -0.1130592f, -0.0375153944f, -0.00715439068f, -0.00081419287f,
	 -5.60489716e-05f, -2.34764138e-06f},
	{-0.34997353f, -0.0163952354f, 0.0901939198f, 0.0521587543f, 0.0137276938f, 0.00197459455f,
	 0.000163712335f, 8.00283942e-06f},
	{0.195158511f, 0.115803607f, 0.00158567273f, -0.0260626469f, -0.0113506196f, -0.002184154f,
	 -0.000222951567f, -1.28098445e-05f},
	{0.00145362725f, -0.0450303182f, -0.0250034593f, 0.00255633704f, 0.00498337857f, 0.00140959548f,
	 0.000179919298f, 1.20763052e-05f},
	{-0.0189674962f, -0.000422303885f, 0.0100358296f, 0.00252707582f, -0.00109837181f,
	 -0.000538949564f, -8.55620674e-05f, -6.55360373e-06f},
	{0.00295431027f, 0.00235948502f, -0.00126792444f, -0.00081860245f, 7.80818518e-05f,
	 9.70630936e-05f, 1.85861627e-05f, 1.57228362e-06f},
};

INLINE vf
gelu_coefficient(int degree, vi interval)
{
	return _mm256_permutevar8x32_ps(_mm256_loadu_ps(gelu_table[degree]), interval);
}

INLINE vf
v_gelu(vf x)
{
	vf t = _mm256_min_ps(_mm256_mul_ps(v_abs(x), _mm256_set1_ps(8.0f / 5.6f)),
						 _mm256_set1_ps(7.9999995f));
	vi interval = _mm256_cvttps_epi32(t);
	vf u = _mm256_sub_ps(t, _mm256_cvtepi32_ps(interval));
	vf p = gelu_coefficient(5, interval);

	p = _mm256_fmadd_ps(p, u, gelu_coefficient(4, interval));
	p = _mm256_fmadd_ps(p, u, gelu_coefficient(3, interval));
	p = _mm256_fmadd_ps(p, u, gelu_coefficient(2, interval));
	p = _mm256_fmadd_ps(p, u, gelu_coefficient(1, interval));
	p = _mm256_fmadd_ps(p, u, gelu_coefficient(0, interval));
	return _mm256_add_ps(p, _mm256_max_ps(_mm256_setzero_ps(), x)); /* NaN stays */
}

#define HAVE_GELU_COARSE

/* The same to 1.2e-4, for products of 8-bit numbers: one polynomial for |x| up to 4.6. */
INLINE vf
v_gelu_coarse(vf x)
{
	vf a = _mm256_min_ps(v_abs(x), _mm256_set1_ps(4.6f));
	vf p = _mm256_set1_ps(-1.23464915e-05f);

	p = _mm256_fmadd_ps(p, a, _mm256_set1_ps(0.000147930507f));
	p = _mm256_fmadd_ps(p, a, _mm256_set1_ps(0.000169707113f));
	p = _mm256_fmadd_ps(p, a, _mm256_set1_ps(-0.0110060405f));
	p = _mm256_fmadd_ps(p, a, _mm256_set1_ps(0.0685674027f));
	p = _mm256_fmadd_ps(p, a, _mm256_set1_ps(-0.169632807f));
	p = _mm256_fmadd_ps(p, a, _mm256_set1_ps(0.0802893415f));
	p = _mm256_fmadd_ps(p, a, _mm256_set1_ps(0.368695349f));
	p = _mm256_fmadd_ps(p, a, _mm256_set1_ps(-0.495678663f));
	p = _mm256_fmadd_ps(p, a, _mm256_set1_ps(-0.000101174628f));
	return _mm256_add_ps(p, _mm256_max_ps(_mm256_setzero_ps(), x)); /* NaN stays */
}
