/* splade.h: weights of words from a masked language model (Formal et al., "SPLADE v2", 2021). */
#ifndef BERT_NN_SPLADE_H
#define BERT_NN_SPLADE_H

#include "files/sentence.h"
#include "nn/model.h"

/*
 * Whether the words of queries have weights of their own (SparseStaticEmbedding), which are kept as
 * a Dense module that makes them of the number 1.
 */
static inline bool
splade_has_query_weights(const BertConfig *config)
{
	return config->n_dense == 1 && config->dense[0].in_features == 1 &&
		   config->dense[0].out_features == config->vocab_size;
}

/*
 * out (vocab): of each word that the tokens (n) are, once or often, its weight, else 0. The model
 * has such weights.
 */
bool splade_weigh_query(const BertModel *model, const int32_t *tokens, size_t n, Arena *arena,
						float *out, Status *status);

/* Rows of logits that splade_forward computes at once. */
#define SPLADE_ROWS 32

/*
 * out (B, vocab): of each sequence the greatest, or the sum, over its tokens, special ones
 * included, of log(1 + relu(logit)). states: of the batch, with what head_wants(model) says. The
 * model has a head with a vocabulary, else STATUS_INVALID_ARGUMENT. Scratch memory comes from the
 * arena.
 */
bool splade_forward(const BertModel *model, const Batch *batch, const EncoderOutput *states,
					const SpladeSettings *settings, Arena *arena, float *out, Status *status);

#endif
