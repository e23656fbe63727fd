/*
 * vector_attention.h: softmax(q k^T * scale) v with the micro-kernels of the GEMM. Included by
 * vector_table.h.
 *
 * Head by head, keys are transposed into panels and values padded into panels once; then blocks of
 * up to BLOCK_QUERIES queries get a strip of scores (BLOCK_QUERIES, keys), which becomes
 * probabilities in place. The strip, not the matrix, is what is held: memory is linear in the
 * length. With bf16 input both products are bf16 with fp32 sums, and probabilities are rounded to
 * bf16; by tiles where there are some (vector_attention_tiles.h).
 */
#define QUERY_ROWS NARROW_ROWS
/* by tiles: queries and keys that meet at a time */
#define BLOCK_QUERIES ((size_t) 32)
#define BLOCK_KEYS ((size_t) 256)
/* what attention in bytes may have: see vector_attention_bytes.h */
#define BYTE_ATTENTION_MOST_TOKENS 32768
#define BYTE_ATTENTION_MOST_HEAD 256
/* keys and columns of values are padded to a multiple of this */
#define HALF_PANEL (NV / 2 * VW)

typedef struct AttentionLayout
{
	size_t head_groups; /* groups of a query or key */
	size_t key_groups;  /* groups of keys */
	size_t padded_keys;
	size_t value_columns;
	size_t keys; /* offsets into the scratch, bytes */
	size_t values;
	size_t strip;
	size_t queries;
	size_t out;
	size_t size;
} AttentionLayout;

/* A head's groups fill tiles; keys that do not exist have probability zero. */
static bool
attention_by_tiles(Precision precision, size_t head_size)
{
#ifdef HAVE_AMX
	return precision == PRECISION_BF16 && head_size % (2 * TILE_GROUPS) == 0;
#else
	return false;
#endif
}

static AttentionLayout
attention_layout(Precision precision, size_t n_tokens, size_t head_size)
{
	AttentionLayout layout;
	size_t rows = QUERY_ROWS;
	size_t strip_keys = padded_features(n_tokens);

	layout.head_groups = groups_of(precision, head_size);
	layout.key_groups = groups_of(precision, n_tokens);
	layout.padded_keys = padded_features(n_tokens);
	if (attention_by_tiles(precision, head_size))
	{
		layout.key_groups = size_align(layout.key_groups, PART_UNIT);
		rows = BLOCK_QUERIES;
		strip_keys = BLOCK_KEYS;
	}
	layout.value_columns = (head_size + HALF_PANEL - 1) / HALF_PANEL * HALF_PANEL;
	layout.keys = 0;
	layout.values =
		size_align(layout.keys + layout.padded_keys * layout.head_groups * 4, ALIGNMENT);
	layout.strip =
		size_align(layout.values + layout.key_groups * layout.value_columns * 4, ALIGNMENT);
	layout.queries = size_align(layout.strip + rows * (strip_keys * 4 + ALIGNMENT), ALIGNMENT);
	layout.out = size_align(layout.queries + rows * layout.head_groups * 4, ALIGNMENT);
	layout.size = size_align(layout.out + rows * layout.value_columns * 4, ALIGNMENT);
	return layout;
}

/*
 * Width of the panel that begins with key `first`, which is a multiple of PANEL: the last one may
 * be a half.
 */
INLINE size_t
key_width(size_t n_tokens, size_t first)
{
	return n_tokens - first > HALF_PANEL ? PANEL : HALF_PANEL;
}

/* out: panels of keys; in a panel, for each group of the head, the group of every key */
INLINE void
pack_keys(size_t n_tokens, size_t head_groups, size_t head_bytes, const uint8_t *keys, size_t ld,
		  uint32_t *out)
{
	size_t whole = head_bytes / 4 / VW * VW; /* groups that are transposed VW at a time */

	for (size_t panel = 0; panel < n_tokens; panel += PANEL)
	{
		size_t width = key_width(n_tokens, panel);

		for (size_t first = panel; first < panel + width; first += VW)
		{
			size_t count = first >= n_tokens ? 0 : n_tokens - first < VW ? n_tokens - first : VW;
			uint32_t *to = out + panel * head_groups + first - panel;
			const uint8_t *from = keys + first * ld;

			for (size_t g = 0; g < whole; g += VW)
				if (count == VW)
					g_transpose(from + g * 4, ld, to + g * width, width);
				else
				{
					/* keys that do not exist are zeros */
					_Alignas(64) uint8_t rows[VW][VW * 4];

					memset(rows, 0, sizeof rows);
					for (size_t i = 0; i < count; i++)
						memcpy(rows[i], from + i * ld + g * 4, VW * 4);
					g_transpose(rows[0], VW * 4, to + g * width, width);
				}
			for (size_t g = whole; g < head_groups; g++)
				for (size_t i = 0; i < VW; i++)
				{
					size_t bytes = head_bytes - g * 4 < 4 ? head_bytes - g * 4 : 4;
					uint32_t group = 0;

					if (i < count)
						memcpy(&group, from + i * ld + g * 4, bytes);
					to[g * width + i] = group;
				}
		}
	}
}

/*
 * out: panels of up to PANEL columns, the last one HALF_PANEL wide when they are an odd number of
 * halves; groups of keys that do not exist are zeros
 */
INLINE void
pack_values(const bool bf16, size_t n_tokens, size_t head_size, const AttentionLayout *layout,
			const uint8_t *values, size_t ld, uint32_t *out)
{
	static const uint16_t nothing[VW];
	size_t groups = bf16 ? (n_tokens + 1) / 2 : n_tokens;
	size_t columns = layout->value_columns;

	for (size_t column = 0; column < columns;)
	{
		size_t width = columns - column < PANEL ? columns - column : PANEL;

		for (size_t g = 0; g < groups; g++)
			for (size_t j = 0; j < width; j += VW, out += VW)
			{
				size_t at = column + j;
				size_t left = at < head_size ? head_size - at : 0;

				if (!bf16)
				{
					const float *row = (const float *) (values + g * ld);

					v_store((float *) out, left >= VW ? v_load(row + at)
										   : left > 0 ? v_load_n(row + at, left)
													  : v_set(0.0f));
				}
				else
				{
					const uint16_t *row = (const uint16_t *) (values + 2 * g * ld);
					const uint16_t *next =
						2 * g + 1 < n_tokens ? (const uint16_t *) ((const uint8_t *) row + ld) + at
											 : nothing;

					if (left >= VW)
						g_pairs(row + at, next, out);
					else
						for (size_t i = 0; i < VW; i++)
							out[i] = i >= left
										 ? 0
										 : (uint32_t) row[at + i] |
											   (next == nothing ? 0 : (uint32_t) next[i] << 16);
				}
			}
		memset(out, 0, (layout->key_groups - groups) * width * sizeof(uint32_t));
		out += (layout->key_groups - groups) * width;
		column += width;
	}
}

#ifndef HAVE_ROW_REDUCTIONS
/* out[r]: the largest element, or the sum, of x[r] */
INLINE void
rows_largest(const vf *x, float *out)
{
	for (size_t r = 0; r < QUERY_ROWS; r++)
		out[r] = v_largest(x[r]);
}

INLINE void
rows_sum(const vf *x, float *out)
{
	for (size_t r = 0; r < QUERY_ROWS; r++)
		out[r] = v_sum(x[r]);
}
#endif

#ifdef HAVE_EXP2_BF16
#define SOFTMAX_STEP_BF16 (2 * VW) /* scores that are taken at a time */
#else
#define SOFTMAX_STEP_BF16 VW
#endif

/*
 * One row: scores (n) to e^(scale * (score - largest)); returns vectors of which the sum is theirs.
 */
INLINE vf
row_exp(const bool bf16, size_t n, float factor, float largest, float *scores)
{
	vf total = v_set(0.0f);

#ifdef HAVE_EXP2_BF16
	if (bf16)
	{
		vf scale = v_set(factor * EXP2_BF16_UNIT);
		vf shift = v_set(EXP2_BF16_ONE - largest * factor * EXP2_BF16_UNIT);

		for (size_t i = 0; i < n; i += SOFTMAX_STEP_BF16)
			total = v_exp2_bf16((uint16_t *) scores + i, v_fma(v_load(scores + i), scale, shift),
								v_fma(v_load(scores + i + VW), scale, shift), total);
		return total;
	}
#endif
	for (size_t i = 0; i < n; i += VW)
	{
		vf x = v_fma(v_load(scores + i), v_set(factor), v_set(largest * -factor));
		vf e = bf16 ? v_exp2_negative_coarse(x) : v_exp2_negative(x);

		total = v_add(total, e);
		if (bf16)
			v_store_bf16((uint16_t *) scores + i, e);
		else
			v_store(scores + i, e);
	}
	return total;
}

/*
 * strip (rows, ld): scores of n keys, -inf behind the last one, in place to e^(scale * (score -
 * largest)), as fp32 or bf16. inverse (rows): one over their sums. factor: scale * log2(e)
 */
INLINE void
strip_softmax(const bool bf16, size_t rows, size_t n, float factor, float *strip, size_t ld,
			  float *inverse)
{
	vf reduced[QUERY_ROWS];
	float largest[QUERY_ROWS];

	for (size_t r = 0; r < QUERY_ROWS; r++)
		reduced[r] = v_set(1.0f);
	for (size_t r = 0; r < rows; r++)
	{
		const float *scores = strip + r * ld;
		vf even = v_load(scores);
		vf odd = even;
		size_t i = VW;

		for (; i + 2 * VW <= n; i += 2 * VW)
		{
			odd = v_max(odd, v_load(scores + i));
			even = v_max(even, v_load(scores + i + VW));
		}
		reduced[r] = v_max(even, i < n ? v_max(odd, v_load(scores + i)) : odd);
	}
	rows_largest(reduced, largest);
	for (size_t r = 0; r < rows; r++)
		reduced[r] = row_exp(bf16, n, factor, largest[r], strip + r * ld);
	rows_sum(reduced, inverse);
	for (size_t r = 0; r < QUERY_ROWS; r++)
		inverse[r] = 1.0f / inverse[r];
}

/* n scores of keys that do not exist */
INLINE void
hide_keys(float *scores, size_t n)
{
	for (; n >= VW; n -= VW, scores += VW)
		v_store(scores, v_set(-INFINITY));
	if (n > 0)
		v_store_n(scores, v_set(-INFINITY), n);
}

/* Asks for a head's part of `rows` rows from `first` on, as far as there are any. */
INLINE void
prefetch_rows(const uint8_t *at, size_t bytes, size_t ld, size_t first, size_t rows, size_t n)
{
	for (size_t r = first; r < first + rows && r < n; r++)
		prefetch_lines(at + r * ld, bytes, 0);
}

/*
 * Asks for what comes next, of as many rows as a block has: the place of the block's results, the
 * next queries, and part of the next head's keys and values.
 */
INLINE void
prefetch_next(const AttentionCall *call, size_t element, size_t head, size_t first, size_t rows)
{
	size_t bytes = call->head_size * element;
	size_t ld = call->qkv_ld * element;

	for (size_t r = first; r < first + rows; r++)
		prefetch_lines(call->context + r * call->context_ld + head * call->head_size,
					   call->head_size * sizeof(float), 1);
	prefetch_rows((const uint8_t *) call->q + head * bytes, bytes, ld, first + rows, rows,
				  call->n_tokens);
	if (head + 1 < call->n_heads)
	{
		prefetch_rows((const uint8_t *) call->k + (head + 1) * bytes, bytes, ld, first, rows,
					  call->n_tokens);
		prefetch_rows((const uint8_t *) call->v + (head + 1) * bytes, bytes, ld, first, rows,
					  call->n_tokens);
	}
}

/* One head of a call, and a block of its queries. */
typedef struct HeadBlock
{
	const AttentionCall *call;
	const AttentionLayout *layout;
	size_t head;
	uint8_t *scratch;
	float *strip;    /* (QUERY_ROWS, strip_ld) */
	size_t strip_ld; /* floats */
	size_t first;    /* query */
	size_t rows;
} HeadBlock;

/*
 * The tile of up to QUERY_ROWS rows by a panel, in two calls, or by half a panel. call: of all
 * rows; c is (rows, ldc) floats
 */
INLINE void
query_tile(const MicroKernel (*wide)[4], const MicroKernel *narrow, size_t rows, size_t columns,
		   MicroCall *call)
{
	size_t upper = rows < WIDE_ROWS ? rows : (rows + 1) / 2;

	if (columns < PANEL)
	{
		narrow[rows - 1](call);
		return;
	}
	wide[upper - 1][0](call);
	if (rows == upper)
		return;
	call->a += upper * call->lda;
	call->c = (float *) call->c + upper * call->ldc;
	wide[rows - upper - 1][0](call);
}

/* strip = q k^T of the block */
INLINE void
attention_scores(const bool bf16, const HeadBlock *block)
{
	const AttentionCall *call = block->call;
	const AttentionLayout *layout = block->layout;
	size_t size = bf16 ? sizeof(uint16_t) : sizeof(float);
	size_t head_bytes = call->head_size * size;
	size_t ld = call->qkv_ld * size;
	const uint8_t *q = (const uint8_t *) call->q + block->head * head_bytes + block->first * ld;

	/* the last group of a query is filled up with zeros */
	if (head_bytes % 4 != 0)
	{
		uint8_t *copy = block->scratch + layout->queries;
		size_t copy_ld = layout->head_groups * 4;

		memset(copy, 0, block->rows * copy_ld);
		for (size_t r = 0; r < block->rows; r++)
			memcpy(copy + r * copy_ld, q + r * ld, head_bytes);
		q = copy;
		ld = copy_ld;
	}
	for (size_t key = 0; key < call->n_tokens; key += PANEL)
	{
		const uint8_t *panel = block->scratch + layout->keys + key * layout->head_groups * 4;
		MicroCall micro = {.groups = layout->head_groups,
						   .a = q,
						   .lda = ld,
						   .b = panel,
						   .c = block->strip + key,
						   .ldc = block->strip_ld,
						   .prefetch = panel};

		query_tile(bf16 ? wide_bf16 : wide_fp32, bf16 ? narrow_bf16 : narrow_fp32, block->rows,
				   key_width(call->n_tokens, key), &micro);
	}
}

/* out (rows, value_columns) = strip, of what are probabilities now but for their sum, times v */
INLINE void
attention_values(const bool bf16, const HeadBlock *block, float *out)
{
	const AttentionLayout *layout = block->layout;
	const uint8_t *values = block->scratch + layout->values;

	for (size_t column = 0; column < layout->value_columns;)
	{
		size_t width = layout->value_columns - column >= PANEL ? PANEL : HALF_PANEL;
		MicroCall micro = {.groups = layout->key_groups,
						   .a = (const uint8_t *) block->strip,
						   .lda = block->strip_ld * 4,
						   .b = values,
						   .c = out + column,
						   .ldc = layout->value_columns,
						   .prefetch = values};

		query_tile(bf16 ? wide_bf16 : wide_fp32, bf16 ? narrow_bf16 : narrow_fp32, block->rows,
				   width, &micro);
		column += width;
		values += layout->key_groups * width * 4;
	}
}

/* The block's context: out (rows, value_columns), each row times its inverse. */
INLINE void
attention_store(const HeadBlock *block, const float *out, const float *inverses)
{
	const AttentionCall *call = block->call;
	size_t head_size = call->head_size;

	for (size_t r = 0; r < block->rows; r++, out += block->layout->value_columns)
	{
		vf inverse = v_set(inverses[r]);
		float *context =
			call->context + (block->first + r) * call->context_ld + block->head * head_size;

		for (size_t j = 0; j < head_size; j += VW)
			store_part(context + j, v_mul(v_load(out + j), inverse), head_size - j);
	}
}

INLINE void
attention_head(const bool bf16, const AttentionCall *call, size_t head, uint8_t *scratch)
{
	const Precision precision = bf16 ? PRECISION_BF16 : PRECISION_FP32;
	const AttentionLayout layout = attention_layout(precision, call->n_tokens, call->head_size);
	const size_t size = element_size(precision);
	const size_t ld = call->qkv_ld * size;
	const size_t head_bytes = call->head_size * size;
	const size_t step = bf16 ? SOFTMAX_STEP_BF16 : VW;
	const size_t keys = (call->n_tokens + step - 1) / step * step;
	float *out = (float *) (scratch + layout.out);
	HeadBlock block = {.call = call,
					   .layout = &layout,
					   .head = head,
					   .scratch = scratch,
					   .strip = (float *) (scratch + layout.strip),
					   .strip_ld = layout.padded_keys + ALIGNMENT / 4};

	pack_keys(call->n_tokens, layout.head_groups, head_bytes,
			  (const uint8_t *) call->k + head * head_bytes, ld,
			  (uint32_t *) (scratch + layout.keys));
	pack_values(bf16, call->n_tokens, call->head_size, &layout,
				(const uint8_t *) call->v + head * head_bytes, ld,
				(uint32_t *) (scratch + layout.values));
	for (; block.first < call->n_tokens; block.first += block.rows)
	{
		float inverses[QUERY_ROWS];

		block.rows = size_min(call->n_tokens - block.first, QUERY_ROWS);
		attention_scores(bf16, &block);
		for (size_t r = 0; r < block.rows && call->n_tokens < keys; r++)
			hide_keys(block.strip + r * block.strip_ld + call->n_tokens, keys - call->n_tokens);
		strip_softmax(bf16, block.rows, keys, call->scale * 1.44269504f, block.strip,
					  block.strip_ld, inverses);
		if (call->n_tokens * ld > PREFETCH_BYTES)
			prefetch_next(call, size, head, block.first, block.rows);
		attention_values(bf16, &block, out);
		attention_store(&block, out, inverses);
	}
}

#ifdef HAVE_AMX
#include "kernels/vector_attention_tiles.h"
#endif
#ifdef BYTE_ATTENTION_FROM
#include "kernels/vector_attention_bytes.h"
#endif

static size_t
vector_attention_bytes_from(size_t head_size, size_t most_tokens)
{
#ifdef BYTE_ATTENTION_FROM
	if (head_size % 16 == 0 && head_size <= BYTE_ATTENTION_MOST_HEAD &&
		most_tokens <= BYTE_ATTENTION_MOST_TOKENS)
		return BYTE_ATTENTION_FROM;
#endif
	(void) head_size;
	(void) most_tokens;
	return SIZE_MAX;
}

static size_t
vector_attention_scratch_size(Precision precision, size_t n_tokens, size_t head_size)
{
	size_t fp32 = attention_layout(PRECISION_FP32, n_tokens, head_size).size;
	size_t bf16 = attention_layout(PRECISION_BF16, n_tokens, head_size).size;
	size_t most = fp32 > bf16 ? fp32 : bf16;

#ifdef BYTE_ATTENTION_FROM
	if (precision == PRECISION_INT8 && byte_layout(n_tokens, head_size).size > most)
		return byte_layout(n_tokens, head_size).size;
#endif
	(void) precision;
	return most;
}

static TARGET void
vector_attention(const AttentionCall *call, void *scratch)
{
#ifdef BYTE_ATTENTION_FROM
	if (call->bytes)
	{
		attention_bytes(call, scratch);
		return;
	}
#endif
#ifdef HAVE_AMX
	if (call->bf16 && attention_by_tiles(PRECISION_BF16, call->head_size))
	{
		tiles_begin();
		for (size_t head = 0; head < call->n_heads; head++)
			attention_head_tiles(call, head, scratch);
		tiles_end();
		return;
	}
#endif
	for (size_t head = 0; head < call->n_heads; head++)
		if (call->bf16)
			attention_head(true, call, head, scratch);
		else
			attention_head(false, call, head, scratch);
}
