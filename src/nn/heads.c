/* heads.c: the task heads on top of the encoder, one function per class of the reference's heads.
 */
#include <string.h>

#include "core/checked.h"
#include "nn/forward.h"

ForwardWants
head_wants(const BertModel *model)
{
	ForwardWants wants = {.pooler_output = config_head_uses_pooler(&model->config, model->head)};

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
	size_t width = params->transform.weight.n; /* E */
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
										  .ldy = width,
										  .activation = params->transform_act},
							status))
			return false;
		norm_forward(workspace, &params->transform_norm, count, workspace->attended);
		if (!linear_forward(workspace, &params->decoder,
							&(LinearCall){.m = count,
										  .x = workspace->attended,
										  .ldx = width,
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
	/* a head's own dense layer: what it reads and what it gives */
	size_t projected = model->task.projection.weight.panels == NULL ? 0 : 2 * model->hidden_size;
	size_t total;

	if (model->head == HEAD_SEQUENCE_CLASSIFICATION && model->config.classifies_embedding)
		/* poolings, embeddings, and rows for the linear layers */
		projected = 4 * ((size_t) model->config.embedding_pooling.n * model->hidden_size +
						 model->task.classifier.weight.k);
	if (!size_mul(n_rows, (columns + projected) * sizeof(float), &total) ||
		!size_add(total, 1024 * 1024, &total))
		return status_fail(status, STATUS_LIMIT, "the logits are too large");
	if (!workspace_size(model, &shape, &total, status))
		return false;
	*bytes = total;
	return true;
}

/*
 * What the head's last layer reads: m rows of states (H), or, for heads with a dense layer of their
 * own, that layer's results, in the arena. rows: which of them; NULL: the first m.
 */
static bool
classifier_input(Workspace *workspace, const float *states, const int32_t *rows, size_t m,
				 Arena *arena, const float **out, Status *status)
{
	const HeadParams *params = &workspace->model->task;
	size_t n = workspace->model->hidden_size;
	const float *in = states;
	float *gathered = NULL;
	float *projected;

	if (rows != NULL)
	{
		in = gathered = arena_alloc_array(arena, m * n, sizeof(float));
		if (gathered == NULL)
			return arena_fail(arena, status, "a head's rows", m * n * sizeof(float));
		for (size_t i = 0; i < m; i++)
			memcpy(gathered + i * n, states + (size_t) rows[i] * n, n * sizeof(float));
	}
	*out = in;
	if (params->projection.weight.panels == NULL)
		return true;
	*out = projected = arena_alloc_array(arena, m * n, sizeof(float));
	if (projected == NULL)
		return arena_fail(arena, status, "a head's rows", m * n * sizeof(float));
	return linear_forward(workspace, &params->projection,
						  &(LinearCall){.m = m,
										.x = in,
										.ldx = n,
										.y = projected,
										.ldy = n,
										.activation = params->projection_act},
						  status);
}

/* SetFit's classifier: embeddings as bert.embed makes them, (B, D), and a linear layer. */
static bool
embedding_forward(Workspace *workspace, const HeadInput *input, Arena *arena, HeadOutput *output,
				  Status *status)
{
	const BertModel *model = workspace->model;
	const LinearParams *classifier = &model->task.classifier;
	const PoolCall call = {&model->config.embedding_pooling, NULL};
	size_t m = input->batch->n_sequences;
	size_t pooled = (size_t) call.modes->n * model->hidden_size;
	float *x = arena_alloc_array(arena, m, pooled * sizeof *x);
	float *embedding = x;

	output->logits = arena_alloc_array(arena, m, classifier->weight.n * sizeof(float));
	if (model->config.n_dense > 0)
		embedding = arena_alloc_array(arena, m, classifier->weight.k * sizeof *x);
	if (x == NULL || embedding == NULL || output->logits == NULL)
		return arena_fail(arena, status, "embeddings", m * pooled * sizeof *x);
	if (!pool_forward(model, input->batch, input->encoded->last_hidden_state, &call, arena, x,
					  status) ||
		(model->config.n_dense > 0 &&
		 !dense_forward(model, m, x, embedding, arena, workspace->question, status)))
		return false;
	if (model->config.embedding_normalized)
		normalize_rows(m, classifier->weight.k, embedding);
	return dense_linear(model, classifier, &(DenseCall){m, embedding, output->logits}, arena,
						workspace->question, status);
}

/* One row of logits for each sequence or token, as the head's shape says. */
static bool
classifier_forward(Workspace *workspace, const HeadInput *input, Arena *arena, HeadOutput *output,
				   Status *status)
{
	const BertModel *model = workspace->model;
	const Batch *batch = input->batch;
	HeadReads reads = config_head_shape(&model->config, model->head)->reads;
	const float *x =
		reads == READS_POOLER ? input->encoded->pooler_output : input->encoded->last_hidden_state;

	output->n_rows =
		reads == READS_TOKENS ? (size_t) batch->cu_seqlens[batch->n_sequences] : batch->n_sequences;
	output->n_columns = model->task.classifier.weight.n;
	if (reads == READS_EMBEDDING)
		return embedding_forward(workspace, input, arena, output, status);
	return classifier_input(workspace, x, reads == READS_FIRST ? batch->cu_seqlens : NULL,
							output->n_rows, arena, &x, status) &&
		   classify_rows(workspace, &model->task.classifier, output->n_rows, x, arena,
						 &output->logits, status);
}

static bool
check_input(const BertModel *model, const HeadInput *input, size_t n_tokens, Status *status)
{
	for (size_t i = 0; input->rows != NULL && i < input->n_rows; i++)
		if (input->rows[i] >= n_tokens)
			return status_fail(status, STATUS_INTERNAL, "row %zu of %zu tokens", input->rows[i],
							   n_tokens);
	if (config_head_uses_pooler(&model->config, model->head) &&
		input->encoded->pooler_output == NULL)
		return status_fail(status, STATUS_INTERNAL, "the head needs the pooler's output");
	return true;
}

bool
head_forward(const BertModel *model, const HeadInput *input, Arena *arena, HeadOutput *output,
			 const MayContinue *question, Status *status)
{
	const Batch *batch = input->batch;
	const EncoderOutput *encoded = input->encoded;
	size_t n_tokens = (size_t) batch->cu_seqlens[batch->n_sequences];
	size_t n_rows = input->rows == NULL ? n_tokens : input->n_rows;
	WorkspaceShape shape = head_shape(n_rows > batch->n_sequences ? n_rows : batch->n_sequences);
	Workspace workspace;

	memset(output, 0, sizeof *output);
	if (!check_input(model, input, n_tokens, status) ||
		!workspace_create(model, &shape, arena, question, &workspace, status))
		return false;
	switch (model->head)
	{
		case HEAD_PRETRAINING: /* BertPreTrainingHeads */
			return vocabulary_forward(&workspace, encoded, input->rows, n_rows, arena, output,
									  status) &&
				   classify_rows(&workspace, &model->task.seq_relationship, batch->n_sequences,
								 encoded->pooler_output, arena, &output->seq_relationship_logits,
								 status);
		case HEAD_MASKED_LM: /* BertOnlyMLMHead */
		case HEAD_CAUSAL_LM:
			return vocabulary_forward(&workspace, encoded, input->rows, n_rows, arena, output,
									  status);
		case HEAD_NEXT_SENTENCE: /* BertOnlyNSPHead */
			output->n_rows = batch->n_sequences;
			output->n_columns = 2;
			return classify_rows(&workspace, &model->task.seq_relationship, batch->n_sequences,
								 encoded->pooler_output, arena, &output->logits, status);
		case HEAD_SEQUENCE_CLASSIFICATION:
		case HEAD_MULTIPLE_CHOICE:
		case HEAD_TOKEN_CLASSIFICATION:
		case HEAD_QUESTION_ANSWERING:
		case HEAD_REPLACED_TOKEN:
			return classifier_forward(&workspace, input, arena, output, status);
		case HEAD_NONE:
		case HEAD_KIND_COUNT:
			break;
	}
	return status_fail(status, STATUS_INVALID_ARGUMENT, "the model has no head");
}
