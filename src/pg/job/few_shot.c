/* few_shot.c: pairs of rows, what the encoder learns from them, and a head that fits them. */
#include "pg/server/compat.h"

#include "access/xact.h"
#include "miscadmin.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "core/rng.h"
#include "nn/tensor_table.h"
#include "pg/job/embedding.h"
#include "pg/job/few_shot.h"
#include "pg/server/errors.h"
#include "pg/server/memory.h"
#include "train/logistic.h"
#include "train/mean_layer.h"

#define FEW_STREAM UINT64_C(0x6665770000000000) /* "few" */
/* SetFit's: pairs of each kind for each row, pairs of a step, the rate of the encoder */
#define PAIRS_A_ROW 20
#define PAIRS_A_STEP 16
#define PROGRESS_MS 1000
#define LEARNING_RATE 2e-5
#define WEIGHT_DECAY 0.01
/*
 * scikit-learn's C: SetFit's is 1, with which many classes are told badly; with more of it few
 * classes are, but for two, which only have one boundary.
 */
#define LEAST_STRENGTH 0.5
#define MOST_STRENGTH 64.0
#define STRENGTH_OF_TWO 16.0
#define HEAD_CENTERS 3.0 /* see LogisticCall */
/* The head's own dense layer passes states through the nearly straight part of its activation. */
#define STATE_SCALE 0.25f
#define STATE_SHIFT 2.0f /* of activations that have none about 0 */

typedef struct RowPair
{
	uint32 a;
	uint32 b;
} RowPair;

typedef struct FewShot
{
	JobRun *run;
	Arena *arena; /* of rows and pairs */
	uint32 n_rows;
	Sample *rows; /* (n_rows) */
	size_t n_pairs;
	RowPair *pairs; /* (n_pairs) */
	BertConfig config;
	TensorTable table; /* of the encoder alone */
	TrainOptions options;
	Trainer *trainer;
} FewShot;

static void *
take(Arena *arena, size_t n, size_t size)
{
	void *memory = arena_alloc_array(arena, n, size);

	if (memory == NULL)
		ereport(ERROR, (errcode(ERRCODE_OUT_OF_MEMORY), errmsg("out of memory")));
	return memory;
}

static void
read_rows(FewShot *few)
{
	Status status;

	few->n_rows = (uint32) few->run->n_train;
	few->rows = take(few->arena, few->n_rows, sizeof *few->rows);
	for (uint32 i = 0; i < few->n_rows; i++)
		REPORT_UNLESS(spill_read(few->run->data.train, i, few->arena, &few->rows[i], &status),
					  &status);
}

/*
 * Pairs of row a and others of the same class, or of other classes, if there are any: each other
 * row as often as the next, but for one. partners: room for all rows.
 */
static void
add_pairs(FewShot *few, Rng *rng, uint32 a, bool same, int n, uint32 *partners)
{
	uint32 there = 0;

	for (uint32 i = 0; i < few->n_rows; i++)
		if (i != a && (few->rows[i].labels[0] == few->rows[a].labels[0]) == same)
			partners[there++] = i;
	for (int k = 0; k < n && there > 0; k++)
	{
		uint32 at = (uint32) k % there;
		uint32 chosen = at + (uint32) rng_below(rng, there - at);
		uint32 partner = partners[chosen];

		partners[chosen] = partners[at];
		partners[at] = partner;
		few->pairs[few->n_pairs++] = (RowPair){a, partner};
	}
}

/* As many pairs of one class as of two, in random order. */
static void
make_pairs(FewShot *few)
{
	int given = few->run->options.few_shot_pairs;
	int of_each = given > 0 ? given : PAIRS_A_ROW;
	uint32 *partners;
	Rng rng;

	rng_init(&rng, (uint64_t) few->run->options.seed, FEW_STREAM);
	few->pairs = take(few->arena, (size_t) few->n_rows * 2 * (size_t) of_each, sizeof *few->pairs);
	partners = take(few->arena, few->n_rows, sizeof *partners);
	for (uint32 a = 0; a < few->n_rows; a++)
	{
		CHECK_FOR_INTERRUPTS();
		add_pairs(few, &rng, a, true, of_each, partners);
		add_pairs(few, &rng, a, false, of_each, partners);
	}
	for (size_t i = few->n_pairs; i > 1; i--)
	{
		size_t j = (size_t) rng_below(&rng, i);
		RowPair pair = few->pairs[i - 1];

		few->pairs[i - 1] = few->pairs[j];
		few->pairs[j] = pair;
	}
}

/* Both texts of a pair as one sample, whose score is 1 for texts of one class. */
static void
join_pair(const FewShot *few, const RowPair *pair, Arena *arena, Sample *out)
{
	const Sample *sides[2] = {&few->rows[pair->a], &few->rows[pair->b]};
	size_t at = 0;

	memset(out, 0, sizeof *out);
	out->n_sequences = 2;
	out->n_tokens = sides[0]->n_tokens + sides[1]->n_tokens;
	out->n_values = 1;
	out->lengths = take(arena, 2, sizeof *out->lengths);
	out->input_ids = take(arena, out->n_tokens, sizeof *out->input_ids);
	out->token_type_ids = take(arena, out->n_tokens, sizeof *out->token_type_ids);
	out->values = take(arena, 1, sizeof *out->values);
	out->values[0] = sides[0]->labels[0] == sides[1]->labels[0] ? 1 : 0;
	for (int s = 0; s < 2; s++)
	{
		out->lengths[s] = sides[s]->n_tokens;
		memcpy(out->input_ids + at, sides[s]->input_ids,
			   sides[s]->n_tokens * sizeof *out->input_ids);
		memcpy(out->token_type_ids + at, sides[s]->token_type_ids, sides[s]->n_tokens);
		at += sides[s]->n_tokens;
	}
}

/* Weights of the tensors that both have, from one trainer to the other. */
static void
copy_weights(Trainer *from, const TensorTable *from_table, Trainer *to, const TensorTable *to_table)
{
	for (int i = 0; i < from_table->n_tensors; i++)
	{
		const TensorSpec *source = &from_table->tensors[i];
		const TensorSpec *target = tensor_table_find(to_table, source->name);

		if (target != NULL && target->elements == source->elements)
			memcpy(trainer_block(to, target->block) + target->offset,
				   trainer_block(from, source->block) + source->offset,
				   source->elements * sizeof(float));
	}
}

static void
open_trainer(FewShot *few)
{
	JobRun *run = few->run;
	int64 steps = (int64) ((few->n_pairs + PAIRS_A_STEP - 1) / PAIRS_A_STEP);
	TrainerArenas arenas = {.state = arena_in_context(CurrentMemoryContext, 0),
							.batch = arena_in_context(CurrentMemoryContext, 0),
							.workspace = arena_in_context(CurrentMemoryContext, 0),
							.features = arena_in_context(CurrentMemoryContext, 0)};
	Status status;

	few->config = run->config;
	few->config.architecture = HEAD_NONE;
	few->config.num_hidden_layers = run->base->config.num_hidden_layers;
	few->config.use_pooler = pooling_modes_have(&run->base->sentence.pooling, POOLING_POOLER);
	REPORT_UNLESS(tensor_table_build(few->arena, &few->config, HEAD_NONE, &few->table, &status),
				  &status);
	memory_check_weights((few->table.elements + run->table.elements) * 4, true);
	job_options_train(&run->options, steps, &few->options);
	few->options.part = TRAIN_ALL;
	few->options.learning_rate = LEARNING_RATE;
	few->options.adamw.weight_decay = WEIGHT_DECAY;
	few->options.schedule = schedule_default(SCHEDULE_LINEAR, (steps + 9) / 10, steps);
	few->options.batch_size = PAIRS_A_STEP;
	few->options.gradient_accumulation = 1;
	few->options.loss = (LossSettings){0};
	job_embedding_settings(&run->base->sentence, run->tokenizer, run->max_length,
						   &few->options.embedding);
	few->options.embedding.loss = embedding_loss_default(LOSS_COSINE_SIMILARITY);
	if (run->few_shot_head == FEW_SHOT_FIRST)
		few->options.embedding.pooling = pooling_single(POOLING_CLS);
	if (run->few_shot_head != FEW_SHOT_PLAIN) /* the head's states have any length */
		few->options.embedding.normalize = false;
	few->trainer = trainer_create(&arenas, &few->config, &few->table, run->tokenizer, &few->options,
								  "auto", &status);
	REPORT_UNLESS(few->trainer != NULL, &status);
	job_trainer_begin_second(few->trainer);
	copy_weights(run->trainer, &run->table, few->trainer, &few->table);
}

/* Once in a while, how far it is. */
static void
tell_progress(const FewShot *few, size_t done, TimestampTz *told)
{
	MemoryContext caller = CurrentMemoryContext;
	TimestampTz now = GetCurrentTimestamp();

	if (!TimestampDifferenceExceeds(*told, now, PROGRESS_MS))
		return;
	job_run_set_phase(few->run, psprintf("learning to tell classes apart, step %zu of %zu",
										 done / PAIRS_A_STEP + 1,
										 (few->n_pairs + PAIRS_A_STEP - 1) / PAIRS_A_STEP));
	MemoryContextSwitchTo(caller);
	*told = now;
}

static void
learn_pairs(FewShot *few)
{
	TimestampTz told = GetCurrentTimestamp();

	for (size_t first = 0; first < few->n_pairs; first += PAIRS_A_STEP)
	{
		ArenaMark mark = arena_mark(few->arena);
		size_t n = Min(PAIRS_A_STEP, few->n_pairs - first);
		Sample bodies[PAIRS_A_STEP];
		TrainSample samples[PAIRS_A_STEP];
		StepResult result;
		Status status;

		for (size_t i = 0; i < n; i++)
		{
			join_pair(few, &few->pairs[first + i], few->arena, &bodies[i]);
			samples[i] = (TrainSample){&bodies[i], first + i, 0};
		}
		REPORT_UNLESS(
			trainer_step(few->trainer, samples, n, &result, &worker_may_continue, &status),
			&status);
		arena_rewind(few->arena, mark);
		CHECK_FOR_INTERRUPTS();
		tell_progress(few, first, &told);
	}
}

/* --- The head --- */

static float *
tensor_of(JobRun *run, TensorRole role)
{
	const TensorSpec *tensor = tensor_table_role(&run->table, role, -1);

	return tensor == NULL ? NULL : trainer_block(run->trainer, tensor->block) + tensor->offset;
}

static Activation
head_dense_activation(const JobRun *run)
{
	HeadKind head = HEAD_SEQUENCE_CLASSIFICATION;
	Activation activation = ACTIVATION_TANH; /* a pooler's */
	Status status;

	if (run->config.family->heads[head].reads != READS_POOLER)
		REPORT_UNLESS(head_activation(&run->config, head, &activation, &status), &status);
	return activation;
}

/* The head's dense layer passes its input on; returns what is added to each number of it. */
static float
open_dense(JobRun *run, Activation activation)
{
	size_t hidden = (size_t) run->config.hidden_size;
	float *weight = tensor_of(run, ROLE_POOLER_WEIGHT);
	float *bias = tensor_of(run, ROLE_POOLER_BIAS);
	float shift = activation == ACTIVATION_TANH || activation == ACTIVATION_NONE ? 0 : STATE_SHIFT;

	if (weight == NULL)
	{
		weight = tensor_of(run, ROLE_PROJECTION_WEIGHT);
		bias = tensor_of(run, ROLE_PROJECTION_BIAS);
	}
	memset(weight, 0, hidden * hidden * sizeof *weight);
	for (size_t i = 0; i < hidden; i++)
	{
		weight[i * hidden + i] = STATE_SCALE;
		bias[i] = shift;
	}
	return shift;
}

/* What the classifier sees of a text whose embedding is given, which is overwritten. */
static void
pass_dense(const JobRun *run, const TrainKernels *kernels, float shift, const float *embedding,
		   float *out)
{
	size_t hidden = (size_t) run->config.hidden_size;
	float *state = palloc(hidden * sizeof *state);

	if (run->few_shot_head == FEW_SHOT_MEAN)
		mean_layer_state(hidden, run->config.layer_norm_eps, embedding, state);
	else
		memcpy(state, embedding, hidden * sizeof *state);
	for (size_t i = 0; i < hidden; i++)
		state[i] = state[i] * STATE_SCALE + shift;
	kernels->activation_forward(head_dense_activation(run), hidden, state, out);
	pfree(state);
}

/* (rows, hidden) */
static float *
head_states(FewShot *few, const TrainKernels *kernels, float shift)
{
	size_t hidden = (size_t) few->config.hidden_size;
	float *states = take(few->arena, few->n_rows, hidden * sizeof *states);

	for (uint32 i = 0; i < few->n_rows; i++)
	{
		ArenaMark mark = arena_mark(few->arena);
		int32_t keys[3] = {0}; /* as a text of the task embedding has them */
		Sample text = few->rows[i];
		TrainSample sample = {&text, i, 0};
		Evaluation evaluation;
		Status status;

		text.n_labels = lengthof(keys);
		text.labels = keys;
		REPORT_UNLESS(trainer_evaluate(few->trainer, &sample, 1, few->arena, &evaluation,
									   &worker_may_continue, &status),
					  &status);
		pass_dense(few->run, kernels, shift, evaluation.logits, states + i * hidden);
		arena_rewind(few->arena, mark);
		CHECK_FOR_INTERRUPTS();
	}
	return states;
}

static double
head_strength(int classes)
{
	if (classes == 2)
		return STRENGTH_OF_TWO;
	return Max(LEAST_STRENGTH, Min(MOST_STRENGTH, (double) classes * classes / 32));
}

/* SetFit's second phase: a logistic regression, in the head's own layers. */
static void
fit_head(FewShot *few)
{
	JobRun *run = few->run;
	uint32 *labels = take(few->arena, few->n_rows, sizeof *labels);
	LogisticCall call = {.n = few->n_rows,
						 .columns = (size_t) run->config.hidden_size,
						 .classes = (size_t) run->config.num_labels,
						 .labels = labels,
						 .weights = run->train_options.loss.weights,
						 .strength = head_strength(run->config.num_labels),
						 .centers = HEAD_CENTERS,
						 .weight = tensor_of(run, ROLE_CLASSIFIER_WEIGHT),
						 .bias = tensor_of(run, ROLE_CLASSIFIER_BIAS)};
	float shift = open_dense(run, head_dense_activation(run));
	Status status;

	call.kernels = train_kernels_choose("auto", &status);
	REPORT_UNLESS(call.kernels != NULL, &status);
	for (uint32 i = 0; i < few->n_rows; i++)
		labels[i] = (uint32) few->rows[i].labels[0];
	call.rows = head_states(few, call.kernels, shift);
	REPORT_UNLESS(logistic_fit(&call, few->arena, &worker_may_continue, &status), &status);
}

FewShotHead
few_shot_head(const JobRun *run, bool kept)
{
	const HeadShape *shape = &run->config.family->heads[HEAD_SEQUENCE_CLASSIFICATION];
	const PoolingModes *pooling = &run->base->sentence.pooling;

	if (!run->options.few_shot || kept || run->config.is_decoder ||
		(shape->reads != READS_POOLER && shape->projection == NULL))
		return FEW_SHOT_PLAIN;
	return pooling->n == 1 && pooling->modes[0] == POOLING_MEAN && mean_layer_fits(&run->config)
			   ? FEW_SHOT_MEAN
			   : FEW_SHOT_FIRST;
}

void
few_shot_run(JobRun *run)
{
	MemoryContext context =
		AllocSetContextCreate(run->context, "bert few shot", ALLOCSET_DEFAULT_SIZES);
	MemoryContext caller = MemoryContextSwitchTo(context);
	FewShot few = {.run = run, .arena = arena_in_context(context, 0)};

	read_rows(&few);
	make_pairs(&few);
	open_trainer(&few);
	learn_pairs(&few);
	copy_weights(few.trainer, &few.table, run->trainer, &run->table);
	if (run->few_shot_head != FEW_SHOT_PLAIN)
		fit_head(&few);
	job_trainer_end_second();
	MemoryContextSwitchTo(caller);
	MemoryContextDelete(context);
}
