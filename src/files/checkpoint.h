/*
 * checkpoint.h: named tensors in safetensors files, single (model.safetensors) or sharded
 * (model.safetensors.index.json).
 */
#ifndef BERT_FILES_CHECKPOINT_H
#define BERT_FILES_CHECKPOINT_H

#include "files/dtype.h"
#include "files/source.h"

#define CHECKPOINT_MAX_RANK 8
#define CHECKPOINT_MAX_TENSORS 65536 /* in all files of a checkpoint */
#define CHECKPOINT_MAX_NAME 512      /* bytes of a tensor's name */

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

#endif
