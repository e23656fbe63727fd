/*
 * vector_neon.h: the primitives of the vector_ headers in NEON (AArch64); see vector_avx512.h. The
 * including file defines TARGET_NAME and, where the CPU has them, HAVE_DOTPROD and HAVE_BF16.
 *
 * Byte dot products take signed bytes on both sides: quantized values are stored less 128, and so
 * is their zero-point.
 */
#include <arm_neon.h>
#include <math.h>
#include <stdbool.h>
#include <string.h>

#include "core/checked.h"
#include "kernels/portable.h"

#ifdef TARGET_NAME
#define TARGET __attribute__((target(TARGET_NAME)))
#define INLINE static inline __attribute__((always_inline, target(TARGET_NAME)))
#else
#define TARGET
#define INLINE static inline __attribute__((always_inline))
#endif

#define VW 4
#define NV 4
#define QUANTIZED_OFFSET 128

typedef float32x4_t vf;
typedef int32x4_t vi;
typedef uint8x16_t vg;
typedef uint32x4_t vu;

INLINE vf
v_set(float x)
{
	return vdupq_n_f32(x);
}
INLINE vf
v_load(const float *p)
{
	return vld1q_f32(p);
}
INLINE vf
v_broadcast(const float *p)
{
	return vld1q_dup_f32(p);
}

INLINE vf
v_load_n(const float *p, size_t n)
{
	float lanes[4] = {0, 0, 0, 0};

	memcpy(lanes, p, n * sizeof(float));
	return vld1q_f32(lanes);
}

INLINE void
v_store(float *p, vf x)
{
	vst1q_f32(p, x);
}

INLINE void
v_store_n(float *p, vf x, size_t n)
{
	float lanes[4];

	vst1q_f32(lanes, x);
	memcpy(p, lanes, n * sizeof(float));
}

INLINE vf
v_add(vf a, vf b)
{
	return vaddq_f32(a, b);
}
INLINE vf
v_sub(vf a, vf b)
{
	return vsubq_f32(a, b);
}
INLINE vf
v_mul(vf a, vf b)
{
	return vmulq_f32(a, b);
}
INLINE vf
v_div(vf a, vf b)
{
	return vdivq_f32(a, b);
}
INLINE vf
v_min(vf a, vf b)
{
	return vbslq_f32(vcltq_f32(a, b), a, b);
}
INLINE vf
v_max(vf a, vf b)
{
	return vbslq_f32(vcgtq_f32(a, b), a, b);
}
INLINE vf
v_abs(vf a)
{
	return vabsq_f32(a);
}
INLINE vf
v_fma(vf a, vf b, vf c)
{
	return vfmaq_f32(c, a, b);
}
INLINE vf
v_fnma(vf a, vf b, vf c)
{
	return vfmsq_f32(c, a, b);
}
INLINE vf
v_round(vf a)
{
	return vrndnq_f32(a);
}

/* a 2^n for -150 <= n <= 128, a about 1; zero where the result would be denormal */
INLINE vf
v_times_power(vf a, vf n)
{
	int32x4_t whole = vcvtnq_s32_f32(n);
	int32x4_t half = vshrq_n_s32(whole, 1);
	int32x4_t bias = vdupq_n_s32(127);
	vf power = vreinterpretq_f32_s32(vshlq_n_s32(vaddq_s32(half, bias), 23));
	vf last = vreinterpretq_f32_s32(vshlq_n_s32(vaddq_s32(vsubq_s32(whole, half), bias), 23));
	uint32x4_t tiny = vcltq_s32(whole, vdupq_n_s32(-126));
	vf result = vmulq_f32(vmulq_f32(a, power), last);

	return vreinterpretq_f32_u32(vbicq_u32(vreinterpretq_u32_f32(result), tiny));
}

INLINE float
v_sum(vf a)
{
	return vaddvq_f32(a);
}
INLINE float
v_largest(vf a)
{
	return vmaxnmvq_f32(a);
}
INLINE vf
v_from_int(vi a)
{
	return vcvtq_f32_s32(a);
}
INLINE vi
i_zero(void)
{
	return vdupq_n_s32(0);
}
INLINE vi
i_load(const uint32_t *p)
{
	return vreinterpretq_s32_u32(vld1q_u32(p));
}
INLINE vi
i_add(vi a, vi b)
{
	return vaddq_s32(a, b);
}
INLINE void
i_store(uint32_t *p, vi a)
{
	vst1q_u32(p, vreinterpretq_u32_s32(a));
}
INLINE vg
g_load(const uint8_t *p)
{
	return vld1q_u8(p);
}

INLINE vg
g_broadcast(const uint8_t *p)
{
	uint32_t group;

	memcpy(&group, p, sizeof group);
	return vreinterpretq_u8_u32(vdupq_n_u32(group));
}

INLINE vf
dot_bf16(vf sum, vg a, vg b)
{
#ifdef HAVE_BF16
	return vbfdotq_f32(sum, vreinterpretq_bf16_u8(a), vreinterpretq_bf16_u8(b));
#else
	uint32x4_t x = vreinterpretq_u32_u8(a);
	uint32x4_t y = vreinterpretq_u32_u8(b);
	uint32x4_t high = vdupq_n_u32(0xFFFF0000);

	sum = vfmaq_f32(sum, vreinterpretq_f32_u32(vshlq_n_u32(x, 16)),
					vreinterpretq_f32_u32(vshlq_n_u32(y, 16)));
	return vfmaq_f32(sum, vreinterpretq_f32_u32(vandq_u32(x, high)),
					 vreinterpretq_f32_u32(vandq_u32(y, high)));
#endif
}

/* a, b: signed bytes; exact */
INLINE vi
dot_int8(vi sum, vg a, vg b)
{
	int8x16_t x = vreinterpretq_s8_u8(a);
	int8x16_t y = vreinterpretq_s8_u8(b);
#ifdef HAVE_DOTPROD
	return vdotq_s32(sum, x, y);
#else
	int16x8_t low = vmull_s8(vget_low_s8(x), vget_low_s8(y));
	int16x8_t high = vmull_high_s8(x, y);

	return vaddq_s32(sum, vpaddq_s32(vpaddlq_s16(low), vpaddlq_s16(high)));
#endif
}

INLINE void
v_store_bf16(uint16_t *p, vf x)
{
	uint32x4_t bits = vreinterpretq_u32_f32(x);
	uint32x4_t odd = vandq_u32(vshrq_n_u32(bits, 16), vdupq_n_u32(1));
	uint32x4_t rounded = vaddq_u32(vaddq_u32(bits, vdupq_n_u32(0x7FFF)), odd);

	rounded = vbslq_u32(vceqq_f32(x, x), rounded, vorrq_u32(bits, vdupq_n_u32(0x400000)));
	vst1_u16(p, vshrn_n_u32(rounded, 16));
}

INLINE void
v_quantize(uint8_t *q, vf x, vf inverse, vf offset)
{
	uint16x4_t words = vmovn_u32(vreinterpretq_u32_f32(vfmaq_f32(offset, x, inverse)));
	uint8x8_t bytes = veor_u8(vmovn_u16(vcombine_u16(words, words)), vdup_n_u8(0x80));
	uint32_t four = vget_lane_u32(vreinterpret_u32_u8(bytes), 0);

	memcpy(q, &four, sizeof four);
}

INLINE void
g_pairs(const uint16_t *row, const uint16_t *next, uint32_t *out)
{
	uint32x4_t low = vmovl_u16(vld1_u16(row));

	vst1q_u32(out, vorrq_u32(low, vshll_n_u16(vld1_u16(next), 16)));
}

INLINE void
g_transpose(const uint8_t *rows, size_t ld, uint32_t *out, size_t ldo)
{
	uint32x4_t r0 = vreinterpretq_u32_u8(vld1q_u8(rows));
	uint32x4_t r1 = vreinterpretq_u32_u8(vld1q_u8(rows + ld));
	uint32x4_t r2 = vreinterpretq_u32_u8(vld1q_u8(rows + 2 * ld));
	uint32x4_t r3 = vreinterpretq_u32_u8(vld1q_u8(rows + 3 * ld));
	uint64x2_t a = vreinterpretq_u64_u32(vtrn1q_u32(r0, r1));
	uint64x2_t b = vreinterpretq_u64_u32(vtrn2q_u32(r0, r1));
	uint64x2_t c = vreinterpretq_u64_u32(vtrn1q_u32(r2, r3));
	uint64x2_t d = vreinterpretq_u64_u32(vtrn2q_u32(r2, r3));

	vst1q_u32(out, vreinterpretq_u32_u64(vtrn1q_u64(a, c)));
	vst1q_u32(out + ldo, vreinterpretq_u32_u64(vtrn1q_u64(b, d)));
	vst1q_u32(out + 2 * ldo, vreinterpretq_u32_u64(vtrn2q_u64(a, c)));
	vst1q_u32(out + 3 * ldo, vreinterpretq_u32_u64(vtrn2q_u64(b, d)));
}

INLINE vf
v_sqrt(vf a)
{
	return vsqrtq_f32(a);
}

INLINE vf
v_if_positive(vf a, vf x, vf y)
{
	return vbslq_f32(vcgtzq_f32(a), x, y);
}

INLINE vu
u_lanes(void)
{
	static const uint32_t lanes[VW] = {0, 1, 2, 3};

	return vld1q_u32(lanes);
}

INLINE vf
v_first(vf x, size_t n, vf y)
{
	return n >= VW ? x : vbslq_f32(vcltq_u32(u_lanes(), vdupq_n_u32((uint32_t) n)), x, y);
}

INLINE vf
v_keep(vf a, uint32_t bits)
{
	vu kept =
		vtstq_u32(vdupq_n_u32(bits), vshlq_u32(vdupq_n_u32(1), vreinterpretq_s32_u32(u_lanes())));

	return vreinterpretq_f32_u32(vandq_u32(vreinterpretq_u32_f32(a), kept));
}

INLINE double
v_dot_double(vf a, vf b)
{
	float64x2_t low = vmulq_f64(vcvt_f64_f32(vget_low_f32(a)), vcvt_f64_f32(vget_low_f32(b)));

	return vaddvq_f64(vfmaq_f64(low, vcvt_high_f64_f32(a), vcvt_high_f64_f32(b)));
}

INLINE vu
u_set(uint32_t a)
{
	return vdupq_n_u32(a);
}

INLINE vu
u_count(uint32_t first)
{
	return vaddq_u32(vdupq_n_u32(first), u_lanes());
}

INLINE vu
u_xor3(vu a, vu b, vu c)
{
	return veorq_u32(a, veorq_u32(b, c));
}

INLINE vu
u_mul_low(vu a, vu b)
{
	return vmulq_u32(a, b);
}

INLINE vu
u_mul_high(vu a, vu b)
{
	uint64x2_t low = vmull_u32(vget_low_u32(a), vget_low_u32(b));
	uint64x2_t high = vmull_high_u32(a, b);

	return vuzp2q_u32(vreinterpretq_u32_u64(low), vreinterpretq_u32_u64(high));
}

INLINE vu
u_compare(vu bits, vu word, int half, vu threshold, uint32_t bit)
{
	vu value = half ? vshrq_n_u32(word, 16) : vandq_u32(word, vdupq_n_u32(0xFFFF));

	return vorrq_u32(bits, vandq_u32(vcgeq_u32(value, threshold), vdupq_n_u32(bit)));
}

INLINE void
u_store_bytes(uint8_t *p, vu bits, size_t n)
{
	uint32_t lanes[VW];

	vst1q_u32(lanes, bits);
	for (size_t i = 0; i < VW && i < n; i++)
		p[i] = (uint8_t) lanes[i];
}
