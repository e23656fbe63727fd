/* checkpoint.c: which files hold a model's tensors: one, or shards with an index. */
#include "files/checkpoint.h"

#include <stdlib.h>
#include <string.h>

#include "files/json.h"
#include "files/safetensors.h"
#include "files/torch_archive.h"

#define MAX_INDEX_BYTES ((size_t) 16 * 1024 * 1024)
#define MAX_SHARDS 1024
#define START_BYTES 262 /* a tar archive says so at 257 */

static int
compare_name(const void *a, const void *b)
{
	return strcmp(((const CheckpointTensor *) a)->name, ((const CheckpointTensor *) b)->name);
}

/* What a file that is none of ours often is. */
static bool
explain_start(const unsigned char *start, size_t n, Status *status)
{
	static const struct
	{
		size_t at;
		const char *bytes;
		const char *what;
	} formats[] = {
		{257, "ustar", "a tar archive, as PyTorch before 0.2 saved"},
		{0, "\x89HDF", "an HDF5 file, as Keras saves"},
		{0, "\x1F\x8B", "compressed (gzip)"},
		{0, "GGUF", "a GGUF file"},
	};

	for (size_t i = 0; i < sizeof formats / sizeof formats[0]; i++)
	{
		size_t length = strlen(formats[i].bytes);

		if (n >= formats[i].at + length &&
			memcmp(start + formats[i].at, formats[i].bytes, length) == 0)
		{
			status_fail(status, STATUS_UNSUPPORTED, "the file is %s", formats[i].what);
			return status_hint(status, "Load the model with the library that saved it, and save it "
									   "as safetensors: model.save_pretrained(directory).");
		}
	}
	return true;
}

/* The tensors of one file, in any order; what it is, its first bytes say. */
static bool
open_part(Arena *arena, ByteSource *file, Checkpoint *part, Status *status)
{
	unsigned char start[START_BYTES];
	size_t n = file->size < sizeof start ? (size_t) file->size : sizeof start;
	bool ok = file->read(file, 0, start, n, status);

	if (ok && n >= SAFETENSORS_START && safetensors_recognize(start, file->size))
		ok = safetensors_open(arena, file, part, status);
	else if (ok && torch_recognize(start, n))
		ok = torch_open(arena, file, part, status);
	else if (ok)
		ok = source_check_pointer(start, n, status) && explain_start(start, n, status) &&
			 safetensors_open(arena, file, part, status);
	return ok || status_prefix(status, "%s", file->name);
}

/* All parts as one table sorted by name; a name that is there twice is an error. */
static bool
join_parts(Arena *arena, const Checkpoint *parts, size_t n_parts, Checkpoint *checkpoint,
		   Status *status)
{
	size_t total = 0;
	CheckpointTensor *all;

	for (size_t i = 0; i < n_parts; i++)
		total += parts[i].n_tensors;
	if (total > CHECKPOINT_MAX_TENSORS)
		return status_fail(status, STATUS_LIMIT, "the files have %zu tensors, more than %d", total,
						   CHECKPOINT_MAX_TENSORS);
	all = arena_alloc_array(arena, total, sizeof *all);
	if (all == NULL)
		return arena_fail(arena, status, "the table of tensors", total * sizeof *all);
	for (size_t i = 0, at = 0; i < n_parts; at += parts[i++].n_tensors)
		if (parts[i].n_tensors > 0)
			memcpy(all + at, parts[i].tensors, parts[i].n_tensors * sizeof *all);
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
	Checkpoint part;

	if (!open_part(arena, file, &part, status))
		return false;
	return join_parts(arena, &part, 1, checkpoint, status) ||
		   status_prefix(status, "%s", file->name);
}

/* The distinct file names of the index's weight_map. */
static bool
shard_names(const json_t *root, Arena *arena, const char **names, size_t *count, Status *status)
{
	json_t *map = json_object_get(root, "weight_map");
	const char *tensor;
	json_t *value;

	*count = 0;
	if (!json_is_object(map) || json_object_size(map) == 0 ||
		json_object_size(map) > CHECKPOINT_MAX_TENSORS)
		return status_fail(status, STATUS_INVALID_DATA,
						   "\"weight_map\" is not an object with 1 to %d tensors",
						   CHECKPOINT_MAX_TENSORS);
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
	Checkpoint *parts = arena_alloc_array_zero(arena, MAX_SHARDS, sizeof *parts);
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
		if (!open_part(arena, file, &parts[i], status))
			return false;
	}
	return join_parts(arena, parts, count, checkpoint, status) &&
		   check_index(root, checkpoint, status);
}

/* Neither format: perhaps another library's. */
static bool
no_weights(ModelSource *source, Status *status)
{
	static const char *const others[] = {"tf_model.h5", "flax_model.msgpack", "model.onnx",
										 "onnx/model.onnx"};

	for (size_t i = 0; i < sizeof others / sizeof others[0]; i++)
	{
		ByteSource *file;
		bool found;

		if (!source->open(source, others[i], &file, &found, status))
			return false;
		if (!found)
			continue;
		status_fail(status, STATUS_UNSUPPORTED,
					"\"%s\" has neither model.safetensors nor pytorch_model.bin, only %s",
					source->name, others[i]);
		return status_hint(status, "Weights of TensorFlow, Flax and ONNX are not read. In Python, "
								   "with that library: AutoModel.from_pretrained(directory, "
								   "from_tf=True or from_flax=True).save_pretrained(new).");
	}
	return status_fail(status, STATUS_NOT_FOUND,
					   "\"%s\" has neither model.safetensors nor pytorch_model.bin", source->name);
}

static bool
open_index(Arena *arena, ModelSource *source, ByteSource *file, Checkpoint *checkpoint,
		   Status *status)
{
	char *text = source_read_all(arena, file, MAX_INDEX_BYTES, status);
	json_t *root;

	if (text == NULL)
		return false;
	root = json_open_object(arena, file->name, text, (size_t) file->size, MAX_INDEX_BYTES, status);
	if (root == NULL)
		return false;
	return open_shards(arena, source, root, checkpoint, status) ||
		   status_prefix(status, "%s", file->name);
}

bool
checkpoint_open(Arena *arena, ModelSource *source, Checkpoint *checkpoint, Status *status)
{
	/* in the reference's order */
	static const struct
	{
		const char *name;
		bool index;
	} files[] = {
		{"model.safetensors", false},
		{"model.safetensors.index.json", true},
		{"pytorch_model.bin", false},
		{"pytorch_model.bin.index.json", true},
	};

	memset(checkpoint, 0, sizeof *checkpoint);
	for (size_t i = 0; i < sizeof files / sizeof files[0]; i++)
	{
		ByteSource *file;
		bool found;

		if (!source->open(source, files[i].name, &file, &found, status))
			return false;
		if (found)
			return files[i].index ? open_index(arena, source, file, checkpoint, status)
								  : checkpoint_open_file(arena, file, checkpoint, status);
	}
	return no_weights(source, status);
}

const CheckpointTensor *
checkpoint_find(const Checkpoint *checkpoint, const char *name)
{
	CheckpointTensor key = {.name = name};

	if (checkpoint->n_tensors == 0)
		return NULL;
	return bsearch(&key, checkpoint->tensors, checkpoint->n_tensors, sizeof key, compare_name);
}
