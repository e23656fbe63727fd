/* test_tokenizer_settings.c: which file says what, ids of added tokens, writing; and the
 * sentence-transformers files. */
#define _GNU_SOURCE

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "files/known_keys.h"
#include "files/sentence.h"
#include "files/tokenizer_files.h"
#include "files/tokenizer_json.h"
#include "folder_fixture.h"

static int
set_up(void **state)
{
	Arena *arena = arena_create(&allocator_malloc, 0);
	Folder *folder;

	if (arena == NULL)
		return -1;
	folder = must(arena_alloc_zero(arena, sizeof *folder));
	folder->arena = arena;
	folder_text(folder, "vocab.txt", "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\na\n##b\n");
	*state = folder;
	return 0;
}

static int
tear_down(void **state)
{
	arena_destroy(((Folder *) *state)->arena);
	return 0;
}

static TokenizerSettings
settings_of(Folder *folder)
{
	TokenizerContext context = {0};
	TokenizerSettings settings;
	Status status;

	if (!tokenizer_files_read(folder->arena, folder_source(folder), &context, &settings, &status))
		fail_msg("%s", status.message);
	return settings;
}

static const AddedToken *
added(const TokenizerSettings *settings, const char *content)
{
	for (size_t i = 0; i < settings->n_added; i++)
		if (strcmp(settings->added[i].content, content) == 0)
			return &settings->added[i];
	return NULL;
}

static void
test_vocabulary_alone(void **state)
{
	TokenizerSettings settings = settings_of(*state);

	assert_true(settings.clean_text && settings.handle_chinese_chars && settings.lowercase &&
				settings.strip_accents);
	assert_int_equal(settings.max_input_chars_per_word, 100);
	assert_int_equal(settings.model_max_length, 0);
	assert_string_equal(settings.continuing_subword_prefix, "##");
	assert_int_equal(settings.n_added, 5);
	assert_int_equal(added(&settings, "[MASK]")->id, 4);
	assert_true(added(&settings, "[MASK]")->special);
}

/*
 * tokenizer.json's normalizer counts for a class for any tokenizer; a Bert class, which is meant
 * when none is named, has arguments with defaults of their own.
 */
static void
test_normalizer(void **state)
{
	static const struct
	{
		const char *json; /* tokenizer_config.json, NULL for none */
		bool lowercase;
		bool strip;
	} cases[] = {
		{NULL, true, true},
		{"{\"tokenizer_class\": \"PreTrainedTokenizerFast\"}", false, true},
		{"{\"tokenizer_class\": \"BertTokenizerFast\"}", true, true},
		{"{\"tokenizer_class\": \"BertTokenizer\", \"do_lower_case\": false}", false, false},
		{"{\"do_lower_case\": false, \"strip_accents\": true}", false, true},
	};
	Folder *folder = *state;

	folder_text(folder, "tokenizer.json",
				"{\"normalizer\": {\"type\": \"BertNormalizer\", \"lowercase\": false, "
				"\"strip_accents\": true}, \"pre_tokenizer\": {\"type\": \"BertPreTokenizer\"}, "
				"\"post_processor\": {\"type\": \"BertProcessing\", \"cls\": [\"[CLS]\", 1], "
				"\"sep\": [\"[SEP]\", 2]}, \"model\": {\"type\": \"WordPiece\", \"vocab\": "
				"{\"[UNK]\": 0, \"[CLS]\": 1, \"[SEP]\": 2}}}");
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
	{
		TokenizerSettings settings;

		if (cases[i].json != NULL)
			folder_text(folder, "tokenizer_config.json", cases[i].json);
		settings = settings_of(folder);
		assert_int_equal(settings.lowercase, cases[i].lowercase);
		assert_int_equal(settings.strip_accents, cases[i].strip);
	}
}

/* strip_accents follows do_lower_case unless it is said. */
static void
test_accents(void **state)
{
	static const struct
	{
		const char *json;
		bool lowercase;
		bool strip;
	} cases[] = {
		{"{}", true, true},
		{"{\"do_lower_case\": false}", false, false},
		{"{\"do_lower_case\": true}", true, true},
		{"{\"do_lower_case\": false, \"strip_accents\": null}", false, false},
		{"{\"do_lower_case\": false, \"strip_accents\": true}", false, true},
		{"{\"do_lower_case\": true, \"strip_accents\": false}", true, false},
		{"{\"strip_accents\": false}", true, false},
	};
	Folder *folder = *state;

	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
	{
		TokenizerSettings settings;

		folder_text(folder, "tokenizer_config.json", cases[i].json);
		settings = settings_of(folder);
		assert_int_equal(settings.lowercase, cases[i].lowercase);
		assert_int_equal(settings.strip_accents, cases[i].strip);
	}
}

static void
test_added_tokens(void **state)
{
	Folder *folder = *state;
	TokenizerSettings settings;
	TokenizerSettings again;
	Status status;
	char *text;

	folder_text(
		folder, "tokenizer_config.json",
		"{\"model_max_length\": 512, \"tokenize_chinese_chars\": false, \"unk_token\": "
		"{\"content\": \"[UNK]\", \"lstrip\": true}, "
		"\"added_tokens_decoder\": {\"7\": {\"content\": \"<new>\", \"lstrip\": false, \"rstrip\": "
		"true, \"single_word\": true, \"normalized\": true, \"special\": false}}, "
		"\"additional_special_tokens\": [\"a\", \"<more>\"]}");
	settings = settings_of(folder);
	assert_int_equal(settings.model_max_length, 512);
	assert_false(settings.handle_chinese_chars);
	assert_int_equal(added(&settings, "[UNK]")->id, 1);
	assert_true(added(&settings, "[UNK]")->lstrip);
	assert_int_equal(added(&settings, "<new>")->id, 7);
	assert_true(added(&settings, "<new>")->rstrip && added(&settings, "<new>")->single_word &&
				!added(&settings, "<new>")->special);
	assert_int_equal(added(&settings, "a")->id, 5);      /* it is in the vocabulary */
	assert_int_equal(added(&settings, "<more>")->id, 8); /* after the largest */
	text = tokenizer_settings_write(folder->arena, &settings, &status);
	assert_non_null(text);
	assert_true(tokenizer_settings_parse(folder->arena, text, strlen(text), &again, &status));
	assert_int_equal(again.n_added, settings.n_added);
	for (size_t i = 0; i < settings.n_added; i++)
	{
		const AddedToken *one = &settings.added[i];
		const AddedToken *other = added(&again, one->content);

		assert_non_null(other);
		assert_true(one->id == other->id && one->special == other->special &&
					one->single_word == other->single_word && one->lstrip == other->lstrip &&
					one->rstrip == other->rstrip && one->normalized == other->normalized);
	}
	assert_true(again.lowercase == settings.lowercase &&
				again.strip_accents == settings.strip_accents &&
				again.handle_chinese_chars == settings.handle_chinese_chars &&
				again.clean_text == settings.clean_text);
	assert_int_equal(again.model_max_length, 512);
	assert_non_null(strstr(tokenizer_settings_write_special(folder->arena, &settings, &status),
						   "\"mask_token\": \"[MASK]\""));
}

static void
test_sentence(void **state)
{
	static const struct
	{
		const char *modes;
		const char *pooling;
	} cases[] = {
		{"{\"pooling_mode_mean_tokens\": true}", "mean"},
		{"{\"pooling_mode_cls_token\": true, \"pooling_mode_mean_tokens\": false}", "cls"},
		{"{\"pooling_mode_max_tokens\": true, \"include_prompt\": true}", "max"},
		{"{\"embedding_dimension\": 4, \"pooling_mode\": \"mean\", \"include_prompt\": true}",
		 "mean"},
		{"{\"pooling_mode\": \"cls\"}", "cls"},
		{"{\"pooling_mode_weightedmean_tokens\": true}", "weightedmean"},
		{"{\"pooling_mode\": [\"lasttoken\"]}", "lasttoken"},
		{"{\"pooling_mode\": \"mean_sqrt_len_tokens\"}", "mean_sqrt_len_tokens"},
		{"{\"pooling_mode\": [\"mean\", \"cls\"]}", "mean+cls"},
		{"{\"pooling_mode_mean_tokens\": true, \"pooling_mode_cls_token\": true}", "cls+mean"},
	};
	char printed[POOLING_TEXT_BYTES];
	Folder *folder = *state;
	SentenceSettings settings;
	SentenceFolder sentence = {0};
	Status status;

	assert_true(sentence_settings_read(folder->arena, folder_source(folder), &sentence, &settings,
									   &status));
	assert_true(!settings.present && !settings.normalize && settings.pooling.n == 1 &&
				settings.pooling.modes[0] == POOLING_MEAN && settings.max_seq_length == 0);
	folder_text(
		folder, "modules.json",
		"[{\"path\": \"\", \"type\": \"sentence_transformers.models.Transformer\"}, {\"path\": "
		"\"1_Pooling\", \"type\": \"sentence_transformers.models.Pooling\"}, "
		"{\"path\": \"2_Normalize\", \"type\": \"sentence_transformers.models.Normalize\"}]");
	folder_text(folder, "sentence_bert_config.json",
				"{\"max_seq_length\": 256, \"do_lower_case\": true}");
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
	{
		folder_text(folder, "1_Pooling/config.json", cases[i].modes);
		assert_true(sentence_settings_read(folder->arena, folder_source(folder), &sentence,
										   &settings, &status));
		assert_true(sentence.lowercase_first && sentence.transformer[0] == '\0');
		assert_true(settings.present && settings.normalize);
		pooling_modes_print(&settings.pooling, printed);
		assert_string_equal(printed, cases[i].pooling);
		assert_int_equal(settings.max_seq_length, 256);
	}
	folder_replace(folder, "modules.json", "\"path\": \"\"", "\"path\": \"0_BERT\"");
	folder_text(folder, "0_BERT/sentence_bert_config.json", "{\"max_seq_length\": 16}");
	assert_true(sentence_settings_read(folder->arena, folder_source(folder), &sentence, &settings,
									   &status));
	assert_string_equal(sentence.transformer, "0_BERT");
	assert_true(!sentence.lowercase_first && settings.max_seq_length == 16);
}

static void
expect_prompt(Arena *arena, const SentenceSettings *settings, const char *name, PromptUse use,
			  const char *wanted)
{
	const char *prompt;
	Status status = {0};

	if (!sentence_prompt(arena, settings, name, use, &prompt, &status))
		fail_msg("%s", status.message);
	assert_string_equal(prompt, wanted);
}

/* Prompts by name and by use; "query" and "document" every model has; others are refused. */
static void
test_prompts(void **state)
{
	Folder *folder = *state;
	SentenceFolder sentence = {0};
	SentenceSettings settings;
	SentenceSettings again = {.present = true};
	const char *prompt;
	Status status = {0};

	folder_text(folder, "modules.json",
				"[{\"path\": \"\", \"type\": \"sentence_transformers.models.Transformer\"}, "
				"{\"path\": \"1_Pooling\", \"type\": \"sentence_transformers.models.Pooling\"}]");
	folder_text(folder, "1_Pooling/config.json", "{}");
	folder_text(folder, "config_sentence_transformers.json",
				"{\"prompts\": {\"query\": \"q: \", \"x\": \"y \", \"none\": null}, "
				"\"default_prompt_name\": \"x\", \"similarity_fn_name\": \"dot\"}");
	assert_true(sentence_settings_read(folder->arena, folder_source(folder), &sentence, &settings,
									   &status));
	assert_int_equal(settings.similarity, SIMILARITY_DOT);
	expect_prompt(folder->arena, &settings, NULL, PROMPT_DEFAULT, "y ");
	expect_prompt(folder->arena, &settings, NULL, PROMPT_QUERY, "q: ");
	expect_prompt(folder->arena, &settings, NULL, PROMPT_DOCUMENT, "");
	expect_prompt(folder->arena, &settings, "query", PROMPT_DEFAULT, "q: ");
	expect_prompt(folder->arena, &settings, "document", PROMPT_DEFAULT, "");
	expect_prompt(folder->arena, &settings, "none", PROMPT_DEFAULT, "");
	assert_false(
		sentence_prompt(folder->arena, &settings, "quest", PROMPT_DEFAULT, &prompt, &status));
	assert_int_equal(status.code, STATUS_INVALID_ARGUMENT);
	again.saved = settings.saved;
	assert_true(sentence_settings_restore(folder->arena, &again, &status));
	assert_int_equal(again.similarity, SIMILARITY_DOT);
	folder_text(folder, "config_sentence_transformers.json", "{\"default_prompt_name\": \"x\"}");
	assert_false(sentence_settings_read(folder->arena, folder_source(folder), &sentence, &settings,
										&status));
	folder_text(folder, "config_sentence_transformers.json",
				"{\"prompts\": {}, \"similarity_fn_name\": \"cosine\"}");
	assert_true(sentence_settings_read(folder->arena, folder_source(folder), &sentence, &settings,
									   &status));
	assert_null(settings.saved);
	expect_prompt(folder->arena, &settings, NULL, PROMPT_DEFAULT, "");
}

/* A cross-encoder as sentence-transformers 6 saves it. */
static void
test_cross_encoder(void **state)
{
	Folder *folder = *state;
	SentenceFolder sentence = {0};
	SentenceSettings settings;
	Status status = {0};

	folder_text(folder, "modules.json",
				"[{\"path\": \"\", \"type\": \"sentence_transformers.base.modules.transformer."
				"Transformer\"}]");
	folder_text(folder, "sentence_bert_config.json",
				"{\"transformer_task\": \"sequence-classification\", \"module_output_name\": "
				"\"scores\"}");
	folder_text(folder, "config_sentence_transformers.json",
				"{\"model_type\": \"CrossEncoder\", \"prompts\": {}, \"activation_fn\": "
				"\"torch.nn.modules.linear.Identity\"}");
	assert_true(sentence_settings_read(folder->arena, folder_source(folder), &sentence, &settings,
									   &status));
	assert_false(settings.present);
	assert_int_equal(sentence.score_activation, SCORE_IDENTITY);
	folder_replace(folder, "config_sentence_transformers.json", "linear.Identity", "x.Tanh");
	assert_false(sentence_settings_read(folder->arena, folder_source(folder), &sentence, &settings,
										&status));
	assert_int_equal(status.code, STATUS_UNSUPPORTED);
}

/* Lower-casing before the tokenizer's own normalizer leaves accents as this one says. */
static void
test_lowercase_first(void **state)
{
	Folder *folder = *state;
	TokenizerContext context = {.lowercase_first = true};
	TokenizerSettings settings;
	Status status;

	folder_text(folder, "tokenizer_config.json", "{\"do_lower_case\": false}");
	assert_true(
		tokenizer_files_read(folder->arena, folder_source(folder), &context, &settings, &status));
	assert_true(settings.lowercase && !settings.strip_accents);
}

/* max_seq_length takes the place of model_max_length; the positions bound either. */
static void
test_max_length(void **state)
{
	static const int cases[][3] = {{0, 0, 64}, {16, 0, 16},  {0, 8, 8},     {16, 8, 16},
								   {8, 16, 8}, {100, 8, 64}, {0, 1000, 64}, {64, 64, 64}};
	BertConfig config = {.family = family_bert(), .max_position_embeddings = 64};

	(void) state;
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
	{
		SentenceSettings settings = {.max_seq_length = cases[i][0]};

		assert_int_equal(sentence_max_length(&settings, cases[i][1], &config), cases[i][2]);
	}
}

/* Every member is used, harmless, told, or refused by name. */
static void
test_members(void **state)
{
	static const struct
	{
		const char *file;
		const char *text;
		const char *note; /* NULL: none */
		bool refused;
	} cases[] = {
		{"tokenizer_config.json", "{\"do_lower_case\": true, \"padding_side\": \"left\"}", NULL,
		 false},
		{"tokenizer_config.json", "{\"do_lowercase\": true}", "do_lowercase", false},
		{"tokenizer_config.json", "{\"truncation_side\": \"right\"}", NULL, false},
		{"tokenizer_config.json", "{\"split_special_tokens\": true}", NULL, true},
		{"tokenizer_config.json", "{\"clean_text\": false}", "clean_text", false},
		{"tokenizer_config.json", "{\"image_token\": \"<image>\"}", NULL, false},
		{"special_tokens_map.json", "{\"unknown\": \"[X]\"}", "unknown", false},
		{"special_tokens_map.json", "{\"some_token\": \"a\"}", NULL, false},
	};
	Folder *folder = *state;

	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
	{
		FileNotes notes = {.arena = folder->arena};
		TokenizerContext context = {.notes = &notes};
		TokenizerSettings settings;
		Status status = {0};

		folder_text(folder, cases[i].file, cases[i].text);
		assert_int_equal(tokenizer_files_read(folder->arena, folder_source(folder), &context,
											  &settings, &status),
						 !cases[i].refused);
		assert_int_equal(notes.n, cases[i].note != NULL);
		if (cases[i].note != NULL)
		{
			assert_non_null(strstr(notes.notes[0].text, cases[i].note));
			assert_memory_equal(notes.notes[0].text, cases[i].file, strlen(cases[i].file));
		}
		folder_remove(folder, cases[i].file);
	}
}

/* A member that the table does not have is told for every file, one that is null for none. */
static void
test_unknown_members(void **state)
{
	Arena *arena = ((Folder *) *state)->arena;

	for (int file = 0; file < KNOWN_FILE_COUNT; file++)
	{
		FileNotes notes = {.arena = arena};
		json_t *object = json_pack("{s:i, s:n}", "not_known", 1, "neither", 1);
		Status status = {0};
		KeyUse use;

		assert_true(known_keys_check((KnownFile) file, "file.json", object, &notes, &status));
		assert_int_equal(notes.n, 1);
		assert_string_equal(notes.notes[0].text, "file.json: not_known");
		assert_int_equal(notes.notes[0].kind, NOTE_UNEXPECTED);
		assert_false(known_key_use((KnownFile) file, "not_known", &use));
		json_decref(object);
	}
}

/*
 * What is written for the export says the same as the settings it was made from, and nothing that
 * an import had to tell.
 */
static void
test_exported(void **state)
{
	static const char *const classes[] = {"", "\"tokenizer_class\": \"BertTokenizer\", ",
										  "\"tokenizer_class\": \"DistilBertTokenizer\", "};
	Folder *folder = *state;

	for (size_t i = 0; i < 12; i++)
	{
		FileNotes notes = {.arena = folder->arena};
		TokenizerContext context = {.notes = &notes};
		TokenizerSettings first;
		TokenizerSettings second;
		Status status = {0};
		char text[512];

		snprintf(text, sizeof text,
				 "{%s\"do_lower_case\": %s, \"extra_special_tokens\": [\"<x>\", \"a\"]}",
				 classes[i % 3], i % 2 == 0 ? "true" : "false");
		folder_text(folder, "tokenizer_config.json", text);
		folder_text(folder, "vocab.txt", "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\na\n\nb\n##b\n");
		assert_true(
			tokenizer_files_read(folder->arena, folder_source(folder), &context, &first, &status));
		assert_int_equal(notes.n, 0);
		first.clean_text = i < 6;
		first.continuing_subword_prefix = i == 7 ? "@@" : "##";
		first.max_input_chars_per_word = i == 8 ? 20 : 100;
		folder_text(folder, "tokenizer_config.json",
					tokenizer_settings_write(folder->arena, &first, &status));
		folder_text(folder, "tokenizer.json", tokenizer_json_write(folder->arena, &first, &status));
		folder_text(folder, "vocab.txt", "[UNK]\n");
		if (!tokenizer_files_read(folder->arena, folder_source(folder), &context, &second, &status))
			fail_msg("%s", status.message);
		if (notes.n > 0)
			fail_msg("%s", notes.notes[0].text);
		folder_remove(folder, "tokenizer.json");
		assert_int_equal(first.n_added, second.n_added);
		assert_int_equal(added(&first, "<x>")->id, added(&second, "<x>")->id);
		assert_true(first.lowercase == second.lowercase &&
					first.strip_accents == second.strip_accents &&
					first.clean_text == second.clean_text && first.one_type == second.one_type &&
					first.max_input_chars_per_word == second.max_input_chars_per_word);
		assert_string_equal(first.continuing_subword_prefix, second.continuing_subword_prefix);
		assert_int_equal(first.vocab_length, second.vocab_length);
		assert_memory_equal(first.vocab, second.vocab, first.vocab_length);
	}
}

/* Special tokens that are words in texts, since no file adds or names them, stay so when exported.
 */
static void
test_exported_unnamed(void **state)
{
	static const char *const names[] = {"", ", \"mask_token\": \"[MASK]\""};
	Folder *folder = *state;

	for (size_t i = 0; i < 2; i++)
	{
		TokenizerSettings first;
		TokenizerSettings second;
		Status status = {0};
		char text[512];
		char *json;

		folder_text(folder, "tokenizer_config.json", "{}");
		first = settings_of(folder);
		assert_int_equal(first.n_added, 5);
		first.n_added = 0;
		snprintf(text, sizeof text, "{\"tokenizer_class\": \"PreTrainedTokenizerFast\"%s}",
				 names[i]);
		folder_text(folder, "tokenizer_config.json", text);
		json = tokenizer_json_write(folder->arena, &first, &status);
		assert_non_null(strstr(json, "TemplateProcessing"));
		folder_text(folder, "tokenizer.json", json);
		first = settings_of(folder);
		assert_int_equal(first.n_added, i);
		folder_text(folder, "tokenizer_config.json",
					tokenizer_settings_export(folder->arena, &first, &status));
		folder_text(folder, "special_tokens_map.json",
					tokenizer_settings_write_special(folder->arena, &first, &status));
		folder_text(folder, "tokenizer.json", tokenizer_json_write(folder->arena, &first, &status));
		second = settings_of(folder);
		folder_remove(folder, "special_tokens_map.json");
		folder_remove(folder, "tokenizer.json");
		assert_int_equal(second.n_added, i);
		assert_string_equal(tokenizer_settings_write(folder->arena, &first, &status),
							tokenizer_settings_write(folder->arena, &second, &status));
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_vocabulary_alone, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_normalizer, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_accents, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_added_tokens, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_sentence, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_lowercase_first, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_max_length, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_prompts, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_cross_encoder, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_members, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_unknown_members, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_exported, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_exported_unnamed, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
