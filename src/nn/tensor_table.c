/* tensor_table.c: the list of parameters as tables of patterns, walked once per config and head. */
#include "nn/tensor_table.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "core/bulk.h"
#include "core/checked.h"
#include "core/hash.h"
#include "core/rng.h"
#include "files/sentence.h"
#include "kernels/activation.h"

#define ASK_ELEMENTS 65536 /* random numbers between two questions: some milliseconds */

/* What a dimension of a shape stands for. DIM_NONE as the second one makes a vector. */
typedef enum Dim
{
	DIM_NONE,
	DIM_VOCAB,
	DIM_POSITIONS,
	DIM_TYPES,
	DIM_EMBEDDING,
	DIM_HIDDEN,
	DIM_ATTENTION, /* heads the layer has left * head size */
	DIM_HEADS,
	DIM_BUCKETS,
	DIM_DISTANCES, /* 2 max_position_embeddings - 1 */
	DIM_HEAD_SIZE,
	DIM_INTERMEDIATE,
	DIM_LABELS,
	DIM_DENSE_IN, /* of a Dense module */
	DIM_DENSE_OUT,
	DIM_SENTENCE, /* values of an embedding that a classifier reads */
	DIM_ONE,
	DIM_TWO
} Dim;

typedef struct Pattern
{
	const char *module; /* BERT's name for it, without the block's prefix */
	const char *parameter;
	TensorRole role;
	Dim shape[2];
	TensorInit init;
} Pattern;

#define WEIGHT(module, role, out, in)                   \
	{                                                   \
		module, ".weight", role, {out, in}, INIT_NORMAL \
	}
#define LINEAR(module, role, out, in)                            \
	{module, ".weight", role##_WEIGHT, {out, in}, INIT_NORMAL},  \
	{                                                            \
		module, ".bias", role##_BIAS, {out, DIM_NONE}, INIT_ZERO \
	}
#define NORM(module, role, size)                                    \
	{module, ".weight", role##_WEIGHT, {size, DIM_NONE}, INIT_ONE}, \
	{                                                               \
		module, ".bias", role##_BIAS, {size, DIM_NONE}, INIT_ZERO   \
	}

static const Pattern word_patterns[] = {
	WEIGHT("embeddings.word_embeddings", ROLE_WORD_EMBEDDINGS, DIM_VOCAB, DIM_EMBEDDING),
	WEIGHT("embeddings.position_embeddings", ROLE_POSITION_EMBEDDINGS, DIM_POSITIONS,
		   DIM_EMBEDDING),
};

static const Pattern type_patterns[] = {
	WEIGHT("embeddings.token_type_embeddings", ROLE_TYPE_EMBEDDINGS, DIM_TYPES, DIM_EMBEDDING),
};

static const Pattern embeddings_norm_patterns[] = {
	NORM("embeddings.LayerNorm", ROLE_EMBEDDINGS_NORM, DIM_EMBEDDING),
};

static const Pattern embeddings_projection_patterns[] = {
	LINEAR("embeddings_project", ROLE_EMBEDDINGS_PROJECTION, DIM_HIDDEN, DIM_EMBEDDING),
};

static const Pattern attention_bias_patterns[] = {
	WEIGHT("encoder.relative_attention_bias", ROLE_ATTENTION_BIAS, DIM_BUCKETS, DIM_HEADS),
};

/*
 * Query, key and value lie together, so that a block holds them as one (3A, H) weight and one (3A)
 * bias.
 */
#define QUERY_KEY_VALUE(name, prefix, size)                                                 \
	{name ".query", ".weight", prefix##_QUERY_WEIGHT, {size, DIM_HIDDEN}, INIT_NORMAL},     \
		{name ".key", ".weight", prefix##_KEY_WEIGHT, {size, DIM_HIDDEN}, INIT_NORMAL},     \
		{name ".value", ".weight", prefix##_VALUE_WEIGHT, {size, DIM_HIDDEN}, INIT_NORMAL}, \
		{name ".query", ".bias", prefix##_QUERY_BIAS, {size, DIM_NONE}, INIT_ZERO},         \
		{name ".key", ".bias", prefix##_KEY_BIAS, {size, DIM_NONE}, INIT_ZERO},             \
	{                                                                                       \
		name ".value", ".bias", prefix##_VALUE_BIAS, {size, DIM_NONE}, INIT_ZERO            \
	}

static const Pattern self_attention_patterns[] = {
	QUERY_KEY_VALUE("attention.self", ROLE, DIM_ATTENTION),
};

static const Pattern distance_patterns[] = {
	WEIGHT("attention.self.distance_embedding", ROLE_DISTANCE_EMBEDDING, DIM_DISTANCES,
		   DIM_HEAD_SIZE),
};

static const Pattern attention_output_patterns[] = {
	LINEAR("attention.output.dense", ROLE_ATTENTION_OUTPUT, DIM_HIDDEN, DIM_ATTENTION),
	NORM("attention.output.LayerNorm", ROLE_ATTENTION_NORM, DIM_HIDDEN),
};

/* Cross-attention is never pruned and always has absolute positions, as in the reference. */
static const Pattern cross_attention_patterns[] = {
	QUERY_KEY_VALUE("crossattention.self", ROLE_CROSS, DIM_HIDDEN),
	LINEAR("crossattention.output.dense", ROLE_CROSS_OUTPUT, DIM_HIDDEN, DIM_HIDDEN),
	NORM("crossattention.output.LayerNorm", ROLE_CROSS_NORM, DIM_HIDDEN),
};

static const Pattern feed_forward_patterns[] = {
	LINEAR("intermediate.dense", ROLE_INTERMEDIATE, DIM_INTERMEDIATE, DIM_HIDDEN),
	LINEAR("output.dense", ROLE_OUTPUT, DIM_HIDDEN, DIM_INTERMEDIATE),
	NORM("output.LayerNorm", ROLE_OUTPUT_NORM, DIM_HIDDEN),
};

static const Pattern pooler_patterns[] = {
	LINEAR("pooler.dense", ROLE_POOLER, DIM_HIDDEN, DIM_HIDDEN),
};

static const Pattern dense_patterns[] = {
	LINEAR("linear", ROLE_DENSE, DIM_DENSE_OUT, DIM_DENSE_IN),
};

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define MAX_TENSORS_PER_LAYER                                             \
	(COUNT(self_attention_patterns) + COUNT(distance_patterns) +          \
	 COUNT(attention_output_patterns) + COUNT(cross_attention_patterns) + \
	 COUNT(feed_forward_patterns))
#define MAX_TENSORS_OF_HEAD 8 /* of pretraining: dense, norm, decoder, classifier */
#define MAX_TENSORS_ELSEWHERE                                                        \
	(COUNT(word_patterns) + COUNT(type_patterns) + COUNT(embeddings_norm_patterns) + \
	 COUNT(embeddings_projection_patterns) + COUNT(attention_bias_patterns) +        \
	 COUNT(pooler_patterns) + MAX_TENSORS_OF_HEAD)

int
config_layer_heads(const BertConfig *config, int layer)
{
	for (int i = 0; i < config->n_pruned; i++)
		if (config->pruned_heads[i].layer == layer)
			return config->num_attention_heads - config->pruned_heads[i].n_heads;
	return config->num_attention_heads;
}

bool
head_is_pooled(HeadKind head)
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
		case DIM_EMBEDDING:
			return (size_t) config_embedding_size(config);
		case DIM_HIDDEN:
			return (size_t) config->hidden_size;
		case DIM_ATTENTION:
			return (size_t) config_layer_heads(config, layer) * head_size;
		case DIM_HEADS:
			return (size_t) config->num_attention_heads;
		case DIM_BUCKETS:
			return (size_t) config->relative_buckets;
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
		case DIM_SENTENCE:
			return (size_t) sentence_dimensions(config, &config->embedding_pooling);
		case DIM_TWO:
			return 2;
		case DIM_ONE:
		case DIM_NONE:
			break;
	}
	return 1;
}

/* A table that is being made. */
typedef struct Maker
{
	TensorTable *table;
	const BertConfig *config;
	const char *prefix; /* of the newest block's names */
	Status *status;
} Maker;

/* Appends count tensors to the newest block. */
static bool
append(const Maker *maker, const Pattern *patterns, size_t count)
{
	TensorTable *table = maker->table;
	int index = table->n_blocks - 1;
	BlockSpec *block = &table->blocks[index];

	for (size_t i = 0; i < count; i++)
	{
		const Pattern *pattern = &patterns[i];
		TensorSpec *tensor = &table->tensors[table->n_tensors];
		size_t bytes;

		snprintf(tensor->name, sizeof tensor->name, "%s%s%s", maker->prefix,
				 family_module(maker->config->family, pattern->module), pattern->parameter);
		tensor->role = pattern->role;
		tensor->rank = pattern->shape[1] == DIM_NONE ? 1 : 2;
		tensor->shape[0] = dim_size(maker->config, block->layer, pattern->shape[0]);
		tensor->shape[1] = dim_size(maker->config, block->layer, pattern->shape[1]);
		tensor->init = pattern->init;
		/* vectors are biases and LayerNorm */
		tensor->weight_decay = tensor->rank == 2 && pattern->role != ROLE_ATTENTION_BIAS;
		tensor->block = index;
		tensor->offset = block->elements;
		if (!size_mul(tensor->shape[0], tensor->shape[1], &tensor->elements) ||
			!size_add(block->elements, tensor->elements, &block->elements) ||
			!size_add(table->elements, tensor->elements, &table->elements) ||
			!size_mul(table->elements, sizeof(float), &bytes))
			return status_fail(maker->status, STATUS_LIMIT, "the model's tensors are too large");
		table->n_tensors++;
		block->n_tensors++;
	}
	return true;
}

#define APPEND(maker, patterns) append(maker, patterns, COUNT(patterns))

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
append_embeddings(TensorTable *table, const BertConfig *config, Status *status)
{
	Maker maker = {table, config, config->family->base, status};

	begin_block(table, BLOCK_EMBEDDINGS, -1);
	if (!APPEND(&maker, word_patterns) ||
		(config->type_vocab_size > 0 && !APPEND(&maker, type_patterns)) ||
		!APPEND(&maker, embeddings_norm_patterns) ||
		(config_projects_embeddings(config) && !APPEND(&maker, embeddings_projection_patterns)) ||
		(config->family->attention_biased && !APPEND(&maker, attention_bias_patterns)))
		return false;
	for (int i = 0; i < table->n_tensors; i++)
		if (config->sinusoidal_positions && table->tensors[i].role == ROLE_POSITION_EMBEDDINGS)
			table->tensors[i].init = INIT_SINUSOIDAL;
	return true;
}

/* A layer's number goes where the family's prefix has "%d". */
static void
layer_prefix(const Family *family, int layer, char *out, size_t size)
{
	const char *number = strstr(family->layer, "%d");

	snprintf(out, size, "%s%.*s%d%s", family->base, (int) (number - family->layer), family->layer,
			 layer, number + 2);
}

static bool
append_layer(TensorTable *table, const BertConfig *config, int layer, Status *status)
{
	char prefix[64];
	Maker maker = {table, config, prefix, status};

	layer_prefix(config->family, layer, prefix, sizeof prefix);
	begin_block(table, BLOCK_LAYER, layer);
	return APPEND(&maker, self_attention_patterns) &&
		   (config->position_embedding_type == POSITION_ABSOLUTE ||
			APPEND(&maker, distance_patterns)) &&
		   APPEND(&maker, attention_output_patterns) &&
		   (!config->add_cross_attention || APPEND(&maker, cross_attention_patterns)) &&
		   APPEND(&maker, feed_forward_patterns);
}

static bool
append_pooler(TensorTable *table, const BertConfig *config, Status *status)
{
	Maker maker = {table, config, config->family->base, status};

	begin_block(table, BLOCK_POOLER, -1);
	return APPEND(&maker, pooler_patterns);
}

/* The language-model head; its decoder is as wide as the embeddings. */
static bool
append_predictions(const Maker *maker)
{
	const PredictionShape *shape = &maker->config->family->predictions;
	const Pattern patterns[] = {
		{shape->bias, "", ROLE_DECODER_BIAS, {DIM_VOCAB, DIM_NONE}, INIT_ZERO},
		LINEAR(shape->dense, ROLE_TRANSFORM, DIM_EMBEDDING, DIM_HIDDEN),
		NORM(shape->norm, ROLE_TRANSFORM_NORM, DIM_EMBEDDING),
	};
	const Pattern untied[] = {
		WEIGHT(shape->decoder, ROLE_DECODER_WEIGHT, DIM_VOCAB, DIM_EMBEDDING),
	};

	return APPEND(maker, patterns) && (maker->config->tie_word_embeddings || APPEND(maker, untied));
}

/* A classifier, and the head's own dense layer before it. */
static bool
append_classifier(const Maker *maker, Dim labels)
{
	const HeadShape *shape = config_head_shape(maker->config, maker->table->head);
	Dim in = shape->reads == READS_EMBEDDING ? DIM_SENTENCE : DIM_HIDDEN;
	const Pattern projection[] = {
		LINEAR(shape->projection, ROLE_PROJECTION, DIM_HIDDEN, DIM_HIDDEN),
	};
	const Pattern classifier[] = {
		LINEAR(shape->classifier, ROLE_CLASSIFIER, labels, in),
	};

	return (shape->projection == NULL || APPEND(maker, projection)) && APPEND(maker, classifier);
}

static bool
append_next_sentence(const Maker *maker)
{
	const Pattern patterns[] = {
		LINEAR(maker->config->family->heads[maker->table->head].classifier, ROLE_SEQ_RELATIONSHIP,
			   DIM_TWO, DIM_HIDDEN),
	};

	return APPEND(maker, patterns);
}

static bool
append_head(TensorTable *table, const BertConfig *config, Status *status)
{
	Maker maker = {table, config, "", status};

	begin_block(table, BLOCK_HEAD, -1);
	switch (table->head)
	{
		case HEAD_PRETRAINING:
			return append_predictions(&maker) && append_next_sentence(&maker);
		case HEAD_MASKED_LM:
		case HEAD_CAUSAL_LM:
			return append_predictions(&maker);
		case HEAD_NEXT_SENTENCE:
			return append_next_sentence(&maker);
		case HEAD_MULTIPLE_CHOICE:
		case HEAD_REPLACED_TOKEN:
			return append_classifier(&maker, DIM_ONE);
		case HEAD_SEQUENCE_CLASSIFICATION:
		case HEAD_TOKEN_CLASSIFICATION:
		case HEAD_QUESTION_ANSWERING:
			return append_classifier(&maker, DIM_LABELS);
		case HEAD_NONE:
		case HEAD_KIND_COUNT:
			break;
	}
	return status_fail(status, STATUS_INTERNAL, "no such head");
}

static bool
append_dense(TensorTable *table, const BertConfig *config, Status *status)
{
	char prefix[DENSE_PATH_BYTES + 1];
	Maker maker = {table, config, prefix, status};

	for (int i = 0; i < config->n_dense; i++)
	{
		dense_path(i, prefix);
		strcat(prefix, ".");
		begin_block(table, BLOCK_DENSE, i);
		if (!append(&maker, dense_patterns,
					COUNT(dense_patterns) - (config->dense[i].bias ? 0 : 1)))
			return false;
	}
	return true;
}

/* The heads that the family has, as a hint. */
static bool
refuse_head(const Family *family, HeadKind head, Status *status)
{
	char known[200] = "";

	for (int kind = 0; kind < HEAD_KIND_COUNT; kind++)
		if (family->heads[kind].class != NULL)
			snprintf(known + strlen(known), sizeof known - strlen(known), "%s%s",
					 known[0] == '\0' ? "" : ", ", head_kind_name((HeadKind) kind));
	status_fail(status, STATUS_UNSUPPORTED, "a model of the family %s has no %s head",
				family->title, head_kind_name(head));
	return status_hint(status, "Its heads are %s.", known);
}

/* Whether config and head fit, and what the forward pass will need to know. */
static bool
check_head(const BertConfig *config, HeadKind head, Status *status)
{
	Activation activation;

	if ((unsigned int) head >= HEAD_KIND_COUNT)
		return status_fail(status, STATUS_INVALID_ARGUMENT, "unknown head %d", (int) head);
	if (config->family->heads[head].class == NULL)
		return refuse_head(config->family, head, status);
	if (head == HEAD_QUESTION_ANSWERING && config->num_labels != 2)
		return status_fail(status, STATUS_INVALID_ARGUMENT,
						   "a question answering head has 2 labels, not %d", config->num_labels);
	return config_validate(config, status) &&
		   activation_parse(config->hidden_act, &activation, status) &&
		   head_activation(config, head, &activation, status);
}

bool
head_activation(const BertConfig *config, HeadKind head, Activation *activation, Status *status)
{
	const HeadShape *shape = config_head_shape(config, head);
	const char *name = shape->activation;

	*activation = ACTIVATION_NONE;
	if (shape->projection == NULL)
		return true;
	if (name == NULL)
		name = config->summary_activation;
	return name[0] == '\0' || activation_parse(name, activation, status);
}

bool
predictions_activation(const BertConfig *config, Activation *activation, Status *status)
{
	const char *name = config->family->predictions.activation;

	return activation_parse(name == NULL ? config->hidden_act : name, activation, status);
}

bool
tensor_table_build(Arena *arena, const BertConfig *config, HeadKind head, TensorTable *table,
				   Status *status)
{
	size_t layers = (size_t) config->num_hidden_layers;
	size_t max_tensors;
	size_t max_blocks = layers + 3 + (size_t) config->n_dense;

	memset(table, 0, sizeof *table);
	if (!check_head(config, head, status))
		return false;
	table->family = config->family;
	table->head = head;
	max_tensors = layers * MAX_TENSORS_PER_LAYER + MAX_TENSORS_ELSEWHERE +
				  (size_t) config->n_dense * COUNT(dense_patterns);
	table->tensors = arena_alloc_array_zero(arena, max_tensors, sizeof(TensorSpec));
	table->blocks = arena_alloc_array_zero(arena, max_blocks, sizeof(BlockSpec));
	if (table->tensors == NULL || table->blocks == NULL)
		return arena_fail(arena, status, "the tensor table", max_tensors * sizeof(TensorSpec));

	if (!append_embeddings(table, config, status))
		return false;
	for (int layer = 0; layer < config_layer_blocks(config); layer++)
		if (!append_layer(table, config, layer, status))
			return false;
	/* what reads the embedding has the bare model's pooler, for who asks for it */
	if (head == HEAD_NONE || config_head_shape(config, head)->reads == READS_EMBEDDING
			? config->use_pooler && config->family->has_pooler
			: config_head_uses_pooler(config, head))
	{
		if (!append_pooler(table, config, status))
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

/* Row p of n columns: sines and cosines of p over growing periods, in the reference's order. */
static void
sinusoidal_row(size_t p, size_t n, float *out)
{
	for (size_t i = 0; i < n; i++)
	{
		double angle = (double) p / pow(10000, (double) (i - i % 2) / (double) n);

		out[i] = (float) (i % 2 == 0 ? sin(angle) : cos(angle));
	}
}

bool
tensor_initialize(const TensorSpec *tensor, const BertConfig *config, uint64_t seed, float *out,
				  const MayContinue *question, Status *status)
{
	bool padded =
		tensor->role == ROLE_WORD_EMBEDDINGS ||
		(tensor->role == ROLE_POSITION_EMBEDDINGS && config->family->positions_follow_padding);
	int padding = config_padding_token(config);
	Rng rng;

	rng_init(&rng, seed, name_stream(tensor->name));
	for (size_t i = 0; i < tensor->elements; i++)
	{
		if (tensor->init == INIT_SINUSOIDAL && i % tensor->shape[1] == 0)
			sinusoidal_row(i / tensor->shape[1], tensor->shape[1], out + i);
		else if (tensor->init != INIT_SINUSOIDAL)
			out[i] = tensor->init == INIT_NORMAL
						 ? (float) (rng_normal(&rng) * config->initializer_range)
					 : tensor->init == INIT_ONE ? 1.0f
												: 0.0f;
		if (bulk_turn(i, ASK_ELEMENTS) && !may_continue(question, status))
			return false;
	}
	if (padded && padding >= 0 && (size_t) padding < tensor->shape[0])
		memset(out + (size_t) padding * tensor->shape[1], 0, tensor->shape[1] * sizeof(float));
	return true;
}

int
served_heads(const Family *family, HeadKind head, HeadKind *served)
{
	static const HeadKind parts[] = {HEAD_MASKED_LM, HEAD_CAUSAL_LM, HEAD_NEXT_SENTENCE};
	int n = 0;

	if (head != HEAD_NONE)
		served[n++] = head;
	for (size_t i = 0; i < COUNT(parts); i++)
		if (family->heads[parts[i]].class != NULL && parts[i] != head &&
			(head == HEAD_PRETRAINING ||
			 (head_has_vocabulary(head) && head_has_vocabulary(parts[i]))))
			served[n++] = parts[i];
	return n;
}
