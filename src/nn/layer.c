/* layer.c: BertLayer: BertSelfOutput after the attention, BertIntermediate, BertOutput. */
#include "nn/forward.h"

/* BertSelfOutput: out (R, H) = LayerNorm(context W^T + b + input); out may be input */
static bool
self_output_forward(Workspace *workspace, const LinearParams *dense, const NormParams *norm,
					size_t n_tokens, const float *context, const float *input, float *out,
					Status *status)
{
	size_t n = workspace->model->hidden_size;

	if (!linear_forward(workspace, dense, n_tokens, context, dense->weight.k, out, n,
						ACTIVATION_NONE, input, n, status))
		return false;
	norm_forward(workspace, norm, n_tokens, out);
	return true;
}

/*
 * BertIntermediate and BertOutput of a block: out (R, H) = LayerNorm(act(input W1^T + b1) W2^T + b2
 * + input). The intermediate goes from one GEMM to the other in the precision's form. Its rows are
 * never mixed: in trained models those of a few tokens, [SEP] for one, are a hundred times as large
 * as the others, and mixing would leave their rounding errors in the others.
 */
static bool
feed_forward(Workspace *workspace, const LayerParams *params, size_t n_tokens, const float *input,
			 float *out, Status *status)
{
	const Kernels *kernels = workspace->kernels;
	const PackedMatrix *w = &params->intermediate.weight;
	size_t n = workspace->model->hidden_size;
	GemmEpilogue wide = {params->intermediate.bias, workspace->model->hidden_act, NULL, 0,
						 workspace->allow_strassen};
	GemmEpilogue narrow = {params->output.bias, ACTIVATION_NONE, input, n, false};
	Rows rows;

	if (!may_continue(workspace->question, status))
		return false;
	rows = kernels->rows_convert(w->precision, n_tokens, n, input, n, workspace->rows);
	rows = kernels->gemm_rows(w, n_tokens, rows, workspace->intermediate, &wide,
							  workspace->gemm_scratch);
	if (!may_continue(workspace->question, status))
		return false;
	kernels->gemm(&params->output.weight, n_tokens, rows, out, n, &narrow, workspace->gemm_scratch);
	norm_forward(workspace, &params->output_norm, n_tokens, out);
	return true;
}

/*
 * x (S, H): the span's rows. What follows the last attention is done block by block, so that a
 * block's states stay in the caches.
 */
static bool
span_forward(Workspace *workspace, const Batch *batch, const Span *span, int layer, KvCache *cache,
			 float *x, float **probs, Status *status)
{
	const LayerParams *params = &workspace->model->layers[layer];
	const LinearParams *dense = &params->attention_output;
	const NormParams *norm = &params->attention_norm;
	size_t n_tokens = span->end - span->first;
	size_t n = workspace->model->hidden_size;
	bool cross = batch->encoder_hidden_states != NULL;
	float *attended = workspace->attended; /* (S, H) with cross-attention, else (R, H) */
	size_t count;

	if (!self_attention_forward(workspace, batch, span, layer, cache, x, probs, status))
		return false;
	if (cross)
	{
		if (!self_output_forward(workspace, dense, norm, n_tokens, workspace->context, x, attended,
								 status) ||
			!cross_attention_forward(workspace, batch, layer, cache, status))
			return false;
		dense = &params->cross_output;
		norm = &params->cross_norm;
	}
	for (size_t row = 0; row < n_tokens; row += count)
	{
		float *block = cross ? attended + row * n : attended;

		count = linear_step(workspace, &params->intermediate, n_tokens - row);
		if (!self_output_forward(workspace, dense, norm, count,
								 workspace->context + row * dense->weight.k,
								 cross ? block : x + row * n, block, status) ||
			!feed_forward(workspace, params, count, block, x + row * n, status))
			return false;
	}
	return true;
}

/*
 * From how many tokens on the rows of a sequence may be mixed, which then is a span of its own, so
 * that its result does not depend on its neighbours: not where some tokens must not see others.
 */
static size_t
mix_from(const BertModel *model, const Batch *batch, const KvCache *cache)
{
	bool plain = model->precision == PRECISION_FP32 && !model->config.is_decoder &&
				 batch->attention_mask == NULL && batch->encoder_hidden_states == NULL &&
				 cache == NULL;

	return plain && model->kernels->strassen_min_rows > 0 ? model->kernels->strassen_min_rows
														  : SIZE_MAX;
}

bool
layer_forward(Workspace *workspace, const Batch *batch, int layer, KvCache *cache, float *x,
			  float **probs, Status *status)
{
	size_t alone_from = mix_from(workspace->model, batch, cache);

	for (size_t b = 0; b < batch->n_sequences;)
	{
		Span span = span_next(batch, b, alone_from);

		workspace->allow_strassen =
			span.end_sequence - b == 1 && span.end - span.first >= alone_from;
		if (!span_forward(workspace, batch, &span, layer, cache,
						  x + span.first * workspace->model->hidden_size, probs, status))
			return false;
		workspace->allow_strassen = false;
		b = span.end_sequence;
	}
	return true;
}
