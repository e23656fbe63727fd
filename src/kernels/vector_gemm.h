/*
 * vector_gemm.h: packed layouts and GEMM in terms of an instruction set's primitives. Included by
 * one file per instruction set, after vector_math.h.
 *
 * Panels hold PANEL = NV * VW output features, the last padded with zeros. Within a panel, for each
 * group of input features (4 bytes: one fp32, two bf16, four int8), the groups of all the panel's
 * features lie side by side. In front of int8 panels lie one scale and one sum of the quantised
 * weights per (padded) output feature.
 *
 * Rows that are made here lie row_bytes apart, an odd number of cache lines, so that no two of a
 * block share all their cache sets; int8 rows have a RowScale each in front of all of them.
 *
 * A block of up to WIDE_ROWS rows passes through a panel, then the next block; meanwhile the next
 * panel is fetched into L2. Long sums are cut into parts of GROUPS_PER_PART groups, with tiles of
 * partial sums in the scratch memory.
 */
#include "kernels/vector_tile.h"

#define GROUPS_PER_PART 768
/* rows that go through all panels together; the scratch holds their tiles */
#define BLOCK_ROWS 192
/* the same, where the fp32 results wait in the scratch to be quantised */
#define QUANTIZED_ROWS 64
/* half of an L2: what is more is no longer there when it is needed again, and is fetched early */
#define FETCH_BYTES ((size_t) 512 * 1024)
#define GELU_LEAST -0.1702f /* below all of its values, coarse ones too */

#define KIND int8
#define ACC vi
#define GROUP vg
#define acc_zero() i_zero()
#define acc_load(p) i_load(p)
#define acc_add(a, b) i_add(a, b)
#define acc_store(p, x) i_store(p, x)
#define group_load(p) g_load(p)
#define group_broadcast(p) g_broadcast(p)
#define dot(c, a, b) dot_int8(c, a, b)
#include "kernels/vector_micro.h"

/* One row of int8: x ~ scale * (q - zero) */
typedef struct RowScale
{
	float scale;
	float zero;
} RowScale;

static size_t
element_size(Precision precision)
{
	return precision == PRECISION_FP32 ? 4 : precision == PRECISION_BF16 ? 2 : 1;
}

static size_t
groups_of(Precision precision, size_t k)
{
	size_t group = 4 / element_size(precision);

	return (k + group - 1) / group;
}

static size_t
padded_features(size_t n)
{
	return (n + PANEL - 1) / PANEL * PANEL;
}

/* int8: scales and sums in front of the panels */
static size_t
panels_offset(Precision precision, size_t n)
{
	return precision == PRECISION_INT8
			   ? size_align(padded_features(n) * 2 * sizeof(float), ALIGNMENT)
			   : 0;
}

static size_t
vector_gemm_packed_size(Precision precision, size_t n, size_t k)
{
	size_t size;

	if (n > SIZE_MAX / 64 || k > SIZE_MAX / 64 ||
		!size_mul(padded_features(n), groups_of(precision, k) * 4, &size) ||
		!size_add(size, panels_offset(precision, n) + ALIGNMENT, &size))
		return 0;
	return size - ALIGNMENT;
}

static TARGET void
pack_quantized(size_t n, size_t k, const float *w, size_t ld, void *panels)
{
	size_t padded = padded_features(n);
	size_t groups = groups_of(PRECISION_INT8, k);
	float *scales = panels;
	float *sums = scales + padded;
	int8_t *out = (int8_t *) panels + panels_offset(PRECISION_INT8, n);

	for (size_t j = 0; j < padded; j++)
	{
		int8_t *feature = out + (j / PANEL * groups * PANEL + j % PANEL) * 4;
		float largest = 0;
		float inverse;
		int32_t sum = 0;

		if (j < n)
			for (size_t i = 0; i < k; i++)
				largest = fabsf(w[j * ld + i]) > largest ? fabsf(w[j * ld + i]) : largest;
		inverse = largest > 0 ? 127 / largest : 0;
		for (size_t i = 0; i < groups * 4; i++)
		{
			float value = j < n && i < k ? rintf(w[j * ld + i] * inverse) : 0;
			int8_t q = (int8_t) fminf(fmaxf(value, -127), 127);

			feature[i / 4 * PANEL * 4 + i % 4] = q;
			sum += q;
		}
		scales[j] = largest / 127;
		sums[j] = (float) sum;
	}
}

static TARGET void
pack_plain(size_t n, size_t k, const float *w, size_t ld, uint32_t *panels)
{
	for (size_t j = 0; j < padded_features(n); j += VW)
		for (size_t i = 0; i < k; i += VW)
		{
			uint32_t *to = panels + j / PANEL * PANEL * k + i * PANEL + j % PANEL;

			if (j + VW <= n && i + VW <= k)
				g_transpose((const uint8_t *) (w + j * ld + i), ld * sizeof(float), to, PANEL);
			else
				for (size_t r = 0; r < VW; r++)
					for (size_t c = 0; c < VW && i + c < k; c++)
						if (j + r < n)
							memcpy(to + c * PANEL + r, w + (j + r) * ld + i + c, sizeof(float));
						else
							to[c * PANEL + r] = 0;
		}
}

static TARGET void
pack_rounded(size_t n, size_t k, const float *w, size_t ld, uint16_t *panels)
{
	size_t groups = groups_of(PRECISION_BF16, k);

	for (size_t j = 0; j < padded_features(n); j++)
	{
		uint16_t *feature = panels + (j / PANEL * groups * PANEL + j % PANEL) * 2;

		for (size_t i = 0; i < groups * 2; i++)
			feature[i / 2 * PANEL * 2 + i % 2] = float_to_bf16(j < n && i < k ? w[j * ld + i] : 0);
	}
}

static TARGET void
vector_gemm_pack(Precision precision, size_t n, size_t k, const float *w, size_t ld, void *panels)
{
	if (precision == PRECISION_INT8)
		pack_quantized(n, k, w, ld, panels);
	else if (precision == PRECISION_BF16)
		pack_rounded(n, k, w, ld, panels);
	else
		pack_plain(n, k, w, ld, panels);
}

/* bytes from one row to the next */
static size_t
row_bytes(Precision precision, size_t k)
{
	return size_align(groups_of(precision, k) * 4, ALIGNMENT) | ALIGNMENT;
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

static TARGET void
round_row(size_t k, const float *x, uint16_t *y)
{
	size_t i = 0;

	for (; i + VW <= k; i += VW)
		v_store_bf16(y + i, v_load(x + i));
	for (; i < k; i++)
		y[i] = float_to_bf16(x[i]);
	if (k % 2 != 0)
		y[k] = 0;
}

static TARGET Rows
vector_rows_convert(Precision precision, size_t m, size_t k, const float *a, size_t ld,
					void *buffer)
{
	Rows rows = rows_in(precision, m, k, buffer);
	uint8_t *out = (uint8_t *) rows.data;

	if (precision == PRECISION_FP32)
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

#ifdef HAVE_STRASSEN
#include "kernels/vector_strassen.h"
#define MIX_ROWS_LEAST STRASSEN_LEAST
#else
#define MIX_ROWS_LEAST 0
#endif

/* int8: room for QUANTIZED_ROWS rows of results */
static size_t
quantized_scratch(Precision precision, size_t n)
{
	return precision == PRECISION_INT8 ? QUANTIZED_ROWS * padded_features(n) * sizeof(float) : 0;
}

static size_t
vector_gemm_scratch_size(Precision precision, size_t n, size_t k)
{
#ifdef HAVE_STRASSEN
	if (precision == PRECISION_FP32 &&
		strassen_scratch_size(k) > BLOCK_ROWS * PANEL * sizeof(float))
		return strassen_scratch_size(k);
#endif
	return BLOCK_ROWS * PANEL * sizeof(float) + quantized_scratch(precision, n);
}

/* Where results go: fp32 or bf16, ld in elements. */
typedef struct Destination
{
	void *c;
	size_t ld;
	bool bf16;
} Destination;

typedef struct Finish
{
	const GemmEpilogue *epilogue;
	const RowScale *row_scales; /* of the rows; int8 */
	const float *scales;        /* of the features; int8 */
	const float *sums;
	Destination to;
	/* (rows, VW), GELU in int8: vectors whose largest element is the row's; or NULL */
	float *highs;
} Finish;

/* A vector of sums to a vector of results, but for the residual. */
INLINE vf
finish_vector(const bool quantized, const Activation activation, const uint32_t *sums, vf bias,
			  vf feature_sums, vf feature_scales, vf zero, vf scale)
{
	vf x;

	if (!quantized)
		return v_activate(activation, v_add(v_load((const float *) sums), bias));
	x = v_fnma(zero, feature_sums, v_from_int(i_load(sums)));
	x = v_fma(v_mul(x, feature_scales), scale, bias);
	return activation == ACTIVATION_GELU ? v_gelu_coarse(x) : v_activate(activation, x);
}

/* A whole panel's results: what belongs to its columns stays in registers from row to row. */
INLINE void
finish_panel(const bool quantized, const Activation activation, const bool bf16,
			 const bool residual, const Finish *finish, size_t row, size_t rows, size_t column,
			 const uint32_t *sums)
{
	const GemmEpilogue *epilogue = finish->epilogue;
	const RowScale *row_scales = finish->row_scales + row;
	const float *added =
		residual ? epilogue->residual + row * epilogue->residual_ld + column : NULL;
	size_t at = row * finish->to.ld + column;
	vf bias[NV];
	vf feature_sums[NV];
	vf feature_scales[NV];

#pragma GCC unroll 4
	for (int v = 0; v < NV; v++)
	{
		bias[v] = epilogue->bias == NULL ? v_set(0.0f) : v_load(epilogue->bias + column + v * VW);
		feature_sums[v] = quantized ? v_load(finish->sums + column + v * VW) : bias[v];
		feature_scales[v] = quantized ? v_load(finish->scales + column + v * VW) : bias[v];
	}
	for (size_t r = 0; r < rows; r++)
	{
		vf zero = v_set(quantized ? row_scales[r].zero : 0);
		vf scale = v_set(quantized ? row_scales[r].scale : 0);
		vf high = v_set(0.0f);

#pragma GCC unroll 4
		for (int v = 0; v < NV; v++)
		{
			vf x = finish_vector(quantized, activation, sums + v * VW, bias[v], feature_sums[v],
								 feature_scales[v], zero, scale);

			if (residual)
				x = v_add(x, v_load(added + v * VW));
			if (quantized && activation == ACTIVATION_GELU)
				high = v_max(x, high);
			if (bf16)
				v_store_bf16((uint16_t *) finish->to.c + at + v * VW, x);
			else
				v_store((float *) finish->to.c + at + v * VW, x);
		}
		if (quantized && activation == ACTIVATION_GELU && finish->highs != NULL)
			v_store(finish->highs + (row + r) * VW,
					v_max(v_load(finish->highs + (row + r) * VW), high));
		sums += PANEL;
		at += finish->to.ld;
		if (residual)
			added += epilogue->residual_ld;
	}
}

/* The results of a tile that ends inside its panel, n columns of it. */
INLINE void
finish_part(const bool quantized, const Activation activation, const Finish *finish, size_t row,
			size_t rows, size_t column, size_t n, const uint32_t *tile)
{
	const GemmEpilogue *epilogue = finish->epilogue;

	for (size_t j = 0; j < n; j += VW)
	{
		size_t left = n - j < VW ? n - j : VW;
		vf bias =
			epilogue->bias == NULL ? v_set(0.0f) : load_part(epilogue->bias + column + j, left);
		vf feature_sums = quantized ? v_load(finish->sums + column + j) : bias;
		vf feature_scales = quantized ? v_load(finish->scales + column + j) : bias;

		for (size_t r = 0; r < rows; r++)
		{
			const RowScale *row_scale = finish->row_scales + row + r;
			size_t at = (row + r) * finish->to.ld + column + j;
			vf x = finish_vector(quantized, activation, tile + r * PANEL + j, bias, feature_sums,
								 feature_scales, v_set(quantized ? row_scale->zero : 0),
								 v_set(quantized ? row_scale->scale : 0));

			if (epilogue->residual != NULL)
				x = v_add(x, load_part(epilogue->residual + (row + r) * epilogue->residual_ld +
										   column + j,
									   left));
			if (finish->to.bf16)
			{
				uint16_t rest[VW];

				v_store_bf16(rest, x);
				memcpy((uint16_t *) finish->to.c + at, rest, left * sizeof(uint16_t));
			}
			else if (left == VW)
				v_store((float *) finish->to.c + at, x);
			else
				v_store_n((float *) finish->to.c + at, x, left);
		}
	}
}

/* Finished results of a tile: rows from `row` on, columns from `column` on, n of them. */
INLINE void
finish_tile(const bool quantized, const Activation activation, const Finish *finish, size_t row,
			size_t rows, size_t column, size_t n, const void *tile)
{
	const bool residual = finish->epilogue->residual != NULL;

	if (n < PANEL)
		finish_part(quantized, activation, finish, row, rows, column, n, tile);
	else if (finish->to.bf16 && residual)
		finish_panel(quantized, activation, true, true, finish, row, rows, column, tile);
	else if (finish->to.bf16)
		finish_panel(quantized, activation, true, false, finish, row, rows, column, tile);
	else if (residual)
		finish_panel(quantized, activation, false, true, finish, row, rows, column, tile);
	else
		finish_panel(quantized, activation, false, false, finish, row, rows, column, tile);
}

static TARGET void
finish_plain(const Finish *finish, size_t row, size_t rows, size_t column, size_t n,
			 const void *tile)
{
	finish_tile(false, ACTIVATION_NONE, finish, row, rows, column, n, tile);
}

static TARGET void
finish_gelu(const Finish *finish, size_t row, size_t rows, size_t column, size_t n,
			const void *tile)
{
	finish_tile(false, ACTIVATION_GELU, finish, row, rows, column, n, tile);
}

static TARGET void
finish_other(const Finish *finish, size_t row, size_t rows, size_t column, size_t n,
			 const void *tile)
{
	finish_tile(false, finish->epilogue->activation, finish, row, rows, column, n, tile);
}

static TARGET void
finish_quantized_plain(const Finish *finish, size_t row, size_t rows, size_t column, size_t n,
					   const void *tile)
{
	finish_tile(true, ACTIVATION_NONE, finish, row, rows, column, n, tile);
}

static TARGET void
finish_quantized_gelu(const Finish *finish, size_t row, size_t rows, size_t column, size_t n,
					  const void *tile)
{
	finish_tile(true, ACTIVATION_GELU, finish, row, rows, column, n, tile);
}

static TARGET void
finish_quantized_other(const Finish *finish, size_t row, size_t rows, size_t column, size_t n,
					   const void *tile)
{
	finish_tile(true, finish->epilogue->activation, finish, row, rows, column, n, tile);
}

typedef void (*FinishTile)(const Finish *finish, size_t row, size_t rows, size_t column, size_t n,
						   const void *tile);

static FinishTile
finish_choose(Precision precision, Activation activation)
{
	bool quantized = precision == PRECISION_INT8;

	if (activation == ACTIVATION_NONE)
		return quantized ? finish_quantized_plain : finish_plain;
	if (activation == ACTIVATION_GELU)
		return quantized ? finish_quantized_gelu : finish_gelu;
	return quantized ? finish_quantized_other : finish_other;
}

INLINE void
fetch_lines(const void *at, size_t bytes, const int writing)
{
	for (size_t i = 0; i < bytes; i += 64)
		if (writing)
			__builtin_prefetch((const uint8_t *) at + i, 1, 3);
		else
			__builtin_prefetch((const uint8_t *) at + i, 0, 3);
}

/* Bytes of m rows of results and of what is added to them. */
INLINE size_t
ends_size(const Finish *finish, size_t m)
{
	return m *
		   (finish->to.ld * (finish->to.bf16 ? sizeof(uint16_t) : sizeof(float)) +
			(finish->epilogue->residual == NULL ? 0
												: finish->epilogue->residual_ld * sizeof(float)));
}

/*
 * Asks for what a tile's results go to and for what is added to them, while its sums are computed.
 */
INLINE void
fetch_ends(const Finish *finish, size_t row, size_t rows, size_t column)
{
	const GemmEpilogue *epilogue = finish->epilogue;
	size_t size = finish->to.bf16 ? sizeof(uint16_t) : sizeof(float);

	for (size_t r = row; r < row + rows; r++)
	{
		fetch_lines((const uint8_t *) finish->to.c + (r * finish->to.ld + column) * size,
					PANEL * size, 1);
		if (epilogue->residual != NULL)
			fetch_lines(epilogue->residual + r * epilogue->residual_ld + column,
						PANEL * sizeof(float), 0);
	}
}

/* m <= BLOCK_ROWS rows at a through all panels */
static TARGET void
gemm_block(const PackedMatrix *w, size_t m, const uint8_t *a, size_t lda, const Finish *finish,
		   uint8_t *tiles)
{
	const Micro(*micro)[4] = w->precision == PRECISION_FP32   ? wide_fp32
							 : w->precision == PRECISION_BF16 ? wide_bf16
															  : wide_int8;
	const GemmEpilogue *epilogue = finish->epilogue;
	FinishTile finish_function = finish_choose(w->precision, epilogue->activation);
	/*
	 * Sums that are the results but for bias and residual begin with these and go where they belong
	 * at once.
	 */
	bool all_direct = w->precision != PRECISION_INT8 && epilogue->activation == ACTIVATION_NONE &&
					  !finish->to.bf16;
	const uint8_t *b = (const uint8_t *) w->panels + panels_offset(w->precision, w->n);
	size_t groups = groups_of(w->precision, w->k);
	size_t parts = (groups + GROUPS_PER_PART - 1) / GROUPS_PER_PART;
	size_t per_part = (groups + parts - 1) / parts;
	size_t blocks = (m + WIDE_ROWS - 1) / WIDE_ROWS;
	size_t lines = PANEL * 4 / 64; /* of a panel's group */
	bool fetch_early = ends_size(finish, m) > FETCH_BYTES;

	for (size_t column = 0; column < w->n; column += PANEL)
	{
		bool direct = all_direct && w->n - column >= PANEL;

		for (size_t first = 0; first < groups; first += per_part)
		{
			size_t count = groups - first < per_part ? groups - first : per_part;
			const uint8_t *next = b + count * PANEL * 4;
			size_t row = 0;
			size_t fetched = 0;

			for (size_t block = 0; block < blocks; block++)
			{
				size_t rows = m / blocks + (block < m % blocks);
				/*
				 * lines of the next panel a group: 0, 1, 2 or 4, all of them early, few at a time
				 */
				size_t fetch =
					blocks >= lines ? block < lines : (block + 1) * lines / blocks - fetched;
				_Alignas(64) uint32_t local[WIDE_ROWS * PANEL];
				void *tile = parts == 1 ? (void *) local : tiles + row * PANEL * 4;
				size_t ld = PANEL;
				Start start = {first > 0 ? tile : NULL, PANEL, NULL};

				if (direct)
				{
					ld = finish->to.ld;
					tile = (float *) finish->to.c + row * ld + column;
					start = (Start){tile, ld, NULL};
					if (first == 0)
						start =
							(Start){epilogue->residual == NULL
										? NULL
										: epilogue->residual + row * epilogue->residual_ld + column,
									epilogue->residual_ld,
									epilogue->bias == NULL ? NULL : epilogue->bias + column};
				}
				if (fetch_early && first + count == groups && !direct)
					fetch_ends(finish, row, rows, column);
				micro[rows - 1][fetch == 4 ? 3 : fetch](count, a + row * lda + first * 4, lda, b,
														tile, ld, &start,
														next + fetched * 64 * count);
				fetched += fetch;
				if (first + count == groups && !direct)
					finish_function(finish, row, rows, column,
									w->n - column < PANEL ? w->n - column : PANEL, tile);
				row += rows;
			}
			b = next;
		}
	}
}

static TARGET void
gemm_to(const PackedMatrix *w, size_t m, Rows rows, const GemmEpilogue *epilogue, Destination to,
		void *scratch)
{
#ifdef HAVE_STRASSEN
	if (epilogue->mix_rows && !to.bf16 && strassen_fits(w, m, epilogue))
	{
		strassen_rows(w, m, rows, epilogue, to.c, to.ld, scratch);
		return;
	}
#endif
	for (size_t row = 0; row < m; row += BLOCK_ROWS)
	{
		GemmEpilogue part = *epilogue;
		Finish finish = {&part,     (const RowScale *) rows.scales + row,
						 w->panels, (const float *) w->panels + padded_features(w->n),
						 to,        NULL};

		finish.to.c = (uint8_t *) to.c + row * to.ld * (to.bf16 ? sizeof(uint16_t) : sizeof(float));
		if (part.residual != NULL)
			part.residual += row * part.residual_ld;
		gemm_block(w, m - row < BLOCK_ROWS ? m - row : BLOCK_ROWS,
				   (const uint8_t *) rows.data + row * rows.stride, rows.stride, &finish, scratch);
	}
}

static TARGET void
vector_gemm(const PackedMatrix *w, size_t m, Rows rows, float *c, size_t ldc,
			const GemmEpilogue *epilogue, void *scratch)
{
	gemm_to(w, m, rows, epilogue, (Destination){c, ldc, false}, scratch);
}

static TARGET void
vector_gemm_bf16(const PackedMatrix *w, size_t m, Rows rows, uint16_t *c, size_t ldc,
				 const GemmEpilogue *epilogue, void *scratch)
{
	gemm_to(w, m, rows, epilogue, (Destination){c, ldc, true}, scratch);
}

/*
 * The results, rounded or quantised, as rows of the same precision for a GEMM that reads w->n
 * features.
 */
static TARGET Rows
vector_gemm_rows(const PackedMatrix *w, size_t m, Rows rows, void *buffer,
				 const GemmEpilogue *epilogue, void *scratch)
{
	Rows out = rows_in(w->precision, m, w->n, buffer);
	uint8_t *data = (uint8_t *) out.data;
	/* (QUANTIZED_ROWS, padded n) */
	float *results = (float *) ((uint8_t *) scratch + BLOCK_ROWS * PANEL * sizeof(float));
	size_t ld = padded_features(w->n);
	size_t blocks = (m + QUANTIZED_ROWS - 1) / QUANTIZED_ROWS;
	bool bounded =
		epilogue->activation == ACTIVATION_GELU && epilogue->residual == NULL && w->n % PANEL == 0;
	_Alignas(64) float highs[QUANTIZED_ROWS * VW];

	if (w->precision != PRECISION_INT8)
	{
		gemm_to(w, m, rows, epilogue,
				(Destination){data, out.stride / element_size(w->precision),
							  w->precision == PRECISION_BF16},
				scratch);
		if (w->precision == PRECISION_BF16 && w->n % 2 != 0)
			for (size_t i = 0; i < m; i++)
				((uint16_t *) (data + i * out.stride))[w->n] = 0;
		return out;
	}
	for (size_t block = 0, row = 0; block < blocks; block++)
	{
		size_t count = m / blocks + (block < m % blocks);
		GemmEpilogue part = *epilogue;
		Finish finish = {&part,
						 (const RowScale *) rows.scales + row,
						 w->panels,
						 (const float *) w->panels + ld,
						 {results, ld, false},
						 bounded ? highs : NULL};

		if (part.residual != NULL)
			part.residual += row * part.residual_ld;
		memset(highs, 0, count * VW * sizeof(float));
		gemm_block(w, count, (const uint8_t *) rows.data + row * rows.stride, rows.stride, &finish,
				   scratch);
		for (size_t i = 0; i < count; i++, row++)
		{
			uint8_t *q = data + row * out.stride;
			RowScale *scale = &((RowScale *) buffer)[row];

			memset(q + out.stride - ALIGNMENT, 0, ALIGNMENT);
			if (bounded)
				quantize_within(w->n, results + i * ld, GELU_LEAST,
								v_largest(v_load(highs + i * VW)), q, scale);
			else
				quantize_row(w->n, results + i * ld, q, scale);
		}
	}
	return out;
}
