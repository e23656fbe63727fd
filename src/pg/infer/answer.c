/* answer.c: answer and answers: extractive question answering over windows. */
#include "pg/server/compat.h"

#include <limits.h>

#include "nn/answers.h"
#include "pg/infer/input.h"
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

static void
find_answers(Call *call, FunctionCallInfo fcinfo, InputText *context, const AnswerOptions *options,
			 int stride, Answer **answers, size_t *n_answers)
{
	const BertModel *model = model_handle_bind(call->handle, HEAD_QUESTION_ANSWERING);
	InputText question;
	EncodeResult encoded;
	Status status;

	input_text(ARGUMENT_TEXT(0), &question);
	input_text(ARGUMENT_TEXT(1), context);
	encode_context(call, &question, context, stride, &encoded);
	REPORT_UNLESS(answer_question(&(AnswerRequest){model, &encoded, options}, call->arena, answers,
								  n_answers, &backend_may_continue, &status),
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

/* bert.answer(question, context, model, null_answer) */
PGDLLEXPORT Datum
bert_answer(PG_FUNCTION_ARGS)
{
	AnswerOptions options = {.top_k = 1, .max_answer_tokens = ANSWER_MAX_TOKENS};
	Call call;
	InputText context;
	Answer *answers;
	size_t n_answers;
	Datum values[4];
	bool nulls[4] = {false};

	if (PG_ARGISNULL(0) || PG_ARGISNULL(1))
		PG_RETURN_NULL();
	options.null_answer = !PG_ARGISNULL(3) && PG_GETARG_BOOL(3);
	call_begin(&call, fcinfo, 2, TASK_ANSWER);
	find_answers(&call, fcinfo, &context, &options, ANSWER_STRIDE, &answers, &n_answers);
	call_end(&call);
	if (n_answers == 0)
		PG_RETURN_NULL();
	answer_values(&call, &context, &answers[0], values);
	return composite_result(fcinfo, values, nulls);
}

/* bert.answers(question, context, model, top_k, max_answer_tokens, stride, null_answer) */
PGDLLEXPORT Datum
bert_answers(PG_FUNCTION_ARGS)
{
	AnswerOptions options = {0};
	Call call;
	InputText context;
	Answer *answers;
	size_t n_answers;
	int stride;

	InitMaterializedSRF(fcinfo, 0);
	options.top_k = (size_t) int_argument(fcinfo, 3, "top_k", 1, MAX_TOP_K, 5);
	options.max_answer_tokens =
		(size_t) int_argument(fcinfo, 4, "max_answer_tokens", 1, INT_MAX, ANSWER_MAX_TOKENS);
	stride = int_argument(fcinfo, 5, "stride", 0, INT_MAX, ANSWER_STRIDE);
	options.null_answer = !PG_ARGISNULL(6) && PG_GETARG_BOOL(6);
	if (PG_ARGISNULL(0) || PG_ARGISNULL(1))
		return (Datum) 0;
	call_begin(&call, fcinfo, 2, TASK_ANSWER);
	call_name(&call, "answers");
	find_answers(&call, fcinfo, &context, &options, stride, &answers, &n_answers);
	for (size_t i = 0; i < n_answers; i++)
	{
		Datum values[4];
		bool nulls[4] = {false};

		answer_values(&call, &context, &answers[i], values);
		put_row(fcinfo, values, nulls);
	}
	call_end(&call);
	return (Datum) 0;
}
