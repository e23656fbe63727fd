/* prune.h: takes attention heads out of a model in memory, as the reference's prune_heads does. */
#ifndef BERT_NN_PRUNE_H
#define BERT_NN_PRUNE_H

#include "nn/tensor_table.h"

/*
 * The config with more heads pruned. Heads are counted as in the unpruned model; pruning one twice
 * is no error. Every layer keeps at least one head (STATUS_INVALID_ARGUMENT).
 */
bool config_prune_heads(Arena *arena, const BertConfig *config, const PrunedHeads *prune,
						int n_prune, BertConfig *out, Status *status);

/*
 * A layer's block for the config after pruning, from the block for the config before. Blocks of
 * other kinds do not change. from, to: the tables of both configs, for the same head; out:
 * to->blocks[block].elements floats.
 */
void prune_layer(const TensorTable *from, const BertConfig *from_config, const TensorTable *to,
				 const BertConfig *to_config, int block, const float *data, float *out);

#endif
