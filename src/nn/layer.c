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

/*
 * BertIntermediate and BertOutput, block by block: out (T, H) = LayerNorm(act(input W1^T + b1) W2^T + b2 + input). The
 * intermediate goes from one GEMM to the other in the precision's form.
 */
static bool
feed_forward(Workspace *workspace, const LayerParams *params, size_t n_tokens, const float *input, float *out, Status *status)
{
	const Kernels *kernels = workspace->kernels;
	const PackedMatrix *w = &params->intermediate.weight;
	size_t		n = workspace->model->hidden_size;
	size_t		step = linear_step(workspace, &params->intermediate);

	for (size_t row = 0; row < n_tokens; row += step)
	{
		size_t		count = n_tokens - row < step ? n_tokens - row : step;
		const float *in = input + row * n;	/* (count, H) */
		GemmEpilogue wide = {params->intermediate.bias, workspace->model->config.hidden_act, NULL, 0};
		GemmEpilogue narrow = {params->output.bias, ACTIVATION_NONE, in, n};
		Rows		rows;

		if (!may_continue(workspace->question, status))
			return false;
		rows = kernels->rows_convert(w->precision, count, n, in, n, workspace->rows);
		rows = kernels->gemm_rows(w, count, rows, workspace->intermediate, &wide, workspace->gemm_scratch);
		if (!may_continue(workspace->question, status))
			return false;
		kernels->gemm(&params->output.weight, count, rows, out + row * n, n, &narrow, workspace->gemm_scratch);
		norm_forward(workspace, &params->output_norm, count, out + row * n);
	}
	return true;
}

/* x (S, H): the span's rows */
static bool
span_forward(Workspace *workspace, const Batch *batch, const Span *span, int layer, KvCache *cache, float *x, float **probs, Status *status)
{
	const LayerParams *params = &workspace->model->layers[layer];
	size_t		n_tokens = span->end - span->first;
	float	   *attended = workspace->attended; /* (S, H) */

	if (!self_attention_forward(workspace, batch, span, layer, cache, x, probs, status) ||
		!self_output_forward(workspace, &params->attention_output, &params->attention_norm, n_tokens, x, attended, status))
		return false;
	if (batch->encoder_hidden_states != NULL &&
		(!cross_attention_forward(workspace, batch, layer, cache, status) ||
		 !self_output_forward(workspace, &params->cross_output, &params->cross_norm, n_tokens, attended, attended, status)))
		return false;
	return feed_forward(workspace, params, n_tokens, attended, x, status);
}

bool
layer_forward(Workspace *workspace, const Batch *batch, int layer, KvCache *cache, float *x, float **probs, Status *status)
{
	for (size_t b = 0; b < batch->n_sequences;)
	{
		Span		span = span_next(batch, b);

		if (!span_forward(workspace, batch, &span, layer, cache, x + span.first * workspace->model->hidden_size, probs, status))
			return false;
		b = span.end_sequence;
	}
	return true;
}
