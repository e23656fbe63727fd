/* train_fixture.h: a small random network and batches for the tests of src/train. */
#ifndef BERT_TEST_TRAIN_FIXTURE_H
#define BERT_TEST_TRAIN_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/rng.h"
#include "nn/loss.h"
#include "train/network.h"

typedef struct Fixture
{
	Arena *arena;
	Arena *workspace;
	BertConfig config;
	TensorTable table;
	ThreadPool *pool;
	Compute compute;
	Network network;
	float *weights;
	float *encoder_states; /* (T_enc, H) */
	Batch batch;
	HeadTargets targets;
} Fixture;

#define FIXTURE_SEQUENCES 4
#define FIXTURE_TOKENS 26

static const int32_t fixture_offsets[FIXTURE_SEQUENCES + 1] = {0, 7, 8, 20, FIXTURE_TOKENS};
static const int32_t fixture_encoder_offsets[FIXTURE_SEQUENCES + 1] = {0, 3, 8, 9, 13};

static inline void
check_status(bool ok, const Status *status)
{
	if (!ok)
		fail_msg("%s", status->message);
}

/* Small sizes that are no multiples of a vector; all parts of dropout on. */
static inline void
fixture_open(Fixture *fixture, HeadKind head)
{
	Status status;

	memset(fixture, 0, sizeof *fixture);
	fixture->arena = arena_create(&allocator_malloc, 0);
	fixture->workspace = arena_create(&allocator_malloc, 0);
	check_status(config_default(fixture->arena, &fixture->config, &status), &status);
	fixture->config.vocab_size = 53;
	fixture->config.hidden_size = 20;
	fixture->config.num_hidden_layers = 2;
	fixture->config.num_attention_heads = 4;
	fixture->config.intermediate_size = 37;
	fixture->config.max_position_embeddings = 24;
	fixture->config.hidden_dropout_prob = 0.2f;
	fixture->config.attention_probs_dropout_prob = 0.25f;
	check_status(config_set_labels(fixture->arena, &fixture->config,
								   head == HEAD_QUESTION_ANSWERING ? 2 : 3,
								   (const char *const[]){"a", "b", "c"}, &status),
				 &status);
}

/* Binds what the test has made of the config. Parameters: each test chooses all of them. */
static inline void
fixture_bind(Fixture *fixture, HeadKind head, const char *kernels, int threads, TrainPart part,
			 int top_layers, bool freeze_embeddings, double dropout)
{
	Status status;
	Rng rng;

	check_status(
		tensor_table_build(fixture->arena, &fixture->config, head, &fixture->table, &status),
		&status);
	fixture->weights = arena_alloc_array(fixture->arena, fixture->table.elements, sizeof(float));
	rng_init(&rng, 7, 1);
	for (int i = 0; i < fixture->table.n_tensors; i++)
	{
		const TensorSpec *tensor = &fixture->table.tensors[i];
		float *out = fixture->weights + network_tensor_offset(&fixture->table, tensor);

		for (size_t j = 0; j < tensor->elements; j++)
			out[j] = (float) (rng_normal(&rng) * (tensor->rank == 2 ? 0.25 : 0.1) +
							  (tensor->init == INIT_ONE ? 1 : 0));
	}
	fixture->pool = threadpool_create(threads, &status);
	assert_non_null(fixture->pool);
	check_status(compute_init(&fixture->compute, fixture->arena,
							  train_kernels_choose(kernels, &status), fixture->pool,
							  network_widest(&fixture->table), &status),
				 &status);
	check_status(network_init(&fixture->network,
							  &(NetworkSetup){.config = &fixture->config,
											  .table = &fixture->table,
											  .compute = &fixture->compute,
											  .weights = fixture->weights,
											  .part = part,
											  .top_layers = top_layers,
											  .freeze_embeddings = freeze_embeddings,
											  .dropout = dropout},
							  fixture->arena, fixture->workspace, &status),
				 &status);
}

/* A batch of four sequences and labels for every head. */
static inline void
fixture_batch(Fixture *fixture, HeadKind head)
{
	int32_t *ids = arena_alloc_array(fixture->arena, FIXTURE_TOKENS, sizeof *ids);
	int32_t *types = arena_alloc_array(fixture->arena, FIXTURE_TOKENS, sizeof *types);
	int64_t *labels = arena_alloc_array(fixture->arena, FIXTURE_TOKENS, sizeof *labels);
	int64_t *row_labels = arena_alloc_array(fixture->arena, FIXTURE_TOKENS, sizeof *row_labels);
	size_t *rows = arena_alloc_array(fixture->arena, FIXTURE_TOKENS, sizeof *rows);
	float *values = arena_alloc_array(fixture->arena, FIXTURE_TOKENS, sizeof *values);
	static const size_t choices[3] = {0, 3, 4};
	static const int64_t choice_labels[2] = {2, 0};
	static const int64_t spans[2 * FIXTURE_SEQUENCES] = {2, 5, 0, 0, 3, 30, 5, 5};
	static const int64_t follows[FIXTURE_SEQUENCES] = {1, 0, -100, 1};
	Rng rng;

	rng_init(&rng, 8, 2);
	for (int t = 0; t < FIXTURE_TOKENS; t++)
	{
		ids[t] = 1 + (int32_t) rng_below(&rng, (uint64_t) fixture->config.vocab_size - 1);
		types[t] = (int32_t) rng_below(&rng, 2);
		labels[t] = t % 5 == 1 ? LABEL_IGNORED : (int64_t) rng_below(&rng, 3);
		values[t] = (float) rng_below(&rng, 2);
	}
	ids[3] = ids[9] = ids[4]; /* a word that comes more than once */
	/* its row gets no gradient from the embeddings */
	ids[5] = fixture->config.pad_token_id;
	fixture->targets.rows = rows;
	fixture->targets.row_labels = row_labels;
	for (size_t t = 0; t < FIXTURE_TOKENS; t += 3)
	{
		rows[fixture->targets.n_rows] = t;
		row_labels[fixture->targets.n_rows++] =
			(int64_t) rng_below(&rng, (uint64_t) fixture->config.vocab_size);
	}
	fixture->targets.labels = head == HEAD_MULTIPLE_CHOICE      ? choice_labels
							  : head == HEAD_QUESTION_ANSWERING ? spans
							  : head == HEAD_NEXT_SENTENCE      ? follows
																: labels;
	fixture->targets.next_sentence_label = follows;
	fixture->targets.values = values;
	fixture->targets.n_examples = 2;
	fixture->targets.choice_offsets = choices;
	fixture->batch = (Batch){.n_sequences = FIXTURE_SEQUENCES,
							 .cu_seqlens = fixture_offsets,
							 .input_ids = ids,
							 .token_type_ids = types};
	if (!fixture->config.add_cross_attention)
		return;
	fixture->encoder_states =
		arena_alloc_array(fixture->arena, 13 * (size_t) fixture->config.hidden_size, sizeof(float));
	for (size_t i = 0; i < 13 * (size_t) fixture->config.hidden_size; i++)
		fixture->encoder_states[i] = (float) rng_normal(&rng);
	fixture->batch.encoder_hidden_states = fixture->encoder_states;
	fixture->batch.encoder_cu_seqlens = fixture_encoder_offsets;
}

static inline void
fixture_close(Fixture *fixture)
{
	threadpool_destroy(fixture->pool);
	arena_destroy(fixture->workspace);
	arena_destroy(fixture->arena);
}

/* One run with gradients; the loss. */
static inline double
fixture_run(Fixture *fixture, bool training, bool backward, bool recompute)
{
	NetworkRun run = {.batch = &fixture->batch,
					  .training = training,
					  .backward = backward,
					  .recompute = recompute,
					  .seed = 99,
					  .targets = &fixture->targets};
	HeadResult result;
	Status status;

	if (backward)
		network_begin_step(&fixture->network);
	check_status(network_run(&fixture->network, &run, &result, &status), &status);
	return result.loss;
}

#endif
