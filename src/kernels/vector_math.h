/*
 * vector_math.h: exp and the activations in terms of an instruction set's primitives (see
 * vector_avx512.h for the list), for inference and training. Included by one file per instruction
 * set.
 *
 * Greatest errors, over all floats: exp 3e-7 relative (below e^-87: zero); GELU 1e-6 absolute or
 * 2e-7 relative (1.3e-4 absolute in products of 8-bit numbers); tanh 3e-7 absolute; SiLU, the
 * tanh GELU, quick GELU and Mish 1e-6 of max(1, |x|). NaN gives NaN.
 */

/* the first vector of an array of which n >= 1 elements are left: whole, or n elements and zeros */
INLINE vf
load_part(const float *x, size_t n)
{
	return n >= VW ? v_load(x) : v_load_n(x, n);
}

INLINE void
store_part(float *p, vf x, size_t n)
{
	if (n >= VW)
		v_store(p, x);
	else
		v_store_n(p, x, n);
}

/* y = x (k) rounded to bf16; of an odd row the pair is filled up with a 0 */
static inline TARGET void
round_row(size_t k, const float *x, uint16_t *y)
{
	size_t i = 0;

	for (; i + VW <= k; i += VW)
		v_store_bf16(y + i, v_load(x + i));
	for (; i < k; i++)
		y[i] = float_to_bf16(x[i]);
	if (k % 2 != 0)
		y[k] = 0;
}

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

/*
 * Phi(-a), the normal distribution's tail, for a >= 0: exp(-a^2 / 2) t P(t) with t = 1 / (1 + 0.3
 * a). P is a least-maximum fit, relative error 1.5e-7. *bell = exp(-a^2 / 2).
 */
INLINE vf
v_normal_tail(vf a, vf *bell)
{
	vf t = v_div(v_set(1.0f), v_fma(a, v_set(0.3f), v_set(1.0f)));
	vf p = v_set(0.03567797707f);

	*bell = v_exp(v_mul(v_mul(a, a), v_set(-0.5f)));
	p = v_fma(p, t, v_set(-0.1572165781f));
	p = v_fma(p, t, v_set(0.2063770132f));
	p = v_fma(p, t, v_set(-0.05370550657f));
	p = v_fma(p, t, v_set(0.128573307f));
	p = v_fma(p, t, v_set(0.09990992076f));
	p = v_fma(p, t, v_set(0.1207545326f));
	p = v_fma(p, t, v_set(0.119629261f));
	return v_mul(v_mul(p, t), *bell);
}

#ifndef HAVE_GELU
/* x Phi(x) = max(x, 0) - a Phi(-a), a = |x| */
INLINE vf
v_gelu(vf x)
{
	vf a = v_min(v_set(14.0f), v_abs(x));
	vf bell;

	return v_fnma(a, v_normal_tail(a, &bell), v_max(v_set(0.0f), x));
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

/* tanh(ln(1 + e^x)) = n / (n + 2) with n = e^x (e^x + 2); 1 above 20. *e = e^x */
INLINE vf
v_tanh_softplus(vf x, vf *e, vf *n)
{
	*e = v_exp(v_min(v_set(20.0f), x));
	*n = v_mul(*e, v_add(*e, v_set(2.0f)));
	return v_div(*n, v_add(*n, v_set(2.0f)));
}

/* activation is a constant in the callers that matter, so that this is one of its cases */
INLINE vf
v_activate(Activation activation, vf x)
{
	vf cube;
	vf e;

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
		case ACTIVATION_QUICK_GELU:
			return v_div(x, v_add(v_set(1.0f), v_exp(v_mul(v_set(-1.702f), x))));
		case ACTIVATION_MISH:
			return v_mul(x, v_tanh_softplus(x, &e, &cube));
		case ACTIVATION_NONE:
			break;
	}
	return x;
}

static inline TARGET void
vector_axpy(size_t n, float a, const float *x, float *y)
{
	vf factor = v_set(a);
	size_t i = 0;

	for (; i + VW <= n; i += VW)
		v_store(y + i, v_fma(factor, v_load(x + i), v_load(y + i)));
	if (i < n)
		v_store_n(y + i, v_fma(factor, v_load_n(x + i, n - i), v_load_n(y + i, n - i)), n - i);
}
