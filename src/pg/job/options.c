/*
 * options.c: one table of options serves parsing, defaults and writing; the bounds are those that
 * the trainer checks (train/options.h).
 */
#include "pg/server/compat.h"

#include <math.h>
#include <unistd.h>

#include "utils/builtins.h"
#include "utils/numeric.h"

#include "core/names.h"
#include "kernels/train_kernels.h"
#include "nn/answers.h"
#include "pg/job/class_weights.h"
#include "pg/job/embedding.h"
#include "pg/server/errors.h"
#include "pg/server/memory.h"
#include "pg/server/settings.h"
#include "train/scores.h"

/* of a teacher's probabilities: common in Hinton et al., "Distilling the Knowledge ..." */
#define DEFAULT_TEMPERATURE 2

typedef enum OptionType
{
	OPTION_REAL,
	OPTION_INT,
	OPTION_INT64,
	OPTION_BOOL,
	OPTION_STRING,
	OPTION_DIMS,
	OPTION_WEIGHTS
} OptionType;

typedef struct Option
{
	const char *name;
	OptionType type;
	size_t offset;
	double initial;   /* out of bounds: not given */
	const char *text; /* initial value of a string */
} Option;

#define OPTION(name, type, initial, text)                               \
	{                                                                   \
#name, OPTION_##type, offsetof(JobOptions, name), initial, text \
	}

/* What numbers may be is in train/options.c. */
static const Option options[] = {
	OPTION(epochs, REAL, 3, NULL),
	OPTION(batch_size, INT, 8, NULL),
	OPTION(gradient_accumulation, INT, 1, NULL),
	OPTION(max_length, INT, 0, NULL),
	OPTION(learning_rate, REAL, 5e-5, NULL),
	OPTION(schedule, STRING, 0, "linear"),
	OPTION(warmup_steps, INT64, -1, NULL),
	OPTION(warmup_ratio, REAL, 0.1, NULL),
	OPTION(num_cycles, REAL, -1, NULL),
	OPTION(power, REAL, 1, NULL),
	OPTION(weight_decay, REAL, 0, NULL),
	OPTION(beta1, REAL, 0.9, NULL),
	OPTION(beta2, REAL, 0.999, NULL),
	OPTION(epsilon, REAL, 1e-8, NULL),
	OPTION(max_grad_norm, REAL, 1, NULL),
	OPTION(correct_bias, BOOL, true, NULL),
	OPTION(dropout, REAL, -1, NULL),
	OPTION(seed, INT64, 42, NULL),
	OPTION(train, STRING, 0, "all"),
	OPTION(freeze_embeddings, BOOL, false, NULL),
	OPTION(frozen_dropout, BOOL, false, NULL),
	OPTION(eval_query, STRING, 0, NULL),
	OPTION(eval_fraction, REAL, 0, NULL),
	OPTION(eval_steps, INT64, 0, NULL),
	OPTION(early_stopping, INT, 0, NULL),
	OPTION(checkpoint_steps, INT64, 0, NULL),
	OPTION(mask_probability, REAL, 0.15, NULL),
	OPTION(whole_word_mask, BOOL, false, NULL),
	OPTION(loss, STRING, 0, NULL),
	OPTION(scale, REAL, -1, NULL),
	OPTION(margin, REAL, -1, NULL),
	OPTION(distance, STRING, 0, NULL),
	OPTION(matryoshka_dims, DIMS, 0, NULL),
	OPTION(label_smoothing, REAL, 0, NULL),
	OPTION(class_weights, WEIGHTS, 0, NULL),
	OPTION(few_shot, BOOL, false, NULL),
	OPTION(few_shot_pairs, INT, 0, NULL),
	OPTION(teacher, STRING, 0, NULL),
	OPTION(temperature, REAL, -1, NULL),
	OPTION(threshold, REAL, SCORES_THRESHOLD, NULL),
	OPTION(threads, INT, 0, NULL),
	OPTION(precision, STRING, 0, "fp32"),
};

static void *
field(JobOptions *out, const Option *option)
{
	return (char *) out + option->offset;
}

static void
set_number(JobOptions *out, const Option *option, double value)
{
	switch (option->type)
	{
		case OPTION_REAL:
			*(double *) field(out, option) = value;
			break;
		case OPTION_INT:
			*(int *) field(out, option) = (int) value;
			break;
		case OPTION_INT64:
			*(int64 *) field(out, option) = (int64) value;
			break;
		case OPTION_BOOL:
			*(bool *) field(out, option) = value != 0;
			break;
		case OPTION_STRING:
		case OPTION_DIMS:
		case OPTION_WEIGHTS:
			break;
	}
}

static void
set_defaults(JobOptions *out)
{
	memset(out, 0, sizeof *out);
	for (size_t i = 0; i < lengthof(options); i++)
		if (options[i].type == OPTION_STRING)
			*(char **) field(out, &options[i]) =
				options[i].text == NULL ? NULL : pstrdup(options[i].text);
		else
			set_number(out, &options[i], options[i].initial);
}

static const Option *
find_option(const char *key, int length)
{
	const char *names[lengthof(options)];
	char *name = pnstrdup(key, length);
	const char *nearest;
	StringInfoData all;
	int i;

	for (i = 0; i < (int) lengthof(options); i++)
		names[i] = options[i].name;
	i = name_find(name, names, lengthof(options));
	if (i >= 0)
		return &options[i];
	nearest = name_nearest(name, names, lengthof(options));
	initStringInfo(&all);
	for (i = 0; i < (int) lengthof(options); i++)
		appendStringInfo(&all, "%s%s", i == 0 ? "" : ", ", names[i]);
	ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("unknown option \"%s\"", name),
					nearest != NULL ? errhint("Perhaps you meant \"%s\".", nearest)
									: errhint("Options are %s.", all.data)));
	return NULL; /* not reached */
}

static void
wrong_type(const Option *option, const char *needed)
{
	ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					errmsg("option \"%s\" must be %s", option->name, needed)));
}

static void
read_number(JobOptions *out, const Option *option, Numeric numeric)
{
	double value;
	bool integer = option->type != OPTION_REAL;
	Status status;

	if (numeric_is_nan(numeric) || numeric_is_inf(numeric))
		wrong_type(option, "a finite number");
	value =
		DatumGetFloat8(DirectFunctionCall1(numeric_float8_no_overflow, NumericGetDatum(numeric)));
	if (integer && value != floor(value))
		wrong_type(option, "a whole number");
	REPORT_UNLESS(option_check(option->name, value, &status), &status);
	set_number(out, option, value);
}

/* Different whole numbers. */
static void
read_dims(JobDims *out, const Option *option, const JsonbValue *value)
{
	JsonbIterator *iterator;
	JsonbIteratorToken token;
	JsonbValue element;

	if (value->type != jbvBinary || !JsonContainerIsArray(value->val.binary.data))
		wrong_type(option, "an array of whole numbers");
	out->n = 0;
	iterator = JsonbIteratorInit(value->val.binary.data);
	while ((token = JsonbIteratorNext(&iterator, &element, true)) != WJB_DONE)
	{
		double number = 0;

		if (token != WJB_ELEM)
			continue;
		if (element.type == jbvNumeric)
			number = DatumGetFloat8(DirectFunctionCall1(numeric_float8_no_overflow,
														NumericGetDatum(element.val.numeric)));
		if (!(number >= 1 && number <= PG_INT32_MAX) || number != floor(number))
			wrong_type(option, "an array of whole numbers, 1 or more");
		if (out->n == EMBEDDING_MAX_DIMS)
			ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
							errmsg("option \"%s\" has more than %d numbers", option->name,
								   EMBEDDING_MAX_DIMS)));
		for (int i = 0; i < out->n; i++)
			if (out->values[i] == (int) number)
				wrong_type(option, "an array of different numbers");
		out->values[out->n++] = (int) number;
	}
	if (out->n == 0)
		wrong_type(option, "an array of at least one number");
}

static void
read_value(JobOptions *out, const Option *option, const JsonbValue *value)
{
	switch (option->type)
	{
		case OPTION_BOOL:
			if (value->type != jbvBool)
				wrong_type(option, "true or false");
			*(bool *) field(out, option) = value->val.boolean;
			break;
		case OPTION_STRING:
			if (value->type != jbvString)
				wrong_type(option, "a string");
			*(char **) field(out, option) = pnstrdup(value->val.string.val, value->val.string.len);
			break;
		case OPTION_DIMS:
			read_dims(field(out, option), option, value);
			break;
		case OPTION_WEIGHTS:
			*(char **) field(out, option) = class_weights_read(value);
			break;
		default:
			if (value->type != jbvNumeric)
				wrong_type(option, "a number");
			read_number(out, option, value->val.numeric);
	}
}

static void
exclude(bool both, const char *first, const char *second)
{
	if (both)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("options \"%s\" and \"%s\" exclude each other", first, second)));
}

static void
check_together(const JobOptions *out, bool warmup_ratio_given)
{
	exclude(out->warmup_steps >= 0 && warmup_ratio_given, "warmup_steps", "warmup_ratio");
	exclude(out->eval_query != NULL && out->eval_fraction > 0, "eval_query", "eval_fraction");
	exclude(out->few_shot && out->teacher != NULL, "few_shot", "teacher");
	exclude(out->few_shot && out->frozen_dropout, "few_shot", "frozen_dropout");
	exclude(out->teacher != NULL && out->class_weights != NULL, "teacher", "class_weights");
	exclude(out->teacher != NULL && out->label_smoothing > 0, "teacher", "label_smoothing");
	if (out->teacher == NULL && out->temperature > 0)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("option \"temperature\" has no effect without a \"teacher\"")));
	if (out->frozen_dropout && strcmp(out->train, "all") == 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("option \"frozen_dropout\" has no effect where all layers are trained"),
				 errhint("Give \"train\" as \"head\" or \"top:N\".")));
	if (!out->few_shot && out->few_shot_pairs > 0)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("option \"few_shot_pairs\" has no effect without \"few_shot\"")));
	if (out->eval_query == NULL && out->eval_fraction == 0 &&
		(out->eval_steps > 0 || out->early_stopping > 0))
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("option \"%s\" needs data to evaluate on",
							   out->eval_steps > 0 ? "eval_steps" : "early_stopping"),
						errhint("Give \"eval_query\" or \"eval_fraction\".")));
}

static int
default_threads(void)
{
	long cores = sysconf(_SC_NPROCESSORS_ONLN);

	return (int) Max(1, Min(cores / 2, COMPUTE_MAX_THREADS));
}

/*
 * Rounded up, as the reference does. A job of one step has no warm-up: its only rate would be 0.
 */
static int64
warmup_of(const JobOptions *in, int64 total_steps)
{
	if (total_steps <= 1)
		return 0;
	return in->warmup_steps >= 0 ? in->warmup_steps
								 : (int64) ceil(in->warmup_ratio * (double) total_steps);
}

void
job_options_train(const JobOptions *in, int64 total_steps, TrainOptions *out)
{
	static const char *const precisions[] = {"fp32", "bf16", "auto"};
	ScheduleKind kind;
	int precision;
	Status status;

	*out = train_options_default(total_steps);
	REPORT_UNLESS(schedule_parse(in->schedule, &kind, &status) &&
					  train_part_parse(in->train, &out->part, &out->top_layers, &status),
				  &status);
	precision = name_parse(in->precision, "precision", precisions, lengthof(precisions), &status);
	REPORT_UNLESS(precision >= 0, &status);
	out->bf16 = precision == 1 || (precision == 2 && train_bf16_is_faster());
	out->schedule = schedule_default(kind, warmup_of(in, total_steps), total_steps);
	out->schedule.num_cycles = in->num_cycles;
	out->schedule.power = in->power;
	out->learning_rate = in->learning_rate;
	out->adamw.beta1 = in->beta1;
	out->adamw.beta2 = in->beta2;
	out->adamw.epsilon = in->epsilon;
	out->adamw.weight_decay = in->weight_decay;
	out->adamw.max_grad_norm = in->max_grad_norm;
	out->adamw.correct_bias = in->correct_bias;
	out->dropout = in->dropout;
	out->seed = (uint64_t) in->seed;
	out->freeze_embeddings = in->freeze_embeddings;
	out->frozen_dropout = in->frozen_dropout;
	out->batch_size = in->batch_size;
	out->gradient_accumulation = in->gradient_accumulation;
	out->threads = in->threads > 0 ? in->threads : default_threads();
	out->mask_probability = in->mask_probability;
	out->whole_word_mask = in->whole_word_mask;
	out->loss.smoothing = in->label_smoothing;
	if (in->teacher != NULL)
		out->loss.temperature = in->temperature > 0 ? in->temperature : DEFAULT_TEMPERATURE;
	out->embedding.loss = job_embedding_loss(in);
	out->activation_bytes = memory_limit();
	out->feature_bytes = out->part == TRAIN_ALL && !in->freeze_embeddings ? 0 : memory_limit();
}

int
job_training_length(const JobOptions *options, TrainTask task, int model_length)
{
	if (options->max_length > 0)
		return options->max_length;
	return task == TRAIN_QUESTION_ANSWERING ? Min(model_length, ANSWER_WINDOW) : model_length;
}

void
job_count_steps(const JobOptions *options, uint64 samples, int64 *steps_per_epoch,
				int64 *total_steps)
{
	uint64 per_step = (uint64) options->batch_size * (uint64) options->gradient_accumulation;

	*steps_per_epoch = (int64) ((samples + per_step - 1) / per_step);
	*total_steps = (int64) ceil(options->epochs * (double) *steps_per_epoch);
}

void
job_options_parse(Jsonb *json, JobOptions *out)
{
	JsonbIterator *iterator = JsonbIteratorInit(&json->root);
	JsonbIteratorToken token;
	JsonbValue value;
	const Option *option = NULL;
	bool warmup_ratio_given = false;
	bool train_given = false;

	set_defaults(out);
	if (!JB_ROOT_IS_OBJECT(json))
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("options must be a JSON object")));
	while ((token = JsonbIteratorNext(&iterator, &value, true)) != WJB_DONE)
	{
		if (token == WJB_KEY)
			option = find_option(value.val.string.val, value.val.string.len);
		else if (token == WJB_VALUE && option != NULL)
		{
			/* null means the default, as an argument left out does */
			if (value.type == jbvNull)
				continue;
			read_value(out, option, &value);
			warmup_ratio_given |= strcmp(option->name, "warmup_ratio") == 0;
			train_given |= strcmp(option->name, "train") == 0;
		}
	}
	/* so few rows teach the encoder no more than their pairs did */
	if (out->few_shot && !train_given)
		out->train = pstrdup("head");
	check_together(out, warmup_ratio_given);
}

/* What the schedules read, one bit for each; the others read all of it. */
static const struct
{
	const char *option;
	unsigned int schedules;
} schedule_options[] = {
	{"num_cycles", 1u << SCHEDULE_COSINE | 1u << SCHEDULE_COSINE_WITH_RESTARTS},
	{"power", 1u << SCHEDULE_POLYNOMIAL},
	{"warmup_steps", ~(1u << SCHEDULE_CONSTANT)},
	{"warmup_ratio", ~(1u << SCHEDULE_CONSTANT)},
};

static const char *const mask_options[] = {"mask_probability", "whole_word_mask"};
static const char *const embedding_options[] = {"loss", "scale", "margin", "distance",
												"matryoshka_dims"};

/* What is for tasks with classes, one bit for each. */
static const struct
{
	const char *option;
	unsigned int tasks;
	const char *hint;
} class_options[] = {
	{"threshold", 1u << TRAIN_SEQUENCE_CLASSIFICATION,
	 "It is for rows with several labels in sequence_classification."},
	{"few_shot", 1u << TRAIN_SEQUENCE_CLASSIFICATION,
	 "It is for the task sequence_classification."},
	{"teacher", 1u << TRAIN_SEQUENCE_CLASSIFICATION | 1u << TRAIN_EMBEDDING,
	 "It is for the tasks sequence_classification and embedding."},
	{"temperature", 1u << TRAIN_SEQUENCE_CLASSIFICATION,
	 "It is for the task sequence_classification with a \"teacher\"."},
	{"class_weights", 1u << TRAIN_SEQUENCE_CLASSIFICATION | 1u << TRAIN_TOKEN_CLASSIFICATION,
	 "It is for the tasks sequence_classification and token_classification."},
	{"label_smoothing",
	 1u << TRAIN_SEQUENCE_CLASSIFICATION | 1u << TRAIN_TOKEN_CLASSIFICATION |
		 1u << TRAIN_MULTIPLE_CHOICE,
	 "It is for the tasks sequence_classification, token_classification and multiple_choice."},
};

/* Given, and neither null, 0 nor false, which ask for nothing. */
static bool
asks_for(Jsonb *given, const char *option)
{
	JsonbValue value;

	if (getKeyJsonValueFromContainer(&given->root, option, (int) strlen(option), &value) == NULL)
		return false;
	if (value.type == jbvNumeric)
		return DatumGetFloat8(DirectFunctionCall1(numeric_float8_no_overflow,
												  NumericGetDatum(value.val.numeric))) != 0;
	return value.type == jbvString || value.type == jbvBinary ||
		   (value.type == jbvBool && value.val.boolean);
}

void
job_options_check_use(Jsonb *given, const JobOptions *options, TrainTask task)
{
	bool masks = task == TRAIN_MASKED_LM || task == TRAIN_PRETRAINING;
	ScheduleKind kind;
	Status status;

	REPORT_UNLESS(schedule_parse(options->schedule, &kind, &status), &status);
	for (size_t i = 0; i < lengthof(schedule_options); i++)
		if ((schedule_options[i].schedules & 1u << kind) == 0 &&
			asks_for(given, schedule_options[i].option))
			ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
							errmsg("option \"%s\" has no effect with the schedule %s",
								   schedule_options[i].option, options->schedule),
							errhint("Leave it out, or choose another schedule.")));
	for (size_t i = 0; i < lengthof(mask_options); i++)
		if (!masks && asks_for(given, mask_options[i]))
			ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
							errmsg("option \"%s\" has no effect on the task %s", mask_options[i],
								   train_task_name(task)),
							errhint("It is for the tasks masked_lm and pretraining.")));
	for (size_t i = 0; i < lengthof(embedding_options); i++)
		if (task != TRAIN_EMBEDDING && asks_for(given, embedding_options[i]))
			ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
							errmsg("option \"%s\" has no effect on the task %s",
								   embedding_options[i], train_task_name(task)),
							errhint("It is for the task embedding.")));
	for (size_t i = 0; i < lengthof(class_options); i++)
		if ((class_options[i].tasks & 1u << task) == 0 && asks_for(given, class_options[i].option))
			ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
							errmsg("option \"%s\" has no effect on the task %s",
								   class_options[i].option, train_task_name(task)),
							errhint("%s", class_options[i].hint)));
}

static void
push_key(JsonbParseState **state, const char *name)
{
	JsonbValue key = {.type = jbvString};

	key.val.string.val = pstrdup(name);
	key.val.string.len = (int) strlen(name);
	pushJsonbValue(state, WJB_KEY, &key);
}

/* False for an option whose value stands for "not given", which could not be read back. */
static bool
is_set(const JobOptions *in, const Option *option)
{
	const void *at = (const char *) in + option->offset;

	if (in->warmup_steps >= 0 && option->offset == offsetof(JobOptions, warmup_ratio))
		return false;
	switch (option->type)
	{
		case OPTION_REAL:
			return option_in_bounds(option_bounds(option->name), *(const double *) at);
		case OPTION_INT:
			return option_in_bounds(option_bounds(option->name), *(const int *) at);
		case OPTION_INT64:
			return option_in_bounds(option_bounds(option->name), (double) *(const int64 *) at);
		case OPTION_STRING:
		case OPTION_WEIGHTS:
			return *(char *const *) at != NULL;
		case OPTION_DIMS:
			return ((const JobDims *) at)->n > 0;
		case OPTION_BOOL:
			break;
	}
	return true;
}

static void
push_dims(JsonbParseState **state, const JobDims *dims)
{
	JsonbValue value = {.type = jbvNumeric};

	pushJsonbValue(state, WJB_BEGIN_ARRAY, NULL);
	for (int i = 0; i < dims->n; i++)
	{
		value.val.numeric = int64_to_numeric(dims->values[i]);
		pushJsonbValue(state, WJB_ELEM, &value);
	}
	pushJsonbValue(state, WJB_END_ARRAY, NULL);
}

Jsonb *
job_options_write(const JobOptions *in)
{
	JsonbParseState *state = NULL;
	JobOptions copy = *in;

	pushJsonbValue(&state, WJB_BEGIN_OBJECT, NULL);
	for (size_t i = 0; i < lengthof(options); i++)
	{
		const Option *option = &options[i];
		void *at = field(&copy, option);
		JsonbValue value = {.type = jbvNumeric};

		if (!is_set(&copy, option))
			continue;
		switch (option->type)
		{
			case OPTION_REAL:
				value.val.numeric = DatumGetNumeric(DirectFunctionCall3(
					numeric_in, DirectFunctionCall1(float8out, Float8GetDatum(*(double *) at)),
					ObjectIdGetDatum(InvalidOid), Int32GetDatum(-1)));
				break;
			case OPTION_INT:
				value.val.numeric = int64_to_numeric(*(int *) at);
				break;
			case OPTION_INT64:
				value.val.numeric = int64_to_numeric(*(int64 *) at);
				break;
			case OPTION_BOOL:
				value.type = jbvBool;
				value.val.boolean = *(bool *) at;
				break;
			case OPTION_STRING:
				value.type = jbvString;
				value.val.string.val = *(char **) at;
				value.val.string.len = (int) strlen(*(char **) at);
				break;
			case OPTION_DIMS:
			case OPTION_WEIGHTS:
				break;
		}
		push_key(&state, option->name);
		if (option->type == OPTION_DIMS)
			push_dims(&state, at);
		else if (option->type == OPTION_WEIGHTS)
			class_weights_write(&state, *(char **) at);
		else
			pushJsonbValue(&state, WJB_VALUE, &value);
	}
	return JsonbValueToJsonb(pushJsonbValue(&state, WJB_END_OBJECT, NULL));
}
