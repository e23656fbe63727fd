/* vocabulary.c: tokens by id and ids by token. */
#include "tokenizer/vocabulary.h"

const unsigned char *
vocabulary_text(const Tokenizer *tokenizer, uint32_t offset, uint32_t length)
{
	if (offset > tokenizer->texts_length || length > tokenizer->texts_length - offset)
		return NULL;
	return tokenizer->texts + offset;
}

int32_t
vocabulary_find_long(const Tokenizer *t, const unsigned char *key, size_t n, bool continuation)
{
	uint32_t form = (uint32_t) n | (continuation ? SLOT_CONTINUATION : 0);
	uint64_t hash = hash_long(key, n, form, t->seed);
	uint32_t slot = (uint32_t) (hash >> t->slot_shift);
	size_t skip = continuation ? t->prefix_length : 0;

	for (uint32_t probe = 0; probe < t->max_probe; probe++, slot++)
	{
		VocabularySlot found = t->slots[slot & t->slot_mask];

		if (found.key == hash && found.form == form && found.id < t->n_ids)
		{
			uint64_t begin = t->offsets[found.id];
			uint64_t end = t->offsets[found.id + 1];

			if (end <= t->texts_length && begin + skip + n == end &&
				same_bytes(t->texts + begin + skip, key, n))
				return (int32_t) found.id;
		}
		if (found.id == SLOT_EMPTY)
			return -1;
	}
	return -1;
}

int
tokenizer_vocab_size(const Tokenizer *tokenizer)
{
	return (int) tokenizer->n_ids;
}

int
tokenizer_max_length(const Tokenizer *tokenizer)
{
	return (int) tokenizer->header->max_length;
}

int32_t
tokenizer_cls_id(const Tokenizer *tokenizer)
{
	return tokenizer->header->cls_id;
}

int32_t
tokenizer_sep_id(const Tokenizer *tokenizer)
{
	return tokenizer->header->sep_id;
}

int32_t
tokenizer_pad_id(const Tokenizer *tokenizer)
{
	return tokenizer->header->pad_id;
}

int32_t
tokenizer_unk_id(const Tokenizer *tokenizer)
{
	return tokenizer->unk_id;
}

int32_t
tokenizer_mask_id(const Tokenizer *tokenizer)
{
	return tokenizer->header->mask_id;
}

bool
tokenizer_is_special(const Tokenizer *tokenizer, int32_t id)
{
	return id >= 0 && (uint32_t) id < tokenizer->n_ids &&
		   (tokenizer->flags[id] & TOKEN_SPECIAL) != 0;
}

bool
tokenizer_is_continuation(const Tokenizer *tokenizer, int32_t id)
{
	return id >= 0 && (uint32_t) id < tokenizer->n_ids &&
		   (tokenizer->flags[id] & TOKEN_CONTINUATION) != 0;
}

const char *
tokenizer_token(const Tokenizer *tokenizer, int32_t id, size_t *length)
{
	uint64_t begin;
	uint64_t end;

	if (id < 0 || (uint32_t) id >= tokenizer->n_ids)
		return NULL;
	begin = tokenizer->offsets[id];
	end = tokenizer->offsets[id + 1];
	if (begin >= end || end > tokenizer->texts_length)
		return NULL; /* an id that nothing has, or damage */
	*length = end - begin;
	return (const char *) tokenizer->texts + begin;
}

int32_t
tokenizer_id(const Tokenizer *tokenizer, const char *token, size_t length)
{
	unsigned char key[TOKEN_MAX_BYTES + IMAGE_PADDING] = {0};

	if (length == 0)
		return -1;
	if (length <= tokenizer->max_plain && length <= TOKEN_MAX_BYTES)
	{
		int32_t id;

		memcpy(key, token, length);
		id = vocabulary_find(tokenizer, key, length, false);
		if (id >= 0)
			return id;
	}
	for (uint32_t i = 0; i < tokenizer->header->n_added; i++)
	{
		const AddedEntry *entry = &tokenizer->added[i];
		const unsigned char *content =
			vocabulary_text(tokenizer, entry->content, entry->content_length);

		if (content != NULL && entry->content_length == length &&
			memcmp(content, token, length) == 0)
			return (int32_t) entry->id;
	}
	return -1;
}
