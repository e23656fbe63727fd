/*
 * owned.c: what an owner has lost with DROP OWNED, or with DROP FUNCTION on what stands for it in
 * the schema bert_owner: an event trigger removes the rows.
 */
#include "pg/server/compat.h"

#include "commands/event_trigger.h"
#include "executor/spi.h"
#include "utils/builtins.h"

#include "pg/model/store.h"
#include "pg/server/own.h"
#include "pg/server/own_statement.h"

/* The models whose functions the command has dropped; a list of char *. */
static List *
dropped_models(void)
{
	OwnStatement statement;
	List *names = NIL;
	uint64 n;

	own_begin(&statement);
	n = own_run(&statement,
				"SELECT address_names[2] FROM pg_catalog.pg_event_trigger_dropped_objects()"
				" WHERE object_type = 'function' AND address_names[1] = '" OWN_OWNER_SCHEMA "'"
				" AND pg_catalog.cardinality(address_args) = 0");
	for (uint64 i = 0; i < n; i++)
	{
		MemoryContext spi = MemoryContextSwitchTo(statement.caller);
		bool is_null;
		Datum name = own_result(i, 1, &is_null);

		if (!is_null)
			names = lappend(names, TextDatumGetCString(name));
		MemoryContextSwitchTo(spi);
	}
	own_end(&statement);
	return names;
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
	foreach (cell, dropped_models())
		store_forget(lfirst(cell));
	PG_RETURN_NULL();
}
