/*
 * vector_math.h: exp, the activations, softmax and LayerNorm in terms of an instruction set's
 * primitives (see vector_avx512.h for the list). Included by one file per instruction set.
 *
 * Greatest errors, over all floats: exp 3e-7 relative (below e^-87: zero); GELU 1e-6 absolute or
 * 2e-7 relative (1.3e-4 absolute in products of 8-bit numbers); tanh 3e-7 absolute; SiLU and the
 * tanh GELU 1e-6 of max(1, |x|). NaN gives NaN.
 */

#ifndef HAVE_EXP2
/* 2^x for -0.5 <= x <= 0.5, relative error 8e-8: least-maximum fit */
INLINE vf
v_exp2_fraction(vf x)
{
	vf p = v_set(0.00132765f);

	p = v_fma(p, x, v_set(0.00967554f));
	p = v_fma(p, x, v_set(0.05550713f));
	p = v_fma(p, x, v_set(0.2402212f));
	p = v_fma(p, x, v_set(0.69314697f));
	return v_fma(p, x, v_set(1.00000007f));
}

/* 2^x for x <= 0; 0 below -126 */
INLINE vf
v_exp2_negative(vf x)
{
	vf clamped = v_max(v_set(-150.0f), x);
	vf n = v_round(clamped);

	return v_times_power(v_exp2_fraction(v_sub(clamped, n)), n);
}

/* The same, relative error 8e-5, for results that are rounded to bf16. */
INLINE vf
v_exp2_negative_coarse(vf x)
{
	vf clamped = v_max(v_set(-150.0f), x);
	vf n = v_round(clamped);
	vf f = v_sub(clamped, n);
	vf p = v_set(0.05517167f);

	p = v_fma(p, f, v_set(0.24261112f));
	p = v_fma(p, f, v_set(0.69326099f));
	p = v_fma(p, f, v_set(0.99992807f));
	return v_times_power(p, n);
}

#endif

/* e^x; finite above 88 */
INLINE vf
v_exp(vf x)
{
	vf clamped = v_min(v_set(88.0f), v_max(v_set(-104.0f), x));
	vf n = v_round(v_mul(clamped, v_set(1.44269504f)));
	vf r = v_fnma(n, v_set(0.693359375f), clamped);
	vf p = v_set(0.00138368f);

	r = v_fnma(n, v_set(-2.12194440e-4f), r);
	p = v_fma(p, r, v_set(0.00837482f));
	p = v_fma(p, r, v_set(0.04166823f));
	p = v_fma(p, r, v_set(0.1666642f));
	p = v_fma(p, r, v_set(0.49999992f));
	p = v_fma(p, r, v_set(1.00000004f));
	p = v_fma(p, r, v_set(1.0f));
	return v_times_power(p, n);
}

INLINE vf
v_tanh(vf x)
{
	vf two_x = v_min(v_set(40.0f), v_add(x, x));

	return v_sub(v_set(1.0f), v_div(v_set(2.0f), v_add(v_set(1.0f), v_exp(two_x))));
}

#ifndef HAVE_GELU
/*
 * x Phi(x) by Phi(-a) = exp(-a^2 / 2) t P(t) with t = 1 / (1 + 0.3 a), a = |x|: GELU(x) = max(x, 0)
 * - a Phi(-a). P is a least-maximum fit, relative error 1.5e-7.
 */
INLINE vf
v_gelu(vf x)
{
	vf a = v_min(v_set(14.0f), v_abs(x));
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
	return v_fnma(a, v_mul(v_mul(p, t), e), v_max(v_set(0.0f), x));
}
#endif

#ifndef HAVE_GELU_COARSE
/* for products of 8-bit numbers */
INLINE vf
v_gelu_coarse(vf x)
{
	return v_gelu(x);
}
#endif

/* activation is a constant in the callers that matter, so that this is one of its cases */
INLINE vf
v_activate(Activation activation, vf x)
{
	vf cube;

	switch (activation)
	{
		case ACTIVATION_GELU:
			return v_gelu(x);
		case ACTIVATION_GELU_TANH:
			cube = v_mul(v_mul(x, x), x);
			return v_mul(v_mul(x, v_set(0.5f)),
						 v_add(v_set(1.0f), v_tanh(v_mul(v_set(0.79788456f),
														 v_fma(cube, v_set(0.044715f), x)))));
		case ACTIVATION_RELU:
			return v_max(v_set(0.0f), x);
		case ACTIVATION_SILU:
			return v_div(x, v_add(v_set(1.0f), v_exp(v_sub(v_set(0.0f), x))));
		case ACTIVATION_TANH:
			return v_tanh(x);
		case ACTIVATION_NONE:
			break;
	}
	return x;
}

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

static TARGET void
vector_axpy(size_t n, float a, const float *x, float *y)
{
	vf factor = v_set(a);
	size_t i = 0;

	for (; i + VW <= n; i += VW)
		v_store(y + i, v_fma(factor, v_load(x + i), v_load(y + i)));
	if (i < n)
		v_store_n(y + i, v_fma(factor, v_load_n(x + i, n - i), v_load_n(y + i, n - i)), n - i);
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
vector_layer_norm(size_t m, size_t n, const float *x, size_t ldx, const float *gamma,
				  const float *beta, float eps, float *y, size_t ldy)
{
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
		factor = v_set(1.0f / sqrtf(squares / (float) n + eps));
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
