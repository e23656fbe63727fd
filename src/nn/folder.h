/*
 * folder.h: a model folder, or the same files from elsewhere, opened and checked as a whole: what
 * import, tests and fuzz targets share. Everything is allocated in the arena; the weights stay in
 * the source, which must outlive the folder, until load_block reads them (and only then are their
 * values checked).
 */
#ifndef BERT_NN_FOLDER_H
#define BERT_NN_FOLDER_H

#include "files/sentence.h"
#include "files/tokenizer_settings.h"
#include "nn/loader.h"

typedef struct ModelFolder
{
	BertConfig config; /* use_pooler and tie_word_embeddings set by what the checkpoint has */
	TokenizerSettings tokenizer;
	unsigned char *tokenizer_image; /* compiled from the settings */
	size_t tokenizer_image_length;
	SentenceSettings sentence;
	Checkpoint checkpoint;
	HeadKind head;
	TensorTable table;
	LoadPlan plan; /* refers to checkpoint and table: do not copy the struct */
} ModelFolder;

/* What the caller says beside the files. */
typedef struct FolderChoice
{
	const HeadKind *head; /* NULL: the one that the checkpoint and the config say */
	const char *sentence; /* sentence settings as JSON (settings_change.h); NULL: the files' own */
} FolderChoice;

bool modelfolder_open(Arena *arena, ModelSource *source, const FolderChoice *choice,
					  ModelFolder *folder, const MayContinue *question, Status *status);

/*
 * Adds the tensors of the folder's Dense modules to the model's, under the names of the table. A
 * module without a folder of its own has its tensors there already.
 */
bool dense_modules_open(Arena *arena, ModelSource *source, const SentenceFolder *sentence,
						Checkpoint *checkpoint, Status *status);

/*
 * Only the tokenizer's part, for a folder whose config and tokenizer settings come from elsewhere.
 */
bool modelfolder_compile_tokenizer(Arena *arena, ModelFolder *folder, Status *status);

#endif
