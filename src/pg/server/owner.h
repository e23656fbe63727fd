/*
 * owner.h: whose a model, a job or an automatic column is, and to whom it was granted.
 *
 * A number in a row means another role elsewhere, and nothing keeps its role from being dropped. So
 * PostgreSQL's own catalogs know the owner: for every such object there is a function in the schema
 * bert_owner, never called, and whoever owns the function owns the object. Roles that may use a
 * model have EXECUTE on its function. DROP ROLE, DROP OWNED, REASSIGN OWNED, ALTER ROLE ... RENAME
 * and pg_dump then do what they do for functions. Only a superuser can make a function of this
 * language, and nobody else may create or rename in the schema, so none can be forged.
 *
 *     model  bert_owner."name"()
 *     job    bert_owner.job_17(bigint)
 *     column bert_owner.auto_embed_3(regclass)
 *
 * A row without its function (replicated, restored without owners) is a superuser's only, until
 * bert.set_model_owner gives it one.
 */
#ifndef BERT_PG_SERVER_OWNER_H
#define BERT_PG_SERVER_OWNER_H

typedef enum OwnedKind
{
	OWNED_MODEL,
	OWNED_JOB,
	OWNED_COLUMN
} OwnedKind;

/* What a job or a column is called; palloc'd. */
extern char *owned_name(OwnedKind kind, int64 number);
extern int64 owned_number(OwnedKind kind, const char *name);

/* InvalidOid if nobody. */
extern Oid owner_find(OwnedKind kind, const char *name);
/* EXECUTE was given to the role or to one it is a member of; what is given to PUBLIC is not
 * counted. */
extern bool owner_has_grant(OwnedKind kind, const char *name, Oid role);

/* Makes the function if there is none. The caller has checked the rights. */
extern void owner_set(OwnedKind kind, const char *name, Oid role);
/* Forgets owner and grants of before. */
extern void owner_create(OwnedKind kind, const char *name, Oid role);
extern void owner_drop(OwnedKind kind, const char *name);
extern void owner_rename(OwnedKind kind, const char *name, const char *new_name);

extern void owner_grant(OwnedKind kind, const char *name, Oid role);
/* False: it was not granted to this role. */
extern bool owner_revoke(OwnedKind kind, const char *name, Oid role);

#endif
