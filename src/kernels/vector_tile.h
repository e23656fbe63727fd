/*
 * vector_tile.h: the tiles of every matrix product, and the inner loops over fp32 and bf16.
 * Included by vector_gemm.h and vector_sgemm.h after an instruction set's primitives.
 *
 * A tile is up to WIDE_ROWS rows by PANEL columns, or, "narrow", up to NARROW_ROWS rows by half as
 * many: in both all registers hold sums.
 */
#define PANEL (NV * VW)
#define WIDE_ROWS 6
#define NARROW_ROWS 12
#define ALIGNMENT 64

/* What sums begin with: a tile, a row that every row gets, both or nothing. */
typedef struct Start
{
	const void *tile; /* (rows, ld), may be C, or NULL */
	size_t ld;
	const void *row; /* (columns) or NULL */
} Start;

typedef void (*Micro)(size_t groups, const uint8_t *a, size_t lda, const uint8_t *b, void *c,
					  size_t ldc, const Start *start, const uint8_t *prefetch);

/* The same for half of a panel's columns of b, of b + second or of b - second. */
typedef void (*Combined)(size_t groups, const uint8_t *a, size_t lda, const uint8_t *b,
						 const uint8_t *second, void *c, size_t ldc, const Start *start,
						 const uint8_t *prefetch);

#define COMBINED_LEAST 5 /* rows */

static const Start from_zero = {NULL, 0, NULL};

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
