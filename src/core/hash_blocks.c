/*
 * hash_blocks.c: SHA-256 with the SHA extensions of x86 CPUs: five to six times as fast as portable
 * C, and all that is stored of a model goes through it.
 */
#include "core/hash_blocks.h"

#if defined(__x86_64__)

#include <cpuid.h>
#include <immintrin.h>

#define TARGET __attribute__((target("sha,sse4.1")))

/* The state as the instructions have it, the first named in the highest lane. */
typedef struct State
{
	__m128i abef;
	__m128i cdgh;
} State;

/* Four rounds with the message words (4) and constants (4). */
TARGET static inline State
four_rounds(State s, __m128i words, const uint32_t *constants)
{
	__m128i sums = _mm_add_epi32(words, _mm_loadu_si128((const __m128i *) constants));

	s.cdgh = _mm_sha256rnds2_epu32(s.cdgh, s.abef, sums);
	s.abef = _mm_sha256rnds2_epu32(s.abef, s.cdgh, _mm_shuffle_epi32(sums, 0x0E));
	return s;
}

/* The four message words after the sixteen a, b, c, d. */
TARGET static inline __m128i
next_words(__m128i a, __m128i b, __m128i c, __m128i d)
{
	__m128i sums = _mm_add_epi32(_mm_sha256msg1_epu32(a, b), _mm_alignr_epi8(d, c, 4));

	return _mm_sha256msg2_epu32(sums, d);
}

/* Four message words, which are big-endian. */
TARGET static inline __m128i
load_words(const unsigned char *bytes)
{
	const __m128i swapped = _mm_set_epi8(12, 13, 14, 15, 8, 9, 10, 11, 4, 5, 6, 7, 0, 1, 2, 3);

	return _mm_shuffle_epi8(_mm_loadu_si128((const __m128i *) bytes), swapped);
}

TARGET static inline State
compress(State s, const unsigned char *block)
{
	const State before = s;
	__m128i a = load_words(block);
	__m128i b = load_words(block + 16);
	__m128i c = load_words(block + 32);
	__m128i d = load_words(block + 48);

	for (int round = 0;; round += 16)
	{
		s = four_rounds(s, a, sha256_constants + round);
		s = four_rounds(s, b, sha256_constants + round + 4);
		s = four_rounds(s, c, sha256_constants + round + 8);
		s = four_rounds(s, d, sha256_constants + round + 12);
		if (round == 48)
			break;
		a = next_words(a, b, c, d);
		b = next_words(b, c, d, a);
		c = next_words(c, d, a, b);
		d = next_words(d, a, b, c);
	}
	s.abef = _mm_add_epi32(s.abef, before.abef);
	s.cdgh = _mm_add_epi32(s.cdgh, before.cdgh);
	return s;
}

TARGET static void
blocks_x86(uint32_t state[8], const unsigned char *blocks, size_t n)
{
	State s = {_mm_set_epi32((int) state[0], (int) state[1], (int) state[4], (int) state[5]),
			   _mm_set_epi32((int) state[2], (int) state[3], (int) state[6], (int) state[7])};
	uint32_t out[8]; /* f e b a h g d c */

	for (size_t i = 0; i < n; i++)
		s = compress(s, blocks + 64 * i);
	_mm_storeu_si128((__m128i *) out, s.abef);
	_mm_storeu_si128((__m128i *) (out + 4), s.cdgh);
	state[0] = out[3];
	state[1] = out[2];
	state[2] = out[7];
	state[3] = out[6];
	state[4] = out[1];
	state[5] = out[0];
	state[6] = out[5];
	state[7] = out[4];
}

Sha256Blocks
sha256_blocks_of_cpu(void)
{
	uint32_t a, b, c, d;

	if (!__get_cpuid(1, &a, &b, &c, &d) || !(c & bit_SSSE3) || !(c & bit_SSE4_1) ||
		!__get_cpuid_count(7, 0, &a, &b, &c, &d) || !(b & bit_SHA))
		return NULL;
	return blocks_x86;
}

#else

Sha256Blocks
sha256_blocks_of_cpu(void)
{
	return NULL;
}

#endif
