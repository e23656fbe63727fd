/*
 * The trainer: it learns, resumes bit for bit from its state, gives the same bits when activations
 * are recomputed and when features are kept, accumulates gradients, refuses what is wrong and
 * leaves weights alone when a step fails.
 */
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
#include "near.h"
#include "train/trainer.h"

#define N_SAMPLES 40
#define MAX_LENGTH 12
#define VOCAB 40

typedef struct Setup
{
	Arena *arena;
	TrainerArenas arenas;
	BertConfig config;
	TensorTable table;
	Tokenizer *tokenizer;
	Trainer *trainer;
	Sample samples[N_SAMPLES];
} Setup;

static void
must(bool ok, const Status *status)
{
	if (!ok)
		fail_msg("%s", status->message);
}

static Tokenizer *
make_tokenizer(Arena *arena)
{
	TokenizerSettings settings;
	unsigned char *image;
	size_t length;
	static char vocab[VOCAB * 8];
	Status status;
	Tokenizer *tokenizer;

	strcpy(vocab, "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\n");
	for (int i = 5; i < VOCAB; i++)
		sprintf(vocab + strlen(vocab), "%sw%c\n", i % 3 == 0 ? "##" : "",
				'a' + i - 5 < 'z' ? 'a' + i - 5 : 'A' + i - 30);
	must(tokenizer_settings_default(arena, &settings, &status), &status);
	settings.vocab = vocab;
	settings.vocab_length = strlen(vocab);
	must(tokenizer_compile(arena, &settings, &image, &length, &status), &status);
	tokenizer = tokenizer_open(arena, image, length, &status);
	must(tokenizer != NULL, &status);
	return tokenizer;
}

/* The class of a sequence is whether its second token is even; of a token, the same of itself. */
static void
make_samples(Setup *setup, HeadKind head)
{
	Rng rng;

	rng_init(&rng, 11, 0);
	for (int i = 0; i < N_SAMPLES; i++)
	{
		Sample *sample = &setup->samples[i];
		uint32_t sequences = head == HEAD_MULTIPLE_CHOICE ? 2 + (uint32_t) i % 2 : 1;

		memset(sample, 0, sizeof *sample);
		sample->row = (uint64_t) i;
		sample->n_sequences = sequences;
		sample->lengths = arena_alloc(setup->arena, sequences * sizeof(uint32_t));
		sample->input_ids = arena_alloc(setup->arena, sequences * MAX_LENGTH * sizeof(int32_t));
		sample->token_type_ids = arena_alloc_zero(setup->arena, sequences * MAX_LENGTH);
		sample->labels =
			arena_alloc_zero(setup->arena, (sequences * MAX_LENGTH + 2) * sizeof(int32_t));
		sample->values = arena_alloc_zero(setup->arena, sizeof(float));
		for (uint32_t s = 0; s < sequences; s++)
		{
			sample->lengths[s] = 3 + (uint32_t) rng_below(&rng, MAX_LENGTH - 3);
			for (uint32_t t = 0; t < sample->lengths[s]; t++)
				sample->input_ids[sample->n_tokens++] =
					t == 0                        ? 2
					: t + 1 == sample->lengths[s] ? 3
												  : 5 + (int32_t) rng_below(&rng, VOCAB - 5);
		}
		sample->n_labels = head == HEAD_TOKEN_CLASSIFICATION ? sample->n_tokens
						   : head == HEAD_QUESTION_ANSWERING ? 2
															 : 1;
		for (uint32_t l = 0; l < sample->n_labels; l++)
			sample->labels[l] = sample->input_ids[head == HEAD_TOKEN_CLASSIFICATION ? l : 1] % 2;
		sample->values[0] = (float) sample->input_ids[1] / VOCAB;
		sample->n_values = 1;
	}
}

static void
open_trainer(Setup *setup, HeadKind head, const TrainOptions *options)
{
	Status status;

	memset(setup, 0, sizeof *setup);
	setup->arena = arena_create(&allocator_malloc, 0);
	setup->arenas =
		(TrainerArenas){setup->arena, arena_create(&allocator_malloc, 0),
						arena_create(&allocator_malloc, 0), arena_create(&allocator_malloc, 0)};
	must(config_default(setup->arena, &setup->config, &status), &status);
	setup->config.vocab_size = VOCAB;
	setup->config.hidden_size = 32;
	setup->config.num_hidden_layers = 3;
	setup->config.num_attention_heads = 4;
	setup->config.intermediate_size = 64;
	setup->config.max_position_embeddings = 16;
	setup->config.initializer_range = 0.2f;
	must(tensor_table_build(setup->arena, &setup->config, head, &setup->table, &status), &status);
	setup->tokenizer = make_tokenizer(setup->arena);
	setup->trainer = trainer_create(&setup->arenas, &setup->config, &setup->table, setup->tokenizer,
									options, "auto", &status);
	must(setup->trainer != NULL, &status);
	for (int block = 0; block < setup->table.n_blocks; block++)
		trainer_initialize_block(setup->trainer, block, 5);
	make_samples(setup, head);
}

static void
close_trainer(Setup *setup)
{
	trainer_destroy(setup->trainer);
	arena_destroy(setup->arenas.batch);
	arena_destroy(setup->arenas.workspace);
	arena_destroy(setup->arenas.features);
	arena_destroy(setup->arena);
}

/* Step `step` of epochs of five batches. */
static double
take_step(Setup *setup, int64_t step)
{
	TrainSample batch[8];
	uint32_t order[N_SAMPLES];
	StepResult result;
	Status status;

	spill_shuffle(1, (uint64_t) step / 5, N_SAMPLES, order);
	for (int i = 0; i < 8; i++)
	{
		uint32_t index = order[step % 5 * 8 + i];

		batch[i] = (TrainSample){&setup->samples[index], index, 0};
	}
	must(trainer_step(setup->trainer, batch, 8, &result, NULL, &status), &status);
	return result.loss;
}

static TrainOptions
options_for(int64_t steps)
{
	TrainOptions options = train_options_default(steps);

	options.learning_rate = 3e-3;
	options.adamw.weight_decay = 0.01;
	options.seed = 17;
	return options;
}

static float *
all_weights(const Setup *setup)
{
	float *copy = malloc(setup->table.elements * sizeof(float));
	size_t at = 0;

	for (int block = 0; block < setup->table.n_blocks; block++)
	{
		memcpy(copy + at, trainer_block(setup->trainer, block),
			   setup->table.blocks[block].elements * sizeof(float));
		at += setup->table.blocks[block].elements;
	}
	return copy;
}

static float *
run(HeadKind head, const TrainOptions *options, int64_t steps, size_t *n)
{
	Setup setup;
	float *weights;

	open_trainer(&setup, head, options);
	for (int64_t step = 0; step < steps; step++)
		take_step(&setup, step);
	assert_int_equal(trainer_steps(setup.trainer), steps);
	weights = all_weights(&setup);
	*n = setup.table.elements;
	close_trainer(&setup);
	return weights;
}

static void
test_learns(void **state)
{
	for (int head = HEAD_PRETRAINING; head < HEAD_REPLACED_TOKEN; head++)
	{
		TrainOptions options = options_for(150);
		Setup setup;
		double first = 0;
		double last = 0;

		open_trainer(&setup, (HeadKind) head, &options);
		for (int64_t step = 0; step < 150; step++)
		{
			double loss = take_step(&setup, step);

			first += step < 10 ? loss : 0;
			last += step >= 140 ? loss : 0;
		}
		print_message("%s: %.3f to %.3f\n", head_kind_name((HeadKind) head), first / 10, last / 10);
		assert_true(last < 0.9 * first);
		close_trainer(&setup);
	}
}

/*
 * After any number of steps the state is written out; another trainer reads it and goes on as if
 * nothing had been.
 */
static void
check_resume(HeadKind head, TrainOptions options, int64_t at)
{
	Setup setup;
	Setup resumed;
	StateRange ranges[TRAINER_MAX_RANGES];
	StateRange into[TRAINER_MAX_RANGES];
	size_t n;
	float *undisturbed = run(head, &options, 12, &n);
	float *weights;
	int count;
	Status status;

	open_trainer(&setup, head, &options);
	for (int64_t step = 0; step < at; step++)
		take_step(&setup, step);
	count = trainer_state(setup.trainer, ranges);
	open_trainer(&resumed, head, &options);
	assert_int_equal(count, trainer_state(resumed.trainer, into));
	for (int i = 0; i < count; i++)
	{
		assert_int_equal(ranges[i].size, into[i].size);
		memcpy(into[i].bytes, ranges[i].bytes, ranges[i].size);
	}
	close_trainer(&setup);
	must(trainer_state_restored(resumed.trainer, &status), &status);
	for (int64_t step = at; step < 12; step++)
		take_step(&resumed, step);
	weights = all_weights(&resumed);
	assert_memory_equal(undisturbed, weights, n * sizeof(float));
	free(undisturbed);
	free(weights);
	close_trainer(&resumed);
}

static void
test_resume(void **state)
{
	int tried = 0;

	for (int head = HEAD_PRETRAINING; head < HEAD_REPLACED_TOKEN; head++)
		for (int threads = 1; threads <= 2; threads++, tried++)
		{
			TrainOptions options = options_for(12);

			options.threads = threads;
			check_resume((HeadKind) head, options, 1 + (head * 5 + threads * 3) % 11);
		}
	for (int parts = 0; parts < 5; parts++, tried++)
	{
		TrainOptions options = options_for(12);

		options.part = parts % 3 == 0 ? TRAIN_HEAD : parts % 3 == 1 ? TRAIN_TOP : TRAIN_ALL;
		options.top_layers = 2;
		options.freeze_embeddings = parts == 2;
		options.frozen_dropout = parts > 2;
		options.feature_bytes = 1 << 20;
		check_resume(HEAD_SEQUENCE_CLASSIFICATION, options, 7);
	}
	print_message("%d/%d resumed\n", tried, tried);
}

static void
test_same_bits(void **state)
{
	TrainOptions options = options_for(12);
	size_t n;
	float *plain = run(HEAD_TOKEN_CLASSIFICATION, &options, 12, &n);
	float *other;

	options.activation_bytes = 1;
	other = run(HEAD_TOKEN_CLASSIFICATION, &options, 12, &n);
	assert_memory_equal(plain, other, n * sizeof(float));
	free(other);
	options.seed++;
	other = run(HEAD_TOKEN_CLASSIFICATION, &options, 12, &n);
	assert_memory_not_equal(plain, other, n * sizeof(float));
	free(other);
	free(plain);

	/*
	 * kept features, features that do not fit, and pooled features that are the first token's only
	 */
	for (int head = 0; head < 2; head++)
	{
		HeadKind kind = head == 0 ? HEAD_SEQUENCE_CLASSIFICATION : HEAD_QUESTION_ANSWERING;

		options = options_for(12);
		options.part = head == 0 ? TRAIN_HEAD : TRAIN_TOP;
		options.top_layers = 1;
		options.feature_bytes = 1 << 20;
		plain = run(kind, &options, 12, &n);
		options.feature_bytes = 40000;
		other = run(kind, &options, 12, &n);
		assert_memory_equal(plain, other, n * sizeof(float));
		free(other);
		free(plain);
	}
}

/* bf16 stays near fp32, is not fp32, and resumes to the same bits. */
static void
test_bf16(void **state)
{
	double largest = 0;

	for (int head = HEAD_PRETRAINING; head < HEAD_REPLACED_TOKEN; head++)
	{
		TrainOptions options = options_for(12);
		double losses[2][12];
		size_t n;
		float *fp32;
		float *bf16;

		options.dropout = 0;
		for (int precision = 0; precision < 2; precision++)
		{
			Setup setup;

			options.bf16 = precision == 1;
			open_trainer(&setup, (HeadKind) head, &options);
			for (int64_t step = 0; step < 12; step++)
				losses[precision][step] = take_step(&setup, step);
			close_trainer(&setup);
		}
		for (int step = 0; step < 12; step++)
		{
			double difference = fabs(losses[1][step] - losses[0][step]) / losses[0][step];

			largest = worse(largest, difference);
			assert_true(difference < 0.05);
		}
		options.bf16 = false;
		fp32 = run((HeadKind) head, &options, 1, &n);
		options.bf16 = true;
		bf16 = run((HeadKind) head, &options, 1, &n);
		assert_memory_not_equal(fp32, bf16, n * sizeof(float));
		free(fp32);
		free(bf16);
		check_resume((HeadKind) head, options, 5);
	}
	print_message("losses in bf16 differ by at most %.2f %% from those in fp32\n", 100 * largest);
}

/*
 * A step in parts is the step of all its samples: the same loss and the same gradient (seen in the
 * weights after a step with a large epsilon), whatever the parts' sizes and numbers of labels.
 * Rounding differs.
 */
static void
check_parts(HeadKind head, ProblemType problem, size_t n, int batch_size)
{
	float *weights[2];
	double losses[2];
	double norms[2];
	double largest = 0;
	size_t elements = 0;

	for (int split = 0; split < 2; split++)
	{
		TrainOptions options = options_for(2);
		TrainSample batch[N_SAMPLES];
		StepResult result;
		Setup setup;
		Status status;

		options.schedule.kind = SCHEDULE_CONSTANT;
		options.dropout = 0;
		options.adamw.epsilon = 1e-2;
		options.batch_size = split == 0 ? 0 : batch_size;
		options.gradient_accumulation = split == 0 ? 1 : 16;
		open_trainer(&setup, head, &options);
		setup.config.problem_type = problem;
		for (size_t i = 0; i < n; i++)
		{
			Sample *sample = &setup.samples[i];

			batch[i] = (TrainSample){sample, i, 0};
			/* tokens: sample i keeps so many labels, some samples none */
			for (uint32_t l = 0; head == HEAD_TOKEN_CLASSIFICATION && l < sample->n_labels; l++)
				if (l >= i * 7 % 4)
					sample->labels[l] = -100;
			if (problem != PROBLEM_UNSET)
			{
				sample->values = arena_alloc_zero(setup.arena, 2 * sizeof(float));
				sample->values[i % 2] = 1;
				sample->n_values = 2;
			}
		}
		must(trainer_step(setup.trainer, batch, n, &result, NULL, &status), &status);
		assert_false(result.skipped);
		losses[split] = result.loss;
		norms[split] = result.grad_norm;
		weights[split] = all_weights(&setup);
		elements = setup.table.elements;
		close_trainer(&setup);
	}
	for (size_t i = 0; i < elements; i++)
		largest = worse(largest, fabs(weights[0][i] - weights[1][i]));
	print_message("%s, %zu samples in parts of %d: losses %.6f and %.6f, weights differ by %.1e\n",
				  head_kind_name(head), n, batch_size, losses[0], losses[1], largest);
	assert_true(fabs(losses[0] - losses[1]) < 1e-5 * (1 + losses[0]));
	assert_true(fabs(norms[0] - norms[1]) < 1e-4 * (1 + norms[0]));
	assert_true(largest < 1e-5);
	free(weights[0]);
	free(weights[1]);
}

static void
test_accumulation(void **state)
{
	/* masks are drawn by part, so language models that mask are elsewhere: test_masked_parts */
	static const HeadKind heads[] = {
		HEAD_CAUSAL_LM,       HEAD_NEXT_SENTENCE,        HEAD_SEQUENCE_CLASSIFICATION,
		HEAD_MULTIPLE_CHOICE, HEAD_TOKEN_CLASSIFICATION, HEAD_QUESTION_ANSWERING};

	for (size_t h = 0; h < sizeof heads / sizeof heads[0]; h++)
	{
		check_parts(heads[h], PROBLEM_UNSET, 5, 8);
		check_parts(heads[h], PROBLEM_UNSET, 8, 4);
		check_parts(heads[h], PROBLEM_UNSET, 11, 4);
		check_parts(heads[h], PROBLEM_UNSET, 5, 1);
	}
	check_parts(HEAD_SEQUENCE_CLASSIFICATION, PROBLEM_REGRESSION, 7, 3);
	check_parts(HEAD_SEQUENCE_CLASSIFICATION, PROBLEM_MULTI_LABEL, 7, 3);
}

/*
 * Parts with uneven numbers of masks, or none: the loss of a step is the mean over all masked
 * tokens, which is known for a model that gives every token the same logits.
 */
static void
test_masked_parts(void **state)
{
	TrainOptions options = options_for(1);
	TrainSample batch[9];
	StepResult result;
	Setup setup;
	Status status;

	options.dropout = 0;
	options.batch_size = 3;
	options.gradient_accumulation = 3;
	open_trainer(&setup, HEAD_MASKED_LM, &options);
	/* a model that gives every token the same logits: the loss of each masked token is log V */
	for (int block = 0; block < setup.table.n_blocks; block++)
		memset(trainer_block(setup.trainer, block), 0,
			   setup.table.blocks[block].elements * sizeof(float));
	for (size_t i = 0; i < 9; i++)
		batch[i] = (TrainSample){&setup.samples[i], i, 0};
	must(trainer_step(setup.trainer, batch, 9, &result, NULL, &status), &status);
	assert_false(result.skipped);
	assert_true(fabs(result.loss - log(VOCAB)) < 1e-4);
	close_trainer(&setup);
}

/* A step in which no label counts changes nothing but the count of steps. */
static void
test_skipped(void **state)
{
	TrainOptions options = options_for(4);
	TrainSample batch[2];
	StepResult result;
	Setup setup;
	float *before;
	float *after;
	Status status;

	open_trainer(&setup, HEAD_TOKEN_CLASSIFICATION, &options);
	for (size_t i = 0; i < 2; i++)
	{
		batch[i] = (TrainSample){&setup.samples[i], i, 0};
		for (uint32_t l = 0; l < setup.samples[i].n_labels; l++)
			setup.samples[i].labels[l] = -100;
	}
	before = all_weights(&setup);
	must(trainer_step(setup.trainer, batch, 2, &result, NULL, &status), &status);
	after = all_weights(&setup);
	assert_true(result.skipped && isnan(result.loss) && isnan(result.grad_norm));
	assert_memory_equal(before, after, setup.table.elements * sizeof(float));
	assert_int_equal(trainer_steps(setup.trainer), 1);
	assert_int_equal(trainer_updates(setup.trainer), 0);
	setup.samples[1].labels[1] = 1;
	must(trainer_step(setup.trainer, batch, 2, &result, NULL, &status), &status);
	assert_true(!result.skipped && isfinite(result.loss));
	assert_int_equal(trainer_steps(setup.trainer), 2);
	assert_int_equal(trainer_updates(setup.trainer), 1);
	free(before);
	free(after);
	close_trainer(&setup);
}

/* The first step's loss. */
static double
first_loss(HeadKind head, const TrainOptions *options)
{
	Setup setup;
	double loss;

	open_trainer(&setup, head, options);
	loss = take_step(&setup, 0);
	close_trainer(&setup);
	return loss;
}

/* Frozen layers with dropout have the masks that they would have if they were trained. */
static void
test_frozen_dropout(void **state)
{
	for (int threads = 1; threads <= 2; threads++)
		for (int parts = 0; parts < 2; parts++)
		{
			TrainOptions options = options_for(4);
			double all;
			double without;

			options.threads = threads;
			options.feature_bytes = 1 << 20;
			all = first_loss(HEAD_QUESTION_ANSWERING, &options);
			options.part = parts == 0 ? TRAIN_HEAD : TRAIN_TOP;
			options.top_layers = 1;
			without = first_loss(HEAD_QUESTION_ANSWERING, &options);
			options.frozen_dropout = true;
			assert_true(first_loss(HEAD_QUESTION_ANSWERING, &options) == all);
			assert_true(without != all);
			options.dropout = 0;
			without = first_loss(HEAD_QUESTION_ANSWERING, &options);
			options.frozen_dropout = false;
			assert_true(first_loss(HEAD_QUESTION_ANSWERING, &options) == without);
		}
}

/* The frozen blocks stay as they are. */
static void
test_frozen(void **state)
{
	for (int which = 0; which < 6; which++)
	{
		int parts = which % 3;
		TrainOptions options = options_for(4);
		Setup setup;
		float *before;
		float *after;
		size_t at = 0;

		options.part = parts == 0 ? TRAIN_HEAD : parts == 1 ? TRAIN_TOP : TRAIN_ALL;
		options.top_layers = 1;
		options.freeze_embeddings = true;
		options.frozen_dropout = which >= 3;
		open_trainer(&setup, HEAD_SEQUENCE_CLASSIFICATION, &options);
		before = all_weights(&setup);
		for (int64_t step = 0; step < 4; step++)
			take_step(&setup, step);
		after = all_weights(&setup);
		assert_int_equal(trainer_first_trained_block(setup.trainer), parts == 0   ? 4
																	 : parts == 1 ? 3
																				  : 1);
		for (int block = 0; block < setup.table.n_blocks; block++)
		{
			bool same = memcmp(before + at, after + at,
							   setup.table.blocks[block].elements * sizeof(float)) == 0;

			assert_int_equal(same, block < trainer_first_trained_block(setup.trainer));
			at += setup.table.blocks[block].elements;
		}
		free(before);
		free(after);
		close_trainer(&setup);
	}
}

static bool
never(void *context)
{
	return false;
}

static void
test_failures(void **state)
{
	TrainOptions options = options_for(4);
	MayContinue stop = {never, NULL};
	Setup setup;
	TrainSample batch[2];
	StepResult result;
	Evaluation evaluation;
	float *before;
	float *after;
	Status status;

	open_trainer(&setup, HEAD_SEQUENCE_CLASSIFICATION, &options);
	batch[0] = (TrainSample){&setup.samples[0], 0, 0};
	batch[1] = (TrainSample){&setup.samples[1], 1, 0};
	before = all_weights(&setup);
	assert_false(trainer_step(setup.trainer, batch, 2, &result, &stop, &status));
	assert_int_equal(status.code, STATUS_CANCELLED);
	assert_false(trainer_step(setup.trainer, batch, 0, &result, NULL, &status));
	setup.samples[0].labels[0] = 2;
	assert_false(trainer_step(setup.trainer, batch, 2, &result, NULL, &status));
	assert_int_equal(status.code, STATUS_INVALID_ARGUMENT);
	setup.samples[0].labels[0] = 1;
	setup.samples[0].input_ids[1] = VOCAB;
	assert_false(trainer_step(setup.trainer, batch, 2, &result, NULL, &status));
	assert_int_equal(status.code, STATUS_INVALID_ARGUMENT);
	setup.samples[0].input_ids[1] = 7;
	after = all_weights(&setup);
	assert_memory_equal(before, after, setup.table.elements * sizeof(float));
	assert_int_equal(trainer_steps(setup.trainer), 0);
	must(trainer_evaluate(setup.trainer, batch, 2, setup.arena, &evaluation, NULL, &status),
		 &status);
	assert_int_equal(evaluation.row_offsets[2], 2);
	assert_int_equal(evaluation.n_columns, 2);
	/*
	 * a weight that is no number is a loss that is no number: the step fails and nothing is updated
	 */
	trainer_block(setup.trainer, 1)[0] = NAN;
	assert_false(trainer_step(setup.trainer, batch, 2, &result, NULL, &status));
	assert_int_equal(status.code, STATUS_INVALID_DATA);
	assert_int_equal(trainer_steps(setup.trainer), 0);
	trainer_block(setup.trainer, 1)[0] = 0;
	must(trainer_step(setup.trainer, batch, 2, &result, NULL, &status), &status);
	free(before);
	free(after);
	close_trainer(&setup);
}

static void
test_refused_options(void **state)
{
	Status status;
	TrainPart part;
	int layers;

	assert_true(train_part_parse("top:3", &part, &layers, &status) && part == TRAIN_TOP &&
				layers == 3);
	assert_false(train_part_parse("top:0", &part, &layers, &status));
	assert_false(train_part_parse("top:3x", &part, &layers, &status));
	assert_false(train_part_parse("bottom", &part, &layers, &status));
	for (int which = 0; which < 11; which++)
	{
		TrainOptions options = options_for(4);
		TrainOptions good = options;
		Setup setup;

		open_trainer(&setup, HEAD_MASKED_LM, &good);
		options.dropout = which == 0 ? 1 : options.dropout;
		options.gradient_accumulation = which == 1 ? 0 : which == 9 ? 4097 : 1;
		options.batch_size = which == 10 ? -1 : 0;
		options.threads = which == 2 ? 0 : 1;
		options.mask_probability = which == 3 ? 0 : 0.15;
		options.adamw.beta2 = which == 4 ? 1 : 0.999;
		options.adamw.epsilon = which == 5 ? NAN : 1e-8;
		options.learning_rate = which == 6 ? -1 : 1e-3;
		options.part = which == 7 ? TRAIN_TOP : TRAIN_ALL;
		options.top_layers = 4;
		options.adamw.max_grad_norm = which == 8 ? INFINITY : 1;
		assert_null(trainer_create(&setup.arenas, &setup.config, &setup.table, setup.tokenizer,
								   &options, "auto", &status));
		assert_int_equal(status.code, STATUS_INVALID_ARGUMENT);
		close_trainer(&setup);
	}
}

/*
 * Every allocation of creating a trainer and taking a step fails once: an error each time, nothing
 * lost.
 */
typedef struct Scarce
{
	size_t left;
} Scarce;

static void *
scarce_allocate(void *context, size_t size)
{
	Scarce *scarce = context;

	if (scarce->left == 0)
		return NULL;
	scarce->left--;
	return malloc(size);
}

static void
scarce_release(void *context, void *pointer)
{
	free(pointer);
}

static void
test_out_of_memory(void **state)
{
	int failures = 0;
	bool done = false;

	for (size_t allowed = 4; !done; allowed++)
	{
		Scarce scarce = {allowed};
		Allocator allocator = {scarce_allocate, scarce_release, &scarce};
		TrainOptions options = options_for(2);
		Setup setup;
		TrainerArenas arenas;
		Trainer *trainer;
		TrainSample batch[2];
		StepResult result;
		Status status = {0};

		open_trainer(&setup, HEAD_PRETRAINING, &options);
		arenas = (TrainerArenas){arena_create(&allocator, 0), arena_create(&allocator, 0),
								 arena_create(&allocator, 0), arena_create(&allocator, 0)};
		assert_non_null(arenas.features);
		trainer = trainer_create(&arenas, &setup.config, &setup.table, setup.tokenizer, &options,
								 "auto", &status);
		if (trainer != NULL)
		{
			for (int block = 0; block < setup.table.n_blocks; block++)
				trainer_initialize_block(trainer, block, 5);
			batch[0] = (TrainSample){&setup.samples[0], 0, 0};
			batch[1] = (TrainSample){&setup.samples[1], 1, 0};
			done = trainer_step(trainer, batch, 2, &result, NULL, &status);
		}
		if (!done)
		{
			failures++;
			/* a sum that could not be allocated shows as a norm that is no number */
			assert_true(status.code == STATUS_OUT_OF_MEMORY || status.code == STATUS_INVALID_DATA);
		}
		trainer_destroy(trainer);
		arena_destroy(arenas.state);
		arena_destroy(arenas.batch);
		arena_destroy(arenas.workspace);
		arena_destroy(arenas.features);
		close_trainer(&setup);
	}
	print_message("%d refused allocations, each an error\n", failures);
	assert_true(failures >= 3);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_learns),          cmocka_unit_test(test_resume),
		cmocka_unit_test(test_same_bits),       cmocka_unit_test(test_bf16),
		cmocka_unit_test(test_accumulation),    cmocka_unit_test(test_masked_parts),
		cmocka_unit_test(test_skipped),         cmocka_unit_test(test_frozen),
		cmocka_unit_test(test_frozen_dropout),  cmocka_unit_test(test_failures),
		cmocka_unit_test(test_refused_options), cmocka_unit_test(test_out_of_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
