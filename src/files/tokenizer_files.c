/* tokenizer_files.c: which file decides what. */
#include "files/tokenizer_files.h"

#include <stdlib.h>
#include <string.h>

#include "files/config.h"
#include "files/json.h"
#include "files/known_keys.h"
#include "files/special_tokens.h"
#include "files/tokenizer_json.h"
#include "files/vocab_text.h"

/* jansson needs several times as much for its objects */
#define MAX_JSON_BYTES ((size_t) 64 * 1024 * 1024)

typedef enum TokenizerClass
{
	CLASS_BERT,
	CLASS_NO_TYPES, /* a Bert class whose pairs have no token types */
	CLASS_ANY       /* everything is in tokenizer.json; no token types unless they are named */
} TokenizerClass;

/* Without "Fast" at the end. */
static const struct
{
	const char *name;
	TokenizerClass class;
} classes[] = {
	{"BertTokenizer", CLASS_BERT},
	{"ElectraTokenizer", CLASS_BERT},
	{"MobileBertTokenizer", CLASS_BERT},
	{"LxmertTokenizer", CLASS_BERT},
	{"LayoutLMTokenizer", CLASS_BERT},
	{"SqueezeBertTokenizer", CLASS_BERT},
	{"ConvBertTokenizer", CLASS_BERT},
	{"DPRContextEncoderTokenizer", CLASS_BERT},
	{"DPRQuestionEncoderTokenizer", CLASS_BERT},
	{"DistilBertTokenizer", CLASS_NO_TYPES},
	{"PreTrainedTokenizer", CLASS_ANY},
	{"TokenizersBackend", CLASS_ANY},
	{"PythonBackend", CLASS_ANY},
	{"RetriBertTokenizer", CLASS_ANY}, /* the reference no longer has these two */
	{"RealmTokenizer", CLASS_ANY},
};

/* The files, open; NULL where there is none. */
typedef struct Reader
{
	Arena *arena;
	const TokenizerContext *context;
	TokenizerSettings *settings;
	Status *status;
	json_t *model_config;
	json_t *config;
	json_t *special_map;
	json_t *added;
	json_t *tokenizer;
	TokenizerClass class;
	TokenizerJson json; /* of tokenizer */
	VocabText vocab;
	SpecialTokens special;
} Reader;

/* --- The class --- */

static bool
choose_class(Reader *reader)
{
	const char *file = "tokenizer_config.json";
	const char *name = json_string_value(json_object_get(reader->config, "tokenizer_class"));
	size_t length;

	if (name == NULL || name[0] == '\0')
	{
		file = "config.json";
		name = json_string_value(json_object_get(reader->model_config, "tokenizer_class"));
	}
	reader->class = CLASS_BERT;
	if (name == NULL || name[0] == '\0')
		return true;
	length = strlen(name);
	if (length > 4 && strcmp(name + length - 4, "Fast") == 0)
		length -= 4;
	for (size_t i = 0; i < sizeof classes / sizeof classes[0]; i++)
		if (strlen(classes[i].name) == length && strncmp(classes[i].name, name, length) == 0)
		{
			reader->class = classes[i].class;
			return true;
		}
	status_fail(reader->status, STATUS_UNSUPPORTED,
				"%s: tokenizer_class \"%.60s\" is not a Bert tokenizer", file, name);
	return status_hint(reader->status,
					   "If a tokenizer.json describes all that this class does, name "
					   "\"PreTrainedTokenizerFast\" as tokenizer_class.");
}

static bool
refuse_switches(const Reader *reader)
{
	if (json_is_false(json_object_get(reader->config, "do_basic_tokenize")))
		return status_fail(reader->status, STATUS_UNSUPPORTED,
						   "tokenizer_config.json: \"do_basic_tokenize\": false is not supported");
	if (reader->tokenizer != NULL && reader->json.truncates_left)
		return status_fail(reader->status, STATUS_UNSUPPORTED,
						   "tokenizer.json: truncation from the left is not supported");
	return true;
}

/* --- The normalizer and the model --- */

/* strip_accents follows lowercase unless it is given as true or false. */
static bool
take_arguments(Reader *reader)
{
	TokenizerSettings *settings = reader->settings;
	const json_t *strip = json_object_get(reader->config, "strip_accents");

	if (!json_get_bool(reader->config, "do_lower_case", &settings->lowercase, reader->status) ||
		!json_get_bool(reader->config, "tokenize_chinese_chars", &settings->handle_chinese_chars,
					   reader->status))
		return false;
	if (strip != NULL && !json_is_null(strip) && !json_is_boolean(strip))
		return status_fail(reader->status, STATUS_INVALID_DATA,
						   "\"strip_accents\" is neither true, false nor null");
	settings->strip_accents = json_is_boolean(strip) ? json_is_true(strip) : settings->lowercase;
	return true;
}

/* Where tokenizer.json says otherwise than the class does. */
static bool
note_differences(Reader *reader)
{
	const TokenizerSettings *settings = reader->settings;
	const TokenizerJson *json = &reader->json;
	FileNotes *notes = reader->context->notes;

	if ((settings->lowercase != json->lowercase || settings->strip_accents != json->strip_accents ||
		 settings->handle_chinese_chars != json->handle_chinese_chars ||
		 settings->clean_text != json->clean_text) &&
		!notes_add(notes, NOTE_IGNORED, "tokenizer.json", "normalizer", reader->status))
		return false;
	if (strcmp(json->continuing_subword_prefix, "##") != 0 &&
		!notes_add(notes, NOTE_IGNORED, "tokenizer.json", "model: continuing_subword_prefix",
				   reader->status))
		return false;
	return json->max_input_chars_per_word == 100 ||
		   notes_add(notes, NOTE_IGNORED, "tokenizer.json", "model: max_input_chars_per_word",
					 reader->status);
}

/* What tokenizer_config.json says and no class of the reference reads, where it is not so. */
static bool
note_unread(Reader *reader)
{
	const TokenizerSettings *settings = reader->settings;
	const char *prefix = json_string_value(json_object_get(reader->config, "wordpieces_prefix"));
	const json_t *clean = json_object_get(reader->config, "clean_text");
	const json_t *limit = json_object_get(reader->config, "max_input_chars_per_word");
	const struct
	{
		const char *name;
		bool differs;
	} members[] = {
		{"clean_text", json_is_boolean(clean) && json_is_true(clean) != settings->clean_text},
		{"wordpieces_prefix",
		 prefix != NULL && strcmp(prefix, settings->continuing_subword_prefix) != 0},
		{"max_input_chars_per_word",
		 json_is_integer(limit) && json_integer_value(limit) != settings->max_input_chars_per_word},
	};

	for (size_t i = 0; i < sizeof members / sizeof members[0]; i++)
		if (members[i].differs &&
			!notes_add(reader->context->notes, NOTE_IGNORED, "tokenizer_config.json",
					   members[i].name, reader->status))
			return false;
	return true;
}

/* Everything from tokenizer.json. */
static bool
take_tokenizer_json(Reader *reader)
{
	TokenizerSettings *settings = reader->settings;
	const TokenizerJson *json = &reader->json;

	if (reader->tokenizer == NULL)
	{
		status_fail(reader->status, STATUS_NOT_FOUND,
					"the tokenizer's class takes everything from a tokenizer.json, and there is "
					"none");
		return status_hint(reader->status, "If it is BERT's own tokenizer, name \"BertTokenizer\" "
										   "as tokenizer_class in tokenizer_config.json.");
	}
	if (!json->has_pre_tokenizer)
		return status_fail(reader->status, STATUS_UNSUPPORTED,
						   "tokenizer.json: it has no pre_tokenizer");
	if (!json->has_template)
		return status_fail(reader->status, STATUS_UNSUPPORTED,
						   "tokenizer.json: it has no post_processor, so that texts would be "
						   "without [CLS] and [SEP]");
	settings->one_type |= json->one_type;
	settings->clean_text = json->clean_text;
	settings->handle_chinese_chars = json->handle_chinese_chars;
	settings->lowercase = json->lowercase;
	settings->strip_accents = json->strip_accents;
	settings->unk_token = json->unk_token;
	settings->cls_token = json->cls_token;
	settings->sep_token = json->sep_token;
	settings->continuing_subword_prefix = json->continuing_subword_prefix;
	settings->max_input_chars_per_word = json->max_input_chars_per_word;
	return true;
}

/* model_max_length, or the older max_len. 1e30 stands for "no limit". */
static bool
take_max_length(Reader *reader)
{
	const json_t *value = json_object_get(reader->config, "model_max_length");
	const char *name = value != NULL ? "model_max_length" : "max_len";
	double number;

	if (value == NULL)
		value = json_object_get(reader->config, "max_len");
	if (value == NULL || json_is_null(value))
		return true;
	if (!json_is_number(value))
		return status_fail(reader->status, STATUS_INVALID_DATA,
						   "tokenizer_config.json: \"%s\" is not a number", name);
	number = json_number_value(value);
	if (!(number >= 1))
		return status_fail(reader->status, STATUS_INVALID_DATA,
						   "tokenizer_config.json: \"%s\" is %g, less than one token", name,
						   number);
	reader->settings->model_max_length = number <= CONFIG_MAX_POSITIONS ? (int) number : 0;
	return true;
}

/* Whether the tokenizer says which text of a pair a token is of. */
static bool
take_types(Reader *reader)
{
	const json_t *names = json_object_get(reader->config, "model_input_names");

	if (names != NULL && !json_is_null(names) && !json_is_array(names))
		return status_fail(reader->status, STATUS_INVALID_DATA,
						   "tokenizer_config.json: \"model_input_names\" is not a list");
	reader->settings->one_type = reader->class != CLASS_BERT;
	if (!json_is_array(names))
		return true;
	reader->settings->one_type = true;
	for (size_t i = 0; i < json_array_size(names); i++)
	{
		const char *name = json_string_value(json_array_get(names, i));

		if (name != NULL && strcmp(name, "token_type_ids") == 0)
			reader->settings->one_type = false;
	}
	return true;
}

/* --- Added tokens --- */

/* The id of the next token that the vocabulary does not have. */
static int32_t
next_id(const Reader *reader)
{
	int32_t next = reader->vocab.n_tokens;

	for (size_t i = 0; i < reader->settings->n_added; i++)
		if (reader->settings->added[i].id >= next)
			next = reader->settings->added[i].id + 1;
	return next;
}

/*
 * As the tokenizers library adds a token: one that is known changes its ways; a new one has the id
 * that the vocabulary gives it, else the next free one.
 */
static bool
add_token(Reader *reader, const AddedToken *token, const char *file)
{
	TokenizerSettings *settings = reader->settings;
	AddedToken added = *token;
	AddedToken *known = added_tokens_find(settings->added, settings->n_added, token->content);

	if (known != NULL)
	{
		added.id = known->id;
		added.special |= known->special;
		if (known->special && token->special)
			added.normalized = known->normalized;
		return added_tokens_put(settings->added, &settings->n_added, &added, reader->status);
	}
	added.id = vocab_text_find(&reader->vocab, token->content);
	if (added.id < 0)
	{
		added.id = next_id(reader);
		if (added.id < reader->vocab.n_lines)
			return status_fail(reader->status, STATUS_INVALID_DATA,
							   "added token \"%.60s\" would have the id %d of another token, since "
							   "the vocabulary repeats tokens or leaves ids out",
							   token->content, (int) added.id);
	}
	if (token->id >= 0 && token->id != added.id &&
		!notes_add(reader->context->notes, NOTE_IGNORED, file, token->content, reader->status))
		return false;
	return added_tokens_put(settings->added, &settings->n_added, &added, reader->status);
}

/* The vocabulary's own special tokens are found in texts too. */
static bool
add_special_tokens(Reader *reader)
{
	const SpecialTokens *special = &reader->special;
	const char *file =
		special->from_decoder ? "tokenizer_config.json: added_tokens_decoder" : "added_tokens.json";

	if (reader->class == CLASS_ANY)
		for (size_t i = 0; i < reader->json.n_added; i++)
			if (!add_token(reader, &reader->json.added[i], "tokenizer.json: added_tokens"))
				return false;
	for (size_t i = 0; i < special->n_numbered; i++)
		if (!add_token(reader, &special->numbered[i], file))
			return false;
	for (size_t i = 0; i < special->n_named; i++)
	{
		const AddedToken *token = &special->named[i].token;
		int rows = reader->context->rows;

		if (added_tokens_find(reader->settings->added, reader->settings->n_added, token->content))
			continue;
		if (special->named[i].is_default && rows > 0 &&
			vocab_text_find(&reader->vocab, token->content) < 0 && next_id(reader) >= rows)
			continue;
		if (!add_token(reader, token, "special_tokens_map.json"))
			return false;
	}
	for (size_t i = 0; i < special->n_extra; i++)
		if (!added_tokens_find(reader->settings->added, reader->settings->n_added,
							   special->extra[i].content) &&
			!add_token(reader, &special->extra[i], "special_tokens_map.json"))
			return false;
	return true;
}

/* What the five named tokens are called. tokenizer.json's template and model have the last word. */
static void
take_names(Reader *reader)
{
	for (size_t i = 0; i < reader->special.n_named; i++)
	{
		const NamedToken *named = &reader->special.named[i];
		const char **field = tokenizer_settings_special(reader->settings, named->key);

		if (field != NULL)
			*field = named->token.content;
	}
}

/* The template of tokenizer.json puts ids of its own. */
static bool
check_template(const Reader *reader, const char *token, int32_t id)
{
	const AddedToken *added =
		added_tokens_find(reader->settings->added, reader->settings->n_added, token);
	int32_t own = added != NULL ? added->id : vocab_text_find(&reader->vocab, token);

	return id < 0 || id == own ||
		   status_fail(reader->status, STATUS_INVALID_DATA,
					   "tokenizer.json: the template puts the id %d for \"%.60s\", whose id is %d",
					   (int) id, token, (int) own);
}

/* --- All of it --- */

static bool
take_vocabulary(Reader *reader, const char *text, size_t length)
{
	if (!vocab_text_read(reader->arena, text, length, &reader->vocab, reader->status))
		return false;
	if (reader->tokenizer != NULL)
		reader->vocab.n_tokens = reader->json.n_tokens;
	reader->settings->vocab = reader->vocab.text;
	reader->settings->vocab_length = reader->vocab.length;
	return true;
}

static bool
read_vocabulary(Reader *reader, ModelSource *source)
{
	ByteSource *file;
	bool found;
	char *text;

	if (reader->tokenizer != NULL)
		return take_vocabulary(reader, reader->json.vocab, reader->json.vocab_length);
	if (!source->open(source, "vocab.txt", &file, &found, reader->status))
		return false;
	if (!found)
		return status_fail(reader->status, STATUS_NOT_FOUND,
						   "there is neither vocab.txt nor tokenizer.json");
	text = source_read_all(reader->arena, file, VOCAB_TEXT_MAX_BYTES, reader->status);
	return text != NULL && take_vocabulary(reader, text, (size_t) file->size);
}

static bool
check_members(const Reader *reader)
{
	FileNotes *notes = reader->context->notes;
	Status *status = reader->status;

	return known_keys_check(KNOWN_TOKENIZER_CONFIG, "tokenizer_config.json", reader->config, notes,
							status) &&
		   known_keys_check(KNOWN_SPECIAL_TOKENS_MAP, "special_tokens_map.json",
							reader->special_map, notes, status) &&
		   known_keys_check(KNOWN_TOKENIZER_JSON, "tokenizer.json", reader->tokenizer, notes,
							status);
}

static bool
take_everything(Reader *reader, ModelSource *source)
{
	SpecialSources sources = {reader->config, reader->special_map, reader->added, &reader->json,
							  reader->class != CLASS_ANY};

	if (!choose_class(reader) || !check_members(reader))
		return false;
	if (reader->tokenizer != NULL &&
		!tokenizer_json_parse(reader->tokenizer, reader->arena, &reader->json,
							  reader->context->notes, reader->status))
		return status_prefix(reader->status, "tokenizer.json");
	sources.defaults = reader->class != CLASS_ANY;
	if (!refuse_switches(reader) || !take_max_length(reader) || !take_types(reader) ||
		!read_vocabulary(reader, source) ||
		!special_tokens_read(reader->arena, &sources, &reader->special, reader->status))
		return false;
	take_names(reader);
	if (reader->class == CLASS_ANY
			? !take_tokenizer_json(reader)
			: !take_arguments(reader) || (reader->tokenizer != NULL && !note_differences(reader)))
		return false;
	reader->settings->lowercase |= reader->context->lowercase_first;
	return note_unread(reader) && add_special_tokens(reader) &&
		   (reader->class != CLASS_ANY ||
			(check_template(reader, reader->json.cls_token, reader->json.cls_id) &&
			 check_template(reader, reader->json.sep_token, reader->json.sep_id)));
}

static bool
open_files(Reader *reader, ModelSource *source)
{
	return json_read_object(reader->arena, source, "config.json", MAX_JSON_BYTES,
							&reader->model_config, reader->status) &&
		   json_read_object(reader->arena, source, "tokenizer_config.json", MAX_JSON_BYTES,
							&reader->config, reader->status) &&
		   json_read_object(reader->arena, source, "special_tokens_map.json", MAX_JSON_BYTES,
							&reader->special_map, reader->status) &&
		   json_read_object(reader->arena, source, "added_tokens.json", MAX_JSON_BYTES,
							&reader->added, reader->status) &&
		   json_read_object(reader->arena, source, "tokenizer.json", MAX_JSON_BYTES,
							&reader->tokenizer, reader->status);
}

bool
tokenizer_files_read(Arena *arena, ModelSource *source, const TokenizerContext *context,
					 TokenizerSettings *settings, Status *status)
{
	Reader reader = {.arena = arena, .context = context, .settings = settings, .status = status};

	return tokenizer_settings_default(arena, settings, status) && open_files(&reader, source) &&
		   take_everything(&reader, source);
}

bool
tokenizer_files_from_vocab(Arena *arena, const char *vocab, size_t length,
						   const TokenizerContext *context, TokenizerSettings *settings,
						   Status *status)
{
	ByteSource file;
	ModelSource *source;

	source_from_memory(&file, "vocab.txt", vocab, length);
	source = modelsource_from_sources(arena, "arguments", &file, 1, status);
	return source != NULL && tokenizer_files_read(arena, source, context, settings, status);
}
