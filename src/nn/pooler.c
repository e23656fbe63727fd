/* pooler.c: BertPooler, and the pooling of sentence embeddings. */
#include <float.h>
#include <math.h>
#include <string.h>

#include "nn/forward.h"

bool
pooler_forward(Workspace *workspace, const Batch *batch, const float *x, float *out, Status *status)
{
	size_t n = workspace->model->hidden_size;

	for (size_t first = 0, count; first < batch->n_sequences; first += count)
	{
		count = batch->n_sequences - first < workspace->block_rows ? batch->n_sequences - first
																   : workspace->block_rows;
		for (size_t b = 0; b < count; b++)
			memcpy(workspace->attended + b * n, x + (size_t) batch->cu_seqlens[first + b] * n,
				   n * sizeof(float));
		if (!linear_forward(workspace, &workspace->model->pooler,
							&(LinearCall){.m = count,
										  .x = workspace->attended,
										  .ldx = n,
										  .y = out + first * n,
										  .ldy = n,
										  .activation = ACTIVATION_TANH},
							status))
			return false;
	}
	return true;
}

/* out (n) of the visible rows among first .. end - 1 of hidden (T, n) */
static void
pool_mean(const float *hidden, const uint8_t *mask, size_t first, size_t end, size_t n, float *out)
{
	size_t count = 0;

	memset(out, 0, n * sizeof(float));
	for (size_t t = first; t < end; t++)
		if (mask == NULL || mask[t] != 0)
		{
			for (size_t i = 0; i < n; i++)
				out[i] += hidden[t * n + i];
			count++;
		}
	for (size_t i = 0; count > 0 && i < n; i++)
		out[i] /= (float) count;
}

/*
 * The sum of the visible rows from first on, token i after start weighed by i + 1, over the sum of
 * the weights.
 */
static void
pool_weighted(const float *hidden, const uint8_t *mask, size_t start, size_t first, size_t end,
			  size_t n, float *out)
{
	double weights = 0.0;

	memset(out, 0, n * sizeof(float));
	for (size_t t = first; t < end; t++)
		if (mask == NULL || mask[t] != 0)
		{
			float weight = (float) (t - start + 1);

			for (size_t i = 0; i < n; i++)
				out[i] += weight * hidden[t * n + i];
			weights += (double) weight;
		}
	for (size_t i = 0; weights > 0.0 && i < n; i++)
		out[i] /= (float) weights;
}

/* The last visible row. */
static void
pool_last(const float *hidden, const uint8_t *mask, size_t first, size_t end, size_t n, float *out)
{
	size_t last = end - 1;

	while (mask != NULL && last > first && mask[last] == 0)
		last--;
	memcpy(out, hidden + last * n, n * sizeof(float));
}

static size_t
count_visible(const uint8_t *mask, size_t first, size_t end)
{
	size_t count = 0;

	for (size_t t = first; t < end; t++)
		count += mask == NULL || mask[t] != 0;
	return count;
}

/* The mean times the square root of the number of tokens. */
static void
pool_mean_sqrt(const float *hidden, const uint8_t *mask, size_t first, size_t end, size_t n,
			   float *out)
{
	float root = sqrtf((float) count_visible(mask, first, end));

	pool_mean(hidden, mask, first, end, n, out);
	for (size_t i = 0; i < n; i++)
		out[i] *= root;
}

static void
pool_max(const float *hidden, const uint8_t *mask, size_t first, size_t end, size_t n, float *out)
{
	for (size_t i = 0; i < n; i++)
		out[i] = -1e9f; /* what the reference gives a hidden token */
	for (size_t t = first; t < end; t++)
		if (mask == NULL || mask[t] != 0)
			for (size_t i = 0; i < n; i++)
				out[i] = hidden[t * n + i] > out[i] ? hidden[t * n + i] : out[i];
}

void
normalize_rows(size_t m, size_t n, float *x)
{
	for (size_t row = 0; row < m; row++, x += n)
	{
		double squares = 0.0;
		float length;

		for (size_t i = 0; i < n; i++)
			squares += (double) x[i] * x[i];
		length = fmaxf((float) sqrt(squares), 1e-12f);
		for (size_t i = 0; i < n; i++)
			x[i] /= length;
	}
}

bool
pool_tokens(const PoolTokens *call, Pooling pooling, size_t stride, float *out)
{
	size_t n = call->n;
	const float *hidden = call->hidden;
	const uint8_t *mask = call->mask;

	for (size_t b = 0; b < call->n_sequences; b++, out += stride)
	{
		size_t start = (size_t) call->cu_seqlens[b];
		size_t end = (size_t) call->cu_seqlens[b + 1];
		size_t first = start + (call->skip == NULL ? 0 : call->skip[b]);

		if (pooling == POOLING_MEAN)
			pool_mean(hidden, mask, first, end, n, out);
		else if (pooling == POOLING_MAX)
			pool_max(hidden, mask, first, end, n, out);
		else if (pooling == POOLING_MEAN_SQRT_LENGTH)
			pool_mean_sqrt(hidden, mask, first, end, n, out);
		else if (pooling == POOLING_WEIGHTED_MEAN)
			pool_weighted(hidden, mask, start, first, end, n, out);
		else if (pooling == POOLING_LAST_TOKEN)
			pool_last(hidden, mask, first, end, n, out);
		else if (pooling == POOLING_CLS)
			memcpy(out, hidden + first * n, n * sizeof(float));
		else
			return false;
	}
	return true;
}

/* The pooler's output to out (B, stride). */
static bool
pool_by_pooler(const BertModel *model, const Batch *batch, const float *hidden, size_t stride,
			   Arena *arena, float *out, Status *status)
{
	size_t n = model->hidden_size;
	WorkspaceShape shape = {batch->n_sequences, 1, 0, 0};
	Workspace workspace;
	float *rows;

	if (!model->has_pooler)
		return status_fail(status, STATUS_INVALID_ARGUMENT, "the model has no pooler");
	rows = arena_alloc_array(arena, batch->n_sequences, n * sizeof *rows);
	if (rows == NULL)
		return arena_fail(arena, status, "a pooling", batch->n_sequences * n * sizeof *rows);
	if (!workspace_create(model, &shape, arena, NULL, &workspace, status) ||
		!pooler_forward(&workspace, batch, hidden, rows, status))
		return false;
	for (size_t b = 0; b < batch->n_sequences; b++)
		memcpy(out + b * stride, rows + b * n, n * sizeof *rows);
	return true;
}

bool
pool_forward(const BertModel *model, const Batch *batch, const float *hidden, const PoolCall *call,
			 Arena *arena, float *out, Status *status)
{
	size_t stride = (size_t) call->modes->n * model->hidden_size;
	PoolTokens tokens = {model->hidden_size,    batch->n_sequences, batch->cu_seqlens,
						 batch->attention_mask, call->skip,         hidden};

	for (int i = 0; i < call->modes->n; i++, out += model->hidden_size)
	{
		Pooling pooling = call->modes->modes[i];

		if (pooling == POOLING_POOLER
				? !pool_by_pooler(model, batch, hidden, stride, arena, out, status)
				: !pool_tokens(&tokens, pooling, stride, out) &&
					  !status_fail(status, STATUS_INTERNAL, "no such pooling"))
			return false;
	}
	return true;
}
