/* mean_layer.c: weights of a layer that computes a mean. */
#include "train/mean_layer.h"

#include <math.h>
#include <string.h>

bool
mean_layer_fits(const BertConfig *config)
{
	return !config->family->shared_layers && !config->family->attention_biased &&
		   !config->is_decoder;
}

void
mean_layer_fill(const TensorSpec *tensor, float *out)
{
	float diagonal = tensor->role == ROLE_VALUE_WEIGHT              ? 1.0f
					 : tensor->role == ROLE_ATTENTION_OUTPUT_WEIGHT ? MEAN_LAYER_SCALE
																	: 0.0f;
	bool ones =
		tensor->role == ROLE_ATTENTION_NORM_WEIGHT || tensor->role == ROLE_OUTPUT_NORM_WEIGHT;

	memset(out, 0, tensor->elements * sizeof *out);
	for (size_t i = 0; diagonal != 0 && i < tensor->shape[0]; i++)
		out[i * tensor->shape[1] + i] = diagonal;
	for (size_t i = 0; ones && i < tensor->elements; i++)
		out[i] = 1.0f;
}

void
mean_layer_state(size_t columns, double epsilon, const float *mean, float *out)
{
	double scale = (double) MEAN_LAYER_SCALE;
	double sum = 0;
	double squares = 0;

	for (size_t i = 0; i < columns; i++)
		sum += (double) mean[i];
	sum /= (double) columns;
	for (size_t i = 0; i < columns; i++)
		squares += ((double) mean[i] - sum) * ((double) mean[i] - sum);
	squares = squares / (double) columns * scale * scale;
	for (size_t i = 0; i < columns; i++)
		out[i] = (float) (((double) mean[i] - sum) * scale / sqrt(squares + epsilon));
}
