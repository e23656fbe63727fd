/*
 * portable.c: every kernel in plain C: the meaning of the others, and what runs where nothing
 * better does. Loops are written so that a compiler vectorises them at the baseline.
 */
#include "kernels/portable.h"

#include <math.h>
#include <string.h>

#include "core/checked.h"

#define PANEL PORTABLE_PANEL
#define ROWS 4
#define ALIGNMENT 64
#define QUERY_TILE 32
#define KEY_TILE 64

static size_t
panels_of(size_t n)
{
	return (n + PANEL - 1) / PANEL;
}

static size_t
element_size(Precision precision)
{
	return precision == PRECISION_FP32   ? sizeof(float)
		   : precision == PRECISION_BF16 ? sizeof(uint16_t)
										 : sizeof(int8_t);
}

/* int8: scales and sums in front of the panels */
static size_t
int8_head(size_t n)
{
	return size_align(panels_of(n) * PANEL * (sizeof(float) + sizeof(int32_t)), ALIGNMENT);
}

static size_t
gemm_packed_size(Precision precision, size_t n, size_t k)
{
	size_t size;

	if (n > SIZE_MAX / 64 || !size_mul(panels_of(n) * PANEL, k, &size) ||
		!size_mul(size, element_size(precision), &size) ||
		!size_add(size, 2 * ALIGNMENT + (precision == PRECISION_INT8 ? int8_head(n) : 0), &size))
		return 0;
	return size_align(size - ALIGNMENT, ALIGNMENT);
}

static bool
pack_int8(bool bounded, size_t n, size_t k, const float *w, size_t ld, void *panels,
		  const MayContinue *question)
{
	size_t padded = panels_of(n) * PANEL;
	float *scales = panels;
	int32_t *sums = (int32_t *) (scales + padded);
	int8_t *out = (int8_t *) panels + int8_head(n);

	for (size_t j = 0; j < padded; j++)
	{
		Int8Scale scale = {0, 0};

		if (j < n)
			scale = int8_scale(bounded, k, w + j * ld);
		scales[j] = scale.scale;
		sums[j] = 0;
		for (size_t i = 0; i < k; i++)
		{
			int8_t q = j < n ? int8_weight(w[j * ld + i], scale.inverse) : 0;

			out[(j / PANEL * k + i) * PANEL + j % PANEL] = q;
			sums[j] += q;
		}
		if (!may_continue(question, NULL))
			return false;
	}
	return true;
}

static bool
gemm_pack(Precision precision, size_t n, size_t k, const float *w, size_t ld, void *panels,
		  const MayContinue *question)
{
	if (precision == PRECISION_INT8)
		return pack_int8(false, n, k, w, ld, panels, question);
	for (size_t j = 0; j < panels_of(n) * PANEL; j++)
	{
		for (size_t i = 0; i < k; i++)
		{
			float value = j < n ? w[j * ld + i] : 0;
			size_t at = (j / PANEL * k + i) * PANEL + j % PANEL;

			if (precision == PRECISION_FP32)
				((float *) panels)[at] = value;
			else
				((uint16_t *) panels)[at] = float_to_bf16(value);
		}
		if (!may_continue(question, NULL))
			return false;
	}
	return true;
}

/* One row of int8: x ~ scale * (q - zero), q in 0 .. 255 */
typedef struct RowScale
{
	float scale;
	int32_t zero;
} RowScale;

static size_t
int8_row_stride(size_t k)
{
	return size_align(k, ALIGNMENT);
}

static size_t
rows_size(Precision precision, size_t m, size_t k)
{
	size_t size;

	if (k > SIZE_MAX / 64 ||
		!size_mul(m,
				  precision == PRECISION_INT8 ? int8_row_stride(k) + sizeof(RowScale)
											  : k * element_size(precision),
				  &size) ||
		!size_add(size, 2 * ALIGNMENT, &size))
		return 0;
	return size_align(size - ALIGNMENT, ALIGNMENT);
}

static void
quantize_row(size_t k, const float *x, uint8_t *q, RowScale *row)
{
	float low = 0;
	float high = 0;
	Quantizer quantizer;

	for (size_t i = 0; i < k; i++)
	{
		low = fminf(low, x[i]);
		high = fmaxf(high, x[i]);
	}
	quantizer = quantizer_for(low, high);
	row->scale = quantizer.scale;
	row->zero = (int32_t) quantizer.zero;
	for (size_t i = 0; i < k; i++)
	{
		union
		{
			float number;
			uint32_t bits;
			/* as by one fma */
		} u = {(float) ((double) x[i] * quantizer.inverse +
						(double) (QUANTIZE_MAGIC + quantizer.zero))};

		q[i] = (uint8_t) u.bits;
	}
}

/* Where m rows lie in a buffer of rows_size bytes. */
static Rows
rows_in(Precision precision, size_t m, size_t k, void *buffer)
{
	if (precision == PRECISION_INT8)
		return (Rows){(uint8_t *) buffer + size_align(m * sizeof(RowScale), ALIGNMENT),
					  int8_row_stride(k), buffer};
	return (Rows){buffer, k * element_size(precision), NULL};
}

static Rows
rows_convert(Precision precision, size_t m, size_t k, const float *a, size_t ld, void *buffer)
{
	Rows rows = rows_in(precision, m, k, buffer);
	uint8_t *bytes = (uint8_t *) rows.data;

	if (precision == PRECISION_FP32)
		return (Rows){a, ld * sizeof(float), NULL};
	for (size_t i = 0; i < m; i++, a += ld, bytes += rows.stride)
		if (precision == PRECISION_BF16)
			for (size_t j = 0; j < k; j++)
				((uint16_t *) bytes)[j] = float_to_bf16(a[j]);
		else
			quantize_row(k, a, bytes, &((RowScale *) buffer)[i]);
	return rows;
}

/* ROWS rows of A widened to fp32 (bf16), and ROWS rows of results that are not wanted as fp32 */
static size_t
widened_size(Precision precision, size_t k)
{
	return precision == PRECISION_BF16 ? size_align(ROWS * k * sizeof(float), ALIGNMENT) : 0;
}

static size_t
gemm_scratch_size(Precision precision, size_t n, size_t k)
{
	return widened_size(precision, k) + size_align(ROWS * n * sizeof(float), ALIGNMENT);
}

/* acc (rows, PANEL) = a (rows, k) times one fp32 panel */
static void
block_fp32(size_t rows, size_t k, const float *a, size_t lda, const float *panel,
		   float acc[ROWS][PANEL])
{
	memset(acc, 0, sizeof(float) * ROWS * PANEL);
	for (size_t i = 0; i < k; i++, panel += PANEL)
		for (size_t r = 0; r < rows; r++)
			for (size_t j = 0; j < PANEL; j++)
				acc[r][j] += a[r * lda + i] * panel[j];
}

static void
block_bf16(size_t rows, size_t k, const float *a, const uint16_t *panel, float acc[ROWS][PANEL])
{
	memset(acc, 0, sizeof(float) * ROWS * PANEL);
	for (size_t i = 0; i < k; i++, panel += PANEL)
	{
		float w[PANEL];

		for (size_t j = 0; j < PANEL; j++)
			w[j] = bf16_to_float(panel[j]);
		for (size_t r = 0; r < rows; r++)
			for (size_t j = 0; j < PANEL; j++)
				acc[r][j] += a[r * k + i] * w[j];
	}
}

static void
block_int8(size_t rows, size_t k, const uint8_t *a, size_t lda, const int8_t *panel,
		   int32_t acc[ROWS][PANEL])
{
	memset(acc, 0, sizeof(int32_t) * ROWS * PANEL);
	for (size_t i = 0; i < k; i++, panel += PANEL)
		for (size_t r = 0; r < rows; r++)
			for (size_t j = 0; j < PANEL; j++)
				acc[r][j] += (int32_t) a[r * lda + i] * panel[j];
}

void
portable_epilogue(size_t m, size_t n, float *c, size_t ldc, const GemmEpilogue *epilogue)
{
	for (size_t i = 0; i < m; i++)
	{
		float *row = c + i * ldc;

		if (epilogue->bias != NULL)
			for (size_t j = 0; j < n; j++)
				row[j] += epilogue->bias[j];
		if (epilogue->activation != ACTIVATION_NONE)
			portable_activation(epilogue->activation, n, row);
		if (epilogue->residual != NULL)
			for (size_t j = 0; j < n; j++)
				row[j] += epilogue->residual[i * epilogue->residual_ld + j];
	}
}

/* Stores a block of accumulators with the epilogue for columns from .. from+n-1. */
static void
store_block(size_t rows, size_t from, size_t n, float acc[ROWS][PANEL], float *c, size_t ldc,
			const GemmEpilogue *epilogue)
{
	GemmEpilogue part = *epilogue;

	if (part.bias != NULL)
		part.bias += from;
	if (part.activation != ACTIVATION_NONE || part.bias != NULL)
	{
		GemmEpilogue first = {part.bias, part.activation, NULL, 0, false};

		portable_epilogue(rows, n, acc[0], PANEL, &first);
	}
	for (size_t r = 0; r < rows; r++)
		for (size_t j = 0; j < n; j++)
			c[r * ldc + from + j] =
				acc[r][j] +
				(part.residual == NULL ? 0 : part.residual[r * part.residual_ld + from + j]);
}

/* Up to ROWS rows of a product. */
typedef struct RowBlock
{
	const PackedMatrix *w;
	Rows rows;
	const GemmEpilogue *epilogue;
	void *scratch;
	size_t first;
	size_t count;
} RowBlock;

/* The block that begins with row `first` of m. */
static RowBlock
row_block(const PackedMatrix *w, size_t m, size_t first, Rows rows, const GemmEpilogue *epilogue,
		  void *scratch)
{
	return (RowBlock){w, rows, epilogue, scratch, first, m - first < ROWS ? m - first : ROWS};
}

/* c (count, n) */
static void
gemm_block(const RowBlock *block, float *c, size_t ldc)
{
	const PackedMatrix *w = block->w;
	const Rows rows = block->rows;
	void *scratch = block->scratch;
	size_t i = block->first;
	size_t count = block->count;
	size_t n = w->n;
	size_t k = w->k;
	size_t padded = panels_of(n) * PANEL;
	const RowScale *row_scales = rows.scales;
	const uint8_t *bytes = (const uint8_t *) rows.data + i * rows.stride;
	const float *scales = w->panels;
	const int32_t *sums = (const int32_t *) (scales + padded);
	GemmEpilogue part = *block->epilogue;

	if (part.residual != NULL)
		part.residual += i * part.residual_ld;
	if (w->precision == PRECISION_BF16)
		for (size_t r = 0; r < count; r++)
			for (size_t j = 0; j < k; j++)
				((float *) scratch)[r * k + j] =
					bf16_to_float(((const uint16_t *) (bytes + r * rows.stride))[j]);
	for (size_t p = 0; p < panels_of(n); p++)
	{
		size_t from = p * PANEL;
		float acc[ROWS][PANEL];
		int32_t sum[ROWS][PANEL];

		if (w->precision == PRECISION_FP32)
			block_fp32(count, k, (const float *) bytes, rows.stride / sizeof(float),
					   (const float *) w->panels + p * k * PANEL, acc);
		else if (w->precision == PRECISION_BF16)
			block_bf16(count, k, scratch, (const uint16_t *) w->panels + p * k * PANEL, acc);
		else
		{
			block_int8(count, k, bytes, rows.stride,
					   (const int8_t *) w->panels + int8_head(n) + p * k * PANEL, sum);
			for (size_t r = 0; r < count; r++)
				for (size_t j = 0; j < PANEL; j++)
					acc[r][j] = (float) (sum[r][j] - row_scales[i + r].zero * sums[from + j]) *
								row_scales[i + r].scale * scales[from + j];
		}
		store_block(count, from, n - from < PANEL ? n - from : PANEL, acc, c, ldc, &part);
	}
}

static void
gemm(const PackedMatrix *w, size_t m, Rows rows, float *c, size_t ldc, const GemmEpilogue *epilogue,
	 void *scratch)
{
	for (size_t i = 0; i < m; i += ROWS)
	{
		RowBlock block = row_block(w, m, i, rows, epilogue, scratch);

		gemm_block(&block, c + i * ldc, ldc);
	}
}

static void
gemm_bf16(const PackedMatrix *w, size_t m, Rows rows, uint16_t *c, size_t ldc,
		  const GemmEpilogue *epilogue, void *scratch)
{
	/* (ROWS, n) */
	float *results = (float *) ((uint8_t *) scratch + widened_size(w->precision, w->k));

	for (size_t i = 0; i < m; i += ROWS)
	{
		RowBlock block = row_block(w, m, i, rows, epilogue, scratch);

		gemm_block(&block, results, w->n);
		for (size_t r = 0; r < block.count; r++)
			for (size_t j = 0; j < w->n; j++)
				c[(i + r) * ldc + j] = float_to_bf16(results[r * w->n + j]);
	}
}

static Rows
gemm_rows(const PackedMatrix *w, size_t m, Rows rows, void *buffer, const GemmEpilogue *epilogue,
		  void *scratch)
{
	/* (ROWS, n) */
	float *results = (float *) ((uint8_t *) scratch + widened_size(w->precision, w->k));
	Rows out = rows_in(w->precision, m, w->n, buffer);

	if (w->precision == PRECISION_FP32)
		gemm(w, m, rows, buffer, w->n, epilogue, scratch);
	else if (w->precision == PRECISION_BF16)
		gemm_bf16(w, m, rows, buffer, w->n, epilogue, scratch);
	else
		for (size_t i = 0; i < m; i += ROWS)
		{
			RowBlock block = row_block(w, m, i, rows, epilogue, scratch);

			gemm_block(&block, results, w->n);
			for (size_t r = 0; r < block.count; r++)
				quantize_row(w->n, results + r * w->n, (uint8_t *) out.data + (i + r) * out.stride,
							 &((RowScale *) buffer)[i + r]);
		}
	return out;
}

void
portable_layer_norm(const LayerNorm *norm, size_t m, const float *x, size_t ldx, float *y,
					size_t ldy)
{
	size_t n = norm->n;

	for (size_t i = 0; i < m; i++, x += ldx, y += ldy)
	{
		double sum = 0;
		double squares = 0;
		float mean;
		float scale;

		for (size_t j = 0; j < n; j++)
			sum += x[j];
		mean = (float) (sum / (double) n);
		for (size_t j = 0; j < n; j++)
			squares += (double) (x[j] - mean) * (x[j] - mean);
		scale = 1 / sqrtf((float) (squares / (double) n) + norm->eps);
		for (size_t j = 0; j < n; j++)
			y[j] = (x[j] - mean) * scale * norm->gamma[j] + norm->beta[j];
	}
}

void
portable_softmax(size_t m, size_t n, float *x, size_t ld)
{
	for (size_t i = 0; i < m; i++, x += ld)
	{
		float largest = -INFINITY;
		float sum = 0;

		for (size_t j = 0; j < n; j++)
			largest = fmaxf(largest, x[j]);
		for (size_t j = 0; j < n; j++)
			sum += x[j] = expf(x[j] - largest);
		for (size_t j = 0; j < n; j++)
			x[j] /= sum;
	}
}

void
portable_activation(Activation activation, size_t n, float *x)
{
	for (size_t i = 0; i < n; i++)
		switch (activation)
		{
			case ACTIVATION_GELU:
				x[i] = 0.5f * x[i] * (1 + erff(x[i] * 0.70710678118654752440f));
				break;
			case ACTIVATION_GELU_TANH:
				x[i] =
					0.5f * x[i] *
					(1 + tanhf(0.79788456080286535588f * (x[i] + 0.044715f * x[i] * x[i] * x[i])));
				break;
			case ACTIVATION_RELU:
				x[i] = x[i] > 0 ? x[i] : x[i] != x[i] ? x[i] : 0;
				break;
			case ACTIVATION_SILU:
				x[i] = x[i] / (1 + expf(-x[i]));
				break;
			case ACTIVATION_TANH:
				x[i] = tanhf(x[i]);
				break;
			case ACTIVATION_QUICK_GELU:
				x[i] = x[i] / (1 + expf(-1.702f * x[i]));
				break;
			case ACTIVATION_MISH:
				x[i] = x[i] * tanhf(log1pf(expf(x[i])));
				break;
			case ACTIVATION_NONE:
				return;
		}
}

void
portable_axpy(size_t n, float a, const float *x, float *y)
{
	for (size_t i = 0; i < n; i++)
		y[i] += a * x[i];
}

float
portable_dot(size_t n, const float *x, const float *y)
{
	float sum = 0;

	for (size_t i = 0; i < n; i++)
		sum += x[i] * y[i];
	return sum;
}

/* Never: what is rounded to bytes elsewhere is computed from bf16 as it is here. */
size_t
portable_attention_bytes_from(size_t head_size, size_t most_tokens)
{
	(void) head_size;
	(void) most_tokens;
	return SIZE_MAX;
}

/* scratch: one tile of scores, of results, and a head's query and key or value widened to fp32 */
size_t
portable_attention_scratch_size(Precision precision, size_t n_tokens, size_t head_size)
{
	(void) precision;
	(void) n_tokens;
	return size_align((QUERY_TILE * KEY_TILE + QUERY_TILE * head_size + 2 * head_size) *
						  sizeof(float),
					  ALIGNMENT);
}

/* A head's part of a row of q, k or v as fp32: where it lies, or in room (head_size). */
static const float *
attention_row(const AttentionCall *call, const void *rows, size_t row, size_t head, float *room)
{
	size_t at = row * call->qkv_ld + head * call->head_size;

	if (!call->bf16)
		return (const float *) rows + at;
	for (size_t i = 0; i < call->head_size; i++)
		room[i] = bf16_to_float(((const uint16_t *) rows)[at + i]);
	return room;
}

/*
 * Online softmax (Milakov, Gimelshein: "Online normalizer calculation for softmax", 2018): tiles of
 * keys pass by, and what was summed so far is rescaled when the maximum grows.
 */
static void
attention_tile(const AttentionCall *call, size_t head, size_t first, size_t n_queries,
			   float *scores, float *out)
{
	size_t size = call->head_size;
	float *room = out + QUERY_TILE * size;
	float largest[QUERY_TILE];
	float total[QUERY_TILE];

	for (size_t i = 0; i < n_queries; i++)
	{
		largest[i] = -INFINITY;
		total[i] = 0;
	}
	memset(out, 0, n_queries * size * sizeof(float));
	for (size_t key = 0; key < call->n_tokens; key += KEY_TILE)
	{
		size_t n_keys = call->n_tokens - key < KEY_TILE ? call->n_tokens - key : KEY_TILE;

		for (size_t i = 0; i < n_queries; i++)
		{
			const float *q = attention_row(call, call->q, first + i, head, room);
			float *row = scores + i * KEY_TILE;
			float highest = largest[i];
			float rescale;

			for (size_t j = 0; j < n_keys; j++)
			{
				row[j] = portable_dot(size, q,
									  attention_row(call, call->k, key + j, head, room + size)) *
						 call->scale;
				highest = fmaxf(highest, row[j]);
			}
			rescale = expf(largest[i] - highest);
			largest[i] = highest;
			total[i] *= rescale;
			for (size_t d = 0; d < size; d++)
				out[i * size + d] *= rescale;
			for (size_t j = 0; j < n_keys; j++)
			{
				float weight = expf(row[j] - highest);

				total[i] += weight;
				portable_axpy(size, weight, attention_row(call, call->v, key + j, head, room),
							  out + i * size);
			}
		}
	}
	for (size_t i = 0; i < n_queries; i++)
		for (size_t d = 0; d < size; d++)
			call->context[(first + i) * call->context_ld + head * size + d] =
				out[i * size + d] / total[i];
}

void
portable_attention(const AttentionCall *call, void *scratch)
{
	float *scores = scratch;
	float *out = scores + QUERY_TILE * KEY_TILE;

	for (size_t head = 0; head < call->n_heads; head++)
		for (size_t first = 0; first < call->n_tokens; first += QUERY_TILE)
			attention_tile(call, head, first,
						   call->n_tokens - first < QUERY_TILE ? call->n_tokens - first
															   : QUERY_TILE,
						   scores, out);
}

const Kernels kernels_portable = {
	.name = "portable",
	.features = "plain C",
	.layout = {0x706f0001, 0x706f1001, 0x706f2001},
	.meaning = {&kernels_portable, &kernels_portable, &kernels_portable},
	.bf16_attention = true,
	.gemm_packed_size = gemm_packed_size,
	.gemm_pack = gemm_pack,
	.rows_size = rows_size,
	.rows_convert = rows_convert,
	.gemm_scratch_size = gemm_scratch_size,
	.gemm = gemm,
	.gemm_bf16 = gemm_bf16,
	.gemm_rows = gemm_rows,
	.layer_norm = portable_layer_norm,
	.softmax = portable_softmax,
	.activation = portable_activation,
	.axpy = portable_axpy,
	.dot = portable_dot,
	.attention_bytes_from = portable_attention_bytes_from,
	.attention_scratch_size = portable_attention_scratch_size,
	.attention = portable_attention,
};

/* bf16 in this form is fp32 but for the values of the weights */
static Precision
narrow_form(Precision precision)
{
	return precision == PRECISION_BF16 ? PRECISION_FP32 : precision;
}

static PackedMatrix
narrow_matrix(const PackedMatrix *w)
{
	return (PackedMatrix){narrow_form(w->precision), w->n, w->k, w->panels};
}

static size_t
narrow_packed_size(Precision precision, size_t n, size_t k)
{
	return gemm_packed_size(narrow_form(precision), n, k);
}

static bool
narrow_pack(Precision precision, size_t n, size_t k, const float *w, size_t ld, void *panels,
			const MayContinue *question)
{
	float *weights = panels;

	if (precision == PRECISION_INT8)
		return pack_int8(true, n, k, w, ld, panels, question);
	if (!gemm_pack(PRECISION_FP32, n, k, w, ld, panels, question))
		return false;
	for (size_t j = 0; j < panels_of(n) * PANEL && precision == PRECISION_BF16; j++)
	{
		for (size_t i = j * k; i < (j + 1) * k; i++)
			weights[i] = bf16_to_float(float_to_bf16(weights[i]));
		if (!may_continue(question, NULL))
			return false;
	}
	return true;
}

static size_t
narrow_rows_size(Precision precision, size_t m, size_t k)
{
	return rows_size(narrow_form(precision), m, k);
}

static Rows
narrow_rows_convert(Precision precision, size_t m, size_t k, const float *a, size_t ld,
					void *buffer)
{
	return rows_convert(narrow_form(precision), m, k, a, ld, buffer);
}

static size_t
narrow_scratch_size(Precision precision, size_t n, size_t k)
{
	return gemm_scratch_size(narrow_form(precision), n, k);
}

static void
narrow_gemm(const PackedMatrix *w, size_t m, Rows rows, float *c, size_t ldc,
			const GemmEpilogue *epilogue, void *scratch)
{
	PackedMatrix matrix = narrow_matrix(w);

	gemm(&matrix, m, rows, c, ldc, epilogue, scratch);
}

static void
narrow_gemm_bf16(const PackedMatrix *w, size_t m, Rows rows, uint16_t *c, size_t ldc,
				 const GemmEpilogue *epilogue, void *scratch)
{
	PackedMatrix matrix = narrow_matrix(w);

	gemm_bf16(&matrix, m, rows, c, ldc, epilogue, scratch);
}

static Rows
narrow_gemm_rows(const PackedMatrix *w, size_t m, Rows rows, void *buffer,
				 const GemmEpilogue *epilogue, void *scratch)
{
	PackedMatrix matrix = narrow_matrix(w);

	return gemm_rows(&matrix, m, rows, buffer, epilogue, scratch);
}

const Kernels kernels_portable_narrow = {
	.name = "portable",
	.features = "plain C: numbers of CPUs without bf16 and byte dot products",
	.layout = {0x706f0001, 0x706f1002, 0x706f2002},
	.meaning = {&kernels_portable_narrow, &kernels_portable_narrow, &kernels_portable_narrow},
	.gemm_packed_size = narrow_packed_size,
	.gemm_pack = narrow_pack,
	.rows_size = narrow_rows_size,
	.rows_convert = narrow_rows_convert,
	.gemm_scratch_size = narrow_scratch_size,
	.gemm = narrow_gemm,
	.gemm_bf16 = narrow_gemm_bf16,
	.gemm_rows = narrow_gemm_rows,
	.layer_norm = portable_layer_norm,
	.softmax = portable_softmax,
	.activation = portable_activation,
	.axpy = portable_axpy,
	.dot = portable_dot,
	.attention_bytes_from = portable_attention_bytes_from,
	.attention_scratch_size = portable_attention_scratch_size,
	.attention = portable_attention,
};
