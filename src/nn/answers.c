/* answers.c: windows of a context, and from start and end logits to spans. */
#include "nn/answers.h"

#include <math.h>
#include <string.h>

#include "nn/loss.h"

bool
answer_has_room(const Tokenizer *tokenizer, size_t question_tokens, int max_length)
{
	size_t special = (size_t) tokenizer_special_count(tokenizer, true);

	return question_tokens + special < (size_t) max_length;
}

bool
answer_encode(const Tokenizer *tokenizer, const AnswerInput *input, Arena *arena,
			  EncodeResult *encoded, const MayContinue *question, Status *status)
{
	EncodeOptions options = {.special_tokens = true,
							 .truncation = TRUNCATE_ONLY_SECOND,
							 .max_length = input->max_length,
							 .overflow = true};
	size_t count;
	int room;

	if (!tokenizer_count(tokenizer, arena, input->question, input->question_length, question,
						 &count, status))
		return false;
	if (!answer_has_room(tokenizer, count, input->max_length))
		return status_fail(status, STATUS_LIMIT,
						   "a question of %zu tokens leaves no room for the context in the %d "
						   "tokens that are read at once",
						   count, input->max_length);
	room = input->max_length - tokenizer_special_count(tokenizer, true) - (int) count;
	options.stride = input->stride < room ? input->stride : room / 2;
	return tokenizer_encode(tokenizer, arena,
							&(EncodeInput){input->question, input->question_length, input->context,
										   input->context_length},
							&options, question, encoded, status);
}

/* Widens the token's range to its word, as far as the window holds it. */
static void
word_range(const AnswerWindow *window, size_t token, uint32_t *start, uint32_t *end)
{
	int32_t word = window->words[token];
	size_t first = token;
	size_t last = token;

	while (first > 0 && window->words[first - 1] == word)
		first--;
	while (last + 1 < window->n && window->words[last + 1] == word)
		last++;
	*start = window->starts[first];
	*end = window->ends[last];
}

/* Puts an answer in its place; equal ones stay in the order they came in. */
static void
insert(AnswerSearch *search, size_t place, const Answer *answer)
{
	while (place > 0 && search->found[place - 1].log_score < answer->log_score)
		place--;
	memmove(search->found + place + 1, search->found + place,
			(search->n_found - place) * sizeof(Answer));
	search->found[place] = *answer;
	if (search->n_found < search->options.top_k)
		search->n_found++;
}

/* Keeps the best top_k spans, each range once. */
static void
keep_span(AnswerSearch *search, double log_score, uint32_t start, uint32_t end)
{
	Answer answer = {
		.score = (float) exp(log_score), .log_score = log_score, .start = start, .end = end};

	for (size_t i = 0; i < search->n_found; i++)
		if (search->found[i].start == start && search->found[i].end == end)
		{
			if (search->found[i].log_score >= log_score)
				return;
			memmove(search->found + i, search->found + i + 1,
					(search->n_found - i - 1) * sizeof(Answer));
			search->n_found--;
			break;
		}
	insert(search, search->n_found, &answer);
}

/*
 * log of the probabilities of column 0 or 1 of logits (n, 2) over the tokens that may be in an
 * answer, and [CLS]; values: room for n floats.
 */
static void
log_probabilities(const AnswerWindow *window, const float *logits, size_t column, float *values,
				  double *out)
{
	size_t n = 0;
	double total;

	for (size_t t = 0; t < window->n; t++)
		if (t == 0 || window->words[t] >= 0)
			values[n++] = logits[2 * t + column];
	total = log_sum_exp(values, n);
	for (size_t t = 0; t < window->n; t++)
		out[t] = logits[2 * t + column] - total;
}

bool
answer_search_begin(AnswerSearch *search, const AnswerOptions *options, Arena *arena,
					Status *status)
{
	if (options->top_k < 1 || options->max_answer_tokens < 1)
		return status_fail(status, STATUS_INVALID_ARGUMENT,
						   "the numbers of answers and of answer tokens must be at least 1");
	*search = (AnswerSearch){.options = *options, .arena = arena, .null_score = INFINITY};
	search->found = arena_alloc_array(arena, options->top_k + 1, sizeof(Answer));
	if (search->found == NULL)
		return arena_fail(arena, status, "answers", options->top_k * sizeof(Answer));
	return true;
}

/* All spans that begin at token s. */
static void
take_spans(AnswerSearch *search, const AnswerWindow *window, size_t s, const double *start,
		   const double *end)
{
	for (size_t e = s;
		 e < window->n && e - s < search->options.max_answer_tokens && window->words[e] >= 0; e++)
	{
		double log_score = start[s] + end[e];
		uint32_t first;
		uint32_t last;
		uint32_t unused;

		if (search->n_found == search->options.top_k &&
			log_score <= search->found[search->n_found - 1].log_score)
			continue;
		word_range(window, s, &first, &unused);
		word_range(window, e, &unused, &last);
		keep_span(search, log_score, first, last);
	}
}

bool
answer_search_window(AnswerSearch *search, const AnswerWindow *window, const float *logits,
					 const MayContinue *question, Status *status)
{
	ArenaMark mark = arena_mark(search->arena);
	float *values = arena_alloc_array(search->arena, window->n, sizeof *values);
	double *start = arena_alloc_array(search->arena, window->n, sizeof *start);
	double *end = arena_alloc_array(search->arena, window->n, sizeof *end);

	if (values == NULL || start == NULL || end == NULL)
		return arena_fail(search->arena, status, "answers", 2 * window->n * sizeof *start);
	log_probabilities(window, logits, 0, values, start);
	log_probabilities(window, logits, 1, values, end);
	search->null_score = fmin(search->null_score, start[0] + end[0]);
	for (size_t s = 1; s < window->n; s++)
	{
		if (window->words[s] < 0)
			continue;
		if (!may_continue(question, status))
			return false;
		take_spans(search, window, s, start, end);
	}
	arena_rewind(search->arena, mark);
	return true;
}

void
answer_search_null(AnswerSearch *search)
{
	Answer none = {
		.score = (float) exp(search->null_score), .log_score = search->null_score, .is_null = true};

	insert(search, search->n_found, &none);
}

typedef struct WindowSearch
{
	AnswerSearch search;
	const EncodeResult *encoded;
	const MayContinue *question;
} WindowSearch;

static bool
take_window(void *context, size_t index, const float *logits, size_t n_columns, Status *status)
{
	WindowSearch *search = context;
	const Encoding *encoding = &search->encoded->windows[index];
	AnswerWindow window = {encoding->n, encoding->starts, encoding->ends, encoding->words};

	for (size_t t = 0; t < encoding->n; t++)
		if (encoding->sequences[t] != 1)
			encoding->words[t] = -1;
	return answer_search_window(&search->search, &window, logits, search->question, status);
}

bool
answer_question(const AnswerRequest *request, Arena *arena, Answer **answers, size_t *n_answers,
				const MayContinue *question, Status *status)
{
	const BertModel *model = request->model;
	const EncodeResult *encoded = request->encoded;
	const AnswerOptions *options = request->options;
	WindowSearch search = {.encoded = encoded, .question = question};

	if (bert_model_head(model) != HEAD_QUESTION_ANSWERING)
		return status_fail(status, STATUS_INVALID_ARGUMENT,
						   "the model has no question answering head");
	if (!answer_search_begin(&search.search, options, arena, status) ||
		!windows_forward(model, encoded, take_window, &search, arena, question, status))
		return false;
	if (options->null_answer)
		answer_search_null(&search.search);
	*answers = search.search.found;
	*n_answers = search.search.n_found;
	return true;
}
