/*
 * model_fixture.h: for tests of the network: a model folder of test/golden made ready to compute,
 * and the tensors of a case. Programs run at the top of the repository.
 */
#ifndef BERT_TEST_MODEL_FIXTURE_H
#define BERT_TEST_MODEL_FIXTURE_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "files/checkpoint.h"
#include "files/tokenizer_files.h"
#include "nn/loader.h"
#include "nn/model.h"
#include "tokenizer/tokenizer.h"

#define GOLDEN "test/golden"

typedef struct Fixture
{
	BertConfig config;
	TensorTable table;
	/* per block: its floats, for a tied decoder followed by the word embeddings */
	float **blocks;
	BertModel *model;
} Fixture;

/* The whole file; NULL when it cannot be read. */
static inline unsigned char *
fixture_read_file(Arena *arena, const char *path, size_t *size)
{
	FILE *file = fopen(path, "rb");
	unsigned char *bytes = NULL;
	long length;

	if (file == NULL)
		return NULL;
	if (fseek(file, 0, SEEK_END) == 0 && (length = ftell(file)) >= 0 &&
		fseek(file, 0, SEEK_SET) == 0 && (bytes = arena_alloc(arena, (size_t) length + 1)) != NULL)
	{
		*size = fread(bytes, 1, (size_t) length, file);
		bytes[*size] = '\0';
	}
	fclose(file);
	return bytes;
}

/* Prepares and binds the blocks that fixture->blocks holds. */
static inline bool
fixture_bind(Arena *arena, Fixture *fixture, Precision precision, const Kernels *kernels,
			 Status *status)
{
	const TensorTable *table = &fixture->table;
	PreparedImage *images = arena_alloc_array(arena, (size_t) table->n_blocks, sizeof *images);

	for (int b = 0; b < table->n_blocks; b++)
	{
		void *image;
		size_t size;

		if (!prepared_size(&(Preparation){table, &fixture->config, precision, kernels}, b, &size,
						   status) ||
			(image = arena_alloc(arena, size)) == NULL ||
			!prepared_write(&(Preparation){table, &fixture->config, precision, kernels}, b,
							fixture->blocks[b], image, size, NULL, status))
			return false;
		images[b].bytes = image;
		images[b].size = size;
	}
	return bert_model_bind(arena, &(Preparation){table, &fixture->config, precision, kernels},
						   images, table->n_blocks, &fixture->model, status);
}

/*
 * Room for a block's floats, with the word embeddings behind them where prepared_write wants that.
 */
static inline float *
fixture_block(Arena *arena, const Fixture *fixture, int block)
{
	size_t words =
		(size_t) fixture->config.vocab_size * (size_t) config_embedding_size(&fixture->config);
	size_t own = fixture->table.blocks[block].elements;
	bool needs = prepared_needs_embeddings(&fixture->table, &fixture->config, block);
	float *data = arena_alloc_array(arena, own + (needs ? words : 0), sizeof(float));

	if (data != NULL && needs)
		memcpy(data + own,
			   fixture->blocks[0] +
				   tensor_table_role(&fixture->table, ROLE_WORD_EMBEDDINGS, -1)->offset,
			   words * sizeof(float));
	return data;
}

/* Parameters: each test chooses all of them. */
static inline bool
fixture_load(Arena *arena, const char *folder, const char *config_file, HeadKind head,
			 Precision precision, const Kernels *kernels, Fixture *fixture, Status *status)
{
	char path[512];
	size_t size = 0;
	unsigned char *json;
	ModelSource *source;
	Checkpoint checkpoint;
	LoadPlan plan;

	snprintf(path, sizeof path, "%s/%s", folder, config_file);
	json = fixture_read_file(arena, path, &size);
	if (json == NULL)
		return status_fail(status, STATUS_NOT_FOUND, "could not read %s", path);
	source = modelsource_open_directory(arena, folder, status);
	if (source == NULL)
		return false;
	if (!config_parse(arena, (const char *) json, size, &fixture->config, status) ||
		!checkpoint_open(arena, source, &checkpoint, status))
	{
		modelsource_close(source);
		return false;
	}
	fixture->config.use_pooler = checkpoint_has_pooler(&checkpoint, fixture->config.family);
	if (!tensor_table_build(arena, &fixture->config, head, &fixture->table, status) ||
		!load_plan(arena, &checkpoint, &fixture->table, &plan, status))
	{
		modelsource_close(source);
		return false;
	}
	fixture->blocks = arena_alloc_array(arena, (size_t) fixture->table.n_blocks, sizeof(float *));
	for (int b = 0; b < fixture->table.n_blocks; b++)
	{
		fixture->blocks[b] = fixture_block(arena, fixture, b);
		if (!load_block(&plan, &fixture->config, b, 0, fixture->blocks[b], NULL, status))
		{
			modelsource_close(source);
			return false;
		}
	}
	modelsource_close(source);
	return fixture_bind(arena, fixture, precision, kernels, status);
}

/* The folder's tokenizer; NULL and *status on failure. */
static inline Tokenizer *
fixture_tokenizer(Arena *arena, const char *folder, Status *status)
{
	ModelSource *source = modelsource_open_directory(arena, folder, status);
	TokenizerSettings settings;
	TokenizerContext context = {0};
	unsigned char *image;
	size_t length;
	bool ok;

	if (source == NULL)
		return NULL;
	ok = tokenizer_files_read(arena, source, &context, &settings, status) &&
		 tokenizer_compile(arena, &settings, &image, &length, status);
	modelsource_close(source);
	return ok ? tokenizer_open(arena, image, length, status) : NULL;
}

/* The tensors of a case. */
typedef struct CaseFile
{
	ByteSource source;
	Checkpoint checkpoint;
} CaseFile;

static inline bool
case_open_path(Arena *arena, const char *path, CaseFile *file, Status *status)
{
	size_t size = 0;
	unsigned char *bytes;

	bytes = fixture_read_file(arena, path, &size);
	if (bytes == NULL)
		return status_fail(status, STATUS_NOT_FOUND, "could not read %s", path);
	source_from_memory(&file->source, path, bytes, size);
	memset(&file->checkpoint, 0, sizeof file->checkpoint);
	return checkpoint_open_file(arena, &file->source, &file->checkpoint, status);
}

static inline bool
case_open(Arena *arena, const char *name, CaseFile *file, Status *status)
{
	char path[512];

	snprintf(path, sizeof path, GOLDEN "/cases/%s.safetensors", name);
	return case_open_path(arena, path, file, status);
}

/* A tensor's numbers; NULL when the case has no such tensor. *n and shape may be NULL. */
static inline float *
case_floats(Arena *arena, const CaseFile *file, const char *name, size_t *n,
			const CheckpointTensor **tensor)
{
	const CheckpointTensor *found = checkpoint_find(&file->checkpoint, name);
	float *values;

	if (found == NULL)
		return NULL;
	values = arena_alloc_array(arena, found->elements, sizeof(float));
	if (values == NULL || !checkpoint_read(found, 0, found->elements, values, NULL))
		abort();
	if (n != NULL)
		*n = found->elements;
	if (tensor != NULL)
		*tensor = found;
	return values;
}

static inline int32_t *
case_ints(Arena *arena, const CaseFile *file, const char *name)
{
	size_t n = 0;
	float *values = case_floats(arena, file, name, &n, NULL);
	int32_t *ints = values == NULL ? NULL : arena_alloc_array(arena, n, sizeof(int32_t));

	for (size_t i = 0; ints != NULL && i < n; i++)
		ints[i] = (int32_t) values[i];
	return ints;
}

static inline uint8_t *
case_mask(Arena *arena, const CaseFile *file, const char *name)
{
	size_t n = 0;
	float *values = case_floats(arena, file, name, &n, NULL);
	uint8_t *bytes = values == NULL ? NULL : arena_alloc_array(arena, n, 1);

	for (size_t i = 0; bytes != NULL && i < n; i++)
		bytes[i] = values[i] != 0.0f;
	return bytes;
}

#endif
