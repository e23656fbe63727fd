/*
 * attention_general.c: attention with masks, relative positions, causal order, other keys than the
 * queries' own, and its probabilities as an output. The common case goes through the kernels' fast
 * path.
 *
 * Blocks of TILE queries go through the GEMM, keys and values having been packed as its weights,
 * head by head. The terms of relative positions come from the same GEMM: a block of TILE queries
 * and TILE keys has 2 TILE - 1 distances, whose embeddings, a window of the table, are packed once
 * for all heads; each row of the products is then added to the scores with a shift of its own. A
 * few queries alone (a token that is generated) are done key by key.
 */
#include <float.h>
#include <string.h>

#include "core/checked.h"
#include "nn/forward.h"

#define TILE 64
#define WINDOW (2 * TILE) /* distances of a block, and one column that is zero */
#define FEW_QUERIES 8
#define ALIGNMENT 64

/* Dot products between two questions. */
#define DOTS_PER_STEP 200000

/* Parts of the scratch memory, offsets in bytes. */
typedef struct GeneralLayout
{
	size_t keys;       /* packed (keys, head_size) */
	size_t values;     /* packed (head_size, keys) */
	size_t transposed; /* (head_size, keys), or a window (WINDOW, head_size) */
	size_t scores;     /* (TILE, keys) */
	size_t tile;       /* (TILE, WINDOW) */
	size_t gemm;       /* the GEMM's own */
	size_t bias;       /* of a head, by distance: (queries + keys) */
	size_t windows;    /* packed, one after the other */
	size_t window_bytes;
	size_t n_windows;
	size_t total;
} GeneralLayout;

static size_t
blocks_of(size_t n)
{
	return (n + TILE - 1) / TILE;
}

static bool
general_layout(const BertModel *model, size_t n_queries, size_t n_keys, GeneralLayout *layout)
{
	const Kernels *kernels = model->kernels;
	size_t head_size = model->head_size;
	bool positions = model->config.position_embedding_type != POSITION_ABSOLUTE;
	size_t widest = n_keys > head_size ? n_keys : head_size;
	size_t key_floats;
	size_t score_floats;
	size_t window_bytes;
	size_t bias_bytes;

	widest = widest > WINDOW ? widest : WINDOW;
	layout->n_windows = positions ? blocks_of(n_queries) + blocks_of(n_keys) - 1 : 0;
	layout->window_bytes =
		size_align(kernels->gemm_packed_size(PRECISION_FP32, WINDOW, head_size), ALIGNMENT);
	if (n_keys > SIZE_MAX / 4096 || !size_mul(widest, head_size * sizeof(float), &key_floats) ||
		!size_mul(n_keys, TILE * sizeof(float), &score_floats) ||
		!size_mul(layout->n_windows, layout->window_bytes, &window_bytes) ||
		!size_mul(model->embeddings.attention_bias == NULL ? 0 : n_queries + n_keys, sizeof(float),
				  &bias_bytes))
		return false;
	{
		const struct
		{
			size_t *offset;
			size_t size;
		} parts[] = {
			{&layout->keys, kernels->gemm_packed_size(PRECISION_FP32, n_keys, head_size)},
			{&layout->values, kernels->gemm_packed_size(PRECISION_FP32, head_size, n_keys)},
			{&layout->transposed, key_floats},
			{&layout->scores, score_floats},
			{&layout->tile, TILE * WINDOW * sizeof(float)},
			{&layout->gemm, kernels->gemm_scratch_size(PRECISION_FP32, widest, widest)},
			{&layout->bias, bias_bytes},
			{&layout->windows, window_bytes},
		};

		layout->total = 0;
		for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++)
		{
			*parts[i].offset = layout->total;
			if (!size_add(layout->total, size_align(parts[i].size, ALIGNMENT), &layout->total))
				return false;
		}
	}
	return true;
}

bool
attention_general_size(const BertModel *model, size_t n_queries, size_t n_keys, size_t *bytes)
{
	GeneralLayout layout;

	if (!general_layout(model, n_queries, n_keys, &layout))
		return false;
	*bytes = n_queries < FEW_QUERIES ? 0 : layout.total;
	return true;
}

/* scores (n_keys) of one query of one head, scaled, before the mask */
static void
score_row(const Kernels *kernels, const GeneralAttention *call, size_t head, size_t query,
		  float *scores)
{
	size_t n = call->head_size;
	const float *q = call->q + query * call->q_ld + head * n; /* (head_size) */

	for (size_t key = 0; key < call->n_keys; key++)
	{
		const float *k = call->k + key * call->k_ld + head * n; /* (head_size) */
		float score = kernels->dot(n, q, k);

		if (call->positions != POSITION_ABSOLUTE)
		{
			/* (head_size) */
			const float *distance =
				call->distance + (call->past + query + call->max_positions - 1 - key) * n;

			score += kernels->dot(n, q, distance);
			if (call->positions == POSITION_RELATIVE_KEY_QUERY)
				score += kernels->dot(n, k, distance);
		}
		scores[key] = score * call->scale;
		if (call->bias != NULL)
			scores[key] +=
				call->bias[relative_bucket((int64_t) key - (int64_t) (call->past + query)) *
							   call->n_heads +
						   head];
	}
}

/*
 * The reference adds the lowest float to the scores of hidden keys, which absorbs them: they get no
 * weight, and a query that may see no key at all sees all of them alike.
 */
static void
mask_row(const GeneralAttention *call, size_t query, float *scores)
{
	if (call->key_mask != NULL)
		for (size_t key = 0; key < call->n_keys; key++)
			if (call->key_mask[key] == 0)
				scores[key] = -FLT_MAX;
	if (call->causal)
		for (size_t key = call->past + query + 1; key < call->n_keys; key++)
			scores[key] = -FLT_MAX;
}

static bool
attention_rows(Workspace *workspace, const GeneralAttention *call, Status *status)
{
	const Kernels *kernels = workspace->kernels;
	size_t dots = 0;

	for (size_t head = 0; head < call->n_heads; head++)
		for (size_t query = 0; query < call->n_queries; query++)
		{
			/* (head_size) */
			float *context = call->context + query * call->context_ld + head * call->head_size;
			float *scores = workspace->scores; /* (n_keys) */

			if (dots == 0 && !may_continue(workspace->question, status))
				return false;
			dots = dots + call->n_keys < DOTS_PER_STEP ? dots + call->n_keys : 0;
			if (call->probs != NULL)
				scores = call->probs + (head * call->n_queries + query) * call->n_keys;
			score_row(kernels, call, head, query, scores);
			mask_row(call, query, scores);
			kernels->softmax(1, call->n_keys, scores, call->n_keys);
			memset(context, 0, call->head_size * sizeof(float));
			for (size_t key = 0; key < call->n_keys; key++)
				if (scores[key] != 0.0f)
					kernels->axpy(call->head_size, scores[key],
								  call->v + key * call->v_ld + head * call->head_size, context);
		}
	return true;
}

/* A matrix (rows, ld). */
typedef struct Matrix
{
	const float *data;
	size_t ld;
} Matrix;

/* c (m, n, ldc) = a (m, k) w^T with the packed w (n, k), all fp32 */
static void
product(const Workspace *workspace, const PackedMatrix *w, size_t m, Matrix a, float *c, size_t ldc,
		void *scratch)
{
	Rows rows = workspace->kernels->rows_convert(PRECISION_FP32, m, w->k, a.data, a.ld, NULL);
	const GemmEpilogue nothing = {NULL, ACTIVATION_NONE, NULL, 0, false};

	workspace->kernels->gemm(w, m, rows, c, ldc, &nothing, scratch);
}

/*
 * Window w is that of blocks of queries and keys that are (w - key blocks + 1) blocks apart. Its
 * row TILE - 1 - i + j belongs to query i and key j of the blocks, so that a row of products runs
 * along the keys.
 */
static void
pack_windows(const Workspace *workspace, const GeneralAttention *call, const GeneralLayout *layout,
			 uint8_t *scratch)
{
	size_t n = call->head_size;
	float *window = (float *) (scratch + layout->transposed); /* (WINDOW, head_size) */
	int64_t n_distances = 2 * (int64_t) call->max_positions - 1;

	for (size_t w = 0; w < layout->n_windows; w++)
	{
		int64_t apart = ((int64_t) w - (int64_t) blocks_of(call->n_keys) + 1) * TILE;

		memset(window, 0, WINDOW * n * sizeof(float));
		for (int t = 0; t < WINDOW - 1; t++)
		{
			int64_t distance =
				(int64_t) call->past + apart + (int64_t) call->max_positions - 1 + TILE - 1 - t;

			if (distance >= 0 && distance < n_distances)
				memcpy(window + (size_t) t * n, call->distance + (size_t) distance * n,
					   n * sizeof(float));
		}
		workspace->kernels->gemm_pack(PRECISION_FP32, WINDOW, n, window, n,
									  scratch + layout->windows + w * layout->window_bytes, NULL);
	}
}

/* A block of queries of one head, and their scores. */
typedef struct QueryBlock
{
	size_t head;
	size_t first;
	size_t rows;
	float *scores; /* (rows, n_keys) */
} QueryBlock;

/* Adds the terms of relative positions to the block's scores. */
static void
add_positions(const Workspace *workspace, const GeneralAttention *call, const GeneralLayout *layout,
			  const QueryBlock *block)
{
	uint8_t *scratch = workspace->general_scratch;
	float *tile = (float *) (scratch + layout->tile); /* (TILE, WINDOW) */
	size_t n = call->head_size;
	size_t ld = call->n_keys;
	/* (rows, q_ld) */
	Matrix queries = {call->q + block->first * call->q_ld + block->head * n, call->q_ld};
	const float *keys = call->k + block->head * n; /* (n_keys, k_ld) */

	for (size_t key = 0; key < call->n_keys; key += TILE)
	{
		size_t count = size_min(call->n_keys - key, TILE);
		size_t w = block->first / TILE + blocks_of(call->n_keys) - 1 - key / TILE;
		const PackedMatrix window = {PRECISION_FP32, WINDOW, n,
									 scratch + layout->windows + w * layout->window_bytes};

		product(workspace, &window, block->rows, queries, tile, WINDOW, scratch + layout->gemm);
		for (size_t i = 0; i < block->rows; i++)
			workspace->kernels->axpy(count, 1.0f, tile + i * WINDOW + TILE - 1 - i,
									 block->scores + i * ld + key);
		if (call->positions != POSITION_RELATIVE_KEY_QUERY)
			continue;
		product(workspace, &window, count, (Matrix){keys + key * call->k_ld, call->k_ld}, tile,
				WINDOW, scratch + layout->gemm);
		for (size_t i = 0; i < block->rows; i++)
			for (size_t j = 0; j < count; j++)
				block->scores[i * ld + key + j] += tile[j * WINDOW + TILE - 1 - i + j];
	}
}

/* Packs a head's keys, and its values turned over, into the scratch. */
static void
pack_head(const Workspace *workspace, const GeneralAttention *call, const GeneralLayout *layout,
		  size_t head)
{
	const Kernels *kernels = workspace->kernels;
	uint8_t *scratch = workspace->general_scratch;
	size_t n = call->head_size;
	float *transposed = (float *) (scratch + layout->transposed); /* (head_size, n_keys) */
	const float *values = call->v + head * n;                     /* (n_keys, v_ld) */

	kernels->gemm_pack(PRECISION_FP32, call->n_keys, n, call->k + head * n, call->k_ld,
					   scratch + layout->keys, NULL);
	for (size_t key = 0; key < call->n_keys; key++)
		for (size_t i = 0; i < n; i++)
			transposed[i * call->n_keys + key] = values[key * call->v_ld + i];
	kernels->gemm_pack(PRECISION_FP32, n, call->n_keys, transposed, call->n_keys,
					   scratch + layout->values, NULL);
}

/* The head's biases by distance, from that of the last query and the first key on. */
static void
list_biases(const Workspace *workspace, const GeneralAttention *call, const GeneralLayout *layout,
			size_t head)
{
	float *list = (float *) ((uint8_t *) workspace->general_scratch +
							 layout->bias); /* (queries + keys - 1) */
	int64_t lowest = 1 - (int64_t) (call->past + call->n_queries);

	for (size_t i = 0; i + 1 < call->n_queries + call->n_keys; i++)
		list[i] = call->bias[relative_bucket(lowest + (int64_t) i) * call->n_heads + head];
}

/* The block's context, by its scores. */
static void
attend_block(const Workspace *workspace, const GeneralAttention *call, const GeneralLayout *layout,
			 const QueryBlock *block)
{
	uint8_t *scratch = workspace->general_scratch;
	size_t n = call->head_size;
	size_t n_keys = call->n_keys;
	float *scores = block->scores;
	const PackedMatrix keys = {PRECISION_FP32, n_keys, n, scratch + layout->keys};
	const PackedMatrix values = {PRECISION_FP32, n, n_keys, scratch + layout->values};
	Matrix queries = {call->q + block->first * call->q_ld + block->head * n, call->q_ld};

	product(workspace, &keys, block->rows, queries, scores, n_keys, scratch + layout->gemm);
	if (call->positions != POSITION_ABSOLUTE)
		add_positions(workspace, call, layout, block);
	for (size_t i = 0; i < block->rows * n_keys; i++)
		scores[i] *= call->scale;
	/* the distance of key 0 and query i is -past - i; the head's list begins with the lowest */
	for (size_t i = 0; call->bias != NULL && i < block->rows; i++)
		workspace->kernels->axpy(n_keys, 1.0f,
								 (const float *) (scratch + layout->bias) + call->n_queries - 1 -
									 block->first - i,
								 scores + i * n_keys);
	for (size_t i = 0; i < block->rows; i++)
		mask_row(call, block->first + i, scores + i * n_keys);
	workspace->kernels->softmax(block->rows, n_keys, scores, n_keys);
	product(workspace, &values, block->rows, (Matrix){scores, n_keys},
			call->context + block->first * call->context_ld + block->head * n, call->context_ld,
			scratch + layout->gemm);
}

static bool
attention_tiles(Workspace *workspace, const GeneralAttention *call, Status *status)
{
	uint8_t *scratch = workspace->general_scratch;
	GeneralLayout layout;

	if (!general_layout(workspace->model, call->n_queries, call->n_keys, &layout))
		return status_fail(status, STATUS_LIMIT, "the batch is too large");
	if (call->positions != POSITION_ABSOLUTE)
		pack_windows(workspace, call, &layout, scratch);
	for (size_t head = 0; head < call->n_heads; head++)
	{
		if (!may_continue(workspace->question, status))
			return false;
		pack_head(workspace, call, &layout, head);
		if (call->bias != NULL)
			list_biases(workspace, call, &layout, head);
		for (size_t first = 0; first < call->n_queries; first += TILE)
		{
			QueryBlock block = {head, first, size_min(call->n_queries - first, TILE),
								(float *) (scratch + layout.scores)};

			if (call->probs != NULL)
				block.scores = call->probs + (head * call->n_queries + first) * call->n_keys;
			if (!may_continue(workspace->question, status))
				return false;
			attend_block(workspace, call, &layout, &block);
		}
	}
	return true;
}

bool
attention_general(Workspace *workspace, const GeneralAttention *call, Status *status)
{
	return call->n_queries < FEW_QUERIES ? attention_rows(workspace, call, status)
										 : attention_tiles(workspace, call, status);
}
