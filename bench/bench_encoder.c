/*
 * bench_encoder: speed of the whole encoder with random weights, median and best, and as a share of
 * the core's peak at the time. usage: bench_encoder [minilm|base [kernel [seconds a shape
 * [precision [sequences tokens]]]]]
 */
#include "core/rng.h"
#include "large.h"
#include "model_fixture.h"
#include "nn/forward.h"
#include "peak.h"

typedef struct Shape
{
	size_t n_sequences;
	size_t length;
} Shape;

static const Shape shapes[] = {{1, 16}, {1, 56}, {1, 128}, {32, 32}, {32, 128}, {8, 512}};

static double
operations(const BertConfig *config, const Shape *shape)
{
	double h = config->hidden_size;
	double tokens = (double) (shape->n_sequences * shape->length);

	return config->num_hidden_layers * tokens *
		   (2 * (4 * h * h + 2 * h * config->intermediate_size) + 4 * (double) shape->length * h);
}

static bool
random_model(Arena *arena, const char *name, Precision precision, const Kernels *kernels,
			 Fixture *fixture, Status *status)
{
	Rng rng;

	if (!config_default(arena, &fixture->config, status))
		return false;
	if (strcmp(name, "minilm") == 0)
	{
		fixture->config.hidden_size = 384;
		fixture->config.intermediate_size = 1536;
		fixture->config.num_hidden_layers = 6;
	}
	fixture->config.use_pooler = false;
	if (!tensor_table_build(arena, &fixture->config, HEAD_NONE, &fixture->table, status))
		return false;
	fixture->blocks = arena_alloc_array(arena, (size_t) fixture->table.n_blocks, sizeof(float *));
	rng_init(&rng, 1, 0);
	for (int b = 0; b < fixture->table.n_blocks; b++)
	{
		size_t n = fixture->table.blocks[b].elements;

		fixture->blocks[b] = arena_alloc_array(arena, n, sizeof(float));
		for (size_t i = 0; i < n; i++)
			fixture->blocks[b][i] = 0.1f * ((float) rng_u32(&rng) / 4294967296.0f - 0.5f);
	}
	return fixture_bind(arena, fixture, precision, kernels, status);
}

static bool
bench_shape(const Fixture *fixture, const Shape *shape, Precision precision, double seconds,
			Status *status)
{
	static Tries tries;
	Arena *arena = arena_create(&allocator_malloc, 0);
	size_t n_tokens = shape->n_sequences * shape->length;
	int32_t *cu_seqlens = arena_alloc_array(arena, shape->n_sequences + 1, sizeof(int32_t));
	int32_t *ids = arena_alloc_array(arena, n_tokens, sizeof(int32_t));
	Batch batch = {.n_sequences = shape->n_sequences, .cu_seqlens = cu_seqlens, .input_ids = ids};
	ForwardWants wants = {0};
	ArenaMark mark;

	for (size_t i = 0; i <= shape->n_sequences; i++)
		cu_seqlens[i] = (int32_t) (i * shape->length);
	for (size_t i = 0; i < n_tokens; i++)
		ids[i] = (int32_t) (i * 7919 % 30000);
	mark = arena_mark(arena);
	tries_begin(&tries, fixture->model->kernels, precision, operations(&fixture->config, shape));
	for (double until = now() + seconds; now() < until || tries.n < 3;)
	{
		EncoderOutput output;
		double start = now();

		if (!encoder_forward(fixture->model, &batch, &wants, arena, &output, NULL, status))
			return false;
		tries_add(&tries, now() - start);
		arena_rewind(arena, mark);
	}
	printf("  %s %3zu x %3zu", precision_name(precision), shape->n_sequences, shape->length);
	tries_report(&tries);
	arena_destroy(arena);
	return true;
}

int
main(int argc, char **argv)
{
	const char *name = argc > 1 ? argv[1] : "minilm";
	double seconds = argc > 3 ? atof(argv[3]) : 1;
	Shape one = {argc > 6 ? strtoul(argv[5], NULL, 10) : 0,
				 argc > 6 ? strtoul(argv[6], NULL, 10) : 0};
	bool single = one.n_sequences > 0 && one.length > 0;
	Precision only = PRECISION_FP32;
	Status status = {0};
	const Kernels *kernels = kernels_choose(argc > 2 ? argv[2] : "auto", &status);
	bool ok = kernels != NULL && (argc <= 4 || precision_parse(argv[4], &only, &status));

	use_large_pages(argv);
	if (ok)
		printf("%s, %s (%s)\n", name, kernels->name, kernels->features);
	for (int p = 0; ok && p < PRECISION_COUNT; p++)
	{
		Arena *arena;
		Fixture fixture;

		if (argc > 4 && p != (int) only)
			continue;
		arena = arena_create(&allocator_malloc, 0);
		ok = random_model(arena, name, (Precision) p, kernels, &fixture, &status);
		for (size_t i = 0; ok && i < (single ? 1 : sizeof shapes / sizeof shapes[0]); i++)
			ok = bench_shape(&fixture, single ? &one : &shapes[i], (Precision) p, seconds, &status);
		arena_destroy(arena);
	}
	if (!ok)
		fprintf(stderr, "%s\n", status.message);
	return ok ? 0 : 1;
}
