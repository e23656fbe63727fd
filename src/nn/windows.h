/*
 * windows.h: long inputs, read in overlapping windows and put together again.
 *
 * tokenizer_encode with overflow cuts a text into windows; neighbours share `stride` tokens. A text
 * token that several windows hold is taken from the one where it has most context on its poorer
 * side, so that every token counts exactly once. A Batch for a few windows at a time is made here
 * too.
 */
#ifndef BERT_NN_WINDOWS_H
#define BERT_NN_WINDOWS_H

#include "nn/model.h"
#include "tokenizer/tokenizer.h"

typedef struct WindowToken
{
	uint32_t window;   /* index into the windows */
	uint32_t position; /* in that window, template tokens included */
} WindowToken;

typedef struct WindowMap
{
	size_t n_tokens;     /* of the text, template's special tokens not counted */
	WindowToken *tokens; /* (n_tokens) */
} WindowMap;

/*
 * Maps the tokens of a single text (no pair) to windows. stride: that of the encoding's options.
 */
bool windows_map(const EncodeResult *encoded, size_t stride, Arena *arena, WindowMap *map,
				 Status *status);

/* A batch of windows first .. first+count-1, one sequence each, in the arena. */
bool windows_batch(const EncodeResult *encoded, size_t first, size_t count, Arena *arena,
				   Batch *batch, Status *status);

/* How many windows from first on fit into max_tokens tokens; at least one. */
size_t windows_in_budget(const EncodeResult *encoded, size_t first, size_t max_tokens);

/* in place: each of m rows of n becomes its softmax */
void softmax_rows(size_t m, size_t n, float *x);

/*
 * Runs the model over all windows, a few at a time, and hands each window's logits (tokens,
 * columns) to `take`, in order. For heads with logits per token: token classification, question
 * answering.
 */
typedef bool (*WindowTake)(void *context, size_t window, const float *logits, size_t n_columns,
						   Status *status);

bool windows_forward(const BertModel *model, const EncodeResult *encoded, WindowTake take,
					 void *context, Arena *arena, const MayContinue *question, Status *status);

#endif
