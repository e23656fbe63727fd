/*
 * vector_pack.h: the packed layout of GEMM weights. Included by vector_table.h.
 *
 * Panels hold PANEL = NV * VW output features, the last padded with zeros. Within a panel, for each
 * group of input features (4 bytes: one fp32, two bf16, four int8), the groups of all the panel's
 * features lie side by side. In front of int8 panels lie one scale and one sum of the quantized
 * weights per (padded) output feature.
 */

static size_t
element_size(Precision precision)
{
	return precision == PRECISION_FP32 ? 4 : precision == PRECISION_BF16 ? 2 : 1;
}

static size_t
groups_of(Precision precision, size_t k)
{
	size_t group = 4 / element_size(precision);

	return (k + group - 1) / group;
}

static size_t
padded_features(size_t n)
{
	return (n + PANEL - 1) / PANEL * PANEL;
}

/* int8: scales and sums in front of the panels */
static size_t
panels_offset(Precision precision, size_t n)
{
	return precision == PRECISION_INT8
			   ? size_align(padded_features(n) * 2 * sizeof(float), ALIGNMENT)
			   : 0;
}

static size_t
vector_gemm_packed_size(Precision precision, size_t n, size_t k)
{
	size_t size;

	if (n > SIZE_MAX / 64 || k > SIZE_MAX / 64 ||
		!size_mul(padded_features(n), groups_of(precision, k) * 4, &size) ||
		!size_add(size, panels_offset(precision, n) + ALIGNMENT, &size))
		return 0;
	return size - ALIGNMENT;
}

static TARGET bool
pack_int8(size_t n, size_t k, const float *w, size_t ld, void *panels, const MayContinue *question)
{
	size_t padded = padded_features(n);
	size_t groups = groups_of(PRECISION_INT8, k);
	float *scales = panels;
	float *sums = scales + padded;
	int8_t *out = (int8_t *) panels + panels_offset(PRECISION_INT8, n);

	for (size_t j = 0; j < padded; j++)
	{
		int8_t *feature = out + (j / PANEL * groups * PANEL + j % PANEL) * 4;
		Int8Scale scale = {0, 0};
		int32_t sum = 0;

		if (j < n)
			scale = int8_scale(INT8_BOUNDED, k, w + j * ld);
		for (size_t i = 0; i < groups * 4; i++)
		{
			int8_t q = j < n && i < k ? int8_weight(w[j * ld + i], scale.inverse) : 0;

			feature[i / 4 * PANEL * 4 + i % 4] = q;
			sum += q;
		}
		scales[j] = scale.scale;
		sums[j] = (float) sum;
		if (!may_continue(question, NULL))
			return false;
	}
	return true;
}

/*
 * Up to VW features of w by up to VW inputs, where the matrix ends; features that do not exist are
 * zeros.
 */
static void
pack_edge(const float *w, size_t ld, size_t features, size_t inputs, uint32_t *to)
{
	for (size_t r = 0; r < VW; r++)
		for (size_t c = 0; c < VW && c < inputs; c++)
			if (r < features)
				memcpy(to + c * PANEL + r, w + r * ld + c, sizeof(float));
			else
				to[c * PANEL + r] = 0;
}

static TARGET bool
pack_fp32(size_t n, size_t k, const float *w, size_t ld, uint32_t *panels,
		  const MayContinue *question)
{
	for (size_t j = 0; j < padded_features(n); j += VW)
	{
		for (size_t i = 0; i < k; i += VW)
		{
			uint32_t *to = panels + j / PANEL * PANEL * k + i * PANEL + j % PANEL;
			const float *from = w + j * ld + i;

			if (j + VW <= n && i + VW <= k)
				g_transpose((const uint8_t *) from, ld * sizeof(float), to, PANEL);
			else
				pack_edge(from, ld, j < n ? n - j : 0, k - i, to);
		}
		if (!may_continue(question, NULL))
			return false;
	}
	return true;
}

static TARGET bool
pack_bf16(size_t n, size_t k, const float *w, size_t ld, uint16_t *panels,
		  const MayContinue *question)
{
	size_t groups = groups_of(PRECISION_BF16, k);

	for (size_t j = 0; j < padded_features(n); j++)
	{
		uint16_t *feature = panels + (j / PANEL * groups * PANEL + j % PANEL) * 2;

		for (size_t i = 0; i < groups * 2; i++)
			feature[i / 2 * PANEL * 2 + i % 2] = float_to_bf16(j < n && i < k ? w[j * ld + i] : 0);
		if (!may_continue(question, NULL))
			return false;
	}
	return true;
}

static TARGET bool
vector_gemm_pack(Precision precision, size_t n, size_t k, const float *w, size_t ld, void *panels,
				 const MayContinue *question)
{
	if (precision == PRECISION_INT8)
		return pack_int8(n, k, w, ld, panels, question);
	if (precision == PRECISION_BF16)
		return pack_bf16(n, k, w, ld, panels, question);
	return pack_fp32(n, k, w, ld, panels, question);
}
