/*
 * test_composed.c: composed tokenizers (Unigram, byte-level BPE) against the reference's own
 * values, files and vocabularies that are refused, damaged images, and long words.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "composed_kinds.h"
#include "files/pieces.h"
#include "files/scores.h"
#include "files/sentencepiece.h"
#include "files/tokenizer_files.h"
#include "files/tokenizer_json.h"
#include "tokenizer/composed.h"

static const char any_config[] =
	"{\"tokenizer_class\": \"PreTrainedTokenizerFast\", \"model_input_names\": "
	"[\"input_ids\", \"token_type_ids\", \"attention_mask\"]}";

/* The settings of two files; false and *status where they are refused. */
static bool
read_files(Arena *arena, const char *json, size_t length, const char *config,
		   TokenizerSettings *settings, Status *status)
{
	ByteSource files[2];
	TokenizerContext context = {0};
	ModelSource *source;

	source_from_memory(&files[0], "tokenizer.json", json, length);
	source_from_memory(&files[1], "tokenizer_config.json", config, strlen(config));
	source = modelsource_from_sources(arena, "test", files, 2, status);
	return source != NULL && tokenizer_files_read(arena, source, &context, settings, status);
}

static Tokenizer *
open_json(Arena *arena, const char *json, size_t length)
{
	TokenizerSettings settings;
	Status status = {0};
	unsigned char *image;
	size_t image_length;
	Tokenizer *tokenizer;

	if (!read_files(arena, json, length, any_config, &settings, &status) ||
		!tokenizer_compile(arena, &settings, &image, &image_length, &status))
		fail_msg("%s", status.message);
	tokenizer = tokenizer_open(arena, image, image_length, &status);
	assert_non_null(tokenizer);
	return tokenizer;
}

static void
check_case(const Tokenizer *tokenizer, Arena *arena, const ComposedCase *expected)
{
	EncodeOptions options = {.special_tokens = true};
	EncodeInput input = {expected->text, strlen(expected->text), expected->pair,
						 expected->pair == NULL ? 0 : strlen(expected->pair)};
	Status status = {0};
	EncodeResult result;
	const Encoding *e;
	DecodedText decoded;

	assert_true(tokenizer_encode(tokenizer, arena, &input, &options, NULL, &result, &status));
	e = &result.windows[0];
	assert_int_equal(e->n, expected->n);
	for (size_t i = 0; i < e->n; i++)
	{
		assert_int_equal(e->ids[i], expected->ids[i]);
		assert_int_equal(e->type_ids[i], expected->types[i]);
		assert_int_equal(e->starts[i], expected->starts[i]);
		assert_int_equal(e->ends[i], expected->ends[i]);
		assert_int_equal(e->words[i], expected->words[i]);
	}
	assert_true(tokenizer_decode(tokenizer, arena, &(DecodeInput){e->ids, e->n, true}, NULL,
								 &decoded, &status));
	assert_string_equal(decoded.text, expected->decoded);
}

static void
test_reference(void **state)
{
	(void) state;
	for (size_t k = 0; k < N_KINDS; k++)
	{
		Arena *arena = arena_create(&allocator_malloc, 0);
		Tokenizer *tokenizer = open_json(arena, composed_kinds[k].json, composed_kinds[k].length);

		/* twice: words that came before are remembered */
		for (int round = 0; round < 2; round++)
			for (size_t i = 0; i < composed_kinds[k].n; i++)
				check_case(tokenizer, arena, &composed_kinds[k].cases[i]);
		arena_destroy(arena);
	}
}

/* What is stored and what is exported describe the same tokenizer. */
static void
test_stored_and_exported(void **state)
{
	(void) state;
	for (size_t k = 0; k < N_KINDS; k++)
	{
		Arena *arena = arena_create(&allocator_malloc, 0);
		Status status = {0};
		TokenizerSettings first;
		TokenizerSettings second;
		char *stored;
		char *exported;
		char *json;

		assert_true(read_files(arena, composed_kinds[k].json, composed_kinds[k].length, any_config,
							   &first, &status));
		assert_true(tokenizer_settings_composed(&first));
		stored = tokenizer_settings_write(arena, &first, &status);
		assert_true(tokenizer_settings_parse(arena, stored, strlen(stored), &second, &status));
		assert_string_equal(tokenizer_settings_write(arena, &second, &status), stored);
		exported = tokenizer_settings_export(arena, &first, &status);
		json = tokenizer_json_write(arena, &first, &status);
		assert_non_null(json);
		if (!read_files(arena, json, strlen(json), exported, &second, &status))
			fail_msg("%s", status.message);
		assert_string_equal(tokenizer_settings_write(arena, &second, &status), stored);
		assert_int_equal(second.vocab_length, first.vocab_length);
		assert_memory_equal(second.vocab, first.vocab, first.vocab_length);
		arena_destroy(arena);
	}
}

/* --- What is refused --- */

/* The first tokenizer with one text of it replaced. */
static void
check_refused(const char *from, const char *to, StatusCode code, const char *message)
{
	Arena *arena = arena_create(&allocator_malloc, 0);
	const ComposedKind *kind = &composed_kinds[0];
	const char *found = strstr(kind->json, from);
	size_t before;
	char *text;
	Status status = {0};
	TokenizerSettings settings;
	unsigned char *image;
	size_t length;

	assert_non_null(found);
	before = (size_t) (found - kind->json);
	text = arena_alloc(arena, kind->length + strlen(to) + 1);
	memcpy(text, kind->json, before);
	strcpy(text + before, to);
	strcat(text, found + strlen(from));
	assert_false(read_files(arena, text, strlen(text), any_config, &settings, &status) &&
				 tokenizer_compile(arena, &settings, &image, &length, &status));
	assert_int_equal(status.code, code);
	if (strstr(status.message, message) == NULL)
		fail_msg("%s", status.message);
	arena_destroy(arena);
}

static void
test_refused(void **state)
{
	(void) state;
	check_refused("\"WhitespaceSplit\"", "\"UnicodeScripts\"", STATUS_UNSUPPORTED,
				  "\"UnicodeScripts\"");
	check_refused("\"Precompiled\"", "\"ByteLevel\"", STATUS_UNSUPPORTED, "\"ByteLevel\"");
	check_refused("\"Precompiled\",", "\"Precompiled\",\"later\":1,", STATUS_UNSUPPORTED,
				  "\"later\"");
	check_refused("\"TemplateProcessing\"", "\"Other\"", STATUS_UNSUPPORTED, "\"Other\"");
	check_refused("{\"Sequence\":{\"id\":\"A\"", "{\"Sequence\":{\"id\":\"C\"", STATUS_INVALID_DATA,
				  "\"C\"");
	check_refused("\"ids\":[2]", "\"ids\":[900]", STATUS_INVALID_DATA, "900");
	check_refused("\"unk_id\":3", "\"unk_id\":3000", STATUS_INVALID_DATA, "3000");
	check_refused("\"unk_id\":3", "\"unk_id\":null", STATUS_UNSUPPORTED, "unk_id");
	check_refused("[\"<unk>\",0.0]", "[\"<unk>\"]", STATUS_INVALID_DATA, "entry 3");
	check_refused("[\"<unk>\",0.0]", "[\"\",0.0]", STATUS_INVALID_DATA, "no token 3");
	check_refused("{\"type\":\"WhitespaceSplit\"}",
				  "{\"type\":\"Split\",\"pattern\":{\"Regex\":\"a|b\"},\"behavior\":\"Isolated\"}",
				  STATUS_UNSUPPORTED, "splits by the pattern \"a|b\"");
	check_refused("{\"type\":\"WhitespaceSplit\"}",
				  "{\"type\":\"Split\",\"pattern\":{\"String\":\"ab\"},\"behavior\":\"Isolated\"}",
				  STATUS_UNSUPPORTED, "several characters");
	check_refused("\"prepend_scheme\":\"always\"", "\"prepend_scheme\":\"last\"",
				  STATUS_UNSUPPORTED, "\"last\"");
	check_refused("\"precompiled_charsmap\":\"", "\"precompiled_charsmap\":\"!",
				  STATUS_INVALID_DATA, "base64");
	check_refused("\"WhitespaceSplit\"},", "\"WhitespaceSplit\"},{\"type\":\"ByteLevel\"},",
				  STATUS_UNSUPPORTED, "ByteLevel");
}

/* --- Hostile bytes --- */

static void
test_pieces(void **state)
{
	Arena *arena = arena_create(&allocator_malloc, 0);
	const uint32_t offsets[] = {0, 1, 1, 3};
	const double scores[] = {0, -1.5, -2};
	const uint32_t merges[] = {0, 2};
	Pieces pieces = {.n = 3,
					 .offsets = offsets,
					 .texts = "abc",
					 .scores = scores,
					 .n_merges = 1,
					 .merges = merges,
					 .charsmap = (const unsigned char *) "xyz",
					 .charsmap_length = 3};
	Pieces again;
	Status status = {0};
	size_t length;
	char *bytes = pieces_write(arena, &pieces, &length, &status);

	(void) state;
	assert_true(pieces_read(arena, bytes, length, &again, &status));
	assert_int_equal(again.n, 3);
	assert_int_equal(again.offsets[3], 3);
	assert_true(again.scores[1] == -1.5);
	assert_int_equal(again.merges[1], 2);
	assert_memory_equal(again.charsmap, "xyz", 3);
	for (size_t cut = 0; cut < length; cut++)
		assert_false(pieces_read(arena, bytes, cut, &again, &status));
	for (size_t at = 0; at < length; at++)
		for (int bit = 0; bit < 8; bit++)
		{
			char *copy = malloc(length);

			memcpy(copy, bytes, length);
			copy[at] = (char) (copy[at] ^ 1 << bit);
			pieces_read(arena, copy, length, &again, &status);
			free(copy);
		}
	arena_destroy(arena);
}

/* Flips bytes of images; whatever opens encodes without harm. */
static void
test_damaged_images(void **state)
{
	uint64_t random = 88172645463325252u;

	(void) state;
	for (size_t k = 0; k < N_KINDS; k++)
	{
		Arena *arena = arena_create(&allocator_malloc, 0);
		TokenizerSettings settings;
		Status status = {0};
		unsigned char *image;
		size_t length;

		assert_true(read_files(arena, composed_kinds[k].json, composed_kinds[k].length, any_config,
							   &settings, &status) &&
					tokenizer_compile(arena, &settings, &image, &length, &status));
		for (int round = 0; round < 400; round++)
		{
			ArenaMark mark = arena_mark(arena);
			unsigned char *copy = arena_alloc(arena, length);
			EncodeOptions options = {.special_tokens = true};
			Tokenizer *tokenizer;
			EncodeResult result;
			DecodedText decoded;

			memcpy(copy, image, length);
			for (int flip = 0; flip < 1 + round % 20; flip++)
			{
				size_t range = round % 2 == 0 ? sizeof(ImageHeader) : length;

				random ^= random << 13;
				random ^= random >> 7;
				random ^= random << 17;
				copy[random % range] = (unsigned char) (random >> 40);
			}
			tokenizer = tokenizer_open(arena, copy, length, &status);
			if (tokenizer != NULL &&
				tokenizer_encode(
					tokenizer, arena,
					&(EncodeInput){"Hello\t  w\xc3\xa9rld <mask> don't 12", 29, "ab\x01", 3},
					&options, NULL, &result, &status))
				tokenizer_decode(tokenizer, arena,
								 &(DecodeInput){result.windows[0].ids, result.windows[0].n, false},
								 NULL, &decoded, &status);
			arena_rewind(arena, mark);
		}
		arena_destroy(arena);
	}
}

/* --- Long words --- */

static bool
stop_later(void *context)
{
	int *left = context;

	return (*left)-- > 0;
}

/* A word of a million characters: tokens, an early end at the limit, and a cancel. */
static void
test_long_words(void **state)
{
	static const char *const parts[] = {"a", "ab", "\xf0\x9f\x98\x80", "Hello", "l"};
	size_t length = 1000000;

	(void) state;
	for (size_t k = 0; k < N_KINDS; k++)
		for (size_t p = 0; p < sizeof parts / sizeof parts[0]; p++)
		{
			Arena *arena = arena_create(&allocator_malloc, 0);
			Tokenizer *tokenizer =
				open_json(arena, composed_kinds[k].json, composed_kinds[k].length);
			EncodeOptions options = {
				.special_tokens = true, .truncation = TRUNCATE_LONGEST_FIRST, .max_length = 16};
			size_t part = strlen(parts[p]);
			size_t bytes = length / part * part;
			char *text = malloc(bytes);
			int questions = 3;
			MayContinue question = {stop_later, &questions};
			EncodeResult result;
			Status status = {0};
			size_t count;

			for (size_t at = 0; at < bytes; at += part)
				memcpy(text + at, parts[p], part);
			assert_true(tokenizer_count(tokenizer, arena, text, bytes, NULL, &count, &status));
			assert_true(count >= 1 && count <= bytes + 1);
			assert_true(tokenizer_encode(tokenizer, arena, &(EncodeInput){text, bytes, NULL, 0},
										 &options, NULL, &result, &status));
			assert_true(result.windows[0].n <= 16);
			assert_false(
				tokenizer_count(tokenizer, arena, text, bytes, &question, &count, &status));
			assert_int_equal(status.code, STATUS_CANCELLED);
			free(text);
			arena_destroy(arena);
		}
}

/* --- SentencePiece models --- */

static size_t
put_field(unsigned char *out, int number, const void *bytes, size_t length)
{
	out[0] = (unsigned char) (number << 3 | 2);
	out[1] = (unsigned char) length;
	memcpy(out + 2, bytes, length);
	return length + 2;
}

static size_t
put_piece(unsigned char *out, const char *text, float score, int type)
{
	unsigned char piece[64];
	size_t n = put_field(piece, 1, text, strlen(text));

	piece[n++] = 2 << 3 | 5;
	memcpy(piece + n, &score, 4);
	n += 4;
	piece[n++] = 3 << 3;
	piece[n++] = (unsigned char) type;
	return put_field(out, 1, piece, n);
}

static void
test_sentencepiece(void **state)
{
	static const char *const names[] = {"<s>", "</s>", "<unk>", "</s>", "<pad>", "<s>", "<mask>"};
	Arena *arena = arena_create(&allocator_malloc, 0);
	unsigned char bytes[512];
	size_t n = 0;
	SentencePieceModel model;
	Pieces pieces;
	Status status = {0};

	(void) state;
	n += put_piece(bytes + n, "<unk>", 0, 2);
	n += put_piece(bytes + n, "<s>", 0, 3);
	n += put_piece(bytes + n, "</s>", 0, 3);
	n += put_piece(bytes + n, "a", -1.5F, 1);
	n += put_piece(bytes + n, "user", -2, 4);
	n += put_field(bytes + n, 3, "\x12\x03xyz", 5);
	assert_true(sentencepiece_read(arena, (const char *) bytes, n, &model, &status));
	assert_int_equal(model.n, 5);
	assert_int_equal(model.n_added, 3);
	assert_false(model.added[2].special);
	assert_memory_equal(model.charsmap, "xyz", 3);
	assert_true(sentencepiece_order(arena, &model, CLASS_XLM_ROBERTA, names, &pieces, &status));
	assert_int_equal(pieces.n, 4 + 2 + 1);
	assert_memory_equal(pieces.texts + pieces.offsets[1], "<pad>", 5);
	assert_memory_equal(pieces.texts + pieces.offsets[4], "a", 1);
	assert_true(pieces.scores[4] == -1.5);
	assert_true(sentencepiece_order(arena, &model, CLASS_CAMEMBERT, names, &pieces, &status));
	assert_int_equal(pieces.n, 5 + 4 + 1);
	for (size_t cut = 1; cut < n; cut++)
		sentencepiece_read(arena, (const char *) bytes, cut, &model, &status);
	for (size_t at = 0; at < n * 8; at++)
	{
		unsigned char *copy = malloc(n);

		memcpy(copy, bytes, n);
		copy[at / 8] ^= (unsigned char) (1 << at % 8);
		sentencepiece_read(arena, (const char *) copy, n, &model, &status);
		free(copy);
	}
	n += put_field(bytes + n, 2, "\x18\x02", 2); /* byte-pair encoding */
	assert_false(sentencepiece_read(arena, (const char *) bytes, n, &model, &status));
	assert_int_equal(status.code, STATUS_UNSUPPORTED);
	arena_destroy(arena);
}

/* The reference reads numbers of many digits with two roundings. */
static void
test_scores(void **state)
{
	char text[SCORE_TEXT_BYTES];

	(void) state;
	assert_true(score_as_read(-1.5) == -1.5);
	assert_true(score_as_read(-12.305999755859375) == -12.305999755859377);
	score_text(-12.305999755859375, text);
	assert_string_equal(text, "-12.305999755859375");
	score_text(-100, text);
	assert_string_equal(text, "-100.0");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_reference),      cmocka_unit_test(test_stored_and_exported),
		cmocka_unit_test(test_refused),        cmocka_unit_test(test_pieces),
		cmocka_unit_test(test_damaged_images), cmocka_unit_test(test_long_words),
		cmocka_unit_test(test_sentencepiece),  cmocka_unit_test(test_scores),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
