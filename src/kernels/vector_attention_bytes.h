/*
 * vector_attention_bytes.h: an attention head with products of bytes, for models in int8. Included
 * by vector_attention.h where there are instructions for them.
 *
 * 1. A query or key has one scale, largest / 127. Queries are stored 128 higher, as one side of a
 *    product must be unsigned; what that adds is subtracted from the score.
 * 2. A value has a power of two as scale, at least a VALUE_RANGE-th of the largest value's. It
 *    is multiplied into the probability before that is rounded, as an addition to the score: so
 *    what is rounded is what a key adds to the result. Keys that many queries look at to see
 *    nothing, [SEP] for one, have small values, and do not leave the others without digits.
 * 3. What is left of probabilities, 2^(score - largest) in steps of 1 / EXP2_BYTES_UNIT, becomes
 *    0 .. 255 by adding a number below one to it that differs from key to key and from query to
 *    query (dither) and cutting: many keys that are less than half a step each add up to what
 *    they are, but for chance.
 * 4. The sum that a row is divided by is that of its rounded probabilities, each over its value's
 *    scale, which is exact as scales are powers of two. All sums of bytes are exact.
 */
#define BYTE_STEP ((size_t) 4 * VW) /* probabilities that are made at a time */
#define VALUE_RANGE_LOG2 6
#define VALUE_RANGE (1 << VALUE_RANGE_LOG2)
/*
 * The i-th query's j-th number: 193 j + 145 i, modulo the period, over it: multiples of what
 * Roberts' sequence has for two dimensions (1 / 1.3247 and its square), as it fills the square
 * evenly. 193 * 209 is 145.
 */
#define DITHER_PERIOD ((size_t) 256)
#define DITHER_KEY 193
#define DITHER_ROW 209

_Static_assert(255 * 127 * BYTE_ATTENTION_MOST_TOKENS <= INT32_MAX, "sums of values fit");
_Static_assert(255 * VALUE_RANGE * BYTE_ATTENTION_MOST_TOKENS <= INT32_MAX, "sums of rows fit");
_Static_assert((255 + 128) * 127 * BYTE_ATTENTION_MOST_HEAD <= INT32_MAX, "scores fit");

/* Offsets into the scratch, bytes; arrays of keys are padded_keys long. */
typedef struct ByteLayout
{
	size_t head_groups; /* groups of a query or key */
	size_t padded_keys;
	size_t value_columns;
	size_t strip_ld; /* floats */
	size_t keys;     /* panels */
	size_t values;   /* panels */
	size_t origins;  /* float: what a score is too large by, as queries are 128 higher, negated */
	size_t scales;   /* float: of keys */
	size_t shifts;   /* float: logarithm of the value's scale, -inf for keys that do not exist */
	size_t weights;  /* bytes: VALUE_RANGE over the value's scale */
	size_t dither;   /* uint16 (DITHER_PERIOD + BYTE_STEP) */
	size_t strip;    /* (QUERY_ROWS, strip_ld) */
	size_t queries;  /* bytes (QUERY_ROWS, head size) */
	size_t out;      /* int32 (QUERY_ROWS, value_columns) */
	size_t size;
} ByteLayout;

/* One head, and a block of its queries. */
typedef struct ByteBlock
{
	const AttentionCall *call;
	const ByteLayout *layout;
	uint8_t *scratch;
	size_t head;
	size_t first; /* query */
	size_t rows;
	float value_scale;                          /* the largest */
	float query_scales[QUERY_ROWS];             /* in steps of exponents */
	_Alignas(64) float highest[QUERY_ROWS][VW]; /* vectors whose largest element is the row's */
} ByteBlock;

/* Takes `size` bytes of a scratch: where they begin. */
static size_t
layout_take(ByteLayout *layout, size_t size)
{
	size_t at = layout->size;

	layout->size = size_align(at + size, ALIGNMENT);
	return at;
}

static ByteLayout
byte_layout(size_t n_tokens, size_t head_size)
{
	ByteLayout layout = {0};

	layout.head_groups = head_size / 4;
	layout.padded_keys = size_align(n_tokens, BYTE_STEP > PANEL ? BYTE_STEP : PANEL);
	layout.value_columns = size_align(head_size, HALF_PANEL);
	layout.strip_ld = layout.padded_keys + ALIGNMENT / sizeof(float);
	layout.keys = layout_take(&layout, layout.padded_keys * head_size);
	layout.values = layout_take(&layout, layout.padded_keys * layout.value_columns);
	layout.origins = layout_take(&layout, layout.padded_keys * sizeof(float));
	layout.scales = layout_take(&layout, layout.padded_keys * sizeof(float));
	layout.shifts = layout_take(&layout, layout.padded_keys * sizeof(float));
	layout.weights = layout_take(&layout, layout.padded_keys);
	layout.dither = layout_take(&layout, (DITHER_PERIOD + BYTE_STEP) * sizeof(uint16_t));
	layout.strip = layout_take(&layout, QUERY_ROWS * layout.strip_ld * sizeof(float));
	layout.queries = layout_take(&layout, QUERY_ROWS * head_size);
	layout.out = layout_take(&layout, QUERY_ROWS * layout.value_columns * sizeof(int32_t));
	return layout;
}

/* largest[r]: the largest absolute value of a head's part of row r; NaN does not count. */
INLINE void
rows_absolute(size_t head_size, size_t rows, const uint16_t *x, size_t ld, float *largest)
{
	vf reduced[QUERY_ROWS];

	for (size_t r = 0; r < QUERY_ROWS; r++)
	{
		reduced[r] = v_set(0.0f);
		for (size_t i = 0; r < rows && i < head_size; i += VW)
			reduced[r] = v_max(v_abs(v_load_bf16(x + r * ld + i)), reduced[r]);
	}
	rows_largest(reduced, largest);
}

/* out (head_size): bytes of x * inverse + offset */
INLINE void
byte_row(size_t head_size, const uint16_t *x, float inverse, float offset, uint8_t *out)
{
	for (size_t i = 0; i < head_size; i += VW)
		v_quantize(out + i, v_load_bf16(x + i), v_set(inverse), v_set(QUANTIZE_MAGIC + offset));
}

/* The scale of a query or key, and its inverse: both 0 where there is none. */
static float
byte_scale(float largest, float *inverse)
{
	bool usable = largest > 1e-36f && largest <= 3e38f;

	*inverse = usable ? 127 / largest : 0;
	return usable ? largest / 127 : 0;
}

static float
power_of_two(int exponent)
{
	uint32_t bits = (uint32_t) (exponent + 127) << 23;
	float power;

	memcpy(&power, &bits, sizeof power);
	return power;
}

/* The exponent of the power of two above largest / 127, -120 .. 122. */
static int
value_exponent(float largest)
{
	float scale = (largest <= 1e-34f ? 1e-34f : largest <= 3e38f ? largest : 3e38f) / 127;
	uint32_t bits;

	memcpy(&bits, &scale, sizeof bits);
	return (int) (bits >> 23) - 126;
}

/* Keys of a head: panels, scales and origins. k: the head's part of the first row. */
INLINE void
byte_keys(const ByteBlock *block, const uint16_t *k, size_t ld)
{
	const size_t head_size = block->call->head_size;
	const size_t n_tokens = block->call->n_tokens;
	const ByteLayout *layout = block->layout;
	static const uint8_t middle[4] = {128, 128, 128, 128};
	uint8_t *keys = block->scratch + layout->keys;
	float *scales = (float *) (block->scratch + layout->scales);
	float *origins = (float *) (block->scratch + layout->origins);
	float largest[QUERY_ROWS];
	uint32_t row[BYTE_ATTENTION_MOST_HEAD / 4];

	for (size_t key = 0; key < layout->padded_keys; key++)
	{
		uint32_t *to = (uint32_t *) (keys + key / PANEL * PANEL * head_size) + key % PANEL;
		float inverse = 0;

		if (key % QUERY_ROWS == 0)
			rows_absolute(head_size, key < n_tokens ? n_tokens - key : 0, k + key * ld, ld,
						  largest);
		scales[key] = byte_scale(largest[key % QUERY_ROWS], &inverse);
		if (key < n_tokens)
			byte_row(head_size, k + key * ld, inverse, 0, (uint8_t *) row);
		else
			memset(row, 0, head_size);
		for (size_t g = 0; g < layout->head_groups; g++)
			to[g * PANEL] = row[g];
	}
	for (size_t key = 0; key < layout->padded_keys; key += VW)
	{
		const uint8_t *from = keys + key / PANEL * PANEL * head_size + key % PANEL * 4;
		vi sum = i_zero();

		for (size_t g = 0; g < layout->head_groups; g++)
			sum = dot_int8(sum, g_broadcast(middle), g_load(from + g * PANEL * 4));
		v_store(origins + key, v_fnma(v_from_int(sum), v_load(scales + key), v_set(0.0f)));
	}
}

/*
 * Scales of the head's values: logarithms, and how often the smallest that there may be is in each.
 */
INLINE void
byte_value_scales(ByteBlock *block, const uint16_t *v, size_t ld)
{
	const size_t n_tokens = block->call->n_tokens;
	const ByteLayout *layout = block->layout;
	float *shifts = (float *) (block->scratch + layout->shifts);
	uint8_t *weights = block->scratch + layout->weights;
	int highest = value_exponent(0);

	for (size_t key = 0; key < n_tokens; key += QUERY_ROWS)
	{
		float largest[QUERY_ROWS];
		size_t rows = size_min(n_tokens - key, QUERY_ROWS);

		rows_absolute(block->call->head_size, rows, v + key * ld, ld, largest);
		for (size_t r = 0; r < rows; r++)
		{
			int exponent = value_exponent(largest[r]);

			shifts[key + r] = (float) exponent;
			highest = exponent > highest ? exponent : highest;
		}
	}
	for (size_t key = 0; key < layout->padded_keys; key++)
	{
		int below = key < n_tokens ? highest - (int) shifts[key] : 0;

		below = below < VALUE_RANGE_LOG2 ? below : VALUE_RANGE_LOG2;
		shifts[key] = key < n_tokens ? -EXP2_BYTES_UNIT * (float) below : -INFINITY;
		weights[key] = (uint8_t) (1 << below);
	}
	block->value_scale = power_of_two(highest);
}

/* Values of a head, whose scales are there: panels of groups of four keys, as by pack_values. */
INLINE void
byte_values(const ByteBlock *block, const uint16_t *v, size_t ld)
{
	const size_t head_size = block->call->head_size;
	const ByteLayout *layout = block->layout;
	const uint8_t *weights = block->scratch + layout->weights;
	uint8_t *values = block->scratch + layout->values;
	const float inverse = 1 / block->value_scale;
	uint8_t rows[4][BYTE_ATTENTION_MOST_HEAD + VW];

	memset(rows, 0, sizeof rows);
	for (size_t key = 0; key < layout->padded_keys; key += 4)
	{
		for (size_t r = 0; r < 4; r++)
			if (key + r < block->call->n_tokens)
				byte_row(head_size, v + (key + r) * ld, weights[key + r] * inverse, 0, rows[r]);
			else
				memset(rows[r], 0, head_size);
		for (size_t column = 0; column < layout->value_columns; column += VW)
		{
			size_t panel = column / PANEL * PANEL;
			size_t width = size_min(layout->value_columns - panel, PANEL);

			g_quads(rows[0] + column, sizeof rows[0],
					(uint32_t *) (values + panel * layout->padded_keys) + key / 4 * width + column -
						panel);
		}
	}
}

INLINE void
byte_queries(ByteBlock *block, const uint16_t *q, size_t ld)
{
	const AttentionCall *call = block->call;
	uint8_t *queries = block->scratch + block->layout->queries;
	float largest[QUERY_ROWS];

	q += block->first * ld;
	rows_absolute(call->head_size, block->rows, q, ld, largest);
	for (size_t r = 0; r < block->rows; r++)
	{
		float inverse;

		block->query_scales[r] =
			byte_scale(largest[r], &inverse) * call->scale * 1.44269504f * EXP2_BYTES_UNIT;
		byte_row(call->head_size, q + r * ld, inverse, 128, queries + r * call->head_size);
	}
}

/* What belongs to a vector of keys. */
typedef struct KeyTerms
{
	vf scales;
	vf origins;
	vf shifts;
} KeyTerms;

/* Sums of a panel's keys, in the strip, in place to scores in steps of exponents; the highest. */
INLINE void
byte_panel_scores(ByteBlock *block, size_t key)
{
	const ByteLayout *layout = block->layout;
	const float *scales = (const float *) (block->scratch + layout->scales) + key;
	const float *origins = (const float *) (block->scratch + layout->origins) + key;
	const float *shifts = (const float *) (block->scratch + layout->shifts) + key;
	float *strip = (float *) (block->scratch + layout->strip) + key;
	KeyTerms terms[NV];

#pragma GCC unroll 4
	for (size_t v = 0; v < NV; v++)
		terms[v] =
			(KeyTerms){v_load(scales + v * VW), v_load(origins + v * VW), v_load(shifts + v * VW)};
	for (size_t r = 0; r < block->rows; r++, strip += layout->strip_ld)
	{
		const vf scale = v_set(block->query_scales[r]);
		vf highest = v_load(block->highest[r]);

#pragma GCC unroll 4
		for (size_t v = 0; v < NV; v++)
		{
			vf sum = v_from_int(i_load((const uint32_t *) strip + v * VW));
			vf x = v_fma(v_fma(sum, terms[v].scales, terms[v].origins), scale, terms[v].shifts);

			v_store(strip + v * VW, x);
			highest = v_max(x, highest);
		}
		v_store(block->highest[r], highest);
	}
}

/* The strip: scores of the block with all keys. */
INLINE void
byte_scores(ByteBlock *block)
{
	const ByteLayout *layout = block->layout;
	const size_t head_size = block->call->head_size;

	for (size_t r = 0; r < block->rows; r++)
		v_store(block->highest[r], v_set(-INFINITY));
	for (size_t key = 0; key < layout->padded_keys; key += PANEL)
	{
		const uint8_t *panel = block->scratch + layout->keys + key * head_size;
		MicroCall micro = {.groups = layout->head_groups,
						   .a = block->scratch + layout->queries,
						   .lda = head_size,
						   .b = panel,
						   .c = (uint32_t *) (block->scratch + layout->strip) + key,
						   .ldc = layout->strip_ld,
						   .prefetch = panel};

		query_tile(wide_int8, narrow_int8, block->rows, PANEL, &micro);
		byte_panel_scores(block, key);
	}
}

/* The strip's scores, in place, to bytes. inverse (rows): what results are multiplied by. */
INLINE void
byte_softmax(ByteBlock *block, float *inverse)
{
	const ByteLayout *layout = block->layout;
	const uint8_t *weights = block->scratch + layout->weights;
	const uint16_t *dither = (const uint16_t *) (block->scratch + layout->dither);
	vf reduced[QUERY_ROWS];
	float largest[QUERY_ROWS];

	for (size_t r = 0; r < QUERY_ROWS; r++)
		reduced[r] = v_load(block->highest[r < block->rows ? r : 0]);
	rows_largest(reduced, largest);
	for (size_t r = 0; r < block->rows; r++)
	{
		float *scores = (float *) (block->scratch + layout->strip) + r * layout->strip_ld;
		size_t phase = (block->first + r) * DITHER_ROW;
		vf highest = v_set(largest[r]);
		vi sum = i_zero();

		for (size_t i = 0; i < layout->padded_keys; i += BYTE_STEP)
		{
			vg bytes = v_exp2_bytes(scores + i, highest, dither + (phase + i) % DITHER_PERIOD);

			g_store((uint8_t *) scores + i, bytes);
			sum = dot_int8(sum, bytes, g_load(weights + i));
		}
		reduced[r] = v_from_int(sum);
	}
	rows_sum(reduced, inverse);
	for (size_t r = 0; r < block->rows; r++)
		inverse[r] = block->value_scale / inverse[r];
}

/* The block's context: bytes of the strip times values, each row times its inverse. */
INLINE void
byte_context(const ByteBlock *block, const float *inverses)
{
	const ByteLayout *layout = block->layout;
	const AttentionCall *call = block->call;
	uint32_t *out = (uint32_t *) (block->scratch + layout->out);

	for (size_t column = 0; column < layout->value_columns;)
	{
		size_t width = layout->value_columns - column >= PANEL ? PANEL : HALF_PANEL;
		const uint8_t *values = block->scratch + layout->values + column * layout->padded_keys;
		MicroCall micro = {.groups = layout->padded_keys / 4,
						   .a = block->scratch + layout->strip,
						   .lda = layout->strip_ld * sizeof(float),
						   .b = values,
						   .c = out + column,
						   .ldc = layout->value_columns,
						   .prefetch = values};

		query_tile(wide_int8, narrow_int8, block->rows, width, &micro);
		column += width;
	}
	for (size_t r = 0; r < block->rows; r++, out += layout->value_columns)
	{
		float *context =
			call->context + (block->first + r) * call->context_ld + block->head * call->head_size;

		for (size_t j = 0; j < call->head_size; j += VW)
			v_store(context + j, v_mul(v_from_int(i_load(out + j)), v_set(inverses[r])));
	}
}

INLINE void
attention_head_bytes(ByteBlock *block)
{
	const AttentionCall *call = block->call;
	const size_t ld = call->qkv_ld;
	const size_t at = block->head * call->head_size;

	byte_keys(block, (const uint16_t *) call->k + at, ld);
	byte_value_scales(block, (const uint16_t *) call->v + at, ld);
	byte_values(block, (const uint16_t *) call->v + at, ld);
	for (block->first = 0; block->first < call->n_tokens; block->first += block->rows)
	{
		float inverses[QUERY_ROWS];

		block->rows = size_min(call->n_tokens - block->first, QUERY_ROWS);
		byte_queries(block, (const uint16_t *) call->q + at, ld);
		byte_scores(block);
		byte_softmax(block, inverses);
		if (call->n_tokens * ld * sizeof(uint16_t) > PREFETCH_BYTES)
			prefetch_next(call, sizeof(uint16_t), block->head, block->first, block->rows);
		byte_context(block, inverses);
	}
}

static TARGET void
attention_bytes(const AttentionCall *call, uint8_t *scratch)
{
	const ByteLayout layout = byte_layout(call->n_tokens, call->head_size);
	uint16_t *dither = (uint16_t *) (scratch + layout.dither);
	ByteBlock block = {.call = call, .layout = &layout, .scratch = scratch};

	for (size_t i = 0; i < DITHER_PERIOD + BYTE_STEP; i++)
		dither[i] = (uint16_t) (i * DITHER_KEY % DITHER_PERIOD);
	for (; block.head < call->n_heads; block.head++)
		attention_head_bytes(&block);
}
