/* memo.c: what this backend has computed, least recently used out. */
#include "pg/server/compat.h"

#include "lib/ilist.h"
#include "port/pg_bitutils.h"
#include "utils/hsearch.h"
#include "utils/memutils.h"

#include "pg/infer/memo.h"
#include "pg/server/memory.h"
#include "pg/server/settings.h"

typedef struct Entry
{
	MemoKey key; /* first */
	dlist_node node;
	MemoRow row;
} Entry;

static MemoryContext context;
static HTAB *entries;
static dlist_head by_use = DLIST_STATIC_INIT(by_use); /* most recently used first */
static Size used;                                     /* bytes of all entries */

static Size
limit(void)
{
	return Min((Size) guc_result_cache_size * 1024, memory_ceiling());
}

static void make_room(Size wanted);

bool
memo_enabled(void)
{
	if (guc_result_cache_size == 0 && used > 0)
		make_room(1);
	return guc_result_cache_size > 0;
}

/* The key is a hash. */
static uint32
first_bytes(const void *key, Size size)
{
	uint32 hash;

	memcpy(&hash, key, sizeof hash);
	return hash;
}

static bool
make_table(void)
{
	HASHCTL control = {.keysize = sizeof(MemoKey), .entrysize = sizeof(Entry), .hash = first_bytes};

	if (entries != NULL)
		return true;
	if (context == NULL)
		context = AllocSetContextCreate(TopMemoryContext, "bert results", ALLOCSET_DEFAULT_SIZES);
	control.hcxt = context;
	entries = hash_create("bert results", 256, &control, HASH_ELEM | HASH_FUNCTION | HASH_CONTEXT);
	return entries != NULL;
}

/* Up to ALLOC_CHUNK_LIMIT memory comes in powers of two: 1,536 bytes of an embedding take 2,048. */
static Size
entry_size(size_t size)
{
	Size taken = size <= 8192 ? (Size) pg_nextpower2_64(Max(size, 8)) : size;

	return sizeof(Entry) + taken + 64; /* what the allocators and the table add */
}

static void
make_room(Size wanted)
{
	while (used > 0 && used + wanted > limit())
	{
		Entry *entry = dlist_container(Entry, node, dlist_tail_node(&by_use));

		used -= entry_size(entry->row.size);
		dlist_delete(&entry->node);
		pfree(unconstify(void *, entry->row.bytes));
		(void) hash_search(entries, &entry->key, HASH_REMOVE, NULL);
	}
	/* the table itself only grows: give it back with the last of what it held */
	if (entries != NULL && used == 0)
	{
		MemoryContextReset(context);
		entries = NULL;
	}
}

bool
memo_has_room(size_t bytes)
{
	return bytes <= limit() / 4;
}

bool
memo_find(const MemoKey *key, bool asked, MemoRow *row)
{
	Entry *entry = entries == NULL ? NULL : hash_search(entries, key, HASH_FIND, NULL);

	if (entry == NULL)
		return false;
	dlist_move_head(&by_use, &entry->node);
	*row = entry->row;
	if (asked)
		entry->row.ahead = false;
	return true;
}

void
memo_store(const MemoKey *key, const MemoRow *row)
{
	Size size = entry_size(row->size);
	void *bytes;
	Entry *entry;
	bool found;

	make_room(size);
	if (size > limit() || !make_table())
		return;
	bytes = MemoryContextAllocExtended(context, Max(row->size, 1), MCXT_ALLOC_NO_OOM);
	if (bytes == NULL)
		return;
	entry = hash_search(entries, key, HASH_ENTER_NULL, &found);
	if (entry == NULL || found)
	{
		pfree(bytes);
		return;
	}
	if (row->size > 0)
		memcpy(bytes, row->bytes, row->size);
	entry->row = (MemoRow){bytes, row->size, row->truncated, row->ahead};
	dlist_push_head(&by_use, &entry->node);
	used += size;
}
