/*
 * detoast.h: values that are stored out of line, read with interrupts looked at.
 *
 * PostgreSQL expands a compressed value in one go, however large it is: 90 MB of weights that pglz
 * has made a third smaller take it 0.4 s, 100 MB of text and lz4 0.1 s. These read a megabyte at a
 * time and expand in pieces.
 *
 * Every argument and column that may be large is read through these.
 */
#ifndef BERT_PG_SERVER_DETOAST_H
#define BERT_PG_SERVER_DETOAST_H

#include "utils/array.h"
#include "utils/jsonb.h"

/* As PG_DETOAST_DATUM, PG_DETOAST_DATUM_PACKED and PG_DETOAST_DATUM_COPY. */
extern struct varlena *detoast(Datum value);
extern struct varlena *detoast_packed(Datum value);
extern struct varlena *detoast_copy(Datum value);

/* Whether two texts are equal, byte by byte; neither is read if their lengths differ. */
extern bool detoast_equal(Datum a, Datum b);

#define ARGUMENT_TEXT(n) ((text *) detoast_packed(PG_GETARG_DATUM(n)))
#define ARGUMENT_BYTEA(n) ((bytea *) detoast_packed(PG_GETARG_DATUM(n)))
#define ARGUMENT_JSONB(n) ((Jsonb *) detoast(PG_GETARG_DATUM(n)))
#define ARGUMENT_ARRAY(n) ((ArrayType *) detoast(PG_GETARG_DATUM(n)))

#endif
