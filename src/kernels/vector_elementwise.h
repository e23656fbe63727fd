/*
 * vector_elementwise.h: the activations over an array, dot products, softmax and LayerNorm of rows.
 * Included after vector_math.h by one file per instruction set.
 */

INLINE void
activate_all(Activation activation, size_t n, float *x)
{
	size_t i = 0;

	for (; i + VW <= n; i += VW)
		v_store(x + i, v_activate(activation, v_load(x + i)));
	if (i < n)
		v_store_n(x + i, v_activate(activation, v_load_n(x + i, n - i)), n - i);
}

static TARGET void
vector_activation(Activation activation, size_t n, float *x)
{
	switch (activation)
	{
		case ACTIVATION_GELU:
			activate_all(ACTIVATION_GELU, n, x);
			break;
		case ACTIVATION_GELU_TANH:
			activate_all(ACTIVATION_GELU_TANH, n, x);
			break;
		case ACTIVATION_RELU:
			activate_all(ACTIVATION_RELU, n, x);
			break;
		case ACTIVATION_SILU:
			activate_all(ACTIVATION_SILU, n, x);
			break;
		case ACTIVATION_TANH:
			activate_all(ACTIVATION_TANH, n, x);
			break;
		case ACTIVATION_QUICK_GELU:
			activate_all(ACTIVATION_QUICK_GELU, n, x);
			break;
		case ACTIVATION_MISH:
			activate_all(ACTIVATION_MISH, n, x);
			break;
		case ACTIVATION_NONE:
			break;
	}
}

static TARGET float
vector_dot(size_t n, const float *x, const float *y)
{
	vf sum = v_set(0.0f);
	size_t i = 0;

	for (; i + VW <= n; i += VW)
		sum = v_fma(v_load(x + i), v_load(y + i), sum);
	if (i < n)
		sum = v_fma(v_load_n(x + i, n - i), v_load_n(y + i, n - i), sum);
	return v_sum(sum);
}

INLINE float
row_largest(size_t n, const float *x)
{
	vf largest = v_set(-INFINITY);
	float result;
	size_t i = 0;

	for (; i + VW <= n; i += VW)
		largest = v_max(largest, v_load(x + i));
	result = v_largest(largest);
	for (; i < n; i++)
		result = x[i] > result ? x[i] : result;
	return result;
}

/* A row of nothing but -inf becomes NaN, as in the reference. */
static TARGET void
vector_softmax(size_t m, size_t n, float *x, size_t ld)
{
	for (size_t row = 0; row < m; row++, x += ld)
	{
		vf largest = v_set(row_largest(n, x));
		vf total = v_set(0.0f);
		float sum;
		float rest = 0.0f;
		vf inverse;
		size_t i = 0;

		for (; i + VW <= n; i += VW)
		{
			vf e = v_exp(v_sub(v_load(x + i), largest));

			v_store(x + i, e);
			total = v_add(total, e);
		}
		if (i < n)
		{
			v_store_n(x + i, v_exp(v_sub(v_load_n(x + i, n - i), largest)), n - i);
			for (size_t j = i; j < n; j++)
				rest += x[j];
		}
		sum = v_sum(total) + rest;
		inverse = v_set(1.0f / sum);
		for (i = 0; i + VW <= n; i += VW)
			v_store(x + i, v_mul(v_load(x + i), inverse));
		if (i < n)
			v_store_n(x + i, v_mul(v_load_n(x + i, n - i), inverse), n - i);
	}
}

static TARGET void
vector_layer_norm(const LayerNorm *norm, size_t m, const float *x, size_t ldx, float *y, size_t ldy)
{
	const size_t n = norm->n;
	const float *gamma = norm->gamma;
	const float *beta = norm->beta;
	size_t whole = n - n % VW;

	for (size_t row = 0; row < m; row++, x += ldx, y += ldy)
	{
		vf sum0 = v_set(0.0f);
		vf sum1 = v_set(0.0f);
		vf center;
		vf factor;
		float mean;
		float squares;
		float rest = 0.0f;
		size_t i = 0;

		for (; i + 2 * VW <= n; i += 2 * VW)
		{
			sum0 = v_add(sum0, v_load(x + i));
			sum1 = v_add(sum1, v_load(x + i + VW));
		}
		for (; i < n; i += VW)
			sum0 = v_add(sum0, n - i < VW ? v_load_n(x + i, n - i) : v_load(x + i));
		mean = v_sum(v_add(sum0, sum1)) / (float) n;
		center = v_set(mean);
		sum0 = sum1 = v_set(0.0f);
		for (i = 0; i + 2 * VW <= n; i += 2 * VW)
		{
			vf d0 = v_sub(v_load(x + i), center);
			vf d1 = v_sub(v_load(x + i + VW), center);

			sum0 = v_fma(d0, d0, sum0);
			sum1 = v_fma(d1, d1, sum1);
		}
		if (i < whole)
		{
			vf d0 = v_sub(v_load(x + i), center);

			sum0 = v_fma(d0, d0, sum0);
		}
		for (i = whole; i < n; i++)
			rest += (x[i] - mean) * (x[i] - mean);
		squares = v_sum(v_add(sum0, sum1)) + rest;
		factor = v_set(1.0f / sqrtf(squares / (float) n + norm->eps));
		for (i = 0; i < whole; i += VW)
			v_store(y + i, v_fma(v_mul(v_sub(v_load(x + i), center), factor), v_load(gamma + i),
								 v_load(beta + i)));
		if (i < n)
			v_store_n(y + i,
					  v_fma(v_mul(v_sub(v_load_n(x + i, n - i), center), factor),
							v_load_n(gamma + i, n - i), v_load_n(beta + i, n - i)),
					  n - i);
	}
}
