/*
 * vector_strassen.h: fp32 products of the rows of one text by seven multiplications instead of
 * eight (Strassen: "Gaussian elimination is not optimal", 1969). Included by vector_gemm.h where an
 * instruction set defines HAVE_STRASSEN.
 *
 * The upper and the lower half of the rows, neighbouring panels of columns, and the halves of each
 * part of the sum are the blocks of the three matrices. Sums of blocks of A are made once for all
 * columns. Sums of blocks of W are made in the inner loop, whose additions and loads find room
 * beside the multiplications; so the packed form is the same as ever. Tiles of the seven products
 * meet in L1.
 *
 * Errors are up to some three times those of the plain sum, relative to the larger row of a pair:
 * for rows of about the same size.
 */
/* The limits are where bench/bench_kernels (the cases with allow_strassen) found the gain. */
#define STRASSEN_ROWS 128    /* that are multiplied together, at most */
#define STRASSEN_MIN_ROWS 20 /* rows from which on it gains */
#define STRASSEN_HALF 192    /* of a part of the sum, at most */
#define TILE_COLUMNS (NV / 2 * VW)

/* Half of a part of a sum of k: k is a multiple of twice that; 0 when there is none. */
static size_t
strassen_half(size_t k)
{
	for (size_t parts = (k + 2 * STRASSEN_HALF - 1) / (2 * STRASSEN_HALF);
		 parts > 0 && k / (2 * parts) >= 4 * VW; parts++)
		if (k % (2 * parts * VW) == 0)
			return k / (2 * parts);
	return 0;
}

static bool
strassen_fits(const PackedMatrix *w, size_t m, const GemmEpilogue *epilogue)
{
	return w->precision == PRECISION_FP32 && m >= STRASSEN_MIN_ROWS && w->n % (2 * PANEL) == 0 &&
		   strassen_half(w->k) > 0 &&
		   (epilogue->activation == ACTIVATION_NONE || epilogue->residual == NULL);
}

static size_t
strassen_ld(size_t half)
{
	return row_bytes(PRECISION_FP32, half);
}

/*
 * A11 + A22, A21 + A22, A11 + A12, A21 - A11, A12 - A22, and A22 where it ends before the others
 */
static size_t
strassen_scratch_size(size_t k)
{
	return 6 * (STRASSEN_ROWS / 2) * strassen_ld(strassen_half(k));
}

/* A block of A or a sum of blocks: (rows of the upper half, half) */
typedef struct Operand
{
	const uint8_t *data;
	size_t ld; /* bytes */
} Operand;

typedef enum OperandName
{
	A11_PLUS_A22,
	A21_PLUS_A22,
	A11_PLUS_A12,
	A21_MINUS_A11,
	A12_MINUS_A22,
	A22,
	A11,
	N_OPERANDS
} OperandName;

/* Rows a, from which the part begins; m rows of which the upper half has the odd one. */
static TARGET void
strassen_operands(size_t m, const uint8_t *a, size_t lda, size_t half, uint8_t *scratch,
				  Operand *operands)
{
	size_t upper = (m + 1) / 2;
	size_t ld = strassen_ld(half);
	float *sums[A22 + 1];

	for (int s = 0; s <= A22; s++)
	{
		sums[s] = (float *) (scratch + (size_t) s * (STRASSEN_ROWS / 2) * ld);
		operands[s] = (Operand){(const uint8_t *) sums[s], ld};
	}
	operands[A11] = (Operand){a, lda};
	if (m % 2 == 0)
		operands[A22] = (Operand){a + upper * lda + half * sizeof(float), lda};
	for (size_t r = 0; r < upper; r++)
	{
		const float *top = (const float *) (a + r * lda);
		const float *bottom = (const float *) (a + (upper + r) * lda);
		bool alone = upper + r == m; /* below it are zeros */

		for (size_t i = 0; i < half; i += VW)
		{
			vf a11 = v_load(top + i);
			vf a12 = v_load(top + half + i);
			vf a21 = alone ? v_set(0.0f) : v_load(bottom + i);
			vf a22 = alone ? v_set(0.0f) : v_load(bottom + half + i);

			v_store(sums[A11_PLUS_A22] + i, v_add(a11, a22));
			v_store(sums[A21_PLUS_A22] + i, v_add(a21, a22));
			v_store(sums[A11_PLUS_A12] + i, v_add(a11, a12));
			v_store(sums[A21_MINUS_A11] + i, v_sub(a21, a11));
			v_store(sums[A12_MINUS_A22] + i, v_sub(a12, a22));
			if (m % 2 != 0)
				v_store(sums[A22] + i, a22);
		}
		for (int s = 0; s <= A22; s++)
			sums[s] += ld / sizeof(float);
	}
}

/* What the sums of C begin with. */
typedef enum Base
{
	BASE_BIAS,
	BASE_BIAS_RESIDUAL,
	BASE_C /* the parts so far */
} Base;

/* The four tiles of C: [lower rows][right columns] */
typedef struct Quad
{
	size_t rows[2]; /* of the upper and the lower half */
	float *c[2][2]; /* (rows, ldc) */
	size_t ldc;
	const float *residual[2][2]; /* (rows, residual_ld) */
	size_t residual_ld;
	const float *bias[2]; /* of the left and the right columns */
} Quad;

INLINE vf
quad_base(const Base base, const Quad *quad, int low, int right, size_t r, size_t column, vf bias)
{
	if (base == BASE_C)
		return v_load(quad->c[low][right] + r * quad->ldc + column);
	return base == BASE_BIAS
			   ? bias
			   : v_add(bias, v_load(quad->residual[low][right] + r * quad->residual_ld + column));
}

/*
 * From the products m[0 .. 4] (M1 .. M5): C12 and C21 as they will be, and what C11 and C22 are but
 * for M7 and M6, to begin[0] and begin[1].
 */
INLINE void
strassen_combine(const Activation activation, const Base base, const Quad *quad,
				 float (*m)[NARROW_ROWS * TILE_COLUMNS], float (*begin)[NARROW_ROWS * TILE_COLUMNS])
{
	for (size_t column = 0; column < TILE_COLUMNS; column += VW)
	{
		vf left = v_load(quad->bias[0] + column);
		vf right = v_load(quad->bias[1] + column);

		for (size_t r = 0; r < quad->rows[0]; r++)
		{
			size_t i = r * TILE_COLUMNS + column;
			vf m1 = v_load(m[0] + i);
			vf m2 = v_load(m[1] + i);
			vf m3 = v_load(m[2] + i);
			vf m4 = v_load(m[3] + i);
			vf m5 = v_load(m[4] + i);
			vf c12 = v_add(v_add(m3, m5), quad_base(base, quad, 0, 1, r, column, right));

			v_store(quad->c[0][1] + r * quad->ldc + column, v_activate(activation, c12));
			v_store(begin[0] + i,
					v_add(v_add(m1, v_sub(m4, m5)), quad_base(base, quad, 0, 0, r, column, left)));
			if (r < quad->rows[1])
			{
				vf c21 = v_add(v_add(m2, m4), quad_base(base, quad, 1, 0, r, column, left));

				v_store(quad->c[1][0] + r * quad->ldc + column, v_activate(activation, c21));
				v_store(begin[1] + i, v_add(v_add(m1, v_sub(m3, m2)),
											quad_base(base, quad, 1, 1, r, column, right)));
			}
		}
	}
}

INLINE void
strassen_activate(const Activation activation, size_t rows, float *c, size_t ldc)
{
	for (size_t r = 0; r < rows; r++)
		for (size_t column = 0; column < TILE_COLUMNS; column += VW)
			v_store(c + r * ldc + column, v_activate(activation, v_load(c + r * ldc + column)));
}

/*
 * What the next two panels' parts lie in is fetched into L2 while these are multiplied, evenly:
 * each call of an inner loop fetches one or two units of a line a group, or one that is there
 * already.
 */
#define FETCH_UNITS 16 /* 2 panels, 2 halves, 4 lines a group */

typedef struct Fetch
{
	const uint8_t *next; /* the first panel's part */
	size_t panel_bytes;
	size_t calls; /* of inner loops in all */
	size_t call;
	size_t units; /* fetched so far */
} Fetch;

typedef struct QuadCall
{
	const Operand *operands;
	size_t row;
	size_t groups;          /* half */
	const uint8_t *b[2][2]; /* [second half of the sum][right panel] */
	Fetch *fetch;
} QuadCall;

/*
 * One of the seven products: operand `name` times b, b + second (sign 1) or b - second (-1). micro
 * says b, second, c, ldc and init
 */
INLINE void
strassen_product(const QuadCall *call, OperandName name, size_t rows, int sign, MicroCall *micro)
{
	const Operand *a = &call->operands[name];
	Fetch *fetch = call->fetch;
	size_t due = (++fetch->call * FETCH_UNITS + fetch->calls - 1) / fetch->calls - fetch->units;

	micro->groups = call->groups;
	micro->a = a->data + call->row * a->ld;
	micro->lda = a->ld;
	micro->prefetch = due == 0
						  ? micro->b
						  : fetch->next + fetch->units / (FETCH_UNITS / 2) * fetch->panel_bytes +
								fetch->units % (FETCH_UNITS / 2) * call->groups * 64;
	combined_fp32[rows - COMBINED_MIN_ROWS][sign + 1][due > 1](micro);
	fetch->units += due;
}

INLINE void
strassen_quad(const Activation activation, const Base base, const QuadCall *call, const Quad *quad)
{
	_Alignas(64) float m[5][NARROW_ROWS * TILE_COLUMNS];
	_Alignas(64) float begin[2][NARROW_ROWS * TILE_COLUMNS];
	const uint8_t *b11 = call->b[0][0];
	const uint8_t *b12 = call->b[0][1];
	const uint8_t *b21 = call->b[1][0];
	const uint8_t *b22 = call->b[1][1];
	const AccumulatorInit upper = {begin[0], TILE_COLUMNS, NULL};
	const AccumulatorInit lower = {begin[1], TILE_COLUMNS, NULL};
	size_t rows = quad->rows[0];

	strassen_product(call, A11_PLUS_A22, rows, 1,
					 &(MicroCall){.b = b11, .second = b22, .c = m[0], .ldc = TILE_COLUMNS});
	strassen_product(call, A21_PLUS_A22, rows, 0,
					 &(MicroCall){.b = b11, .c = m[1], .ldc = TILE_COLUMNS});
	strassen_product(call, A11, rows, -1,
					 &(MicroCall){.b = b12, .second = b22, .c = m[2], .ldc = TILE_COLUMNS});
	strassen_product(call, A22, rows, -1,
					 &(MicroCall){.b = b21, .second = b11, .c = m[3], .ldc = TILE_COLUMNS});
	strassen_product(call, A11_PLUS_A12, rows, 0,
					 &(MicroCall){.b = b22, .c = m[4], .ldc = TILE_COLUMNS});
	strassen_combine(activation, base, quad, m, begin);
	strassen_product(
		call, A21_MINUS_A11, quad->rows[1], 1,
		&(MicroCall){.b = b11, .second = b12, .c = quad->c[1][1], .ldc = quad->ldc, .init = lower});
	strassen_product(
		call, A12_MINUS_A22, rows, 1,
		&(MicroCall){.b = b21, .second = b22, .c = quad->c[0][0], .ldc = quad->ldc, .init = upper});
	if (activation != ACTIVATION_NONE)
	{
		strassen_activate(activation, rows, quad->c[0][0], quad->ldc);
		strassen_activate(activation, quad->rows[1], quad->c[1][1], quad->ldc);
	}
}

#define DEFINE_QUAD(name, activation, base)                         \
	static TARGET void name(const QuadCall *call, const Quad *quad) \
	{                                                               \
		strassen_quad(activation, base, call, quad);                \
	}

DEFINE_QUAD(quad_bias, ACTIVATION_NONE, BASE_BIAS)
DEFINE_QUAD(quad_residual, ACTIVATION_NONE, BASE_BIAS_RESIDUAL)
DEFINE_QUAD(quad_c, ACTIVATION_NONE, BASE_C)
DEFINE_QUAD(quad_bias_gelu, ACTIVATION_GELU, BASE_BIAS)
DEFINE_QUAD(quad_c_gelu, ACTIVATION_GELU, BASE_C)

#undef DEFINE_QUAD

/* A product of STRASSEN_MIN_ROWS to STRASSEN_ROWS rows. */
typedef struct StrassenBlock
{
	const PackedMatrix *w;
	size_t m;
	const GemmEpilogue *epilogue;
	float *c; /* (m, ldc) */
	size_t ldc;
} StrassenBlock;

/* The parts of a sum are added in C; bias or residual come first, the activation last. */
typedef struct StrassenPart
{
	size_t first; /* group */
	size_t half;
	bool begins;
	bool ends;
} StrassenPart;

static void
quad_place(Quad *quad, const StrassenBlock *block, size_t row, size_t column)
{
	static const float nothing[PANEL];
	const GemmEpilogue *epilogue = block->epilogue;
	size_t upper = (block->m + 1) / 2;

	quad->ldc = block->ldc;
	quad->residual_ld = epilogue->residual_ld;
	for (size_t right = 0; right < 2; right++)
	{
		size_t j = column + right * PANEL;

		quad->bias[right] = epilogue->bias == NULL ? nothing : epilogue->bias + j;
		for (size_t low = 0; low < 2; low++)
		{
			size_t i = row + low * upper;

			quad->c[low][right] = block->c + i * block->ldc + j;
			quad->residual[low][right] = epilogue->residual == NULL
											 ? NULL
											 : epilogue->residual + i * epilogue->residual_ld + j;
		}
	}
}

typedef void (*QuadFunction)(const QuadCall *call, const Quad *quad);

static QuadFunction
quad_choose(const GemmEpilogue *epilogue, const StrassenPart *part)
{
	bool gelu = part->ends && epilogue->activation == ACTIVATION_GELU;

	if (!part->begins)
		return gelu ? quad_c_gelu : quad_c;
	if (epilogue->residual != NULL)
		return quad_residual;
	return gelu ? quad_bias_gelu : quad_bias;
}

/* All rows through two neighbouring panels, which begin with `column`. */
static TARGET void
strassen_panels(const StrassenBlock *block, const Operand *operands, const StrassenPart *part,
				size_t column, Fetch *fetch)
{
	const QuadFunction multiply = quad_choose(block->epilogue, part);
	size_t upper = (block->m + 1) / 2;
	size_t lower = block->m - upper;
	size_t steps = (upper + NARROW_ROWS - 1) / NARROW_ROWS;
	size_t half_bytes = part->half * PANEL * 4;
	const uint8_t *b = (const uint8_t *) block->w->panels + column / PANEL * fetch->panel_bytes +
					   part->first * PANEL * 4;

	fetch->calls = 2 * 7 * steps;
	for (size_t side = 0; side < 2; side++)
		for (size_t step = 0, row = 0; step < steps; step++)
		{
			const uint8_t *at = b + side * TILE_COLUMNS * 4;
			QuadCall call = {.operands = operands,
							 .row = row,
							 .groups = part->half,
							 .b = {{at, at + fetch->panel_bytes},
								   {at + half_bytes, at + half_bytes + fetch->panel_bytes}},
							 .fetch = fetch};
			Quad quad;

			quad.rows[0] = upper / steps + (step < upper % steps);
			quad.rows[1] = row + quad.rows[0] > lower ? lower - row : quad.rows[0];
			quad_place(&quad, block, row, column + side * TILE_COLUMNS);
			multiply(&call, &quad);
			row += quad.rows[0];
		}
}

static TARGET void
strassen_part(const StrassenBlock *block, const Operand *operands, const StrassenPart *part)
{
	const PackedMatrix *w = block->w;
	size_t panel_bytes = w->k * PANEL * 4;
	const uint8_t *first = (const uint8_t *) w->panels + part->first * PANEL * 4;

	for (size_t column = 0; column < w->n; column += 2 * PANEL)
	{
		bool last = column + 2 * PANEL == w->n;
		/* behind the last panel comes the next part, or whatever lies behind the matrix */
		const uint8_t *next = last && !part->ends ? first + 2 * part->half * PANEL * 4
												  : first + (column / PANEL + 2) * panel_bytes;
		Fetch fetch = {.next = next, .panel_bytes = panel_bytes};

		strassen_panels(block, operands, part, column, &fetch);
	}
}

/* a: the block's rows */
static TARGET void
strassen_block(const StrassenBlock *block, const uint8_t *a, size_t lda, uint8_t *scratch)
{
	Activation activation = block->epilogue->activation;
	size_t k = block->w->k;
	size_t half = strassen_half(k);

	for (size_t first = 0; first < k; first += 2 * half)
	{
		StrassenPart part = {first, half, first == 0, first + 2 * half == k};
		Operand operands[N_OPERANDS];

		strassen_operands(block->m, a + first * sizeof(float), lda, half, scratch, operands);
		strassen_part(block, operands, &part);
	}
	if (activation != ACTIVATION_NONE && activation != ACTIVATION_GELU)
		for (size_t i = 0; i < block->m; i++)
			vector_activation(activation, block->w->n, block->c + i * block->ldc);
}

static TARGET void
strassen_rows(const PackedMatrix *w, size_t m, Rows rows, const GemmEpilogue *epilogue,
			  Destination to, void *scratch)
{
	size_t blocks = (m + STRASSEN_ROWS - 1) / STRASSEN_ROWS;

	for (size_t block = 0, row = 0; block < blocks; block++)
	{
		size_t count = m / blocks + (block < m % blocks);
		GemmEpilogue part = *epilogue;

		if (part.residual != NULL)
			part.residual += row * part.residual_ld;
		strassen_block(&(StrassenBlock){w, count, &part, (float *) to.c + row * to.ld, to.ld},
					   (const uint8_t *) rows.data + row * rows.stride, rows.stride, scratch);
		row += count;
	}
}
