/*
 * encoder_driver.c: a model folder against tensors that the reference gave
 * (test/parity/encoder.py).
 *
 *     encoder_driver MODEL_FOLDER KERNEL PRECISION CASE.safetensors...
 *
 * A case holds input_ids (1, T), hidden_states (L + 1, 1, T, H) and embedding (1, H): mean pooled,
 * unit length. Prints a line per case: tokens, largest absolute difference of the hidden states, of
 * the last one, and of the embedding.
 */
#include <math.h>

#include "model_fixture.h"

static double
largest_difference(const float *a, const float *b, size_t n)
{
	double largest = 0.0;

	for (size_t i = 0; i < n; i++)
		largest = fmax(largest, isnan(a[i]) ? INFINITY : fabs((double) a[i] - b[i]));
	return largest;
}

static bool
run_case(const Fixture *fixture, const char *path, Status *status)
{
	Arena *arena = arena_create(&allocator_malloc, 0);
	size_t hidden = (size_t) fixture->config.hidden_size;
	size_t layers = (size_t) fixture->config.num_hidden_layers;
	ForwardWants wants = {.hidden_states = true};
	size_t n = 0;
	int32_t bounds[2] = {0, 0};
	Batch batch = {.n_sequences = 1, .cu_seqlens = bounds};
	CaseFile file;
	EncoderOutput encoded;
	float *embedding = arena_alloc_array(arena, hidden, sizeof(float));
	float *expected;

	if (!case_open_path(arena, path, &file, status))
		return false;
	case_floats(arena, &file, "input_ids", &n, NULL);
	bounds[1] = (int32_t) n;
	batch.input_ids = case_ints(arena, &file, "input_ids");
	if (!encoder_forward(fixture->model, &batch, &wants, arena, &encoded, NULL, status) ||
		!pool_forward(fixture->model, &batch, encoded.last_hidden_state,
					  &(PoolCall){&(PoolingModes){1, {POOLING_MEAN}}, NULL}, arena, embedding,
					  status))
		return false;
	normalize_rows(batch.n_sequences, hidden, embedding);
	expected = case_floats(arena, &file, "hidden_states", NULL, NULL);
	printf(
		"%zu %.2e %.2e %.2e\n", n,
		largest_difference(encoded.hidden_states, expected, (layers + 1) * n * hidden),
		largest_difference(encoded.last_hidden_state, expected + layers * n * hidden, n * hidden),
		largest_difference(embedding, case_floats(arena, &file, "embedding", NULL, NULL), hidden));
	arena_destroy(arena);
	return true;
}

int
main(int argc, char **argv)
{
	Arena *arena = arena_create(&allocator_malloc, 0);
	Status status;
	const Kernels *kernels;
	Precision precision;
	Fixture fixture;

	if (argc < 5)
	{
		fprintf(stderr, "usage: %s MODEL_FOLDER KERNEL PRECISION CASE.safetensors...\n", argv[0]);
		return 2;
	}
	kernels = kernels_choose(argv[2], &status);
	if (kernels == NULL || !precision_parse(argv[3], &precision, &status) ||
		!fixture_load(arena, argv[1], "config.json", HEAD_NONE, precision, kernels, &fixture,
					  &status))
	{
		fprintf(stderr, "%s\n", status.message);
		return 1;
	}
	for (int i = 4; i < argc; i++)
		if (!run_case(&fixture, argv[i], &status))
		{
			fprintf(stderr, "%s: %s\n", argv[i], status.message);
			return 1;
		}
	arena_destroy(arena);
	return 0;
}
