/*
 * sentence.h: the extra files of a sentence-transformers folder (modules.json,
 * 1_Pooling/config.json, 2_Normalize, sentence_bert_config.json). A module that we do not know
 * (Dense, LSTM ...) changes the result and is refused.
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

bool sentence_settings_read(Arena *arena, ModelSource *source, SentenceSettings *settings,
							Status *status);

#endif
