/* tokenizer_settings.c: the reference's defaults, and the form that is stored and exported. */
#include "files/tokenizer_settings.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "files/config.h"
#include "files/json.h"

/* jansson needs several times as much for its objects */
#define MAX_JSON_BYTES ((size_t) 64 * 1024 * 1024)

static const struct
{
	const char *key;
	size_t offset;
	const char *text;
} special[] = {
	{"unk_token", offsetof(TokenizerSettings, unk_token), "[UNK]"},
	{"sep_token", offsetof(TokenizerSettings, sep_token), "[SEP]"},
	{"pad_token", offsetof(TokenizerSettings, pad_token), "[PAD]"},
	{"cls_token", offsetof(TokenizerSettings, cls_token), "[CLS]"},
	{"mask_token", offsetof(TokenizerSettings, mask_token), "[MASK]"},
};

#define N_SPECIAL (sizeof special / sizeof special[0])

static const char **
special_field(TokenizerSettings *settings, size_t i)
{
	return (const char **) ((char *) settings + special[i].offset);
}

const char **
tokenizer_settings_special(TokenizerSettings *settings, const char *key)
{
	for (size_t i = 0; i < N_SPECIAL; i++)
		if (strcmp(special[i].key, key) == 0)
			return special_field(settings, i);
	return NULL;
}

bool
tokenizer_settings_default(Arena *arena, TokenizerSettings *settings, Status *status)
{
	memset(settings, 0, sizeof *settings);
	settings->clean_text = true;
	settings->handle_chinese_chars = true;
	settings->lowercase = true;
	settings->strip_accents = true;
	settings->continuing_subword_prefix = "##";
	settings->max_input_chars_per_word = 100;
	for (size_t i = 0; i < N_SPECIAL; i++)
		*special_field(settings, i) = special[i].text;
	settings->added = arena_alloc_array_zero(arena, ADDED_TOKENS_MAX, sizeof *settings->added);
	return settings->added != NULL ||
		   arena_fail(arena, status, "added tokens", ADDED_TOKENS_MAX * sizeof *settings->added);
}

/* --- Writing --- */

static json_t *
token_value(const AddedToken *token)
{
	return json_pack("{s:s, s:b, s:b, s:b, s:b, s:b}", "content", token->content, "lstrip",
					 (int) token->lstrip, "normalized", (int) token->normalized, "rstrip",
					 (int) token->rstrip, "single_word", (int) token->single_word, "special",
					 (int) token->special);
}

int32_t
tokenizer_settings_id(const TokenizerSettings *settings, const char *token)
{
	const AddedToken *added = added_tokens_find(settings->added, settings->n_added, token);
	const char *end = settings->vocab + settings->vocab_length;
	size_t wanted = strlen(token);
	int32_t found = -1; /* of repeated ones the last counts */
	int32_t id = 0;

	if (added != NULL)
		return added->id;
	for (const char *at = settings->vocab; at < end; id++)
	{
		const char *newline = memchr(at, '\n', (size_t) (end - at));
		size_t length = (size_t) ((newline == NULL ? end : newline) - at);

		if (length == wanted && memcmp(at, token, length) == 0)
			found = id;
		at += length + 1;
	}
	return found;
}

/*
 * A token of the vocabulary that a template puts and that is an ordinary word in texts: whoever
 * names it makes it one that is found there.
 */
static bool
is_unnamed(const TokenizerSettings *settings, size_t i)
{
	const char *text = *special_field((TokenizerSettings *) settings, i);

	return text != NULL && !tokenizer_settings_composed(settings) &&
		   added_tokens_find(settings->added, settings->n_added, text) == NULL &&
		   tokenizer_settings_id(settings, text) >= 0;
}

static bool
names_all(const TokenizerSettings *settings)
{
	for (size_t i = 0; i < N_SPECIAL; i++)
		if (is_unnamed(settings, i))
			return false;
	return true;
}

/* stored: those too that are no special tokens in texts. */
static void
put_special_tokens(json_t *root, const TokenizerSettings *settings, bool stored, bool *complete)
{
	for (size_t i = 0; i < N_SPECIAL; i++)
	{
		const char *text = *special_field((TokenizerSettings *) settings, i);

		if (text != NULL &&
			(stored ||
			 !is_unnamed(settings, i))) /* a composed tokenizer has those that are named */
			json_put(root, special[i].key, json_string(text), complete);
	}
}

/* What the reference's BertTokenizer cannot be told is read by its class for any tokenizer. */
static bool
is_bert(const TokenizerSettings *settings)
{
	return settings->clean_text && strcmp(settings->continuing_subword_prefix, "##") == 0 &&
		   settings->max_input_chars_per_word == 100;
}

/* By id; those without one in the order they have. */
static int
compare_added(const void *a, const void *b)
{
	const AddedToken *x = *(const AddedToken *const *) a;
	const AddedToken *y = *(const AddedToken *const *) b;

	if (x->id != y->id)
		return x->id < y->id ? -1 : 1;
	return x < y ? -1 : x > y;
}

/* One order, whichever files the tokens come from: equal tokenizers are written equally. */
static const AddedToken **
sorted_added(Arena *arena, const TokenizerSettings *settings, Status *status)
{
	const AddedToken **added = arena_alloc_array(arena, settings->n_added + 1, sizeof *added);

	if (added == NULL)
	{
		arena_fail(arena, status, "added tokens", settings->n_added * sizeof *added);
		return NULL;
	}
	for (size_t i = 0; i < settings->n_added; i++)
		added[i] = &settings->added[i];
	qsort(added, settings->n_added, sizeof *added, compare_added);
	return added;
}

bool
tokenizer_settings_composed(const TokenizerSettings *settings)
{
	/* the canonical text has no blanks */
	return settings->pipeline != NULL &&
		   strstr(settings->pipeline, "\"type\":\"WordPiece\"") == NULL;
}

/* What the normalizer and the model of BERT can be told. */
static void
put_bert(json_t *root, const TokenizerSettings *settings, bool bert, bool *complete)
{
	json_put(root, "tokenizer_class",
			 json_string(bert ? "BertTokenizer" : "PreTrainedTokenizerFast"), complete);
	json_put(root, "do_lower_case", json_boolean(settings->lowercase), complete);
	json_put(root, "strip_accents", json_boolean(settings->strip_accents), complete);
	json_put(root, "tokenize_chinese_chars", json_boolean(settings->handle_chinese_chars),
			 complete);
	json_put(root, "clean_text", json_boolean(settings->clean_text), complete);
	json_put(root, "wordpieces_prefix", json_string(settings->continuing_subword_prefix), complete);
	json_put(root, "max_input_chars_per_word", json_integer(settings->max_input_chars_per_word),
			 complete);
}

/* The class and its arguments: what the files say, or the class for any tokenizer. */
static void
put_class(json_t *root, const TokenizerSettings *settings, bool *complete)
{
	json_t *arguments =
		settings->class_arguments == NULL ? NULL : json_loads(settings->class_arguments, 0, NULL);

	if (arguments == NULL)
		json_put(root, "tokenizer_class", json_string("PreTrainedTokenizerFast"), complete);
	else
		*complete &= json_object_update(root, arguments) == 0;
	json_decref(arguments);
}

/* stored: with what only the store needs. */
static char *
write_settings(Arena *arena, const TokenizerSettings *settings, bool stored, Status *status)
{
	json_t *root;
	json_t *decoder;
	json_t *unnumbered;
	bool complete = true;
	const AddedToken **added = sorted_added(arena, settings, status);
	/* BertTokenizer names all five of itself */
	const bool bert = is_bert(settings) && (stored || names_all(settings));

	if (added == NULL)
		return NULL;
	root = json_object();
	decoder = json_object();
	unnumbered = json_array();
	for (size_t i = 0; i < settings->n_added; i++)
	{
		char id[16];

		/* a token that gets its id from the vocabulary only */
		if (added[i]->id < 0)
		{
			complete &= json_array_append_new(unnumbered, token_value(added[i])) == 0;
			continue;
		}
		snprintf(id, sizeof id, "%d", (int) added[i]->id);
		json_put(decoder, id, token_value(added[i]), &complete);
	}
	if (!tokenizer_settings_composed(settings))
		put_bert(root, settings, bert, &complete);
	if (settings->pipeline != NULL)
		put_class(root, settings, &complete);
	if (stored && settings->pipeline != NULL)
		json_put(root, "pipeline", json_loads(settings->pipeline, 0, NULL), &complete);
	if (stored && settings->class_arguments != NULL)
		json_put(root, "class_arguments", json_loads(settings->class_arguments, 0, NULL),
				 &complete);
	if (settings->model_max_length > 0)
		json_put(root, "model_max_length", json_integer(settings->model_max_length), &complete);
	if (settings->one_type)
		json_put(root, "model_input_names", json_pack("[s, s]", "input_ids", "attention_mask"),
				 &complete);
	else if (!bert || settings->pipeline != NULL) /* which has no types of itself */
		json_put(root, "model_input_names",
				 json_pack("[s, s, s]", "input_ids", "token_type_ids", "attention_mask"),
				 &complete);
	put_special_tokens(root, settings, stored, &complete);
	json_put(root, "added_tokens_decoder", decoder, &complete);
	json_put(root, "additional_special_tokens", unnumbered, &complete);
	return json_write(arena, root, JSON_INDENT(2), complete, "tokenizer_config.json", status);
}

char *
tokenizer_settings_write(Arena *arena, const TokenizerSettings *settings, Status *status)
{
	return write_settings(arena, settings, true, status);
}

char *
tokenizer_settings_export(Arena *arena, const TokenizerSettings *settings, Status *status)
{
	return write_settings(arena, settings, false, status);
}

char *
tokenizer_settings_write_special(Arena *arena, const TokenizerSettings *settings, Status *status)
{
	json_t *root = json_object();
	bool complete = true;

	put_special_tokens(root, settings, false, &complete);
	return json_write(arena, root, JSON_INDENT(2), complete, "special_tokens_map.json", status);
}

/* --- Reading what was written --- */

static bool
parse_numbered(const json_t *root, Arena *arena, TokenizerSettings *settings, Status *status)
{
	json_t *decoder = json_object_get(root, "added_tokens_decoder");
	const json_t *unnumbered = json_object_get(root, "additional_special_tokens");
	AddedToken token;
	const char *key;
	json_t *value;

	json_object_foreach(decoder, key, value)
	{
		char *end;
		long id = strtol(key, &end, 10);

		if (*end != '\0' || id < 0 || id > CONFIG_MAX_VOCAB)
			return status_fail(status, STATUS_INVALID_DATA, "\"%.20s\" is not a token's id", key);
		if (!added_token_parse(value, arena, false, &token, status))
			return false;
		token.id = (int32_t) id;
		if (!added_tokens_put(settings->added, &settings->n_added, &token, status))
			return false;
	}
	for (size_t i = 0; i < json_array_size(unnumbered); i++)
		if (!added_token_parse(json_array_get(unnumbered, i), arena, true, &token, status) ||
			!added_tokens_put(settings->added, &settings->n_added, &token, status))
			return false;
	return true;
}

/* An object of the text as its canonical text; *out stays NULL without. */
static bool
parse_object(const json_t *root, const char *name, Arena *arena, const char **out, Status *status)
{
	json_t *object = json_object_get(root, name);

	if (object == NULL)
		return true;
	if (!json_is_object(object))
		return status_fail(status, STATUS_INVALID_DATA, "\"%s\" is not an object", name);
	*out =
		json_write(arena, json_incref(object), JSON_COMPACT | JSON_SORT_KEYS, true, name, status);
	return *out != NULL;
}

static bool
parse_stored(const json_t *root, Arena *arena, TokenizerSettings *settings, Status *status)
{
	const json_t *names = json_object_get(root, "model_input_names");

	if (!parse_object(root, "pipeline", arena, &settings->pipeline, status) ||
		!parse_object(root, "class_arguments", arena, &settings->class_arguments, status))
		return false;
	for (size_t i = 0; i < N_SPECIAL; i++)
	{
		if (tokenizer_settings_composed(settings))
			*special_field(settings, i) = NULL;
		if (!json_get_string(root, special[i].key, arena, special_field(settings, i), status))
			return false;
	}
	settings->one_type = json_array_size(names) == 2;
	return json_get_bool(root, "do_lower_case", &settings->lowercase, status) &&
		   json_get_bool(root, "strip_accents", &settings->strip_accents, status) &&
		   json_get_bool(root, "tokenize_chinese_chars", &settings->handle_chinese_chars, status) &&
		   json_get_bool(root, "clean_text", &settings->clean_text, status) &&
		   json_get_string(root, "wordpieces_prefix", arena, &settings->continuing_subword_prefix,
						   status) &&
		   json_get_int(root, "max_input_chars_per_word", 1, 1000000,
						&settings->max_input_chars_per_word, status) &&
		   json_get_int(root, "model_max_length", 1, CONFIG_MAX_POSITIONS,
						&settings->model_max_length, status) &&
		   parse_numbered(root, arena, settings, status);
}

bool
tokenizer_settings_parse(Arena *arena, const char *json, size_t length, TokenizerSettings *settings,
						 Status *status)
{
	json_t *root;

	if (!tokenizer_settings_default(arena, settings, status))
		return false;
	root = json_open_object(arena, "tokenizer_config.json", json, length, MAX_JSON_BYTES, status);
	if (root == NULL)
		return false;
	return parse_stored(root, arena, settings, status) ||
		   status_prefix(status, "tokenizer_config.json");
}
