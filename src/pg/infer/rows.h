/*
 * rows.h: texts to rows of numbers: embeddings, or logits of a head. One text or many; what is
 * computed of many together, and what is not computed again (memo.h).
 */
#ifndef BERT_PG_INFER_ROWS_H
#define BERT_PG_INFER_ROWS_H

#include "utils/array.h"

#include "pg/infer/batch.h"

/* What texts are to become: an embedding, or the logits (columns) of the model's head. */
typedef struct RowsWanted
{
	const BertModel *model; /* bound; with HEAD_NONE for embeddings */
	PoolingModes pooling;   /* of embeddings */
	bool normalize;
	Overflow overflow;     /* OVERFLOW_WINDOW: the mean over windows, before normalizing */
	SpladeSettings splade; /* weights of all words of the vocabulary, by a head that has them */
} RowsWanted;

/* Embeddings as the model's own files say they are made. */
extern RowsWanted want_embeddings(ModelHandle *handle, Overflow overflow);

/* Weights of words, for a sparse encoder; 22023 when the model is none. */
extern RowsWanted want_weights(ModelHandle *handle, Overflow overflow);

/*
 * Numbers in a row: an embedding's, a sparse one's, or the head's logits for a text. Pretraining:
 * those of its next-sentence head.
 */
extern size_t row_columns(const Call *call, const RowsWanted *wanted);

/*
 * The row (columns) of a text, or of a text and a pair (NULL for none), in the call's arena:
 * computed, or remembered from an equal one.
 */
extern float *text_row(Call *call, const RowsWanted *wanted, const InputText *input,
					   const InputText *pair);

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

/* Rows of some of the inputs; that of a NULL is not to be read. */
typedef struct TextRows
{
	size_t n_texts;
	size_t columns;
	float *rows;       /* (n_texts, columns), in the arena */
	const bool *nulls; /* (n_texts) */
} TextRows;

typedef void (*RowsTake)(void *context, Call *call, const TextRows *rows);

/*
 * Hands over the rows of many texts, in order, in groups: what is to be computed of a group is
 * about a thousand tokens; equal texts of a group are computed once. The arena is rewound after
 * each.
 */
extern void texts_to_rows(Call *call, const TextInputs *inputs, const RowsWanted *wanted,
						  RowsTake take, void *context);

/* Computes and remembers rows that will be asked for one by one; ends the call. */
extern void texts_ahead(Call *call, const RowsWanted *wanted, const TextInputs *inputs);

#endif
