/* tokenizer_settings.c: what the tokenizer files say, over the reference's defaults. */
#include "files/tokenizer_settings.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "files/config.h"
#include "files/json.h"
#include "files/tokenizer_json.h"

#define MAX_VOCAB_BYTES ((size_t) 128 * 1024 * 1024)
/* jansson needs several times as much for its objects */
#define MAX_JSON_BYTES ((size_t) 64 * 1024 * 1024)

static const char *const accepted_classes[] = {
	"BertTokenizer",           "BertTokenizerFast",       "DistilBertTokenizer",
	"DistilBertTokenizerFast", "ElectraTokenizer",        "ElectraTokenizerFast",
	"PreTrainedTokenizer",     "PreTrainedTokenizerFast", "TokenizersBackend",
};

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
	settings->added = arena_alloc_array_zero(arena, TOKENIZER_MAX_ADDED, sizeof *settings->added);
	return settings->added != NULL ||
		   arena_fail(arena, status, "added tokens", TOKENIZER_MAX_ADDED * sizeof *settings->added);
}

bool
tokenizer_settings_add(TokenizerSettings *settings, const AddedToken *token, Status *status)
{
	if (token->content[0] == '\0')
		return status_fail(status, STATUS_INVALID_DATA, "an added token is empty");
	for (size_t i = 0; i < settings->n_added; i++)
		if (strcmp(settings->added[i].content, token->content) == 0)
		{
			int32_t id = token->id >= 0 ? token->id : settings->added[i].id;

			settings->added[i] = *token;
			settings->added[i].id = id;
			return true;
		}
	if (settings->n_added == TOKENIZER_MAX_ADDED)
		return status_fail(status, STATUS_LIMIT, "there are more than %d added tokens",
						   TOKENIZER_MAX_ADDED);
	settings->added[settings->n_added++] = *token;
	return true;
}

bool
tokenizer_token_parse(const json_t *value, Arena *arena, bool is_special, AddedToken *token,
					  Status *status)
{
	memset(token, 0, sizeof *token);
	token->id = -1;
	token->special = is_special;
	token->normalized = !is_special;
	if (json_is_string(value))
	{
		token->content = arena_strndup(arena, json_string_value(value), json_string_length(value));
		return token->content != NULL ||
			   arena_fail(arena, status, "a token", json_string_length(value));
	}
	if (!json_is_object(value))
		return status_fail(status, STATUS_INVALID_DATA,
						   "a token is neither a string nor an object");
	if (!json_get_string(value, "content", arena, &token->content, status) ||
		!json_get_bool(value, "single_word", &token->single_word, status) ||
		!json_get_bool(value, "lstrip", &token->lstrip, status) ||
		!json_get_bool(value, "rstrip", &token->rstrip, status) ||
		!json_get_bool(value, "normalized", &token->normalized, status) ||
		!json_get_bool(value, "special", &token->special, status) ||
		!json_get_int(value, "id", 0, CONFIG_MAX_VOCAB, &token->id, status))
		return false;
	return token->content != NULL ||
		   status_fail(status, STATUS_INVALID_DATA, "a token has no content");
}

/*
 * The five special tokens and additional_special_tokens of tokenizer_config.json or
 * special_tokens_map.json.
 */
static bool
parse_special_tokens(const json_t *root, Arena *arena, TokenizerSettings *settings, Status *status)
{
	const json_t *more = json_object_get(root, "additional_special_tokens");
	AddedToken token;

	for (size_t i = 0; i < N_SPECIAL; i++)
	{
		const json_t *value = json_object_get(root, special[i].key);

		if (value == NULL || json_is_null(value))
			continue;
		if (!tokenizer_token_parse(value, arena, true, &token, status))
			return status_prefix(status, "\"%s\"", special[i].key);
		token.special = true;
		if (json_is_string(value))
			for (size_t j = 0; j < settings->n_added; j++)
				if (strcmp(settings->added[j].content, token.content) == 0)
					/* a plain name adds nothing to what is known */
					token = settings->added[j];
		*special_field(settings, i) = token.content;
		if (!tokenizer_settings_add(settings, &token, status))
			return false;
	}
	if (more == NULL || json_is_null(more))
		return true;
	if (!json_is_array(more))
		return status_fail(status, STATUS_INVALID_DATA,
						   "\"additional_special_tokens\" is not a list");
	for (size_t i = 0; i < json_array_size(more); i++)
		if (!tokenizer_token_parse(json_array_get(more, i), arena, true, &token, status) ||
			!tokenizer_settings_add(settings, &token, status))
			return false;
	return true;
}

static bool
parse_decoder(const json_t *root, Arena *arena, TokenizerSettings *settings, Status *status)
{
	json_t *decoder = json_object_get(root, "added_tokens_decoder");
	const char *key;
	json_t *value;

	if (decoder == NULL || json_is_null(decoder))
		return true;
	if (!json_is_object(decoder))
		return status_fail(status, STATUS_INVALID_DATA,
						   "\"added_tokens_decoder\" is not an object");
	json_object_foreach(decoder, key, value)
	{
		AddedToken token;
		char *end;
		long id = strtol(key, &end, 10);

		if (*end != '\0' || id < 0 || id > CONFIG_MAX_VOCAB || !json_is_object(value))
			return status_fail(status, STATUS_INVALID_DATA,
							   "\"added_tokens_decoder\" has no token with the id \"%.20s\"", key);
		if (!tokenizer_token_parse(value, arena, false, &token, status))
			return false;
		token.id = (int32_t) id;
		if (!tokenizer_settings_add(settings, &token, status))
			return false;
	}
	return true;
}

static bool
check_class(const json_t *root, Status *status)
{
	const json_t *class = json_object_get(root, "tokenizer_class");
	const json_t *basic = json_object_get(root, "do_basic_tokenize");
	const json_t *never_split = json_object_get(root, "never_split");
	bool accepted = !json_is_string(class);

	for (size_t i = 0; i < sizeof accepted_classes / sizeof accepted_classes[0] && !accepted; i++)
		accepted = strcmp(json_string_value(class), accepted_classes[i]) == 0;
	if (!accepted)
		return status_fail(status, STATUS_UNSUPPORTED,
						   "tokenizer_class \"%.60s\" is not a Bert tokenizer",
						   json_string_value(class));
	if (json_is_false(basic))
		return status_fail(status, STATUS_UNSUPPORTED,
						   "\"do_basic_tokenize\": false is not supported");
	if (json_is_array(never_split) && json_array_size(never_split) > 0)
	{
		status_fail(status, STATUS_UNSUPPORTED, "\"never_split\" is not supported");
		return status_hint(
			status, "Tokens that are never split are added tokens: see additional_special_tokens.");
	}
	return true;
}

/* 1e30 stands for "no limit"; so does anything beyond what a model can have. */
static bool
parse_max_length(const json_t *root, TokenizerSettings *settings, Status *status)
{
	const json_t *value = json_object_get(root, "model_max_length");
	double number;

	if (value == NULL || json_is_null(value))
		return true;
	if (!json_is_number(value))
		return status_fail(status, STATUS_INVALID_DATA, "\"model_max_length\" is not a number");
	number = json_number_value(value);
	settings->model_max_length = number >= 1 && number <= CONFIG_MAX_POSITIONS ? (int) number : 0;
	return true;
}

/* strip_accents follows lowercase unless it is given as true or false. */
static bool
parse_normalizer(const json_t *root, const char *lowercase_key, const char *chinese_key,
				 TokenizerSettings *settings, Status *status)
{
	const json_t *strip = json_object_get(root, "strip_accents");
	bool lowercase = settings->lowercase;

	if (!json_get_bool(root, lowercase_key, &settings->lowercase, status) ||
		!json_get_bool(root, chinese_key, &settings->handle_chinese_chars, status) ||
		!json_get_bool(root, "clean_text", &settings->clean_text, status))
		return false;
	if (json_is_boolean(strip))
		settings->strip_accents = json_is_true(strip);
	else if (strip != NULL && !json_is_null(strip))
		return status_fail(status, STATUS_INVALID_DATA,
						   "\"strip_accents\" is neither true, false nor null");
	else if (strip != NULL || settings->lowercase != lowercase)
		settings->strip_accents = settings->lowercase;
	return true;
}

/*
 * The reference's Bert classes put their arguments, or the defaults of these, over tokenizer.json's
 * normaliser; only the classes for any tokenizer leave it as it is.
 */
static void
forget_normalizer(const json_t *root, TokenizerSettings *settings)
{
	const json_t *class = json_object_get(root, "tokenizer_class");
	const char *name = json_is_string(class) ? json_string_value(class) : "";

	if (strncmp(name, "PreTrained", strlen("PreTrained")) == 0 ||
		strcmp(name, "TokenizersBackend") == 0)
		return;
	settings->lowercase = true;
	settings->strip_accents = true;
	settings->handle_chinese_chars = true;
}

static bool
parse_config(const json_t *root, Arena *arena, TokenizerSettings *settings, Status *status)
{
	forget_normalizer(root, settings);
	return check_class(root, status) &&
		   parse_normalizer(root, "do_lower_case", "tokenize_chinese_chars", settings, status) &&
		   json_get_string(root, "wordpieces_prefix", arena, &settings->continuing_subword_prefix,
						   status) &&
		   json_get_int(root, "max_input_chars_per_word", 1, 1000000,
						&settings->max_input_chars_per_word, status) &&
		   parse_max_length(root, settings, status) &&
		   parse_decoder(root, arena, settings, status) &&
		   parse_special_tokens(root, arena, settings, status);
}

bool
tokenizer_settings_parse(Arena *arena, const char *json, size_t length, TokenizerSettings *settings,
						 Status *status)
{
	json_t *root;
	bool ok;

	if (!tokenizer_settings_default(arena, settings, status))
		return false;
	root = json_open_object("tokenizer_config.json", json, length, MAX_JSON_BYTES, status);
	if (root == NULL)
		return false;
	ok = parse_config(root, arena, settings, status) ||
		 status_prefix(status, "tokenizer_config.json");
	json_close(root);
	return ok;
}

/* added_tokens.json: {"token": id, ...} */
static bool
parse_added(const json_t *root, Arena *arena, TokenizerSettings *settings, Status *status)
{
	const char *key;
	json_t *value;

	json_object_foreach((json_t *) root, key, value)
	{
		AddedToken token = {.normalized = true};

		if (!json_is_integer(value) || json_integer_value(value) < 0 ||
			json_integer_value(value) > CONFIG_MAX_VOCAB)
			return status_fail(status, STATUS_INVALID_DATA, "token \"%.60s\" has no id", key);
		for (size_t i = 0; i < settings->n_added; i++)
			if (strcmp(settings->added[i].content, key) == 0)
				token = settings->added[i];
		token.id = (int32_t) json_integer_value(value);
		token.content = arena_strdup(arena, key);
		if (token.content == NULL)
			return arena_fail(arena, status, "a token", strlen(key));
		if (!tokenizer_settings_add(settings, &token, status))
			return false;
	}
	return true;
}

static bool
parse_tokenizer_json(const json_t *root, Arena *arena, TokenizerSettings *settings, Status *status)
{
	const json_t *normalizer = json_object_get(root, "normalizer");

	return tokenizer_json_parse(root, arena, settings, status) &&
		   (!json_is_object(normalizer) ||
			parse_normalizer(normalizer, "lowercase", "handle_chinese_chars", settings, status));
}

/*
 * sentence_bert_config.json's do_lower_case lower-cases before the tokenizer does; it never turns
 * it off.
 */
static bool
parse_sentence(const json_t *root, Arena *arena, TokenizerSettings *settings, Status *status)
{
	bool lowercase = false;

	(void) arena;
	if (!json_get_bool(root, "do_lower_case", &lowercase, status))
		return false;
	settings->lowercase |= lowercase;
	return true;
}

typedef bool (*FileParser)(const json_t *root, Arena *arena, TokenizerSettings *settings,
						   Status *status);

static bool
read_file(Arena *arena, ModelSource *source, const char *name, FileParser parse,
		  TokenizerSettings *settings, Status *status)
{
	ByteSource *file;
	bool found;
	char *text;
	json_t *root;
	bool ok;

	if (!source->open(source, name, &file, &found, status))
		return false;
	if (!found)
		return true;
	text = source_read_all(arena, file, MAX_JSON_BYTES, status);
	if (text == NULL)
		return false;
	root = json_open_object(name, text, (size_t) file->size, MAX_JSON_BYTES, status);
	if (root == NULL)
		return false;
	ok = parse(root, arena, settings, status) || status_prefix(status, "%s", name);
	json_close(root);
	return ok;
}

static bool
read_vocab(Arena *arena, ModelSource *source, TokenizerSettings *settings, Status *status)
{
	ByteSource *file;
	bool found;

	if (!source->open(source, "vocab.txt", &file, &found, status))
		return false;
	if (found)
	{
		settings->vocab = source_read_all(arena, file, MAX_VOCAB_BYTES, status);
		settings->vocab_length = (size_t) file->size;
		return settings->vocab != NULL;
	}
	if (settings->vocab == NULL)
	{
		status_fail(status, STATUS_NOT_FOUND, "\"%s\" has neither vocab.txt nor tokenizer.json",
					source->name);
		return status_hint(status, "A BERT model needs its WordPiece vocabulary.");
	}
	return true;
}

/* A token whose line in the vocabulary is wanted. */
typedef struct Wanted
{
	const char *content;
	size_t length;
	int32_t line; /* -1: not found */
} Wanted;

static int
compare_text(const char *a, size_t a_length, const char *b, size_t b_length)
{
	int order = a_length == b_length ? memcmp(a, b, a_length) : 0;

	return order != 0 ? order : (a_length > b_length) - (a_length < b_length);
}

static int
compare_wanted(const void *a, const void *b)
{
	const Wanted *left = a;
	const Wanted *right = b;

	return compare_text(left->content, left->length, right->content, right->length);
}

/*
 * Fills the lines of the wanted tokens, which it sorts, in one pass; returns the number of lines.
 */
static int32_t
vocab_find(const TokenizerSettings *settings, Wanted *wanted, size_t count)
{
	int32_t line = 0;

	qsort(wanted, count, sizeof *wanted, compare_wanted);
	for (const char *at = settings->vocab, *end = at + settings->vocab_length; at < end; line++)
	{
		const char *newline = memchr(at, '\n', (size_t) (end - at));
		const char *stop = newline == NULL ? end : newline;
		Wanted key = {at, (size_t) (stop - at), -1};
		Wanted *found;

		if (key.length > 0 && at[key.length - 1] == '\r')
			key.length--;
		found = bsearch(&key, wanted, count, sizeof key, compare_wanted);
		if (found != NULL)
			found->line = line;
		at = stop + 1;
	}
	return line;
}

static const Wanted *
wanted_find(const Wanted *wanted, size_t count, const char *content)
{
	Wanted key = {content, strlen(content), -1};

	return bsearch(&key, wanted, count, sizeof key, compare_wanted);
}

/*
 * The five special tokens are added tokens; each gets its id from the vocabulary, or one after its
 * end.
 */
static bool
resolve_ids(Arena *arena, TokenizerSettings *settings, Status *status)
{
	Wanted *wanted = arena_alloc_array(arena, settings->n_added + N_SPECIAL, sizeof *wanted);
	size_t count = 0;
	int32_t next;

	if (wanted == NULL)
		return arena_fail(arena, status, "added tokens",
						  (settings->n_added + N_SPECIAL) * sizeof *wanted);
	for (size_t i = 0; i < N_SPECIAL + settings->n_added; i++)
	{
		const char *content =
			i < N_SPECIAL ? *special_field(settings, i) : settings->added[i - N_SPECIAL].content;

		wanted[count++] = (Wanted){content, strlen(content), -1};
	}
	/* equal texts would hide one another from the search */
	qsort(wanted, count, sizeof *wanted, compare_wanted);
	for (size_t i = 1, n = count, kept = 1; i <= n; i++)
		if (i == n)
			count = kept;
		else if (compare_wanted(&wanted[i], &wanted[kept - 1]) != 0)
			wanted[kept++] = wanted[i];
	next = vocab_find(settings, wanted, count);

	for (size_t i = 0; i < N_SPECIAL; i++)
	{
		AddedToken token = {.content = *special_field(settings, i), .id = -1, .special = true};
		bool known = false;

		for (size_t j = 0; j < settings->n_added; j++)
			known |= strcmp(settings->added[j].content, token.content) == 0;
		/* a default that the vocabulary does not have either is not a token of this model */
		if (!known && wanted_find(wanted, count, token.content)->line >= 0 &&
			!tokenizer_settings_add(settings, &token, status))
			return false;
	}
	for (size_t i = 0; i < settings->n_added; i++)
		if (settings->added[i].id >= next)
			next = settings->added[i].id + 1;
	for (size_t i = 0; i < settings->n_added; i++)
		if (settings->added[i].id < 0)
		{
			settings->added[i].id = wanted_find(wanted, count, settings->added[i].content)->line;
			if (settings->added[i].id < 0)
				settings->added[i].id = next++;
		}
	return true;
}

bool
tokenizer_settings_read(Arena *arena, ModelSource *source, TokenizerSettings *settings,
						Status *status)
{
	return tokenizer_settings_default(arena, settings, status) &&
		   read_file(arena, source, "tokenizer.json", parse_tokenizer_json, settings, status) &&
		   read_file(arena, source, "added_tokens.json", parse_added, settings, status) &&
		   read_file(arena, source, "special_tokens_map.json", parse_special_tokens, settings,
					 status) &&
		   read_file(arena, source, "tokenizer_config.json", parse_config, settings, status) &&
		   read_file(arena, source, "sentence_bert_config.json", parse_sentence, settings,
					 status) &&
		   read_vocab(arena, source, settings, status) && resolve_ids(arena, settings, status);
}

static json_t *
token_value(const AddedToken *token)
{
	return json_pack("{s:s, s:b, s:b, s:b, s:b, s:b}", "content", token->content, "lstrip",
					 (int) token->lstrip, "normalized", (int) token->normalized, "rstrip",
					 (int) token->rstrip, "single_word", (int) token->single_word, "special",
					 (int) token->special);
}

static void
put_special_tokens(json_t *root, const TokenizerSettings *settings, bool *complete)
{
	for (size_t i = 0; i < N_SPECIAL; i++)
		json_put(root, special[i].key,
				 json_string(*special_field((TokenizerSettings *) settings, i)), complete);
}

char *
tokenizer_settings_write(Arena *arena, const TokenizerSettings *settings, Status *status)
{
	json_t *root = json_object();
	json_t *decoder = json_object();
	json_t *unnumbered = json_array();
	bool complete = true;

	for (size_t i = 0; i < settings->n_added; i++)
	{
		char id[16];

		/* a token that gets its id from the vocabulary only */
		if (settings->added[i].id < 0)
		{
			complete &= json_array_append_new(unnumbered, token_value(&settings->added[i])) == 0;
			continue;
		}
		snprintf(id, sizeof id, "%d", (int) settings->added[i].id);
		json_put(decoder, id, token_value(&settings->added[i]), &complete);
	}
	json_put(root, "tokenizer_class", json_string("BertTokenizer"), &complete);
	json_put(root, "do_lower_case", json_boolean(settings->lowercase), &complete);
	json_put(root, "strip_accents", json_boolean(settings->strip_accents), &complete);
	json_put(root, "tokenize_chinese_chars", json_boolean(settings->handle_chinese_chars),
			 &complete);
	json_put(root, "clean_text", json_boolean(settings->clean_text), &complete);
	json_put(root, "wordpieces_prefix", json_string(settings->continuing_subword_prefix),
			 &complete);
	json_put(root, "max_input_chars_per_word", json_integer(settings->max_input_chars_per_word),
			 &complete);
	if (settings->model_max_length > 0)
		json_put(root, "model_max_length", json_integer(settings->model_max_length), &complete);
	put_special_tokens(root, settings, &complete);
	json_put(root, "added_tokens_decoder", decoder, &complete);
	json_put(root, "additional_special_tokens", unnumbered, &complete);
	return json_write(arena, root, JSON_INDENT(2), complete, "tokenizer_config.json", status);
}

char *
tokenizer_settings_write_special(Arena *arena, const TokenizerSettings *settings, Status *status)
{
	json_t *root = json_object();
	bool complete = true;

	put_special_tokens(root, settings, &complete);
	return json_write(arena, root, JSON_INDENT(2), complete, "special_tokens_map.json", status);
}
