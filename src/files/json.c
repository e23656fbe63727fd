/* json.c: bounded parsing and typed access. */
#include "files/json.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "core/bulk.h"
#include "core/checked.h"

/* --- What is refused before it is parsed --- */

#define ASK_BYTES 65536 /* a power of two */

/* What a scan of the text has seen. */
typedef struct Scan
{
	int depth;
	bool in_string;
	size_t string_begin;
	size_t members;
} Scan;

/* One character; *at moves on over what a backslash hides. */
static bool
scan_character(Scan *scan, const char *name, const char *text, size_t *at, Status *status)
{
	char c = text[*at];

	if (scan->in_string)
	{
		if (*at - scan->string_begin > JSON_MAX_STRING + 1)
			return status_fail(status, STATUS_LIMIT,
							   "%s has a text of more than the %zu bytes allowed", name,
							   JSON_MAX_STRING);
		if (c == '\\')
			(*at)++;
		else if (c == '"')
			scan->in_string = false;
		return true;
	}
	if (c == '"')
	{
		scan->in_string = true;
		scan->string_begin = *at;
	}
	else if (c == '}' || c == ']')
		scan->depth--;
	else if (c == ':' && ++scan->members > JSON_MAX_MEMBERS)
		return status_fail(status, STATUS_LIMIT, "%s has more than the %zu members allowed", name,
						   JSON_MAX_MEMBERS);
	else if ((c == '{' || c == '[') && ++scan->depth > JSON_MAX_DEPTH)
		return status_fail(status, STATUS_INVALID_DATA, "%s is nested deeper than %d levels", name,
						   JSON_MAX_DEPTH);
	return true;
}

/*
 * jansson has a depth limit of its own (2048) and recurses; ours is checked first, on the text, so
 * that nothing deep is ever built. It unescapes a text in one go, and hashes all members of an
 * object anew when there are twice as many: both are bounded too.
 */
static bool
scan_text(Arena *arena, const char *name, const char *text, size_t length, Status *status)
{
	Scan scan = {0};
	size_t ask_at = ASK_BYTES;

	for (size_t i = 0; i < length; i++)
	{
		if (!scan_character(&scan, name, text, &i, status))
			return false;
		if (i >= ask_at)
		{
			ask_at += ASK_BYTES;
			if (!arena_may_continue(arena, status))
				return false;
		}
	}
	return true;
}

/*
 * Makes real numbers of integers with 19 digits or more, in place: the last two become "e0", which
 * leaves them huge.
 */
static void
widen_integers(char *text, size_t length)
{
	bool in_string = false;

	for (size_t i = 0; i < length; i++)
	{
		size_t start = i;

		if (text[i] == '"')
			in_string = !in_string;
		else if (text[i] == '\\' && in_string)
			i++;
		if (in_string || text[i] < '0' || text[i] > '9')
			continue;
		while (i + 1 < length && text[i + 1] >= '0' && text[i + 1] <= '9')
			i++;
		if (i - start >= 18 && (start == 0 || strchr(".eE+", text[start - 1]) == NULL) &&
			(i + 1 == length || strchr(".eE", text[i + 1]) == NULL))
		{
			text[i - 1] = 'e';
			text[i] = '0';
		}
	}
}

/* --- Parsing --- */

/*
 * jansson takes its memory here while it parses, from the arena, in pieces: so a document counts
 * against the arena's limit and goes with it, whatever ends the work, without a walk through its
 * values. What the arena refuses comes from malloc, for jansson's scanner does not survive a buffer
 * that cannot grow (2.14), and the parse ends at the next look.
 */
#define PIECE_BYTES ((size_t) 64 * 1024)
#define PIECE_ALIGNMENT ((size_t) 16)

typedef struct Overflow
{
	struct Overflow *older;
	max_align_t bytes[];
} Overflow;

static struct Pool
{
	Arena *arena;
	char *at;
	size_t left;
	Overflow *overflow;
	bool building; /* from json_build to json_write */
	json_malloc_t allocate;
	json_free_t release;
} pool;

static void *
pool_overflow(size_t size)
{
	Overflow *block = malloc(sizeof *block + size);

	if (block == NULL)
		return NULL;
	block->older = pool.overflow;
	pool.overflow = block;
	return block->bytes;
}

static void *
pool_allocate(size_t size)
{
	size_t rounded = size_align(size, PIECE_ALIGNMENT);
	char *bytes;

	if (rounded < size || rounded > PIECE_BYTES / 4)
	{
		bytes = arena_alloc(pool.arena, size);
		return bytes == NULL ? pool_overflow(size) : bytes;
	}
	if (rounded > pool.left)
	{
		bytes = arena_alloc(pool.arena, PIECE_BYTES);
		if (bytes == NULL)
			return pool_overflow(size);
		pool.at = bytes;
		pool.left = PIECE_BYTES;
	}
	bytes = pool.at;
	pool.at += rounded;
	pool.left -= rounded;
	return bytes;
}

static void
pool_release(void *pointer)
{
	(void) pointer;
}

static void
pool_begin(Arena *arena)
{
	memset(&pool, 0, sizeof pool);
	pool.arena = arena;
	json_get_alloc_funcs(&pool.allocate, &pool.release);
	json_set_alloc_funcs(pool_allocate, pool_release);
}

static void
pool_end(void)
{
	json_set_alloc_funcs(pool.allocate, pool.release);
	while (pool.overflow != NULL)
	{
		Overflow *older = pool.overflow->older;

		free(pool.overflow);
		pool.overflow = older;
	}
	pool.building = false;
}

void
json_build(Arena *arena)
{
	pool_begin(arena);
	pool.building = true;
}

typedef struct Reader
{
	const char *text;
	size_t left;
	Status *status;
	bool stopped; /* status says why */
} Reader;

/* For json_load_callback, which asks for a kilobyte at a time. */
static size_t
read_text(void *buffer, size_t size, void *context)
{
	Reader *reader = context;
	size_t n = reader->left < size ? reader->left : size;

	if (pool.overflow != NULL || !arena_may_continue(pool.arena, reader->status))
	{
		reader->stopped = true;
		return (size_t) -1;
	}
	memcpy(buffer, reader->text, n);
	reader->text += n;
	reader->left -= n;
	return n;
}

/* NULL with *error, or with *status and *stopped. */
static json_t *
load(Arena *arena, const char *name, const char *text, size_t length, json_error_t *error,
	 Reader *reader)
{
	json_t *document;
	bool out_of_memory;

	pool_begin(arena);
	reader->text = text;
	reader->left = length;
	reader->stopped = false;
	document = json_load_callback(read_text, reader, JSON_REJECT_DUPLICATES, error);
	out_of_memory = pool.overflow != NULL ||
					(document == NULL && json_error_code(error) == json_error_out_of_memory);
	pool_end();
	if (out_of_memory)
	{
		reader->stopped = true;
		arena_fail(arena, reader->status, name, length);
	}
	return reader->stopped ? NULL : document;
}

/*
 * jansson refuses integers beyond 64 bits; tokenizer_config.json has 1e30 written out where there
 * is no limit.
 */
static json_t *
load_widened(Arena *arena, const char *name, const char *text, size_t length, json_error_t *error,
			 Reader *reader)
{
	char *copy = arena_alloc(arena, length);

	reader->stopped =
		copy == NULL || !bulk_copy(copy, text, length, arena_question(arena), reader->status);
	if (copy == NULL)
		arena_fail(arena, reader->status, name, length);
	if (reader->stopped)
		return NULL;
	widen_integers(copy, length);
	return load(arena, name, copy, length, error, reader);
}

/* Whether the process can have what the arena allows. */
static bool
memory_is_there(size_t length)
{
	/* volatile: or the compiler leaves the pair out */
	void *volatile probe = malloc(length * 8 + 65536);

	free(probe);
	return probe != NULL;
}

static json_t *
open_document(Arena *arena, const char *name, const char *text, size_t length, size_t max_length,
			  Status *status)
{
	json_error_t error;
	Reader reader = {.status = status};
	json_t *document;

	if (length > max_length)
	{
		status_fail(status, STATUS_LIMIT, "%s has %zu bytes, more than the %zu allowed", name,
					length, max_length);
		return NULL;
	}
	if (!scan_text(arena, name, text, length, status))
		return NULL;
	if (!memory_is_there(length))
	{
		status_fail(status, STATUS_OUT_OF_MEMORY, "out of memory: %s has %zu bytes", name, length);
		return NULL;
	}
	document = load(arena, name, text, length, &error, &reader);
	if (document == NULL && !reader.stopped &&
		json_error_code(&error) == json_error_numeric_overflow)
		document = load_widened(arena, name, text, length, &error, &reader);
	if (document == NULL && !reader.stopped)
		status_fail(status, STATUS_INVALID_DATA, "%s is not valid JSON: %s at line %d, column %d",
					name, error.text, error.line, error.column);
	return document;
}

json_t *
json_open_object(Arena *arena, const char *name, const char *text, size_t length, size_t max_length,
				 Status *status)
{
	json_t *document = open_document(arena, name, text, length, max_length, status);

	if (document == NULL || json_is_object(document))
		return document;
	status_fail(status, STATUS_INVALID_DATA, "%s is not a JSON object", name);
	return NULL;
}

json_t *
json_open_array(Arena *arena, const char *name, const char *text, size_t length, size_t max_length,
				Status *status)
{
	json_t *document = open_document(arena, name, text, length, max_length, status);

	if (document == NULL || json_is_array(document))
		return document;
	status_fail(status, STATUS_INVALID_DATA, "%s is not a JSON array", name);
	return NULL;
}

typedef json_t *(*OpenDocument)(Arena *arena, const char *name, const char *text, size_t length,
								size_t max_length, Status *status);

static bool
read_document(Arena *arena, ModelSource *source, const char *name, size_t max_length,
			  OpenDocument open, json_t **out, Status *status)
{
	ByteSource *file;
	bool found;
	char *text;

	*out = NULL;
	if (!source->open(source, name, &file, &found, status))
		return false;
	if (!found)
		return true;
	text = source_read_all(arena, file, max_length, status);
	if (text == NULL)
		return false;
	*out = open(arena, name, text, (size_t) file->size, max_length, status);
	return *out != NULL;
}

bool
json_read_array(Arena *arena, ModelSource *source, const char *name, size_t max_length,
				json_t **out, Status *status)
{
	return read_document(arena, source, name, max_length, json_open_array, out, status);
}

bool
json_read_object(Arena *arena, ModelSource *source, const char *name, size_t max_length,
				 json_t **out, Status *status)
{
	return read_document(arena, source, name, max_length, json_open_object, out, status);
}

/* --- Values --- */

static const json_t *
member(const json_t *object, const char *name)
{
	const json_t *value = json_object_get(object, name);

	return value == NULL || json_is_null(value) ? NULL : value;
}

bool
json_get_int(const json_t *object, const char *name, long long minimum, long long maximum, int *out,
			 Status *status)
{
	const json_t *value = member(object, name);
	long long number;

	if (value == NULL)
		return true;
	if (!json_is_integer(value))
		return status_fail(status, STATUS_INVALID_DATA, "\"%s\" is not an integer", name);
	number = json_integer_value(value);
	if (number < minimum || number > maximum)
		return status_fail(status, STATUS_INVALID_DATA, "\"%s\" is %lld, not between %lld and %lld",
						   name, number, minimum, maximum);
	*out = (int) number;
	return true;
}

bool
json_get_float(const json_t *object, const char *name, double minimum, double maximum, float *out,
			   Status *status)
{
	const json_t *value = member(object, name);
	double number;

	if (value == NULL)
		return true;
	if (!json_is_number(value))
		return status_fail(status, STATUS_INVALID_DATA, "\"%s\" is not a number", name);
	number = json_number_value(value);
	if (!(number >= minimum && number <= maximum))
		return status_fail(status, STATUS_INVALID_DATA, "\"%s\" is %g, not between %g and %g", name,
						   number, minimum, maximum);
	*out = (float) number;
	return true;
}

bool
json_get_bool(const json_t *object, const char *name, bool *out, Status *status)
{
	const json_t *value = member(object, name);

	if (value == NULL)
		return true;
	if (!json_is_boolean(value))
		return status_fail(status, STATUS_INVALID_DATA, "\"%s\" is neither true nor false", name);
	*out = json_is_true(value);
	return true;
}

bool
json_get_string(const json_t *object, const char *name, Arena *arena, const char **out,
				Status *status)
{
	const json_t *value = member(object, name);

	if (value == NULL)
		return true;
	if (!json_is_string(value))
		return status_fail(status, STATUS_INVALID_DATA, "\"%s\" is not a string", name);
	*out = arena_strndup(arena, json_string_value(value), json_string_length(value));
	return *out != NULL || arena_fail(arena, status, name, json_string_length(value));
}

void
json_put(json_t *object, const char *name, json_t *value, bool *complete)
{
	if (json_object_set_new(object, name, value) != 0)
		*complete = false;
}

/* What json_dump_callback has written so far. */
typedef struct Writer
{
	Arena *arena;
	char *text;
	size_t length;
	size_t capacity;
	size_t asked_at;
	const char *name;
	Status *status;
} Writer;

static bool
writer_grow(Writer *writer, size_t needed)
{
	size_t capacity = writer->capacity == 0 ? 4096 : writer->capacity;
	char *text;

	while (capacity < needed)
		if (!size_mul(capacity, 2, &capacity))
			return arena_fail(writer->arena, writer->status, writer->name, needed);
	text = arena_alloc(writer->arena, capacity);
	if (text == NULL)
		return arena_fail(writer->arena, writer->status, writer->name, capacity);
	if (!bulk_copy(text, writer->text, writer->length, arena_question(writer->arena),
				   writer->status))
		return false;
	writer->text = text;
	writer->capacity = capacity;
	return true;
}

static int
write_text(const char *text, size_t size, void *context)
{
	Writer *writer = context;

	if (writer->capacity - writer->length <= size &&
		!writer_grow(writer, writer->length + size + 1))
		return -1;
	memcpy(writer->text + writer->length, text, size);
	writer->length += size;
	if (writer->length - writer->asked_at < ASK_BYTES)
		return 0;
	writer->asked_at = writer->length;
	return arena_may_continue(writer->arena, writer->status) ? 0 : -1;
}

char *
json_write(Arena *arena, json_t *document, size_t flags, bool complete, const char *name,
		   Status *status)
{
	Writer writer = {.arena = arena, .name = name, .status = status};
	bool built = pool.building;
	bool ok;

	status->code = STATUS_NONE;
	ok = complete && pool.overflow == NULL &&
		 json_dump_callback(document, write_text, &writer, flags) == 0;
	if (built)
		pool_end();
	else
		json_decref(document);
	if (ok)
	{
		writer.text[writer.length] = '\0';
		return writer.text;
	}
	if (status->code == STATUS_NONE && arena_may_continue(arena, status))
		status_fail(status, STATUS_OUT_OF_MEMORY,
					"could not write %s: out of memory, or a text in it is not valid UTF-8", name);
	return NULL;
}
