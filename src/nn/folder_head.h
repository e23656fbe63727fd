/* folder_head.h: SetFit's classifier, which lies beside a sentence-transformers folder. */
#ifndef BERT_NN_FOLDER_HEAD_H
#define BERT_NN_FOLDER_HEAD_H

#include "nn/folder.h"

/*
 * Reads model_head.pkl and config_setfit.json into the folder's sentence settings, labels and
 * tensors; *found tells whether there is such a classifier. What is no logistic regression of this
 * encoder's embeddings is told as a note, with the reason; a damaged file is an error.
 */
bool folder_head_open(Arena *arena, ModelSource *source, const FolderChoice *choice,
					  ModelFolder *folder, FileNotes *notes, bool *found, Status *status);

#endif
