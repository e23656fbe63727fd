/* attention.c: the pairs of a packed batch, each with its own small products. */
#include "train/attention.h"

#include <float.h>
#include <math.h>
#include <string.h>

bool
train_attention_shape_init(AttentionShape *shape, Arena *arena, size_t n_sequences,
						   const int32_t *q_offsets, const AttentionKeys *keys, Status *status)
{
	memset(shape, 0, sizeof *shape);
	shape->n_sequences = n_sequences;
	shape->q_offsets = q_offsets;
	shape->k_offsets = keys->offsets;
	shape->key_mask = keys->mask;
	shape->causal = keys->causal;
	shape->cells = arena_alloc_array_zero(arena, n_sequences + 1, sizeof(size_t));
	shape->bit_rows = arena_alloc_array_zero(arena, n_sequences + 1, sizeof(size_t));
	if (shape->cells == NULL || shape->bit_rows == NULL)
		return arena_fail(arena, status, "a batch's geometry",
						  2 * (n_sequences + 1) * sizeof(size_t));
	for (size_t b = 0; b < n_sequences; b++)
	{
		size_t n_queries = (size_t) (q_offsets[b + 1] - q_offsets[b]);
		size_t n_keys = (size_t) (keys->offsets[b + 1] - keys->offsets[b]);

		shape->cells[b + 1] = shape->cells[b] + n_queries * n_keys;
		shape->bit_rows[b + 1] = shape->bit_rows[b] + n_queries * dropout_row_bytes(n_keys);
		shape->longest_q = n_queries > shape->longest_q ? n_queries : shape->longest_q;
		shape->longest_k = n_keys > shape->longest_k ? n_keys : shape->longest_k;
	}
	return true;
}

/* Two tiles of probabilities, two of distances, and the part's sums for the distance embedding or
 * the biases by distance. */
size_t
train_attention_tile_floats(const AttentionParameters *parameters, const AttentionShape *shape)
{
	size_t tile = 2 * shape->longest_q * shape->longest_k;

	if (parameters->distance != NULL)
	{
		size_t longest = shape->longest_q > shape->longest_k ? shape->longest_q : shape->longest_k;

		tile += longest * (shape->longest_q + shape->longest_k) +
				(2 * parameters->max_positions - 1) * parameters->head_size;
	}
	if (parameters->bias != NULL)
		tile += shape->longest_q + shape->longest_k + RELATIVE_BUCKETS * parameters->heads;
	return (tile + 15) / 16 * 16;
}

typedef struct PairTask
{
	Compute *compute;
	const AttentionRun *run;
} PairTask;

/* One (sequence, head) pair: its sizes and where its matrices begin. */
typedef struct Pair
{
	int worker;
	size_t number;
	size_t head;
	size_t sequence;
	size_t queries; /* L_q */
	size_t keys;    /* L_k */
	size_t at;      /* of the first query's head in (T_q, A) */
	size_t q_ld;
	size_t k_ld;
	const float *q; /* (L_q, q_ld) */
	const float *k; /* (L_k, k_ld) */
	const float *v; /* (L_k, k_ld) */
	float *d_q;
	float *d_k;
	float *d_v;
	float *probs; /* (L_q, L_k) */
	Dropout dropout;
	float *tile;       /* (L_q, L_k) */
	float *tile2;      /* (L_q, L_k) */
	float *distances;  /* (L, D) with D = L_q + L_k - 1 */
	float *d_distance; /* (2P - 1, head_size): this part's sums */
	float *d_bias;     /* (RELATIVE_BUCKETS, heads): this part's sums */
} Pair;

static void
pair_open(const PairTask *task, size_t part, int worker, size_t sequence, size_t head, Pair *pair)
{
	const AttentionParameters *parameters = task->run->parameters;
	const AttentionShape *shape = task->run->shape;
	size_t width = parameters->heads * parameters->head_size;
	bool self = parameters->key_value.out == 0;
	size_t q_at;
	size_t k_at;
	size_t row_bytes;
	uint8_t *bits = NULL;

	pair->worker = worker;
	pair->number = sequence * parameters->heads + head;
	pair->head = head;
	pair->sequence = sequence;
	pair->queries = (size_t) (shape->q_offsets[sequence + 1] - shape->q_offsets[sequence]);
	pair->keys = (size_t) (shape->k_offsets[sequence + 1] - shape->k_offsets[sequence]);
	pair->at = (size_t) shape->q_offsets[sequence] * width + head * parameters->head_size;
	pair->q_ld = self ? 3 * width : width;
	pair->k_ld = self ? 3 * width : 2 * width;
	q_at = (size_t) shape->q_offsets[sequence] * pair->q_ld + head * parameters->head_size;
	k_at = (size_t) shape->k_offsets[sequence] * pair->k_ld + head * parameters->head_size +
		   (self ? width : 0);
	pair->q = task->run->saved->q + q_at;
	pair->k = (self ? task->run->saved->q : task->run->saved->kv) + k_at;
	pair->v = pair->k + width;
	pair->d_q = task->run->scratch->d_q + q_at;
	pair->d_k = (self ? task->run->scratch->d_q : task->run->scratch->d_kv) + k_at;
	pair->d_v = pair->d_k + width;
	pair->probs = task->run->saved->probs + shape->cells[sequence] * parameters->heads +
				  head * pair->queries * pair->keys;
	row_bytes = dropout_row_bytes(pair->keys);
	if (task->run->saved->prob_bits != NULL)
		bits = task->run->saved->prob_bits + shape->bit_rows[sequence] * parameters->heads +
			   head * pair->queries * row_bytes;
	pair->dropout = train_dropout_make(bits, task->run->dropout.probs, task->run->dropout.seed,
									   task->run->dropout.site, pair->number);
	pair->tile = task->run->scratch->tiles + part * task->run->scratch->tile_floats;
	pair->tile2 = pair->tile + shape->longest_q * shape->longest_k;
	pair->distances = pair->tile2 + shape->longest_q * shape->longest_k;
	pair->d_distance = pair->tile + task->run->scratch->tile_floats -
					   (2 * parameters->max_positions - 1) * parameters->head_size;
	pair->d_bias =
		pair->tile + task->run->scratch->tile_floats - RELATIVE_BUCKETS * parameters->heads;
}

/* Calls `visit` for this part's pairs: contiguous, of about equal cost. */
static void
visit_pairs(PairTask *task, size_t part, int worker,
			void (*visit)(const PairTask *task, const Pair *pair))
{
	const AttentionShape *shape = task->run->shape;
	size_t heads = task->run->parameters->heads;
	size_t parts = (size_t) task->compute->threads;
	size_t total = shape->cells[shape->n_sequences] * heads;

	for (size_t sequence = 0; sequence < shape->n_sequences; sequence++)
		for (size_t head = 0; head < heads; head++)
		{
			size_t cost = shape->cells[sequence + 1] - shape->cells[sequence];
			size_t before = shape->cells[sequence] * heads + head * cost;
			Pair pair;

			if (total == 0 || before * parts / total != part)
				continue;
			pair_open(task, part, worker, sequence, head, &pair);
			visit(task, &pair);
		}
}

/*
 * Relative positions: the distance l - r of query l and key r is row l - r + P - 1 of the
 * embedding; those of a pair are D = L_q + L_k - 1 neighbouring rows, the first of which is this
 * one.
 */
static size_t
first_distance(const PairTask *task, const Pair *pair)
{
	return task->run->parameters->max_positions - pair->keys;
}

/* scores[l][r] += x[side][l - r + L_k - 1], x = q E^T (by query) or k E^T (by key) */
static void
add_distances(const PairTask *task, const Pair *pair, bool by_query)
{
	size_t size = task->run->parameters->head_size;
	size_t n_rows = by_query ? pair->queries : pair->keys;
	size_t count = pair->queries + pair->keys - 1;

	compute_product(
		task->compute, pair->worker,
		&(SgemmCall){.transpose_b = true,
					 .m = n_rows,
					 .n = count,
					 .k = size,
					 .a = by_query ? pair->q : pair->k,
					 .lda = by_query ? pair->q_ld : pair->k_ld,
					 .b = task->run->parameters->distance + first_distance(task, pair) * size,
					 .ldb = size,
					 .c = pair->distances,
					 .ldc = count});
	for (size_t l = 0; l < pair->queries; l++)
		for (size_t r = 0; r < pair->keys; r++)
			pair->probs[l * pair->keys + r] +=
				pair->distances[(by_query ? l : r) * count + l + pair->keys - 1 - r];
}

/*
 * Biases by distance. The scores are scaled by the softmax, which adds no biases: they are added
 * before it, divided by the scale. list[r - l + L_q - 1] is that of query l and key r.
 */
static void
add_biases(const PairTask *task, const Pair *pair)
{
	const AttentionParameters *parameters = task->run->parameters;
	float root = sqrtf((float) parameters->head_size);
	float *list = pair->distances;

	for (size_t i = 0; i + 1 < pair->queries + pair->keys; i++)
		list[i] =
			root * parameters->bias[relative_bucket((int64_t) i + 1 - (int64_t) pair->queries) *
										parameters->heads +
									pair->head];
	for (size_t l = 0; l < pair->queries; l++)
		task->compute->kernels->axpy(pair->keys, 1.0f, list + pair->queries - 1 - l,
									 pair->probs + l * pair->keys);
}

/* The other way: d_scores, before the scale, to the part's sums. */
static void
biases_backward(const PairTask *task, const Pair *pair)
{
	const AttentionParameters *parameters = task->run->parameters;
	float root = sqrtf((float) parameters->head_size);
	float *list = pair->distances;

	memset(list, 0, (pair->queries + pair->keys) * sizeof(float));
	for (size_t l = 0; l < pair->queries; l++)
		task->compute->kernels->axpy(pair->keys, 1.0f, pair->tile + l * pair->keys,
									 list + pair->queries - 1 - l);
	for (size_t i = 0; i + 1 < pair->queries + pair->keys; i++)
		pair->d_bias[relative_bucket((int64_t) i + 1 - (int64_t) pair->queries) *
						 parameters->heads +
					 pair->head] += root * list[i];
}

static void
forward_pair(const PairTask *task, const Pair *pair)
{
	const AttentionParameters *parameters = task->run->parameters;
	size_t size = parameters->head_size;
	size_t width = parameters->heads * size;
	float *dropped = pair->dropout.bits == NULL ? NULL : pair->tile;

	compute_product(task->compute, pair->worker,
					&(SgemmCall){.transpose_b = true,
								 .m = pair->queries,
								 .n = pair->keys,
								 .k = size,
								 .a = pair->q,
								 .lda = pair->q_ld,
								 .b = pair->k,
								 .ldb = pair->k_ld,
								 .c = pair->probs,
								 .ldc = pair->keys});
	if (parameters->distance != NULL)
	{
		add_distances(task, pair, true);
		if (parameters->positions == POSITION_RELATIVE_KEY_QUERY)
			add_distances(task, pair, false);
	}
	if (parameters->bias != NULL)
		add_biases(task, pair);
	if (task->run->shape->key_mask != NULL)
		for (size_t r = 0; r < pair->keys; r++)
			if (task->run->shape
					->key_mask[(size_t) task->run->shape->k_offsets[pair->sequence] + r] == 0)
				for (size_t l = 0; l < pair->queries; l++)
					pair->probs[l * pair->keys + r] = -FLT_MAX;
	if (dropped != NULL)
		task->compute->kernels->dropout_bits(&pair->dropout.key, 0, pair->queries, pair->keys,
											 pair->dropout.bits);
	task->compute->kernels->softmax_forward(
		&(SoftmaxCall){.m = pair->queries,
					   .n = pair->keys,
					   .scale = 1.0f / sqrtf((float) size),
					   .causal_from = task->run->shape->causal ? 0 : SIZE_MAX,
					   .bits = pair->dropout.bits,
					   .keep_scale = pair->dropout.key.scale},
		pair->probs, dropped);
	compute_product(task->compute, pair->worker,
					&(SgemmCall){.m = pair->queries,
								 .n = size,
								 .k = pair->keys,
								 .a = dropped == NULL ? pair->probs : dropped,
								 .lda = pair->keys,
								 .b = pair->v,
								 .ldb = pair->k_ld,
								 .c = task->run->saved->context + pair->at,
								 .ldc = width});
}

/* The other way: d_scores to the rows (d_rows += ...) and to the distance embedding. */
static void
distances_backward(const PairTask *task, const Pair *pair, bool by_query)
{
	size_t size = task->run->parameters->head_size;
	size_t n_rows = by_query ? pair->queries : pair->keys;
	size_t ld = by_query ? pair->q_ld : pair->k_ld;
	size_t count = pair->queries + pair->keys - 1;
	size_t first = first_distance(task, pair);

	memset(pair->distances, 0, n_rows * count * sizeof(float));
	for (size_t l = 0; l < pair->queries; l++)
		for (size_t r = 0; r < pair->keys; r++)
			pair->distances[(by_query ? l : r) * count + l + pair->keys - 1 - r] =
				pair->tile[l * pair->keys + r];
	compute_product(task->compute, pair->worker,
					&(SgemmCall){.accumulate = true,
								 .m = n_rows,
								 .n = size,
								 .k = count,
								 .a = pair->distances,
								 .lda = count,
								 .b = task->run->parameters->distance + first * size,
								 .ldb = size,
								 .c = by_query ? pair->d_q : pair->d_k,
								 .ldc = ld});
	compute_product(task->compute, pair->worker,
					&(SgemmCall){.transpose_a = true,
								 .accumulate = true,
								 .m = count,
								 .n = size,
								 .k = n_rows,
								 .a = pair->distances,
								 .lda = count,
								 .b = by_query ? pair->q : pair->k,
								 .ldb = ld,
								 .c = pair->d_distance + first * size,
								 .ldc = size});
}

/* d_v = dropout(probs)^T d_context; tile = d_probs = d_context v^T */
static void
context_backward(const PairTask *task, const Pair *pair)
{
	size_t size = task->run->parameters->head_size;
	size_t width = task->run->parameters->heads * size;
	const float *d_context = task->run->scratch->d_context + pair->at;
	const float *dropped = pair->probs;

	if (pair->dropout.bits != NULL)
	{
		memcpy(pair->tile2, pair->probs, pair->queries * pair->keys * sizeof(float));
		task->compute->kernels->dropout_apply(pair->queries, pair->keys, pair->dropout.bits,
											  pair->dropout.key.scale, pair->tile2, pair->keys);
		dropped = pair->tile2;
	}
	compute_product(task->compute, pair->worker,
					&(SgemmCall){.transpose_a = true,
								 .m = pair->keys,
								 .n = size,
								 .k = pair->queries,
								 .a = dropped,
								 .lda = pair->keys,
								 .b = d_context,
								 .ldb = width,
								 .c = pair->d_v,
								 .ldc = pair->k_ld});
	compute_product(task->compute, pair->worker,
					&(SgemmCall){.transpose_b = true,
								 .m = pair->queries,
								 .n = pair->keys,
								 .k = size,
								 .a = d_context,
								 .lda = width,
								 .b = pair->v,
								 .ldb = pair->k_ld,
								 .c = pair->tile,
								 .ldc = pair->keys});
}

/* With tile = d_scores: d_q = tile k; d_k = tile^T q */
static void
scores_backward(const PairTask *task, const Pair *pair)
{
	size_t size = task->run->parameters->head_size;

	compute_product(task->compute, pair->worker,
					&(SgemmCall){.m = pair->queries,
								 .n = size,
								 .k = pair->keys,
								 .a = pair->tile,
								 .lda = pair->keys,
								 .b = pair->k,
								 .ldb = pair->k_ld,
								 .c = pair->d_q,
								 .ldc = pair->q_ld});
	compute_product(task->compute, pair->worker,
					&(SgemmCall){.transpose_a = true,
								 .m = pair->keys,
								 .n = size,
								 .k = pair->queries,
								 .a = pair->tile,
								 .lda = pair->keys,
								 .b = pair->q,
								 .ldb = pair->q_ld,
								 .c = pair->d_k,
								 .ldc = pair->k_ld});
}

static void
backward_pair(const PairTask *task, const Pair *pair)
{
	const AttentionParameters *parameters = task->run->parameters;

	context_backward(task, pair);
	task->compute->kernels->softmax_backward(
		&(SoftmaxCall){.m = pair->queries,
					   .n = pair->keys,
					   .scale = 1.0f / sqrtf((float) parameters->head_size),
					   .bits = pair->dropout.bits,
					   .keep_scale = pair->dropout.key.scale},
		pair->probs, pair->tile);
	scores_backward(task, pair);
	if (parameters->distance != NULL)
	{
		distances_backward(task, pair, true);
		if (parameters->positions == POSITION_RELATIVE_KEY_QUERY)
			distances_backward(task, pair, false);
	}
	if (parameters->bias != NULL)
		biases_backward(task, pair);
}

static void
forward_task(void *context, size_t part, int worker)
{
	visit_pairs(context, part, worker, forward_pair);
}

/* The sums over all pairs that each part makes of its own, at the end of its tiles. */
static size_t
sum_floats(const AttentionParameters *parameters)
{
	return parameters->distance != NULL
			   ? (2 * parameters->max_positions - 1) * parameters->head_size
		   : parameters->bias != NULL ? RELATIVE_BUCKETS * parameters->heads
									  : 0;
}

static void
backward_task(void *context, size_t part, int worker)
{
	PairTask *task = context;
	size_t floats = sum_floats(task->run->parameters);

	memset(task->run->scratch->tiles + (part + 1) * task->run->scratch->tile_floats - floats, 0,
		   floats * sizeof(float));
	visit_pairs(task, part, worker, backward_pair);
}

/* The LayerNorm at the block's end. */
static NormCall
output_norm(const AttentionRun *run)
{
	const AttentionDropout *dropout = &run->dropout;
	const AttentionSaved *saved = run->saved;

	return (NormCall){.norm = &run->parameters->norm,
					  .dropout = train_dropout_make(saved->bits, dropout->hidden, dropout->seed,
													dropout->site + 1, 0),
					  .m = (size_t) run->shape->q_offsets[run->shape->n_sequences],
					  .sum = saved->sum,
					  .mean = saved->mean,
					  .rstd = saved->rstd};
}

void
train_attention_forward(Compute *compute, const AttentionRun *run)
{
	const AttentionParameters *parameters = run->parameters;
	const AttentionSaved *saved = run->saved;
	NormCall norm = output_norm(run);
	PairTask task = {compute, run};

	train_linear_forward(compute, &parameters->query, norm.m, run->x, saved->q);
	if (parameters->key_value.out != 0)
		train_linear_forward(compute, &parameters->key_value,
							 (size_t) run->shape->k_offsets[run->shape->n_sequences], run->states,
							 saved->kv);
	threadpool_run(compute->pool, (size_t) compute->threads, forward_task, &task);
	train_linear_forward(compute, &parameters->output, norm.m, saved->context, saved->sum);
	train_norm_forward(compute, &norm, run->x, saved->out);
}

/* gradient += the sums of all parts, in order */
static void
add_sums(Compute *compute, const AttentionRun *run, float *gradient)
{
	const AttentionScratch *scratch = run->scratch;
	size_t floats = sum_floats(run->parameters);

	for (int part = 0; part < compute->threads; part++)
		compute->kernels->axpy(floats, 1.0f,
							   scratch->tiles + (size_t) (part + 1) * scratch->tile_floats - floats,
							   gradient);
}

void
train_attention_backward(Compute *compute, const AttentionRun *run, const float *dy, float *dx,
						 bool want_dx)
{
	const AttentionParameters *parameters = run->parameters;
	const AttentionScratch *scratch = run->scratch;
	NormCall norm = output_norm(run);
	size_t queries = norm.m;
	PairTask task = {compute, run};
	float *d_output;

	d_output = train_norm_backward(compute, &norm, dy, dx, scratch->d_x, parameters->output.d_bias);
	train_linear_backward_weight(compute, &parameters->output, queries, run->saved->context,
								 d_output);
	train_linear_backward_input(compute, &parameters->output, queries, d_output, false,
								scratch->d_context);
	threadpool_run(compute->pool, (size_t) compute->threads, backward_task, &task);
	if (parameters->d_distance != NULL)
		add_sums(compute, run, parameters->d_distance);
	if (parameters->d_bias != NULL)
		add_sums(compute, run, parameters->d_bias);
	train_linear_backward_weight(compute, &parameters->query, queries, run->x, scratch->d_q);
	train_linear_backward_bias(compute, &parameters->query, queries, scratch->d_q);
	if (parameters->key_value.out != 0)
	{
		size_t keys = (size_t) run->shape->k_offsets[run->shape->n_sequences];

		train_linear_backward_weight(compute, &parameters->key_value, keys, run->states,
									 scratch->d_kv);
		train_linear_backward_bias(compute, &parameters->key_value, keys, scratch->d_kv);
	}
	if (want_dx)
		train_linear_backward_input(compute, &parameters->query, queries, scratch->d_q, true, dx);
}
