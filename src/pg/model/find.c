/* find.c: from a name, [:precision][@pin] included, to a model. */
#include "pg/server/compat.h"

#include "miscadmin.h"
#include "utils/memutils.h"

#include "core/names.h"
#include "pg/model/definition.h"
#include "pg/server/errors.h"

#define PIN_DIGITS 16

/* The parts of a name. */
typedef struct ModelName
{
	char *base;
	bool has_precision;
	Precision precision;
	const char *pin; /* or NULL */
} ModelName;

/* The first digits of the hash of content and precision. */
static char *
pin_of(const BlockHash *digest, Precision precision)
{
	BlockHash pin;
	Sha256 sha;
	char *digits;

	sha256_init(&sha);
	sha256_update(&sha, digest->bytes, SHA256_BYTES);
	sha256_update(&sha, precision_name(precision), strlen(precision_name(precision)));
	sha256_final(&sha, pin.bytes);
	digits = store_hex(&pin);
	digits[PIN_DIGITS] = '\0';
	return digits;
}

char *
definition_pinned_name(const ModelDefinition *definition)
{
	return psprintf("%s@%s", definition->name, pin_of(&definition->digest, definition->precision));
}

static void
split_name(const char *name, ModelName *parts)
{
	const char *at = strchr(name, '@');
	char *colon;
	Status status;

	memset(parts, 0, sizeof *parts);
	parts->base = at == NULL ? pstrdup(name) : pnstrdup(name, at - name);
	parts->pin = at == NULL ? NULL : at + 1;
	colon = strrchr(parts->base, ':');
	if (colon == NULL)
		return;
	REPORT_UNLESS(precision_parse(colon + 1, &parts->precision, &status), &status);
	parts->has_precision = true;
	*colon = '\0';
}

/*
 * Whether a model of this content is what the name asks for, and in which precision: the pin says
 * it, or the name, or the model itself.
 */
static bool
content_matches(const ModelName *name, const BlockHash *digest, Precision own, Precision *precision)
{
	*precision = name->has_precision ? name->precision : own;
	if (name->pin == NULL || strcmp(name->pin, pin_of(digest, *precision)) == 0)
		return true;
	for (int p = 0; p < PRECISION_COUNT && !name->has_precision; p++)
		if (strcmp(name->pin, pin_of(digest, (Precision) p)) == 0)
		{
			*precision = (Precision) p;
			return true;
		}
	return false;
}

static bool
bundle_matches(const ModelName *name, const char *bundled, FoundModel *found)
{
	ModelDefinition *definition;
	bool matches;

	if (!bundle_exists(bundled))
		return false;
	found->bundled = bundled;
	found->has_precision = name->has_precision;
	found->precision = name->precision;
	if (name->pin == NULL)
		return true;
	definition = definition_of_bundle(bundled);
	matches = content_matches(name, &definition->digest, definition->precision, &found->precision);
	found->has_precision = true;
	definition_close(definition);
	if (!matches)
		found->bundled = NULL;
	return matches;
}

/*
 * Any model the user may use that computes what the pin says: the named one may have been renamed
 * or changed.
 */
static bool
find_pinned(const ModelName *name, FoundModel *found)
{
	List *rows = store_list();
	List *names = bundle_names();
	ListCell *cell;

	foreach (cell, rows)
	{
		ModelRow *row = lfirst(cell);

		if (content_matches(name, &row->digest, row->precision, &row->precision))
		{
			found->row = row;
			return true;
		}
	}
	foreach (cell, names)
		if (bundle_matches(name, lfirst(cell), found))
			return true;
	return false;
}

void
definition_missing(const char *name)
{
	List *rows = store_list();
	List *bundled = bundle_names();
	const char **names =
		palloc(sizeof(char *) * (size_t) (list_length(rows) + list_length(bundled) + 1));
	const char *nearest;
	ListCell *cell;
	int n = 0;

	foreach (cell, rows)
		names[n++] = ((ModelRow *) lfirst(cell))->name;
	foreach (cell, bundled)
		names[n++] = lfirst(cell);
	nearest = name_nearest(name, names, n);
	ereport(ERROR, (errcode(ERRCODE_UNDEFINED_OBJECT), errmsg("model \"%s\" does not exist", name),
					nearest == NULL ? errhint("See the view bert.models.")
									: errhint("Perhaps you meant the model \"%s\".", nearest)));
}

void
definition_find(const char *text, FoundModel *found)
{
	ModelName name;
	ModelRow *row;

	memset(found, 0, sizeof *found);
	split_name(text, &name);
	row = store_find(name.base);
	if (row != NULL && content_matches(&name, &row->digest, row->precision, &row->precision) &&
		(name.pin == NULL || store_may_use(row, GetUserId())))
	{
		if (name.pin == NULL && !store_may_use(row, GetUserId()))
			ereport(ERROR, (errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
							errmsg("permission denied for model \"%s\"", name.base)));
		found->row = row;
		return;
	}
	if (row == NULL && bundle_matches(&name, name.base, found))
		return;
	if (name.pin == NULL)
		definition_missing(name.base);
	if (!find_pinned(&name, found))
		ereport(ERROR, (errcode(ERRCODE_UNDEFINED_OBJECT), errmsg("no model is \"%s\"", text),
						errdetail("The model was dropped or changed since the name was pinned.")));
}
