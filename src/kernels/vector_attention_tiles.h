/*
 * vector_attention_tiles.h: an attention head by tiles of AMX, in bf16. Included by
 * vector_attention.h.
 *
 * Blocks of TILE_STEP queries meet blocks of BLOCK_KEYS keys, so that a strip of scores, its
 * probabilities, the block's keys and its values stay in L1 however long the text is. What a
 * query's exponents are relative to is the largest score of the first block; floating-point
 * numbers leave room for larger ones, so that what was added up is scaled anew only when a later
 * block exceeds it by more than 2^REFERENCE_ROOM. A text of up to BLOCK_KEYS keys has the largest
 * score of all.
 *
 * Packing 32 exponents to 16 bits interleaves them; instead of putting them in order, the values
 * lie in the same order (value_group).
 */
#define SOFTMAX_ROWS ((size_t) 8)
#define REFERENCE_ROOM 8.0f

_Static_assert(BLOCK_QUERIES == TILE_STEP && SOFTMAX_ROWS <= QUERY_ROWS, "as tile_panel has them");

/* One head's queries, a block of them, and a block of keys. */
typedef struct TileBlock
{
	const AttentionLayout *layout;
	const uint8_t *q; /* whole tiles of rows */
	size_t q_ld;      /* bytes */
	size_t rows;      /* that there are */
	float *strip;     /* (TILE_STEP, STRIP_LD) */
	float *out;       /* (TILE_STEP, value_columns) */
	float factor;     /* scale * log2(e) */
	/* of each row: what its exponents are relative to, and vectors of the sum of their powers */
	float reference[TILE_STEP];
	_Alignas(64) float sums[TILE_STEP][VW];
} TileBlock;

/* no two rows share all their cache sets */
#define STRIP_LD (BLOCK_KEYS + ALIGNMENT / sizeof(float))

/* Where the g-th pair of keys lies: v_exp2_pairs gives 0-3, 16-19, 4-7, 20-23, 8-11 ... of 32. */
INLINE size_t
value_group(size_t g)
{
	size_t within = g % TILE_GROUPS;

	return g - within + within % 8 / 2 * 4 + within / 8 * 2 + within % 2;
}

/* Panels of values as by pack_values, but groups in value_group's order. */
INLINE void
pack_value_tiles(size_t n_tokens, const AttentionLayout *layout, const uint8_t *values, size_t ld,
				 uint32_t *out)
{
	static const uint16_t nothing[VW];
	size_t columns = layout->value_columns;

	for (size_t column = 0; column < columns; column += PANEL)
	{
		size_t width = size_min(columns - column, PANEL);

		for (size_t g = 0; g < layout->key_groups; g++)
			for (size_t j = 0; j < width; j += VW)
			{
				const uint16_t *row = (const uint16_t *) (values + 2 * g * ld) + column + j;
				const uint16_t *next = (const uint16_t *) ((const uint8_t *) row + ld);

				g_pairs(2 * g < n_tokens ? row : nothing, 2 * g + 1 < n_tokens ? next : nothing,
						out + value_group(g) * width + j);
			}
		out += layout->key_groups * width;
	}
}

/* The strip: scores of the block with `count` keys, of which panels lie at `panels`. */
INLINE void
tile_scores(const TileBlock *block, size_t n_tokens, size_t first, size_t count,
			const uint8_t *panels)
{
	for (size_t key = 0; key < count; key += PANEL)
	{
		size_t width = key_width(n_tokens, first + key);
		TileCall call = {.groups = block->layout->head_groups,
						 .a = block->q,
						 .lda = block->q_ld,
						 .b = panels + (first + key) * block->layout->head_groups * 4,
						 .ldb = width * 4,
						 .c = (uint32_t *) block->strip + key,
						 .ldc = STRIP_LD * 4};

		tile_panel(false, block->rows, width < PANEL, &call);
	}
}

/* out += probabilities of the block of keys, times their values */
INLINE void
tile_values(const TileBlock *block, size_t first, size_t groups, const uint8_t *values)
{
	const size_t columns = block->layout->value_columns;

	for (size_t column = 0; column < columns; column += PANEL)
	{
		size_t width = size_min(columns - column, PANEL);
		uint32_t *out = (uint32_t *) block->out + column;
		TileCall call = {.groups = groups,
						 .a = (const uint8_t *) block->strip,
						 .lda = STRIP_LD * 4,
						 .b = values + first / 2 * width * 4,
						 .ldb = width * 4,
						 .c = out,
						 .ldc = columns * 4,
						 .from = first == 0 ? NULL : out,
						 .from_ld = columns * 4};

		tile_panel(false, block->rows, width < PANEL, &call);
		values += block->layout->key_groups * width * 4;
	}
}

/* A row's exponents are relative to a larger score from here on. */
static TARGET void
tile_refer(TileBlock *block, size_t row, float largest)
{
	const size_t columns = block->layout->value_columns;
	vf by = v_set(exp2f((block->reference[row] - largest) * block->factor));

	for (size_t j = 0; j < columns; j += VW)
		v_store(block->out + row * columns + j, v_mul(v_load(block->out + row * columns + j), by));
	v_store(block->sums[row], v_mul(v_load(block->sums[row]), by));
	block->reference[row] = largest;
}

/* The largest of n scores, in a vector: n is a multiple of 2 * VW */
INLINE vf
largest_scores(const float *scores, size_t n)
{
	vf even = v_load(scores);
	vf odd = v_load(scores + VW);

	for (size_t i = 2 * VW; i < n; i += 2 * VW)
	{
		even = v_max(even, v_load(scores + i));
		odd = v_max(odd, v_load(scores + i + VW));
	}
	return v_max(even, odd);
}

/* The strip's n scores a row, in place, to bf16 numbers 2^(factor * (score - reference)). */
INLINE void
tile_softmax(TileBlock *block, bool begins, size_t n)
{
	const vf scale = v_set(block->factor * EXP2_BF16_UNIT);

	for (size_t row = 0; row < block->rows; row += SOFTMAX_ROWS)
	{
		size_t rows = size_min(block->rows - row, SOFTMAX_ROWS);
		float *strip = block->strip + row * STRIP_LD;
		vf reduced[QUERY_ROWS];
		float largest[QUERY_ROWS];

		for (size_t r = 0; r < QUERY_ROWS; r++)
			reduced[r] = r < rows ? largest_scores(strip + r * STRIP_LD, n) : v_set(0.0f);
		rows_largest(reduced, largest);
		for (size_t r = 0; r < rows; r++)
		{
			if (begins)
				block->reference[row + r] = largest[r];
			else if ((largest[r] - block->reference[row + r]) * block->factor > REFERENCE_ROOM)
				tile_refer(block, row + r, largest[r]);
		}
		for (size_t r = 0; r < rows; r++)
		{
			float *scores = strip + r * STRIP_LD;
			vf shift =
				v_set(EXP2_BF16_ONE - block->reference[row + r] * block->factor * EXP2_BF16_UNIT);
			vf total = begins ? v_set(0.0f) : v_load(block->sums[row + r]);

			for (size_t i = 0; i < n; i += 2 * VW)
				total =
					v_exp2_pairs((uint16_t *) scores + i, v_fma(v_load(scores + i), scale, shift),
								 v_fma(v_load(scores + i + VW), scale, shift), total);
			v_store(block->sums[row + r], total);
		}
	}
}

/* The block's context, each row over its sum. */
INLINE void
tile_store(const TileBlock *block, const AttentionCall *call, float *context)
{
	const size_t columns = block->layout->value_columns;

	for (size_t row = 0; row < block->rows; row += SOFTMAX_ROWS)
	{
		size_t rows = size_min(block->rows - row, SOFTMAX_ROWS);
		vf reduced[QUERY_ROWS];
		float sums[QUERY_ROWS];

		for (size_t r = 0; r < QUERY_ROWS; r++)
			reduced[r] = v_load(block->sums[row + (r < rows ? r : 0)]);
		rows_sum(reduced, sums);
		for (size_t r = 0; r < rows; r++)
		{
			const float *out = block->out + (row + r) * columns;
			vf inverse = v_set(1.0f / sums[r]);

			for (size_t j = 0; j < call->head_size; j += VW)
				v_store(context + (row + r) * call->context_ld + j,
						v_mul(v_load(out + j), inverse));
		}
	}
}

/* The queries from `first` on, up to TILE_STEP of them; a last tile is filled up with zeros. */
INLINE void
tile_queries(TileBlock *block, const AttentionCall *call, size_t head, size_t first, uint8_t *room)
{
	size_t bytes = call->head_size * sizeof(uint16_t);

	block->rows = size_min(call->n_tokens - first, BLOCK_QUERIES);
	block->q_ld = call->qkv_ld * sizeof(uint16_t);
	block->q = (const uint8_t *) call->q + head * bytes + first * block->q_ld;
	if (block->rows % TILE_ROWS == 0)
		return;
	memset(room, 0, TILE_STEP * bytes);
	for (size_t r = 0; r < block->rows; r++)
		memcpy(room + r * bytes, block->q + r * block->q_ld, bytes);
	block->q = room;
	block->q_ld = bytes;
}

static TARGET void
attention_head_tiles(const AttentionCall *call, size_t head, uint8_t *scratch)
{
	const AttentionLayout layout =
		attention_layout(PRECISION_BF16, call->n_tokens, call->head_size);
	const size_t ld = call->qkv_ld * sizeof(uint16_t);
	const size_t bytes = call->head_size * sizeof(uint16_t);
	TileBlock block = {.layout = &layout,
					   .strip = (float *) (scratch + layout.strip),
					   .out = (float *) (scratch + layout.out),
					   .factor = call->scale * 1.44269504f};

	pack_keys(call->n_tokens, layout.head_groups, bytes, (const uint8_t *) call->k + head * bytes,
			  ld, (uint32_t *) (scratch + layout.keys));
	pack_value_tiles(call->n_tokens, &layout, (const uint8_t *) call->v + head * bytes, ld,
					 (uint32_t *) (scratch + layout.values));
	for (size_t query = 0; query < call->n_tokens; query += block.rows)
	{
		tile_queries(&block, call, head, query, scratch + layout.queries);
		for (size_t key = 0; key < call->n_tokens; key += BLOCK_KEYS)
		{
			size_t count = size_min(call->n_tokens - key, BLOCK_KEYS);
			size_t whole = size_align(count, 2 * VW);

			tile_scores(&block, call->n_tokens, key, count, scratch + layout.keys);
			for (size_t r = 0; r < block.rows && count < whole; r++)
				hide_keys(block.strip + r * STRIP_LD + count, whole - count);
			tile_softmax(&block, key == 0, whole);
			tile_values(&block, key, whole / 2, scratch + layout.values);
		}
		if (call->n_tokens * ld > PREFETCH_BYTES)
			prefetch_next(call, sizeof(uint16_t), head, query, block.rows);
		tile_store(&block, call, call->context + query * call->context_ld + head * call->head_size);
	}
}
