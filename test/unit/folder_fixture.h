/*
 * folder_fixture.h: small model folders made in memory, to be damaged by tests, read as sources or
 * written to disk. Everything lives in the folder's arena.
 */
#ifndef BERT_TEST_FOLDER_FIXTURE_H
#define BERT_TEST_FOLDER_FIXTURE_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "files/safetensors.h"
#include "nn/tensor_table.h"

#define FOLDER_MAX_FILES 16

typedef struct FolderFile
{
	const char *name;
	char *bytes; /* NUL-terminated for the tests' convenience */
	size_t size;
} FolderFile;

typedef struct Folder
{
	Arena *arena;
	int n_files;
	FolderFile files[FOLDER_MAX_FILES];
} Folder;

static inline void *
must(void *pointer)
{
	if (pointer == NULL)
		abort();
	return pointer;
}

static inline FolderFile *
folder_find(Folder *folder, const char *name)
{
	for (int i = 0; i < folder->n_files; i++)
		if (strcmp(folder->files[i].name, name) == 0)
			return &folder->files[i];
	return NULL;
}

static inline FolderFile *
folder_put(Folder *folder, const char *name, const void *bytes, size_t size)
{
	FolderFile *file = folder_find(folder, name);

	if (file == NULL)
	{
		if (folder->n_files == FOLDER_MAX_FILES)
			abort();
		file = &folder->files[folder->n_files++];
	}
	file->name = name;
	file->bytes = must(arena_strndup(folder->arena, bytes, size));
	file->size = size;
	return file;
}

static inline void
folder_text(Folder *folder, const char *name, const char *text)
{
	folder_put(folder, name, text, strlen(text));
}

static inline void
folder_remove(Folder *folder, const char *name)
{
	FolderFile *file = folder_find(folder, name);

	if (file != NULL)
		*file = folder->files[--folder->n_files];
}

/* Bytes of a file: before `at`, then the new ones, then what follows after `old` bytes. */
static inline void
folder_splice(Folder *folder, const char *name, size_t at, size_t old, const void *bytes,
			  size_t size)
{
	FolderFile *file = must(folder_find(folder, name));
	char *result = must(arena_alloc(folder->arena, file->size - old + size + 1));

	memcpy(result, file->bytes, at);
	if (size > 0)
		memcpy(result + at, bytes, size);
	memcpy(result + at + size, file->bytes + at + old, file->size - at - old + 1);
	file->bytes = result;
	file->size += size - old;
}

/* The place of a text in a file, at or after `from`; aborts when it is not there. */
static inline size_t
folder_search(Folder *folder, const char *name, size_t from, const char *text)
{
	FolderFile *file = must(folder_find(folder, name));

	return (
		size_t) ((char *) must(memmem(file->bytes + from, file->size - from, text, strlen(text))) -
				 file->bytes);
}

static inline void
folder_replace(Folder *folder, const char *name, const char *text, const char *with)
{
	folder_splice(folder, name, folder_search(folder, name, 0, text), strlen(text), with,
				  strlen(with));
}

/* The length of a safetensors file's header, and setting it. */
static inline uint64_t
weights_header(Folder *folder, const char *name)
{
	const unsigned char *bytes =
		(const unsigned char *) ((FolderFile *) must(folder_find(folder, name)))->bytes;
	uint64_t length = 0;

	for (int i = 7; i >= 0; i--)
		length = length << 8 | bytes[i];
	return length;
}

static inline void
weights_set_header(Folder *folder, const char *name, uint64_t length)
{
	for (int i = 0; i < 8; i++)
		((FolderFile *) must(folder_find(folder, name)))->bytes[i] = (char) (length >> (8 * i));
}

/* Replaces a text in the header, whose length follows; the data stays. */
static inline void
weights_replace(Folder *folder, const char *name, const char *text, const char *with)
{
	uint64_t length = weights_header(folder, name);

	folder_replace(folder, name, text, with);
	weights_set_header(folder, name, length + strlen(with) - strlen(text));
}

/* A whole new header before the data. */
static inline void
weights_new_header(Folder *folder, const char *name, const char *text, size_t size)
{
	folder_splice(folder, name, 8, weights_header(folder, name), text, size);
	weights_set_header(folder, name, size);
}

typedef struct Output
{
	Folder *folder;
	const char *name;
} Output;

static inline bool
output_write(void *context, const void *bytes, size_t length, Status *status)
{
	Output *output = context;

	(void) status;
	folder_splice(output->folder, output->name,
				  ((FolderFile *) must(folder_find(output->folder, output->name)))->size, 0, bytes,
				  length);
	return true;
}

/* The value of element i of the tensor with this name, small and exact in every format. */
static inline float
sample_value(const char *name, size_t i)
{
	return (float) ((int) ((i * 7 + strlen(name)) % 31) - 15) / 8;
}

static inline uint16_t
sample_half(float value)
{
	uint32_t bits;

	memcpy(&bits, &value, sizeof bits);
	if (value == 0)
		return (uint16_t) (bits >> 16);
	return (uint16_t) ((bits >> 16 & 0x8000) | (((bits >> 23 & 0xFF) - 112) << 10) |
					   (bits >> 13 & 0x3FF));
}

/* Writes tensors with sample values as a safetensors file. */
static inline void
weights_make(Folder *folder, const char *name, const CheckpointDeclaration *tensors, size_t count)
{
	Output output = {folder, name};
	CheckpointWriter writer = {output_write, &output};
	Status status;

	folder_put(folder, name, "", 0);
	if (!safetensors_write_header(folder->arena, tensors, count, &writer, &status))
		abort();
	for (size_t t = 0; t < count; t++)
	{
		size_t elements = 1;
		char *data;
		size_t size = dtype_info(tensors[t].dtype)->bytes;

		for (int d = 0; d < tensors[t].rank; d++)
			elements *= (size_t) tensors[t].shape[d];
		data = must(arena_alloc(folder->arena, elements * size));
		for (size_t i = 0; i < elements; i++)
		{
			float value = sample_value(tensors[t].name, i);
			double wide = value;
			uint32_t bits;
			uint16_t half;
			int8_t byte = (int8_t) (value * 8);

			memcpy(&bits, &value, sizeof bits);
			half = tensors[t].dtype == DTYPE_F16 ? sample_half(value) : (uint16_t) (bits >> 16);
			memcpy(data + i * size,
				   size == 8   ? (void *) &wide
				   : size == 4 ? (void *) &bits
				   : size == 2 ? (void *) &half
							   : (void *) &byte,
				   size);
		}
		output_write(&output, data, elements * size, &status);
	}
}

/* The declarations of a head's tensors, in table order, with the table's own names. */
static inline size_t
folder_declare(Folder *folder, HeadKind head, TensorDtype dtype, CheckpointDeclaration **out)
{
	FolderFile *config_file = must(folder_find(folder, "config.json"));
	TensorTable *table = must(arena_alloc_zero(folder->arena, sizeof *table));
	BertConfig config;
	Status status;

	if (!config_parse(folder->arena, config_file->bytes, config_file->size, &config, &status) ||
		!tensor_table_build(folder->arena, &config, head, table, &status))
		abort();
	*out = must(arena_alloc_array_zero(folder->arena, (size_t) table->n_tensors + 8, sizeof **out));
	for (int i = 0; i < table->n_tensors; i++)
	{
		(*out)[i].name = table->tensors[i].name;
		(*out)[i].dtype = dtype;
		(*out)[i].rank = table->tensors[i].rank;
		(*out)[i].shape[0] = (int64_t) table->tensors[i].shape[0];
		(*out)[i].shape[1] = (int64_t) table->tensors[i].shape[1];
	}
	return (size_t) table->n_tensors;
}

/*
 * A classifier with vocabulary 12, hidden size 4, one layer of two heads, 8 positions and 2 labels.
 * The first tensors of its weights are word (12, 4) at bytes 0 to 192, position (8, 4) to 320, type
 * embeddings (2, 4) to 352.
 */
static inline void
folder_tiny(Arena *arena, Folder *folder)
{
	CheckpointDeclaration *tensors;
	size_t count;

	memset(folder, 0, sizeof *folder);
	folder->arena = arena;
	folder_text(folder, "config.json",
				"{\n\"architectures\": [\"BertForSequenceClassification\"],\n\"model_type\": "
				"\"bert\",\n\"vocab_size\": 12,\n\"hidden_size\": 4,\n"
				"\"num_hidden_layers\": 1,\n\"num_attention_heads\": 2,\n\"intermediate_size\": "
				"4,\n\"max_position_embeddings\": 8,\n"
				"\"type_vocab_size\": 2,\n\"id2label\": {\"0\": \"no\", \"1\": "
				"\"yes\"},\n\"label2id\": {\"no\": 0, \"yes\": 1},\n\"pad_token_id\": 0\n}\n");
	folder_text(folder, "vocab.txt",
				"[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\na\nb\nc\n##a\n##b\n##c\nd\n");
	folder_text(folder, "tokenizer_config.json",
				"{\n\"do_lower_case\": true,\n\"tokenizer_class\": \"BertTokenizer\"\n}\n");
	count = folder_declare(folder, HEAD_SEQUENCE_CLASSIFICATION, DTYPE_F32, &tensors);
	weights_make(folder, "model.safetensors", tensors, count);
}

/* The folder as a set of sources in memory. */
static inline ModelSource *
folder_source(Folder *folder)
{
	ByteSource *sources = must(arena_alloc_array(folder->arena, FOLDER_MAX_FILES, sizeof *sources));
	Status status;

	for (int i = 0; i < folder->n_files; i++)
		source_from_memory(&sources[i], folder->files[i].name, folder->files[i].bytes,
						   folder->files[i].size);
	return must(modelsource_from_sources(folder->arena, "arguments", sources,
										 (size_t) folder->n_files, &status));
}

/* Writes the files below a directory, which it makes. */
static inline bool
folder_write(const Folder *folder, const char *directory)
{
	if (mkdir(directory, 0755) != 0)
		return false;
	for (int i = 0; i < folder->n_files; i++)
	{
		char path[1024];
		const char *slash = strchr(folder->files[i].name, '/');
		FILE *file;
		bool ok;

		if (slash != NULL)
		{
			snprintf(path, sizeof path, "%s/%.*s", directory, (int) (slash - folder->files[i].name),
					 folder->files[i].name);
			mkdir(path, 0755);
		}
		snprintf(path, sizeof path, "%s/%s", directory, folder->files[i].name);
		file = fopen(path, "wb");
		if (file == NULL)
			return false;
		ok =
			fwrite(folder->files[i].bytes, 1, folder->files[i].size, file) == folder->files[i].size;
		if (fclose(file) != 0 || !ok)
			return false;
	}
	return true;
}

#endif
