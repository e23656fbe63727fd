/*
 * bundle.h: the models that are installed with the extension, read from its share directory
 * (models/README.md says what a folder is). They belong to everybody and cannot be changed.
 *
 * What a session needs of a bundled model besides its small files (hashes of blocks, head) is
 * computed once and kept in a cache file, found by the identity (device, inode, size, times) of the
 * model's files.
 */
#ifndef BERT_PG_MODEL_BUNDLE_H
#define BERT_PG_MODEL_BUNDLE_H

#include "files/bundle_json.h"
#include "nn/loader.h"
#include "nodes/pg_list.h"
#include "pg/model/handle.h"
#include "pg/model/store.h"

/* How often at most a bundled model's files, or their folder, are looked at. */
#define BUNDLE_CHECK_MS 1000

extern bool bundle_exists(const char *name);
extern List *bundle_names(void); /* of char *, sorted */

/* The bundled model that says it is made for the task, or NULL. */
extern const char *bundle_for_task(ModelTask task);

/* Identity of the model's files now, the encoder's included. */
extern void bundle_identity(const char *name, BlockHash *identity);

extern void bundle_info(Arena *arena, const char *name, BundleInfo *info);

/* Config (use_pooler apart), precision and sentence settings, without opening the weights. */
extern void bundle_small_files(Arena *arena, const char *name, BertConfig *config,
							   Precision *precision, SentenceSettings *sentence);

/*
 * An open bundled model; descriptors are closed with the context it was opened in, or by
 * bundle_close.
 */
typedef struct Bundle
{
	MemoryContext context;
	Arena *arena;
	ModelSource *own;
	ModelSource *encoder;  /* or NULL */
	Checkpoint checkpoint; /* the tensors of both */
	TokenizerSettings settings;
	SentenceSettings sentence;
	BertConfig config;
	TensorTable table;
	LoadPlan plan;
} Bundle;

extern Bundle *bundle_open(const char *name);
extern void bundle_close(Bundle *bundle);

#endif
