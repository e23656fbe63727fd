/* pretokenizer.c: words: split at white space, punctuation stands alone. */
#include "core/bulk.h"
#include "tokenizer/encoder.h"
#include "tokenizer/unicode.h"
#include "tokenizer/vocabulary.h"

/* Where byte i of a key goes, so that the key is what short_key makes of memory. */
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
#define KEY_SHIFT(i) ((i) *8)
#else
#define KEY_SHIFT(i) (56 - (i) *8)
#endif

bool
pretokenizer_grow(TextEncoder *encoder)
{
	size_t larger = encoder->word_capacity * 2;
	unsigned char *word = arena_alloc(encoder->arena, larger + IMAGE_PADDING);
	uint32_t *origins = arena_alloc_array(encoder->arena, larger, sizeof *origins);

	if (word == NULL || origins == NULL)
	{
		encoder->failed = true;
		encoder->wanted = larger * (1 + sizeof *origins);
		return false;
	}
	memset(word + larger, 0, IMAGE_PADDING);
	if (!bulk_copy(word, encoder->word, encoder->word_bytes, encoder->question, encoder->status) ||
		!bulk_copy(origins, encoder->origins, encoder->word_bytes * sizeof *origins,
				   encoder->question, encoder->status))
	{
		encoder->stopped = true;
		return false;
	}
	encoder->word = word;
	encoder->origins = origins;
	encoder->word_capacity = larger;
	return true;
}

void
pretokenizer_flush(TextEncoder *encoder)
{
	if (encoder->word_chars == 0)
		return;
	if (encoder->word_chars > encoder->tokenizer->max_chars)
		wordpiece_unknown(encoder, encoder->first_origin, encoder->last_origin + 1);
	else
		wordpiece_word(encoder, encoder->word, encoder->word_bytes, encoder->origins, 0);
	encoder->word_chars = 0;
	encoder->word_bytes = 0;
}

static void
append(TextEncoder *encoder, uint32_t c, uint32_t origin)
{
	int bytes;

	if (encoder->word_chars == 0)
		encoder->first_origin = origin;
	encoder->last_origin = origin;
	/* What is too long is unknown whatever it is: its text need not be kept. */
	if (++encoder->word_chars > encoder->tokenizer->max_chars)
		return;
	if (encoder->word_capacity - encoder->word_bytes < 4 && !pretokenizer_grow(encoder))
		return;
	bytes = utf8_encode(c, encoder->word + encoder->word_bytes);
	for (int i = 0; i < bytes; i++)
		encoder->origins[encoder->word_bytes++] = origin;
}

void
pretokenizer_push(void *context, uint32_t c, uint8_t bits, uint32_t origin)
{
	TextEncoder *encoder = context;

	if ((bits & (UNICODE_SPACE | UNICODE_PUNCTUATION)) == 0)
		append(encoder, c, origin);
	else
	{
		pretokenizer_flush(encoder);
		if ((bits & UNICODE_PUNCTUATION) != 0)
		{
			append(encoder, c, origin);
			pretokenizer_flush(encoder);
		}
	}
}

size_t
pretokenizer_ascii(TextEncoder *encoder, const unsigned char *text, size_t position,
				   size_t soft_end, size_t end, size_t character)
{
	const Tokenizer *t = encoder->tokenizer;
	const uint8_t *lower = t->ascii_lower;
	unsigned char *word = encoder->word;
	size_t most = t->max_chars < encoder->word_capacity ? t->max_chars : encoder->word_capacity;
	size_t shift = position - character;

	while (position < soft_end && encoder->list.n <= encoder->limit && !encoder->failed &&
		   !encoder->stopped)
	{
		size_t start = position;
		size_t stop = end - start > most ? start + most : end;
		uint64_t key = 0;
		size_t length;
		unsigned char byte;

		/* The first 8 bytes are also collected in a register: the word's key in the vocabulary. */
		while (position < stop && (byte = lower[text[position]]) != 0)
		{
			if (position - start < SLOT_SHORT)
				key |= (uint64_t) byte << KEY_SHIFT(position - start);
			word[position++ - start] = byte;
		}
		length = position - start;
		if (length > 0)
		{
			/* Too long a word, or one that goes on with something else, takes the other way. */
			if (position < end)
			{
				AsciiKind kind = t->ascii_kind[text[position]];

				if (kind == ASCII_OTHER || kind == ASCII_WORD)
					return start;
			}
			if (length <= SLOT_SHORT)
				wordpiece_short(encoder, key, word, length, (uint32_t) (start - shift));
			else
				wordpiece_word(encoder, word, length, NULL, (uint32_t) (start - shift));
		}
		else
		{
			AsciiKind kind = t->ascii_kind[text[position]];

			if (kind == ASCII_SPACE)
				position++;
			else if (kind == ASCII_PUNCTUATION)
			{
				word[0] = text[position];
				wordpiece_short(encoder, (uint64_t) word[0] << KEY_SHIFT(0), word, 1,
								(uint32_t) (position - shift));
				position++;
			}
			else
				return position;
		}
	}
	return position;
}
