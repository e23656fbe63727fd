/*
 * train_body.h: the bodies of the training kernels, included by one file per instruction set after
 * it has defined TARGET, INLINE, WIDTH, TABLE, TABLE_NAME, SGEMM and the v_ (float) and u_ (uint32)
 * primitives. Every loop takes the last, partial vector through the same code, with k elements
 * left.
 */
#include <math.h>
#include <stdbool.h>

#define FOR_VECTORS(i, n) for (size_t i = 0; i < (n); i += WIDTH)

/* kept elements of a row's vector that begins at column j */
INLINE vf
keep(vf x, const uint8_t *row_bits, size_t j)
{
#if WIDTH == 1
	return row_bits[j / 8] >> j % 8 & 1 ? x : 0.0f;
#else
	return v_keep(x, row_bits + j / 8);
#endif
}

/* e^x, relative error about 1e-7; 0 below -87.3, finite above 88 */
INLINE vf
v_exp(vf x)
{
	vf clamped = v_min(v_max(x, v_set(-87.3f)), v_set(88.0f));
	vf n = v_round(v_mul(clamped, v_set(1.44269504f)));
	vf r = v_fma(n, v_set(-0.693359375f), clamped);
	vf p = v_set(1.0f / 5040);

	r = v_fma(n, v_set(2.12194440e-4f), r);
	p = v_fma(p, r, v_set(1.0f / 720));
	p = v_fma(p, r, v_set(1.0f / 120));
	p = v_fma(p, r, v_set(1.0f / 24));
	p = v_fma(p, r, v_set(1.0f / 6));
	p = v_fma(p, r, v_set(0.5f));
	p = v_fma(p, r, v_set(1.0f));
	p = v_fma(p, r, v_set(1.0f));
	return v_if_positive(v_add(x, v_set(87.3f)), v_times_power(p, n), v_set(0.0f));
}

INLINE vf
v_tanh(vf x)
{
	return v_sub(v_set(1.0f), v_div(v_set(2.0f), v_add(v_set(1.0f), v_exp(v_add(x, x)))));
}

/*
 * The normal distribution at x: *density = phi(x), returns Phi(x). Phi(-a) = exp(-a^2 / 2) t P(t)
 * with t = 1 / (1 + 0.3 a); P is a least-maximum fit of its own, relative error 1.5e-7.
 */
INLINE vf
v_normal(vf x, vf *density)
{
	vf a = v_abs(x);
	vf t = v_div(v_set(1.0f), v_fma(a, v_set(0.3f), v_set(1.0f)));
	vf e = v_exp(v_mul(v_mul(a, a), v_set(-0.5f)));
	vf p = v_set(0.03567797707f);

	p = v_fma(p, t, v_set(-0.1572165781f));
	p = v_fma(p, t, v_set(0.2063770132f));
	p = v_fma(p, t, v_set(-0.05370550657f));
	p = v_fma(p, t, v_set(0.128573307f));
	p = v_fma(p, t, v_set(0.09990992076f));
	p = v_fma(p, t, v_set(0.1207545326f));
	p = v_fma(p, t, v_set(0.119629261f));
	p = v_mul(v_mul(p, t), e);
	*density = v_mul(e, v_set(0.39894228f));
	return v_if_positive(x, v_sub(v_set(1.0f), p), p);
}

INLINE void
activate(Activation activation, vf x, vf *y, vf *derivative)
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
activate_all(Activation activation, size_t n, float *u, float *y)
{
	FOR_VECTORS(i, n)
	{
		vf value;
		vf derivative;

		activate(activation, v_load(u + i, n - i), &value, &derivative);
		v_store(y + i, value, n - i);
		v_store(u + i, derivative, n - i);
	}
}

/* One specialised loop per activation. */
static TARGET void
activation_forward(Activation activation, size_t n, float *u, float *y)
{
	switch (activation)
	{
		case ACTIVATION_GELU:
			activate_all(ACTIVATION_GELU, n, u, y);
			break;
		case ACTIVATION_GELU_TANH:
			activate_all(ACTIVATION_GELU_TANH, n, u, y);
			break;
		case ACTIVATION_RELU:
			activate_all(ACTIVATION_RELU, n, u, y);
			break;
		case ACTIVATION_SILU:
			activate_all(ACTIVATION_SILU, n, u, y);
			break;
		case ACTIVATION_TANH:
			activate_all(ACTIVATION_TANH, n, u, y);
			break;
		default:
			activate_all(ACTIVATION_NONE, n, u, y);
	}
}

static TARGET void
activation_backward(size_t m, size_t n, const float *derivative, float *dy, float *bias_gradient)
{
	for (size_t row = 0; row < m; row++, derivative += n, dy += n)
		FOR_VECTORS(i, n)
		{
			vf gradient = v_mul(v_load(dy + i, n - i), v_load(derivative + i, n - i));

			v_store(dy + i, gradient, n - i);
			v_store(bias_gradient + i, v_add(v_load(bias_gradient + i, n - i), gradient), n - i);
		}
}

static TARGET void
column_sum(size_t m, size_t n, const float *x, size_t ld, float *out)
{
	for (size_t row = 0; row < m; row++, x += ld)
		FOR_VECTORS(i, n)
	v_store(out + i, v_add(v_load(out + i, n - i), v_load(x + i, n - i)), n - i);
}

static TARGET void
axpy(size_t n, float a, const float *x, float *y)
{
	vf factor = v_set(a);

	FOR_VECTORS(i, n)
	v_store(y + i, v_fma(factor, v_load(x + i, n - i), v_load(y + i, n - i)), n - i);
}

static TARGET void
scale_all(size_t n, float a, float *x)
{
	vf factor = v_set(a);

	FOR_VECTORS(i, n)
	v_store(x + i, v_mul(factor, v_load(x + i, n - i)), n - i);
}

static TARGET double
dot(size_t n, const float *x, const float *y)
{
	double sum = 0;

	FOR_VECTORS(i, n)
	sum += v_dot_double(v_load(x + i, n - i), v_load(y + i, n - i));
	return sum;
}

static TARGET double
sum_squares(size_t n, const float *x)
{
	return dot(n, x, x);
}

/* Philox4x32-10 of WIDTH neighbouring positions; their 8 decisions each go to one byte. */
static TARGET void
dropout_bits(const DropoutKey *key, size_t first_row, size_t m, size_t columns, uint8_t *bits)
{
	size_t row_bytes = dropout_row_bytes(columns);
	size_t n = m * row_bytes;
	uint64_t first = (uint64_t) first_row * row_bytes;
	vu threshold = u_set(key->threshold);

	FOR_VECTORS(i, n)
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
		FOR_VECTORS(i, n)
	v_store(x + i, keep(v_mul(factor, v_load(x + i, n - i)), bits, i), n - i);
}

static TARGET void
add_norm_forward(size_t m, size_t n, float *x, const float *residual, const uint8_t *bits,
				 float scale, const float *gamma, const float *beta, float eps, float *y,
				 float *mean, float *rstd)
{
	vf factor = v_set(scale);

	for (size_t row = 0; row < m; row++, x += n, y += n)
	{
		vf sum = v_set(0.0f);
		vf squares = v_set(0.0f);
		vf center;
		vf inverse;

		FOR_VECTORS(i, n)
		{
			vf s = v_load(x + i, n - i);

			if (bits != NULL)
				s = keep(v_mul(s, factor), bits, i);
			if (residual != NULL)
				s = v_add(s, v_load(residual + i, n - i));
			v_store(x + i, s, n - i);
			sum = v_add(sum, s);
		}
		mean[row] = v_sum(sum) / (float) n;
		center = v_set(mean[row]);
		FOR_VECTORS(i, n)
		{
			vf d = v_first(v_sub(v_load(x + i, n - i), center), n - i, v_set(0.0f));

			squares = v_fma(d, d, squares);
		}
		rstd[row] = 1.0f / sqrtf(v_sum(squares) / (float) n + eps);
		inverse = v_set(rstd[row]);
		FOR_VECTORS(i, n)
		{
			vf normal = v_mul(v_sub(v_load(x + i, n - i), center), inverse);

			v_store(y + i, v_fma(normal, v_load(gamma + i, n - i), v_load(beta + i, n - i)), n - i);
		}
		if (bits != NULL)
			bits += dropout_row_bytes(n);
		if (residual != NULL)
			residual += n;
	}
}

static TARGET void
add_norm_backward(size_t m, size_t n, const float *dy, const float *s, const float *mean,
				  const float *rstd, const float *gamma, const uint8_t *bits, float scale,
				  float *ds, float *dx, float *dgamma, float *dbeta, float *dbias)
{
	vf factor = v_set(scale);

	for (size_t row = 0; row < m; row++, dy += n, s += n, ds += n)
	{
		vf center = v_set(mean[row]);
		vf inverse = v_set(rstd[row]);
		vf sum = v_set(0.0f);
		vf product = v_set(0.0f);

		/*
		 * d normal = dy gamma; ds = (d normal - mean(d normal) - normal mean(d normal normal)) rstd
		 */
		FOR_VECTORS(i, n)
		{
			vf gradient = v_load(dy + i, n - i);
			vf normal = v_mul(v_sub(v_load(s + i, n - i), center), inverse);
			vf inner = v_mul(gradient, v_load(gamma + i, n - i));

			v_store(dgamma + i, v_fma(gradient, normal, v_load(dgamma + i, n - i)), n - i);
			v_store(dbeta + i, v_add(gradient, v_load(dbeta + i, n - i)), n - i);
			sum = v_add(sum, inner);
			product = v_fma(inner, normal, product);
		}
		sum = v_set(v_sum(sum) / (float) n);
		product = v_set(v_sum(product) / (float) n);
		FOR_VECTORS(i, n)
		{
			vf normal = v_mul(v_sub(v_load(s + i, n - i), center), inverse);
			vf inner = v_mul(v_load(dy + i, n - i), v_load(gamma + i, n - i));
			vf gradient = v_mul(v_sub(v_sub(inner, sum), v_mul(normal, product)), inverse);

			v_store(ds + i, gradient, n - i);
			if (bits != NULL)
			{
				gradient = keep(v_mul(gradient, factor), bits, i);
				v_store(dx + i, gradient, n - i);
			}
			if (dbias != NULL)
				v_store(dbias + i, v_add(gradient, v_load(dbias + i, n - i)), n - i);
		}
		if (bits != NULL)
		{
			bits += dropout_row_bytes(n);
			dx += n;
		}
	}
}

static TARGET void
softmax_forward(size_t m, size_t n, float *scores, float scale, size_t causal_from,
				const uint8_t *bits, float keep_scale, float *dropped)
{
	vf factor = v_set(scale);

	for (size_t row = 0; row < m; row++, scores += n)
	{
		size_t seen =
			causal_from == SIZE_MAX || causal_from + row + 1 > n ? n : causal_from + row + 1;
		vf largest = v_set(-INFINITY);
		vf sum = v_set(0.0f);
		vf inverse;

		FOR_VECTORS(j, seen)
		largest = v_max(largest, v_first(v_load(scores + j, seen - j), seen - j, v_set(-INFINITY)));
		largest = v_set(v_largest(largest) * scale);
		FOR_VECTORS(j, seen)
		{
			vf e = v_exp(v_sub(v_mul(v_load(scores + j, seen - j), factor), largest));

			e = v_first(e, seen - j, v_set(0.0f));
			v_store(scores + j, e, seen - j);
			sum = v_add(sum, e);
		}
		for (size_t j = seen; j < n; j++)
			scores[j] = 0;
		inverse = v_set(1.0f / v_sum(sum));
		if (bits == NULL)
			FOR_VECTORS(j, seen)
		v_store(scores + j, v_mul(v_load(scores + j, seen - j), inverse), seen - j);
		else
		{
			FOR_VECTORS(j, n)
			{
				vf p = v_mul(v_load(scores + j, n - j), inverse);

				v_store(scores + j, p, n - j);
				v_store(dropped + j, keep(v_mul(p, v_set(keep_scale)), bits, j), n - j);
			}
			bits += dropout_row_bytes(n);
			dropped += n;
		}
	}
}

static TARGET void
softmax_backward(size_t m, size_t n, const float *probs, float scale, const uint8_t *bits,
				 float keep_scale, float *dp)
{
	vf factor = v_set(scale);

	for (size_t row = 0; row < m; row++, probs += n, dp += n)
	{
		vf product = v_set(0.0f);

		FOR_VECTORS(j, n)
		{
			vf gradient = v_load(dp + j, n - j);

			if (bits != NULL)
			{
				gradient = keep(v_mul(gradient, v_set(keep_scale)), bits, j);
				v_store(dp + j, gradient, n - j);
			}
			product = v_fma(gradient, v_load(probs + j, n - j), product);
		}
		product = v_set(v_sum(product));
		FOR_VECTORS(j, n)
		{
			vf gradient = v_mul(v_load(probs + j, n - j), v_sub(v_load(dp + j, n - j), product));

			v_store(dp + j, v_mul(gradient, factor), n - j);
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

	FOR_VECTORS(j, n)
	largest = v_max(largest, v_first(v_load(logits + j, n - j), n - j, v_set(-INFINITY)));
	top = v_largest(largest);
	FOR_VECTORS(j, n)
	{
		vf e = v_first(v_exp(v_sub(v_load(logits + j, n - j), v_set(top))), n - j, v_set(0.0f));

		v_store(logits + j, e, n - j);
		sum = v_add(sum, e);
	}
	total = v_sum(sum);
	factor = v_set(scale / total);
	FOR_VECTORS(j, n)
	v_store(logits + j, v_mul(v_load(logits + j, n - j), factor), n - j);
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

	FOR_VECTORS(i, n)
	{
		vf gradient = v_mul(v_load(g + i, n - i), gradient_scale);
		vf first = v_fma(beta1, v_load(m + i, n - i), v_mul(rest1, gradient));
		vf second = v_fma(beta2, v_load(v + i, n - i), v_mul(rest2, v_mul(gradient, gradient)));
		vf weight = v_load(w + i, n - i);
		vf change = v_div(first, v_add(v_sqrt(second), v_set(step->epsilon)));

		weight = v_fma(v_set(-step->step_size), change, weight);
		weight = v_fma(v_set(-step->decay), weight, weight);
		v_store(m + i, first, n - i);
		v_store(v + i, second, n - i);
		v_store(w + i, weight, n - i);
	}
}

const TrainKernels TABLE = {
	.name = TABLE_NAME,
	.sgemm = SGEMM,
	.activation_forward = activation_forward,
	.activation_backward = activation_backward,
	.column_sum = column_sum,
	.axpy = axpy,
	.scale = scale_all,
	.dot = dot,
	.dropout_bits = dropout_bits,
	.dropout_apply = dropout_apply,
	.add_norm_forward = add_norm_forward,
	.add_norm_backward = add_norm_backward,
	.softmax_forward = softmax_forward,
	.softmax_backward = softmax_backward,
	.cross_entropy_row = cross_entropy_row,
	.adamw = adamw,
	.sum_squares = sum_squares,
};
