/*
 * vector_tile.h: the tiles of every matrix product, and the inner loops over fp32 and bf16.
 * Included by vector_table.h and vector_sgemm.h after an instruction set's primitives.
 *
 * A tile is up to WIDE_ROWS rows by PANEL columns, or, "narrow", up to NARROW_ROWS rows by half as
 * many: in both all registers hold sums.
 */
#define PANEL (NV * VW)
#define WIDE_ROWS 6
#define NARROW_ROWS 12
#define ALIGNMENT 64

/* What accumulators begin with: a tile, a row that every row gets, both or nothing. */
typedef struct AccumulatorInit
{
	const void *tile; /* (rows, ld), may be C, or NULL */
	size_t ld;
	const void *row; /* (columns) or NULL */
} AccumulatorInit;

/*
 * c (rows, columns) = init + a b, where rows, columns and prefetched lines are the micro-kernel's
 * own. A group's 4 bytes of row r lie at a + r * lda + 4 * g; b holds the groups of all columns
 * side by side, g after g.
 */
typedef struct MicroCall
{
	size_t groups;
	const uint8_t *a;
	size_t lda; /* bytes */
	const uint8_t *b;
	const uint8_t *second; /* a matrix like b that is added to or subtracted from it; or NULL */
	void *c;
	size_t ldc; /* elements */
	AccumulatorInit init;
	float *widened;          /* where bf16 weights are widened to (vector_widen.h) */
	const uint8_t *prefetch; /* the first of the cache lines that are asked for, some a group */
} MicroCall;

typedef void (*MicroKernel)(const MicroCall *call);

/*
 * Micro-kernels that combine two matrices compute half of STRASSEN_MIN_ROWS rows or more, in equal
 * steps of at most NARROW_ROWS: never fewer than this.
 */
#define COMBINED_MIN_ROWS 5

#define KIND fp32
#define NARROW
#ifdef HAVE_STRASSEN
#define COMBINED
#define group_add(b, p) v_add(b, v_load((const float *) (p)))
#define group_sub(b, p) v_sub(b, v_load((const float *) (p)))
#endif
#define ACC vf
#define GROUP vf
#define acc_zero() v_set(0.0f)
#define acc_load(p) v_load((const float *) (p))
#define acc_add(a, b) v_add(a, b)
#define acc_store(p, x) v_store((float *) (p), x)
#define group_load(p) v_load((const float *) (p))
#define group_broadcast(p) v_broadcast((const float *) (p))
#define dot(c, a, b) v_fma(a, b, c)
#include "kernels/vector_micro.h"

#define KIND bf16
#define NARROW
#define ACC vf
#define GROUP vg
#define acc_zero() v_set(0.0f)
#define acc_load(p) v_load((const float *) (p))
#define acc_add(a, b) v_add(a, b)
#define acc_store(p, x) v_store((float *) (p), x)
#define group_load(p) g_load(p)
#define group_broadcast(p) g_broadcast(p)
#define dot(c, a, b) dot_bf16(c, a, b)
#include "kernels/vector_micro.h"
