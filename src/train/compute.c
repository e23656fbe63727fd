/* compute.c: linear and norm operations over the thread pool. */
#include "train/compute.h"

#include <math.h>
#include <string.h>

/*
 * Rows and columns are split in multiples of these, so that parts begin at whole vectors, and at
 * whole panels of a product.
 */
#define GRANULE 16
#define PANEL_GRANULE 64

bool
compute_init(Compute *compute, Arena *arena, const TrainKernels *kernels, ThreadPool *pool,
			 size_t widest, Status *status)
{
	memset(compute, 0, sizeof *compute);
	compute->kernels = kernels;
	compute->pool = pool;
	compute->threads = threadpool_size(pool);
	compute->partial_columns = (widest + GRANULE - 1) / GRANULE * GRANULE;
	compute->partials = arena_alloc_array(
		arena, (size_t) compute->threads * 3 * compute->partial_columns, sizeof(float));
	compute->scratch =
		arena_alloc_array(arena, (size_t) compute->threads * SGEMM_SCRATCH_FLOATS, sizeof(float));
	if (compute->scratch == NULL)
		return arena_fail(arena, status, "packed matrices",
						  (size_t) compute->threads * SGEMM_SCRATCH_FLOATS * sizeof(float));
	if (compute->partials == NULL)
		return arena_fail(arena, status, "partial sums",
						  (size_t) compute->threads * 3 * compute->partial_columns * sizeof(float));
	return true;
}

void
compute_part(size_t n, size_t step, size_t parts, size_t part, size_t *from, size_t *to)
{
	size_t granules = (n + step - 1) / step;
	size_t first = granules * part / parts * step;
	size_t last = granules * (part + 1) / parts * step;

	*from = first < n ? first : n;
	*to = last < n ? last : n;
}

/* Zeroed sums of one part: `which` of 3. With one thread the sums go straight to the gradients. */
static float *
partial(Compute *compute, size_t part, int which, size_t n)
{
	float *sums = compute->partials + (part * 3 + (size_t) which) * compute->partial_columns;

	memset(sums, 0, n * sizeof(float));
	return sums;
}

static void
add_partials(Compute *compute, int which, size_t n, float *out)
{
	if (out == NULL)
		return;
	for (int part = 0; part < compute->threads; part++)
		compute->kernels->axpy(n, 1.0f,
							   compute->partials +
								   ((size_t) part * 3 + (size_t) which) * compute->partial_columns,
							   out);
}

void
compute_product(const Compute *compute, int worker, const SgemmCall *call)
{
	compute->kernels->sgemm(call, compute->scratch + (size_t) worker * SGEMM_SCRATCH_FLOATS);
}

typedef struct ProductTask
{
	const Compute *compute;
	const SgemmCall *call;
	bool by_columns;
} ProductTask;

static void
product_task(void *context, size_t part, int worker)
{
	const ProductTask *task = context;
	SgemmCall call = *task->call;
	size_t from;
	size_t to;

	if (task->by_columns)
	{
		compute_part(call.n, PANEL_GRANULE, (size_t) task->compute->threads, part, &from, &to);
		call.n = to - from;
		call.b += call.transpose_b ? from * call.ldb : from;
		call.bias = call.bias == NULL ? NULL : call.bias + from;
		call.c += from;
	}
	else
	{
		compute_part(call.m, GRANULE, (size_t) task->compute->threads, part, &from, &to);
		call.m = to - from;
		call.a += call.transpose_a ? from : from * call.lda;
		call.c += from * call.ldc;
	}
	if (from < to)
		compute_product(task->compute, worker, &call);
}

/*
 * By columns, each thread packs its own of B; by rows each packs all of B. Columns, unless they do
 * not go round.
 */
static void
product(const Compute *compute, SgemmCall *call)
{
	size_t panels = (call->n + PANEL_GRANULE - 1) / PANEL_GRANULE;
	size_t threads = (size_t) compute->threads;
	ProductTask task = {compute, call, panels % threads == 0 || panels >= 8 * threads};

	call->bf16 = compute->bf16;
	threadpool_run(compute->pool, threads, product_task, &task);
}

void
train_linear_forward(Compute *compute, const Linear *linear, size_t m, const float *x, float *y)
{
	product(compute, &(SgemmCall){.transpose_b = true,
								  .m = m,
								  .n = linear->out,
								  .k = linear->in,
								  .a = x,
								  .lda = linear->in,
								  .b = linear->weight,
								  .ldb = linear->in,
								  .bias = linear->bias,
								  .c = y,
								  .ldc = linear->out});
}

void
train_linear_backward_input(Compute *compute, const Linear *linear, size_t m, const float *dy,
							bool accumulate, float *dx)
{
	product(compute, &(SgemmCall){.accumulate = accumulate,
								  .m = m,
								  .n = linear->in,
								  .k = linear->out,
								  .a = dy,
								  .lda = linear->out,
								  .b = linear->weight,
								  .ldb = linear->in,
								  .c = dx,
								  .ldc = linear->in});
}

void
train_linear_backward_weight(Compute *compute, const Linear *linear, size_t m, const float *x,
							 const float *dy)
{
	if (linear->d_weight != NULL)
		product(compute, &(SgemmCall){.transpose_a = true,
									  .accumulate = compute->accumulate,
									  .m = linear->out,
									  .n = linear->in,
									  .k = m,
									  .a = dy,
									  .lda = linear->out,
									  .b = x,
									  .ldb = linear->in,
									  .c = linear->d_weight,
									  .ldc = linear->in});
}

typedef struct BiasTask
{
	Compute *compute;
	size_t m;
	size_t n;
	const float *dy; /* (m, n) */
} BiasTask;

static void
backward_bias_task(void *context, size_t part, int worker)
{
	BiasTask *task = context;
	size_t n = task->n;
	size_t from;
	size_t to;

	compute_part(task->m, GRANULE, (size_t) task->compute->threads, part, &from, &to);
	task->compute->kernels->column_sum(to - from, n, task->dy + from * n, n,
									   partial(task->compute, part, 0, n));
}

void
train_linear_backward_bias(Compute *compute, const Linear *linear, size_t m, const float *dy)
{
	BiasTask task = {compute, m, linear->out, dy};

	if (linear->d_bias == NULL)
		return;
	threadpool_run(compute->pool, (size_t) compute->threads, backward_bias_task, &task);
	add_partials(compute, 0, linear->out, linear->d_bias);
}

Dropout
train_dropout_make(uint8_t *bits, float probability, uint64_t seed, uint64_t site, uint64_t part)
{
	Dropout dropout = {0};
	uint32_t threshold = (uint32_t) lrintf(probability * 65536.0f);

	if (bits == NULL || threshold == 0)
		return dropout;
	if (threshold > 65535)
		threshold = 65535;
	dropout.bits = bits;
	dropout.key.seed = seed;
	dropout.key.stream = site << 32 | part;
	dropout.key.threshold = threshold;
	dropout.key.scale = 65536.0f / (float) (65536 - threshold);
	return dropout;
}

typedef struct RowsTask
{
	Compute *compute;
	const Norm *norm;
	const Dropout *dropout;
	Activation activation;
	bool draw;
	size_t m;
	size_t n;
	const float *in;
	const float *residual;
	const float *mean;
	const float *rstd;
	float *x;
	float *y;
	float *mean_out;
	float *rstd_out;
} RowsTask;

static void
dropout_task(void *context, size_t part, int worker)
{
	RowsTask *task = context;
	const Dropout *dropout = task->dropout;
	size_t row_bytes = dropout_row_bytes(task->n);
	size_t from;
	size_t to;

	compute_part(task->m, GRANULE, (size_t) task->compute->threads, part, &from, &to);
	if (task->draw)
		task->compute->kernels->dropout_bits(&dropout->key, from, to - from, task->n,
											 dropout->bits + from * row_bytes);
	task->compute->kernels->dropout_apply(to - from, task->n, dropout->bits + from * row_bytes,
										  dropout->key.scale, task->x + from * task->n, task->n);
}

void
train_dropout_forward(Compute *compute, const Dropout *dropout, size_t m, size_t n, float *x)
{
	RowsTask task = {.compute = compute, .dropout = dropout, .draw = true, .m = m, .n = n, .x = x};

	if (dropout->bits != NULL)
		threadpool_run(compute->pool, (size_t) compute->threads, dropout_task, &task);
}

void
train_dropout_backward(Compute *compute, const Dropout *dropout, size_t m, size_t n, float *dx)
{
	RowsTask task = {
		.compute = compute, .dropout = dropout, .draw = false, .m = m, .n = n, .x = dx};

	if (dropout->bits != NULL)
		threadpool_run(compute->pool, (size_t) compute->threads, dropout_task, &task);
}

static void
norm_forward_task(void *context, size_t part, int worker)
{
	RowsTask *task = context;
	const Norm *norm = task->norm;
	const TrainKernels *kernels = task->compute->kernels;
	size_t n = norm->n;
	uint8_t *bits = NULL;
	size_t from;
	size_t to;

	compute_part(task->m, GRANULE, (size_t) task->compute->threads, part, &from, &to);
	if (task->dropout->bits != NULL)
	{
		bits = task->dropout->bits + from * dropout_row_bytes(n);
		kernels->dropout_bits(&task->dropout->key, from, to - from, n, bits);
	}
	kernels->add_norm_forward(&(AddNorm){.m = to - from,
										 .n = n,
										 .gamma = norm->gamma,
										 .beta = norm->beta,
										 .eps = norm->eps,
										 .bits = bits,
										 .scale = task->dropout->key.scale,
										 .mean = task->mean_out + from,
										 .rstd = task->rstd_out + from},
							  task->residual == NULL ? NULL : task->residual + from * n,
							  task->x + from * n, task->y + from * n);
}

void
train_norm_forward(Compute *compute, const NormCall *call, const float *residual, float *y)
{
	RowsTask task = {.compute = compute,
					 .norm = call->norm,
					 .dropout = &call->dropout,
					 .m = call->m,
					 .residual = residual,
					 .x = call->sum,
					 .y = y,
					 .mean_out = call->mean,
					 .rstd_out = call->rstd};

	threadpool_run(compute->pool, (size_t) compute->threads, norm_forward_task, &task);
}

static void
norm_backward_task(void *context, size_t part, int worker)
{
	RowsTask *task = context;
	const Norm *norm = task->norm;
	size_t n = norm->n;
	size_t from;
	size_t to;
	bool dropped = task->dropout->bits != NULL;

	compute_part(task->m, GRANULE, (size_t) task->compute->threads, part, &from, &to);
	task->compute->kernels->add_norm_backward(
		&(AddNorm){.m = to - from,
				   .n = n,
				   .gamma = norm->gamma,
				   .bits = dropped ? task->dropout->bits + from * dropout_row_bytes(n) : NULL,
				   .scale = task->dropout->key.scale,
				   .mean = (float *) task->mean + from,
				   .rstd = (float *) task->rstd + from},
		task->in + from * n, task->residual + from * n,
		&(AddNormGradients){.ds = task->x + from * n,
							.dx = dropped ? task->y + from * n : NULL,
							.dgamma = partial(task->compute, part, 0, n),
							.dbeta = partial(task->compute, part, 1, n),
							.dbias = partial(task->compute, part, 2, n)});
}

float *
train_norm_backward(Compute *compute, const NormCall *call, const float *dy, float *d_sum,
					float *d_x, float *d_bias)
{
	RowsTask task = {.compute = compute,
					 .norm = call->norm,
					 .dropout = &call->dropout,
					 .m = call->m,
					 .in = dy,
					 .residual = call->sum,
					 .mean = call->mean,
					 .rstd = call->rstd,
					 .x = d_sum,
					 .y = d_x};

	threadpool_run(compute->pool, (size_t) compute->threads, norm_backward_task, &task);
	add_partials(compute, 0, call->norm->n, call->norm->d_gamma);
	add_partials(compute, 1, call->norm->n, call->norm->d_beta);
	add_partials(compute, 2, call->norm->n, d_bias);
	return call->dropout.bits != NULL ? d_x : d_sum;
}

static void
activation_forward_task(void *context, size_t part, int worker)
{
	RowsTask *task = context;
	size_t from;
	size_t to;

	compute_part(task->m, GRANULE, (size_t) task->compute->threads, part, &from, &to);
	task->compute->kernels->activation_forward(task->activation, (to - from) * task->n,
											   task->x + from * task->n, task->y + from * task->n);
}

void
train_activation_forward(Compute *compute, Activation activation, size_t m, size_t n, float *u,
						 float *y)
{
	RowsTask task = {.compute = compute, .activation = activation, .m = m, .n = n, .x = u, .y = y};

	threadpool_run(compute->pool, (size_t) compute->threads, activation_forward_task, &task);
}

static void
activation_backward_task(void *context, size_t part, int worker)
{
	RowsTask *task = context;
	size_t from;
	size_t to;

	compute_part(task->m, GRANULE, (size_t) task->compute->threads, part, &from, &to);
	task->compute->kernels->activation_backward(to - from, task->n, task->in + from * task->n,
												task->x + from * task->n,
												partial(task->compute, part, 0, task->n));
}

void
train_activation_backward(Compute *compute, size_t m, size_t n, const float *derivative, float *dy,
						  float *d_bias)
{
	RowsTask task = {.compute = compute, .m = m, .n = n, .in = derivative, .x = dy};

	threadpool_run(compute->pool, (size_t) compute->threads, activation_backward_task, &task);
	add_partials(compute, 0, n, d_bias);
}

static void
copy_task(void *context, size_t part, int worker)
{
	RowsTask *task = context;
	size_t from;
	size_t to;

	compute_part(task->n, 1024, (size_t) task->compute->threads, part, &from, &to);
	memcpy(task->y + from, task->in + from, (to - from) * sizeof(float));
}

void
compute_copy(Compute *compute, size_t n, const float *x, float *out)
{
	RowsTask task = {.compute = compute, .n = n, .in = x, .y = out};

	threadpool_run(compute->pool, (size_t) compute->threads, copy_task, &task);
}
