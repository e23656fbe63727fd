/* The training set's file: what is written is read back, damage is found, the shuffle is a
 * permutation of the seed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "train/spill.h"

#define SAMPLES 5000

static char path[64];

static int
make_path(void **state)
{
	char directory[] = "/tmp/spillXXXXXX";

	*state = NULL;
	if (mkdtemp(directory) == NULL)
		return -1;
	snprintf(path, sizeof path, "%s/set", directory);
	return 0;
}

static int
remove_path(void **state)
{
	*state = NULL;
	unlink(path);
	*strrchr(path, '/') = '\0';
	return rmdir(path);
}

/* Sample i: sizes and contents are functions of i. */
static void
make_sample(uint32_t i, uint32_t *lengths, int32_t *ids, uint8_t *types, int32_t *labels,
			float *values, Sample *sample)
{
	*sample = (Sample){.n_sequences = 1 + i % 3,
					   .n_labels = i % 4,
					   .n_values = i % 2,
					   .row = (uint64_t) i * 3,
					   .lengths = lengths,
					   .input_ids = ids,
					   .token_type_ids = types,
					   .labels = labels,
					   .values = values};
	for (uint32_t s = 0; s < sample->n_sequences; s++)
		sample->n_tokens += lengths[s] = 1 + (i + s) % 7;
	for (uint32_t t = 0; t < sample->n_tokens; t++)
	{
		ids[t] = (int32_t) (i * 31 + t);
		types[t] = (uint8_t) (t % 2);
	}
	for (uint32_t l = 0; l < sample->n_labels; l++)
		labels[l] = (int32_t) (i - l);
	for (uint32_t v = 0; v < sample->n_values; v++)
		values[v] = (float) i / 3;
}

static void
write_set(unsigned char digest[SHA256_BYTES])
{
	Arena *arena = arena_create(&allocator_malloc, 0);
	Status status;
	SpillWriter *writer = spill_create(arena, path, &status);
	uint32_t lengths[8];
	int32_t ids[64];
	uint8_t types[64];
	int32_t labels[8];
	float values[8];

	assert_non_null(writer);
	for (uint32_t i = 0; i < SAMPLES; i++)
	{
		Sample sample;

		make_sample(i, lengths, ids, types, labels, values, &sample);
		assert_true(spill_append(writer, &sample, &status));
	}
	assert_int_equal(spill_count(writer), SAMPLES);
	assert_true(spill_finish(writer, digest, &status));
	spill_abandon(writer); /* does nothing any more */
	assert_int_equal(access(path, F_OK), 0);
	arena_destroy(arena);
}

static void
test_round_trip(void **state)
{
	Arena *arena = arena_create(&allocator_malloc, 0);
	unsigned char digest[SHA256_BYTES];
	Status status;
	SpillReader *reader;

	(void) state;
	write_set(digest);
	reader = spill_open(arena, path, &status);
	assert_non_null(reader);
	assert_int_equal(spill_samples(reader), SAMPLES);
	assert_memory_equal(spill_digest(reader), digest, SHA256_BYTES);
	for (uint32_t k = 0; k < SAMPLES; k++)
	{
		uint32_t i = (k * 2503) % SAMPLES; /* in no order */
		ArenaMark mark = arena_mark(arena);
		uint32_t lengths[8];
		int32_t ids[64];
		uint8_t types[64];
		int32_t labels[8];
		float values[8];
		Sample expected;
		Sample got;

		make_sample(i, lengths, ids, types, labels, values, &expected);
		assert_true(spill_read(reader, i, arena, &got, &status));
		assert_int_equal(got.n_sequences, expected.n_sequences);
		assert_int_equal(got.n_tokens, expected.n_tokens);
		assert_int_equal(got.n_labels, expected.n_labels);
		assert_int_equal(got.n_values, expected.n_values);
		assert_int_equal(got.row, expected.row);
		assert_memory_equal(got.lengths, lengths, got.n_sequences * sizeof *lengths);
		assert_memory_equal(got.input_ids, ids, got.n_tokens * sizeof *ids);
		assert_memory_equal(got.token_type_ids, types, got.n_tokens);
		assert_memory_equal(got.labels, labels, got.n_labels * sizeof *labels);
		assert_memory_equal(got.values, values, got.n_values * sizeof *values);
		arena_rewind(arena, mark);
	}
	assert_false(spill_read(reader, SAMPLES, arena, &(Sample){0}, &status));
	spill_close(reader);
	arena_destroy(arena);
	unlink(path);
}

static void
test_damage(void **state)
{
	Arena *arena = arena_create(&allocator_malloc, 0);
	unsigned char digest[SHA256_BYTES];
	struct stat st;
	int tried = 0;

	(void) state;
	write_set(digest);
	assert_int_equal(stat(path, &st), 0);
	for (off_t at = 0; at < st.st_size; at += st.st_size / 97 + 1)
	{
		FILE *file = fopen(path, "r+b");
		Status status = {0};
		int byte;

		fseek(file, at, SEEK_SET);
		byte = fgetc(file);
		fseek(file, at, SEEK_SET);
		fputc(byte ^ 0x10, file);
		fclose(file);
		assert_null(spill_open(arena, path, &status));
		assert_int_equal(status.code, STATUS_INVALID_DATA);
		file = fopen(path, "r+b");
		fseek(file, at, SEEK_SET);
		fputc(byte, file);
		fclose(file);
		tried++;
	}
	for (off_t size = st.st_size - 1; size > 0; size -= st.st_size / 50 + 1)
	{
		Status status = {0};

		assert_int_equal(truncate(path, size), 0);
		assert_null(spill_open(arena, path, &status));
		assert_int_equal(status.code, STATUS_INVALID_DATA);
		tried++;
	}
	print_message("damaged files refused: %d/%d\n", tried, tried);
	arena_destroy(arena);
	unlink(path);
}

static void
test_abandon(void **state)
{
	Arena *arena = arena_create(&allocator_malloc, 0);
	Status status;
	SpillWriter *writer = spill_create(arena, path, &status);

	(void) state;
	assert_non_null(writer);
	assert_null(spill_create(arena, path, &status)); /* it exists */
	spill_abandon(writer);
	assert_int_not_equal(access(path, F_OK), 0);
	spill_abandon(NULL);
	assert_null(spill_open(arena, path, &status));
	assert_int_equal(status.code, STATUS_NOT_FOUND);
	arena_destroy(arena);
}

static void
test_shuffle(void **state)
{
	static uint32_t first[SAMPLES];
	static uint32_t second[SAMPLES];
	static bool seen[SAMPLES];
	int fixed = 0;

	(void) state;
	spill_shuffle(7, 0, SAMPLES, first);
	spill_shuffle(7, 0, SAMPLES, second);
	assert_memory_equal(first, second, sizeof first);
	for (int i = 0; i < SAMPLES; i++)
	{
		assert_true(first[i] < SAMPLES);
		assert_false(seen[first[i]]);
		seen[first[i]] = true;
		fixed += first[i] == (uint32_t) i;
	}
	assert_true(fixed < 10); /* one is expected */
	spill_shuffle(7, 1, SAMPLES, second);
	assert_memory_not_equal(first, second, sizeof first);
	spill_shuffle(8, 0, SAMPLES, second);
	assert_memory_not_equal(first, second, sizeof first);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_round_trip),
		cmocka_unit_test(test_damage),
		cmocka_unit_test(test_abandon),
		cmocka_unit_test(test_shuffle),
	};

	return cmocka_run_group_tests(tests, make_path, remove_path);
}
