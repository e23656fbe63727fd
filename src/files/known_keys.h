/*
 * known_keys.h: every member that the files of a published model are known to have, and what
 * becomes of it. One table; docs/models.md shows it.
 *
 * A member that is not in the table is told as a note. Members whose value is null are as good as
 * absent. One that decides something must have the type that the table gives: a string "true" is
 * no true.
 */
#ifndef BERT_FILES_KNOWN_KEYS_H
#define BERT_FILES_KNOWN_KEYS_H

#include <jansson.h>

#include "files/family.h"
#include "files/notes.h"

typedef enum KnownFile
{
	KNOWN_CONFIG,
	KNOWN_TOKENIZER_CONFIG,
	KNOWN_SPECIAL_TOKENS_MAP,
	KNOWN_TOKENIZER_JSON,
	KNOWN_TOKENIZER_MODEL, /* tokenizer.json's "model": WordPiece */
	KNOWN_UNIGRAM_MODEL,
	KNOWN_BPE_MODEL,
	KNOWN_SENTENCE_CONFIG, /* sentence_bert_config.json */
	KNOWN_MODULE,          /* an entry of modules.json */
	KNOWN_POOLING,
	KNOWN_NORMALIZE,
	KNOWN_DENSE,
	KNOWN_SPLADE,
	KNOWN_STATIC, /* SparseStaticEmbedding */
	KNOWN_ROUTER,
	KNOWN_ROUTER_PARAMETERS,
	KNOWN_SENTENCE_TRANSFORMERS, /* config_sentence_transformers.json */
	KNOWN_FILE_COUNT
} KnownFile;

/*
 * Looks at every member of the object. One that changes the result and is not supported is
 * STATUS_UNSUPPORTED unless it says what is done anyway; one of the wrong type is
 * STATUS_INVALID_DATA, naming the type that it has and the one that it must have. name: the
 * file's, for messages.
 */
bool known_keys_check(KnownFile file, const char *name, const json_t *object, FileNotes *notes,
					  Status *status);

/* The same of a config.json of any family; above it is one of BERT. */
bool known_keys_check_config(const Family *family, const json_t *object, FileNotes *notes,
							 Status *status);

typedef enum KeyUse
{
	KEY_USED,     /* decides something */
	KEY_HARMLESS, /* changes nothing that a model of ours gives */
	KEY_REPORTED, /* for other programs: a note by the reader where it says otherwise */
	KEY_REFUSED   /* changes the result and is not supported */
} KeyUse;

/* The use of a member, for tests and documents; false when it is not known. */
bool known_key_use(KnownFile file, const char *key, KeyUse *use);

/* The members that are known, for tests. */
size_t known_key_count(KnownFile file);
const char *known_key_name(KnownFile file, size_t i);

#endif
