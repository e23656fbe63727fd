/* text.c: tokenize, encode, decode, count_tokens. */
#include "pg/server/compat.h"

#include <limits.h>

#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

#include "pg/infer/batch.h"
#include "pg/server/detoast.h"
#include "pg/server/memory.h"
#include "pg/server/errors.h"

PG_FUNCTION_INFO_V1(bert_tokenize);
PG_FUNCTION_INFO_V1(bert_encode);
PG_FUNCTION_INFO_V1(bert_decode);
PG_FUNCTION_INFO_V1(bert_count_tokens);

static ArrayType *
token_array(const Tokenizer *tokenizer, const Encoding *encoding)
{
	Datum *values =
		MemoryContextAllocHuge(CurrentMemoryContext, Max(encoding->n, 1) * sizeof(Datum));

	for (size_t i = 0; i < encoding->n; i++)
	{
		size_t length;
		const char *token = tokenizer_token(tokenizer, encoding->ids[i], &length);

		CHECK_FOR_INTERRUPTS();
		values[i] = PointerGetDatum(output_text(token, length));
	}
	return text_array(values, encoding->n);
}

/* bert.tokenize(input, model, pair) */
PGDLLEXPORT Datum
bert_tokenize(PG_FUNCTION_ARGS)
{
	EncodeOptions options = {.special_tokens = false, .truncation = TRUNCATE_NONE};
	Call call;
	InputText input;
	InputText pair;
	EncodeResult encoded;
	ArrayType *tokens;

	if (PG_ARGISNULL(0))
		PG_RETURN_NULL();
	call_begin(&call, fcinfo, 1, TASK_EMBED);
	call_name(&call, "tokenize");
	input_text(ARGUMENT_TEXT(0), &input);
	if (!PG_ARGISNULL(2))
		input_text(ARGUMENT_TEXT(2), &pair);
	encode_with(&call, &input, PG_ARGISNULL(2) ? NULL : &pair, &options, &encoded);
	tokens = token_array(call.handle->tokenizer, &encoded.windows[0]);
	call_leave(&call);
	PG_RETURN_ARRAYTYPE_P(tokens);
}

/* Start and end of each token in characters of its text. */
static void
positions(Call *call, const Encoding *encoding, InputText *input, InputText *pair, int32_t *starts,
		  int32_t *ends)
{
	for (size_t i = 0; i < encoding->n; i++)
	{
		InputText *owner = encoding->sequences[i] == 1 ? pair : input;

		CHECK_FOR_INTERRUPTS();
		starts[i] =
			encoding->sequences[i] < 0 ? 0 : input_position(call, owner, encoding->starts[i]);
		ends[i] = encoding->sequences[i] < 0 ? 0 : input_position(call, owner, encoding->ends[i]);
	}
}

/* bert.encode(input, model, pair, max_length, special_tokens) */
PGDLLEXPORT Datum
bert_encode(PG_FUNCTION_ARGS)
{
	EncodeOptions options = {.special_tokens = true, .truncation = TRUNCATE_LONGEST_FIRST};
	Call call;
	InputText input;
	InputText pair;
	EncodeResult encoded;
	const Encoding *encoding;
	int32_t *numbers;
	Datum values[6];
	bool nulls[6] = {false};

	if (PG_ARGISNULL(0))
		PG_RETURN_NULL();
	call_begin(&call, fcinfo, 1, TASK_EMBED);
	call_name(&call, "encode");
	options.max_length = int_argument(fcinfo, 3, "max_length", 1, INT_MAX, call.handle->max_length);
	options.special_tokens = PG_ARGISNULL(4) || PG_GETARG_BOOL(4);
	input_text(ARGUMENT_TEXT(0), &input);
	if (!PG_ARGISNULL(2))
		input_text(ARGUMENT_TEXT(2), &pair);
	encode_with(&call, &input, PG_ARGISNULL(2) ? NULL : &pair, &options, &encoded);
	encoding = &encoded.windows[0];
	numbers =
		MemoryContextAllocHuge(CurrentMemoryContext, Max(encoding->n, 1) * 2 * sizeof(int32_t));
	positions(&call, encoding, &input, &pair, numbers, numbers + encoding->n);
	values[0] = PointerGetDatum(int_array(encoding->ids, encoding->n));
	values[1] = PointerGetDatum(int_array(encoding->type_ids, encoding->n));
	values[3] = PointerGetDatum(token_array(call.handle->tokenizer, encoding));
	values[4] = PointerGetDatum(int_array(numbers, encoding->n));
	values[5] = PointerGetDatum(int_array(numbers + encoding->n, encoding->n));
	for (size_t i = 0; i < encoding->n; i++)
		numbers[i] = 1;
	values[2] = PointerGetDatum(int_array(numbers, encoding->n));
	call_leave(&call);
	return composite_result(fcinfo, values, nulls);
}

/* Ids that the model has; some of them may be no token's. */
static void
check_ids(ArrayType *ids, int vocab_size)
{
	const int32 *values = (const int32 *) ARR_DATA_PTR(ids);
	int n = ArrayGetNItems(ARR_NDIM(ids), ARR_DIMS(ids));

	for (int i = 0; i < n; i++)
		if (values[i] < 0 || values[i] >= vocab_size)
			ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
							errmsg("token id %d is not in the vocabulary", values[i]),
							errdetail("The model's ids are 0 to %d.", vocab_size - 1)));
}

/* bert.decode(ids, model, skip_special_tokens) */
PGDLLEXPORT Datum
bert_decode(PG_FUNCTION_ARGS)
{
	ArrayType *ids;
	Call call;
	DecodedText decoded;
	Status status;

	if (PG_ARGISNULL(0))
		PG_RETURN_NULL();
	ids = ARGUMENT_ARRAY(0);
	if (array_contains_nulls(ids))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED), errmsg("ids must not contain NULL")));
	call_begin(&call, fcinfo, 1, TASK_EMBED);
	call_name(&call, "decode");
	check_ids(ids, call.handle->config.vocab_size);
	REPORT_UNLESS(
		tokenizer_decode(call.handle->tokenizer, call.arena,
						 &(DecodeInput){(const int32_t *) ARR_DATA_PTR(ids),
										(size_t) ArrayGetNItems(ARR_NDIM(ids), ARR_DIMS(ids)),
										PG_ARGISNULL(2) || PG_GETARG_BOOL(2)},
						 &backend_may_continue, &decoded, &status),
		&status);
	call_leave(&call);
	PG_RETURN_TEXT_P(output_text(decoded.text, decoded.length));
}

/* bert.count_tokens(input, model) */
PGDLLEXPORT Datum
bert_count_tokens(PG_FUNCTION_ARGS)
{
	Call call;
	InputText input;
	size_t count;

	if (PG_ARGISNULL(0))
		PG_RETURN_NULL();
	call_begin(&call, fcinfo, 1, TASK_EMBED);
	call_name(&call, "count_tokens");
	input_text(ARGUMENT_TEXT(0), &input);
	count = count_tokens(&call, &input);
	call_leave(&call);
	PG_RETURN_INT32((int32) count);
}
