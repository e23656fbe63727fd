/*
 * fuzz_composed.c: Unigram and byte-level BPE: their files, their vocabularies, their images, and
 * texts. What an input is, its first byte says:
 *
 *     '{'    a tokenizer.json, and after the first zero byte a text
 *     '\n'   a SentencePiece model, as it begins with a piece; for the class that its length says
 *     'B'    a vocabulary of the store (pieces.h)
 *     other  a text for one of the kinds of composed_cases.h, or changes to its image
 *
 * What is accepted is compiled, written, read again, and encodes a text.
 */
#include "encoding.h"
#include "recycling.h"

#include "composed_kinds.h"
#include "core/checked.h"
#include "files/pieces.h"
#include "files/tokenizer_files.h"
#include "files/tokenizer_json.h"

#define MOST_JSON ((size_t) 64 << 20)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What encoding.h does first, and a text, for inputs that have none. */
static const uint8_t some_text[] = "\x39\x20\x01\xb0"
								   "Hello\t  w\xc3\xa9rld <mask>don't a\xcc\x81\xef\xac\x81 1\xf0"
								   "\x9f\x98\x80 12\x01 [MASK]";

static const char any_config[] = "{\"tokenizer_class\": \"PreTrainedTokenizerFast\"}";

/* Settings from tokenizer_config.json and one more file. */
static bool
read_files(Arena *arena, const char *config, ByteSource *file, TokenizerSettings *settings,
		   Status *status)
{
	ByteSource files[2] = {*file};
	TokenizerContext context = {0};
	ModelSource *source;

	source_from_memory(&files[1], "tokenizer_config.json", config, strlen(config));
	source = modelsource_from_sources(arena, "fuzz", files, 2, status);
	return source != NULL && tokenizer_files_read(arena, source, &context, settings, status);
}

/* What is stored says the same, and so does what is exported. */
static void
write_and_read(Arena *arena, const TokenizerSettings *settings)
{
	Status status = {0};
	char *stored = tokenizer_settings_write(arena, settings, &status);
	char *exported = tokenizer_settings_export(arena, settings, &status);
	char *json = tokenizer_json_write(arena, settings, &status);
	TokenizerSettings again;
	ByteSource file;

	MUST(stored != NULL && exported != NULL && json != NULL);
	MUST(tokenizer_settings_parse(arena, stored, strlen(stored), &again, &status));
	source_from_memory(&file, "tokenizer.json", json, strlen(json));
	MUST(read_files(arena, exported, &file, &again, &status));
}

/* The image, or NULL where the settings are refused. */
static Tokenizer *
make(Arena *arena, const TokenizerSettings *settings, unsigned char **image, size_t *length)
{
	Status status = {0};
	Tokenizer *tokenizer;

	if (!tokenizer_compile(arena, settings, image, length, &status))
	{
		MUST(status.code != STATUS_NONE && status.code != STATUS_INTERNAL);
		return NULL;
	}
	tokenizer = tokenizer_open(arena, *image, *length, &status);
	MUST(tokenizer != NULL);
	return tokenizer;
}

static void
use_settings(Arena *arena, const TokenizerSettings *settings, const uint8_t *text, size_t size)
{
	unsigned char *image;
	size_t length;
	Tokenizer *tokenizer = make(arena, settings, &image, &length);

	if (tokenizer == NULL)
		return;
	use(tokenizer, arena, some_text, sizeof some_text - 1, false);
	use(tokenizer, arena, text, size, false);
}

static void
fuzz_file(Arena *arena, const uint8_t *data, size_t size)
{
	static const char *const configs[] = {"{\"tokenizer_class\": \"XLMRobertaTokenizer\"}",
										  "{\"tokenizer_class\": \"CamembertTokenizer\"}",
										  "{\"tokenizer_class\": \"AlbertTokenizer\"}"};
	bool json = data[0] == '{';
	const uint8_t *end = json ? memchr(data, 0, size) : NULL;
	size_t length = end == NULL ? size : (size_t) (end - data);
	size_t class = size % 3;
	TokenizerSettings settings;
	Status status = {0};
	ByteSource file;

	source_from_memory(&file,
					   json         ? "tokenizer.json"
					   : class == 2 ? "spiece.model"
									: "sentencepiece.bpe.model",
					   data, length);
	if (!read_files(arena, json ? any_config : configs[class], &file, &settings, &status))
	{
		MUST(status.code != STATUS_NONE && status.code != STATUS_INTERNAL);
		return;
	}
	if (json && !tokenizer_settings_composed(&settings))
		return;
	write_and_read(arena, &settings);
	use_settings(arena, &settings, data + length, size - length);
}

static const char unigram_bytes[] =
	"{\"model\":{\"type\":\"Unigram\",\"unk_id\":0,\"byte_fallback\":true},\"normalizer\":"
	"{\"type\":\"Precompiled\",\"precompiled_charsmap\":\"\"},\"pre_tokenizer\":{\"type\":"
	"\"Metaspace\",\"replacement\":\"\xe2\x96\x81\",\"prepend_scheme\":\"always\"}}";
static const char unigram_plain[] = "{\"model\":{\"type\":\"Unigram\",\"unk_id\":1}}";
static const char bpe[] = "{\"model\":{\"type\":\"BPE\",\"ignore_merges\":true},"
						  "\"pre_tokenizer\":{\"type\":\"ByteLevel\",\"add_prefix_space\":true}}";
static const char *const pipelines[] = {unigram_bytes, unigram_plain, bpe};

static void
fuzz_pieces(Arena *arena, const uint8_t *data, size_t size)
{
	Status status = {0};
	Pieces pieces;
	size_t length;
	char *again;

	if (!pieces_read(arena, (const char *) data, size, &pieces, &status))
		return;
	again = pieces_write(arena, &pieces, &length, &status);
	MUST(again != NULL && length == size && memcmp(again, data, size) == 0);
	for (size_t i = 0; i < sizeof pipelines / sizeof pipelines[0]; i++)
	{
		TokenizerSettings settings = {.pipeline = pipelines[i],
									  .continuing_subword_prefix = "",
									  .vocab = (const char *) data,
									  .vocab_length = size};

		use_settings(arena, &settings, NULL, 0);
	}
}

/* The image of a kind: made once, always the same. */
static const unsigned char *
kind_image(size_t kind, size_t *length)
{
	static unsigned char *images[N_KINDS];
	static size_t lengths[N_KINDS];

	if (images[kind] == NULL)
	{
		Arena *arena = arena_create(&allocator_malloc, MOST_JSON);
		TokenizerSettings settings;
		Status status = {0};
		unsigned char *image;
		ByteSource file;

		source_from_memory(&file, "tokenizer.json", composed_kinds[kind].json,
						   composed_kinds[kind].length);
		MUST(read_files(arena, any_config, &file, &settings, &status));
		MUST(make(arena, &settings, &image, &lengths[kind]) != NULL);
		images[kind] = aligned_alloc(64, size_align(lengths[kind], 64));
		MUST(images[kind] != NULL);
		memcpy(images[kind], image, lengths[kind]);
		arena_destroy(arena);
	}
	*length = lengths[kind];
	return images[kind];
}

/* Changes of a byte each: where, and what is put there. */
static void
fuzz_image(Arena *arena, size_t kind, const uint8_t *data, size_t size)
{
	size_t length;
	const unsigned char *good = kind_image(kind, &length);
	unsigned char *image = aligned_alloc(64, size_align(length, 64));
	unsigned changes = size == 0 ? 0 : data[0] % 16;
	Status status = {0};
	Tokenizer *tokenizer;

	MUST(image != NULL);
	memcpy(image, good, length);
	for (; changes > 0 && size >= 4; changes--, data += 4, size -= 4)
	{
		size_t at = (size_t) (data[1] << 8 | data[2]);

		/* one in two in the header and what follows it: the rest is mostly empty tables */
		image[at % (data[1] < 128 ? sizeof(ImageHeader) : length)] ^= data[3];
	}
	tokenizer = tokenizer_open(arena, image, length, &status);
	if (tokenizer != NULL)
	{
		use(tokenizer, arena, some_text, sizeof some_text - 1, true);
		use(tokenizer, arena, data, size, true);
	}
	free(image);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	Arena *arena;
	size_t kind;
	Status status = {0};
	const unsigned char *image;
	size_t length;

	if (size < 4)
		return 0;
	arena = arena_create(&recycling, (size_t) 256 << 20);
	kind = data[0] / 2 % N_KINDS;
	if (data[0] == '{' || data[0] == '\n')
		fuzz_file(arena, data, size);
	else if (data[0] == 'B')
		fuzz_pieces(arena, data, size);
	else if (data[0] % 2 == 0)
		fuzz_image(arena, kind, data + 1, size - 1);
	else
	{
		image = kind_image(kind, &length);
		use(tokenizer_open(arena, image, length, &status), arena, data + 1, size - 1, false);
	}
	arena_destroy(arena);
	return 0;
}
