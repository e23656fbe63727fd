/*
 * vector_sgemm.h: sgemm.h's products in terms of an instruction set's primitives. Included by one file per instruction set.
 *
 * The classic order (Goto and van de Geijn, "Anatomy of High-Performance Matrix Multiplication"): PART_COLUMNS columns and PART_DEPTH of
 * the sum at a time, whose part of B is packed into panels; BLOCK_ROWS rows pass through all panels. Rows of A are read where
 * they lie; a transposed A is turned over into the scratch first, a block at a time.
 */
#include "kernels/vector_tile.h"

#define PART_DEPTH 512
#define PART_COLUMNS 1536
#define BLOCK_ROWS 192
#define TURNED_LD (PART_DEPTH + 16) /* an odd number of cache lines: rows of a tile share no cache set */

_Static_assert(PART_COLUMNS % PANEL == 0, "parts of whole panels");
_Static_assert((size_t) PART_DEPTH * PART_COLUMNS + BLOCK_ROWS * TURNED_LD <= SGEMM_SCRATCH_FLOATS, "the scratch");

/* The columns that a panel with n of them left is as wide as: all, or half where that is enough. */
INLINE size_t
panel_width(size_t n)
{
	return n > PANEL / 2 ? PANEL : PANEL / 2;
}

/* out (columns, ldo), to which x (rows, ld) is turned over; rows and columns may be any. */
static TARGET void
turn_over(size_t rows, size_t columns, const float *x, size_t ld, float *out, size_t ldo)
{
	for (size_t i = 0; i < rows; i += VW)
		for (size_t j = 0; j < columns; j += VW)
			if (rows - i >= VW && columns - j >= VW)
				g_transpose((const uint8_t *) (x + i * ld + j), ld * sizeof(float), (uint32_t *) (out + j * ldo + i), ldo);
			else
				for (size_t r = i; r < rows && r < i + VW; r++)
					for (size_t c = j; c < columns && c < j + VW; c++)
						out[c * ldo + r] = x[r * ld + c];
}

/* One panel of op(B): depth rows of `width` columns side by side, of which n are there and the others 0. */
static TARGET void
pack_panel(const SgemmCall *call, size_t from, size_t depth, size_t column, size_t n, size_t width, float *panel)
{
	if (call->transpose_b)
	{
		turn_over(n, depth, call->b + column * call->ldb + from, call->ldb, panel, width);
		for (size_t p = 0; p < depth && n < width; p++)
			memset(panel + p * width + n, 0, (width - n) * sizeof(float));
		return;
	}
	for (size_t p = 0; p < depth; p++, panel += width)
	{
		const float *row = call->b + (from + p) * call->ldb + column;

		for (size_t j = 0; j < width; j += VW)
			v_store(panel + j, j + VW <= n ? v_load(row + j) : j < n ? v_load_n(row + j, n - j) : v_set(0.0f));
	}
}

INLINE void
copy_columns(size_t rows, size_t n, const float *from, size_t ld_from, float *to, size_t ld_to)
{
	for (size_t r = 0; r < rows; r++, from += ld_from, to += ld_to)
	{
		size_t		j = 0;

		for (; j + VW <= n; j += VW)
			v_store(to + j, v_load(from + j));
		if (j < n)
			v_store_n(to + j, v_load_n(from + j, n - j), n - j);
	}
}

/* What one panel is multiplied with: a (rows, lda) of a part of the sum; which is the first one of several or not. */
typedef struct PanelCall
{
	const float *a;
	size_t		lda;
	size_t		rows;
	size_t		depth;
	const float *panel;			/* (depth, width) */
	size_t		width;
	size_t		n;				/* columns of C */
	const float *bias;			/* NULL: none, or already in C */
	bool		accumulate;
	float	   *c;
	size_t		ldc;
	const float *next;			/* the next panel, fetched meanwhile */
} PanelCall;

static TARGET void
multiply_panel(const PanelCall *call)
{
	bool		narrow = call->width < PANEL;
	size_t		most = narrow ? NARROW_ROWS : WIDE_ROWS;
	size_t		blocks = (call->rows + most - 1) / most;
	size_t		lines = PANEL * sizeof(float) / 64;
	size_t		at_once = blocks >= lines ? 1 : blocks > 1 ? 2 : lines;
	int			variant = at_once == 4 ? 3 : (int) at_once;
	size_t		row = 0;

	for (size_t block = 0; block < blocks; block++)
	{
		size_t		rows = call->rows / blocks + (block < call->rows % blocks);
		const uint8_t *a = (const uint8_t *) (call->a + row * call->lda);
		float	   *c = call->c + row * call->ldc;
		bool		accumulate = call->accumulate || call->bias != NULL;
		_Alignas(64) float local[NARROW_ROWS * PANEL / 2 > WIDE_ROWS * PANEL ? NARROW_ROWS * PANEL / 2 : WIDE_ROWS * PANEL];
		float	   *tile = call->n == call->width ? c : local;
		size_t		ld = call->n == call->width ? call->ldc : call->width;

		for (size_t r = 0; r < rows && call->bias != NULL; r++)
			copy_columns(1, call->n, call->bias, 0, tile + r * ld, 0);
		if (tile == local && call->accumulate)
			copy_columns(rows, call->n, c, call->ldc, tile, ld);
		if (narrow)
			narrow_fp32[rows - 1](call->depth, a, call->lda * sizeof(float), (const uint8_t *) call->panel, tile, ld, accumulate, NULL);
		else
			wide_fp32[rows - 1][block * at_once < lines ? variant : 0](call->depth, a, call->lda * sizeof(float), (const uint8_t *) call->panel, tile, ld,
																	   accumulate, (const uint8_t *) call->next + block * at_once * 64 * call->depth);
		if (tile == local)
			copy_columns(rows, call->n, tile, ld, c, call->ldc);
		row += rows;
	}
}

/* BLOCK_ROWS rows at most, from `row` on, through the packed columns */
static TARGET void
multiply_block(const SgemmCall *call, size_t row, size_t rows, size_t from, size_t depth, size_t column, size_t columns, const float *panels, float *turned)
{
	PanelCall	panel = {.rows = rows, .depth = depth, .panel = panels, .accumulate = call->accumulate || from > 0, .ldc = call->ldc};

	if (call->transpose_a)
	{
		turn_over(depth, rows, call->a + from * call->lda + row, call->lda, turned, TURNED_LD);
		panel.a = turned;
		panel.lda = TURNED_LD;
	}
	else
	{
		panel.a = call->a + row * call->lda + from;
		panel.lda = call->lda;
	}
	for (size_t j = 0; j < columns; j += panel.width)
	{
		panel.width = panel_width(columns - j);
		panel.n = columns - j < panel.width ? columns - j : panel.width;
		panel.next = panel.panel + depth * panel.width;
		panel.bias = from > 0 || call->bias == NULL ? NULL : call->bias + column + j;
		panel.c = call->c + row * call->ldc + column + j;
		multiply_panel(&panel);
		panel.panel = panel.next;
	}
}

/* k = 0 */
static TARGET void
empty_sum(const SgemmCall *call)
{
	for (size_t i = 0; i < call->m && !call->accumulate; i++)
		if (call->bias != NULL)
			memcpy(call->c + i * call->ldc, call->bias, call->n * sizeof(float));
		else
			memset(call->c + i * call->ldc, 0, call->n * sizeof(float));
}

static TARGET void
vector_sgemm(const SgemmCall *call, float *scratch)
{
	float	   *turned = scratch + (size_t) PART_DEPTH * PART_COLUMNS;

	if (call->k == 0)
		empty_sum(call);
	for (size_t column = 0; column < call->n; column += PART_COLUMNS)
	{
		size_t		columns = call->n - column < PART_COLUMNS ? call->n - column : PART_COLUMNS;

		for (size_t from = 0; from < call->k; from += PART_DEPTH)
		{
			size_t		depth = call->k - from < PART_DEPTH ? call->k - from : PART_DEPTH;
			float	   *panel = scratch;

			for (size_t j = 0; j < columns; j += panel_width(columns - j))
			{
				size_t		width = panel_width(columns - j);

				pack_panel(call, from, depth, column + j, columns - j < width ? columns - j : width, width, panel);
				panel += depth * width;
			}
			for (size_t row = 0; row < call->m; row += BLOCK_ROWS)
				multiply_block(call, row, call->m - row < BLOCK_ROWS ? call->m - row : BLOCK_ROWS, from, depth, column, columns, scratch, turned);
		}
	}
}
