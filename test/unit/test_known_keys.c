/* test_known_keys.c: every member of every file has the type that it must have, or is refused by
 * name. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "files/json.h"
#include "files/known_keys.h"

/* Values of every type, and the letters of the types that they are good for. */
static const struct
{
	const char *json;
	const char *good_for; /* s i n b l t o, as below */
	const char *words;    /* how the message calls it */
} values[] = {
	{"\"8\"", "s", "a string"},
	{"\"true\"", "s", "a string"},
	{"\"\"", "s", "a string"},
	{"1", "in", "an integer"},
	{"0", "in", "an integer"},
	{"1.5", "n", "a number with a fraction or an exponent"},
	{"2.0", "n", "a number with a fraction or an exponent"},
	{"true", "b", "true"},
	{"false", "b", "false"},
	{"[]", "lt", "a list"},
	{"[\"a\"]", "lt", "a list"},
	{"[1]", "l", "a list"},
	{"[\"a\", null]", "l", "a list"},
	{"{}", "o", "an object"},
	{"{\"a\": 1}", "o", "an object"},
};

static const struct
{
	char letter;
	const char *name;
} types[] = {
	{'s', "a string"},          {'i', "an integer"}, {'n', "a number"},  {'b', "true or false"},
	{'t', "a list of strings"}, {'l', "a list"},     {'o', "an object"},
};

/*
 * The members that decide something, as the reference's classes declare them: BertConfig,
 * BertTokenizer, AddedToken, the tokenizers library's serialization, sentence-transformers'
 * modules.
 */
static const struct
{
	KnownFile file;
	const char *keys; /* each followed by its types */
} wanted[] = {
	{KNOWN_CONFIG,
	 "model_type s architectures t vocab_size i hidden_size i num_hidden_layers i "
	 "num_attention_heads i intermediate_size i hidden_act s hidden_dropout_prob n "
	 "attention_probs_dropout_prob n classifier_dropout n max_position_embeddings i "
	 "type_vocab_size i initializer_range n layer_norm_eps n pad_token_id i "
	 "position_embedding_type s is_decoder b add_cross_attention b use_cache b "
	 "tie_word_embeddings b problem_type s num_labels i id2label o label2id o pruned_heads o "
	 "tokenizer_class s sentence_transformers o sbert_ce_default_activation_function s"},
	{KNOWN_TOKENIZER_CONFIG,
	 "tokenizer_class s do_lower_case b strip_accents b tokenize_chinese_chars b "
	 "do_basic_tokenize b model_max_length n max_len n model_input_names t "
	 "added_tokens_decoder o additional_special_tokens l extra_special_tokens lo unk_token so "
	 "sep_token so pad_token so cls_token so mask_token so bos_token so eos_token so "
	 "add_prefix_space b trim_offsets b keep_accents b"},
	{KNOWN_SPECIAL_TOKENS_MAP,
	 "unk_token so sep_token so pad_token so cls_token so mask_token so bos_token so "
	 "eos_token so additional_special_tokens l extra_special_tokens lo"},
	{KNOWN_TOKENIZER_JSON, "model o added_tokens l normalizer o pre_tokenizer o "
						   "post_processor o truncation o decoder o"},
	{KNOWN_TOKENIZER_MODEL, "type s vocab o unk_token s continuing_subword_prefix s "
							"max_input_chars_per_word i"},
	{KNOWN_UNIGRAM_MODEL, "type s vocab l unk_id i byte_fallback b"},
	{KNOWN_BPE_MODEL, "type s vocab o merges l dropout n continuing_subword_prefix s "
					  "end_of_word_suffix s ignore_merges b"},
	{KNOWN_SENTENCE_CONFIG, "max_seq_length i do_lower_case b transformer_task s "
							"module_output_name s"},
	{KNOWN_MODULE, "path s type s"},
	{KNOWN_POOLING,
	 "pooling_mode st pooling_mode_mean_tokens b pooling_mode_cls_token b "
	 "pooling_mode_max_tokens b pooling_mode_mean_sqrt_len_tokens b "
	 "pooling_mode_weightedmean_tokens b pooling_mode_lasttoken b word_embedding_dimension i "
	 "embedding_dimension i include_prompt b"},
	{KNOWN_DENSE, "in_features i out_features i bias b activation_function s"},
	{KNOWN_SPLADE, "pooling_strategy s activation_function s"},
	{KNOWN_ROUTER, "types o structure o parameters o"},
	{KNOWN_ROUTER_PARAMETERS, "default_route s route_mappings o"},
	{KNOWN_SENTENCE_TRANSFORMERS,
	 "prompts o default_prompt_name s similarity_fn_name s activation_fn s model_type s"},
};

#define COUNT(array) (sizeof(array) / sizeof(array)[0])

/* Whether {"key": json} passes; the message otherwise. */
static bool
passes(KnownFile file, const char *key, const char *json, FileNotes *notes, Status *status)
{
	Arena *arena = arena_create(&allocator_malloc, 0);
	char text[256];
	json_t *object;
	bool ok;

	snprintf(text, sizeof text, "{\"%s\": %s}", key, json);
	object = json_open_object(arena, "test", text, strlen(text), sizeof text, status);
	assert_non_null(object);
	ok = known_keys_check(file, "the.json", object, notes, status);
	arena_destroy(arena);
	return ok;
}

/* "a string or an object" for "so". */
static void
name_types(const char *letters, char *out)
{
	*out = '\0';
	for (size_t i = 0; i < COUNT(types); i++)
		if (strchr(letters, types[i].letter) != NULL)
		{
			strcat(out, *out == '\0' ? "" : " or ");
			strcat(out, types[i].name);
		}
}

static void
try_key(KnownFile file, const char *key, const char *letters)
{
	char names[128];

	name_types(letters, names);
	for (size_t i = 0; i < COUNT(values); i++)
	{
		Status status = {0};
		bool good = strpbrk(values[i].good_for, letters) != NULL;
		char start[256];

		if (passes(file, key, values[i].json, NULL, &status) != good)
			fail_msg("\"%s\": %s is %s: %s", key, values[i].json, good ? "refused" : "accepted",
					 status.message);
		if (good)
			continue;
		snprintf(start, sizeof start, "the.json: \"%s\" is %s", key, values[i].words);
		assert_int_equal(status.code, STATUS_INVALID_DATA);
		if (strstr(status.message, start) == NULL || strstr(status.message, ", not ") == NULL ||
			strcmp(strstr(status.message, ", not ") + strlen(", not "), names) != 0)
			fail_msg("\"%s\" %s: %s", key, values[i].json, status.message);
	}
	assert_true(passes(file, key, "null", NULL, &(Status){0}));
}

/* The letters of a key in the list above; NULL when it is not there. */
static const char *
letters_of(KnownFile file, const char *key, char *out)
{
	char name[64];
	int read;

	for (size_t i = 0; i < COUNT(wanted); i++)
		for (const char *at = wanted[i].keys;
			 wanted[i].file == file && sscanf(at, "%63s %7s %n", name, out, &read) == 2; at += read)
			if (strcmp(name, key) == 0)
				return out;
	return NULL;
}

static void
test_types(void **state)
{
	(void) state;
	for (KnownFile file = 0; file < KNOWN_FILE_COUNT; file++)
		for (size_t i = 0; i < known_key_count(file); i++)
		{
			const char *key = known_key_name(file, i);
			char letters[8];
			KeyUse use;

			assert_true(known_key_use(file, key, &use));
			if (use != KEY_USED)
				assert_null(letters_of(file, key, letters));
			else if (letters_of(file, key, letters) == NULL)
				fail_msg("no type is given for \"%s\" of file %d", key, (int) file);
			else
				try_key(file, key, letters);
		}
}

/* What is refused but for one value: that value, in its own type. */
static void
test_only_value(void **state)
{
	Status status;

	(void) state;
	assert_true(passes(KNOWN_TOKENIZER_CONFIG, "truncation_side", "\"right\"", NULL, &status));
	assert_false(passes(KNOWN_TOKENIZER_CONFIG, "truncation_side", "\"left\"", NULL, &status));
	assert_non_null(strstr(status.message, "\"truncation_side\" is \"left\""));
	assert_false(passes(KNOWN_TOKENIZER_CONFIG, "truncation_side", "0", NULL, &status));
	assert_non_null(strstr(status.message, "is an integer, not a string"));
	assert_false(passes(KNOWN_TOKENIZER_CONFIG, "truncation_side", "false", NULL, &status));
	assert_true(passes(KNOWN_CONFIG, "word_tokenizer_type", "\"basic\"", NULL, &status));
	assert_false(passes(KNOWN_CONFIG, "word_tokenizer_type", "[]", NULL, &status));
	assert_true(passes(KNOWN_CONFIG, "torch_dtype", "{\"a\": 1}", NULL, &status));
}

/* A special token of the author's own is a string or an AddedToken; what else ends so is told. */
static void
test_own_tokens(void **state)
{
	Arena *arena = arena_create(&allocator_malloc, 0);
	FileNotes notes = {.arena = arena};
	Status status;

	(void) state;
	assert_true(passes(KNOWN_TOKENIZER_CONFIG, "image_token", "\"<image>\"", &notes, &status));
	assert_true(
		passes(KNOWN_TOKENIZER_CONFIG, "image_token", "{\"content\": \"<i>\"}", &notes, &status));
	/* what SentencePiece's and byte-level tokenizers are saved with */
	assert_true(passes(KNOWN_TOKENIZER_CONFIG, "unk_id", "3", &notes, &status));
	assert_true(passes(KNOWN_TOKENIZER_CONFIG, "errors", "\"replace\"", &notes, &status));
	assert_true(passes(KNOWN_TOKENIZER_CONFIG, "sp_model_kwargs", "{}", &notes, &status));
	assert_int_equal(notes.n, 0);
	assert_true(passes(KNOWN_TOKENIZER_CONFIG, "use_image_token", "true", &notes, &status));
	assert_int_equal(notes.n, 1);
	assert_int_equal(notes.notes[0].kind, NOTE_UNEXPECTED);
	assert_non_null(strstr(notes.notes[0].text, "use_image_token"));
	arena_destroy(arena);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_types),
		cmocka_unit_test(test_only_value),
		cmocka_unit_test(test_own_tokens),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
