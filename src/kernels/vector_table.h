/*
 * vector_table.h: all bodies of a family, and VECTOR_TABLE, which makes its table of them. Included
 * by one file per instruction set after its primitives.
 */
#include "kernels/choose.h"

#include "kernels/vector_math.h"
#include "kernels/vector_elementwise.h"
#include "kernels/vector_tile.h"

#ifdef WIDE_INT8
#include WIDE_INT8
#else
#define INT8_BOUNDED false
#define INT8_MEANING kernels_portable
#define INT8_ROWS WIDE_ROWS
#define KIND int8
#ifdef BYTE_ATTENTION_FROM
#define NARROW
#endif
#define ACC vi
#define GROUP vg
#define acc_zero() i_zero()
#define acc_load(p) i_load(p)
#define acc_add(a, b) i_add(a, b)
#define acc_store(p, x) i_store(p, x)
#define group_load(p) g_load(p)
#define group_broadcast(p) g_broadcast(p)
#define dot(c, a, b) dot_int8(c, a, b)
#include "kernels/vector_micro.h"
#endif

#ifndef WIDENED_BF16
#define WIDENED_BF16 0
#define BF16_MEANING kernels_portable
#else
#define BF16_MEANING kernels_portable_narrow
#include "kernels/vector_widen.h"
#endif

#ifdef HAVE_AMX
#include "kernels/vector_amx.h"
#endif
#include "kernels/vector_pack.h"
#include "kernels/vector_rows.h"
#include "kernels/vector_epilogue.h"
#include "kernels/vector_gemm.h"
#include "kernels/vector_attention.h"

#ifndef PANELS_OF
#define PANELS_OF NULL
#endif

#define VECTOR_TABLE(table, family, description, fp32_layout, bf16_layout, int8_layout) \
	const Kernels table = {                                                             \
		.name = family,                                                                 \
		.panels = PANELS_OF,                                                            \
		.features = description,                                                        \
		.layout = {fp32_layout, bf16_layout, int8_layout},                              \
		.meaning = {&kernels_portable, &BF16_MEANING, &INT8_MEANING},                   \
		.bf16_attention = !WIDENED_BF16,                                                \
		.strassen_min_rows = STRASSEN_MIN_ROWS,                                         \
		.gemm_packed_size = vector_gemm_packed_size,                                    \
		.gemm_pack = vector_gemm_pack,                                                  \
		.rows_size = vector_rows_size,                                                  \
		.rows_convert = vector_rows_convert,                                            \
		.gemm_scratch_size = vector_gemm_scratch_size,                                  \
		.gemm = vector_gemm,                                                            \
		.gemm_bf16 = vector_gemm_bf16,                                                  \
		.gemm_rows = vector_gemm_rows,                                                  \
		.layer_norm = vector_layer_norm,                                                \
		.softmax = vector_softmax,                                                      \
		.activation = vector_activation,                                                \
		.axpy = vector_axpy,                                                            \
		.dot = vector_dot,                                                              \
		.attention_bytes_from = vector_attention_bytes_from,                            \
		.attention_scratch_size = vector_attention_scratch_size,                        \
		.attention = vector_attention,                                                  \
	}
