/*
 * layer.h: one encoder or decoder layer: self-attention, cross-attention if the model has it,
 * feed-forward; forward and backward.
 */
#ifndef BERT_TRAIN_LAYER_H
#define BERT_TRAIN_LAYER_H

#include "train/attention.h"

typedef struct LayerParameters
{
	AttentionParameters self;
	bool has_cross;
	AttentionParameters cross;
	Linear intermediate; /* (I, H) */
	Linear output;       /* (H, I) */
	Norm norm;
	Activation activation;
} LayerParameters;

typedef struct LayerSaved
{
	AttentionSaved self;
	AttentionSaved cross;
	float *derivative;   /* (T, I): of the activation */
	float *intermediate; /* (T, I) */
	float *sum;          /* (T, H) */
	uint8_t *bits;
	float *mean; /* (T) */
	float *rstd; /* (T) */
	float *out;  /* (T, H) */
} LayerSaved;

typedef struct LayerScratch
{
	AttentionScratch attention;
	float *d_intermediate; /* (T, I) */
	float *d_hidden;       /* (T, H) */
} LayerScratch;

typedef struct LayerContext
{
	const AttentionShape *self_shape;
	const AttentionShape *cross_shape;
	const float *encoder_states; /* (T_enc, H): of cross-attention */
	float dense_dropout;         /* after the attention's output layer */
	float output_dropout;        /* after the feed-forward's */
	float probs_dropout;
	uint64_t seed; /* of the step's dropout */
	uint64_t site; /* LAYER_SITES are used from here on */
} LayerContext;

#define LAYER_SITES 8

/* One layer on one batch; the backward takes the same as the forward. */
typedef struct LayerRun
{
	const LayerParameters *parameters;
	const LayerContext *context;
	const float *x;          /* (T, H) */
	const LayerSaved *saved; /* the arrays it points to: the forward writes them */
	const LayerScratch *scratch;
} LayerRun;

/* x to saved->out. */
void train_layer_forward(Compute *compute, const LayerRun *run);

/*
 * From dy (T, H), which is overwritten, to parameter gradients and, when want_dx, dx (T, H).
 * Without want_dx dx is overwritten as scratch.
 */
void train_layer_backward(Compute *compute, const LayerRun *run, float *dy, float *dx,
						  bool want_dx);

#endif
