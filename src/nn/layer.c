/* layer.c: BertLayer: BertSelfOutput after the attention, BertIntermediate, BertOutput. */
#include "nn/forward.h"

/* BertSelfOutput: out (T, H) = LayerNorm(context W^T + b + input); out may be input */
static bool
self_output_forward(Workspace *workspace, const LinearParams *dense, const NormParams *norm, size_t n_tokens, const float *input, float *out, Status *status)
{
	size_t		n = workspace->model->hidden_size;

	if (!linear_forward(workspace, dense, n_tokens, workspace->context, dense->weight.k, out, n, ACTIVATION_NONE, input, n, status))
		return false;
	norm_forward(workspace, norm, n_tokens, out);
	return true;
}

/* BertIntermediate and BertOutput, block by block: out (T, H) = LayerNorm(act(input W1^T + b1) W2^T + b2 + input) */
static bool
feed_forward(Workspace *workspace, const LayerParams *params, size_t n_tokens, const float *input, float *out, Status *status)
{
	size_t		n = workspace->model->hidden_size;
	size_t		wide = (size_t) workspace->model->config.intermediate_size;

	for (size_t row = 0; row < n_tokens; row += workspace->block_rows)
	{
		size_t		count = n_tokens - row < workspace->block_rows ? n_tokens - row : workspace->block_rows;
		const float *in = input + row * n;	/* (count, H) */

		if (!linear_forward(workspace, &params->intermediate, count, in, n, workspace->intermediate, wide,
							workspace->model->config.hidden_act, NULL, 0, status) ||
			!linear_forward(workspace, &params->output, count, workspace->intermediate, wide, out + row * n, n, ACTIVATION_NONE, in, n, status))
			return false;
		norm_forward(workspace, &params->output_norm, count, out + row * n);
	}
	return true;
}

bool
layer_forward(Workspace *workspace, const Batch *batch, int layer, KvCache *cache, float *x, float **probs, Status *status)
{
	const LayerParams *params = &workspace->model->layers[layer];
	size_t		n_tokens = (size_t) batch->cu_seqlens[batch->n_sequences];
	float	   *attended = workspace->attended; /* (T, H) */

	if (!self_attention_forward(workspace, batch, layer, cache, x, probs, status) ||
		!self_output_forward(workspace, &params->attention_output, &params->attention_norm, n_tokens, x, attended, status))
		return false;
	if (batch->encoder_hidden_states != NULL &&
		(!cross_attention_forward(workspace, batch, layer, cache, status) ||
		 !self_output_forward(workspace, &params->cross_output, &params->cross_norm, n_tokens, attended, attended, status)))
		return false;
	return feed_forward(workspace, params, n_tokens, attended, x, status);
}
