/* zero_shot.c: classes that a model was not trained on, by what their names say. */
#include "pg/server/compat.h"

#include <math.h>

#include "miscadmin.h"
#include "utils/builtins.h"

#include "nn/windows.h"
#include "pg/infer/embedding.h"
#include "pg/infer/rows.h"
#include "pg/server/detoast.h"

PG_FUNCTION_INFO_V1(bert_zero_shot);

#define PLACE "{}"
#define ENTAILMENT_TEMPLATE "This example is {}."
#define ENCODER_TEMPLATE "This is about {}"
/* What goes into the place of a label that is told alone, to compare it with. */
#define ANOTHER_LABEL "something else"
/* A cosine times this is a logit: the scale that sentence encoders are trained with. */
#define COSINE_SCALE 20.0

/* What one call is to tell apart. */
typedef struct ZeroShot
{
	FunctionCallInfo fcinfo;
	TextInputs labels;
	/* the template with each label; or with each part of it, and with another one, last */
	TextInputs hypotheses;
	int *label_of; /* (hypotheses) by parts: whose they are */
	bool alone;    /* each label by itself: several may fit */
	double *order; /* (labels) untransformed; the greater the better */
	float *scores; /* (labels) */
} ZeroShot;

/* --- Labels of entailment models --- */

/* The class that speaks against: by name, or the other one of two. */
static int
contradiction_of(const BertConfig *config, int entailment)
{
	int found = config_find_label(config, "contradict");

	return found < 0 && config->num_labels == 2 ? 1 - entailment : found;
}

static char *
list_labels(const BertConfig *config)
{
	StringInfoData text;

	initStringInfo(&text);
	for (int i = 0; i < Min(config->num_labels, 5); i++)
		appendStringInfo(
			&text, "%s\"%s\"", i == 0 ? "" : ", ",
			text_to_cstring(output_text(config->id2label[i], strlen(config->id2label[i]))));
	if (config->num_labels > 5)
		appendStringInfoString(&text, ", ...");
	return text.data;
}

static void
no_class(const ModelHandle *handle, const char *what)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("model \"%s\" does not say which of its labels is %s", handle->name, what),
			 errdetail("Its labels are %s.", list_labels(&handle->config)),
			 errhint("Of an entailment model name the labels in their order: bert.alter_model('%s',"
					 " '{\"labels\": [\"contradiction\", \"neutral\", \"entailment\"]}'). Or use a "
					 "model without a classification head, which goes by similarity.",
					 handle->name)));
}

/* --- Hypotheses --- */

static char *
template_argument(FunctionCallInfo fcinfo, int argument, bool entails)
{
	char *template = PG_ARGISNULL(argument)
						 ? pstrdup(entails ? ENTAILMENT_TEMPLATE : ENCODER_TEMPLATE)
						 : text_to_cstring(ARGUMENT_TEXT(argument));

	if (strstr(template, PLACE) == NULL)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("hypothesis_template has no place for the label"),
						errhint("Write {} where it belongs, as in '%s'.", ENTAILMENT_TEMPLATE)));
	return template;
}

/* The template with the label in all of its places. */
static Datum
hypothesis(const char *template, const char *label)
{
	StringInfoData text;
	const char *at;

	initStringInfo(&text);
	while ((at = strstr(template, PLACE)) != NULL)
	{
		appendBinaryStringInfo(&text, template, (int) (at - template));
		appendStringInfoString(&text, label);
		template = at + strlen(PLACE);
	}
	appendStringInfoString(&text, template);
	return PointerGetDatum(cstring_to_text_with_len(text.data, text.len));
}

static void
labels_argument(FunctionCallInfo fcinfo, int argument, TextInputs *labels)
{
	inputs_of_array(ARGUMENT_ARRAY(argument), labels);
	if (labels->n == 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("labels must not be empty")));
	for (int i = 0; i < labels->n; i++)
		if (labels->nulls[i])
			ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
							errmsg("labels must not contain NULL")));
}

/* One for each label. */
static void
make_hypotheses(ZeroShot *shot, const char *template)
{
	Datum *values = palloc((Size) shot->labels.n * sizeof *values);

	for (int i = 0; i < shot->labels.n; i++)
	{
		CHECK_FOR_INTERRUPTS();
		values[i] = hypothesis(template, TextDatumGetCString(shot->labels.values[i]));
	}
	shot->hypotheses = (TextInputs){
		.n = shot->labels.n, .values = values, .nulls = palloc0((Size) shot->labels.n)};
}

/* Bytes of what stands between two parts of a label, or 0. */
static size_t
separator_length(const char *at)
{
	static const char *const separators[] = {" and ", " or ", " & ", ", ", "/"};

	for (size_t i = 0; i < lengthof(separators); i++)
		if (pg_strncasecmp(at, separators[i], strlen(separators[i])) == 0)
			return strlen(separators[i]);
	return 0;
}

/* Ends the part that begins here; what follows it, or NULL. Empty parts are no parts. */
static char *
cut_part(char *part)
{
	for (char *at = part + 1; part[0] != '\0' && at[0] != '\0'; at++)
	{
		size_t length = separator_length(at);

		if (length > 0 && at[length] != '\0')
		{
			at[0] = '\0';
			return at + length;
		}
	}
	return NULL;
}

/*
 * One for each part of a label: "Science and technology" is about the one or the other, and an
 * embedding of both is like neither.
 */
static void
make_parts(ZeroShot *shot, const char *template)
{
	int capacity = 2 * shot->labels.n + 1;
	int n = 0;
	Datum *values = palloc((Size) capacity * sizeof *values);

	shot->label_of = palloc((Size) capacity * sizeof(int));
	for (int i = 0; i < shot->labels.n; i++)
		for (char *part = TextDatumGetCString(shot->labels.values[i]), *next; part != NULL;
			 part = next)
		{
			CHECK_FOR_INTERRUPTS();
			next = cut_part(part);
			if (n + 1 == capacity)
			{
				capacity *= 2;
				values = repalloc_huge(values, (Size) capacity * sizeof *values);
				shot->label_of = repalloc_huge(shot->label_of, (Size) capacity * sizeof(int));
			}
			shot->label_of[n] = i;
			values[n++] = hypothesis(template, part);
		}
	values[n++] = hypothesis(template, ANOTHER_LABEL);
	shot->hypotheses =
		(TextInputs){.n = n - !shot->alone, .values = values, .nulls = palloc0((Size) n)};
}

/* --- Scores --- */

static float
sigmoid(double x)
{
	return (float) (1.0 / (1.0 + exp(-x)));
}

/* Rows that come in groups, one after the other, in the caller's memory. */
typedef struct AllRows
{
	double *values; /* (rows, columns) */
	size_t n;
} AllRows;

static void
take_rows(void *context, Call *call, const TextRows *rows)
{
	AllRows *all = context;

	for (size_t i = 0; i < rows->n_texts * rows->columns; i++)
		all->values[all->n++] = rows->rows[i];
}

/*
 * As the reference's pipeline: the logits of "entailment" against each other, or each against its
 * own "contradiction"; a single label always is told alone.
 */
static void
score_entailment(ZeroShot *shot, Call *call, const InputText *input)
{
	const BertConfig *config = &call->handle->config;
	RowsWanted wanted = {.model = model_handle_bind(call->handle, HEAD_SEQUENCE_CLASSIFICATION),
						 .overflow = OVERFLOW_TRUNCATE};
	int entailment = config_find_label(config, "entail");
	int contradiction = contradiction_of(config, entailment);
	int n = shot->labels.n;
	AllRows all = {palloc((Size) n * (Size) config->num_labels * sizeof(double)), 0};

	if (shot->alone && contradiction < 0)
		no_class(call->handle, "contradiction");
	shot->hypotheses.prefix = input;
	texts_to_rows(call, &shot->hypotheses, &wanted, take_rows, &all);
	for (int i = 0; i < n; i++)
	{
		const double *logits = all.values + (Size) i * (Size) config->num_labels;

		shot->order[i] = logits[entailment] - (shot->alone ? logits[contradiction] : 0);
		shot->scores[i] = shot->alone ? sigmoid(shot->order[i]) : (float) shot->order[i];
	}
	if (!shot->alone)
		softmax_rows(1, (size_t) n, shot->scores);
}

typedef struct Similarities
{
	const float *text; /* (columns) */
	double *values;    /* (hypotheses) */
	int n;
} Similarities;

static void
take_similarities(void *context, Call *call, const TextRows *rows)
{
	Similarities *all = context;

	for (size_t t = 0; t < rows->n_texts; t++)
		all->values[all->n++] =
			embedding_similarity(call->handle->sentence.similarity, rows->columns, all->text,
								 rows->rows + t * rows->columns);
}

/* By how like the text is to a label's hypotheses; alone: more like them than another one. */
static void
score_similarity(ZeroShot *shot, Call *call, const InputText *input)
{
	RowsWanted wanted = want_embeddings(call->handle, OVERFLOW_TRUNCATE);
	double scale = call->handle->sentence.similarity == SIMILARITY_COSINE ? COSINE_SCALE : 1;
	int n = shot->labels.n;
	Similarities all = {.values = palloc((Size) shot->hypotheses.n * sizeof(double))};

	use_prompt(call, NULL, NULL, PROMPT_DEFAULT);
	all.text = text_row(call, &wanted, input, NULL);
	texts_to_rows(call, &shot->hypotheses, &wanted, take_similarities, &all);
	for (int i = 0; i < n; i++)
		shot->order[i] = -INFINITY;
	for (int h = 0; h < all.n - shot->alone; h++)
		shot->order[shot->label_of[h]] = fmax(shot->order[shot->label_of[h]], all.values[h]);
	for (int i = 0; i < n; i++)
		shot->scores[i] = shot->alone ? sigmoid(scale * (shot->order[i] - all.values[all.n - 1]))
									  : (float) (scale * shot->order[i]);
	if (!shot->alone)
		softmax_rows(1, (size_t) n, shot->scores);
}

/* Best first; equal ones in the order they came in; NaN last. */
static int
compare_labels(const void *a, const void *b, void *context)
{
	int i = *(const int *) a;
	int j = *(const int *) b;
	const double *order = ((const ZeroShot *) context)->order;

	if (order[i] > order[j] || (isnan(order[j]) && !isnan(order[i])))
		return -1;
	if (order[i] < order[j] || (isnan(order[i]) && !isnan(order[j])))
		return 1;
	return i - j;
}

static void
put_labels(ZeroShot *shot)
{
	int *places = palloc((Size) shot->labels.n * sizeof *places);

	for (int i = 0; i < shot->labels.n; i++)
		places[i] = i;
	qsort_interruptible(places, (size_t) shot->labels.n, sizeof *places, compare_labels, shot);
	for (int i = 0; i < shot->labels.n; i++)
	{
		Datum values[2] = {shot->labels.values[places[i]], Float4GetDatum(shot->scores[places[i]])};
		bool nulls[2] = {false};

		put_row(shot->fcinfo, values, nulls);
	}
}

/* bert.zero_shot(input, labels, model, hypothesis_template, multi_label) */
PGDLLEXPORT Datum
bert_zero_shot(PG_FUNCTION_ARGS)
{
	ZeroShot shot = {.fcinfo = fcinfo};
	const char *template;
	InputText input;
	bool entails;
	Call call;

	InitMaterializedSRF(fcinfo, 0);
	if (PG_ARGISNULL(0) || PG_ARGISNULL(1))
		return (Datum) 0;
	labels_argument(fcinfo, 1, &shot.labels);
	shot.alone = !PG_ARGISNULL(4) && PG_GETARG_BOOL(4);
	call_begin(&call, fcinfo, 2, TASK_ZERO_SHOT);
	entails = call.handle->head == HEAD_SEQUENCE_CLASSIFICATION;
	if (entails && !config_tells_entailment(&call.handle->config))
		no_class(call.handle, "entailment");
	shot.alone |= entails && shot.labels.n == 1;
	template = template_argument(fcinfo, 3, entails);
	shot.order = palloc((Size) shot.labels.n * sizeof(double));
	shot.scores = palloc((Size) shot.labels.n * sizeof(float));
	input_text(ARGUMENT_TEXT(0), &input);
	if (entails)
	{
		make_hypotheses(&shot, template);
		score_entailment(&shot, &call, &input);
	}
	else
	{
		make_parts(&shot, template);
		score_similarity(&shot, &call, &input);
	}
	put_labels(&shot);
	call_end(&call);
	return (Datum) 0;
}
