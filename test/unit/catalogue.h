/*
 * catalogue.h: what can be wrong with a model's files (the table is in catalogue_cases.h): one line
 * a case, each a change to a good tiny model, with the status that must come of it and a part of
 * the message. STATUS_NONE: must work all the same.
 */
#ifndef BERT_TEST_CATALOGUE_H
#define BERT_TEST_CATALOGUE_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "folder_fixture.h"

typedef enum Base
{
	TINY,      /* folder_tiny */
	WITH_JSON, /* tokenizer.json instead of vocab.txt */
	SHARDED,   /* the weights in two files and an index */
	SENTENCE,  /* with modules.json and what it names */
	DENSE      /* the same, with a Dense module of 4 and 3 features for the normalising */
} Base;

typedef enum Change
{
	SET,     /* member `a` of the JSON file := b */
	REPLACE, /* the first a in the file becomes b */
	HEADER,  /* the first a in the safetensors header becomes b, its length follows */
	TEXT,    /* the whole file becomes a */
	REMOVE,  /* the file goes */
	CALL     /* function */
} Change;

typedef struct Case
{
	const char *name;
	StatusCode code;
	const char *fragment; /* of the message */
	Base base;
	const char *file;
	Change change;
	const char *a;
	const char *b;
	void (*function)(Folder *folder);
} Case;

#define WEIGHTS "model.safetensors"
#define CONFIG "config.json"
#define VOCAB "vocab.txt"
#define SETTINGS "tokenizer_config.json"
#define JSON "tokenizer.json"
#define INDEX "model.safetensors.index.json"
#define FIRST_SHARD "model-00001-of-00002.safetensors"

#define WORDS "{\"dtype\":\"F32\",\"shape\":[12,4],\"data_offsets\":[0,192]}"
#define INVALID STATUS_INVALID_DATA
#define UNSUPPORTED STATUS_UNSUPPORTED

#endif
