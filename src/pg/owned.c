/*
 * owned.c: what an owner has lost with DROP OWNED, or with DROP FUNCTION on what stands for it in
 * the schema bert_owner: an event trigger removes the rows.
 */
#include "pg/server/compat.h"

#include "commands/event_trigger.h"
#include "executor/spi.h"
#include "utils/builtins.h"

#include "pg/column/auto_embed.h"
#include "pg/model/store.h"
#include "pg/server/own.h"
#include "pg/server/own_statement.h"
#include "pg/server/owner.h"

typedef struct Dropped
{
	OwnedKind kind;
	char *name;
} Dropped;

/* What the functions stood for that the command has dropped; a list of Dropped *. */
static List *
list_dropped(void)
{
	OwnStatement statement;
	List *list = NIL;
	uint64 n;

	own_begin(&statement);
	n = own_run(&statement,
				"SELECT address_names[2], CASE WHEN address_args[1] LIKE '%bigint' THEN 1"
				" WHEN address_args[1] LIKE '%regclass' THEN 2 ELSE 0 END"
				" FROM pg_catalog.pg_event_trigger_dropped_objects()"
				" WHERE object_type = 'function' AND address_names[1] = '" OWN_OWNER_SCHEMA "'");
	for (uint64 i = 0; i < n; i++)
	{
		MemoryContext spi = MemoryContextSwitchTo(statement.caller);
		Dropped *dropped = palloc(sizeof *dropped);
		bool is_null;

		dropped->name = TextDatumGetCString(own_result(i, 1, &is_null));
		dropped->kind = (OwnedKind) DatumGetInt32(own_result(i, 2, &is_null));
		list = lappend(list, dropped);
		MemoryContextSwitchTo(spi);
	}
	own_end(&statement);
	return list;
}

static void
forget(const Dropped *dropped)
{
	OwnStatement statement;
	int64 number;

	if (dropped->kind == OWNED_MODEL)
	{
		store_forget(dropped->name);
		return;
	}
	number = owned_number(dropped->kind, dropped->name);
	if (dropped->kind == OWNED_COLUMN)
		auto_forget(number);
	else
	{
		own_begin(&statement);
		own_add_int64(&statement, number);
		own_run_alone(&statement, "DELETE FROM bert.job WHERE job = $1");
	}
}

PG_FUNCTION_INFO_V1(bert_owned_dropped);
PGDLLEXPORT Datum
bert_owned_dropped(PG_FUNCTION_ARGS)
{
	ListCell *cell;

	if (!CALLED_AS_EVENT_TRIGGER(fcinfo))
		ereport(ERROR, (errcode(ERRCODE_E_R_I_E_EVENT_TRIGGER_PROTOCOL_VIOLATED),
						errmsg("bert.owned_dropped is for an event trigger")));
	if (!OidIsValid(own_relation_if_any("model")))
		PG_RETURN_NULL();
	foreach (cell, list_dropped())
		forget(lfirst(cell));
	PG_RETURN_NULL();
}
