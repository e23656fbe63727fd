/* embed.c: embed for one text and many, their pinned forms, and similarity. */
#include "pg/server/compat.h"

#include <math.h>

#include "catalog/pg_type.h"
#include "miscadmin.h"

#include "pg/infer/call.h"
#include "pg/server/memory.h"
#include "pg/server/errors.h"
#include "pg/server/settings.h"

PG_FUNCTION_INFO_V1(bert_embed);
PG_FUNCTION_INFO_V1(bert_embed_many);
PG_FUNCTION_INFO_V1(bert_embed_pinned);
PG_FUNCTION_INFO_V1(bert_embed_many_pinned);
PG_FUNCTION_INFO_V1(bert_similarity);
PG_FUNCTION_INFO_V1(bert_similarity_of_embeddings);

/* (input text, model, pooling, normalize_embeddings, overflow) */
static Datum
embed_one(FunctionCallInfo fcinfo, bool pinned)
{
	Call call;
	InputText input;
	EncodeResult encoded;
	size_t first_window[2];
	TextGroup group;
	Pooling pooling;
	Overflow overflow;
	float *embedding; /* (H) */

	if (PG_ARGISNULL(0))
		PG_RETURN_NULL();
	overflow = overflow_argument(fcinfo, 4);
	call_begin_as(&call, fcinfo, 1, TASK_EMBED, pinned);
	pooling = pooling_argument(fcinfo, 2, call.handle);
	input_text(PG_GETARG_TEXT_PP(0), &input);
	encode_input(&call, &input, NULL, overflow, &encoded);
	group = single_group(&encoded, first_window);
	embedding = group_embeddings(&call, model_handle_bind(call.handle, HEAD_NONE), &group, pooling,
								 normalize_argument(fcinfo, 3, call.handle));
	call_end(&call);
	PG_RETURN_ARRAYTYPE_P(real_array(embedding, 1, &call.handle->config.hidden_size));
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
	Pooling pooling;
	bool normalize;
} EmbedMany;

static void
put_embeddings(void *context, Call *call, const TextGroup *group)
{
	const EmbedMany *many = context;
	int hidden = call->handle->config.hidden_size;
	/* (texts, H) */
	float *rows = group_embeddings(call, many->model, group, many->pooling, many->normalize);

	for (size_t t = 0; t < group->n_texts; t++)
	{
		bool is_null = group->first_window[t + 1] == group->first_window[t];
		Datum value = is_null ? (Datum) 0
							  : PointerGetDatum(real_array(rows + t * (size_t) hidden, 1, &hidden));

		put_row(many->fcinfo, &value, &is_null);
		if (!is_null)
			pfree(DatumGetPointer(value));
	}
}

/* (inputs text[], model, pooling, normalize_embeddings, overflow) */
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
	overflow = overflow_argument(fcinfo, 4);
	call_begin_as(&call, fcinfo, 1, TASK_EMBED, pinned);
	many.pooling = pooling_argument(fcinfo, 2, call.handle);
	many.normalize = normalize_argument(fcinfo, 3, call.handle);
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
	double cosine = 0.0;

	if (PG_ARGISNULL(0) || PG_ARGISNULL(1))
		PG_RETURN_NULL();
	call_begin(&call, fcinfo, 2, TASK_EMBED);
	for (int i = 0; i < 2; i++)
	{
		InputText input;
		EncodeResult encoded;

		input_text(PG_GETARG_TEXT_PP(i), &input);
		encode_input(&call, &input, NULL, OVERFLOW_TRUNCATE, &encoded);
		windows[i] = encoded.windows[0];
	}
	rows = group_embeddings(&call, model_handle_bind(call.handle, HEAD_NONE), &group,
							call.handle->sentence.pooling, true);
	hidden = (size_t) call.handle->config.hidden_size;
	for (size_t i = 0; i < hidden; i++)
		cosine += (double) rows[i] * rows[hidden + i];
	call_end(&call);
	PG_RETURN_FLOAT4((float4) cosine);
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

static double
dot_in_double(size_t n, const float *x, const float *y)
{
	double sum = 0.0;

	for (size_t i = 0; i < n; i++)
		sum += (double) x[i] * y[i];
	return sum;
}

/* A long array in pieces: none takes more than some milliseconds. */
#define DOT_PIECE ((size_t) 4 * 1024 * 1024)

static double
dot_of(const Kernels *kernels, size_t n, const float *x, const float *y)
{
	double sum = 0.0;

	for (size_t done = 0; done < n; done += DOT_PIECE)
	{
		size_t piece = Min(n - done, DOT_PIECE);

		CHECK_FOR_INTERRUPTS();
		sum += kernels != NULL ? (double) kernels->dot(piece, x + done, y + done)
							   : dot_in_double(piece, x + done, y + done);
	}
	return sum;
}

/*
 * 0 where an embedding has no direction, as in sentence-transformers. The kernels add in fp32; sums
 * that leave its middle range are added again in double.
 */
static double
cosine(size_t n, const float *a, const float *b)
{
	Status status;
	const Kernels *kernels = kernels_choose(guc_kernel, &status);
	double ab;
	double aa;
	double bb;

	REPORT_UNLESS(kernels != NULL, &status);
	ab = dot_of(kernels, n, a, b);
	aa = dot_of(kernels, n, a, a);
	bb = dot_of(kernels, n, b, b);
	if (!(aa > 1e-20 && aa < 1e20 && bb > 1e-20 && bb < 1e20))
	{
		ab = dot_of(NULL, n, a, b);
		aa = dot_of(NULL, n, a, a);
		bb = dot_of(NULL, n, b, b);
	}
	return aa == 0.0 || bb == 0.0 ? 0.0 : ab / (sqrt(aa) * sqrt(bb));
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
	PG_RETURN_FLOAT4((float4) cosine((size_t) n_a, a, b));
}
