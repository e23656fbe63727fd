/* answers.c: from start and end logits to spans. */
#include "nn/answers.h"

#include <math.h>
#include <string.h>

/* What the reference puts in place of the logits of tokens that cannot be in an answer. */
#define HIDDEN_LOGIT (-10000.0f)

typedef struct Search
{
	const EncodeResult *encoded;
	AnswerOptions options;
	const MayContinue *question;
	Answer *found; /* (top_k + 1), best first */
	size_t n_found;
	double null_score;
	float *start; /* (tokens of the longest window) probabilities */
	float *end;
} Search;

/* Widens the token's range to its word, as far as the window holds it. */
static void
word_range(const Encoding *window, size_t token, uint32_t *start, uint32_t *end)
{
	int32_t word = window->words[token];
	size_t first = token;
	size_t last = token;

	while (first > 0 && window->sequences[first - 1] == 1 && window->words[first - 1] == word)
		first--;
	while (last + 1 < window->n && window->sequences[last + 1] == 1 &&
		   window->words[last + 1] == word)
		last++;
	*start = window->starts[first];
	*end = window->ends[last];
}

/* Keeps the best top_k spans, each range once; equal scores stay in the order they came in. */
static void
keep_span(Search *search, float score, uint32_t start, uint32_t end)
{
	size_t place = search->n_found;

	for (size_t i = 0; i < search->n_found; i++)
		if (search->found[i].start == start && search->found[i].end == end)
		{
			if (search->found[i].score >= score)
				return;
			memmove(search->found + i, search->found + i + 1,
					(search->n_found - i - 1) * sizeof(Answer));
			search->n_found--;
			place = search->n_found;
			break;
		}
	while (place > 0 && search->found[place - 1].score < score)
		place--;
	memmove(search->found + place + 1, search->found + place,
			(search->n_found - place) * sizeof(Answer));
	search->found[place].score = score;
	search->found[place].start = start;
	search->found[place].end = end;
	search->found[place].is_null = false;
	if (search->n_found < search->options.top_k)
		search->n_found++;
}

/* Column of logits (n, 2) as probabilities over the tokens that may be in an answer, and [CLS]. */
static void
probabilities(const Encoding *window, const float *logits, size_t column, float *out)
{
	for (size_t t = 0; t < window->n; t++)
		out[t] = window->sequences[t] == 1 || t == 0 ? logits[2 * t + column] : HIDDEN_LOGIT;
	softmax_rows(1, window->n, out);
}

static bool
take_window(void *context, size_t index, const float *logits, size_t n_columns, Status *status)
{
	Search *search = context;
	const Encoding *window = &search->encoded->windows[index];

	probabilities(window, logits, 0, search->start);
	probabilities(window, logits, 1, search->end);
	search->null_score = fmin(search->null_score, (double) search->start[0] * search->end[0]);
	for (size_t s = 1; s < window->n; s++)
	{
		if (window->sequences[s] != 1)
			continue;
		if (!may_continue(search->question, status))
			return false;
		for (size_t e = s; e < window->n && e - s < search->options.max_answer_tokens &&
						   window->sequences[e] == 1;
			 e++)
		{
			float score = search->start[s] * search->end[e];
			uint32_t start;
			uint32_t end;
			uint32_t unused;

			if (search->n_found == search->options.top_k &&
				score <= search->found[search->n_found - 1].score)
				continue;
			word_range(window, s, &start, &unused);
			word_range(window, e, &unused, &end);
			keep_span(search, score, start, end);
		}
	}
	return true;
}

static void
add_null(Search *search)
{
	size_t place = search->n_found;

	while (place > 0 && search->found[place - 1].score < search->null_score)
		place--;
	memmove(search->found + place + 1, search->found + place,
			(search->n_found - place) * sizeof(Answer));
	memset(&search->found[place], 0, sizeof(Answer));
	search->found[place].score = (float) search->null_score;
	search->found[place].is_null = true;
	if (search->n_found < search->options.top_k)
		search->n_found++;
}

bool
answer_question(const BertModel *model, const EncodeResult *encoded, const AnswerOptions *options,
				Arena *arena, Answer **answers, size_t *n_answers, const MayContinue *question,
				Status *status)
{
	Search search = {
		.encoded = encoded, .options = *options, .question = question, .null_score = INFINITY};
	size_t longest = 0;

	if (bert_model_head(model) != HEAD_QUESTION_ANSWERING)
		return status_fail(status, STATUS_INVALID_ARGUMENT,
						   "the model has no question answering head");
	if (options->top_k < 1 || options->max_answer_tokens < 1)
		return status_fail(status, STATUS_INVALID_ARGUMENT,
						   "the numbers of answers and of answer tokens must be at least 1");
	for (size_t w = 0; w < encoded->n_windows; w++)
		longest = encoded->windows[w].n > longest ? encoded->windows[w].n : longest;
	search.found = arena_alloc_array(arena, options->top_k + 1, sizeof(Answer));
	search.start = arena_alloc_array(arena, longest, sizeof(float));
	search.end = arena_alloc_array(arena, longest, sizeof(float));
	if (search.found == NULL || search.start == NULL || search.end == NULL)
		return arena_fail(arena, status, "answers", options->top_k * sizeof(Answer));
	if (!windows_forward(model, encoded, take_window, &search, arena, question, status))
		return false;
	if (options->null_answer)
		add_null(&search);
	*answers = search.found;
	*n_answers = search.n_found;
	return true;
}
