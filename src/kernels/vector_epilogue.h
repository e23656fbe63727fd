/*
 * vector_epilogue.h: from a tile's accumulators to results: int8 scaling, bias, activation,
 * residual, rounding to bf16. Included by vector_table.h.
 */

/* Where results go: fp32 or bf16, ld in elements. */
typedef struct Destination
{
	void *c;
	size_t ld;
	bool bf16;
} Destination;

/* The epilogue of a block of rows; arrays begin with the block's first row. */
typedef struct Epilogue
{
	const GemmEpilogue *gemm;
	const RowScale *row_scales; /* of the rows; int8 */
	const float *scales;        /* of the features; int8 */
	const float *sums;          /* of the quantized weights, by feature; int8 */
	Destination to;
	/* (rows, VW), GELU in int8: vectors whose largest element is the row's; or NULL */
	float *highs;
} Epilogue;

/* A tile of accumulators (rows, PANEL): of rows from `row` on, columns from `column` on. */
typedef struct Tile
{
	size_t row;
	size_t rows;
	size_t column;
	size_t columns; /* up to PANEL */
	const uint32_t *accumulators;
} Tile;

/* What belongs to a vector of columns. */
typedef struct ColumnTerms
{
	vf bias;
	vf sums;   /* int8 */
	vf scales; /* int8 */
} ColumnTerms;

/* n: columns that exist; the int8 arrays are padded */
INLINE ColumnTerms
column_terms(const bool quantized, const Epilogue *epilogue, size_t column, size_t n)
{
	const float *bias = epilogue->gemm->bias;
	ColumnTerms terms;

	terms.bias = bias == NULL ? v_set(0.0f) : load_part(bias + column, n);
	terms.sums = quantized ? v_load(epilogue->sums + column) : terms.bias;
	terms.scales = quantized ? v_load(epilogue->scales + column) : terms.bias;
	return terms;
}

/* A vector of accumulators to a vector of results, but for the residual. */
INLINE vf
epilogue_vector(const bool quantized, const Activation activation, const uint32_t *accumulators,
				const ColumnTerms *terms, vf zero, vf scale)
{
	vf x;

	if (!quantized)
		return v_activate(activation, v_add(v_load((const float *) accumulators), terms->bias));
	x = v_fnma(zero, terms->sums, v_from_int(i_load(accumulators)));
	x = v_fma(v_mul(x, terms->scales), scale, terms->bias);
	return activation == ACTIVATION_GELU ? v_gelu_coarse(x) : v_activate(activation, x);
}

/* A whole panel's results: what belongs to its columns stays in registers from row to row. */
INLINE void
epilogue_panel(const bool quantized, const Activation activation, const bool bf16,
			   const bool residual, const Epilogue *epilogue, const Tile *tile)
{
	const bool highs = quantized && activation == ACTIVATION_GELU && epilogue->highs != NULL;
	const uint32_t *accumulators = tile->accumulators;
	const float *added =
		residual ? epilogue->gemm->residual + tile->row * epilogue->gemm->residual_ld + tile->column
				 : NULL;
	size_t at = tile->row * epilogue->to.ld + tile->column;
	ColumnTerms terms[NV];

#pragma GCC unroll 4
	for (int v = 0; v < NV; v++)
		terms[v] = column_terms(quantized, epilogue, tile->column + v * VW, VW);
	for (size_t row = tile->row; row < tile->row + tile->rows; row++)
	{
		vf zero = v_set(quantized ? epilogue->row_scales[row].zero : 0);
		vf scale = v_set(quantized ? epilogue->row_scales[row].scale : 0);
		vf high = v_set(0.0f);

#pragma GCC unroll 4
		for (int v = 0; v < NV; v++)
		{
			vf x = epilogue_vector(quantized, activation, accumulators + v * VW, &terms[v], zero,
								   scale);

			if (residual)
				x = v_add(x, v_load(added + v * VW));
			if (quantized && activation == ACTIVATION_GELU)
				high = v_max(x, high);
			if (bf16)
				v_store_bf16((uint16_t *) epilogue->to.c + at + v * VW, x);
			else
				v_store((float *) epilogue->to.c + at + v * VW, x);
		}
		if (highs)
			v_store(epilogue->highs + row * VW, v_max(v_load(epilogue->highs + row * VW), high));
		accumulators += PANEL;
		at += epilogue->to.ld;
		if (residual)
			added += epilogue->gemm->residual_ld;
	}
}

/* The results of a tile that ends inside its panel. */
INLINE void
epilogue_part(const bool quantized, const Activation activation, const Epilogue *epilogue,
			  const Tile *tile)
{
	const GemmEpilogue *gemm = epilogue->gemm;

	for (size_t j = 0; j < tile->columns; j += VW)
	{
		size_t left = tile->columns - j < VW ? tile->columns - j : VW;
		size_t column = tile->column + j;
		const ColumnTerms terms = column_terms(quantized, epilogue, column, left);

		for (size_t r = 0; r < tile->rows; r++)
		{
			size_t row = tile->row + r;
			size_t at = row * epilogue->to.ld + column;
			vf x = epilogue_vector(quantized, activation, tile->accumulators + r * PANEL + j,
								   &terms, v_set(quantized ? epilogue->row_scales[row].zero : 0),
								   v_set(quantized ? epilogue->row_scales[row].scale : 0));

			if (gemm->residual != NULL)
				x = v_add(x, load_part(gemm->residual + row * gemm->residual_ld + column, left));
			if (epilogue->to.bf16)
			{
				uint16_t rounded[VW];

				v_store_bf16(rounded, x);
				memcpy((uint16_t *) epilogue->to.c + at, rounded, left * sizeof(uint16_t));
			}
			else
				store_part((float *) epilogue->to.c + at, x, left);
		}
	}
}

INLINE void
epilogue_tile(const bool quantized, const Activation activation, const Epilogue *epilogue,
			  const Tile *tile)
{
	const bool residual = epilogue->gemm->residual != NULL;

	if (tile->columns < PANEL)
		epilogue_part(quantized, activation, epilogue, tile);
	else if (epilogue->to.bf16 && residual)
		epilogue_panel(quantized, activation, true, true, epilogue, tile);
	else if (epilogue->to.bf16)
		epilogue_panel(quantized, activation, true, false, epilogue, tile);
	else if (residual)
		epilogue_panel(quantized, activation, false, true, epilogue, tile);
	else
		epilogue_panel(quantized, activation, false, false, epilogue, tile);
}

typedef void (*EpilogueFunction)(const Epilogue *epilogue, const Tile *tile);

#define DEFINE_EPILOGUE(name, quantized, activation)                    \
	static TARGET void name(const Epilogue *epilogue, const Tile *tile) \
	{                                                                   \
		epilogue_tile(quantized, activation, epilogue, tile);           \
	}

DEFINE_EPILOGUE(epilogue_none, false, ACTIVATION_NONE)
DEFINE_EPILOGUE(epilogue_gelu, false, ACTIVATION_GELU)
DEFINE_EPILOGUE(epilogue_other, false, epilogue->gemm->activation)
DEFINE_EPILOGUE(epilogue_int8_none, true, ACTIVATION_NONE)
DEFINE_EPILOGUE(epilogue_int8_gelu, true, ACTIVATION_GELU)
DEFINE_EPILOGUE(epilogue_int8_other, true, epilogue->gemm->activation)

#undef DEFINE_EPILOGUE

static EpilogueFunction
epilogue_choose(Precision precision, Activation activation)
{
	bool quantized = precision == PRECISION_INT8;

	if (activation == ACTIVATION_NONE)
		return quantized ? epilogue_int8_none : epilogue_none;
	if (activation == ACTIVATION_GELU)
		return quantized ? epilogue_int8_gelu : epilogue_gelu;
	return quantized ? epilogue_int8_other : epilogue_other;
}

INLINE void
prefetch_lines(const void *at, size_t bytes, const int writing)
{
	for (size_t i = 0; i < bytes; i += 64)
		if (writing)
			__builtin_prefetch((const uint8_t *) at + i, 1, 3);
		else
			__builtin_prefetch((const uint8_t *) at + i, 0, 3);
}

/* Bytes of m rows of results and of what is added to them. */
INLINE size_t
epilogue_bytes(const Epilogue *epilogue, size_t m)
{
	size_t results = epilogue->to.ld * (epilogue->to.bf16 ? sizeof(uint16_t) : sizeof(float));
	size_t added =
		epilogue->gemm->residual == NULL ? 0 : epilogue->gemm->residual_ld * sizeof(float);

	return m * (results + added);
}

/*
 * Asks for what a tile's results go to and for what is added to them, while its sums are computed.
 */
INLINE void
epilogue_prefetch(const Epilogue *epilogue, size_t row, size_t rows, size_t column)
{
	const GemmEpilogue *gemm = epilogue->gemm;
	size_t size = epilogue->to.bf16 ? sizeof(uint16_t) : sizeof(float);

	for (size_t r = row; r < row + rows; r++)
	{
		prefetch_lines((const uint8_t *) epilogue->to.c + (r * epilogue->to.ld + column) * size,
					   PANEL * size, 1);
		if (gemm->residual != NULL)
			prefetch_lines(gemm->residual + r * gemm->residual_ld + column, PANEL * sizeof(float),
						   0);
	}
}
