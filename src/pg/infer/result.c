/* result.c: sets of rows and single values that this backend has computed. */
#include "pg/server/compat.h"

#include "access/htup_details.h"
#include "miscadmin.h"
#include "utils/tuplestore.h"

#include "pg/infer/result.h"

/* What is larger is not remembered. */
#define MAX_RESULT_BYTES (1024 * 1024)

/* False: it is not to be remembered. */
static bool
make_key(const Call *call, const ResultOf *of, MemoKey *key)
{
	struct
	{
		uint64 kind; /* of key: no serial number of a model */
		uint64 serial, input, second;
		const BertModel *model;
		int64 options[RESULT_OPTIONS];
		char function[STATS_FUNCTION_BYTES];
	} fixed;
	Sha256 hash;

	if (!memo_enabled() || of->input->length > MEMO_MAX_TEXT ||
		(of->second != NULL && of->second->length > MEMO_MAX_TEXT))
		return false;
	memset(&fixed, 0, sizeof fixed);
	fixed.kind = UINT64_MAX;
	fixed.serial = call->handle->serial;
	fixed.input = of->input->length;
	fixed.second = of->second == NULL ? UINT64_MAX : of->second->length;
	fixed.model = of->model;
	memcpy(fixed.options, of->options, sizeof fixed.options);
	strlcpy(fixed.function, call->counted.function, sizeof fixed.function);
	sha256_init(&hash);
	sha256_update(&hash, &fixed, sizeof fixed);
	sha256_update(&hash, of->input->utf8, of->input->length);
	if (of->second != NULL)
		sha256_update(&hash, of->second->utf8, of->second->length);
	sha256_final(&hash, key->bytes);
	return true;
}

bool
result_find(Call *call, const ResultOf *of, CallResult *result)
{
	memset(result, 0, sizeof *result);
	result->keyed = make_key(call, of, &result->key);
	if (!result->keyed)
		return false;
	if (memo_find(&result->key, true, &result->found))
	{
		call_count_remembered(call, result->found.truncated, false);
		return true;
	}
	initStringInfo(&result->rows);
	return false;
}

/* A row is its length, in MAXALIGN bytes, and the tuple, filled up to MAXALIGN bytes. */

static void
append_row(StringInfo rows, HeapTuple tuple)
{
	static const char zeros[MAXIMUM_ALIGNOF] = {0};
	Size length = tuple->t_len;

	appendBinaryStringInfo(rows, (const char *) &length, sizeof length);
	appendBinaryStringInfo(rows, zeros, MAXALIGN(sizeof length) - sizeof length);
	appendBinaryStringInfo(rows, (const char *) tuple->t_data, (int) length);
	appendBinaryStringInfo(rows, zeros, (int) (MAXALIGN(length) - length));
}

void
result_put(CallResult *result, FunctionCallInfo fcinfo, Datum *values, bool *nulls)
{
	ReturnSetInfo *set = (ReturnSetInfo *) fcinfo->resultinfo;
	HeapTuple tuple;

	if (!result->keyed)
	{
		put_row(fcinfo, values, nulls);
		return;
	}
	tuple = heap_form_tuple(set->setDesc, values, nulls);
	tuplestore_puttuple(set->setResult, tuple);
	if ((Size) result->rows.len + tuple->t_len <= MAX_RESULT_BYTES)
		append_row(&result->rows, tuple);
	else
		result->keyed = false;
	heap_freetuple(tuple);
}

void
result_end(CallResult *result)
{
	result_store(result, result->rows.data, (size_t) result->rows.len);
}

void
result_put_found(const CallResult *result, FunctionCallInfo fcinfo)
{
	ReturnSetInfo *set = (ReturnSetInfo *) fcinfo->resultinfo;
	const char *bytes = result->found.bytes;

	for (size_t at = 0; at < result->found.size;)
	{
		HeapTupleData tuple = {0};
		Size length;

		memcpy(&length, bytes + at, sizeof length);
		at += MAXALIGN(sizeof length);
		tuple.t_len = (uint32) length;
		tuple.t_data = (HeapTupleHeader) unconstify(char *, bytes + at);
		tuplestore_puttuple(set->setResult, &tuple);
		at += MAXALIGN(length);
	}
}

void
result_store(const CallResult *result, const void *value, size_t size)
{
	if (result->keyed && size <= MAX_RESULT_BYTES)
		memo_store(&result->key, &(MemoRow){value, size, false, false});
}

void *
result_found(const CallResult *result)
{
	void *value;

	if (result->found.size == 0)
		return NULL;
	value = palloc(result->found.size);
	memcpy(value, result->found.bytes, result->found.size);
	return value;
}
