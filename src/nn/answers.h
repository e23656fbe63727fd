/*
 * answers.h: extractive question answering: the best spans over all windows of a context, scored as
 * the reference's QuestionAnsweringPipeline does: start and end probabilities over the context's
 * tokens (and [CLS]) of each window, multiplied. Spans are widened to whole words. Unlike the
 * reference, a span found twice is given once.
 */
#ifndef BERT_NN_ANSWERS_H
#define BERT_NN_ANSWERS_H

#include "nn/windows.h"

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
	uint32_t start; /* characters of the context; 0, 0 for the null answer */
	uint32_t end;
	bool is_null;
} Answer;

/*
 * encoded: question as text, context as pair, with overflow windows. answers: best first, at most
 * top_k, none when the context has no tokens.
 */
bool answer_question(const BertModel *model, const EncodeResult *encoded,
					 const AnswerOptions *options, Arena *arena, Answer **answers,
					 size_t *n_answers, const MayContinue *question, Status *status);

#endif
