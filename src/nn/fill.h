/* fill.h: what the language model heads say about a text: words for its masks, and how surprising
 * it is. */
#ifndef BERT_NN_FILL_H
#define BERT_NN_FILL_H

#include "nn/windows.h"

typedef struct Fill
{
	size_t mask; /* which mask of the text, 0 for the first */
	int32_t token_id;
	float score;       /* softmax over the vocabulary */
	const char *token; /* NUL-terminated */
	/* the text with this mask filled; other masks stay, as in the reference */
	const char *sequence;
} Fill;

typedef struct FillRequest
{
	const BertModel *model;
	const Tokenizer *tokenizer;
	const Encoding *encoded; /* one window */
	size_t top_k;
} FillRequest;

/*
 * top_k proposals for every mask, best first, mask after mask.
 * STATUS_INVALID_ARGUMENT when the text has no mask. A top_k beyond the vocabulary gives all of it.
 */
bool fill_masks(const FillRequest *request, Arena *arena, Fill **fills, size_t *n_fills,
				const MayContinue *question, Status *status);

typedef struct PerplexityRequest
{
	const BertModel *model;
	const Tokenizer *tokenizer;
	const EncodeResult *encoded;
	size_t stride; /* the encoding's */
} PerplexityRequest;

/*
 * exp of the mean negative log probability of each token of the text when it alone is masked
 * (Salazar et al., "Masked Language Model Scoring", ACL 2020). Long texts: each token in the window
 * with most context. NaN for a text without tokens.
 */
bool pseudo_perplexity(const PerplexityRequest *request, Arena *arena, double *perplexity,
					   const MayContinue *question, Status *status);

#endif
