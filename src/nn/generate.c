/* generate.c: greedy and sampled generation. */
#include "nn/generate.h"

#include <math.h>

#include "core/note.h"
#include "core/rng.h"
#include "nn/select.h"

static int32_t
most_probable(const float *logits, size_t n)
{
	size_t best = 0;

	for (size_t i = 1; i < n; i++)
		if (logits[i] > logits[best])
			best = i;
	return (int32_t) best;
}

/* What top-k leaves: all that score at least as high as the k-th. */
typedef struct Warped
{
	const float *scores; /* (vocab) logits over temperature */
	size_t vocab;
	float best;
	float lowest; /* kept are scores of at least this */
	size_t n_kept;
	double mass; /* sum of exp(score - best) over what is kept */
} Warped;

static Warped
warp_top_k(const float *scores, size_t vocab, size_t top_k, Candidate *candidates)
{
	Warped warped = {scores, vocab, scores[most_probable(scores, vocab)], -INFINITY, 0, 0.0};

	if (top_k > 0 && top_k < vocab)
	{
		select_largest(scores, vocab, top_k, candidates);
		warped.lowest = candidates[top_k - 1].score;
	}
	for (size_t i = 0; i < vocab; i++)
		if (scores[i] >= warped.lowest)
		{
			warped.n_kept++;
			warped.mass += exp((double) scores[i] - warped.best);
		}
	return warped;
}

/*
 * Top-p: the fewest candidates whose probabilities reach top_p, at least one. They are looked for
 * among the best few hundred first: the vocabulary is hardly ever sorted whole.
 */
static size_t
warp_top_p(const Warped *warped, float top_p, Candidate *candidates)
{
	size_t n = 0;
	size_t kept = 0;

	for (size_t wanted = 256; kept == n && n < warped->n_kept; wanted *= 8)
	{
		double before = 0.0; /* probability of the candidates before this one */

		n = select_largest(warped->scores, warped->vocab,
						   wanted < warped->n_kept ? wanted : warped->n_kept, candidates);
		for (kept = 0; kept < n && (kept == 0 || before < top_p); kept++)
			before += exp((double) candidates[kept].score - warped->best) / warped->mass;
	}
	return kept;
}

static int32_t
draw_candidate(const Candidate *candidates, size_t n, double uniform)
{
	double sum = 0.0;
	double target;

	for (size_t i = 0; i < n; i++)
		sum += exp((double) candidates[i].score - candidates[0].score);
	target = uniform * sum;
	for (size_t i = 0; i + 1 < n; i++)
	{
		target -= exp((double) candidates[i].score - candidates[0].score);
		if (target < 0.0)
			return candidates[i].id;
	}
	return candidates[n - 1].id;
}

static int32_t
draw_warped(const Warped *warped, double uniform)
{
	double target = uniform * warped->mass;

	for (size_t i = 0; i < warped->vocab; i++)
		if (warped->scores[i] >= warped->lowest)
		{
			target -= exp((double) warped->scores[i] - warped->best);
			if (target < 0.0)
				return (int32_t) i;
		}
	return most_probable(warped->scores, warped->vocab); /* rounding left a trace of mass */
}

/* scores (vocab): the logits; divided by the temperature here. */
static int32_t
sample(float *scores, size_t vocab, const GenerateOptions *options, Rng *rng, Candidate *candidates)
{
	Warped warped;

	if (options->temperature == 0.0f)
		return most_probable(scores, vocab);
	for (size_t i = 0; i < vocab; i++)
		scores[i] /= options->temperature;
	warped = warp_top_k(scores, vocab, options->top_k, candidates);
	if (options->top_p >= 1.0f)
		return draw_warped(&warped, rng_uniform(rng));
	return draw_candidate(candidates, warp_top_p(&warped, options->top_p, candidates),
						  rng_uniform(rng));
}

static bool
check_options(const BertModel *model, size_t n, const GenerateOptions *options, Status *status)
{
	size_t positions = (size_t) config_max_tokens(bert_model_config(model));

	if (bert_model_head(model) != HEAD_CAUSAL_LM)
		return status_fail(status, STATUS_INVALID_ARGUMENT,
						   "the model has no causal language model head");
	if (n == 0)
		return status_fail(status, STATUS_INVALID_ARGUMENT, "generation needs a prompt");
	if (n > positions)
		return status_fail(status, STATUS_INVALID_ARGUMENT,
						   "a prompt of %zu tokens is longer than the model's %zu positions", n,
						   positions);
	if (!(options->temperature >= 0.0f) || !isfinite(options->temperature))
		return status_fail(status, STATUS_INVALID_ARGUMENT, "the temperature must be 0 or more");
	if (!(options->top_p > 0.0f && options->top_p <= 1.0f))
		return status_fail(status, STATUS_INVALID_ARGUMENT, "top_p must be over 0 and at most 1");
	return true;
}

/* The logits (vocab) after the last token of the batch, which is read on from the cache. */
static bool
next_logits(const BertModel *model, const Batch *batch, KvCache *cache, Arena *arena,
			float **logits, const MayContinue *question, Status *status)
{
	size_t last = (size_t) batch->cu_seqlens[1] - 1;
	EncoderOutput states;
	HeadOutput output;

	if (!encoder_forward_cached(model, batch, cache, arena, &states, question, status) ||
		!head_forward(model, &(HeadInput){batch, &states, &last, 1}, arena, &output, question,
					  status))
		return false;
	*logits = output.logits;
	return true;
}

bool
generate_tokens(const GenerateRequest *request, Arena *arena, int32_t **out, size_t *n_out,
				const MayContinue *question, Status *status)
{
	const BertModel *model = request->model;
	const GenerateOptions *options = request->options;
	size_t n = request->n;
	int32_t bounds[2] = {0, (int32_t) n};
	Batch batch = {.n_sequences = 1, .cu_seqlens = bounds, .input_ids = request->prompt};
	size_t positions = (size_t) config_max_tokens(bert_model_config(model));
	size_t vocab = (size_t) bert_model_config(model)->vocab_size;
	size_t new_tokens = options->max_new_tokens;
	KvCache *cache;
	int32_t *ids;
	Candidate *candidates;
	size_t made = 0;
	Rng rng;

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
		ArenaMark mark = arena_mark(arena);
		float *logits;
		int32_t next;

		if (!next_logits(model, &batch, cache, arena, &logits, question, status))
			return false;
		next = sample(logits, vocab, options, &rng, candidates);
		arena_rewind(arena, mark);
		if (next == options->stop_id)
			break;
		ids[made] = next;
		bounds[1] = 1;
		batch.input_ids = &ids[made++];
		note_done(question, made);
	}
	*out = ids;
	*n_out = made;
	return true;
}
