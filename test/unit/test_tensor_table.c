/* test_tensor_table.c: names, shapes and initialization of every head's parameters. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <string.h>

#include "kernels/activation.h"
#include "nn/tensor_table.h"

static Arena *arena;
static Status status;

static int
setup(void **state)
{
	arena = arena_create(&allocator_malloc, 0);
	return arena == NULL;
}

static int
teardown(void **state)
{
	arena_destroy(arena);
	return 0;
}

static BertConfig
small_config(void)
{
	BertConfig config;

	assert_true(config_default(arena, &config, &status));
	config.vocab_size = 97;
	config.hidden_size = 24;
	config.num_attention_heads = 3;
	config.num_hidden_layers = 5;
	config.intermediate_size = 40;
	config.max_position_embeddings = 32;
	config.type_vocab_size = 3;
	return config;
}

static TensorTable
build(const BertConfig *config, HeadKind head)
{
	TensorTable table;

	if (!tensor_table_build(arena, config, head, &table, &status))
		fail_msg("%s", status.message);
	return table;
}

static void
expect(const TensorTable *table, const char *name, size_t rows, size_t columns)
{
	const TensorSpec *tensor = tensor_table_find(table, name);

	if (tensor == NULL)
		fail_msg("no tensor %s", name);
	assert_int_equal(tensor->shape[0], rows);
	assert_int_equal(tensor->shape[1], columns);
	assert_int_equal(tensor->elements, rows * columns);
}

/* Tensors cover their blocks, and blocks the model, without gap or overlap. */
static void
check_layout(const TensorTable *table)
{
	size_t total = 0;
	int next = 0;

	for (int b = 0; b < table->n_blocks; b++)
	{
		size_t offset = 0;

		assert_int_equal(table->blocks[b].first_tensor, next);
		for (int i = 0; i < table->blocks[b].n_tensors; i++, next++)
		{
			assert_int_equal(table->tensors[next].block, b);
			assert_int_equal(table->tensors[next].offset, offset);
			offset += table->tensors[next].elements;
		}
		assert_int_equal(table->blocks[b].elements, offset);
		total += offset;
	}
	assert_int_equal(next, table->n_tensors);
	assert_int_equal(table->elements, total);
}

static void
test_bare(void **state)
{
	BertConfig config = small_config();
	TensorTable table = build(&config, HEAD_NONE);

	check_layout(&table);
	assert_int_equal(table.n_blocks, 1 + 5 + 1);
	assert_int_equal(table.n_tensors, 5 + 5 * 16 + 2);
	expect(&table, "bert.embeddings.word_embeddings.weight", 97, 24);
	expect(&table, "bert.embeddings.position_embeddings.weight", 32, 24);
	expect(&table, "bert.embeddings.token_type_embeddings.weight", 3, 24);
	expect(&table, "bert.embeddings.LayerNorm.bias", 24, 1);
	expect(&table, "bert.encoder.layer.4.attention.self.query.weight", 24, 24);
	expect(&table, "bert.encoder.layer.4.intermediate.dense.weight", 40, 24);
	expect(&table, "bert.encoder.layer.4.output.dense.weight", 24, 40);
	expect(&table, "bert.pooler.dense.weight", 24, 24);
	assert_ptr_equal(tensor_table_role(&table, ROLE_KEY_BIAS, 2),
					 tensor_table_find(&table, "bert.encoder.layer.2.attention.self.key.bias"));
	assert_null(tensor_table_role(&table, ROLE_KEY_BIAS, -1));
	assert_int_equal(tensor_table_block(&table, BLOCK_LAYER, 3), 4);
	assert_int_equal(tensor_table_block(&table, BLOCK_HEAD, -1), -1);

	config.use_pooler = false;
	table = build(&config, HEAD_NONE);
	assert_int_equal(tensor_table_block(&table, BLOCK_POOLER, -1), -1);
}

static void
test_heads(void **state)
{
	static const struct
	{
		HeadKind head;
		bool pooler;
		int tensors;
	} cases[] = {
		{HEAD_PRETRAINING, true, 7},         {HEAD_MASKED_LM, false, 5},
		{HEAD_NEXT_SENTENCE, true, 2},       {HEAD_SEQUENCE_CLASSIFICATION, true, 2},
		{HEAD_MULTIPLE_CHOICE, true, 2},     {HEAD_TOKEN_CLASSIFICATION, false, 2},
		{HEAD_QUESTION_ANSWERING, false, 2},
	};
	BertConfig config = small_config();
	TensorTable table;

	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
	{
		table = build(&config, cases[i].head);
		check_layout(&table);
		assert_int_equal(tensor_table_block(&table, BLOCK_POOLER, -1) >= 0, cases[i].pooler);
		assert_int_equal(table.blocks[tensor_table_block(&table, BLOCK_HEAD, -1)].n_tensors,
						 cases[i].tensors);
	}
	table = build(&config, HEAD_PRETRAINING);
	expect(&table, "cls.predictions.bias", 97, 1);
	expect(&table, "cls.predictions.transform.dense.weight", 24, 24);
	expect(&table, "cls.predictions.transform.LayerNorm.weight", 24, 1);
	expect(&table, "cls.seq_relationship.weight", 2, 24);
	assert_null(tensor_table_find(&table, "cls.predictions.decoder.weight"));
	table = build(&config, HEAD_MULTIPLE_CHOICE);
	expect(&table, "classifier.weight", 1, 24);
	table = build(&config, HEAD_QUESTION_ANSWERING);
	expect(&table, "qa_outputs.weight", 2, 24);

	config.tie_word_embeddings = false;
	table = build(&config, HEAD_MASKED_LM);
	expect(&table, "cls.predictions.decoder.weight", 97, 24);
	config.num_labels = 3;
	assert_false(tensor_table_build(arena, &config, HEAD_QUESTION_ANSWERING, &table, &status));
	assert_int_equal(status.code, STATUS_INVALID_ARGUMENT);
}

static void
test_decoder(void **state)
{
	BertConfig config = small_config();
	TensorTable table;

	config.is_decoder = true;
	config.add_cross_attention = true;
	config.position_embedding_type = POSITION_RELATIVE_KEY;
	table = build(&config, HEAD_CAUSAL_LM);
	check_layout(&table);
	expect(&table, "bert.encoder.layer.0.attention.self.distance_embedding.weight", 63, 8);
	expect(&table, "bert.encoder.layer.0.crossattention.self.value.weight", 24, 24);
	expect(&table, "bert.encoder.layer.0.crossattention.output.LayerNorm.bias", 24, 1);
	assert_null(tensor_table_find(
		&table, "bert.encoder.layer.0.crossattention.self.distance_embedding.weight"));
}

static void
test_pruned(void **state)
{
	BertConfig config = small_config();
	int heads[] = {0, 2};
	PrunedHeads pruned = {1, 2, heads};
	TensorTable table;

	config.n_pruned = 1;
	config.pruned_heads = &pruned;
	table = build(&config, HEAD_NONE);
	check_layout(&table);
	assert_int_equal(config_layer_heads(&config, 1), 1);
	expect(&table, "bert.encoder.layer.1.attention.self.key.weight", 8, 24);
	expect(&table, "bert.encoder.layer.1.attention.self.key.bias", 8, 1);
	expect(&table, "bert.encoder.layer.1.attention.output.dense.weight", 24, 8);
	expect(&table, "bert.encoder.layer.2.attention.output.dense.weight", 24, 24);
}

static void
test_initialization(void **state)
{
	BertConfig config = small_config();
	TensorTable table = build(&config, HEAD_NONE);
	const TensorSpec *words = tensor_table_role(&table, ROLE_WORD_EMBEDDINGS, -1);
	float *a = arena_alloc_array(arena, words->elements, sizeof(float));
	float *b = arena_alloc_array(arena, words->elements, sizeof(float));
	double sum = 0, squares = 0;

	config.pad_token_id = 3;
	assert_true(tensor_initialize(words, &config, 7, a, NULL, NULL));
	assert_true(tensor_initialize(words, &config, 7, b, NULL, NULL));
	assert_memory_equal(a, b, words->elements * sizeof(float));
	assert_true(tensor_initialize(words, &config, 8, b, NULL, NULL));
	assert_memory_not_equal(a, b, words->elements * sizeof(float));
	for (size_t i = 0; i < words->elements; i++)
	{
		sum += a[i];
		squares += (double) a[i] * a[i];
	}
	for (size_t i = 0; i < 24; i++)
		assert_true(a[3 * 24 + i] == 0.0f && a[24 + i] != 0.0f);
	assert_true(fabs(sum / 2328) < 4 * 0.02 / sqrt(2328));
	assert_true(fabs(sqrt(squares / 2304) - 0.02) < 0.002);

	for (int i = 0; i < table.n_tensors; i++)
	{
		const TensorSpec *tensor = &table.tensors[i];
		bool is_vector = tensor->rank == 1;

		assert_int_equal(tensor->weight_decay, !is_vector);
		assert_true(tensor_initialize(tensor, &config, 1, b, NULL, NULL));
		if (is_vector)
			for (size_t k = 0; k < tensor->elements; k++)
				assert_true(b[k] ==
							(strstr(tensor->name, "LayerNorm.weight") != NULL ? 1.0f : 0.0f));
	}
}

/* A table is built for every activation that kernels know, and for no other. */
static void
test_activations(void **state)
{
	static const struct
	{
		const char *name;
		Activation activation;
	} activations[] = {
		{"gelu", ACTIVATION_GELU},
		{"gelu_new", ACTIVATION_GELU_TANH},
		{"gelu_pytorch_tanh", ACTIVATION_GELU_TANH},
		{"gelu_fast", ACTIVATION_GELU_TANH},
		{"relu", ACTIVATION_RELU},
		{"silu", ACTIVATION_SILU},
		{"swish", ACTIVATION_SILU},
		{"tanh", ACTIVATION_TANH},
		{"quick_gelu", ACTIVATION_QUICK_GELU},
		{"mish", ACTIVATION_MISH},
	};
	BertConfig config = small_config();
	TensorTable table;
	Activation activation;

	for (size_t i = 0; i < sizeof activations / sizeof activations[0]; i++)
	{
		strcpy(config.hidden_act, activations[i].name);
		build(&config, HEAD_NONE);
		assert_true(activation_parse(activations[i].name, &activation, &status));
		assert_int_equal(activation, activations[i].activation);
	}
	strcpy(config.hidden_act, "laplace");
	assert_false(tensor_table_build(arena, &config, HEAD_NONE, &table, &status));
	assert_int_equal(status.code, STATUS_UNSUPPORTED);
	assert_non_null(strstr(status.message, "hidden_act \"laplace\""));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_bare),           cmocka_unit_test(test_heads),
		cmocka_unit_test(test_decoder),        cmocka_unit_test(test_pruned),
		cmocka_unit_test(test_initialization), cmocka_unit_test(test_activations),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
