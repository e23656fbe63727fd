/*
 * fuzz_tokenizer_settings.c: the tokenizer's files. The first byte says which file the rest is;
 * what is accepted is compiled with a small vocabulary and written.
 */
#include "files/sentence.h"
#include "files/tokenizer_files.h"
#include "tokenizer/tokenizer.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char *const names[] = {"tokenizer_config.json",
										"tokenizer.json",
										"special_tokens_map.json",
										"added_tokens.json",
										"sentence_bert_config.json",
										"modules.json",
										"vocab.txt"};
	static const char vocab[] = "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\na\n##b\n";
	Arena *arena = arena_create(&allocator_malloc, (size_t) 64 << 20);
	size_t which = size > 0 ? data[0] % (sizeof names / sizeof names[0]) : 0;
	TokenizerSettings settings;
	FileNotes notes = {.arena = arena};
	TokenizerContext context = {.rows = 8, .notes = &notes};
	SentenceFolder folder = {.notes = &notes};
	SentenceSettings sentence;
	ByteSource sources[2];
	ModelSource *source;
	Status status;
	unsigned char *image;
	size_t length;

	if (arena == NULL || size == 0)
	{
		arena_destroy(arena);
		return 0;
	}
	source_from_memory(&sources[0], names[which], data + 1, size - 1);
	source_from_memory(&sources[1], "vocab.txt", vocab, sizeof vocab - 1);
	source =
		modelsource_from_sources(arena, "fuzz", sources, which == 6 || which == 1 ? 1 : 2, &status);
	if (source != NULL && tokenizer_files_read(arena, source, &context, &settings, &status) &&
		tokenizer_compile(arena, &settings, &image, &length, &status))
	{
		char *text = tokenizer_settings_write(arena, &settings, &status);
		TokenizerSettings again;

		if (tokenizer_open(arena, image, length, &status) == NULL)
			abort();
		if (text != NULL && !tokenizer_settings_parse(arena, text, strlen(text), &again, &status))
			abort();
	}
	if (source != NULL)
		(void) sentence_settings_read(arena, source, &folder, &sentence, &status);
	arena_destroy(arena);
	return 0;
}
