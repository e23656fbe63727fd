/*
 * nearest.h: exact search: of many queries, the documents that are most alike. By products of
 * matrices, a tile at a time, over the thread pool.
 */
#ifndef BERT_TRAIN_NEAREST_H
#define BERT_TRAIN_NEAREST_H

#include "core/arena.h"
#include "core/threads.h"
#include "files/sentence.h"
#include "kernels/train_kernels.h"

typedef struct Neighbour
{
	uint32_t document;
	float score;
} Neighbour;

typedef struct NearestCall
{
	Similarity similarity; /* SIMILARITY_COSINE: all rows have length 1 */
	size_t columns;
	size_t n_queries;
	const float *queries; /* (n_queries, columns) */
	size_t n_documents;
	const float *documents; /* (n_documents, columns) */
	size_t k;
	/* whether a document may be found; NULL: any. It is asked on several threads at once. */
	bool (*allowed)(const void *context, size_t query, size_t document, float score);
	const void *context;
	const TrainKernels *kernels;
	ThreadPool *pool; /* or NULL */
	/* (n_queries, k): the best first, of equal ones the first document; and how many (n_queries) */
	Neighbour *found;
	size_t *counts;
} NearestCall;

/* Scratch memory comes from the arena; the caller rewinds it. */
bool nearest_find(const NearestCall *call, Arena *arena, const MayContinue *question,
				  Status *status);

/* How alike two rows are, as the search says it. */
float nearest_similarity(const TrainKernels *kernels, Similarity similarity, size_t n,
						 const float *a, const float *b);

#endif
