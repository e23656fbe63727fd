/* vocabulary.c: tokens by id and ids by token. */
#include "tokenizer/internal.h"

const unsigned char *
vocabulary_text(const Tokenizer *tokenizer, uint32_t offset, uint32_t length)
{
	if (offset > tokenizer->texts_length || length > tokenizer->texts_length - offset)
		return NULL;
	return tokenizer->texts + offset;
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
	return id >= 0 && (uint32_t) id < tokenizer->n_ids && (tokenizer->flags[id] & TOKEN_SPECIAL) != 0;
}

bool
tokenizer_is_continuation(const Tokenizer *tokenizer, int32_t id)
{
	return id >= 0 && (uint32_t) id < tokenizer->n_ids && (tokenizer->flags[id] & TOKEN_CONTINUATION) != 0;
}

const char *
tokenizer_token(const Tokenizer *tokenizer, int32_t id, size_t *length)
{
	uint64_t	begin;
	uint64_t	end;

	if (id < 0 || (uint32_t) id >= tokenizer->n_ids)
		return NULL;
	begin = tokenizer->offsets[id];
	end = tokenizer->offsets[id + 1];
	if (begin >= end || end > tokenizer->texts_length)
		return NULL;			/* an id that nothing has, or damage */
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
		int32_t		id;

		memcpy(key, token, length);
		id = vocabulary_find(tokenizer, key, length, false);
		if (id >= 0)
			return id;
	}
	for (uint32_t i = 0; i < tokenizer->header->n_added; i++)
	{
		const AddedEntry *entry = &tokenizer->added[i];
		const unsigned char *content = vocabulary_text(tokenizer, entry->content, entry->content_length);

		if (content != NULL && entry->content_length == length && memcmp(content, token, length) == 0)
			return (int32_t) entry->id;
	}
	return -1;
}
