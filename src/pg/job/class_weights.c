/* class_weights.c: how much the classes of a job's rows weigh in its loss. */
#include "pg/server/compat.h"

#include <math.h>

#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/numeric.h"

#include "nn/loss.h"
#include "pg/job/class_weights.h"
#include "pg/server/errors.h"
#include "pg/server/memory.h"

#define BALANCED "balanced"
#define MAX_WEIGHT 1e6

static void
wrong_value(void)
{
	ereport(
		ERROR,
		(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
		 errmsg("option \"class_weights\" must be \"balanced\" or an object of labels and weights"),
		 errhint("As in {\"class_weights\": {\"urgent\": 5}}: labels that are not named have 1.")));
}

static double
weight_of(const JsonbValue *value)
{
	double weight;

	if (value->type != jbvNumeric)
		wrong_value();
	weight = DatumGetFloat8(
		DirectFunctionCall1(numeric_float8_no_overflow, NumericGetDatum(value->val.numeric)));
	if (!(weight > 0 && weight <= MAX_WEIGHT))
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("option \"class_weights\" is out of range: %g", weight),
						errhint("A weight is greater than 0 and at most %g.", MAX_WEIGHT)));
	return weight;
}

typedef void (*VisitWeight)(void *context, const char *label, double weight);

/* Calls visit, unless NULL, for all labels that an object names; they are UTF-8. */
static void
visit_weights(JsonbContainer *object, VisitWeight visit, void *context)
{
	JsonbIterator *iterator = JsonbIteratorInit(object);
	JsonbIteratorToken token;
	JsonbValue value;
	char *label = NULL;

	while ((token = JsonbIteratorNext(&iterator, &value, true)) != WJB_DONE)
	{
		if (token == WJB_KEY)
			label = pg_server_to_any(pnstrdup(value.val.string.val, value.val.string.len),
									 value.val.string.len, PG_UTF8);
		else if (token == WJB_VALUE)
		{
			double weight = weight_of(&value);

			if (visit != NULL)
				visit(context, label, weight);
		}
	}
}

char *
class_weights_read(const JsonbValue *value)
{
	if (value->type == jbvString && value->val.string.len == strlen(BALANCED) &&
		memcmp(value->val.string.val, BALANCED, strlen(BALANCED)) == 0)
		return pstrdup(BALANCED);
	if (value->type != jbvBinary || !JsonContainerIsObject(value->val.binary.data))
		wrong_value();
	visit_weights(value->val.binary.data, NULL, NULL);
	return JsonbToCString(NULL, value->val.binary.data, value->val.binary.len);
}

static Jsonb *
object_of(const char *text)
{
	return DatumGetJsonbP(DirectFunctionCall1(jsonb_in, CStringGetDatum(text)));
}

void
class_weights_write(JsonbParseState **state, const char *text)
{
	JsonbValue value = {.type = jbvString};

	if (strcmp(text, BALANCED) == 0)
	{
		value.val.string.val = pstrdup(text);
		value.val.string.len = (int) strlen(text);
	}
	else
	{
		Jsonb *object = object_of(text);

		value.type = jbvBinary;
		value.val.binary.data = &object->root;
		value.val.binary.len = (int) VARSIZE(object) - VARHDRSZ;
	}
	pushJsonbValue(state, WJB_VALUE, &value);
}

static void
check_weight(void *labels, const char *label, double weight)
{
	if (label_set_id(labels, label) < 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("option \"class_weights\": there is no label \"%s\"",
						pg_any_to_server(label, (int) strlen(label), PG_UTF8)),
				 errhint("Its names are labels of the query, or of the base's classifier.")));
}

void
class_weights_check(const char *text, const LabelSet *labels)
{
	if (strcmp(text, BALANCED) != 0)
		visit_weights(&object_of(text)->root, check_weight, (void *) labels);
}

typedef struct Given
{
	const JobRun *run;
	float *weights;
} Given;

static void
set_weight(void *context, const char *label, double weight)
{
	Given *given = context;

	for (int i = 0; i < given->run->data.n_labels; i++)
		if (strcmp(given->run->data.labels[i], label) == 0)
			given->weights[i] = (float) weight;
}

/* How often each label occurs in the training set; returns how many labels, or rows, there are. */
static uint64
count_labels(JobRun *run, uint64 *counts)
{
	Arena *arena = arena_in_context(CurrentMemoryContext, 0);
	uint64 all = 0;
	Status status;

	for (uint64 i = 0; i < run->n_train; i++)
	{
		ArenaMark mark = arena_mark(arena);
		Sample sample;

		CHECK_FOR_INTERRUPTS();
		REPORT_UNLESS(spill_read(run->data.train, i, arena, &sample, &status), &status);
		for (uint32 l = 0; l < sample.n_labels; l++)
			if (sample.labels[l] != LABEL_IGNORED)
			{
				counts[sample.labels[l]]++;
				all++;
			}
		for (uint32 l = 0; l < sample.n_values; l++)
			counts[l] += sample.values[l] != 0;
		all += sample.n_values > 0;
		arena_rewind(arena, mark);
	}
	arena_destroy(arena);
	return all;
}

static void
balance(JobRun *run, float *weights)
{
	int n = run->data.n_labels;
	uint64 *counts = palloc0((Size) n * sizeof *counts);
	double all = (double) count_labels(run, counts);
	int occurring = 0;

	for (int i = 0; i < n; i++)
		occurring += counts[i] > 0;
	for (int i = 0; i < n; i++)
	{
		double count = (double) counts[i];

		if (count == 0 || (run->data.several && count == all))
			continue;
		weights[i] =
			(float) (run->data.several ? (all - count) / count : all / (occurring * count));
	}
}

const float *
class_weights_of(JobRun *run)
{
	const char *text = run->options.class_weights;
	int n = run->data.n_labels;
	float *weights;

	if (text == NULL)
		return NULL;
	weights = MemoryContextAlloc(run->context, (Size) n * sizeof *weights);
	for (int i = 0; i < n; i++)
		weights[i] = 1;
	if (strcmp(text, BALANCED) == 0)
		balance(run, weights);
	else
		visit_weights(&object_of(text)->root, set_weight, &(Given){run, weights});
	return weights;
}
