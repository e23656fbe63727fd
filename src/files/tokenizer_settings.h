/*
 * tokenizer_settings.h: everything but the vocabulary that decides what a Bert tokenizer does, read
 * from tokenizer.json, tokenizer_config.json, special_tokens_map.json, added_tokens.json and
 * sentence_bert_config.json, whichever are there, over the reference's defaults.
 */
#ifndef BERT_FILES_TOKENIZER_SETTINGS_H
#define BERT_FILES_TOKENIZER_SETTINGS_H

#include "files/source.h"

typedef struct AddedToken
{
	const char *content; /* UTF-8 */
	int32_t id;          /* -1: look it up in the vocabulary, or append */
	bool special;        /* dropped by decode's skip_special_tokens */
	bool single_word;
	bool lstrip;
	bool rstrip;
	bool normalized; /* matched after normalisation */
} AddedToken;

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
	size_t n_added;
	AddedToken *added; /* the five special tokens included */
	/* vocab.txt form: one token a line, id = line; also when read from tokenizer.json */
	const char *vocab;
	size_t vocab_length;
} TokenizerSettings;

/* BertTokenizer's defaults, vocabulary unset. */
bool tokenizer_settings_default(Arena *arena, TokenizerSettings *settings, Status *status);

/*
 * From a model source: vocab.txt or tokenizer.json's model.vocab; an error when neither is there.
 */
bool tokenizer_settings_read(Arena *arena, ModelSource *source, TokenizerSettings *settings,
							 Status *status);

/*
 * tokenizer_config.json for the export; the store also keeps this text, so parse(write(s)) = s,
 * vocabulary apart.
 */
char *tokenizer_settings_write(Arena *arena, const TokenizerSettings *settings, Status *status);
bool tokenizer_settings_parse(Arena *arena, const char *json, size_t length,
							  TokenizerSettings *settings, Status *status);

/* special_tokens_map.json for the export. */
char *tokenizer_settings_write_special(Arena *arena, const TokenizerSettings *settings,
									   Status *status);

#endif
