/* classify.c: classify, label, labels, classify_all, regress, rank, and pinned forms. */
#include "pg/server/compat.h"

#include <math.h>

#include "catalog/pg_type.h"
#include "utils/builtins.h"

#include "nn/select.h"
#include "nn/windows.h"
#include "pg/infer/embedding.h"
#include "pg/infer/gather.h"
#include "pg/infer/rows.h"
#include "pg/server/detoast.h"

PG_FUNCTION_INFO_V1(bert_classify);
PG_FUNCTION_INFO_V1(bert_classify_pinned);
PG_FUNCTION_INFO_V1(bert_classify_many);
PG_FUNCTION_INFO_V1(bert_classify_many_pinned);
PG_FUNCTION_INFO_V1(bert_label);
PG_FUNCTION_INFO_V1(bert_label_pinned);
PG_FUNCTION_INFO_V1(bert_labels);
PG_FUNCTION_INFO_V1(bert_classify_all);
PG_FUNCTION_INFO_V1(bert_regress);
PG_FUNCTION_INFO_V1(bert_regress_pinned);
PG_FUNCTION_INFO_V1(bert_rank);

/* A model with classes to tell apart. */
static const BertModel *
bind_classifier(ModelHandle *handle)
{
	const BertModel *model = model_handle_bind(handle, HEAD_SEQUENCE_CLASSIFICATION);

	if (config_is_regression(&handle->config))
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("model \"%s\" gives a value, not classes", handle->name),
						errhint("Use bert.regress.")));
	return model;
}

static const BertModel *
bind_regressor(ModelHandle *handle)
{
	const BertModel *model = model_handle_bind(handle, HEAD_SEQUENCE_CLASSIFICATION);

	if (handle->config.num_labels != 1)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						config_is_regression(&handle->config)
							? errmsg("model \"%s\" gives %d values, not one", handle->name,
									 handle->config.num_labels)
							: errmsg("model \"%s\" gives classes, not a value", handle->name),
						config_is_regression(&handle->config) ? errhint("Use bert.forward.")
															  : errhint("Use bert.classify.")));
	return model;
}

static float
sigmoid(float x)
{
	return (float) (1.0 / (1.0 + exp(-(double) x)));
}

/*
 * Logits of one row (labels) in order: of the untransformed numbers, for scores are rounded, and
 * equal where logits are not. scores: as the reference's TextClassificationPipeline makes them.
 */
typedef struct Classes
{
	size_t n;
	float *scores;    /* (n) by label */
	Candidate *order; /* (n) best first; its score is the logit */
} Classes;

static void
classes_of_logits(const BertConfig *config, const float *logits, Classes *classes)
{
	size_t n = (size_t) config->num_labels;

	classes->n = n;
	classes->scores = palloc(n * sizeof(float));
	classes->order = palloc(n * sizeof(Candidate));
	memcpy(classes->scores, logits, n * sizeof(float));
	if (config->problem_type != PROBLEM_MULTI_LABEL && n > 1)
		softmax_rows(1, n, classes->scores);
	else
		for (size_t i = 0; i < n; i++)
			classes->scores[i] = sigmoid(logits[i]);
	select_largest(logits, n, n, classes->order);
}

/* Logits (columns) of (input text, model, pair text, ...), overflow being the last argument. */
static float *
logits_of_pair(Call *call, FunctionCallInfo fcinfo, const BertModel *model, size_t *columns)
{
	RowsWanted wanted = {.model = model, .overflow = overflow_argument(fcinfo, PG_NARGS() - 1)};
	InputText input;
	InputText pair;

	input_text(ARGUMENT_TEXT(0), &input);
	if (!PG_ARGISNULL(2))
		input_text(ARGUMENT_TEXT(2), &pair);
	*columns = row_columns(call, &wanted);
	return text_row(call, &wanted, &input, PG_ARGISNULL(2) ? NULL : &pair);
}

static text *
label_text(const BertConfig *config, size_t label)
{
	return output_text(config->id2label[label], strlen(config->id2label[label]));
}

/* Label and score of the class that is `place`th in order. */
static void
class_values(const BertConfig *config, const Classes *classes, size_t place, Datum *values)
{
	size_t label = (size_t) classes->order[place].id;

	values[0] = PointerGetDatum(label_text(config, label));
	values[1] = Float4GetDatum(classes->scores[label]);
}

static Datum
classify_one(FunctionCallInfo fcinfo, bool pinned)
{
	Call call;
	size_t columns;
	Classes classes;
	Datum values[2];
	bool nulls[2] = {false};

	if (PG_ARGISNULL(0))
		PG_RETURN_NULL();
	call_begin_as(&call, fcinfo, 1, TASK_CLASSIFY, pinned);
	classes_of_logits(&call.handle->config,
					  logits_of_pair(&call, fcinfo, bind_classifier(call.handle), &columns),
					  &classes);
	class_values(&call.handle->config, &classes, 0, values);
	call_end(&call);
	return composite_result(fcinfo, values, nulls);
}

PGDLLEXPORT Datum
bert_classify(PG_FUNCTION_ARGS)
{
	return classify_one(fcinfo, false);
}

PGDLLEXPORT Datum
bert_classify_pinned(PG_FUNCTION_ARGS)
{
	return classify_one(fcinfo, true);
}

/* Softmax and sigmoid keep the order of logits: the label needs no scores. */
static Datum
label_one(FunctionCallInfo fcinfo, bool pinned)
{
	Call call;
	size_t columns;
	const float *logits;

	if (PG_ARGISNULL(0))
		PG_RETURN_NULL();
	call_begin_as(&call, fcinfo, 1, TASK_CLASSIFY, pinned);
	call_name(&call, "label");
	logits = logits_of_pair(&call, fcinfo, bind_classifier(call.handle), &columns);
	call_end(&call);
	PG_RETURN_TEXT_P(label_text(&call.handle->config, select_best(logits, columns)));
}

/* bert.label(input, model, pair, overflow) */
PGDLLEXPORT Datum
bert_label(PG_FUNCTION_ARGS)
{
	return label_one(fcinfo, false);
}

PGDLLEXPORT Datum
bert_label_pinned(PG_FUNCTION_ARGS)
{
	return label_one(fcinfo, true);
}

static void
put_classes(void *context, Call *call, const TextRows *rows)
{
	FunctionCallInfo fcinfo = context;

	for (size_t t = 0; t < rows->n_texts; t++)
	{
		bool is_null = rows->nulls[t];
		bool nulls[2] = {is_null, is_null};
		Datum values[2] = {0};

		if (!is_null)
		{
			Classes classes;

			classes_of_logits(&call->handle->config, rows->rows + t * rows->columns, &classes);
			class_values(&call->handle->config, &classes, 0, values);
			pfree(classes.scores);
			pfree(classes.order);
		}
		put_row(fcinfo, values, nulls);
		if (!is_null)
			pfree(DatumGetPointer(values[0]));
	}
}

/* (inputs text[], model, pairs text[], overflow) */
static Datum
classify_many(FunctionCallInfo fcinfo, bool pinned)
{
	RowsWanted wanted = {0};
	TextInputs inputs;
	Call call;

	InitMaterializedSRF(fcinfo, 0);
	if (PG_ARGISNULL(0))
		return (Datum) 0;
	inputs_of_array(ARGUMENT_ARRAY(0), &inputs);
	if (!PG_ARGISNULL(2))
		pairs_of_array(ARGUMENT_ARRAY(2), &inputs);
	wanted.overflow = overflow_argument(fcinfo, 3);
	call_begin_as(&call, fcinfo, 1, TASK_CLASSIFY, pinned);
	wanted.model = bind_classifier(call.handle);
	texts_to_rows(&call, &inputs, &wanted, put_classes, fcinfo);
	call_end(&call);
	return (Datum) 0;
}

PGDLLEXPORT Datum
bert_classify_many(PG_FUNCTION_ARGS)
{
	return classify_many(fcinfo, false);
}

PGDLLEXPORT Datum
bert_classify_many_pinned(PG_FUNCTION_ARGS)
{
	return classify_many(fcinfo, true);
}

static float
threshold_argument(FunctionCallInfo fcinfo, int argument)
{
	float threshold = PG_ARGISNULL(argument) ? 0.5f : PG_GETARG_FLOAT4(argument);

	if (!(threshold >= 0.0f && threshold <= 1.0f))
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("threshold must be between 0 and 1, not %g", threshold)));
	return threshold;
}

/* bert.labels(input, model, pair, threshold, overflow): best first */
PGDLLEXPORT Datum
bert_labels(PG_FUNCTION_ARGS)
{
	Call call;
	float threshold = threshold_argument(fcinfo, 3);
	const BertModel *model;
	size_t columns;
	Classes classes;
	Datum *labels;
	size_t n = 0;

	if (PG_ARGISNULL(0))
		PG_RETURN_NULL();
	call_begin(&call, fcinfo, 1, TASK_LABELS);
	call_name(&call, "labels");
	model = bind_classifier(call.handle);
	if (call.handle->config.problem_type != PROBLEM_MULTI_LABEL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("model \"%s\" gives one class, not several labels", call.handle->name),
				 errhint("Use bert.label, or bert.classify_all for all probabilities.")));
	classes_of_logits(&call.handle->config, logits_of_pair(&call, fcinfo, model, &columns),
					  &classes);
	labels = palloc(columns * sizeof *labels);
	for (; n < columns && classes.scores[classes.order[n].id] >= threshold; n++)
		labels[n] = PointerGetDatum(label_text(&call.handle->config, (size_t) classes.order[n].id));
	call_end(&call);
	PG_RETURN_ARRAYTYPE_P(text_array(labels, n));
}

/* bert.classify_all(input, model, pair, overflow) */
PGDLLEXPORT Datum
bert_classify_all(PG_FUNCTION_ARGS)
{
	Call call;
	size_t columns;
	Classes classes;

	InitMaterializedSRF(fcinfo, 0);
	if (PG_ARGISNULL(0))
		return (Datum) 0;
	call_begin(&call, fcinfo, 1, TASK_CLASSIFY);
	call_name(&call, "classify_all");
	classes_of_logits(&call.handle->config,
					  logits_of_pair(&call, fcinfo, bind_classifier(call.handle), &columns),
					  &classes);
	for (size_t i = 0; i < classes.n; i++)
	{
		Datum values[2];
		bool nulls[2] = {false};

		class_values(&call.handle->config, &classes, i, values);
		put_row(fcinfo, values, nulls);
	}
	call_end(&call);
	return (Datum) 0;
}

static Datum
regress(FunctionCallInfo fcinfo, bool pinned)
{
	Call call;
	size_t columns;
	float value;

	if (PG_ARGISNULL(0))
		PG_RETURN_NULL();
	call_begin_as(&call, fcinfo, 1, TASK_REGRESS, pinned);
	value = logits_of_pair(&call, fcinfo, bind_regressor(call.handle), &columns)[0];
	call_end(&call);
	PG_RETURN_FLOAT4(value);
}

PGDLLEXPORT Datum
bert_regress(PG_FUNCTION_ARGS)
{
	return regress(fcinfo, false);
}

PGDLLEXPORT Datum
bert_regress_pinned(PG_FUNCTION_ARGS)
{
	return regress(fcinfo, true);
}

/* --- Texts that will be asked for one by one --- */

/* A text that is too long for the model is an error in its row. */
static void
gather_logits(FunctionCallInfo fcinfo, ModelTask task, const char *name, bool pinned,
			  const TextInputs *inputs)
{
	RowsWanted wanted = {.overflow = overflow_argument(fcinfo, PG_NARGS() - 1)};
	Call call;

	if (wanted.overflow == OVERFLOW_ERROR)
		return;
	call_begin_as(&call, fcinfo, 1, task, pinned);
	call_name(&call, name);
	wanted.model =
		task == TASK_REGRESS ? bind_regressor(call.handle) : bind_classifier(call.handle);
	texts_ahead(&call, &wanted, inputs);
}

void
gather_classify(FunctionCallInfo fcinfo, const TextInputs *inputs)
{
	gather_logits(fcinfo, TASK_CLASSIFY, "classify", false, inputs);
}

void
gather_classify_pinned(FunctionCallInfo fcinfo, const TextInputs *inputs)
{
	gather_logits(fcinfo, TASK_CLASSIFY, "classify", true, inputs);
}

void
gather_label(FunctionCallInfo fcinfo, const TextInputs *inputs)
{
	gather_logits(fcinfo, TASK_CLASSIFY, "label", false, inputs);
}

void
gather_label_pinned(FunctionCallInfo fcinfo, const TextInputs *inputs)
{
	gather_logits(fcinfo, TASK_CLASSIFY, "label", true, inputs);
}

void
gather_labels(FunctionCallInfo fcinfo, const TextInputs *inputs)
{
	gather_logits(fcinfo, TASK_LABELS, "labels", false, inputs);
}

void
gather_regress(FunctionCallInfo fcinfo, const TextInputs *inputs)
{
	gather_logits(fcinfo, TASK_REGRESS, "regress", false, inputs);
}

void
gather_regress_pinned(FunctionCallInfo fcinfo, const TextInputs *inputs)
{
	gather_logits(fcinfo, TASK_REGRESS, "regress", true, inputs);
}

/* --- bert.rank --- */

typedef struct Scored
{
	double order; /* the logit, or the cosine before it is rounded; NaN for a NULL document */
	float score;
	int index;
} Scored;

/* Best first; equal ones in the order they came in; NaN last. */
static int
compare_scored(const void *a, const void *b, void *context)
{
	const Scored *x = a;
	const Scored *y = b;

	if (x->order > y->order || (isnan(y->order) && !isnan(x->order)))
		return -1;
	if (x->order < y->order || (isnan(x->order) && !isnan(y->order)))
		return 1;
	return x->index - y->index;
}

typedef struct Ranking
{
	const float *query; /* (H) with a bi-encoder; NULL with a cross-encoder */
	Scored *found;      /* (documents) */
	int n_found;
} Ranking;

static void
rank_rows(void *context, Call *call, const TextRows *rows)
{
	Ranking *ranking = context;

	for (size_t t = 0; t < rows->n_texts; t++)
	{
		Scored *scored = &ranking->found[ranking->n_found];
		const float *row = rows->rows + t * rows->columns;

		scored->index = ranking->n_found++;
		if (rows->nulls[t])
			scored->order = scored->score = NAN;
		else if (ranking->query == NULL)
		{
			scored->order = row[0];
			scored->score =
				call->handle->config.score_activation == SCORE_IDENTITY ? row[0] : sigmoid(row[0]);
		}
		else
		{
			scored->order = embedding_similarity(call->handle->sentence.similarity, rows->columns,
												 ranking->query, row);
			scored->score = (float) scored->order;
		}
	}
}

static void
put_ranking(FunctionCallInfo fcinfo, const Ranking *ranking, const TextInputs *documents)
{
	for (int i = 0; i < documents->n; i++)
	{
		int document = ranking->found[i].index;
		bool is_null = documents->nulls[document];
		Datum values[3] = {Int32GetDatum(document + 1), Float4GetDatum(ranking->found[i].score),
						   documents->values[document]};
		bool nulls[3] = {false, is_null, is_null};

		put_row(fcinfo, values, nulls);
	}
}

/* bert.rank(query, documents, model, overflow) */
PGDLLEXPORT Datum
bert_rank(PG_FUNCTION_ARGS)
{
	Ranking ranking = {0};
	Call call;
	InputText query;
	RowsWanted wanted = {0};
	Overflow overflow;
	TextInputs inputs;

	InitMaterializedSRF(fcinfo, 0);
	if (PG_ARGISNULL(0) || PG_ARGISNULL(1))
		return (Datum) 0;
	overflow = overflow_argument(fcinfo, 3);
	inputs_of_array(ARGUMENT_ARRAY(1), &inputs);
	call_begin(&call, fcinfo, 2, TASK_RANK);
	input_text(ARGUMENT_TEXT(0), &query);
	ranking.found = palloc((Size) Max(inputs.n, 1) * sizeof(Scored));
	if (call.handle->head == HEAD_SEQUENCE_CLASSIFICATION)
	{
		if (call.handle->config.num_labels != 1)
			ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
							errmsg("model \"%s\" has %d labels, a ranking model has one",
								   call.handle->name, call.handle->config.num_labels),
							errhint("Use a cross-encoder with one label, or a model without a "
									"head, which ranks by the similarity of embeddings.")));
		wanted = (RowsWanted){.model = model_handle_bind(call.handle, HEAD_SEQUENCE_CLASSIFICATION),
							  .overflow = overflow};
		inputs.prefix = &query;
	}
	else
	{
		wanted = want_embeddings(call.handle, overflow);
		use_prompt(&call, NULL, NULL, PROMPT_QUERY);
		ranking.query = text_row(&call, &wanted, &query, NULL);
		use_prompt(&call, NULL, NULL, PROMPT_DOCUMENT);
	}
	texts_to_rows(&call, &inputs, &wanted, rank_rows, &ranking);
	qsort_interruptible(ranking.found, (size_t) ranking.n_found, sizeof(Scored), compare_scored,
						NULL);
	put_ranking(fcinfo, &ranking, &inputs);
	call_end(&call);
	return (Datum) 0;
}
