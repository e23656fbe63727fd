/* embeddings.c: BertEmbeddings: word, type and position embeddings, LayerNorm. */
#include <string.h>

#include "core/bf16.h"
#include "nn/forward.h"

/* Rows between two questions: far below 20 ms. */
#define ROWS_PER_STEP 1024

void
embedding_row_put(const RowsParams *params, size_t row, float *out)
{
	size_t n = params->n_columns;

	switch (params->precision)
	{
		case PRECISION_FP32:
			memcpy(out, (const float *) params->rows + row * n, n * sizeof(float));
			break;
		case PRECISION_BF16:
		{
			const uint16_t *source = (const uint16_t *) params->rows + row * n;

			for (size_t i = 0; i < n; i++)
				out[i] = bf16_to_float(source[i]);
			break;
		}
		case PRECISION_INT8:
		{
			const int8_t *source = (const int8_t *) params->rows + row * n;
			float scale = params->scales[row];

			for (size_t i = 0; i < n; i++)
				out[i] = scale * (float) source[i];
			break;
		}
	}
}

/* The sum of one token's embeddings in the reference's order: (word + type) + position. */
static void
embed_token(const BertModel *model, const Batch *batch, size_t t, size_t position, float *row)
{
	const EmbeddingsParams *params = &model->embeddings;
	size_t n = model->embedding_size;
	bool absolute = model->config.position_embedding_type == POSITION_ABSOLUTE;
	size_t type = batch->token_type_ids == NULL ? 0 : (size_t) batch->token_type_ids[t];

	embedding_row_put(&params->words, (size_t) batch->input_ids[t], row);
	if (params->types != NULL)
		for (size_t i = 0; i < n; i++)
			row[i] += params->types[type * n + i];
	if (absolute)
		for (size_t i = 0; i < n; i++)
			row[i] += params->positions[position * n + i];
}

/* Where a pass over a batch's tokens is. */
typedef struct TokenWalk
{
	size_t sequence;
	size_t counted; /* of the sequence, as config_next_position says */
} TokenWalk;

/* Rows first .. end - 1 of the normalised sums to out (end - first, E). */
static void
embed_rows(const BertModel *model, const Batch *batch, size_t past, size_t first, size_t end,
		   TokenWalk *walk, float *out)
{
	for (size_t t = first; t < end; t++, out += model->embedding_size)
	{
		size_t position;

		if (t == (size_t) batch->cu_seqlens[walk->sequence + 1])
			*walk = (TokenWalk){walk->sequence + 1, past};
		position =
			(size_t) config_next_position(&model->config, batch->input_ids[t], &walk->counted);
		if (batch->position_ids != NULL)
			position = (size_t) batch->position_ids[t];
		embed_token(model, batch, t, position, out);
	}
}

bool
embeddings_forward(Workspace *workspace, const Batch *batch, size_t past, float *out,
				   Status *status)
{
	const BertModel *model = workspace->model;
	const LinearParams *projection = &model->embeddings.projection;
	size_t n_tokens = (size_t) batch->cu_seqlens[batch->n_sequences];
	bool projects = projection->weight.panels != NULL;
	size_t step = projects ? workspace->block_rows : ROWS_PER_STEP;
	TokenWalk walk = {0, past};

	for (size_t first = 0; first < n_tokens; first += step)
	{
		size_t count = n_tokens - first < step ? n_tokens - first : step;
		float *block = out + first * model->hidden_size;      /* (count, H) */
		float *rows = projects ? workspace->attended : block; /* (count, E) */

		if (!may_continue(workspace->question, status))
			return false;
		embed_rows(model, batch, past, first, first + count, &walk, rows);
		norm_forward(workspace, &model->embeddings.norm, count, rows);
		if (projects && !linear_forward(workspace, projection,
										&(LinearCall){.m = count,
													  .x = rows,
													  .ldx = model->embedding_size,
													  .y = block,
													  .ldy = model->hidden_size,
													  .activation = ACTIVATION_NONE},
										status))
			return false;
	}
	return true;
}
