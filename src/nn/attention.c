/* attention.c: BertSelfAttention and BertCrossAttention: projections, and which way the attention
 * itself is computed. */
#include <math.h>
#include <string.h>

#include "nn/forward.h"

static bool
all_visible(const uint8_t *mask, size_t first, size_t end)
{
	return mask == NULL || memchr(mask + first, 0, end - first) == NULL;
}

static size_t
head_flops(const Workspace *workspace, size_t n_tokens)
{
	return 4 * n_tokens * n_tokens * workspace->model->head_size;
}

/* True when scores are more than products of queries and keys, or not all of them count. */
static bool
is_special(const BertModel *model)
{
	return model->config.position_embedding_type != POSITION_ABSOLUTE || model->config.is_decoder ||
		   model->embeddings.attention_bias != NULL;
}

bool
attention_may_be_general(const BertModel *model, size_t n_tokens)
{
	return is_special(model) || n_tokens * n_tokens * model->head_size >= STEP_FLOPS_PORTABLE;
}

/*
 * One sequence with nothing special about it: the kernels' way, head by head so that the question
 * can be asked. query_key_value (n_tokens, 3A), fp32 or bf16; context (n_tokens, A)
 */
static bool
attention_plain(Workspace *workspace, size_t n_heads, size_t n_tokens, bool bf16,
				const void *query_key_value, float *context, Status *status)
{
	size_t head_size = workspace->model->head_size;
	size_t width = n_heads * head_size; /* A */
	/* heads per call */
	size_t step = workspace->step_flops / head_flops(workspace, n_tokens) + 1;
	size_t size = bf16 ? sizeof(uint16_t) : sizeof(float);

	for (size_t head = 0; head < n_heads; head += step)
	{
		AttentionCall call = {
			.n_tokens = n_tokens,
			.n_heads = n_heads - head < step ? n_heads - head : step,
			.head_size = head_size,
			.bf16 = bf16,
			.bytes = bf16 && n_tokens >= workspace->bytes_from,
			.q = (const char *) query_key_value + head * head_size * size,
			.k = (const char *) query_key_value + (width + head * head_size) * size,
			.v = (const char *) query_key_value + (2 * width + head * head_size) * size,
			.qkv_ld = 3 * width,
			.scale = 1.0f / sqrtf((float) head_size),
			.context = context + head * head_size,
			.context_ld = width,
		};

		if (!may_continue(workspace->question, status))
			return false;
		workspace->kernels->attention(&call, workspace->attention_scratch);
	}
	return true;
}

/* Puts the batch's keys and values behind those that the cache holds. */
static void
cache_append(KvCache *cache, int layer, size_t n_tokens, size_t width, const float *query_key_value)
{
	for (size_t t = 0; t < n_tokens; t++)
	{
		const float *row = query_key_value + t * 3 * width; /* (3A) */

		memcpy(cache->keys[layer] + (cache->n_tokens + t) * width, row + width,
			   width * sizeof(float));
		memcpy(cache->values[layer] + (cache->n_tokens + t) * width, row + 2 * width,
			   width * sizeof(float));
	}
}

/* All sequences of the span, from query, key and value in bf16, long ones in int8 by way of it. */
static bool
attention_bf16(Workspace *workspace, const Batch *batch, const Span *span,
			   const LayerParams *params, const float *x, Status *status)
{
	size_t n = workspace->model->hidden_size;
	size_t width = params->n_heads * workspace->model->head_size; /* A */
	size_t count;
	uint16_t *query_key_value = workspace->query_key_value; /* (S, 3A) */

	for (size_t row = 0; row < span->end - span->first; row += count)
	{
		count = linear_step(workspace, &params->query_key_value, span->end - span->first - row);
		if (!may_continue(workspace->question, status))
			return false;
		linear_forward_bf16(workspace, &params->query_key_value, count, x + row * n, n,
							query_key_value + row * 3 * width, 3 * width);
	}
	for (size_t b = span->first_sequence; b < span->end_sequence; b++)
	{
		size_t first = (size_t) batch->cu_seqlens[b] - span->first;
		size_t end = (size_t) batch->cu_seqlens[b + 1] - span->first;

		if (!attention_plain(workspace, params->n_heads, end - first, true,
							 query_key_value + first * 3 * width,
							 workspace->context + first * width, status))
			return false;
	}
	return true;
}

/*
 * A head of thousands of tokens takes the kernels too long: the general way asks the question in
 * between.
 */
static bool
is_short(const Workspace *workspace, size_t n_tokens)
{
	return head_flops(workspace, n_tokens) < 4 * workspace->step_flops;
}

/* The b-th sequence: rows (length, 3A) of query, key and value to context (length, A). */
static bool
sequence_attention(const LayerCall *layer, size_t b, const float *rows, float *context,
				   Status *status)
{
	const BertModel *model = layer->workspace->model;
	const LayerParams *params = &model->layers[layer->layer];
	const Batch *batch = layer->batch;
	const KvCache *cache = layer->cache;
	size_t first = (size_t) batch->cu_seqlens[b];
	size_t length = (size_t) batch->cu_seqlens[b + 1] - first;
	size_t width = params->n_heads * model->head_size; /* A */
	GeneralAttention call = {
		.n_queries = length,
		.n_keys = length,
		.n_heads = params->n_heads,
		.head_size = model->head_size,
		.q = rows,
		.q_ld = 3 * width,
		.k = rows + width,
		.k_ld = 3 * width,
		.v = rows + 2 * width,
		.v_ld = 3 * width,
		.scale = 1.0f / sqrtf((float) model->head_size),
		.key_mask = batch->attention_mask == NULL ? NULL : batch->attention_mask + first,
		.causal = model->config.is_decoder,
		.positions = model->config.position_embedding_type,
		.distance = params->distance,
		.max_positions = (size_t) model->config.max_position_embeddings,
		.bias = model->embeddings.attention_bias,
		.context = context,
		.context_ld = width,
		.probs = layer->probs == NULL ? NULL : layer->probs[b],
	};

	if (!is_special(model) && call.probs == NULL &&
		all_visible(batch->attention_mask, first, first + length) &&
		is_short(layer->workspace, length))
		return attention_plain(layer->workspace, params->n_heads, length, false, rows, context,
							   status);
	if (cache != NULL)
	{
		call.n_keys += cache->n_tokens;
		call.past = cache->n_tokens;
		call.k = cache->keys[layer->layer];
		call.v = cache->values[layer->layer];
		call.k_ld = call.v_ld = width;
	}
	return attention_general(layer->workspace, &call, status);
}

bool
self_attention_forward(const LayerCall *call, const Span *span, const float *x, Status *status)
{
	Workspace *workspace = call->workspace;
	const BertModel *model = workspace->model;
	const Batch *batch = call->batch;
	const LayerParams *params = &model->layers[call->layer];
	size_t n_tokens = span->end - span->first;
	size_t width = params->n_heads * model->head_size;   /* A */
	float *query_key_value = workspace->query_key_value; /* (S, 3A) */
	size_t first_length = (size_t) batch->cu_seqlens[span->first_sequence + 1] - span->first;
	bool bf16 = model->kernels->bf16_attention || first_length >= workspace->bytes_from;
	bool plain = !is_special(model) && call->probs == NULL;

	if (plain && model->precision != PRECISION_FP32 && bf16 &&
		all_visible(batch->attention_mask, span->first, span->end) && is_short(workspace, n_tokens))
		return attention_bf16(workspace, batch, span, params, x, status);
	if (!linear_forward(workspace, &params->query_key_value,
						&(LinearCall){.m = n_tokens,
									  .x = x,
									  .ldx = model->hidden_size,
									  .y = query_key_value,
									  .ldy = 3 * width,
									  .activation = ACTIVATION_NONE},
						status))
		return false;
	if (call->cache != NULL)
		cache_append(call->cache, call->layer, n_tokens, width, query_key_value);
	for (size_t b = span->first_sequence; b < span->end_sequence; b++)
	{
		size_t row = (size_t) batch->cu_seqlens[b] - span->first;

		if (!sequence_attention(call, b, query_key_value + row * 3 * width,
								workspace->context + row * width, status))
			return false;
	}
	return true;
}

bool
cross_attention_forward(const LayerCall *layer, Status *status)
{
	Workspace *workspace = layer->workspace;
	const BertModel *model = workspace->model;
	const Batch *batch = layer->batch;
	KvCache *cache = layer->cache;
	const uint8_t *key_mask = batch->encoder_attention_mask;
	const LayerParams *params = &model->layers[layer->layer];
	size_t width = model->hidden_size;
	size_t n_tokens = (size_t) batch->cu_seqlens[batch->n_sequences];
	size_t n_encoder_tokens = (size_t) batch->encoder_cu_seqlens[batch->n_sequences];
	/* (T_enc, 2H) */
	float *key_value =
		cache == NULL ? workspace->cross_key_value : cache->cross_key_value[layer->layer];

	if (!linear_forward(workspace, &params->cross_query,
						&(LinearCall){.m = n_tokens,
									  .x = workspace->attended,
									  .ldx = width,
									  .y = workspace->cross_query,
									  .ldy = width,
									  .activation = ACTIVATION_NONE},
						status))
		return false;
	if ((cache == NULL || !cache->has_cross) &&
		!linear_forward(workspace, &params->cross_key_value,
						&(LinearCall){.m = n_encoder_tokens,
									  .x = batch->encoder_hidden_states,
									  .ldx = width,
									  .y = key_value,
									  .ldy = 2 * width,
									  .activation = ACTIVATION_NONE},
						status))
		return false;
	for (size_t b = 0; b < batch->n_sequences; b++)
	{
		size_t first = (size_t) batch->cu_seqlens[b];
		size_t first_key = (size_t) batch->encoder_cu_seqlens[b];
		GeneralAttention call = {
			.n_queries = (size_t) batch->cu_seqlens[b + 1] - first,
			.n_keys = (size_t) batch->encoder_cu_seqlens[b + 1] - first_key,
			.n_heads = (size_t) model->config.num_attention_heads,
			.head_size = model->head_size,
			.q = workspace->cross_query + first * width,
			.q_ld = width,
			.k = key_value + first_key * 2 * width,
			.k_ld = 2 * width,
			.v = key_value + first_key * 2 * width + width,
			.v_ld = 2 * width,
			.scale = 1.0f / sqrtf((float) model->head_size),
			.key_mask = key_mask == NULL ? NULL : key_mask + first_key,
			.positions = POSITION_ABSOLUTE,
			.context = workspace->context + first * width,
			.context_ld = width,
		};

		if (!attention_general(workspace, &call, status))
			return false;
	}
	return true;
}
