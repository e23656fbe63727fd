/*
 * vector_micro.h: the inner loops of every matrix product, once per kind of element; included by
 * vector_tile.h and vector_table.h with KIND, ACC (accumulator), GROUP (a vector of 4-byte groups),
 * acc_zero, acc_load, acc_add, acc_store, group_load, group_broadcast and dot defined. A group is
 * one fp32, two bf16 or four int8 along the summed dimension.
 *
 * With COMBINED, b may be the sum or the difference of two matrices, taken on the way by group_add
 * and group_sub.
 *
 * What a micro-kernel computes: see MicroCall (vector_tile.h). Accumulators have names instead of
 * indices: compilers keep them in registers at any optimization level.
 */
#define MICRO_PASTE(a, b) a##_##b
#define MICRO_NAME(a, b) MICRO_PASTE(a, b)
#define BODY MICRO_NAME(micro_body, KIND)

#ifndef COMBINED
#define group_add(b, p) ((void) (p), b)
#define group_sub(b, p) ((void) (p), b)
#endif
#define COMBINE(x, at) \
	(sign == 0 ? x : sign > 0 ? group_add(x, second + (at)) : group_sub(x, second + (at)))

/* What the body does for each row: its number, the pointer that lies nearest, rows behind that. */
/* clang-format off */
#define EACH_ROW(X) \
	X(0, a0, 0) X(1, a0, 1) X(2, a0, 2) X(3, a1, 0) X(4, a1, 1) X(5, a1, 2) \
	X(6, a2, 0) X(7, a2, 1) X(8, a2, 2) X(9, a3, 0) X(10, a3, 1) X(11, a3, 2)
/* clang-format on */
#define DECLARE(r, base, times) \
	ACC c##r##_0 = acc_zero();  \
	ACC c##r##_1 = acc_zero();  \
	ACC c##r##_2 = acc_zero();  \
	ACC c##r##_3 = acc_zero();
#define LOAD(r, base, times)                                  \
	if (rows > r)                                             \
	{                                                         \
		c##r##_0 = acc_load(from + r * from_ld);              \
		if (vectors > 1)                                      \
			c##r##_1 = acc_load(from + r * from_ld + VW);     \
		if (vectors > 2)                                      \
			c##r##_2 = acc_load(from + r * from_ld + 2 * VW); \
		if (vectors > 3)                                      \
			c##r##_3 = acc_load(from + r * from_ld + 3 * VW); \
	}
#define ADD(r, base, times)                                        \
	if (rows > r)                                                  \
	{                                                              \
		c##r##_0 = acc_add(c##r##_0, acc_load(bias));              \
		if (vectors > 1)                                           \
			c##r##_1 = acc_add(c##r##_1, acc_load(bias + VW));     \
		if (vectors > 2)                                           \
			c##r##_2 = acc_add(c##r##_2, acc_load(bias + 2 * VW)); \
		if (vectors > 3)                                           \
			c##r##_3 = acc_add(c##r##_3, acc_load(bias + 3 * VW)); \
	}
#define STEP(r, base, times)                           \
	if (rows > r)                                      \
	{                                                  \
		GROUP x = group_broadcast(base + times * lda); \
		c##r##_0 = dot(c##r##_0, x, b0);               \
		if (vectors > 1)                               \
			c##r##_1 = dot(c##r##_1, x, b1);           \
		if (vectors > 2)                               \
			c##r##_2 = dot(c##r##_2, x, b2);           \
		if (vectors > 3)                               \
			c##r##_3 = dot(c##r##_3, x, b3);           \
	}
#define STORE(r, base, times)                          \
	if (rows > r)                                      \
	{                                                  \
		acc_store(c + r * ldc, c##r##_0);              \
		if (vectors > 1)                               \
			acc_store(c + r * ldc + VW, c##r##_1);     \
		if (vectors > 2)                               \
			acc_store(c + r * ldc + 2 * VW, c##r##_2); \
		if (vectors > 3)                               \
			acc_store(c + r * ldc + 3 * VW, c##r##_3); \
	}

/* step: bytes of b from group to group; the other parameters are constants in each micro-kernel */
INLINE void
BODY(const size_t rows, const size_t vectors, const size_t prefetch_lines, const int sign,
	 const size_t step, const MicroCall *call)
{
	size_t groups = call->groups;
	size_t lda = call->lda;
	size_t ldc = call->ldc;
	size_t from_ld = call->init.ld;
	uint32_t *c = call->c;
	const uint32_t *from = call->init.tile;
	const uint32_t *bias = call->init.row;
	const uint8_t *a0 = call->a;
	const uint8_t *a1 = a0 + 3 * lda;
	const uint8_t *a2 = a0 + 6 * lda;
	const uint8_t *a3 = a0 + 9 * lda;
	const uint8_t *b = call->b;
	const uint8_t *second = call->second;
	const uint8_t *prefetch = call->prefetch;

	EACH_ROW(DECLARE)
	if (from != NULL)
	{
		EACH_ROW(LOAD)
	}
	if (bias != NULL)
	{
		EACH_ROW(ADD)
	}
	for (size_t g = 0; g < groups; g++)
	{
		GROUP b0 = COMBINE(group_load(b), 0);
		GROUP b1 = vectors > 1 ? COMBINE(group_load(b + 4 * VW), 4 * VW) : b0;
		GROUP b2 = vectors > 2 ? COMBINE(group_load(b + 8 * VW), 8 * VW) : b0;
		GROUP b3 = vectors > 3 ? COMBINE(group_load(b + 12 * VW), 12 * VW) : b0;

		if (prefetch_lines > 0)
			__builtin_prefetch(prefetch, 0, 2);
		if (prefetch_lines > 1)
			__builtin_prefetch(prefetch + 64, 0, 2);
		if (prefetch_lines > 2)
			__builtin_prefetch(prefetch + 128, 0, 2);
		if (prefetch_lines > 3)
			__builtin_prefetch(prefetch + 192, 0, 2);
		EACH_ROW(STEP)
		a0 += 4;
		a1 += 4;
		a2 += 4;
		a3 += 4;
		b += step;
		if (sign != 0)
			second += step;
		prefetch += prefetch_lines * 64;
	}
	EACH_ROW(STORE)
}
#undef DECLARE
#undef LOAD
#undef ADD
#undef STEP
#undef STORE
#undef EACH_ROW

#define DEFINE_MICRO(name, rows, vectors, lines)                     \
	static TARGET void MICRO_NAME(name, KIND)(const MicroCall *call) \
	{                                                                \
		BODY(rows, vectors, lines, 0, (vectors) *VW * 4, call);      \
	}
#define DEFINE_WIDE(rows)                     \
	DEFINE_MICRO(wide##rows##_0, rows, NV, 0) \
	DEFINE_MICRO(wide##rows##_1, rows, NV, 1) \
	DEFINE_MICRO(wide##rows##_2, rows, NV, 2) \
	DEFINE_MICRO(wide##rows##_4, rows, NV, 4)
#define LIST_WIDE(rows)                                                        \
	{                                                                          \
		MICRO_NAME(wide##rows##_0, KIND), MICRO_NAME(wide##rows##_1, KIND),    \
			MICRO_NAME(wide##rows##_2, KIND), MICRO_NAME(wide##rows##_4, KIND) \
	}

DEFINE_WIDE(1)
DEFINE_WIDE(2)
DEFINE_WIDE(3)
DEFINE_WIDE(4)
DEFINE_WIDE(5)
DEFINE_WIDE(6)

/* [rows - 1][0, 1, 2, 4 prefetched lines a group] */
static const MicroKernel MICRO_NAME(wide, KIND)[WIDE_ROWS][4] = {
	LIST_WIDE(1), LIST_WIDE(2), LIST_WIDE(3), LIST_WIDE(4), LIST_WIDE(5), LIST_WIDE(6)};

#ifdef NARROW
DEFINE_MICRO(narrow1, 1, NV / 2, 0)
DEFINE_MICRO(narrow2, 2, NV / 2, 0)
DEFINE_MICRO(narrow3, 3, NV / 2, 0)
DEFINE_MICRO(narrow4, 4, NV / 2, 0)
DEFINE_MICRO(narrow5, 5, NV / 2, 0)
DEFINE_MICRO(narrow6, 6, NV / 2, 0)
DEFINE_MICRO(narrow7, 7, NV / 2, 0)
DEFINE_MICRO(narrow8, 8, NV / 2, 0)
DEFINE_MICRO(narrow9, 9, NV / 2, 0)
DEFINE_MICRO(narrow10, 10, NV / 2, 0)
DEFINE_MICRO(narrow11, 11, NV / 2, 0)
DEFINE_MICRO(narrow12, 12, NV / 2, 0)

/* half as many columns, up to twice the rows: [rows - 1] */
static const MicroKernel MICRO_NAME(narrow, KIND)[NARROW_ROWS] = {
	MICRO_NAME(narrow1, KIND),  MICRO_NAME(narrow2, KIND),  MICRO_NAME(narrow3, KIND),
	MICRO_NAME(narrow4, KIND),  MICRO_NAME(narrow5, KIND),  MICRO_NAME(narrow6, KIND),
	MICRO_NAME(narrow7, KIND),  MICRO_NAME(narrow8, KIND),  MICRO_NAME(narrow9, KIND),
	MICRO_NAME(narrow10, KIND), MICRO_NAME(narrow11, KIND), MICRO_NAME(narrow12, KIND)};
#endif

#ifdef COMBINED
#define DEFINE_COMBINED(name, rows, lines, sign)                     \
	static TARGET void MICRO_NAME(name, KIND)(const MicroCall *call) \
	{                                                                \
		BODY(rows, NV / 2, lines, sign, PANEL * 4, call);            \
	}
#define DEFINE_COMBINED_ROWS(rows)                \
	DEFINE_COMBINED(single##rows##_1, rows, 1, 0) \
	DEFINE_COMBINED(single##rows##_2, rows, 2, 0) \
	DEFINE_COMBINED(plus##rows##_1, rows, 1, 1)   \
	DEFINE_COMBINED(plus##rows##_2, rows, 2, 1)   \
	DEFINE_COMBINED(minus##rows##_1, rows, 1, -1) \
	DEFINE_COMBINED(minus##rows##_2, rows, 2, -1)
#define LIST_COMBINED(rows)                                                           \
	{                                                                                 \
		{MICRO_NAME(minus##rows##_1, KIND), MICRO_NAME(minus##rows##_2, KIND)},       \
			{MICRO_NAME(single##rows##_1, KIND), MICRO_NAME(single##rows##_2, KIND)}, \
		{                                                                             \
			MICRO_NAME(plus##rows##_1, KIND), MICRO_NAME(plus##rows##_2, KIND)        \
		}                                                                             \
	}

DEFINE_COMBINED_ROWS(5)
DEFINE_COMBINED_ROWS(6)
DEFINE_COMBINED_ROWS(7)
DEFINE_COMBINED_ROWS(8)
DEFINE_COMBINED_ROWS(9)
DEFINE_COMBINED_ROWS(10)
DEFINE_COMBINED_ROWS(11)
DEFINE_COMBINED_ROWS(12)

/* half of a panel's columns: [rows - COMBINED_MIN_ROWS][sign + 1][lines fetched a group - 1] */
static const MicroKernel MICRO_NAME(combined, KIND)[NARROW_ROWS - COMBINED_MIN_ROWS + 1][3][2] = {
	LIST_COMBINED(5), LIST_COMBINED(6),  LIST_COMBINED(7),  LIST_COMBINED(8),
	LIST_COMBINED(9), LIST_COMBINED(10), LIST_COMBINED(11), LIST_COMBINED(12)};
#undef DEFINE_COMBINED
#undef DEFINE_COMBINED_ROWS
#undef LIST_COMBINED
#endif

#undef COMBINE
#undef group_add
#undef group_sub
#undef DEFINE_MICRO
#undef DEFINE_WIDE
#undef LIST_WIDE
#undef BODY
#undef MICRO_NAME
#undef MICRO_PASTE
#undef KIND
#undef ACC
#undef GROUP
#undef acc_zero
#undef acc_load
#undef acc_add
#undef acc_store
#undef group_load
#undef group_broadcast
#undef dot
#undef COMBINED
#undef NARROW
