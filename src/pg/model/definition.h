/*
 * definition.h: what a model is, wherever it lies: a row of bert.model with its blocks, or a
 * bundled folder.
 *
 * Handles, export, copies and training jobs read models through this.
 */
#ifndef BERT_PG_MODEL_DEFINITION_H
#define BERT_PG_MODEL_DEFINITION_H

#include "pg/model/bundle.h"

typedef struct ModelDefinition
{
	MemoryContext context; /* holds all of it */
	Arena *arena;
	const char *name;
	int64 version;       /* 0: bundled */
	const ModelRow *row; /* NULL: bundled */
	BlockHash identity;  /* bundled: of the files it was read from */
	BertConfig config;
	Precision precision;
	SentenceSettings sentence;
	TensorTable table;   /* with the model's head */
	BlockHash *blocks;   /* (table.n_blocks) content addresses */
	BlockHash tokenizer; /* of vocabulary and settings */
	BlockHash digest;    /* of all that decides what the model computes, precision apart */
	Bundle *bundle;      /* open while blocks are read */
} ModelDefinition;

/*
 * The model with this name as the active snapshot sees it, or a bundled one, or (name@prefix) the
 * one whose pinned name it is; name:precision computes in that one instead of its own. Its use by
 * the current user is checked. 42704, 42501, 22023 for an unknown precision. In a child of
 * CurrentMemoryContext.
 */
extern ModelDefinition *definition_open(const char *name);

/* The same for a row that was found already, unchecked; and for a bundled model. */
extern ModelDefinition *definition_of_row(const ModelRow *row);
extern ModelDefinition *definition_of_bundle(const char *name);

/* What a name stands for: a row, or (row NULL) a bundled model. */
typedef struct FoundModel
{
	ModelRow *row; /* its precision is what the name asks for */
	const char *bundled;
	bool has_precision; /* of a bundled model: another than its own may be asked for */
	Precision precision;
} FoundModel;

/* Resolves a name without opening. Errors as above. */
extern void definition_find(const char *name, FoundModel *found);
extern ModelDefinition *definition_of_found(const FoundModel *found);

/* Raises 42704; the hint names the model of the nearest name that the current user may use. */
pg_noreturn extern void definition_missing(const char *name);

/* The index of a block that the model must have: XX001 if it has not. layer: -1 outside layers. */
extern int definition_find_block(const ModelDefinition *definition, BlockKind kind, int layer);

/* The floats of a block: table.blocks[block].elements of them. */
extern void definition_read_block(ModelDefinition *definition, int block, float *out);

/* Tokenizer settings with the vocabulary, allocated in the arena. */
extern void definition_read_tokenizer(ModelDefinition *definition, Arena *arena,
									  TokenizerSettings *settings);

/* Closes the files of a bundled model; reading opens them again. */
extern void definition_rest(ModelDefinition *definition);
extern void definition_close(ModelDefinition *definition);

/* name@prefix of what the model computes now; palloc'd. */
extern char *definition_pinned_name(const ModelDefinition *definition);

#endif
