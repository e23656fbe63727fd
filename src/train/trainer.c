/* trainer.c: steps, evaluation and state. */
#include "train/trainer.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "core/checked.h"
#include "core/rng.h"
#include "train/batches.h"
#include "train/embedding_step.h"
#include "train/features.h"

#define DROPOUT_STREAM UINT64_C(0x64726f70)      /* "drop" */
#define STATE_MAGIC UINT64_C(0x6265727474726e32) /* "berttrn2" */

/* The counters of a checkpoint, with what tells it from another trainer's. */
typedef struct TrainerCounters
{
	uint64_t magic;
	uint64_t elements;
	uint64_t frozen_elements;
	int64_t step;    /* steps done */
	int64_t updates; /* steps that were not skipped */
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

/* True when the head alone is trained, on outputs that are kept, and reads first tokens only. */
static bool
reads_first_rows(const TrainOptions *options, HeadKind head)
{
	return options->part == TRAIN_HEAD && head_is_pooled(head) && !head_has_vocabulary(head);
}

Trainer *
trainer_create(const TrainerArenas *arenas, const BertConfig *config, const TensorTable *table,
			   const Tokenizer *tokenizer, const TrainOptions *options, const char *kernels,
			   Status *status)
{
	const TrainKernels *train_kernels = train_kernels_choose(kernels, status);
	TrainSubject subject = {config, table->head, tokenizer};
	NetworkSetup setup;
	Trainer *trainer;
	float *weights;
	bool first_rows;

	if (train_kernels == NULL || !train_options_validate(options, &subject, status))
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
	first_rows = reads_first_rows(options, table->head);
	setup = (NetworkSetup){.config = config,
						   .table = table,
						   .compute = &trainer->compute,
						   .weights = weights,
						   .part = options->part,
						   .top_layers = options->top_layers,
						   .freeze_embeddings = options->freeze_embeddings,
						   .frozen_dropout = options->frozen_dropout,
						   .dropout = options->dropout,
						   .pooling = &options->embedding.pooling,
						   .normalize = options->embedding.normalize};
	if (!compute_init(&trainer->compute, arenas->state, train_kernels, trainer->pool,
					  network_widest(table), status) ||
		!network_init(&trainer->network, &setup, arenas->state, arenas->workspace, status) ||
		!adamw_init(&trainer->adamw, arenas->state, &trainer->network, &options->adamw, status) ||
		(options->feature_bytes > 0 && trainer->network.dropout_from > 0 &&
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
		(void) tensor_initialize(&trainer->table->tensors[i], trainer->config, seed,
								 trainer_block(trainer, block) + trainer->table->tensors[i].offset,
								 NULL, NULL);
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

int64_t
trainer_updates(const Trainer *trainer)
{
	return trainer->counters.updates;
}

static BatchRequest
batch_request(const Trainer *trainer, bool by_sample, size_t part)
{
	const TrainOptions *options = &trainer->options;
	BatchRequest request = {.config = trainer->config, .head = trainer->table->head};

	request.masks.seed = options->seed;
	request.masks.by_sample = by_sample;
	request.masks.stream =
		(uint64_t) trainer->counters.step * TRAIN_MAX_ACCUMULATION + (uint64_t) part;
	request.masks.options = batch_masking_options(
		trainer->config, trainer->tokenizer, options->mask_probability, options->whole_word_mask);
	return request;
}

/* Some of a step's samples, computed together. */
typedef struct Part
{
	const TrainSample *samples;
	size_t n;
	uint64_t stream; /* of masks and dropout */
	AssembledBatch assembled;
	size_t *skip; /* of embeddings, or NULL */
	bool counts;  /* it has a label that counts */
} Part;

typedef struct Step
{
	size_t n_parts;
	Part *parts;
	LossCounts counts; /* of all parts */
} Step;

static bool
assemble_part(Trainer *trainer, size_t index, Step *step, Status *status)
{
	BatchRequest request = batch_request(trainer, false, index);
	Part *part = &step->parts[index];
	NetworkRun run = {.batch = &part->assembled.batch,
					  .targets = &part->assembled.targets,
					  .loss = &trainer->options.loss};
	LossCall loss = network_loss_call(&trainer->network, &run);
	LossCounts counts = {0};

	part->stream = request.masks.stream;
	if (!batch_assemble(&request, part->samples, part->n, trainer->arenas.batch, &part->assembled,
						status))
		return false;
	if (trainer->table->head == HEAD_NONE)
	{
		part->counts = true;
		step->counts.labels += part->n;
		return batch_unpooled(&part->assembled, trainer->options.embedding.unpooled,
							  trainer->arenas.batch, &part->skip, status);
	}
	if (!loss_count(&loss, &counts, status))
		return false;
	part->counts = !loss_counts_none(&counts);
	step->counts.labels += counts.labels;
	step->counts.ends += counts.ends;
	step->counts.sentences += counts.sentences;
	step->counts.weight += counts.weight;
	return true;
}

/* Samples of the part that begins with the first: of at most per_part, or of the same batch. */
static size_t
part_size(const Trainer *trainer, const TrainSample *samples, size_t n, size_t per_part)
{
	size_t size = 1;

	if (trainer->table->head != HEAD_NONE)
		return n < per_part ? n : per_part;
	while (size < n && size < per_part && samples[size].batch == samples[0].batch)
		size++;
	return size;
}

/* Splits the samples into parts, and counts what the loss of the whole step is a mean over. */
static bool
assemble_step(Trainer *trainer, const TrainSample *samples, size_t n, Step *step, Status *status)
{
	size_t per_part = trainer->options.batch_size > 0 ? (size_t) trainer->options.batch_size : n;
	size_t most = (size_t) trainer->options.gradient_accumulation;

	*step = (Step){0};
	for (size_t i = 0; i < n; step->n_parts++)
		i += part_size(trainer, samples + i, n - i, per_part);
	if (step->n_parts < 1 || step->n_parts > most)
		return status_fail(status, STATUS_INVALID_ARGUMENT,
						   "a step takes 1 to %zu samples, not %zu", per_part * most, n);
	step->parts = arena_alloc_array_zero(trainer->arenas.batch, step->n_parts, sizeof(Part));
	if (step->parts == NULL)
		return arena_fail(trainer->arenas.batch, status, "a step", step->n_parts * sizeof(Part));
	for (size_t i = 0; i < step->n_parts; i++)
	{
		step->parts[i].samples = samples;
		step->parts[i].n = part_size(trainer, samples, n, per_part);
		samples += step->parts[i].n;
		n -= step->parts[i].n;
		if (!assemble_part(trainer, i, step, status))
			return false;
	}
	return true;
}

/* The frozen layers' outputs for the part, kept or computed. */
static bool
take_features(Trainer *trainer, const Part *part, NetworkRun *run, Status *status)
{
	size_t tokens = (size_t) run->batch->cu_seqlens[run->batch->n_sequences];
	size_t columns = (size_t) trainer->config->hidden_size;
	float *hidden;

	run->first_rows_only = reads_first_rows(&trainer->options, trainer->table->head);
	hidden = arena_alloc_array(trainer->arenas.batch,
							   (run->first_rows_only ? run->batch->n_sequences : tokens) * columns,
							   sizeof(float));
	if (hidden == NULL)
		return arena_fail(trainer->arenas.batch, status, "features",
						  tokens * columns * sizeof(float));
	run->start_hidden = hidden;
	return features_fill(trainer->features, part->samples, part->n, &part->assembled, hidden,
						 run->question, status);
}

/* A part of embeddings: each has a loss of its own, whose mean is the step's. */
static bool
run_embeddings(Trainer *trainer, const Step *step, const Part *part, const NetworkRun *given,
			   StepResult *result, Status *status)
{
	NetworkRun run = *given;
	EmbeddingExamples examples = batch_examples(&part->assembled);
	EmbeddingRun embedding = {.skip = part->skip,
							  .loss = &trainer->options.embedding.loss,
							  .examples = &examples,
							  .weight = 1 / (double) step->n_parts,
							  .arena = trainer->arenas.batch};
	HeadResult head;
	size_t pieces;

	run.embedding = &embedding;
	if (!train_embedding_step(&trainer->network, &run, trainer->options.activation_bytes, &head,
							  &pieces, status))
		return false;
	result->recomputed |= pieces > 1;
	result->loss += head.loss * embedding.weight;
	result->tokens += (size_t) run.batch->cu_seqlens[run.batch->n_sequences];
	return true;
}

/* Adds the gradients of one part, and its share of the loss. */
static bool
run_part(Trainer *trainer, const Step *step, const Part *part, StepResult *result,
		 const MayContinue *question, Status *status)
{
	const TrainOptions *options = &trainer->options;
	NetworkRun run = {.batch = &part->assembled.batch,
					  .targets = &part->assembled.targets,
					  .counts = &step->counts,
					  .loss = &trainer->options.loss,
					  .training = true,
					  .backward = true,
					  .question = question};
	uint32_t random[4];
	HeadResult head;

	philox4x32(options->seed, DROPOUT_STREAM, part->stream, random);
	run.seed = (uint64_t) random[0] << 32 | random[1];
	if (trainer->features != NULL && !take_features(trainer, part, &run, status))
		return false;
	if (trainer->table->head == HEAD_NONE)
		return run_embeddings(trainer, step, part, &run, result, status);
	if (options->activation_bytes > 0)
	{
		size_t bytes;

		if (!network_memory(&trainer->network, &run, &bytes, status))
			return false;
		run.recompute = bytes > options->activation_bytes;
		result->recomputed |= run.recompute;
	}
	if (!network_run(&trainer->network, &run, &head, status))
		return false;
	result->loss += head.loss;
	result->tokens += (size_t) run.batch->cu_seqlens[run.batch->n_sequences];
	return true;
}

/* The update, once all gradients are there. */
static bool
finish_step(Trainer *trainer, StepResult *result, Status *status)
{
	result->grad_norm = adamw_grad_norm(&trainer->adamw);
	if (!isfinite(result->loss) || !isfinite(result->grad_norm))
	{
		status_fail(status, STATUS_INVALID_DATA, "the loss is not a number at step %lld",
					(long long) trainer->counters.step + 1);
		return status_hint(status, "Use a smaller learning rate or gradient clipping.");
	}
	trainer->counters.updates++;
	adamw_step(&trainer->adamw, trainer->counters.updates, result->learning_rate,
			   result->grad_norm);
	return true;
}

bool
trainer_step(Trainer *trainer, const TrainSample *samples, size_t n, StepResult *result,
			 const MayContinue *question, Status *status)
{
	Arena *arena = trainer->arenas.batch;
	ArenaMark start = arena_mark(arena);
	Step step;
	bool ok;

	memset(result, 0, sizeof *result);
	result->learning_rate = schedule_rate(&trainer->options.schedule, trainer->counters.step,
										  trainer->options.learning_rate);
	ok = assemble_step(trainer, samples, n, &step, status);
	if (ok && loss_counts_none(&step.counts))
	{
		result->skipped = true;
		result->loss = result->grad_norm = NAN;
	}
	else if (ok)
	{
		network_begin_step(&trainer->network);
		for (size_t i = 0; ok && i < step.n_parts; i++)
		{
			ArenaMark mark = arena_mark(arena);

			ok = !step.parts[i].counts ||
				 run_part(trainer, &step, &step.parts[i], result, question, status);
			arena_rewind(arena, mark);
		}
		ok = ok && finish_step(trainer, result, status);
	}
	if (ok)
		trainer->counters.step++;
	arena_rewind(arena, start);
	return ok;
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

static bool
copy_result(const Trainer *trainer, const AssembledBatch *assembled, const HeadResult *result,
			Arena *arena, Evaluation *evaluation, Status *status)
{
	evaluation->loss = result->loss;
	evaluation->labels = result->count;
	evaluation->correct = result->correct;
	evaluation->n_columns = result->n_columns;
	if (!batch_row_offsets(assembled, trainer->table->head, arena, &evaluation->row_offsets,
						   status))
		return false;
	if (result->logits != NULL &&
		(evaluation->logits = copy_floats(arena, result->logits, result->n_rows * result->n_columns,
										  status)) == NULL)
		return false;
	return result->next_sentence_logits == NULL ||
		   (evaluation->next_sentence_logits =
				copy_floats(arena, result->next_sentence_logits, 2 * assembled->targets.n_examples,
							status)) != NULL;
}

bool
trainer_evaluate(Trainer *trainer, const TrainSample *samples, size_t n, Arena *arena,
				 Evaluation *evaluation, const MayContinue *question, Status *status)
{
	ArenaMark mark = arena_mark(trainer->arenas.batch);
	BatchRequest request = batch_request(trainer, true, 0);
	AssembledBatch assembled;
	EmbeddingRun embedding = {0};
	NetworkRun run = {.batch = &assembled.batch,
					  .targets = &assembled.targets,
					  .embedding = &embedding,
					  .question = question};
	HeadResult result;
	size_t *skip = NULL;
	bool ok;

	memset(evaluation, 0, sizeof *evaluation);
	ok = batch_assemble(&request, samples, n, trainer->arenas.batch, &assembled, status) &&
		 (request.head != HEAD_NONE ||
		  batch_unpooled(&assembled, trainer->options.embedding.unpooled, trainer->arenas.batch,
						 &skip, status));
	embedding.skip = skip;
	ok = ok && network_run(&trainer->network, &run, &result, status) &&
		 copy_result(trainer, &assembled, &result, arena, evaluation, status);
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
			  counters->frozen_elements == trainer->network.frozen_elements &&
			  counters->step >= 0 && counters->updates >= 0 && counters->updates <= counters->step;

	if (ok)
		return true;
	trainer->counters = (TrainerCounters){.magic = STATE_MAGIC,
										  .elements = trainer->table->elements,
										  .frozen_elements = trainer->network.frozen_elements};
	return status_fail(status, STATUS_INVALID_DATA, "the checkpoint is not of this training run");
}
