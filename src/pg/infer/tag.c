/* tag.c: tag and entities: token classification over windows. */
#include "pg/server/compat.h"

#include "utils/builtins.h"

#include "nn/entities.h"
#include "pg/infer/batch.h"
#include "pg/infer/result.h"
#include "pg/server/detoast.h"
#include "pg/server/memory.h"
#include "pg/server/errors.h"

PG_FUNCTION_INFO_V1(bert_tag);
PG_FUNCTION_INFO_V1(bert_entities);

/* Tokens that neighbouring windows share. */
#define STRIDE 128

static void
find_entities(Call *call, const BertModel *model, const InputText *input, Aggregation aggregation,
			  bool keep_outside, Entity **entities, size_t *n_entities)
{
	int stride = window_stride(call->handle, STRIDE);
	EncodeResult encoded;
	ScoredTokens tokens;
	Status status;

	encode_windows(call, input, stride, &encoded);
	REPORT_UNLESS(score_tokens(model, &encoded, (size_t) stride, call->arena, &tokens,
							   &backend_may_continue, &status),
				  &status);
	REPORT_UNLESS(
		group_entities(&tokens,
					   &(EntityRequest){&call->handle->config, call->handle->tokenizer, input->utf8,
										input->length, aggregation, keep_outside},
					   call->arena, entities, n_entities, &status),
		&status);
}

static void
put_tags(Call *call, FunctionCallInfo fcinfo, InputText *input, const BertModel *model,
		 CallResult *result)
{
	Entity *tags;
	size_t n_tags;

	find_entities(call, model, input, AGGREGATE_NONE, true, &tags, &n_tags);
	for (size_t i = 0; i < n_tags; i++)
	{
		Datum values[6] = {Int32GetDatum(tags[i].index),
						   PointerGetDatum(output_text(tags[i].word, strlen(tags[i].word))),
						   PointerGetDatum(output_text(tags[i].label, strlen(tags[i].label))),
						   Float4GetDatum(tags[i].score),
						   Int32GetDatum(input_position(call, input, tags[i].start)),
						   Int32GetDatum(input_position(call, input, tags[i].end))};
		bool nulls[6] = {false};

		result_put(result, fcinfo, values, nulls);
	}
	result_end(result);
}

/* bert.tag(input, model): every token of the text, those outside of entities too */
PGDLLEXPORT Datum
bert_tag(PG_FUNCTION_ARGS)
{
	Call call;
	InputText input;
	const BertModel *model;
	CallResult result;

	InitMaterializedSRF(fcinfo, 0);
	if (PG_ARGISNULL(0))
		return (Datum) 0;
	call_begin(&call, fcinfo, 1, TASK_TAG);
	input_text(ARGUMENT_TEXT(0), &input);
	model = model_handle_bind(call.handle, HEAD_TOKEN_CLASSIFICATION);
	if (result_find(&call, &(ResultOf){.model = model, .input = &input}, &result))
		result_put_found(&result, fcinfo);
	else
		put_tags(&call, fcinfo, &input, model, &result);
	call_end(&call);
	return (Datum) 0;
}

static void
put_entities(Call *call, FunctionCallInfo fcinfo, InputText *input, const BertModel *model,
			 Aggregation aggregation, CallResult *result)
{
	Entity *entities;
	size_t n_entities;

	find_entities(call, model, input, aggregation, false, &entities, &n_entities);
	for (size_t i = 0; i < n_entities; i++)
	{
		Datum values[5] = {
			PointerGetDatum(output_text(entities[i].label, strlen(entities[i].label))),
			PointerGetDatum(output_text(entities[i].word, strlen(entities[i].word))),
			Float4GetDatum(entities[i].score),
			Int32GetDatum(input_position(call, input, entities[i].start)),
			Int32GetDatum(input_position(call, input, entities[i].end))};
		bool nulls[5] = {false};

		result_put(result, fcinfo, values, nulls);
	}
	result_end(result);
}

/* bert.entities(input, model, aggregation) */
PGDLLEXPORT Datum
bert_entities(PG_FUNCTION_ARGS)
{
	Aggregation aggregation = AGGREGATE_SIMPLE;
	Call call;
	InputText input;
	const BertModel *model;
	CallResult result;
	Status status;

	InitMaterializedSRF(fcinfo, 0);
	if (!PG_ARGISNULL(2))
		REPORT_UNLESS(aggregation_parse(text_to_cstring(ARGUMENT_TEXT(2)), &aggregation, &status),
					  &status);
	if (PG_ARGISNULL(0))
		return (Datum) 0;
	call_begin(&call, fcinfo, 1, TASK_ENTITIES);
	call_name(&call, "entities");
	input_text(ARGUMENT_TEXT(0), &input);
	model = model_handle_bind(call.handle, HEAD_TOKEN_CLASSIFICATION);
	if (result_find(&call, &(ResultOf){.model = model, .options = {aggregation}, .input = &input},
					&result))
		result_put_found(&result, fcinfo);
	else
		put_entities(&call, fcinfo, &input, model, aggregation, &result);
	call_end(&call);
	return (Datum) 0;
}
