/*
 * sampler.h: which samples of a data set make which step.
 *
 * An epoch is a permutation that depends on (seed, epoch) alone; a step takes the next batch_size x
 * gradient_accumulation of it. Samples of the task embedding are arranged further:
 *
 * - anchor, positive and negatives: no two samples of a batch share a text, for the one's positive
 *   must not be the other's negative. A sample that would goes to a later batch, as with
 *   sentence-transformers' BatchSamplers.NO_DUPLICATES; an epoch has as many steps all the same, so
 *   that where many samples share texts, some of them wait for another epoch.
 * - one text and its class: pairs of a class stay together, or a batch might have none. Those left
 *   over come last.
 */
#ifndef BERT_TRAIN_SAMPLER_H
#define BERT_TRAIN_SAMPLER_H

#include "train/samples.h"

typedef struct Sampler Sampler;

typedef struct SamplerOptions
{
	TrainTask task;
	uint64_t seed;
	size_t batch_size;
	size_t gradient_accumulation;
} SamplerOptions;

/*
 * Reads all samples of the task embedding once. Memory comes from the arena, and stays. NULL and
 * *status on failure.
 */
Sampler *sampler_create(Arena *arena, SpillReader *reader, const SamplerOptions *options,
						const MayContinue *question, Status *status);

int64_t sampler_steps_per_epoch(const Sampler *sampler);

/* Samples first .. first + n - 1 of the epoch's order; batches as TrainSample.batch. */
typedef struct SamplerStep
{
	size_t n;
	const uint32_t *indices; /* (n) */
	const uint32_t *batches; /* (n); valid until the next call */
} SamplerStep;

/* step: 0 .. of all epochs. */
void sampler_step(Sampler *sampler, int64_t step, SamplerStep *out);

#endif
