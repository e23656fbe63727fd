/* fill.c: fill_mask, pseudo_perplexity and next_sentence: the pre-training heads at work. */
#include "pg/server/compat.h"

#include <limits.h>

#include "nn/fill.h"
#include "pg/infer/gather.h"
#include "pg/infer/result.h"
#include "pg/infer/rows.h"
#include "pg/server/detoast.h"
#include "pg/server/memory.h"
#include "pg/server/progress.h"
#include "pg/server/errors.h"

PG_FUNCTION_INFO_V1(bert_fill_mask);
PG_FUNCTION_INFO_V1(bert_pseudo_perplexity);
PG_FUNCTION_INFO_V1(bert_next_sentence);

#define STRIDE 128

/* A pre-training model has the wanted head among others. */
static const BertModel *
bind_or_pretraining(ModelHandle *handle, HeadKind head)
{
	return model_handle_bind(handle, handle->head == HEAD_PRETRAINING ? HEAD_PRETRAINING : head);
}

static void
put_fills(Call *call, FunctionCallInfo fcinfo, const InputText *input, const BertModel *model,
		  size_t top_k, CallResult *result)
{
	EncodeResult encoded;
	Fill *fills;
	size_t n_fills;
	Status status;

	encode_input(call, input, NULL, OVERFLOW_REFUSE, &encoded);
	progress_phase("computing", NULL, -1);
	REPORT_UNLESS(
		fill_masks(&(FillRequest){model, call->handle->tokenizer, &encoded.windows[0], top_k},
				   call->arena, &fills, &n_fills, &backend_may_continue, &status),
		&status);
	for (size_t i = 0; i < n_fills; i++)
	{
		Datum values[4] = {
			PointerGetDatum(output_text(fills[i].token, strlen(fills[i].token))),
			Int32GetDatum(fills[i].token_id), Float4GetDatum(fills[i].score),
			PointerGetDatum(output_text(fills[i].sequence, strlen(fills[i].sequence)))};
		bool nulls[4] = {false};

		result_put(result, fcinfo, values, nulls);
	}
	result_end(result);
}

/* bert.fill_mask(input, model, top_k) */
PGDLLEXPORT Datum
bert_fill_mask(PG_FUNCTION_ARGS)
{
	Call call;
	InputText input;
	const BertModel *model;
	CallResult result;
	size_t top_k;

	InitMaterializedSRF(fcinfo, 0);
	top_k = (size_t) int_argument(fcinfo, 2, "top_k", 1, INT_MAX, 5);
	if (PG_ARGISNULL(0))
		return (Datum) 0;
	call_begin(&call, fcinfo, 1, TASK_FILL_MASK);
	model = bind_or_pretraining(call.handle, HEAD_MASKED_LM);
	input_text(ARGUMENT_TEXT(0), &input);
	if (result_find(&call, &(ResultOf){.model = model, .options = {(int64) top_k}, .input = &input},
					&result))
		result_put_found(&result, fcinfo);
	else
		put_fills(&call, fcinfo, &input, model, top_k, &result);
	call_end(&call);
	return (Datum) 0;
}

static float4
compute_perplexity(Call *call, const InputText *input, const BertModel *model)
{
	int stride = window_stride(call->handle, STRIDE);
	EncodeResult encoded;
	double perplexity;
	Status status;

	encode_windows(call, input, stride, &encoded);
	progress_phase("computing", "tokens", call->counted.tokens);
	progress_follow(0);
	REPORT_UNLESS(pseudo_perplexity(&(PerplexityRequest){model, call->handle->tokenizer, &encoded,
														 (size_t) stride},
									call->arena, &perplexity, &backend_may_continue, &status),
				  &status);
	return (float4) perplexity;
}

/* bert.pseudo_perplexity(input, model) */
PGDLLEXPORT Datum
bert_pseudo_perplexity(PG_FUNCTION_ARGS)
{
	Call call;
	InputText input;
	const BertModel *model;
	CallResult result;
	float4 perplexity;

	if (PG_ARGISNULL(0))
		PG_RETURN_NULL();
	call_begin(&call, fcinfo, 1, TASK_FILL_MASK);
	call_name(&call, "pseudo_perplexity");
	model = bind_or_pretraining(call.handle, HEAD_MASKED_LM);
	input_text(ARGUMENT_TEXT(0), &input);
	if (result_find(&call, &(ResultOf){.model = model, .input = &input}, &result))
		memcpy(&perplexity, result.found.bytes, sizeof perplexity);
	else
	{
		perplexity = compute_perplexity(&call, &input, model);
		result_store(&result, &perplexity, sizeof perplexity);
	}
	call_end(&call);
	PG_RETURN_FLOAT4(perplexity);
}

/* bert.next_sentence(a, b, model) */
PGDLLEXPORT Datum
bert_next_sentence(PG_FUNCTION_ARGS)
{
	Call call;
	InputText texts[2];
	RowsWanted wanted = {.overflow = OVERFLOW_TRUNCATE};
	float *scores; /* (2): follows, does not */

	if (PG_ARGISNULL(0) || PG_ARGISNULL(1))
		PG_RETURN_NULL();
	call_begin(&call, fcinfo, 2, TASK_NEXT_SENTENCE);
	wanted.model = bind_or_pretraining(call.handle, HEAD_NEXT_SENTENCE);
	input_text(ARGUMENT_TEXT(0), &texts[0]);
	input_text(ARGUMENT_TEXT(1), &texts[1]);
	scores = text_row(&call, &wanted, &texts[0], &texts[1]);
	softmax_rows(1, row_columns(&call, &wanted), scores);
	call_end(&call);
	PG_RETURN_FLOAT4(scores[0]);
}

void
gather_next_sentence(FunctionCallInfo fcinfo, const TextInputs *inputs)
{
	RowsWanted wanted = {.overflow = OVERFLOW_TRUNCATE};
	Call call;

	call_begin(&call, fcinfo, 2, TASK_NEXT_SENTENCE);
	wanted.model = bind_or_pretraining(call.handle, HEAD_NEXT_SENTENCE);
	texts_ahead(&call, &wanted, inputs);
}
