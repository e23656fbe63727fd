/*
 * Embeddings on several threads: the same bits on one and on many, a question that is answered with
 * no, too little memory; and hard negatives.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <math.h>

#include <cmocka.h>

#include "core/rng.h"
#include "model_fixture.h"
#include "near.h"
#include "train/embedder.h"
#include "train/mining.h"

#define TEXTS 400
#define WIDTH 16

typedef struct Setup
{
	Arena *arena;
	Fixture fixture;
	EmbeddingOptions embedding;
	Predictor predictor;
	Sample samples[TEXTS];
} Setup;

static void
must(bool ok, const Status *status)
{
	if (!ok)
		fail_msg("%s", status->message);
}

/* Texts of one to 38 random words. */
static void
open_setup(Setup *setup)
{
	Status status;
	Rng rng;

	memset(setup, 0, sizeof *setup);
	setup->arena = arena_create(&allocator_malloc, 0);
	must(fixture_load(setup->arena, GOLDEN "/sentence/bases/bert", "config.json", HEAD_NONE,
					  PRECISION_FP32, kernels_choose("auto", &status), &setup->fixture, &status),
		 &status);
	setup->embedding.pooling = pooling_single(POOLING_MEAN);
	setup->embedding.normalize = true;
	setup->predictor = (Predictor){.model = setup->fixture.model, .embedding = &setup->embedding};
	rng_init(&rng, 4, 4);
	for (size_t i = 0; i < TEXTS; i++)
	{
		Sample *sample = &setup->samples[i];

		sample->n_sequences = 1;
		sample->n_tokens = 2 + (uint32_t) rng_below(&rng, 38);
		sample->lengths = arena_alloc(setup->arena, sizeof *sample->lengths);
		sample->lengths[0] = sample->n_tokens;
		sample->input_ids = arena_alloc_array(setup->arena, sample->n_tokens, sizeof(int32_t));
		sample->token_type_ids = arena_alloc_zero(setup->arena, sample->n_tokens);
		sample->n_labels = 3;
		sample->labels = arena_alloc_array_zero(setup->arena, 3, sizeof(int32_t));
		for (uint32_t t = 0; t < sample->n_tokens; t++)
			sample->input_ids[t] = 1 + (int32_t) rng_below(&rng, 23);
	}
}

static bool
embed(Setup *setup, int threads, size_t memory, const MayContinue *question, float *out,
	  Status *status)
{
	EmbedderCall call = {.predictor = &setup->predictor,
						 .memory = memory,
						 .n = TEXTS,
						 .samples = setup->samples,
						 .columns = WIDTH,
						 .out = out};
	bool ok;

	call.pool = threadpool_create(threads, status);
	assert_non_null(call.pool);
	ok = embedder_run(&call, question, status);
	threadpool_destroy(call.pool);
	return ok;
}

static void
test_threads(void **state)
{
	static float one[TEXTS * WIDTH];
	static float many[TEXTS * WIDTH];
	Setup setup;
	Status status;

	(void) state;
	open_setup(&setup);
	must(embed(&setup, 1, 0, NULL, one, &status), &status);
	for (size_t i = 0; i < TEXTS; i++)
	{
		double squares = 0;

		for (size_t j = 0; j < WIDTH; j++)
			squares += (double) one[i * WIDTH + j] * (double) one[i * WIDTH + j];
		assert_near(squares, 1, 1e-5);
	}
	for (int threads = 2; threads <= 5; threads++)
	{
		memset(many, 0, sizeof many);
		must(embed(&setup, threads, 0, NULL, many, &status), &status);
		assert_memory_equal(one, many, sizeof one);
	}
	arena_destroy(setup.arena);
}

/* How often it may be asked before it says no. */
static bool
count_down(void *context)
{
	int *left = context;

	return (*left)-- > 0;
}

static void
test_failures(void **state)
{
	static float out[TEXTS * WIDTH];
	Setup setup;
	Status status;
	int cancelled = 0;

	(void) state;
	open_setup(&setup);
	for (int threads = 1; threads <= 3; threads += 2)
		for (int n = 0; n < 6; n++)
		{
			int left = n;
			MayContinue question = {count_down, &left};

			if (embed(&setup, threads, 0, &question, out, &status))
				continue;
			assert_int_equal(status.code, STATUS_CANCELLED);
			cancelled++;
		}
	/* one thread is asked in every batch; of three the first may have few */
	assert_true(cancelled >= 6);
	for (int threads = 1; threads <= 3; threads += 2)
	{
		assert_false(embed(&setup, threads, 100000, NULL, out, &status));
		assert_int_equal(status.code, STATUS_OUT_OF_MEMORY);
	}
	arena_destroy(setup.arena);
}

/* Documents on a line; anchor a's positive is document a, the nearer the number, the more alike. */
static void
test_mining(void **state)
{
	enum
	{
		N = 9
	};
	Arena *arena = arena_create(&allocator_malloc, 0);
	float rows[N * 2];
	RelevantPair pairs[N + 1];
	Relevance positives;
	MiningData data = {N, N, 2, rows, rows, &positives, SIMILARITY_COSINE, NULL};
	MiningOptions options = {.num_negatives = 2,
							 .max_score = INFINITY,
							 .min_score = -INFINITY,
							 .absolute_margin = NAN,
							 .relative_margin = NAN};
	MinedNegatives mined;
	Status status;

	(void) state;
	for (size_t i = 0; i < N; i++)
	{
		rows[2 * i] = cosf(0.1f * (float) i);
		rows[2 * i + 1] = sinf(0.1f * (float) i);
		pairs[i] = (RelevantPair){(uint32_t) i, (uint32_t) i};
	}
	pairs[N] = (RelevantPair){0, 1};
	must(relevance_make(arena, pairs, N + 1, N, &positives, &status), &status);
	must(mining_find(&data, &options, arena, &mined, NULL, &status), &status);
	for (size_t a = 0; a < N; a++)
		assert_int_equal(mined.counts[a], 2);
	assert_int_equal(mined.found[0].document, 2); /* 1 is right, too */
	assert_int_equal(mined.found[1].document, 3);
	assert_near(mined.found[0].score, cos(0.2), 1e-6);
	options.range_min = 1;
	must(mining_find(&data, &options, arena, &mined, NULL, &status), &status);
	assert_int_equal(mined.found[0].document, 3);
	options.range_min = 0;
	/* below anchor 0's lesser positive, at cos 0.1, less 0.05: from 0.33 on */
	options.absolute_margin = 0.05;
	must(mining_find(&data, &options, arena, &mined, NULL, &status), &status);
	assert_int_equal(mined.found[0].document, 4);
	options.absolute_margin = NAN;
	options.relative_margin = 0.3; /* of 1, for the last: below 0.7, which is 0.8 away */
	options.min_score = 0.695;
	must(mining_find(&data, &options, arena, &mined, NULL, &status), &status);
	assert_int_equal(mined.counts[N - 1], 1);
	assert_int_equal(mined.found[(N - 1) * mined.k].document, 0);
	arena_destroy(arena);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_threads),
		cmocka_unit_test(test_failures),
		cmocka_unit_test(test_mining),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
