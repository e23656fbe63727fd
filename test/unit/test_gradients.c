/*
 * Gradients, and ten steps of AdamW, against the reference: every tensor of the tiny models of
 * every head in test/golden (see generate_gradients.py).
 */
#include <dirent.h>

#include "golden_tensors.h"
#include "near.h"
#include "train/adamw.h"
#include "train/explain.h"
#include "train/schedules.h"
#include "train_fixture.h"

#define GOLDEN "test/golden"
#define SAMPLES 96
#define FAMILY_SAMPLES 5

typedef struct Case
{
	Arena *arena;
	Arena *workspace;
	char name[64];
	const char *root;
	int samples; /* of a digest */
	HeadKind head;
	BertConfig config;
	TensorTable table;
	Compute compute;
	Network network;
	float *weights;
	Batch batch;
	HeadTargets targets;
	ModelSource *source;
} Case;

/* The decoder's bias goes by another name too; an untied decoder uses that one. */
static const char *
key_of(const TensorTable *table, const Checkpoint *checkpoint, const TensorSpec *tensor)
{
	const char *other = table->family->predictions.bias_alias;

	return tensor->role == ROLE_DECODER_BIAS && other != NULL &&
				   checkpoint_find(checkpoint, other) != NULL
			   ? other
			   : tensor->name;
}

static void
load_weights(Case *test, const char *folder)
{
	ModelSource *source;
	Checkpoint checkpoint = open_tensors(test->arena, folder, "model.safetensors", &source);

	test->weights = arena_alloc_array(test->arena, test->table.elements, sizeof(float));
	for (int i = 0; i < test->table.n_tensors; i++)
	{
		const TensorSpec *tensor = &test->table.tensors[i];
		size_t n;
		float *values =
			read_tensor(test->arena, &checkpoint, key_of(&test->table, &checkpoint, tensor), &n);

		if (values == NULL || n != tensor->elements)
			fail_msg("%s lacks %s", folder, tensor->name);
		memcpy(test->weights + network_tensor_offset(&test->table, tensor), values,
			   n * sizeof(float));
	}
	modelsource_close(source);
}

static void
open_model(Case *test, const char *folder, const char *config_file)
{
	char path[256];
	ByteSource *bytes;
	bool found;
	Status status;
	char *json;

	snprintf(path, sizeof path, "%s/models/%s", test->root, folder);
	test->source = modelsource_open_directory(test->arena, path, &status);
	assert_non_null(test->source);
	check_status(test->source->open(test->source, config_file, &bytes, &found, &status), &status);
	assert_true(found);
	json = source_read_all(test->arena, bytes, 1 << 20, &status);
	check_status(config_parse(test->arena, json, strlen(json), &test->config, &status), &status);
	check_status(tensor_table_build(test->arena, &test->config, test->head, &test->table, &status),
				 &status);
	load_weights(test, path);
	check_status(compute_init(&test->compute, test->arena, train_kernels_choose("auto", &status),
							  NULL, network_widest(&test->table), &status),
				 &status);
	check_status(network_init(&test->network,
							  &(NetworkSetup){.config = &test->config,
											  .table = &test->table,
											  .compute = &test->compute,
											  .weights = test->weights,
											  .part = TRAIN_ALL},
							  test->arena, test->workspace, &status),
				 &status);
}

static int32_t *
to_integers(Arena *arena, const float *values, size_t n)
{
	int32_t *out = arena_alloc_array(arena, n, sizeof *out);

	for (size_t i = 0; values != NULL && i < n; i++)
		out[i] = (int32_t) values[i];
	return values == NULL ? NULL : out;
}

static int64_t *
to_labels(Arena *arena, const float *values, size_t n)
{
	int64_t *out = arena_alloc_array(arena, n, sizeof *out);

	for (size_t i = 0; values != NULL && i < n; i++)
		out[i] = (int64_t) values[i];
	return values == NULL ? NULL : out;
}

static uint8_t *
to_mask(Arena *arena, const float *values, size_t n)
{
	uint8_t *out = arena_alloc_array(arena, n, 1);

	for (size_t i = 0; values != NULL && i < n; i++)
		out[i] = values[i] != 0;
	return values == NULL ? NULL : out;
}

static int32_t *
equal_offsets(Arena *arena, size_t sequences, size_t length)
{
	int32_t *offsets = arena_alloc_array(arena, sequences + 1, sizeof *offsets);

	for (size_t b = 0; b <= sequences; b++)
		offsets[b] = (int32_t) (b * length);
	return offsets;
}

/* Rows and labels of a language model from labels (T). */
static void
language_targets(Case *test, const int64_t *labels, size_t sequences, size_t length)
{
	size_t *rows = arena_alloc_array(test->arena, sequences * length, sizeof *rows);
	int64_t *row_labels = arena_alloc_array(test->arena, sequences * length, sizeof *row_labels);
	size_t shift = test->head == HEAD_CAUSAL_LM ? 1 : 0;

	test->targets.rows = rows;
	test->targets.row_labels = row_labels;
	for (size_t b = 0; b < sequences; b++)
		for (size_t t = 0; t + shift < length; t++)
			if (labels[b * length + t + shift] != LABEL_IGNORED)
			{
				rows[test->targets.n_rows] = b * length + t;
				row_labels[test->targets.n_rows++] = labels[b * length + t + shift];
			}
}

/* Labels as the head has them; shape: of the ids. */
static void
open_targets(Case *test, Checkpoint *inputs, const int64_t *shape, size_t sequences, size_t length)
{
	size_t n;
	float *values;

	values = read_tensor(test->arena, inputs, "labels", &n);
	test->targets.values = values;
	test->targets.labels = to_labels(test->arena, values, n);
	if (test->head == HEAD_SEQUENCE_CLASSIFICATION && n > sequences)
		test->targets.labels = NULL; /* values, as their type tells the reference */
	if (head_has_vocabulary(test->head))
		language_targets(test, test->targets.labels, sequences, length);
	test->targets.next_sentence_label = to_labels(
		test->arena, read_tensor(test->arena, inputs, "next_sentence_label", &n), sequences);
	if (test->head == HEAD_QUESTION_ANSWERING)
	{
		float *starts = read_tensor(test->arena, inputs, "start_positions", &n);
		float *ends = read_tensor(test->arena, inputs, "end_positions", &n);
		int64_t *spans = arena_alloc_array(test->arena, 2 * sequences, sizeof *spans);

		for (size_t b = 0; b < sequences; b++)
		{
			spans[2 * b] = (int64_t) starts[b];
			spans[2 * b + 1] = (int64_t) ends[b];
		}
		test->targets.labels = spans;
	}
	if (test->head == HEAD_MULTIPLE_CHOICE)
	{
		size_t *offsets = arena_alloc_array(test->arena, sequences + 1, sizeof *offsets);

		test->targets.n_examples = (size_t) shape[0];
		for (size_t e = 0; e <= test->targets.n_examples; e++)
			offsets[e] = e * (size_t) shape[1];
		test->targets.choice_offsets = offsets;
	}
}

static void
open_inputs(Case *test)
{
	char folder[64];
	char file[128];
	ModelSource *source;
	Checkpoint inputs;
	const CheckpointTensor *ids;
	size_t n;
	size_t tokens;
	size_t length;
	size_t sequences;

	snprintf(file, sizeof file, "%s.safetensors", test->name);
	snprintf(folder, sizeof folder, "%s/cases", test->root);
	inputs = open_tensors(test->arena, folder, file, &source);
	ids = checkpoint_find(&inputs, "input_ids");
	assert_non_null(ids);
	length = (size_t) ids->shape[ids->rank - 1];
	tokens = (size_t) ids->elements;
	sequences = tokens / length;
	test->batch.n_sequences = sequences;
	test->batch.cu_seqlens = equal_offsets(test->arena, sequences, length);
	test->batch.input_ids =
		to_integers(test->arena, read_tensor(test->arena, &inputs, "input_ids", &n), tokens);
	test->batch.token_type_ids =
		to_integers(test->arena, read_tensor(test->arena, &inputs, "token_type_ids", &n), tokens);
	test->batch.attention_mask =
		to_mask(test->arena, read_tensor(test->arena, &inputs, "attention_mask", &n), tokens);
	test->batch.encoder_hidden_states =
		read_tensor(test->arena, &inputs, "encoder_hidden_states", &n);
	if (test->batch.encoder_hidden_states != NULL)
	{
		size_t encoder_tokens = n / (size_t) test->config.hidden_size;

		test->batch.encoder_cu_seqlens =
			equal_offsets(test->arena, sequences, encoder_tokens / sequences);
		test->batch.encoder_attention_mask =
			to_mask(test->arena, read_tensor(test->arena, &inputs, "encoder_attention_mask", &n),
					encoder_tokens);
	}
	open_targets(test, &inputs, ids->shape, sequences, length);
	modelsource_close(source);
}

/* Finds the case in the indexes; false when it is not there. */
static bool
case_open(Case *test, const char *name)
{
	static const char *const indexes[] = {GOLDEN "/cases-4.txt", GOLDEN "/cases-5.txt",
										  GOLDEN "/families/cases.txt"};

	memset(test, 0, sizeof *test);
	for (int i = 0; i < 3; i++)
	{
		FILE *file = fopen(indexes[i], "r");
		char line[256];

		assert_non_null(file);
		while (fgets(line, sizeof line, file) != NULL)
		{
			char case_name[64];
			char folder[64];
			char config_file[64];
			char head[64];
			Status status;

			if (line[0] == '#' ||
				sscanf(line, "%63s %63s %63s %63s", case_name, folder, config_file, head) != 4 ||
				strcmp(case_name, name) != 0)
				continue;
			test->arena = arena_create(&allocator_malloc, 0);
			test->workspace = arena_create(&allocator_malloc, 0);
			snprintf(test->name, sizeof test->name, "%s", name);
			test->root = i < 2 ? GOLDEN : GOLDEN "/families";
			test->samples = i < 2 ? SAMPLES : FAMILY_SAMPLES;
			check_status(head_kind_parse(head, &test->head, &status), &status);
			open_model(test, folder, config_file);
			open_inputs(test);
			fclose(file);
			return true;
		}
		fclose(file);
	}
	return false;
}

static void
case_close(Case *test)
{
	modelsource_close(test->source);
	arena_destroy(test->workspace);
	arena_destroy(test->arena);
}

static double
case_step(Case *test)
{
	NetworkRun run = {
		.batch = &test->batch, .targets = &test->targets, .training = true, .backward = true};
	HeadResult result;
	Status status;

	network_begin_step(&test->network);
	check_status(network_run(&test->network, &run, &result, &status), &status);
	return result.loss;
}

static float
gradient_at(const Case *test, const TensorSpec *tensor, size_t i)
{
	const Network *network = &test->network;

	if (tensor->role == ROLE_WORD_EMBEDDINGS && !network->dense_words &&
		network->word_rows.stamps[i / tensor->shape[1]] != network->word_rows.stamp)
		return 0;
	return network->gradients[network_tensor_offset(&test->table, tensor) + i];
}

static float
weight_at(const Case *test, const TensorSpec *tensor, size_t i)
{
	return test->weights[network_tensor_offset(&test->table, tensor) + i];
}

/* The digest's stride; see generate_gradients.py. */
static size_t
stride_of(const Case *test, size_t n)
{
	size_t samples = (size_t) test->samples;
	size_t stride = (n + samples - 1) / samples;

	return (stride < 1 ? 1 : stride) | 1;
}

/*
 * The tensor's norm and sampled elements against the digest; the error is relative to the tensor's
 * norm, or, for tensors whose gradient is nothing but rounding (the key's bias shifts all scores
 * alike), to a hundredth of the largest norm.
 */
static void
compare(const Case *test, const Checkpoint *digests, const char *prefix, double largest,
		double limit, float (*at)(const Case *, const TensorSpec *, size_t), double *worst)
{
	for (int i = 0; i < test->table.n_tensors; i++)
	{
		const TensorSpec *tensor = &test->table.tensors[i];
		size_t n;
		char name[TENSOR_NAME_LENGTH + 8];
		float *digest;
		double sum = 0;
		double scale;

		snprintf(name, sizeof name, "%s%s", prefix, key_of(&test->table, digests, tensor));
		digest = read_tensor(test->arena, digests, name, &n);
		if (digest == NULL)
		{
			if (!network_tensor_unused(&test->network, tensor))
				fail_msg("%s: no gradient is given for %s", test->name, tensor->name);
			continue;
		}
		for (size_t j = 0; j < tensor->elements; j++)
			sum += (double) at(test, tensor, j) * at(test, tensor, j);
		scale = fmax(digest[0], 0.01 * largest);
		*worst = worse(*worst, fabs(sqrt(sum) - digest[0]) / scale);
		assert_int_equal(n - 1, (tensor->elements + stride_of(test, tensor->elements) - 1) /
									stride_of(test, tensor->elements));
		for (size_t j = 1; j < n; j++)
			*worst =
				worse(*worst, fabs(at(test, tensor, (j - 1) * stride_of(test, tensor->elements)) -
								   digest[j]) /
								  scale);
		if (!(*worst <= limit))
			fail_msg("%s: %s differs by %g", test->name, tensor->name, *worst);
	}
}

static double
largest_norm(Arena *arena, const Checkpoint *digests, const char *prefix)
{
	double largest = 0;

	for (size_t i = 0; i < digests->n_tensors; i++)
	{
		size_t n;

		if (strncmp(digests->tensors[i].name, prefix, strlen(prefix)) != 0)
			continue;
		largest = fmax(largest, read_tensor(arena, digests, digests->tensors[i].name, &n)[0]);
	}
	return largest;
}

static void
test_gradients(void **state)
{
	DIR *folder = opendir(GOLDEN "/gradients");
	struct dirent *entry;
	double worst = 0;
	int cases = 0;
	int tensors = 0;
	bool heads[HEAD_KIND_COUNT] = {0};

	assert_non_null(folder);
	while ((entry = readdir(folder)) != NULL)
	{
		char name[64];
		char *dot;
		Case test;
		ModelSource *source;
		Checkpoint digests;
		double mine = 0;

		if (entry->d_name[0] == '.' || strlen(entry->d_name) >= sizeof name)
			continue;
		strcpy(name, entry->d_name);
		dot = strchr(name, '.');
		assert_non_null(dot);
		*dot = '\0';
		if (!case_open(&test, name))
			fail_msg("%s is in no index", name);
		digests = open_tensors(test.arena, GOLDEN "/gradients", entry->d_name, &source);
		case_step(&test);
		compare(&test, &digests, "", largest_norm(test.arena, &digests, ""), 1e-4, gradient_at,
				&mine);
		heads[test.head] = true;
		tensors += (int) digests.n_tensors;
		worst = worse(worst, mine);
		modelsource_close(source);
		case_close(&test);
		cases++;
	}
	closedir(folder);
	for (int head = HEAD_PRETRAINING; head < HEAD_REPLACED_TOKEN; head++)
		assert_true(heads[head]);
	print_message("%d cases, %d tensors, largest relative error %.1e\n", cases, tensors, worst);
	assert_true(cases >= 20);
}

/* BERT's relatives, whose digests are in the case's own file. */
static void
test_families(void **state)
{
	FILE *index = fopen(GOLDEN "/families/cases.txt", "r");
	char line[256];
	double worst = 0;
	int cases = 0;
	bool heads[HEAD_KIND_COUNT] = {0};

	assert_non_null(index);
	while (fgets(line, sizeof line, index) != NULL)
	{
		char name[64];
		char head[64];
		char file[128];
		Case test;
		ModelSource *source;
		Checkpoint digests;
		double mine = 0;

		if (line[0] == '#' || sscanf(line, "%63s %*s %*s %63s", name, head) != 2 ||
			strcmp(head, "none") == 0)
			continue;
		assert_true(case_open(&test, name));
		snprintf(file, sizeof file, "%s.safetensors", name);
		digests = open_tensors(test.arena, GOLDEN "/families/cases", file, &source);
		case_step(&test);
		compare(&test, &digests, "grad.", largest_norm(test.arena, &digests, "grad."), 1e-4,
				gradient_at, &mine);
		heads[test.head] = true;
		worst = worse(worst, mine);
		modelsource_close(source);
		case_close(&test);
		cases++;
	}
	fclose(index);
	for (int head = HEAD_PRETRAINING; head < HEAD_KIND_COUNT; head++)
		assert_true(heads[head] || head == HEAD_NEXT_SENTENCE);
	print_message("%d cases of other families, largest relative error %.1e\n", cases, worst);
	assert_true(cases >= 30);
}

static void
check_steps(const char *name)
{
	Case test;
	Adamw adamw;
	AdamwOptions options = {.beta1 = 0.9,
							.beta2 = 0.98,
							.epsilon = 1e-6,
							.weight_decay = 0.1,
							.max_grad_norm = 1,
							.correct_bias = true};
	Schedule schedule = schedule_default(SCHEDULE_LINEAR, 3, 10);
	ModelSource *source;
	Checkpoint expected;
	char file[128];
	float *losses;
	float *norms;
	float *rates;
	size_t n;
	double worst = 0;
	Status status;

	assert_true(case_open(&test, name));
	snprintf(file, sizeof file, "%s.safetensors", name);
	expected = open_tensors(test.arena, GOLDEN "/steps", file, &source);
	losses = read_tensor(test.arena, &expected, "losses", &n);
	norms = read_tensor(test.arena, &expected, "grad_norms", &n);
	rates = read_tensor(test.arena, &expected, "learning_rates", &n);
	assert_int_equal(n, 10);
	check_status(adamw_init(&adamw, test.arena, &test.network, &options, &status), &status);
	for (int step = 0; step < 10; step++)
	{
		double loss = case_step(&test);
		double norm = adamw_grad_norm(&adamw);
		double rate = schedule_rate(&schedule, step, 1e-3);

		if (!is_near(loss, losses[step], 1e-4) || !is_near(norm, norms[step], 1e-3 * norms[step]) ||
			!is_near(rate, rates[step], 1e-9))
			fail_msg("%s step %d: loss %g (%g), norm %g (%g), rate %g (%g)", name, step, loss,
					 losses[step], norm, norms[step], rate, rates[step]);
		adamw_step(&adamw, step + 1, rate, norm);
	}
	compare(&test, &expected, "", 0, 1e-4, weight_at, &worst);
	print_message("%s: last loss %g, weights differ by %.1e\n", name, losses[9], worst);
	assert_true(losses[9] < losses[0]);
	modelsource_close(source);
	case_close(&test);
}

static void
test_steps(void **state)
{
	check_steps("unpruned");
	check_steps("relative_key_decoder");
}

/* Attributions of each sequence alone against the reference's gradient times input. */
static void
test_attributions(void **state)
{
	static const char *const names[] = {"classifier", "next_sentence", "pruned"};
	int tokens = 0;

	for (int i = 0; i < 3; i++)
	{
		Case test;
		ModelSource *source;
		Checkpoint expected;
		char file[128];
		size_t n;
		float *values;
		float *predicted;

		assert_true(case_open(&test, names[i]));
		snprintf(file, sizeof file, "%s.safetensors", names[i]);
		expected = open_tensors(test.arena, GOLDEN "/attributions", file, &source);
		values = read_tensor(test.arena, &expected, "attributions", &n);
		predicted = read_tensor(test.arena, &expected, "predicted", &n);
		for (size_t b = 0; b < test.batch.n_sequences; b++)
		{
			size_t from = (size_t) test.batch.cu_seqlens[b];
			int32_t offsets[2] = {0, test.batch.cu_seqlens[b + 1] - (int32_t) from};
			Batch one = {
				.n_sequences = 1, .cu_seqlens = offsets, .input_ids = test.batch.input_ids + from};
			float attributions[64];
			size_t class;
			Status status;

			one.token_type_ids =
				test.batch.token_type_ids == NULL ? NULL : test.batch.token_type_ids + from;
			one.attention_mask =
				test.batch.attention_mask == NULL ? NULL : test.batch.attention_mask + from;
			check_status(
				explain_prediction(&(ExplainRequest){&test.config, &test.table, test.weights, &one},
								   test.arena, attributions, &class, NULL, &status),
				&status);
			assert_int_equal(class, (size_t) predicted[b]);
			for (int t = 0; t < offsets[1]; t++, tokens++)
				if (!is_near(attributions[t], values[from + (size_t) t], 1e-4))
					fail_msg("%s, sequence %zu, token %d: %g instead of %g", names[i], b, t,
							 attributions[t], values[from + (size_t) t]);
		}
		modelsource_close(source);
		case_close(&test);
	}
	print_message("%d tokens\n", tokens);
	assert_true(tokens > 50);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_gradients),
		cmocka_unit_test(test_families),
		cmocka_unit_test(test_steps),
		cmocka_unit_test(test_attributions),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
