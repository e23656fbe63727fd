/* sentence_write.h: a model's sentence settings as the files of a sentence-transformers folder. */
#ifndef BERT_FILES_SENTENCE_WRITE_H
#define BERT_FILES_SENTENCE_WRITE_H

#include "files/sentence.h"

typedef struct SentenceFile
{
	char path[64];    /* "1_Pooling/config.json"; folders come before what is in them */
	const char *text; /* NULL: a folder */
} SentenceFile;

typedef struct SentenceFiles
{
	int n;
	SentenceFile files[8 + 2 * DENSE_MAX];
} SentenceFiles;

/* All but the modules' weights; none when the settings are not present. In the arena. */
bool sentence_files_write(Arena *arena, const SentenceSettings *settings, int hidden_size,
						  SentenceFiles *files, Status *status);

#endif
