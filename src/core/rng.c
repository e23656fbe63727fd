/* rng.c: Philox4x32-10. */
#include "core/rng.h"

#include <math.h>

#define PHILOX_ROUNDS 10

void
philox4x32(uint64_t seed, uint64_t stream, uint64_t position, uint32_t out[4])
{
	uint32_t key0 = (uint32_t) seed;
	uint32_t key1 = (uint32_t) (seed >> 32);
	uint32_t c0 = (uint32_t) position;
	uint32_t c1 = (uint32_t) (position >> 32);
	uint32_t c2 = (uint32_t) stream;
	uint32_t c3 = (uint32_t) (stream >> 32);

	for (int round = 0; round < PHILOX_ROUNDS; round++)
	{
		uint64_t product0 = (uint64_t) 0xD2511F53u * c0;
		uint64_t product1 = (uint64_t) 0xCD9E8D57u * c2;
		uint32_t next0 = (uint32_t) (product1 >> 32) ^ c1 ^ key0;
		uint32_t next2 = (uint32_t) (product0 >> 32) ^ c3 ^ key1;

		c0 = next0;
		c1 = (uint32_t) product1;
		c2 = next2;
		c3 = (uint32_t) product0;
		key0 += 0x9E3779B9u;
		key1 += 0xBB67AE85u;
	}
	out[0] = c0;
	out[1] = c1;
	out[2] = c2;
	out[3] = c3;
}

void
rng_init(Rng *rng, uint64_t seed, uint64_t stream)
{
	rng->seed = seed;
	rng->stream = stream;
	rng->position = 0;
	rng->left = 0;
}

uint32_t
rng_u32(Rng *rng)
{
	if (rng->left == 0)
	{
		philox4x32(rng->seed, rng->stream, rng->position++, rng->block);
		rng->left = 4;
	}
	return rng->block[4 - rng->left--];
}

uint64_t
rng_u64(Rng *rng)
{
	uint64_t low = rng_u32(rng);

	return low | (uint64_t) rng_u32(rng) << 32;
}

uint64_t
rng_below(Rng *rng, uint64_t bound)
{
	/* 2^64 mod bound: values below it would be drawn too often */
	uint64_t threshold = -bound % bound;
	uint64_t value;

	do
		value = rng_u64(rng);
	while (value < threshold);
	return value % bound;
}

double
rng_uniform(Rng *rng)
{
	return (double) (rng_u64(rng) >> 11) * 0x1p-53;
}

double
rng_normal(Rng *rng)
{
	double radius = sqrt(-2.0 * log1p(-rng_uniform(rng)));

	return radius * cos(6.283185307179586476925 * rng_uniform(rng));
}
