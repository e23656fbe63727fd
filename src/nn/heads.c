/* heads.c: the task heads on top of the encoder, one function per class of the reference's heads.
 */
#include <string.h>

#include "core/checked.h"
#include "nn/forward.h"

ForwardWants
head_wants(HeadKind head)
{
	ForwardWants wants = {.pooler_output = head_uses_pooler(head)};

	return wants;
}

/* out = x (m, H) through a linear layer into freshly allocated logits (m, out) */
static bool
classify_rows(Workspace *workspace, const LinearParams *linear, size_t m, const float *x,
			  Arena *arena, float **logits, Status *status)
{
	size_t n = linear->weight.n;

	*logits = arena_alloc_array(arena, m * n, sizeof(float));
	if (*logits == NULL)
		return arena_fail(arena, status, "logits", m * n * sizeof(float));
	return linear_forward(workspace, linear,
						  &(LinearCall){.m = m,
										.x = x,
										.ldx = linear->weight.k,
										.y = *logits,
										.ldy = n,
										.activation = ACTIVATION_NONE},
						  status);
}

/*
 * BertLMPredictionHead: transform, activation, LayerNorm, decoder; for the wanted rows of states
 * (T, H), a block at a time through workspace->attended.
 */
static bool
prediction_forward(Workspace *workspace, const float *states, const size_t *rows, size_t n_rows,
				   float *logits, Status *status)
{
	const BertModel *model = workspace->model;
	const HeadParams *params = &model->task;
	size_t n = model->hidden_size;
	size_t vocab = params->decoder.weight.n;

	for (size_t row = 0; row < n_rows; row += workspace->block_rows)
	{
		size_t count = n_rows - row < workspace->block_rows ? n_rows - row : workspace->block_rows;
		const float *in = states + row * n; /* (count, H) */

		if (rows != NULL)
		{
			for (size_t i = 0; i < count; i++)
				memcpy(workspace->context + i * n, states + rows[row + i] * n, n * sizeof(float));
			in = workspace->context;
		}
		if (!linear_forward(workspace, &params->transform,
							&(LinearCall){.m = count,
										  .x = in,
										  .ldx = n,
										  .y = workspace->attended,
										  .ldy = n,
										  .activation = model->hidden_act},
							status))
			return false;
		norm_forward(workspace, &params->transform_norm, count, workspace->attended);
		if (!linear_forward(workspace, &params->decoder,
							&(LinearCall){.m = count,
										  .x = workspace->attended,
										  .ldx = n,
										  .y = logits + row * vocab,
										  .ldy = vocab,
										  .activation = ACTIVATION_NONE},
							status))
			return false;
	}
	return true;
}

static bool
vocabulary_forward(Workspace *workspace, const EncoderOutput *encoded, const size_t *rows,
				   size_t n_rows, Arena *arena, HeadOutput *output, Status *status)
{
	output->n_rows = n_rows;
	output->n_columns = workspace->model->task.decoder.weight.n;
	output->logits = arena_alloc_array(arena, n_rows, output->n_columns * sizeof(float));
	if (output->logits == NULL)
		return arena_fail(arena, status, "logits", n_rows * output->n_columns * sizeof(float));
	return prediction_forward(workspace, encoded->last_hidden_state, rows, n_rows, output->logits,
							  status);
}

/* The rows a head's workspace is made for: blocks are what count, so a few are enough. */
static WorkspaceShape
head_shape(size_t n_rows)
{
	WorkspaceShape shape = {n_rows < 128 ? n_rows : 128, 1, 0, 0};

	return shape;
}

bool
head_forward_memory(const BertModel *model, size_t n_rows, size_t *bytes, Status *status)
{
	WorkspaceShape shape = head_shape(n_rows);
	size_t columns = head_has_vocabulary(model->head) ? (size_t) model->config.vocab_size
													  : (size_t) model->config.num_labels;
	size_t total;

	if (!size_mul(n_rows, columns * sizeof(float), &total) || !size_add(total, 1024 * 1024, &total))
		return status_fail(status, STATUS_LIMIT, "the logits are too large");
	if (!workspace_size(model, &shape, &total, status))
		return false;
	*bytes = total;
	return true;
}

bool
head_forward(const BertModel *model, const HeadInput *input, Arena *arena, HeadOutput *output,
			 const MayContinue *question, Status *status)
{
	const Batch *batch = input->batch;
	const EncoderOutput *encoded = input->encoded;
	const size_t *rows = input->rows;
	size_t n_rows = input->n_rows;
	size_t n_tokens = (size_t) batch->cu_seqlens[batch->n_sequences];
	WorkspaceShape shape;
	Workspace workspace;

	memset(output, 0, sizeof *output);
	if (rows == NULL)
		n_rows = n_tokens;
	for (size_t i = 0; rows != NULL && i < n_rows; i++)
		if (rows[i] >= n_tokens)
			return status_fail(status, STATUS_INTERNAL, "row %zu of %zu tokens", rows[i], n_tokens);
	if (head_uses_pooler(model->head) && encoded->pooler_output == NULL)
		return status_fail(status, STATUS_INTERNAL, "the head needs the pooler's output");
	shape = head_shape(n_rows > batch->n_sequences ? n_rows : batch->n_sequences);
	if (!workspace_create(model, &shape, arena, question, &workspace, status))
		return false;
	switch (model->head)
	{
		case HEAD_PRETRAINING: /* BertPreTrainingHeads */
			return vocabulary_forward(&workspace, encoded, rows, n_rows, arena, output, status) &&
				   classify_rows(&workspace, &model->task.seq_relationship, batch->n_sequences,
								 encoded->pooler_output, arena, &output->seq_relationship_logits,
								 status);
		case HEAD_MASKED_LM: /* BertOnlyMLMHead */
		case HEAD_CAUSAL_LM:
			return vocabulary_forward(&workspace, encoded, rows, n_rows, arena, output, status);
		case HEAD_NEXT_SENTENCE: /* BertOnlyNSPHead */
			output->n_rows = batch->n_sequences;
			output->n_columns = 2;
			return classify_rows(&workspace, &model->task.seq_relationship, batch->n_sequences,
								 encoded->pooler_output, arena, &output->logits, status);
		case HEAD_SEQUENCE_CLASSIFICATION:
		case HEAD_MULTIPLE_CHOICE:
			output->n_rows = batch->n_sequences;
			output->n_columns = model->task.classifier.weight.n;
			return classify_rows(&workspace, &model->task.classifier, batch->n_sequences,
								 encoded->pooler_output, arena, &output->logits, status);
		case HEAD_TOKEN_CLASSIFICATION:
		case HEAD_QUESTION_ANSWERING:
			output->n_rows = n_tokens;
			output->n_columns = model->task.classifier.weight.n;
			return classify_rows(&workspace, &model->task.classifier, n_tokens,
								 encoded->last_hidden_state, arena, &output->logits, status);
		case HEAD_NONE:
		case HEAD_KIND_COUNT:
			break;
	}
	return status_fail(status, STATUS_INVALID_ARGUMENT, "the model has no head");
}
