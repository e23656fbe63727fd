/*
 * tokenizer_json.h: tokenizer.json, the `tokenizers` library's own format, as far as it describes a
 * Bert tokenizer.
 */
#ifndef BERT_FILES_TOKENIZER_JSON_H
#define BERT_FILES_TOKENIZER_JSON_H

#include "files/notes.h"
#include "files/pieces.h"
#include "files/pipeline.h"
#include "files/tokenizer_settings.h"

/* What the file says by itself. Strings are in the arena. */
typedef struct TokenizerJson
{
	bool clean_text;
	bool handle_chinese_chars;
	bool lowercase;
	bool strip_accents;
	bool has_template;      /* [CLS] A [SEP] */
	bool has_pre_tokenizer; /* BertPreTokenizer */
	bool one_type;          /* its second text has the token type 0 too */
	bool truncates_left;    /* "truncation" keeps the end of a text */
	const char *cls_token;  /* of the template; NULL where the file has none */
	const char *sep_token;
	int32_t cls_id; /* that the template puts; -1: not said */
	int32_t sep_id;
	const char *unk_token; /* of the model */
	const char *continuing_subword_prefix;
	int max_input_chars_per_word;
	size_t n_added;
	AddedToken *added; /* (n_added), in the file's order */
	char *vocab;       /* in the form of vocab_text.h; an id that no token has is an empty line */
	size_t vocab_length;
	int32_t n_tokens; /* that the vocabulary's object has */
	/* The model is Unigram or BPE: only what follows counts, the added tokens and truncates_left */
	TokenizerKind kind;
	Pieces pieces;       /* instead of vocab */
	bool needs_stages;   /* WordPiece with another template than BERT's */
	PipelineParts parts; /* of the document, which must stay open */
} TokenizerJson;

/*
 * Stages that a Bert tokenizer does not have are STATUS_UNSUPPORTED. A vocabulary's line breaks and
 * white space at a token's end make it one that no text gives: its id stays, empty.
 */
bool tokenizer_json_parse(const struct json_t *root, Arena *arena, TokenizerJson *out,
						  FileNotes *notes, Status *status);

/*
 * The file for the export, so that the reference's class for any tokenizer reads the same from it.
 */
char *tokenizer_json_write(Arena *arena, const TokenizerSettings *settings, Status *status);

/* The character map of the first Precompiled normalizer in an object; *out stays NULL without. */
bool tokenizer_json_charsmap(const struct json_t *normalizer, Arena *arena, unsigned char **out,
							 size_t *length, Status *status);

#endif
