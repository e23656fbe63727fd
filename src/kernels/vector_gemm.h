/*
 * vector_gemm.h: products of rows with packed weights. Included by vector_table.h.
 *
 * A block of up to WIDE_ROWS rows passes through a panel, then the next block; meanwhile the next
 * panel is fetched into L2. Long sums are cut into parts of GROUPS_PER_PART groups, with tiles of
 * accumulators in the scratch memory. The sizes here are the best that bench/bench_kernels found on
 * an EPYC of 2024 (48 KB of L1, 1 MB of L2 a core); an instruction set's primitives may have their
 * own.
 */

#ifndef GROUPS_PER_PART
#define GROUPS_PER_PART 768
#endif
/* rows that go through all panels together; the scratch holds their tiles */
#ifndef BLOCK_ROWS
#define BLOCK_ROWS 192
#endif
/* the same, where the fp32 results wait in the scratch to be quantized */
#define QUANTIZED_ROWS 64
/* half of an L2: what is more is no longer there when it is needed again, and is fetched early */
#define PREFETCH_BYTES ((size_t) 512 * 1024)
#define GELU_MIN -0.1702f /* below all of its values, coarse ones too */

#ifdef HAVE_STRASSEN
#include "kernels/vector_strassen.h"
#else
#define STRASSEN_MIN_ROWS 0
#endif

#ifdef HAVE_AMX
#define STEP_ROWS TILE_STEP
/* blocks of rows that are not all begin with a multiple of this */
#define ROW_UNIT TILE_ROWS
#define PART_UNIT TILE_GROUPS /* the same of groups */
#else
#define STEP_ROWS WIDE_ROWS
#define ROW_UNIT ((size_t) 1)
#define PART_UNIT INT8_RUN
#define tiles_begin() ((void) 0)
#define tiles_end() ((void) 0)
#endif

static bool
gemm_by_tiles(Precision form, size_t m, size_t groups)
{
#ifdef HAVE_AMX
	return form != PRECISION_FP32 && groups >= TILE_GROUPS &&
		   (form == PRECISION_BF16 || m >= TILE_MIN_ROWS_INT8);
#else
	return false;
#endif
}

/* int8: room for QUANTIZED_ROWS rows of results; bf16 that is widened: for a panel's part */
static size_t
other_scratch(Precision precision, size_t n)
{
	if (precision == PRECISION_INT8)
		return QUANTIZED_ROWS * padded_features(n) * sizeof(float);
	return precision != rows_form(precision) ? GROUPS_PER_PART * PANEL * sizeof(float) : 0;
}

static size_t
vector_gemm_scratch_size(Precision precision, size_t n, size_t k)
{
#ifdef HAVE_STRASSEN
	if (precision == PRECISION_FP32 &&
		strassen_scratch_size(k) > BLOCK_ROWS * PANEL * sizeof(float))
		return strassen_scratch_size(k);
#endif
	return BLOCK_ROWS * PANEL * sizeof(float) + other_scratch(precision, n);
}

/* A block of rows on its way through all panels. */
typedef struct GemmBlock
{
	const PackedMatrix *w;
	size_t m; /* up to BLOCK_ROWS */
	const uint8_t *a;
	size_t lda; /* bytes */
	const Epilogue *epilogue;
	uint8_t *tiles; /* (m, PANEL) accumulators between parts of a sum */
	const MicroKernel (*micro)[4];
	size_t most_rows; /* of micro */
	bool by_tiles;    /* of AMX: TILE_STEP rows at a time */
	EpilogueFunction function;
	size_t groups; /* of the whole sum */
	size_t parts;  /* of the sum */
	/*
	 * accumulators that are the results but for bias and residual begin with these and are stored
	 * where they belong
	 */
	bool direct;
	bool prefetch_early;
	float *widened; /* bf16 that is widened: room for a panel's part; else NULL */
} GemmBlock;

/* Where a tile of the results is accumulated in place, and what it begins with. */
INLINE void
place_directly(const Epilogue *epilogue, size_t row, size_t column, bool begins, MicroCall *call)
{
	const GemmEpilogue *gemm = epilogue->gemm;
	float *c = (float *) epilogue->to.c + row * epilogue->to.ld + column;

	call->c = c;
	call->ldc = epilogue->to.ld;
	call->init = (AccumulatorInit){c, epilogue->to.ld, NULL};
	if (begins)
		call->init = (AccumulatorInit){
			gemm->residual == NULL ? NULL : gemm->residual + row * gemm->residual_ld + column,
			gemm->residual_ld, gemm->bias == NULL ? NULL : gemm->bias + column};
}

#ifdef HAVE_AMX
/* By tiles, as far as there are whole ones along the sum; the rest by the usual micro-kernels. */
INLINE void
tiles_multiply(const GemmBlock *block, size_t rows, size_t fetch, const MicroCall *call)
{
	size_t whole = call->groups / TILE_GROUPS * TILE_GROUPS;
	TileCall tiles = {.groups = whole,
					  .a = call->a,
					  .lda = call->lda,
					  .b = call->b,
					  .ldb = PANEL * 4,
					  .c = call->c,
					  .ldc = call->ldc * 4,
					  .from = call->init.tile,
					  .from_ld = call->init.ld * 4,
					  .prefetch = call->prefetch,
					  .prefetch_bytes = fetch * 64 * TILE_GROUPS};

	if (block->w->precision == PRECISION_INT8)
		tile_panel(true, rows, false, &tiles);
	else
		tile_panel(false, rows, false, &tiles);
	for (size_t row = 0; row < rows && whole < call->groups; row += WIDE_ROWS)
	{
		uint32_t *c = (uint32_t *) call->c + row * call->ldc;
		const MicroCall rest = {.groups = call->groups - whole,
								.a = call->a + row * call->lda + whole * 4,
								.lda = call->lda,
								.b = call->b + whole * PANEL * 4,
								.c = c,
								.ldc = call->ldc,
								.init = {c, call->ldc, NULL}};

		block->micro[size_min(rows - row, WIDE_ROWS) - 1][0](&rest);
	}
}
#endif

#define PANEL_LINES ((size_t) PANEL * 4 / 64) /* of a group, or of a pair of bf16 */

/*
 * Lines of the next panel that a step asks for with each group: 0, 1, 2 or 4, all of them early,
 * few at a time. Where the first step widens pairs, the others ask for theirs, if they are more
 * than a line.
 */
INLINE size_t
step_fetch(const GemmBlock *block, size_t steps, size_t step, size_t fetched)
{
	size_t lines = PANEL_LINES;

	if (block->widened != NULL)
	{
		if (step == 0)
			return 0;
		lines /= 2;
		steps--;
		step--;
	}
	return steps >= lines ? step < lines : (step + 1) * lines / steps - fetched;
}

/*
 * All rows through `count` groups, from `first` on, of the panel that begins with `column`, at b;
 * what comes next lies at `next`.
 */
INLINE void
gemm_panel_part(const GemmBlock *block, size_t column, size_t first, size_t count, const uint8_t *b,
				const uint8_t *next)
{
	size_t n = block->w->n - column < PANEL ? block->w->n - column : PANEL;
	bool direct = block->direct && n == PANEL;
	bool ends = first + count == block->groups && !direct;
	size_t steps = (block->m + block->most_rows - 1) / block->most_rows;
	size_t row = 0;
	size_t fetched = 0;

	for (size_t step = 0; step < steps; step++)
	{
		size_t rows = block->by_tiles ? size_min(block->m - row, block->most_rows)
									  : block->m / steps + (step < block->m % steps);
		size_t fetch = step_fetch(block, steps, step, fetched);
		_Alignas(64) uint32_t local[STEP_ROWS * PANEL];
		uint8_t *tile =
			block->parts == 1 ? (uint8_t *) local : block->tiles + row * PANEL * sizeof(uint32_t);
		MicroCall call = {
			.groups = count,
			.a = block->a + row * block->lda + first * 4,
			.lda = block->lda,
			.b = step > 0 && block->widened != NULL ? (const uint8_t *) block->widened : b,
			.widened = block->widened,
			.c = tile,
			.ldc = PANEL,
			.init = {first > 0 ? tile : NULL, PANEL, NULL},
			.prefetch = block->widened == NULL || step > 0 || steps == 1 || PANEL_LINES == 1
							? next + fetched * 64 * count
							: NULL};

		if (direct)
			place_directly(block->epilogue, row, column, first == 0, &call);
		if (ends && block->prefetch_early)
			epilogue_prefetch(block->epilogue, row, rows, column);
#if WIDENED_BF16
		if (block->widened != NULL && step == 0)
			widen[rows - 1](&call);
		else
#endif
#ifdef HAVE_AMX
			if (block->by_tiles)
			tiles_multiply(block, rows, fetch, &call);
		else
#endif
			block->micro[rows - 1][fetch == 4 ? 3 : fetch](&call);
		fetched += fetch;
		if (ends)
			block->function(block->epilogue,
							&(Tile){row, rows, column, n, (const uint32_t *) (const void *) tile});
		row += rows;
	}
}

#if WIDENED_BF16
/* m <= BLOCK_ROWS rows at a through all panels of bf16 weights, which are widened part by part */
static TARGET void
widened_block(const GemmBlock *block)
{
	const PackedMatrix *w = block->w;
	size_t pairs = groups_of(PRECISION_BF16, w->k);
	size_t per_part = (pairs + block->parts - 1) / block->parts;
	const uint8_t *b = w->panels;

	for (size_t column = 0; column < w->n; column += PANEL)
		for (size_t first = 0; first < pairs; first += per_part)
		{
			size_t count = pairs - first < per_part ? pairs - first : per_part;
			size_t end = 2 * (first + count);

			/* a weight that fills up the last pair meets nothing */
			gemm_panel_part(block, column, 2 * first, (end < w->k ? end : w->k) - 2 * first, b,
							b + count * PANEL * 4);
			b += count * PANEL * 4;
		}
}
#endif

/* m <= BLOCK_ROWS rows at a through all panels */
static TARGET void
gemm_block(const PackedMatrix *w, size_t m, const uint8_t *a, size_t lda, const Epilogue *epilogue,
		   uint8_t *tiles)
{
	const Precision form = rows_form(w->precision);
	size_t groups = groups_of(form, w->k);
	const bool by_tiles = gemm_by_tiles(form, m, groups);
	/* where all rows are one step by tiles nothing of a panel is read twice */
	size_t most = by_tiles && m <= STEP_ROWS ? groups : GROUPS_PER_PART;
	size_t parts = (groups + most - 1) / most;
	/* a run of int8 groups, or a row of a tile, is in one part */
	size_t per_part = ((groups + parts - 1) / parts + PART_UNIT - 1) / PART_UNIT * PART_UNIT;
	const uint8_t *b = (const uint8_t *) w->panels + panels_offset(w->precision, w->n);
	const GemmBlock block = {
		.w = w,
		.m = m,
		.a = a,
		.lda = lda,
		.epilogue = epilogue,
		.tiles = tiles,
		.micro = form == PRECISION_FP32   ? wide_fp32
				 : form == PRECISION_BF16 ? wide_bf16
										  : wide_int8,
		.most_rows = by_tiles                 ? STEP_ROWS
					 : form == PRECISION_INT8 ? INT8_ROWS
											  : WIDE_ROWS,
		.by_tiles = by_tiles,
		.function = epilogue_choose(w->precision, epilogue->gemm->activation),
		.groups = groups,
		.parts = parts,
		.direct = w->precision != PRECISION_INT8 && epilogue->gemm->activation == ACTIVATION_NONE &&
				  !epilogue->to.bf16 && !by_tiles,
		.prefetch_early = epilogue_bytes(epilogue, m) > PREFETCH_BYTES,
		.widened = form == w->precision ? NULL : (float *) (tiles + BLOCK_ROWS * PANEL * 4),
	};

#if WIDENED_BF16
	if (form != w->precision)
	{
		widened_block(&block);
		return;
	}
#endif
	if (by_tiles)
		tiles_begin();
	for (size_t column = 0; column < w->n; column += PANEL)
		for (size_t first = 0; first < groups; first += per_part)
		{
			size_t count = groups - first < per_part ? groups - first : per_part;
			const uint8_t *next = b + count * PANEL * 4;

			gemm_panel_part(&block, column, first, count, b, next);
			b = next;
		}
	if (by_tiles)
		tiles_end();
}

static TARGET void
gemm_to(const PackedMatrix *w, size_t m, Rows rows, const GemmEpilogue *epilogue, Destination to,
		void *scratch)
{
#ifdef HAVE_STRASSEN
	if (epilogue->allow_strassen && !to.bf16 && strassen_fits(w, m, epilogue))
	{
		strassen_rows(w, m, rows, epilogue, to, scratch);
		return;
	}
#endif
	for (size_t row = 0; row < m; row += BLOCK_ROWS)
	{
		GemmEpilogue part = *epilogue;
		Epilogue tiles = {&part,     (const RowScale *) rows.scales + row,
						  w->panels, (const float *) w->panels + padded_features(w->n),
						  to,        NULL};

		tiles.to.c = (uint8_t *) to.c + row * to.ld * (to.bf16 ? sizeof(uint16_t) : sizeof(float));
		if (part.residual != NULL)
			part.residual += row * part.residual_ld;
		gemm_block(w, m - row < BLOCK_ROWS ? m - row : BLOCK_ROWS,
				   (const uint8_t *) rows.data + row * rows.stride, rows.stride, &tiles, scratch);
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

/* The results, quantized: out (m rows of w->n), QUANTIZED_ROWS rows at a time. */
static TARGET void
gemm_quantized(const PackedMatrix *w, size_t m, Rows rows, Rows out, const GemmEpilogue *epilogue,
			   void *scratch)
{
	/* (QUANTIZED_ROWS, padded n) */
	float *results = (float *) ((uint8_t *) scratch + BLOCK_ROWS * PANEL * sizeof(float));
	size_t ld = padded_features(w->n);
	size_t units = (m + ROW_UNIT - 1) / ROW_UNIT;
	size_t blocks = (m + QUANTIZED_ROWS - 1) / QUANTIZED_ROWS;
	bool bounded =
		epilogue->activation == ACTIVATION_GELU && epilogue->residual == NULL && w->n % PANEL == 0;
	_Alignas(64) float highs[QUANTIZED_ROWS * VW];

	for (size_t block = 0, row = 0; block < blocks; block++)
	{
		size_t count = size_min(m - row, (units / blocks + (block < units % blocks)) * ROW_UNIT);
		GemmEpilogue part = *epilogue;
		Epilogue tiles = {&part,
						  (const RowScale *) rows.scales + row,
						  w->panels,
						  (const float *) w->panels + ld,
						  {results, ld, false},
						  bounded ? highs : NULL};

		if (part.residual != NULL)
			part.residual += row * part.residual_ld;
		memset(highs, 0, count * VW * sizeof(float));
		gemm_block(w, count, (const uint8_t *) rows.data + row * rows.stride, rows.stride, &tiles,
				   scratch);
		for (size_t i = 0; i < count; i++, row++)
		{
			uint8_t *q = (uint8_t *) out.data + row * out.stride;
			RowScale *scale = &((RowScale *) out.scales)[row];

			memset(q + out.stride - ALIGNMENT, 0, ALIGNMENT);
			if (bounded)
				quantize_within(w->n, results + i * ld, GELU_MIN, v_largest(v_load(highs + i * VW)),
								q, scale);
			else
				quantize_row(w->n, results + i * ld, q, scale);
		}
	}
}

/* The results as rows of the same precision, for a GEMM that reads w->n features. */
static TARGET Rows
vector_gemm_rows(const PackedMatrix *w, size_t m, Rows rows, void *buffer,
				 const GemmEpilogue *epilogue, void *scratch)
{
	Rows out = rows_in(w->precision, m, w->n, buffer);
	bool bf16 = rows_form(w->precision) == PRECISION_BF16;

	if (w->precision == PRECISION_INT8)
	{
		gemm_quantized(w, m, rows, out, epilogue, scratch);
		return out;
	}
	gemm_to(
		w, m, rows, epilogue,
		(Destination){(void *) out.data, out.stride / element_size(rows_form(w->precision)), bf16},
		scratch);
	if (bf16 && w->n % 2 != 0)
		for (size_t i = 0; i < m; i++)
			((uint16_t *) ((uint8_t *) out.data + i * out.stride))[w->n] = 0;
	return out;
}
