/* sentences.c: sentences by punctuation, for pre-training; wrong cuts now and then do no harm
 * there. */
#include "train/sentences.h"

#include <string.h>

static bool
is_space(char c)
{
	return c == ' ' || (c >= '\t' && c <= '\r');
}

static bool
is_line_end(char c)
{
	return c >= '\n' && c <= '\r';
}

/* Bytes at text that are one of the marks (each `size` bytes of the list), or 0. */
static size_t
match(const char *text, size_t length, const char *list, size_t size)
{
	if (length < size)
		return 0;
	for (; *list != '\0'; list += size)
		if (memcmp(text, list, size) == 0)
			return size;
	return 0;
}

/* Quotes and brackets that may follow the mark. */
static size_t
closing(const char *text, size_t length)
{
	size_t size = match(text, length, "\"')]", 1);

	if (size == 0)
		size = match(text, length, "»", 2);
	return size > 0 ? size : match(text, length, "”’」", 3);
}

/* The end of a sentence that ends at `at`, or 0. */
static size_t
sentence_end(const char *text, size_t length, size_t at)
{
	size_t full_width = match(text + at, length - at, "。！？", 3);
	size_t next;

	if (full_width > 0)
		return at + full_width;
	if (text[at] != '.' && text[at] != '!' && text[at] != '?')
		return 0;
	for (at++; at < length && (text[at] == '.' || text[at] == '!' || text[at] == '?'); at++)
		;
	for (size_t size; at < length && (size = closing(text + at, length - at)) > 0; at += size)
		;
	for (next = at; next < length && is_space(text[next]); next++)
		;
	return next == length || (next > at && !(text[next] >= 'a' && text[next] <= 'z')) ? at : 0;
}

bool
sentence_next(const char *text, size_t length, size_t at, SentenceBytes *sentence)
{
	while (at < length && is_space(text[at]))
		at++;
	if (at == length)
		return false;
	sentence->from = at;
	for (; at < length && !is_line_end(text[at]); at++)
	{
		size_t end = sentence_end(text, length, at);

		if (end > 0)
		{
			sentence->to = end;
			return true;
		}
	}
	while (is_space(text[at - 1]))
		at--;
	sentence->to = at;
	return true;
}
