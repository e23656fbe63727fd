/*
 * test_tokenizer.c: the tokenizer against what the reference made of tricky texts
 * (test/golden/tokenizer.json) and of all code points, and against bad input.
 */
#include "tokenizer_fixture.h"

#include "core/checked.h"
#include "core/hash.h"
#include "tokenizer/unicode.h"

static int
golden_int(json_t *object, const char *key)
{
	return (int) json_integer_value(json_object_get(object, key));
}

static void
check_row(size_t number, const char *name, json_t *row, const Encoding *window,
		  int64_t (*value)(const Encoding *, size_t))
{
	if (json_array_size(row) != window->n)
		fail_msg("case %zu: %zu tokens, the reference has %zu", number, window->n,
				 json_array_size(row));
	for (size_t i = 0; i < window->n; i++)
		if (json_integer_value(json_array_get(row, i)) != value(window, i))
			fail_msg("case %zu: %s[%zu] is %lld, the reference has %lld", number, name, i,
					 (long long) value(window, i),
					 (long long) json_integer_value(json_array_get(row, i)));
}

static int64_t
id_of(const Encoding *e, size_t i)
{
	return e->ids[i];
}

static int64_t
type_of(const Encoding *e, size_t i)
{
	return e->type_ids[i];
}

static int64_t
start_of(const Encoding *e, size_t i)
{
	return e->starts[i];
}

static int64_t
end_of(const Encoding *e, size_t i)
{
	return e->ends[i];
}

static int64_t
word_of(const Encoding *e, size_t i)
{
	return e->words[i];
}

static int64_t
sequence_of(const Encoding *e, size_t i)
{
	return e->sequences[i];
}

static void
check_encoded(const Tokenizer *tokenizer, Arena *arena, json_t *wanted, size_t number)
{
	static int64_t (*const values[])(const Encoding *, size_t) = {id_of,  type_of, start_of,
																  end_of, word_of, sequence_of};
	static const char *const names[] = {"ids", "types", "starts", "ends", "words", "sequences"};
	json_t *text = json_object_get(wanted, "text");
	json_t *pair = json_object_get(wanted, "pair");
	json_t *windows = json_object_get(wanted, "windows");
	json_t *tokens = json_object_get(wanted, "tokens");
	EncodeOptions options = {json_is_true(json_object_get(wanted, "special")),
							 (Truncation) golden_int(wanted, "truncation"),
							 golden_int(wanted, "max_length"), golden_int(wanted, "stride"), true};
	EncodeResult result;
	Status status = {0};

	if (!tokenizer_encode(tokenizer, arena,
						  &(EncodeInput){json_string_value(text), json_string_length(text),
										 pair == NULL ? NULL : json_string_value(pair),
										 pair == NULL ? 0 : json_string_length(pair)},
						  &options, NULL, &result, &status))
		fail_msg("case %zu: %s", number, status.message);
	if (json_array_size(windows) != result.n_windows)
		fail_msg("case %zu: %zu windows, the reference has %zu", number, result.n_windows,
				 json_array_size(windows));
	for (size_t w = 0; w < result.n_windows; w++)
		for (size_t r = 0; r < 6; r++)
			check_row(number, names[r], json_array_get(json_array_get(windows, w), r),
					  &result.windows[w], values[r]);
	assert_int_equal(result.truncated, result.n_windows > 1);
	for (size_t i = 0; i < json_array_size(tokens); i++)
	{
		size_t length;
		const char *token = tokenizer_token(tokenizer, result.windows[0].ids[i], &length);
		json_t *reference = json_array_get(tokens, i);

		assert_int_equal(length, json_string_length(reference));
		assert_memory_equal(token, json_string_value(reference), length);
		assert_int_equal(tokenizer_id(tokenizer, token, length), result.windows[0].ids[i]);
	}
	/* Without the overflow the first window is the same. */
	options.overflow = false;
	assert_true(tokenizer_encode(tokenizer, arena,
								 &(EncodeInput){json_string_value(text), json_string_length(text),
												pair == NULL ? NULL : json_string_value(pair),
												pair == NULL ? 0 : json_string_length(pair)},
								 &options, NULL, &result, &status));
	assert_int_equal(result.n_windows, 1);
	assert_int_equal(result.truncated, json_array_size(windows) > 1);
	for (size_t r = 0; r < 6; r++)
		check_row(number, names[r], json_array_get(json_array_get(windows, 0), r),
				  &result.windows[0], values[r]);
}

static void
test_golden_encodings(void **state)
{
	json_t *cases = json_object_get(fixture.golden, "encode");
	size_t n = json_array_size(cases);
	int setting = -1;
	Arena *arena = NULL;
	Tokenizer *tokenizer = NULL;

	(void) state;
	assert_true(n > 500);
	for (size_t i = 0; i < n; i++)
	{
		json_t *wanted = json_array_get(cases, i);

		if (golden_int(wanted, "setting") != setting)
		{
			arena_destroy(arena);
			arena = arena_create(&allocator_malloc, 0);
			setting = golden_int(wanted, "setting");
			tokenizer = golden_tokenizer(arena, (size_t) setting);
		}
		check_encoded(tokenizer, arena, wanted, i);
	}
	arena_destroy(arena);
	print_message("%zu/%zu texts as the reference encodes them\n", n, n);
}

static void
test_golden_decodings(void **state)
{
	json_t *cases = json_object_get(fixture.golden, "decode");
	Arena *arena = arena_create(&allocator_malloc, 0);

	(void) state;
	assert_true(json_array_size(cases) > 100);
	for (size_t i = 0; i < json_array_size(cases); i++)
	{
		json_t *wanted = json_array_get(cases, i);
		json_t *ids = json_object_get(wanted, "ids");
		Tokenizer *tokenizer = golden_tokenizer(arena, (size_t) golden_int(wanted, "setting"));
		int32_t *values = arena_alloc_array(arena, json_array_size(ids), sizeof *values);
		Status status = {0};
		DecodedText text;

		for (size_t k = 0; k < json_array_size(ids); k++)
			values[k] = (int32_t) json_integer_value(json_array_get(ids, k));
		assert_true(tokenizer_decode(tokenizer, arena,
									 &(DecodeInput){values, json_array_size(ids),
													json_is_true(json_object_get(wanted, "skip"))},
									 NULL, &text, &status));
		assert_int_equal(text.length, json_string_length(json_object_get(wanted, "text")));
		assert_memory_equal(text.text, json_string_value(json_object_get(wanted, "text")),
							text.length);
	}
	arena_destroy(arena);
}

/* Words of normalized text, hashed with the offsets that the tokenizer gives for them. */
typedef struct WordHash
{
	Sha256 hash;
	const Encoding *encoding;
	size_t next; /* word */
	unsigned char word[256];
	size_t length;
} WordHash;

static void
end_word(WordHash *words)
{
	uint32_t offsets[2];

	if (words->length == 0)
		return;
	assert_true(words->next < words->encoding->n);
	offsets[0] = words->encoding->starts[words->next];
	offsets[1] = words->encoding->ends[words->next++];
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
	offsets[0] = __builtin_bswap32(offsets[0]);
	offsets[1] = __builtin_bswap32(offsets[1]);
#endif
	sha256_update(&words->hash, words->word, words->length);
	sha256_update(&words->hash, offsets, sizeof offsets);
	words->length = 0;
}

static void
hash_character(void *context, uint32_t c, uint8_t bits, uint32_t origin)
{
	WordHash *words = context;

	(void) origin;
	if ((bits & (UNICODE_SPACE | UNICODE_PUNCTUATION)) != 0)
		end_word(words);
	if ((bits & UNICODE_SPACE) == 0)
	{
		assert_true(words->length + 4 <= sizeof words->word);
		words->length += (size_t) utf8_encode(c, words->word + words->length);
	}
	if ((bits & UNICODE_PUNCTUATION) != 0)
		end_word(words);
}

static void
hash_context(const Tokenizer *tokenizer, Arena *arena, WordHash *words, const uint32_t *text, int n)
{
	EncodeOptions options = {.truncation = TRUNCATE_NONE};
	ArenaMark mark = arena_mark(arena);
	EncodeResult result;
	Status status = {0};
	Normalizer normalizer;
	char bytes[32];
	size_t length = 0;

	for (int i = 0; i < n; i++)
		length += (size_t) utf8_encode(text[i], (unsigned char *) bytes + length);
	assert_true(tokenizer_encode(tokenizer, arena, &(EncodeInput){bytes, length, NULL, 0}, &options,
								 NULL, &result, &status));
	words->encoding = &result.windows[0];
	words->next = 0;
	normalizer_init(&normalizer, tokenizer->normalize, arena, hash_character, words);
	for (int i = 0; i < n; i++)
		normalizer_push(&normalizer, text[i], (uint32_t) i);
	normalizer_finish(&normalizer);
	end_word(words);
	assert_int_equal(words->next, words->encoding->n);
	arena_rewind(arena, mark);
}

static void
test_all_code_points(void **state)
{
	static const char vocab[] = "[UNK]\n";
	json_t *planes = json_object_get(fixture.golden, "planes");
	const char *flags;
	json_t *digests;
	int compared = 0;

	(void) state;
	json_object_foreach(planes, flags, digests)
	{
		Arena *arena = arena_create(&allocator_malloc, 0);
		AddedToken added[MAX_ADDED];
		TokenizerSettings settings = make_settings(flags, added);
		Tokenizer *tokenizer;

		settings.vocab = vocab;
		settings.vocab_length = strlen(vocab);
		settings.n_added = 0;
		tokenizer = make_tokenizer(arena, &settings);
		for (uint32_t plane = 0; plane < 17; plane++)
		{
			unsigned char digest[SHA256_BYTES];
			char hex[2 * SHA256_BYTES + 1];
			WordHash words = {.length = 0};

			sha256_init(&words.hash);
			for (uint32_t low = 0; low < 0x10000; low++)
			{
				uint32_t c = plane << 16 | low;

				if (c >= 0xD800 && c <= 0xDFFF)
					continue;
				hash_context(tokenizer, arena, &words, (uint32_t[]){'a', c, 'b'}, 3);
				hash_context(tokenizer, arena, &words, (uint32_t[]){c, 0x323, 0x301}, 3);
				compared++;
			}
			sha256_final(&words.hash, digest);
			for (int i = 0; i < SHA256_BYTES; i++)
				sprintf(hex + 2 * i, "%02x", digest[i]);
			if (strcmp(hex, json_string_value(json_array_get(digests, plane))) != 0)
				fail_msg("plane %u differs from the reference with settings %s", plane, flags);
		}
		arena_destroy(arena);
	}
	assert_int_equal(compared, 4 * (0x110000 - 0x800));
	print_message("1112064/1112064 code points as the reference treats them, in two contexts with "
				  "four settings\n");
}

static void
expect_compile_error(const char *vocab, size_t length, StatusCode code)
{
	Arena *arena = arena_create(&allocator_malloc, 0);
	AddedToken added[MAX_ADDED];
	TokenizerSettings settings = make_settings("czal", added);
	Status status = {0};
	unsigned char *image;
	size_t image_length;

	settings.vocab = vocab;
	settings.vocab_length = length;
	assert_false(tokenizer_compile(arena, &settings, &image, &image_length, &status));
	assert_int_equal(status.code, code);
	assert_true(strlen(status.message) > 0);
	arena_destroy(arena);
}

static void
test_bad_vocabularies(void **state)
{
	static const char *const bad[] = {
		"", "a\nb\n", "[UNK]\na\nb\na\n", "[UNK]\na\xff\n", "[UNK]\n\xed\xa0\x80\n", "\n"};
	char line[2000];

	(void) state;
	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
		expect_compile_error(bad[i], strlen(bad[i]), STATUS_INVALID_DATA);
	memset(line, 'x', sizeof line);
	memcpy(line, "[UNK]\n", 6);
	expect_compile_error(line, sizeof line, STATUS_LIMIT);
}

static void
test_line_ends(void **state)
{
	static const char vocab[] = "[UNK]\r\n[CLS]\r\n[SEP]\r\nhello\r\n##s";
	Arena *arena = arena_create(&allocator_malloc, 0);
	AddedToken added[MAX_ADDED];
	TokenizerSettings settings = make_settings("czal", added);
	EncodeOptions options = {.special_tokens = true};
	EncodeResult result;
	Status status = {0};
	Tokenizer *tokenizer;

	(void) state;
	settings.vocab = vocab;
	settings.vocab_length = strlen(vocab);
	tokenizer = make_tokenizer(arena, &settings);
	assert_int_equal(tokenizer_vocab_size(tokenizer), 5);
	assert_int_equal(tokenizer_mask_id(tokenizer), -1);
	assert_int_equal(tokenizer_pad_id(tokenizer), -1);
	assert_true(tokenizer_is_continuation(tokenizer, 4));
	assert_false(tokenizer_is_continuation(tokenizer, 3));
	assert_true(tokenizer_is_special(tokenizer, 1));
	assert_false(tokenizer_is_special(tokenizer, 3));
	assert_false(tokenizer_is_special(tokenizer, -1));
	assert_false(tokenizer_is_special(tokenizer, 5));
	assert_true(tokenizer_encode(tokenizer, arena, &(EncodeInput){"Hellos", 6, NULL, 0}, &options,
								 NULL, &result, &status));
	assert_int_equal(result.windows[0].n, 4);
	assert_int_equal(result.windows[0].ids[1], 3);
	assert_int_equal(result.windows[0].ids[2], 4);
	arena_destroy(arena);
}

static void
test_added_ids(void **state)
{
	Arena *arena = arena_create(&allocator_malloc, 0);
	AddedToken added[MAX_ADDED];
	TokenizerSettings settings = make_settings("czal", added);
	Tokenizer *tokenizer;
	size_t length;
	int lines = 0;

	(void) state;
	for (size_t i = 0; i < fixture.vocab_length; i++)
		lines += fixture.vocab[i] == '\n';
	added[settings.n_added++] = (AddedToken){.content = "<b>", .id = lines + 3};
	added[settings.n_added++] = (AddedToken){.content = "<a>", .id = -1};
	tokenizer = make_tokenizer(arena, &settings);
	assert_int_equal(tokenizer_id(tokenizer, "<b>", 3), lines + 3);
	assert_int_equal(tokenizer_id(tokenizer, "<a>", 3), lines + 4);
	assert_int_equal(tokenizer_id(tokenizer, "<c>", 3), -1);
	assert_int_equal(tokenizer_vocab_size(tokenizer), lines + 5);
	assert_null(tokenizer_token(tokenizer, lines, &length));
	assert_memory_equal(tokenizer_token(tokenizer, lines + 4, &length), "<a>", 3);
	assert_int_equal(length, 3);
	arena_destroy(arena);
}

static void
test_invalid_text(void **state)
{
	static const struct
	{
		const char *text;
		size_t position;
	} bad[] = {
		{"abc\x80", 3},      {"\xc0\x80", 0},           {"x\xe0\x80\x80", 1},
		{"\xed\xa0\x80", 0}, {"ab\xf4\x90\x80\x80", 2}, {"\xf5\x80\x80\x80", 0},
		{"a\xc3", 1},        {"\xe4\xb8", 0},           {"\xf0\x9f\x98", 0},
		{"\xc3\xa9\xff", 2},
	};
	Arena *arena = arena_create(&allocator_malloc, 0);
	Tokenizer *tokenizer = golden_tokenizer(arena, 0);
	EncodeOptions options = {.special_tokens = true};

	(void) state;
	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
		for (size_t before = 0; before < 200000; before += 65521)
		{
			char *text = malloc(before + strlen(bad[i].text));
			size_t length = before + strlen(bad[i].text);
			char position[32];
			EncodeResult result;
			Status status = {0};

			memset(text, 'a', before);
			memcpy(text + before, bad[i].text, strlen(bad[i].text));
			assert_false(tokenizer_encode(tokenizer, arena, &(EncodeInput){text, length, NULL, 0},
										  &options, NULL, &result, &status));
			assert_int_equal(status.code, STATUS_INVALID_TEXT);
			snprintf(position, sizeof position, "byte %zu", before + bad[i].position);
			assert_non_null(strstr(status.message, position));
			free(text);
		}
	arena_destroy(arena);
}

static void
test_refused_options(void **state)
{
	static const char text[] = "one two three four five six seven";
	Arena *arena = arena_create(&allocator_malloc, 0);
	Tokenizer *tokenizer = golden_tokenizer(arena, 0);
	const EncodeOptions refused[] = {
		{true, TRUNCATE_LONGEST_FIRST, 1, 0, false}, {true, TRUNCATE_LONGEST_FIRST, -5, 0, false},
		{true, TRUNCATE_LONGEST_FIRST, 2, 0, true},  {true, TRUNCATE_LONGEST_FIRST, 5, 3, true},
		{true, TRUNCATE_LONGEST_FIRST, 5, -1, true}, {true, TRUNCATE_ONLY_SECOND, 5, 0, false},
	};
	const EncodeOptions first_only = {true, TRUNCATE_ONLY_FIRST, 8, 0, false};
	const EncodeOptions nothing_left = {true, TRUNCATE_LONGEST_FIRST, 2, 0, false};
	EncodeResult result;
	Status status = {0};

	(void) state;
	for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++)
	{
		assert_false(tokenizer_encode(tokenizer, arena, &(EncodeInput){text, strlen(text), NULL, 0},
									  &refused[i], NULL, &result, &status));
		assert_int_equal(status.code, STATUS_INVALID_ARGUMENT);
	}
	assert_false(tokenizer_encode(tokenizer, arena,
								  &(EncodeInput){text, strlen(text), text, strlen(text)},
								  &first_only, NULL, &result, &status));
	assert_int_equal(status.code, STATUS_INVALID_ARGUMENT);
	assert_true(tokenizer_encode(tokenizer, arena, &(EncodeInput){text, strlen(text), NULL, 0},
								 &nothing_left, NULL, &result, &status));
	assert_int_equal(result.windows[0].n, 2);
	assert_true(result.truncated);
	arena_destroy(arena);
}

/* n words of one piece, or of several, as the golden vocabulary has them. */
static char *
repeat_word(Arena *arena, const char *word, int n)
{
	char *text = arena_alloc(arena, strlen(word) * (size_t) n + 1);

	assert_non_null(text);
	text[0] = '\0';
	for (int i = 0; i < n; i++)
		strcat(text, word);
	return text;
}

/*
 * What is kept of two texts does not depend on whether the rest is wanted too: the longer one keeps
 * one more where the room is odd, however long both are.
 */
static void
test_pairs_without_overflow(void **state)
{
	static const int lengths[] = {0, 1, 3, 7, 8, 9, 20, 39, 40, 41, 300};
	static const char *const words[] = {"the ", "unaffable "};
	enum
	{
		N = sizeof lengths / sizeof lengths[0]
	};

	(void) state;
	for (int i = 0; i < N * N * 4; i++)
	{
		Arena *arena = arena_create(&allocator_malloc, 0);
		Tokenizer *tokenizer = golden_tokenizer(arena, 0);
		const char *a = repeat_word(arena, words[i & 1], lengths[i / 4 % N]);
		const char *b = repeat_word(arena, words[i >> 1 & 1], lengths[i / 4 / N]);

		for (int max_length = 9; max_length <= 20; max_length++)
		{
			EncodeOptions options = {true, TRUNCATE_LONGEST_FIRST, max_length, 0, true};
			EncodeResult whole;
			EncodeResult cut;
			Status status = {0};

			assert_true(tokenizer_encode(tokenizer, arena,
										 &(EncodeInput){a, strlen(a), b, strlen(b)}, &options, NULL,
										 &whole, &status));
			options.overflow = false;
			assert_true(tokenizer_encode(tokenizer, arena,
										 &(EncodeInput){a, strlen(a), b, strlen(b)}, &options, NULL,
										 &cut, &status));
			assert_int_equal(cut.n_windows, 1);
			assert_int_equal(cut.truncated, whole.truncated);
			assert_int_equal(cut.windows[0].n, whole.windows[0].n);
			assert_memory_equal(cut.windows[0].ids, whole.windows[0].ids,
								cut.windows[0].n * sizeof(int32_t));
			assert_memory_equal(cut.windows[0].type_ids, whole.windows[0].type_ids,
								cut.windows[0].n * sizeof(int32_t));
		}
		arena_destroy(arena);
	}
}

/* Ids that no token has are left out, as in the reference. */
static void
test_decode_without_tokens(void **state)
{
	static const char vocab[] = "[UNK]\n\na\n##b\n";
	Arena *arena = arena_create(&allocator_malloc, 0);
	AddedToken added[MAX_ADDED];
	TokenizerSettings settings = make_settings("czal", added);
	const int32_t ids[] = {1, 2, 1, 3, 4, 1000000, INT32_MAX, 2};
	const int32_t negative = -1;
	unsigned char *image;
	size_t length;
	Tokenizer *tokenizer;
	Status status = {0};
	DecodedText decoded;

	(void) state;
	settings.vocab = vocab;
	settings.vocab_length = sizeof vocab - 1;
	settings.n_added = 0;
	assert_true(tokenizer_compile(arena, &settings, &image, &length, &status));
	tokenizer = tokenizer_open(arena, image, length, &status);
	assert_non_null(tokenizer);
	assert_true(tokenizer_decode(tokenizer, arena,
								 &(DecodeInput){ids, sizeof ids / sizeof ids[0], false}, NULL,
								 &decoded, &status));
	assert_string_equal(decoded.text, "ab a");
	assert_null(tokenizer_token(tokenizer, 1, &length));
	assert_int_equal(tokenizer_id(tokenizer, "", 0), -1);
	assert_false(tokenizer_decode(tokenizer, arena, &(DecodeInput){&negative, 1, false}, NULL,
								  &decoded, &status));
	assert_int_equal(status.code, STATUS_INVALID_ARGUMENT);
	arena_destroy(arena);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_golden_encodings),
		cmocka_unit_test(test_golden_decodings),
		cmocka_unit_test(test_all_code_points),
		cmocka_unit_test(test_bad_vocabularies),
		cmocka_unit_test(test_line_ends),
		cmocka_unit_test(test_added_ids),
		cmocka_unit_test(test_invalid_text),
		cmocka_unit_test(test_refused_options),
		cmocka_unit_test(test_pairs_without_overflow),
		cmocka_unit_test(test_decode_without_tokens),
	};

	return cmocka_run_group_tests(tests, load_fixture, free_fixture);
}
