/*
 * garbage.c: removes blocks that no model has.
 *
 * It needs a lock on bert.block that keeps out whoever adds models. So it is the last thing that a
 * transaction does before it commits: one that stays open holds no such lock, and imports do not
 * wait for it. The lock is only tried for; what is not removed is left for the next one, or for the
 * launcher's visit. Where blocks come by replication nothing is removed: models may come later than
 * their blocks, and the publisher says what goes.
 */
#include "pg/server/compat.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "storage/lmgr.h"

#include "pg/model/cache.h"
#include "pg/model/store.h"
#include "pg/server/own.h"
#include "pg/server/own_statement.h"

static bool wanted;

void
store_collect_garbage(void)
{
	static const char *const sql =
		"WITH gone AS (DELETE FROM bert.block b"
		" WHERE NOT EXISTS (SELECT FROM bert.tensor t WHERE t.block = b.hash)"
		" AND NOT EXISTS (SELECT FROM bert.model m WHERE m.vocab = b.hash)"
		" AND NOT EXISTS (SELECT FROM pg_catalog.pg_subscription_rel s WHERE s.srrelid = $1)"
		" RETURNING b.hash, b.chunk) SELECT hash FROM gone WHERE chunk = 0";
	OwnStatement statement;
	uint64 n;

	if (!ConditionalLockRelationOid(own_relation("block"), ShareRowExclusiveLock))
		return;
	own_begin(&statement);
	own_add(&statement, OIDOID, ObjectIdGetDatum(own_relation("block")), false);
	n = own_run_latest(&statement, sql);
	for (uint64 i = 0; i < n; i++)
	{
		bool null;
		bytea *hash = DatumGetByteaPP(own_result(i, 1, &null));

		cache_forget_at_commit((const unsigned char *) VARDATA_ANY(hash));
	}
	own_end(&statement);
}

static void
before_commit(XactEvent event, void *unused)
{
	bool now = wanted && event == XACT_EVENT_PRE_COMMIT;

	if (event != XACT_EVENT_PRE_COMMIT && event != XACT_EVENT_ABORT &&
		event != XACT_EVENT_PRE_PREPARE)
		return;
	wanted = false;
	if (now)
		store_collect_garbage();
}

void
store_collect_garbage_at_commit(void)
{
	static bool registered;

	if (!registered)
		RegisterXactCallback(before_commit, NULL);
	registered = true;
	wanted = true;
}
