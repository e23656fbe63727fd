/* answer.c: answer and answers: extractive question answering over windows. */
#include "pg/server/compat.h"

#include <limits.h>

#include "access/htup_details.h"

#include "nn/answers.h"
#include "pg/infer/result.h"
#include "pg/server/detoast.h"
#include "pg/server/memory.h"
#include "pg/server/progress.h"
#include "pg/server/errors.h"

PG_FUNCTION_INFO_V1(bert_answer);
PG_FUNCTION_INFO_V1(bert_answers);

#define MAX_TOP_K 10000

/* The question whole, the context in windows. */
static void
encode_context(Call *call, const InputText *question, const InputText *context, int stride,
			   EncodeResult *encoded)
{
	AnswerInput input = {question->utf8,
						 question->length,
						 context->utf8,
						 context->length,
						 Min(call->handle->max_length, ANSWER_WINDOW),
						 stride};
	int64 tokens = 0;
	Status status;

	REPORT_UNLESS(answer_encode(call->handle->tokenizer, &input, call->arena, encoded,
								&backend_may_continue, &status),
				  &status);
	for (size_t w = 0; w < encoded->n_windows; w++)
		tokens += (int64) encoded->windows[w].n;
	call_count_text(call, tokens);
	progress_phase("computing", "windows", (int64) encoded->n_windows);
	progress_follow(0);
}

/* What is asked. */
typedef struct Asked
{
	InputText question;
	InputText context;
	const BertModel *model;
	AnswerOptions options;
	int stride;
	CallResult result;
} Asked;

/* Reads question and context; true when the result is remembered. */
static bool
is_remembered(Call *call, FunctionCallInfo fcinfo, Asked *asked)
{
	ResultOf of = {.options = {(int64) asked->options.top_k,
							   (int64) asked->options.max_answer_tokens, asked->options.null_answer,
							   asked->stride},
				   .input = &asked->question,
				   .second = &asked->context};

	of.model = asked->model = model_handle_bind(call->handle, HEAD_QUESTION_ANSWERING);
	input_text(ARGUMENT_TEXT(0), &asked->question);
	input_text(ARGUMENT_TEXT(1), &asked->context);
	return result_find(call, &of, &asked->result);
}

static void
find_answers(Call *call, Asked *asked, Answer **answers, size_t *n_answers)
{
	EncodeResult encoded;
	Status status;

	encode_context(call, &asked->question, &asked->context, asked->stride, &encoded);
	REPORT_UNLESS(answer_question(&(AnswerRequest){asked->model, &encoded, &asked->options},
								  call->arena, answers, n_answers, &backend_may_continue, &status),
				  &status);
}

static void
answer_values(Call *call, InputText *context, const Answer *answer, Datum *values)
{
	values[0] = PointerGetDatum(input_slice(call, context, answer->start, answer->end));
	values[1] = Float4GetDatum(answer->score);
	values[2] = Int32GetDatum(input_position(call, context, answer->start));
	values[3] = Int32GetDatum(input_position(call, context, answer->end));
}

/* The best answer, a composite value; NULL: there is none. */
static HeapTupleHeader
best_answer(Call *call, FunctionCallInfo fcinfo, Asked *asked)
{
	Answer *answers;
	size_t n_answers;
	HeapTupleHeader row = NULL;
	Datum values[4];
	bool nulls[4] = {false};

	find_answers(call, asked, &answers, &n_answers);
	if (n_answers > 0)
	{
		answer_values(call, &asked->context, &answers[0], values);
		row = DatumGetHeapTupleHeader(composite_result(fcinfo, values, nulls));
	}
	result_store(&asked->result, row, row == NULL ? 0 : HeapTupleHeaderGetDatumLength(row));
	return row;
}

/* bert.answer(question, context, model, null_answer) */
PGDLLEXPORT Datum
bert_answer(PG_FUNCTION_ARGS)
{
	Asked asked = {.options = {.top_k = 1, .max_answer_tokens = ANSWER_MAX_TOKENS},
				   .stride = ANSWER_STRIDE};
	Call call;
	HeapTupleHeader row;

	if (PG_ARGISNULL(0) || PG_ARGISNULL(1))
		PG_RETURN_NULL();
	asked.options.null_answer = !PG_ARGISNULL(3) && PG_GETARG_BOOL(3);
	call_begin(&call, fcinfo, 2, TASK_ANSWER);
	row = is_remembered(&call, fcinfo, &asked) ? result_found(&asked.result)
											   : best_answer(&call, fcinfo, &asked);
	call_end(&call);
	if (row == NULL)
		PG_RETURN_NULL();
	PG_RETURN_HEAPTUPLEHEADER(row);
}

static void
put_answers(Call *call, FunctionCallInfo fcinfo, Asked *asked)
{
	Answer *answers;
	size_t n_answers;

	find_answers(call, asked, &answers, &n_answers);
	for (size_t i = 0; i < n_answers; i++)
	{
		Datum values[4];
		bool nulls[4] = {false};

		answer_values(call, &asked->context, &answers[i], values);
		result_put(&asked->result, fcinfo, values, nulls);
	}
	result_end(&asked->result);
}

/* bert.answers(question, context, model, top_k, max_answer_tokens, stride, null_answer) */
PGDLLEXPORT Datum
bert_answers(PG_FUNCTION_ARGS)
{
	Asked asked = {.stride = 0};
	Call call;

	InitMaterializedSRF(fcinfo, 0);
	asked.options.top_k = (size_t) int_argument(fcinfo, 3, "top_k", 1, MAX_TOP_K, 5);
	asked.options.max_answer_tokens =
		(size_t) int_argument(fcinfo, 4, "max_answer_tokens", 1, INT_MAX, ANSWER_MAX_TOKENS);
	asked.stride = int_argument(fcinfo, 5, "stride", 0, INT_MAX, ANSWER_STRIDE);
	asked.options.null_answer = !PG_ARGISNULL(6) && PG_GETARG_BOOL(6);
	if (PG_ARGISNULL(0) || PG_ARGISNULL(1))
		return (Datum) 0;
	call_begin(&call, fcinfo, 2, TASK_ANSWER);
	call_name(&call, "answers");
	if (is_remembered(&call, fcinfo, &asked))
		result_put_found(&asked.result, fcinfo);
	else
		put_answers(&call, fcinfo, &asked);
	call_end(&call);
	return (Datum) 0;
}
