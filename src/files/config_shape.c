/* config_shape.c: what follows from a config and its family: sizes, positions, heads. */
#include <string.h>
#include <strings.h>

#include "files/family.h"

int
config_embedding_size(const BertConfig *config)
{
	return config->embedding_size > 0 ? config->embedding_size : config->hidden_size;
}

bool
config_projects_embeddings(const BertConfig *config)
{
	return config->family->always_projected || config_embedding_size(config) != config->hidden_size;
}

int
config_padding_token(const BertConfig *config)
{
	return config->family->padding_token > 0 ? config->family->padding_token : config->pad_token_id;
}

int
config_first_position(const BertConfig *config)
{
	return config->family->positions_follow_padding ? config_padding_token(config) + 1 : 0;
}

int
config_max_tokens(const BertConfig *config)
{
	return config->max_position_embeddings - config_first_position(config);
}

int
config_next_position(const BertConfig *config, int32_t token, size_t *count)
{
	if (!config->family->positions_follow_padding)
		return (int) (*count)++;
	if (token == config_padding_token(config))
		return config_padding_token(config);
	return config_first_position(config) + (int) (*count)++;
}

int
config_layer_blocks(const BertConfig *config)
{
	return config->family->shared_layers && config->num_hidden_layers > 0
			   ? config->num_hidden_groups
			   : config->num_hidden_layers;
}

int
config_layer_block(const BertConfig *config, int layer)
{
	/* in the reference's way, also where the layers are no whole multiple of the groups */
	return config->family->shared_layers
			   ? (int) ((double) layer /
						((double) config->num_hidden_layers / (double) config->num_hidden_groups))
			   : layer;
}

const HeadShape *
config_head_shape(const BertConfig *config, HeadKind head)
{
	static const HeadShape of_embedding = {
		.class = "SetFitModel", .reads = READS_EMBEDDING, .classifier = "model_head"};

	return head == HEAD_SEQUENCE_CLASSIFICATION && config->classifies_embedding
			   ? &of_embedding
			   : &config->family->heads[head];
}

bool
config_head_uses_pooler(const BertConfig *config, HeadKind head)
{
	return config_head_shape(config, head)->reads == READS_POOLER;
}

float
config_head_dropout(const BertConfig *config, HeadKind head)
{
	size_t offset = config_head_shape(config, head)->dropout;
	float probability = offset == 0 ? 0 : *(const float *) ((const char *) config + offset);

	return probability < 0 ? config->hidden_dropout_prob : probability;
}

int
config_find_label(const BertConfig *config, const char *beginning)
{
	for (int i = 0; i < config->num_labels; i++)
		if (strncasecmp(config->id2label[i], beginning, strlen(beginning)) == 0)
			return i;
	return -1;
}

bool
config_tells_entailment(const BertConfig *config)
{
	return config->num_labels > 1 && !config_is_regression(config) &&
		   config_find_label(config, "entail") >= 0;
}

bool
config_is_regression(const BertConfig *config)
{
	return config->problem_type == PROBLEM_REGRESSION ||
		   (config->problem_type == PROBLEM_UNSET && config->num_labels == 1);
}
