/* options.c: one table of options serves parsing, defaults, bounds and writing. */
#include "pg/server/compat.h"

#include <math.h>

#include "utils/builtins.h"
#include "utils/numeric.h"

#include "core/names.h"
#include "files/config.h"
#include "kernels/kernels.h"
#include "pg/job/options.h"
#include "pg/server/errors.h"

typedef enum OptionType
{
	OPTION_REAL,
	OPTION_INT,
	OPTION_INT64,
	OPTION_BOOL,
	OPTION_STRING
} OptionType;

typedef struct Option
{
	const char *name;
	OptionType type;
	size_t offset;
	double initial;
	double minimum;
	double maximum;
	bool minimum_allowed; /* for reals: the interval is closed below */
	const char *text;     /* initial value of a string */
} Option;

#define REAL(name, initial, minimum, maximum, closed)                                           \
	{                                                                                           \
#name, OPTION_REAL, offsetof(JobOptions, name), initial, minimum, maximum, closed, NULL \
	}
#define INTEGER(name, initial, minimum, maximum)                                             \
	{                                                                                        \
#name, OPTION_INT, offsetof(JobOptions, name), initial, minimum, maximum, true, NULL \
	}
#define BIGINT(name, initial, minimum, maximum)                                                \
	{                                                                                          \
#name, OPTION_INT64, offsetof(JobOptions, name), initial, minimum, maximum, true, NULL \
	}
#define BOOLEAN(name, initial)                                                    \
	{                                                                             \
#name, OPTION_BOOL, offsetof(JobOptions, name), initial, 0, 1, true, NULL \
	}
#define STRING(name, initial)                                                    \
	{                                                                            \
#name, OPTION_STRING, offsetof(JobOptions, name), 0, 0, 0, true, initial \
	}

#define MAX_SAFE_INTEGER 9007199254740991.0 /* 2^53 - 1: exact in a double */

static const Option options[] = {
	REAL(epochs, 3, 0, 10000, false),
	INTEGER(batch_size, 8, 1, 65536),
	INTEGER(max_length, 0, 3, CONFIG_MAX_POSITIONS),
	REAL(learning_rate, 5e-5, 0, 10, false),
	STRING(schedule, "linear"),
	BIGINT(warmup_steps, -1, 0, 1e12),
	REAL(warmup_ratio, 0.1, 0, 1, true),
	REAL(num_cycles, -1, 0, 1e6, false),
	REAL(power, 1, 0, 100, false),
	REAL(weight_decay, 0, 0, 10, true),
	REAL(beta1, 0.9, 0, 1, true),
	REAL(beta2, 0.999, 0, 1, true),
	REAL(epsilon, 1e-8, 0, 1, false),
	REAL(max_grad_norm, 1, 0, 1e9, true),
	BOOLEAN(correct_bias, true),
	REAL(dropout, -1, 0, 1, true),
	BIGINT(seed, 42, 0, MAX_SAFE_INTEGER),
	STRING(train, "all"),
	BOOLEAN(freeze_embeddings, false),
	STRING(eval_query, NULL),
	REAL(eval_fraction, 0, 0, 1, false),
	BIGINT(eval_steps, 0, 1, 1e12),
	INTEGER(early_stopping, 0, 1, 1000000),
	BIGINT(checkpoint_steps, 0, 1, 1e12),
	REAL(mask_probability, 0.15, 0, 1, false),
	INTEGER(gradient_accumulation, 1, 1, 65536),
	INTEGER(threads, 0, 1, 1024),
	STRING(precision, "fp32"),
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

static bool
in_range(const Option *option, double value)
{
	return value <= option->maximum &&
		   (option->minimum_allowed ? value >= option->minimum : value > option->minimum);
}

static void
read_number(JobOptions *out, const Option *option, Numeric numeric)
{
	double value;
	bool integer = option->type != OPTION_REAL;

	if (numeric_is_nan(numeric) || numeric_is_inf(numeric))
		wrong_type(option, "a finite number");
	value =
		DatumGetFloat8(DirectFunctionCall1(numeric_float8_no_overflow, NumericGetDatum(numeric)));
	if (integer && value != floor(value))
		wrong_type(option, "a whole number");
	if (!in_range(option, value))
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("option \"%s\" is out of range: %g", option->name, value),
						errhint("It must be %s %g and at most %g.",
								option->minimum_allowed ? "at least" : "greater than",
								option->minimum, option->maximum)));
	set_number(out, option, value);
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
		default:
			if (value->type != jbvNumeric)
				wrong_type(option, "a number");
			read_number(out, option, value->val.numeric);
	}
}

static void
check_one_of(const char *name, const char *value, const char *const *allowed)
{
	StringInfoData list;

	for (int i = 0; allowed[i] != NULL; i++)
		if (strcmp(value, allowed[i]) == 0)
			return;
	initStringInfo(&list);
	for (int i = 0; allowed[i] != NULL; i++)
		appendStringInfo(&list, "%s%s", i == 0 ? "" : ", ", allowed[i]);
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("unknown %s \"%s\"", name, value),
			 errhint("Possible values are %s.", list.data)));
}

static void
check_train(const char *train)
{
	char *end;
	long layers;

	if (strcmp(train, "all") == 0 || strcmp(train, "head") == 0)
		return;
	if (strncmp(train, "top:", 4) == 0 && train[4] >= '0' && train[4] <= '9')
	{
		layers = strtol(train + 4, &end, 10);
		if (*end == '\0' && layers >= 1 && layers <= CONFIG_MAX_LAYERS)
			return;
	}
	ereport(
		ERROR,
		(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
		 errmsg("option \"train\" cannot be \"%s\"", train),
		 errhint(
			 "It is \"all\", \"head\" or \"top:N\" with the number of layers next to the head.")));
}

static void
check_together(const JobOptions *out, bool warmup_ratio_given)
{
	static const char *const schedules[] = {"constant", "constant_with_warmup", "linear",
											"cosine",   "cosine_with_restarts", "polynomial",
											NULL};
	static const char *const precisions[] = {"fp32", "bf16", NULL};

	check_one_of("schedule", out->schedule, schedules);
	check_one_of("precision", out->precision, precisions);
	check_train(out->train);
	if (out->warmup_steps >= 0 && warmup_ratio_given)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("options \"warmup_steps\" and \"warmup_ratio\" exclude each other")));
	if (out->eval_query != NULL && out->eval_fraction > 0)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("options \"eval_query\" and \"eval_fraction\" exclude each other")));
	if (out->eval_query == NULL && out->eval_fraction == 0 &&
		(out->eval_steps > 0 || out->early_stopping > 0))
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("option \"%s\" needs data to evaluate on",
							   out->eval_steps > 0 ? "eval_steps" : "early_stopping"),
						errhint("Give \"eval_query\" or \"eval_fraction\".")));
	if (out->eval_fraction >= 1 || out->beta1 >= 1 || out->beta2 >= 1 || out->dropout >= 1)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("option \"%s\" is out of range: 1", out->eval_fraction >= 1
																	   ? "eval_fraction"
																   : out->beta1 >= 1 ? "beta1"
																   : out->beta2 >= 1 ? "beta2"
																					 : "dropout"),
						errhint("It must be less than 1.")));
}

void
job_options_parse(Jsonb *json, JobOptions *out)
{
	JsonbIterator *iterator = JsonbIteratorInit(&json->root);
	JsonbIteratorToken token;
	JsonbValue value;
	const Option *option = NULL;
	bool warmup_ratio_given = false;

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
		}
	}
	check_together(out, warmup_ratio_given);
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
			return in_range(option, *(const double *) at);
		case OPTION_INT:
			return in_range(option, *(const int *) at);
		case OPTION_INT64:
			return in_range(option, (double) *(const int64 *) at);
		case OPTION_STRING:
			return *(char *const *) at != NULL;
		case OPTION_BOOL:
			break;
	}
	return true;
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
		}
		push_key(&state, option->name);
		pushJsonbValue(&state, WJB_VALUE, &value);
	}
	return JsonbValueToJsonb(pushJsonbValue(&state, WJB_END_OBJECT, NULL));
}
