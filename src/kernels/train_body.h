/*
 * train_body.h: the bodies of the training kernels, included by one file per instruction set after
 * its primitives (vector_avx512.h and its sisters) and vector_math.h. Every loop takes the last,
 * partial vector through the same code.
 */
#include "kernels/train_kernels.h"

#define FOR_VECTORS(i, n) for (size_t i = 0; i < (n); i += VW)

/* what a row's dropout bits keep of the vector that begins at column j */
INLINE vf
keep(vf x, const uint8_t *row_bits, size_t j)
{
	uint32_t bits = row_bits[j / 8];

	if (VW < 8)
		bits >>= j % 8;
	if (VW > 8)
		bits |= (uint32_t) row_bits[j / 8 + 1] << 8;
	return v_keep(x, bits);
}

/* The normal distribution at x: *density = phi(x), returns Phi(x). */
INLINE vf
v_normal(vf x, vf *density)
{
	vf bell;
	vf tail = v_normal_tail(v_abs(x), &bell);

	*density = v_mul(bell, v_set(0.39894228f));
	return v_if_positive(x, v_sub(v_set(1.0f), tail), tail);
}

INLINE void
quick_gelu_and_derivative(vf x, vf *y, vf *derivative)
{
	vf one = v_set(1.0f);
	vf k = v_set(1.702f);
	vf sigmoid = v_div(one, v_add(one, v_exp(v_sub(v_set(0.0f), v_mul(k, x)))));

	*y = v_mul(x, sigmoid);
	*derivative = v_fma(v_mul(k, *y), v_sub(one, sigmoid), sigmoid);
}

/* w + x (1 - w^2) sigmoid(x), w = tanh(ln(1 + e^x)) */
INLINE void
mish_and_derivative(vf x, vf *y, vf *derivative)
{
	vf e;
	vf n;
	vf w = v_tanh_softplus(x, &e, &n);
	vf divisor = v_add(n, v_set(2.0f));
	vf slope = v_div(v_mul(v_mul(v_set(4.0f), e), v_add(v_set(1.0f), e)), v_mul(divisor, divisor));

	*y = v_mul(x, w);
	*derivative = v_fma(v_min(v_set(20.0f), x), slope, w);
}

INLINE void
activation_and_derivative(Activation activation, vf x, vf *y, vf *derivative)
{
	vf one = v_set(1.0f);

	switch (activation)
	{
		case ACTIVATION_GELU:
		{
			vf density;
			vf cumulative = v_normal(x, &density);

			*y = v_mul(x, cumulative);
			*derivative = v_fma(x, density, cumulative);
			break;
		}
		case ACTIVATION_GELU_TANH:
		{
			vf square = v_mul(x, x);
			vf k = v_set(0.79788456f);
			vf t = v_tanh(v_mul(v_mul(k, x), v_fma(square, v_set(0.044715f), one)));
			vf half = v_fma(t, v_set(0.5f), v_set(0.5f));
			vf slope = v_mul(v_mul(k, v_fma(square, v_set(3 * 0.044715f), one)),
							 v_fma(v_sub(v_set(0.0f), t), t, one));

			*y = v_mul(x, half);
			*derivative = v_fma(v_mul(x, v_set(0.5f)), slope, half);
			break;
		}
		case ACTIVATION_RELU:
			*y = v_max(x, v_set(0.0f));
			*derivative = v_if_positive(x, one, v_set(0.0f));
			break;
		case ACTIVATION_SILU:
		{
			vf sigmoid = v_div(one, v_add(one, v_exp(v_sub(v_set(0.0f), x))));

			*y = v_mul(x, sigmoid);
			*derivative = v_fma(v_mul(*y, v_sub(one, sigmoid)), one, sigmoid);
			break;
		}
		case ACTIVATION_QUICK_GELU:
			quick_gelu_and_derivative(x, y, derivative);
			break;
		case ACTIVATION_MISH:
			mish_and_derivative(x, y, derivative);
			break;
		case ACTIVATION_TANH:
			*y = v_tanh(x);
			*derivative = v_fma(v_sub(v_set(0.0f), *y), *y, one);
			break;
		default:
			*y = x;
			*derivative = one;
	}
}

INLINE void
activation_loop(Activation activation, size_t n, float *u, float *y)
{
	FOR_VECTORS (i, n)
	{
		vf value;
		vf derivative;

		activation_and_derivative(activation, load_part(u + i, n - i), &value, &derivative);
		store_part(y + i, value, n - i);
		store_part(u + i, derivative, n - i);
	}
}

/* One specialised loop per activation. */
static TARGET void
activation_forward(Activation activation, size_t n, float *u, float *y)
{
	switch (activation)
	{
		case ACTIVATION_GELU:
			activation_loop(ACTIVATION_GELU, n, u, y);
			break;
		case ACTIVATION_GELU_TANH:
			activation_loop(ACTIVATION_GELU_TANH, n, u, y);
			break;
		case ACTIVATION_RELU:
			activation_loop(ACTIVATION_RELU, n, u, y);
			break;
		case ACTIVATION_SILU:
			activation_loop(ACTIVATION_SILU, n, u, y);
			break;
		case ACTIVATION_TANH:
			activation_loop(ACTIVATION_TANH, n, u, y);
			break;
		case ACTIVATION_QUICK_GELU:
			activation_loop(ACTIVATION_QUICK_GELU, n, u, y);
			break;
		case ACTIVATION_MISH:
			activation_loop(ACTIVATION_MISH, n, u, y);
			break;
		default:
			activation_loop(ACTIVATION_NONE, n, u, y);
	}
}

static TARGET void
activation_backward(size_t m, size_t n, const float *derivative, float *dy, float *bias_gradient)
{
	for (size_t row = 0; row < m; row++, derivative += n, dy += n)
		FOR_VECTORS (i, n)
		{
			vf gradient = v_mul(load_part(dy + i, n - i), load_part(derivative + i, n - i));

			store_part(dy + i, gradient, n - i);
			store_part(bias_gradient + i, v_add(load_part(bias_gradient + i, n - i), gradient),
					   n - i);
		}
}

static TARGET void
column_sum(size_t m, size_t n, const float *x, size_t ld, float *out)
{
	for (size_t row = 0; row < m; row++, x += ld)
		FOR_VECTORS (i, n)
			store_part(out + i, v_add(load_part(out + i, n - i), load_part(x + i, n - i)), n - i);
}

static TARGET void
scale_all(size_t n, float a, float *x)
{
	vf factor = v_set(a);

	FOR_VECTORS (i, n)
		store_part(x + i, v_mul(factor, load_part(x + i, n - i)), n - i);
}

static TARGET double
dot(size_t n, const float *x, const float *y)
{
	double sum = 0;

	FOR_VECTORS (i, n)
		sum += v_dot_double(load_part(x + i, n - i), load_part(y + i, n - i));
	return sum;
}

static TARGET double
sum_squares(size_t n, const float *x)
{
	return dot(n, x, x);
}

/* Philox4x32-10 of VW neighbouring positions; their 8 decisions each go to one byte. */
static TARGET void
dropout_bits(const DropoutKey *key, size_t first_row, size_t m, size_t columns, uint8_t *bits)
{
	size_t row_bytes = dropout_row_bytes(columns);
	size_t n = m * row_bytes;
	uint64_t first = (uint64_t) first_row * row_bytes;
	vu threshold = u_set(key->threshold);

	FOR_VECTORS (i, n)
	{
		vu c0 = u_count((uint32_t) (first + i));
		vu c1 = u_set((uint32_t) ((first + i) >> 32));
		vu c2 = u_set((uint32_t) key->stream);
		vu c3 = u_set((uint32_t) (key->stream >> 32));
		uint32_t key0 = (uint32_t) key->seed;
		uint32_t key1 = (uint32_t) (key->seed >> 32);
		vu out = u_set(0);

		for (int round = 0; round < 10; round++)
		{
			vu next0 = u_xor3(u_mul_high(u_set(0xCD9E8D57u), c2), c1, u_set(key0));
			vu next2 = u_xor3(u_mul_high(u_set(0xD2511F53u), c0), c3, u_set(key1));

			c1 = u_mul_low(u_set(0xCD9E8D57u), c2);
			c3 = u_mul_low(u_set(0xD2511F53u), c0);
			c0 = next0;
			c2 = next2;
			key0 += 0x9E3779B9u;
			key1 += 0xBB67AE85u;
		}
		out = u_compare(out, c0, 0, threshold, 1);
		out = u_compare(out, c0, 1, threshold, 2);
		out = u_compare(out, c1, 0, threshold, 4);
		out = u_compare(out, c1, 1, threshold, 8);
		out = u_compare(out, c2, 0, threshold, 16);
		out = u_compare(out, c2, 1, threshold, 32);
		out = u_compare(out, c3, 0, threshold, 64);
		out = u_compare(out, c3, 1, threshold, 128);
		u_store_bytes(bits + i, out, n - i);
	}
}

static TARGET void
dropout_apply(size_t m, size_t n, const uint8_t *bits, float scale, float *x, size_t ld)
{
	vf factor = v_set(scale);

	for (size_t row = 0; row < m; row++, x += ld, bits += dropout_row_bytes(n))
		FOR_VECTORS (i, n)
			store_part(x + i, keep(v_mul(factor, load_part(x + i, n - i)), bits, i), n - i);
}

static TARGET void
add_norm_forward(const AddNorm *norm, const float *residual, float *x, float *y)
{
	size_t n = norm->n;
	const uint8_t *bits = norm->bits;
	vf factor = v_set(norm->scale);

	for (size_t row = 0; row < norm->m; row++, x += n, y += n)
	{
		vf sum = v_set(0.0f);
		vf squares = v_set(0.0f);
		vf center;
		vf inverse;

		FOR_VECTORS (i, n)
		{
			vf s = load_part(x + i, n - i);

			if (bits != NULL)
				s = keep(v_mul(s, factor), bits, i);
			if (residual != NULL)
				s = v_add(s, load_part(residual + i, n - i));
			store_part(x + i, s, n - i);
			sum = v_add(sum, s);
		}
		norm->mean[row] = v_sum(sum) / (float) n;
		center = v_set(norm->mean[row]);
		FOR_VECTORS (i, n)
		{
			vf d = v_first(v_sub(load_part(x + i, n - i), center), n - i, v_set(0.0f));

			squares = v_fma(d, d, squares);
		}
		norm->rstd[row] = 1.0f / sqrtf(v_sum(squares) / (float) n + norm->eps);
		inverse = v_set(norm->rstd[row]);
		FOR_VECTORS (i, n)
		{
			vf normal = v_mul(v_sub(load_part(x + i, n - i), center), inverse);

			store_part(
				y + i,
				v_fma(normal, load_part(norm->gamma + i, n - i), load_part(norm->beta + i, n - i)),
				n - i);
		}
		if (bits != NULL)
			bits += dropout_row_bytes(n);
		if (residual != NULL)
			residual += n;
	}
}

/* d normal = dy gamma; ds = (d normal - mean(d normal) - normal mean(d normal normal)) rstd */
static TARGET void
add_norm_backward(const AddNorm *norm, const float *dy, const float *s, const AddNormGradients *to)
{
	size_t n = norm->n;
	const float *gamma = norm->gamma;
	const uint8_t *bits = norm->bits;
	vf factor = v_set(norm->scale);
	float *ds = to->ds;
	float *dx = to->dx;

	for (size_t row = 0; row < norm->m; row++, dy += n, s += n, ds += n)
	{
		vf center = v_set(norm->mean[row]);
		vf inverse = v_set(norm->rstd[row]);
		vf sum = v_set(0.0f);
		vf product = v_set(0.0f);

		FOR_VECTORS (i, n)
		{
			vf gradient = load_part(dy + i, n - i);
			vf normal = v_mul(v_sub(load_part(s + i, n - i), center), inverse);
			vf inner = v_mul(gradient, load_part(gamma + i, n - i));

			store_part(to->dgamma + i, v_fma(gradient, normal, load_part(to->dgamma + i, n - i)),
					   n - i);
			store_part(to->dbeta + i, v_add(gradient, load_part(to->dbeta + i, n - i)), n - i);
			sum = v_add(sum, inner);
			product = v_fma(inner, normal, product);
		}
		sum = v_set(v_sum(sum) / (float) n);
		product = v_set(v_sum(product) / (float) n);
		FOR_VECTORS (i, n)
		{
			vf normal = v_mul(v_sub(load_part(s + i, n - i), center), inverse);
			vf inner = v_mul(load_part(dy + i, n - i), load_part(gamma + i, n - i));
			vf gradient = v_mul(v_sub(v_sub(inner, sum), v_mul(normal, product)), inverse);

			store_part(ds + i, gradient, n - i);
			if (bits != NULL)
			{
				gradient = keep(v_mul(gradient, factor), bits, i);
				store_part(dx + i, gradient, n - i);
			}
			if (to->dbias != NULL)
				store_part(to->dbias + i, v_add(gradient, load_part(to->dbias + i, n - i)), n - i);
		}
		if (bits != NULL)
		{
			bits += dropout_row_bytes(n);
			dx += n;
		}
	}
}

static TARGET void
softmax_forward(const SoftmaxCall *call, float *scores, float *dropped)
{
	size_t n = call->n;
	const uint8_t *bits = call->bits;
	vf factor = v_set(call->scale);

	for (size_t row = 0; row < call->m; row++, scores += n)
	{
		bool all = call->causal_from == SIZE_MAX || call->causal_from + row + 1 > n;
		size_t seen = all ? n : call->causal_from + row + 1;
		vf largest = v_set(-INFINITY);
		vf sum = v_set(0.0f);
		vf inverse;

		FOR_VECTORS (j, seen)
		{
			vf x = load_part(scores + j, seen - j);

			largest = v_max(largest, v_first(x, seen - j, v_set(-INFINITY)));
		}
		largest = v_set(v_largest(largest) * call->scale);
		FOR_VECTORS (j, seen)
		{
			vf e = v_exp(v_sub(v_mul(load_part(scores + j, seen - j), factor), largest));

			e = v_first(e, seen - j, v_set(0.0f));
			store_part(scores + j, e, seen - j);
			sum = v_add(sum, e);
		}
		for (size_t j = seen; j < n; j++)
			scores[j] = 0;
		inverse = v_set(1.0f / v_sum(sum));
		FOR_VECTORS (j, n)
		{
			vf p = v_mul(load_part(scores + j, n - j), inverse);

			store_part(scores + j, p, n - j);
			if (bits != NULL)
				store_part(dropped + j, keep(v_mul(p, v_set(call->keep_scale)), bits, j), n - j);
		}
		if (bits != NULL)
		{
			bits += dropout_row_bytes(n);
			dropped += n;
		}
	}
}

static TARGET void
softmax_backward(const SoftmaxCall *call, const float *probs, float *dp)
{
	size_t n = call->n;
	const uint8_t *bits = call->bits;
	vf factor = v_set(call->scale);

	for (size_t row = 0; row < call->m; row++, probs += n, dp += n)
	{
		vf product = v_set(0.0f);

		FOR_VECTORS (j, n)
		{
			vf gradient = load_part(dp + j, n - j);

			if (bits != NULL)
			{
				gradient = keep(v_mul(gradient, v_set(call->keep_scale)), bits, j);
				store_part(dp + j, gradient, n - j);
			}
			product = v_fma(gradient, load_part(probs + j, n - j), product);
		}
		product = v_set(v_sum(product));
		FOR_VECTORS (j, n)
		{
			vf gradient =
				v_mul(load_part(probs + j, n - j), v_sub(load_part(dp + j, n - j), product));

			store_part(dp + j, v_mul(gradient, factor), n - j);
		}
		if (bits != NULL)
			bits += dropout_row_bytes(n);
	}
}

static TARGET double
cross_entropy_row(size_t n, float *logits, size_t label, float scale)
{
	vf largest = v_set(-INFINITY);
	vf sum = v_set(0.0f);
	float top;
	float total;
	float target = logits[label];
	vf factor;

	FOR_VECTORS (j, n)
		largest = v_max(largest, v_first(load_part(logits + j, n - j), n - j, v_set(-INFINITY)));
	top = v_largest(largest);
	FOR_VECTORS (j, n)
	{
		vf e = v_first(v_exp(v_sub(load_part(logits + j, n - j), v_set(top))), n - j, v_set(0.0f));

		store_part(logits + j, e, n - j);
		sum = v_add(sum, e);
	}
	total = v_sum(sum);
	factor = v_set(scale / total);
	FOR_VECTORS (j, n)
		store_part(logits + j, v_mul(load_part(logits + j, n - j), factor), n - j);
	logits[label] -= scale;
	return log((double) total) + top - target;
}

static TARGET void
adamw(size_t n, float *w, const float *g, float *m, float *v, const AdamwStep *step)
{
	vf beta1 = v_set(step->beta1);
	vf beta2 = v_set(step->beta2);
	vf rest1 = v_set(step->rest1);
	vf rest2 = v_set(step->rest2);
	vf gradient_scale = v_set(step->gradient_scale);

	FOR_VECTORS (i, n)
	{
		vf gradient = v_mul(load_part(g + i, n - i), gradient_scale);
		vf first = v_fma(beta1, load_part(m + i, n - i), v_mul(rest1, gradient));
		vf second = v_fma(beta2, load_part(v + i, n - i), v_mul(rest2, v_mul(gradient, gradient)));
		vf weight = load_part(w + i, n - i);
		vf change = v_div(first, v_add(v_sqrt(second), v_set(step->epsilon)));

		weight = v_fma(v_set(-step->step_size), change, weight);
		weight = v_fma(v_set(-step->decay), weight, weight);
		store_part(m + i, first, n - i);
		store_part(v + i, second, n - i);
		store_part(w + i, weight, n - i);
	}
}

#define TRAIN_TABLE(table, family, product)         \
	const TrainKernels table = {                    \
		.name = family,                             \
		.sgemm = product,                           \
		.activation_forward = activation_forward,   \
		.activation_backward = activation_backward, \
		.column_sum = column_sum,                   \
		.axpy = vector_axpy,                        \
		.scale = scale_all,                         \
		.dot = dot,                                 \
		.dropout_bits = dropout_bits,               \
		.dropout_apply = dropout_apply,             \
		.add_norm_forward = add_norm_forward,       \
		.add_norm_backward = add_norm_backward,     \
		.softmax_forward = softmax_forward,         \
		.softmax_backward = softmax_backward,       \
		.cross_entropy_row = cross_entropy_row,     \
		.adamw = adamw,                             \
		.sum_squares = sum_squares,                 \
	}
