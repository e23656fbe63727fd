/*
 * fuzz_torch.c: a file of torch.save, opened and every readable tensor read. What starts as a
 * pickle is also read as an archive's data.pkl, which a checksum would keep from being changed,
 * with storages of at most 64 bytes.
 */
#include "recycling.h"

#include "files/checkpoint.h"
#include "files/torch_dictionary.h"

#include <stdlib.h>

#define STORAGE_BYTES 64

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
read_tensors(const Checkpoint *checkpoint)
{
	for (size_t i = 0; i < checkpoint->n_tensors; i++)
	{
		const CheckpointTensor *tensor = &checkpoint->tensors[i];
		uint64_t first = tensor->elements > 64 ? tensor->elements - 64 : 0;
		float values[64];
		Status status;

		(void) checkpoint_read(tensor, first, (size_t) (tensor->elements - first), values, &status);
		if (first > 0)
			(void) checkpoint_read(tensor, first / 2, 64, values, &status);
	}
}

static void
fuzz_file(Arena *arena, ByteSource *source)
{
	Checkpoint checkpoint = {0};
	Status status;

	if (!checkpoint_open_file(arena, source, &checkpoint, &status))
	{
		if (status.code == STATUS_INTERNAL || status.code == STATUS_NONE)
			abort();
		return;
	}
	for (size_t i = 0; i < checkpoint.n_tensors; i++)
		if (checkpoint_find(&checkpoint, checkpoint.tensors[i].name) != &checkpoint.tensors[i])
			abort();
	read_tensors(&checkpoint);
}

static void
fuzz_pickle(Arena *arena, ByteSource *source)
{
	TorchDictionary dictionary;
	PickleReader reader;
	ByteSource storages;
	Checkpoint part;
	Status status;
	unsigned char *bytes;

	pickle_reader_init(&reader, source, 0);
	if (!torch_dictionary_read(arena, &reader, &dictionary, &status))
		return;
	/* exactly as many bytes as the storages say: one more is the sanitizer's */
	for (size_t i = 0; i < dictionary.n_storages; i++)
		if (dictionary.storages[i]->elements * dictionary.storages[i]->dtype->bytes > STORAGE_BYTES)
			return;
	for (size_t i = 0; i < dictionary.n_storages; i++)
		dictionary.storages[i]->offset =
			STORAGE_BYTES - dictionary.storages[i]->elements * dictionary.storages[i]->dtype->bytes;
	bytes = calloc(1, STORAGE_BYTES);
	if (bytes == NULL)
		abort();
	source_from_memory(&storages, "storages", bytes, STORAGE_BYTES);
	if (torch_dictionary_tensors(&dictionary, &storages, &part, &status))
		read_tensors(&part);
	free(bytes);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	Arena *arena = arena_create(&recycling, (size_t) 64 << 20);
	ByteSource source;

	if (arena == NULL)
		return 0;
	source_from_memory(&source, "fuzz", data, size);
	fuzz_file(arena, &source);
	if (size > 0 && data[0] == 0x80)
		fuzz_pickle(arena, &source);
	arena_destroy(arena);
	return 0;
}
