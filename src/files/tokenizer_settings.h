/*
 * tokenizer_settings.h: everything that decides what a Bert tokenizer does, and the form in which
 * the store keeps it. tokenizer_files.h reads it from a published model's files.
 */
#ifndef BERT_FILES_TOKENIZER_SETTINGS_H
#define BERT_FILES_TOKENIZER_SETTINGS_H

#include "files/added_tokens.h"

typedef struct TokenizerSettings
{
	bool clean_text;           /* default true */
	bool handle_chinese_chars; /* tokenize_chinese_chars; default true */
	bool lowercase;            /* do_lower_case; default true */
	bool strip_accents;        /* resolved: follows lowercase when the file says null */
	const char *unk_token;
	const char *sep_token;
	const char *pad_token;
	const char *cls_token;
	const char *mask_token;
	const char *continuing_subword_prefix; /* "##" */
	int max_input_chars_per_word;          /* 100 */
	int model_max_length;                  /* tokens; 0: not stated */
	bool one_type; /* the second text of a pair has the token type 0 too, not 1; default false */
	size_t n_added;
	AddedToken *added; /* the five special tokens included, if they are found in texts */
	/*
	 * The stages of a composed tokenizer, as pipeline_write gives them; NULL: BERT's own. If its
	 * model is not WordPiece the vocabulary has the form of pieces.h, and what is said above about
	 * clean_text to max_input_chars_per_word does not count.
	 */
	const char *pipeline;
	/* tokenizer_class and what it takes from tokenizer_config.json, as JSON; NULL: see below */
	const char *class_arguments;
	/* vocab.txt form: one token a line, id = line; also when read from tokenizer.json */
	const char *vocab;
	size_t vocab_length;
} TokenizerSettings;

/* BertTokenizer's defaults, vocabulary unset. */
bool tokenizer_settings_default(Arena *arena, TokenizerSettings *settings, Status *status);

/* The model is not WordPiece: it has pieces, and stages of its own. */
bool tokenizer_settings_composed(const TokenizerSettings *settings);

/*
 * The text that the store keeps: tokenizer_config.json, with the pipeline if there is one.
 * parse(write(s)) = s, vocabulary apart. export: the file itself.
 */
char *tokenizer_settings_write(Arena *arena, const TokenizerSettings *settings, Status *status);
char *tokenizer_settings_export(Arena *arena, const TokenizerSettings *settings, Status *status);
bool tokenizer_settings_parse(Arena *arena, const char *json, size_t length,
							  TokenizerSettings *settings, Status *status);

/* The field of "unk_token", "sep_token", "pad_token", "cls_token" or "mask_token"; else NULL. */
const char **tokenizer_settings_special(TokenizerSettings *settings, const char *key);

/* The id of a token, an added one or one of a vocabulary in the form of vocab.txt; -1: there is
 * none. */
int32_t tokenizer_settings_id(const TokenizerSettings *settings, const char *token);

/* special_tokens_map.json for the export. */
char *tokenizer_settings_write_special(Arena *arena, const TokenizerSettings *settings,
									   Status *status);

#endif
