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

bool
embeddings_forward(Workspace *workspace, const Batch *batch, size_t past, float *out,
				   Status *status)
{
	const EmbeddingsParams *params = &workspace->model->embeddings;
	size_t n = workspace->model->hidden_size;
	bool absolute = workspace->model->config.position_embedding_type == POSITION_ABSOLUTE;

	for (size_t b = 0; b < batch->n_sequences; b++)
	{
		size_t first = (size_t) batch->cu_seqlens[b];
		size_t end = (size_t) batch->cu_seqlens[b + 1];

		for (size_t t = first; t < end; t++)
		{
			size_t type = batch->token_type_ids == NULL ? 0 : (size_t) batch->token_type_ids[t];
			size_t position =
				batch->position_ids == NULL ? past + t - first : (size_t) batch->position_ids[t];
			const float *type_row = params->types + type * n;             /* (H) */
			const float *position_row = params->positions + position * n; /* (H) */
			float *row = out + t * n;                                     /* (H) */

			if (t % ROWS_PER_STEP == 0 && !may_continue(workspace->question, status))
				return false;
			embedding_row_put(&params->words, (size_t) batch->input_ids[t], row);
			/* in the reference's order: (word + type) + position */
			if (absolute)
				for (size_t i = 0; i < n; i++)
					row[i] = row[i] + type_row[i] + position_row[i];
			else
				for (size_t i = 0; i < n; i++)
					row[i] += type_row[i];
			norm_forward(workspace, &params->norm, 1, row);
		}
	}
	return true;
}
