/* call.c: the arena that calls share, and what they count. */
#include "pg/server/compat.h"

#include "access/htup_details.h"
#include "access/xact.h"
#include "catalog/pg_type.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

#include "core/bulk.h"
#include "core/names.h"
#include "pg/server/detoast.h"
#include "pg/server/encoding.h"
#include "pg/server/settings.h"
#include "pg/infer/call.h"
#include "pg/server/memory.h"
#include "pg/server/errors.h"
#include "pg/server/progress.h"
#include "pg/server/shared.h"

/* What an idle backend may keep; more is given back. */
#define KEPT_BYTES ((size_t) 32 * 1024 * 1024)

static Arena *kept_arena;
static Size kept_limit;

static void
release_arena(XactEvent event, void *arg)
{
	if (kept_arena != NULL && arena_held(kept_arena) > KEPT_BYTES)
	{
		arena_destroy(kept_arena);
		kept_arena = NULL;
	}
}

/* The backend's arena, empty. */
static Arena *
call_arena(void)
{
	static MemoryContext context;
	Size limit = memory_limit();

	if (context == NULL)
	{
		context = AllocSetContextCreate(TopMemoryContext, "bert calls", ALLOCSET_DEFAULT_SIZES);
		RegisterXactCallback(release_arena, NULL);
	}
	if (kept_arena != NULL && (limit != kept_limit || arena_held(kept_arena) > KEPT_BYTES))
	{
		arena_destroy(kept_arena);
		kept_arena = NULL;
	}
	if (kept_arena == NULL)
	{
		kept_arena = arena_in_context(context, limit);
		kept_limit = limit;
	}
	arena_rewind(kept_arena, (ArenaMark){NULL, 0});
	return kept_arena;
}

static void
begin(Call *call, FmgrInfo *flinfo, const text *model, ModelTask task)
{
	memset(call, 0, sizeof *call);
	call->started = progress_begin(model_task_name(task), NULL);
	call->told = true;
	call->handle = model_handle_get(flinfo, model, task);
	call_name(call, model_task_name(task));
	progress_phase("tokenizing", NULL, -1);
	call->prompt = "";
	call->arena = call_arena();
}

void
call_begin(Call *call, FunctionCallInfo fcinfo, int model_argument, ModelTask task)
{
	call_begin_as(call, fcinfo, model_argument, task, false);
}

void
call_begin_as(Call *call, FunctionCallInfo fcinfo, int model_argument, ModelTask task, bool pinned)
{
	text *model = PG_ARGISNULL(model_argument) ? NULL : ARGUMENT_TEXT(model_argument);

	if (!pinned)
	{
		begin(call, fcinfo->flinfo, model, task);
		return;
	}
	if (model == NULL || memchr(VARDATA_ANY(model), '@', VARSIZE_ANY_EXHDR(model)) == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 model == NULL
					 ? errmsg("a pinned model name is required")
					 : errmsg("\"%s\" is not a pinned model name", text_to_cstring(model)),
				 errhint("bert.pinned(model) gives the name with the contents it stands for.")));
	begin(call, fcinfo->flinfo, model, task);
}

void
call_begin_with(Call *call, ModelHandle *handle, const char *function)
{
	memset(call, 0, sizeof *call);
	INSTR_TIME_SET_CURRENT(call->started);
	model_handle_keep_sound(handle);
	call->handle = handle;
	call_name(call, function);
	call->reading = -1;
	call->prompt = "";
	call->arena = call_arena();
}

void *
call_take(Call *call, size_t count, size_t size, const char *what)
{
	void *memory = arena_alloc_array(call->arena, count, size);
	Status status;

	if (memory == NULL)
	{
		arena_fail(call->arena, &status, what, count * size);
		report_status(&status);
	}
	return memory;
}

void
call_name(Call *call, const char *function)
{
	strlcpy(call->counted.function, function, sizeof call->counted.function);
	if (call->told)
		progress_name(function, call->handle->name);
}

void
call_count_text(Call *call, int64 tokens)
{
	call->counted.texts++;
	call->counted.tokens += tokens;
	call->counted.lengths[stats_length_place(tokens)]++;
}

void
call_count_remembered(Call *call, bool truncated, bool ahead)
{
	call->counted.texts++;
	call->counted.truncations += truncated;
	call->counted.cached += !ahead;
}

void
call_count_duplicate(Call *call, bool truncated)
{
	call->counted.texts++;
	call->counted.truncations += truncated;
	call->counted.deduplicated++;
}

static void
count(Call *call, int64 calls)
{
	instr_time elapsed;

	INSTR_TIME_SET_CURRENT(elapsed);
	INSTR_TIME_SUBTRACT(elapsed, call->started);
	strlcpy(call->counted.model, call->handle->name, sizeof call->counted.model);
	call->counted.calls = calls;
	call->counted.ms = INSTR_TIME_GET_MILLISEC(elapsed);
	stats_count(&call->counted);
	call_leave(call);
}

void
call_end(Call *call)
{
	count(call, 1);
}

void
call_end_ahead(Call *call)
{
	Stats *counted = &call->counted;

	counted->texts = counted->cached = counted->deduplicated = counted->truncations = 0;
	count(call, 0);
}

void
call_leave(Call *call)
{
	if (call->told)
		progress_end();
	call->told = false;
}
