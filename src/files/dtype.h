/*
 * dtype.h: the number formats of tensors in files, and how they become floats. Names are those of
 * safetensors.
 */
#ifndef BERT_FILES_DTYPE_H
#define BERT_FILES_DTYPE_H

#include <stddef.h>
#include <stdint.h>

typedef enum TensorDtype
{
	DTYPE_F32,
	DTYPE_F16,
	DTYPE_BF16,
	DTYPE_I8,
	DTYPE_F64,
	/* known to the format, not readable as numbers of a model (I64 position_ids ...) */
	DTYPE_OTHER
} TensorDtype;

typedef struct DtypeInfo
{
	const char *name; /* "F32" */
	size_t bytes;     /* of an element */
	TensorDtype dtype;
} DtypeInfo;

/* By name; NULL when there is no such dtype. */
const DtypeInfo *dtype_find(const char *name);

/* Of one that is not DTYPE_OTHER. */
const DtypeInfo *dtype_info(TensorDtype dtype);

/*
 * count little-endian elements, not DTYPE_OTHER, as floats: I8 as integers, F64 rounded to the
 * nearest float, ties to even, an infinity beyond the largest.
 */
void dtype_widen(TensorDtype dtype, const unsigned char *bytes, size_t count, float *out);

#endif
