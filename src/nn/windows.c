/* windows.c: which window a token is read from, and running a model over windows. */
#include "nn/windows.h"

#include <math.h>
#include <string.h>

#include "core/bulk.h"
#include "core/note.h"

/*
 * Tokens computed at once: enough to keep the GEMMs busy (bench/bench_encoder: 512 are), little
 * enough for memory.
 */
#define TOKENS_PER_BATCH 2048

#define ASK_WINDOWS 512 /* windows looked at between two questions, a power of two */

/* Text tokens of a window lie together; first and end are set to their range. */
static void
text_range(const Encoding *window, size_t *first, size_t *end)
{
	size_t i = 0;

	while (i < window->n && window->sequences[i] < 0)
		i++;
	*first = i;
	while (i < window->n && window->sequences[i] >= 0)
		i++;
	*end = i;
}

static size_t
poorer_side(size_t i, size_t n)
{
	return i < n - 1 - i ? i : n - 1 - i;
}

bool
windows_map(const EncodeResult *encoded, size_t stride, Arena *arena, WindowMap *map,
			Status *status)
{
	size_t total = 0;
	size_t first;
	size_t end;

	for (size_t w = 0; w < encoded->n_windows; w++)
	{
		if (bulk_turn(w, ASK_WINDOWS) && !arena_may_continue(arena, status))
			return false;
		text_range(&encoded->windows[w], &first, &end);
		if (w > 0 && end - first < stride)
			return status_fail(status, STATUS_INTERNAL, "a window of %zu tokens cannot share %zu",
							   end - first, stride);
		total += end - first - (w > 0 ? stride : 0);
	}
	map->n_tokens = total;
	map->tokens = arena_alloc_array(arena, total, sizeof(WindowToken));
	if (map->tokens == NULL)
		return arena_fail(arena, status, "windows", total * sizeof(WindowToken));
	total = 0;
	for (size_t w = 0; w < encoded->n_windows; w++)
	{
		size_t shared = w > 0 ? stride : 0;

		if (bulk_turn(w, ASK_WINDOWS) && !arena_may_continue(arena, status))
			return false;
		text_range(&encoded->windows[w], &first, &end);
		total -= shared;
		for (size_t i = 0; i < end - first; i++)
		{
			WindowToken *token = &map->tokens[total + i];

			if (i < shared)
			{
				size_t other_first;
				size_t other_end;

				text_range(&encoded->windows[token->window], &other_first, &other_end);
				if (poorer_side(i, end - first) <=
					poorer_side(token->position - other_first, other_end - other_first))
					continue;
			}
			token->window = (uint32_t) w;
			token->position = (uint32_t) (first + i);
		}
		total += end - first;
	}
	return true;
}

bool
windows_batch(const EncodeResult *encoded, size_t first, size_t count, Arena *arena, Batch *batch,
			  Status *status)
{
	int32_t *bounds = arena_alloc_array(arena, count + 1, sizeof(int32_t));
	size_t n_tokens = 0;
	int32_t *ids;
	int32_t *types;

	if (bounds == NULL)
		return arena_fail(arena, status, "a batch", (count + 1) * sizeof(int32_t));
	bounds[0] = 0;
	for (size_t i = 0; i < count; i++)
	{
		n_tokens += encoded->windows[first + i].n;
		bounds[i + 1] = (int32_t) n_tokens;
	}
	ids = arena_alloc_array(arena, n_tokens, sizeof(int32_t));
	types = arena_alloc_array(arena, n_tokens, sizeof(int32_t));
	if (ids == NULL || types == NULL)
		return arena_fail(arena, status, "a batch", 2 * n_tokens * sizeof(int32_t));
	for (size_t i = 0; i < count; i++)
	{
		const Encoding *window = &encoded->windows[first + i];

		memcpy(ids + bounds[i], window->ids, window->n * sizeof(int32_t));
		memcpy(types + bounds[i], window->type_ids, window->n * sizeof(int32_t));
	}
	memset(batch, 0, sizeof *batch);
	batch->n_sequences = count;
	batch->cu_seqlens = bounds;
	batch->input_ids = ids;
	batch->token_type_ids = types;
	return true;
}

size_t
windows_in_budget(const EncodeResult *encoded, size_t first, size_t max_tokens)
{
	size_t n_tokens = encoded->windows[first].n;
	size_t count = 1;

	while (first + count < encoded->n_windows &&
		   n_tokens + encoded->windows[first + count].n <= max_tokens)
		n_tokens += encoded->windows[first + count++].n;
	return count;
}

void
softmax_rows(size_t m, size_t n, float *x)
{
	for (size_t r = 0; r < m; r++)
	{
		float *row = x + r * n; /* (n) */
		float largest = row[0];
		double sum = 0.0;

		for (size_t i = 1; i < n; i++)
			largest = row[i] > largest ? row[i] : largest;
		for (size_t i = 0; i < n; i++)
		{
			row[i] = expf(row[i] - largest);
			sum += row[i];
		}
		for (size_t i = 0; i < n; i++)
			row[i] = (float) (row[i] / sum);
	}
}

bool
windows_forward(const BertModel *model, const EncodeResult *encoded, WindowTake take, void *context,
				Arena *arena, const MayContinue *question, Status *status)
{
	ForwardWants wants = head_wants(model);
	size_t count;

	for (size_t first = 0; first < encoded->n_windows; first += count)
	{
		ArenaMark mark = arena_mark(arena);
		Batch batch;
		EncoderOutput states;
		HeadOutput output;

		count = windows_in_budget(encoded, first, TOKENS_PER_BATCH);
		if (!windows_batch(encoded, first, count, arena, &batch, status) ||
			!encoder_forward(model, &batch, &wants, arena, &states, question, status) ||
			!head_forward(model, &(HeadInput){&batch, &states, NULL, 0}, arena, &output, question,
						  status))
			return false;
		for (size_t i = 0; i < count; i++)
			if (!take(context, first + i,
					  output.logits + (size_t) batch.cu_seqlens[i] * output.n_columns,
					  output.n_columns, status))
				return false;
		arena_rewind(arena, mark);
		note_done(question, first + count);
	}
	return true;
}
