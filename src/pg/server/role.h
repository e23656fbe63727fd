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

/*
 * Becomes the owner of the extension's tables, with search_path pinned to pg_catalog, after a look
 * whether the names bert.* are still those tables' (own_check_names).
 */
extern void role_become_owner(RoleSwitch *saved);

/*
 * Becomes a role that may not switch further (no SET ROLE, no temporary objects), with the
 * search_path given: how a user's query runs in a worker.
 */
extern void role_become(RoleSwitch *saved, Oid role, const char *search_path);

extern void role_restore(const RoleSwitch *saved);

/*
 * Who a background worker is. session: whose session it is, from its connection on (session_user);
 * role: who acts in it (current_user), the same or what that user had SET ROLE to.
 */
typedef struct WorkerRole
{
	Oid session;
	Oid role;
} WorkerRole;

/*
 * What a worker that works for the current user is to be. It never gets more than who asks has. A
 * superuser may become anybody, so for a superuser acting as somebody else it is that one's own
 * session; so it is inside a SECURITY DEFINER function, whose owner asks for it.
 */
extern WorkerRole role_for_worker(void);

/* NULL if such a worker can be; else why not, as an error message. */
extern const char *role_why_no_worker(const WorkerRole *who);

/* Exists, may log in and connect to this database. */
extern bool role_may_connect(Oid role);

/* The owner of a table; InvalidOid when it is gone. */
extern Oid role_owner_of(Oid relation);

/* The owner of the extension's tables. */
extern Oid role_extension_owner(void);

#endif
