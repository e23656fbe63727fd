/*
 * features.h: outputs of the frozen layers, kept by sample, so that a head on a frozen encoder
 * computes the encoder once per text and not once per epoch.
 *
 * Every sample's features are computed in a batch of its own, so they are a function of the sample
 * and the frozen weights alone: whether they were kept or made again, in which epoch and next to
 * which other samples, changes no bit.
 */
#ifndef BERT_TRAIN_FEATURES_H
#define BERT_TRAIN_FEATURES_H

#include "train/batches.h"

typedef struct Features Features;

/* first_rows: only each sequence's first token is kept. budget: bytes that may be kept. */
Features *features_create(Arena *arena, Network *network, bool first_rows, size_t budget,
						  Status *status);

/*
 * Fills hidden, (T, H) or (B, H), for the samples of the assembled batch, from what is kept or by
 * computing it.
 */
bool features_fill(Features *features, const TrainSample *samples, size_t n,
				   const AssembledBatch *assembled, float *hidden, const MayContinue *question,
				   Status *status);

/* Samples kept, and looked up in vain. */
uint64_t features_kept(const Features *features);
uint64_t features_computed(const Features *features);

#endif
