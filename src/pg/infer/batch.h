/* batch.h: inputs encoded for the model, whole or in windows, and what computing them may take. */
#ifndef BERT_PG_INFER_BATCH_H
#define BERT_PG_INFER_BATCH_H

#include "pg/infer/input.h"

typedef enum Overflow
{
	OVERFLOW_TRUNCATE,
	OVERFLOW_WINDOW,
	OVERFLOW_ERROR,
	OVERFLOW_REFUSE /* as error, in functions without the argument */
} Overflow;

extern Overflow overflow_argument(FunctionCallInfo fcinfo, int argument);

/* Encodes an input (pair: NULL for none) with these options; counts nothing. */
extern void encode_with(Call *call, const InputText *input, const InputText *pair,
						const EncodeOptions *options, EncodeResult *encoded);
/* The same with special tokens, as the overflow argument says; counts the input. */
extern void encode_input(Call *call, const InputText *input, const InputText *pair,
						 Overflow overflow, EncodeResult *encoded);

/*
 * The words of a query whose words have weights of their own: the prompt's too, without special
 * tokens, as many as the tokenizer takes; counts the input.
 */
extern void encode_words(Call *call, const InputText *input, EncodeResult *encoded);

/* Tokens of a text, special ones and the prompt left out. */
extern size_t count_tokens(Call *call, const InputText *input);
/* Tokens of the call's prompt at the beginning of a text, special ones included. */
extern size_t count_prompt_tokens(Call *call);

/* The overlap of windows or chunks of a single text: `wanted`, or less where the model is small. */
extern int window_stride(const ModelHandle *handle, int wanted);
/* Encodes a single text in overlapping windows. */
extern void encode_windows(Call *call, const InputText *input, int stride, EncodeResult *encoded);

/* Raises 53200 with a hint when a forward pass would take more than bert.max_memory. */
extern void check_memory(Call *call, const BertModel *model, const Batch *batch,
						 const ForwardWants *wants, size_t n_rows);
/* Whether the encoder alone would be allowed to. */
extern bool memory_suffices(const BertModel *model, const Batch *batch, const ForwardWants *wants);

#endif
