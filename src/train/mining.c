/* mining.c: which documents may be negatives, and the search. */
#include "train/mining.h"

#include <math.h>
#include <string.h>

typedef struct Mining
{
	const MiningData *data;
	const MiningOptions *options;
	double *limits; /* (n_anchors): a negative's score is at most that */
} Mining;

static bool
is_negative(const void *context, size_t query, size_t document, float score)
{
	const Mining *mining = context;

	return (double) score <= mining->limits[query] &&
		   (double) score >= mining->options->min_score &&
		   !relevance_has(mining->data->positives, query, (uint32_t) document);
}

/* What max_score and the margins leave to an anchor whose least alike positive has this score. */
static double
limit_of(const MiningOptions *options, double positive)
{
	double limit = options->max_score;

	if (!isnan(options->absolute_margin))
		limit = fmin(limit, positive - options->absolute_margin);
	if (!isnan(options->relative_margin))
		limit = fmin(limit, positive - fabs(positive) * options->relative_margin);
	return limit;
}

bool
mining_has_margin(const MiningOptions *options)
{
	return !isnan(options->absolute_margin) || !isnan(options->relative_margin);
}

void
mining_limits(const MiningData *data, const MiningOptions *options, const TrainKernels *kernels,
			  double *limits)
{
	bool margins = mining_has_margin(options);

	for (size_t a = 0; a < data->n_anchors; a++)
	{
		double least = INFINITY;

		for (size_t i = data->positives->starts[a]; margins && i < data->positives->starts[a + 1];
			 i++)
			least = fmin(least,
						 (double) nearest_similarity(
							 kernels, data->similarity, data->columns,
							 data->anchors + a * data->columns,
							 data->documents + data->positives->pairs[i].document * data->columns));
		limits[a] = limit_of(options, least);
	}
}

/* Takes the best ones away that range_min leaves out. */
static void
skip_best(const NearestCall *call, size_t skipped)
{
	for (size_t a = 0; a < call->n_queries; a++)
	{
		size_t left = call->counts[a] > skipped ? call->counts[a] - skipped : 0;
		Neighbour *found = call->found + a * call->k;

		memmove(found, found + skipped, left * sizeof *found);
		call->counts[a] = left;
	}
}

bool
mining_find(const MiningData *data, const MiningOptions *options, Arena *arena, MinedNegatives *out,
			const MayContinue *question, Status *status)
{
	Mining mining = {.data = data, .options = options};
	size_t wanted = options->range_min + options->num_negatives;
	NearestCall call = {.similarity = data->similarity,
						.columns = data->columns,
						.n_queries = data->n_anchors,
						.queries = data->anchors,
						.n_documents = data->n_documents,
						.documents = data->documents,
						.k = wanted < data->n_documents ? wanted : data->n_documents,
						.allowed = is_negative,
						.context = &mining,
						.pool = data->pool};

	call.kernels = train_kernels_choose("auto", status);
	if (call.kernels == NULL)
		return false;
	call.found = arena_alloc_array(arena, call.n_queries * call.k, sizeof *call.found);
	call.counts = arena_alloc_array(arena, call.n_queries, sizeof *call.counts);
	mining.limits = arena_alloc_array(arena, call.n_queries, sizeof *mining.limits);
	if (call.found == NULL || call.counts == NULL || mining.limits == NULL)
		return arena_fail(arena, status, "negatives", call.n_queries * call.k * sizeof(Neighbour));
	mining_limits(data, options, call.kernels, mining.limits);
	if (!nearest_find(&call, arena, question, status))
		return false;
	skip_best(&call, options->range_min < call.k ? options->range_min : call.k);
	*out = (MinedNegatives){call.k, call.found, call.counts};
	return true;
}
