/*
 * bench_kernels: speed of the GEMM and attention kernels over the timed shapes of the table of
 * cases, in GFLOP/s and as a share of the core's peak, which is measured by loops without memory
 * access in alternation with each shape. usage: bench_kernels [kernel [seconds a shape]]
 */
#include "kernel_cases.h"
#include "peak.h"

static void
report(const char *what, size_t a, size_t b, size_t c, double operations, double best, double top)
{
	printf("  %-12s %5zu x %5zu x %5zu %9.1f GFLOP/s", what, a, b, c, operations / best / 1e9);
	if (top > 0)
		printf("  %5.1f %% of %.0f", 100 * operations / best / top, top / 1e9);
	printf("\n");
}

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
	double best = 1e9;
	double top = 0;

	rng_init(&rng, 1, 0);
	case_fill(&rng, DATA_UNIFORM, m, k, k, a);
	case_fill(&rng, DATA_UNIFORM, n, k, k, w);
	case_fill(&rng, DATA_UNIFORM, 1, n, n, bias);
	case_fill(&rng, DATA_UNIFORM, m, n, n, residual);
	kernels->gemm_pack(precision, n, k, w, k, panels, NULL);
	for (double until = now() + seconds; now() < until;)
	{
		double start;

		top = fmax(top, peak(precision));
		for (int i = 0; i < 50; i++)
		{
			start = now();
			kernels->gemm(&packed, m, kernels->rows_convert(precision, m, k, a, k, buffer), c, n,
						  &epilogue, scratch);
			best = fmin(best, now() - start);
		}
	}
	report(precision_name(precision), m, n, k, 2.0 * m * n * k, best, top);
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
	double best = 1e9;
	double top = 0;
	Rng rng;

	rng_init(&rng, 1, 0);
	case_fill(&rng, DATA_UNIFORM, shape->n_tokens, 3 * width, 3 * width, numbers);
	for (size_t i = 0; i < size; i++)
		rounded[i] = float_to_bf16(numbers[i]);
	for (double until = now() + seconds; now() < until;)
	{
		top = fmax(top, peak(precision));
		for (int i = 0; i < 20; i++)
		{
			double start = now();

			kernels->attention(&call, scratch);
			best = fmin(best, now() - start);
		}
	}
	report(bf16 ? "attention bf16" : "attention", shape->n_tokens, shape->n_heads, shape->head_size,
		   4.0 * (double) (shape->n_tokens * shape->n_tokens * width), best, top);
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
