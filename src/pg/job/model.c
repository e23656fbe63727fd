/* model.c: from the base model to a trainer with weights, and from the trainer to a stored model.
 */
#include "pg/server/compat.h"

#include "utils/builtins.h"
#include "miscadmin.h"
#include "utils/memutils.h"

#include "pg/server/settings.h"
#include "nn/loss.h"
#include "nn/splade.h"
#include "pg/job/class_weights.h"
#include "pg/job/embedding.h"
#include "pg/job/few_shot.h"
#include "pg/job/run.h"
#include "pg/server/memory.h"
#include "pg/server/errors.h"
#include "pg/server/role.h"
#include "pg/model/store.h"
#include "train/mean_layer.h"

/* The trainer of this process; its threads must be joined before anything else ends. */
static Trainer *current_trainer;
static Trainer *second_trainer; /* of a phase before; or NULL */

void
job_trainer_begin_second(Trainer *trainer)
{
	second_trainer = trainer;
}

void
job_trainer_end_second(void)
{
	Trainer *trainer = second_trainer;

	second_trainer = NULL;
	trainer_destroy(trainer);
}

void
job_trainer_destroy(void)
{
	Trainer *trainer = current_trainer;

	job_trainer_end_second();
	current_trainer = NULL;
	trainer_destroy(trainer);
}

/*
 * The base by name, as the submitter: existence and privilege are checked again, at a resume too.
 */
static ModelDefinition *
open_base(const JobRun *run)
{
	RoleSwitch role;
	ModelDefinition *base;

	role_become(&role, run->job->who.role, run->job->search_path);
	base = definition_open(run->job->base);
	role_restore(&role);
	return base;
}

void
job_model_open(JobRun *run)
{
	unsigned char *image;
	size_t length;
	Status status;

	run->base = open_base(run);
	definition_read_tokenizer(run->base, run->arena, &run->settings);
	REPORT_UNLESS(tokenizer_compile(run->arena, &run->settings, &image, &length, &status), &status);
	run->tokenizer = tokenizer_open(run->arena, image, length, &status);
	REPORT_UNLESS(run->tokenizer != NULL, &status);
	run->config = run->base->config;
	/* what learns has the family's own head, or none: SetFit's stays the base's */
	run->config.classifies_embedding = false;
	REPORT_UNLESS(
		sentence_settings_drop_classifier(run->base->arena, &run->base->sentence, &status),
		&status);
	if (run->task != TRAIN_EMBEDDING || splade_has_query_weights(&run->config))
		run->config.n_dense = 0; /* nothing trains them: job_model_store adds them again */
	run->model_length =
		sentence_max_length(&run->base->sentence, run->settings.model_max_length, &run->config);
	run->max_length = job_training_length(&run->options, run->task, run->model_length);
}

/* The config of the model to be: the base's with the task's head and labels. */
static void
set_head(JobRun *run)
{
	static const char *const value_label[] = {"LABEL_0"};
	BertConfig *config = &run->config;
	HeadKind head = train_task_head(run->task);
	Status status;

	config->architecture = head;
	config->problem_type = PROBLEM_UNSET;
	config->use_pooler = run->task == TRAIN_EMBEDDING ? tensor_table_has_pooler(&run->base->table)
													  : config_head_uses_pooler(config, head);
	if (head == HEAD_CAUSAL_LM)
		config->is_decoder = true;
	else if ((head == HEAD_MASKED_LM || head == HEAD_PRETRAINING) && !config->add_cross_attention)
		/* a masked word is told from both sides, also by a model that learned from the left */
		config->is_decoder = false;
	if (run->task == TRAIN_REGRESSION)
	{
		if (run->base->table.head != head || config->num_labels != 1)
			REPORT_UNLESS(config_set_labels(run->arena, config, 1, value_label, &status), &status);
		config->problem_type = PROBLEM_REGRESSION;
	}
	if (run->data.n_labels > 0 && run->task != TRAIN_EMBEDDING)
	{
		REPORT_UNLESS(
			config_set_labels(run->arena, config, run->data.n_labels, run->data.labels, &status),
			&status);
		if (run->task == TRAIN_SEQUENCE_CLASSIFICATION)
			config->problem_type = run->data.several ? PROBLEM_MULTI_LABEL : PROBLEM_SINGLE_LABEL;
	}
	REPORT_UNLESS(config_validate(config, &status) &&
					  tensor_table_build(run->arena, config, head, &run->table, &status),
				  &status);
}

/*
 * How many rows of the base's classifier mean the same in the new model, which may have more after
 * them; 0: it is made anew.
 */
static int
kept_classes(const JobRun *run)
{
	const BertConfig *base = &run->base->config;

	if (job_base_head(run->base->table.head, base) != run->table.head ||
		base->num_labels > run->config.num_labels)
		return 0;
	if (run->data.n_labels == 0)
		return base->num_labels == run->config.num_labels ? base->num_labels : 0;
	if (run->task == TRAIN_SEQUENCE_CLASSIFICATION &&
		loss_problem_type(base, true) != run->config.problem_type)
		return 0;
	for (int i = 0; i < base->num_labels; i++)
		if (strcmp(base->id2label[i], run->config.id2label[i]) != 0)
			return 0;
	return base->num_labels;
}

static bool
is_classifier(TensorRole role)
{
	return role == ROLE_CLASSIFIER_WEIGHT || role == ROLE_CLASSIFIER_BIAS;
}

static void
initialize(const JobRun *run, const TensorSpec *tensor)
{
	Status status;

	REPORT_UNLESS(tensor_initialize(tensor, &run->config, (uint64_t) run->options.seed,
									trainer_block(run->trainer, tensor->block) + tensor->offset,
									&backend_may_continue, &status),
				  &status);
}

/*
 * Copies the base's tensor if the new model has one of its name and shape, or one for more classes,
 * of which the base's are the first. False: it has not.
 */
static bool
copy_tensor(const JobRun *run, const TensorSpec *from, const float *floats, int kept,
			const TensorSpec *to)
{
	bool more = is_classifier(from->role) && kept > 0 && kept < run->config.num_labels;

	if (to == NULL || to->rank != from->rank || (is_classifier(to->role) && kept == 0) ||
		(!more && (to->elements != from->elements || to->shape[0] != from->shape[0])) ||
		(more && to->elements / (size_t) run->config.num_labels != from->elements / (size_t) kept))
		return false;
	if (more)
		initialize(run, to);
	memcpy(trainer_block(run->trainer, to->block) + to->offset, floats,
		   from->elements * sizeof *floats);
	return true;
}

/* A tensor of the layer that the base has not. */
static bool
fill_mean_layer(const JobRun *run, const TensorSpec *tensor)
{
	const BlockSpec *block = &run->table.blocks[tensor->block];

	if (run->few_shot_head != FEW_SHOT_MEAN || block->kind != BLOCK_LAYER ||
		block->layer < run->base->config.num_hidden_layers)
		return false;
	mean_layer_fill(tensor, trainer_block(run->trainer, tensor->block) + tensor->offset);
	return true;
}

/*
 * Copies what the base has of a tensor's name and shape; the rest is initialized as the reference
 * does.
 */
static void
fill_weights(JobRun *run)
{
	const TensorTable *table = &run->table;
	int kept = kept_classes(run);
	bool *filled = palloc0((Size) table->n_tensors * sizeof *filled);
	const TensorTable *base_table = &run->base->table;

	for (int b = 0; b < base_table->n_blocks; b++)
	{
		const BlockSpec *block = &base_table->blocks[b];
		float *floats = memory_for_weights(block->elements, true);

		definition_read_block(run->base, b, floats);
		for (int i = block->first_tensor; i < block->first_tensor + block->n_tensors; i++)
		{
			const TensorSpec *from = &base_table->tensors[i];
			const TensorSpec *to = tensor_table_find(table, from->name);

			if (copy_tensor(run, from, floats + from->offset, kept, to))
				filled[to - table->tensors] = true;
		}
		pfree(floats);
		CHECK_FOR_INTERRUPTS();
	}
	for (int i = 0; i < table->n_tensors; i++)
		if (!filled[i] && !fill_mean_layer(run, &table->tensors[i]))
			initialize(run, &table->tensors[i]);
}

/* Few rows: the head that they get may need one more layer. */
static void
add_mean_layer(JobRun *run)
{
	Status status;

	run->few_shot_head = few_shot_head(run, kept_classes(run) > 0);
	if (run->few_shot_head != FEW_SHOT_MEAN)
		return;
	run->config.num_hidden_layers++;
	REPORT_UNLESS(
		config_validate(&run->config, &status) &&
			tensor_table_build(run->arena, &run->config, run->table.head, &run->table, &status),
		&status);
}

void
job_model_train(JobRun *run)
{
	Size limit = memory_limit();
	TrainerArenas arenas = {
		.state = arena_in_context(run->context, 0),
		.batch = arena_in_context(run->context, 0),
		.workspace = arena_in_context(run->context, 0),
		.features = arena_in_context(run->context, limit),
	};
	Status status;

	set_head(run);
	add_mean_layer(run);
	/* weights, gradients, both moments */
	memory_check_weights(run->table.elements * 4, true);
	job_options_train(&run->options, run->total_steps, &run->train_options);
	run->train_options.loss.weights = class_weights_of(run);
	if (run->task == TRAIN_EMBEDDING)
		job_embedding_settings(&run->base->sentence, run->tokenizer, run->max_length,
							   &run->train_options.embedding);
	current_trainer = run->trainer = trainer_create(
		&arenas, &run->config, &run->table, run->tokenizer, &run->train_options, "auto", &status);
	REPORT_UNLESS(run->trainer != NULL, &status);
	fill_weights(run);
}

/* The base's Dense modules, as they are, after the blocks that were trained. */
static void
add_dense(const JobRun *run, ModelDraft *draft, BlockHash *hashes)
{
	BertConfig *config = palloc(sizeof *config);
	TensorTable *table = palloc(sizeof *table);
	Status status;

	*config = run->config;
	REPORT_UNLESS(sentence_settings_put_dense(&run->base->sentence, config, &status) &&
					  tensor_table_build(run->arena, config, run->table.head, table, &status),
				  &status);
	for (int b = run->table.n_blocks; b < table->n_blocks; b++)
	{
		size_t elements = table->blocks[b].elements;
		float *floats = memory_for_weights(elements, true);

		definition_read_block(run->base,
							  definition_find_block(run->base, BLOCK_DENSE, table->blocks[b].layer),
							  floats);
		store_put_block(floats, elements * sizeof *floats, &hashes[b]);
		pfree(floats);
	}
	draft->config = config;
	draft->table = table;
}

int64
job_model_store(JobRun *run, Jsonb *lineage)
{
	const TensorTable *table = &run->table;
	BlockHash *hashes = palloc((Size) (table->n_blocks + DENSE_MAX) * sizeof *hashes);
	ModelDraft draft = {
		.name = run->job->name,
		.source = "trained",
		.table = table,
		.config = &run->config,
		.precision = PRECISION_FP32,
		.sentence = run->base->sentence,
		.blocks = hashes,
		.base = run->base->name,
		.base_version = run->base->version,
		.lineage = lineage,
	};
	Status status;

	store_begin_write();
	for (int b = 0; b < table->n_blocks; b++)
		store_put_block(trainer_block(run->trainer, b), table->blocks[b].elements * sizeof(float),
						&hashes[b]);
	if (run->base->config.n_dense > 0 && run->config.n_dense == 0)
		add_dense(run, &draft, hashes);
	store_put_block(run->settings.vocab, run->settings.vocab_length, &draft.vocab);
	draft.tokenizer = tokenizer_settings_write(run->arena, &run->settings, &status);
	REPORT_UNLESS(draft.tokenizer != NULL, &status);
	return store_put_model(&draft, true);
}
