/* test_tokenizer_hostile.c: the tokenizer against damage, endless words, lack of memory and a user
 * who has had enough. */
#include "tokenizer_fixture.h"

#include "core/checked.h"
#include "core/rng.h"

typedef struct Patience
{
	size_t asked;
	size_t stop_after; /* questions */
} Patience;

static bool
ask(void *context)
{
	Patience *patience = context;

	return ++patience->asked < patience->stop_after;
}

/*
 * However the text is made, the question comes at least once in 64 KB, when it is validated and
 * again when it is encoded; and no is an answer.
 */
static void
test_cancellation(void **state)
{
	static const char *const units[] = {
		"a", "ab ",  ".",      "\xc3\xa9", "\xe4\xba\xba",     "\xcc\x81", "e\xcc\x81 ",
		" ", "\x01", "[MASK]", "hello ",   "\xf0\x9f\x99\x82", "<"};
	size_t length = 1 << 18;
	char *text = malloc(length + 16);

	(void) state;
	for (size_t u = 0; u < 2 * sizeof units / sizeof units[0]; u++)
	{
		Arena *arena = arena_create(&allocator_malloc, 0);
		Tokenizer *tokenizer = golden_tokenizer(arena, u % 2 == 0 ? 0 : 1);
		EncodeOptions options = {.special_tokens = true};
		Patience patience = {0, SIZE_MAX};
		MayContinue question = {ask, &patience};
		EncodeResult result;
		Status status = {0};
		size_t n = 0;
		size_t held;

		for (; n < length; n += strlen(units[u / 2]))
			memcpy(text + n, units[u / 2], strlen(units[u / 2]));
		held = arena_held(arena);
		assert_true(tokenizer_encode(tokenizer, arena, &(EncodeInput){text, n, NULL, 0}, &options,
									 &question, &result, &status));
		assert_true(patience.asked + 3 >= 2 * (n / ASK_BYTES));
		/* Memory: what the tokens take, and runs of marks; normalized pieces are held whole. */
		assert_true(arena_peak(arena) - held <
					(u % 2 == 0 ? 30 : 90) * n + 120 * result.windows[0].n + (1 << 20));
		for (size_t k = 1; k <= 3; k++)
		{
			patience.asked = 0;
			patience.stop_after = k;
			assert_false(tokenizer_encode(tokenizer, arena, &(EncodeInput){text, n, NULL, 0},
										  &options, &question, &result, &status));
			assert_int_equal(status.code, STATUS_CANCELLED);
			assert_int_equal(patience.asked, k);
		}
		arena_destroy(arena);
	}
	free(text);
}

/* Runs of marks and windows ask by what they go through. */
static void
test_questions_inside_runs(void **state)
{
	static const struct
	{
		const char *unit;
		const char *end;
		size_t least; /* questions beyond those of validating and encoding */
	} cases[] = {{"\xcc\x81\xcc\x96", "", 8}, {"a ", "", 4}};
	size_t length = 1 << 20;
	char *text = malloc(length + 16);

	(void) state;
	for (size_t c = 0; c < sizeof cases / sizeof cases[0]; c++)
	{
		Arena *arena = arena_create(&allocator_malloc, 0);
		AddedToken added[MAX_ADDED];
		TokenizerSettings settings = make_settings("a", added);
		EncodeOptions options = {.special_tokens = true,
								 .truncation = TRUNCATE_ONLY_FIRST,
								 .max_length = 8,
								 .overflow = true};
		Patience patience = {0, SIZE_MAX};
		MayContinue question = {ask, &patience};
		EncodeResult result;
		Status status = {0};
		size_t n = 0;

		for (; n < length; n += strlen(cases[c].unit))
			memcpy(text + n, cases[c].unit, strlen(cases[c].unit));
		memcpy(text + n, cases[c].end, strlen(cases[c].end));
		n += strlen(cases[c].end);
		assert_true(tokenizer_encode(make_tokenizer(arena, &settings), arena,
									 &(EncodeInput){text, n, NULL, 0}, &options, &question, &result,
									 &status));
		assert_true(patience.asked >= 3 * (n / ASK_BYTES - 1) + cases[c].least);
		arena_destroy(arena);
	}
	free(text);
}

static void
test_long_word(void **state)
{
	size_t length = 1 << 20;
	char *text = malloc(length);
	Arena *arena = arena_create(&allocator_malloc, 0);
	Tokenizer *tokenizer = golden_tokenizer(arena, 0);
	EncodeOptions options = {.special_tokens = false};
	EncodeResult result;
	Status status = {0};
	size_t count;

	(void) state;
	memset(text, 'x', length);
	assert_true(tokenizer_encode(tokenizer, arena, &(EncodeInput){text, length, NULL, 0}, &options,
								 NULL, &result, &status));
	assert_int_equal(result.windows[0].n, 1);
	assert_int_equal(result.windows[0].ids[0], tokenizer_unk_id(tokenizer));
	assert_int_equal(result.windows[0].starts[0], 0);
	assert_int_equal(result.windows[0].ends[0], length);
	assert_true(tokenizer_count(tokenizer, arena, text, length, NULL, &count, &status));
	assert_int_equal(count, 1);
	arena_destroy(arena);
	free(text);
}

/* Long runs of marks are sorted by another algorithm: the result must be that of short ones. */
static void
test_long_runs_of_marks(void **state)
{
	static const char vocab[] = "[UNK]\n";
	Arena *arena = arena_create(&allocator_malloc, 0);
	AddedToken added[MAX_ADDED];
	TokenizerSettings settings = make_settings("a", added);
	EncodeOptions options = {.truncation = TRUNCATE_NONE};
	EncodeResult result;
	Status status = {0};
	char text[1 + 3000 * 2 + 4];
	size_t length = 1;
	Tokenizer *tokenizer;

	(void) state;
	settings.vocab = vocab;
	settings.vocab_length = strlen(vocab);
	settings.n_added = 0;
	tokenizer = make_tokenizer(arena, &settings);
	/*
	 * U+302E is a spacing mark of class 224: it stays, sorted before all marks of class 230, and
	 * takes the first origin.
	 */
	text[0] = 'a';
	for (int i = 0; i < 3000; i++, length += 2)
		memcpy(text + length, "\xcc\x81", 2);
	memcpy(text + length, "\xe3\x80\xae", 3);
	length += 3;
	assert_true(tokenizer_encode(tokenizer, arena, &(EncodeInput){text, length, NULL, 0}, &options,
								 NULL, &result, &status));
	assert_int_equal(result.windows[0].n, 1);
	assert_int_equal(result.windows[0].starts[0], 0);
	assert_int_equal(result.windows[0].ends[0], 2);
	arena_destroy(arena);
}

/*
 * Uses everything of a tokenizer that may be damaged: it may give nonsense, it may not touch
 * foreign memory.
 */
static void
exercise(const Tokenizer *tokenizer, Arena *arena)
{
	static const char text[] = "Hello [MASK] wörld, unhellos <x> 東京 newtok qqq x1x1 embeddings!";
	EncodeOptions options = {true, TRUNCATE_LONGEST_FIRST, 12, 2, true};
	ArenaMark mark = arena_mark(arena);
	EncodeResult result;
	Status status = {0};
	DecodedText decoded;
	size_t length;

	if (tokenizer_encode(tokenizer, arena, &(EncodeInput){text, strlen(text), text, 20}, &options,
						 NULL, &result, &status))
		tokenizer_decode(tokenizer, arena,
						 &(DecodeInput){result.windows[0].ids, result.windows[0].n, true}, NULL,
						 &decoded, &status);
	for (int32_t id = -2; id < 600; id++)
	{
		tokenizer_is_special(tokenizer, id);
		if (tokenizer_token(tokenizer, id, &length) != NULL && length <= 64)
			tokenizer_id(tokenizer, tokenizer_token(tokenizer, id, &length), length);
	}
	arena_rewind(arena, mark);
}

static void
test_damaged_images(void **state)
{
	Arena *arena = arena_create(&allocator_malloc, 0);
	Arena *scratch = arena_create(&allocator_malloc, 0);
	AddedToken added[MAX_ADDED];
	TokenizerSettings settings = make_settings("czal", added);
	Status status = {0};
	unsigned char *image;
	size_t length;
	int refused = 0;
	int opened = 0;
	Rng rng;

	(void) state;
	added[settings.n_added++] =
		(AddedToken){.content = "newtok", .id = -1, .normalized = true, .lstrip = true};
	added[settings.n_added++] =
		(AddedToken){.content = "<x>", .id = -1, .rstrip = true, .single_word = true};
	assert_true(tokenizer_compile(arena, &settings, &image, &length, &status));
	/* Cut short: every length of the header, then some. */
	for (size_t cut = 0; cut < length; cut += cut < 300 ? 1 : 997)
	{
		unsigned char *copy = aligned_alloc(64, size_align(cut + 1, 64));

		memcpy(copy, image, cut);
		assert_null(tokenizer_open(scratch, copy, cut, &status));
		assert_int_equal(status.code, STATUS_INVALID_DATA);
		free(copy);
	}
	/* Flipped bits: in every byte of the header, and anywhere. */
	rng_init(&rng, 7, 0);
	for (size_t i = 0; i < sizeof(ImageHeader) * 8 + 4000; i++)
	{
		ArenaMark mark = arena_mark(scratch);
		unsigned char *copy = aligned_alloc(64, size_align(length, 64));
		Tokenizer *tokenizer;

		memcpy(copy, image, length);
		if (i < sizeof(ImageHeader) * 8)
			copy[i / 8] ^= (unsigned char) (1 << i % 8);
		else
			for (uint64_t flips = 1 + rng_below(&rng, 40); flips > 0; flips--)
				copy[sizeof(ImageHeader) + rng_below(&rng, length - sizeof(ImageHeader))] ^=
					(unsigned char) (1 << rng_below(&rng, 8));
		tokenizer = tokenizer_open(scratch, copy, length, &status);
		if (tokenizer == NULL)
			refused++;
		else
		{
			opened++;
			exercise(tokenizer, scratch);
		}
		arena_rewind(scratch, mark);
		free(copy);
	}
	assert_true(refused > 500);
	assert_true(opened > 100);
	arena_destroy(scratch);
	arena_destroy(arena);
}

/* An allocator that fails from its n-th call on. */
typedef struct Scarcity
{
	int left;
} Scarcity;

static void *
scarce_allocate(void *context, size_t size)
{
	Scarcity *scarcity = context;

	return scarcity->left-- > 0 ? malloc(size) : NULL;
}

static void
scarce_release(void *context, void *pointer)
{
	(void) context;
	free(pointer);
}

static void
test_lack_of_memory(void **state)
{
	size_t length = 60000;
	char *text = malloc(length);
	int failures = 0;
	bool done = false;

	(void) state;
	for (size_t i = 0; i < length; i++)
		text[i] = i % 3000 < 1500 ? "a.\x01"[i % 3] : "\xcc\x81"[i % 2];
	for (int n = 0; !done; n++)
	{
		Scarcity scarcity = {n};
		Allocator allocator = {scarce_allocate, scarce_release, &scarcity};
		Arena *arena = arena_create(&allocator, 0);
		AddedToken added[MAX_ADDED];
		TokenizerSettings settings = make_settings("czal", added);
		EncodeOptions options = {true, TRUNCATE_LONGEST_FIRST, 100, 20, true};
		Status status = {0};
		EncodeResult result;
		Tokenizer *tokenizer;
		unsigned char *image;
		size_t image_length;
		DecodedText decoded;

		assert_true(n < 10000);
		if (arena == NULL)
			continue;
		added[settings.n_added++] =
			(AddedToken){.content = "newtok", .id = -1, .normalized = n % 2 == 0};
		done = tokenizer_compile(arena, &settings, &image, &image_length, &status) &&
			   (tokenizer = tokenizer_open(arena, image, image_length, &status)) != NULL &&
			   tokenizer_encode(tokenizer, arena, &(EncodeInput){text, length, text, 3000},
								&options, NULL, &result, &status) &&
			   tokenizer_decode(tokenizer, arena,
								&(DecodeInput){result.windows[0].ids, result.windows[0].n, true},
								NULL, &decoded, &status);
		if (!done)
		{
			assert_int_equal(status.code, STATUS_OUT_OF_MEMORY);
			failures++;
		}
		arena_destroy(arena);
	}
	assert_true(failures > 5);
	free(text);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_cancellation),       cmocka_unit_test(test_long_word),
		cmocka_unit_test(test_long_runs_of_marks), cmocka_unit_test(test_damaged_images),
		cmocka_unit_test(test_lack_of_memory),     cmocka_unit_test(test_questions_inside_runs),
	};

	return cmocka_run_group_tests(tests, load_fixture, free_fixture);
}
