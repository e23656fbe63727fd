/*
 * test_attention.c: attention_general, which goes by blocks of queries and keys, against plain
 * loops in double precision: masks, causal order, keys from a cache, other keys than queries, both
 * kinds of relative positions, lengths around the blocks' sizes.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <float.h>
#include <math.h>
#include <string.h>

#include "core/rng.h"
#include "near.h"
#include "nn/forward.h"

typedef struct Case
{
	size_t n_queries;
	size_t n_keys;
	size_t past;
	size_t head_size;
	PositionKind positions;
	bool causal;
	bool masked;
	bool probs;
} Case;

static const Case cases[] = {
	{1, 5, 4, 32, POSITION_ABSOLUTE, true, false, false},
	{7, 7, 0, 16, POSITION_RELATIVE_KEY_QUERY, false, true, true},
	{8, 8, 0, 16, POSITION_RELATIVE_KEY_QUERY, false, true, true},
	{64, 64, 0, 32, POSITION_RELATIVE_KEY, false, false, false},
	{65, 63, 0, 33, POSITION_ABSOLUTE, false, true, true},
	{63, 200, 0, 64, POSITION_ABSOLUTE, false, true, false},
	{130, 130, 0, 24, POSITION_RELATIVE_KEY, false, true, false},
	{130, 130, 0, 24, POSITION_RELATIVE_KEY_QUERY, true, false, true},
	{129, 129, 0, 7, POSITION_RELATIVE_KEY_QUERY, false, true, false},
	{70, 200, 130, 40, POSITION_RELATIVE_KEY_QUERY, true, false, true},
	{9, 137, 128, 16, POSITION_RELATIVE_KEY, true, false, false},
	{100, 100, 0, 32, POSITION_ABSOLUTE, true, true, true},
};

#define HEADS ((size_t) 2)

static double
dot(size_t n, const float *x, const float *y)
{
	double sum = 0;

	for (size_t i = 0; i < n; i++)
		sum += (double) x[i] * y[i];
	return sum;
}

static void
plain(const GeneralAttention *call, size_t head, size_t query, double *probs, double *context)
{
	size_t n = call->head_size;
	const float *q = call->q + query * call->q_ld + head * n;
	double largest = -INFINITY;
	double sum = 0;

	for (size_t key = 0; key < call->n_keys; key++)
	{
		const float *k = call->k + key * call->k_ld + head * n;

		probs[key] = dot(n, q, k);
		if (call->positions != POSITION_ABSOLUTE)
		{
			const float *distance =
				call->distance + (call->past + query + call->max_positions - 1 - key) * n;

			probs[key] += dot(n, q, distance);
			if (call->positions == POSITION_RELATIVE_KEY_QUERY)
				probs[key] += dot(n, k, distance);
		}
		probs[key] *= call->scale;
		if ((call->key_mask != NULL && call->key_mask[key] == 0) ||
			(call->causal && key > call->past + query))
			probs[key] = -FLT_MAX;
		largest = fmax(largest, probs[key]);
	}
	for (size_t key = 0; key < call->n_keys; key++)
		sum += probs[key] = exp(probs[key] - largest);
	memset(context, 0, n * sizeof(double));
	for (size_t key = 0; key < call->n_keys; key++)
	{
		probs[key] /= sum;
		for (size_t i = 0; i < n; i++)
			context[i] += probs[key] * call->v[key * call->v_ld + head * n + i];
	}
}

static float *
numbers(Arena *arena, Rng *rng, size_t n)
{
	float *x = arena_alloc_array(arena, n, sizeof(float));

	for (size_t i = 0; i < n; i++)
		x[i] = (float) rng_u32(rng) / 2147483648.0f - 1.0f;
	return x;
}

/* Long: every field of a call and of a workspace is given a value. */
static void
check(const Case *one, const Kernels *kernels)
{
	Arena *arena = arena_create(&allocator_malloc, 0);
	size_t n = one->head_size;
	size_t width = HEADS * n + 3;
	size_t max_positions = one->n_keys;
	BertModel model = {.kernels = kernels,
					   .head_size = n,
					   .hidden_size = HEADS * n,
					   .config.position_embedding_type = one->positions};
	Workspace workspace = {.model = &model, .kernels = kernels};
	size_t bytes;
	double *probs = arena_alloc_array(arena, one->n_keys, sizeof(double));
	double *context = arena_alloc_array(arena, n, sizeof(double));
	uint8_t *mask = arena_alloc_array(arena, one->n_keys, 1);
	Status status;
	Rng rng;
	GeneralAttention call = {
		.n_queries = one->n_queries,
		.n_keys = one->n_keys,
		.n_heads = HEADS,
		.head_size = n,
		.q_ld = width,
		.k_ld = width,
		.v_ld = width,
		.scale = 1.0f / sqrtf((float) n),
		.key_mask = one->masked ? mask : NULL,
		.causal = one->causal,
		.past = one->past,
		.positions = one->positions,
		.max_positions = max_positions,
		.context_ld = width,
	};

	rng_init(&rng, one->n_queries, one->n_keys);
	call.q = numbers(arena, &rng, one->n_queries * width);
	call.k = numbers(arena, &rng, one->n_keys * width);
	call.v = numbers(arena, &rng, one->n_keys * width);
	call.distance = numbers(arena, &rng, (2 * max_positions - 1) * n);
	call.context = numbers(arena, &rng, one->n_queries * width);
	call.probs = one->probs ? numbers(arena, &rng, HEADS * one->n_queries * one->n_keys) : NULL;
	for (size_t key = 0; key < one->n_keys; key++)
		mask[key] = key == 0 || rng_u32(&rng) % 3 != 0;
	assert_true(attention_general_size(&model, one->n_queries, one->n_keys, &bytes));
	workspace.scores = arena_alloc_array(arena, one->n_keys, sizeof(float));
	workspace.general_scratch = arena_alloc(arena, bytes + 64);
	memset(workspace.general_scratch, 0x7F, bytes);
	memset((uint8_t *) workspace.general_scratch + bytes, 0x5A, 64);
	assert_true(attention_general(&workspace, &call, &status));
	for (size_t i = 0; i < 64; i++)
		assert_int_equal(((uint8_t *) workspace.general_scratch)[bytes + i], 0x5A);
	for (size_t head = 0; head < HEADS; head++)
		for (size_t query = 0; query < one->n_queries; query++)
		{
			plain(&call, head, query, probs, context);
			for (size_t i = 0; i < n; i++)
				assert_near(call.context[query * width + head * n + i], context[i], 2e-6);
			for (size_t key = 0; call.probs != NULL && key < one->n_keys; key++)
				assert_near(call.probs[(head * one->n_queries + query) * one->n_keys + key],
							probs[key], 2e-6);
		}
	arena_destroy(arena);
}

static void
test_cases(void **state)
{
	for (const char *const *name = kernels_names(); *name != NULL; name++)
	{
		Status status;
		const Kernels *kernels = kernels_choose(*name, &status);

		for (size_t i = 0; kernels != NULL && i < sizeof cases / sizeof cases[0]; i++)
			check(&cases[i], kernels);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_cases)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
