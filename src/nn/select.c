/* select.c: a bounded heap whose root is the worst candidate kept. */
#include "nn/select.h"

#include <stdbool.h>

static bool
is_better(Candidate a, Candidate b)
{
	return a.score > b.score || (a.score == b.score && a.id < b.id);
}

/* Lets the candidate at root sink below all that are worse than it. */
static void
sift_down(Candidate *heap, size_t n, size_t root)
{
	Candidate moved = heap[root];
	size_t child;

	while ((child = 2 * root + 1) < n)
	{
		if (child + 1 < n && is_better(heap[child], heap[child + 1]))
			child++;
		if (!is_better(moved, heap[child]))
			break;
		heap[root] = heap[child];
		root = child;
	}
	heap[root] = moved;
}

size_t
select_largest(const float *scores, size_t n, size_t k, Candidate *out)
{
	if (k > n)
		k = n;
	if (k == 0)
		return 0;
	for (size_t i = 0; i < k; i++)
		out[i] = (Candidate){scores[i], (int32_t) i};
	for (size_t i = k / 2; i-- > 0;)
		sift_down(out, k, i);
	for (size_t i = k; i < n; i++)
		if (scores[i] > out[0].score)
		{
			out[0] = (Candidate){scores[i], (int32_t) i};
			sift_down(out, k, 0);
		}
	for (size_t left = k; left > 1; left--)
	{
		Candidate worst = out[0];

		out[0] = out[left - 1];
		out[left - 1] = worst;
		sift_down(out, left - 1, 0);
	}
	return k;
}

size_t
select_best(const float *scores, size_t n)
{
	size_t best = 0;

	for (size_t i = 1; i < n; i++)
		if (scores[i] > scores[best])
			best = i;
	return best;
}
