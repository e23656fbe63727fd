/* number_lists.h: lists of numbers in the lines of golden files. */
#ifndef BERT_TEST_UNIT_NUMBER_LISTS_H
#define BERT_TEST_UNIT_NUMBER_LISTS_H

#include <stdlib.h>
#include <string.h>

/* The numbers of a text, separated by spaces, into out, which has room for them; how many. The text
 * is cut up. */
static inline size_t
read_numbers(char *text, double *out)
{
	char *rest;
	size_t n = 0;

	for (char *item = strtok_r(text, " ", &rest); item != NULL; item = strtok_r(NULL, " ", &rest))
		out[n++] = atof(item);
	return n;
}

#endif
