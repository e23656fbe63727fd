/* tensor_table.c: the list of parameters as tables of patterns, walked once per config and head. */
#include "nn/tensor_table.h"

#include <stdio.h>
#include <string.h>

#include "core/bulk.h"
#include "core/checked.h"
#include "core/hash.h"
#include "core/rng.h"
#include "kernels/activation.h"

#define ASK_ELEMENTS 65536 /* random numbers between two questions: some milliseconds */

/* What a dimension of a shape stands for. DIM_NONE as the second one makes a vector. */
typedef enum Dim
{
	DIM_NONE,
	DIM_VOCAB,
	DIM_POSITIONS,
	DIM_TYPES,
	DIM_HIDDEN,
	DIM_ATTENTION, /* heads the layer has left * head size */
	DIM_DISTANCES, /* 2 max_position_embeddings - 1 */
	DIM_HEAD_SIZE,
	DIM_INTERMEDIATE,
	DIM_LABELS,
	DIM_DENSE_IN, /* of a Dense module */
	DIM_DENSE_OUT,
	DIM_ONE,
	DIM_TWO
} Dim;

typedef struct Pattern
{
	const char *name; /* without the block's prefix */
	TensorRole role;
	Dim shape[2];
	TensorInit init;
} Pattern;

#define LINEAR(name, role, out, in)                           \
	{name ".weight", role##_WEIGHT, {out, in}, INIT_NORMAL},  \
	{                                                         \
		name ".bias", role##_BIAS, {out, DIM_NONE}, INIT_ZERO \
	}
#define NORM(name, role)                                               \
	{name ".weight", role##_WEIGHT, {DIM_HIDDEN, DIM_NONE}, INIT_ONE}, \
	{                                                                  \
		name ".bias", role##_BIAS, {DIM_HIDDEN, DIM_NONE}, INIT_ZERO   \
	}

static const Pattern embeddings_patterns[] = {
	{"word_embeddings.weight", ROLE_WORD_EMBEDDINGS, {DIM_VOCAB, DIM_HIDDEN}, INIT_NORMAL},
	{"position_embeddings.weight",
	 ROLE_POSITION_EMBEDDINGS,
	 {DIM_POSITIONS, DIM_HIDDEN},
	 INIT_NORMAL},
	{"token_type_embeddings.weight", ROLE_TYPE_EMBEDDINGS, {DIM_TYPES, DIM_HIDDEN}, INIT_NORMAL},
	NORM("LayerNorm", ROLE_EMBEDDINGS_NORM),
};

/*
 * Query, key and value lie together, so that a block holds them as one (3A, H) weight and one (3A)
 * bias.
 */
#define QUERY_KEY_VALUE(name, prefix, size)                                             \
	{name ".query.weight", prefix##_QUERY_WEIGHT, {size, DIM_HIDDEN}, INIT_NORMAL},     \
		{name ".key.weight", prefix##_KEY_WEIGHT, {size, DIM_HIDDEN}, INIT_NORMAL},     \
		{name ".value.weight", prefix##_VALUE_WEIGHT, {size, DIM_HIDDEN}, INIT_NORMAL}, \
		{name ".query.bias", prefix##_QUERY_BIAS, {size, DIM_NONE}, INIT_ZERO},         \
		{name ".key.bias", prefix##_KEY_BIAS, {size, DIM_NONE}, INIT_ZERO},             \
	{                                                                                   \
		name ".value.bias", prefix##_VALUE_BIAS, {size, DIM_NONE}, INIT_ZERO            \
	}

static const Pattern self_attention_patterns[] = {
	QUERY_KEY_VALUE("attention.self", ROLE, DIM_ATTENTION),
};

static const Pattern distance_patterns[] = {
	{"attention.self.distance_embedding.weight",
	 ROLE_DISTANCE_EMBEDDING,
	 {DIM_DISTANCES, DIM_HEAD_SIZE},
	 INIT_NORMAL},
};

static const Pattern attention_output_patterns[] = {
	LINEAR("attention.output.dense", ROLE_ATTENTION_OUTPUT, DIM_HIDDEN, DIM_ATTENTION),
	NORM("attention.output.LayerNorm", ROLE_ATTENTION_NORM),
};

/* Cross-attention is never pruned and always has absolute positions, as in the reference. */
static const Pattern cross_attention_patterns[] = {
	QUERY_KEY_VALUE("crossattention.self", ROLE_CROSS, DIM_HIDDEN),
	LINEAR("crossattention.output.dense", ROLE_CROSS_OUTPUT, DIM_HIDDEN, DIM_HIDDEN),
	NORM("crossattention.output.LayerNorm", ROLE_CROSS_NORM),
};

static const Pattern feed_forward_patterns[] = {
	LINEAR("intermediate.dense", ROLE_INTERMEDIATE, DIM_INTERMEDIATE, DIM_HIDDEN),
	LINEAR("output.dense", ROLE_OUTPUT, DIM_HIDDEN, DIM_INTERMEDIATE),
	NORM("output.LayerNorm", ROLE_OUTPUT_NORM),
};

static const Pattern pooler_patterns[] = {
	LINEAR("dense", ROLE_POOLER, DIM_HIDDEN, DIM_HIDDEN),
};

static const Pattern prediction_patterns[] = {
	{"cls.predictions.bias", ROLE_DECODER_BIAS, {DIM_VOCAB, DIM_NONE}, INIT_ZERO},
	LINEAR("cls.predictions.transform.dense", ROLE_TRANSFORM, DIM_HIDDEN, DIM_HIDDEN),
	NORM("cls.predictions.transform.LayerNorm", ROLE_TRANSFORM_NORM),
};

static const Pattern untied_decoder_patterns[] = {
	{"cls.predictions.decoder.weight", ROLE_DECODER_WEIGHT, {DIM_VOCAB, DIM_HIDDEN}, INIT_NORMAL},
};

static const Pattern next_sentence_patterns[] = {
	LINEAR("cls.seq_relationship", ROLE_SEQ_RELATIONSHIP, DIM_TWO, DIM_HIDDEN),
};

static const Pattern classifier_patterns[] = {
	LINEAR("classifier", ROLE_CLASSIFIER, DIM_LABELS, DIM_HIDDEN),
};

static const Pattern choice_patterns[] = {
	LINEAR("classifier", ROLE_CLASSIFIER, DIM_ONE, DIM_HIDDEN),
};

static const Pattern answer_patterns[] = {
	LINEAR("qa_outputs", ROLE_CLASSIFIER, DIM_LABELS, DIM_HIDDEN),
};

static const Pattern dense_patterns[] = {
	LINEAR("linear", ROLE_DENSE, DIM_DENSE_OUT, DIM_DENSE_IN),
};

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define MAX_TENSORS_PER_LAYER                                             \
	(COUNT(self_attention_patterns) + COUNT(distance_patterns) +          \
	 COUNT(attention_output_patterns) + COUNT(cross_attention_patterns) + \
	 COUNT(feed_forward_patterns))
#define MAX_TENSORS_ELSEWHERE                                                           \
	(COUNT(embeddings_patterns) + COUNT(pooler_patterns) + COUNT(prediction_patterns) + \
	 COUNT(untied_decoder_patterns) + COUNT(next_sentence_patterns))

int
config_layer_heads(const BertConfig *config, int layer)
{
	for (int i = 0; i < config->n_pruned; i++)
		if (config->pruned_heads[i].layer == layer)
			return config->num_attention_heads - config->pruned_heads[i].n_heads;
	return config->num_attention_heads;
}

bool
head_uses_pooler(HeadKind head)
{
	return head == HEAD_PRETRAINING || head == HEAD_NEXT_SENTENCE ||
		   head == HEAD_SEQUENCE_CLASSIFICATION || head == HEAD_MULTIPLE_CHOICE;
}

bool
head_has_vocabulary(HeadKind head)
{
	return head == HEAD_PRETRAINING || head == HEAD_MASKED_LM || head == HEAD_CAUSAL_LM;
}

static size_t
dim_size(const BertConfig *config, int layer, Dim dim)
{
	size_t head_size = (size_t) config->hidden_size / (size_t) config->num_attention_heads;

	switch (dim)
	{
		case DIM_VOCAB:
			return (size_t) config->vocab_size;
		case DIM_POSITIONS:
			return (size_t) config->max_position_embeddings;
		case DIM_TYPES:
			return (size_t) config->type_vocab_size;
		case DIM_HIDDEN:
			return (size_t) config->hidden_size;
		case DIM_ATTENTION:
			return (size_t) config_layer_heads(config, layer) * head_size;
		case DIM_DISTANCES:
			return 2 * (size_t) config->max_position_embeddings - 1;
		case DIM_HEAD_SIZE:
			return head_size;
		case DIM_INTERMEDIATE:
			return (size_t) config->intermediate_size;
		case DIM_LABELS:
			return (size_t) config->num_labels;
		case DIM_DENSE_IN:
			return (size_t) config->dense[layer].in_features;
		case DIM_DENSE_OUT:
			return (size_t) config->dense[layer].out_features;
		case DIM_TWO:
			return 2;
		case DIM_ONE:
		case DIM_NONE:
			break;
	}
	return 1;
}

/* Appends count tensors to the newest block. */
static bool
append(TensorTable *table, const BertConfig *config, const char *prefix, const Pattern *patterns,
	   size_t count, Status *status)
{
	int index = table->n_blocks - 1;
	BlockSpec *block = &table->blocks[index];

	for (size_t i = 0; i < count; i++)
	{
		const Pattern *pattern = &patterns[i];
		TensorSpec *tensor = &table->tensors[table->n_tensors];
		size_t bytes;

		snprintf(tensor->name, sizeof tensor->name, "%s%s", prefix, pattern->name);
		tensor->role = pattern->role;
		tensor->rank = pattern->shape[1] == DIM_NONE ? 1 : 2;
		tensor->shape[0] = dim_size(config, block->layer, pattern->shape[0]);
		tensor->shape[1] = dim_size(config, block->layer, pattern->shape[1]);
		tensor->init = pattern->init;
		tensor->weight_decay = tensor->rank == 2; /* vectors are biases and LayerNorm */
		tensor->block = index;
		tensor->offset = block->elements;
		if (!size_mul(tensor->shape[0], tensor->shape[1], &tensor->elements) ||
			!size_add(block->elements, tensor->elements, &block->elements) ||
			!size_add(table->elements, tensor->elements, &table->elements) ||
			!size_mul(table->elements, sizeof(float), &bytes))
			return status_fail(status, STATUS_LIMIT, "the model's tensors are too large");
		table->n_tensors++;
		block->n_tensors++;
	}
	return true;
}

static void
begin_block(TensorTable *table, BlockKind kind, int layer)
{
	BlockSpec *block = &table->blocks[table->n_blocks++];

	block->kind = kind;
	block->layer = layer;
	block->elements = 0;
	block->first_tensor = table->n_tensors;
	block->n_tensors = 0;
}

static bool
append_layer(TensorTable *table, const BertConfig *config, int layer, Status *status)
{
	char prefix[40];

	snprintf(prefix, sizeof prefix, "bert.encoder.layer.%d.", layer);
	begin_block(table, BLOCK_LAYER, layer);
	return append(table, config, prefix, self_attention_patterns, COUNT(self_attention_patterns),
				  status) &&
		   (config->position_embedding_type == POSITION_ABSOLUTE ||
			append(table, config, prefix, distance_patterns, COUNT(distance_patterns), status)) &&
		   append(table, config, prefix, attention_output_patterns,
				  COUNT(attention_output_patterns), status) &&
		   (!config->add_cross_attention || append(table, config, prefix, cross_attention_patterns,
												   COUNT(cross_attention_patterns), status)) &&
		   append(table, config, prefix, feed_forward_patterns, COUNT(feed_forward_patterns),
				  status);
}

static bool
append_head(TensorTable *table, const BertConfig *config, Status *status)
{
	begin_block(table, BLOCK_HEAD, -1);
	switch (table->head)
	{
		case HEAD_PRETRAINING:
		case HEAD_MASKED_LM:
		case HEAD_CAUSAL_LM:
			return append(table, config, "", prediction_patterns, COUNT(prediction_patterns),
						  status) &&
				   (config->tie_word_embeddings ||
					append(table, config, "", untied_decoder_patterns,
						   COUNT(untied_decoder_patterns), status)) &&
				   (table->head != HEAD_PRETRAINING ||
					append(table, config, "", next_sentence_patterns, COUNT(next_sentence_patterns),
						   status));
		case HEAD_NEXT_SENTENCE:
			return append(table, config, "", next_sentence_patterns, COUNT(next_sentence_patterns),
						  status);
		case HEAD_MULTIPLE_CHOICE:
			return append(table, config, "", choice_patterns, COUNT(choice_patterns), status);
		case HEAD_QUESTION_ANSWERING:
			return append(table, config, "", answer_patterns, COUNT(answer_patterns), status);
		case HEAD_SEQUENCE_CLASSIFICATION:
		case HEAD_TOKEN_CLASSIFICATION:
			return append(table, config, "", classifier_patterns, COUNT(classifier_patterns),
						  status);
		case HEAD_NONE:
		case HEAD_KIND_COUNT:
			break;
	}
	return status_fail(status, STATUS_INTERNAL, "no such head");
}

static bool
append_dense(TensorTable *table, const BertConfig *config, Status *status)
{
	for (int i = 0; i < config->n_dense; i++)
	{
		char prefix[DENSE_PATH_BYTES + 1];

		dense_path(i, prefix);
		strcat(prefix, ".");
		begin_block(table, BLOCK_DENSE, i);
		if (!append(table, config, prefix, dense_patterns,
					COUNT(dense_patterns) - (config->dense[i].bias ? 0 : 1), status))
			return false;
	}
	return true;
}

bool
tensor_table_build(Arena *arena, const BertConfig *config, HeadKind head, TensorTable *table,
				   Status *status)
{
	size_t layers = (size_t) config->num_hidden_layers;
	size_t max_tensors;
	size_t max_blocks = layers + 3 + (size_t) config->n_dense;
	Activation hidden_act;

	memset(table, 0, sizeof *table);
	if ((unsigned int) head >= HEAD_KIND_COUNT)
		return status_fail(status, STATUS_INVALID_ARGUMENT, "unknown head %d", (int) head);
	if (!config_validate(config, status) ||
		!activation_parse(config->hidden_act, &hidden_act, status))
		return false;
	if (head == HEAD_QUESTION_ANSWERING && config->num_labels != 2)
		return status_fail(status, STATUS_INVALID_ARGUMENT,
						   "a question answering head has 2 labels, not %d", config->num_labels);
	table->head = head;
	max_tensors = layers * MAX_TENSORS_PER_LAYER + MAX_TENSORS_ELSEWHERE +
				  (size_t) config->n_dense * COUNT(dense_patterns);
	table->tensors = arena_alloc_array_zero(arena, max_tensors, sizeof(TensorSpec));
	table->blocks = arena_alloc_array_zero(arena, max_blocks, sizeof(BlockSpec));
	if (table->tensors == NULL || table->blocks == NULL)
		return arena_fail(arena, status, "the tensor table", max_tensors * sizeof(TensorSpec));

	begin_block(table, BLOCK_EMBEDDINGS, -1);
	if (!append(table, config, "bert.embeddings.", embeddings_patterns, COUNT(embeddings_patterns),
				status))
		return false;
	for (int layer = 0; layer < config->num_hidden_layers; layer++)
		if (!append_layer(table, config, layer, status))
			return false;
	if (head == HEAD_NONE ? config->use_pooler : head_uses_pooler(head))
	{
		begin_block(table, BLOCK_POOLER, -1);
		if (!append(table, config, "bert.pooler.", pooler_patterns, COUNT(pooler_patterns), status))
			return false;
	}
	return (head == HEAD_NONE || append_head(table, config, status)) &&
		   append_dense(table, config, status);
}

const TensorSpec *
tensor_table_find(const TensorTable *table, const char *name)
{
	for (int i = 0; i < table->n_tensors; i++)
		if (strcmp(table->tensors[i].name, name) == 0)
			return &table->tensors[i];
	return NULL;
}

const TensorSpec *
tensor_table_role(const TensorTable *table, TensorRole role, int layer)
{
	for (int b = 0; b < table->n_blocks; b++)
	{
		const BlockSpec *block = &table->blocks[b];

		if (block->layer != layer)
			continue;
		for (int i = block->first_tensor; i < block->first_tensor + block->n_tensors; i++)
			if (table->tensors[i].role == role)
				return &table->tensors[i];
	}
	return NULL;
}

int
tensor_table_block(const TensorTable *table, BlockKind kind, int layer)
{
	for (int b = 0; b < table->n_blocks; b++)
		if (table->blocks[b].kind == kind && table->blocks[b].layer == layer)
			return b;
	return -1;
}

bool
tensor_table_has_pooler(const TensorTable *table)
{
	return tensor_table_block(table, BLOCK_POOLER, -1) >= 0;
}

/* The random stream of a tensor: the first bytes of its name's SHA-256. */
static uint64_t
name_stream(const char *name)
{
	unsigned char digest[SHA256_BYTES];
	uint64_t stream = 0;
	Sha256 hash;

	sha256_init(&hash);
	sha256_update(&hash, name, strlen(name));
	sha256_final(&hash, digest);
	for (int i = 0; i < 8; i++)
		stream = stream << 8 | digest[i];
	return stream;
}

bool
tensor_initialize(const TensorSpec *tensor, const BertConfig *config, uint64_t seed, float *out,
				  const MayContinue *question, Status *status)
{
	Rng rng;

	rng_init(&rng, seed, name_stream(tensor->name));
	for (size_t i = 0; i < tensor->elements; i++)
	{
		out[i] = tensor->init == INIT_NORMAL
					 ? (float) (rng_normal(&rng) * config->initializer_range)
				 : tensor->init == INIT_ONE ? 1.0f
											: 0.0f;
		if (bulk_turn(i, ASK_ELEMENTS) && !may_continue(question, status))
			return false;
	}
	if (tensor->role == ROLE_WORD_EMBEDDINGS && config->pad_token_id >= 0 &&
		(size_t) config->pad_token_id < tensor->shape[0])
		memset(out + (size_t) config->pad_token_id * tensor->shape[1], 0,
			   tensor->shape[1] * sizeof(float));
	return true;
}

int
served_heads(HeadKind head, HeadKind *served)
{
	int n = 0;

	if (head != HEAD_NONE)
		served[n++] = head;
	if (head == HEAD_PRETRAINING)
	{
		served[n++] = HEAD_MASKED_LM;
		served[n++] = HEAD_CAUSAL_LM;
		served[n++] = HEAD_NEXT_SENTENCE;
	}
	else if (head == HEAD_MASKED_LM)
		served[n++] = HEAD_CAUSAL_LM;
	else if (head == HEAD_CAUSAL_LM)
		served[n++] = HEAD_MASKED_LM;
	return n;
}
