/* sparse.c: embed_sparse, and its results as pgvector writes them. */
#include "pg/server/compat.h"

#include "catalog/pg_type.h"
#include "common/shortest_dec.h"
#include "executor/executor.h"
#include "miscadmin.h"
#include "utils/builtins.h"

#include "core/bulk.h"
#include "nn/splade.h"
#include "pg/infer/batch.h"
#include "pg/infer/embedding.h"
#include "pg/infer/rows.h"
#include "pg/server/detoast.h"
#include "pg/server/errors.h"
#include "pg/server/memory.h"

PG_FUNCTION_INFO_V1(bert_embed_sparse);
PG_FUNCTION_INFO_V1(bert_sparse_text);

static PromptUse
kind_argument(FunctionCallInfo fcinfo, int argument)
{
	const char *kind =
		PG_ARGISNULL(argument) ? "document" : text_to_cstring(ARGUMENT_TEXT(argument));

	if (strcmp(kind, "document") == 0)
		return PROMPT_DOCUMENT;
	if (strcmp(kind, "query") != 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("unknown kind \"%s\"", kind),
				 errhint("There are document and query.")));
	return PROMPT_QUERY;
}

/* The weights (n) that are not 0. */
static Datum
sparse_result(FunctionCallInfo fcinfo, const float *weights, size_t n)
{
	int32_t *indices = palloc(n * sizeof *indices);
	float *kept = palloc(n * sizeof *kept);
	bool nulls[3] = {false};
	Datum values[3];
	int count = 0;

	for (size_t i = 0; i < n; i++)
		if (weights[i] != 0)
		{
			indices[count] = (int32_t) i;
			kept[count++] = weights[i];
		}
	values[0] = Int32GetDatum((int32) n);
	values[1] = PointerGetDatum(int_array(indices, (size_t) count));
	values[2] = PointerGetDatum(real_array(kept, 1, &count));
	return composite_result(fcinfo, values, nulls);
}

/* A query whose words have weights of their own: no network is computed. */
static const float *
query_row(Call *call, const RowsWanted *wanted, const InputText *input)
{
	float *row = call_take(call, row_columns(call, wanted), sizeof *row, "results");
	EncodeResult encoded;
	Status status;

	encode_words(call, input, &encoded);
	arena_set_question(call->arena, &backend_may_continue);
	REPORT_UNLESS(splade_weigh_query(wanted->model, encoded.windows[0].ids, encoded.windows[0].n,
									 call->arena, row, &status),
				  &status);
	return row;
}

/* bert.embed_sparse(input, model, kind) */
PGDLLEXPORT Datum
bert_embed_sparse(PG_FUNCTION_ARGS)
{
	RowsWanted wanted;
	PromptUse use;
	InputText input;
	const float *row;
	Datum result;
	Call call;

	if (PG_ARGISNULL(0))
		PG_RETURN_NULL();
	use = kind_argument(fcinfo, 2);
	call_begin(&call, fcinfo, 1, TASK_EMBED);
	call_name(&call, "embed_sparse");
	wanted = want_weights(call.handle, OVERFLOW_TRUNCATE);
	use_prompt(&call, NULL, NULL, use);
	input_text(ARGUMENT_TEXT(0), &input);
	row = use == PROMPT_QUERY && splade_has_query_weights(&call.handle->config)
			  ? query_row(&call, &wanted, &input)
			  : text_row(&call, &wanted, &input, NULL);
	result = sparse_result(fcinfo, row, row_columns(&call, &wanted));
	call_end(&call);
	return result;
}

pg_noreturn static void
refuse_sparse(const char *why)
{
	ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					errmsg("the value is no sparse embedding"), errdetail_internal("%s", why)));
}

static ArrayType *
sparse_array(HeapTupleHeader row, const char *name, Oid type)
{
	bool is_null;
	Datum value = GetAttributeByName(row, name, &is_null);
	ArrayType *array = is_null ? NULL : (ArrayType *) detoast(value);

	if (array == NULL || ARR_NDIM(array) > 1 || array_contains_nulls(array) ||
		ARR_ELEMTYPE(array) != type)
		refuse_sparse(psprintf("\"%s\" is not a list without NULL.", name));
	return array;
}

/* bert.sparse_text(sparse): '{index:weight,...}/dimensions', indices from 1 */
PGDLLEXPORT Datum
bert_sparse_text(PG_FUNCTION_ARGS)
{
	HeapTupleHeader row = PG_GETARG_HEAPTUPLEHEADER(0);
	ArrayType *indices = sparse_array(row, "indices", INT4OID);
	ArrayType *weights = sparse_array(row, "weights", FLOAT4OID);
	int n = ArrayGetNItems(ARR_NDIM(indices), ARR_DIMS(indices));
	const int32 *index = (const int32 *) ARR_DATA_PTR(indices);
	const float4 *weight = (const float4 *) ARR_DATA_PTR(weights);
	StringInfoData text;
	bool is_null;
	int32 dimensions = DatumGetInt32(GetAttributeByName(row, "dimensions", &is_null));

	if (is_null || n != ArrayGetNItems(ARR_NDIM(weights), ARR_DIMS(weights)))
		refuse_sparse("There are not as many weights as indices, or no dimensions.");
	initStringInfo(&text);
	appendStringInfoChar(&text, '{');
	for (int i = 0; i < n; i++)
	{
		char number[32];

		if (index[i] < 0 || index[i] >= dimensions)
			refuse_sparse("An index is not below the dimensions.");
		if (bulk_turn((size_t) i, ASK_ELEMENTS))
			CHECK_FOR_INTERRUPTS();
		(void) float_to_shortest_decimal_buf(weight[i], number);
		appendStringInfo(&text, "%s%d:%s", i == 0 ? "" : ",", index[i] + 1, number);
	}
	appendStringInfo(&text, "}/%d", dimensions);
	PG_RETURN_TEXT_P(cstring_to_text_with_len(text.data, text.len));
}
