/* chunk.c: bert.chunk, and the walk from chunk to chunk that columns of embeddings take too. */
#include "pg/server/compat.h"

#include <limits.h>

#include "miscadmin.h"

#include "pg/infer/chunk.h"
#include "pg/server/detoast.h"
#include "pg/server/errors.h"
#include "pg/server/memory.h"
#include "pg/server/progress.h"

PG_FUNCTION_INFO_V1(bert_chunk);

int
chunk_room(Call *call)
{
	const ModelHandle *handle = call->handle;
	int taken = call->prompt[0] == '\0' ? tokenizer_special_count(handle->tokenizer, false)
										: (int) count_prompt_tokens(call) + 1;

	return Max(handle->max_length - taken, 0);
}

void
chunk_walk_begin(ChunkWalk *walk, Call *call, InputText *input, int max_tokens, int overlap)
{
	EncodeOptions options = {.special_tokens = false, .truncation = TRUNCATE_NONE};
	EncodeInput text = {.text = input->utf8, .length = input->length};
	EncodeResult encoded;
	Status status;

	memset(walk, 0, sizeof *walk);
	encode_with(call, input, NULL, &options, &encoded);
	walk->call = call;
	walk->input = input;
	walk->encoding = &encoded.windows[0];
	walk->max_tokens = (size_t) max_tokens;
	REPORT_UNLESS(chunk_boundaries(call->arena, &text, walk->encoding, &walk->boundaries, &status),
				  &status);
	walk->cursor = (ChunkCursor){
		.kinds = walk->boundaries.kinds, .n = walk->encoding->n, .overlap = (size_t) overlap};
}

/* The byte of a character's beginning, from a byte and its character on. */
static size_t
byte_after(const InputText *input, size_t byte, uint32_t characters)
{
	while (byte < input->length && characters > 0)
	{
		byte++;
		while (byte < input->length && ((unsigned char) input->utf8[byte] & 0xC0) == 0x80)
			byte++;
		characters--;
	}
	return byte;
}

/* The cursor's chunk by itself: a part of a word may have other tokens than it had there. */
static size_t
count_alone(ChunkWalk *walk)
{
	size_t first = byte_after(walk->input, walk->seen_byte, walk->start - walk->seen_character);
	size_t last = byte_after(walk->input, first, walk->end - walk->start);
	size_t count;
	Status status;

	REPORT_UNLESS(tokenizer_count(walk->call->handle->tokenizer, walk->call->arena,
								  walk->input->utf8 + first, last - first, &backend_may_continue,
								  &count, &status),
				  &status);
	/* chunks begin one after the other */
	walk->seen_character = walk->start;
	walk->seen_byte = first;
	return count;
}

static void
place(ChunkWalk *walk)
{
	walk->start = walk->boundaries.starts[walk->cursor.first];
	walk->end = Max(walk->encoding->ends[walk->cursor.end - 1], walk->start);
}

/* Between words that are Bert's the tokens of a part are those that it has in the whole. */
static bool
is_certain(const ChunkWalk *walk)
{
	const ChunkCursor *cursor = &walk->cursor;

	return tokenizer_marks_subwords(walk->call->handle->tokenizer) &&
		   cursor->kinds[cursor->first] > BOUNDARY_TOKEN &&
		   cursor->kinds[cursor->end] > BOUNDARY_TOKEN;
}

bool
chunk_walk_next(ChunkWalk *walk)
{
	ChunkCursor *cursor = &walk->cursor;
	size_t limit = walk->max_tokens;

	if (!chunk_begin(cursor))
		return false;
	chunk_end(cursor, limit);
	place(walk);
	while (!is_certain(walk) && limit > 1 && count_alone(walk) > walk->max_tokens)
	{
		CHECK_FOR_INTERRUPTS();
		limit--;
		if (cursor->first + limit <= cursor->before && cursor->first < cursor->before)
		{
			/* the overlap leaves nothing for what is new */
			cursor->first = cursor->before;
			limit = walk->max_tokens;
		}
		chunk_end(cursor, limit);
		place(walk);
	}
	return true;
}

/* bert.chunk(input, model, max_tokens, overlap) */
PGDLLEXPORT Datum
bert_chunk(PG_FUNCTION_ARGS)
{
	Call call;
	InputText input;
	ChunkWalk walk;
	int max_tokens;
	int overlap;
	int32 number = 0;

	InitMaterializedSRF(fcinfo, 0);
	max_tokens = int_argument(fcinfo, 2, "max_tokens", 1, INT_MAX, INT_MAX);
	overlap = int_argument(fcinfo, 3, "overlap", 0, INT_MAX, 32);
	if (overlap >= max_tokens)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("an overlap of %d tokens is not less than the %d of a chunk",
							   overlap, max_tokens)));
	if (PG_ARGISNULL(0))
		return (Datum) 0;
	call_begin(&call, fcinfo, 1, TASK_EMBED);
	call_name(&call, "chunk");
	if (PG_ARGISNULL(2)) /* a chunk with its special tokens is what the model reads at once */
	{
		max_tokens = Max(chunk_room(&call), 1);
		overlap = window_stride(call.handle, overlap);
	}
	input_text(ARGUMENT_TEXT(0), &input);
	chunk_walk_begin(&walk, &call, &input, max_tokens, overlap);
	progress_phase("cutting", "chunks", -1);
	while (chunk_walk_next(&walk))
	{
		Datum values[4];
		bool nulls[4] = {false};

		values[0] = Int32GetDatum(++number);
		values[1] = PointerGetDatum(input_slice(&call, &input, walk.start, walk.end));
		values[2] = Int32GetDatum(input_position(&call, &input, walk.start));
		values[3] = Int32GetDatum(input_position(&call, &input, walk.end));
		put_row(fcinfo, values, nulls);
		pfree(DatumGetPointer(values[1]));
		progress_add(1);
	}
	call_leave(&call);
	return (Datum) 0;
}
