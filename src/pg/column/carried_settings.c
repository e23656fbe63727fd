/*
 * carried_settings.c: a session's settings for another process that works for it.
 *
 * A condition, a policy or a trigger may read any setting, and bert's own decide how is computed,
 * so a worker starts with what the caller's session has changed. Settings of the whole server are
 * the same anyway; those of a transaction, of the connection and the roles are not settings in this
 * sense.
 *
 * Each goes with who has set it, from where and with what right, as parallel query does it, and is
 * judged by that again. A setting of a library that is not loaded yet is only a placeholder, which
 * anybody may set; when the library comes, and wants a superuser's word for it, it is refused in
 * the worker as it would be in the caller's process.
 */
#include "pg/server/compat.h"

#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "utils/guc.h"
#include "utils/guc_tables.h"

#include "pg/column/call.h"

static const char *const not_passed_on[] = {
	"role",
	"session_authorization",
	"client_encoding",
	"application_name",
	"statement_timeout",
	"transaction_timeout",
	"idle_in_transaction_session_timeout",
	"transaction_isolation",
	"transaction_read_only",
	"transaction_deferrable",
	"default_transaction_isolation",
	"default_transaction_deferrable",
	"seed",
};

/* Where a setting's value is from. */
typedef struct Origin
{
	GucContext context;
	GucSource source;
	Oid role;
} Origin;

static bool
is_passed_on(const struct config_generic *setting)
{
	if (setting->context != PGC_USERSET && setting->context != PGC_SUSET)
		return false;
	if (setting->source < PGC_S_DATABASE || setting->source == PGC_S_OVERRIDE)
		return false;
	for (int i = 0; i < lengthof(not_passed_on); i++)
		if (strcmp(setting->name, not_passed_on[i]) == 0)
			return false;
	return true;
}

char *
embed_settings_collect(Size *size)
{
	int n;
	struct config_generic **all = ALL_SETTINGS(&n);
	StringInfoData text;

	initStringInfo(&text);
	for (int i = 0; i < n; i++)
	{
		const char *value;
		Origin origin;

		if (!is_passed_on(all[i]))
			continue;
		value = GetConfigOption(all[i]->name, true, false);
		if (value == NULL)
			continue;
		origin = (Origin){all[i]->scontext, all[i]->source, all[i]->srole};
		appendBinaryStringInfo(&text, all[i]->name, (int) strlen(all[i]->name) + 1);
		appendBinaryStringInfo(&text, value, (int) strlen(value) + 1);
		appendBinaryStringInfo(&text, (char *) &origin, sizeof origin);
	}
	appendStringInfoChar(&text, '\0');
	*size = (Size) text.len;
	return text.data;
}

void
embed_settings_apply(const char *settings)
{
	while (*settings != '\0')
	{
		const char *name = settings;
		const char *value = name + strlen(name) + 1;
		Origin origin;

		settings = value + strlen(value) + 1;
		memcpy(&origin, settings, sizeof origin);
		settings += sizeof origin;
		(void) set_config_option_ext(name, value, origin.context, origin.source, origin.role,
									 GUC_ACTION_SET, true, WARNING, true);
	}
}
