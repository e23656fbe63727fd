/*
 * zip.h: the directory of a ZIP archive whose entries are stored, as torch.save writes them.
 *
 * Everything is checked before a byte of an entry is read: one end record at the very end (ZIP64
 * too), entries that are neither compressed nor encrypted, local headers that say the same as the
 * directory, data that lie before the directory and overlap nowhere, names without "..", and no
 * name twice. Sizes come from the directory, so data descriptors are not needed. Limits: 65,600
 * entries, a directory of 16 MB, names of 512 bytes.
 *
 * Source: APPNOTE.TXT 6.3.10 (PKWARE).
 */
#ifndef BERT_FILES_ZIP_H
#define BERT_FILES_ZIP_H

#include "files/source.h"

typedef struct ZipEntry
{
	const char *name;
	uint64_t header; /* of the local header, in the source */
	uint64_t offset; /* of the data, in the source */
	uint64_t size;   /* bytes */
	uint32_t crc;    /* CRC-32 of the data; 0 when it was not computed */
} ZipEntry;

typedef struct ZipArchive
{
	ByteSource *source;
	size_t n_entries;
	ZipEntry *entries; /* sorted by name (strcmp), without folders */
} ZipArchive;

bool zip_open(Arena *arena, ByteSource *source, ZipArchive *archive, Status *status);

/* NULL if absent */
const ZipEntry *zip_find(const ZipArchive *archive, const char *name);

/* An entry as NUL-terminated bytes, of at most limit (STATUS_LIMIT), with the CRC that it says. */
char *zip_read_all(Arena *arena, const ZipArchive *archive, const ZipEntry *entry, size_t limit,
				   Status *status);

#endif
