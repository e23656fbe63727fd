/*
 * rng.h: a counter-based random generator, Philox4x32-10 (Salmon, Moraes, Dror, Shaw: "Parallel
 * random numbers: as easy as 1, 2, 3", SC 2011).
 *
 * The value is a pure function of (seed, stream, position): any thread may draw any value in any
 * order, and a resumed run draws what the undisturbed one would have drawn. Used for weight
 * initialization, dropout, masking, shuffling and sampling.
 */
#ifndef BERT_CORE_RNG_H
#define BERT_CORE_RNG_H

#include <stdint.h>

/* Four random words for one (seed, stream, position). */
void philox4x32(uint64_t seed, uint64_t stream, uint64_t position, uint32_t out[4]);

/* A sequence on top of it, for code that draws one value after the other. */
typedef struct Rng
{
	uint64_t seed;
	uint64_t stream;
	uint64_t position; /* of the next block */
	uint32_t block[4];
	int left; /* words of block not yet given out */
} Rng;

void rng_init(Rng *rng, uint64_t seed, uint64_t stream);
uint32_t rng_u32(Rng *rng);
uint64_t rng_u64(Rng *rng);
/* uniform in [0, bound), without bias; bound > 0 */
uint64_t rng_below(Rng *rng, uint64_t bound);
double rng_uniform(Rng *rng); /* [0, 1), 53 bits */
/* mean 0, standard deviation 1 (Box-Muller, one of the pair) */
double rng_normal(Rng *rng);

#endif
