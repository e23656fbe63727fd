/* prune.c: head pruning: rows of query, key and value, columns of the output go. */
#include "nn/prune.h"

#include <string.h>

static bool
is_pruned(const BertConfig *config, int layer, int head)
{
	for (int i = 0; i < config->n_pruned; i++)
		if (config->pruned_heads[i].layer == layer)
			for (int h = 0; h < config->pruned_heads[i].n_heads; h++)
				if (config->pruned_heads[i].heads[h] == head)
					return true;
	return false;
}

static bool
check_prune(const BertConfig *config, const PrunedHeads *prune, int n_prune, Status *status)
{
	for (int i = 0; i < n_prune; i++)
	{
		if (prune[i].layer < 0 || prune[i].layer >= config->num_hidden_layers)
			return status_fail(status, STATUS_INVALID_ARGUMENT,
							   "layer %d does not exist: the model has layers 0 to %d",
							   prune[i].layer, config->num_hidden_layers - 1);
		for (int h = 0; h < prune[i].n_heads; h++)
			if (prune[i].heads[h] < 0 || prune[i].heads[h] >= config->num_attention_heads)
				return status_fail(status, STATUS_INVALID_ARGUMENT,
								   "head %d does not exist: the layers have heads 0 to %d",
								   prune[i].heads[h], config->num_attention_heads - 1);
	}
	return true;
}

bool
config_prune_heads(Arena *arena, const BertConfig *config, const PrunedHeads *prune, int n_prune,
				   BertConfig *out, Status *status)
{
	BertConfig added = *config;
	size_t layers = (size_t) config->num_hidden_layers;
	size_t heads = (size_t) config->num_attention_heads;
	PrunedHeads *merged = arena_alloc_array(arena, layers, sizeof(PrunedHeads));
	int *indices = arena_alloc_array(arena, layers * heads, sizeof(int));
	int n_merged = 0;

	if (merged == NULL || indices == NULL)
		return arena_fail(arena, status, "pruned heads", layers * heads * sizeof(int));
	if (!check_prune(config, prune, n_prune, status))
		return false;
	added.n_pruned = n_prune;
	added.pruned_heads = (PrunedHeads *) prune;
	for (int layer = 0; layer < config->num_hidden_layers; layer++)
	{
		PrunedHeads *entry = &merged[n_merged];

		entry->layer = layer;
		entry->n_heads = 0;
		entry->heads = indices + (size_t) layer * heads;
		for (int head = 0; head < config->num_attention_heads; head++)
			if (is_pruned(config, layer, head) || is_pruned(&added, layer, head))
				entry->heads[entry->n_heads++] = head;
		if (entry->n_heads == config->num_attention_heads)
			return status_fail(status, STATUS_INVALID_ARGUMENT, "layer %d would have no heads left",
							   layer);
		n_merged += entry->n_heads > 0;
	}
	*out = *config;
	out->n_pruned = n_merged;
	out->pruned_heads = n_merged > 0 ? merged : NULL;
	return true;
}

/* Copies the rows (head_size * columns floats each head) of the heads that stay. */
static void
keep_rows(const BertConfig *from, const BertConfig *to, int layer, size_t head_floats,
		  const float *data, float *out)
{
	for (int head = 0; head < from->num_attention_heads; head++)
	{
		if (is_pruned(from, layer, head))
			continue;
		if (!is_pruned(to, layer, head))
		{
			memcpy(out, data, head_floats * sizeof(float));
			out += head_floats;
		}
		data += head_floats;
	}
}

void
prune_layer(const TensorTable *from, const BertConfig *from_config, const TensorTable *to,
			const BertConfig *to_config, int block, const float *data, float *out)
{
	const BlockSpec *source = &from->blocks[block];
	const BlockSpec *target = &to->blocks[block];
	int layer = source->layer;
	size_t head_size =
		(size_t) from_config->hidden_size / (size_t) from_config->num_attention_heads;

	for (int i = 0; i < source->n_tensors; i++)
	{
		const TensorSpec *old = &from->tensors[source->first_tensor + i];
		const TensorSpec *new = &to->tensors[target->first_tensor + i];
		const float *in = data + old->offset;
		float *result = out + new->offset;

		switch (old->role)
		{
			case ROLE_QUERY_WEIGHT:
			case ROLE_KEY_WEIGHT:
			case ROLE_VALUE_WEIGHT:
				keep_rows(from_config, to_config, layer, head_size * old->shape[1], in, result);
				break;
			case ROLE_QUERY_BIAS:
			case ROLE_KEY_BIAS:
			case ROLE_VALUE_BIAS:
				keep_rows(from_config, to_config, layer, head_size, in, result);
				break;
			case ROLE_ATTENTION_OUTPUT_WEIGHT:
				for (size_t row = 0; row < old->shape[0]; row++)
					keep_rows(from_config, to_config, layer, head_size, in + row * old->shape[1],
							  result + row * new->shape[1]);
				break;
			default:
				memcpy(result, in, old->elements * sizeof(float));
				break;
		}
	}
}
