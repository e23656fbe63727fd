/* embed.c: embed for one text and many, their pinned forms, and similarity. */
#include "pg/server/compat.h"

#include <math.h>

#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "utils/builtins.h"

#include "pg/infer/embedding.h"
#include "pg/infer/gather.h"
#include "pg/infer/rows.h"
#include "pg/server/detoast.h"
#include "pg/server/memory.h"
#include "pg/server/errors.h"
#include "pg/server/settings.h"

PG_FUNCTION_INFO_V1(bert_embed);
PG_FUNCTION_INFO_V1(bert_embed_many);
PG_FUNCTION_INFO_V1(bert_embed_pinned);
PG_FUNCTION_INFO_V1(bert_embed_many_pinned);
PG_FUNCTION_INFO_V1(bert_embed_query);
PG_FUNCTION_INFO_V1(bert_embed_document);
PG_FUNCTION_INFO_V1(bert_similarity);
PG_FUNCTION_INFO_V1(bert_similarity_of_embeddings);

/* What an embedding is made like. */
typedef struct EmbedOptions
{
	RowsWanted wanted;
	int dimensions; /* the first so many */
} EmbedOptions;

static char *
text_or_null(FunctionCallInfo fcinfo, int argument)
{
	return PG_ARGISNULL(argument) ? NULL : text_to_cstring(ARGUMENT_TEXT(argument));
}

static EmbedOptions
with_dimensions(FunctionCallInfo fcinfo, int argument, const Call *call, RowsWanted wanted)
{
	int all = (int) row_columns(call, &wanted);

	return (EmbedOptions){wanted, int_argument(fcinfo, argument, "dimensions", 1, all, all)};
}

/* From pooling on: pooling, normalize_embeddings, prompt_name, prompt, dimensions, overflow. */
static EmbedOptions
embed_options(FunctionCallInfo fcinfo, Call *call, Overflow overflow)
{
	RowsWanted wanted = {.model = model_handle_bind(call->handle, HEAD_NONE),
						 .pooling = pooling_argument(fcinfo, 2, call->handle),
						 .normalize = normalize_argument(fcinfo, 3, call->handle),
						 .overflow = overflow};

	use_prompt(call, text_or_null(fcinfo, 5), text_or_null(fcinfo, 4), PROMPT_DEFAULT);
	return with_dimensions(fcinfo, 6, call, wanted);
}

/* The first dimensions of a row of all, with length 1 again if it is to have that. */
static Datum
embedding_datum(float *row, size_t all, const EmbedOptions *options)
{
	if (options->wanted.normalize && (size_t) options->dimensions < all)
		normalize_rows(1, (size_t) options->dimensions, row);
	return PointerGetDatum(real_array(row, 1, &options->dimensions));
}

static Datum
embed_text(FunctionCallInfo fcinfo, Call *call, const EmbedOptions *options)
{
	InputText input;
	Datum result;

	input_text(ARGUMENT_TEXT(0), &input);
	result = embedding_datum(text_row(call, &options->wanted, &input, NULL),
							 row_columns(call, &options->wanted), options);
	call_end(call);
	return result;
}

/*
 * (input text, model, pooling, normalize_embeddings, prompt_name, prompt, dimensions, overflow)
 */
static Datum
embed_one(FunctionCallInfo fcinfo, bool pinned)
{
	Call call;
	EmbedOptions options;
	Overflow overflow;

	if (PG_ARGISNULL(0))
		PG_RETURN_NULL();
	overflow = overflow_argument(fcinfo, 7);
	call_begin_as(&call, fcinfo, 1, TASK_EMBED, pinned);
	options = embed_options(fcinfo, &call, overflow);
	return embed_text(fcinfo, &call, &options);
}

/* Begins a call with the arguments (input, model, dimensions). */
static EmbedOptions
begin_for(FunctionCallInfo fcinfo, PromptUse use, Call *call)
{
	call_begin(call, fcinfo, 1, TASK_EMBED);
	call_name(call, use == PROMPT_QUERY ? "embed_query" : "embed_document");
	use_prompt(call, NULL, NULL, use);
	return with_dimensions(fcinfo, 2, call, want_embeddings(call->handle, OVERFLOW_TRUNCATE));
}

static Datum
embed_for(FunctionCallInfo fcinfo, PromptUse use)
{
	Call call;
	EmbedOptions options;

	if (PG_ARGISNULL(0))
		PG_RETURN_NULL();
	options = begin_for(fcinfo, use, &call);
	return embed_text(fcinfo, &call, &options);
}

PGDLLEXPORT Datum
bert_embed_query(PG_FUNCTION_ARGS)
{
	return embed_for(fcinfo, PROMPT_QUERY);
}

PGDLLEXPORT Datum
bert_embed_document(PG_FUNCTION_ARGS)
{
	return embed_for(fcinfo, PROMPT_DOCUMENT);
}

PGDLLEXPORT Datum
bert_embed(PG_FUNCTION_ARGS)
{
	return embed_one(fcinfo, false);
}

PGDLLEXPORT Datum
bert_embed_pinned(PG_FUNCTION_ARGS)
{
	return embed_one(fcinfo, true);
}

/* Begins a call with the arguments (a, b, model). */
static RowsWanted
begin_similarity(FunctionCallInfo fcinfo, Call *call)
{
	call_begin(call, fcinfo, 2, TASK_EMBED);
	call_name(call, "similarity");
	use_prompt(call, NULL, NULL, PROMPT_DEFAULT);
	return want_embeddings(call->handle, OVERFLOW_TRUNCATE);
}

/* --- Texts that will be asked for one by one --- */

/* A text that is too long for the model is an error in its row. */
static void
gather_embed_as(FunctionCallInfo fcinfo, bool pinned, const TextInputs *inputs)
{
	Overflow overflow = overflow_argument(fcinfo, 7);
	EmbedOptions options;
	Call call;

	if (overflow == OVERFLOW_ERROR)
		return;
	call_begin_as(&call, fcinfo, 1, TASK_EMBED, pinned);
	options = embed_options(fcinfo, &call, overflow);
	texts_ahead(&call, &options.wanted, inputs);
}

void
gather_embed(FunctionCallInfo fcinfo, const TextInputs *inputs)
{
	gather_embed_as(fcinfo, false, inputs);
}

void
gather_embed_pinned(FunctionCallInfo fcinfo, const TextInputs *inputs)
{
	gather_embed_as(fcinfo, true, inputs);
}

void
gather_embed_query(FunctionCallInfo fcinfo, const TextInputs *inputs)
{
	Call call;
	EmbedOptions options = begin_for(fcinfo, PROMPT_QUERY, &call);

	texts_ahead(&call, &options.wanted, inputs);
}

void
gather_embed_document(FunctionCallInfo fcinfo, const TextInputs *inputs)
{
	Call call;
	EmbedOptions options = begin_for(fcinfo, PROMPT_DOCUMENT, &call);

	texts_ahead(&call, &options.wanted, inputs);
}

/* Both sides, each a text of its own. */
void
gather_similarity(FunctionCallInfo fcinfo, const TextInputs *inputs)
{
	int n = inputs->n;
	Datum *sides = palloc(2 * (Size) n * sizeof *sides);
	TextInputs all = {.n = 2 * n, .values = sides, .nulls = palloc0(2 * (Size) n * sizeof(bool))};
	RowsWanted wanted;
	Call call;

	memcpy(sides, inputs->values, (Size) n * sizeof *sides);
	memcpy(sides + n, inputs->pairs, (Size) n * sizeof *sides);
	wanted = begin_similarity(fcinfo, &call);
	texts_ahead(&call, &wanted, &all);
}

typedef struct EmbedMany
{
	FunctionCallInfo fcinfo;
	EmbedOptions options;
} EmbedMany;

static void
put_embeddings(void *context, Call *call, const TextRows *rows)
{
	const EmbedMany *many = context;

	for (size_t t = 0; t < rows->n_texts; t++)
	{
		bool is_null = rows->nulls[t];
		Datum value = is_null ? (Datum) 0
							  : embedding_datum(rows->rows + t * rows->columns, rows->columns,
												&many->options);

		put_row(many->fcinfo, &value, &is_null);
		if (!is_null)
			pfree(DatumGetPointer(value));
	}
}

/*
 * (inputs text[], model, pooling, normalize_embeddings, prompt_name, prompt, dimensions, overflow)
 */
static Datum
embed_many(FunctionCallInfo fcinfo, bool pinned)
{
	EmbedMany many = {.fcinfo = fcinfo};
	TextInputs inputs;
	Overflow overflow;
	Call call;

	InitMaterializedSRF(fcinfo, MAT_SRF_USE_EXPECTED_DESC);
	if (PG_ARGISNULL(0))
		return (Datum) 0;
	inputs_of_array(ARGUMENT_ARRAY(0), &inputs);
	overflow = overflow_argument(fcinfo, 7);
	call_begin_as(&call, fcinfo, 1, TASK_EMBED, pinned);
	many.options = embed_options(fcinfo, &call, overflow);
	texts_to_rows(&call, &inputs, &many.options.wanted, put_embeddings, &many);
	call_end(&call);
	return (Datum) 0;
}

PGDLLEXPORT Datum
bert_embed_many(PG_FUNCTION_ARGS)
{
	return embed_many(fcinfo, false);
}

PGDLLEXPORT Datum
bert_embed_many_pinned(PG_FUNCTION_ARGS)
{
	return embed_many(fcinfo, true);
}

/* The embeddings of two texts. */
typedef struct Sides
{
	float *rows; /* (2, H) */
	size_t n;    /* of them that are there */
} Sides;

static void
take_sides(void *context, Call *call, const TextRows *rows)
{
	Sides *sides = context;

	memcpy(sides->rows + sides->n * rows->columns, rows->rows,
		   rows->n_texts * rows->columns * sizeof(float));
	sides->n += rows->n_texts;
}

/* bert.similarity(a, b, model) */
PGDLLEXPORT Datum
bert_similarity(PG_FUNCTION_ARGS)
{
	Datum texts[2];
	bool nulls[2] = {false, false};
	TextInputs inputs = {.n = 2, .values = texts, .nulls = nulls};
	Call call;
	RowsWanted wanted;
	size_t hidden;
	Sides sides = {0};
	double similarity;

	if (PG_ARGISNULL(0) || PG_ARGISNULL(1))
		PG_RETURN_NULL();
	texts[0] = PG_GETARG_DATUM(0);
	texts[1] = PG_GETARG_DATUM(1);
	wanted = begin_similarity(fcinfo, &call);
	hidden = row_columns(&call, &wanted);
	sides.rows = call_take(&call, 2 * hidden, sizeof(float), "results");
	texts_to_rows(&call, &inputs, &wanted, take_sides, &sides);
	similarity = embedding_similarity(call.handle->sentence.similarity, hidden, sides.rows,
									  sides.rows + hidden);
	call_end(&call);
	PG_RETURN_FLOAT4((float4) similarity);
}

/* The elements (n) of a stored embedding. */
static const float *
embedding_argument(FunctionCallInfo fcinfo, int argument, int *n)
{
	static const char *const names[] = {"a", "b"};
	ArrayType *array = ARGUMENT_ARRAY(argument);

	if (ARR_NDIM(array) != 1)
		ereport(ERROR, (errcode(ERRCODE_ARRAY_SUBSCRIPT_ERROR),
						ARR_NDIM(array) == 0
							? errmsg("embedding \"%s\" is empty", names[argument])
							: errmsg("embedding \"%s\" is an array of %d dimensions, not one",
									 names[argument], ARR_NDIM(array))));
	if (array_contains_nulls(array))
		ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
						errmsg("embedding \"%s\" contains NULL", names[argument])));
	*n = ARR_DIMS(array)[0];
	return (const float *) ARR_DATA_PTR(array);
}

/* bert.similarity(a real[], b real[]), strict */
PGDLLEXPORT Datum
bert_similarity_of_embeddings(PG_FUNCTION_ARGS)
{
	int n_a;
	int n_b;
	const float *a = embedding_argument(fcinfo, 0, &n_a);
	const float *b = embedding_argument(fcinfo, 1, &n_b);

	if (n_a != n_b)
		ereport(ERROR, (errcode(ERRCODE_ARRAY_SUBSCRIPT_ERROR),
						errmsg("embeddings of %d and %d dimensions cannot be compared", n_a, n_b),
						errhint("Only embeddings of the same model can.")));
	PG_RETURN_FLOAT4((float4) embedding_similarity(SIMILARITY_COSINE, (size_t) n_a, a, b));
}
