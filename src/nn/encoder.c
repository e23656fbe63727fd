/* encoder.c: BertEncoder and BertModel: embeddings, all layers, pooler; with or without a cache of
 * keys and values. */
#include <string.h>

#include "core/bulk.h"
#include "core/checked.h"
#include "nn/forward.h"

#define ARENA_SLACK ((size_t) 260 * 1024)

static size_t
longest_sequence(const Batch *batch)
{
	size_t longest = 0;

	for (size_t b = 0; b < batch->n_sequences; b++)
	{
		size_t length = (size_t) (batch->cu_seqlens[b + 1] - batch->cu_seqlens[b]);

		longest = length > longest ? length : longest;
	}
	return longest;
}

static bool
may_be_general(const BertModel *model, const Batch *batch, size_t n_keys)
{
	return batch->attention_mask != NULL || batch->encoder_hidden_states != NULL ||
		   attention_may_be_general(model, n_keys);
}

/* The attention matrices of the whole call: layer-major, one per sequence. */
static bool
allocate_attentions(const BertModel *model, const Batch *batch, Arena *arena, float ***attentions,
					Status *status)
{
	size_t layers = (size_t) model->config.num_hidden_layers;
	float **matrices = arena_alloc_array(arena, layers * batch->n_sequences, sizeof(float *));

	if (matrices == NULL)
		return arena_fail(arena, status, "attentions",
						  layers * batch->n_sequences * sizeof(float *));
	for (size_t layer = 0; layer < layers; layer++)
		for (size_t b = 0; b < batch->n_sequences; b++)
		{
			size_t length = (size_t) (batch->cu_seqlens[b + 1] - batch->cu_seqlens[b]);
			size_t elements;

			if (!size_mul(length * length, model->layers[layer].n_heads, &elements))
				return status_fail(status, STATUS_LIMIT, "the attentions are too large");
			matrices[layer * batch->n_sequences + b] =
				arena_alloc_array(arena, elements, sizeof(float));
			if (matrices[layer * batch->n_sequences + b] == NULL)
				return arena_fail(arena, status, "attentions", elements * sizeof(float));
		}
	*attentions = matrices;
	return true;
}

static bool
allocate_output(const BertModel *model, const Batch *batch, const ForwardWants *wants, Arena *arena,
				EncoderOutput *output, Status *status)
{
	size_t n = model->hidden_size;
	size_t states = (size_t) batch->cu_seqlens[batch->n_sequences] * n;
	size_t layers = (size_t) model->config.num_hidden_layers;

	memset(output, 0, sizeof *output);
	output->last_hidden_state = arena_alloc_array(arena, states, sizeof(float));
	if (output->last_hidden_state == NULL)
		return arena_fail(arena, status, "the hidden states", states * sizeof(float));
	if (wants->pooler_output && (output->pooler_output = arena_alloc_array(
									 arena, batch->n_sequences * n, sizeof(float))) == NULL)
		return arena_fail(arena, status, "the pooler's output",
						  batch->n_sequences * n * sizeof(float));
	if (wants->hidden_states && (output->hidden_states = arena_alloc_array(
									 arena, states * (layers + 1), sizeof(float))) == NULL)
		return arena_fail(arena, status, "all hidden states",
						  states * (layers + 1) * sizeof(float));
	return !wants->attentions ||
		   allocate_attentions(model, batch, arena, &output->attentions, status);
}

/* What a forward pass reads. */
typedef struct EncoderInput
{
	const Batch *batch;
	const ForwardWants *wants; /* NULL: the last hidden state only */
	KvCache *cache;            /* or NULL */
} EncoderInput;

static bool
run(const BertModel *model, const EncoderInput *input, Arena *arena, EncoderOutput *output,
	const MayContinue *question, Status *status)
{
	static const ForwardWants nothing;
	const Batch *batch = input->batch;
	const ForwardWants *wants = input->wants == NULL ? &nothing : input->wants;
	KvCache *cache = input->cache;
	size_t past = cache == NULL ? 0 : cache->n_tokens;
	size_t n_tokens = (size_t) batch->cu_seqlens[batch->n_sequences];
	size_t states = n_tokens * model->hidden_size;
	WorkspaceShape shape = {span_longest(n_tokens, longest_sequence(batch)),
							longest_sequence(batch) + past, 0, 0};
	Workspace workspace;

	if (wants->pooler_output && !model->has_pooler)
		return status_fail(status, STATUS_INVALID_ARGUMENT, "the model has no pooler");
	if (wants->attentions || may_be_general(model, batch, shape.longest))
		shape.general_queries = longest_sequence(batch);
	if (batch->encoder_hidden_states != NULL)
	{
		shape.n_tokens = n_tokens;
		shape.n_encoder_tokens = (size_t) batch->encoder_cu_seqlens[batch->n_sequences];
	}
	if (!allocate_output(model, batch, wants, arena, output, status) ||
		!workspace_create(model, &shape, arena, question, &workspace, status) ||
		!embeddings_forward(&workspace, batch, past, output->last_hidden_state, status))
		return false;
	if (wants->hidden_states && !bulk_copy(output->hidden_states, output->last_hidden_state,
										   states * sizeof(float), question, status))
		return false;
	for (int layer = 0; layer < model->config.num_hidden_layers; layer++)
	{
		bool first_only = wants->first_tokens && !wants->hidden_states &&
						  batch->encoder_hidden_states == NULL &&
						  layer == model->config.num_hidden_layers - 1;
		float **probs =
			wants->attentions ? output->attentions + (size_t) layer * batch->n_sequences : NULL;

		if (!layer_forward(&(LayerCall){&workspace, batch, layer, cache, probs, first_only},
						   output->last_hidden_state, status))
			return false;
		if (wants->hidden_states &&
			!bulk_copy(output->hidden_states + (size_t) (layer + 1) * states,
					   output->last_hidden_state, states * sizeof(float), question, status))
			return false;
	}
	return !wants->pooler_output || pooler_forward(&workspace, batch, output->last_hidden_state,
												   output->pooler_output, status);
}

bool
encoder_forward(const BertModel *model, const Batch *batch, const ForwardWants *wants, Arena *arena,
				EncoderOutput *output, const MayContinue *question, Status *status)
{
	return batch_validate(batch, &model->config, status) &&
		   run(model, &(EncoderInput){batch, wants, NULL}, arena, output, question, status);
}

bool
encoder_forward_memory(const BertModel *model, const Batch *batch, const ForwardWants *wants,
					   size_t *bytes, Status *status)
{
	size_t n_sequences = batch->n_sequences;
	size_t n_tokens = (size_t) batch->cu_seqlens[n_sequences];
	size_t longest = longest_sequence(batch);
	WorkspaceShape shape = {span_longest(n_tokens, longest), longest, 0, 0};
	size_t layers = (size_t) model->config.num_hidden_layers;
	size_t state_bytes;
	size_t all_states;
	size_t matrices = 0;
	size_t total = 4 * ARENA_SLACK;

	if ((wants != NULL && wants->attentions) || may_be_general(model, batch, longest))
		shape.general_queries = longest;
	if (!size_mul(n_tokens, model->hidden_size * sizeof(float), &state_bytes) ||
		!size_mul(state_bytes, layers + 1, &all_states) || !size_add(total, state_bytes, &total) ||
		(wants != NULL && wants->hidden_states && !size_add(total, all_states, &total)) ||
		(wants != NULL && wants->pooler_output && !size_add(total, state_bytes, &total)))
		return status_fail(status, STATUS_LIMIT, "the batch is too large");
	if (wants != NULL && wants->attentions &&
		(!size_mul(n_tokens, longest, &matrices) ||
		 !size_mul(matrices, (size_t) model->config.num_attention_heads * layers * sizeof(float),
				   &matrices) ||
		 !size_add(total, matrices, &total) ||
		 !size_add(total, n_sequences * layers * ARENA_SLACK, &total)))
		return status_fail(status, STATUS_LIMIT, "the attentions are too large");
	if (!workspace_size(model, &shape, &total, status))
		return false;
	*bytes = total;
	return true;
}

KvCache *
kv_cache_create(const BertModel *model, size_t capacity, size_t n_encoder_tokens, Arena *arena,
				Status *status)
{
	size_t layers = (size_t) model->config.num_hidden_layers;
	size_t state_bytes = model->hidden_size * sizeof(float);
	KvCache *cache = arena_alloc_zero(arena, sizeof *cache);
	float **rows = arena_alloc_array_zero(arena, 3 * layers, sizeof(float *));

	if (!model->config.is_decoder)
	{
		status_fail(status, STATUS_INVALID_ARGUMENT, "the model is not a decoder");
		return NULL;
	}
	if (cache == NULL || rows == NULL)
		goto fail;
	cache->capacity = capacity;
	cache->n_encoder_tokens = n_encoder_tokens;
	cache->keys = rows;
	cache->values = rows + layers;
	cache->cross_key_value = rows + 2 * layers;
	for (size_t layer = 0; layer < layers; layer++)
	{
		cache->keys[layer] = arena_alloc_array(arena, capacity, state_bytes);
		cache->values[layer] = arena_alloc_array(arena, capacity, state_bytes);
		if (cache->keys[layer] == NULL || cache->values[layer] == NULL)
			goto fail;
		if (n_encoder_tokens > 0 && (cache->cross_key_value[layer] = arena_alloc_array(
										 arena, n_encoder_tokens, 2 * state_bytes)) == NULL)
			goto fail;
	}
	return cache;

fail:
	arena_fail(arena, status, "the cache of keys and values", 2 * layers * capacity * state_bytes);
	return NULL;
}

bool
encoder_forward_cached(const BertModel *model, const Batch *batch, KvCache *cache, Arena *arena,
					   EncoderOutput *output, const MayContinue *question, Status *status)
{
	size_t n_tokens;

	if (!batch_validate(batch, &model->config, status))
		return false;
	n_tokens = (size_t) batch->cu_seqlens[batch->n_sequences];
	if (batch->n_sequences != 1 || batch->attention_mask != NULL)
		return status_fail(status, STATUS_INTERNAL, "a cache holds one sequence without a mask");
	if (batch->encoder_hidden_states != NULL &&
		(size_t) batch->encoder_cu_seqlens[1] != cache->n_encoder_tokens)
		return status_fail(status, STATUS_INTERNAL, "the cache was made for %zu encoder states",
						   cache->n_encoder_tokens);
	if (n_tokens > cache->capacity - cache->n_tokens)
		return status_fail(status, STATUS_INTERNAL, "the cache of keys and values is full");
	if (cache->n_tokens + n_tokens > (size_t) config_max_tokens(&model->config))
		return status_fail(status, STATUS_INVALID_ARGUMENT,
						   "a sequence of %zu tokens is longer than the model's %d positions",
						   cache->n_tokens + n_tokens, config_max_tokens(&model->config));
	if (!run(model, &(EncoderInput){batch, NULL, cache}, arena, output, question, status))
		return false;
	cache->n_tokens += n_tokens;
	cache->has_cross = batch->encoder_hidden_states != NULL;
	return true;
}
