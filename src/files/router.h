/*
 * router.h: a Router of sentence-transformers as sparse encoders without inference for queries have
 * it (router_config.json): a query's words have fixed weights (SparseStaticEmbedding), a document
 * goes through a network and a SpladePooling. Other routes are refused by name.
 */
#ifndef BERT_FILES_ROUTER_H
#define BERT_FILES_ROUTER_H

#include "files/checkpoint.h"
#include "files/notes.h"
#include "files/source.h"

/* The folders of an export. */
#define ROUTER_QUERY "query_0_SparseStaticEmbedding"
#define ROUTER_DOCUMENT "document_0_MLMTransformer"
#define ROUTER_SPLADE "document_1_SpladePooling"

/* Folders, relative to the model's. */
typedef struct Router
{
	const char *query; /* weights and tokenizer */
	const char *transformer;
	const char *splade;
	int n_words; /* weights that a query's words may have */
} Router;

/* path: of the Router module; "" for the model's own folder. */
bool router_read(Arena *arena, ModelSource *source, const char *path, FileNotes *notes, Router *out,
				 Status *status);

/*
 * The weights of a query's words are kept as a Dense module that makes them of the number 1: gives
 * the tensor of the query's folder the name and the shape of such a module's. STATUS_INVALID_DATA
 * when there is none of one row.
 */
bool router_name_weights(Checkpoint *module, Status *status);

#endif
