/*
 * vector_widen.h: bf16 weights where there are no instructions for bf16: the first rows that go
 * through a panel's part widen it on the way, into scratch memory, and the others read it there as
 * fp32. Additions and shifts find room beside the multiplications. Included by vector_table.h.
 */

/* sums (rows, NV vectors) += a group of each row times NV vectors */
INLINE void
widen_step(const size_t rows, const vf *b, const uint8_t *a, size_t lda, vf *c)
{
#pragma GCC unroll 6
	for (size_t r = 0; r < rows; r++)
	{
		vf x = v_broadcast((const float *) (a + r * lda));

		for (size_t v = 0; v < NV; v++)
			c[r * NV + v] = v_fma(x, b[v], c[r * NV + v]);
	}
}

/*
 * b: call->groups groups of fp32, in pairs of bf16; call->widened: (groups, PANEL); call->prefetch:
 * as much as b, or NULL
 */
INLINE void
widen_body(const size_t rows, const MicroCall *call)
{
	const uint32_t *from = call->init.tile;
	const float *bias = call->init.row;
	const uint8_t *a = call->a;
	const uint8_t *pairs = call->b;
	const uint8_t *prefetch = call->prefetch;
	const size_t prefetch_bytes = prefetch == NULL ? 0 : PANEL * 4; /* a pair */
	float *out = call->widened;
	vf c[WIDE_ROWS * NV];

#pragma GCC unroll 12
	for (size_t i = 0; i < rows * NV; i++)
	{
		c[i] = from == NULL ? v_set(0.0f)
							: v_load((const float *) (from + i / NV * call->init.ld + i % NV * VW));
		if (bias != NULL)
			c[i] = v_add(c[i], v_load(bias + i % NV * VW));
	}
	for (size_t g = 0; g < call->groups; g += 2, a += 8, pairs += PANEL * 4)
	{
		const uint8_t *again = pairs;
		vf b[NV];

		for (size_t i = 0; i < prefetch_bytes; i += 64)
			__builtin_prefetch(prefetch + i, 0, 2);
		prefetch += prefetch_bytes;
		for (size_t v = 0; v < NV; v++, out += VW)
		{
			b[v] = g_first_bf16(g_load(pairs + v * VW * 4));
			v_store(out, b[v]);
		}
		widen_step(rows, b, a, call->lda, c);
		if (g + 1 == call->groups)
			break;
		/* reads them again: registers are full of sums */
		__asm__("" : "+r"(again));
		for (size_t v = 0; v < NV; v++, out += VW)
		{
			b[v] = g_second_bf16(g_load(again + v * VW * 4));
			v_store(out, b[v]);
		}
		widen_step(rows, b, a + 4, call->lda, c);
	}
#pragma GCC unroll 12
	for (size_t i = 0; i < rows * NV; i++)
		v_store((float *) call->c + i / NV * call->ldc + i % NV * VW, c[i]);
}

#define DEFINE_WIDEN(rows)                                \
	static TARGET void widen##rows(const MicroCall *call) \
	{                                                     \
		widen_body(rows, call);                           \
	}

DEFINE_WIDEN(1)
DEFINE_WIDEN(2)
DEFINE_WIDEN(3)
DEFINE_WIDEN(4)
DEFINE_WIDEN(5)
DEFINE_WIDEN(6)
#undef DEFINE_WIDEN

/* [rows - 1] */
static const MicroKernel widen[WIDE_ROWS] = {widen1, widen2, widen3, widen4, widen5, widen6};
