/* value_text.c: values as text. */
#include "pg/server/compat.h"

#include "catalog/pg_type.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"

#include "pg/column/value_text.h"

bool
value_type_is_plain(Oid type)
{
	static const Oid plain[] = {BOOLOID, INT2OID,    INT4OID,   INT8OID, NUMERICOID, TEXTOID,
								NAMEOID, VARCHAROID, BPCHAROID, UUIDOID, OIDOID};

	for (int i = 0; i < lengthof(plain); i++)
		if (plain[i] == type)
			return true;
	return false;
}

int
value_text_begin(void)
{
	static const char *const settings[][2] = {
		{"datestyle", "ISO"},        {"intervalstyle", "postgres"},
		{"extra_float_digits", "1"}, {"bytea_output", "hex"},
		{"lc_monetary", "C"},        {"search_path", "pg_catalog, pg_temp"}};
	int level = NewGUCNestLevel();

	for (int i = 0; i < lengthof(settings); i++)
		(void) set_config_option(settings[i][0], settings[i][1], PGC_USERSET, PGC_S_SESSION,
								 GUC_ACTION_SAVE, true, 0, false);
	return level;
}

void
value_text_end(int level)
{
	AtEOXact_GUC(true, level);
}

void
value_text_describe(ValueText *value, Oid type)
{
	Oid output;
	bool varlena;

	value->padded = getBaseType(type) == BPCHAROID;
	value->plain = value_type_is_plain(getBaseType(type));
	getTypeOutputInfo(type, &output, &varlena);
	fmgr_info(output, &value->output);
}

char *
value_text(ValueText *value, Datum datum)
{
	char *text = OutputFunctionCall(&value->output, datum);
	size_t length = strlen(text);

	while (value->padded && length > 0 && text[length - 1] == ' ')
		text[--length] = '\0';
	return text;
}
