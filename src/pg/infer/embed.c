/* embed.c: embed for one text and many, their pinned forms, and similarity. */
#include "pg/server/compat.h"

#include "catalog/pg_type.h"

#include "pg/infer/call.h"
#include "pg/server/memory.h"
#include "pg/server/errors.h"

PG_FUNCTION_INFO_V1(bert_embed);
PG_FUNCTION_INFO_V1(bert_embed_many);
PG_FUNCTION_INFO_V1(bert_embed_pinned);
PG_FUNCTION_INFO_V1(bert_embed_many_pinned);
PG_FUNCTION_INFO_V1(bert_similarity);

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
