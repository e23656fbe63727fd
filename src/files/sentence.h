/*
 * sentence.h: the extra files of a sentence-transformers folder (modules.json and the files of the
 * modules that it names: 1_Pooling/config.json, 2_Normalize, sentence_bert_config.json). A module
 * that we do not know (Dense, LSTM ...) changes the result and is refused.
 */
#ifndef BERT_FILES_SENTENCE_H
#define BERT_FILES_SENTENCE_H

#include "files/config.h"
#include "files/source.h"

typedef struct SentenceSettings
{
	bool present;       /* the folder is a sentence-transformers one */
	Pooling pooling;    /* mean when not present */
	bool normalize;     /* a Normalize module is there */
	int max_seq_length; /* tokens; 0: not stated */
} SentenceSettings;

/* What the folder's other files need to know, and what nobody needs. */
typedef struct SentenceFolder
{
	const char *transformer; /* the folder with config.json, weights and tokenizer: "" for this */
	bool lowercase_first;    /* sentence_bert_config.json's do_lower_case */
	FileNotes *notes;        /* set before the call; or NULL */
} SentenceFolder;

bool sentence_settings_read(Arena *arena, ModelSource *source, SentenceFolder *folder,
							SentenceSettings *settings, Status *status);

/*
 * The longest input in tokens: max_seq_length takes the place of the tokenizer's model_max_length
 * (0: not stated), and the number of positions bounds either.
 */
int sentence_max_length(const SentenceSettings *settings, int model_max_length,
						const BertConfig *config);

#endif
