/*
 * avx2_int8.h: the inner loop over bytes for CPUs that have sums of two products only, in 16 bits
 * that saturate. Included by vector_table.h instead of vector_micro.h.
 *
 * Weights are bounded (int8_scale), so that the sums of a run of INT8_RUN groups fit 16 bits
 * whatever the rows hold; they are widened and added once a run. A run begins at a multiple of
 * INT8_RUN groups. Sums are exact, as elsewhere. Two rows at a time go through a run, so that each
 * vector of weights that is read serves both.
 */
#define INT8_BOUNDED true
#define INT8_MEANING kernels_portable_narrow
#define INT8_ROWS 4

/*
 * Says that x is computed here, in a register: else compilers make trees of the sums and read the
 * weights once for each row, for which neither the registers nor the load units suffice.
 */
#define HERE(x) __asm__("" : "+x"(x))

/* sums (16 bits) + a b */
INLINE vi
add_products(vi sums, vg a, vg b)
{
	sums = _mm256_add_epi16(sums, _mm256_maddubs_epi16(a, b));
	HERE(sums);
	return sums;
}

INLINE vi
add_widened(vi total, vi sums)
{
	return _mm256_add_epi32(total, _mm256_madd_epi16(sums, _mm256_set1_epi16(1)));
}

/* c[0 .. 3]: two vectors of sums of the first row, two of the second, which may not exist */
INLINE void
add_run(const size_t groups, const bool second, const uint8_t *a, size_t lda, const uint8_t *b,
		vi *c)
{
	vi s0 = _mm256_setzero_si256();
	vi s1 = s0;
	vi s2 = s0;
	vi s3 = s0;

#pragma GCC unroll 4
	for (size_t g = 0; g < groups; g++)
	{
		vg b0 = g_load(b + g * PANEL * 4);
		vg b1 = g_load(b + g * PANEL * 4 + VW * 4);
		vg x = g_broadcast(a + g * 4);

		HERE(b0);
		HERE(b1);
		s0 = add_products(s0, x, b0);
		s1 = add_products(s1, x, b1);
		if (second)
		{
			x = g_broadcast(a + lda + g * 4);
			s2 = add_products(s2, x, b0);
			s3 = add_products(s3, x, b1);
		}
	}
	c[0] = add_widened(c[0], s0);
	c[1] = add_widened(c[1], s1);
	if (second)
	{
		c[2] = add_widened(c[2], s2);
		c[3] = add_widened(c[3], s3);
	}
}

INLINE void
add_groups(const size_t groups, const size_t rows, const uint8_t *a, size_t lda, const uint8_t *b,
		   vi *c)
{
	add_run(groups, rows > 1, a, lda, b, c);
	if (rows > 2)
		add_run(groups, rows > 3, a + 2 * lda, lda, b, c + 4);
}

INLINE void
bounded_body(const size_t rows, const size_t prefetch_lines, const MicroCall *call)
{
	size_t lda = call->lda;
	size_t from_ld = call->init.ld;
	const uint32_t *from = call->init.tile;
	const uint8_t *a = call->a;
	const uint8_t *b = call->b;
	const uint8_t *prefetch = call->prefetch;
	uint32_t *out = call->c;
	size_t g = 0;
	vi c[2 * INT8_ROWS];

#pragma GCC unroll 8
	for (size_t i = 0; i < 2 * INT8_ROWS; i++)
		c[i] = from != NULL && i < 2 * rows ? i_load(from + i / 2 * from_ld + i % 2 * VW)
											: _mm256_setzero_si256();
	for (; g + INT8_RUN <= call->groups; g += INT8_RUN)
	{
		if (prefetch_lines > 0)
			for (size_t i = 0; i < INT8_RUN; i++)
				__builtin_prefetch(prefetch + i * 64, 0, 2);
		prefetch += INT8_RUN * 64;
		add_groups(INT8_RUN, rows, a, lda, b, c);
		a += INT8_RUN * 4;
		b += INT8_RUN * PANEL * 4;
	}
	for (; g < call->groups; g++, a += 4, b += PANEL * 4)
		add_groups(1, rows, a, lda, b, c);
#pragma GCC unroll 8
	for (size_t i = 0; i < 2 * rows; i++)
		i_store(out + i / 2 * call->ldc + i % 2 * VW, c[i]);
}

#define DEFINE_BOUNDED(rows)                                    \
	static TARGET void bounded##rows##_0(const MicroCall *call) \
	{                                                           \
		bounded_body(rows, 0, call);                            \
	}                                                           \
	static TARGET void bounded##rows##_1(const MicroCall *call) \
	{                                                           \
		bounded_body(rows, 1, call);                            \
	}

DEFINE_BOUNDED(1)
DEFINE_BOUNDED(2)
DEFINE_BOUNDED(3)
DEFINE_BOUNDED(4)
#undef DEFINE_BOUNDED

/* [rows - 1][0, 1 prefetched lines a group]; a group of a panel is one line */
_Static_assert(PANEL * 4 == 64 && NV == 2, "panels of a line");
static const MicroKernel wide_int8[INT8_ROWS][4] = {{bounded1_0, bounded1_1, NULL, NULL},
													{bounded2_0, bounded2_1, NULL, NULL},
													{bounded3_0, bounded3_1, NULL, NULL},
													{bounded4_0, bounded4_1, NULL, NULL}};
