/*
 * network.h: the whole model as training sees it: fp32 weights in table order, gradients beside
 * them, a workspace for one batch's activations, forward and backward.
 *
 * Weights are one flat array, the blocks of the tensor table one after the other. What is trained
 * is always a suffix of it (everything; everything but the embeddings; the last N layers with
 * pooler and head; pooler and head), so gradients and moments cover that suffix only. Layers below
 * it run without dropout and keep nothing.
 *
 * Activations are kept in fp32 for the backward; with `recompute` only each layer's input is kept
 * and its forward is run again, bit for bit the same (docs/training.md has the formula of the
 * memory). The workspace is one allocation that grows to the largest batch seen.
 */
#ifndef BERT_TRAIN_NETWORK_H
#define BERT_TRAIN_NETWORK_H

#include "nn/loss.h"
#include "train/embedding_loss.h"
#include "train/layer.h"
#include "train/pooling.h"

typedef enum TrainPart
{
	TRAIN_NOTHING, /* gradients of inputs only */
	TRAIN_HEAD,    /* pooler and head */
	TRAIN_TOP,     /* the last top_layers layers, pooler and head */
	TRAIN_ALL
} TrainPart;

typedef struct EmbeddingParameters
{
	size_t vocab;
	float *word;     /* (V, E), E = norm.n */
	float *position; /* (P, E); added for absolute positions only */
	float *type;     /* (types, E) or NULL */
	float *d_word;   /* NULL: frozen */
	float *d_position;
	float *d_type;
	Norm norm;
	Linear projection; /* (H, E); without a weight where E is H */
} EmbeddingParameters;

typedef struct HeadParameters
{
	HeadReads reads;
	Linear projection; /* (H, H): the pooler, or the head's own dense layer; or none */
	Activation projection_act;
	Linear classifier;  /* the classifier, qa_outputs or seq_relationship */
	float dropout;      /* before the classifier */
	bool dropout_first; /* and before the projection */
	Linear transform;   /* (E, H) */
	Activation transform_act;
	Norm transform_norm;
	Linear decoder; /* (V, E); weight: the word embeddings when tied */
} HeadParameters;

/*
 * Word rows with a gradient in this step; only used when the decoder does not make all rows dense.
 */
typedef struct WordRows
{
	uint32_t *stamps; /* (V): the step in which the row was last listed */
	uint32_t stamp;
	size_t n;
	uint32_t *rows; /* (V) */
} WordRows;

typedef struct Network
{
	const BertConfig *config;
	Activation hidden_act;
	const TensorTable *table;
	Compute *compute;
	float *weights;   /* (table->elements) */
	float *gradients; /* (table->elements - frozen_elements), or NULL */
	size_t frozen_elements;
	int frozen_layers; /* layers 0 .. frozen_layers-1 are not trained */
	int dropout_from;  /* the first layer with dropout in training; 0: the embeddings too */
	bool embeddings_trained;
	bool cross_used;  /* a batch had encoder states */
	bool dense_words; /* a trained tied decoder gives every word row a gradient */
	float hidden_dropout;
	float probs_dropout;
	EmbeddingParameters embeddings;
	LayerParameters *layers;
	HeadParameters head;
	SentenceParameters sentence; /* of a model without a head */
	WordRows word_rows;
	Arena *workspace; /* its whole content is one allocation */
	ArenaMark workspace_mark;
	ArenaMark workspace_used; /* after the allocation */
	void *workspace_bytes;
	size_t workspace_size;
} Network;

typedef struct NetworkSetup
{
	const BertConfig *config;
	const TensorTable *table;
	Compute *compute;
	float *weights; /* (table->elements) */
	TrainPart part;
	int top_layers; /* of TRAIN_TOP: 1 .. num_hidden_layers */
	bool freeze_embeddings;
	bool frozen_dropout; /* dropout in layers that are not trained too */
	double dropout;      /* negative: the config's own probabilities */
	/* a model without a head gives embeddings; NULL: token states alone */
	const PoolingModes *pooling;
	bool normalize; /* embeddings get length 1 */
} NetworkSetup;

/*
 * Binds weights, and allocates gradients in the arena unless part is TRAIN_NOTHING. workspace: an
 * arena in which nothing else is allocated from here on.
 */
bool network_init(Network *network, const NetworkSetup *setup, Arena *arena, Arena *workspace,
				  Status *status);

/* Where a block or a tensor begins in the flat array. */
size_t network_block_offset(const TensorTable *table, int block);
size_t network_tensor_offset(const TensorTable *table, const TensorSpec *tensor);

/* The most columns whose sums over rows the network needs: for compute_init. */
size_t network_widest(const TensorTable *table);

/*
 * True for parameters that no forward uses (absolute positions of a relative model): the optimizer
 * leaves them alone.
 */
bool network_tensor_unused(const Network *network, const TensorSpec *tensor);

/*
 * Gradients are cleared where the backward adds to them. Call before the first micro-batch of a
 * step.
 */
void network_begin_step(Network *network);

/* What a run of a model without a head makes of its embeddings. */
typedef struct EmbeddingRun
{
	const size_t *skip;        /* (B) or NULL: tokens at each beginning that are not pooled */
	const EmbeddingLoss *loss; /* NULL: none */
	const EmbeddingExamples *examples;
	double weight; /* of the loss's gradient */
	Arena *arena;  /* of the loss */
} EmbeddingRun;

typedef struct HeadResult
{
	double loss;    /* mean over what the run counts; NaN when that is nothing */
	size_t count;   /* labels of this batch that count */
	size_t correct; /* language models: of n_rows, the most probable token was right */
	/* logits (n_rows, n_columns), or embeddings (B, n_columns); not for language models */
	size_t n_rows;
	size_t n_columns;
	float *logits;
	float *next_sentence_logits; /* (B, 2) for pretraining */
} HeadResult;

typedef struct NetworkRun
{
	const Batch *batch;
	/* (T, H) output of the frozen layers, or NULL: compute them */
	const float *start_hidden;
	/* start_hidden is (B, H): first tokens; the head alone is trained and reads no others */
	bool first_rows_only;
	bool training; /* dropout */
	bool backward;
	bool recompute;             /* keep layer inputs only */
	uint64_t seed;              /* of the dropout masks */
	const HeadTargets *targets; /* NULL: logits only */
	/* what loss and gradient are a mean over; NULL: the batch's own labels */
	const LossCounts *counts;
	float *d_embeddings; /* (T, E) or NULL: receives the gradient of the embeddings' sum */
	/* in place of a loss: gradient of the head's logits (attributions), or of the embeddings */
	const float *d_logits;
	const EmbeddingRun *embedding; /* of a model without a head */
	const LossSettings *loss;      /* of training; NULL: the plain losses */
	const MayContinue *question;
} NetworkRun;

/* The loss that a run with targets asks for. */
LossCall network_loss_call(const Network *network, const NetworkRun *run);

/* One batch through the model. Results lie in the workspace until the next run. */
bool network_run(Network *network, const NetworkRun *run, HeadResult *result, Status *status);

/* The frozen layers alone: *hidden (T, H) lies in the workspace until the next run. */
bool network_encode_frozen(Network *network, const Batch *batch, const float **hidden,
						   const MayContinue *question, Status *status);

/* Bytes of workspace that a run takes. */
bool network_memory(const Network *network, const NetworkRun *run, size_t *bytes, Status *status);

#endif
