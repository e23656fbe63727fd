/* embedding_loss.c: names and defaults, unit vectors, dims, and the losses. */
#include "train/embedding_loss.h"

#include <math.h>
#include <string.h>

#include "core/names.h"

#define SHAPE(shape) (1u << EMBEDDING_##shape)
#define LOSS_USES_ALL (LOSS_USES_MARGIN | LOSS_USES_DISTANCE | LOSS_USES_DIMS)
#define NEAR_NOTHING 1e-16 /* a triplet's loss that counts as 0, as in the reference */

static const struct
{
	const char *name;
	unsigned int shapes;
	unsigned int uses;
	double margin;
	EmbeddingDistance distance;
} losses[EMBEDDING_LOSS_COUNT] = {
	[LOSS_MULTIPLE_NEGATIVES_RANKING] = {"multiple_negatives_ranking", SHAPE(PAIRS),
										 LOSS_USES_SCALE | LOSS_USES_DIMS, 0, DISTANCE_COSINE},
	[LOSS_MULTIPLE_NEGATIVES_SYMMETRIC_RANKING] = {"multiple_negatives_symmetric_ranking",
												   SHAPE(PAIRS), LOSS_USES_SCALE | LOSS_USES_DIMS,
												   0, DISTANCE_COSINE},
	[LOSS_TRIPLET] = {"triplet", SHAPE(PAIRS), LOSS_USES_ALL, 5, DISTANCE_EUCLIDEAN},
	[LOSS_COSENT] = {"cosent", SHAPE(SCORES), LOSS_USES_SCALE | LOSS_USES_DIMS, 0, DISTANCE_COSINE},
	[LOSS_COSINE_SIMILARITY] = {"cosine_similarity", SHAPE(SCORES), LOSS_USES_DIMS, 0,
								DISTANCE_COSINE},
	[LOSS_CONTRASTIVE] = {"contrastive", SHAPE(SCORES) | SHAPE(LABELS), LOSS_USES_ALL, 0.5,
						  DISTANCE_COSINE},
	[LOSS_BATCH_ALL_TRIPLET] = {"batch_all_triplet", SHAPE(LABELS), LOSS_USES_ALL, 5,
								DISTANCE_EUCLIDEAN},
	[LOSS_MSE] = {"mse", SHAPE(TEXTS), 0, 0, DISTANCE_COSINE},
};

static const char *const distances[EMBEDDING_DISTANCE_COUNT] = {
	[DISTANCE_COSINE] = "cosine",
	[DISTANCE_EUCLIDEAN] = "euclidean",
	[DISTANCE_MANHATTAN] = "manhattan",
};

static const char *const shapes[EMBEDDING_SHAPE_COUNT] = {
	[EMBEDDING_PAIRS] = "(anchor, positive [, negative | negatives])",
	[EMBEDDING_SCORES] = "(a, b, score)",
	[EMBEDDING_TEXTS] = "(input)",
	[EMBEDDING_LABELS] = "(input, label)",
};

EmbeddingLoss
embedding_loss_default(EmbeddingLossKind kind)
{
	return (EmbeddingLoss){.kind = kind,
						   .scale = 20,
						   .margin = losses[kind].margin,
						   .distance = losses[kind].distance};
}

EmbeddingLossKind
embedding_loss_of_shape(EmbeddingShape shape)
{
	return shape == EMBEDDING_PAIRS    ? LOSS_MULTIPLE_NEGATIVES_RANKING
		   : shape == EMBEDDING_SCORES ? LOSS_COSENT
		   : shape == EMBEDDING_TEXTS  ? LOSS_MSE
									   : LOSS_BATCH_ALL_TRIPLET;
}

bool
embedding_loss_takes(EmbeddingLossKind kind, EmbeddingShape shape)
{
	return (losses[kind].shapes & 1u << shape) != 0;
}

unsigned int
embedding_loss_uses(EmbeddingLossKind kind)
{
	return losses[kind].uses;
}

const char *
embedding_loss_name(EmbeddingLossKind kind)
{
	return losses[kind].name;
}

bool
embedding_loss_parse(const char *name, EmbeddingLossKind *kind, Status *status)
{
	const char *names[EMBEDDING_LOSS_COUNT];
	int i;

	for (i = 0; i < EMBEDDING_LOSS_COUNT; i++)
		names[i] = losses[i].name;
	i = name_parse(name, "loss", names, EMBEDDING_LOSS_COUNT, status);
	if (i < 0)
		return false;
	*kind = (EmbeddingLossKind) i;
	return true;
}

const char *
embedding_distance_name(EmbeddingDistance distance)
{
	return distances[distance];
}

bool
embedding_distance_parse(const char *name, EmbeddingDistance *distance, Status *status)
{
	int i = name_parse(name, "distance", distances, EMBEDDING_DISTANCE_COUNT, status);

	if (i < 0)
		return false;
	*distance = (EmbeddingDistance) i;
	return true;
}

const char *
embedding_shape_columns(EmbeddingShape shape)
{
	return shapes[shape];
}

/* One loss over the first n numbers of all embeddings. */
typedef struct LossRun
{
	const EmbeddingLoss *loss;
	const EmbeddingExamples *examples;
	Compute *compute;
	Arena *arena;
	size_t rows;
	size_t n;
	float *x; /* (rows, n): the numbers, or unit vectors */
	float *d; /* (rows, n): the gradient by x, added to */
	double weight;
} LossRun;

static float *
floats(const LossRun *run, size_t rows, size_t columns, Status *status)
{
	float *out = arena_alloc_array(run->arena, rows * columns, sizeof *out);

	if (out == NULL)
		arena_fail(run->arena, status, "the loss of a batch", rows * columns * sizeof *out);
	return out;
}

static const float *
row_of(const LossRun *run, size_t row)
{
	return run->x + row * run->n;
}

/* --- Distances --- */

static double
distance_between(const LossRun *run, size_t a, size_t b)
{
	const float *x = row_of(run, a);
	const float *y = row_of(run, b);
	double sum = 0;

	if (run->loss->distance == DISTANCE_COSINE)
		return 1 - run->compute->kernels->dot(run->n, x, y);
	for (size_t i = 0; i < run->n; i++)
	{
		double difference = (double) x[i] - (double) y[i];

		sum +=
			run->loss->distance == DISTANCE_EUCLIDEAN ? difference * difference : fabs(difference);
	}
	return run->loss->distance == DISTANCE_EUCLIDEAN ? sqrt(sum) : sum;
}

/* Adds the gradient of g times the distance to that of both rows. */
static void
distance_backward(const LossRun *run, size_t a, size_t b, double distance, double g)
{
	const float *x = row_of(run, a);
	const float *y = row_of(run, b);
	float *dx = run->d + a * run->n;
	float *dy = run->d + b * run->n;

	if (g == 0)
		return;
	if (run->loss->distance == DISTANCE_COSINE)
	{
		run->compute->kernels->axpy(run->n, (float) -g, y, dx);
		run->compute->kernels->axpy(run->n, (float) -g, x, dy);
		return;
	}
	if (distance <= 0)
		return;
	for (size_t i = 0; i < run->n; i++)
	{
		double difference = (double) x[i] - (double) y[i];
		float part = (float) (run->loss->distance == DISTANCE_EUCLIDEAN
								  ? g * difference / distance
								  : g * (double) ((difference > 0) - (difference < 0)));

		dx[i] += part;
		dy[i] -= part;
	}
}

/* --- Ranking --- */

/* Anchors, positives and all candidates, each one after the other. */
typedef struct Ranking
{
	size_t n; /* anchors */
	size_t m; /* candidates */
	float *anchors;
	float *candidates;
	float *positives; /* (n) */
	float *d_anchors;
	float *d_candidates;
	float *d_positives;
} Ranking;

/* rows: (n) where they are in the run; gathers them into x, or adds d to their gradients. */
static void
ranking_move(const LossRun *run, const Ranking *ranking, bool back)
{
	const EmbeddingExamples *examples = run->examples;
	size_t n = run->n;
	size_t bytes = n * sizeof(float);
	const TrainKernels *kernels = run->compute->kernels;
	size_t candidate = 0;

	for (size_t e = 0; e < examples->n; e++)
		for (size_t row = examples->offsets[e]; row < examples->offsets[e + 1]; row++)
		{
			size_t place = row - examples->offsets[e];
			float *x = place == 0 ? ranking->anchors + e * n : ranking->candidates + candidate * n;
			float *d =
				place == 0 ? ranking->d_anchors + e * n : ranking->d_candidates + candidate * n;

			candidate += place > 0;
			if (!back)
				memcpy(x, row_of(run, row), bytes);
			else
				kernels->axpy(n, 1.0f, d, run->d + row * n);
			if (place != 1)
				continue;
			if (!back)
				memcpy(ranking->positives + e * n, row_of(run, row), bytes);
			else
				kernels->axpy(n, 1.0f, ranking->d_positives + e * n, run->d + row * n);
		}
}

/*
 * The cross-entropy of scale x yT, where right(i) is the column of row i that is right: the sum
 * over rows, and the gradients of its mean times share, added to dx and dy.
 */
typedef struct RankingSide
{
	size_t n; /* rows of x (n, D) */
	size_t m; /* rows of y (m, D) */
	const float *x;
	float *y;
	float *dx;
	float *dy;
	const size_t *right; /* (n); NULL: row i itself */
	double share;
} RankingSide;

static bool
rank_side(const LossRun *run, const RankingSide *side, double *sum, Status *status)
{
	Compute *compute = run->compute;
	float scale = (float) run->loss->scale;
	double weight = run->weight * side->share * run->loss->scale / (double) side->n;
	bool bf16 = compute->bf16;
	bool accumulate = compute->accumulate;
	float *scores = floats(run, side->n, side->m, status);
	/* the cosines are what a layer with the candidates as weights gives */
	Linear candidates = {.out = side->m, .in = run->n, .weight = side->y, .d_weight = side->dy};

	if (scores == NULL)
		return false;
	compute->bf16 = false;
	compute->accumulate = true;
	train_linear_forward(compute, &candidates, side->n, side->x, scores);
	for (size_t i = 0; i < side->n; i++)
	{
		float *row = scores + i * side->m;

		for (size_t j = 0; j < side->m; j++)
			row[j] *= scale;
		*sum += side->share *
				compute->kernels->cross_entropy_row(
					side->m, row, side->right == NULL ? i : side->right[i], (float) weight);
	}
	train_linear_backward_weight(compute, &candidates, side->n, side->x, scores);
	train_linear_backward_input(compute, &candidates, side->n, scores, true, side->dx);
	compute->bf16 = bf16;
	compute->accumulate = accumulate;
	return true;
}

static bool
ranking_allocate(const LossRun *run, Ranking *ranking, Status *status)
{
	size_t n = run->examples->n;
	size_t m = run->rows - n;
	float **parts[] = {&ranking->anchors,   &ranking->positives,   &ranking->candidates,
					   &ranking->d_anchors, &ranking->d_positives, &ranking->d_candidates};

	ranking->n = n;
	ranking->m = m;
	for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++)
	{
		size_t rows = i % 3 == 2 ? m : n;

		*parts[i] = floats(run, rows, run->n, status);
		if (*parts[i] == NULL)
			return false;
		memset(*parts[i], 0, rows * run->n * sizeof(float));
	}
	return true;
}

static bool
ranking_loss(const LossRun *run, double *value, Status *status)
{
	bool symmetric = run->loss->kind == LOSS_MULTIPLE_NEGATIVES_SYMMETRIC_RANKING;
	size_t n = run->examples->n;
	size_t *right = arena_alloc_array(run->arena, n, sizeof *right);
	Ranking ranking;
	RankingSide side;
	double sum = 0;

	if (right == NULL)
		return arena_fail(run->arena, status, "the loss of a batch", n * sizeof *right);
	if (!ranking_allocate(run, &ranking, status))
		return false;
	ranking_move(run, &ranking, false);
	for (size_t e = 0; e < n; e++)
		right[e] = run->examples->offsets[e] - e;
	side = (RankingSide){.n = n,
						 .m = ranking.m,
						 .x = ranking.anchors,
						 .y = ranking.candidates,
						 .dx = ranking.d_anchors,
						 .dy = ranking.d_candidates,
						 .right = right,
						 .share = symmetric ? 0.5 : 1};
	if (!rank_side(run, &side, &sum, status))
		return false;
	side = (RankingSide){.n = n,
						 .m = n,
						 .x = ranking.positives,
						 .y = ranking.anchors,
						 .dx = ranking.d_positives,
						 .dy = ranking.d_anchors,
						 .share = 0.5};
	if (symmetric && !rank_side(run, &side, &sum, status))
		return false;
	ranking_move(run, &ranking, true);
	*value = sum / (double) n;
	return true;
}

/* --- Triplets --- */

static bool
triplet_loss(const LossRun *run, double *value, Status *status)
{
	const EmbeddingExamples *examples = run->examples;
	double triplets = 0;
	double sum = 0;

	for (size_t e = 0; e < examples->n; e++)
	{
		if (examples->offsets[e + 1] - examples->offsets[e] < 3)
			return status_fail(status, STATUS_INVALID_ARGUMENT, "a triplet without a negative");
		triplets += (double) (examples->offsets[e + 1] - examples->offsets[e] - 2);
	}
	for (size_t e = 0; e < examples->n; e++)
	{
		size_t anchor = examples->offsets[e];
		double near = distance_between(run, anchor, anchor + 1);
		double g = run->weight / triplets;

		for (size_t negative = anchor + 2; negative < examples->offsets[e + 1]; negative++)
		{
			double far = distance_between(run, anchor, negative);
			double loss = near - far + run->loss->margin;

			if (loss <= 0)
				continue;
			sum += loss;
			distance_backward(run, anchor, anchor + 1, near, g);
			distance_backward(run, anchor, negative, far, -g);
		}
	}
	*value = sum / triplets;
	return true;
}

/*
 * The triplets of one anchor and one positive: their loss, how many count, and what each adds to
 * the gradients by distance (n) of the anchor's row.
 */
static double
triplets_of(const LossRun *run, const float *distance, size_t a, size_t p, float *d_distance,
			size_t *count)
{
	const int64_t *labels = run->examples->labels;
	double sum = 0;

	for (size_t other = 0; other < run->rows; other++)
	{
		double loss = (double) distance[p] - (double) distance[other] + run->loss->margin;

		if (labels[other] == labels[a] || loss <= NEAR_NOTHING)
			continue;
		sum += loss;
		(*count)++;
		d_distance[p] += 1.0f;
		d_distance[other] -= 1.0f;
	}
	return sum;
}

static bool
batch_all_loss(const LossRun *run, double *value, Status *status)
{
	size_t n = run->rows;
	const int64_t *labels = run->examples->labels;
	float *distance = floats(run, n, n, status);
	float *d_distance = floats(run, n, n, status);
	size_t count = 0;
	double sum = 0;

	if (distance == NULL || d_distance == NULL)
		return false;
	memset(d_distance, 0, n * n * sizeof *d_distance);
	for (size_t a = 0; a < n; a++)
		for (size_t b = 0; b <= a; b++)
			distance[a * n + b] = distance[b * n + a] =
				a == b ? 0 : (float) distance_between(run, a, b);
	for (size_t a = 0; a < n; a++)
		for (size_t p = 0; p < n; p++)
			if (p != a && labels[p] == labels[a])
				sum += triplets_of(run, distance + a * n, a, p, d_distance + a * n, &count);
	*value = count == 0 ? 0 : sum / (double) count;
	for (size_t a = 0; a < n && count > 0; a++)
		for (size_t b = 0; b < a; b++)
			distance_backward(run, a, b, distance[a * n + b],
							  ((double) d_distance[a * n + b] + (double) d_distance[b * n + a]) *
								  run->weight / (double) count);
	return true;
}

/* --- Scores --- */

/* The cosines of all examples' two texts. */
static double *
cosines(const LossRun *run, Status *status)
{
	size_t n = run->examples->n;
	double *out = arena_alloc_array(run->arena, n, sizeof *out);

	if (out == NULL)
	{
		arena_fail(run->arena, status, "the loss of a batch", n * sizeof *out);
		return NULL;
	}
	for (size_t e = 0; e < n; e++)
	{
		size_t row = run->examples->offsets[e];

		out[e] = run->compute->kernels->dot(run->n, row_of(run, row), row_of(run, row + 1));
	}
	return out;
}

/* Adds the gradient of g times the example's cosine. */
static void
cosine_backward(const LossRun *run, size_t example, double g)
{
	size_t row = run->examples->offsets[example];
	float *d = run->d + row * run->n;

	run->compute->kernels->axpy(run->n, (float) g, row_of(run, row + 1), d);
	run->compute->kernels->axpy(run->n, (float) g, row_of(run, row), d + run->n);
}

static bool
cosine_loss(const LossRun *run, double *value, Status *status)
{
	size_t n = run->examples->n;
	const double *cosine = cosines(run, status);
	double sum = 0;

	if (cosine == NULL)
		return false;
	for (size_t e = 0; e < n; e++)
	{
		double difference = cosine[e] - (double) run->examples->scores[e];

		sum += difference * difference;
		cosine_backward(run, e, 2 * difference * run->weight / (double) n);
	}
	*value = sum / (double) n;
	return true;
}

static bool
cosent_loss(const LossRun *run, double *value, Status *status)
{
	size_t n = run->examples->n;
	const float *scores = run->examples->scores;
	double scale = run->loss->scale;
	const double *cosine = cosines(run, status);
	double most = 0; /* the exponent of the 1 */
	double sum = 0;

	if (cosine == NULL)
		return false;
	for (size_t i = 0; i < n; i++)
		for (size_t j = 0; j < n; j++)
			if (scores[i] > scores[j])
				most = fmax(most, scale * (cosine[j] - cosine[i]));
	sum = exp(-most);
	for (size_t i = 0; i < n; i++)
		for (size_t j = 0; j < n; j++)
			if (scores[i] > scores[j])
				sum += exp(scale * (cosine[j] - cosine[i]) - most);
	for (size_t i = 0; i < n; i++)
	{
		double g = 0;

		for (size_t j = 0; j < n; j++)
			if (scores[i] != scores[j])
			{
				double sign = scores[i] > scores[j] ? -1 : 1;

				g += sign * exp(sign * scale * (cosine[i] - cosine[j]) - most);
			}
		cosine_backward(run, i, g / sum * scale * run->weight);
	}
	*value = log(sum) + most;
	return true;
}

/* The loss of one pair, times g its gradient. y: 1 alike, 0 not. */
static double
contrast(const LossRun *run, size_t a, size_t b, double y, double g)
{
	double distance = distance_between(run, a, b);
	double missing = fmax(0, run->loss->margin - distance);

	distance_backward(run, a, b, distance, g * (y * distance - (1 - y) * missing));
	return 0.5 * (y * distance * distance + (1 - y) * missing * missing);
}

static bool
contrastive_loss(const LossRun *run, double *value, Status *status)
{
	const EmbeddingExamples *examples = run->examples;
	size_t n = examples->n;
	double pairs = examples->labelled ? (double) n * (double) (n - 1) / 2 : (double) n;
	double g = run->weight / pairs;
	double sum = 0;

	(void) status;
	for (size_t i = 0; i < n && !examples->labelled; i++)
		sum += contrast(run, examples->offsets[i], examples->offsets[i] + 1,
						(double) examples->scores[i], g);
	for (size_t i = 0; i < n && examples->labelled; i++)
		for (size_t j = 0; j < i; j++)
			sum += contrast(run, j, i, examples->labels[i] == examples->labels[j] ? 1 : 0, g);
	*value = pairs == 0 ? 0 : sum / pairs;
	return true;
}

/* --- Given embeddings --- */

static bool
mse_loss(const LossRun *run, double *value, Status *status)
{
	const float *targets = run->examples->targets;
	double numbers = (double) run->rows * (double) run->n;
	double sum = 0;

	if (targets == NULL || run->examples->target_columns != run->n)
		return status_fail(status, STATUS_INVALID_ARGUMENT,
						   "%zu numbers to learn for embeddings of %zu",
						   targets == NULL ? 0 : run->examples->target_columns, run->n);
	for (size_t i = 0; i < run->rows * run->n; i++)
	{
		double difference = (double) run->x[i] - (double) targets[i];

		sum += difference * difference;
		run->d[i] = (float) (2 * difference * run->weight / numbers);
	}
	*value = sum / numbers;
	return true;
}

/* --- All of them --- */

typedef bool (*LossFunction)(const LossRun *run, double *value, Status *status);

static const LossFunction functions[EMBEDDING_LOSS_COUNT] = {
	[LOSS_MULTIPLE_NEGATIVES_RANKING] = ranking_loss,
	[LOSS_MULTIPLE_NEGATIVES_SYMMETRIC_RANKING] = ranking_loss,
	[LOSS_TRIPLET] = triplet_loss,
	[LOSS_COSENT] = cosent_loss,
	[LOSS_COSINE_SIMILARITY] = cosine_loss,
	[LOSS_CONTRASTIVE] = contrastive_loss,
	[LOSS_BATCH_ALL_TRIPLET] = batch_all_loss,
	[LOSS_MSE] = mse_loss,
};

/* The first n numbers of each embedding, and whether they are made unit vectors. */
static bool
loss_of_dims(const LossRun *run, const EmbeddingRows *rows, bool unit, double *value,
			 Status *status)
{
	const TrainKernels *kernels = run->compute->kernels;
	size_t n = run->n;

	for (size_t r = 0; r < run->rows; r++)
	{
		const float *from = rows->embeddings + r * rows->columns;
		double length = unit ? sqrt(kernels->dot(n, from, from)) : 1;

		for (size_t i = 0; i < n; i++)
			run->x[r * n + i] = (float) ((double) from[i] / fmax(length, 1e-12));
	}
	memset(run->d, 0, run->rows * n * sizeof(float));
	if (!functions[run->loss->kind](run, value, status))
		return false;
	for (size_t r = 0; r < run->rows; r++)
	{
		const float *from = rows->embeddings + r * rows->columns;
		const float *x = run->x + r * n;
		const float *d = run->d + r * n;
		double length = unit ? sqrt(kernels->dot(n, from, from)) : 1;
		double along = unit ? kernels->dot(n, x, d) : 0;
		float *out = rows->gradient + r * rows->columns;

		/* without a direction there is none to turn into */
		for (size_t i = 0; i < n && length > 1e-12; i++)
			out[i] += (float) (((double) d[i] - along * (double) x[i]) / length);
	}
	return true;
}

/* Cosines are those of unit vectors, of which the losses take the product. */
static bool
reads_units(const EmbeddingLoss *loss)
{
	return loss->kind != LOSS_MSE &&
		   (loss->n_dims > 0 || (losses[loss->kind].uses & LOSS_USES_DISTANCE) == 0 ||
			loss->distance == DISTANCE_COSINE);
}

bool
embedding_loss(const EmbeddingLoss *loss, const EmbeddingExamples *examples, Compute *compute,
			   const EmbeddingRows *rows, Arena *arena, double *value, Status *status)
{
	size_t n_rows = examples->offsets[examples->n];
	LossRun run = {.loss = loss,
				   .examples = examples,
				   .compute = compute,
				   .arena = arena,
				   .rows = n_rows,
				   .weight = rows->weight};

	run.x = floats(&run, n_rows, rows->columns, status);
	run.d = floats(&run, n_rows, rows->columns, status);
	if (run.x == NULL || run.d == NULL)
		return false;
	memset(rows->gradient, 0, n_rows * rows->columns * sizeof(float));
	*value = 0;
	for (int i = 0; i < (loss->n_dims == 0 ? 1 : loss->n_dims); i++)
	{
		ArenaMark mark = arena_mark(arena);
		double part = 0;

		run.n = loss->n_dims == 0 ? rows->columns : (size_t) loss->dims[i];
		if (run.n > rows->columns)
			return status_fail(status, STATUS_INVALID_ARGUMENT,
							   "%zu numbers of an embedding that has %zu", run.n, rows->columns);
		if (!loss_of_dims(&run, rows, reads_units(loss), &part, status))
			return false;
		*value += part;
		arena_rewind(arena, mark);
	}
	return true;
}
