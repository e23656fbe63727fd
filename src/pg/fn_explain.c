/* fn_explain.c: bert.explain: what each token contributed to the predicted class. */
#include "pg/compat.h"

#include "funcapi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/tuplestore.h"

#include "nn/windows.h"
#include "pg/definition.h"
#include "pg/infer.h"
#include "pg/memory.h"
#include "pg/report.h"
#include "train/explain.h"

PG_FUNCTION_INFO_V1(bert_explain);

/* The fp32 weights, all blocks one after the other; they are not kept prepared, so every call reads them. */
static float *
read_weights(ModelDefinition *definition)
{
	const TensorTable *table = &definition->table;
	float	   *weights = MemoryContextAllocHuge(CurrentMemoryContext, table->elements * sizeof *weights);
	size_t		at = 0;

	for (int b = 0; b < table->n_blocks; b++)
	{
		definition_read_block(definition, b, weights + at);
		at += table->blocks[b].elements;
		CHECK_FOR_INTERRUPTS();
	}
	return weights;
}

static void
put_tokens(Call *call, FunctionCallInfo fcinfo, InputText *input, InputText *pair, const Encoding *encoding, const float *attributions)
{
	for (size_t t = 0; t < encoding->n; t++)
	{
		bool		special = encoding->sequences[t] < 0;
		InputText  *text = encoding->sequences[t] == 1 ? pair : input;
		size_t		length;
		const char *token = tokenizer_token(call->handle->tokenizer, encoding->ids[t], &length);
		Datum		values[4] = {PointerGetDatum(output_text(token, length)), 0, 0, Float4GetDatum(attributions[t])};
		bool		nulls[4] = {false, special, special, false};

		if (!special)
		{
			values[1] = Int32GetDatum(input_position(call, text, encoding->starts[t]));
			values[2] = Int32GetDatum(input_position(call, text, encoding->ends[t]));
		}
		put_row(fcinfo, values, nulls);
	}
}

Datum
bert_explain(PG_FUNCTION_ARGS)
{
	Call		call;
	InputText	input;
	InputText	pair;
	bool		has_pair = !PG_ARGISNULL(1);
	EncodeResult encoded;
	ModelDefinition *definition;
	Batch		batch = {.n_sequences = 1};
	float	   *attributions;
	size_t		predicted;
	Status		status;

	InitMaterializedSRF(fcinfo, 0);
	if (PG_ARGISNULL(0))
		return (Datum) 0;
	call_begin(&call, fcinfo, 2, TASK_CLASSIFY);
	input_text(PG_GETARG_TEXT_PP(0), &input);
	if (has_pair)
		input_text(PG_GETARG_TEXT_PP(1), &pair);
	encode_input(&call, &input, has_pair ? &pair : NULL, OVERFLOW_TRUNCATE, &encoded);
	definition = definition_open(call.handle->name);
	attributions = arena_alloc_array(call.arena, encoded.windows[0].n, sizeof *attributions);
	if (attributions == NULL || !windows_batch(&encoded, 0, 1, call.arena, &batch, &status)
		|| !explain_prediction(call.arena, &definition->config, &definition->table, read_weights(definition), &batch, attributions, &predicted,
							   &backend_may_continue, &status))
	{
		if (attributions == NULL)
			arena_fail(call.arena, &status, "attributions", encoded.windows[0].n * sizeof *attributions);
		report_status(&status);
	}
	put_tokens(&call, fcinfo, &input, &pair, &encoded.windows[0], attributions);
	definition_close(definition);
	call_end(&call);
	return (Datum) 0;
}
