/* splade.c: SpladePooling of sentence-transformers' sparse encoders. */
#include "nn/splade.h"

#include <math.h>
#include <string.h>

/* One token's logits (n) into its sequence's row. */
static void
add_row(const SpladeSettings *settings, size_t n, const float *logits, float *row)
{
	if (settings->pooling == SPLADE_MAX) /* the logarithms keep the order */
	{
		for (size_t i = 0; i < n; i++)
			row[i] = logits[i] > row[i] ? logits[i] : row[i];
		return;
	}
	for (size_t i = 0; i < n; i++)
		if (logits[i] > 0)
		{
			float weight = log1pf(logits[i]);

			row[i] += settings->twice ? log1pf(weight) : weight;
		}
}

static void
finish_row(const SpladeSettings *settings, size_t n, float *row)
{
	for (size_t i = 0; settings->pooling == SPLADE_MAX && i < n; i++)
		if (row[i] > 0)
		{
			row[i] = log1pf(row[i]);
			if (settings->twice)
				row[i] = log1pf(row[i]);
		}
}

bool
splade_weigh_query(const BertModel *model, const int32_t *tokens, size_t n, Arena *arena,
				   float *out, Status *status)
{
	size_t words = (size_t) bert_model_config(model)->vocab_size;
	float *weights = arena_alloc_array(arena, words, sizeof *weights);
	float one = 1;

	if (weights == NULL)
		return arena_fail(arena, status, "the weights of words", words * sizeof *weights);
	if (!dense_forward(model, 1, &one, weights, arena, arena_question(arena), status))
		return false;
	memset(out, 0, words * sizeof *out);
	for (size_t i = 0; i < n; i++)
		if (tokens[i] >= 0 && (size_t) tokens[i] < words)
			out[tokens[i]] = weights[tokens[i]];
	return true;
}

bool
splade_forward(const BertModel *model, const Batch *batch, const EncoderOutput *states,
			   const SpladeSettings *settings, Arena *arena, float *out, Status *status)
{
	HeadKind head = bert_model_head(model);
	size_t n = (size_t) bert_model_config(model)->vocab_size;

	if (head != HEAD_MASKED_LM && head != HEAD_PRETRAINING)
		return status_fail(status, STATUS_INVALID_ARGUMENT,
						   "the model has no masked language model head");
	memset(out, 0, batch->n_sequences * n * sizeof *out);
	for (size_t s = 0; s < batch->n_sequences; s++)
	{
		size_t end = (size_t) batch->cu_seqlens[s + 1];

		for (size_t first = (size_t) batch->cu_seqlens[s]; first < end;)
		{
			ArenaMark mark = arena_mark(arena);
			size_t rows[SPLADE_ROWS];
			size_t count = 0;
			HeadOutput output;

			while (count < SPLADE_ROWS && first < end)
				rows[count++] = first++;
			if (!head_forward(model, &(HeadInput){batch, states, rows, count}, arena, &output,
							  arena_question(arena), status))
				return false;
			for (size_t r = 0; r < count; r++)
				add_row(settings, n, output.logits + r * n, out + s * n);
			arena_rewind(arena, mark);
		}
		finish_row(settings, n, out + s * n);
		if (!arena_may_continue(arena, status))
			return false;
	}
	return true;
}
