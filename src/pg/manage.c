/* manage.c: the SQL functions that change models but do not read folders. */
#include "pg/compat.h"

#include "miscadmin.h"
#include "utils/builtins.h"

#include "pg/bundle.h"
#include "pg/store.h"

/* The model that is to be changed by its owner. A bundled one cannot be. */
static ModelRow *
changeable(FunctionCallInfo fcinfo)
{
	char	   *name = text_to_cstring(PG_GETARG_TEXT_PP(0));

	if (bundle_exists(name) && store_find(name) == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("\"%s\" is a bundled model and cannot be changed", name),
				 errhint("bert.copy_model makes a copy that can be.")));
	return store_find_owned(name);
}

PG_FUNCTION_INFO_V1(bert_drop_model);
PGDLLEXPORT Datum
bert_drop_model(PG_FUNCTION_ARGS)
{
	store_drop(changeable(fcinfo));
	PG_RETURN_VOID();
}
