/* generate.c: greedy and sampled generation. */
#include "nn/generate.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/rng.h"

typedef struct Candidate
{
	float		logit;
	int32_t		id;
} Candidate;

static int
compare_candidates(const void *a, const void *b)
{
	const Candidate *x = a;
	const Candidate *y = b;

	if (x->logit != y->logit)
		return x->logit < y->logit ? 1 : -1;
	return (x->id > y->id) - (x->id < y->id);
}

static int32_t
most_probable(const float *logits, size_t n)
{
	size_t		best = 0;

	for (size_t i = 1; i < n; i++)
		if (logits[i] > logits[best])
			best = i;
	return (int32_t) best;
}

/*
 * How many of the sorted candidates are left: all that score as high as the k-th, then the fewest whose probability
 * reaches top_p, at least one.
 */
static size_t
candidates_left(Candidate *candidates, size_t n, const GenerateOptions *options)
{
	double		sum = 0.0;
	double		tail = 0.0;

	if (options->top_k > 0 && options->top_k < n)
	{
		size_t		kept = options->top_k;

		while (kept < n && candidates[kept].logit == candidates[options->top_k - 1].logit)
			kept++;
		n = kept;
	}
	if (options->top_p >= 1.0f)
		return n;
	for (size_t i = 0; i < n; i++)
		sum += exp((double) candidates[i].logit - candidates[0].logit);
	while (n > 1)
	{
		tail += exp((double) candidates[n - 1].logit - candidates[0].logit) / sum;
		if (tail > 1.0 - options->top_p)
			break;
		n--;
	}
	return n;
}

static int32_t
sample(const float *logits, size_t vocab, const GenerateOptions *options, Rng *rng, Candidate *candidates)
{
	double		sum = 0.0;
	double		target;
	size_t		n;

	if (options->temperature == 0.0f)
		return most_probable(logits, vocab);
	for (size_t i = 0; i < vocab; i++)
	{
		candidates[i].logit = logits[i] / options->temperature;
		candidates[i].id = (int32_t) i;
	}
	qsort(candidates, vocab, sizeof(Candidate), compare_candidates);
	n = candidates_left(candidates, vocab, options);
	for (size_t i = 0; i < n; i++)
		sum += exp((double) candidates[i].logit - candidates[0].logit);
	target = rng_uniform(rng) * sum;
	for (size_t i = 0; i + 1 < n; i++)
	{
		target -= exp((double) candidates[i].logit - candidates[0].logit);
		if (target < 0.0)
			return candidates[i].id;
	}
	return candidates[n - 1].id;
}

static bool
check_options(const BertModel *model, size_t n, const GenerateOptions *options, Status *status)
{
	size_t		positions = (size_t) bert_model_config(model)->max_position_embeddings;

	if (bert_model_head(model) != HEAD_CAUSAL_LM)
		return status_fail(status, STATUS_INVALID_ARGUMENT, "the model has no causal language model head");
	if (n == 0)
		return status_fail(status, STATUS_INVALID_ARGUMENT, "generation needs a prompt");
	if (n > positions)
		return status_fail(status, STATUS_INVALID_ARGUMENT, "a prompt of %zu tokens is longer than the model's %zu positions", n, positions);
	if (!(options->temperature >= 0.0f) || !isfinite(options->temperature))
		return status_fail(status, STATUS_INVALID_ARGUMENT, "the temperature must be 0 or more");
	if (!(options->top_p > 0.0f && options->top_p <= 1.0f))
		return status_fail(status, STATUS_INVALID_ARGUMENT, "top_p must be over 0 and at most 1");
	return true;
}

/* The logits (vocab) after the last of n tokens, which are read on from the cache. */
static bool
next_logits(const BertModel *model, const int32_t *ids, size_t n, KvCache *cache, Arena *arena, float **logits, const MayContinue *question, Status *status)
{
	int32_t		bounds[2] = {0, (int32_t) n};
	Batch		batch = {.n_sequences = 1, .cu_seqlens = bounds, .input_ids = ids};
	size_t		last = n - 1;
	EncoderOutput states;
	HeadOutput	output;

	if (!encoder_forward_cached(model, &batch, cache, arena, &states, question, status) ||
		!head_forward(model, &batch, &states, &last, 1, arena, &output, question, status))
		return false;
	*logits = output.logits;
	return true;
}

bool
generate_tokens(const BertModel *model, const int32_t *prompt, size_t n, const GenerateOptions *options, Arena *arena,
				int32_t **out, size_t *n_out, const MayContinue *question, Status *status)
{
	size_t		positions = (size_t) bert_model_config(model)->max_position_embeddings;
	size_t		vocab = (size_t) bert_model_config(model)->vocab_size;
	size_t		new_tokens = options->max_new_tokens;
	KvCache    *cache;
	int32_t    *ids;
	Candidate  *candidates;
	size_t		made = 0;
	Rng			rng;

	if (!check_options(model, n, options, status))
		return false;
	if (new_tokens > positions - n)
		new_tokens = positions - n;
	cache = kv_cache_create(model, n + new_tokens, 0, arena, status);
	if (cache == NULL)
		return false;
	ids = arena_alloc_array(arena, new_tokens, sizeof(int32_t));
	candidates = arena_alloc_array(arena, vocab, sizeof(Candidate));
	if (ids == NULL || candidates == NULL)
		return arena_fail(arena, status, "generation", vocab * sizeof(Candidate));
	rng_init(&rng, options->seed, 0);
	while (made < new_tokens)
	{
		ArenaMark	mark = arena_mark(arena);
		float	   *logits;
		int32_t		next;

		if (!next_logits(model, made == 0 ? prompt : &ids[made - 1], made == 0 ? n : 1, cache, arena, &logits, question, status))
			return false;
		next = sample(logits, vocab, options, &rng, candidates);
		arena_rewind(arena, mark);
		if (next == options->stop_id)
			break;
		ids[made++] = next;
	}
	*out = ids;
	*n_out = made;
	return true;
}
