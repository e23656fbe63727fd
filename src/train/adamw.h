/*
 * adamw.h: AdamW as transformers 4.46.3 has it (Loshchilov & Hutter, "Decoupled weight decay
 * regularization").
 *
 * - m = beta1 m + (1 - beta1) g; v = beta2 v + (1 - beta2) g^2
 * - w = w - step_size m / (sqrt(v) + epsilon), where step_size is lr, and with correct_bias
 *   lr sqrt(1 - beta2^t) / (1 - beta1^t)
 * - w = w - lr weight_decay w, for weights; not for biases and LayerNorm
 *
 * The gradient is first scaled so that the norm over all trained parameters is at most
 * max_grad_norm, as torch.nn.utils.clip_grad_norm_ does. Word rows that had no gradient in this
 * step but in an earlier one are updated with a gradient of zero; rows that never had one only
 * decay, which is what a dense update would do.
 */
#ifndef BERT_TRAIN_ADAMW_H
#define BERT_TRAIN_ADAMW_H

#include "train/network.h"

typedef struct AdamwOptions
{
	double beta1;
	double beta2;
	double epsilon;
	double weight_decay;
	double max_grad_norm; /* 0: no clipping */
	bool correct_bias;
} AdamwOptions;

typedef struct Adamw
{
	Network *network;
	AdamwOptions options;
	float *first;  /* (trained elements): m */
	float *second; /* (trained elements): v */
	uint8_t *met;  /* (V): word rows that have had a gradient; NULL when all do or none */
	float *zeros;  /* (H) */
} Adamw;

AdamwOptions adamw_default(void);

/* options: within their bounds (train/options.h). Moments start at 0. */
bool adamw_init(Adamw *adamw, Arena *arena, Network *network, const AdamwOptions *options,
				Status *status);

/* The norm over all gradients of the step. */
double adamw_grad_norm(const Adamw *adamw);

/*
 * One update with the gradients that the network holds. step: 1 for the first. grad_norm:
 * adamw_grad_norm's.
 */
void adamw_step(Adamw *adamw, int64_t step, double learning_rate, double grad_norm);

#endif
