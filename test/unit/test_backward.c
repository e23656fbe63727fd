/*
 * The backward of every layer and head against finite differences of its own forward, with dropout
 * on (the same seed gives the same masks), for every instruction set that this machine has; and
 * what must give the same bits.
 */
#include "near.h"
#include "train_fixture.h"

#define STEP 4e-3

/* A word row without a gradient is not cleared: the network lists those that count. */
static double
gradient_of(const Fixture *fixture, const TensorSpec *tensor, size_t element)
{
	const Network *network = &fixture->network;
	size_t columns = tensor->shape[1];

	if (tensor->role == ROLE_WORD_EMBEDDINGS && !network->dense_words &&
		network->word_rows.stamps[element / columns] != network->word_rows.stamp)
		return 0;
	return network->gradients[network_tensor_offset(&fixture->table, tensor) -
							  network->frozen_elements + element];
}

/* The derivative of the loss along a random direction of one tensor, both ways. */
static void
check_tensor(Fixture *fixture, const TensorSpec *tensor, uint64_t seed, double scale)
{
	float *weights = fixture->weights + network_tensor_offset(&fixture->table, tensor);
	float *saved = malloc(tensor->elements * sizeof(float));
	float *direction = malloc(tensor->elements * sizeof(float));
	double expected = 0;
	double loss[2];
	double measured;
	Rng rng;

	rng_init(&rng, seed, 3);
	memcpy(saved, weights, tensor->elements * sizeof(float));
	for (size_t i = 0; i < tensor->elements; i++)
	{
		direction[i] = (rng_u32(&rng) & 1 ? 1.0f : -1.0f) * (tensor->elements > 400 ? 0.3f : 1.0f);
		/*
		 * the padding token's row counts for the forward, yet the reference gives it no gradient
		 */
		if (tensor->role == ROLE_WORD_EMBEDDINGS &&
			i / tensor->shape[1] == (size_t) fixture->config.pad_token_id)
			direction[i] = 0;
		expected += gradient_of(fixture, tensor, i) * direction[i];
	}
	for (int side = 0; side < 2; side++)
	{
		for (size_t i = 0; i < tensor->elements; i++)
			weights[i] = saved[i] + (side == 0 ? (float) STEP : (float) -STEP) * direction[i];
		loss[side] = fixture_run(fixture, true, false, false);
	}
	memcpy(weights, saved, tensor->elements * sizeof(float));
	measured = (loss[0] - loss[1]) / (2 * STEP);
	if (!is_near(measured, expected, 0.01 * fabs(expected) + 0.004 * scale))
		fail_msg("%s: backward %g, finite difference %g (seed %llu)", tensor->name, expected,
				 measured, (unsigned long long) seed);
	free(saved);
	free(direction);
}

static void
check_all(Fixture *fixture)
{
	double norm = 0;
	int checked = 0;

	fixture_run(fixture, true, true, false);
	for (int i = 0; i < fixture->table.n_tensors; i++)
		for (size_t j = 0; j < fixture->table.tensors[i].elements; j++)
			norm += gradient_of(fixture, &fixture->table.tensors[i], j) *
					gradient_of(fixture, &fixture->table.tensors[i], j);
	norm = sqrt(norm);
	assert_true(norm > 1e-3);
	for (int i = 0; i < fixture->table.n_tensors; i++)
	{
		if (network_tensor_unused(&fixture->network, &fixture->table.tensors[i]))
			continue;
		check_tensor(fixture, &fixture->table.tensors[i], (uint64_t) i, norm);
		checked++;
	}
	assert_true(checked > 30);
}

static void
check_head(HeadKind head, const char *kernels, void (*change)(BertConfig *config))
{
	Fixture fixture;

	fixture_open(&fixture, head);
	if (change != NULL)
		change(&fixture.config);
	fixture_bind(&fixture, head, kernels, 1, TRAIN_ALL, 0, false, -1);
	fixture_batch(&fixture, head);
	check_all(&fixture);
	fixture_close(&fixture);
}

static const char *const tables[] = {"avx512", "avx2", "neon", "portable"};

static void
test_heads(void **state)
{
	int tried = 0;

	for (int k = 0; k < 4; k++)
	{
		if (train_kernels_choose(tables[k], NULL) == NULL)
			continue;
		for (int head = HEAD_PRETRAINING; head < HEAD_REPLACED_TOKEN; head++, tried++)
			check_head((HeadKind) head, tables[k], NULL);
	}
	print_message("%d heads and instruction sets\n", tried);
	assert_true(tried >= 8);
}

static void
use_decoder(BertConfig *config)
{
	config->is_decoder = true;
}

static void
use_cross_attention(BertConfig *config)
{
	config->is_decoder = true;
	config->add_cross_attention = true;
}

static void
use_untied(BertConfig *config)
{
	config->tie_word_embeddings = false;
}

static void
use_relative_key(BertConfig *config)
{
	config->position_embedding_type = POSITION_RELATIVE_KEY;
}

static void
use_relative_key_query(BertConfig *config)
{
	config->position_embedding_type = POSITION_RELATIVE_KEY_QUERY;
	config->is_decoder = true;
}

static void
use_regression(BertConfig *config)
{
	config->problem_type = PROBLEM_REGRESSION;
}

static void
use_multi_label(BertConfig *config)
{
	config->problem_type = PROBLEM_MULTI_LABEL;
}

static void
use_gelu_tanh(BertConfig *config)
{
	strcpy(config->hidden_act, "gelu_new");
}

static void
use_silu(BertConfig *config)
{
	strcpy(config->hidden_act, "silu");
}

static void
use_tanh(BertConfig *config)
{
	strcpy(config->hidden_act, "tanh");
}

static void
test_variants(void **state)
{
	check_head(HEAD_CAUSAL_LM, "auto", use_decoder);
	check_head(HEAD_CAUSAL_LM, "auto", use_cross_attention);
	check_head(HEAD_MASKED_LM, "auto", use_untied);
	check_head(HEAD_TOKEN_CLASSIFICATION, "auto", use_relative_key);
	check_head(HEAD_CAUSAL_LM, "auto", use_relative_key_query);
	check_head(HEAD_SEQUENCE_CLASSIFICATION, "auto", use_regression);
	check_head(HEAD_SEQUENCE_CLASSIFICATION, "auto", use_multi_label);
	check_head(HEAD_QUESTION_ANSWERING, "auto", use_gelu_tanh);
	check_head(HEAD_MULTIPLE_CHOICE, "portable", use_silu);
	check_head(HEAD_NEXT_SENTENCE, "auto", use_tanh);
}

static float *
gradients_copy(const Fixture *fixture, size_t *n)
{
	float *copy;

	*n = fixture->table.elements - fixture->network.frozen_elements;
	copy = malloc(*n * sizeof(float));
	for (int i = 0; i < fixture->table.n_tensors; i++)
	{
		const TensorSpec *tensor = &fixture->table.tensors[i];
		size_t offset = network_tensor_offset(&fixture->table, tensor);

		if (offset >= fixture->network.frozen_elements)
			for (size_t j = 0; j < tensor->elements; j++)
				copy[offset - fixture->network.frozen_elements + j] =
					(float) gradient_of(fixture, tensor, j);
	}
	return copy;
}

/* Recomputed activations, a second run, and a run after a larger batch give the same bits. */
static void
test_same_bits(void **state)
{
	for (int threads = 1; threads <= 3; threads++)
	{
		Fixture fixture;
		size_t n;
		float *first;
		double loss;

		fixture_open(&fixture, HEAD_PRETRAINING);
		fixture_bind(&fixture, HEAD_PRETRAINING, "auto", threads, TRAIN_ALL, 0, false, -1);
		fixture_batch(&fixture, HEAD_PRETRAINING);
		loss = fixture_run(&fixture, true, true, false);
		first = gradients_copy(&fixture, &n);
		for (int again = 0; again < 3; again++)
		{
			float *other;

			assert_true(fixture_run(&fixture, true, true, again > 0) == loss);
			other = gradients_copy(&fixture, &n);
			assert_memory_equal(first, other, n * sizeof(float));
			free(other);
		}
		free(first);
		fixture_close(&fixture);
	}
}

/* What is trained of a part has the gradients that it has when everything is trained. */
static void
test_parts(void **state)
{
	Fixture all;
	size_t n_all;
	float *whole;
	int tried = 0;

	fixture_open(&all, HEAD_TOKEN_CLASSIFICATION);
	fixture_bind(&all, HEAD_TOKEN_CLASSIFICATION, "auto", 1, TRAIN_ALL, 0, false, 0);
	fixture_batch(&all, HEAD_TOKEN_CLASSIFICATION);
	fixture_run(&all, true, true, false);
	whole = gradients_copy(&all, &n_all);
	for (int which = 0; which < 4; which++)
	{
		static const TrainPart parts[] = {TRAIN_HEAD, TRAIN_TOP, TRAIN_TOP, TRAIN_ALL};
		Fixture part;
		size_t n;
		float *some;

		fixture_open(&part, HEAD_TOKEN_CLASSIFICATION);
		fixture_bind(&part, HEAD_TOKEN_CLASSIFICATION, "auto", 1, parts[which], which, true, 0);
		fixture_batch(&part, HEAD_TOKEN_CLASSIFICATION);
		fixture_run(&part, true, true, which == 2);
		some = gradients_copy(&part, &n);
		assert_true(n > 0 && n < n_all);
		for (size_t i = 0; i < n; i++, tried++)
			assert_true(fabsf(some[i] - whole[n_all - n + i]) <= 1e-5f * (1 + fabsf(some[i])));
		free(some);
		fixture_close(&part);
	}
	print_message("%d gradients\n", tried);
	free(whole);
	fixture_close(&all);
}

/*
 * The gradient of the embeddings' sum, for attributions: its sum over rows of a type is that of the
 * type's embedding.
 */
static void
test_input_gradient(void **state)
{
	Fixture fixture;
	HeadResult result;
	Status status;
	float d_embeddings[FIXTURE_TOKENS * 20];
	const TensorSpec *type;
	NetworkRun run;

	fixture_open(&fixture, HEAD_SEQUENCE_CLASSIFICATION);
	fixture_bind(&fixture, HEAD_SEQUENCE_CLASSIFICATION, "auto", 1, TRAIN_ALL, 0, false, 0);
	fixture_batch(&fixture, HEAD_SEQUENCE_CLASSIFICATION);
	run = (NetworkRun){.batch = &fixture.batch,
					   .backward = true,
					   .targets = &fixture.targets,
					   .d_embeddings = d_embeddings};
	network_begin_step(&fixture.network);
	check_status(network_run(&fixture.network, &run, &result, &status), &status);
	type = tensor_table_role(&fixture.table, ROLE_TYPE_EMBEDDINGS, -1);
	for (size_t i = 0; i < 40; i++)
	{
		double sum = 0;

		for (size_t t = 0; t < FIXTURE_TOKENS; t++)
			if (fixture.batch.token_type_ids[t] == (int32_t) (i / 20))
				sum += d_embeddings[t * 20 + i % 20];
		assert_true(fabs(sum - gradient_of(&fixture, type, i)) < 1e-5);
	}
	fixture_close(&fixture);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_heads),          cmocka_unit_test(test_variants),
		cmocka_unit_test(test_same_bits),      cmocka_unit_test(test_parts),
		cmocka_unit_test(test_input_gradient),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
