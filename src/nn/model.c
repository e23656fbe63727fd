/* model.c: binds prepared images to a model, and checks batches against its config. */
#include "nn/model.h"

#include <string.h>

#include "nn/params.h"

bool
bert_model_bind(Arena *arena, const Preparation *preparation, const PreparedImage *images,
				int n_images, BertModel **out, Status *status)
{
	const BertConfig *config = preparation->config;
	const TensorTable *table = preparation->table;
	BertModel *model;

	if (n_images != table->n_blocks)
		return status_fail(status, STATUS_INTERNAL, "%d images for %d blocks", n_images,
						   table->n_blocks);
	model = arena_alloc_zero(arena, sizeof *model);
	if (model == NULL)
		return arena_fail(arena, status, "a model", sizeof *model);
	model->layers =
		arena_alloc_array_zero(arena, (size_t) config->num_hidden_layers, sizeof(LayerParams));
	if (model->layers == NULL)
		return arena_fail(arena, status, "a model",
						  (size_t) config->num_hidden_layers * sizeof(LayerParams));
	if (!activation_parse(config->hidden_act, &model->hidden_act, status) ||
		!head_activation(config, table->head, &model->task.projection_act, status) ||
		!predictions_activation(config, &model->task.transform_act, status))
		return false;
	model->config = *config;
	model->head = table->head;
	model->precision = preparation->precision;
	model->kernels = preparation->kernels;
	model->hidden_size = (size_t) config->hidden_size;
	model->embedding_size = (size_t) config_embedding_size(config);
	model->head_size = (size_t) config->hidden_size / (size_t) config->num_attention_heads;
	for (int layer = 0; layer < config->num_hidden_layers; layer++)
		model->layers[layer].n_heads = (size_t) config_layer_heads(config, layer);
	for (int block = 0; block < n_images; block++)
		if (!prepared_bind(model, table, block, &images[block], status))
			return false;
	*out = model;
	return true;
}

const BertConfig *
bert_model_config(const BertModel *model)
{
	return &model->config;
}

HeadKind
bert_model_head(const BertModel *model)
{
	return model->head;
}

size_t
relative_bucket(int64_t distance)
{
	const int64_t half = RELATIVE_BUCKETS / 2;
	const int64_t exact = half / 2;
	size_t bucket = distance > 0 ? (size_t) half : 0;
	int64_t away = distance < 0 ? -distance : distance;
	int64_t step = 0;

	if (away < exact)
		return bucket + (size_t) away;
	/* exact + floor(log(away / exact) / log(128 / exact) * exact): powers of sqrt 2, squared */
	while (step < half - exact - 1 && away < INT32_MAX &&
		   away * away >= exact * exact * ((int64_t) 2 << step))
		step++;
	return bucket + (size_t) (away < INT32_MAX ? exact + step : half - 1);
}

static bool
check_range(const int32_t *values, size_t n, int limit, const char *what, Status *status)
{
	if (values != NULL)
		for (size_t i = 0; i < n; i++)
			if (values[i] < 0 || values[i] >= limit)
				return status_fail(status, STATUS_INVALID_ARGUMENT,
								   "%s %d is outside the model's range 0 to %d", what, values[i],
								   limit - 1);
	return true;
}

/* A family without token types takes those of a single text. */
static bool
check_types(const Batch *batch, size_t n_tokens, const BertConfig *config, Status *status)
{
	return check_range(batch->token_type_ids, n_tokens,
					   config->type_vocab_size > 0 ? config->type_vocab_size : 1, "token type",
					   status);
}

static bool
check_mask(const uint8_t *mask, size_t n, Status *status)
{
	if (mask != NULL)
		for (size_t i = 0; i < n; i++)
			if (mask[i] > 1)
				return status_fail(status, STATUS_INVALID_ARGUMENT,
								   "an attention mask holds 0 and 1 only, not %d", mask[i]);
	return true;
}

/* Sequence bounds that begin with 0 and grow; longest < 0: no limit. */
static bool
check_bounds(const int32_t *cu_seqlens, size_t n_sequences, int longest, Status *status)
{
	if (cu_seqlens[0] != 0)
		return status_fail(status, STATUS_INTERNAL, "a batch begins at token %d", cu_seqlens[0]);
	for (size_t b = 0; b < n_sequences; b++)
	{
		int64_t length = (int64_t) cu_seqlens[b + 1] - cu_seqlens[b];

		if (length < 1)
			return status_fail(status, STATUS_INVALID_ARGUMENT,
							   "sequence %zu of the batch is empty", b + 1);
		if (longest >= 0 && length > longest)
		{
			status_fail(status, STATUS_INVALID_ARGUMENT,
						"a sequence of %lld tokens is longer than the model's %d positions",
						(long long) length, longest);
			return status_hint(status, "Truncate the input or read it in windows.");
		}
	}
	return true;
}

bool
batch_validate(const Batch *batch, const BertConfig *config, Status *status)
{
	size_t n_tokens;

	if (batch->n_sequences == 0)
		return status_fail(status, STATUS_INVALID_ARGUMENT, "a batch needs at least one sequence");
	if (!check_bounds(batch->cu_seqlens, batch->n_sequences, config_max_tokens(config), status))
		return false;
	n_tokens = (size_t) batch->cu_seqlens[batch->n_sequences];
	if (!check_range(batch->input_ids, n_tokens, config->vocab_size, "token id", status) ||
		!check_types(batch, n_tokens, config, status) ||
		!check_range(batch->position_ids, n_tokens, config->max_position_embeddings, "position",
					 status) ||
		!check_mask(batch->attention_mask, n_tokens, status))
		return false;
	if (batch->encoder_hidden_states == NULL)
		return true;
	if (!config->add_cross_attention)
		return status_fail(status, STATUS_INVALID_ARGUMENT,
						   "the model has no cross-attention for encoder_hidden_states");
	return check_bounds(batch->encoder_cu_seqlens, batch->n_sequences, -1, status) &&
		   check_mask(batch->encoder_attention_mask,
					  (size_t) batch->encoder_cu_seqlens[batch->n_sequences], status);
}
