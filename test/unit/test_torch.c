/*
 * test_torch.c: files of torch.save (test/golden/generate_torch.py) against the same tensors as
 * safetensors, whole and in pieces; each cut off at every byte, and with every byte changed.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "files/checkpoint.h"
#include "failing_allocator.h"
#include "torch_fixture.h"

#define GOLDEN "test/golden/torch/"

static Bytes
read_file(Arena *arena, const char *path)
{
	Bytes bytes = {.arena = arena};
	char piece[4096];
	size_t n;
	FILE *file = fopen(path, "rb");

	if (file == NULL)
		fail_msg("could not read %s", path);
	while ((n = fread(piece, 1, sizeof piece, file)) > 0)
		put(&bytes, piece, n);
	fclose(file);
	return bytes;
}

static Checkpoint
open_file(Arena *arena, const char *path, ByteSource *source)
{
	Bytes bytes = read_file(arena, path);
	Checkpoint checkpoint = {0};
	Status status;

	source_from_memory(source, path, bytes.bytes, bytes.size);
	if (!checkpoint_open_file(arena, source, &checkpoint, &status))
		fail_msg("%s", status.message);
	return checkpoint;
}

static float *
read_pieces(Arena *arena, const CheckpointTensor *tensor, size_t piece)
{
	float *values = arena_alloc_array(arena, tensor->elements + 1, sizeof *values);
	Status status;

	assert_non_null(values);
	for (uint64_t at = 0; at < tensor->elements; at += piece)
		if (!checkpoint_read(tensor, at,
							 tensor->elements - at < piece ? tensor->elements - at : piece,
							 values + at, &status))
			fail_msg("%s", status.message);
	return values;
}

/* Numbers that are no weights are not read as floats: their bytes are the same. */
static void
compare_bytes(const CheckpointTensor *got, const CheckpointTensor *expected)
{
	unsigned char bytes[2][256];

	assert_int_equal(got->bytes, expected->bytes);
	assert_true(got->bytes <= sizeof bytes[0] && got->strides == NULL);
	assert_true(got->source->read(got->source, got->offset, bytes[0], got->bytes, NULL));
	assert_true(
		expected->source->read(expected->source, expected->offset, bytes[1], got->bytes, NULL));
	assert_memory_equal(bytes[0], bytes[1], got->bytes);
}

static void
compare_tensor(Arena *arena, const CheckpointTensor *got, const CheckpointTensor *expected)
{
	const float *values;

	assert_string_equal(got->name, expected->name);
	assert_string_equal(got->dtype_name, expected->dtype_name);
	assert_int_equal(got->rank, expected->rank);
	for (int i = 0; i < got->rank; i++)
		assert_int_equal(got->shape[i], expected->shape[i]);
	assert_int_equal(got->elements, expected->elements);
	if (got->dtype == DTYPE_OTHER)
	{
		compare_bytes(got, expected);
		return;
	}
	if (strcmp(got->name, "view.deep_strided") == 0)
	{
		float value;
		Status status;

		assert_false(checkpoint_read(got, 0, 1, &value, &status));
		assert_int_equal(status.code, STATUS_UNSUPPORTED);
		return;
	}
	values = read_pieces(arena, expected, expected->elements + 1);
	for (size_t piece = 1; piece < 50; piece += piece < 12 ? 1 : 5)
		assert_memory_equal(read_pieces(arena, got, piece), values, got->elements * sizeof *values);
	assert_memory_equal(read_pieces(arena, got, got->elements + 1), values,
						got->elements * sizeof *values);
}

static const struct
{
	const char *file;
	const char *expected;
	size_t tensors;
} files[] = {
	{"all.bin", "all.safetensors", 27},
	{"all_stream.bin", "all.safetensors", 27},
	{"state.bin", "small.safetensors", 4},
	{"protocol_2.bin", "small.safetensors", 4},
	{"protocol_3.bin", "small.safetensors", 4},
	{"protocol_4.bin", "small.safetensors", 4},
	{"protocol_5.bin", "small.safetensors", 4},
	{"stream_protocol_2.bin", "small.safetensors", 4},
	{"stream_protocol_3.bin", "small.safetensors", 4},
	{"stream_protocol_4.bin", "small.safetensors", 4},
	{"stream_protocol_5.bin", "small.safetensors", 4},
	{"parameters.bin", "small.safetensors", 4},
	{"nested.bin", "small.safetensors", 4},
	{"no_checksums.bin", "small.safetensors", 4},
	{"again.bin", "small.safetensors", 4},
};

static void
test_golden(void **state)
{
	(void) state;
	for (size_t i = 0; i < sizeof files / sizeof files[0]; i++)
	{
		Arena *arena = arena_create(&allocator_malloc, 0);
		ByteSource sources[2];
		char path[256];
		Checkpoint got;
		Checkpoint expected;

		snprintf(path, sizeof path, GOLDEN "%s", files[i].file);
		got = open_file(arena, path, &sources[0]);
		snprintf(path, sizeof path, GOLDEN "%s", files[i].expected);
		expected = open_file(arena, path, &sources[1]);
		assert_int_equal(got.n_tensors, files[i].tensors);
		assert_int_equal(got.n_tensors, expected.n_tensors);
		for (size_t t = 0; t < got.n_tensors; t++)
			compare_tensor(arena, &got.tensors[t], &expected.tensors[t]);
		arena_destroy(arena);
	}
}

/* Doubles, in a row and transposed, are the floats that the reference makes of them. */
static void
test_doubles(void **state)
{
	Arena *arena = arena_create(&allocator_malloc, 0);
	ByteSource sources[2];
	Checkpoint archive = open_file(arena, GOLDEN "doubles.bin", &sources[0]);
	Checkpoint plain = open_file(arena, GOLDEN "doubles.safetensors", &sources[1]);
	const CheckpointTensor *narrow = checkpoint_find(&plain, "narrow");
	const CheckpointTensor *wide[] = {checkpoint_find(&archive, "wide"),
									  checkpoint_find(&plain, "wide")};
	const float *values;

	(void) state;
	assert_true(narrow != NULL && narrow->dtype == DTYPE_F32 && narrow->elements == 2250);
	values = read_pieces(arena, narrow, narrow->elements);
	for (int i = 0; i < 2; i++)
	{
		assert_true(wide[i] != NULL && wide[i]->dtype == DTYPE_F64);
		assert_int_equal(wide[i]->strides != NULL, i == 0);
		for (size_t piece = 7; piece <= 2250; piece = piece == 7 ? 1999 : piece + 251)
			assert_memory_equal(read_pieces(arena, wide[i], piece), values,
								narrow->elements * sizeof *values);
	}
	arena_destroy(arena);
}

static void
test_shards(void **state)
{
	Arena *arena = arena_create(&allocator_malloc, 0);
	Status status;
	ModelSource *folder = modelsource_open_directory(arena, GOLDEN "shards", &status);
	ByteSource source;
	Checkpoint expected = open_file(arena, GOLDEN "small.safetensors", &source);
	Checkpoint got;

	(void) state;
	assert_non_null(folder);
	if (!checkpoint_open(arena, folder, &got, &status))
		fail_msg("%s", status.message);
	assert_int_equal(got.n_tensors, 4);
	for (size_t t = 0; t < got.n_tensors; t++)
		compare_tensor(arena, &got.tensors[t], &expected.tensors[t]);
	modelsource_close(folder);
	arena_destroy(arena);
}

/* The first that exists is taken: safetensors, its index, the archive, its index. */
static void
test_which_file(void **state)
{
	static const char *const names[] = {"pytorch_model.bin.index.json", "pytorch_model.bin",
										"model.safetensors.index.json", "model.safetensors"};
	Arena *arena = arena_create(&allocator_malloc, 0);
	Bytes bytes = read_file(arena, GOLDEN "small.safetensors");
	ByteSource sources[4];
	Status status;

	(void) state;
	for (size_t n = 1; n <= 4; n++)
	{
		ModelSource *source;
		Checkpoint checkpoint;
		bool index = strstr(names[n - 1], "index") != NULL;

		/* good weights under the preferred name, or an index that says who was asked */
		source_from_memory(&sources[n - 1], names[n - 1], index ? (void *) "{}" : bytes.bytes,
						   index ? 2 : bytes.size);
		source = modelsource_from_sources(arena, "arguments", sources, n, &status);
		assert_non_null(source);
		assert_int_equal(checkpoint_open(arena, source, &checkpoint, &status), !index);
		if (index)
			assert_non_null(strstr(status.message, names[n - 1]));
		else
			assert_string_equal(checkpoint.tensors[0].source->name, names[n - 1]);
	}
	arena_destroy(arena);
}

/* Opens, and reads every tensor; a failure has its status. */
static bool
read_all(const unsigned char *bytes, size_t size, const Allocator *allocator, Status *status)
{
	Arena *arena = arena_create(allocator, (size_t) 64 << 20);
	ByteSource source;
	Checkpoint checkpoint = {0};
	bool ok;

	memset(status, 0, sizeof *status);
	if (arena == NULL)
		return status_fail(status, STATUS_OUT_OF_MEMORY, "out of memory");
	source_from_memory(&source, "file", bytes, size);
	ok = checkpoint_open_file(arena, &source, &checkpoint, status);
	for (size_t i = 0; ok && i < checkpoint.n_tensors; i++)
	{
		const CheckpointTensor *tensor = &checkpoint.tensors[i];
		float values[1024];

		if (tensor->dtype != DTYPE_OTHER && tensor->elements <= 1024 && tensor->rank <= 2)
			ok = checkpoint_read(tensor, 0, tensor->elements, values, status);
	}
	assert_true(ok || (status->code != STATUS_NONE && status->code != STATUS_INTERNAL &&
					   status->message[0] != '\0'));
	arena_destroy(arena);
	return ok;
}

static const char *const damaged_files[] = {"state.bin", "protocol_4.bin", "again.bin",
											"stream_protocol_2.bin", "stream_protocol_5.bin"};

static void
test_cut_off(void **state)
{
	Arena *arena = arena_create(&allocator_malloc, 0);

	(void) state;
	for (size_t i = 0; i < sizeof damaged_files / sizeof damaged_files[0]; i++)
	{
		char path[256];
		Bytes bytes;
		Status status;

		snprintf(path, sizeof path, GOLDEN "%s", damaged_files[i]);
		bytes = read_file(arena, path);
		for (size_t size = 0; size < bytes.size; size++)
		{
			/* a copy of its own, so that sanitizers see every byte past it */
			unsigned char *copy = malloc(size + (size == 0));

			assert_non_null(copy);
			memcpy(copy, bytes.bytes, size);
			if (read_all(copy, size, &allocator_malloc, &status))
				fail_msg("%s was read without its last %zu bytes", path, bytes.size - size);
			free(copy);
		}
		assert_true(read_all(bytes.bytes, bytes.size, &allocator_malloc, &status));
	}
	arena_destroy(arena);
}

/* No change of one byte does harm; most are noticed, and every one of a tensor's own bytes. */
static void
test_changed(void **state)
{
	static const unsigned char changes[] = {0x01, 0x80, 0xFF};
	Arena *arena = arena_create(&allocator_malloc, 0);
	size_t tried = 0;
	size_t noticed = 0;

	(void) state;
	for (size_t i = 0; i < sizeof damaged_files / sizeof damaged_files[0]; i++)
	{
		char path[256];
		Bytes bytes;
		Status status;

		snprintf(path, sizeof path, GOLDEN "%s", damaged_files[i]);
		bytes = read_file(arena, path);
		for (size_t at = 0; at < bytes.size; at++)
			for (size_t c = 0; c < sizeof changes; c++)
			{
				bytes.bytes[at] ^= changes[c];
				tried++;
				noticed += !read_all(bytes.bytes, bytes.size, &allocator_malloc, &status);
				bytes.bytes[at] ^= changes[c];
			}
	}
	print_message("%zu/%zu changes of a byte were refused\n", noticed, tried);
	assert_true(noticed > 0 && noticed < tried);
	arena_destroy(arena);
}

static void
test_checksum(void **state)
{
	Arena *arena = arena_create(&allocator_malloc, 0);
	ByteSource source;
	Checkpoint checkpoint = open_file(arena, GOLDEN "all.bin", &source);
	const CheckpointTensor *tensor = checkpoint_find(&checkpoint, "vector");
	unsigned char *bytes = (unsigned char *) source.memory + tensor->offset;
	float values[9];
	Status status;

	(void) state;
	bytes[3 * 4] ^= 1;
	assert_true(checkpoint_read(tensor, 0, 8, values, &status));
	assert_false(checkpoint_read(tensor, 8, 1, values, &status));
	assert_int_equal(status.code, STATUS_INVALID_DATA);
	assert_non_null(strstr(status.message, "checksum"));
	/* not in order: nothing to compare */
	assert_true(checkpoint_read(tensor, 4, 5, values, &status));
	bytes[3 * 4] ^= 1;
	assert_true(checkpoint_read(tensor, 0, 9, values, &status));
	arena_destroy(arena);
}

static bool
refuse(void *context)
{
	return --*(int *) context >= 0;
}

static void
test_cancelled(void **state)
{
	Arena *arena = arena_create(&allocator_malloc, 0);
	Bytes bytes = read_file(arena, GOLDEN "all.bin");
	size_t stopped = 0;

	(void) state;
	for (int answers = 0;; answers++)
	{
		Arena *own = arena_create(&allocator_malloc, 0);
		int left = answers;
		MayContinue question = {refuse, &left};
		ByteSource source;
		Checkpoint checkpoint;
		Status status;
		bool ok;

		arena_set_question(own, &question);
		source_from_memory(&source, "file", bytes.bytes, bytes.size);
		ok = checkpoint_open_file(own, &source, &checkpoint, &status);
		arena_destroy(own);
		if (ok)
			break;
		assert_int_equal(status.code, STATUS_CANCELLED);
		stopped++;
	}
	assert_true(stopped >= 4); /* directory, headers, pickle, tensors */
	arena_destroy(arena);
}

static void
test_allocation_failures(void **state)
{
	Arena *arena = arena_create(&allocator_malloc, 0);
	size_t tried = 0;

	(void) state;
	for (size_t i = 0; i < 2; i++)
	{
		Bytes bytes = read_file(arena, i == 0 ? GOLDEN "archive/pytorch_model.bin"
											  : GOLDEN "stream/pytorch_model.bin");

		for (long n = 0;; n++)
		{
			Failing failing = {n, 0};
			Allocator allocator = failing_allocator(&failing);
			Status status;
			bool ok = read_all(bytes.bytes, bytes.size, &allocator, &status);

			assert_int_equal(failing.held, 0);
			if (failing.until_failure >= 0)
			{
				assert_true(ok);
				break;
			}
			assert_false(ok);
			assert_int_equal(status.code, STATUS_OUT_OF_MEMORY);
			tried++;
		}
	}
	assert_true(tried >= 2);
	arena_destroy(arena);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_golden),
		cmocka_unit_test(test_doubles),
		cmocka_unit_test(test_shards),
		cmocka_unit_test(test_which_file),
		cmocka_unit_test(test_cut_off),
		cmocka_unit_test(test_changed),
		cmocka_unit_test(test_checksum),
		cmocka_unit_test(test_cancelled),
		cmocka_unit_test(test_allocation_failures),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
