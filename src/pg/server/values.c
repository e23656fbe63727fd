/* values.c: see values.h. */
#include "pg/server/compat.h"

#include <limits.h>

#include "access/htup_details.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/lsyscache.h"

#include "core/bulk.h"
#include "pg/server/detoast.h"
#include "pg/server/errors.h"
#include "pg/server/memory.h"
#include "pg/server/values.h"

void
require_argument(FunctionCallInfo fcinfo, int argument, const char *name)
{
	if (PG_ARGISNULL(argument))
		ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
						errmsg("argument \"%s\" of bert.%s is NULL", name,
							   get_func_name(fcinfo->flinfo->fn_oid))));
}

char *
text_argument(FunctionCallInfo fcinfo, int argument, const char *name)
{
	require_argument(fcinfo, argument, name);
	return text_to_cstring(ARGUMENT_TEXT(argument));
}

char *
name_argument(FunctionCallInfo fcinfo, int argument, const char *name)
{
	require_argument(fcinfo, argument, name);
	return pstrdup(NameStr(*PG_GETARG_NAME(argument)));
}

int
int_argument(FunctionCallInfo fcinfo, int argument, const char *name, int least, int most,
			 int value_if_null)
{
	int32 value = PG_ARGISNULL(argument) ? value_if_null : PG_GETARG_INT32(argument);

	if (value < least || value > most)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 most == INT_MAX
					 ? errmsg("%s must be at least %d, not %d", name, least, value)
					 : errmsg("%s must be between %d and %d, not %d", name, least, most, value)));
	return value;
}

bytea *
bytes_value(const void *bytes, size_t length)
{
	bytea *value = palloc(VARHDRSZ + length);

	SET_VARSIZE(value, VARHDRSZ + length);
	memcpy(VARDATA(value), bytes, length);
	return value;
}

/* An array of a four-byte type without NULLs, its elements still to be written. */
static ArrayType *
array_of_four_bytes(Oid type, int n_dims, const int *dims)
{
	Size n_bytes = ARR_OVERHEAD_NONULLS(n_dims);
	size_t n_elements = 1;
	ArrayType *array;

	for (int i = 0; i < n_dims; i++)
	{
		if (dims[i] == 0)
			return construct_empty_array(type);
		if (__builtin_mul_overflow(n_elements, (size_t) dims[i], &n_elements) ||
			n_elements > (MaxAllocSize - n_bytes) / 4)
			ereport(ERROR,
					(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
					 errmsg("the result does not fit into an array"),
					 errdetail("An array has at most %zu bytes.", (size_t) MaxAllocSize),
					 errhint("Ask for fewer outputs, or compute fewer sequences at a time.")));
	}
	n_bytes += n_elements * 4;
	array = palloc(n_bytes);
	SET_VARSIZE(array, n_bytes);
	array->ndim = n_dims;
	array->dataoffset = 0;
	array->elemtype = type;
	for (int i = 0; i < n_dims; i++)
	{
		ARR_DIMS(array)[i] = dims[i];
		ARR_LBOUND(array)[i] = 1;
	}
	return array;
}

static void
copy_elements(ArrayType *array, const void *values, size_t bytes)
{
	Status status;

	if (bytes > 0)
		REPORT_UNLESS(bulk_copy(ARR_DATA_PTR(array), values, bytes, &backend_may_continue, &status),
					  &status);
}

ArrayType *
real_array(const float *values, int n_dims, const int *dims)
{
	ArrayType *array = array_of_four_bytes(FLOAT4OID, n_dims, dims);

	if (ARR_NDIM(array) > 0)
		copy_elements(array, values, VARSIZE(array) - ARR_OVERHEAD_NONULLS(n_dims));
	return array;
}

ArrayType *
int_array(const int32_t *values, size_t n)
{
	int length = (int) n;
	ArrayType *array = array_of_four_bytes(INT4OID, 1, &length);

	copy_elements(array, values, n * sizeof(int32_t));
	return array;
}

static void
refuse_large_array(void)
{
	ereport(ERROR, (errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
					errmsg("the result does not fit into an array"),
					errdetail("An array has at most %zu bytes.", (size_t) MaxAllocSize),
					errhint("Give a shorter input.")));
}

/* As construct_array makes it, which asks nobody whether to go on. */
ArrayType *
text_array(Datum *values, size_t n)
{
	Size bytes = ARR_OVERHEAD_NONULLS(1);
	ArrayType *array;
	char *at;

	if (n == 0)
		return construct_empty_array(TEXTOID);
	for (size_t i = 0; i < n; i++)
	{
		bytes = INTALIGN(bytes + VARSIZE_ANY(DatumGetPointer(values[i])));
		if (bytes > MaxAllocSize)
			refuse_large_array();
		if (bulk_turn(i, ASK_ELEMENTS))
			CHECK_FOR_INTERRUPTS();
	}
	array = palloc(bytes);
	SET_VARSIZE(array, bytes);
	array->ndim = 1;
	array->dataoffset = 0;
	array->elemtype = TEXTOID;
	ARR_DIMS(array)[0] = (int) n;
	ARR_LBOUND(array)[0] = 1;
	at = ARR_DATA_PTR(array);
	for (size_t i = 0; i < n; i++)
	{
		Size size = VARSIZE_ANY(DatumGetPointer(values[i]));

		memcpy(at, DatumGetPointer(values[i]), size);
		memset(at + size, 0, INTALIGN(size) - size);
		at += INTALIGN(size);
		if (bulk_turn(i, ASK_ELEMENTS))
			CHECK_FOR_INTERRUPTS();
	}
	return array;
}

void
text_elements(ArrayType *array, Datum **values, bool **nulls, int *n)
{
	int count = ArrayGetNItems(ARR_NDIM(array), ARR_DIMS(array));
	const bits8 *bitmap = ARR_NULLBITMAP(array);
	char *at = ARR_DATA_PTR(array);

	*n = count;
	*values = MemoryContextAllocHuge(CurrentMemoryContext, sizeof(Datum) * (Size) Max(count, 1));
	*nulls = MemoryContextAllocHuge(CurrentMemoryContext, sizeof(bool) * (Size) Max(count, 1));
	for (int i = 0; i < count; i++)
	{
		(*nulls)[i] = bitmap != NULL && (bitmap[i / 8] & 1 << i % 8) == 0;
		(*values)[i] = (Datum) 0;
		if (!(*nulls)[i])
		{
			(*values)[i] = PointerGetDatum(at);
			at = (char *) att_addlength_pointer(at, -1, at);
			at = (char *) att_align_nominal(at, TYPALIGN_INT);
		}
		if (bulk_turn((size_t) i, ASK_ELEMENTS))
			CHECK_FOR_INTERRUPTS();
	}
}

ArrayType *
string_array(const char *const *strings, int n)
{
	Datum *values = palloc((Size) Max(n, 1) * sizeof *values);

	for (int i = 0; i < n; i++)
		values[i] = CStringGetTextDatum(strings[i]);
	return text_array(values, (size_t) n);
}

char **
array_strings(ArrayType *array, int *n)
{
	Datum *values;
	bool *nulls;
	char **strings;

	if (ARR_NDIM(array) > 1 || array_contains_nulls(array))
		return NULL;
	text_elements(array, &values, &nulls, n);
	strings = palloc((Size) Max(*n, 1) * sizeof *strings);
	for (int i = 0; i < *n; i++)
		strings[i] = TextDatumGetCString(values[i]);
	return strings;
}

Datum
composite_result(FunctionCallInfo fcinfo, Datum *values, bool *nulls)
{
	TupleDesc tupdesc;

	if (get_call_result_type(fcinfo, NULL, &tupdesc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	return HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(tupdesc), values, nulls));
}

void
put_row(FunctionCallInfo fcinfo, Datum *values, bool *nulls)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;

	CHECK_FOR_INTERRUPTS();
	tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
}

/* --- jsonb --- */

/* Escaped as JSON wants it, in quotes. */
static void
append_json_string(StringInfo out, const char *bytes, int length)
{
	int plain = 0; /* where what is not yet copied begins */

	appendStringInfoCharMacro(out, '"');
	for (int i = 0; i < length; i++)
	{
		unsigned char c = (unsigned char) bytes[i];

		if (c < ' ' || c == '"' || c == '\\')
		{
			appendBinaryStringInfo(out, bytes + plain, i - plain);
			plain = i + 1;
			if (c < ' ')
				appendStringInfo(out, "\\u%04x", c);
			else
				appendStringInfo(out, "\\%c", c);
		}
		if (bulk_turn((size_t) i, 64 * ASK_ELEMENTS))
		{
			appendBinaryStringInfo(out, bytes + plain, i + 1 - plain);
			plain = i + 1;
			CHECK_FOR_INTERRUPTS();
		}
	}
	appendBinaryStringInfo(out, bytes + plain, length - plain);
	appendStringInfoCharMacro(out, '"');
}

static void
append_json_scalar(StringInfo out, const JsonbValue *value)
{
	char *number;

	switch (value->type)
	{
		case jbvNull:
			appendStringInfoString(out, "null");
			break;
		case jbvString:
			append_json_string(out, value->val.string.val, value->val.string.len);
			break;
		case jbvNumeric:
			number = DatumGetCString(
				DirectFunctionCall1(numeric_out, NumericGetDatum(value->val.numeric)));
			appendStringInfoString(out, number);
			pfree(number);
			break;
		case jbvBool:
			appendStringInfoString(out, value->val.boolean ? "true" : "false");
			break;
		default:
			elog(ERROR, "a jsonb scalar of type %d", (int) value->type);
	}
}

/* JsonbToCString would ask nobody whether to go on. */
char *
json_text(Jsonb *json)
{
	JsonbIterator *iterator = JsonbIteratorInit(&json->root);
	JsonbIteratorToken token;
	JsonbValue value;
	StringInfoData out;
	bool separate = false;
	size_t turn = 0;

	initStringInfo(&out);
	while ((token = JsonbIteratorNext(&iterator, &value, false)) != WJB_DONE)
	{
		bool closes = token == WJB_END_ARRAY || token == WJB_END_OBJECT;
		bool scalar = token == WJB_BEGIN_ARRAY && value.val.array.rawScalar;

		if (bulk_turn(turn++, ASK_ELEMENTS))
			CHECK_FOR_INTERRUPTS();
		if (separate && !closes)
			appendStringInfoString(&out, ", ");
		separate = true;
		switch (token)
		{
			case WJB_BEGIN_ARRAY:
			case WJB_BEGIN_OBJECT:
				if (!scalar)
					appendStringInfoCharMacro(&out, token == WJB_BEGIN_ARRAY ? '[' : '{');
				separate = false;
				break;
			case WJB_END_ARRAY:
				if (JB_ROOT_IS_SCALAR(json))
					break;
				appendStringInfoCharMacro(&out, ']');
				break;
			case WJB_END_OBJECT:
				appendStringInfoCharMacro(&out, '}');
				break;
			case WJB_KEY:
				append_json_scalar(&out, &value);
				appendStringInfoString(&out, ": ");
				separate = false;
				break;
			default: /* WJB_ELEM, WJB_VALUE */
				append_json_scalar(&out, &value);
				break;
		}
	}
	return out.data;
}
