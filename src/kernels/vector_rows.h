/*
 * vector_rows.h: what a GEMM reads, in the precision's form: fp32 rows where they lie, rows rounded
 * to bf16, rows quantized to 8 bits. Included by vector_table.h.
 *
 * Rows that are made here lie row_bytes apart, an odd number of cache lines, so that no two of a
 * block share all their cache sets; int8 rows have a RowScale each in front of all of them.
 */

/* The form of rows: where products read bf16 weights widened, rows are fp32. */
static Precision
rows_form(Precision precision)
{
	return WIDENED_BF16 && precision == PRECISION_BF16 ? PRECISION_FP32 : precision;
}

/* One row of int8: x ~ scale * (q - zero) */
typedef struct RowScale
{
	float scale;
	float zero;
} RowScale;

/* bytes from one row to the next */
static size_t
row_bytes(Precision precision, size_t k)
{
	return size_align(groups_of(rows_form(precision), k) * 4, ALIGNMENT) | ALIGNMENT;
}

static size_t
rows_offset(Precision precision, size_t m)
{
	return precision == PRECISION_INT8 ? size_align(m * sizeof(RowScale), ALIGNMENT) : 0;
}

/* Where m rows lie in a buffer of vector_rows_size bytes. */
static Rows
rows_in(Precision precision, size_t m, size_t k, void *buffer)
{
	return (Rows){(uint8_t *) buffer + rows_offset(precision, m), row_bytes(precision, k), buffer};
}

static size_t
vector_rows_size(Precision precision, size_t m, size_t k)
{
	size_t size;

#ifdef HAVE_AMX
	if (precision != PRECISION_FP32 && m <= SIZE_MAX / 64)
		m = size_align(m, TILE_ROWS); /* what is read with the last rows */
#endif
	if (k > SIZE_MAX / 64 || m > SIZE_MAX / 64 || !size_mul(m, row_bytes(precision, k), &size) ||
		!size_add(size, rows_offset(precision, m) + ALIGNMENT, &size))
		return 0;
	return size - ALIGNMENT;
}

/* x (k) within low .. high */
static TARGET void
quantize_within(size_t k, const float *x, float low, float high, uint8_t *q, RowScale *row)
{
	const Quantizer quantizer = quantizer_for(low, high);
	vf inverse = v_set(quantizer.inverse);
	vf offset = v_set(QUANTIZE_MAGIC + quantizer.zero);
	size_t i = 0;

	row->scale = quantizer.scale;
	row->zero = quantizer.zero - QUANTIZED_OFFSET;
	for (; i + VW <= k; i += VW)
		v_quantize(q + i, v_load(x + i), inverse, offset);
	if (i < k)
	{
		uint8_t rest[VW];

		v_quantize(rest, v_load_n(x + i, k - i), inverse, offset);
		memcpy(q + i, rest, k - i);
	}
}

static TARGET void
quantize_row(size_t k, const float *x, uint8_t *q, RowScale *row)
{
	vf low = v_set(0.0f);
	vf high = v_set(0.0f);
	size_t i = 0;

	for (; i + VW <= k; i += VW)
	{
		vf value = v_load(x + i);

		low = v_min(value, low);
		high = v_max(value, high);
	}
	if (i < k)
	{
		low = v_min(v_load_n(x + i, k - i), low);
		high = v_max(v_load_n(x + i, k - i), high);
	}
	quantize_within(k, x, -v_largest(v_sub(v_set(0.0f), low)), v_largest(high), q, row);
}

static TARGET Rows
vector_rows_convert(Precision precision, size_t m, size_t k, const float *a, size_t ld,
					void *buffer)
{
	Rows rows = rows_in(precision, m, k, buffer);
	uint8_t *out = (uint8_t *) rows.data;

	if (rows_form(precision) == PRECISION_FP32)
		return (Rows){a, ld * sizeof(float), NULL};
	for (size_t i = 0; i < m; i++, out += rows.stride, a += ld)
		if (precision == PRECISION_BF16)
			round_row(k, a, (uint16_t *) out);
		else
		{
			/* the last group's padding has a defined value */
			memset(out + rows.stride - ALIGNMENT, 0, ALIGNMENT);
			quantize_row(k, a, out, &((RowScale *) buffer)[i]);
		}
	return rows;
}
