/* options.c: defaults, bounds, and what must fit together. */
#include "train/options.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "files/sentence.h"

#define MAX_SAFE_INTEGER 9007199254740991.0 /* 2^53 - 1: exact in a double */

static const OptionBounds bounds[] = {
	{"epochs", 0, 10000, true, false},
	{"batch_size", 1, 65536, false, false},
	{"gradient_accumulation", 1, TRAIN_MAX_ACCUMULATION, false, false},
	{"max_length", 3, CONFIG_MAX_POSITIONS, false, false},
	{"learning_rate", 0, 10, true, false},
	{"warmup_steps", 0, 1e12, false, false},
	{"warmup_ratio", 0, 1, false, false},
	{"num_cycles", 0, 1e6, true, false},
	{"power", 0, 100, true, false},
	{"weight_decay", 0, 10, false, false},
	{"beta1", 0, 1, false, true},
	{"beta2", 0, 1, false, true},
	{"epsilon", 0, 1, true, false},
	{"max_grad_norm", 0, 1e9, false, false},
	{"dropout", 0, 1, false, true},
	{"seed", 0, MAX_SAFE_INTEGER, false, false},
	{"eval_fraction", 0, 1, true, true},
	{"eval_steps", 1, 1e12, false, false},
	{"early_stopping", 1, 1000000, false, false},
	{"checkpoint_steps", 1, 1e12, false, false},
	{"mask_probability", 0, 1, true, true},
	{"few_shot_pairs", 1, 1000, false, false},
	{"scale", 0, 1e6, true, false},
	{"margin", 0, 1e6, false, false},
	{"label_smoothing", 0, 1, false, true},
	{"temperature", 0, 100, true, false},
	{"threshold", 0, 1, true, true},
	{"threads", 1, COMPUTE_MAX_THREADS, false, false},
};

TrainOptions
train_options_default(int64_t total_steps)
{
	TrainOptions options = {.learning_rate = 5e-5,
							.adamw = adamw_default(),
							.dropout = -1,
							.part = TRAIN_ALL,
							.gradient_accumulation = 1,
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
		status_fail(status, STATUS_INVALID_ARGUMENT, "option \"train\" cannot be \"%s\"", text);
		return status_hint(status, "It is \"all\", \"head\" or \"top:N\" with the number of layers "
								   "next to the head.");
	}
	return true;
}

const OptionBounds *
option_bounds(const char *name)
{
	for (size_t i = 0; i < sizeof bounds / sizeof bounds[0]; i++)
		if (strcmp(bounds[i].name, name) == 0)
			return &bounds[i];
	return NULL;
}

bool
option_in_bounds(const OptionBounds *b, double value)
{
	return (b->above_minimum ? value > b->minimum : value >= b->minimum) &&
		   (b->below_maximum ? value < b->maximum : value <= b->maximum);
}

bool
option_check(const char *name, double value, Status *status)
{
	const OptionBounds *b = option_bounds(name);

	if (b == NULL)
		return status_fail(status, STATUS_INTERNAL, "option \"%s\" has no bounds", name);
	if (option_in_bounds(b, value))
		return true;
	status_fail(status, STATUS_INVALID_ARGUMENT, "option \"%s\" is out of range: %g", name, value);
	return status_hint(status, "It must be %s %g and %s %g.",
					   b->above_minimum ? "greater than" : "at least", b->minimum,
					   b->below_maximum ? "less than" : "at most", b->maximum);
}

static bool
check_numbers(const TrainOptions *options, Status *status)
{
	const AdamwOptions *adamw = &options->adamw;

	return option_check("learning_rate", options->learning_rate, status) &&
		   option_check("weight_decay", adamw->weight_decay, status) &&
		   option_check("beta1", adamw->beta1, status) &&
		   option_check("beta2", adamw->beta2, status) &&
		   option_check("epsilon", adamw->epsilon, status) &&
		   option_check("max_grad_norm", adamw->max_grad_norm, status) &&
		   (options->dropout < 0 || option_check("dropout", options->dropout, status)) &&
		   (options->batch_size == 0 || option_check("batch_size", options->batch_size, status)) &&
		   option_check("gradient_accumulation", options->gradient_accumulation, status) &&
		   option_check("threads", options->threads, status) &&
		   option_check("label_smoothing", options->loss.smoothing, status) &&
		   schedule_validate(&options->schedule, options->learning_rate, status);
}

EmbeddingPrompt
embedding_prompt(EmbeddingShape shape, size_t place)
{
	return shape != EMBEDDING_PAIRS ? EMBEDDING_PROMPT_DEFAULT
		   : place == 0             ? EMBEDDING_PROMPT_QUERY
									: EMBEDDING_PROMPT_DOCUMENT;
}

/* What is said of a model without a head. */
static bool
check_embedding(const TrainOptions *options, const BertConfig *config, Status *status)
{
	const EmbeddingLoss *loss = &options->embedding.loss;
	int columns = sentence_dimensions(config, &options->embedding.pooling);

	if (options->embedding.pooling.n == 0)
		return status_fail(status, STATUS_INVALID_ARGUMENT,
						   "a model without a head cannot be trained");
	if (options->part == TRAIN_HEAD && config->n_dense == 0)
	{
		status_fail(status, STATUS_INVALID_ARGUMENT,
					"option \"train\" is \"head\", but embeddings of this model have none");
		return status_hint(status, "Train \"all\" or \"top:N\".");
	}
	for (int i = 0; i < loss->n_dims; i++)
		if (loss->dims[i] < 1 || loss->dims[i] > columns)
			return status_fail(status, STATUS_INVALID_ARGUMENT,
							   "option \"matryoshka_dims\" has %d, but the model's embeddings have "
							   "%d numbers",
							   loss->dims[i], columns);
	return ((embedding_loss_uses(loss->kind) & LOSS_USES_SCALE) == 0 ||
			option_check("scale", loss->scale, status)) &&
		   ((embedding_loss_uses(loss->kind) & LOSS_USES_MARGIN) == 0 ||
			option_check("margin", loss->margin, status));
}

bool
train_options_validate(const TrainOptions *options, const TrainSubject *subject, Status *status)
{
	int layers = subject->config->num_hidden_layers;

	if (!check_numbers(options, status) ||
		(subject->head == HEAD_NONE && !check_embedding(options, subject->config, status)))
		return false;
	if (options->part == TRAIN_TOP && (options->top_layers < 1 || options->top_layers > layers))
		return status_fail(status, STATUS_INVALID_ARGUMENT,
						   "option \"train\" is \"top:%d\", but the model has %d layers",
						   options->top_layers, layers);
	if (subject->head != HEAD_MASKED_LM && subject->head != HEAD_PRETRAINING)
		return true;
	if (subject->tokenizer == NULL || tokenizer_mask_id(subject->tokenizer) < 0 ||
		tokenizer_mask_id(subject->tokenizer) >= subject->config->vocab_size)
		return status_fail(status, STATUS_INVALID_ARGUMENT,
						   "the vocabulary has no [MASK] token, which the task %s needs",
						   head_kind_name(subject->head));
	return option_check("mask_probability", options->mask_probability, status);
}
