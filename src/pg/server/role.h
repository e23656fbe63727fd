/*
 * role.h: doing something as another role, and back.
 *
 * The extension's tables are closed to ordinary roles. Code that reads or writes them on somebody's
 * behalf first checks that somebody's rights, then switches to the tables' owner. An ERROR ends the
 * switch with the (sub)transaction.
 */
#ifndef BERT_PG_SERVER_ROLE_H
#define BERT_PG_SERVER_ROLE_H

typedef struct RoleSwitch
{
	Oid user;
	int security_context;
	int guc_level;
} RoleSwitch;

/* Becomes the owner of the extension's tables, with search_path pinned to pg_catalog. */
extern void role_become_owner(RoleSwitch *saved);

/*
 * Becomes a role that may not switch further (no SET ROLE, no temporary objects), with the
 * search_path given: how a user's query runs in a worker.
 */
extern void role_become(RoleSwitch *saved, Oid role, const char *search_path);

extern void role_restore(const RoleSwitch *saved);

/* The owner of the extension's tables. */
extern Oid role_extension_owner(void);

#endif
