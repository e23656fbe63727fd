/*
 * handle.h: a model as a backend uses it.
 *
 * model_handle_get resolves a name once per statement through the statement's snapshot (remembered
 * in fn_extra), checks that the current user may use the model, and returns the backend's handle
 * for that version: config and tokenizer opened, prepared blocks mapped on first need. Handles are
 * kept least-recently-used in CacheMemoryContext; one in use by fn_extra is pinned and stays,
 * whatever is replaced or dropped meanwhile. fn_extra of a function that calls model_handle_get
 * belongs to it: set-returning functions materialise their result.
 */
#ifndef BERT_PG_MODEL_HANDLE_H
#define BERT_PG_MODEL_HANDLE_H

#include "files/sentence.h"
#include "nn/model.h"
#include "tokenizer/tokenizer.h"

typedef struct ModelHandle
{
	const char *name; /* as resolved, for messages */
	int64 version;    /* bert.model.version; 0 for a bundled model */
	BertConfig config;
	HeadKind head; /* the model's own head */
	Precision precision;
	SentenceSettings sentence; /* pooling, normalisation, max length as imported */
	/* tokens an input may have: the least of positions, tokenizer's and sentence's limit */
	int max_length;
	Tokenizer *tokenizer;
} ModelHandle;

/*
 * What a function does when model is NULL and bert.default_model is empty: the bundled model made
 * for the task.
 */
typedef enum ModelTask
{
	TASK_EMBED, /* also tokenising and everything that needs an encoder only */
	TASK_CLASSIFY,
	TASK_REGRESS,
	TASK_TAG,
	TASK_ANSWER,
	TASK_FILL_MASK,
	TASK_NEXT_SENTENCE,
	TASK_CHOOSE,
	TASK_GENERATE,
	TASK_RANK
} ModelTask;

/*
 * model: the SQL argument, NULL for the default. Errors: 42704 no such model, 42501 not granted.
 */
extern ModelHandle *model_handle_get(FmgrInfo *flinfo, const text *model, ModelTask task);

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
