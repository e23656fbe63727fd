/* bf16.h: bf16, the upper half of a float, from and to float. */
#ifndef BERT_CORE_BF16_H
#define BERT_CORE_BF16_H

#include <stdint.h>

static inline float
bf16_to_float(uint16_t value)
{
	union
	{
		uint32_t bits;
		float number;
	} u = {(uint32_t) value << 16};

	return u.number;
}

/* Round to nearest even; NaN stays NaN. */
static inline uint16_t
float_to_bf16(float value)
{
	union
	{
		float number;
		uint32_t bits;
	} u = {value};

	if ((u.bits & 0x7FFFFFFFu) > 0x7F800000u)
		return (uint16_t) (u.bits >> 16 | 0x40);
	return (uint16_t) ((u.bits + 0x7FFFu + (u.bits >> 16 & 1)) >> 16);
}

#endif
