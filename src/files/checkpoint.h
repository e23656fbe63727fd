/*
 * checkpoint.h: named tensors in safetensors files, single (model.safetensors) or sharded
 * (model.safetensors.index.json).
 *
 * The header is checked completely before anything is read from the data: 8-byte little-endian
 * length, JSON object, no duplicate names, known dtypes, shapes whose product times the element
 * size equals the byte range, ranges that cover the data without overlap, hole or trailing byte.
 * Limits: header 16 MB, 65,536 tensors, rank 8, names 512 bytes.
 */
#ifndef BERT_FILES_CHECKPOINT_H
#define BERT_FILES_CHECKPOINT_H

#include "files/source.h"

#define CHECKPOINT_MAX_RANK 8

typedef enum TensorDtype
{
	DTYPE_F32,
	DTYPE_F16,
	DTYPE_BF16,
	DTYPE_I8,
	/* known to the format, not readable as numbers of a model (I64 position_ids ...) */
	DTYPE_OTHER
} TensorDtype;

typedef struct CheckpointTensor
{
	const char *name; /* as in the file */
	TensorDtype dtype;
	const char *dtype_name; /* "F32" */
	int rank;
	int64_t shape[CHECKPOINT_MAX_RANK];
	uint64_t elements;
	ByteSource *source;
	uint64_t offset; /* of the first byte in the source */
	uint64_t bytes;
} CheckpointTensor;

typedef struct Checkpoint
{
	size_t n_tensors;
	CheckpointTensor *tensors; /* sorted by name (strcmp) */
} Checkpoint;

/*
 * Opens model.safetensors or the sharded index of a ModelSource. A pytorch_model.bin alone is
 * refused with a hint.
 */
bool checkpoint_open(Arena *arena, ModelSource *source, Checkpoint *checkpoint, Status *status);

/* One safetensors file. */
bool checkpoint_open_file(Arena *arena, ByteSource *file, Checkpoint *checkpoint, Status *status);

/* NULL if absent */
const CheckpointTensor *checkpoint_find(const Checkpoint *checkpoint, const char *name);

/*
 * Reads elements first .. first+count-1 as float (F32 copied, F16 and BF16 widened; I8 as integers,
 * the caller applies scales). NaN and infinite values are STATUS_INVALID_DATA.
 */
bool checkpoint_read(const CheckpointTensor *tensor, uint64_t first, size_t count, float *out,
					 Status *status);

/*
 * Writing: the caller declares every tensor, then streams the data of each in the declared order
 * through `write`, which returns false after filling *status. Names are sorted by nobody: the order
 * is the caller's.
 */
typedef struct CheckpointWriter
{
	bool (*write)(void *context, const void *bytes, size_t length, Status *status);
	void *context;
} CheckpointWriter;

typedef struct CheckpointDeclaration
{
	const char *name;
	TensorDtype dtype; /* F32, F16, BF16 or I8 */
	int rank;
	int64_t shape[CHECKPOINT_MAX_RANK];
} CheckpointDeclaration;

/*
 * Writes length, header ({"__metadata__":{"format":"pt"}, ...} padded with spaces to 8 bytes); the
 * data follows by the caller.
 */
bool checkpoint_write_header(Arena *arena, const CheckpointDeclaration *tensors, size_t count,
							 const CheckpointWriter *writer, Status *status);

#endif
