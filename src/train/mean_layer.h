/*
 * mean_layer.h: a layer that puts the mean of a text's token states where heads look, at its first
 * token.
 *
 * Its queries and keys are zero, so every token sees all tokens alike; values pass as they are and
 * are multiplied by MEAN_LAYER_SCALE, beside which the residual is small; the feed-forward part
 * adds nothing. What is left is the mean, made to mean 0 and variance 1 by the LayerNorm: a layer
 * like any other, which every library computes.
 */
#ifndef BERT_TRAIN_MEAN_LAYER_H
#define BERT_TRAIN_MEAN_LAYER_H

#include "nn/tensor_table.h"

#define MEAN_LAYER_SCALE 256.0f

/* Not where layers share weights, attention has a bias of its own, or tokens see only the left. */
bool mean_layer_fits(const BertConfig *config);

/* A tensor of the layer. */
void mean_layer_fill(const TensorSpec *tensor, float *out);

/* The layer's output (columns) for a text whose tokens have this mean, without the residual. */
void mean_layer_state(size_t columns, double epsilon, const float *mean, float *out);

#endif
