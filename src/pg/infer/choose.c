/* choose.c: choose and choose_all: multiple choice. */
#include "pg/server/compat.h"

#include "nn/select.h"
#include "nn/windows.h"
#include "pg/infer/rows.h"
#include "pg/server/detoast.h"

PG_FUNCTION_INFO_V1(bert_choose);
PG_FUNCTION_INFO_V1(bert_choose_all);

typedef struct Choices
{
	float *logits; /* (choices) */
	float *scores; /* (choices) probabilities */
	size_t n_scored;
} Choices;

static void
take_logits(void *context, Call *call, const TextRows *rows)
{
	Choices *choices = context;

	/* (choices of the group, 1) */
	memcpy(choices->logits + choices->n_scored, rows->rows, rows->n_texts * sizeof(float));
	choices->n_scored += rows->n_texts;
}

/* Scores of (prompt, choices, model); false when prompt or choices is NULL. */
static bool
score_choices(FunctionCallInfo fcinfo, Choices *choices, TextInputs *inputs, const char *function)
{
	RowsWanted wanted = {.overflow = OVERFLOW_TRUNCATE};
	Call call;
	InputText prompt;

	if (PG_ARGISNULL(0) || PG_ARGISNULL(1))
		return false;
	inputs_of_array(ARGUMENT_ARRAY(1), inputs);
	if (inputs->n == 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("choices must not be empty")));
	if (array_contains_nulls(ARGUMENT_ARRAY(1)))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED), errmsg("choices must not contain NULL")));
	call_begin(&call, fcinfo, 2, TASK_CHOOSE);
	call_name(&call, function);
	wanted.model = model_handle_bind(call.handle, HEAD_MULTIPLE_CHOICE);
	choices->logits = palloc((Size) inputs->n * sizeof(float));
	choices->scores = palloc((Size) inputs->n * sizeof(float));
	input_text(ARGUMENT_TEXT(0), &prompt);
	inputs->prefix = &prompt;
	texts_to_rows(&call, inputs, &wanted, take_logits, choices);
	memcpy(choices->scores, choices->logits, choices->n_scored * sizeof(float));
	softmax_rows(1, choices->n_scored, choices->scores);
	call_end(&call);
	return true;
}

static void
choice_values(const Choices *choices, const TextInputs *inputs, size_t choice, Datum *values)
{
	values[0] = Int32GetDatum((int32) choice + 1);
	values[1] = inputs->values[choice];
	values[2] = Float4GetDatum(choices->scores[choice]);
}

/* bert.choose(prompt, choices, model) */
PGDLLEXPORT Datum
bert_choose(PG_FUNCTION_ARGS)
{
	Choices choices = {0};
	TextInputs inputs;
	Datum values[3];
	bool nulls[3] = {false};

	if (!score_choices(fcinfo, &choices, &inputs, "choose"))
		PG_RETURN_NULL();
	choice_values(&choices, &inputs, select_best(choices.logits, choices.n_scored), values);
	return composite_result(fcinfo, values, nulls);
}

/* bert.choose_all(prompt, choices, model) */
PGDLLEXPORT Datum
bert_choose_all(PG_FUNCTION_ARGS)
{
	Choices choices = {0};
	TextInputs inputs;
	Candidate *order;

	InitMaterializedSRF(fcinfo, 0);
	if (!score_choices(fcinfo, &choices, &inputs, "choose_all"))
		return (Datum) 0;
	order = palloc(choices.n_scored * sizeof *order);
	select_largest(choices.logits, choices.n_scored, choices.n_scored, order);
	for (size_t i = 0; i < choices.n_scored; i++)
	{
		Datum values[3];
		bool nulls[3] = {false};

		choice_values(&choices, &inputs, (size_t) order[i].id, values);
		put_row(fcinfo, values, nulls);
	}
	return (Datum) 0;
}
