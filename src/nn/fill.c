/* fill.c: masks filled, and pseudo-perplexity. */
#include "nn/fill.h"

#include <math.h>
#include <string.h>

#include "core/note.h"
#include "nn/loss.h"
#include "nn/select.h"

/* Tokens computed at once, as in windows.c. */
#define TOKENS_PER_BATCH 2048

static bool
check_head(const BertModel *model, const Tokenizer *tokenizer, Status *status)
{
	HeadKind head = bert_model_head(model);

	if (head != HEAD_MASKED_LM && head != HEAD_PRETRAINING)
		return status_fail(status, STATUS_INVALID_ARGUMENT,
						   "the model has no masked language model head");
	if (tokenizer_mask_id(tokenizer) < 0)
		return status_fail(status, STATUS_INVALID_ARGUMENT,
						   "the model's vocabulary has no mask token");
	return true;
}

static bool
decode_fill(const Tokenizer *tokenizer, const Encoding *encoded, size_t position, bool only_mask,
			Arena *arena, Fill *fill, Status *status)
{
	int32_t *ids = arena_alloc_array(arena, encoded->n, sizeof(int32_t));
	DecodedText text;
	size_t n = 0;

	if (ids == NULL)
		return arena_fail(arena, status, "a sequence", encoded->n * sizeof(int32_t));
	for (size_t i = 0; i < encoded->n; i++)
	{
		int32_t id = i == position ? fill->token_id : encoded->ids[i];

		if (id != tokenizer_pad_id(tokenizer))
			ids[n++] = id;
	}
	if (!tokenizer_decode(tokenizer, arena, &(DecodeInput){ids, n, only_mask}, NULL, &text, status))
		return false;
	fill->sequence = text.text;
	if (!tokenizer_decode(tokenizer, arena, &(DecodeInput){&fill->token_id, 1, false}, NULL, &text,
						  status))
		return false;
	fill->token = text.text;
	return true;
}

/* rows (as many as tokens): where the text's masks are */
static bool
find_masks(const Tokenizer *tokenizer, const Encoding *encoded, size_t *rows, size_t *n_masks,
		   Status *status)
{
	*n_masks = 0;
	for (size_t i = 0; i < encoded->n; i++)
		if (encoded->ids[i] == tokenizer_mask_id(tokenizer))
			rows[(*n_masks)++] = i;
	if (*n_masks > 0)
		return true;
	status_fail(status, STATUS_INVALID_ARGUMENT, "the text has no mask to fill");
	return status_hint(status, "Write the mask token, usually [MASK], where a word is wanted.");
}

bool
fill_masks(const FillRequest *request, Arena *arena, Fill **out, size_t *n_fills,
		   const MayContinue *question, Status *status)
{
	const BertModel *model = request->model;
	const Tokenizer *tokenizer = request->tokenizer;
	const Encoding *encoded = request->encoded;
	size_t top_k = request->top_k;
	EncodeResult whole = {1, (Encoding *) encoded, false};
	ForwardWants wants = head_wants(model);
	size_t *rows = arena_alloc_array(arena, encoded->n, sizeof(size_t));
	Candidate *best;
	size_t n_masks;
	Batch batch;
	EncoderOutput states;
	HeadOutput output;
	Fill *fills;

	if (rows == NULL)
		return arena_fail(arena, status, "masks", encoded->n * sizeof(size_t));
	if (!check_head(model, tokenizer, status))
		return false;
	if (!find_masks(tokenizer, encoded, rows, &n_masks, status))
		return false;
	if (!windows_batch(&whole, 0, 1, arena, &batch, status) ||
		!encoder_forward(model, &batch, &wants, arena, &states, question, status) ||
		!head_forward(model, &(HeadInput){&batch, &states, rows, n_masks}, arena, &output, question,
					  status))
		return false;
	if (top_k > output.n_columns)
		top_k = output.n_columns;
	fills = arena_alloc_array(arena, n_masks * top_k, sizeof(Fill));
	best = arena_alloc_array(arena, top_k, sizeof(Candidate));
	if (fills == NULL || best == NULL)
		return arena_fail(arena, status, "proposals", n_masks * top_k * sizeof(Fill));
	for (size_t m = 0; m < n_masks; m++)
	{
		const float *logits = output.logits + m * output.n_columns; /* (vocab) */
		double total = log_sum_exp(logits, output.n_columns);

		/* by logits: small probabilities are rounded, and equal where logits are not */
		select_largest(logits, output.n_columns, top_k, best);
		for (size_t i = 0; i < top_k; i++)
		{
			Fill *fill = &fills[m * top_k + i];

			fill->mask = m;
			fill->token_id = best[i].id;
			fill->score = (float) exp(best[i].score - total);
			if (!may_continue(question, status) ||
				!decode_fill(tokenizer, encoded, rows[m], n_masks == 1, arena, fill, status))
				return false;
		}
	}
	*out = fills;
	*n_fills = n_masks * top_k;
	return true;
}

/*
 * Adds the log probabilities of `count` tokens, each in a copy of its window where it alone is
 * masked.
 */
static bool
score_masked(const PerplexityRequest *request, const WindowToken *tokens, size_t count,
			 Arena *arena, double *total, const MayContinue *question, Status *status)
{
	const BertModel *model = request->model;
	const EncodeResult *encoded = request->encoded;
	int32_t mask_id = tokenizer_mask_id(request->tokenizer);
	ForwardWants wants = head_wants(model);
	EncodeResult copies = {count, arena_alloc_array(arena, count, sizeof(Encoding)), false};
	size_t *rows = arena_alloc_array(arena, count, sizeof(size_t));
	Batch batch;
	EncoderOutput states;
	HeadOutput output;

	if (copies.windows == NULL || rows == NULL)
		return arena_fail(arena, status, "masked copies", count * sizeof(Encoding));
	for (size_t i = 0; i < count; i++)
		copies.windows[i] = encoded->windows[tokens[i].window];
	if (!windows_batch(&copies, 0, count, arena, &batch, status))
		return false;
	for (size_t i = 0; i < count; i++)
	{
		rows[i] = (size_t) batch.cu_seqlens[i] + tokens[i].position;
		((int32_t *) batch.input_ids)[rows[i]] = mask_id;
	}
	if (!encoder_forward(model, &batch, &wants, arena, &states, question, status) ||
		!head_forward(model, &(HeadInput){&batch, &states, rows, count}, arena, &output, question,
					  status))
		return false;
	for (size_t i = 0; i < count; i++)
	{
		const float *logits = output.logits + i * output.n_columns; /* (vocab) */
		double sum = 0.0;
		float most = logits[0];

		for (size_t v = 1; v < output.n_columns; v++)
			most = fmaxf(most, logits[v]);
		for (size_t v = 0; v < output.n_columns; v++)
			sum += exp((double) logits[v] - most);
		*total += (double) logits[copies.windows[i].ids[tokens[i].position]] - most - log(sum);
	}
	return true;
}

bool
pseudo_perplexity(const PerplexityRequest *request, Arena *arena, double *perplexity,
				  const MayContinue *question, Status *status)
{
	const EncodeResult *encoded = request->encoded;
	WindowMap map;
	double total = 0.0;
	size_t count;

	if (!check_head(request->model, request->tokenizer, status) ||
		!windows_map(encoded, request->stride, arena, &map, status))
		return false;
	for (size_t first = 0; first < map.n_tokens; first += count)
	{
		ArenaMark mark = arena_mark(arena);
		size_t n_tokens = 0;

		for (count = 0; first + count < map.n_tokens; count++)
		{
			n_tokens += encoded->windows[map.tokens[first + count].window].n;
			if (count > 0 && n_tokens > TOKENS_PER_BATCH)
				break;
		}
		if (!score_masked(request, map.tokens + first, count, arena, &total, question, status))
			return false;
		arena_rewind(arena, mark);
		note_done(question, first + count);
	}
	*perplexity = exp(-total / (double) map.n_tokens); /* 0 / 0: NaN */
	return true;
}
