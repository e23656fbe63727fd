/* metrics_text.c: metrics of tagged spans and of answers. */
#include "train/metrics.h"

#include <string.h>
#include <utf8proc.h>

/* A tag's kind (B, I, E, S, O) and the type after the hyphen ("_" when there is none). */
typedef struct Tag
{
	char kind;
	const char *type;
} Tag;

static Tag
parse_tag(const char *text)
{
	Tag tag = {text[0], ""};
	const char *hyphen;

	if (text[0] == '\0')
		return (Tag){'O', "_"};
	hyphen = strchr(text + 1, '-');
	tag.type = hyphen != NULL ? hyphen + 1 : text + 1;
	if (tag.type[0] == '\0')
		tag.type = "_";
	return tag;
}

static bool
one_of(char kind, const char *kinds)
{
	return kind != '\0' && strchr(kinds, kind) != NULL;
}

static bool
ends(Tag before, Tag tag)
{
	if (one_of(before.kind, "ES") || (one_of(before.kind, "BI") && one_of(tag.kind, "BSO")))
		return true;
	return !one_of(before.kind, "O.") && strcmp(before.type, tag.type) != 0;
}

static bool
begins(Tag before, Tag tag)
{
	if (one_of(tag.kind, "BS") || (one_of(before.kind, "ESO") && one_of(tag.kind, "EI")))
		return true;
	return !one_of(tag.kind, "O.") && strcmp(before.type, tag.type) != 0;
}

/* Walks one sequence of tags; at every end it knows the span. */
typedef struct SpanWalk
{
	Tag before;
	size_t begin;
	bool ended; /* a span ended before the current position */
	size_t ended_begin;
	const char *ended_type;
} SpanWalk;

static void
walk(SpanWalk *spans, size_t at, Tag tag)
{
	spans->ended = ends(spans->before, tag);
	if (spans->ended)
	{
		spans->ended_begin = spans->begin;
		spans->ended_type = spans->before.type;
	}
	if (begins(spans->before, tag))
		spans->begin = at;
	spans->before = tag;
}

void
metrics_spans_add(SpanMetrics *metrics, size_t n, const char *const *labels,
				  const char *const *predictions)
{
	static const Tag outside = {'O', "_"};
	SpanWalk labelled = {.before = {'O', ""}};
	SpanWalk predicted = {.before = {'O', ""}};

	for (size_t i = 0; i <= n; i++)
	{
		walk(&labelled, i, i < n ? parse_tag(labels[i]) : outside);
		walk(&predicted, i, i < n ? parse_tag(predictions[i]) : outside);
		metrics->labelled += labelled.ended;
		metrics->predicted += predicted.ended;
		metrics->right += labelled.ended && predicted.ended &&
						  labelled.ended_begin == predicted.ended_begin &&
						  strcmp(labelled.ended_type, predicted.ended_type) == 0;
	}
}

void
metrics_spans_finish(SpanMetrics *metrics)
{
	double right = (double) metrics->right;

	metrics->precision = metrics->predicted == 0 ? 0 : right / (double) metrics->predicted;
	metrics->recall = metrics->labelled == 0 ? 0 : right / (double) metrics->labelled;
	metrics->f1 = right == 0 ? 0
							 : 2 * metrics->precision * metrics->recall /
								   (metrics->precision + metrics->recall);
}

/*
 * An answer as the SQuAD script compares it: lower case, without ASCII punctuation, without a, an,
 * the; its words.
 */
typedef struct Words
{
	size_t n;
	char **words;
	size_t *lengths;
} Words;

static bool
is_space(int32_t c)
{
	utf8proc_category_t category = utf8proc_category(c);

	return (c >= 9 && c <= 13) || (c >= 28 && c <= 32) || c == 0x85 ||
		   category == UTF8PROC_CATEGORY_ZS || category == UTF8PROC_CATEGORY_ZL ||
		   category == UTF8PROC_CATEGORY_ZP;
}

/* A character of \w. */
static bool
is_word(int32_t c)
{
	utf8proc_category_t category = utf8proc_category(c);

	return c == '_' || (category >= UTF8PROC_CATEGORY_LU && category <= UTF8PROC_CATEGORY_LO) ||
		   (category >= UTF8PROC_CATEGORY_ND && category <= UTF8PROC_CATEGORY_NO);
}

static bool
is_punctuation(int32_t c)
{
	return c < 128 && c > 32 && strchr("!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~", (int) c) != NULL;
}

static bool
is_article(const int32_t *word, size_t n)
{
	return (n == 1 && word[0] == 'a') || (n == 2 && word[0] == 'a' && word[1] == 'n') ||
		   (n == 3 && word[0] == 't' && word[1] == 'h' && word[2] == 'e');
}

/* Decodes, lowers and drops punctuation; invalid bytes are taken as they are. */
static size_t
simplify(const char *text, size_t length, int32_t *out)
{
	size_t n = 0;

	for (size_t i = 0; i < length;)
	{
		utf8proc_int32_t c;
		utf8proc_ssize_t bytes = utf8proc_iterate((const utf8proc_uint8_t *) text + i,
												  (utf8proc_ssize_t) (length - i), &c);

		if (bytes <= 0)
		{
			c = (unsigned char) text[i];
			bytes = 1;
		}
		i += (size_t) bytes;
		c = utf8proc_tolower(c);
		if (!is_punctuation(c))
			out[n++] = c;
	}
	return n;
}

static bool
split_words(Arena *arena, const char *text, size_t length, Words *words, Status *status)
{
	int32_t *codes = arena_alloc_array(arena, length + 1, sizeof *codes);
	char *bytes = arena_alloc_array(arena, length + 1, 4);
	size_t n;
	size_t used = 0;

	words->n = 0;
	words->words = arena_alloc_array(arena, length + 1, sizeof *words->words);
	words->lengths = arena_alloc_array(arena, length + 1, sizeof *words->lengths);
	if (codes == NULL || bytes == NULL || words->words == NULL || words->lengths == NULL)
		return arena_fail(arena, status, "an answer",
						  length * (2 * sizeof(int32_t) + 2 * sizeof(size_t)));
	n = simplify(text, length, codes);
	/* articles become spaces */
	for (size_t from = 0, to; from < n; from = to)
	{
		for (to = from; to < n && is_word(codes[to]); to++)
			;
		if (is_article(codes + from, to - from))
			for (size_t i = from; i < to; i++)
				codes[i] = ' ';
		if (to == from)
			to++;
	}
	for (size_t from = 0, to; from < n; from = to)
	{
		for (to = from; to < n && !is_space(codes[to]); to++)
			;
		if (to == from)
		{
			to++;
			continue;
		}
		words->words[words->n] = bytes + used;
		for (size_t i = from; i < to; i++)
			used += (size_t) utf8proc_encode_char(codes[i], (utf8proc_uint8_t *) bytes + used);
		words->lengths[words->n] = (size_t) (bytes + used - words->words[words->n]);
		words->n++;
	}
	return true;
}

static bool
same_word(const Words *a, size_t i, const Words *b, size_t j)
{
	return a->lengths[i] == b->lengths[j] && memcmp(a->words[i], b->words[j], a->lengths[i]) == 0;
}

bool
metrics_answer(Arena *arena, AnswerText label, AnswerText prediction, double *exact, double *f1,
			   Status *status)
{
	Words right;
	Words given;
	bool *used;
	size_t common = 0;
	bool equal;

	if (!split_words(arena, label.bytes, label.length, &right, status) ||
		!split_words(arena, prediction.bytes, prediction.length, &given, status))
		return false;
	used = arena_alloc_array_zero(arena, right.n, sizeof *used);
	if (used == NULL)
		return arena_fail(arena, status, "an answer", right.n);
	equal = right.n == given.n;
	for (size_t i = 0; i < given.n; i++)
	{
		equal = equal && same_word(&given, i, &right, i);
		for (size_t j = 0; j < right.n; j++)
			if (!used[j] && same_word(&given, i, &right, j))
			{
				used[j] = true;
				common++;
				break;
			}
	}
	*exact = equal;
	if (right.n == 0 || given.n == 0)
		*f1 = equal;
	else
		*f1 = common == 0 ? 0 : 2.0 * (double) common / (double) (right.n + given.n);
	return true;
}
