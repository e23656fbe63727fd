/* From rows to samples: special tokens, labels of pieces, windows, answers, and what is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "nn/loss.h"
#include "train/samples.h"

enum
{
	CLS = 2,
	SEP = 3,
	PLAY = 5,
	ING = 6,
	THE = 7,
	CAT = 8,
	SAT = 9
};

static const char vocab[] = "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\nplay\n##ing\nthe\ncat\nsat\n";

#define MAX_SAMPLES 16

typedef struct Fixture
{
	Arena *arena;
	SampleEncoder encoder;
	size_t n;
	Sample samples[MAX_SAMPLES];
} Fixture;

static int
setup(void **state)
{
	static Fixture fixture;
	TokenizerSettings settings;
	AddedToken specials[] = {{.content = "[UNK]", .id = 1, .special = true},
							 {.content = "[CLS]", .id = 2, .special = true},
							 {.content = "[SEP]", .id = 3, .special = true},
							 {.content = "[MASK]", .id = 4, .special = true},
							 {.content = "[PAD]", .id = 0, .special = true}};
	unsigned char *image;
	size_t length;
	Status status;

	memset(&fixture, 0, sizeof fixture);
	fixture.arena = arena_create(&allocator_malloc, 0);
	if (!tokenizer_settings_default(fixture.arena, &settings, &status))
		return -1;
	settings.vocab = vocab;
	settings.vocab_length = sizeof vocab - 1;
	settings.added = specials;
	settings.n_added = 5;
	if (!tokenizer_compile(fixture.arena, &settings, &image, &length, &status))
		return -1;
	fixture.encoder.tokenizer = tokenizer_open(fixture.arena, image, length, &status);
	fixture.encoder.max_length = 10;
	fixture.encoder.stride = 2;
	*state = &fixture;
	return fixture.encoder.tokenizer == NULL ? -1 : 0;
}

static int
teardown(void **state)
{
	arena_destroy(((Fixture *) *state)->arena);
	return 0;
}

static bool
keep(void *context, const Sample *sample, Status *status)
{
	Fixture *fixture = context;

	(void) status;
	assert_true(fixture->n < MAX_SAMPLES);
	fixture->samples[fixture->n++] = *sample;
	return true;
}

static bool
encode(Fixture *fixture, TrainTask task, const SampleRow *row, Status *status)
{
	fixture->n = 0;
	fixture->encoder.task = task;
	return samples_encode(&fixture->encoder, row, fixture->arena, keep, fixture, NULL, status);
}

static SampleText
text(const char *string)
{
	return (SampleText){string, strlen(string)};
}

static void
check_ids(const Sample *sample, const int32_t *expected, size_t n)
{
	assert_int_equal(sample->n_tokens, n);
	assert_memory_equal(sample->input_ids, expected, n * sizeof *expected);
}

static void
test_pair(void **state)
{
	Fixture *fixture = *state;
	SampleRow row = {.number = 4,
					 .input = text("the cat"),
					 .has_pair = true,
					 .pair = text("playing"),
					 .label = 1};
	Status status;

	assert_true(encode(fixture, TRAIN_SEQUENCE_CLASSIFICATION, &row, &status));
	assert_int_equal(fixture->n, 1);
	check_ids(&fixture->samples[0], (int32_t[]){CLS, THE, CAT, SEP, PLAY, ING, SEP}, 7);
	assert_memory_equal(fixture->samples[0].token_type_ids, ((uint8_t[]){0, 0, 0, 0, 1, 1, 1}), 7);
	assert_int_equal(fixture->samples[0].labels[0], 1);
	assert_int_equal(fixture->samples[0].row, 4);
	row.value = 0.5f;
	assert_true(encode(fixture, TRAIN_REGRESSION, &row, &status));
	assert_int_equal(fixture->samples[0].n_labels, 0);
	assert_true(fixture->samples[0].values[0] == 0.5f);
}

static void
test_truncation_is_counted(void **state)
{
	Fixture *fixture = *state;
	SampleRow row = {.input = text("the cat sat the cat sat the cat sat the cat")};
	Status status;

	assert_true(encode(fixture, TRAIN_SEQUENCE_CLASSIFICATION, &row, &status));
	assert_int_equal(fixture->samples[0].n_tokens, 10);
	assert_int_equal(fixture->samples[0].input_ids[9], SEP);
	assert_int_equal(fixture->encoder.truncated, 1);
}

static void
test_choices(void **state)
{
	Fixture *fixture = *state;
	SampleText items[] = {text("sat"), text("playing")};
	SampleRow row = {.input = text("the cat"), .items = items, .n_items = 2, .label = 1};
	Status status;

	assert_true(encode(fixture, TRAIN_MULTIPLE_CHOICE, &row, &status));
	assert_int_equal(fixture->samples[0].n_sequences, 2);
	assert_int_equal(fixture->samples[0].lengths[0], 6);
	assert_int_equal(fixture->samples[0].lengths[1], 7);
	check_ids(&fixture->samples[0],
			  (int32_t[]){CLS, THE, CAT, SEP, SAT, SEP, CLS, THE, CAT, SEP, PLAY, ING, SEP}, 13);
}

static void
test_words(void **state)
{
	Fixture *fixture = *state;
	/* a zero-width space has no piece */
	SampleText items[] = {text("playing"), text("\xE2\x80\x8B"), text("cat")};
	int32_t labels[] = {3, 4, 5};
	SampleRow row = {.items = items, .n_items = 3, .item_labels = labels};
	Status status;

	assert_true(encode(fixture, TRAIN_TOKEN_CLASSIFICATION, &row, &status));
	check_ids(&fixture->samples[0], (int32_t[]){CLS, PLAY, ING, CAT, SEP}, 5);
	assert_memory_equal(fixture->samples[0].labels,
						((int32_t[]){LABEL_IGNORED, 3, LABEL_IGNORED, 5, LABEL_IGNORED}),
						5 * sizeof(int32_t));
}

static void
test_long_words_are_cut(void **state)
{
	Fixture *fixture = *state;
	SampleText items[12];
	int32_t labels[12] = {0};
	SampleRow row = {.items = items, .n_items = 12, .item_labels = labels};
	uint64_t before = fixture->encoder.truncated;
	Status status;

	for (int i = 0; i < 12; i++)
		items[i] = text("cat");
	assert_true(encode(fixture, TRAIN_TOKEN_CLASSIFICATION, &row, &status));
	assert_int_equal(fixture->samples[0].n_tokens, 10);
	assert_int_equal(fixture->samples[0].input_ids[9], SEP);
	assert_int_equal(fixture->encoder.truncated, before + 1);
}

static void
test_answers(void **state)
{
	Fixture *fixture = *state;
	SampleRow row = {.input = text("cat"),
					 .has_pair = true,
					 .pair = text("the sat the playing cat the sat"),
					 .answer = text("playing cat"),
					 .answer_start = 12};
	int holding = 0;
	Status status;

	assert_true(encode(fixture, TRAIN_QUESTION_ANSWERING, &row, &status));
	assert_true(fixture->n > 1);
	for (size_t i = 0; i < fixture->n; i++)
	{
		const Sample *sample = &fixture->samples[i];

		if (sample->labels[0] == 0)
		{
			assert_int_equal(sample->labels[1], 0);
			continue;
		}
		holding++;
		assert_int_equal(sample->input_ids[sample->labels[0]], PLAY);
		assert_int_equal(sample->input_ids[sample->labels[1]], CAT);
		assert_int_equal(sample->labels[1] - sample->labels[0], 2);
	}
	assert_true(holding >= 1);
	row.answer = text("");
	assert_true(encode(fixture, TRAIN_QUESTION_ANSWERING, &row, &status));
	for (size_t i = 0; i < fixture->n; i++)
		assert_int_equal(fixture->samples[i].labels[0], 0);
}

static void
test_wrong_answers(void **state)
{
	Fixture *fixture = *state;
	SampleRow row = {.number = 6,
					 .input = text("cat"),
					 .has_pair = true,
					 .pair = text("the sat"),
					 .answer = text("cat"),
					 .answer_start = 4};
	Status status;

	assert_false(encode(fixture, TRAIN_QUESTION_ANSWERING, &row, &status));
	assert_int_equal(status.code, STATUS_INVALID_ARGUMENT);
	assert_non_null(strstr(status.message, "row 7"));
	row.answer_start = 6;
	assert_false(encode(fixture, TRAIN_QUESTION_ANSWERING, &row, &status));
	assert_non_null(strstr(status.message, "inside the context of 7 characters"));
	row.answer_start = SIZE_MAX;
	assert_false(encode(fixture, TRAIN_QUESTION_ANSWERING, &row, &status));
}

static void
test_language_windows(void **state)
{
	Fixture *fixture = *state;
	SampleRow row = {.input = text("the cat sat the cat sat the cat sat the cat")};
	size_t tokens = 0;
	Status status;

	assert_true(encode(fixture, TRAIN_MASKED_LM, &row, &status));
	assert_int_equal(fixture->n, 2);
	for (size_t i = 0; i < fixture->n; i++)
		tokens += fixture->samples[i].n_tokens - 2;
	assert_int_equal(tokens, 11); /* none is lost */
}

static void
test_names(void **state)
{
	TrainTask task;
	Status status;

	(void) state;
	for (int i = 0; i < TRAIN_TASK_COUNT; i++)
	{
		assert_true(train_task_parse(train_task_name((TrainTask) i), &task, &status));
		assert_int_equal(task, i);
	}
	assert_false(train_task_parse("spam", &task, &status));
	assert_int_equal(status.code, STATUS_INVALID_ARGUMENT);
}

static void
test_characters(void **state)
{
	SampleText string = text("a\xC3\xA9\xE6\xBC\xA2"
							 "b"); /* 1, 2, 3 and 1 bytes */

	(void) state;
	assert_int_equal(sample_text_byte(&string, 0), 0);
	assert_int_equal(sample_text_byte(&string, 1), 1);
	assert_int_equal(sample_text_byte(&string, 2), 3);
	assert_int_equal(sample_text_byte(&string, 3), 6);
	assert_int_equal(sample_text_byte(&string, 4), 7);
	assert_int_equal(sample_text_byte(&string, 9), 7);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_pair),
		cmocka_unit_test(test_truncation_is_counted),
		cmocka_unit_test(test_choices),
		cmocka_unit_test(test_words),
		cmocka_unit_test(test_long_words_are_cut),
		cmocka_unit_test(test_answers),
		cmocka_unit_test(test_wrong_answers),
		cmocka_unit_test(test_language_windows),
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_characters),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
