/*
 * vector_sgemm.h: sgemm.h's products in terms of an instruction set's primitives. Included by one
 * file per instruction set.
 *
 * The classic order (Goto and van de Geijn, "Anatomy of High-Performance Matrix Multiplication"):
 * PART_COLUMNS columns and PART_DEPTH of the sum at a time, whose part of B is packed into panels;
 * BLOCK_ROWS rows pass through all panels. Rows of A are read where they lie; a transposed A is
 * turned over into the scratch first, a block at a time, and in bf16 it is rounded into the scratch
 * either way.
 *
 * Packed elements lie in groups of 4 bytes along the sum: one fp32 or two bf16. Groups are moved
 * about as floats. For tiles (vector_amx.h) a part's groups are filled up with zeros to whole
 * tiles, on both sides. Without fast products of bf16 (WIDENED_BF16) what is packed is rounded to
 * bf16 and stays fp32: the same results, in fp32's time.
 */
#include "kernels/vector_math.h"
#include "kernels/vector_tile.h"
#ifdef HAVE_AMX
#include "kernels/vector_amx.h"
#endif

#ifndef WIDENED_BF16
#define WIDENED_BF16 0
#endif
#if !WIDENED_BF16
#define v_round_bf16(x) (x) /* nothing calls for it */
#endif

#define PART_DEPTH SGEMM_SCRATCH_DEPTH
#define PART_COLUMNS SGEMM_SCRATCH_COLUMNS
#define BLOCK_ROWS SGEMM_SCRATCH_ROWS
/* whole tiles of bf16, and whole cache lines */
#define DEPTH_GRANULE ((size_t) 32)
/* an odd number of cache lines: rows of a tile share no cache set */
#define TURNED_LD (PART_DEPTH + 16)

_Static_assert(PART_COLUMNS % PANEL == 0, "parts of whole panels");
_Static_assert(PART_DEPTH % DEPTH_GRANULE == 0, "parts of whole granules");

/*
 * The columns that a panel with n of them left is as wide as: all, or half where that is enough.
 */
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
				g_transpose((const uint8_t *) (x + i * ld + j), ld * sizeof(float),
							(uint32_t *) (out + j * ldo + i), ldo);
			else
				for (size_t r = i; r < rows && r < i + VW; r++)
					for (size_t c = j; c < columns && c < j + VW; c++)
						out[c * ldo + r] = x[r * ld + c];
}

/* Whether a group is two bf16. */
INLINE bool
paired(const SgemmCall *call)
{
	return call->bf16 && !WIDENED_BF16;
}

/* Elements along the sum that make a group. */
INLINE size_t
group_size(const SgemmCall *call)
{
	return paired(call) ? 2 : 1;
}

/* Groups that have elements. */
INLINE size_t
groups_of(const SgemmCall *call, size_t depth)
{
	return (depth + group_size(call) - 1) / group_size(call);
}

/* Groups that are packed. */
INLINE size_t
packed_groups(const SgemmCall *call, size_t depth)
{
#ifdef HAVE_AMX
	if (call->bf16)
		return size_align(groups_of(call, depth), TILE_GROUPS);
#endif
	return groups_of(call, depth);
}

/* out (rows, ldo) = the groups of x (rows, n), rounded; out has whole vectors and may be x */
static TARGET void
round_rows(size_t rows, size_t n, const float *x, size_t ld, float *out, size_t ldo)
{
	for (size_t r = 0; r < rows; r++)
		if (!WIDENED_BF16)
			round_row(n, x + r * ld, (uint16_t *) (out + r * ldo));
		else
			for (size_t j = 0; j < n; j += VW)
				v_store(out + r * ldo + j, v_round_bf16(load_part(x + r * ld + j, n - j)));
}

/*
 * out (columns): x's and the next row's elements in bf16, side by side; next NULL: 0. columns may
 * be any, out has whole vectors.
 */
static TARGET void
pair_rows(size_t columns, const float *x, const float *next, float *out)
{
	for (size_t j = 0; j < columns; j += VW)
	{
		size_t n = columns - j;
		uint16_t low[VW];
		uint16_t high[VW];

		v_store_bf16(low, load_part(x + j, n));
		v_store_bf16(high, next == NULL ? v_set(0.0f) : load_part(next + j, n));
		g_pairs(low, high, (uint32_t *) (out + j));
	}
}

/*
 * One panel of op(B): groups of `width` columns side by side, of which n are there and the others
 * 0.
 */
static TARGET void
pack_turned_panel(const SgemmCall *call, const float *b, size_t depth, size_t n, size_t width,
				  float *panel)
{
	size_t groups = groups_of(call, depth);
	float rounded[VW * TURNED_LD];

	if (!call->bf16)
		turn_over(n, depth, b, call->ldb, panel, width);
	for (size_t j = 0; j < n && call->bf16; j += VW)
	{
		round_rows(n - j < VW ? n - j : VW, depth, b + j * call->ldb, call->ldb, rounded,
				   TURNED_LD);
		turn_over(n - j < VW ? n - j : VW, groups, rounded, TURNED_LD, panel + j, width);
	}
	for (size_t g = 0; g < groups && n < width; g++)
		memset(panel + g * width + n, 0, (width - n) * sizeof(float));
	memset(panel + groups * width, 0,
		   (packed_groups(call, depth) - groups) * width * sizeof(float));
}

static TARGET void
pack_panel(const SgemmCall *call, const float *b, size_t depth, size_t n, size_t width,
		   float *panel)
{
	for (size_t p = 0; p < depth;
		 p += group_size(call), b += group_size(call) * call->ldb, panel += width)
	{
		size_t whole = (n + VW - 1) / VW * VW;

		if (paired(call))
			pair_rows(n, b, p + 1 < depth ? b + call->ldb : NULL, panel);
		else if (call->bf16)
			round_rows(1, n, b, 0, panel, 0);
		else
			for (size_t j = 0; j < n; j += VW)
				v_store(panel + j, load_part(b + j, n - j));
		if (whole < width)
			memset(panel + whole, 0, (width - whole) * sizeof(float));
	}
	memset(panel, 0, (packed_groups(call, depth) - groups_of(call, depth)) * width * sizeof(float));
}

/* turned (rows, TURNED_LD) = rows of op(A) where they cannot be read as they lie */
static TARGET void
pack_rows(const SgemmCall *call, const float *a, size_t rows, size_t depth, float *turned)
{
	float pairs[VW * BLOCK_ROWS];
	size_t step = VW * group_size(call);
	size_t groups = groups_of(call, depth);
	size_t beyond = packed_groups(call, depth) - groups;

	for (size_t r = 0; r < rows && beyond > 0; r++)
		memset(turned + r * TURNED_LD + groups, 0, beyond * sizeof(float));

	if (!call->transpose_a)
		round_rows(rows, depth, a, call->lda, turned, TURNED_LD);
	else if (!paired(call))
		turn_over(depth, rows, a, call->lda, turned, TURNED_LD);
	if (call->transpose_a && call->bf16 && !paired(call))
		round_rows(rows, depth, turned, TURNED_LD, turned, TURNED_LD);
	for (size_t p = 0; p < depth && call->transpose_a && paired(call);
		 p += step, a += step * call->lda, turned += VW)
	{
		size_t part = depth - p < step ? depth - p : step;

		for (size_t q = 0; q < part; q += 2)
			pair_rows(rows, a + q * call->lda, q + 1 < part ? a + (q + 1) * call->lda : NULL,
					  pairs + q / 2 * BLOCK_ROWS);
		turn_over((part + 1) / 2, rows, pairs, BLOCK_ROWS, turned, TURNED_LD);
	}
}

INLINE void
copy_columns(size_t rows, size_t n, const float *from, size_t ld_from, float *to, size_t ld_to)
{
	for (size_t r = 0; r < rows; r++, from += ld_from, to += ld_to)
		for (size_t j = 0; j < n; j += VW)
			store_part(to + j, load_part(from + j, n - j), n - j);
}

/* Fetches C's next block while this one is multiplied: it begins the sums, or takes them. */
INLINE void
fetch_rows(size_t rows, size_t n, const float *c, size_t ldc)
{
	for (size_t r = 0; r < rows; r++)
		for (size_t j = 0; j < n; j += 64 / sizeof(float))
			__builtin_prefetch(c + r * ldc + j, 1, 3);
}

/* One panel of a part of the sum, and what it is multiplied with. */
typedef struct PanelCall
{
	bool bf16; /* in pairs */
	const float *a;
	size_t lda;
	size_t rows;
	size_t groups;
	const float *panel; /* (groups, width) */
	size_t width;
	size_t n;          /* columns of C */
	const float *bias; /* NULL: none, or already in C */
	bool accumulate;
	float *c;
	size_t ldc;
	const float *next; /* the next panel, fetched meanwhile */
} PanelCall;

#ifdef HAVE_AMX
/* The same by tiles; where C does not hold whole ones, or does not begin the sum, by a copy. */
static TARGET void
multiply_panel_by_tiles(const PanelCall *call)
{
	const bool half = call->width < PANEL;
	const size_t steps = (call->rows + TILE_STEP - 1) / TILE_STEP;
	const size_t lines = call->width / VW; /* of a group of the next panel */
	size_t fetched = 0;

	for (size_t row = 0; row < call->rows; row += TILE_STEP)
	{
		size_t rows = size_min(call->rows - row, TILE_STEP);
		size_t fetch = size_min(lines - fetched, (lines + steps - 1) / steps);
		float *c = call->c + row * call->ldc;
		_Alignas(64) float local[TILE_STEP * PANEL];
		bool whole = call->n == call->width && rows % TILE_ROWS == 0;
		bool copied = (!whole && call->accumulate) || call->bias != NULL;
		float *tile = whole ? c : local;
		size_t ld = whole ? call->ldc : call->width;
		TileCall tiles = {.groups = call->groups,
						  .a = (const uint8_t *) (call->a + row * call->lda),
						  .lda = call->lda * sizeof(float),
						  .b = (const uint8_t *) call->panel,
						  .ldb = call->width * sizeof(float),
						  .c = (uint32_t *) tile,
						  .ldc = ld * sizeof(float),
						  .from = copied             ? (const uint32_t *) local
								  : call->accumulate ? (const uint32_t *) c
													 : NULL,
						  .from_ld = (copied ? call->width : call->ldc) * sizeof(float),
						  .prefetch = (const uint8_t *) call->next + fetched * 64 * call->groups,
						  .prefetch_bytes = fetch * 64 * TILE_GROUPS};

		fetched += fetch;
		for (size_t r = 0; r < rows && call->bias != NULL; r++)
			copy_columns(1, call->n, call->bias, 0, local + r * call->width, 0);
		if (call->bias == NULL && copied)
			copy_columns(rows, call->n, c, call->ldc, local, call->width);
		tile_panel(false, rows, half, &tiles);
		if (!whole)
			copy_columns(rows, call->n, local, call->width, c, call->ldc);
	}
}
#endif

static TARGET void
multiply_panel(const PanelCall *call)
{
	const MicroKernel(*wide)[4] = call->bf16 ? wide_bf16 : wide_fp32;
	const MicroKernel *narrow = call->bf16 ? narrow_bf16 : narrow_fp32;
	const uint8_t *panel = (const uint8_t *) call->panel;
	bool half = call->width < PANEL;
	size_t most = half ? NARROW_ROWS : WIDE_ROWS;
	size_t blocks = (call->rows + most - 1) / most;
	size_t lines = PANEL * sizeof(float) / 64;
	size_t at_once = blocks >= lines ? 1 : blocks > 1 ? 2 : lines;
	int variant = at_once == 4 ? 3 : (int) at_once;
	size_t row = 0;
	_Alignas(64) float last_bias[PANEL]; /* of a panel that C ends in */

	for (size_t block = 0; block < blocks; block++)
	{
		size_t rows = call->rows / blocks + (block < call->rows % blocks);
		const uint8_t *a = (const uint8_t *) (call->a + row * call->lda);
		float *c = call->c + row * call->ldc;
		_Alignas(
			64) float local[NARROW_ROWS * PANEL / 2 > WIDE_ROWS * PANEL ? NARROW_ROWS * PANEL / 2
																		: WIDE_ROWS * PANEL];
		float *tile = call->n == call->width ? c : local;
		size_t ld = call->n == call->width ? call->ldc : call->width;

		MicroCall micro = {
			.groups = call->groups,
			.a = a,
			.lda = call->lda * sizeof(float),
			.b = panel,
			.c = tile,
			.ldc = ld,
			.init = {call->accumulate ? tile : NULL, ld, tile == local ? NULL : call->bias},
			.prefetch = (const uint8_t *) call->next + block * at_once * 64 * call->groups};

		fetch_rows(rows, call->n, c + rows * call->ldc, call->ldc);
		if (tile == local && call->accumulate)
			copy_columns(rows, call->n, c, call->ldc, tile, ld);
		if (tile == local && call->bias != NULL)
		{
			copy_columns(1, call->n, call->bias, 0, last_bias, 0);
			micro.init.row = last_bias;
		}
		if (half)
			narrow[rows - 1](&micro);
		else
			wide[rows - 1][block * at_once < lines ? variant : 0](&micro);
		if (tile == local)
			copy_columns(rows, call->n, tile, ld, c, call->ldc);
		row += rows;
	}
}

/* A part of a call: its place in the sum and in the columns, and op(B)'s part, packed. */
typedef struct Part
{
	size_t from;
	size_t depth;
	size_t column;
	size_t columns;
	const float *panels;
} Part;

/* BLOCK_ROWS rows at most, from `row` on, through the packed columns; turned: scratch for them */
static TARGET void
multiply_block(const SgemmCall *call, const Part *part, size_t row, size_t rows, float *turned)
{
	PanelCall panel = {.bf16 = paired(call),
					   .rows = rows,
					   .groups = packed_groups(call, part->depth),
					   .panel = part->panels,
					   .accumulate = call->accumulate || part->from > 0,
					   .ldc = call->ldc};
	const float *a =
		call->a + (call->transpose_a ? part->from * call->lda + row : row * call->lda + part->from);
	bool as_it_lies = !call->transpose_a && !call->bf16;

	panel.a = as_it_lies ? a : turned;
	panel.lda = as_it_lies ? call->lda : TURNED_LD;
	if (!as_it_lies)
		pack_rows(call, a, rows, part->depth, turned);
	for (size_t j = 0; j < part->columns; j += panel.width)
	{
		size_t left = part->columns - j;

		panel.width = panel_width(left);
		panel.n = left < panel.width ? left : panel.width;
		panel.next = panel.panel + panel.groups * panel.width;
		panel.bias = part->from > 0 || call->bias == NULL ? NULL : call->bias + part->column + j;
		panel.c = call->c + row * call->ldc + part->column + j;
#ifdef HAVE_AMX
		if (call->bf16)
			multiply_panel_by_tiles(&panel);
		else
#endif
			multiply_panel(&panel);
		panel.panel = panel.next;
	}
}

/* The part's op(B) to its panels. */
static TARGET void
pack_part(const SgemmCall *call, const Part *part, float *panel)
{
	for (size_t j = 0; j < part->columns; j += panel_width(part->columns - j))
	{
		size_t width = panel_width(part->columns - j);
		size_t n = part->columns - j < width ? part->columns - j : width;
		size_t column = part->column + j;

		if (call->transpose_b)
			pack_turned_panel(call, call->b + column * call->ldb + part->from, part->depth, n,
							  width, panel);
		else
			pack_panel(call, call->b + part->from * call->ldb + column, part->depth, n, width,
					   panel);
		panel += packed_groups(call, part->depth) * width;
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

/* How much of the sum is a part: PART_DEPTH at most, in parts of nearly the same size. */
INLINE size_t
part_depth(size_t k)
{
	size_t parts = (k + PART_DEPTH - 1) / PART_DEPTH;

	return size_align((k + parts - 1) / parts, DEPTH_GRANULE);
}

static TARGET void
vector_sgemm(const SgemmCall *call, float *scratch)
{
	float *turned = scratch + PART_DEPTH * PART_COLUMNS;
	size_t depth = call->k == 0 ? 0 : part_depth(call->k);

	if (call->k == 0)
		empty_sum(call);
#ifdef HAVE_AMX
	tiles_begin();
#endif
	for (size_t column = 0; column < call->n; column += PART_COLUMNS)
		for (size_t from = 0; from < call->k; from += depth)
		{
			const Part part = {.from = from,
							   .depth = size_min(call->k - from, depth),
							   .column = column,
							   .columns = size_min(call->n - column, PART_COLUMNS),
							   .panels = scratch};

			pack_part(call, &part, scratch);
			for (size_t row = 0; row < call->m; row += BLOCK_ROWS)
				multiply_block(call, &part, row, size_min(call->m - row, BLOCK_ROWS), turned);
		}
#ifdef HAVE_AMX
	tiles_end();
#endif
}
