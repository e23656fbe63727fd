/*
 * vector_avx512.h: the primitives of the vector_ headers in AVX-512 F, BW, DQ and VL. The including
 * file defines TARGET_NAME and, where the CPU has them, HAVE_BF16 and HAVE_VNNI; without VNNI, the
 * same results come from longer sequences, without BF16 weights are widened.
 *
 * A vf is VW floats, a vi VW int32, a vu VW uint32, a vg VW groups of 4 bytes. v_load_n and
 * v_store_n take 1 to VW - 1 elements. v_min and v_max return their second argument when one is
 * NaN.
 */
#include <immintrin.h>
#include <math.h>
#include <stdbool.h>
#include <string.h>

#include "core/checked.h"
#include "kernels/portable.h"

#define TARGET __attribute__((target(TARGET_NAME)))
#define INLINE static inline __attribute__((always_inline, target(TARGET_NAME)))

#define VW 16
#define NV 4
#define HAVE_STRASSEN
#define GROUPS_PER_PART 96 /* of a panel: 24 KB, that stay in L1 while the block's rows pass */
#define QUANTIZED_OFFSET 0 /* quantized values are stored as they are */

typedef __m512 vf;
typedef __m512i vi;
typedef __m512i vg;
typedef __m512i vu;

INLINE vf
v_set(float x)
{
	return _mm512_set1_ps(x);
}
INLINE vf
v_load(const float *p)
{
	return _mm512_loadu_ps(p);
}
INLINE vf
v_broadcast(const float *p)
{
	return _mm512_set1_ps(*p);
}
INLINE vf
v_load_n(const float *p, size_t n)
{
	return _mm512_maskz_loadu_ps((__mmask16) ((1u << n) - 1), p);
}
INLINE void
v_store(float *p, vf x)
{
	_mm512_storeu_ps(p, x);
}
INLINE void
v_store_n(float *p, vf x, size_t n)
{
	_mm512_mask_storeu_ps(p, (__mmask16) ((1u << n) - 1), x);
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
v_min(vf a, vf b)
{
	return _mm512_min_ps(a, b);
}
INLINE vf
v_max(vf a, vf b)
{
	return _mm512_max_ps(a, b);
}
INLINE vf
v_abs(vf a)
{
	return _mm512_abs_ps(a);
}
INLINE vf
v_fma(vf a, vf b, vf c)
{
	return _mm512_fmadd_ps(a, b, c);
}
INLINE vf
v_fnma(vf a, vf b, vf c)
{
	return _mm512_fnmadd_ps(a, b, c);
} /* c - a b */
INLINE vf
v_round(vf a)
{
	return _mm512_roundscale_ps(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}
INLINE vf
v_times_power(vf a, vf n)
{
	return _mm512_scalef_ps(a, n);
} /* a 2^n */
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
INLINE vf
v_from_int(vi a)
{
	return _mm512_cvtepi32_ps(a);
}
INLINE vi
i_zero(void)
{
	return _mm512_setzero_si512();
}
INLINE vi
i_load(const uint32_t *p)
{
	return _mm512_loadu_si512(p);
}
INLINE vi
i_add(vi a, vi b)
{
	return _mm512_add_epi32(a, b);
}
INLINE void
i_store(uint32_t *p, vi a)
{
	_mm512_storeu_si512(p, a);
}
INLINE vg
g_load(const uint8_t *p)
{
	return _mm512_loadu_si512(p);
}
INLINE void
g_store(uint8_t *p, vg a)
{
	_mm512_storeu_si512(p, a);
}

INLINE vg
g_broadcast(const uint8_t *p)
{
	int32_t group;

	memcpy(&group, p, sizeof group);
	return _mm512_set1_epi32(group);
}

#ifdef HAVE_BF16
INLINE vf
dot_bf16(vf sum, vg a, vg b)
{
	return _mm512_dpbf16_ps(sum, (__m512bh) a, (__m512bh) b);
}
#else
#define WIDENED_BF16 1

/* the first and the second bf16 of each pair */
INLINE vf
g_first_bf16(vg pairs)
{
	return _mm512_castsi512_ps(_mm512_slli_epi32(pairs, 16));
}

INLINE vf
g_second_bf16(vg pairs)
{
	return _mm512_castsi512_ps(_mm512_and_si512(pairs, _mm512_set1_epi32((int) 0xFFFF0000)));
}

INLINE vf
dot_bf16(vf sum, vg a, vg b)
{
	sum = _mm512_fmadd_ps(g_first_bf16(a), g_first_bf16(b), sum);
	return _mm512_fmadd_ps(g_second_bf16(a), g_second_bf16(b), sum);
}
#endif

/* a: unsigned, b: signed bytes; exact */
INLINE vi
dot_int8(vi sum, vg a, vg b)
{
#ifdef HAVE_VNNI
	return _mm512_dpbusd_epi32(sum, a, b);
#else
	vg even = _mm512_madd_epi16(_mm512_and_si512(a, _mm512_set1_epi32(0x00FF00FF)),
								_mm512_srai_epi16(_mm512_slli_epi16(b, 8), 8));
	vg odd = _mm512_madd_epi16(_mm512_srli_epi16(a, 8), _mm512_srai_epi16(b, 8));

	return _mm512_add_epi32(sum, _mm512_add_epi32(even, odd));
#endif
}

#if WIDENED_BF16
/* to the nearest value of bf16, the even one of two */
INLINE vf
v_round_bf16(vf x)
{
	vi bits = _mm512_castps_si512(x);
	vi odd = _mm512_and_si512(_mm512_srli_epi32(bits, 16), _mm512_set1_epi32(1));
	vi rounded = _mm512_add_epi32(_mm512_add_epi32(bits, _mm512_set1_epi32(0x7FFF)), odd);
	__mmask16 nan = _mm512_cmp_ps_mask(x, x, _CMP_UNORD_Q);

	rounded = _mm512_mask_or_epi32(rounded, nan, bits, _mm512_set1_epi32(0x400000));
	return _mm512_castsi512_ps(_mm512_and_si512(rounded, _mm512_set1_epi32((int) 0xFFFF0000)));
}
#endif

INLINE void
v_store_bf16(uint16_t *p, vf x)
{
#if WIDENED_BF16
	vi bits = _mm512_castps_si512(v_round_bf16(x));

	_mm256_storeu_si256((__m256i *) p, _mm512_cvtepi32_epi16(_mm512_srli_epi32(bits, 16)));
#else
	_mm256_storeu_si256((__m256i *) p, (__m256i) _mm512_cvtneps_pbh(x));
#endif
}

/* q (VW): the lowest bytes of x * inverse + offset; see QUANTIZE_MAGIC */
INLINE void
v_quantize(uint8_t *q, vf x, vf inverse, vf offset)
{
	_mm_storeu_si128((__m128i *) q, _mm512_cvtepi32_epi8(
										_mm512_castps_si512(_mm512_fmadd_ps(x, inverse, offset))));
}

/* out[2i] = row[i], out[2i + 1] = next[i], for VW bf16 each */
INLINE void
g_pairs(const uint16_t *row, const uint16_t *next, uint32_t *out)
{
	vi low = _mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i *) row));
	vi high = _mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i *) next));

	_mm512_storeu_si512(out, _mm512_or_si512(low, _mm512_slli_epi32(high, 16)));
}

/* out[j * ldo + i] = the j-th group of row i, for VW rows ld bytes apart */
INLINE void
g_transpose(const uint8_t *rows, size_t ld, uint32_t *out, size_t ldo)
{
	__m512i r[16];
	__m512i t[16];

	/* quarters of four rows, 4 apart, in one register; then 4x4 transposes inside the quarters */
#pragma GCC unroll 4
	for (int i = 0; i < 4; i++)
#pragma GCC unroll 4
		for (int j = 0; j < 4; j++)
		{
			__m512i x = _mm512_castsi128_si512(
				_mm_loadu_si128((const __m128i *) (rows + (size_t) i * ld + 16 * (size_t) j)));

			x = _mm512_inserti32x4(
				x,
				_mm_loadu_si128((const __m128i *) (rows + (size_t) (i + 4) * ld + 16 * (size_t) j)),
				1);
			x = _mm512_inserti32x4(
				x,
				_mm_loadu_si128((const __m128i *) (rows + (size_t) (i + 8) * ld + 16 * (size_t) j)),
				2);
			r[j * 4 + i] = _mm512_inserti32x4(
				x,
				_mm_loadu_si128(
					(const __m128i *) (rows + (size_t) (i + 12) * ld + 16 * (size_t) j)),
				3);
		}
#pragma GCC unroll 4
	for (int j = 0; j < 16; j += 4)
	{
		t[j] = _mm512_unpacklo_epi32(r[j], r[j + 1]);
		t[j + 1] = _mm512_unpackhi_epi32(r[j], r[j + 1]);
		t[j + 2] = _mm512_unpacklo_epi32(r[j + 2], r[j + 3]);
		t[j + 3] = _mm512_unpackhi_epi32(r[j + 2], r[j + 3]);
		_mm512_storeu_si512(out + (size_t) j * ldo, _mm512_unpacklo_epi64(t[j], t[j + 2]));
		_mm512_storeu_si512(out + (size_t) (j + 1) * ldo, _mm512_unpackhi_epi64(t[j], t[j + 2]));
		_mm512_storeu_si512(out + (size_t) (j + 2) * ldo,
							_mm512_unpacklo_epi64(t[j + 1], t[j + 3]));
		_mm512_storeu_si512(out + (size_t) (j + 3) * ldo,
							_mm512_unpackhi_epi64(t[j + 1], t[j + 3]));
	}
}

#if defined(HAVE_VNNI) && !defined(HAVE_BF16)
#define BYTE_ATTENTION_FROM 96 /* tokens; where attention in bf16 is no faster than in fp32 */

INLINE vf
v_load_bf16(const uint16_t *p)
{
	return _mm512_castsi512_ps(
		_mm512_slli_epi32(_mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i *) p)), 16));
}

/* out[j] = the j-th bytes of four rows ld bytes apart, for VW of them */
INLINE void
g_quads(const uint8_t *rows, size_t ld, uint32_t *out)
{
	__m128i a = _mm_loadu_si128((const __m128i *) rows);
	__m128i b = _mm_loadu_si128((const __m128i *) (rows + ld));
	__m128i c = _mm_loadu_si128((const __m128i *) (rows + 2 * ld));
	__m128i d = _mm_loadu_si128((const __m128i *) (rows + 3 * ld));
	__m128i ab = _mm_unpacklo_epi8(a, b);
	__m128i cd = _mm_unpacklo_epi8(c, d);

	_mm_storeu_si128((__m128i *) out, _mm_unpacklo_epi16(ab, cd));
	_mm_storeu_si128((__m128i *) (out + 4), _mm_unpackhi_epi16(ab, cd));
	ab = _mm_unpackhi_epi8(a, b);
	cd = _mm_unpackhi_epi8(c, d);
	_mm_storeu_si128((__m128i *) (out + 8), _mm_unpacklo_epi16(ab, cd));
	_mm_storeu_si128((__m128i *) (out + 12), _mm_unpackhi_epi16(ab, cd));
}

/* 2^-(i / EXP2_BYTES_UNIT), 255 * 256 times */
#define EXP2_BYTES_UNIT 32
static const uint16_t exp2_bytes_table[EXP2_BYTES_UNIT] = {
	65280, 63881, 62512, 61173, 59862, 58579, 57324, 56096, 54894, 53717, 52566,
	51440, 50338, 49259, 48204, 47171, 46160, 45171, 44203, 43256, 42329, 41422,
	40534, 39666, 38816, 37984, 37170, 36374, 35594, 34831, 34085, 33355,
};

/* 2 VW words of 255 * 256 * 2^((x - highest) / EXP2_BYTES_UNIT), as packing leaves them */
INLINE vg
v_exp2_words(const float *x, vf highest)
{
	/* what is too large for an int becomes INT_MIN, here 2^15: zero */
	vg steps = _mm512_packs_epi32(_mm512_cvtps_epi32(_mm512_sub_ps(highest, v_load(x))),
								  _mm512_cvtps_epi32(_mm512_sub_ps(highest, v_load(x + VW))));

	return _mm512_srlv_epi16(_mm512_permutexvar_epi16(steps, _mm512_loadu_si512(exp2_bytes_table)),
							 _mm512_srli_epi16(steps, 5));
}

/*
 * Bytes of 255 * 2^((x - highest) / EXP2_BYTES_UNIT) + dither / 256, cut, for 4 VW x. NaN gives 0.
 */
INLINE vg
v_exp2_bytes(const float *x, vf highest, const uint16_t *dither)
{
	/* packing goes quarter by quarter */
	const __m512i in_order =
		_mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
	vg low = _mm512_add_epi16(v_exp2_words(x, highest), _mm512_loadu_si512(dither));
	vg high =
		_mm512_add_epi16(v_exp2_words(x + 2 * VW, highest), _mm512_loadu_si512(dither + 2 * VW));

	return _mm512_permutexvar_epi32(
		in_order, _mm512_packus_epi16(_mm512_srli_epi16(low, 8), _mm512_srli_epi16(high, 8)));
}
#endif

/* from here to HAVE_EXP2: training only */

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

/* the first n lanes of x, y in the others; x where n is VW or more */
INLINE vf
v_first(vf x, size_t n, vf y)
{
	return _mm512_mask_blend_ps((__mmask16) (n >= VW ? 0xFFFF : (1u << n) - 1), y, x);
}

/* lane i of a where bit i is set, 0 elsewhere */
INLINE vf
v_keep(vf a, uint32_t bits)
{
	return _mm512_maskz_mov_ps((__mmask16) bits, a);
}

/* the sum of products, in double */
INLINE double
v_dot_double(vf a, vf b)
{
	__m512d low = _mm512_mul_pd(_mm512_cvtps_pd(_mm512_castps512_ps256(a)),
								_mm512_cvtps_pd(_mm512_castps512_ps256(b)));
	__m512d high = _mm512_mul_pd(_mm512_cvtps_pd(_mm512_extractf32x8_ps(a, 1)),
								 _mm512_cvtps_pd(_mm512_extractf32x8_ps(b, 1)));

	return _mm512_reduce_add_pd(_mm512_add_pd(low, high));
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

/* the lower and the upper 32 bits of the products */
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

/* p (n, at most VW): the lowest byte of each lane */
INLINE void
u_store_bytes(uint8_t *p, vu bits, size_t n)
{
	_mm_mask_storeu_epi8(p, (__mmask16) (n >= VW ? 0xFFFF : (1u << n) - 1),
						 _mm512_cvtepi32_epi8(bits));
}

#define HAVE_EXP2

/*
 * 2^x for x <= 0, relative error 1.5e-7. The fraction above the floor and the scaling by the power
 * below are one instruction each, which do the right thing for infinities and numbers far below as
 * well.
 */
INLINE vf
v_exp2_negative(vf x)
{
	vf f = _mm512_reduce_ps(x, _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC);
	vf p = _mm512_set1_ps(0.00187758426f);

	p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(0.00898932386f));
	p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(0.0558263287f));
	p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(0.240153611f));
	p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(0.693153083f));
	p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(0.99999994f));
	return _mm512_scalef_ps(p, x);
}

/* The same, relative error 8e-5, for results that are rounded to bf16. */
INLINE vf
v_exp2_negative_coarse(vf x)
{
	vf f = _mm512_reduce_ps(x, _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC);
	vf p = _mm512_set1_ps(0.0780245215f);

	p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(0.226067171f));
	p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(0.695833504f));
	p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(0.999925196f));
	return _mm512_scalef_ps(p, x);
}

#define HAVE_EXP2_BF16

/*
 * 2^x as bf16, 32 at a time, from y = EXP2_BF16_ONE + EXP2_BF16_UNIT * x: rounded to an integer
 * that is already the bf16 number whose mantissa is linear in x; what the mantissa is too large by
 * comes from a table. Below 2^-126 zero. Relative error 6.5e-3, of which the rounding to bf16
 * is 3.9e-3.
 */
#define EXP2_BF16_UNIT 128.0f
#define EXP2_BF16_ONE (127 * 128.0f)

static const uint8_t exp2_bf16_table[64] = {
	0,  1,  1,  2,  2,  3,  4,  4,  5,  5,  5,  6,  6,  7,  7,  8,  8,  8,  9,  9,  9,  9,
	10, 10, 10, 10, 10, 11, 11, 11, 11, 11, 11, 11, 11, 11, 11, 11, 11, 11, 11, 10, 10, 10,
	10, 10, 9,  9,  9,  8,  8,  8,  7,  7,  6,  6,  5,  5,  4,  3,  3,  2,  1,  1,
};

/* out (32): bf16 of 2^a and 2^b; returns total plus their sums in pairs */
INLINE vf
v_exp2_bf16(uint16_t *out, vf a, vf b, vf total)
{
	/* packing goes quarter by quarter */
	const __m512i in_order = _mm512_set_epi64(7, 5, 3, 1, 6, 4, 2, 0);
	__m512i p = _mm512_permutexvar_epi64(
		in_order, _mm512_packus_epi32(_mm512_cvtps_epi32(a), _mm512_cvtps_epi32(b)));
	__m512i excess = _mm512_permutex2var_epi16(
		_mm512_cvtepu8_epi16(_mm256_loadu_si256((const __m256i *) exp2_bf16_table)),
		_mm512_srli_epi16(p, 1),
		_mm512_cvtepu8_epi16(_mm256_loadu_si256((const __m256i *) (exp2_bf16_table + 32))));

	p = _mm512_sub_epi16(p, excess);
	_mm512_storeu_si512(out, p);
	return dot_bf16(total, p, _mm512_set1_epi32(0x3F803F80));
}

#ifdef HAVE_AMX
/*
 * The same, as packing leaves them: four of 2^a and four of 2^b in turn. Processors with tiles have
 * AVX-512 VBMI, too.
 */
INLINE vf
v_exp2_pairs(uint16_t *out, vf a, vf b, vf total)
{
	__m512i p = _mm512_packus_epi32(_mm512_cvtps_epi32(a), _mm512_cvtps_epi32(b));
	__m512i excess = _mm512_maskz_permutexvar_epi8(0x5555555555555555, _mm512_srli_epi16(p, 1),
												   _mm512_loadu_si512(exp2_bf16_table));

	p = _mm512_sub_epi16(p, excess);
	_mm512_storeu_si512(out, p);
	return dot_bf16(total, p, _mm512_set1_epi32(0x3F803F80));
}
#endif

#define HAVE_ROW_REDUCTIONS

/*
 * out (12): the reduction by `combine` of each of 12 vectors: transposed by halves, so that four
 * rows share an instruction
 */
#define REDUCE_ROWS(combine, x, out)                                                               \
	do                                                                                             \
	{                                                                                              \
		vf pairs[6];                                                                               \
		vf fours[4];                                                                               \
		for (int i = 0; i < 6; i++)                                                                \
			pairs[i] = combine(_mm512_unpacklo_ps((x)[2 * i], (x)[2 * i + 1]),                     \
							   _mm512_unpackhi_ps((x)[2 * i], (x)[2 * i + 1]));                    \
		for (int i = 0; i < 3; i++)                                                                \
			fours[i] =                                                                             \
				combine(_mm512_castpd_ps(_mm512_unpacklo_pd(_mm512_castps_pd(pairs[2 * i]),        \
															_mm512_castps_pd(pairs[2 * i + 1]))),  \
						_mm512_castpd_ps(_mm512_unpackhi_pd(_mm512_castps_pd(pairs[2 * i]),        \
															_mm512_castps_pd(pairs[2 * i + 1])))); \
		fours[3] = fours[2];                                                                       \
		for (int i = 0; i < 2; i++)                                                                \
			pairs[i] = combine(_mm512_shuffle_f32x4(fours[2 * i], fours[2 * i + 1], 0x88),         \
							   _mm512_shuffle_f32x4(fours[2 * i], fours[2 * i + 1], 0xDD));        \
		_mm512_mask_storeu_ps(out, 0x0FFF,                                                         \
							  combine(_mm512_shuffle_f32x4(pairs[0], pairs[1], 0x88),              \
									  _mm512_shuffle_f32x4(pairs[0], pairs[1], 0xDD)));            \
	} while (0)

INLINE void
rows_largest(const vf *x, float *out)
{
	REDUCE_ROWS(v_max, x, out);
}

INLINE void
rows_sum(const vf *x, float *out)
{
	REDUCE_ROWS(v_add, x, out);
}

#define HAVE_GELU

/*
 * GELU(x) - max(x, 0) is an even function: cubic polynomials for 32 intervals of |x| up to 5.6,
 * each a least-maximum fit (greatest error 4.9e-7), their coefficients picked from registers;
 * nothing is left of it further out.
 */
static const float gelu_table[4][32] = {
	{4.7802456e-07f,   -0.0753440559f,   -0.127108976f,    -0.157390431f,    -0.16937454f,
	 -0.166938707f,    -0.154202223f,    -0.135102585f,    -0.113059588f,    -0.0907646865f,
	 -0.0701037124f,   -0.0521958843f,   -0.0375153571f,   -0.0260555241f,   -0.0174998846f,
	 -0.0113726566f,   -0.00715433666f,  -0.00435817521f,  -0.00257148361f,  -0.00146993715f,
	 -0.000814186234f, -0.000437037466f, -0.000227369688f, -0.000114658367f, -5.60494882e-05f,
	 -2.65618401e-05f, -1.2203619e-05f,  -5.43604165e-06f, -2.34777985e-06f, -9.83165364e-07f,
	 -3.99211132e-07f, -1.57179542e-07f},
	{-0.0875153393f,  -0.0633259043f,  -0.0405809171f,  -0.0205344539f,  -0.00409298064f,
	 0.00827449653f,  0.0165472794f,   0.0210936926f,   0.0225593187f,   0.0217329636f,
	 0.0194180943f,   0.0163314454f,   0.0130401347f,   0.00993818045f,  0.0072552613f,
	 0.00508636562f,  0.00343052018f,  0.00222895062f,  0.00139663112f,  0.000844614056f,
	 0.00049330201f,  0.000278403255f, 0.000151890446f, 8.01378046e-05f, 4.09002787e-05f,
	 2.01979874e-05f, 9.65334675e-06f, 4.46598779e-06f, 2.00031377e-06f, 8.67524363e-07f,
	 3.64353383e-07f, 1.48207334e-07f},
	{0.0122945607f,    0.0119154705f,    0.0108378828f,    0.00920488127f,   0.00722329877f,
	 0.0051243715f,    0.00312612462f,   0.00139919948f,   4.90743769e-05f,  -0.00088776194f,
	 -0.00143431209f,  -0.00165516802f,  -0.00163580291f,  -0.00146392337f,  -0.00121598877f,
	 -0.000949886977f, -0.000703369267f, -0.000496227585f, -0.000334727782f, -0.000216428423f,
	 -0.000134389891f, -8.02557115e-05f, -4.61460731e-05f, -2.55703944e-05f, -1.36648623e-05f,
	 -7.04699187e-06f, -3.50877349e-06f, -1.68751671e-06f, -7.84229144e-07f, -3.52272508e-07f,
	 -1.52994559e-07f, -6.42599431e-08f},
	{-0.000123687991f, -0.000354371703f, -0.000538281514f, -0.000654395903f, -0.000694347895f,
	 -0.000662293809f, -0.000573716708f, -0.000449893123f, -0.000313520577f, -0.00018427617f,
	 -7.60158728e-05f, 4.19645494e-06f,  5.54564213e-05f,  8.13518272e-05f,  8.79369982e-05f,
	 8.18331828e-05f,  6.90094093e-05f,  5.39718749e-05f,  3.96483556e-05f,  2.7570748e-05f,
	 1.82413696e-05f,  1.15239418e-05f,  6.96961297e-06f,  4.04326602e-06f,  2.2533734e-06f,
	 1.20791356e-06f,  6.23397568e-07f,  3.10006101e-07f,  1.48642371e-07f,  6.87588013e-08f,
	 3.06999119e-08f,  1.32357938e-08f},
};

INLINE vf
gelu_coefficient(int degree, vi interval)
{
	return _mm512_permutex2var_ps(_mm512_loadu_ps(gelu_table[degree]), interval,
								  _mm512_loadu_ps(gelu_table[degree] + 16));
}

INLINE vf
v_gelu(vf x)
{
	vf t = _mm512_min_ps(_mm512_mul_ps(_mm512_abs_ps(x), _mm512_set1_ps(32.0f / 5.6f)),
						 _mm512_set1_ps(31.999998f));
	vi interval = _mm512_cvttps_epi32(t);
	vf u = _mm512_sub_ps(t, _mm512_cvtepi32_ps(interval));
	vf p = gelu_coefficient(3, interval);

	p = _mm512_fmadd_ps(p, u, gelu_coefficient(2, interval));
	p = _mm512_fmadd_ps(p, u, gelu_coefficient(1, interval));
	p = _mm512_fmadd_ps(p, u, gelu_coefficient(0, interval));
	return _mm512_add_ps(p, _mm512_max_ps(_mm512_setzero_ps(), x));
}

#define HAVE_GELU_COARSE

/*
 * The same to 1.2e-4, a fiftieth of a step of 8 bits, for products of 8-bit numbers: parabolas for
 * 16 intervals of |x|, around the multiples of 1 / 3.2. Adding 2^23 rounds to the number of the
 * interval and leaves it in the lowest bits.
 */
static const float gelu_coarse_table[3][16] = {
	{-2.49847812e-06f, -0.00152078061f, -0.0238588154f, -0.0967558548f, -0.219222412f, -0.3468045f,
	 -0.42220214f, -0.416380942f, -0.342992425f, -0.240673721f, -0.145792037f, -0.0769733712f,
	 -0.0356699824f, -0.0145860761f, -0.00528502837f, -0.00170237652f},
	{-0.49976325f, -0.484869868f, -0.392479002f, -0.206561312f, 0.0184821989f, 0.201792151f,
	 0.291167051f, 0.286391139f, 0.224064261f, 0.14693737f, 0.0828073695f, 0.0406759195f,
	 0.0175726153f, 0.00671775267f, 0.00228249538f, 0.000691546127f},
	{0.396014363f, 0.35977909f, 0.263475478f, 0.144548818f, 0.0409935229f, -0.0249124486f,
	 -0.0514084138f, -0.0504682288f, -0.0372307971f, -0.0226923414f, -0.0118536809f,
	 -0.00540424744f, -0.00217306032f, -0.000775774301f, -0.000246983138f, -7.03471451e-05f},
};

INLINE vf
v_gelu_coarse(vf x)
{
	vf a = _mm512_min_ps(_mm512_set1_ps(4.8437f), _mm512_abs_ps(x)); /* NaN stays */
	vi interval =
		_mm512_castps_si512(_mm512_fmadd_ps(a, _mm512_set1_ps(3.2f), _mm512_set1_ps(8388608.0f)));
	vf p = _mm512_permutexvar_ps(interval, _mm512_loadu_ps(gelu_coarse_table[2]));

	p = _mm512_fmadd_ps(p, a,
						_mm512_permutexvar_ps(interval, _mm512_loadu_ps(gelu_coarse_table[1])));
	p = _mm512_fmadd_ps(p, a,
						_mm512_permutexvar_ps(interval, _mm512_loadu_ps(gelu_coarse_table[0])));
	return _mm512_add_ps(p, _mm512_max_ps(_mm512_setzero_ps(), x));
}
