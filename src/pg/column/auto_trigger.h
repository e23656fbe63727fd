/* auto_trigger.h: the triggers of an automatic column. */
#ifndef BERT_PG_COLUMN_AUTO_TRIGGER_H
#define BERT_PG_COLUMN_AUTO_TRIGGER_H

#include "utils/rel.h"
#include "pg/column/column.h"

/* false: no such trigger */
extern bool auto_trigger_columns(Relation relation, int64 number, AttrNumber *source,
								 AttrNumber *target);

/* Whether one of them fills this column. */
extern bool auto_trigger_fills(Relation relation, AttrNumber target);
/* generated: the source is a generated column. */
extern void auto_triggers_create(const TableColumn *column, int64 number, bool generated);
extern void auto_triggers_drop(Relation relation, int64 number);

#endif
