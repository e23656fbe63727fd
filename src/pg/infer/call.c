/* call.c: texts in and out, and the arena that calls share. */
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
#include "pg/server/encoding.h"
#include "pg/server/settings.h"
#include "pg/infer/call.h"
#include "pg/server/memory.h"
#include "pg/server/errors.h"
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
	INSTR_TIME_SET_CURRENT(call->started);
	call->handle = model_handle_get(flinfo, model, task);
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
	text *model = PG_ARGISNULL(model_argument) ? NULL : PG_GETARG_TEXT_PP(model_argument);

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
call_begin_with(Call *call, ModelHandle *handle)
{
	memset(call, 0, sizeof *call);
	INSTR_TIME_SET_CURRENT(call->started);
	model_handle_keep_sound(handle);
	call->handle = handle;
	call->reading = -1;
	call->prompt = "";
	call->arena = call_arena();
}

void
use_prompt(Call *call, const char *words, const char *name, PromptUse use)
{
	size_t length;
	Status status;

	if (words != NULL)
		call->prompt = encoding_to_utf8(words, strlen(words), &length);
	else
		REPORT_UNLESS(
			sentence_prompt(call->arena, &call->handle->sentence,
							name == NULL ? NULL : encoding_to_utf8(name, strlen(name), &length),
							use, &call->prompt, &status),
			&status);
}

void
call_end(Call *call)
{
	instr_time elapsed;

	INSTR_TIME_SET_CURRENT(elapsed);
	INSTR_TIME_SUBTRACT(elapsed, call->started);
	stats_count(call->handle->name, call->texts, call->tokens, call->truncations,
				INSTR_TIME_GET_MILLISEC(elapsed));
}

void
input_text(const text *value, InputText *input)
{
	int encoding = GetDatabaseEncoding();

	input->bytes = VARDATA_ANY(value);
	input->n_bytes = VARSIZE_ANY_EXHDR(value);
	input->utf8 = input->bytes;
	input->length = input->n_bytes;
	input->characters = NULL;
	input->same = encoding != PG_SQL_ASCII && encoding != PG_EUC_JIS_2004;
	input->seen_characters = input->seen_bytes = 0;
	if (encoding == PG_UTF8 || input->n_bytes == 0)
		return;
	input->utf8 = pg_server_to_any(input->bytes, (int) input->n_bytes, PG_UTF8);
	if (input->utf8 != input->bytes)
		input->length = strlen(input->utf8);
}

static size_t
code_points(const char *utf8, size_t length)
{
	size_t count = 0;

	for (size_t i = 0; i < length; i++)
	{
		count += ((unsigned char) utf8[i] & 0xC0) != 0x80;
		if (bulk_turn(i, 64 * ASK_ELEMENTS))
			CHECK_FOR_INTERRUPTS();
	}
	return count;
}

/*
 * For the encodings where a character is not a code point: SQL_ASCII counts bytes, EUC_JIS_2004 has
 * characters of two code points.
 */
static void
map_characters(Call *call, InputText *input)
{
	size_t count = code_points(input->utf8, input->length);
	uint32_t *characters = arena_alloc_array(call->arena, count + 1, sizeof(uint32_t));
	size_t at = 0;
	Status status;

	if (characters == NULL)
	{
		arena_fail(call->arena, &status, "character positions", (count + 1) * sizeof(uint32_t));
		report_status(&status);
	}
	if (GetDatabaseEncoding() == PG_SQL_ASCII)
	{
		for (size_t i = 0; i < input->length; i++)
		{
			if (((unsigned char) input->utf8[i] & 0xC0) != 0x80)
				characters[at++] = (uint32_t) i;
			if (bulk_turn(i, 64 * ASK_ELEMENTS))
				CHECK_FOR_INTERRUPTS();
		}
		characters[count] = (uint32_t) input->length;
	}
	else
	{
		uint32_t character = 0;

		for (size_t i = 0; i < input->n_bytes; character++)
		{
			int bytes = pg_mblen(input->bytes + i);
			char *alone = IS_HIGHBIT_SET(input->bytes[i])
							  ? pg_server_to_any(input->bytes + i, bytes, PG_UTF8)
							  : NULL;
			size_t points = alone == NULL ? 1 : code_points(alone, strlen(alone));

			if (bulk_turn(character, ASK_ELEMENTS))
				CHECK_FOR_INTERRUPTS();
			while (points-- > 0 && at < count)
				characters[at++] = character;
			if (alone != NULL)
				pfree(alone);
			i += (size_t) bytes;
		}
		while (at <= count)
			characters[at++] = character;
	}
	input->characters = characters;
}

int32
input_position(Call *call, InputText *input, uint32_t code_point)
{
	if (input->same)
		return (int32) code_point;
	if (input->characters == NULL)
		map_characters(call, input);
	return (int32) input->characters[code_point];
}

/* The byte where a character begins; fast when positions ascend. */
static size_t
byte_of(InputText *input, size_t character)
{
	if (pg_database_encoding_max_length() == 1)
		return character;
	if (character < input->seen_characters)
		input->seen_characters = input->seen_bytes = 0;
	while (input->seen_characters < character && input->seen_bytes < input->n_bytes)
	{
		input->seen_bytes += (size_t) pg_mblen(input->bytes + input->seen_bytes);
		if (bulk_turn(input->seen_characters++, ASK_ELEMENTS))
			CHECK_FOR_INTERRUPTS();
	}
	return Min(input->seen_bytes, input->n_bytes);
}

text *
input_slice(Call *call, InputText *input, uint32_t start, uint32_t end)
{
	size_t first = byte_of(input, (size_t) input_position(call, input, start));
	/* windows overlap: the next slice may begin before this one's end */
	InputText ahead = *input;
	size_t last = byte_of(&ahead, (size_t) input_position(call, input, end));

	return cstring_to_text_with_len(input->bytes + first, (int) (last - first));
}

text *
output_text(const char *utf8, size_t length)
{
	char *converted = pg_any_to_server(utf8, (int) length, PG_UTF8);

	return converted == utf8 ? cstring_to_text_with_len(utf8, (int) length)
							 : cstring_to_text(converted);
}

Overflow
overflow_argument(FunctionCallInfo fcinfo, int argument)
{
	static const char *const names[] = {"truncate", "window", "error"};
	Status status;
	int overflow = OVERFLOW_TRUNCATE;

	if (!PG_ARGISNULL(argument))
	{
		overflow = name_parse(text_to_cstring(PG_GETARG_TEXT_PP(argument)), "overflow", names,
							  lengthof(names), &status);
		REPORT_UNLESS(overflow >= 0, &status);
	}
	return (Overflow) overflow;
}

Pooling
pooling_argument(FunctionCallInfo fcinfo, int argument, const ModelHandle *handle)
{
	Pooling pooling = handle->sentence.pooling;
	Status status;

	if (!PG_ARGISNULL(argument))
		REPORT_UNLESS(
			pooling_parse(text_to_cstring(PG_GETARG_TEXT_PP(argument)), &pooling, &status),
			&status);
	if (pooling == POOLING_POOLER && !handle->config.use_pooler)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("model \"%s\" has no pooling layer", handle->name),
						errhint("Use pooling mean, cls or max.")));
	return pooling;
}

bool
embeds_normalized(const ModelHandle *handle)
{
	return handle->sentence.normalize || !handle->sentence.present;
}

bool
normalize_argument(FunctionCallInfo fcinfo, int argument, const ModelHandle *handle)
{
	return PG_ARGISNULL(argument) ? embeds_normalized(handle) : PG_GETARG_BOOL(argument);
}
