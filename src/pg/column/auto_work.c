/* auto_work.c: what a worker does with rows of the queue that it has taken. */
#include "pg/server/compat.h"

#include "access/relation.h"
#include "catalog/pg_class.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"

#include "pg/column/auto_trigger.h"
#include "pg/column/auto_work.h"
#include "pg/column/rows.h"

/* The very table that the batch is about, and not what inherits from it: that has another owner. */
static void
name_table(TableColumn *column)
{
	if (get_rel_relkind(column->relation) == RELKIND_PARTITIONED_TABLE)
		return;
	column->table_sql = psprintf("ONLY %s", column->table_sql);
	column->has_children = false;
}

/* What follows from the lock on the table, which its owner keeps from now on. */
static bool
is_mine(const AutoColumn *automatic, Oid table, Oid me)
{
	return OidIsValid(automatic->part) == auto_owners_act(automatic) &&
		   auto_acting_role(automatic, table) == me;
}

/* Finds the columns in the triggers; false: they are gone. */
static bool
find_columns(const AutoColumn *automatic, Oid table, AutoWork *work)
{
	Relation relation = try_relation_open(table, AccessShareLock);
	bool present = relation != NULL && auto_belongs(automatic, relation);

	if (present && automatic->cuts)
		present = chunk_rows_find(automatic, relation, &work->chunks);
	else if (present)
		present = auto_trigger_columns(relation, automatic->number, &work->embeds);
	if (relation != NULL)
		relation_close(relation, NoLock);
	return present;
}

AutoOpened
auto_work_open(const AutoColumn *automatic, Oid me, AutoWork *work)
{
	Oid table = OidIsValid(automatic->part) ? automatic->part : automatic->relation;
	TableColumn *column = &work->column;

	*work = (AutoWork){.automatic = automatic};
	if (!find_columns(automatic, table, work))
		return AUTO_GONE;
	if (automatic->cuts)
		work->embeds.source = work->chunks.columns.texts[0];
	table_column_reopen(table, work->embeds.source, work->embeds.target, column);
	if (!is_mine(automatic, table, me))
		return AUTO_NOT_MINE;
	name_table(column);
	column->form = automatic->form;
	table_column_know_texts(column, &work->embeds.texts);
	table_column_check_rights(column, me);
	work->model = model_handle_get(NULL, cstring_to_text(automatic->model), TASK_EMBED);
	if (!automatic->cuts)
		table_column_check_form(column, work->model);
	else
		chunk_rows_open(automatic, table, me, &work->chunks);
	return AUTO_OPENED;
}

/*
 * A trigger that fires after ours has changed the text, and the old embedding stands. It goes; the
 * row is then queued as any other.
 */
static void
clear_chosen(AutoBatchRows *chosen, const TableColumn *column, const char *condition,
			 InputRows *input)
{
	(void) set_config_option("lock_timeout", "1s", PGC_USERSET, PGC_S_SESSION, GUC_ACTION_LOCAL,
							 true, WARNING, false);
	(void) table_statement_run(psprintf("UPDATE %s AS l SET %s = NULL FROM bert_batch AS k"
										" WHERE l.%s IS NOT NULL%s",
										column->table_sql, column->target_sql, column->target_sql,
										condition),
							   column->relation, false, input, NULL, NULL);
	input_rows_end(input);
	auto_queue_delete(chosen->ids, chosen->n_ids);
}

/* Writes what is queued, and takes from the queue what needs no more. */
static void
embed_chosen(AutoWork *work, AutoBatchRows *chosen, const AutoBatchKeys *keys, InputRows *input)
{
	const TableColumn *column = &work->column;
	int *busy = palloc((Size) chosen->n * sizeof *busy);
	int n_busy = 0;
	EmbedRows found;
	const char *sql = psprintf("SELECT k.n, l.tableoid, l.ctid, %s FROM bert_batch AS k, "
							   "%s AS l WHERE l.%s IS NULL AND l.%s IS NOT NULL%s",
							   table_column_texts_sql(column, "l."), column->table_sql,
							   column->target_sql, column->source_sql, keys->condition);

	embed_rows_begin(&found, chosen->n, column, work->model);
	found.function = "auto_embed";
	embed_rows_read(&found, column, sql, input);
	input_rows_end(input);
	(void) embed_rows_write(&found, column, work->model);
	if (found.cut) /* large texts: what was not read stays */
	{
		chosen->n_ids = 0;
		for (int i = 0; i < found.n; i++)
			if (found.rows[i].written)
				chosen->ids[chosen->n_ids++] = chosen->rows[found.rows[i].number]->id;
	}
	for (int i = 0; i < found.n; i++)
		if (!found.rows[i].written && n_busy < chosen->n)
			busy[n_busy++] = found.rows[i].number;
	auto_batch_delay(chosen, busy, n_busy);
	auto_queue_delete(chosen->ids, chosen->n_ids);
}

void
auto_work_run(AutoWork *work, List *taken)
{
	Relation relation = relation_open(work->column.relation, NoLock);
	AutoBatchRows chosen;
	AutoBatchKeys keys;
	InputRows input;

	auto_batch_choose(taken, &chosen);
	auto_batch_keys(relation, &chosen, &keys);
	relation_close(relation, NoLock);
	if (work->automatic->cuts)
	{
		chunk_rows_run(work, &chosen, &keys);
		return;
	}
	auto_batch_key_input(&keys, &input);
	if (chosen.rows[0]->stale)
		clear_chosen(&chosen, &work->column, keys.condition, &input);
	else
		embed_chosen(work, &chosen, &keys, &input);
}
