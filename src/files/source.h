/*
 * source.h: where a model's bytes come from.
 *
 * A ByteSource is a read-only sequence of bytes of known size: an open file, memory, or a large
 * object (the last implemented in src/pg). A ModelSource is a set of named ByteSources: a directory
 * or the arguments of bert.import_model. A directory is opened once, component by component, and
 * its files from its descriptor; no symbolic link is followed anywhere. What is no regular file
 * (O_NONBLOCK: a FIFO does not block) or has a second hard link is refused. A file that becomes
 * shorter while it is read gives STATUS_INVALID_DATA, never a signal: nothing is mapped.
 */
#ifndef BERT_FILES_SOURCE_H
#define BERT_FILES_SOURCE_H

#include <stddef.h>
#include <stdint.h>

#include "core/arena.h"
#include "core/status.h"

typedef struct ByteSource ByteSource;
struct ByteSource
{
	const char *name; /* for messages: the file's or the argument's name */
	uint64_t size;    /* bytes */
	/*
	 * Reads exactly length bytes at offset (the caller stays inside size); false and *status
	 * otherwise.
	 */
	bool (*read)(ByteSource *source, uint64_t offset, void *buffer, size_t length, Status *status);
	const void *memory; /* for memory sources: the bytes */
	int fd;             /* for files: the descriptor, else -1 */
};

/* A source over memory that outlives it. */
void source_from_memory(ByteSource *source, const char *name, const void *bytes, size_t size);

/* Reads as source->read does, in pieces, and asks between them. */
bool source_read(ByteSource *source, uint64_t offset, void *buffer, size_t length,
				 const MayContinue *question, Status *status);

/*
 * The whole source as NUL-terminated bytes in the arena; refuses more than limit bytes
 * (STATUS_LIMIT).
 */
char *source_read_all(Arena *arena, ByteSource *source, size_t limit, Status *status);

/*
 * False, with a hint, for the first n bytes of a pointer of Git LFS, which stands where the file
 * itself was not downloaded. source_read_all looks for it.
 */
bool source_check_pointer(const void *start, size_t n, Status *status);

typedef struct ModelSource ModelSource;
struct ModelSource
{
	const char *name; /* the directory, or "arguments" */
	/*
	 * Opens "config.json", "1_Pooling/config.json", ... ; *found is false, and the result true,
	 * when there is no such entry. Names come from our own code or from an index file: a name with
	 * "..", a leading "/" or a backslash is refused. The source lives until modelsource_close.
	 */
	bool (*open)(ModelSource *source, const char *name, ByteSource **out, bool *found,
				 Status *status);
	void (*close)(ModelSource *source);
};

/* An existing directory. The descriptors it opens are closed by modelsource_close. */
ModelSource *modelsource_open_directory(Arena *arena, const char *path, Status *status);

/*
 * The same for a directory of the installation itself, which only the administrator can write:
 * links are followed, for package managers that install by linking.
 */
ModelSource *modelsource_open_installed(Arena *arena, const char *path, Status *status);

/*
 * A fixed set of sources by name (config.json, vocab.txt, model.safetensors, tokenizer_config.json
 * ...).
 */
ModelSource *modelsource_from_sources(Arena *arena, const char *name, ByteSource *sources,
									  size_t count, Status *status);

/*
 * A folder of another source, by its relative name; "" gives the source itself. Closing it does
 * nothing: its files are closed with the whole source's.
 */
ModelSource *modelsource_subfolder(Arena *arena, ModelSource *source, const char *path,
								   Status *status);

/*
 * Whether a name from a file can be that of a file inside a folder or an archive: relative, without
 * "..", "." or empty components, backslashes or control characters.
 */
bool source_name_allowed(const char *name);

/*
 * close, for sources that need it. Safe to call from a memory-context callback; NULL is allowed.
 */
void modelsource_close(ModelSource *source);

#endif
