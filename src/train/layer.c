/* layer.c: a layer from its attention blocks and its feed-forward part. */
#include "train/layer.h"

static AttentionDropout
attention_dropout(const LayerContext *context, uint64_t offset)
{
	AttentionDropout dropout = {.probs = context->probs_dropout,
								.hidden = context->hidden_dropout,
								.seed = context->seed,
								.site = context->site + offset};

	return dropout;
}

void
train_layer_forward(Compute *compute, const LayerParameters *parameters,
					const LayerContext *context, const float *x, LayerSaved *saved,
					LayerScratch *scratch)
{
	size_t m = (size_t) context->self_shape->q_offsets[context->self_shape->n_sequences];
	AttentionDropout self = attention_dropout(context, 0);
	AttentionDropout cross = attention_dropout(context, 2);
	Dropout dropout = train_dropout_make(saved->bits, context->hidden_dropout, context->seed,
										 context->site + 4, 0);
	const float *attended = saved->self.out;

	train_attention_forward(compute, &parameters->self, context->self_shape, x, x, &self,
							&saved->self, &scratch->attention);
	if (parameters->has_cross && context->encoder_states != NULL)
	{
		train_attention_forward(compute, &parameters->cross, context->cross_shape, attended,
								context->encoder_states, &cross, &saved->cross,
								&scratch->attention);
		attended = saved->cross.out;
	}
	train_linear_forward(compute, &parameters->intermediate, m, attended, saved->derivative);
	train_activation_forward(compute, parameters->activation, m, parameters->intermediate.out,
							 saved->derivative, saved->intermediate);
	train_linear_forward(compute, &parameters->output, m, saved->intermediate, saved->sum);
	train_norm_forward(compute, &parameters->norm, &dropout, m, attended, saved->sum, saved->out,
					   saved->mean, saved->rstd);
}

void
train_layer_backward(Compute *compute, const LayerParameters *parameters,
					 const LayerContext *context, const float *x, const LayerSaved *saved,
					 LayerScratch *scratch, float *dy, float *dx, bool want_dx)
{
	size_t m = (size_t) context->self_shape->q_offsets[context->self_shape->n_sequences];
	bool crossed = parameters->has_cross && context->encoder_states != NULL;
	AttentionDropout self = attention_dropout(context, 0);
	AttentionDropout cross = attention_dropout(context, 2);
	Dropout dropout = train_dropout_make(saved->bits, context->hidden_dropout, context->seed,
										 context->site + 4, 0);
	const float *attended = crossed ? saved->cross.out : saved->self.out;
	float *d_attended = dy; /* LayerNorm's backward works in place */
	float *d_output;

	d_output =
		train_norm_backward(compute, &parameters->norm, &dropout, m, dy, saved->sum, saved->mean,
							saved->rstd, d_attended, scratch->d_hidden, parameters->output.d_bias);
	train_linear_backward_weight(compute, &parameters->output, m, saved->intermediate, d_output);
	train_linear_backward_input(compute, &parameters->output, m, d_output, false,
								scratch->d_intermediate);
	train_activation_backward(compute, m, parameters->intermediate.out, saved->derivative,
							  scratch->d_intermediate, parameters->intermediate.d_bias);
	train_linear_backward_weight(compute, &parameters->intermediate, m, attended,
								 scratch->d_intermediate);
	train_linear_backward_input(compute, &parameters->intermediate, m, scratch->d_intermediate,
								true, d_attended);
	if (crossed)
	{
		train_attention_backward(compute, &parameters->cross, context->cross_shape, saved->self.out,
								 context->encoder_states, &cross, &saved->cross,
								 &scratch->attention, d_attended, scratch->d_hidden, true);
		d_attended = scratch->d_hidden;
	}
	train_attention_backward(compute, &parameters->self, context->self_shape, x, x, &self,
							 &saved->self, &scratch->attention, d_attended, dx, want_dx);
}
