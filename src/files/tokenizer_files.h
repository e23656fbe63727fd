/*
 * tokenizer_files.h: the tokenizer that a published model's files describe, as the reference's
 * AutoTokenizer makes it from them. The rules, which file decides what (docs/models.md has them as
 * a table):
 *
 * 1. The class is tokenizer_config.json's tokenizer_class, else config.json's, else BertTokenizer.
 *    Classes that do something else (BertJapaneseTokenizer, RobertaTokenizer ...) are refused.
 * 2. A Bert class takes the vocabulary from tokenizer.json, without one from vocab.txt, and
 *    everything else from tokenizer_config.json and its own defaults.
 * 3. A class for any tokenizer (PreTrainedTokenizerFast, TokenizersBackend) takes everything from
 *    tokenizer.json, which must be there; do_lower_case and vocab.txt do not count.
 * 4. Added tokens are tokenizer_config.json's added_tokens_decoder; without one, those of
 *    added_tokens.json and, over them, tokenizer.json. special_tokens_map.json counts only without
 *    an added_tokens_decoder, and then before tokenizer_config.json.
 * 5. An added token has the id that the vocabulary gives it, else the next free one.
 */
#ifndef BERT_FILES_TOKENIZER_FILES_H
#define BERT_FILES_TOKENIZER_FILES_H

#include "files/notes.h"
#include "files/source.h"
#include "files/tokenizer_settings.h"

/* What other files than the tokenizer's own say about it. */
typedef struct TokenizerContext
{
	/*
	 * Rows of the word embeddings, 0 if that does not matter: a special token that no file names
	 * and that would have none is left out.
	 */
	int rows;
	bool lowercase_first; /* sentence_bert_config.json's do_lower_case */
	FileNotes *notes;     /* or NULL */
} TokenizerContext;

bool tokenizer_files_read(Arena *arena, ModelSource *source, const TokenizerContext *context,
						  TokenizerSettings *settings, Status *status);

/* The same for a vocabulary alone, in vocab.txt's form. */
bool tokenizer_files_from_vocab(Arena *arena, const char *vocab, size_t length,
								const TokenizerContext *context, TokenizerSettings *settings,
								Status *status);

#endif
