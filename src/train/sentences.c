/* sentences.c: sentences by punctuation, for pre-training; wrong cuts now and then do no harm
 * there. */
#include "train/sentences.h"

#include <string.h>

#include "core/bulk.h"

#define ASK_BYTES 65536 /* bytes looked at between two questions, a power of two */

/* A text on the way, and whether to go on. */
typedef struct Scan
{
	const char *text;
	size_t length;
	const MayContinue *question;
	Status *status;
	bool stopped;
} Scan;

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

/* At byte `at`: there is one, and nobody has said stop. */
static inline bool
goes_on(Scan *scan, size_t at)
{
	if (bulk_turn(at, ASK_BYTES) && !may_continue(scan->question, scan->status))
		scan->stopped = true;
	return at < scan->length && !scan->stopped;
}

/*
 * The end of a sentence that ends at `at`, or 0. *seen: the last mark that was looked at; where one
 * of several in a row ends no sentence, none of them does.
 */
static size_t
sentence_end(Scan *scan, size_t at, size_t *seen)
{
	const char *text = scan->text;
	size_t length = scan->length;
	size_t full_width = match(text + at, length - at, "。！？", 3);
	size_t next;

	*seen = at;
	if (full_width > 0)
		return at + full_width;
	if (text[at] != '.' && text[at] != '!' && text[at] != '?')
		return 0;
	for (at++; goes_on(scan, at) && (text[at] == '.' || text[at] == '!' || text[at] == '?'); at++)
		;
	*seen = at - 1;
	for (size_t size; goes_on(scan, at) && (size = closing(text + at, length - at)) > 0; at += size)
		;
	for (next = at; goes_on(scan, next) && is_space(text[next]); next++)
		;
	return next == length || (next > at && !(text[next] >= 'a' && text[next] <= 'z')) ? at : 0;
}

bool
sentence_next(const char *text, size_t length, SentenceBytes *sentence, bool *found,
			  const MayContinue *question, Status *status)
{
	Scan scan = {text, length, question, status, false};
	size_t at = sentence->to;
	size_t end = 0;

	while (goes_on(&scan, at) && is_space(text[at]))
		at++;
	*found = at < length;
	if (at == length || scan.stopped)
		return !scan.stopped;
	sentence->from = at;
	for (; goes_on(&scan, at) && !is_line_end(text[at]); at++)
		if ((end = sentence_end(&scan, at, &at)) > 0)
			break;
	if (end == 0)
		for (end = at; end > sentence->from && is_space(text[end - 1]); end--)
			if (bulk_turn(end, ASK_BYTES) && !may_continue(question, status))
				return false;
	sentence->to = end;
	return !scan.stopped;
}
