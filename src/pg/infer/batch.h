/*
 * batch.h: inputs encoded for the model, one or many, whole or in windows, and what is computed of
 * many together.
 */
#ifndef BERT_PG_INFER_BATCH_H
#define BERT_PG_INFER_BATCH_H

#include "utils/array.h"

#include "pg/infer/input.h"

typedef enum Overflow
{
	OVERFLOW_TRUNCATE,
	OVERFLOW_WINDOW,
	OVERFLOW_ERROR,
	OVERFLOW_REFUSE /* as error, in functions without the argument */
} Overflow;

extern Overflow overflow_argument(FunctionCallInfo fcinfo, int argument);

/*
 * Encodes an input (pair: NULL for none) with its special tokens, as the overflow argument says;
 * counts it.
 */
extern void encode_input(Call *call, const InputText *input, const InputText *pair,
						 Overflow overflow, EncodeResult *encoded);

/* The overlap of windows or chunks of a single text: `wanted`, or less where the model is small. */
extern int window_stride(const ModelHandle *handle, int wanted);
/* Encodes a single text in overlapping windows. */
extern void encode_windows(Call *call, const InputText *input, int stride, EncodeResult *encoded);

/*
 * Inputs of one group that is computed together; text i has the windows first_window[i] ..
 * first_window[i + 1] - 1, none if it is NULL.
 */
typedef struct TextGroup
{
	size_t n_texts;
	const size_t *first_window;
	EncodeResult encoded;
} TextGroup;

typedef void (*GroupTake)(void *context, Call *call, const TextGroup *group);

/* Many inputs; at most one of prefix and pairs is given. */
typedef struct TextInputs
{
	int n;
	const Datum *values; /* (n) text */
	const bool *nulls;   /* (n) */
	const InputText
		*prefix;            /* the first text of every pair, the values being the second; or NULL */
	const Datum *pairs;     /* (n) the second texts, the values being the first; or NULL */
	const bool *pair_nulls; /* (n) inputs without a second text */
} TextInputs;

/* The elements of a text[], without pairs. */
extern void inputs_of_array(ArrayType *array, TextInputs *inputs);
/* Adds second texts; 2202E when there are not as many as first ones. */
extern void pairs_of_array(ArrayType *array, TextInputs *inputs);

/*
 * Encodes many texts and hands them over in groups of a few thousand tokens, in order. The arena is
 * rewound after each group.
 */
extern void texts_in_groups(Call *call, const TextInputs *inputs, Overflow overflow, GroupTake take,
							void *context);

/* Embeddings (texts, H) of a group, in the arena. */
extern float *group_embeddings(Call *call, const BertModel *model, const TextGroup *group,
							   Pooling pooling, bool normalize);
/*
 * Logits (texts, columns) of a head that gives one row per sequence; averaged over windows.
 * Pretraining: its next-sentence head.
 */
extern float *group_logits(Call *call, const BertModel *model, const TextGroup *group,
						   size_t *columns);
/* A group of one text. */
extern TextGroup single_group(const EncodeResult *encoded, size_t first_window[2]);

/* Raises 53200 with a hint when a forward pass would take more than bert.max_memory. */
extern void check_memory(Call *call, const BertModel *model, const Batch *batch,
						 const ForwardWants *wants, size_t n_rows);

#endif
