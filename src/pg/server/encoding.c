/* encoding.c: conversions between the database's encoding and UTF-8. */
#include "pg/server/compat.h"

#include "catalog/namespace.h"
#include "lib/stringinfo.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"

#include "pg/server/encoding.h"

#define PIECE_BYTES (1024 * 1024)

/* A conversion is done in one go: of a long text piece by piece, each of whole characters. */
static const char *
convert_pieces(const char *text, size_t length, size_t *out_length)
{
	StringInfoData out;

	initStringInfo(&out);
	for (size_t done = 0; done < length;)
	{
		int n = pg_mbcliplen(text + done, (int) (length - done), PIECE_BYTES);
		const char *piece = text + done;
		char *converted = pg_server_to_any(piece, n, PG_UTF8);

		if (converted == piece)
			appendBinaryStringInfo(&out, piece, n);
		else
		{
			appendStringInfoString(&out, converted);
			pfree(converted);
		}
		done += (size_t) n;
		CHECK_FOR_INTERRUPTS();
	}
	*out_length = (size_t) out.len;
	return out.data;
}

const char *
encoding_to_utf8(const char *text, size_t length, size_t *out_length)
{
	int encoding = GetDatabaseEncoding();
	const char *utf8;

	/* with the first two nothing is converted, and the second does not know where characters end */
	if (encoding != PG_UTF8 && encoding != PG_SQL_ASCII && length > PIECE_BYTES)
		return convert_pieces(text, length, out_length);
	utf8 = pg_server_to_any(text, (int) length, PG_UTF8);
	*out_length = utf8 == text ? length : strlen(utf8);
	return utf8;
}

char *
encoding_to_server_lossy(const char *utf8)
{
	int encoding = GetDatabaseEncoding();
	int left = (int) strlen(utf8);
	Oid procedure;
	char *out;
	char *at;

	if (encoding == PG_UTF8 || encoding == PG_SQL_ASCII)
		return pstrdup(utf8);
	procedure = FindDefaultConversionProc(PG_UTF8, encoding);
	out = palloc((Size) left * MAX_CONVERSION_GROWTH + 1);
	for (at = out; left > 0; at += strlen(at))
	{
		int done = 0;

		if (OidIsValid(procedure))
			done = pg_do_encoding_conversion_buf(procedure, PG_UTF8, encoding,
												 (unsigned char *) utf8, left, (unsigned char *) at,
												 left * MAX_CONVERSION_GROWTH + 1, true);
		else
			*at = '\0';
		utf8 += done;
		left -= done;
		if (left > 0)
		{
			int skip = Min(pg_utf_mblen((const unsigned char *) utf8), left);

			strcat(at, "?");
			utf8 += skip;
			left -= skip;
		}
	}
	*at = '\0';
	return out;
}
