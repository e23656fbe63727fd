/* generate.c: generate: a causal language model reads on. */
#include "pg/server/compat.h"

#include <limits.h>
#include <math.h>

#include "nn/generate.h"
#include "pg/infer/batch.h"
#include "pg/infer/result.h"
#include "pg/server/detoast.h"
#include "pg/server/memory.h"
#include "pg/server/progress.h"
#include "pg/server/errors.h"

PG_FUNCTION_INFO_V1(bert_generate);

static float
real_argument(FunctionCallInfo fcinfo, int argument, float value_if_null)
{
	return PG_ARGISNULL(argument) ? value_if_null : PG_GETARG_FLOAT4(argument);
}

static void
check_options(const GenerateOptions *options)
{
	if (!(options->temperature >= 0.0f) || isinf(options->temperature))
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("temperature must be 0 or more, not %g", options->temperature)));
	if (!(options->top_p > 0.0f && options->top_p <= 1.0f))
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("top_p must be over 0 and at most 1, not %g", options->top_p)));
}

static int64
bits_of(float value)
{
	uint32 bits;

	memcpy(&bits, &value, sizeof bits);
	return bits;
}

/* What follows the prompt. */
static text *
continue_text(Call *call, const InputText *prompt, const BertModel *model,
			  const GenerateOptions *options)
{
	EncodeOptions encode = {.special_tokens = true, .truncation = TRUNCATE_NONE};
	EncodeResult encoded;
	const Encoding *window;
	int32_t *ids;
	size_t n;
	DecodedText decoded;
	Status status;

	encode_with(call, prompt, NULL, &encode, &encoded);
	window = &encoded.windows[0];
	progress_phase("computing", "tokens", (int64) options->max_new_tokens);
	progress_follow(0);
	/* A text is [CLS] ... [SEP]: what is to be continued has no end yet. */
	REPORT_UNLESS(generate_tokens(&(GenerateRequest){model, window->ids, window->n - 1, options},
								  call->arena, &ids, &n, &backend_may_continue, &status),
				  &status);
	REPORT_UNLESS(tokenizer_decode(call->handle->tokenizer, call->arena,
								   &(DecodeInput){ids, n, true}, &backend_may_continue, &decoded,
								   &status),
				  &status);
	call_count_text(call, (int64) (window->n - 1 + n));
	return output_text(decoded.text, decoded.length);
}

/* bert.generate(prompt, model, max_new_tokens, temperature, top_k, top_p, seed) */
PGDLLEXPORT Datum
bert_generate(PG_FUNCTION_ARGS)
{
	GenerateOptions options = {0};
	Call call;
	InputText prompt;
	ResultOf of = {.input = &prompt};
	CallResult result;
	text *generated;

	if (PG_ARGISNULL(0))
		PG_RETURN_NULL();
	options.max_new_tokens = (size_t) int_argument(fcinfo, 2, "max_new_tokens", 1, INT_MAX, 32);
	options.temperature = real_argument(fcinfo, 3, 0.0f);
	options.top_k = (size_t) int_argument(fcinfo, 4, "top_k", 0, INT_MAX, 0);
	options.top_p = real_argument(fcinfo, 5, 1.0f);
	options.seed = PG_ARGISNULL(6) ? 0 : (uint64_t) PG_GETARG_INT64(6);
	check_options(&options);
	call_begin(&call, fcinfo, 1, TASK_GENERATE);
	if (!call.handle->config.is_decoder)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("model \"%s\" is not a decoder and cannot generate", call.handle->name),
				 errhint("Use a model with a causal_lm head, or train one with bert.finetune.")));
	of.model = model_handle_bind(call.handle, HEAD_CAUSAL_LM);
	options.stop_id = tokenizer_sep_id(call.handle->tokenizer);
	input_text(ARGUMENT_TEXT(0), &prompt);
	of.options[0] = (int64) options.max_new_tokens;
	of.options[1] = bits_of(options.temperature);
	of.options[2] = (int64) options.top_k;
	of.options[3] = bits_of(options.top_p);
	of.options[4] = (int64) options.seed;
	if (result_find(&call, &of, &result))
		generated = result_found(&result);
	else
	{
		generated = continue_text(&call, &prompt, of.model, &options);
		result_store(&result, generated, VARSIZE(generated));
	}
	call_end(&call);
	PG_RETURN_TEXT_P(generated);
}
