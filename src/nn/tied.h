/*
 * tied.h: tensors that a checkpoint may hold twice: the vocabulary's matrix, which is the word
 * embeddings' where the weights are tied, and its bias, which goes by two names.
 */
#ifndef BERT_NN_TIED_H
#define BERT_NN_TIED_H

#include "files/checkpoint.h"
#include "files/family.h"
#include "files/notes.h"

/*
 * As the reference's tie_weights(), for a head with a vocabulary: of two equal copies one goes
 * from the checkpoint; a matrix of its own unties the weights, whatever config.json says, with a
 * note; one that is there under the decoder's name alone is the word embeddings'. Of two biases
 * that differ decoder.bias counts, with a note about the other. What is compared is read, in
 * pieces between which question is asked.
 */
bool tied_resolve(Arena *arena, Checkpoint *checkpoint, BertConfig *config, FileNotes *notes,
				  const MayContinue *question, Status *status);

#endif
