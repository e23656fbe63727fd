/* tokenizer_json.c: reading tokenizer.json. */
#include "files/tokenizer_json.h"

#include <string.h>

#include "files/config.h"
#include "files/json.h"

static bool
check_stage(const json_t *root, const char *stage, const char *const *types, Status *status)
{
	const json_t *object = json_object_get(root, stage);
	const json_t *type = json_object_get(object, "type");

	if (object == NULL || json_is_null(object))
		return types[0] == NULL || status_fail(status, STATUS_UNSUPPORTED, "it has no %s", stage);
	for (int i = types[0] == NULL ? 1 : 0; json_is_string(type) && types[i] != NULL; i++)
		if (strcmp(json_string_value(type), types[i]) == 0)
			return true;
	return status_fail(status, STATUS_UNSUPPORTED,
					   "its %s is \"%.60s\", not that of a Bert tokenizer", stage,
					   json_is_string(type) ? json_string_value(type) : "?");
}

/* The text by id, one token a line; ids must be 0 .. n-1, each once. */
static bool
read_vocab(const json_t *vocab, Arena *arena, TokenizerSettings *settings, Status *status)
{
	size_t n = json_object_size(vocab);
	const char **tokens;
	const char *token;
	json_t *id;
	size_t bytes = 0;
	char *at;

	if (!json_is_object(vocab) || n == 0 || n > CONFIG_MAX_VOCAB)
		return status_fail(status, STATUS_INVALID_DATA,
						   "its vocabulary is not an object with 1 to %d tokens", CONFIG_MAX_VOCAB);
	tokens = arena_alloc_array_zero(arena, n, sizeof *tokens);
	if (tokens == NULL)
		return arena_fail(arena, status, "the vocabulary", n * sizeof *tokens);
	json_object_foreach((json_t *) vocab, token, id)
	{
		json_int_t i = json_is_integer(id) ? json_integer_value(id) : -1;

		if (i < 0 || (size_t) i >= n || tokens[i] != NULL)
			return status_fail(status, STATUS_INVALID_DATA,
							   "token \"%.60s\" has an id that is not one of 0 to %zu, each once",
							   token, n - 1);
		if (strchr(token, '\n') != NULL)
			return status_fail(status, STATUS_INVALID_DATA, "a token contains a line break");
		tokens[i] = token;
		bytes += strlen(token) + 1;
	}
	at = arena_alloc(arena, bytes);
	if (at == NULL)
		return arena_fail(arena, status, "the vocabulary", bytes);
	settings->vocab = at;
	settings->vocab_length = bytes;
	for (size_t i = 0; i < n; i++)
	{
		size_t length = strlen(tokens[i]);

		memcpy(at, tokens[i], length);
		at[length] = '\n';
		at += length + 1;
	}
	return true;
}

static bool
read_model(const json_t *root, Arena *arena, TokenizerSettings *settings, Status *status)
{
	const json_t *model = json_object_get(root, "model");
	const json_t *type = json_object_get(model, "type");

	if (!json_is_object(model))
		return status_fail(status, STATUS_INVALID_DATA, "it has no model");
	if (json_is_string(type) && strcmp(json_string_value(type), "WordPiece") != 0)
		return status_fail(status, STATUS_UNSUPPORTED, "its model is \"%.60s\", not WordPiece",
						   json_string_value(type));
	return json_get_string(model, "unk_token", arena, &settings->unk_token, status) &&
		   json_get_string(model, "continuing_subword_prefix", arena,
						   &settings->continuing_subword_prefix, status) &&
		   json_get_int(model, "max_input_chars_per_word", 1, 1000000,
						&settings->max_input_chars_per_word, status) &&
		   read_vocab(json_object_get(model, "vocab"), arena, settings, status);
}

/* [CLS] A [SEP], and [CLS] A [SEP] B:1 [SEP]:1: what a template must say, piece by piece. */
static bool
check_template(const json_t *pieces, const char *const *expected, const int *types, size_t n)
{
	if (!json_is_array(pieces) || json_array_size(pieces) != n)
		return false;
	for (size_t i = 0; i < n; i++)
	{
		const json_t *piece = json_array_get(pieces, i);
		bool is_text = expected[i][0] != '\0' && expected[i][1] == '\0';
		const json_t *part = json_object_get(piece, is_text ? "Sequence" : "SpecialToken");
		const json_t *id = json_object_get(part, "id");

		if (!json_is_string(id) || json_integer_value(json_object_get(part, "type_id")) != types[i])
			return false;
		if (is_text && strcmp(json_string_value(id), expected[i]) != 0)
			return false;
	}
	return true;
}

static bool
check_post_processor(const json_t *root, Status *status)
{
	static const char *const pieces[] = {"[CLS]", "A", "[SEP]", "B", "[SEP]"};
	static const int types[] = {0, 0, 0, 1, 1};
	const json_t *object = json_object_get(root, "post_processor");
	const json_t *type = json_object_get(object, "type");

	if (!json_is_string(type) || strcmp(json_string_value(type), "TemplateProcessing") != 0)
		return true;
	if (check_template(json_object_get(object, "single"), pieces, types, 3) &&
		check_template(json_object_get(object, "pair"), pieces, types, 5))
		return true;
	return status_fail(status, STATUS_UNSUPPORTED, "its template is not \"[CLS] A [SEP] B [SEP]\"");
}

static bool
read_added(const json_t *root, Arena *arena, TokenizerSettings *settings, Status *status)
{
	const json_t *list = json_object_get(root, "added_tokens");

	if (list == NULL || json_is_null(list))
		return true;
	if (!json_is_array(list))
		return status_fail(status, STATUS_INVALID_DATA, "\"added_tokens\" is not a list");
	for (size_t i = 0; i < json_array_size(list); i++)
	{
		AddedToken token;

		if (!tokenizer_token_parse(json_array_get(list, i), arena, false, &token, status) ||
			!tokenizer_settings_add(settings, &token, status))
			return false;
	}
	return true;
}

bool
tokenizer_json_parse(const json_t *root, Arena *arena, TokenizerSettings *settings, Status *status)
{
	static const char *const normalizers[] = {"BertNormalizer", NULL};
	static const char *const pre_tokenizers[] = {"BertPreTokenizer", NULL};
	static const char *const post_processors[] = {NULL, "TemplateProcessing", "BertProcessing",
												  NULL};

	return check_stage(root, "normalizer", normalizers, status) &&
		   check_stage(root, "pre_tokenizer", pre_tokenizers, status) &&
		   check_stage(root, "post_processor", post_processors, status) &&
		   check_post_processor(root, status) && read_model(root, arena, settings, status) &&
		   read_added(root, arena, settings, status);
}
