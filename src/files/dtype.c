/* dtype.c: the table of number formats, and their elements as floats. */
#include "files/dtype.h"

#include <string.h>

#include "core/bf16.h"

/* those that are read first, in the order of TensorDtype */
static const DtypeInfo dtypes[] = {
	{"F32", 4, DTYPE_F32},    {"F16", 2, DTYPE_F16},       {"BF16", 2, DTYPE_BF16},
	{"I8", 1, DTYPE_I8},      {"F64", 8, DTYPE_F64},       {"I64", 8, DTYPE_OTHER},
	{"I32", 4, DTYPE_OTHER},  {"I16", 2, DTYPE_OTHER},     {"U8", 1, DTYPE_OTHER},
	{"U16", 2, DTYPE_OTHER},  {"U32", 4, DTYPE_OTHER},     {"U64", 8, DTYPE_OTHER},
	{"BOOL", 1, DTYPE_OTHER}, {"F8_E4M3", 1, DTYPE_OTHER}, {"F8_E5M2", 1, DTYPE_OTHER},
};

const DtypeInfo *
dtype_find(const char *name)
{
	for (size_t i = 0; i < sizeof dtypes / sizeof dtypes[0]; i++)
		if (strcmp(name, dtypes[i].name) == 0)
			return &dtypes[i];
	return NULL;
}

const DtypeInfo *
dtype_info(TensorDtype dtype)
{
	return &dtypes[dtype];
}

static float
half_to_float(uint16_t half)
{
	uint32_t sign = (uint32_t) (half & 0x8000) << 16;
	uint32_t exponent = half >> 10 & 0x1F;
	uint32_t mantissa = half & 0x3FF;
	union
	{
		uint32_t bits;
		float number;
	} u;

	if (exponent == 0)
	{
		float tiny = (float) mantissa * 0x1p-24f;

		return sign ? -tiny : tiny;
	}
	u.bits = sign | (exponent == 31 ? 0x7F800000u : (exponent + 112) << 23) | mantissa << 13;
	return u.number;
}

static uint16_t
load_le16(const unsigned char *bytes)
{
	return (uint16_t) (bytes[0] | bytes[1] << 8);
}

void
dtype_widen(TensorDtype dtype, const unsigned char *bytes, size_t count, float *out)
{
	for (size_t i = 0; i < count; i++)
		if (dtype == DTYPE_F32)
			memcpy(&out[i], bytes + 4 * i, 4);
		else if (dtype == DTYPE_F16)
			out[i] = half_to_float(load_le16(bytes + 2 * i));
		else if (dtype == DTYPE_BF16)
			out[i] = bf16_to_float(load_le16(bytes + 2 * i));
		else if (dtype == DTYPE_F64)
		{
			double value;

			memcpy(&value, bytes + 8 * i, 8);
			out[i] = (float) value;
		}
		else
			out[i] = (float) (int8_t) bytes[i];
}
