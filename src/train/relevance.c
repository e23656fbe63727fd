/* relevance.c: sorted pairs. */
#include "train/relevance.h"

#include "core/sort.h"

static int
compare_pairs(const void *a, const void *b)
{
	const RelevantPair *left = a;
	const RelevantPair *right = b;

	if (left->query != right->query)
		return left->query < right->query ? -1 : 1;
	return (left->document > right->document) - (left->document < right->document);
}

bool
relevance_make(Arena *arena, RelevantPair *pairs, size_t n, size_t queries, Relevance *relevance,
			   Status *status)
{
	size_t kept = 0;

	*relevance = (Relevance){.pairs = pairs};
	relevance->starts = arena_alloc_array_zero(arena, queries + 1, sizeof(size_t));
	if (relevance->starts == NULL)
		return arena_fail(arena, status, "queries", queries * sizeof(size_t));
	if (!sort_array(arena, pairs, n, sizeof *pairs, compare_pairs, status))
		return false;
	for (size_t i = 0; i < n; i++)
		if (i == 0 || compare_pairs(&pairs[i], &pairs[i - 1]) != 0)
		{
			relevance->starts[pairs[i].query + 1]++;
			pairs[kept++] = pairs[i];
		}
	for (size_t q = 0; q < queries; q++)
		relevance->starts[q + 1] += relevance->starts[q];
	relevance->n = kept;
	return true;
}

bool
relevance_has(const Relevance *relevance, size_t query, uint32_t document)
{
	size_t first = relevance->starts[query];
	size_t end = relevance->starts[query + 1];

	while (first < end)
	{
		size_t middle = first + (end - first) / 2;

		if (relevance->pairs[middle].document == document)
			return true;
		if (relevance->pairs[middle].document < document)
			first = middle + 1;
		else
			end = middle;
	}
	return false;
}
