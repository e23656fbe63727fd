/* fuzz_safetensors.c: one safetensors file, opened and every readable tensor read. */
#include "files/checkpoint.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	Arena *arena = arena_create(&allocator_malloc, (size_t) 64 << 20);
	Checkpoint checkpoint = {0};
	ByteSource source;
	Status status;
	float values[64];

	if (arena == NULL)
		return 0;
	source_from_memory(&source, "fuzz", data, size);
	if (checkpoint_open_file(arena, &source, &checkpoint, &status))
		for (size_t i = 0; i < checkpoint.n_tensors; i++)
		{
			const CheckpointTensor *tensor = &checkpoint.tensors[i];
			uint64_t first = tensor->elements > 64 ? tensor->elements - 64 : 0;

			if (checkpoint_find(&checkpoint, tensor->name) != tensor)
				abort();
			(void) checkpoint_read(tensor, first, (size_t) (tensor->elements - first), values,
								   &status);
		}
	arena_destroy(arena);
	return 0;
}
