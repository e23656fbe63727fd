/*
 * test_golden.c: every head, activation, position type and mask against what the reference library
 * gave for the same weights and ids (test/golden), with every kernel that this CPU can run. Prints
 * the largest differences, relative to the scale of what is compared.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>

#include "kernels/portable.h"
#include "model_fixture.h"
#include "near.h"

#define MAX_CASES 128

/*
 * Limits per precision: states, attentions and logits relative to their scale; losses relative to 1
 * + loss.
 */
static const double value_limit[PRECISION_COUNT] = {1e-5, 5e-2, 1.5e-1};
static const double loss_limit[PRECISION_COUNT] = {1e-5, 1e-2, 5e-2};

typedef struct GoldenCase
{
	const char *root;
	char name[64];
	char folder[64];
	char config[64];
	char head[64];
} GoldenCase;

/* The largest differences of a case; negative: there was nothing to compare. */
typedef struct Differences
{
	double states;
	double attentions;
	double logits; /* the pooler's output for the bare model */
	double loss;
} Differences;

static GoldenCase cases[MAX_CASES];
static size_t n_cases;

static int
read_index(const char *root, const char *path)
{
	FILE *file = fopen(path, "r");
	char line[300];

	if (file == NULL)
		return -1;
	while (n_cases < MAX_CASES && fgets(line, sizeof line, file) != NULL)
	{
		GoldenCase *entry = &cases[n_cases];

		if (line[0] != '#' && sscanf(line, "%63s %63s %63s %63s", entry->name, entry->folder,
									 entry->config, entry->head) == 4)
		{
			entry->root = root;
			n_cases++;
		}
	}
	fclose(file);
	return 0;
}

static int
setup(void **state)
{
	return read_index(GOLDEN, GOLDEN "/cases-5.txt") != 0 ||
		   read_index(GOLDEN, GOLDEN "/cases-4.txt") != 0 ||
		   read_index(GOLDEN "/families", GOLDEN "/families/cases.txt") != 0 || n_cases < 75 ||
		   n_cases == MAX_CASES;
}

/* The largest difference over the largest expected magnitude; *worst grows. */
static void
compare(const float *got, const float *expected, size_t n, double *worst)
{
	double scale = 0.0;
	double difference = 0.0;

	for (size_t i = 0; i < n; i++)
	{
		scale = fmax(scale, fabs(expected[i]));
		difference = worse(difference, fabs((double) got[i] - expected[i]));
	}
	*worst = worse(*worst, difference / scale);
}

/* The batch of a case: rectangular input, each row a sequence. Returns the rows' length. */
static size_t
case_batch(Arena *arena, const CaseFile *file, Batch *batch, size_t *n_choices)
{
	const CheckpointTensor *ids = NULL;
	size_t n_tokens = 0;
	size_t length;
	int32_t *bounds;

	memset(batch, 0, sizeof *batch);
	assert_non_null(case_floats(arena, file, "input_ids", &n_tokens, &ids));
	length = (size_t) ids->shape[ids->rank - 1];
	*n_choices = ids->rank == 3 ? (size_t) ids->shape[1] : 1;
	batch->n_sequences = n_tokens / length;
	bounds = arena_alloc_array(arena, batch->n_sequences + 1, sizeof(int32_t));
	for (size_t b = 0; b <= batch->n_sequences; b++)
		bounds[b] = (int32_t) (b * length);
	batch->cu_seqlens = bounds;
	batch->input_ids = case_ints(arena, file, "input_ids");
	batch->token_type_ids = case_ints(arena, file, "token_type_ids");
	batch->attention_mask = case_mask(arena, file, "attention_mask");
	batch->encoder_hidden_states = case_floats(arena, file, "encoder_hidden_states", NULL, &ids);
	batch->encoder_attention_mask = case_mask(arena, file, "encoder_attention_mask");
	if (batch->encoder_hidden_states != NULL)
	{
		bounds = arena_alloc_array(arena, batch->n_sequences + 1, sizeof(int32_t));
		for (size_t b = 0; b <= batch->n_sequences; b++)
			bounds[b] = (int32_t) (b * (size_t) ids->shape[1]);
		batch->encoder_cu_seqlens = bounds;
	}
	return length;
}

/* The labels in head_loss's order; NULL when the case has none. */
static double *
case_labels(Arena *arena, const CaseFile *file, HeadKind head, size_t n_sequences, size_t length,
			size_t *n)
{
	const char *first_name = head == HEAD_QUESTION_ANSWERING ? "start_positions" : "labels";
	const char *second_name =
		head == HEAD_QUESTION_ANSWERING ? "end_positions" : "next_sentence_label";
	float *first = case_floats(arena, file, first_name, n, NULL);
	float *second;
	size_t per_row;
	double *labels;

	if (first == NULL)
		return NULL;
	second = case_floats(arena, file, second_name, NULL, NULL);
	per_row = head == HEAD_PRETRAINING ? length : head == HEAD_QUESTION_ANSWERING ? 1 : 0;
	if (per_row == 0)
	{
		labels = arena_alloc_array(arena, *n, sizeof(double));
		for (size_t i = 0; i < *n; i++)
			labels[i] = first[i];
		return labels;
	}
	assert_non_null(second);
	*n = n_sequences * (per_row + 1);
	labels = arena_alloc_array(arena, *n, sizeof(double));
	for (size_t b = 0; b < n_sequences; b++)
	{
		for (size_t i = 0; i < per_row; i++)
			labels[b * (per_row + 1) + i] = first[b * per_row + i];
		labels[b * (per_row + 1) + per_row] = second[b];
	}
	return labels;
}

static void
compare_states(Arena *arena, const Fixture *fixture, const Batch *batch, size_t length,
			   const EncoderOutput *encoded, const CaseFile *file, Differences *worst)
{
	size_t states = batch->n_sequences * length * (size_t) fixture->config.hidden_size;
	float *expected = case_floats(arena, file, "hidden_states", NULL, NULL);

	if (expected == NULL)
		return;
	for (int layer = 0; layer <= fixture->config.num_hidden_layers; layer++)
		compare(encoded->hidden_states + (size_t) layer * states,
				expected + (size_t) layer * states, states, &worst->states);
	compare(encoded->last_hidden_state,
			expected + (size_t) fixture->config.num_hidden_layers * states, states, &worst->states);
	for (int layer = 0; layer < fixture->config.num_hidden_layers; layer++)
	{
		char name[32];
		size_t matrix = (size_t) config_layer_heads(&fixture->config, layer) * length * length;

		snprintf(name, sizeof name, "attentions.%d", layer);
		expected = case_floats(arena, file, name, NULL, NULL);
		assert_non_null(expected);
		for (size_t b = 0; b < batch->n_sequences; b++)
			compare(encoded->attentions[(size_t) layer * batch->n_sequences + b],
					expected + b * matrix, matrix, &worst->attentions);
	}
}

/* Question answering's (T, 2) as the reference's (B, 2, length). */
static float *
start_and_end(Arena *arena, const HeadOutput *output, size_t n_sequences, size_t length)
{
	float *rows = arena_alloc_array(arena, output->n_rows * 2, sizeof(float));

	for (size_t b = 0; b < n_sequences; b++)
		for (size_t t = 0; t < length; t++)
			for (size_t which = 0; which < 2; which++)
				rows[(b * 2 + which) * length + t] = output->logits[(b * length + t) * 2 + which];
	return rows;
}

/* Parameters: a case, what was computed of it, and where the differences go. */
static void
compare_head(Arena *arena, const Fixture *fixture, const Batch *batch, size_t length,
			 size_t n_choices, const EncoderOutput *encoded, const CaseFile *file,
			 Differences *worst, const char *what)
{
	HeadKind head = bert_model_head(fixture->model);
	HeadOutput output;
	Status status;
	float *expected = case_floats(arena, file, "logits", NULL, NULL);
	float *expected_loss = case_floats(arena, file, "loss", NULL, NULL);
	double *labels;
	size_t n_labels = 0;
	double loss;

	if (!head_forward(fixture->model, &(HeadInput){batch, encoded, NULL, 0}, arena, &output, NULL,
					  &status))
		fail_msg("%s: %s", what, status.message);
	assert_non_null(expected);
	compare(head == HEAD_QUESTION_ANSWERING
				? start_and_end(arena, &output, batch->n_sequences, length)
				: output.logits,
			expected, output.n_rows * output.n_columns, &worst->logits);
	if (head == HEAD_PRETRAINING)
		compare(output.seq_relationship_logits,
				case_floats(arena, file, "seq_relationship_logits", NULL, NULL),
				batch->n_sequences * 2, &worst->logits);
	labels = case_labels(arena, file, head, batch->n_sequences, length, &n_labels);
	if (labels == NULL)
		return;
	if (!head_loss(fixture->model, batch, &output, &(ForwardLabels){labels, n_labels, n_choices},
				   arena, &loss, &status))
		fail_msg("%s: %s", what, status.message);
	if (expected_loss != NULL)
		worst->loss =
			worse(worst->loss, fabs(loss - expected_loss[0]) / (1.0 + fabs(expected_loss[0])));
	else
	{
		assert_non_null(case_floats(arena, file, "loss_is_nan", NULL, NULL));
		assert_true(isnan(loss));
	}
}

/* The same sequence token by token, or in pieces, through the cache of keys and values. */
static void
compare_cached(Arena *arena, const Fixture *fixture, const Batch *batch, size_t length,
			   const CaseFile *file, Differences *worst, const char *what)
{
	float *expected = case_floats(arena, file, "logits", NULL, NULL);
	size_t vocab = (size_t) fixture->config.vocab_size;
	size_t n_encoder =
		batch->encoder_hidden_states == NULL ? 0 : (size_t) batch->encoder_cu_seqlens[1];

	if (batch->attention_mask != NULL)
		return;
	for (size_t b = 0; b < batch->n_sequences; b++)
	{
		Status status;
		KvCache *cache = kv_cache_create(fixture->model, length, n_encoder, arena, &status);
		int32_t encoder_bounds[2] = {0, (int32_t) n_encoder};
		size_t next;

		assert_non_null(cache);
		for (size_t t = 0; t < length; t = next)
		{
			int32_t bounds[2] = {0, 1};
			Batch piece = {.n_sequences = 1,
						   .cu_seqlens = bounds,
						   .input_ids = batch->input_ids + b * length + t};
			EncoderOutput encoded;
			HeadOutput output;

			next = t == 0 && length > 3 ? 3 : t + 1;
			bounds[1] = (int32_t) (next - t);
			if (n_encoder > 0)
			{
				piece.encoder_hidden_states = batch->encoder_hidden_states +
											  b * n_encoder * (size_t) fixture->config.hidden_size;
				piece.encoder_cu_seqlens = encoder_bounds;
				piece.encoder_attention_mask = batch->encoder_attention_mask == NULL
												   ? NULL
												   : batch->encoder_attention_mask + b * n_encoder;
			}
			if (!encoder_forward_cached(fixture->model, &piece, cache, arena, &encoded, NULL,
										&status) ||
				!head_forward(fixture->model, &(HeadInput){&piece, &encoded, NULL, 0}, arena,
							  &output, NULL, &status))
				fail_msg("%s: %s", what, status.message);
			compare(output.logits, expected + (b * length + t) * vocab, (next - t) * vocab,
					&worst->logits);
		}
	}
}

static Differences
run_case(const GoldenCase *golden, Precision precision, const Kernels *kernels)
{
	Arena *arena = arena_create(&allocator_malloc, 0);
	char folder[200];
	char path[200];
	char what[200];
	Differences worst = {-1, -1, -1, -1};
	Status status;
	HeadKind head;
	Fixture fixture;
	CaseFile file;
	Batch batch;
	EncoderOutput encoded;
	size_t n_choices;
	size_t length;
	bool has_states;

	snprintf(folder, sizeof folder, "%s/models/%s", golden->root, golden->folder);
	snprintf(path, sizeof path, "%s/cases/%s.safetensors", golden->root, golden->name);
	snprintf(what, sizeof what, "%s, %s, %s", golden->name, kernels->name,
			 precision_name(precision));
	if (!head_kind_parse(golden->head, &head, &status) ||
		!fixture_load(arena, folder, golden->config, head, precision, kernels, &fixture, &status) ||
		!case_open_path(arena, path, &file, &status))
		fail_msg("%s: %s", what, status.message);
	length = case_batch(arena, &file, &batch, &n_choices);
	has_states = checkpoint_find(&file.checkpoint, "hidden_states") != NULL;
	for (int pass = 0; pass < (has_states ? 2 : 1); pass++)
	{
		/*
		 * with all outputs (the general attention), and with what the head needs alone (the
		 * kernels' attention)
		 */
		ForwardWants wants = head_wants(fixture.model);

		if (head == HEAD_NONE)
			wants.pooler_output = fixture.config.use_pooler;
		wants.attentions = wants.hidden_states = pass == 1;
		if (!encoder_forward(fixture.model, &batch, &wants, arena, &encoded, NULL, &status))
			fail_msg("%s: %s", what, status.message);
		if (pass == 1)
			compare_states(arena, &fixture, &batch, length, &encoded, &file, &worst);
		if (head != HEAD_NONE)
			compare_head(arena, &fixture, &batch, length, n_choices, &encoded, &file, &worst, what);
		else if (fixture.config.use_pooler)
			compare(encoded.pooler_output, case_floats(arena, &file, "pooler_output", NULL, NULL),
					batch.n_sequences * (size_t) fixture.config.hidden_size, &worst.logits);
		else
			assert_null(checkpoint_find(&file.checkpoint, "pooler_output"));
	}
	if (head == HEAD_CAUSAL_LM)
		compare_cached(arena, &fixture, &batch, length, &file, &worst, what);
	arena_destroy(arena);
	return worst;
}

static const char *
shown(double difference, char out[16])
{
	snprintf(out, 16, difference < 0 ? "-" : "%.1e", difference);
	return out;
}

static void
run_all(Precision precision, const char *kernel)
{
	const Kernels *kernels = kernels_choose(kernel, NULL);
	double times; /* weights whose sums are bounded are coarser, most of all in short sums */

	if (kernels == NULL)
	{
		printf("# %s: not on this CPU\n", kernel);
		return;
	}
	times = precision == PRECISION_INT8 && kernels->meaning[precision] != &kernels_portable ? 2 : 1;
	for (size_t i = 0; i < n_cases; i++)
	{
		Differences worst = run_case(&cases[i], precision, kernels);
		char text[4][16];

		printf("# %-8s %-5s %-28s states %-8s attentions %-8s logits %-8s loss %s\n", kernels->name,
			   precision_name(precision), cases[i].name, shown(worst.states, text[0]),
			   shown(worst.attentions, text[1]), shown(worst.logits, text[2]),
			   shown(worst.loss, text[3]));
		assert_true(worst.states >= 0 || worst.logits >= 0);
		if (!(worst.states <= times * value_limit[precision] &&
			  worst.attentions <= times * value_limit[precision] &&
			  worst.logits <= times * value_limit[precision] &&
			  worst.loss <= times * loss_limit[precision]))
			fail_msg("%s with %s, %s is too far from the reference", cases[i].name, kernels->name,
					 precision_name(precision));
	}
}

/* MPNet's buckets of the distances -200 .. 200. */
static void
test_buckets(void **state)
{
	Arena *arena = arena_create(&allocator_malloc, 0);
	CaseFile file;
	float *expected;
	size_t n;
	Status status;

	assert_true(case_open_path(arena, GOLDEN "/families/buckets.safetensors", &file, &status));
	expected = case_floats(arena, &file, "buckets", &n, NULL);
	assert_int_equal(n, 401);
	for (int i = 0; i < 401; i++)
		assert_int_equal(relative_bucket(i - 200), (size_t) expected[i]);
	assert_int_equal(relative_bucket(65536), 31);
	assert_int_equal(relative_bucket(-65536), 15);
	arena_destroy(arena);
}

static void
test_fp32(void **state)
{
	for (const char *const *name = kernels_names(); *name != NULL; name++)
		run_all(PRECISION_FP32, *name);
}

static void
test_bf16(void **state)
{
	for (const char *const *name = kernels_names(); *name != NULL; name++)
		run_all(PRECISION_BF16, *name);
}

static void
test_int8(void **state)
{
	for (const char *const *name = kernels_names(); *name != NULL; name++)
		run_all(PRECISION_INT8, *name);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_fp32),
		cmocka_unit_test(test_bf16),
		cmocka_unit_test(test_int8),
		cmocka_unit_test(test_buckets),
	};

	return cmocka_run_group_tests(tests, setup, NULL);
}
