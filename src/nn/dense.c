/* dense.c: the Dense modules of sentence-transformers, and what torch.nn's activations do. */
#include <math.h>

#include "nn/forward.h"

#define DENSE_ROWS 128

static float
softplus(float x)
{
	return x > 20.0f ? x : log1pf(expf(x));
}

static float
clamp(float x, float low, float high)
{
	return x < low ? low : x > high ? high : x;
}

/* The classes of torch.nn with their default settings. */
float
dense_activate(DenseActivation activation, float x)
{
	switch (activation)
	{
		case DENSE_TANH:
			return tanhf(x);
		case DENSE_RELU:
			return x > 0.0f ? x : 0.0f;
		case DENSE_GELU:
			return 0.5f * x * (1.0f + erff(x * 0.70710678118654752f));
		case DENSE_SIGMOID:
			return 1.0f / (1.0f + expf(-x));
		case DENSE_SILU:
			return x / (1.0f + expf(-x));
		case DENSE_LEAKY_RELU:
			return x > 0.0f ? x : 0.01f * x;
		case DENSE_ELU:
			return x > 0.0f ? x : expm1f(x);
		case DENSE_SELU:
			return 1.0507009873554805f * (x > 0.0f ? x : 1.6732632423543772f * expm1f(x));
		case DENSE_RELU6:
			return clamp(x, 0.0f, 6.0f);
		case DENSE_MISH:
			return x * tanhf(softplus(x));
		case DENSE_SOFTPLUS:
			return softplus(x);
		case DENSE_SOFTSIGN:
			return x / (1.0f + fabsf(x));
		case DENSE_HARDTANH:
			return clamp(x, -1.0f, 1.0f);
		case DENSE_HARDSIGMOID:
			return clamp(x + 3.0f, 0.0f, 6.0f) / 6.0f;
		case DENSE_HARDSWISH:
			return x * clamp(x + 3.0f, 0.0f, 6.0f) / 6.0f;
		case DENSE_LOG_SIGMOID:
			return x < 0.0f ? x - log1pf(expf(x)) : -log1pf(expf(-x));
		case DENSE_TANHSHRINK:
			return x - tanhf(x);
		case DENSE_IDENTITY:
		case DENSE_ACTIVATION_COUNT:
			break;
	}
	return x;
}

bool
dense_linear(const BertModel *model, const LinearParams *linear, const DenseCall *call,
			 Arena *arena, const MayContinue *question, Status *status)
{
	const Kernels *kernels = model->kernels;
	size_t in = linear->weight.k;
	size_t out = linear->weight.n;
	Workspace workspace = {.model = model,
						   .kernels = kernels,
						   .question = question,
						   .block_rows = call->m < DENSE_ROWS ? call->m : DENSE_ROWS,
						   .step_flops = STEP_FLOPS_PORTABLE};
	size_t rows = kernels->rows_size(PRECISION_FP32, workspace.block_rows, in);
	size_t scratch = kernels->gemm_scratch_size(PRECISION_FP32, out, in);

	workspace.rows = rows == 0 ? NULL : arena_alloc(arena, rows);
	workspace.gemm_scratch = scratch == 0 ? NULL : arena_alloc(arena, scratch);
	if ((rows > 0 && workspace.rows == NULL) || (scratch > 0 && workspace.gemm_scratch == NULL))
		return arena_fail(arena, status, "a Dense module", rows + scratch);
	return linear_forward(&workspace, linear,
						  &(LinearCall){.m = call->m,
										.x = call->x,
										.ldx = in,
										.y = call->y,
										.ldy = out,
										.activation = ACTIVATION_NONE},
						  status);
}

bool
dense_forward(const BertModel *model, size_t m, const float *x, float *out, Arena *arena,
			  const MayContinue *question, Status *status)
{
	int last = model->config.n_dense - 1;

	for (int i = 0; i <= last; i++)
	{
		size_t columns = model->dense[i].weight.n;
		float *y = i == last ? out : arena_alloc_array(arena, m, columns * sizeof *y);

		if (y == NULL)
			return arena_fail(arena, status, "a Dense module", m * columns * sizeof *y);
		if (!dense_linear(model, &model->dense[i], &(DenseCall){m, x, y}, arena, question, status))
			return false;
		for (size_t j = 0; j < m * columns; j++)
			y[j] = dense_activate(model->config.dense[i].activation, y[j]);
		x = y;
	}
	return true;
}
