/* fuzz_config.c: config.json; what is accepted can be written and read back. */
#include "files/config.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	Arena *arena = arena_create(&allocator_malloc, (size_t) 64 << 20);
	BertConfig config;
	BertConfig again;
	Status status;

	if (arena == NULL)
		return 0;
	if (config_parse(arena, (const char *) data, size, &config, &status))
	{
		char *text = config_write(arena, &config, config.architecture, &status);

		if (text != NULL &&
			(!config_parse(arena, text, strlen(text), &again, &status) ||
			 again.hidden_size != config.hidden_size || again.num_labels != config.num_labels))
			abort();
	}
	arena_destroy(arena);
	return 0;
}
