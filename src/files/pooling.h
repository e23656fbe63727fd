/*
 * pooling.h: how token states become an embedding, as sentence-transformers' Pooling and Dense
 * modules say it.
 */
#ifndef BERT_FILES_POOLING_H
#define BERT_FILES_POOLING_H

#include <stdbool.h>

#include "core/status.h"

typedef enum Pooling
{
	POOLING_MEAN,
	POOLING_CLS,
	POOLING_MAX,
	POOLING_POOLER,           /* tanh(W h_cls + b); an option of a call, no model's own */
	POOLING_MEAN_SQRT_LENGTH, /* the sum over the square root of the number of tokens */
	POOLING_WEIGHTED_MEAN,    /* token i counts i + 1 times */
	POOLING_LAST_TOKEN,
	POOLING_COUNT
} Pooling;

/* Poolings whose results are put one after the other, each once. */
typedef struct PoolingModes
{
	int n; /* 1 or more */
	Pooling modes[POOLING_COUNT];
} PoolingModes;

#define POOLING_TEXT_BYTES 80 /* all of them */

const char *pooling_name(Pooling pooling);
PoolingModes pooling_single(Pooling pooling);
bool pooling_modes_have(const PoolingModes *modes, Pooling pooling);
/* Whether nothing but each sequence's first token counts. */
bool pooling_modes_read_first(const PoolingModes *modes);
/* Adds one at the end; 22023 when it is there already. */
bool pooling_modes_add(PoolingModes *modes, Pooling pooling, Status *status);
/* "mean", or "mean+max" as sentence-transformers prints it; 22023 for others. */
bool pooling_modes_parse(const char *text, PoolingModes *modes, Status *status);
void pooling_modes_print(const PoolingModes *modes, char out[POOLING_TEXT_BYTES]);

/*
 * What a Dense module does to each of its sums: the element-wise classes of torch.nn, with the
 * settings that they have when nothing is said.
 */
typedef enum DenseActivation
{
	DENSE_IDENTITY,
	DENSE_TANH,
	DENSE_RELU,
	DENSE_GELU,
	DENSE_SIGMOID,
	DENSE_SILU,
	DENSE_LEAKY_RELU,
	DENSE_ELU, /* CELU too: with alpha 1 they are the same */
	DENSE_SELU,
	DENSE_RELU6,
	DENSE_MISH,
	DENSE_SOFTPLUS,
	DENSE_SOFTSIGN,
	DENSE_HARDTANH,
	DENSE_HARDSIGMOID,
	DENSE_HARDSWISH,
	DENSE_LOG_SIGMOID,
	DENSE_TANHSHRINK,
	DENSE_ACTIVATION_COUNT
} DenseActivation;

#define DENSE_MAX 8 /* modules of a model */
#define DENSE_MAX_FEATURES 131072

/* y (out) = activation(W x (in) + b) */
typedef struct DenseModule
{
	int in_features;
	int out_features;
	bool bias;
	DenseActivation activation;
} DenseModule;

/* "2_Dense": the folder of the first one, by rule after transformer and pooling */
#define DENSE_PATH_BYTES 24
void dense_path(int module, char out[DENSE_PATH_BYTES]);

/* "torch.nn.modules.activation.Tanh" */
const char *dense_activation_class(DenseActivation activation);
/* A class of torch, or its last part; STATUS_UNSUPPORTED for others. */
bool dense_activation_parse(const char *class, DenseActivation *activation, Status *status);

#endif
