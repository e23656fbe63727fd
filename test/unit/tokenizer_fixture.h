/* tokenizer_fixture.h: tokenizers made of the golden vocabulary, and what the reference made of
 * texts with it. */
#ifndef TEST_TOKENIZER_FIXTURE_H
#define TEST_TOKENIZER_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>

#include "core/arena.h"
#include "tokenizer/encoder.h"

#define GOLDEN "test/golden/tokenizer.json"
#define GOLDEN_VOCAB "test/golden/tokenizer_vocab.txt"
#define MAX_ADDED 16

static const char *const named_specials[] = {"[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"};

typedef struct Fixture
{
	char *vocab;
	size_t vocab_length;
	json_t *golden;
} Fixture;

static Fixture fixture;

static inline char *
read_file(const char *name, size_t *length)
{
	FILE *file = fopen(name, "rb");
	char *bytes;

	if (file == NULL)
		fail_msg("cannot open %s: run the tests from the repository's root", name);
	bytes = malloc(4 << 20);
	*length = fread(bytes, 1, 4 << 20, file);
	fclose(file);
	return bytes;
}

static inline int
load_fixture(void **state)
{
	json_error_t error;

	(void) state;
	fixture.vocab = read_file(GOLDEN_VOCAB, &fixture.vocab_length);
	fixture.golden = json_load_file(GOLDEN, JSON_ALLOW_NUL, &error);
	if (fixture.golden == NULL)
		fail_msg("%s:%d: %s", GOLDEN, error.line, error.text);
	return 0;
}

static inline int
free_fixture(void **state)
{
	(void) state;
	free(fixture.vocab);
	json_decref(fixture.golden);
	return 0;
}

static inline TokenizerSettings
make_settings(const char *flags, AddedToken *added)
{
	TokenizerSettings settings = {.unk_token = "[UNK]",
								  .sep_token = "[SEP]",
								  .pad_token = "[PAD]",
								  .cls_token = "[CLS]",
								  .mask_token = "[MASK]",
								  .continuing_subword_prefix = "##",
								  .max_input_chars_per_word = 100,
								  .model_max_length = 512,
								  .added = added,
								  .n_added = 5};

	settings.clean_text = strchr(flags, 'c') != NULL;
	settings.handle_chinese_chars = strchr(flags, 'z') != NULL;
	settings.strip_accents = strchr(flags, 'a') != NULL;
	settings.lowercase = strchr(flags, 'l') != NULL;
	settings.vocab = fixture.vocab;
	settings.vocab_length = fixture.vocab_length;
	for (int i = 0; i < 5; i++)
		added[i] = (AddedToken){.content = named_specials[i], .id = -1, .special = true};
	return settings;
}

static inline Tokenizer *
make_tokenizer(Arena *arena, const TokenizerSettings *settings)
{
	Status status = {0};
	unsigned char *image;
	size_t length;
	Tokenizer *tokenizer;

	if (!tokenizer_compile(arena, settings, &image, &length, &status))
		fail_msg("compile: %s", status.message);
	tokenizer = tokenizer_open(arena, image, length, &status);
	if (tokenizer == NULL)
		fail_msg("open: %s", status.message);
	return tokenizer;
}

static inline Tokenizer *
golden_tokenizer(Arena *arena, size_t index)
{
	json_t *setting = json_array_get(json_object_get(fixture.golden, "settings"), index);
	json_t *others = json_object_get(setting, "added");
	AddedToken added[MAX_ADDED];
	TokenizerSettings settings =
		make_settings(json_string_value(json_object_get(setting, "flags")), added);

	for (size_t i = 0; i < json_array_size(others); i++)
	{
		json_t *other = json_array_get(others, i);
		const char *flags = json_string_value(json_array_get(other, 0));
		AddedToken *token = &added[settings.n_added++];

		*token = (AddedToken){.content = json_string_value(json_array_get(other, 1)),
							  .id = -1,
							  .special = strchr(flags, 's') != NULL,
							  .single_word = strchr(flags, 'w') != NULL,
							  .lstrip = strchr(flags, 'l') != NULL,
							  .rstrip = strchr(flags, 'r') != NULL,
							  .normalized = strchr(flags, 'n') != NULL};
	}
	return make_tokenizer(arena, &settings);
}

#endif
