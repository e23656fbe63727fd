/*
 * cache.h: files of prepared data, mapped read-only and shared by all backends.
 *
 * A file is one page of header, the payload, and zeros up to a whole large page where that is
 * cheap. It is written under a temporary name, read back, synced and renamed, so a file with its
 * proper name is whole; all the same length, header and CRC-32C of the payload are checked when it
 * is mapped (the CRC once for all backends, and again after anything changed the file: see
 * shared.h), and a damaged one is removed and made again. Everything here can be deleted at any
 * time, with the server running.
 *
 * A mapping is counted: cache_open and cache_retain take, cache_release gives back.
 */
#ifndef BERT_PG_MODEL_CACHE_H
#define BERT_PG_MODEL_CACHE_H

#include "core/hash.h"
#include "nodes/pg_list.h"

#define CACHE_NAME_LENGTH 192

/* What a file holds; its name is made of this. */
typedef struct CacheKey
{
	unsigned char content[SHA256_BYTES]; /* the block's hash, or another content address */
	const char *kind;                    /* "layer", "tokenizer" ...; [a-z_]+ */
	const char *precision;               /* "fp32"; "none" where there is none */
	const char *kernel;                  /* "avx2"; "none" */
	uint32 layout;
	uint32 version; /* of the format */
	uint64 rest;    /* hash of all else that the payload depends on */
} CacheKey;

typedef struct CacheFile CacheFile;

/* Fills the payload, size bytes, 64-byte aligned. May raise errors. */
typedef void (*CacheFill)(void *context, void *payload, size_t size);

/* The file if it is there and sound, else NULL. size: what the payload must have, 0 for any. */
extern CacheFile *cache_open(const CacheKey *key, size_t size);

/* The same, made by fill if need be. */
extern CacheFile *cache_get(const CacheKey *key, size_t size, CacheFill fill, void *context);

/*
 * Looks whether the mapped file was cut or written to since (a query of its state, no reading
 * unless it was). When it was, it is made again and takes the place of the old one at the same
 * address: what points into it stays valid.
 */
extern void cache_keep_sound(CacheFile *file, CacheFill fill, void *context);

/* What this backend has made since it began. */
typedef struct CacheMade
{
	size_t bytes;
	double ms;
} CacheMade;

extern CacheMade cache_made;

extern const void *cache_payload(const CacheFile *file, size_t *size);
extern void cache_retain(CacheFile *file);
extern void cache_release(CacheFile *file);

/*
 * Removes the file: its payload proved useless although its checksum is right. The mapping lives on
 * until released.
 */
extern void cache_remove(CacheFile *file);

/* Removes all files of a content address when the transaction commits. */
extern void cache_forget_at_commit(const unsigned char content[SHA256_BYTES]);

/* This transaction adds models: files that it makes go with it if it is rolled back. */
extern void cache_adds_models(void);

/* cache_room.c: names of files that are being written begin so, with the process's number */
#define CACHE_TEMPORARY "tmp."
/* Removes those of processes that are no more. */
extern void cache_remove_leftovers(void);
/*
 * Removes prepared files, oldest first, until so many bytes more fit into bert.max_cache_size;
 * false if they cannot.
 */
extern bool cache_has_room(size_t bytes);
/* The same; 53400 if they cannot. */
extern void cache_make_room(size_t bytes);

/* One file of the directory, for the view bert.cache. */
typedef struct CacheEntry
{
	char file[CACHE_NAME_LENGTH];
	char content[2 * SHA256_BYTES + 1]; /* hexadecimal */
	char kind[32];
	char precision[16];
	char kernel[32];
	int64 size;  /* bytes, all of the file */
	bool mapped; /* by this backend */
} CacheEntry;

extern List *cache_list(void); /* of CacheEntry * */

/* The directory, for messages. */
extern const char *cache_directory(void);

/*
 * Makes it if need be; an error where that is impossible, or where others than the server's user
 * may write to it.
 */
extern void cache_make_directory(void);

#endif
