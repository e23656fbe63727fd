/* workspace.c: scratch memory of a forward pass, and the linear layer that uses it. */
#include <string.h>

#include "core/checked.h"
#include "nn/forward.h"

/*
 * Rows that go from the attention to the second norm before the next ones do, so that what lies in
 * between stays in L2, and tokens of short texts that are multiplied together. bench/bench_encoder
 * measures both.
 */
#define BLOCK_ROWS 128
#define SPAN_TOKENS 192

/* A chunk of the arena may leave as much unused at its end; see arena.c. */
#define ARENA_SLACK ((size_t) 260 * 1024)

static size_t
max_size(size_t a, size_t b)
{
	return a > b ? a : b;
}

/* The allocations of a workspace, in order; filled by plan, taken by create. */
typedef struct WorkspacePlan
{
	size_t block_rows;
	size_t query_key_value;
	size_t context;
	size_t attended;
	size_t intermediate;
	size_t scores;
	size_t cross_query;
	size_t cross_key_value;
	size_t rows;
	size_t gemm_scratch;
	size_t attention_scratch;
	size_t general_scratch;
} WorkspacePlan;

static size_t
scratch_for(const BertModel *model, size_t n, size_t k)
{
	return max_size(model->kernels->gemm_scratch_size(model->precision, n, k),
					model->kernels->gemm_scratch_size(PRECISION_FP32, n, k));
}

static bool
workspace_plan(const BertModel *model, const WorkspaceShape *shape, WorkspacePlan *plan)
{
	const Kernels *kernels = model->kernels;
	size_t hidden = model->hidden_size;
	size_t intermediate = (size_t) model->config.intermediate_size;
	size_t embedding = model->embedding_size;
	size_t widest_in = max_size(max_size(hidden, embedding), intermediate);
	size_t state_bytes = hidden * sizeof(float);
	size_t attended_bytes = max_size(hidden, embedding) * sizeof(float);
	size_t widest_out =
		max_size(max_size(3 * hidden, intermediate),
				 max_size((size_t) model->config.vocab_size, (size_t) model->config.num_labels));
	size_t block_rows = shape->n_tokens < BLOCK_ROWS ? shape->n_tokens : BLOCK_ROWS;

	memset(plan, 0, sizeof *plan);
	if (shape->n_encoder_tokens > block_rows)
		block_rows = shape->n_encoder_tokens < BLOCK_ROWS ? shape->n_encoder_tokens : BLOCK_ROWS;
	plan->block_rows = block_rows;
	if (!size_mul(shape->n_tokens, 3 * state_bytes, &plan->query_key_value) ||
		!size_mul(shape->n_tokens, state_bytes, &plan->context) ||
		!size_mul(shape->n_encoder_tokens > 0 ? shape->n_tokens : block_rows, attended_bytes,
				  &plan->attended) ||
		!size_mul(max_size(shape->longest, shape->n_encoder_tokens), sizeof(float), &plan->scores))
		return false;
	if (shape->n_encoder_tokens > 0)
	{
		plan->cross_query = plan->context;
		if (!size_mul(shape->n_encoder_tokens, 2 * state_bytes, &plan->cross_key_value))
			return false;
	}
	plan->rows = max_size(kernels->rows_size(model->precision, block_rows, widest_in),
						  kernels->rows_size(PRECISION_FP32, block_rows, widest_in));
	plan->intermediate = kernels->rows_size(model->precision, block_rows, intermediate);
	plan->gemm_scratch = max_size(scratch_for(model, widest_out, max_size(hidden, embedding)),
								  scratch_for(model, max_size(hidden, embedding), intermediate));
	plan->attention_scratch =
		kernels->attention_scratch_size(model->precision, shape->longest, model->head_size);
	if (shape->general_queries > 0)
		return attention_general_size(model, shape->general_queries,
									  max_size(shape->longest, shape->n_encoder_tokens),
									  &plan->general_scratch);
	return true;
}

bool
workspace_size(const BertModel *model, const WorkspaceShape *shape, size_t *bytes, Status *status)
{
	WorkspacePlan plan;
	size_t sizes[11];

	if (!workspace_plan(model, shape, &plan))
		return status_fail(status, STATUS_LIMIT, "the batch is too large");
	memcpy(sizes, &plan.query_key_value, sizeof sizes);
	for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++)
		if (!size_add(*bytes, sizes[i], bytes) || !size_add(*bytes, ARENA_SLACK, bytes))
			return status_fail(status, STATUS_LIMIT, "the batch is too large");
	return true;
}

/* *failed is set when there is no memory. */
static void *
take(Arena *arena, size_t size, size_t *failed)
{
	void *pointer = size == 0 ? NULL : arena_alloc(arena, size);

	if (pointer == NULL && size != 0)
		*failed = size;
	return pointer;
}

bool
workspace_create(const BertModel *model, const WorkspaceShape *shape, Arena *arena,
				 const MayContinue *question, Workspace *workspace, Status *status)
{
	WorkspacePlan plan;
	size_t failed = 0;

	if (!workspace_plan(model, shape, &plan))
		return status_fail(status, STATUS_LIMIT, "the batch is too large");
	workspace->model = model;
	workspace->kernels = model->kernels;
	workspace->question = question;
	workspace->allow_strassen = false;
	workspace->block_rows = plan.block_rows;
	workspace->bytes_from = SIZE_MAX;
	if (model->precision == PRECISION_INT8)
		workspace->bytes_from = model->kernels->attention_bytes_from(
			model->head_size, (size_t) model->config.max_position_embeddings);
	workspace->step_flops =
		strcmp(model->kernels->name, "portable") == 0 ? STEP_FLOPS_PORTABLE : STEP_FLOPS;
	workspace->query_key_value = take(arena, plan.query_key_value, &failed);
	workspace->context = take(arena, plan.context, &failed);
	workspace->attended = take(arena, plan.attended, &failed);
	workspace->intermediate = take(arena, plan.intermediate, &failed);
	workspace->scores = take(arena, plan.scores, &failed);
	workspace->cross_query = take(arena, plan.cross_query, &failed);
	workspace->cross_key_value = take(arena, plan.cross_key_value, &failed);
	workspace->rows = take(arena, plan.rows, &failed);
	workspace->gemm_scratch = take(arena, plan.gemm_scratch, &failed);
	workspace->attention_scratch = take(arena, plan.attention_scratch, &failed);
	workspace->general_scratch = take(arena, plan.general_scratch, &failed);
	return failed == 0 || arena_fail(arena, status, "a forward pass", failed);
}

Span
span_next(const Workspace *workspace, const Batch *batch, size_t first_sequence, size_t alone_from)
{
	const int32_t *cu_seqlens = batch->cu_seqlens;
	Span span = {first_sequence, first_sequence + 1, (size_t) cu_seqlens[first_sequence],
				 (size_t) cu_seqlens[first_sequence + 1]};
	bool in_bytes;

	if (span.end - span.first >= alone_from)
		return span;
	in_bytes = span.end - span.first >= workspace->bytes_from;
	while (span.end_sequence < batch->n_sequences)
	{
		size_t end = (size_t) cu_seqlens[span.end_sequence + 1];

		if (batch->encoder_hidden_states == NULL &&
			(end - span.first > SPAN_TOKENS ||
			 (end - span.end >= workspace->bytes_from) != in_bytes))
			break;
		if (end - span.end >= alone_from)
			break;
		span.end = end;
		span.end_sequence++;
	}
	return span;
}

size_t
span_longest(size_t n_tokens, size_t longest)
{
	size_t span = max_size(SPAN_TOKENS, longest);

	return n_tokens < span ? n_tokens : span;
}

size_t
linear_step(const Workspace *workspace, const LinearParams *linear, size_t left)
{
	size_t step = workspace->step_flops / (2 * linear->weight.n * linear->weight.k) + 1;
	size_t steps;

	step = step < workspace->block_rows ? step : workspace->block_rows;
	steps = (left + step - 1) / step;
	return (left + steps - 1) / steps;
}

void
linear_forward_bf16(Workspace *workspace, const LinearParams *linear, size_t m, const float *x,
					size_t ldx, uint16_t *y, size_t ldy)
{
	const Kernels *kernels = workspace->kernels;
	const PackedMatrix *w = &linear->weight;
	GemmEpilogue epilogue = {linear->bias, ACTIVATION_NONE, NULL, 0, false};

	kernels->gemm_bf16(w, m, kernels->rows_convert(w->precision, m, w->k, x, ldx, workspace->rows),
					   y, ldy, &epilogue, workspace->gemm_scratch);
}

bool
linear_forward(Workspace *workspace, const LinearParams *linear, const LinearCall *call,
			   Status *status)
{
	const Kernels *kernels = workspace->kernels;
	const PackedMatrix *w = &linear->weight;
	size_t count;

	for (size_t row = 0; row < call->m; row += count)
	{
		GemmEpilogue epilogue = {linear->bias, call->activation,
								 call->residual == NULL ? NULL
														: call->residual + row * call->residual_ld,
								 call->residual_ld, workspace->allow_strassen};
		Rows rows;

		count = linear_step(workspace, linear, call->m - row);
		if (!may_continue(workspace->question, status))
			return false;
		rows = kernels->rows_convert(w->precision, count, w->k, call->x + row * call->ldx,
									 call->ldx, workspace->rows);
		kernels->gemm(w, count, rows, call->y + row * call->ldy, call->ldy, &epilogue,
					  workspace->gemm_scratch);
	}
	return true;
}

void
norm_forward(const Workspace *workspace, const NormParams *norm, size_t m, float *x)
{
	size_t n = norm->n;
	LayerNorm layer_norm = {n, norm->weight, norm->bias, workspace->model->config.layer_norm_eps};

	workspace->kernels->layer_norm(&layer_norm, m, x, n, x, n);
}
