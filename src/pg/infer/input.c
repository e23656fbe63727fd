/* input.c: texts in and out. */
#include "pg/server/compat.h"

#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "utils/builtins.h"

#include "core/bulk.h"
#include "pg/infer/input.h"
#include "pg/server/encoding.h"
#include "pg/server/errors.h"
#include "pg/server/memory.h"

void
input_text(const text *value, InputText *input)
{
	int encoding = GetDatabaseEncoding();

	input->bytes = VARDATA_ANY(value);
	input->n_bytes = VARSIZE_ANY_EXHDR(value);
	input->utf8 = input->bytes;
	input->length = input->n_bytes;
	input->characters = NULL;
	input->same = encoding != PG_SQL_ASCII && encoding != PG_EUC_JIS_2004;
	input->seen_characters = input->seen_bytes = 0;
	if (encoding == PG_UTF8 || input->n_bytes == 0)
		return;
	input->utf8 = encoding_to_utf8(input->bytes, input->n_bytes, &input->length);
}

static size_t
code_points(const char *utf8, size_t length)
{
	size_t count = 0;

	for (size_t i = 0; i < length; i++)
	{
		count += ((unsigned char) utf8[i] & 0xC0) != 0x80;
		if (bulk_turn(i, 64 * ASK_ELEMENTS))
			CHECK_FOR_INTERRUPTS();
	}
	return count;
}

/*
 * For the encodings where a character is not a code point: SQL_ASCII counts bytes, EUC_JIS_2004 has
 * characters of two code points.
 */
static void
map_characters(Call *call, InputText *input)
{
	size_t count = code_points(input->utf8, input->length);
	uint32_t *characters = arena_alloc_array(call->arena, count + 1, sizeof(uint32_t));
	size_t at = 0;
	Status status;

	if (characters == NULL)
	{
		arena_fail(call->arena, &status, "character positions", (count + 1) * sizeof(uint32_t));
		report_status(&status);
	}
	if (GetDatabaseEncoding() == PG_SQL_ASCII)
	{
		for (size_t i = 0; i < input->length; i++)
		{
			if (((unsigned char) input->utf8[i] & 0xC0) != 0x80)
				characters[at++] = (uint32_t) i;
			if (bulk_turn(i, 64 * ASK_ELEMENTS))
				CHECK_FOR_INTERRUPTS();
		}
		characters[count] = (uint32_t) input->length;
	}
	else
	{
		uint32_t character = 0;

		for (size_t i = 0; i < input->n_bytes; character++)
		{
			int bytes = pg_mblen(input->bytes + i);
			char *alone = IS_HIGHBIT_SET(input->bytes[i])
							  ? pg_server_to_any(input->bytes + i, bytes, PG_UTF8)
							  : NULL;
			size_t points = alone == NULL ? 1 : code_points(alone, strlen(alone));

			if (bulk_turn(character, ASK_ELEMENTS))
				CHECK_FOR_INTERRUPTS();
			while (points-- > 0 && at < count)
				characters[at++] = character;
			if (alone != NULL)
				pfree(alone);
			i += (size_t) bytes;
		}
		while (at <= count)
			characters[at++] = character;
	}
	input->characters = characters;
}

int32
input_position(Call *call, InputText *input, uint32_t code_point)
{
	if (input->same)
		return (int32) code_point;
	if (input->characters == NULL)
		map_characters(call, input);
	return (int32) input->characters[code_point];
}

/* The byte where a character begins; fast when positions ascend. */
static size_t
byte_of(InputText *input, size_t character)
{
	if (pg_database_encoding_max_length() == 1)
		return character;
	if (character < input->seen_characters)
		input->seen_characters = input->seen_bytes = 0;
	while (input->seen_characters < character && input->seen_bytes < input->n_bytes)
	{
		input->seen_bytes += (size_t) pg_mblen(input->bytes + input->seen_bytes);
		if (bulk_turn(input->seen_characters++, ASK_ELEMENTS))
			CHECK_FOR_INTERRUPTS();
	}
	return Min(input->seen_bytes, input->n_bytes);
}

text *
input_slice(Call *call, InputText *input, uint32_t start, uint32_t end)
{
	size_t first = byte_of(input, (size_t) input_position(call, input, start));
	/* windows overlap: the next slice may begin before this one's end */
	InputText ahead = *input;
	size_t last = byte_of(&ahead, (size_t) input_position(call, input, end));

	return cstring_to_text_with_len(input->bytes + first, (int) (last - first));
}

text *
output_text(const char *utf8, size_t length)
{
	char *converted = pg_any_to_server(utf8, (int) length, PG_UTF8);

	return converted == utf8 ? cstring_to_text_with_len(utf8, (int) length)
							 : cstring_to_text(converted);
}
