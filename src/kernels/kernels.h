/*
 * kernels.h: everything that is written once per instruction set, behind one table of functions.
 *
 * kernels_choose picks the table once per process from CPUID and XGETBV (or HWCAP), or the forced
 * one; the rest of the code calls through it. Kernels allocate nothing and start no thread: scratch
 * memory is the caller's, its size asked for first. Matrices are row-major; "ld" is the distance
 * between rows in elements.
 *
 * GEMM: C (M,N) = epilogue(A (M,K) * W^T), W (N,K) as torch.nn.Linear stores it, packed once into
 * panels. Their layout is the family's own; its number is in Kernels.layout. A is first brought
 * into the precision's form ("rows"): as is for fp32, rounded for bf16, quantized for int8 (a scale
 * and a zero-point for each row; weights have a scale for each output feature and no zero-point).
 * Families without instructions for bf16 or for bytes take other forms: see Kernels.meaning.
 * Results are fp32, bf16 (for attention) or rows for the next GEMM. GemmEpilogue says what is
 * fused.
 */
#ifndef BERT_KERNELS_KERNELS_H
#define BERT_KERNELS_KERNELS_H

#include <stddef.h>
#include <stdint.h>

#include "core/status.h"
#include "kernels/activation.h"

typedef enum Precision
{
	PRECISION_FP32,
	PRECISION_BF16,
	PRECISION_INT8
} Precision;

#define PRECISION_COUNT 3

const char *precision_name(Precision precision); /* "fp32", "bf16", "int8" */
bool precision_parse(const char *name, Precision *precision, Status *status);

typedef struct GemmEpilogue
{
	const float *bias;     /* (N) or NULL */
	Activation activation; /* applied after the bias; ACTIVATION_NONE */
	const float *residual; /* (M,N), added last, or NULL; may be C itself */
	size_t residual_ld;
	/* fewer multiplications, by sums of rows: see Kernels.strassen_min_rows */
	bool allow_strassen;
} GemmEpilogue;

/*
 * What a GEMM reads, in the precision's form: row i at data + i * stride. Made by rows_convert and
 * gemm_rows. In fp32 rows_convert only says where the matrix is: no buffer is needed, and the
 * matrix must stay as it is.
 */
typedef struct Rows
{
	const void *data;
	size_t stride;      /* bytes */
	const void *scales; /* int8: of each row, the family's own business */
} Rows;

/* A GEMM weight in its packed form: a view into a prepared block. */
typedef struct PackedMatrix
{
	Precision precision;
	size_t n;           /* output features */
	size_t k;           /* input features */
	const void *panels; /* 64-byte aligned, gemm_packed_size bytes */
} PackedMatrix;

/*
 * One attention call: one sequence, all heads, q, k, v as rows of one fused (T, 3H) buffer or
 * apart. context (T, n_heads*head_size) = softmax(q k^T * scale + bias + mask) v, per head, without
 * ever holding more than a tile of the scores. Used for the plain case; masks, relative positions
 * and attention output go through src/nn's general path.
 */
typedef struct AttentionCall
{
	size_t n_tokens; /* T */
	size_t n_heads;
	size_t head_size;
	bool bf16;     /* q, k and v are bf16 (uint16_t), else float */
	bool bytes;    /* bf16 that is rounded on, to bytes: see attention_bytes_from */
	const void *q; /* (T, qkv_ld) row t, head h at t*qkv_ld + h*head_size */
	const void *k;
	const void *v;
	size_t qkv_ld;  /* elements */
	float scale;    /* 1 / sqrt(head_size) */
	float *context; /* (T, context_ld) */
	size_t context_ld;
} AttentionCall;

/* LayerNorm over rows of n. */
typedef struct LayerNorm
{
	size_t n;
	const float *gamma; /* (n) */
	const float *beta;  /* (n) */
	float eps;          /* added to the variance, inside the root */
} LayerNorm;

typedef struct Kernels
{
	/* "amx", "avx512", "avx2", "neon", "blas", "portable": what bert.kernel takes */
	const char *name;
	const char *panels;   /* the family that packs the same panels; NULL: none but itself */
	const char *features; /* for people: "AVX-512 VNNI BF16" */
	/* identifies the packed layout; part of the cache file's name */
	uint32_t layout[PRECISION_COUNT];

	/*
	 * fp32 products of this many rows or more, all of one text, take GemmEpilogue.allow_strassen:
	 * seven multiplications instead of eight, errors up to three times as large and relative to
	 * the largest row, last bits of each row that depend on the others. 0: never. Where it gains
	 * says kernels_strassen_from.
	 */
	size_t strassen_min_rows;

	/*
	 * bytes of the packed form of an (n,k) weight, 0 on overflow; and how to make it, which asks
	 * after every few rows: false when the question, which may be NULL, was answered with no.
	 */
	size_t (*gemm_packed_size)(Precision precision, size_t n, size_t k);
	bool (*gemm_pack)(Precision precision, size_t n, size_t k, const float *w, size_t ld,
					  void *panels, const MayContinue *question);

	/*
	 * bytes of the buffer for m rows of k in the precision's form, and how to make them from fp32
	 */
	size_t (*rows_size)(Precision precision, size_t m, size_t k);
	Rows (*rows_convert)(Precision precision, size_t m, size_t k, const float *a, size_t ld,
						 void *buffer);

	/*
	 * C (m,n) from rows of the same precision and k, which C must not overlap. scratch:
	 * gemm_scratch_size bytes.
	 */
	size_t (*gemm_scratch_size)(Precision precision, size_t n, size_t k);
	void (*gemm)(const PackedMatrix *w, size_t m, Rows rows, float *c, size_t ldc,
				 const GemmEpilogue *epilogue, void *scratch);

	/* The same, rounded to bf16: what attention takes in bf16. */
	void (*gemm_bf16)(const PackedMatrix *w, size_t m, Rows rows, uint16_t *c, size_t ldc,
					  const GemmEpilogue *epilogue, void *scratch);
	/*
	 * The same, in the precision's form: the rows (of w->n) that the next GEMM reads. buffer:
	 * rows_size(precision, m, w->n) bytes
	 */
	Rows (*gemm_rows)(const PackedMatrix *w, size_t m, Rows rows, void *buffer,
					  const GemmEpilogue *epilogue, void *scratch);

	/* y (m,n) = LayerNorm(x) * gamma + beta; y may be x */
	void (*layer_norm)(const LayerNorm *norm, size_t m, const float *x, size_t ldx, float *y,
					   size_t ldy);
	/* in place, each of m rows of n */
	void (*softmax)(size_t m, size_t n, float *x, size_t ld);
	/* in place */
	void (*activation)(Activation activation, size_t n, float *x);
	/* y += a x; sum of x y; y = max(y, x); of n */
	void (*axpy)(size_t n, float a, const float *x, float *y);
	float (*dot)(size_t n, const float *x, const float *y);

	/*
	 * from how many tokens on models in int8 gain from AttentionCall.bytes; SIZE_MAX: never, or not
	 * where sequences may have most_tokens
	 */
	size_t (*attention_bytes_from)(size_t head_size, size_t most_tokens);
	/* bytes of scratch for attention at up to n_tokens tokens, in bytes too for int8 */
	size_t (*attention_scratch_size)(Precision precision, size_t n_tokens, size_t head_size);
	void (*attention)(const AttentionCall *call, void *scratch);

	/* the plain C tables that compute the same numbers, but for the order of fp32 sums */
	const struct Kernels *meaning[PRECISION_COUNT];
	/* models in bf16 and int8 have their queries, keys and values in bf16; else in fp32 */
	bool bf16_attention;
} Kernels;

/*
 * The kernels for this process. name: "auto", or one of kernels_names. STATUS_UNSUPPORTED when the
 * CPU lacks what a forced one needs, STATUS_INVALID_ARGUMENT for an unknown name. The answer for
 * "auto" never changes in a process.
 */
const Kernels *kernels_choose(const char *name, Status *status);

/*
 * From how many rows on Strassen's way gains on this processor, SIZE_MAX: never. Not on Intel's,
 * where additions take the ports of the multiplications that they save; AMD's have their own.
 */
size_t kernels_strassen_from(const Kernels *kernels);

/* Names compiled in, best first, NULL-terminated; the CPU may lack some. */
const char *const *kernels_names(void);

#endif
