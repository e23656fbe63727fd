/*
 * call.h: what all text and inference functions share: a call's model, arena and counters.
 *
 * One arena per backend serves every call and is emptied when the next one begins; nothing in it
 * outlives a call, and no function here calls another's SQL in between. What is returned is
 * palloc'd.
 */
#ifndef BERT_PG_INFER_CALL_H
#define BERT_PG_INFER_CALL_H

#include "funcapi.h"
#include "portability/instr_time.h"

#include "pg/model/handle.h"
#include "pg/server/stats.h"
#include "pg/server/values.h"

typedef struct Call
{
	ModelHandle *handle;
	Arena *arena;
	Stats counted; /* model and time are filled in at the end */
	instr_time started;
	/* UTF-8 that goes before each text to embed; "" for none */
	const char *prompt;
	size_t unpooled_tokens; /* the prompt's, where the model leaves it out of the pooling; else 0 */
	/* the value that texts_to_rows is converting to UTF-8, which may fail; else -1 */
	int reading;
	bool ahead;         /* of texts that will be asked for, and counted, one by one */
	bool told;          /* bert.progress shows it by itself */
	bool tells_windows; /* what is counted is windows of one text */
} Call;

/* model_argument: its index; NULL means the task's default. */
extern void call_begin(Call *call, FunctionCallInfo fcinfo, int model_argument, ModelTask task);
/* The same; for a *_pinned function the model must be given, by a pinned name. */
extern void call_begin_as(Call *call, FunctionCallInfo fcinfo, int model_argument, ModelTask task,
						  bool pinned);
/* The same with a model that the caller keeps pinned; function: its name in bert.stats. */
extern void call_begin_with(Call *call, ModelHandle *handle, const char *function);
/* The name under which it counts, where it is not the task's. */
extern void call_name(Call *call, const char *function);
/* Counts a text that is computed. */
extern void call_count_text(Call *call, int64 tokens);
/*
 * Counts a text that is not computed like the one whose result it gets. ahead: that was computed
 * for this one.
 */
extern void call_count_remembered(Call *call, bool truncated, bool ahead);
extern void call_count_duplicate(Call *call, bool truncated);
/* Ends the call and counts it in bert.stats. */
extern void call_end(Call *call);
/* Ends one whose texts are counted when they are asked for: its work is. */
extern void call_end_ahead(Call *call);
/* Ends one that is not counted. */
extern void call_leave(Call *call);

/* Memory of the call's arena; 53200 naming what it was for. */
extern void *call_take(Call *call, size_t count, size_t size, const char *what);

#endif
