/* activation.h: the activation functions that kernels can compute, and their published names. */
#ifndef BERT_KERNELS_ACTIVATION_H
#define BERT_KERNELS_ACTIVATION_H

#include "core/status.h"

typedef enum Activation
{
	ACTIVATION_GELU,      /* 0.5 x (1 + erf(x / sqrt 2)) */
	ACTIVATION_GELU_TANH, /* gelu_new, gelu_pytorch_tanh, gelu_fast: the tanh form */
	ACTIVATION_RELU,
	ACTIVATION_SILU, /* silu, swish */
	ACTIVATION_TANH,
	ACTIVATION_QUICK_GELU, /* x / (1 + exp(-1.702 x)) */
	ACTIVATION_MISH,       /* x tanh(ln(1 + exp(x))) */
	ACTIVATION_NONE
} Activation;

/*
 * From a name as config.json's "hidden_act" has it; STATUS_UNSUPPORTED names those that there are.
 */
bool activation_parse(const char *name, Activation *activation, Status *status);

#endif
