/*
 * tensor_table.h: the one list of parameters.
 *
 * Derived from a config and a head, it names every parameter once, with shape, place,
 * initialization and weight decay. Import, export, random initialization, gradients, optimizer
 * state, key reports and the sharding into blocks walk this table; there is no second list. Within
 * a block tensors lie in table order as fp32, without gaps; a layer has the query, key and value
 * weights next to each other, (3A, H), and then their biases, (3A), A = heads left * head size;
 * cross-attention likewise.
 *
 * Names are those of the published checkpoints of the family's class of the head
 * ("bert.encoder.layer.0.attention.self.query.weight", "classifier.weight"). HEAD_NONE uses the
 * same names: the "bert." prefix is added or taken away when files are read and written. Tied
 * tensors (the MLM decoder's weight and bias) are not parameters of their own and not listed.
 * Dense modules of sentence-transformers, which have files of their own, are named by the folders
 * that these have by rule ("2_Dense.linear.weight").
 * Roles are the same in all families. Layers that share their weights are listed once, as the block
 * of layer config_layer_block.
 */
#ifndef BERT_NN_TENSOR_TABLE_H
#define BERT_NN_TENSOR_TABLE_H

#include "core/arena.h"
#include "files/family.h"
#include "kernels/activation.h"

#define TENSOR_NAME_LENGTH 96

typedef enum BlockKind
{
	BLOCK_EMBEDDINGS,
	BLOCK_LAYER,  /* one per layer with weights of its own */
	BLOCK_POOLER, /* for heads that use it, and for HEAD_NONE when config->use_pooler */
	BLOCK_HEAD,   /* one kind of head; absent for HEAD_NONE */
	BLOCK_DENSE   /* one per Dense module, whatever the head */
} BlockKind;

typedef enum TensorInit
{
	INIT_NORMAL, /* mean 0, standard deviation initializer_range */
	INIT_ZERO,
	INIT_ONE,
	INIT_SINUSOIDAL /* rows of sines and cosines of their number */
} TensorInit;

typedef enum TensorRole
{
	ROLE_WORD_EMBEDDINGS,
	ROLE_POSITION_EMBEDDINGS,
	ROLE_TYPE_EMBEDDINGS,
	ROLE_EMBEDDINGS_NORM_WEIGHT,
	ROLE_EMBEDDINGS_NORM_BIAS,
	ROLE_EMBEDDINGS_PROJECTION_WEIGHT, /* (H, E) */
	ROLE_EMBEDDINGS_PROJECTION_BIAS,
	ROLE_ATTENTION_BIAS, /* (buckets of distances, heads), for all layers */
	ROLE_QUERY_WEIGHT,
	ROLE_QUERY_BIAS,
	ROLE_KEY_WEIGHT,
	ROLE_KEY_BIAS,
	ROLE_VALUE_WEIGHT,
	ROLE_VALUE_BIAS,
	/* relative positions: (2 max_position_embeddings - 1, head_size) */
	ROLE_DISTANCE_EMBEDDING,
	ROLE_ATTENTION_OUTPUT_WEIGHT,
	ROLE_ATTENTION_OUTPUT_BIAS,
	ROLE_ATTENTION_NORM_WEIGHT,
	ROLE_ATTENTION_NORM_BIAS,
	ROLE_CROSS_QUERY_WEIGHT,
	ROLE_CROSS_QUERY_BIAS,
	ROLE_CROSS_KEY_WEIGHT,
	ROLE_CROSS_KEY_BIAS,
	ROLE_CROSS_VALUE_WEIGHT,
	ROLE_CROSS_VALUE_BIAS,
	ROLE_CROSS_DISTANCE_EMBEDDING,
	ROLE_CROSS_OUTPUT_WEIGHT,
	ROLE_CROSS_OUTPUT_BIAS,
	ROLE_CROSS_NORM_WEIGHT,
	ROLE_CROSS_NORM_BIAS,
	ROLE_INTERMEDIATE_WEIGHT,
	ROLE_INTERMEDIATE_BIAS,
	ROLE_OUTPUT_WEIGHT,
	ROLE_OUTPUT_BIAS,
	ROLE_OUTPUT_NORM_WEIGHT,
	ROLE_OUTPUT_NORM_BIAS,
	ROLE_POOLER_WEIGHT,
	ROLE_POOLER_BIAS,
	ROLE_TRANSFORM_WEIGHT, /* cls.predictions.transform.dense */
	ROLE_TRANSFORM_BIAS,
	ROLE_TRANSFORM_NORM_WEIGHT,
	ROLE_TRANSFORM_NORM_BIAS,
	ROLE_DECODER_BIAS,   /* cls.predictions.bias */
	ROLE_DECODER_WEIGHT, /* listed only when tie_word_embeddings is false */
	ROLE_SEQ_RELATIONSHIP_WEIGHT,
	ROLE_SEQ_RELATIONSHIP_BIAS,
	ROLE_PROJECTION_WEIGHT, /* a head's own dense layer before its last one */
	ROLE_PROJECTION_BIAS,
	ROLE_CLASSIFIER_WEIGHT, /* sequence, token, multiple choice; qa_outputs */
	ROLE_CLASSIFIER_BIAS,
	ROLE_DENSE_WEIGHT,
	ROLE_DENSE_BIAS, /* not every module has one */
	ROLE_COUNT
} TensorRole;

typedef struct TensorSpec
{
	char name[TENSOR_NAME_LENGTH];
	TensorRole role;
	int rank; /* 1 or 2 */
	size_t shape[2];
	size_t elements;
	TensorInit init;
	bool weight_decay; /* no: biases and LayerNorm */
	int block;         /* index into blocks */
	size_t offset;     /* floats from the block's start */
} TensorSpec;

typedef struct BlockSpec
{
	BlockKind kind;
	int layer;       /* for BLOCK_LAYER; for BLOCK_DENSE the module; else -1 */
	size_t elements; /* floats */
	int first_tensor;
	int n_tensors;
} BlockSpec;

typedef struct TensorTable
{
	const Family *family;
	HeadKind head;
	int n_tensors;
	TensorSpec *tensors;
	int n_blocks;
	BlockSpec *blocks; /* embeddings, layers, pooler, head, Dense modules: in this order */
	size_t elements;   /* floats of the whole model */
} TensorTable;

/* STATUS_INVALID_ARGUMENT where config and head do not fit; sizes are checked. */
bool tensor_table_build(Arena *arena, const BertConfig *config, HeadKind head, TensorTable *table,
						Status *status);

/* NULL if absent */
const TensorSpec *tensor_table_find(const TensorTable *table, const char *name);
/* layer: -1 outside layers */
const TensorSpec *tensor_table_role(const TensorTable *table, TensorRole role, int layer);
/* -1 if absent */
int tensor_table_block(const TensorTable *table, BlockKind kind, int layer);

/* True when the table lists a pooler: what a stored model's use_pooler says. */
bool tensor_table_has_pooler(const TensorTable *table);

/*
 * True for the heads that give one row of logits for a sequence, not counting what they say of its
 * tokens: pretraining, next_sentence, sequence_classification, multiple_choice.
 */
bool head_is_pooled(HeadKind head);
/* True for the heads whose logits are over the vocabulary: pretraining, masked_lm, causal_lm. */
bool head_has_vocabulary(HeadKind head);
/*
 * served (HEAD_KIND_COUNT at most): the heads that a model of the family with this head can be used
 * with, HEAD_NONE not counted; returns how many
 */
int served_heads(const Family *family, HeadKind head, HeadKind *served);

/* The activations of a head's own dense layer, and of the language-model head's. */
bool head_activation(const BertConfig *config, HeadKind head, Activation *activation,
					 Status *status);
bool predictions_activation(const BertConfig *config, Activation *activation, Status *status);

/* Attention heads that the layer has left after pruning. */
int config_layer_heads(const BertConfig *config, int layer);

/*
 * Fills one tensor as the reference initializes it. The values depend on (seed, tensor's name)
 * alone. The padding row of the word embeddings is zero, as in the reference. False with
 * STATUS_CANCELLED when told to stop.
 */
bool tensor_initialize(const TensorSpec *tensor, const BertConfig *config, uint64_t seed,
					   float *out, const MayContinue *question, Status *status);

#endif
