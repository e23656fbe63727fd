/* embed.c: embed for one text and many, their pinned forms, and similarity. */
#include "pg/server/compat.h"

#include <math.h>

#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "utils/builtins.h"

#include "pg/infer/batch.h"
#include "pg/infer/embedding.h"
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
	Pooling pooling;
	bool normalize;
	int dimensions; /* the first so many */
} EmbedOptions;

static char *
text_or_null(FunctionCallInfo fcinfo, int argument)
{
	return PG_ARGISNULL(argument) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(argument));
}

static int
dimensions_argument(FunctionCallInfo fcinfo, int argument, const ModelHandle *handle)
{
	return int_argument(fcinfo, argument, "dimensions", 1, handle->config.hidden_size,
						handle->config.hidden_size);
}

/* From pooling on: pooling, normalize_embeddings, prompt_name, prompt, dimensions. */
static EmbedOptions
embed_options(FunctionCallInfo fcinfo, Call *call)
{
	EmbedOptions options = {pooling_argument(fcinfo, 2, call->handle),
							normalize_argument(fcinfo, 3, call->handle),
							dimensions_argument(fcinfo, 6, call->handle)};

	use_prompt(call, text_or_null(fcinfo, 5), text_or_null(fcinfo, 4), PROMPT_DEFAULT);
	return options;
}

/* The first dimensions of a row, with length 1 again if it is to have that. */
static Datum
embedding_datum(float *row, const EmbedOptions *options, const ModelHandle *handle)
{
	if (options->normalize && options->dimensions < handle->config.hidden_size)
		normalize_rows(1, (size_t) options->dimensions, row);
	return PointerGetDatum(real_array(row, 1, &options->dimensions));
}

static Datum
embed_text(FunctionCallInfo fcinfo, Call *call, const EmbedOptions *options, Overflow overflow)
{
	InputText input;
	EncodeResult encoded;
	size_t first_window[2];
	TextGroup group;
	Datum result;

	input_text(PG_GETARG_TEXT_PP(0), &input);
	encode_input(call, &input, NULL, overflow, &encoded);
	group = single_group(&encoded, first_window);
	result = embedding_datum(group_embeddings(call, model_handle_bind(call->handle, HEAD_NONE),
											  &group, options->pooling, options->normalize),
							 options, call->handle);
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
	options = embed_options(fcinfo, &call);
	return embed_text(fcinfo, &call, &options, overflow);
}

/* (input, model, dimensions) */
static Datum
embed_for(FunctionCallInfo fcinfo, PromptUse use)
{
	Call call;
	EmbedOptions options;

	if (PG_ARGISNULL(0))
		PG_RETURN_NULL();
	call_begin(&call, fcinfo, 1, TASK_EMBED);
	options = (EmbedOptions){call.handle->sentence.pooling, embeds_normalized(call.handle),
							 dimensions_argument(fcinfo, 2, call.handle)};
	use_prompt(&call, NULL, NULL, use);
	return embed_text(fcinfo, &call, &options, OVERFLOW_TRUNCATE);
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

typedef struct EmbedMany
{
	FunctionCallInfo fcinfo;
	const BertModel *model;
	EmbedOptions options;
} EmbedMany;

static void
put_embeddings(void *context, Call *call, const TextGroup *group)
{
	const EmbedMany *many = context;
	size_t hidden = (size_t) call->handle->config.hidden_size;
	/* (texts, H) */
	float *rows =
		group_embeddings(call, many->model, group, many->options.pooling, many->options.normalize);

	for (size_t t = 0; t < group->n_texts; t++)
	{
		bool is_null = group->first_window[t + 1] == group->first_window[t];
		Datum value =
			is_null ? (Datum) 0 : embedding_datum(rows + t * hidden, &many->options, call->handle);

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
	inputs_of_array(PG_GETARG_ARRAYTYPE_P(0), &inputs);
	overflow = overflow_argument(fcinfo, 7);
	call_begin_as(&call, fcinfo, 1, TASK_EMBED, pinned);
	many.options = embed_options(fcinfo, &call);
	many.model = model_handle_bind(call.handle, HEAD_NONE);
	texts_in_groups(&call, &inputs, overflow, put_embeddings, &many);
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

/* bert.similarity(a, b, model) */
PGDLLEXPORT Datum
bert_similarity(PG_FUNCTION_ARGS)
{
	Call call;
	Encoding windows[2];
	size_t first_window[3] = {0, 1, 2};
	TextGroup group = {2, first_window, {2, windows, false}};
	size_t hidden;
	float *rows; /* (2, H) */
	double similarity;

	if (PG_ARGISNULL(0) || PG_ARGISNULL(1))
		PG_RETURN_NULL();
	call_begin(&call, fcinfo, 2, TASK_EMBED);
	use_prompt(&call, NULL, NULL, PROMPT_DEFAULT);
	for (int i = 0; i < 2; i++)
	{
		InputText input;
		EncodeResult encoded;

		input_text(PG_GETARG_TEXT_PP(i), &input);
		encode_input(&call, &input, NULL, OVERFLOW_TRUNCATE, &encoded);
		windows[i] = encoded.windows[0];
	}
	rows = group_embeddings(&call, model_handle_bind(call.handle, HEAD_NONE), &group,
							call.handle->sentence.pooling, embeds_normalized(call.handle));
	hidden = (size_t) call.handle->config.hidden_size;
	similarity =
		embedding_similarity(call.handle->sentence.similarity, hidden, rows, rows + hidden);
	call_end(&call);
	PG_RETURN_FLOAT4((float4) similarity);
}

/* The elements (n) of a stored embedding. */
static const float *
embedding_argument(FunctionCallInfo fcinfo, int argument, int *n)
{
	static const char *const names[] = {"a", "b"};
	ArrayType *array = PG_GETARG_ARRAYTYPE_P(argument);

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
