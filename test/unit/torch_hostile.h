/* torch_hostile.h: what the tests of hostile weight files share: a file is read whole, in 1 GB. */
#ifndef BERT_TEST_TORCH_HOSTILE_H
#define BERT_TEST_TORCH_HOSTILE_H

#include "files/checkpoint.h"
#include "torch_fixture.h"

#define INVALID STATUS_INVALID_DATA
#define UNSUPPORTED STATUS_UNSUPPORTED
#define LIMIT STATUS_LIMIT

/* Parts of pickles. DICT, put where a value is expected: an OrderedDict. */
#define DICT "ccollections\nOrderedDict\n)R"
#define STORAGE                                            \
	"(X\x07\0\0\0storagectorch\nFloatStorage\nX\x01\0\0\0" \
	"0X\x03\0\0\0cpuK\x06tQ"
#define KEY       \
	"X\x01\0\0\0" \
	"a"
#define REBUILD "ctorch._utils\n_rebuild_tensor_v2\n("
#define SIZES "K\x02K\x03\x86K\x03K\x01\x86"
#define TENSOR REBUILD STORAGE "K\0" SIZES "\x89" DICT "tR"

/* Opens the file and reads its small tensors. */
static inline StatusCode
read_bytes(const Bytes *bytes, Status *status)
{
	Arena *arena = arena_create(&allocator_malloc, (size_t) 1 << 30);
	unsigned char *copy = malloc(bytes->size + (bytes->size == 0));
	Checkpoint checkpoint = {0};
	ByteSource source;
	bool ok;

	if (arena == NULL || copy == NULL)
		abort();
	memcpy(copy, bytes->bytes, bytes->size);
	memset(status, 0, sizeof *status);
	source_from_memory(&source, "file", copy, bytes->size);
	ok = checkpoint_open_file(arena, &source, &checkpoint, status);
	for (size_t i = 0; ok && i < checkpoint.n_tensors; i++)
	{
		float values[64];

		if (checkpoint.tensors[i].elements <= 64)
			ok = checkpoint_read(&checkpoint.tensors[i], 0, checkpoint.tensors[i].elements, values,
								 status);
	}
	arena_destroy(arena);
	free(copy);
	return ok ? STATUS_NONE : status->code;
}

/* The status and a part of the message are those; a difference is printed. */
static inline bool
as_expected(const char *name, StatusCode code, const char *fragment, const Bytes *bytes)
{
	Status status;
	StatusCode got = read_bytes(bytes, &status);

	if (got == code && strstr(status.message, fragment) != NULL)
		return true;
	print_error("%s: status %d, \"%s\"; expected %d, \"%s\"\n", name, (int) got, status.message,
				(int) code, fragment);
	return false;
}

#endif
