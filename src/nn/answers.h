/*
 * answers.h: extractive question answering: the one place that knows in which windows a context is
 * read, which spans compete, and when "no answer" wins. bert.answer, bert.evaluate, a job's
 * evaluations and its training windows all come here.
 *
 * Spans are scored as the reference's QuestionAnsweringPipeline does: start and end probabilities
 * over the context's tokens (and [CLS]) of each window, multiplied. They are compared by the
 * logarithm, which is not rounded to 0. Spans are widened to whole words. Unlike the reference, a
 * span found twice is given once.
 */
#ifndef BERT_NN_ANSWERS_H
#define BERT_NN_ANSWERS_H

#include "nn/windows.h"

/* The reference pipeline's: tokens of a window, tokens that neighbours share, tokens of an answer.
 */
#define ANSWER_WINDOW 384
#define ANSWER_STRIDE 128
#define ANSWER_MAX_TOKENS 30

typedef struct AnswerInput
{
	const char *question; /* UTF-8 */
	size_t question_length;
	const char *context;
	size_t context_length;
	int max_length; /* tokens of a window, special ones included */
	int stride;     /* half the room is taken where the stride is not smaller than it */
} AnswerInput;

/* The question whole, the context in windows. STATUS_LIMIT when the question leaves no room. */
bool answer_encode(const Tokenizer *tokenizer, const AnswerInput *input, Arena *arena,
				   EncodeResult *encoded, const MayContinue *question, Status *status);

/* True when a question of so many tokens leaves room for a context. */
bool answer_has_room(const Tokenizer *tokenizer, size_t question_tokens, int max_length);

typedef struct AnswerOptions
{
	size_t top_k;             /* >= 1 */
	size_t max_answer_tokens; /* >= 1 */
	/* "no answer" competes too, with start x end of [CLS] in the window that says so least */
	bool null_answer;
} AnswerOptions;

typedef struct Answer
{
	float score;
	double log_score; /* what answers are sorted by */
	uint32_t start;   /* characters of the context; 0, 0 for the null answer */
	uint32_t end;
	bool is_null;
} Answer;

typedef struct AnswerRequest
{
	const BertModel *model;
	const EncodeResult *encoded; /* answer_encode's; words of what is no context become -1 */
	const AnswerOptions *options;
} AnswerRequest;

/*
 * answers: best first, at most top_k, none when the context has no tokens.
 */
bool answer_question(const AnswerRequest *request, Arena *arena, Answer **answers,
					 size_t *n_answers, const MayContinue *question, Status *status);

/* The search itself, for callers that have each window's logits. */
typedef struct AnswerSearch
{
	AnswerOptions options;
	Arena *arena;
	Answer *found; /* (top_k + 1), best first */
	size_t n_found;
	double null_score; /* log; infinite before the first window */
} AnswerSearch;

/* One window: where its tokens lie, and the words of the context's; -1 for all others. */
typedef struct AnswerWindow
{
	size_t n;
	const uint32_t *starts; /* (n) characters */
	const uint32_t *ends;
	const int32_t *words; /* (n) */
} AnswerWindow;

bool answer_search_begin(AnswerSearch *search, const AnswerOptions *options, Arena *arena,
						 Status *status);
/* logits (n, 2): start, end */
bool answer_search_window(AnswerSearch *search, const AnswerWindow *window, const float *logits,
						  const MayContinue *question, Status *status);
/* Lets "no answer" compete with what was found. */
void answer_search_null(AnswerSearch *search);

#endif
