/* explain.c: bert.explain: what each token contributed to the predicted class. */
#include "pg/server/compat.h"

#include "funcapi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/tuplestore.h"

#include "nn/windows.h"
#include "pg/model/definition.h"
#include "pg/infer/batch.h"
#include "pg/infer/result.h"
#include "pg/server/detoast.h"
#include "pg/server/memory.h"
#include "pg/server/errors.h"
#include "pg/server/progress.h"
#include "train/explain.h"

PG_FUNCTION_INFO_V1(bert_explain);

/*
 * The fp32 weights of the model last explained by a statement that still runs: they are not kept
 * prepared, and reading them takes longer than explaining. They lie in the memory of the function
 * call's site, which the executor frees at the statement's end.
 */
typedef struct ExplainedWeights
{
	BlockHash digest;
	float *weights; /* (table->elements); NULL: none */
	MemoryContext context;
} ExplainedWeights;

static ExplainedWeights explained;

static void
forget_weights(void *context)
{
	if (explained.context == context)
		explained = (ExplainedWeights){0};
}

static void
drop_weights(void)
{
	float *weights = explained.weights;

	explained.weights = NULL;
	if (weights != NULL)
		pfree(weights);
}

/* All blocks one after the other. */
static float *
read_weights(ModelDefinition *definition, MemoryContext context)
{
	const TensorTable *table = &definition->table;
	float *weights;
	size_t at = 0;

	if (explained.weights != NULL && explained.context == context &&
		memcmp(&explained.digest, &definition->digest, sizeof(BlockHash)) == 0)
		return explained.weights;
	drop_weights();
	if (explained.context != context)
	{
		MemoryContextCallback *callback = MemoryContextAllocZero(context, sizeof *callback);

		callback->func = forget_weights;
		callback->arg = context;
		MemoryContextRegisterResetCallback(context, callback);
		explained.context = context;
	}
	memory_check_weights(table->elements, false);
	weights = MemoryContextAllocHuge(context, table->elements * sizeof *weights);
	for (int b = 0; b < table->n_blocks; b++)
	{
		definition_read_block(definition, b, weights + at);
		at += table->blocks[b].elements;
		CHECK_FOR_INTERRUPTS();
	}
	explained.digest = definition->digest;
	explained.weights = weights;
	return weights;
}

static void
check_head(const ModelDefinition *definition)
{
	HeadKind head = definition->table.head;

	if (head == HEAD_SEQUENCE_CLASSIFICATION || head == HEAD_NEXT_SENTENCE ||
		head == HEAD_MULTIPLE_CHOICE)
		return;
	ereport(
		ERROR,
		(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
		 errmsg("model \"%s\" has no head whose predictions can be explained", definition->name),
		 head == HEAD_NONE ? errdetail("It is an encoder without a head.")
						   : errdetail("Its head is %s.", head_kind_name(head)),
		 errhint("Heads for sequence classification, next sentence and multiple choice can.")));
}

static void
put_tokens(Call *call, FunctionCallInfo fcinfo, InputText *input, InputText *pair,
		   const Encoding *encoding, const float *attributions, CallResult *result)
{
	for (size_t t = 0; t < encoding->n; t++)
	{
		bool special = encoding->sequences[t] < 0;
		InputText *text = encoding->sequences[t] == 1 ? pair : input;
		size_t length;
		const char *token = tokenizer_token(call->handle->tokenizer, encoding->ids[t], &length);
		Datum values[4] = {PointerGetDatum(output_text(token, length)), 0, 0,
						   Float4GetDatum(attributions[t])};
		bool nulls[4] = {false, special, special, false};

		if (!special)
		{
			values[1] = Int32GetDatum(input_position(call, text, encoding->starts[t]));
			values[2] = Int32GetDatum(input_position(call, text, encoding->ends[t]));
		}
		result_put(result, fcinfo, values, nulls);
	}
	result_end(result);
}

static void
explain_text(Call *call, FunctionCallInfo fcinfo, InputText *input, InputText *pair,
			 CallResult *result)
{
	EncodeResult encoded;
	ModelDefinition *definition;
	Batch batch = {.n_sequences = 1};
	float *attributions;
	size_t predicted;
	Status status;

	encode_input(call, input, pair, OVERFLOW_TRUNCATE, &encoded);
	progress_phase("computing", NULL, -1);
	definition = definition_open(call->handle->name);
	check_head(definition);
	attributions = arena_alloc_array(call->arena, encoded.windows[0].n, sizeof *attributions);
	if (attributions == NULL || !windows_batch(&encoded, 0, 1, call->arena, &batch, &status) ||
		!explain_prediction(&(ExplainRequest){&definition->config, &definition->table,
											  read_weights(definition, fcinfo->flinfo->fn_mcxt),
											  &batch},
							call->arena, attributions, &predicted, &backend_may_continue, &status))
	{
		if (attributions == NULL)
			arena_fail(call->arena, &status, "attributions",
					   encoded.windows[0].n * sizeof *attributions);
		report_status(&status);
	}
	put_tokens(call, fcinfo, input, pair, &encoded.windows[0], attributions, result);
	definition_close(definition);
}

/* bert.explain(input, model, pair) */
Datum
bert_explain(PG_FUNCTION_ARGS)
{
	Call call;
	InputText input;
	InputText pair;
	InputText *second = PG_ARGISNULL(2) ? NULL : &pair;
	CallResult result;

	InitMaterializedSRF(fcinfo, 0);
	if (PG_ARGISNULL(0))
		return (Datum) 0;
	call_begin(&call, fcinfo, 1, TASK_CLASSIFY);
	call_name(&call, "explain");
	input_text(ARGUMENT_TEXT(0), &input);
	if (second != NULL)
		input_text(ARGUMENT_TEXT(2), second);
	if (result_find(&call, &(ResultOf){.input = &input, .second = second}, &result))
		result_put_found(&result, fcinfo);
	else
		explain_text(&call, fcinfo, &input, second, &result);
	call_end(&call);
	return (Datum) 0;
}
