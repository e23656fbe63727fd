/* json.c: bounded parsing and typed access. */
#include "files/json.h"

#include <stdlib.h>
#include <string.h>

/*
 * jansson has a depth limit of its own (2048) and recurses; ours is checked first, on the text, so
 * that nothing deep is ever built.
 */
static bool
depth_allowed(const char *text, size_t length)
{
	int depth = 0;
	bool in_string = false;

	for (size_t i = 0; i < length; i++)
	{
		char c = text[i];

		if (in_string)
		{
			if (c == '\\')
				i++;
			else if (c == '"')
				in_string = false;
		}
		else if (c == '"')
			in_string = true;
		else if (c == '{' || c == '[')
		{
			if (++depth > JSON_MAX_DEPTH)
				return false;
		}
		else if (c == '}' || c == ']')
			depth--;
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

/*
 * jansson refuses integers beyond 64 bits; tokenizer_config.json has 1e30 written out where there
 * is no limit.
 */
static json_t *
load_widened(const char *text, size_t length, json_error_t *error)
{
	char *copy = malloc(length);
	json_t *document;

	if (copy == NULL)
		return NULL;
	memcpy(copy, text, length);
	widen_integers(copy, length);
	document = json_loadb(copy, length, JSON_REJECT_DUPLICATES, error);
	free(copy);
	return document;
}

/*
 * jansson's scanner does not survive a buffer that cannot grow (2.14). So there must be memory for
 * the buffer and for the objects before it starts; nothing else of this process allocates in
 * between.
 */
static bool
memory_is_there(size_t length)
{
	/* volatile: or the compiler leaves the pair out */
	void *volatile probe = malloc(length * 8 + 65536);

	free(probe);
	return probe != NULL;
}

static json_t *
open_document(const char *name, const char *text, size_t length, size_t max_length, Status *status)
{
	json_error_t error;
	json_t *document;

	if (length > max_length)
	{
		status_fail(status, STATUS_LIMIT, "%s has %zu bytes, more than the %zu allowed", name,
					length, max_length);
		return NULL;
	}
	if (!depth_allowed(text, length))
	{
		status_fail(status, STATUS_INVALID_DATA, "%s is nested deeper than %d levels", name,
					JSON_MAX_DEPTH);
		return NULL;
	}
	if (!memory_is_there(length))
	{
		status_fail(status, STATUS_OUT_OF_MEMORY, "out of memory: %s has %zu bytes", name, length);
		return NULL;
	}
	document = json_loadb(text, length, JSON_REJECT_DUPLICATES, &error);
	if (document == NULL && json_error_code(&error) == json_error_numeric_overflow)
		document = load_widened(text, length, &error);
	if (document == NULL)
	{
		if (json_error_code(&error) == json_error_out_of_memory)
			status_fail(status, STATUS_OUT_OF_MEMORY, "out of memory while %s was parsed", name);
		else
			status_fail(status, STATUS_INVALID_DATA,
						"%s is not valid JSON: %s at line %d, column %d", name, error.text,
						error.line, error.column);
		return NULL;
	}
	return document;
}

json_t *
json_open_object(const char *name, const char *text, size_t length, size_t max_length,
				 Status *status)
{
	json_t *document = open_document(name, text, length, max_length, status);

	if (document == NULL || json_is_object(document))
		return document;
	json_decref(document);
	status_fail(status, STATUS_INVALID_DATA, "%s is not a JSON object", name);
	return NULL;
}

json_t *
json_open_array(const char *name, const char *text, size_t length, size_t max_length,
				Status *status)
{
	json_t *document = open_document(name, text, length, max_length, status);

	if (document == NULL || json_is_array(document))
		return document;
	json_decref(document);
	status_fail(status, STATUS_INVALID_DATA, "%s is not a JSON array", name);
	return NULL;
}

typedef json_t *(*OpenDocument)(const char *name, const char *text, size_t length,
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
	*out = open(name, text, (size_t) file->size, max_length, status);
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

void
json_close(json_t *document)
{
	json_decref(document);
}

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

char *
json_write(Arena *arena, json_t *document, size_t flags, bool complete, const char *name,
		   Status *status)
{
	char *text = complete ? json_dumps(document, flags) : NULL;
	char *copy = text == NULL ? NULL : arena_strdup(arena, text);

	json_decref(document);
	if (text == NULL)
		status_fail(status, STATUS_OUT_OF_MEMORY,
					"could not write %s: out of memory, or a text in it is not valid UTF-8", name);
	else if (copy == NULL)
		arena_fail(arena, status, name, strlen(text));
	free(text);
	return copy;
}
