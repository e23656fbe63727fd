/*
 * checkpoint.h: named tensors in files, single or sharded with an index: safetensors
 * (model.safetensors) or archives of torch.save (pytorch_model.bin). What a file is, its first
 * bytes say, not its name. Opening reads headers; the numbers are read with their tensors.
 */
#ifndef BERT_FILES_CHECKPOINT_H
#define BERT_FILES_CHECKPOINT_H

#include "files/dtype.h"
#include "files/source.h"

#define CHECKPOINT_MAX_RANK 8
#define CHECKPOINT_MAX_TENSORS 65536 /* in all files of a checkpoint */
#define CHECKPOINT_MAX_NAME 512      /* bytes of a tensor's name */

/* Of bytes that are read one after the other (CRC-32, as ZIP has it). */
typedef struct TensorChecksum
{
	uint32_t expected;
	uint32_t crc;  /* of the bytes so far */
	uint64_t next; /* how many they are */
} TensorChecksum;

typedef struct CheckpointTensor
{
	const char *name; /* as in the file */
	TensorDtype dtype;
	const char *dtype_name; /* "F32" */
	int rank;
	int64_t shape[CHECKPOINT_MAX_RANK];
	uint64_t elements;
	ByteSource *source;
	uint64_t offset;          /* of the first byte in the source */
	uint64_t bytes;           /* elements times their size */
	const int64_t *strides;   /* (rank) in elements; NULL: the elements lie one after the other */
	TensorChecksum *checksum; /* NULL: none */
} CheckpointTensor;

typedef struct Checkpoint
{
	size_t n_tensors;
	CheckpointTensor *tensors; /* sorted by name (strcmp) */
} Checkpoint;

/*
 * Opens, of a ModelSource, model.safetensors or its sharded index, else pytorch_model.bin or its
 * index.
 */
bool checkpoint_open(Arena *arena, ModelSource *source, Checkpoint *checkpoint, Status *status);

/* One file. */
bool checkpoint_open_file(Arena *arena, ByteSource *file, Checkpoint *checkpoint, Status *status);

/* NULL if absent */
const CheckpointTensor *checkpoint_find(const Checkpoint *checkpoint, const char *name);

/*
 * Reads elements first .. first+count-1, row by row, as float (F32 copied, F16 and BF16 widened; I8
 * as integers, the caller applies scales). NaN and infinite values are STATUS_INVALID_DATA, as is a
 * wrong checksum when the last element is read after all the others, in order. What is not
 * contiguous can have two dimensions (STATUS_UNSUPPORTED), and takes longer.
 */
bool checkpoint_read(const CheckpointTensor *tensor, uint64_t first, size_t count, float *out,
					 Status *status);

#endif
