/* select.h: the largest of many scores, in order. */
#ifndef BERT_NN_SELECT_H
#define BERT_NN_SELECT_H

#include <stddef.h>
#include <stdint.h>

typedef struct Candidate
{
	float score;
	int32_t id; /* index of the score */
} Candidate;

/*
 * Writes the k largest of scores (n) to out (min(k, n)), largest first, equal ones by index;
 * returns how many. O(n log k).
 */
size_t select_largest(const float *scores, size_t n, size_t k, Candidate *out);

/* The index of the largest of scores (n >= 1), the first of equals. */
size_t select_best(const float *scores, size_t n);

#endif
