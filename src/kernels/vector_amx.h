/*
 * vector_amx.h: products by AMX, whose registers are tiles of 16 rows of 64 bytes. Included after
 * the primitives and vector_tile.h by files that define HAVE_AMX.
 *
 * An instruction multiplies 16 rows of TILE_GROUPS groups with as many groups of 16 columns: panels
 * as every kernel has them (vector_pack.h), read with the distance of their groups. All tiles are
 * always whole, since it takes the processor no longer: rows are read, and results written, in
 * blocks of TILE_ROWS; memory has room for them, and what is in rows beyond the last does not
 * matter, because no row meets another.
 *
 * Between tiles_begin and tiles_end a context switch saves 8 KB more: nothing
 * but products and an attention's softmax lies there. The shape of tiles
 * belongs to a thread; signal handlers and other threads have their own.
 */
#define TILE_ROWS 16
#define TILE_GROUPS 16            /* of 4 bytes: one row of a tile */
#define TILE_STEP (2 * TILE_ROWS) /* rows that are multiplied at a time */
#define TILE_MIN_ROWS_INT8 5      /* fewer are faster without */

/* What LDTILECFG reads: all eight tiles whole. */
typedef struct TileConfig
{
	uint8_t palette;
	uint8_t start_row;
	uint8_t reserved[14];
	uint16_t row_bytes[16];
	uint8_t rows[16];
} TileConfig;

_Static_assert(sizeof(TileConfig) == 64, "as the processor reads it");

INLINE void
tiles_begin(void)
{
	static const TileConfig config = {
		.palette = 1,
		.row_bytes = {64, 64, 64, 64, 64, 64, 64, 64},
		.rows = {16, 16, 16, 16, 16, 16, 16, 16},
	};

	__asm__ volatile("ldtilecfg %0" : : "m"(config));
}

INLINE void
tiles_end(void)
{
	__asm__ volatile("tilerelease" : : : "memory");
}

/* Compilers' own intrinsics of these say nothing of memory (gcc 12), so stores could pass them. */
#define TILE_LOAD(tile, at, ld) \
	__asm__ volatile("tileloadd (%0,%1,1), %%tmm" #tile : : "r"(at), "r"(ld) : "memory")
#define TILE_STORE(tile, at, ld) \
	__asm__ volatile("tilestored %%tmm" #tile ", (%0,%1,1)" : : "r"(at), "r"(ld) : "memory")
#define TILE_ZERO(tile) __asm__ volatile("tilezero %%tmm" #tile : :)
#define TILE_DOT(c, a, b)                                                         \
	do                                                                            \
	{                                                                             \
		if (bytes)                                                                \
			__asm__ volatile("tdpbusd %%tmm" #b ", %%tmm" #a ", %%tmm" #c : :);   \
		else                                                                      \
			__asm__ volatile("tdpbf16ps %%tmm" #b ", %%tmm" #a ", %%tmm" #c : :); \
	} while (0)

/*
 * c (rows, columns) = init + a b, as by MicroCall, of whole tiles: groups are a multiple of
 * TILE_GROUPS, c and the init's tile hold a multiple of TILE_ROWS rows, the init's row is not used.
 */
typedef struct TileCall
{
	size_t groups;
	const uint8_t *a;
	size_t lda; /* bytes */
	const uint8_t *b;
	size_t ldb; /* bytes from group to group */
	uint32_t *c;
	size_t ldc;           /* bytes */
	const uint32_t *from; /* NULL: zero */
	size_t from_ld;       /* bytes */
	const uint8_t *prefetch;
	size_t prefetch_bytes; /* for every TILE_GROUPS groups */
} TileCall;

/*
 * Accumulators: tiles 0 and 1 of the first two tiles of columns; 2 and 3 of the second tile of
 * rows, or of the next two tiles of columns, that lie `second` bytes further.
 */
INLINE void
tiles_init(const bool four, const uint8_t *from, size_t ld, size_t second)
{
	if (from == NULL)
	{
		TILE_ZERO(0);
		TILE_ZERO(1);
		TILE_ZERO(2);
		TILE_ZERO(3);
		return;
	}
	TILE_LOAD(0, from, ld);
	TILE_LOAD(1, from + 64, ld);
	if (four)
	{
		TILE_LOAD(2, from + second, ld);
		TILE_LOAD(3, from + second + 64, ld);
	}
}

INLINE void
tiles_store(const bool four, uint8_t *c, size_t ld, size_t second)
{
	TILE_STORE(0, c, ld);
	TILE_STORE(1, c + 64, ld);
	if (four)
	{
		TILE_STORE(2, c + second, ld);
		TILE_STORE(3, c + second + 64, ld);
	}
}

/* Up to two tiles of rows by two tiles of columns, or one by four. */
INLINE void
tile_product(const bool bytes, const bool two_rows, const bool four_columns, const TileCall *call)
{
	const uint8_t *a = call->a;
	const uint8_t *a1 = a + TILE_ROWS * call->lda;
	const uint8_t *b = call->b;
	const uint8_t *prefetch = call->prefetch;
	const size_t lda = call->lda;
	const size_t ldb = call->ldb;

	tiles_init(two_rows || four_columns, (const uint8_t *) call->from, call->from_ld,
			   four_columns ? 128 : TILE_ROWS * call->from_ld);
	for (size_t g = 0; g < call->groups; g += TILE_GROUPS)
	{
		TILE_LOAD(4, a, lda);
		TILE_LOAD(6, b, ldb);
		TILE_LOAD(7, b + 64, ldb);
		TILE_DOT(0, 4, 6);
		TILE_DOT(1, 4, 7);
		if (two_rows)
		{
			TILE_LOAD(5, a1, lda);
			TILE_DOT(2, 5, 6);
			TILE_DOT(3, 5, 7);
		}
		if (four_columns)
		{
			TILE_LOAD(5, b + 128, ldb);
			TILE_LOAD(6, b + 192, ldb);
			TILE_DOT(2, 4, 5);
			TILE_DOT(3, 4, 6);
		}
		for (size_t i = 0; i < call->prefetch_bytes; i += 64)
			__builtin_prefetch(prefetch + i, 0, 2);
		prefetch += call->prefetch_bytes;
		a += TILE_GROUPS * 4;
		a1 += TILE_GROUPS * 4;
		b += TILE_GROUPS * ldb;
	}
	tiles_store(two_rows || four_columns, (uint8_t *) call->c, call->ldc,
				four_columns ? 128 : TILE_ROWS * call->ldc);
}

/* Up to TILE_STEP rows by a panel, or by half a panel. */
INLINE void
tile_panel(const bool bytes, size_t rows, const bool half, TileCall *call)
{
	if (rows > TILE_ROWS)
	{
		tile_product(bytes, true, false, call);
		if (half)
			return;
		call->b += 128;
		call->c += 32;
		call->from += call->from == NULL ? 0 : 32;
		call->prefetch_bytes = 0;
		tile_product(bytes, true, false, call);
	}
	else
		tile_product(bytes, false, !half, call);
}
