/* pooling.c: forward beside backward. */
#include "train/pooling.h"

#include <math.h>
#include <string.h>

#define SELU_SCALE 1.0507009873554805f
#define SELU_ALPHA 1.6732632423543772f

static size_t
pooled_columns(const SentenceParameters *sentence, size_t hidden)
{
	return (size_t) sentence->pooling.n * hidden;
}

size_t
train_pooling_columns(const SentenceParameters *sentence, size_t hidden)
{
	return sentence->n_dense > 0 ? sentence->dense[sentence->n_dense - 1].out
								 : pooled_columns(sentence, hidden);
}

void
train_pooling_layout(const SentenceParameters *sentence, size_t sequences, size_t hidden,
					 bool backward, Bump *bump, PoolingSaved *saved)
{
	size_t columns = train_pooling_columns(sentence, hidden);
	size_t widest = pooled_columns(sentence, hidden);

	memset(saved, 0, sizeof *saved);
	saved->pooled = bump_floats(bump, sequences, widest);
	for (int i = 0; i < sentence->n_dense; i++)
	{
		size_t out = sentence->dense[i].out;

		saved->sums[i] = bump_floats(bump, sequences, out);
		saved->outputs[i] = bump_floats(bump, sequences, out);
		widest = out > widest ? out : widest;
	}
	saved->embeddings = bump_floats(bump, sequences, columns);
	if (!backward)
		return;
	saved->d_embeddings = bump_floats(bump, sequences, columns);
	saved->d_wide[0] = bump_floats(bump, sequences, widest);
	saved->d_wide[1] = bump_floats(bump, sequences, widest);
}

/* What the last step before normalizing gave: (B, D). */
static const float *
unnormalized(const SentenceParameters *sentence, const PoolingSaved *saved)
{
	return sentence->n_dense > 0 ? saved->outputs[sentence->n_dense - 1] : saved->pooled;
}

bool
train_pooling_forward(Compute *compute, const SentenceParameters *sentence,
					  const PoolTokens *tokens, const PoolingSaved *saved, Status *status)
{
	size_t m = tokens->n_sequences;
	size_t columns = train_pooling_columns(sentence, tokens->n);
	const float *x = saved->pooled;

	for (int i = 0; i < sentence->pooling.n; i++)
		if (!pool_tokens(tokens, sentence->pooling.modes[i], pooled_columns(sentence, tokens->n),
						 saved->pooled + (size_t) i * tokens->n))
			return status_fail(status, STATUS_UNSUPPORTED,
							   "embeddings of the pooling layer cannot be trained");
	for (int i = 0; i < sentence->n_dense; i++)
	{
		const Linear *dense = &sentence->dense[i];

		train_linear_forward(compute, dense, m, x, saved->sums[i]);
		for (size_t j = 0; j < m * dense->out; j++)
			saved->outputs[i][j] = dense_activate(sentence->activation[i], saved->sums[i][j]);
		x = saved->outputs[i];
	}
	memcpy(saved->embeddings, x, m * columns * sizeof(float));
	if (sentence->normalize)
		normalize_rows(m, columns, saved->embeddings);
	return true;
}

/* --- Back --- */

static float
sigmoid(float x)
{
	return 1.0f / (1.0f + expf(-x));
}

/* The derivative at x, as torch.nn's backwards have it where there are two. */
static float
activation_derivative(DenseActivation activation, float x)
{
	float y = dense_activate(activation, x);
	float s = sigmoid(x);

	switch (activation)
	{
		case DENSE_TANH:
			return 1.0f - y * y;
		case DENSE_RELU:
			return x > 0.0f ? 1.0f : 0.0f;
		case DENSE_GELU:
			return 0.5f * (1.0f + erff(x * 0.70710678118654752f)) +
				   x * 0.3989422804014327f * expf(-0.5f * x * x);
		case DENSE_SIGMOID:
			return y * (1.0f - y);
		case DENSE_SILU:
			return s * (1.0f + x * (1.0f - s));
		case DENSE_LEAKY_RELU:
			return x > 0.0f ? 1.0f : 0.01f;
		case DENSE_ELU:
			return x > 0.0f ? 1.0f : expf(x);
		case DENSE_SELU:
			return SELU_SCALE * (x > 0.0f ? 1.0f : SELU_ALPHA * expf(x));
		case DENSE_RELU6:
			return x > 0.0f && x < 6.0f ? 1.0f : 0.0f;
		case DENSE_MISH:
		{
			float t = tanhf(x > 20.0f ? x : log1pf(expf(x)));

			return t + x * s * (1.0f - t * t);
		}
		case DENSE_SOFTPLUS:
			return x > 20.0f ? 1.0f : s;
		case DENSE_SOFTSIGN:
			return 1.0f / ((1.0f + fabsf(x)) * (1.0f + fabsf(x)));
		case DENSE_HARDTANH:
			return x > -1.0f && x < 1.0f ? 1.0f : 0.0f;
		case DENSE_HARDSIGMOID:
			return x > -3.0f && x < 3.0f ? 1.0f / 6.0f : 0.0f;
		case DENSE_HARDSWISH:
			return x <= -3.0f ? 0.0f : x < 3.0f ? x / 3.0f + 0.5f : 1.0f;
		case DENSE_LOG_SIGMOID:
			return sigmoid(-x);
		case DENSE_TANHSHRINK:
			return tanhf(x) * tanhf(x);
		case DENSE_IDENTITY:
		case DENSE_ACTIVATION_COUNT:
			break;
	}
	return 1.0f;
}

/* d (m, n), the gradient of unit vectors y, becomes that of the vectors x. */
static void
normalize_backward(const Compute *compute, size_t m, size_t n, const float *x, const float *y,
				   float *d)
{
	for (size_t row = 0; row < m; row++, x += n, y += n, d += n)
	{
		double length = fmax(sqrt(compute->kernels->dot(n, x, x)), 1e-12);
		double along = compute->kernels->dot(n, y, d);

		for (size_t i = 0; i < n; i++)
			d[i] = (float) (((double) d[i] - along * (double) y[i]) / length);
	}
}

/* The Dense modules back: d (B, D) to the gradient of saved->pooled, which is returned. */
static float *
dense_backward(Compute *compute, const SentenceParameters *sentence, size_t m,
			   const PoolingSaved *saved, float *d)
{
	for (int i = sentence->n_dense - 1; i >= 0; i--)
	{
		const Linear *dense = &sentence->dense[i];
		const float *x = i == 0 ? saved->pooled : saved->outputs[i - 1];
		float *dx = saved->d_wide[i % 2];

		for (size_t j = 0; j < m * dense->out; j++)
			d[j] *= activation_derivative(sentence->activation[i], saved->sums[i][j]);
		train_linear_backward_weight(compute, dense, m, x, d);
		if (dense->bias != NULL)
			train_linear_backward_bias(compute, dense, m, d);
		train_linear_backward_input(compute, dense, m, d, false, dx);
		d = dx;
	}
	return d;
}

/* One sequence's tokens first .. end - 1, of which all count. */
typedef struct PooledTokens
{
	size_t n; /* H */
	size_t start;
	size_t first;
	size_t end;
	const float *hidden; /* (T, H) */
	float *d_hidden;     /* (T, H) */
} PooledTokens;

/* The gradient d (n) of the largest (n), to the first token that has it. */
static void
max_backward(const PooledTokens *tokens, const float *largest, const float *d)
{
	for (size_t i = 0; i < tokens->n; i++)
		for (size_t t = tokens->first; t < tokens->end; t++)
			if (tokens->hidden[t * tokens->n + i] == largest[i])
			{
				tokens->d_hidden[t * tokens->n + i] += d[i];
				break;
			}
}

/* The gradient d (n) of a weighted sum of the tokens. */
static void
sum_backward(const Compute *compute, const PooledTokens *tokens, Pooling pooling, const float *d)
{
	double count = (double) (tokens->end - tokens->first);
	/* the sum of the weights start + 1 .. end, counted from the sequence's first token */
	double weights =
		((double) (tokens->first - tokens->start + 1) + (double) (tokens->end - tokens->start)) *
		count / 2;

	for (size_t t = tokens->first; t < tokens->end; t++)
	{
		double weight = pooling == POOLING_MEAN ? 1 / count
						: pooling == POOLING_MEAN_SQRT_LENGTH
							? 1 / sqrt(count)
							: (double) (t - tokens->start + 1) / weights;

		compute->kernels->axpy(tokens->n, (float) weight, d, tokens->d_hidden + t * tokens->n);
	}
}

static void
pool_backward(const Compute *compute, const PooledTokens *tokens, Pooling pooling,
			  const float *pooled, const float *d)
{
	size_t n = tokens->n;

	if (pooling == POOLING_MAX)
		max_backward(tokens, pooled, d);
	else if (pooling == POOLING_CLS)
		compute->kernels->axpy(n, 1.0f, d, tokens->d_hidden + tokens->first * n);
	else if (pooling == POOLING_LAST_TOKEN)
		compute->kernels->axpy(n, 1.0f, d, tokens->d_hidden + (tokens->end - 1) * n);
	else
		sum_backward(compute, tokens, pooling, d);
}

void
train_pooling_backward(Compute *compute, const SentenceParameters *sentence,
					   const PoolTokens *tokens, const PoolingSaved *saved, float *d_hidden)
{
	size_t m = tokens->n_sequences;
	size_t columns = train_pooling_columns(sentence, tokens->n);
	size_t stride = pooled_columns(sentence, tokens->n);
	const float *d;

	if (sentence->normalize)
		normalize_backward(compute, m, columns, unnormalized(sentence, saved), saved->embeddings,
						   saved->d_embeddings);
	d = dense_backward(compute, sentence, m, saved, saved->d_embeddings);
	for (size_t b = 0; b < m && d_hidden != NULL; b++)
	{
		size_t start = (size_t) tokens->cu_seqlens[b];
		PooledTokens own = {tokens->n,
							start,
							start + (tokens->skip == NULL ? 0 : tokens->skip[b]),
							(size_t) tokens->cu_seqlens[b + 1],
							tokens->hidden,
							d_hidden};

		for (int i = 0; i < sentence->pooling.n; i++)
		{
			size_t at = b * stride + (size_t) i * tokens->n;

			pool_backward(compute, &own, sentence->pooling.modes[i], saved->pooled + at, d + at);
		}
	}
}
