/* auto_batch.c: choosing rows of the queue, and their keys as the input of a statement. */
#include "pg/server/compat.h"

#include "catalog/pg_type.h"
#include "utils/lsyscache.h"

#include "pg/column/auto_batch.h"
#include "pg/column/value_text.h"

#define MAX_MORE 8

static bool
same_texts(char *const *a, char *const *b, int n)
{
	for (int i = 0; i < n; i++)
		if (strcmp(a[i], b[i]) != 0)
			return false;
	return true;
}

void
auto_batch_choose(List *taken, AutoBatchRows *chosen)
{
	QueuedRow *first = linitial(taken);
	ListCell *cell;

	chosen->rows = palloc((Size) list_length(taken) * sizeof *chosen->rows);
	chosen->ids = palloc((Size) list_length(taken) * sizeof *chosen->ids);
	chosen->n = chosen->n_ids = 0;
	foreach (cell, taken)
	{
		QueuedRow *row = lfirst(cell);
		bool known = false;

		if (row->stale != first->stale || row->n != first->n ||
			!same_texts(row->names, first->names, row->n))
			continue;
		chosen->ids[chosen->n_ids++] = row->id;
		for (int i = 0; i < chosen->n && !known; i++)
			known = same_texts(row->key, chosen->rows[i]->key, row->n);
		if (!known)
			chosen->rows[chosen->n++] = row;
	}
}

void
auto_batch_keys(Relation relation, const AutoBatchRows *chosen, AutoBatchKeys *keys)
{
	char *const *names = chosen->rows[0]->names;
	AutoKey key;
	bool has_key = auto_key(relation, &key) == NULL;
	StringInfoData condition;
	int level;

	keys->n = chosen->n;
	keys->n_key = chosen->rows[0]->n;
	keys->values = palloc((Size) (keys->n * keys->n_key) * sizeof *keys->values);
	initStringInfo(&condition);
	for (int i = 0; i < keys->n_key; i++)
	{
		auto_key_column(relation, names[i], has_key ? &key : NULL, &keys->columns[i]);
		auto_key_condition(&condition, &keys->columns[i], i);
	}
	keys->condition = condition.data;
	level = value_text_begin();
	for (int i = 0; i < keys->n_key; i++)
	{
		Oid function;
		Oid parameter;

		getTypeInputInfo(keys->columns[i].type, &function, &parameter);
		for (int r = 0; r < keys->n; r++)
			keys->values[r * keys->n_key + i] =
				OidInputFunctionCall(function, chosen->rows[r]->key[i], parameter, -1);
	}
	value_text_end(level);
}

void
auto_batch_input(const AutoBatchKeys *keys, int n_more, const char *const *names, const Oid *types,
				 InputRows *input)
{
	const char *all_names[1 + AUTO_MAX_KEY + MAX_MORE] = {"n"};
	Oid all_types[1 + AUTO_MAX_KEY + MAX_MORE] = {INT4OID};

	Assert(n_more <= MAX_MORE);
	for (int i = 0; i < keys->n_key; i++)
	{
		all_names[1 + i] = psprintf("k%d", i);
		all_types[1 + i] = keys->columns[i].type;
	}
	for (int i = 0; i < n_more; i++)
	{
		all_names[1 + keys->n_key + i] = names[i];
		all_types[1 + keys->n_key + i] = types[i];
	}
	input_rows_begin(input, 1 + keys->n_key + n_more, all_names, all_types);
}

void
auto_batch_add(const AutoBatchKeys *keys, int row, int n_more, const Datum *more,
			   const bool *more_nulls, InputRows *input)
{
	Datum values[1 + AUTO_MAX_KEY + MAX_MORE] = {Int32GetDatum(row)};
	bool nulls[1 + AUTO_MAX_KEY + MAX_MORE] = {false};

	for (int i = 0; i < keys->n_key; i++)
		values[1 + i] = keys->values[row * keys->n_key + i];
	for (int i = 0; i < n_more; i++)
	{
		values[1 + keys->n_key + i] = more[i];
		nulls[1 + keys->n_key + i] = more_nulls[i];
	}
	input_rows_add(input, values, nulls);
}

void
auto_batch_key_input(const AutoBatchKeys *keys, InputRows *input)
{
	auto_batch_input(keys, 0, NULL, NULL, input);
	for (int r = 0; r < keys->n; r++)
		auto_batch_add(keys, r, 0, NULL, NULL, input);
}

void
auto_batch_delay(AutoBatchRows *chosen, const int *rows, int n_rows)
{
	int64 *busy = palloc((Size) Max(n_rows, 1) * sizeof *busy);

	for (int i = 0; i < n_rows; i++)
	{
		busy[i] = chosen->rows[rows[i]]->id;
		for (int j = 0; j < chosen->n_ids; j++)
			if (chosen->ids[j] == busy[i])
				chosen->ids[j] = chosen->ids[--chosen->n_ids];
	}
	auto_queue_delay(busy, n_rows);
}
