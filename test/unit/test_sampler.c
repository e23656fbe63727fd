/*
 * The order of samples: every epoch a permutation, no text twice in a batch of pairs, classes in
 * pairs, the same for the same seed. And the exact search against a plain one.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/rng.h"
#include "near.h"
#include "nn/model.h"
#include "train/nearest.h"
#include "train/sampler.h"

#define COUNT 103

static void
must(bool ok, const Status *status)
{
	if (!ok)
		fail_msg("%s", status->message);
}

/* Pairs of texts, text i being one of `texts`; or one text of one of five classes. */
static SpillReader *
make_file(Arena *arena, int texts, bool labelled)
{
	char directory[] = "/tmp/samplerXXXXXX";
	char path[64];
	SpillWriter *writer;
	SpillReader *reader;
	unsigned char digest[SHA256_BYTES];
	Status status;
	Rng rng;

	assert_non_null(mkdtemp(directory));
	snprintf(path, sizeof path, "%s/set", directory);
	writer = spill_create(arena, path, &status);
	must(writer != NULL, &status);
	rng_init(&rng, 3, 1);
	for (int i = 0; i < COUNT; i++)
	{
		uint32_t lengths[2] = {1, 1};
		int32_t ids[2] = {1, 2};
		uint8_t types[2] = {0, 0};
		int32_t labels[4] = {0, i, 0, 1000 + (int32_t) rng_below(&rng, (uint64_t) texts)};
		int32_t labels_of_one[3] = {(int32_t) rng_below(&rng, 5), 0, i};
		Sample sample = {.n_sequences = labelled ? 1 : 2,
						 .lengths = lengths,
						 .n_tokens = labelled ? 1 : 2,
						 .input_ids = ids,
						 .token_type_ids = types,
						 .n_labels = labelled ? 3 : 4,
						 .labels = labelled ? labels_of_one : labels};

		must(spill_append(writer, &sample, &status), &status);
	}
	must(spill_finish(writer, digest, &status), &status);
	reader = spill_open(arena, path, &status);
	must(reader != NULL, &status);
	(void) unlink(path);
	(void) rmdir(directory);
	return reader;
}

static Sampler *
open_sampler(Arena *arena, SpillReader *reader, TrainTask task, size_t batch, size_t accumulation)
{
	SamplerOptions options = {task, 7, batch, accumulation};
	Status status;
	Sampler *sampler = sampler_create(arena, reader, &options, NULL, &status);

	must(sampler != NULL, &status);
	return sampler;
}

/* Every sample of an epoch once, at most. Returns how many there were. */
static size_t
check_epoch(Sampler *sampler, int64_t epoch, size_t batch, void (*check)(const SamplerStep *step))
{
	int64_t steps = sampler_steps_per_epoch(sampler);
	bool seen[COUNT] = {false};
	size_t total = 0;

	for (int64_t s = 0; s < steps; s++)
	{
		SamplerStep step;
		size_t size = 0;

		sampler_step(sampler, epoch * steps + s, &step);
		assert_true(step.n > 0);
		for (size_t i = 0; i < step.n; i++)
		{
			size = i > 0 && step.batches[i] == step.batches[i - 1] ? size + 1 : 1;
			assert_true(size <= batch);
			assert_true(step.indices[i] < COUNT);
			assert_false(seen[step.indices[i]]);
			seen[step.indices[i]] = true;
		}
		total += step.n;
		if (check != NULL)
			check(&step);
	}
	return total;
}

static void
test_plain(void **state)
{
	Arena *arena = arena_create(&allocator_malloc, 0);
	SpillReader *reader = make_file(arena, 5, false);
	Sampler *sampler = open_sampler(arena, reader, TRAIN_REGRESSION, 4, 3);
	uint32_t order[COUNT];
	SamplerStep step;

	(void) state;
	assert_int_equal(sampler_steps_per_epoch(sampler), 9);
	for (int64_t epoch = 0; epoch < 3; epoch++)
		assert_int_equal(check_epoch(sampler, epoch, 4, NULL), COUNT);
	spill_shuffle(7, 1, COUNT, order);
	sampler_step(sampler, 9 + 2, &step);
	assert_memory_equal(step.indices, order + 24, 12 * sizeof *order);
	spill_close(reader);
	arena_destroy(arena);
}

/* Of the file being tested: the positive of each sample. */
static uint64_t positives[COUNT];

static void
check_distinct(const SamplerStep *step)
{
	for (size_t i = 0; i < step->n; i++)
		for (size_t j = 0; j < i; j++)
			assert_false(step->batches[i] == step->batches[j] &&
						 positives[step->indices[i]] == positives[step->indices[j]]);
}

static void
test_texts(void **state)
{
	static const int texts[] = {1000, 40, 12, 5, 1};

	(void) state;
	for (size_t t = 0; t < sizeof texts / sizeof texts[0]; t++)
	{
		Arena *arena = arena_create(&allocator_malloc, 0);
		SpillReader *reader = make_file(arena, texts[t], false);
		Sampler *sampler = open_sampler(arena, reader, TRAIN_EMBEDDING, 8, 2);
		Sampler *again = open_sampler(arena, reader, TRAIN_EMBEDDING, 8, 2);
		size_t total = 0;

		for (uint32_t i = 0; i < COUNT; i++)
		{
			Sample sample;
			Status status;

			must(spill_read(reader, i, arena, &sample, &status), &status);
			positives[i] = sample_text_key(&sample, 1);
		}
		assert_int_equal(sampler_steps_per_epoch(sampler), 7);
		for (int64_t epoch = 0; epoch < 4; epoch++)
			total += check_epoch(sampler, epoch, 8, check_distinct);
		print_message("%d positives: %zu of %d samples in 4 epochs\n", texts[t], total, 4 * COUNT);
		assert_true(texts[t] < 1000 || total == 4 * COUNT);
		/* one positive for all: a batch is one sample */
		assert_true(texts[t] > 1 || total == 4 * 14);
		/* backwards the same */
		for (int64_t step = 27; step >= 0; step--)
		{
			SamplerStep one;
			SamplerStep other;

			sampler_step(sampler, step, &one);
			sampler_step(again, step, &other);
			assert_int_equal(one.n, other.n);
			assert_memory_equal(one.indices, other.indices, one.n * sizeof *one.indices);
			assert_memory_equal(one.batches, other.batches, one.n * sizeof *one.batches);
		}
		spill_close(reader);
		arena_destroy(arena);
	}
}

static void
test_classes(void **state)
{
	Arena *arena = arena_create(&allocator_malloc, 0);
	SpillReader *reader = make_file(arena, 5, true);
	Sampler *sampler = open_sampler(arena, reader, TRAIN_EMBEDDING, 6, 1);
	int32_t classes[COUNT];
	size_t pairs = 0;

	(void) state;
	for (uint32_t i = 0; i < COUNT; i++)
	{
		Sample sample;
		Status status;

		must(spill_read(reader, i, arena, &sample, &status), &status);
		assert_int_equal(sample_shape(&sample), EMBEDDING_LABELS);
		classes[i] = sample.labels[0];
	}
	assert_int_equal(check_epoch(sampler, 0, 6, NULL), COUNT);
	for (int64_t s = 0; s < sampler_steps_per_epoch(sampler); s++)
	{
		SamplerStep step;

		sampler_step(sampler, s, &step);
		for (size_t i = 0; i + 1 < step.n; i += 2)
			pairs += classes[step.indices[i]] == classes[step.indices[i + 1]];
	}
	/* all but one of each class, at most */
	assert_true(2 * pairs >= COUNT - 5);
	spill_close(reader);
	arena_destroy(arena);
}

static bool
odd(const void *context, size_t query, size_t document, float score)
{
	(void) context;
	(void) score;
	return (query + document) % 2 == 1;
}

/* The place of a score among all that are allowed: how many are greater. */
static size_t
count_greater(const float *scores, size_t n, size_t query, float score, bool some)
{
	size_t greater = 0;

	for (size_t d = 0; d < n; d++)
		greater += scores[d] > score && (!some || odd(NULL, query, d, 0));
	return greater;
}

static void
check_search(Similarity similarity, int threads, bool some)
{
	enum
	{
		N = 70,
		M = 5000,
		K = 7,
		H = 19
	};
	Arena *arena = arena_create(&allocator_malloc, 0);
	float *rows = arena_alloc_array(arena, (N + M) * H, sizeof *rows);
	float *scores = arena_alloc_array(arena, M, sizeof *scores);
	static Neighbour found[N * K];
	static size_t counts[N];
	NearestCall call = {.similarity = similarity,
						.columns = H,
						.n_queries = N,
						.queries = rows,
						.n_documents = M,
						.documents = rows + N * H,
						.k = K,
						.allowed = some ? odd : NULL};
	Status status;
	Rng rng;

	rng_init(&rng, 5, 6);
	for (size_t i = 0; i < (N + M) * H; i++)
		rows[i] = (float) rng_normal(&rng);
	normalize_rows(N + M, H, rows);
	call.kernels = train_kernels_choose("auto", &status);
	call.pool = threadpool_create(threads, &status);
	call.found = found;
	call.counts = counts;
	must(nearest_find(&call, arena, NULL, &status), &status);
	for (size_t q = 0; q < N; q++)
	{
		assert_int_equal(counts[q], K);
		for (size_t d = 0; d < M; d++)
			scores[d] =
				nearest_similarity(call.kernels, similarity, H, rows + q * H, rows + (N + d) * H);
		for (size_t i = 0; i < K; i++)
		{
			Neighbour *one = &found[q * K + i];
			size_t place = count_greater(scores, M, q, scores[one->document], some);

			assert_near(one->score, scores[one->document], 1e-5);
			/* rounding may make neighbours of equal ones */
			assert_true(place <= i + 1 && place + 1 >= i);
			assert_true(!some || odd(NULL, q, one->document, 0));
		}
	}
	threadpool_destroy(call.pool);
	arena_destroy(arena);
}

static void
test_nearest(void **state)
{
	(void) state;
	for (int similarity = 0; similarity < SIMILARITY_COUNT; similarity++)
		for (int threads = 1; threads < 4; threads += 2)
		{
			check_search((Similarity) similarity, threads, false);
			check_search((Similarity) similarity, threads, true);
		}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_plain),
		cmocka_unit_test(test_texts),
		cmocka_unit_test(test_classes),
		cmocka_unit_test(test_nearest),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
