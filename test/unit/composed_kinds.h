/*
 * composed_kinds.h: small composed tokenizers as JSON, with texts and what the reference makes of
 * them.
 */
#ifndef BERT_TEST_COMPOSED_KINDS_H
#define BERT_TEST_COMPOSED_KINDS_H

#include <stddef.h>

typedef struct ComposedCase
{
	const char *text;
	const char *pair;
	const char *decoded;
	size_t n;
	int ids[64];
	int types[64];
	int starts[64];
	int ends[64];
	int words[64];
} ComposedCase;

typedef struct ComposedKind
{
	const char *json;
	size_t length;
	const ComposedCase *cases;
	size_t n;
} ComposedKind;

#include "composed_cases.h"

#define N_KINDS (sizeof composed_kinds / sizeof composed_kinds[0])

#endif
