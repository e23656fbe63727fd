/* embedding_scores.c: collecting embeddings, searching, and the numbers. */
#include "train/embedding_scores.h"

#include <math.h>
#include <string.h>

#include "nn/model.h"
#include "train/nearest.h"
#include "train/relevance.h"

#define MOST_HITS 100 /* of map@100 */
#define SHORT_LIST 10 /* of ndcg, mrr and recall */

/* Embeddings of different texts, in the order in which they came. */
typedef struct Texts
{
	size_t n;
	size_t capacity;
	float *rows;     /* (capacity, columns) */
	uint64_t *keys;  /* (capacity) */
	size_t places;   /* of the table, a power of two; 0: texts are not compared */
	uint32_t *table; /* (places): a text's number + 1, 0 for none */
} Texts;

struct EmbeddingScores
{
	Arena *arena;
	Similarity similarity;
	EmbeddingCompare compare;
	const TrainKernels *kernels;
	EmbeddingShape shape;
	size_t columns;  /* 0: nothing came yet */
	float *cut;      /* (2, columns): the embeddings of one sample */
	Texts queries;   /* anchors, or all texts with a class */
	Texts documents; /* positives */
	size_t n;        /* of the arrays below */
	size_t capacity;
	RelevantPair *right; /* numbers of queries and documents */
	int32_t *classes;
	double *scores;
	double *similarities;
};

EmbeddingScores *
embedding_scores_create(Arena *arena, const EmbeddingCompare *compare, Status *status)
{
	EmbeddingScores *scores = arena_alloc_zero(arena, sizeof *scores);

	if (scores == NULL)
	{
		arena_fail(arena, status, "scores", sizeof *scores);
		return NULL;
	}
	scores->arena = arena;
	scores->similarity = compare->similarity;
	scores->compare = *compare;
	scores->kernels = train_kernels_choose("auto", status);
	return scores->kernels == NULL ? NULL : scores;
}

/* An array of twice the size with the same content. */
static void *
grown(Arena *arena, const void *from, size_t n, size_t capacity, size_t size, Status *status)
{
	void *to = arena_alloc_array(arena, capacity, size);

	if (to == NULL)
		arena_fail(arena, status, "embeddings to score", capacity * size);
	else if (n > 0)
		memcpy(to, from, n * size);
	return to;
}

static bool
reserve_rows(EmbeddingScores *scores, Status *status)
{
	size_t capacity = scores->capacity == 0 ? 1024 : 2 * scores->capacity;
	Arena *arena = scores->arena;

	if (scores->n < scores->capacity)
		return true;
	scores->right = grown(arena, scores->right, scores->n, capacity, sizeof(RelevantPair), status);
	scores->classes = grown(arena, scores->classes, scores->n, capacity, sizeof(int32_t), status);
	scores->scores = grown(arena, scores->scores, scores->n, capacity, sizeof(double), status);
	scores->similarities =
		grown(arena, scores->similarities, scores->n, capacity, sizeof(double), status);
	scores->capacity = capacity;
	return scores->right != NULL && scores->classes != NULL && scores->scores != NULL &&
		   scores->similarities != NULL;
}

static size_t
place_of(const Texts *texts, uint64_t key)
{
	size_t at = (size_t) (key * UINT64_C(0x9E3779B97F4A7C15) >> 20) & (texts->places - 1);

	while (texts->table[at] != 0 && texts->keys[texts->table[at] - 1] != key)
		at = (at + 1) & (texts->places - 1);
	return at;
}

static bool
reserve_text(EmbeddingScores *scores, Texts *texts, Status *status)
{
	size_t capacity = texts->capacity == 0 ? 256 : 2 * texts->capacity;
	size_t row = scores->columns * sizeof(float);

	if (texts->n < texts->capacity)
		return true;
	texts->rows = grown(scores->arena, texts->rows, texts->n, capacity, row, status);
	texts->keys = grown(scores->arena, texts->keys, texts->n, capacity, sizeof(uint64_t), status);
	texts->table = arena_alloc_array_zero(scores->arena, 2 * capacity, sizeof(uint32_t));
	if (texts->rows == NULL || texts->keys == NULL)
		return false;
	if (texts->table == NULL)
		return arena_fail(scores->arena, status, "embeddings to score",
						  2 * capacity * sizeof(uint32_t));
	texts->capacity = capacity;
	texts->places = 2 * capacity;
	for (size_t i = 0; i < texts->n; i++)
		texts->table[place_of(texts, texts->keys[i])] = (uint32_t) i + 1;
	return true;
}

/* The number of a text; its embedding is kept when it is new. every: also when it is not. */
static bool
add_text(EmbeddingScores *scores, Texts *texts, uint64_t key, const float *embedding, bool every,
		 uint32_t *number, Status *status)
{
	size_t at;

	if (!reserve_text(scores, texts, status))
		return false;
	at = place_of(texts, key);
	if (texts->table[at] != 0 && !every)
	{
		*number = texts->table[at] - 1;
		return true;
	}
	*number = (uint32_t) texts->n;
	memcpy(texts->rows + texts->n * scores->columns, embedding, scores->columns * sizeof(float));
	if (scores->similarity == SIMILARITY_COSINE)
		normalize_rows(1, scores->columns, texts->rows + texts->n * scores->columns);
	texts->keys[texts->n++] = key;
	texts->table[at] = (uint32_t) texts->n;
	return true;
}

/* The model's similarity of a's and b's embeddings. */
static double
similarity_of(const EmbeddingScores *scores, const float *a, const float *b)
{
	size_t n = scores->columns;
	double ab = nearest_similarity(scores->kernels, scores->similarity, n, a, b);
	double aa;
	double bb;

	if (scores->similarity != SIMILARITY_COSINE)
		return ab;
	aa = scores->kernels->dot(n, a, a);
	bb = scores->kernels->dot(n, b, b);
	return aa > 0 && bb > 0 ? ab / (sqrt(aa) * sqrt(bb)) : 0;
}

/* One sample, whose texts' embeddings begin at rows. */
static bool
add_sample(EmbeddingScores *scores, const Sample *sample, const float *rows, Status *status)
{
	size_t n = scores->n;
	bool labelled = scores->shape == EMBEDDING_LABELS;

	if (sample_shape(sample) != scores->shape)
		return status_fail(status, STATUS_INTERNAL, "samples of different kinds");
	if (!reserve_rows(scores, status))
		return false;
	if (scores->shape == EMBEDDING_SCORES)
	{
		scores->scores[n] = sample->values[0];
		scores->similarities[n] = similarity_of(scores, rows, rows + scores->columns);
	}
	else if (!add_text(scores, &scores->queries, sample_text_key(sample, 0), rows, labelled,
					   &scores->right[n].query, status))
		return false;
	if (labelled)
		scores->classes[n] = sample->labels[0];
	else if (scores->shape == EMBEDDING_PAIRS &&
			 !add_text(scores, &scores->documents, sample_text_key(sample, 1),
					   rows + scores->columns, false, &scores->right[n].document, status))
		return false;
	scores->n++;
	return true;
}

static bool
begin(EmbeddingScores *scores, const Sample *first, const Evaluation *evaluation, Status *status)
{
	size_t dimensions = scores->compare.dimensions;

	if (dimensions > evaluation->n_columns)
		return status_fail(status, STATUS_INVALID_ARGUMENT,
						   "%zu numbers of embeddings that have %zu", dimensions,
						   evaluation->n_columns);
	scores->columns = dimensions == 0 ? evaluation->n_columns : dimensions;
	scores->shape = sample_shape(first);
	if (scores->shape == EMBEDDING_TEXTS)
		return status_fail(status, STATUS_INVALID_ARGUMENT,
						   "texts alone have nothing to compare with");
	scores->cut = arena_alloc_array(scores->arena, 2 * scores->columns, sizeof(float));
	return scores->cut != NULL ||
		   arena_fail(scores->arena, status, "embeddings to score", 2 * scores->columns * 4);
}

/* What is compared of a sample's first two texts. */
static void
cut_rows(EmbeddingScores *scores, const Evaluation *evaluation, size_t sample)
{
	size_t first = evaluation->row_offsets[sample];
	size_t rows = evaluation->row_offsets[sample + 1] - first;

	for (size_t r = 0; r < rows && r < 2; r++)
		memcpy(scores->cut + r * scores->columns,
			   evaluation->logits + (first + r) * evaluation->n_columns,
			   scores->columns * sizeof(float));
	if (scores->compare.normalize && scores->columns < evaluation->n_columns)
		normalize_rows(rows < 2 ? rows : 2, scores->columns, scores->cut);
}

bool
embedding_scores_add(EmbeddingScores *scores, const TrainSample *samples, size_t n,
					 const Evaluation *evaluation, Status *status)
{
	if (n > 0 && scores->columns == 0 && !begin(scores, samples[0].sample, evaluation, status))
		return false;
	for (size_t i = 0; i < n; i++)
	{
		cut_rows(scores, evaluation, i);
		if (!add_sample(scores, samples[i].sample, scores->cut, status))
			return false;
	}
	return true;
}

/* --- Retrieval --- */

/* Sums over queries. */
typedef struct Sums
{
	size_t queries;
	double ndcg;
	double mrr;
	double map;
	double accuracy;
	double recall;
} Sums;

static bool
is_right(const EmbeddingScores *scores, const Relevance *relevance, size_t query, uint32_t document)
{
	return scores->shape == EMBEDDING_LABELS ? scores->classes[query] == scores->classes[document]
											 : relevance_has(relevance, query, document);
}

/* Adds what one query's hits, best first, are worth. */
static void
add_query(Sums *sums, const bool *hits, size_t n_hits, size_t right)
{
	double gain = 0;
	double ideal = 0;
	double precisions = 0;
	size_t found = 0;

	for (size_t i = 0; i < n_hits; i++)
	{
		if (!hits[i])
			continue;
		if (i < SHORT_LIST)
		{
			gain += 1 / log2((double) i + 2);
			sums->recall += 1 / (double) right;
			sums->mrr += found == 0 ? 1 / (double) (i + 1) : 0;
		}
		precisions += (double) ++found / (double) (i + 1);
	}
	for (size_t i = 0; i < right && i < SHORT_LIST; i++)
		ideal += 1 / log2((double) i + 2);
	sums->queries++;
	sums->ndcg += gain / ideal;
	sums->map += precisions / (double) (right < MOST_HITS ? right : MOST_HITS);
	sums->accuracy += n_hits > 0 && hits[0] ? 1 : 0;
}

static bool
other_text(const void *context, size_t query, size_t document, float score)
{
	(void) context;
	(void) score;
	return query != document;
}

/* The rows of each class. */
static bool
count_classes(const EmbeddingScores *scores, size_t **sizes, Status *status)
{
	int32_t most = 0;

	for (size_t i = 0; i < scores->n; i++)
		most = scores->classes[i] > most ? scores->classes[i] : most;
	*sizes = arena_alloc_array_zero(scores->arena, (size_t) most + 1, sizeof **sizes);
	if (*sizes == NULL)
		return arena_fail(scores->arena, status, "scores", (size_t) most * sizeof **sizes);
	for (size_t i = 0; i < scores->n; i++)
		(*sizes)[scores->classes[i]]++;
	return true;
}

static bool
score_queries(const EmbeddingScores *scores, const NearestCall *call, Sums *sums, Status *status)
{
	Relevance relevance = {0};
	size_t *class_sizes = NULL;

	if (scores->shape == EMBEDDING_LABELS ? !count_classes(scores, &class_sizes, status)
										  : !relevance_make(scores->arena, scores->right, scores->n,
															call->n_queries, &relevance, status))
		return false;
	for (size_t q = 0; q < call->n_queries; q++)
	{
		size_t right = scores->shape == EMBEDDING_LABELS
						   ? class_sizes[scores->classes[q]] - 1
						   : relevance.starts[q + 1] - relevance.starts[q];
		bool hits[MOST_HITS];

		for (size_t i = 0; i < call->counts[q]; i++)
			hits[i] = is_right(scores, &relevance, q, call->found[q * call->k + i].document);
		if (right > 0)
			add_query(sums, hits, call->counts[q], right);
	}
	return true;
}

static bool
search(const EmbeddingScores *scores, const MayContinue *question, Sums *sums, Status *status)
{
	bool labelled = scores->shape == EMBEDDING_LABELS;
	const Texts *documents = labelled ? &scores->queries : &scores->documents;
	NearestCall call = {.similarity = scores->similarity,
						.columns = scores->columns,
						.n_queries = scores->queries.n,
						.queries = scores->queries.rows,
						.n_documents = documents->n,
						.documents = documents->rows,
						.k = documents->n < MOST_HITS ? documents->n : MOST_HITS,
						.allowed = labelled ? other_text : NULL,
						.kernels = scores->kernels};

	call.found = arena_alloc_array(scores->arena, call.n_queries * call.k, sizeof *call.found);
	call.counts = arena_alloc_array(scores->arena, call.n_queries, sizeof *call.counts);
	if (call.found == NULL || call.counts == NULL)
		return arena_fail(scores->arena, status, "scores",
						  call.n_queries * call.k * sizeof *call.found);
	return nearest_find(&call, scores->arena, question, status) &&
		   score_queries(scores, &call, sums, status);
}

bool
embedding_scores_finish(EmbeddingScores *scores, const MayContinue *question,
						Score list[EMBEDDING_SCORES_MAX], size_t *n, Status *status)
{
	Sums sums = {0};
	ValueMetrics values;
	double queries;

	*n = 0;
	if (scores->shape == EMBEDDING_SCORES)
	{
		if (!metrics_values(scores->arena, scores->n, scores->scores, scores->similarities, &values,
							status))
			return false;
		list[(*n)++] = (Score){"spearman", values.spearman};
		list[(*n)++] = (Score){"pearson", values.pearson};
		return true;
	}
	if (scores->n > 0 && !search(scores, question, &sums, status))
		return false;
	queries = (double) sums.queries; /* without any the metrics are no numbers */
	list[(*n)++] = (Score){"ndcg@10", sums.ndcg / queries};
	list[(*n)++] = (Score){"mrr@10", sums.mrr / queries};
	list[(*n)++] = (Score){"map@100", sums.map / queries};
	list[(*n)++] = (Score){"accuracy@1", sums.accuracy / queries};
	list[(*n)++] = (Score){"recall@10", sums.recall / queries};
	return true;
}
