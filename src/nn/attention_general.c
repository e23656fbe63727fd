/*
 * attention_general.c: attention with masks, relative positions, causal order, other keys than the queries' own,
 * and its probabilities as an output. Plain and exact; the common case goes through the kernels' fast path.
 */
#include <float.h>
#include <string.h>

#include "nn/forward.h"

/* Dot products between two questions. */
#define DOTS_PER_STEP 200000

/* scores (n_keys) of one query of one head, scaled, before the mask */
static void
score_row(const Kernels *kernels, const GeneralAttention *call, size_t head, size_t query, float *scores)
{
	size_t		n = call->head_size;
	const float *q = call->q + query * call->q_ld + head * n;	/* (head_size) */

	for (size_t key = 0; key < call->n_keys; key++)
	{
		const float *k = call->k + key * call->k_ld + head * n; /* (head_size) */
		float		score = kernels->dot(n, q, k);

		if (call->positions != POSITION_ABSOLUTE)
		{
			const float *distance = call->distance + (call->past + query + call->max_positions - 1 - key) * n;	/* (head_size) */

			score += kernels->dot(n, q, distance);
			if (call->positions == POSITION_RELATIVE_KEY_QUERY)
				score += kernels->dot(n, k, distance);
		}
		scores[key] = score * call->scale;
	}
}

/*
 * The reference adds the lowest float to the scores of hidden keys, which absorbs them: they get no weight, and a
 * query that may see no key at all sees all of them alike.
 */
static void
mask_row(const GeneralAttention *call, size_t query, float *scores)
{
	if (call->key_mask != NULL)
		for (size_t key = 0; key < call->n_keys; key++)
			if (call->key_mask[key] == 0)
				scores[key] = -FLT_MAX;
	if (call->causal)
		for (size_t key = call->past + query + 1; key < call->n_keys; key++)
			scores[key] = -FLT_MAX;
}

bool
attention_general(Workspace *workspace, const GeneralAttention *call, Status *status)
{
	const Kernels *kernels = workspace->kernels;
	size_t		dots = 0;

	for (size_t head = 0; head < call->n_heads; head++)
		for (size_t query = 0; query < call->n_queries; query++)
		{
			float	   *context = call->context + query * call->context_ld + head * call->head_size;	/* (head_size) */
			float	   *scores = workspace->scores; /* (n_keys) */

			if (dots == 0 && !may_continue(workspace->question, status))
				return false;
			dots = dots + call->n_keys < DOTS_PER_STEP ? dots + call->n_keys : 0;
			if (call->probs != NULL)
				scores = call->probs + (head * call->n_queries + query) * call->n_keys;
			score_row(kernels, call, head, query, scores);
			mask_row(call, query, scores);
			kernels->softmax(1, call->n_keys, scores, call->n_keys);
			memset(context, 0, call->head_size * sizeof(float));
			for (size_t key = 0; key < call->n_keys; key++)
				if (scores[key] != 0.0f)
					kernels->axpy(call->head_size, scores[key], call->v + key * call->v_ld + head * call->head_size, context);
		}
	return true;
}
