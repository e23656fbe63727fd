/* nearest.c: tiles of similarities, and the best of each row. */
#include "train/nearest.h"

#include <math.h>
#include <stdatomic.h>
#include <string.h>

#include "core/note.h"

#define TILE_QUERIES ((size_t) 32)
#define TILE_DOCUMENTS ((size_t) 2048)

typedef struct Search
{
	const NearestCall *call;
	float *scratch; /* (threads, SGEMM_SCRATCH_FLOATS) */
	float *tiles;   /* (threads, TILE_QUERIES, TILE_DOCUMENTS) */
	const MayContinue *question;
	Status *status;   /* of the calling thread */
	atomic_bool stop; /* the question was answered with no */
} Search;

/* minus the Euclidean or the Manhattan distance */
static float
minus_distance(Similarity similarity, size_t n, const float *a, const float *b)
{
	double sum = 0;

	for (size_t i = 0; i < n; i++)
	{
		double difference = (double) a[i] - (double) b[i];

		sum += similarity == SIMILARITY_EUCLIDEAN ? difference * difference : fabs(difference);
	}
	return (float) -(similarity == SIMILARITY_EUCLIDEAN ? sqrt(sum) : sum);
}

static bool
is_product(Similarity similarity)
{
	return similarity == SIMILARITY_COSINE || similarity == SIMILARITY_DOT;
}

float
nearest_similarity(const TrainKernels *kernels, Similarity similarity, size_t n, const float *a,
				   const float *b)
{
	return is_product(similarity) ? (float) kernels->dot(n, a, b)
								  : minus_distance(similarity, n, a, b);
}

/* The similarities of queries q .. q + rows - 1 and documents d .. d + columns - 1, to the tile. */
static void
fill_tile(const Search *search, size_t q, size_t rows, size_t d, size_t columns, int worker)
{
	const NearestCall *call = search->call;
	size_t n = call->columns;
	float *tile = search->tiles + (size_t) worker * TILE_QUERIES * TILE_DOCUMENTS;
	SgemmCall product = {.transpose_b = true,
						 .m = rows,
						 .n = columns,
						 .k = n,
						 .a = call->queries + q * n,
						 .lda = n,
						 .b = call->documents + d * n,
						 .ldb = n,
						 .c = tile,
						 .ldc = TILE_DOCUMENTS};

	if (is_product(call->similarity))
	{
		call->kernels->sgemm(&product, search->scratch + (size_t) worker * SGEMM_SCRATCH_FLOATS);
		return;
	}
	for (size_t i = 0; i < rows; i++)
		for (size_t j = 0; j < columns; j++)
			tile[i * TILE_DOCUMENTS + j] = minus_distance(
				call->similarity, n, call->queries + (q + i) * n, call->documents + (d + j) * n);
}

/* Puts the document among the best of the query, if it belongs there. */
static void
keep_best(const NearestCall *call, size_t query, size_t document, float score)
{
	Neighbour *best = call->found + query * call->k;
	size_t at = call->counts[query];

	if (at == call->k && !(score > best[at - 1].score))
		return;
	if (call->allowed != NULL && !call->allowed(call->context, query, document, score))
		return;
	if (at < call->k)
		call->counts[query]++;
	else
		at--;
	for (; at > 0 && best[at - 1].score < score; at--)
		best[at] = best[at - 1];
	best[at] = (Neighbour){(uint32_t) document, score};
}

static void
search_task(void *context, size_t task, int worker)
{
	Search *search = context;
	const NearestCall *call = search->call;
	const float *tile = search->tiles + (size_t) worker * TILE_QUERIES * TILE_DOCUMENTS;
	size_t first = task * TILE_QUERIES;
	size_t rows = call->n_queries - first < TILE_QUERIES ? call->n_queries - first : TILE_QUERIES;

	if (worker == 0)
		note_done(search->question, first);
	for (size_t d = 0; d < call->n_documents && !atomic_load(&search->stop); d += TILE_DOCUMENTS)
	{
		size_t columns =
			call->n_documents - d < TILE_DOCUMENTS ? call->n_documents - d : TILE_DOCUMENTS;

		/* only the calling thread may ask */
		if (worker == 0 && !may_continue(search->question, search->status))
			atomic_store(&search->stop, true);
		fill_tile(search, first, rows, d, columns, worker);
		for (size_t i = 0; i < rows; i++)
			for (size_t j = 0; j < columns; j++)
				keep_best(call, first + i, d + j, tile[i * TILE_DOCUMENTS + j]);
	}
}

bool
nearest_find(const NearestCall *call, Arena *arena, const MayContinue *question, Status *status)
{
	size_t threads = (size_t) threadpool_size(call->pool);
	Search search = {.call = call, .question = question, .status = status};

	search.scratch = arena_alloc_array(arena, threads * SGEMM_SCRATCH_FLOATS, sizeof(float));
	search.tiles = arena_alloc_array(arena, threads * TILE_QUERIES * TILE_DOCUMENTS, sizeof(float));
	if (search.scratch == NULL || search.tiles == NULL)
		return arena_fail(arena, status, "a search", threads * SGEMM_SCRATCH_FLOATS * 4);
	atomic_init(&search.stop, false);
	memset(call->counts, 0, call->n_queries * sizeof *call->counts);
	if (call->k > 0)
		threadpool_run(call->pool, (call->n_queries + TILE_QUERIES - 1) / TILE_QUERIES, search_task,
					   &search);
	return !atomic_load(&search.stop);
}
