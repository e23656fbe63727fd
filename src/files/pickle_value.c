/* pickle_value.c: the values of a pickle, their bounds, and the bytes that they are read from. */
#include "files/pickle.h"

#include <string.h>

#define MAX_OBJECTS ((size_t) 1 << 20)
#define MAX_VALUES ((size_t) 4 << 20)

void
pickle_reader_init(PickleReader *reader, ByteSource *source, uint64_t offset)
{
	reader->source = source;
	reader->at = offset;
	reader->end =
		source->size - offset > PICKLE_MAX_BYTES ? offset + PICKLE_MAX_BYTES : source->size;
	reader->held_at = offset;
	reader->held = 0;
}

/* Fills the buffer from the next byte on; there is at least one. */
static bool
fill(PickleReader *reader, Status *status)
{
	uint64_t left = reader->end - reader->at;

	reader->held_at = reader->at;
	reader->held = 0;
	if (left > sizeof reader->buffer)
		left = sizeof reader->buffer;
	if (!reader->source->read(reader->source, reader->at, reader->buffer, (size_t) left, status))
		return false;
	reader->held = (size_t) left;
	return true;
}

bool
pickle_reader_take(PickleReader *reader, void *out, size_t length, Status *status)
{
	char *to = out;

	if (length > reader->end - reader->at)
		return reader->end < reader->source->size
				   ? status_fail(status, STATUS_LIMIT, "the pickle has more than %zu bytes",
								 PICKLE_MAX_BYTES)
				   : status_fail(status, STATUS_INVALID_DATA, "the pickle is cut off");
	while (length > 0)
	{
		size_t skip = (size_t) (reader->at - reader->held_at);
		size_t n;

		if (skip >= reader->held)
		{
			if (!fill(reader, status))
				return false;
			skip = 0;
		}
		n = reader->held - skip < length ? reader->held - skip : length;
		memcpy(to, reader->buffer + skip, n);
		to += n;
		reader->at += n;
		length -= n;
	}
	return true;
}

void *
pickle_object(PickleMachine *machine, size_t size)
{
	void *object;

	if (machine->n_objects == MAX_OBJECTS)
	{
		status_fail(machine->status, STATUS_LIMIT, "the pickle makes more than %zu objects",
					MAX_OBJECTS);
		return NULL;
	}
	machine->n_objects++;
	object = arena_alloc_zero(machine->arena, size);
	if (object == NULL)
		arena_fail(machine->arena, machine->status, "a pickle's values", size);
	return object;
}

bool
pickle_new(PickleMachine *machine, PickleKind kind, PickleValue *out)
{
	PickleSequence *items = pickle_object(machine, sizeof *items);

	*out = (PickleValue){.kind = kind, .as.items = items};
	return items != NULL;
}

static bool
grow(PickleMachine *machine, PickleSequence *items, size_t needed)
{
	size_t capacity = items->capacity * 2 > needed ? items->capacity * 2 : needed;
	PickleValue *values = arena_alloc_array(machine->arena, capacity, sizeof *values);

	if (values == NULL)
		return arena_fail(machine->arena, machine->status, "a pickle's values",
						  capacity * sizeof *values);
	if (items->n > 0)
		memcpy(values, items->values, items->n * sizeof *values);
	items->values = values;
	items->capacity = capacity;
	return true;
}

bool
pickle_append(PickleMachine *machine, PickleSequence *items, const PickleValue *values,
			  size_t count)
{
	if (count > MAX_VALUES - machine->n_values)
		return status_fail(machine->status, STATUS_LIMIT, "the pickle holds more than %zu values",
						   MAX_VALUES);
	machine->n_values += count;
	if (count > items->capacity - items->n && !grow(machine, items, items->n + count))
		return false;
	if (count > 0)
		memcpy(items->values + items->n, values, count * sizeof *values);
	items->n += count;
	return true;
}

bool
pickle_is_text(const PickleValue *value, const char *text)
{
	return value->kind == PICKLE_TEXT && value->as.string->length == strlen(text) &&
		   memcmp(value->as.string->bytes, text, value->as.string->length) == 0;
}

const char *
pickle_kind_name(PickleKind kind)
{
	static const char *const names[] = {
		"None",   "a truth value", "an integer", "a large integer", "a number",
		"a text", "bytes",         "a tuple",    "a list",          "a dictionary",
		"a name", "an object",     "a mark"};

	return names[kind];
}
