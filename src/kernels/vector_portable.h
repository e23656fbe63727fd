/*
 * vector_portable.h: the primitives of vector_math.h and train_body.h in plain C, a "vector" of one
 * element; see vector_avx512.h.
 */
#include <math.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "kernels/portable.h"

#define TARGET
#define INLINE static inline

#define VW 1

typedef float vf;
typedef uint32_t vu;

INLINE vf
v_set(float x)
{
	return x;
}
INLINE vf
v_load(const float *p)
{
	return *p;
}
INLINE void
v_store(float *p, vf x)
{
	*p = x;
}

/* Nothing is ever left of a vector of one. */
INLINE vf
v_load_n(const float *p, size_t n)
{
	(void) n;
	return *p;
}
INLINE void
v_store_n(float *p, vf x, size_t n)
{
	(void) n;
	*p = x;
}

INLINE void
v_store_bf16(uint16_t *p, vf x)
{
	*p = float_to_bf16(x);
}

INLINE vf
v_add(vf a, vf b)
{
	return a + b;
}
INLINE vf
v_sub(vf a, vf b)
{
	return a - b;
}
INLINE vf
v_mul(vf a, vf b)
{
	return a * b;
}
INLINE vf
v_div(vf a, vf b)
{
	return a / b;
}
INLINE vf
v_min(vf a, vf b)
{
	return a < b ? a : b;
}
INLINE vf
v_max(vf a, vf b)
{
	return a > b ? a : b;
}
INLINE vf
v_abs(vf a)
{
	return fabsf(a);
}
INLINE vf
v_sqrt(vf a)
{
	return sqrtf(a);
}
INLINE vf
v_fma(vf a, vf b, vf c)
{
	return a * b + c;
}
INLINE vf
v_fnma(vf a, vf b, vf c)
{
	return c - a * b;
}

#define ROUND_MAGIC 12582912.0f /* 1.5 * 2^23: its lowest bits count ones */

/* for |a| < 2^22 */
INLINE vf
v_round(vf a)
{
	return a + ROUND_MAGIC - ROUND_MAGIC;
}

/* a 2^n for integral n, -150 <= n <= 128, a about 1; zero where the result would be denormal */
INLINE vf
v_times_power(vf a, vf n)
{
	float magic = n + ROUND_MAGIC;
	int32_t whole;
	uint32_t bits[2];
	float powers[2];

	memcpy(&whole, &magic, sizeof whole);
	whole -= 0x4B400000;
	bits[0] = (uint32_t) ((whole >> 1) + 127) << 23;
	bits[1] = (uint32_t) (whole - (whole >> 1) + 127) << 23;
	memcpy(powers, bits, sizeof powers);
	return n < -126 ? 0 : a * powers[0] * powers[1];
}

INLINE float
v_sum(vf a)
{
	return a;
}
INLINE float
v_largest(vf a)
{
	return a;
}

INLINE vf
v_if_positive(vf a, vf x, vf y)
{
	return a > 0 ? x : y;
}

INLINE vf
v_first(vf x, size_t n, vf y)
{
	(void) n;
	(void) y;
	return x;
}

INLINE vf
v_keep(vf a, uint32_t bits)
{
	return bits & 1 ? a : 0.0f;
}

INLINE double
v_dot_double(vf a, vf b)
{
	return (double) a * b;
}

INLINE vu
u_set(uint32_t a)
{
	return a;
}
INLINE vu
u_count(uint32_t first)
{
	return first;
}
INLINE vu
u_xor3(vu a, vu b, vu c)
{
	return a ^ b ^ c;
}
INLINE vu
u_mul_low(vu a, vu b)
{
	return a * b;
}
INLINE vu
u_mul_high(vu a, vu b)
{
	return (uint32_t) ((uint64_t) a * b >> 32);
}

INLINE vu
u_compare(vu bits, vu word, int half, vu threshold, uint32_t bit)
{
	uint32_t value = half ? word >> 16 : word & 0xFFFF;

	return value >= threshold ? bits | bit : bits;
}

INLINE void
u_store_bytes(uint8_t *p, vu bits, size_t n)
{
	(void) n;
	*p = (uint8_t) bits;
}
