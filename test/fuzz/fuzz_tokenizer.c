/*
 * fuzz_tokenizer.c: texts, vocabularies and images that nobody would make.
 *
 * The first byte says what the rest is: a text for a tokenizer with these settings, a vocabulary
 * with a text, or changes to a good image. Beyond what the sanitizers see, the encoding must be
 * consistent in itself.
 */
#include "encoding.h"

static const char good_vocab[] =
	"[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\na\nb\nc\nhello\nworld\nun\n##a\n##b\n##c\n##able\n##s\n."
	"\n,\n'\n\xe4\xba\xba\n\xc3\xa9\n##\xc3\xa9\ne\n##e\n"
	"\xd0\xbf\n##\xd1\x80\n##\n#\n";

static AddedToken added[] = {
	{"[PAD]", -1, true, false, false, false, false},
	{"[UNK]", -1, true, false, false, false, false},
	{"[CLS]", -1, true, false, false, false, false},
	{"[SEP]", -1, true, false, false, false, false},
	{"[MASK]", -1, true, false, true, false, false},
	{"<x>", -1, false, true, false, true, false},
	{"\xc3\x89t", -1, false, false, true, true, true},
	{"  y", -1, false, false, true, false, false},
};

static TokenizerSettings
make_settings(unsigned flags)
{
	TokenizerSettings settings = {.clean_text = (flags & 1) != 0,
								  .handle_chinese_chars = (flags & 2) != 0,
								  .strip_accents = (flags & 4) != 0,
								  .lowercase = (flags & 8) != 0,
								  .unk_token = "[UNK]",
								  .sep_token = "[SEP]",
								  .pad_token = "[PAD]",
								  .cls_token = "[CLS]",
								  .mask_token = "[MASK]",
								  .continuing_subword_prefix = "##",
								  .max_input_chars_per_word = (flags & 16) != 0 ? 100 : 4,
								  .added = added,
								  .n_added = (flags & 32) != 0 ? 8 : 6,
								  .vocab = good_vocab,
								  .vocab_length = sizeof good_vocab - 1};

	return settings;
}

static void
fuzz_vocabulary(Arena *arena, const uint8_t *data, size_t size)
{
	TokenizerSettings settings = make_settings(data[0]);
	size_t split = size > 2 ? 2 + data[1] * (size - 2) / 256 : size;
	Status status = {0};
	unsigned char *image;
	size_t length;

	if (size <= 2)
		return;
	settings.vocab = own_copy(data + 2, split - 2);
	settings.vocab_length = split - 2;
	if (tokenizer_compile(arena, &settings, &image, &length, &status))
	{
		Tokenizer *tokenizer = tokenizer_open(arena, image, length, &status);

		MUST(tokenizer != NULL);
		use(tokenizer, arena, data + split, size - split, false);
	}
	free((char *) settings.vocab);
}

static void
fuzz_image(Arena *arena, const uint8_t *data, size_t size)
{
	TokenizerSettings settings = make_settings(data[0]);
	Status status = {0};
	unsigned char *image;
	size_t length;
	Tokenizer *tokenizer;
	unsigned changes;

	if (size < 2 || !tokenizer_compile(arena, &settings, &image, &length, &status))
		return;
	changes = data[1] % 16;
	data += 2;
	size -= 2;
	for (; changes > 0 && size >= 3; changes--, data += 3, size -= 3)
		image[(data[0] << 8 | data[1]) % length] ^= data[2];
	tokenizer = tokenizer_open(arena, image, length, &status);
	if (tokenizer != NULL)
		use(tokenizer, arena, data, size, true);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	Arena *arena;

	if (size < 4)
		return 0;
	arena = arena_create(&allocator_malloc, (size_t) 256 << 20);
	if (data[0] % 4 == 0)
		fuzz_vocabulary(arena, data + 1, size - 1);
	else if (data[0] % 4 == 1)
		fuzz_image(arena, data + 1, size - 1);
	else
	{
		TokenizerSettings settings = make_settings(data[1]);
		Status status = {0};
		unsigned char *image;
		size_t length;

		MUST(tokenizer_compile(arena, &settings, &image, &length, &status));
		use(tokenizer_open(arena, image, length, &status), arena, data + 2, size - 2, false);
	}
	arena_destroy(arena);
	return 0;
}
