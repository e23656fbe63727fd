/* layer.c: BertLayer: BertSelfOutput after the attention, BertIntermediate, BertOutput. */
#include <string.h>

#include "nn/forward.h"

/* BertSelfOutput, or what follows a cross-attention in the same way. */
typedef struct SelfOutput
{
	const LinearParams *dense;
	const NormParams *norm;
} SelfOutput;

/* out (R, H) = LayerNorm(context W^T + b + input); out may be input */
static bool
self_output_forward(Workspace *workspace, const SelfOutput *layer, size_t n_tokens,
					const float *context, const float *input, float *out, Status *status)
{
	size_t n = workspace->model->hidden_size;

	if (!linear_forward(workspace, layer->dense,
						&(LinearCall){.m = n_tokens,
									  .x = context,
									  .ldx = layer->dense->weight.k,
									  .y = out,
									  .ldy = n,
									  .activation = ACTIVATION_NONE,
									  .residual = input,
									  .residual_ld = n},
						status))
		return false;
	norm_forward(workspace, layer->norm, n_tokens, out);
	return true;
}

/*
 * BertIntermediate and BertOutput of a block: out (R, H) = LayerNorm(act(input W1^T + b1) W2^T + b2
 * + input). The intermediate goes from one GEMM to the other in the precision's form. The second
 * GEMM never takes Strassen's way: in trained models the rows of a few tokens, [SEP] for one, are a
 * hundred times as large as the others, and sums of rows would leave their rounding errors in the
 * others.
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
 * Between a span's rows and the first ones of its sequences, which then lie one after the other in
 * front: of rows (S, width), in place.
 */
static void
gather_first(const Batch *batch, const Span *span, size_t width, float *rows)
{
	for (size_t b = span->first_sequence; b < span->end_sequence; b++)
		memmove(rows + (b - span->first_sequence) * width,
				rows + ((size_t) batch->cu_seqlens[b] - span->first) * width,
				width * sizeof(float));
}

static void
scatter_first(const Batch *batch, const Span *span, size_t width, float *rows)
{
	for (size_t b = span->end_sequence; b-- > span->first_sequence;)
		memmove(rows + ((size_t) batch->cu_seqlens[b] - span->first) * width,
				rows + (b - span->first_sequence) * width, width * sizeof(float));
}

/*
 * x (S, H): the span's rows. What follows the last attention is done block by block, so that a
 * block's states stay in the caches.
 */
static bool
span_forward(const LayerCall *call, const Span *span, float *x, Status *status)
{
	Workspace *workspace = call->workspace;
	const LayerParams *params = &workspace->model->layers[call->layer];
	SelfOutput after = {&params->attention_output, &params->attention_norm};
	size_t n_tokens = span->end - span->first;
	size_t n = workspace->model->hidden_size;
	bool cross = call->batch->encoder_hidden_states != NULL;
	float *attended = workspace->attended; /* (S, H) with cross-attention, else (R, H) */
	size_t count;

	if (!self_attention_forward(call, span, x, status))
		return false;
	if (cross)
	{
		if (!self_output_forward(workspace, &after, n_tokens, workspace->context, x, attended,
								 status) ||
			!cross_attention_forward(call, status))
			return false;
		after = (SelfOutput){&params->cross_output, &params->cross_norm};
	}
	if (call->first_only)
	{
		gather_first(call->batch, span, after.dense->weight.k, workspace->context);
		gather_first(call->batch, span, n, x);
		n_tokens = span->end_sequence - span->first_sequence;
		workspace->allow_strassen = false;
	}
	for (size_t row = 0; row < n_tokens; row += count)
	{
		float *block = cross ? attended + row * n : attended;

		count = linear_step(workspace, &params->intermediate, n_tokens - row);
		if (!self_output_forward(workspace, &after, count,
								 workspace->context + row * after.dense->weight.k,
								 cross ? block : x + row * n, block, status) ||
			!feed_forward(workspace, params, count, block, x + row * n, status))
			return false;
	}
	if (call->first_only)
		scatter_first(call->batch, span, n, x);
	return true;
}

/*
 * From how many tokens on a sequence may take Strassen's way. It then is a span of its own, so that
 * its result does not depend on its neighbours. Not where some tokens must not see others.
 */
static size_t
strassen_from(const BertModel *model, const LayerCall *call)
{
	bool plain = model->precision == PRECISION_FP32 && !model->config.is_decoder &&
				 call->batch->attention_mask == NULL &&
				 call->batch->encoder_hidden_states == NULL && call->cache == NULL;

	return plain ? kernels_strassen_from(model->kernels) : SIZE_MAX;
}

bool
layer_forward(const LayerCall *call, float *x, Status *status)
{
	Workspace *workspace = call->workspace;
	size_t alone_from = strassen_from(workspace->model, call);

	for (size_t b = 0; b < call->batch->n_sequences;)
	{
		Span span = span_next(workspace, call->batch, b, alone_from);

		workspace->allow_strassen =
			span.end_sequence - b == 1 && span.end - span.first >= alone_from;
		if (!span_forward(call, &span, x + span.first * workspace->model->hidden_size, status))
			return false;
		workspace->allow_strassen = false;
		b = span.end_sequence;
	}
	return true;
}
