/* layer.c: a layer from its attention blocks and its feed-forward part. */
#include "train/layer.h"

static AttentionDropout
attention_dropout(const LayerContext *context, uint64_t offset)
{
	AttentionDropout dropout = {.probs = context->probs_dropout,
								.hidden = context->dense_dropout,
								.seed = context->seed,
								.site = context->site + offset};

	return dropout;
}

static bool
has_cross_attention(const LayerRun *run)
{
	return run->parameters->has_cross && run->context->encoder_states != NULL;
}

static AttentionRun
self_attention(const LayerRun *run)
{
	return (AttentionRun){.parameters = &run->parameters->self,
						  .shape = run->context->self_shape,
						  .x = run->x,
						  .states = run->x,
						  .dropout = attention_dropout(run->context, 0),
						  .saved = &run->saved->self,
						  .scratch = &run->scratch->attention};
}

static AttentionRun
cross_attention(const LayerRun *run)
{
	return (AttentionRun){.parameters = &run->parameters->cross,
						  .shape = run->context->cross_shape,
						  .x = run->saved->self.out,
						  .states = run->context->encoder_states,
						  .dropout = attention_dropout(run->context, 2),
						  .saved = &run->saved->cross,
						  .scratch = &run->scratch->attention};
}

/* The LayerNorm at the layer's end. */
static NormCall
output_norm(const LayerRun *run)
{
	const LayerContext *context = run->context;
	const LayerSaved *saved = run->saved;

	return (NormCall){.norm = &run->parameters->norm,
					  .dropout = train_dropout_make(saved->bits, context->output_dropout,
													context->seed, context->site + 4, 0),
					  .m =
						  (size_t) context->self_shape->q_offsets[context->self_shape->n_sequences],
					  .sum = saved->sum,
					  .mean = saved->mean,
					  .rstd = saved->rstd};
}

void
train_layer_forward(Compute *compute, const LayerRun *run)
{
	const LayerParameters *parameters = run->parameters;
	const LayerSaved *saved = run->saved;
	AttentionRun self = self_attention(run);
	NormCall norm = output_norm(run);
	const float *attended = saved->self.out;

	train_attention_forward(compute, &self);
	if (has_cross_attention(run))
	{
		AttentionRun cross = cross_attention(run);

		train_attention_forward(compute, &cross);
		attended = saved->cross.out;
	}
	train_linear_forward(compute, &parameters->intermediate, norm.m, attended, saved->derivative);
	train_activation_forward(compute, parameters->activation, norm.m, parameters->intermediate.out,
							 saved->derivative, saved->intermediate);
	train_linear_forward(compute, &parameters->output, norm.m, saved->intermediate, saved->sum);
	train_norm_forward(compute, &norm, attended, saved->out);
}

/* The feed-forward part: from dy to its parameter gradients; dy becomes the gradient of attended.
 */
static void
feed_forward_backward(Compute *compute, const LayerRun *run, const float *attended, float *dy)
{
	const LayerParameters *parameters = run->parameters;
	const LayerSaved *saved = run->saved;
	float *d_intermediate = run->scratch->d_intermediate;
	NormCall norm = output_norm(run);
	float *d_output = train_norm_backward(compute, &norm, dy, dy, run->scratch->d_hidden,
										  parameters->output.d_bias);

	train_linear_backward_weight(compute, &parameters->output, norm.m, saved->intermediate,
								 d_output);
	train_linear_backward_input(compute, &parameters->output, norm.m, d_output, false,
								d_intermediate);
	train_activation_backward(compute, norm.m, parameters->intermediate.out, saved->derivative,
							  d_intermediate, parameters->intermediate.d_bias);
	train_linear_backward_weight(compute, &parameters->intermediate, norm.m, attended,
								 d_intermediate);
	train_linear_backward_input(compute, &parameters->intermediate, norm.m, d_intermediate, true,
								dy);
}

void
train_layer_backward(Compute *compute, const LayerRun *run, float *dy, float *dx, bool want_dx)
{
	bool crossed = has_cross_attention(run);
	AttentionRun self = self_attention(run);

	feed_forward_backward(compute, run, crossed ? run->saved->cross.out : run->saved->self.out, dy);
	if (crossed)
	{
		AttentionRun cross = cross_attention(run);

		train_attention_backward(compute, &cross, dy, run->scratch->d_hidden, true);
		dy = run->scratch->d_hidden;
	}
	train_attention_backward(compute, &self, dy, dx, want_dx);
}
