/* safetensors.c: the safetensors format: header, reading and writing. */
#include "files/safetensors.h"

#include <stdlib.h>
#include <string.h>

#include "core/checked.h"
#include "files/json.h"

#define MAX_HEADER_BYTES ((size_t) 16 * 1024 * 1024) /* of text; 65,536 tensors need less */
#define LENGTH_BYTES 8

static bool
parse_shape(const json_t *entry, CheckpointTensor *tensor, Status *status)
{
	const json_t *shape = json_object_get(entry, "shape");

	if (!json_is_array(shape) || json_array_size(shape) > CHECKPOINT_MAX_RANK)
		return status_fail(status, STATUS_INVALID_DATA,
						   "tensor \"%.100s\" has no shape of at most %d dimensions", tensor->name,
						   CHECKPOINT_MAX_RANK);
	tensor->rank = (int) json_array_size(shape);
	tensor->elements = 1;
	for (int i = 0; i < tensor->rank; i++)
	{
		const json_t *size = json_array_get(shape, (size_t) i);

		if (!json_is_integer(size) || json_integer_value(size) < 0)
			return status_fail(status, STATUS_INVALID_DATA,
							   "tensor \"%.100s\" has a dimension that is not a size",
							   tensor->name);
		tensor->shape[i] = json_integer_value(size);
		if (__builtin_mul_overflow(tensor->elements, (uint64_t) tensor->shape[i],
								   &tensor->elements))
			return status_fail(status, STATUS_INVALID_DATA,
							   "tensor \"%.100s\" has more elements than 64 bits can count",
							   tensor->name);
	}
	return true;
}

static bool
parse_dtype(const json_t *entry, CheckpointTensor *tensor, size_t *element_bytes, Status *status)
{
	const json_t *dtype = json_object_get(entry, "dtype");
	const DtypeInfo *info;

	if (!json_is_string(dtype))
		return status_fail(status, STATUS_INVALID_DATA, "tensor \"%.100s\" has no dtype",
						   tensor->name);
	info = dtype_find(json_string_value(dtype));
	if (info == NULL)
		return status_fail(status, STATUS_INVALID_DATA,
						   "tensor \"%.100s\" has the unknown dtype \"%.40s\"", tensor->name,
						   json_string_value(dtype));
	tensor->dtype = info->dtype;
	tensor->dtype_name = info->name;
	*element_bytes = info->bytes;
	return true;
}

/* data_start: where the file's header ends; the rest is data. */
static bool
parse_tensor(const char *name, const json_t *entry, ByteSource *file, uint64_t data_start,
			 Arena *arena, CheckpointTensor *tensor, Status *status)
{
	const json_t *offsets;
	json_int_t begin;
	json_int_t end;
	size_t element_bytes = 0;
	uint64_t bytes;

	memset(tensor, 0, sizeof *tensor);
	if (strlen(name) > CHECKPOINT_MAX_NAME || name[0] == '\0')
		return status_fail(status, STATUS_INVALID_DATA,
						   "a tensor's name has %zu bytes, not 1 to %d", strlen(name),
						   CHECKPOINT_MAX_NAME);
	tensor->name = arena_strdup(arena, name);
	if (tensor->name == NULL)
		return arena_fail(arena, status, "a tensor's name", strlen(name));
	if (!json_is_object(entry))
		return status_fail(status, STATUS_INVALID_DATA,
						   "tensor \"%.100s\" is not described by an object", name);
	if (json_object_size(entry) != 3)
		return status_fail(status, STATUS_INVALID_DATA,
						   "tensor \"%.100s\" does not have exactly dtype, shape and data_offsets",
						   name);
	if (!parse_dtype(entry, tensor, &element_bytes, status) || !parse_shape(entry, tensor, status))
		return false;
	offsets = json_object_get(entry, "data_offsets");
	if (!json_is_array(offsets) || json_array_size(offsets) != 2 ||
		!json_is_integer(json_array_get(offsets, 0)) ||
		!json_is_integer(json_array_get(offsets, 1)))
		return status_fail(status, STATUS_INVALID_DATA, "tensor \"%.100s\" has no two data_offsets",
						   name);
	begin = json_integer_value(json_array_get(offsets, 0));
	end = json_integer_value(json_array_get(offsets, 1));
	if (begin < 0 || end < begin || (uint64_t) end > file->size - data_start)
		return status_fail(status, STATUS_INVALID_DATA,
						   "tensor \"%.100s\" lies outside the file's data", name);
	if (__builtin_mul_overflow(tensor->elements, (uint64_t) element_bytes, &bytes) ||
		bytes != (uint64_t) (end - begin))
		return status_fail(
			status, STATUS_INVALID_DATA,
			"tensor \"%.100s\" has %lld bytes, which its shape and dtype do not give", name,
			(long long) (end - begin));
	tensor->source = file;
	tensor->offset = data_start + (uint64_t) begin;
	tensor->bytes = bytes;
	return true;
}

static int
compare_offset(const void *a, const void *b)
{
	const CheckpointTensor *left = a;
	const CheckpointTensor *right = b;

	if (left->offset != right->offset)
		return left->offset < right->offset ? -1 : 1;
	return (left->bytes > right->bytes) - (left->bytes < right->bytes);
}

/* The ranges must follow each other from the first byte to the last. */
static bool
check_coverage(CheckpointTensor *tensors, size_t count, uint64_t data_start, uint64_t data,
			   Status *status)
{
	uint64_t at = data_start;

	qsort(tensors, count, sizeof *tensors, compare_offset);
	for (size_t i = 0; i < count; i++)
	{
		if (tensors[i].offset != at)
			return status_fail(status, STATUS_INVALID_DATA, "tensor \"%.100s\" %s", tensors[i].name,
							   tensors[i].offset < at ? "overlaps another"
													  : "follows a hole in the data");
		at += tensors[i].bytes;
	}
	if (at != data_start + data)
		return status_fail(status, STATUS_INVALID_DATA,
						   "%llu bytes of the data belong to no tensor",
						   (unsigned long long) (data_start + data - at));
	return true;
}

static bool
parse_header(json_t *root, ByteSource *file, uint64_t data_start, Arena *arena,
			 CheckpointTensor **out, size_t *count, Status *status)
{
	size_t n = json_object_size(root);
	const char *name;
	json_t *entry;

	*count = 0;
	if (n > CHECKPOINT_MAX_TENSORS)
		return status_fail(status, STATUS_LIMIT, "the header names %zu tensors, more than %d", n,
						   CHECKPOINT_MAX_TENSORS);
	*out = arena_alloc_array(arena, n, sizeof **out);
	if (*out == NULL)
		return arena_fail(arena, status, "the table of tensors", n * sizeof **out);
	json_object_foreach(root, name, entry)
	{
		if (strcmp(name, "__metadata__") == 0)
		{
			const char *key;
			json_t *value;

			if (!json_is_object(entry))
				return status_fail(status, STATUS_INVALID_DATA, "__metadata__ is not an object");
			json_object_foreach(entry, key, value)
			{
				if (!json_is_string(value))
					return status_fail(status, STATUS_INVALID_DATA,
									   "__metadata__ entry \"%.60s\" is not a string", key);
			}
			continue;
		}
		if (!parse_tensor(name, entry, file, data_start, arena, &(*out)[*count], status))
			return false;
		(*count)++;
	}
	return check_coverage(*out, *count, data_start, file->size - data_start, status);
}

static uint64_t
header_length(const unsigned char start[LENGTH_BYTES])
{
	uint64_t length = 0;

	for (int i = LENGTH_BYTES - 1; i >= 0; i--)
		length = length << 8 | start[i];
	return length;
}

bool
safetensors_recognize(const unsigned char start[SAFETENSORS_START], uint64_t size)
{
	return size > LENGTH_BYTES && header_length(start) <= size - LENGTH_BYTES &&
		   start[LENGTH_BYTES] == '{';
}

bool
safetensors_open(Arena *arena, ByteSource *file, Checkpoint *part, Status *status)
{
	unsigned char start[LENGTH_BYTES];
	uint64_t length;
	char *text;
	json_t *root;

	if (file->size < LENGTH_BYTES)
		return status_fail(status, STATUS_INVALID_DATA, "the file has only %llu bytes",
						   (unsigned long long) file->size);
	if (!file->read(file, 0, start, LENGTH_BYTES, status))
		return false;
	length = header_length(start);
	if (length > file->size - LENGTH_BYTES || length > MAX_HEADER_BYTES || length < 2)
		return status_fail(status,
						   length > MAX_HEADER_BYTES && length <= file->size - LENGTH_BYTES
							   ? STATUS_LIMIT
							   : STATUS_INVALID_DATA,
						   "the header's length is %llu bytes in a file of %llu",
						   (unsigned long long) length, (unsigned long long) file->size);
	text = arena_alloc(arena, (size_t) length);
	if (text == NULL)
		return arena_fail(arena, status, "the header", (size_t) length);
	if (!source_read(file, LENGTH_BYTES, text, (size_t) length, arena_question(arena), status))
		return false;
	if (text[0] != '{')
		return status_fail(status, STATUS_INVALID_DATA, "the header does not begin with \"{\"");
	root = json_open_object(arena, "the header", text, (size_t) length, MAX_HEADER_BYTES, status);
	return root != NULL && parse_header(root, file, LENGTH_BYTES + length, arena, &part->tensors,
										&part->n_tensors, status);
}

static json_t *
declaration_value(const CheckpointDeclaration *tensor, uint64_t begin, uint64_t end)
{
	json_t *shape = json_array();
	for (int i = 0; i < tensor->rank; i++)
		if (json_array_append_new(shape, json_integer(tensor->shape[i])) != 0)
		{
			json_decref(shape);
			return NULL;
		}
	return json_pack("{s:s, s:o, s:[I, I]}", "dtype", dtype_info(tensor->dtype)->name, "shape",
					 shape, "data_offsets", (json_int_t) begin, (json_int_t) end);
}

bool
safetensors_write_header(Arena *arena, const CheckpointDeclaration *tensors, size_t count,
						 const CheckpointWriter *writer, Status *status)
{
	json_t *root = json_object();
	bool complete = true;
	uint64_t at = 0;
	unsigned char length_bytes[LENGTH_BYTES];
	const char *text;
	size_t length;
	bool ok;

	json_put(root, "__metadata__", json_pack("{s:s}", "format", "pt"), &complete);
	for (size_t i = 0; i < count; i++)
	{
		uint64_t bytes = dtype_info(tensors[i].dtype)->bytes;

		for (int d = 0; d < tensors[i].rank; d++)
			bytes *= (uint64_t) tensors[i].shape[d];
		json_put(root, tensors[i].name, declaration_value(&tensors[i], at, at + bytes), &complete);
		at += bytes;
	}
	text = json_write(arena, root, JSON_COMPACT, complete, "the header of the weights", status);
	if (text == NULL)
		return false;
	length = size_align(strlen(text), 8);
	for (int i = 0; i < LENGTH_BYTES; i++)
		length_bytes[i] = (unsigned char) ((uint64_t) length >> (8 * i));
	ok = writer->write(writer->context, length_bytes, LENGTH_BYTES, status) &&
		 writer->write(writer->context, text, strlen(text), status) &&
		 writer->write(writer->context, "        ", length - strlen(text), status);
	return ok;
}
