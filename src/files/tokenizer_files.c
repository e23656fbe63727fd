/* tokenizer_files.c: which file decides what. */
#include "files/tokenizer_files.h"

#include <stdlib.h>
#include <string.h>

#include "files/config.h"
#include "files/json.h"
#include "files/known_keys.h"
#include "files/pieces_json.h"
#include "files/sentencepiece.h"
#include "files/special_tokens.h"
#include "files/tokenizer_classes.h"
#include "files/tokenizer_json.h"
#include "files/vocab_text.h"

/* jansson needs several times as much for its objects */
#define MAX_JSON_BYTES ((size_t) 64 * 1024 * 1024)

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
	TokenizerJson json;       /* of tokenizer */
	bool composed;            /* the model is Unigram or BPE */
	Pieces pieces;            /* of a composed one */
	SentencePieceModel model; /* of a class's vocabulary file */
	json_t *stages;           /* that a class builds, or NULL */
	VocabText vocab;
	SpecialTokens special;
} Reader;

/* --- The class --- */

static bool
choose_class(Reader *reader)
{
	const char *file = "tokenizer_config.json";
	const char *name = json_string_value(json_object_get(reader->config, "tokenizer_class"));

	if (name == NULL || name[0] == '\0')
	{
		file = "config.json";
		name = json_string_value(json_object_get(reader->model_config, "tokenizer_class"));
	}
	reader->class = tokenizer_class_of_model(
		json_string_value(json_object_get(reader->model_config, "model_type")));
	if (name == NULL || name[0] == '\0' || tokenizer_class_find(name, &reader->class))
		return true;
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
	if (reader->composed)
		return true;
	if (!json->has_pre_tokenizer)
		return status_fail(reader->status, STATUS_UNSUPPORTED,
						   "tokenizer.json: it has no pre_tokenizer");
	if (!json->has_template && !json->needs_stages)
		return status_fail(reader->status, STATUS_UNSUPPORTED,
						   "tokenizer.json: it has no post_processor, so that texts would be "
						   "without [CLS] and [SEP]");
	settings->one_type |= json->one_type;
	settings->clean_text = json->clean_text;
	settings->handle_chinese_chars = json->handle_chinese_chars;
	settings->lowercase = json->lowercase;
	settings->strip_accents = json->strip_accents;
	settings->unk_token = json->unk_token;
	if (json->has_template)
	{
		settings->cls_token = json->cls_token;
		settings->sep_token = json->sep_token;
	}
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

/*
 * What the five named tokens are called. tokenizer.json's template and model have the last word; a
 * composed tokenizer has those that are named.
 */
static void
take_names(Reader *reader)
{
	static const char *const keys[] = {"unk_token", "sep_token", "pad_token", "cls_token",
									   "mask_token"};

	for (size_t i = 0; reader->composed && i < sizeof keys / sizeof keys[0]; i++)
		*tokenizer_settings_special(reader->settings, keys[i]) = NULL;
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

/* --- The vocabulary --- */

/* A Bert class leaves the template of tokenizer.json alone only if it is BERT's. */
static bool
refuse_template(const Reader *reader)
{
	const char *type =
		json_string_value(json_object_get(reader->json.parts.post_processor, "type"));

	if (reader->class > CLASS_NO_TYPES || !reader->json.needs_stages)
		return true;
	if (type != NULL && strcmp(type, "TemplateProcessing") == 0)
		return status_fail(reader->status, STATUS_UNSUPPORTED,
						   "tokenizer.json: its template is not \"[CLS] A [SEP] B [SEP]\"");
	return status_fail(reader->status, STATUS_UNSUPPORTED,
					   "tokenizer.json: its post_processor is \"%.60s\", not that of a Bert "
					   "tokenizer",
					   type == NULL ? "?" : type);
}

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
open_vocabulary(Reader *reader, ModelSource *source, const char *name, ByteSource **file)
{
	bool found;

	if (!source->open(source, name, file, &found, reader->status))
		return false;
	return found || status_fail(reader->status, STATUS_NOT_FOUND,
								"there is neither %s nor tokenizer.json", name);
}

/* A SentencePiece model in the order of its class. */
static bool
read_sentencepiece(Reader *reader, ModelSource *source)
{
	ByteSource *file;
	char *bytes;

	if (!open_vocabulary(reader, source, tokenizer_class_traits(reader->class)->vocabulary, &file))
		return false;
	bytes = source_read_all(reader->arena, file, PIECES_MAX_BYTES, reader->status);
	if (bytes == NULL)
		return false;
	if (!sentencepiece_read(reader->arena, bytes, (size_t) file->size, &reader->model,
							reader->status))
		return status_prefix(reader->status, "%s", file->name);
	return true;
}

/* vocab.json and merges.txt */
static bool
read_merges(Reader *reader, ModelSource *source)
{
	ByteSource *file;
	char *merges;
	json_t *vocab;
	bool ok;

	if (!open_vocabulary(reader, source, "vocab.json", &file) ||
		!open_vocabulary(reader, source, "merges.txt", &file))
		return false;
	merges = source_read_all(reader->arena, file, PIECES_MAX_BYTES, reader->status);
	if (merges == NULL || !json_read_object(reader->arena, source, "vocab.json", MAX_JSON_BYTES,
											&vocab, reader->status))
		return false;
	ok = pieces_from_files(reader->arena, vocab, merges, (size_t) file->size, &reader->pieces,
						   reader->status);
	reader->vocab.n_tokens = (int32_t) json_object_size(vocab);
	return ok;
}

static bool
read_composed(Reader *reader, ModelSource *source)
{
	bool bpe = reader->class == CLASS_ROBERTA;

	if (reader->tokenizer == NULL)
		return bpe ? read_merges(reader, source) : read_sentencepiece(reader, source);
	if (reader->class != CLASS_ANY &&
		reader->json.kind != (bpe ? TOKENIZER_BPE : TOKENIZER_UNIGRAM))
		return status_fail(reader->status, STATUS_INVALID_DATA,
						   "tokenizer.json: its model is not that of the tokenizer's class");
	reader->pieces = reader->json.pieces;
	reader->vocab.n_tokens = reader->json.n_tokens;
	return tokenizer_json_charsmap(reader->json.parts.normalizer, reader->arena,
								   (unsigned char **) &reader->pieces.charsmap,
								   &reader->pieces.charsmap_length, reader->status) ||
		   status_prefix(reader->status, "tokenizer.json");
}

static bool
read_vocabulary(Reader *reader, ModelSource *source)
{
	ByteSource *file;
	char *text;

	if (reader->composed)
		return read_composed(reader, source);
	if (reader->tokenizer != NULL)
		return take_vocabulary(reader, reader->json.vocab, reader->json.vocab_length);
	if (!open_vocabulary(reader, source, "vocab.txt", &file))
		return false;
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

/* --- Stages --- */

/* The token of that name, which must have an id. */
static bool
class_token(const Reader *reader, const char *key, ClassToken *out)
{
	const char *text = NULL;
	const AddedToken *added;

	for (size_t i = 0; i < reader->special.n_named; i++)
		if (strcmp(reader->special.named[i].key, key) == 0)
			text = reader->special.named[i].token.content;
	added = text == NULL
				? NULL
				: added_tokens_find(reader->settings->added, reader->settings->n_added, text);
	out->text = text;
	out->id = added != NULL ? added->id : text == NULL ? -1 : vocab_text_find(&reader->vocab, text);
	return out->id >= 0 || status_fail(reader->status, STATUS_INVALID_DATA,
									   "the tokenizer has no %s, which its class puts around a "
									   "text",
									   key);
}

/* CamemBERT's is looked for; the others' have a fixed place. */
static int32_t
class_unknown(const Reader *reader)
{
	int32_t id;

	if (reader->class == CLASS_XLM_ROBERTA)
		return 3;
	if (reader->class != CLASS_CAMEMBERT)
		return 1;
	id = reader->settings->unk_token == NULL
			 ? -1
			 : vocab_text_find(&reader->vocab, reader->settings->unk_token);
	return id < 0 ? 0 : id;
}

static bool
build_stages(Reader *reader, PipelineParts *parts)
{
	ClassInput input = {.class = reader->class,
						.config = reader->config,
						.post_processor = reader->json.parts.post_processor,
						.has_charsmap = reader->pieces.charsmap_length > 0};
	json_t *arguments;

	if (!class_token(reader, "bos_token", &input.bos) ||
		!class_token(reader, "eos_token", &input.eos) ||
		!class_token(reader, "cls_token", &input.cls) ||
		!class_token(reader, "sep_token", &input.sep))
		return false;
	input.unk_id = class_unknown(reader);
	reader->stages = tokenizer_class_stages(&input, reader->status);
	if (reader->stages == NULL)
		return false;
	*parts = (PipelineParts){json_object_get(reader->stages, "model"),
							 json_object_get(reader->stages, "normalizer"),
							 json_object_get(reader->stages, "pre_tokenizer"),
							 json_object_get(reader->stages, "post_processor"),
							 json_object_get(reader->stages, "decoder")};
	arguments = tokenizer_class_arguments(reader->class, reader->config);
	reader->settings->class_arguments =
		json_write(reader->arena, arguments, JSON_COMPACT | JSON_SORT_KEYS, true,
				   "tokenizer_config.json", reader->status);
	return reader->settings->class_arguments != NULL;
}

/* The stages become settings, and the pieces the vocabulary. */
static bool
take_stages(Reader *reader)
{
	PipelineParts parts = reader->json.parts;
	Pipeline *pipeline = arena_alloc(reader->arena, sizeof *pipeline);
	json_t *switches = NULL;
	char *vocab;
	bool ok;

	if (pipeline == NULL)
		return arena_fail(reader->arena, reader->status, "a pipeline", sizeof *pipeline);
	if (reader->class != CLASS_ANY)
	{
		if (!build_stages(reader, &parts))
			return false;
	}
	else if (!reader->composed)
		parts.normalizer = parts.pre_tokenizer = NULL; /* BERT's own */
	else
	{
		switches = json_copy((json_t *) parts.model);
		json_object_set_new(switches, "scores_as_read", json_true());
		parts.model = switches;
	}
	if (!reader->composed && reader->class == CLASS_ANY)
		parts.model = switches = json_pack("{s:s}", "type", "WordPiece");
	ok = pipeline_read(reader->arena, &parts, pipeline, reader->status) ||
		 status_prefix(reader->status, "tokenizer.json");
	if (ok)
		reader->settings->pipeline =
			pipeline_write(reader->arena, &parts, NULL, NULL, reader->status);
	json_decref(switches);
	if (!ok || reader->settings->pipeline == NULL)
		return false;
	if (!reader->composed)
		return true;
	vocab = pieces_write(reader->arena, &reader->pieces, &reader->settings->vocab_length,
						 reader->status);
	reader->settings->vocab = vocab;
	return vocab != NULL;
}

/* The pieces of a SentencePiece model in the order of the class, whose names are known by now. */
static bool
order_pieces(Reader *reader)
{
	const char *names[CLASS_NAMED_TOKENS] = {NULL};

	if (!reader->composed)
		return true;
	if (reader->model.n > 0)
	{
		for (size_t i = 0; i < reader->special.n_named; i++)
			for (size_t k = 0; k < CLASS_NAMED_TOKENS; k++)
				if (strcmp(reader->special.named[i].key, special_token_name(k)) == 0)
					names[k] = reader->special.named[i].token.content;
		if (!sentencepiece_order(reader->arena, &reader->model, reader->class, names,
								 &reader->pieces, reader->status))
			return false;
		reader->vocab.n_tokens = (int32_t) reader->pieces.n;
	}
	return vocab_text_of_pieces(reader->arena, &reader->pieces, &reader->vocab, reader->status);
}

/* --- All of it --- */

/* A class whose model is WordPiece has no other. */
static bool
refuse_model(const Reader *reader)
{
	const json_t *model = json_object_get(reader->tokenizer, "model");
	const char *type = json_string_value(json_object_get(model, "type"));

	return reader->class == CLASS_ANY || tokenizer_class_is_composed(reader->class) ||
		   type == NULL || strcmp(type, "WordPiece") == 0 ||
		   status_fail(reader->status, STATUS_UNSUPPORTED,
					   "tokenizer.json: its model is \"%.60s\", not WordPiece", type);
}

static bool
take_everything(Reader *reader, ModelSource *source)
{
	SpecialSources sources = {.config = reader->config,
							  .special_map = reader->special_map,
							  .added = reader->added,
							  .json = &reader->json};
	bool any;

	if (!choose_class(reader) || !check_members(reader))
		return false;
	any = reader->class == CLASS_ANY;
	if (!refuse_model(reader))
		return false;
	if (reader->tokenizer != NULL &&
		!tokenizer_json_parse(reader->tokenizer, reader->arena, &reader->json,
							  reader->context->notes, reader->status))
		return status_prefix(reader->status, "tokenizer.json");
	reader->composed =
		tokenizer_class_is_composed(reader->class) || (any && reader->json.kind != TOKENIZER_BERT);
	if (!refuse_switches(reader) || !take_max_length(reader) || !take_types(reader) ||
		!read_vocabulary(reader, source))
		return false;
	sources.traits = any ? NULL : tokenizer_class_traits(reader->class);
	sources.camembert = reader->class == CLASS_CAMEMBERT;
	sources.pieces = reader->model.added;
	sources.n_pieces = reader->model.n_added;
	if (!special_tokens_read(reader->arena, &sources, &reader->special, reader->status))
		return false;
	take_names(reader);
	if (any ? !take_tokenizer_json(reader)
			: !take_arguments(reader) || !refuse_template(reader) ||
				  (reader->tokenizer != NULL && !reader->composed && !note_differences(reader)))
		return false;
	if (reader->composed && reader->context->lowercase_first)
		return status_fail(reader->status, STATUS_UNSUPPORTED,
						   "sentence_bert_config.json: \"do_lower_case\" is not supported with a "
						   "tokenizer that is not BERT's");
	reader->settings->lowercase |= reader->context->lowercase_first;
	if (!order_pieces(reader) || (!reader->composed && !note_unread(reader)) ||
		!add_special_tokens(reader))
		return false;
	if (reader->composed || reader->class == CLASS_MPNET || (any && reader->json.needs_stages))
		return take_stages(reader);
	return !any || (check_template(reader, reader->json.cls_token, reader->json.cls_id) &&
					check_template(reader, reader->json.sep_token, reader->json.sep_id));
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
	bool ok = tokenizer_settings_default(arena, settings, status) && open_files(&reader, source) &&
			  take_everything(&reader, source);

	json_decref(reader.stages);
	return ok;
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
