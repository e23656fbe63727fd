/*
 * store.h: the model tables. The only file pair that knows their columns.
 *
 * Reading goes straight through the tables' indexes with the active snapshot, without SPI. Rows are
 * not trusted: types, NULLs and values are checked (XX001), and a model's contents are read only
 * for those who may use it. Writing goes through SPI as the tables' owner.
 *
 * There are no foreign keys between the tables, for a parallel restore fills them in any order: the
 * functions here keep them consistent. Versions are unique across servers, as replication needs.
 *
 * Blocks are shared between models, so a writer must not rely on one that somebody is removing.
 * Whoever adds models holds ROW EXCLUSIVE on bert.block from before it looks for existing blocks to
 * the end of its transaction (store_begin_write); whoever removes blocks takes SHARE ROW EXCLUSIVE,
 * which conflicts, and looks for references with a snapshot taken after that. If the lock is not
 * free the garbage stays for the next one who gets it.
 */
#ifndef BERT_PG_MODEL_STORE_H
#define BERT_PG_MODEL_STORE_H

#include "core/hash.h"
#include "datatype/timestamp.h"
#include "files/sentence.h"
#include "kernels/kernels.h"
#include "nn/tensor_table.h"
#include "nodes/pg_list.h"
#include "utils/jsonb.h"

#define STORE_CHUNK_BYTES (1024 * 1024)

typedef struct BlockHash
{
	unsigned char bytes[SHA256_BYTES];
} BlockHash;

/*
 * A row of bert.model; everything palloc'd in the context that was current. What comes after the
 * rights is there only for those who may use the model.
 */
typedef struct ModelRow
{
	char *name;
	int64 version;
	Oid owner;           /* InvalidOid: a superuser's only, see owner.h */
	bool granted_to_all; /* if it has an owner */
	char *source;        /* imported, created, copied, pruned, trained */
	HeadKind head;
	Precision precision;
	char *config; /* JSON, UTF-8, NUL-terminated */
	bool use_pooler;
	char *tokenizer; /* JSON, UTF-8, NUL-terminated */
	BlockHash vocab;
	SentenceSettings sentence;
	BlockHash digest;
	char *base;         /* the model it was made from, or NULL */
	int64 base_version; /* 0 for a bundled one */
	Jsonb *lineage;     /* or NULL */
	char *description;  /* or NULL */
	TimestampTz created;
} ModelRow;

extern ModelRow *store_find(const char *name);        /* NULL if there is none */
extern ModelRow *store_find_rights(const char *name); /* without the contents */
extern List *store_list(void); /* of ModelRow *, by name: those that the user may use */

/* Owner (or a member of it), a role it was granted to, or a superuser. */
extern bool store_may_use(const ModelRow *row, Oid user);
extern bool store_owns(const ModelRow *row, Oid user);
extern void store_require_owner(const ModelRow *row); /* 42501 */

/*
 * The blocks of the version, hashes[table->n_blocks], after checking its tensors against the table.
 */
extern void store_block_hashes(const ModelRow *row, const TensorTable *table, BlockHash *hashes);

/*
 * The block's bytes: exactly length of them, or, from store_read_bytes, as many as there are
 * (palloc'd, NUL added).
 */
extern void store_read_block(const BlockHash *hash, void *out, size_t length);
extern char *store_read_bytes(const BlockHash *hash, size_t *length);

/* What a new model is made of. Strings that a file would hold are UTF-8. */
typedef struct ModelDraft
{
	const char *name;
	const char *source;
	const TensorTable *table; /* with the head */
	const BertConfig *config;
	Precision precision;
	SentenceSettings sentence;
	const char *tokenizer; /* JSON */
	BlockHash vocab;
	const BlockHash *blocks; /* (table->n_blocks) */
	const char *base;        /* or NULL */
	int64 base_version;
	Jsonb *lineage;          /* or NULL */
	const char *description; /* or NULL; in the database's encoding */
} ModelDraft;

extern bool store_name_is_valid(const char *name);
/* 42602 for a name that no model can have, 42710 for a bundled model's. */
extern void store_check_name(const char *name);

extern void store_begin_write(void);

/* Removes blocks that no model has, unless somebody is adding models; see garbage.c. */
extern void store_collect_garbage(void);
extern void store_collect_garbage_at_commit(void);

/* Adds the block unless it is there, and gives its hash. */
extern void store_put_block(const void *bytes, size_t length, BlockHash *hash);

/*
 * Adds the model, owned by the current user, and gives its version. An existing one is replaced if
 * asked for (and owned), keeping owner and grants; its blocks are removed if nobody else has them.
 * 42710 otherwise.
 */
extern int64 store_put_model(const ModelDraft *draft, bool replace);

/* All that decides what a model computes, precision and kernels apart. */
typedef struct ModelContents
{
	const char *config; /* JSON */
	bool use_pooler;
	HeadKind head;
	const SentenceSettings *sentence;
	const char *tokenizer; /* JSON */
	const BlockHash *vocab;
	const BlockHash *blocks; /* (n_blocks) */
	int n_blocks;
} ModelContents;

/* In one number. */
extern void store_digest(const ModelContents *contents, BlockHash *digest);

/* Changes; the caller has checked the rights. */
extern void store_drop(const ModelRow *row);
extern void store_forget(
	const char *name); /* the same, if it is there; nobody's rights are asked */
extern void store_rename(const ModelRow *row, const char *name);
extern void store_set_precision(const ModelRow *row, Precision precision);
/*
 * The model named by the first argument, which the current user may change. Several changes in one
 * statement see each other, as those of any volatile function do. (manage.c)
 */
extern ModelRow *model_to_change(FunctionCallInfo fcinfo);
/* role: ACL_ID_PUBLIC for all */
extern void store_grant(const ModelRow *row, Oid role);
extern bool store_revoke(const ModelRow *row, Oid role); /* false: it was not granted */
extern void store_set_owner(const ModelRow *row, Oid role);

extern char *store_hex(const BlockHash *hash); /* palloc'd, 64 digits */

#endif
