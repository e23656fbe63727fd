/* detoast.c: see detoast.h. */
#include "pg/server/compat.h"

#include "access/detoast.h"
#include "access/toast_compression.h"
#include "access/toast_internals.h"
#include "miscadmin.h"

#include "core/bulk.h"
#include "core/expand.h"
#include "pg/server/detoast.h"
#include "pg/server/errors.h"
#include "pg/server/memory.h"

#define PIECE_BYTES (1024 * 1024)

/* What is stored, as it is stored: `size` bytes, a piece at a time. */
static void
read_stored(const struct varatt_external *pointer, char *to, Size size)
{
	/* for a value that is not compressed PostgreSQL reads any part of what is stored */
	struct varatt_external plain = *pointer;
	union
	{
		varattrib_1b_e external;
		char bytes[TOAST_POINTER_SIZE];
	} reference;

	plain.va_rawsize = (int32) (size + VARHDRSZ);
	plain.va_extinfo = (uint32) size;
	SET_VARTAG_EXTERNAL(reference.bytes, VARTAG_ONDISK);
	memcpy(VARDATA_EXTERNAL(reference.bytes), &plain, sizeof plain);
	for (Size done = 0; done < size;)
	{
		int32 n = (int32) Min(size - done, PIECE_BYTES);
		struct varlena *piece =
			detoast_attr_slice((struct varlena *) reference.bytes, (int32) done, n);

		if (VARSIZE(piece) != (Size) n + VARHDRSZ)
			elog(ERROR, "a stored value has %zu bytes less than it should",
				 (Size) n + VARHDRSZ - VARSIZE(piece));
		memcpy(to + done, VARDATA(piece), (Size) n);
		pfree(piece);
		done += (Size) n;
		CHECK_FOR_INTERRUPTS();
	}
}

static struct varlena *
room_for(Size size)
{
	struct varlena *value = palloc(size);

	memory_prefer_large_pages(value, size);
	return value;
}

static struct varlena *
expand(const struct varatt_external *pointer)
{
	Size stored = VARATT_EXTERNAL_GET_EXTSIZE(*pointer);
	struct varlena *compressed = room_for(stored + VARHDRSZ);
	struct varlena *value;
	Expand expander = VARATT_EXTERNAL_GET_COMPRESS_METHOD(*pointer) == TOAST_LZ4_COMPRESSION_ID
						  ? expand_lz4
						  : expand_pglz;
	Status status;

	read_stored(pointer, VARDATA(compressed), stored);
	value = room_for((Size) pointer->va_rawsize);
	SET_VARSIZE(value, pointer->va_rawsize);
	if (!expander((char *) compressed + VARHDRSZ_COMPRESSED,
				  stored + VARHDRSZ - VARHDRSZ_COMPRESSED, VARDATA(value),
				  (Size) pointer->va_rawsize - VARHDRSZ, &backend_may_continue, &status))
	{
		if (status.code == STATUS_CANCELLED)
			report_status(&status);
		ereport(ERROR, (errcode(ERRCODE_DATA_CORRUPTED),
						errmsg_internal("compressed data of a stored value is damaged")));
	}
	pfree(compressed);
	return value;
}

/* NULL: not one that lies out of line. */
static struct varlena *
read_external(struct varlena *value)
{
	struct varatt_external pointer;
	struct varlena *whole;

	if (!VARATT_IS_EXTERNAL_ONDISK(value))
		return NULL;
	VARATT_EXTERNAL_GET_POINTER(pointer, value);
	if (VARATT_EXTERNAL_IS_COMPRESSED(pointer))
		return expand(&pointer);
	whole = room_for((Size) pointer.va_rawsize);
	SET_VARSIZE(whole, pointer.va_rawsize);
	read_stored(&pointer, VARDATA(whole), (Size) pointer.va_rawsize - VARHDRSZ);
	return whole;
}

struct varlena *
detoast_packed(Datum value)
{
	struct varlena *whole = read_external((struct varlena *) DatumGetPointer(value));

	return whole != NULL ? whole : PG_DETOAST_DATUM_PACKED(value);
}

struct varlena *
detoast(Datum value)
{
	struct varlena *whole = read_external((struct varlena *) DatumGetPointer(value));

	return whole != NULL ? whole : PG_DETOAST_DATUM(value);
}

struct varlena *
detoast_copy(Datum value)
{
	struct varlena *whole = detoast(value);
	struct varlena *copy;
	Status status;

	if (whole != (struct varlena *) DatumGetPointer(value))
		return whole;
	copy = room_for(VARSIZE(whole));
	REPORT_UNLESS(bulk_copy(copy, whole, VARSIZE(whole), &backend_may_continue, &status), &status);
	return copy;
}

bool
detoast_equal(Datum a, Datum b)
{
	struct varlena *whole_a;
	struct varlena *whole_b;
	Size size;
	bool equal = true;

	if (toast_raw_datum_size(a) != toast_raw_datum_size(b))
		return false;
	whole_a = detoast_packed(a);
	whole_b = detoast_packed(b);
	size = VARSIZE_ANY_EXHDR(whole_a);
	for (Size done = 0; equal && done < size; done += PIECE_BYTES)
	{
		equal = memcmp(VARDATA_ANY(whole_a) + done, VARDATA_ANY(whole_b) + done,
					   Min(size - done, PIECE_BYTES)) == 0;
		CHECK_FOR_INTERRUPTS();
	}
	if (whole_a != (struct varlena *) DatumGetPointer(a))
		pfree(whole_a);
	if (whole_b != (struct varlena *) DatumGetPointer(b))
		pfree(whole_b);
	return equal;
}
