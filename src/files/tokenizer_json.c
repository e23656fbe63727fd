/* tokenizer_json.c: reading tokenizer.json. */
#include "files/tokenizer_json.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/bulk.h"
#include "files/base64.h"
#include "files/config.h"
#include "files/json.h"
#include "files/known_keys.h"
#include "files/numbered_tokens.h"
#include "files/pieces_json.h"
#include "files/vocab_text.h"

#define ASK_TOKENS 16384 /* a power of two */

static bool
has_type(const json_t *object, const char *type)
{
	const char *name = json_string_value(json_object_get(object, "type"));

	return name != NULL && strcmp(name, type) == 0;
}

static bool
refuse_stage(const json_t *object, const char *stage, Status *status)
{
	const char *type = json_string_value(json_object_get(object, "type"));

	return status_fail(status, STATUS_UNSUPPORTED,
					   "its %s is \"%.60s\", not that of a Bert tokenizer", stage,
					   type == NULL ? "?" : type);
}

/* --- The normalizer --- */

static bool
read_bert_normalizer(const json_t *object, TokenizerJson *out, Status *status)
{
	bool lowercase = true;

	out->clean_text = true;
	out->handle_chinese_chars = true;
	if (!json_get_bool(object, "clean_text", &out->clean_text, status) ||
		!json_get_bool(object, "handle_chinese_chars", &out->handle_chinese_chars, status) ||
		!json_get_bool(object, "lowercase", &lowercase, status))
		return false;
	out->lowercase |= lowercase;
	out->strip_accents = lowercase;
	return json_get_bool(object, "strip_accents", &out->strip_accents, status);
}

/*
 * BertNormalizer, Lowercase before it (which changes nothing but the case), either alone, or
 * nothing at all.
 */
static bool
read_normalizer(const json_t *root, TokenizerJson *out, Status *status)
{
	const json_t *object = json_object_get(root, "normalizer");
	const json_t *list = json_object_get(object, "normalizers");
	size_t n = has_type(object, "Sequence") ? json_array_size(list) : 1;
	bool bert = false;

	if (object == NULL || json_is_null(object))
		return true;
	for (size_t i = 0; i < n; i++)
	{
		const json_t *part = has_type(object, "Sequence") ? json_array_get(list, i) : object;

		if (has_type(part, "BertNormalizer") && !bert)
		{
			if (!read_bert_normalizer(part, out, status))
				return false;
			bert = true;
		}
		else if (has_type(part, "Lowercase") && !bert)
			out->lowercase = true;
		else
			return refuse_stage(part, "normalizer", status);
	}
	return true;
}

/* --- The template --- */

typedef struct Template
{
	const char *cls;
	const char *sep;
	int32_t cls_id; /* -1: not said */
	int32_t sep_id;
} Template;

/* The name of a piece: of a special token, or of a text ("A"). NULL when it is not of this type. */
static const char *
piece_name(const json_t *piece, bool is_text, int type)
{
	const json_t *part = json_object_get(piece, is_text ? "Sequence" : "SpecialToken");

	const json_t *type_id = json_object_get(part, "type_id");

	if (!json_is_integer(type_id) || json_integer_value(type_id) != type)
		return NULL;
	return json_string_value(json_object_get(part, "id"));
}

/* [CLS] A [SEP], and [CLS] A [SEP] B:type [SEP]:type, whatever the tokens are called. */
static bool
read_pieces(const json_t *pieces, size_t n, int type, Template *template)
{
	static const char *const texts[] = {NULL, "A", NULL, "B", NULL};
	const int types[] = {0, 0, 0, type, type};

	if (!json_is_array(pieces) || json_array_size(pieces) != n)
		return false;
	for (size_t i = 0; i < n; i++)
	{
		const char *name = piece_name(json_array_get(pieces, i), texts[i] != NULL, types[i]);
		const char **token = i == 0 ? &template->cls : &template->sep;

		if (name == NULL || (texts[i] != NULL && strcmp(name, texts[i]) != 0))
			return false;
		if (texts[i] != NULL)
			continue;
		if (*token != NULL && strcmp(*token, name) != 0)
			return false;
		*token = name;
	}
	return true;
}

/* The id that the template puts for a token: one number. */
static int32_t
template_id(const json_t *object, const char *token)
{
	const json_t *special = json_object_get(json_object_get(object, "special_tokens"), token);
	const json_t *ids = json_object_get(special, "ids");
	const json_t *id = json_array_get(ids, 0);

	return json_array_size(ids) == 1 && json_is_integer(id) && json_integer_value(id) >= 0 &&
				   json_integer_value(id) < CONFIG_MAX_VOCAB
			   ? (int32_t) json_integer_value(id)
			   : -1;
}

/* BertProcessing: {"cls": ["[CLS]", 101], "sep": ["[SEP]", 102]} */
static bool
read_bert_processing(const json_t *object, Template *template)
{
	const json_t *cls = json_object_get(object, "cls");
	const json_t *sep = json_object_get(object, "sep");

	template->cls = json_string_value(json_array_get(cls, 0));
	template->sep = json_string_value(json_array_get(sep, 0));
	template->cls_id = (int32_t) json_integer_value(json_array_get(cls, 1));
	template->sep_id = (int32_t) json_integer_value(json_array_get(sep, 1));
	return template->cls != NULL && template->sep != NULL;
}

static bool
read_template(const json_t *root, Arena *arena, TokenizerJson *out, Status *status)
{
	const json_t *object = json_object_get(root, "post_processor");
	Template template = {NULL, NULL, -1, -1};

	if (object == NULL || json_is_null(object))
		return true;
	if (has_type(object, "TemplateProcessing"))
	{
		const json_t *pair = json_object_get(object, "pair");

		out->one_type = read_pieces(pair, 5, 0, &template);
		if (!read_pieces(json_object_get(object, "single"), 3, 0, &template) ||
			(!out->one_type && !read_pieces(pair, 5, 1, &template)))
		{
			out->one_type = false;
			out->needs_stages = true;
			return true;
		}
		template.cls_id = template_id(object, template.cls);
		template.sep_id = template_id(object, template.sep);
	}
	else if (!has_type(object, "BertProcessing"))
	{
		out->needs_stages = true;
		return true;
	}
	else if (!read_bert_processing(object, &template))
		return status_fail(status, STATUS_INVALID_DATA,
						   "its post_processor does not name its tokens");
	out->has_template = true;
	out->cls_id = template.cls_id;
	out->sep_id = template.sep_id;
	out->cls_token = arena_strdup(arena, template.cls);
	out->sep_token = arena_strdup(arena, template.sep);
	return (out->cls_token != NULL && out->sep_token != NULL) ||
		   arena_fail(arena, status, "a token", strlen(template.cls));
}

/* --- The vocabulary --- */

/* The text by id, one token a line; ids that no token has are empty lines. */
static bool
read_vocab(const json_t *vocab, Arena *arena, TokenizerJson *out, Status *status)
{
	size_t n = json_object_size(vocab);
	NumberedTokens v;
	size_t bytes;
	int32_t next = 0;
	char *at;

	if (!json_is_object(vocab) || n == 0 || n > CONFIG_MAX_VOCAB)
		return status_fail(status, STATUS_INVALID_DATA,
						   "its vocabulary is not an object with 1 to %d tokens", CONFIG_MAX_VOCAB);
	if (!numbered_tokens_from_json(arena, vocab, &v, status))
		return false;
	bytes = v.bytes + (size_t) v.tokens[n - 1].id + 1;
	out->vocab = at = arena_alloc(arena, bytes);
	if (at == NULL)
		return arena_fail(arena, status, "the vocabulary", bytes);
	for (size_t i = 0; i < n; i++)
	{
		size_t length = strlen(v.tokens[i].text);

		for (; next < v.tokens[i].id; next++)
			*at++ = '\n';
		if (strchr(v.tokens[i].text, '\n') != NULL || vocab_text_trims(v.tokens[i].text, length))
			length = 0; /* no word has white space */
		memcpy(at, v.tokens[i].text, length);
		at += length;
		*at++ = '\n';
		next++;
		if (bulk_turn(i, ASK_TOKENS) && !arena_may_continue(arena, status))
			return false;
	}
	out->vocab_length = (size_t) (at - out->vocab);
	out->n_tokens = (int32_t) n;
	return true;
}

static bool
read_model(const json_t *root, Arena *arena, TokenizerJson *out, FileNotes *notes, Status *status)
{
	const json_t *model = json_object_get(root, "model");
	const json_t *type = json_object_get(model, "type");

	if (!json_is_object(model))
		return status_fail(status, STATUS_INVALID_DATA, "it has no model");
	if (json_is_string(type) && strcmp(json_string_value(type), "WordPiece") != 0)
		return status_fail(status, STATUS_UNSUPPORTED, "its model is \"%.60s\", not WordPiece",
						   json_string_value(type));
	out->unk_token = "[UNK]";
	out->continuing_subword_prefix = "##";
	out->max_input_chars_per_word = 100;
	return known_keys_check(KNOWN_TOKENIZER_MODEL, "tokenizer.json: model", model, notes, status) &&
		   json_get_string(model, "unk_token", arena, &out->unk_token, status) &&
		   json_get_string(model, "continuing_subword_prefix", arena,
						   &out->continuing_subword_prefix, status) &&
		   json_get_int(model, "max_input_chars_per_word", 1, 1000000,
						&out->max_input_chars_per_word, status) &&
		   read_vocab(json_object_get(model, "vocab"), arena, out, status);
}

static bool
read_added(const json_t *root, Arena *arena, TokenizerJson *out, Status *status)
{
	const json_t *list = json_object_get(root, "added_tokens");
	AddedToken token;

	out->added = arena_alloc_array(arena, ADDED_TOKENS_MAX, sizeof *out->added);
	if (out->added == NULL)
		return arena_fail(arena, status, "added tokens", ADDED_TOKENS_MAX * sizeof *out->added);
	if (list == NULL || json_is_null(list))
		return true;
	if (!json_is_array(list))
		return status_fail(status, STATUS_INVALID_DATA, "\"added_tokens\" is not a list");
	for (size_t i = 0; i < json_array_size(list); i++)
		if (!added_token_parse(json_array_get(list, i), arena, false, &token, status) ||
			!added_tokens_put(out->added, &out->n_added, &token, status))
			return false;
	return true;
}

/* --- Composed tokenizers --- */

bool
tokenizer_json_charsmap(const json_t *normalizer, Arena *arena, unsigned char **out, size_t *length,
						Status *status)
{
	const json_t *list = json_object_get(normalizer, "normalizers");
	size_t n = has_type(normalizer, "Sequence") ? json_array_size(list) : 1;

	for (size_t i = 0; i < n; i++)
	{
		const json_t *part =
			has_type(normalizer, "Sequence") ? json_array_get(list, i) : normalizer;
		const json_t *text = json_object_get(part, "precompiled_charsmap");

		if (has_type(part, "Precompiled") && json_is_string(text))
			return base64_decode(arena, json_string_value(text), json_string_length(text), out,
								 length, status) ||
				   status_prefix(status, "precompiled_charsmap");
	}
	return true;
}

/* Subwords that are marked, or words that are merged at random, are no byte-level BPE. */
static bool
check_bpe(const json_t *model, Status *status)
{
	static const char *const affixes[] = {"continuing_subword_prefix", "end_of_word_suffix"};
	const json_t *dropout = json_object_get(model, "dropout");

	for (size_t i = 0; i < 2; i++)
		if (json_string_length(json_object_get(model, affixes[i])) > 0)
			return status_fail(status, STATUS_UNSUPPORTED,
							   "its BPE model has a %s, which is not supported", affixes[i]);
	return dropout == NULL || json_is_null(dropout) || json_number_value(dropout) == 0 ||
		   status_fail(status, STATUS_UNSUPPORTED,
					   "its BPE model has dropout, which gives the same text other tokens each "
					   "time");
}

static bool
parse_composed(const json_t *root, Arena *arena, TokenizerJson *out, FileNotes *notes,
			   Status *status)
{
	const json_t *model = json_object_get(root, "model");
	bool bpe = has_type(model, "BPE");

	out->kind = bpe ? TOKENIZER_BPE : TOKENIZER_UNIGRAM;
	if (!known_keys_check(bpe ? KNOWN_BPE_MODEL : KNOWN_UNIGRAM_MODEL, "tokenizer.json: model",
						  model, notes, status))
		return false;
	if (bpe ? !check_bpe(model, status) ||
				  !pieces_from_merges(arena, json_object_get(model, "vocab"),
									  json_object_get(model, "merges"), &out->pieces, status)
			: !pieces_from_scores(arena, json_object_get(model, "vocab"), &out->pieces, status))
		return false;
	out->n_tokens =
		bpe ? (int32_t) json_object_size(json_object_get(model, "vocab")) : (int32_t) out->pieces.n;
	return read_added(root, arena, out, status);
}

bool
tokenizer_json_parse(const json_t *root, Arena *arena, TokenizerJson *out, FileNotes *notes,
					 Status *status)
{
	const json_t *pre = json_object_get(root, "pre_tokenizer");
	const char *direction =
		json_string_value(json_object_get(json_object_get(root, "truncation"), "direction"));

	memset(out, 0, sizeof *out);
	out->truncates_left = direction != NULL && strcmp(direction, "Left") == 0;
	out->parts =
		(PipelineParts){json_object_get(root, "model"), json_object_get(root, "normalizer"), pre,
						json_object_get(root, "post_processor"), json_object_get(root, "decoder")};
	if (has_type(out->parts.model, "Unigram") || has_type(out->parts.model, "BPE"))
		return parse_composed(root, arena, out, notes, status);
	out->has_pre_tokenizer = has_type(pre, "BertPreTokenizer");
	if (pre != NULL && !json_is_null(pre) && !out->has_pre_tokenizer)
		return refuse_stage(pre, "pre_tokenizer", status);
	return read_normalizer(root, out, status) && read_template(root, arena, out, status) &&
		   read_model(root, arena, out, notes, status) && read_added(root, arena, out, status);
}

/* --- Writing --- */

static json_t *
template_value(const TokenizerSettings *settings, bool pair)
{
	json_t *pieces = json_array();
	const int type = 1; /* whether the types are given at all is tokenizer_config.json's */

	json_array_append_new(pieces, json_pack("{s: {s:s, s:i}}", "SpecialToken", "id",
											settings->cls_token, "type_id", 0));
	json_array_append_new(pieces,
						  json_pack("{s: {s:s, s:i}}", "Sequence", "id", "A", "type_id", 0));
	json_array_append_new(pieces, json_pack("{s: {s:s, s:i}}", "SpecialToken", "id",
											settings->sep_token, "type_id", 0));
	if (!pair)
		return pieces;
	json_array_append_new(pieces,
						  json_pack("{s: {s:s, s:i}}", "Sequence", "id", "B", "type_id", type));
	json_array_append_new(pieces, json_pack("{s: {s:s, s:i}}", "SpecialToken", "id",
											settings->sep_token, "type_id", type));
	return pieces;
}

static json_t *
special_value(const char *token, int32_t id)
{
	return json_pack("{s:s, s:[i], s:[s]}", "id", token, "ids", (int) id, "tokens", token);
}

static json_t *
post_processor_value(const TokenizerSettings *settings, bool *complete)
{
	const char *cls = settings->cls_token;
	const char *sep = settings->sep_token;
	int32_t cls_id = tokenizer_settings_id(settings, cls);
	int32_t sep_id = tokenizer_settings_id(settings, sep);
	json_t *root = json_object();
	json_t *tokens = json_object();

	if (cls_id < 0 || sep_id < 0)
	{
		json_decref(root);
		json_decref(tokens);
		return json_null();
	}
	json_put(root, "type", json_string("TemplateProcessing"), complete);
	json_put(root, "single", template_value(settings, false), complete);
	json_put(root, "pair", template_value(settings, true), complete);
	json_put(tokens, cls, special_value(cls, cls_id), complete);
	json_put(tokens, sep, special_value(sep, sep_id), complete);
	json_put(root, "special_tokens", tokens, complete);
	return root;
}

/* A member "token":id; false when the token is not valid UTF-8. */
static bool
append_token(TextBuffer *buffer, const char *token, size_t length, int32_t id)
{
	json_t *value = json_stringn(token, length);
	char number[16];

	if (value == NULL)
		return false;
	json_decref(value);
	if (buffer->length > 0 && buffer->text[buffer->length - 1] != '{')
		text_append(buffer, ",", 1);
	text_append_string(buffer, token, length);
	text_append(buffer, number, (size_t) snprintf(number, sizeof number, ":%d", (int) id));
	return true;
}

/*
 * By token, behind the brace that opens them. Blank lines are one token to the reference, the empty
 * one, and count where it gives ids to tokens that the vocabulary does not have; so one is written
 * where there was a blank line, or where the added tokens say that there were some at the end.
 *
 * jansson does not write them: it hashes all members of an object anew whenever there are twice as
 * many, which takes long for a million and cannot be interrupted.
 */
static bool
append_vocab(TextBuffer *buffer, const TokenizerSettings *settings, Status *status)
{
	int32_t id = 0;
	int32_t blank = -1;
	bool follows = false;
	bool complete = true;

	for (const char *at = settings->vocab, *end = at + settings->vocab_length; at < end; id++)
	{
		const char *newline = memchr(at, '\n', (size_t) (end - at));
		size_t length = newline == NULL ? (size_t) (end - at) : (size_t) (newline - at);

		if (length == 0)
			blank = id;
		else
			complete = complete && append_token(buffer, at, length, id);
		at += length + 1;
		if (bulk_turn((size_t) id, ASK_TOKENS) && !arena_may_continue(buffer->arena, status))
			return false;
	}
	for (size_t i = 0; i < settings->n_added; i++)
	{
		follows |= settings->added[i].id == id;
		if (blank < 0 && settings->added[i].id > id)
			blank = id;
	}
	if (blank >= 0 && !(blank == id && follows))
		complete = complete && append_token(buffer, "", 0, blank);
	return complete || status_fail(status, STATUS_INVALID_DATA,
								   "could not write tokenizer.json: a token is not valid UTF-8");
}

/* The vocabulary, still empty, comes last. */
static json_t *
model_value(const TokenizerSettings *settings, bool *complete)
{
	json_t *model = json_object();

	json_put(model, "type", json_string("WordPiece"), complete);
	json_put(model, "unk_token", json_string(settings->unk_token), complete);
	json_put(model, "continuing_subword_prefix", json_string(settings->continuing_subword_prefix),
			 complete);
	json_put(model, "max_input_chars_per_word", json_integer(settings->max_input_chars_per_word),
			 complete);
	json_put(model, "vocab", json_object(), complete);
	return model;
}

static int
compare_added(const void *a, const void *b)
{
	return (((const AddedToken *) a)->id > ((const AddedToken *) b)->id) -
		   (((const AddedToken *) a)->id < ((const AddedToken *) b)->id);
}

/* In the order of their ids, which the reference gives anew. */
static json_t *
added_value(Arena *arena, const TokenizerSettings *settings, bool *complete)
{
	AddedToken *sorted = arena_alloc_array(arena, settings->n_added + 1, sizeof *sorted);
	json_t *list = json_array();

	if (sorted == NULL)
	{
		*complete = false;
		return list;
	}
	memcpy(sorted, settings->added, settings->n_added * sizeof *sorted);
	qsort(sorted, settings->n_added, sizeof *sorted, compare_added);
	for (size_t i = 0; i < settings->n_added; i++)
		*complete &= json_array_append_new(
						 list, json_pack("{s:i, s:s, s:b, s:b, s:b, s:b, s:b}", "id",
										 (int) sorted[i].id, "content", sorted[i].content,
										 "single_word", (int) sorted[i].single_word, "lstrip",
										 (int) sorted[i].lstrip, "rstrip", (int) sorted[i].rstrip,
										 "normalized", (int) sorted[i].normalized, "special",
										 (int) sorted[i].special)) == 0;
	return list;
}

static json_t *
bert_normalizer(const TokenizerSettings *settings)
{
	return json_pack("{s:s, s:b, s:b, s:b, s:b}", "type", "BertNormalizer", "clean_text",
					 (int) settings->clean_text, "handle_chinese_chars",
					 (int) settings->handle_chinese_chars, "strip_accents",
					 (int) settings->strip_accents, "lowercase", (int) settings->lowercase);
}

/* Appends ,"name":value and gives the value back. */
static void
append_member(TextBuffer *buffer, const char *name, json_t *value)
{
	char *text = json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY | JSON_SORT_KEYS);

	buffer->failed |= text == NULL;
	text_append(buffer, ",", 1);
	text_append_string(buffer, name, strlen(name));
	text_append(buffer, ":", 1);
	if (text != NULL)
		text_append(buffer, text, strlen(text));
	free(text);
	json_decref(value);
}

/* Puts the character map into the first Precompiled normalizer. */
static bool
put_charsmap(Arena *arena, json_t *normalizer, const Pieces *pieces, Status *status)
{
	json_t *list = json_object_get(normalizer, "normalizers");
	size_t n = list != NULL ? json_array_size(list) : 1;
	char *text;

	for (size_t i = 0; i < n && pieces->charsmap_length > 0; i++)
	{
		json_t *part = list != NULL ? json_array_get(list, i) : normalizer;

		if (!has_type(part, "Precompiled"))
			continue;
		text = base64_encode(arena, pieces->charsmap, pieces->charsmap_length);
		if (text == NULL)
			return arena_fail(arena, status, "a character map", pieces->charsmap_length);
		json_object_set_new(part, "precompiled_charsmap", json_string(text));
		return true;
	}
	return true;
}

static void
append_switches(TextBuffer *buffer, const json_t *model)
{
	const char *type = json_string_value(json_object_get(model, "type"));
	const char *key;
	json_t *value;

	text_append(buffer, ",\"model\":{\"type\":", 17);
	text_append_string(buffer, type, strlen(type));
	if (strcmp(type, "BPE") == 0)
		append_member(buffer, "dropout", json_null());
	json_object_foreach((json_t *) model, key, value)
	{
		if (strcmp(key, "type") != 0 && strcmp(key, "scores_as_read") != 0)
			append_member(buffer, key, json_incref(value));
	}
	text_append(buffer, ",", 1);
}

/* By pieces: the vocabulary may have scores, which jansson writes in another way. */
static char *
write_composed(Arena *arena, const TokenizerSettings *settings, Status *status)
{
	static const char *const stages[] = {"normalizer", "pre_tokenizer", "post_processor",
										 "decoder"};
	TextBuffer buffer = {.arena = arena};
	bool complete = true;
	Pieces pieces;
	json_t *root;
	bool ok;

	if (!pieces_read(arena, settings->vocab, settings->vocab_length, &pieces, status))
		return NULL;
	root = json_loads(settings->pipeline, 0, NULL);
	if (root == NULL)
	{
		status_fail(status, STATUS_INVALID_DATA, "the tokenizer's pipeline is damaged");
		return NULL;
	}
	ok = put_charsmap(arena, json_object_get(root, "normalizer"), &pieces, status);
	text_append(&buffer, "{\"version\":\"1.0\"", 16);
	append_member(&buffer, "truncation", json_null());
	append_member(&buffer, "padding", json_null());
	append_member(&buffer, "added_tokens", added_value(arena, settings, &complete));
	for (size_t i = 0; i < sizeof stages / sizeof stages[0]; i++)
	{
		json_t *stage = json_object_get(root, stages[i]);

		append_member(&buffer, stages[i], stage == NULL ? json_null() : json_incref(stage));
	}
	append_switches(&buffer, json_object_get(root, "model"));
	ok = ok && pieces_append_vocab(&buffer, &pieces, status);
	text_append(&buffer, "}}", 2);
	json_decref(root);
	if (ok && (buffer.failed || !complete))
		ok = arena_fail(arena, status, "tokenizer.json", buffer.length);
	return ok ? buffer.text : NULL;
}

/* The post-processor of a Bert tokenizer with stages of its own, else NULL. */
static json_t *
own_post_processor(const TokenizerSettings *settings)
{
	json_t *root = settings->pipeline == NULL ? NULL : json_loads(settings->pipeline, 0, NULL);
	json_t *value = json_incref(json_object_get(root, "post_processor"));

	json_decref(root);
	return value;
}

char *
tokenizer_json_write(Arena *arena, const TokenizerSettings *settings, Status *status)
{
	static const char ends[] = "}}}"; /* of the vocabulary, the model and all */
	TextBuffer buffer = {.arena = arena};
	json_t *root;
	json_t *own;
	char *text;
	bool complete = true;

	if (tokenizer_settings_composed(settings))
		return write_composed(arena, settings, status);
	own = own_post_processor(settings);
	json_build(arena);
	root = json_object();
	json_put(root, "version", json_string("1.0"), &complete);
	json_put(root, "truncation", json_null(), &complete);
	json_put(root, "padding", json_null(), &complete);
	json_put(root, "added_tokens", added_value(arena, settings, &complete), &complete);
	json_put(root, "normalizer", bert_normalizer(settings), &complete);
	json_put(root, "pre_tokenizer", json_pack("{s:s}", "type", "BertPreTokenizer"), &complete);
	json_put(root, "post_processor", own != NULL ? own : post_processor_value(settings, &complete),
			 &complete);
	json_put(root, "decoder",
			 json_pack("{s:s, s:s, s:b}", "type", "WordPiece", "prefix",
					   settings->continuing_subword_prefix, "cleanup", 1),
			 &complete);
	json_put(root, "model", model_value(settings, &complete), &complete);
	text = json_write(arena, root, JSON_COMPACT, complete, "tokenizer.json", status);
	json_decref(own);
	if (text == NULL)
		return NULL;
	text_append(&buffer, text, strlen(text) - strlen(ends));
	if (!append_vocab(&buffer, settings, status))
		return NULL;
	text_append(&buffer, ends, strlen(ends));
	if (!buffer.failed)
		return buffer.text;
	arena_fail(arena, status, "tokenizer.json", buffer.length);
	return NULL;
}
