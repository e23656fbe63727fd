/*
 * params.h: what a bound model holds: views into the prepared images, one struct per class of the
 * reference. Inside src/nn only; everybody else uses model.h.
 */
#ifndef BERT_NN_PARAMS_H
#define BERT_NN_PARAMS_H

#include "nn/model.h"

typedef struct LinearParams
{
	PackedMatrix weight; /* (out, in) */
	const float *bias;   /* (out) */
} LinearParams;

typedef struct NormParams
{
	size_t n;            /* H, or E in the embeddings and after a language model's transform */
	const float *weight; /* (n) */
	const float *bias;   /* (n) */
} NormParams;

/* Embedding rows in the precision's form: fp32, bf16, or int8 with a scale per row. */
typedef struct RowsParams
{
	Precision precision;
	size_t n_rows;
	size_t n_columns;
	const void *rows;    /* (n_rows, n_columns) */
	const float *scales; /* (n_rows), int8 only */
} RowsParams;

typedef struct EmbeddingsParams
{
	RowsParams words;       /* (V, E) */
	const float *positions; /* (P, E) */
	const float *types;     /* (types, E) or NULL */
	NormParams norm;
	LinearParams projection;     /* (H, E); without panels where E is H */
	const float *attention_bias; /* (buckets, heads) for all layers, or NULL */
} EmbeddingsParams;

typedef struct LayerParams
{
	size_t n_heads;                /* left after pruning */
	LinearParams query_key_value;  /* (3A, H), A = n_heads * head_size */
	const float *distance;         /* (2P - 1, head_size) or NULL */
	LinearParams attention_output; /* (H, A) */
	NormParams attention_norm;
	LinearParams cross_query;     /* (H, H); all cross_*: decoders with cross-attention only */
	LinearParams cross_key_value; /* (2H, H) */
	LinearParams cross_output;    /* (H, H) */
	NormParams cross_norm;
	LinearParams intermediate; /* (I, H) */
	LinearParams output;       /* (H, I) */
	NormParams output_norm;
} LayerParams;

typedef struct HeadParams
{
	LinearParams transform; /* (E, H) */
	Activation transform_act;
	NormParams transform_norm;
	LinearParams decoder;          /* (V, E) */
	LinearParams seq_relationship; /* (2, H) */
	LinearParams projection;       /* (H, H), of heads that have one */
	Activation projection_act;
	LinearParams classifier; /* (labels | 1 | 2, H) */
} HeadParams;

struct BertModel
{
	BertConfig config;
	Activation hidden_act;
	HeadKind head;
	Precision precision;
	const Kernels *kernels;
	bool has_pooler;
	size_t hidden_size;    /* H */
	size_t embedding_size; /* E */
	size_t head_size;
	EmbeddingsParams embeddings;
	LayerParams *layers; /* (num_hidden_layers) */
	LinearParams pooler; /* (H, H) */
	HeadParams task;
	LinearParams dense[DENSE_MAX]; /* (out, in) of each module of config.dense */
};

/* Fills the parameters of one block from its image, after checking the image against the table. */
bool prepared_bind(BertModel *model, const TensorTable *table, int block,
				   const PreparedImage *image, Status *status);

/* One row of embeddings, widened to fp32, added to out (n_columns) or, if first, put there. */
void embedding_row_put(const RowsParams *params, size_t row, float *out);

#endif
