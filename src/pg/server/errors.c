/* errors.c: one place for the mapping from StatusCode to SQLSTATE. */
#include "pg/server/compat.h"

#include "mb/pg_wchar.h"

#include "pg/server/settings.h"
#include "pg/server/memory.h"
#include "pg/server/errors.h"

static int
sqlstate_for(StatusCode code)
{
	switch (code)
	{
		case STATUS_INVALID_ARGUMENT:
			return ERRCODE_INVALID_PARAMETER_VALUE;
		case STATUS_INVALID_DATA:
			return ERRCODE_BAD_COPY_FILE_FORMAT;
		case STATUS_INVALID_TEXT:
			return ERRCODE_CHARACTER_NOT_IN_REPERTOIRE;
		case STATUS_NOT_FOUND:
			return ERRCODE_UNDEFINED_FILE;
		case STATUS_UNSUPPORTED:
			return ERRCODE_FEATURE_NOT_SUPPORTED;
		case STATUS_LIMIT:
			return ERRCODE_PROGRAM_LIMIT_EXCEEDED;
		case STATUS_OUT_OF_MEMORY:
			return ERRCODE_OUT_OF_MEMORY;
		case STATUS_IO:
			return ERRCODE_IO_ERROR;
		case STATUS_DISK_FULL:
			return ERRCODE_DISK_FULL;
		case STATUS_PERMISSION:
			return ERRCODE_INSUFFICIENT_PRIVILEGE;
		case STATUS_CANCELLED:
			return ERRCODE_QUERY_CANCELED;
		case STATUS_NONE:
		case STATUS_INTERNAL:
			break;
	}
	return ERRCODE_INTERNAL_ERROR;
}

/* The text for a database whose encoding may not have its characters. */
static const char *
message_text(const char *text)
{
	char *copy;

	if (GetDatabaseEncoding() == PG_UTF8)
		return text;
	copy = pstrdup(text);
	for (char *at = copy; *at != '\0'; at++)
		if (IS_HIGHBIT_SET(*at))
			*at = '?';
	return copy;
}

void
report_status(const Status *status)
{
	if (status->code == STATUS_CANCELLED)
		raise_interrupt();
	/* Only the arenas of calls and jobs have a limit; it is the setting's. */
	if (status->code == STATUS_OUT_OF_MEMORY && status->hint[0] != '\0')
		ereport(ERROR, (errcode(ERRCODE_OUT_OF_MEMORY),
						errmsg_internal("%s", message_text(status->message)),
						errhint("The limit is %s, %zu MB. Raise it, or give fewer or "
								"shorter inputs at a time.",
								memory_limit_name(), memory_limit() / 1048576)));
	ereport(ERROR, (errcode(sqlstate_for(status->code)),
					errmsg_internal("%s", message_text(status->message)),
					status->hint[0] != '\0' ? errhint("%s", message_text(status->hint)) : 0));
}
