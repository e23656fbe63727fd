/*
 * embedding_step.h: the gradients of one batch of embeddings within a limit of memory.
 *
 * A loss with in-batch negatives needs all embeddings of a batch at once, but not all activations:
 * where these do not fit, the embeddings are made piece by piece, the loss gives their gradients,
 * and each piece is run again, forward and backward (Gao et al. 2021, "Scaling deep contrastive
 * learning batch size under memory limited setup"). Loss and gradients are those of the whole
 * batch; a third more is computed. Every piece has dropout masks of its own, the same in both runs.
 */
#ifndef BERT_TRAIN_EMBEDDING_STEP_H
#define BERT_TRAIN_EMBEDDING_STEP_H

#include "train/network.h"

/*
 * run: with backward, training and an embedding loss, whose arena also takes the embeddings.
 * limit: bytes of activations, 0 for none; a piece is one text at least, whose layers are
 * recomputed if it does not fit. *pieces: how many there were.
 */
bool train_embedding_step(Network *network, const NetworkRun *run, size_t limit, HeadResult *result,
						  size_t *pieces, Status *status);

#endif
