/*
 * Embeddings in training: losses and gradients against sentence-transformers
 * (test/golden/generate_embedding.py), the same in pieces, and the order of samples.
 */
#include "golden_tensors.h"
#include "near.h"
#include "train/embedding_step.h"
#include "train_fixture.h"

#define GOLDEN "test/golden/embedding"
#define BASE "test/golden/sentence/bases/bert"
#define SAMPLES 24
#define TOLERANCE 1e-5
#define RISE 1e-3 /* of the loss, in finite differences */

typedef struct Case
{
	Arena *arena;
	Arena *workspace;
	char name[64];
	BertConfig config;
	TensorTable table;
	Compute compute;
	Network network;
	float *weights;
	PoolingModes pooling;
	bool normalize;
	EmbeddingLoss loss;
	Batch batch;
	EmbeddingExamples examples;
	Checkpoint golden;
	ModelSource *source; /* of golden */
} Case;

static const char *
golden_name(const TensorSpec *tensor)
{
	return tensor->role == ROLE_DENSE_WEIGHT        ? "dense.weight"
		   : tensor->role == ROLE_DENSE_BIAS        ? "dense.bias"
		   : strncmp(tensor->name, "bert.", 5) == 0 ? tensor->name + 5
													: tensor->name;
}

static void
load_weights(Case *test)
{
	ModelSource *source;
	Checkpoint base = open_tensors(test->arena, BASE, "model.safetensors", &source);

	test->weights = arena_alloc_array(test->arena, test->table.elements, sizeof(float));
	for (int i = 0; i < test->table.n_tensors; i++)
	{
		const TensorSpec *tensor = &test->table.tensors[i];
		bool dense = test->table.blocks[tensor->block].kind == BLOCK_DENSE;
		size_t n;
		float *values =
			read_tensor(test->arena, dense ? &test->golden : &base, golden_name(tensor), &n);

		if (values == NULL || n != tensor->elements)
			fail_msg("%s: no tensor %s", test->name, tensor->name);
		memcpy(test->weights + network_tensor_offset(&test->table, tensor), values,
			   n * sizeof(float));
	}
	modelsource_close(source);
}

static void
read_config(Case *test, const char *activation)
{
	FILE *file = fopen(BASE "/config.json", "r");
	char json[4096];
	size_t n;
	Status status;

	assert_non_null(file);
	n = fread(json, 1, sizeof json, file);
	fclose(file);
	check_status(config_parse(test->arena, json, n, &test->config, &status), &status);
	test->config.use_pooler = true;
	if (strcmp(activation, "-") != 0)
	{
		test->config.n_dense = 1;
		test->config.dense[0] =
			(DenseModule){.in_features = 16 * test->pooling.n, .out_features = 8, .bias = true};
		check_status(dense_activation_parse(strcmp(activation, "tanh") == 0 ? "Tanh" : "GELU",
											&test->config.dense[0].activation, &status),
					 &status);
	}
	check_status(tensor_table_build(test->arena, &test->config, HEAD_NONE, &test->table, &status),
				 &status);
}

static void
read_examples(Case *test)
{
	size_t tokens;
	size_t sequences;
	size_t n;
	float *ids = read_tensor(test->arena, &test->golden, "input_ids", &tokens);
	float *lengths = read_tensor(test->arena, &test->golden, "lengths", &sequences);
	float *offsets = read_tensor(test->arena, &test->golden, "offsets", &n);
	float *labels;
	int32_t *input_ids = arena_alloc_array(test->arena, tokens, sizeof *input_ids);
	int32_t *types = arena_alloc_array_zero(test->arena, tokens, sizeof *types);
	int32_t *cu_seqlens = arena_alloc_array_zero(test->arena, sequences + 1, sizeof *cu_seqlens);
	size_t *starts = arena_alloc_array(test->arena, n, sizeof *starts);
	int64_t *classes = arena_alloc_array(test->arena, n, sizeof *classes);

	for (size_t t = 0; t < tokens; t++)
		input_ids[t] = (int32_t) ids[t];
	for (size_t s = 0; s < sequences; s++)
		cu_seqlens[s + 1] = cu_seqlens[s] + (int32_t) lengths[s];
	for (size_t e = 0; e < n; e++)
		starts[e] = (size_t) offsets[e];
	test->batch = (Batch){.n_sequences = sequences,
						  .cu_seqlens = cu_seqlens,
						  .input_ids = input_ids,
						  .token_type_ids = types};
	test->examples.n = n - 1;
	test->examples.offsets = starts;
	test->examples.scores = read_tensor(test->arena, &test->golden, "scores", &n);
	labels = read_tensor(test->arena, &test->golden, "labels", &n);
	for (size_t e = 0; labels != NULL && e < n; e++)
		classes[e] = (int64_t) labels[e];
	test->examples.labels = classes;
	test->examples.labelled = labels != NULL;
	test->examples.targets = read_tensor(test->arena, &test->golden, "targets", &n);
	test->examples.target_columns = n / test->examples.n;
}

/* A line of cases.txt. */
static void
case_open(Case *test, const char *line)
{
	char pooling[64];
	char activation[16];
	char kind[64];
	char distance[16];
	char dims[32];
	char file[96];
	int normalize;
	Status status;

	memset(test, 0, sizeof *test);
	test->arena = arena_create(&allocator_malloc, 0);
	test->workspace = arena_create(&allocator_malloc, 0);
	assert_int_equal(sscanf(line, "%63s %63s %d %15s %63s %lf %lf %15s %31s", test->name, pooling,
							&normalize, activation, kind, &test->loss.scale, &test->loss.margin,
							distance, dims),
					 9);
	test->normalize = normalize != 0;
	snprintf(file, sizeof file, "%s.safetensors",
			 strcmp(test->name, "activations") == 0 ? "ranking_dense" : test->name);
	test->golden = open_tensors(test->arena, GOLDEN, file, &test->source);
	check_status(pooling_modes_parse(pooling, &test->pooling, &status), &status);
	check_status(embedding_loss_parse(kind, &test->loss.kind, &status), &status);
	if (strcmp(distance, "-") != 0)
		check_status(embedding_distance_parse(distance, &test->loss.distance, &status), &status);
	for (char *dim = strtok(dims, ",-"); dim != NULL; dim = strtok(NULL, ","))
		test->loss.dims[test->loss.n_dims++] = atoi(dim);
	read_config(test, activation);
	load_weights(test);
	read_examples(test);
	check_status(compute_init(&test->compute, test->arena, train_kernels_choose("auto", &status),
							  NULL, network_widest(&test->table), &status),
				 &status);
	check_status(network_init(&test->network,
							  &(NetworkSetup){.config = &test->config,
											  .table = &test->table,
											  .compute = &test->compute,
											  .weights = test->weights,
											  .part = TRAIN_ALL,
											  .pooling = &test->pooling,
											  .normalize = test->normalize},
							  test->arena, test->workspace, &status),
				 &status);
}

static void
case_close(Case *test)
{
	modelsource_close(test->source);
	arena_destroy(test->workspace);
	arena_destroy(test->arena);
}

/* The loss, whole or in pieces of at most `limit` bytes; the gradients are the network's. */
static double
case_run(Case *test, size_t limit, size_t *pieces)
{
	EmbeddingRun embedding = {
		.loss = &test->loss, .examples = &test->examples, .weight = 1, .arena = test->arena};
	NetworkRun run = {
		.batch = &test->batch, .training = false, .backward = true, .embedding = &embedding};
	HeadResult result;
	Status status;

	network_begin_step(&test->network);
	check_status(train_embedding_step(&test->network, &run, limit, &result, pieces, &status),
				 &status);
	return result.loss;
}

/*
 * What an error of a gradient is measured by: its norm, unless the gradient is 0 but for rounding.
 * So is that of a key's bias, which changes nothing, and those of what moves all texts alike.
 */
static double
scale_of(const TensorSpec *tensor, double norm)
{
	return tensor->role == ROLE_KEY_BIAS ? 1 : fmax(norm, 0.05);
}

/* How far a tensor's gradient is from the reference's, over its norm. */
static double
gradient_error(const Case *test, const TensorSpec *tensor, const float *gradient)
{
	char name[TENSOR_NAME_LENGTH + 16];
	size_t n;
	size_t stride = ((tensor->elements + SAMPLES - 1) / SAMPLES) | 1;
	float *expected;
	double squares = 0;
	double worst;

	snprintf(name, sizeof name, "gradient.%s", golden_name(tensor));
	expected = read_tensor(test->arena, &test->golden, name, &n);
	if (expected == NULL)
	{
		assert_true(network_tensor_unused(&test->network, tensor));
		return 0;
	}
	for (size_t i = 0; i < tensor->elements; i++)
		squares += (double) gradient[i] * (double) gradient[i];
	worst = fabs(sqrt(squares) - (double) expected[0]);
	for (size_t i = 1; i < n; i++)
		worst = worse(worst, fabs((double) gradient[(i - 1) * stride] - (double) expected[i]));
	return worst / scale_of(tensor, (double) expected[0]);
}

/* The gradient of every tensor; rows of words that are not in the batch count as 0. */
static float *
case_gradients(const Case *test, const TensorSpec *tensor)
{
	float *copy = arena_alloc_array(test->arena, tensor->elements, sizeof *copy);
	size_t width = test->network.embeddings.norm.n;

	memcpy(copy, test->network.gradients + network_tensor_offset(&test->table, tensor),
		   tensor->elements * sizeof *copy);
	for (size_t row = 0; tensor->role == ROLE_WORD_EMBEDDINGS && row < tensor->elements / width;
		 row++)
		if (test->network.word_rows.stamps[row] != test->network.word_rows.stamp)
			memset(copy + row * width, 0, width * sizeof *copy);
	return copy;
}

/* Every line of cases.txt through a check. */
static void
each_case(void (*check)(Case *test))
{
	FILE *file = fopen(GOLDEN "/cases.txt", "r");
	char line[256];
	int cases = 0;

	assert_non_null(file);
	while (fgets(line, sizeof line, file) != NULL)
	{
		Case test;

		case_open(&test, line);
		check(&test);
		case_close(&test);
		cases++;
	}
	fclose(file);
	assert_int_equal(cases, 19);
}

static void
check_reference(Case *test)
{
	size_t n;
	size_t pieces;
	double expected = (double) read_tensor(test->arena, &test->golden, "loss", &n)[0];
	double loss = case_run(test, 0, &pieces);
	double worst = 0;

	for (int i = 0; i < test->table.n_tensors; i++)
	{
		const TensorSpec *tensor = &test->table.tensors[i];
		double error = gradient_error(test, tensor, case_gradients(test, tensor));

		if (error > TOLERANCE)
			print_message("%s: %s is off by %g\n", test->name, tensor->name, error);
		worst = worse(worst, error);
	}
	print_message("%s: loss %.7f, reference %.7f; gradients within %.1e\n", test->name, loss,
				  expected, worst);
	assert_true(fabs(loss - expected) <= TOLERANCE * fmax(1, fabs(expected)));
	assert_true(worst <= TOLERANCE);
}

static void
test_reference(void **state)
{
	(void) state;
	each_case(check_reference);
}

/* In pieces of one text or a few the loss and all gradients are those of the whole batch. */
static void
check_pieces(Case *test)
{
	size_t pieces;
	double whole = case_run(test, 0, &pieces);
	float **gradients =
		arena_alloc_array(test->arena, (size_t) test->table.n_tensors, sizeof *gradients);

	assert_int_equal(pieces, 1);
	for (int i = 0; i < test->table.n_tensors; i++)
		gradients[i] = case_gradients(test, &test->table.tensors[i]);
	for (size_t limit = 1; limit < 60000; limit += 29000)
	{
		double loss = case_run(test, limit, &pieces);

		assert_true(pieces > 1);
		assert_true(limit > 1 || pieces == test->batch.n_sequences);
		assert_true(fabs(loss - whole) <= 1e-6 * fmax(1, fabs(whole)));
		for (int i = 0; i < test->table.n_tensors; i++)
		{
			const TensorSpec *tensor = &test->table.tensors[i];
			float *again = case_gradients(test, tensor);
			double squares = 0;
			double worst = 0;

			for (size_t j = 0; j < tensor->elements; j++)
			{
				squares += (double) gradients[i][j] * (double) gradients[i][j];
				worst = worse(worst, fabs((double) again[j] - (double) gradients[i][j]));
			}
			if (worst > TOLERANCE * scale_of(tensor, sqrt(squares)))
				fail_msg("%s: %s is off by %g of %g in %zu pieces", test->name, tensor->name, worst,
						 sqrt(squares), pieces);
		}
	}
}

static void
test_pieces(void **state)
{
	(void) state;
	each_case(check_pieces);
}

/*
 * Every activation of a Dense module: along its gradient the loss rises by the gradient's norm, as
 * finite differences say.
 */
static void
test_activations(void **state)
{
	Case test;
	const TensorSpec *weight;
	size_t pieces;

	(void) state;
	case_open(&test, "activations cls 1 tanh multiple_negatives_ranking 20 0 - -");
	weight = tensor_table_role(&test.table, ROLE_DENSE_WEIGHT, 0);
	for (int a = 0; a < DENSE_ACTIVATION_COUNT; a++)
	{
		float *weights = test.network.sentence.dense[0].weight;
		float *gradient;
		double norm = 0;
		double rise = 0;

		test.network.sentence.activation[0] = (DenseActivation) a;
		(void) case_run(&test, 0, &pieces);
		gradient = case_gradients(&test, weight);
		for (size_t i = 0; i < weight->elements; i++)
			norm += (double) gradient[i] * (double) gradient[i];
		norm = sqrt(norm);
		for (int sign = 1; sign >= -1; sign -= 2)
		{
			float *kept = arena_alloc_array(test.arena, weight->elements, sizeof *kept);

			memcpy(kept, weights, weight->elements * sizeof *kept);
			for (size_t i = 0; i < weight->elements; i++)
				weights[i] += (float) (sign * RISE / (norm * norm)) * gradient[i];
			rise += sign * case_run(&test, 0, &pieces) / (2 * RISE / norm);
			memcpy(weights, kept, weight->elements * sizeof *kept);
		}
		if (fabs(rise - norm) > 0.01 * norm)
			fail_msg("activation %d: the loss rises by %g, not %g", a, rise, norm);
	}
	case_close(&test);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_reference),
		cmocka_unit_test(test_pieces),
		cmocka_unit_test(test_activations),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
