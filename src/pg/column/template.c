/* template.c: templates, parsed and filled in. */
#include "pg/server/compat.h"

#include "mb/pg_wchar.h"

#include "pg/column/template.h"

typedef struct Parsing
{
	const char *text;
	bool of_chunks;
	Template *template;
} Parsing;

pg_noreturn static void refuse(const Parsing *parsing, const char *why);

static void
refuse(const Parsing *parsing, const char *why)
{
	ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					errmsg("template \"%s\" is none", parsing->text), errdetail_internal("%s", why),
					errhint("Columns' names stand in braces, as in '{title}: {%s}'.",
							parsing->of_chunks ? "chunk" : "body")));
}

static void
add_literal(Template *template, StringInfo literal)
{
	if (literal->len > 0)
		template->pieces[template->n_pieces++] = (TemplatePiece){pstrdup(literal->data), 0};
	resetStringInfo(literal);
}

static void
add_name(const Parsing *parsing, const char *name, int length)
{
	Template *template = parsing->template;
	char *column = pnstrdup(name, (Size) length);
	int i;

	if (parsing->of_chunks && strcmp(column, "chunk") == 0)
	{
		template->pieces[template->n_pieces++] = (TemplatePiece){NULL, -1};
		return;
	}
	for (i = 0; i < template->n_columns; i++)
		if (strcmp(template->names[i], column) == 0)
			break;
	if (i == TEMPLATE_MAX_COLUMNS)
		refuse(parsing, psprintf("It names more than %d columns.", TEMPLATE_MAX_COLUMNS));
	if (i == template->n_columns)
		template->names[template->n_columns++] = column;
	template->pieces[template->n_pieces++] = (TemplatePiece){NULL, i};
}

void
template_parse(const char *text, bool of_chunks, Template *template)
{
	const Parsing parsing = {text, of_chunks, template};
	StringInfoData literal;
	int chunks = 0;

	*template = (Template){.pieces = palloc((strlen(text) + 1) * sizeof *template->pieces)};
	initStringInfo(&literal);
	for (const char *at = text; *at != '\0';)
	{
		int length = pg_mblen(at);

		if ((*at == '{' || *at == '}') && at[1] == *at)
		{
			appendStringInfoChar(&literal, *at);
			at += 2;
		}
		else if (*at == '{')
		{
			const char *end = strchr(at, '}');

			if (end == NULL || end == at + 1)
				refuse(&parsing, "A brace opens that does not close around a name.");
			add_literal(template, &literal);
			add_name(&parsing, at + 1, (int) (end - at - 1));
			at = end + 1;
		}
		else if (*at == '}')
			refuse(&parsing, "A brace closes that was not open.");
		else
		{
			appendBinaryStringInfo(&literal, at, length);
			at += length;
		}
	}
	add_literal(template, &literal);
	for (int i = 0; i < template->n_pieces; i++)
		chunks += template->pieces[i].text == NULL && template->pieces[i].column < 0;
	if (of_chunks && chunks != 1)
		refuse(&parsing, "{chunk} stands in it once.");
}

void
template_around(const Template *template, char *const *values, StringInfo before, StringInfo after)
{
	StringInfo side = before;

	for (int i = 0; i < template->n_pieces; i++)
	{
		const TemplatePiece *piece = &template->pieces[i];

		if (piece->text != NULL)
			appendStringInfoString(side, piece->text);
		else if (piece->column < 0)
			side = after;
		else if (values[piece->column] != NULL)
			appendStringInfoString(side, values[piece->column]);
	}
}

static void
append_literal(StringInfo text, const char *literal)
{
	for (const char *at = literal; *at != '\0'; at += pg_mblen(at))
	{
		if (*at == '{' || *at == '}')
			appendStringInfoChar(text, *at);
		appendBinaryStringInfo(text, at, pg_mblen(at));
	}
}

char *
template_with_names(const Template *template, char *const *names)
{
	StringInfoData text;

	initStringInfo(&text);
	for (int i = 0; i < template->n_pieces; i++)
	{
		const TemplatePiece *piece = &template->pieces[i];

		if (piece->text != NULL)
			append_literal(&text, piece->text);
		else
			appendStringInfo(&text, "{%s}", piece->column < 0 ? "chunk" : names[piece->column]);
	}
	return text.data;
}
