/*
 * result.h: results that are no rows of numbers (entities, answers, words), remembered whole, by
 * the rules of memo.h.
 */
#ifndef BERT_PG_INFER_RESULT_H
#define BERT_PG_INFER_RESULT_H

#include "lib/stringinfo.h"

#include "pg/infer/input.h"
#include "pg/infer/memo.h"

#define RESULT_OPTIONS 6

/* All that decides a result. */
typedef struct ResultOf
{
	const BertModel *model; /* or NULL: as it is stored */
	int64 options[RESULT_OPTIONS];
	const InputText *input;
	const InputText *second; /* or NULL */
} ResultOf;

typedef struct CallResult
{
	MemoKey key;
	bool keyed; /* it is to be remembered */
	MemoRow found;
	StringInfoData rows; /* of a set, to be remembered */
} CallResult;

/* True when the call's result is remembered, under the call's name; it counts as a text then. */
extern bool result_find(Call *call, const ResultOf *of, CallResult *result);

/* Sets: a row of one that is computed; its end; all rows of one that was found. */
extern void result_put(CallResult *result, FunctionCallInfo fcinfo, Datum *values, bool *nulls);
extern void result_end(CallResult *result);
extern void result_put_found(const CallResult *result, FunctionCallInfo fcinfo);

/* Single values: one that is computed, of so many bytes, 0 for NULL; one that was found, or NULL.
 */
extern void result_store(const CallResult *result, const void *value, size_t size);
extern void *result_found(const CallResult *result);

#endif
