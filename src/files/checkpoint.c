/* checkpoint.c: the safetensors format: header, index of shards, reading and writing. */
#include "files/checkpoint.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/bf16.h"
#include "core/checked.h"
#include "files/json.h"

#define MAX_HEADER_BYTES ((size_t) 16 * 1024 * 1024) /* of text; 65,536 tensors need less */
#define MAX_INDEX_BYTES ((size_t) 16 * 1024 * 1024)
#define MAX_TENSORS 65536
#define MAX_NAME_BYTES 512
#define MAX_SHARDS 1024
#define LENGTH_BYTES 8
#define READ_CHUNK 16384 /* elements */

static const struct
{
	const char *name;
	size_t bytes;
	TensorDtype dtype;
} dtypes[] = {
	{"F32", 4, DTYPE_F32},    {"F16", 2, DTYPE_F16},       {"BF16", 2, DTYPE_BF16},
	{"I8", 1, DTYPE_I8},      {"F64", 8, DTYPE_OTHER},     {"I64", 8, DTYPE_OTHER},
	{"I32", 4, DTYPE_OTHER},  {"I16", 2, DTYPE_OTHER},     {"U8", 1, DTYPE_OTHER},
	{"U16", 2, DTYPE_OTHER},  {"U32", 4, DTYPE_OTHER},     {"U64", 8, DTYPE_OTHER},
	{"BOOL", 1, DTYPE_OTHER}, {"F8_E4M3", 1, DTYPE_OTHER}, {"F8_E5M2", 1, DTYPE_OTHER},
};

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

	if (!json_is_string(dtype))
		return status_fail(status, STATUS_INVALID_DATA, "tensor \"%.100s\" has no dtype",
						   tensor->name);
	for (size_t i = 0; i < sizeof dtypes / sizeof dtypes[0]; i++)
		if (strcmp(json_string_value(dtype), dtypes[i].name) == 0)
		{
			tensor->dtype = dtypes[i].dtype;
			tensor->dtype_name = dtypes[i].name;
			*element_bytes = dtypes[i].bytes;
			return true;
		}
	return status_fail(status, STATUS_INVALID_DATA,
					   "tensor \"%.100s\" has the unknown dtype \"%.40s\"", tensor->name,
					   json_string_value(dtype));
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
	if (strlen(name) > MAX_NAME_BYTES || name[0] == '\0')
		return status_fail(status, STATUS_INVALID_DATA,
						   "a tensor's name has %zu bytes, not 1 to %d", strlen(name),
						   MAX_NAME_BYTES);
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

static int
compare_name(const void *a, const void *b)
{
	return strcmp(((const CheckpointTensor *) a)->name, ((const CheckpointTensor *) b)->name);
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
	if (n > MAX_TENSORS)
		return status_fail(status, STATUS_LIMIT, "the header names %zu tensors, more than %d", n,
						   MAX_TENSORS);
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

/* What a file that is no safetensors file often is, for the hint. */
static bool
explain_bad_start(const unsigned char *start, Status *status)
{
	if (memcmp(start, "version ", 8) == 0)
		return status_hint(status, "This looks like a Git LFS pointer: the weights themselves were "
								   "not downloaded (git lfs pull).");
	if (start[0] == 0x80 || memcmp(start, "PK\003\004", 4) == 0)
		return status_hint(status, "This looks like a PyTorch pickle. Save the model with "
								   "safe_serialization=True; pickles are never read.");
	return false;
}

static bool
open_header(Arena *arena, ByteSource *file, CheckpointTensor **tensors, size_t *count,
			Status *status)
{
	unsigned char start[LENGTH_BYTES];
	uint64_t length = 0;
	char *text;
	json_t *root;

	if (file->size < LENGTH_BYTES)
		return status_fail(status, STATUS_INVALID_DATA, "the file has only %llu bytes",
						   (unsigned long long) file->size);
	if (!file->read(file, 0, start, LENGTH_BYTES, status))
		return false;
	for (int i = LENGTH_BYTES - 1; i >= 0; i--)
		length = length << 8 | start[i];
	if (length > file->size - LENGTH_BYTES || length > MAX_HEADER_BYTES || length < 2)
	{
		status_fail(status,
					length > MAX_HEADER_BYTES && length <= file->size - LENGTH_BYTES
						? STATUS_LIMIT
						: STATUS_INVALID_DATA,
					"the header's length is %llu bytes in a file of %llu",
					(unsigned long long) length, (unsigned long long) file->size);
		explain_bad_start(start, status);
		return false;
	}
	text = arena_alloc(arena, (size_t) length);
	if (text == NULL)
		return arena_fail(arena, status, "the header", (size_t) length);
	if (!source_read(file, LENGTH_BYTES, text, (size_t) length, arena_question(arena), status))
		return false;
	if (text[0] != '{')
		return status_fail(status, STATUS_INVALID_DATA, "the header does not begin with \"{\"");
	root = json_open_object(arena, "the header", text, (size_t) length, MAX_HEADER_BYTES, status);
	return root != NULL &&
		   parse_header(root, file, LENGTH_BYTES + length, arena, tensors, count, status);
}

/* The tensors of one file. */
typedef struct Part
{
	CheckpointTensor *tensors;
	size_t count;
} Part;

/* All parts as one table sorted by name; a name that is there twice is an error. */
static bool
join_parts(Arena *arena, const Part *parts, size_t n_parts, Checkpoint *checkpoint, Status *status)
{
	size_t total = 0;
	CheckpointTensor *all;

	for (size_t i = 0; i < n_parts; i++)
		total += parts[i].count;
	if (total > MAX_TENSORS)
		return status_fail(status, STATUS_LIMIT, "the files have %zu tensors, more than %d", total,
						   MAX_TENSORS);
	all = arena_alloc_array(arena, total, sizeof *all);
	if (all == NULL)
		return arena_fail(arena, status, "the table of tensors", total * sizeof *all);
	for (size_t i = 0, at = 0; i < n_parts; at += parts[i++].count)
		if (parts[i].count > 0)
			memcpy(all + at, parts[i].tensors, parts[i].count * sizeof *all);
	qsort(all, total, sizeof *all, compare_name);
	for (size_t i = 1; i < total; i++)
		if (strcmp(all[i - 1].name, all[i].name) == 0)
			return status_fail(status, STATUS_INVALID_DATA, "tensor \"%.100s\" appears twice",
							   all[i].name);
	checkpoint->tensors = all;
	checkpoint->n_tensors = total;
	return true;
}

bool
checkpoint_open_file(Arena *arena, ByteSource *file, Checkpoint *checkpoint, Status *status)
{
	Part part;

	if (open_header(arena, file, &part.tensors, &part.count, status) &&
		join_parts(arena, &part, 1, checkpoint, status))
		return true;
	return status_prefix(status, "%s", file->name);
}

/* The distinct file names of the index's weight_map. */
static bool
shard_names(const json_t *root, Arena *arena, const char **names, size_t *count, Status *status)
{
	json_t *map = json_object_get(root, "weight_map");
	const char *tensor;
	json_t *value;

	*count = 0;
	if (!json_is_object(map) || json_object_size(map) == 0 || json_object_size(map) > MAX_TENSORS)
		return status_fail(status, STATUS_INVALID_DATA,
						   "\"weight_map\" is not an object with 1 to %d tensors", MAX_TENSORS);
	json_object_foreach(map, tensor, value)
	{
		size_t i = 0;

		if (!json_is_string(value))
			return status_fail(status, STATUS_INVALID_DATA,
							   "\"weight_map\" gives no file for tensor \"%.100s\"", tensor);
		while (i < *count && strcmp(names[i], json_string_value(value)) != 0)
			i++;
		if (i < *count)
			continue;
		if (*count == MAX_SHARDS)
			return status_fail(status, STATUS_LIMIT, "\"weight_map\" names more than %d files",
							   MAX_SHARDS);
		names[*count] = arena_strdup(arena, json_string_value(value));
		if (names[*count] == NULL)
			return arena_fail(arena, status, "a file's name", json_string_length(value));
		(*count)++;
	}
	return true;
}

/* Every tensor of the index is in the file that it names. */
static bool
check_index(const json_t *root, const Checkpoint *checkpoint, Status *status)
{
	json_t *map = json_object_get(root, "weight_map");
	const char *name;
	json_t *value;

	json_object_foreach(map, name, value)
	{
		const CheckpointTensor *tensor = checkpoint_find(checkpoint, name);

		if (tensor == NULL || strcmp(tensor->source->name, json_string_value(value)) != 0)
			return status_fail(status, STATUS_INVALID_DATA,
							   "tensor \"%.100s\" is not in \"%.100s\"", name,
							   json_string_value(value));
	}
	return true;
}

static bool
open_shards(Arena *arena, ModelSource *source, const json_t *root, Checkpoint *checkpoint,
			Status *status)
{
	const char **names = arena_alloc_array(arena, MAX_SHARDS, sizeof *names);
	Part *parts = arena_alloc_array_zero(arena, MAX_SHARDS, sizeof *parts);
	size_t count;

	if (names == NULL || parts == NULL)
		return arena_fail(arena, status, "the index", MAX_SHARDS * sizeof *parts);
	if (!shard_names(root, arena, names, &count, status))
		return false;
	for (size_t i = 0; i < count; i++)
	{
		ByteSource *file;
		bool found;

		if (!source->open(source, names[i], &file, &found, status))
			return false;
		if (!found)
			return status_fail(status, STATUS_NOT_FOUND,
							   "file \"%.200s\", which the index names, does not exist", names[i]);
		if (!open_header(arena, file, &parts[i].tensors, &parts[i].count, status))
			return status_prefix(status, "%s", file->name);
	}
	return join_parts(arena, parts, count, checkpoint, status) &&
		   check_index(root, checkpoint, status);
}

bool
checkpoint_open(Arena *arena, ModelSource *source, Checkpoint *checkpoint, Status *status)
{
	static const char *const index_name = "model.safetensors.index.json";
	ByteSource *file;
	bool found;
	char *text;
	json_t *root;

	memset(checkpoint, 0, sizeof *checkpoint);
	if (!source->open(source, "model.safetensors", &file, &found, status))
		return false;
	if (found)
		return checkpoint_open_file(arena, file, checkpoint, status);
	if (!source->open(source, index_name, &file, &found, status))
		return false;
	if (found)
	{
		text = source_read_all(arena, file, MAX_INDEX_BYTES, status);
		if (text == NULL)
			return false;
		root =
			json_open_object(arena, index_name, text, (size_t) file->size, MAX_INDEX_BYTES, status);
		if (root == NULL)
			return false;
		return open_shards(arena, source, root, checkpoint, status) ||
			   status_prefix(status, "%s", index_name);
	}
	if (!source->open(source, "pytorch_model.bin", &file, &found, status))
		return false;
	if (found)
	{
		status_fail(
			status, STATUS_UNSUPPORTED,
			"\"%s\" has its weights in pytorch_model.bin only, which is a pickle and never read",
			source->name);
		return status_hint(status, "Save the model as safetensors: "
								   "model.save_pretrained(directory, safe_serialization=True).");
	}
	return status_fail(status, STATUS_NOT_FOUND, "\"%s\" has no model.safetensors", source->name);
}

const CheckpointTensor *
checkpoint_find(const Checkpoint *checkpoint, const char *name)
{
	CheckpointTensor key = {.name = name};

	if (checkpoint->n_tensors == 0)
		return NULL;
	return bsearch(&key, checkpoint->tensors, checkpoint->n_tensors, sizeof key, compare_name);
}

static float
half_to_float(uint16_t half)
{
	uint32_t sign = (uint32_t) (half & 0x8000) << 16;
	uint32_t exponent = half >> 10 & 0x1F;
	uint32_t mantissa = half & 0x3FF;
	union
	{
		uint32_t bits;
		float number;
	} u;

	if (exponent == 0)
	{
		float tiny = (float) mantissa * 0x1p-24f;

		return sign ? -tiny : tiny;
	}
	u.bits = sign | (exponent == 31 ? 0x7F800000u : (exponent + 112) << 23) | mantissa << 13;
	return u.number;
}

static uint16_t
load_le16(const unsigned char *bytes)
{
	return (uint16_t) (bytes[0] | bytes[1] << 8);
}

static size_t
dtype_bytes(TensorDtype dtype)
{
	return dtype == DTYPE_F32 ? 4 : dtype == DTYPE_I8 ? 1 : 2;
}

static void
widen(TensorDtype dtype, const unsigned char *bytes, size_t count, float *out)
{
	for (size_t i = 0; i < count; i++)
		if (dtype == DTYPE_F32)
			memcpy(&out[i], bytes + 4 * i, 4);
		else if (dtype == DTYPE_F16)
			out[i] = half_to_float(load_le16(bytes + 2 * i));
		else if (dtype == DTYPE_BF16)
			out[i] = bf16_to_float(load_le16(bytes + 2 * i));
		else
			out[i] = (float) (int8_t) bytes[i];
}

bool
checkpoint_read(const CheckpointTensor *tensor, uint64_t first, size_t count, float *out,
				Status *status)
{
	size_t element = dtype_bytes(tensor->dtype);
	unsigned char buffer[READ_CHUNK];

	if (tensor->dtype == DTYPE_OTHER)
		return status_fail(status, STATUS_INVALID_DATA,
						   "%s: tensor \"%.100s\" has dtype %s; weights must be F32, F16 or BF16",
						   tensor->source->name, tensor->name, tensor->dtype_name);
	if (first > tensor->elements || count > tensor->elements - first)
		return status_fail(status, STATUS_INTERNAL, "elements outside tensor \"%.100s\"",
						   tensor->name);
	while (count > 0)
	{
		size_t n = count < sizeof buffer / element ? count : sizeof buffer / element;

		if (!tensor->source->read(tensor->source, tensor->offset + first * element, buffer,
								  n * element, status))
			return false;
		widen(tensor->dtype, buffer, n, out);
		for (size_t i = 0; i < n; i++)
			if (!isfinite(out[i]))
				return status_fail(
					status, STATUS_INVALID_DATA,
					"%s: tensor \"%.100s\" has a value that is not finite at element %llu",
					tensor->source->name, tensor->name, (unsigned long long) (first + i));
		first += n;
		out += n;
		count -= n;
	}
	return true;
}

static json_t *
declaration_value(const CheckpointDeclaration *tensor, uint64_t begin, uint64_t end)
{
	json_t *shape = json_array();
	const char *dtype = "F32";

	for (int i = 0; i < tensor->rank; i++)
		if (json_array_append_new(shape, json_integer(tensor->shape[i])) != 0)
		{
			json_decref(shape);
			return NULL;
		}
	for (size_t i = 0; i < sizeof dtypes / sizeof dtypes[0]; i++)
		if (dtypes[i].dtype == tensor->dtype && tensor->dtype != DTYPE_OTHER)
			dtype = dtypes[i].name;
	return json_pack("{s:s, s:o, s:[I, I]}", "dtype", dtype, "shape", shape, "data_offsets",
					 (json_int_t) begin, (json_int_t) end);
}

bool
checkpoint_write_header(Arena *arena, const CheckpointDeclaration *tensors, size_t count,
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
		uint64_t bytes = dtype_bytes(tensors[i].dtype);

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
