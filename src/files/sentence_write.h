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
	SentenceFile files[9 + 2 * DENSE_MAX];
} SentenceFiles;

/* What the files say of the model itself. */
typedef struct SentenceEncoder
{
	int hidden_size;
	int n_labels; /* of the classifier, if the settings have one */
	const char *const *labels;
} SentenceEncoder;

/* All but the modules' weights; none when the settings are not present. In the arena. */
bool sentence_files_write(Arena *arena, const SentenceSettings *settings,
						  const SentenceEncoder *encoder, SentenceFiles *files, Status *status);

#endif
