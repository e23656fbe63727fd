/* sentences.h: where the sentences of a document lie, for next-sentence pairs. */
#ifndef BERT_TRAIN_SENTENCES_H
#define BERT_TRAIN_SENTENCES_H

#include <stdbool.h>
#include <stddef.h>

#include "core/status.h"

/* Bytes from .. to-1 of a text, without white space at the ends. */
typedef struct SentenceBytes
{
	size_t from;
	size_t to;
} SentenceBytes;

/*
 * The first sentence of text (UTF-8) at or after byte sentence->to; *found is false when there is
 * none. False with STATUS_CANCELLED when told to stop. A sentence ends
 *
 * - with its line;
 * - after . ! ? and the quotes and brackets that close it, if white space follows and then no small
 *   ASCII letter;
 * - after the full-width 。！？.
 *
 * Abbreviations are not known: "Mr. Smith" is two sentences.
 */
bool sentence_next(const char *text, size_t length, SentenceBytes *sentence, bool *found,
				   const MayContinue *question, Status *status);

#endif
