/*
 * handle.h: a model as a backend uses it.
 *
 * model_handle_get resolves a name once per statement through the statement's snapshot (remembered
 * in fn_extra), checks that the current user may use the model, and returns the backend's handle
 * for that version: config and tokenizer opened, prepared blocks mapped on first need. Handles are
 * kept least-recently-used in CacheMemoryContext; one in use by fn_extra is pinned and stays,
 * whatever is replaced or dropped meanwhile. fn_extra of a function that calls model_handle_get
 * belongs to it: set-returning functions materialize their result.
 */
#ifndef BERT_PG_MODEL_HANDLE_H
#define BERT_PG_MODEL_HANDLE_H

#include "files/sentence.h"
#include "nn/model.h"
#include "pg/model/choice.h"
#include "tokenizer/tokenizer.h"

typedef struct ModelHandle
{
	const char *name; /* as resolved, for messages */
	int64 version;    /* bert.model.version; 0 for a bundled model */
	/* of these contents in this backend: a changed model has another one, never used before */
	uint64 serial;
	BertConfig config;
	HeadKind head; /* the model's own head */
	Precision precision;
	SentenceSettings sentence; /* pooling, normalization, max length as imported */
	/* tokens an input may have: the least of positions, tokenizer's and sentence's limit */
	int max_length;
	Tokenizer *tokenizer;
} ModelHandle;

/*
 * model: the SQL argument; NULL for the one that bert.default_model names for the task, if it can
 * do it, else the bundled one made for it. Errors: 42704 no such model, 42501 not granted, 22023
 * the one named for the task cannot do it.
 */
extern ModelHandle *model_handle_get(FmgrInfo *flinfo, const text *model, ModelTask task);

/* The same; *name (palloc'd) finds this model in this precision again, as long as it has its name.
 */
extern ModelHandle *model_handle_get_named(FmgrInfo *flinfo, const text *model, ModelTask task,
										   char **name);

/*
 * The computing model with the given head bound; the prepared blocks are mapped (and built if the
 * cache lacks them) on first use. HEAD_NONE gives the encoder. 22023 naming the head when the model
 * does not have it.
 */
extern const BertModel *model_handle_bind(ModelHandle *handle, HeadKind head);

/*
 * For work of several transactions with one model: got with flinfo NULL, a handle stays pinned as
 * long as the memory context that was current then. Before each piece of work its mapped files must
 * be looked at. The pinned name is palloc'd.
 */
extern void model_handle_keep_sound(ModelHandle *handle);
extern char *model_handle_pinned_name(const ModelHandle *handle);

#endif
