/*
 * values.h: SQL values made and taken apart: arguments, arrays, rows. What takes long asks for
 * interrupts. All is palloc'd.
 */
#ifndef BERT_PG_SERVER_VALUES_H
#define BERT_PG_SERVER_VALUES_H

#include "funcapi.h"
#include "utils/array.h"
#include "utils/jsonb.h"

/* Elements and characters between two interrupt checks, a power of two. */
#define ASK_ELEMENTS 16384

/* 22004, with the function's name and the argument's, when it is NULL. */
extern void require_argument(FunctionCallInfo fcinfo, int argument, const char *name);
/* Arguments of type text and name that must not be NULL. */
extern char *text_argument(FunctionCallInfo fcinfo, int argument, const char *name);
extern char *name_argument(FunctionCallInfo fcinfo, int argument, const char *name);
/* An int argument with its bounds; NULL: the default. Errors name the argument. */
extern int int_argument(FunctionCallInfo fcinfo, int argument, const char *name, int least,
						int most, int value_if_null);

extern bytea *bytes_value(const void *bytes, size_t length);

extern ArrayType *real_array(const float *values, int n_dims, const int *dims);
extern ArrayType *int_array(const int32_t *values, size_t n);
extern ArrayType *text_array(Datum *values, size_t n);
/* The elements of a text[], as deconstruct_array, but interruptible. */
extern void text_elements(ArrayType *array, Datum **values, bool **nulls, int *n);
/* The same from C strings in the database's encoding, and back; NULL: not a list without NULLs. */
extern ArrayType *string_array(const char *const *strings, int n);
extern char **array_strings(ArrayType *array, int *n);

extern Datum composite_result(FunctionCallInfo fcinfo, Datum *values, bool *nulls);
extern void put_row(FunctionCallInfo fcinfo, Datum *values, bool *nulls);

/* The value's text, in the database's encoding. */
extern char *json_text(Jsonb *json);

#endif
