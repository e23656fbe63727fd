/*
 * scores.h: numbers as the reference reads them from tokenizer.json. Its reader rounds twice, once
 * for the digits and once for the power of ten, so that a number of 16 digits or more may be one
 * bit away from the one that is meant; equal paths of a Unigram model are told apart by such bits.
 */
#ifndef BERT_FILES_SCORES_H
#define BERT_FILES_SCORES_H

#define SCORE_TEXT_BYTES 40

/* What the reference makes of the shortest text that means a number. */
double score_as_read(double number);

/* The shortest text that means a number. */
void score_text(double number, char text[SCORE_TEXT_BYTES]);

#endif
