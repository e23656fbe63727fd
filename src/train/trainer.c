/* trainer.c: steps, evaluation and state. */
#include "train/trainer.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/checked.h"
#include "core/rng.h"
#include "train/batches.h"
#include "train/features.h"

#define DROPOUT_STREAM UINT64_C(0x64726f70) /* "drop" */
#define MAX_MICRO_BATCHES 4096
#define STATE_MAGIC UINT64_C(0x6265727474726e31) /* "berttrn1" */

/* The counters of a checkpoint, with what tells it from another trainer's. */
typedef struct TrainerCounters
{
	uint64_t magic;
	uint64_t elements;
	uint64_t frozen_elements;
	int64_t step; /* optimizer steps done */
} TrainerCounters;

struct Trainer
{
	TrainerArenas arenas;
	TrainOptions options;
	const BertConfig *config;
	const TensorTable *table;
	const Tokenizer *tokenizer;
	ThreadPool *pool;
	Compute compute;
	Network network;
	Adamw adamw;
	Features *features; /* NULL: the frozen layers run in every step */
	TrainerCounters counters;
};

TrainOptions
train_options_default(int64_t total_steps)
{
	TrainOptions options = {.learning_rate = 5e-5,
							.adamw = adamw_default(),
							.dropout = -1,
							.part = TRAIN_ALL,
							.micro_batches = 1,
							.threads = 1,
							.mask_probability = 0.15};

	options.schedule = schedule_default(SCHEDULE_LINEAR, 0, total_steps);
	return options;
}

bool
train_part_parse(const char *text, TrainPart *part, int *top_layers, Status *status)
{
	char *end;
	long layers;

	*top_layers = 0;
	if (strcmp(text, "all") == 0)
		*part = TRAIN_ALL;
	else if (strcmp(text, "head") == 0)
		*part = TRAIN_HEAD;
	else if (strncmp(text, "top:", 4) == 0 && text[4] >= '0' && text[4] <= '9' &&
			 (layers = strtol(text + 4, &end, 10)) > 0 && *end == '\0' &&
			 layers <= CONFIG_MAX_LAYERS)
	{
		*part = TRAIN_TOP;
		*top_layers = (int) layers;
	}
	else
	{
		status_fail(status, STATUS_INVALID_ARGUMENT, "cannot train \"%s\"", text);
		return status_hint(status, "Use all, head, or top: and a number of layers.");
	}
	return true;
}

static bool
options_validate(const TrainOptions *options, const BertConfig *config, const TensorTable *table,
				 const Tokenizer *tokenizer, Status *status)
{
	if (table->head == HEAD_NONE)
		return status_fail(status, STATUS_INVALID_ARGUMENT,
						   "a model without a head cannot be trained");
	if (!schedule_validate(&options->schedule, options->learning_rate, status))
		return false;
	if (options->dropout >= 1 || isnan(options->dropout))
		return status_fail(status, STATUS_INVALID_ARGUMENT, "dropout must be below 1");
	if (options->micro_batches < 1 || options->micro_batches > MAX_MICRO_BATCHES)
		return status_fail(status, STATUS_INVALID_ARGUMENT, "gradient accumulation must be 1 to %d",
						   MAX_MICRO_BATCHES);
	if (options->threads < 1 || options->threads > COMPUTE_MAX_THREADS)
		return status_fail(status, STATUS_INVALID_ARGUMENT, "threads must be 1 to %d",
						   COMPUTE_MAX_THREADS);
	if (table->head != HEAD_MASKED_LM && table->head != HEAD_PRETRAINING)
		return true;
	if (!(options->mask_probability > 0 && options->mask_probability < 1))
		return status_fail(status, STATUS_INVALID_ARGUMENT,
						   "mask_probability must be between 0 and 1");
	if (tokenizer == NULL || tokenizer_mask_id(tokenizer) < 0 ||
		tokenizer_mask_id(tokenizer) >= config->vocab_size)
		return status_fail(status, STATUS_INVALID_ARGUMENT, "the vocabulary has no [MASK] token");
	return true;
}

bool
trainer_memory(const BertConfig *config, const TensorTable *table, const TrainOptions *options,
			   size_t *bytes, Status *status)
{
	int first_block = options->part == TRAIN_ALL ? (options->freeze_embeddings ? 1 : 0)
					  : options->part == TRAIN_TOP
						  ? 1 + config->num_hidden_layers - options->top_layers
						  : 1 + config->num_hidden_layers;
	size_t threads = (size_t) options->threads;
	size_t trained;
	size_t floats;

	if (first_block < 0)
		return status_fail(status, STATUS_INVALID_ARGUMENT, "cannot train the top %d of %d layers",
						   options->top_layers, config->num_hidden_layers);
	trained = table->elements - network_block_offset(table, first_block);
	if (!size_mul(trained, 3, &floats) || !size_add(floats, table->elements, &floats) ||
		!size_add(floats,
				  threads * (3 * network_widest(table) + SGEMM_SCRATCH_FLOATS) +
					  3 * (size_t) config->vocab_size,
				  &floats) ||
		!size_mul(floats, sizeof(float), bytes))
		return status_fail(status, STATUS_LIMIT, "the model is too large to train");
	return true;
}

Trainer *
trainer_create(const TrainerArenas *arenas, const BertConfig *config, const TensorTable *table,
			   const Tokenizer *tokenizer, const TrainOptions *options, const char *kernels,
			   Status *status)
{
	const TrainKernels *train_kernels = train_kernels_choose(kernels, status);
	Trainer *trainer;
	float *weights;
	bool first_rows;

	if (train_kernels == NULL || !options_validate(options, config, table, tokenizer, status))
		return NULL;
	trainer = arena_alloc_zero(arenas->state, sizeof *trainer);
	weights = arena_alloc_array_zero(arenas->state, table->elements, sizeof(float));
	if (trainer == NULL || weights == NULL)
	{
		arena_fail(arenas->state, status, "weights", table->elements * sizeof(float));
		return NULL;
	}
	trainer->arenas = *arenas;
	trainer->options = *options;
	trainer->config = config;
	trainer->table = table;
	trainer->tokenizer = tokenizer;
	trainer->pool = threadpool_create(options->threads, status);
	if (trainer->pool == NULL)
		return NULL;
	first_rows = options->part == TRAIN_HEAD && head_uses_pooler(table->head) &&
				 !head_has_vocabulary(table->head);
	if (!compute_init(&trainer->compute, arenas->state, train_kernels, trainer->pool,
					  network_widest(table), status) ||
		!network_init(&trainer->network, arenas->state, arenas->workspace, config, table,
					  &trainer->compute, weights, options->part, options->top_layers,
					  options->freeze_embeddings, options->dropout, status) ||
		!adamw_init(&trainer->adamw, arenas->state, &trainer->network, &options->adamw, status) ||
		(options->feature_bytes > 0 && trainer->network.frozen_layers > 0 &&
		 (trainer->features = features_create(arenas->features, &trainer->network, first_rows,
											  options->feature_bytes, status)) == NULL))
	{
		threadpool_destroy(trainer->pool);
		return NULL;
	}
	trainer->compute.bf16 = options->bf16;
	trainer->counters = (TrainerCounters){.magic = STATE_MAGIC,
										  .elements = table->elements,
										  .frozen_elements = trainer->network.frozen_elements};
	return trainer;
}

void
trainer_destroy(Trainer *trainer)
{
	if (trainer == NULL)
		return;
	threadpool_destroy(trainer->pool);
	trainer->pool = NULL;
}

float *
trainer_block(Trainer *trainer, int block)
{
	return trainer->network.weights + network_block_offset(trainer->table, block);
}

void
trainer_initialize_block(Trainer *trainer, int block, uint64_t seed)
{
	const BlockSpec *spec = &trainer->table->blocks[block];

	for (int i = spec->first_tensor; i < spec->first_tensor + spec->n_tensors; i++)
		tensor_initialize(&trainer->table->tensors[i], trainer->config, seed,
						  trainer_block(trainer, block) + trainer->table->tensors[i].offset);
}

int
trainer_first_trained_block(const Trainer *trainer)
{
	return trainer->network.embeddings_trained ? 0 : 1 + trainer->network.frozen_layers;
}

int64_t
trainer_steps(const Trainer *trainer)
{
	return trainer->counters.step;
}

static bool
is_special(const void *context, int32_t id)
{
	return tokenizer_is_special(context, id);
}

static bool
is_continuation(const void *context, int32_t id)
{
	return tokenizer_is_continuation(context, id);
}

static BatchMasks
batch_masks(const Trainer *trainer, bool by_sample, int micro)
{
	BatchMasks masks = {.seed = trainer->options.seed, .by_sample = by_sample};

	masks.stream = (uint64_t) trainer->counters.step * MAX_MICRO_BATCHES + (uint64_t) micro;
	masks.options.probability = trainer->options.mask_probability;
	masks.options.whole_words = trainer->options.whole_word_mask;
	masks.options.vocab_size = trainer->config->vocab_size;
	masks.options.is_special = is_special;
	masks.options.is_continuation = is_continuation;
	masks.options.context = trainer->tokenizer;
	if (trainer->tokenizer != NULL)
		masks.options.mask_id = tokenizer_mask_id(trainer->tokenizer);
	return masks;
}

/* Adds the gradients of one micro-batch. */
static bool
run_micro_batch(Trainer *trainer, const TrainSample *samples, size_t n, int micro, StepResult *step,
				HeadResult *result, const MayContinue *question, Status *status)
{
	const TrainOptions *options = &trainer->options;
	Arena *arena = trainer->arenas.batch;
	BatchMasks masks = batch_masks(trainer, false, micro);
	AssembledBatch assembled;
	NetworkRun run = {.training = true,
					  .backward = true,
					  .gradient_scale = 1.0f / (float) options->micro_batches,
					  .question = question};
	uint32_t random[4];
	size_t tokens;

	if (!batch_assemble(arena, trainer->config, trainer->table->head, samples, n, &masks,
						&assembled, status))
		return false;
	tokens = (size_t) assembled.batch.cu_seqlens[assembled.batch.n_sequences];
	philox4x32(options->seed, DROPOUT_STREAM, masks.stream, random);
	run.batch = &assembled.batch;
	run.targets = &assembled.targets;
	run.seed = (uint64_t) random[0] << 32 | random[1];
	if (trainer->features != NULL)
	{
		bool first_rows = options->part == TRAIN_HEAD && head_uses_pooler(trainer->table->head) &&
						  !head_has_vocabulary(trainer->table->head);
		float *hidden = arena_alloc_array(arena,
										  (first_rows ? assembled.batch.n_sequences : tokens) *
											  (size_t) trainer->config->hidden_size,
										  sizeof(float));

		if (hidden == NULL)
			return arena_fail(arena, status, "features",
							  tokens * (size_t) trainer->config->hidden_size * sizeof(float));
		if (!features_fill(trainer->features, samples, n, &assembled, hidden, question, status))
			return false;
		run.start_hidden = hidden;
		run.first_rows_only = first_rows;
	}
	if (options->activation_bytes > 0)
	{
		size_t bytes;

		if (!network_memory(&trainer->network, &run, &bytes, status))
			return false;
		run.recompute = bytes > options->activation_bytes;
		step->recomputed |= run.recompute;
	}
	step->tokens += tokens;
	return network_run(&trainer->network, &run, result, status);
}

bool
trainer_step(Trainer *trainer, const TrainSample *samples, size_t n, StepResult *step,
			 const MayContinue *question, Status *status)
{
	size_t parts = (size_t) trainer->options.micro_batches;
	size_t counted = 0;
	ArenaMark mark = arena_mark(trainer->arenas.batch);

	memset(step, 0, sizeof *step);
	if (n < parts)
		parts = n == 0 ? 1 : n;
	network_begin_step(&trainer->network);
	for (size_t part = 0; part < parts; part++)
	{
		size_t from = n * part / parts;
		size_t to = n * (part + 1) / parts;
		HeadResult result;
		bool ok = run_micro_batch(trainer, samples + from, to - from, (int) part, step, &result,
								  question, status);

		arena_rewind(trainer->arenas.batch, mark);
		if (!ok)
			return false;
		/* a batch in which no label counts has no loss and no gradient */
		if (result.count == 0 && result.next_sentence_logits == NULL)
			continue;
		step->loss += result.loss;
		counted++;
	}
	if (counted > 0)
		step->loss /= (double) counted;
	step->grad_norm = adamw_grad_norm(&trainer->adamw);
	if (!isfinite(step->loss) || !isfinite(step->grad_norm))
	{
		status_fail(status, STATUS_INVALID_DATA, "the loss is not a number at step %lld",
					(long long) trainer->counters.step + 1);
		return status_hint(status, "Use a smaller learning rate or gradient clipping.");
	}
	step->learning_rate = schedule_rate(&trainer->options.schedule, trainer->counters.step,
										trainer->options.learning_rate);
	trainer->counters.step++;
	adamw_step(&trainer->adamw, trainer->counters.step, step->learning_rate, step->grad_norm);
	return true;
}

static float *
copy_floats(Arena *arena, const float *from, size_t n, Status *status)
{
	float *copy = arena_alloc_array(arena, n, sizeof(float));

	if (copy == NULL)
		arena_fail(arena, status, "predictions", n * sizeof(float));
	else if (n > 0)
		memcpy(copy, from, n * sizeof(float));
	return copy;
}

bool
trainer_evaluate(Trainer *trainer, const TrainSample *samples, size_t n, Arena *arena,
				 Evaluation *evaluation, const MayContinue *question, Status *status)
{
	HeadKind head = trainer->table->head;
	bool by_tokens = head == HEAD_TOKEN_CLASSIFICATION || head == HEAD_QUESTION_ANSWERING;
	ArenaMark mark = arena_mark(trainer->arenas.batch);
	BatchMasks masks = batch_masks(trainer, true, 0);
	AssembledBatch assembled;
	NetworkRun run = {.batch = &assembled.batch,
					  .targets = &assembled.targets,
					  .gradient_scale = 1,
					  .question = question};
	HeadResult result;
	bool ok;

	memset(evaluation, 0, sizeof *evaluation);
	ok = batch_assemble(trainer->arenas.batch, trainer->config, head, samples, n, &masks,
						&assembled, status) &&
		 network_run(&trainer->network, &run, &result, status);
	if (ok)
	{
		evaluation->loss = result.loss;
		evaluation->labels = result.count;
		evaluation->correct = result.correct;
		evaluation->n_columns = result.n_columns;
		evaluation->row_offsets = arena_alloc_array(arena, n + 1, sizeof(size_t));
		if (evaluation->row_offsets == NULL)
			ok = arena_fail(arena, status, "predictions", (n + 1) * sizeof(size_t));
	}
	if (ok)
	{
		for (size_t i = 0; i <= n; i++)
			evaluation->row_offsets[i] =
				by_tokens ? (size_t) assembled.batch.cu_seqlens[assembled.sequence_offsets[i]]
						  : assembled.sequence_offsets[i];
		if (result.logits != NULL)
			ok = (evaluation->logits = copy_floats(
					  arena, result.logits, result.n_rows * result.n_columns, status)) != NULL;
		if (ok && result.next_sentence_logits != NULL)
			ok = (evaluation->next_sentence_logits =
					  copy_floats(arena, result.next_sentence_logits, 2 * n, status)) != NULL;
	}
	arena_rewind(trainer->arenas.batch, mark);
	return ok;
}

int
trainer_state(Trainer *trainer, StateRange ranges[TRAINER_MAX_RANGES])
{
	size_t frozen = trainer->network.frozen_elements;
	size_t bytes = (trainer->table->elements - frozen) * sizeof(float);
	int n = 0;

	ranges[n++] = (StateRange){"counters", &trainer->counters, sizeof trainer->counters};
	ranges[n++] = (StateRange){"weights", trainer->network.weights + frozen, bytes};
	ranges[n++] = (StateRange){"first moments", trainer->adamw.first, bytes};
	ranges[n++] = (StateRange){"second moments", trainer->adamw.second, bytes};
	if (trainer->adamw.met != NULL)
		ranges[n++] =
			(StateRange){"word rows", trainer->adamw.met, trainer->network.embeddings.vocab};
	return n;
}

bool
trainer_state_restored(Trainer *trainer, Status *status)
{
	const TrainerCounters *counters = &trainer->counters;
	bool ok = counters->magic == STATE_MAGIC && counters->elements == trainer->table->elements &&
			  counters->frozen_elements == trainer->network.frozen_elements && counters->step >= 0;

	if (ok)
		return true;
	trainer->counters = (TrainerCounters){.magic = STATE_MAGIC,
										  .elements = trainer->table->elements,
										  .frozen_elements = trainer->network.frozen_elements};
	return status_fail(status, STATUS_INVALID_DATA, "the checkpoint is not of this training run");
}
