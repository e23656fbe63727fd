/* auto_trigger.h: the triggers of an automatic column. */
#ifndef BERT_PG_COLUMN_AUTO_TRIGGER_H
#define BERT_PG_COLUMN_AUTO_TRIGGER_H

#include "commands/trigger.h"
#include "utils/rel.h"
#include "pg/column/auto_key.h"
#include "pg/column/column.h"

/* The columns of bert.auto_embed, which its triggers name. */
typedef struct EmbedColumns
{
	AttrNumber source;
	AttrNumber target;
	TextColumns texts; /* of the template */
} EmbedColumns;

/* false: no such trigger */
extern bool auto_trigger_columns(Relation relation, int64 number, EmbedColumns *columns);

/* Whether one of them fills this column. */
extern bool auto_trigger_fills(Relation relation, AttrNumber target);
/* Appends to a condition: or the column's text is another one. */
extern void auto_trigger_append_changed(StringInfo sql, const char *column);
/* generated: a column of the text is a generated one. */
extern void auto_triggers_create(const TableColumn *column, int64 number, bool generated);
/* bert.auto_chunk's as well */
extern void auto_triggers_drop(Relation relation, int64 number);

/* Of all our triggers: whether it runs this function of ours, and the number it names (0: none). */
extern bool auto_trigger_runs(const Trigger *trigger, const char *function);
extern int64 auto_trigger_number(const Trigger *trigger);
/* Whether a column of the updated row is as it was, to the byte. */
extern bool auto_trigger_same(const TriggerData *data, AttrNumber number);

/* The key of a table's rows, as the queue has it. */
typedef struct QueueKey
{
	bool plain; /* its text does not depend on settings */
	int n;
	AttrNumber attributes[AUTO_MAX_KEY];
	FmgrInfo output[AUTO_MAX_KEY];
	Datum names[AUTO_MAX_KEY]; /* text */
} QueueKey;

extern void queue_key_begin(QueueKey *key);
extern void queue_key_add(QueueKey *key, Relation relation, const AutoKeyColumn *column);
/* texts (n) */
extern void queue_key_texts(QueueKey *key, Relation relation, HeapTuple tuple, Datum *texts);

/* Runs a statement through SPI, which is connected. */
extern void auto_trigger_sql(const char *sql);

#endif
