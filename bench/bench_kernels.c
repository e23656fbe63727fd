/*
 * bench_kernels: speed of the GEMM and attention kernels over the timed shapes of the table of
 * cases, median and best, and as a share of the core's peak at the time. usage: bench_kernels
 * [kernel [seconds a shape]]
 */
#include "kernel_cases.h"
#include "large.h"
#include "peak.h"

/* times of so many calls are one try */
#define CALLS 20

static void
bench_gemm(const Kernels *kernels, const GemmCase *shape, Precision precision, double seconds)
{
	size_t m = shape->m;
	size_t n = shape->n;
	size_t k = shape->k;
	Rng rng;
	float *a = case_alloc(m * k * sizeof(float));
	float *w = case_alloc(n * k * sizeof(float));
	float *bias = case_alloc(n * sizeof(float));
	float *residual = case_alloc(m * n * sizeof(float));
	float *c = case_alloc(m * n * sizeof(float));
	void *panels = case_alloc(kernels->gemm_packed_size(precision, n, k));
	void *buffer = case_alloc(kernels->rows_size(precision, m, k));
	void *scratch = case_alloc(kernels->gemm_scratch_size(precision, n, k));
	PackedMatrix packed = {precision, n, k, panels};
	GemmEpilogue epilogue = {shape->bias ? bias : NULL, shape->activation,
							 shape->residual ? residual : NULL, n, shape->strassen};
	static Tries tries;

	rng_init(&rng, 1, 0);
	case_fill(&rng, DATA_UNIFORM, m, k, k, a);
	case_fill(&rng, DATA_UNIFORM, n, k, k, w);
	case_fill(&rng, DATA_UNIFORM, 1, n, n, bias);
	case_fill(&rng, DATA_UNIFORM, m, n, n, residual);
	kernels->gemm_pack(precision, n, k, w, k, panels, NULL);
	tries_begin(&tries, kernels, precision, CALLS * 2.0 * (double) (m * n * k));
	for (double until = now() + seconds; now() < until;)
	{
		double start = now();

		for (int i = 0; i < CALLS; i++)
			kernels->gemm(&packed, m, kernels->rows_convert(precision, m, k, a, k, buffer), c, n,
						  &epilogue, scratch);
		tries_add(&tries, now() - start);
	}
	printf("  %-14s %5zu x %5zu x %5zu", precision_name(precision), m, n, k);
	tries_report(&tries);
	free(a);
	free(w);
	free(bias);
	free(residual);
	free(c);
	free(panels);
	free(buffer);
	free(scratch);
}

static void
bench_attention(const Kernels *kernels, const AttentionCase *shape, bool bf16, double seconds)
{
	size_t width = shape->n_heads * shape->head_size;
	size_t size = shape->n_tokens * 3 * width;
	float *numbers = case_alloc(size * sizeof(float));
	uint16_t *rounded = case_alloc(size * sizeof(uint16_t));
	float *context = case_alloc(shape->n_tokens * width * sizeof(float));
	Precision precision = bf16 ? PRECISION_BF16 : PRECISION_FP32;
	void *scratch =
		case_alloc(kernels->attention_scratch_size(precision, shape->n_tokens, shape->head_size));
	AttentionCall call = {
		.n_tokens = shape->n_tokens,
		.n_heads = shape->n_heads,
		.head_size = shape->head_size,
		.bf16 = bf16,
		.q = bf16 ? (void *) rounded : (void *) numbers,
		.k = bf16 ? (void *) (rounded + width) : (void *) (numbers + width),
		.v = bf16 ? (void *) (rounded + 2 * width) : (void *) (numbers + 2 * width),
		.qkv_ld = 3 * width,
		.scale = 1 / sqrtf((float) shape->head_size),
		.context = context,
		.context_ld = width,
	};
	static Tries tries;
	Rng rng;

	rng_init(&rng, 1, 0);
	case_fill(&rng, DATA_UNIFORM, shape->n_tokens, 3 * width, 3 * width, numbers);
	for (size_t i = 0; i < size; i++)
		rounded[i] = float_to_bf16(numbers[i]);
	tries_begin(&tries, kernels, precision,
				CALLS * 4.0 * (double) (shape->n_tokens * shape->n_tokens * width));
	for (double until = now() + seconds; now() < until;)
	{
		double start = now();

		for (int i = 0; i < CALLS; i++)
			kernels->attention(&call, scratch);
		tries_add(&tries, now() - start);
	}
	printf("  %-14s %5zu x %5zu x %5zu", bf16 ? "attention bf16" : "attention", shape->n_tokens,
		   shape->n_heads, shape->head_size);
	tries_report(&tries);
	free(numbers);
	free(rounded);
	free(context);
	free(scratch);
}

int
main(int argc, char **argv)
{
	Status status = {0};
	const Kernels *kernels = kernels_choose(argc > 1 ? argv[1] : "auto", &status);
	double seconds = argc > 2 ? atof(argv[2]) : 0.3;

	use_large_pages(argv);
	if (kernels == NULL)
	{
		fprintf(stderr, "%s\n", status.message);
		return 1;
	}
	printf("%s: %s\n", kernels->name, kernels->features);
	for (int p = 0; p < PRECISION_COUNT; p++)
		for (size_t i = 0; i < N_TIMED_GEMM_CASES; i++)
			bench_gemm(kernels, &gemm_cases[i], (Precision) p, seconds);
	for (int bf16 = 0; bf16 < 2; bf16++)
		for (size_t i = 0; i < N_TIMED_ATTENTION_CASES; i++)
			bench_attention(kernels, &attention_cases[i], bf16, seconds);
	return 0;
}
