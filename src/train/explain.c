/* explain.c: a forward for the class, a forward and backward for its logit. */
#include "train/explain.h"

#include <string.h>

#include "nn/select.h"

/* Only a head that gives one row of logits for a sequence has a prediction to explain. */
static bool
check_request(const ExplainRequest *request, Status *status)
{
	HeadKind head = request->table->head;

	if (!head_is_pooled(head) || head_has_vocabulary(head))
	{
		status_fail(status, STATUS_UNSUPPORTED, "predictions of a %s head cannot be explained",
					head_kind_name(head));
		return status_hint(
			status, "Heads for sequence classification, next sentence and multiple choice can.");
	}
	if (request->batch->n_sequences != 1 && head != HEAD_MULTIPLE_CHOICE)
		return status_fail(status, STATUS_INVALID_ARGUMENT,
						   "one sequence is explained at a time, not %zu",
						   request->batch->n_sequences);
	return true;
}

bool
explain_prediction(const ExplainRequest *request, Arena *arena, float *attributions,
				   size_t *predicted, const MayContinue *question, Status *status)
{
	const BertConfig *config = request->config;
	const TensorTable *table = request->table;
	const Batch *batch = request->batch;
	const TrainKernels *kernels = train_kernels_choose("auto", status);
	size_t width = (size_t) config_embedding_size(config);
	size_t tokens = (size_t) batch->cu_seqlens[batch->n_sequences];
	NetworkRun run = {.batch = batch, .question = question};
	Compute compute;
	NetworkSetup setup = {.config = config,
						  .table = table,
						  .compute = &compute,
						  .weights = request->weights,
						  .part = TRAIN_NOTHING};
	Network network;
	HeadResult result;
	float *d_logits;
	float *gradient;

	if (!check_request(request, status) || kernels == NULL ||
		!compute_init(&compute, arena, kernels, NULL, network_widest(table), status))
		return false;
	gradient = arena_alloc_array(arena, tokens * width, sizeof(float));
	d_logits = arena_alloc_array_zero(
		arena, batch->n_sequences * (size_t) (config->num_labels > 2 ? config->num_labels : 2),
		sizeof(float));
	if (gradient == NULL || d_logits == NULL)
		return arena_fail(arena, status, "attributions", tokens * width * sizeof(float));
	if (!network_init(&network, &setup, arena, arena, status) ||
		!network_run(&network, &run, &result, status))
		return false;
	*predicted = select_best(result.logits, result.n_rows * result.n_columns);
	d_logits[*predicted] = 1;
	run.d_logits = d_logits;
	run.backward = true;
	run.d_embeddings = gradient;
	network_begin_step(&network);
	if (!network_run(&network, &run, &result, status))
		return false;
	for (size_t t = 0; t < tokens; t++)
		attributions[t] =
			(float) kernels->dot(width, gradient + t * width,
								 network.embeddings.word + (size_t) batch->input_ids[t] * width);
	return true;
}
