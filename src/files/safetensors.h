/*
 * safetensors.h: one safetensors file, read and written.
 *
 * The header is checked completely before anything is read from the data: 8-byte little-endian
 * length, JSON object, no duplicate names, known dtypes, shapes whose product times the element
 * size equals the byte range, ranges that cover the data without overlap, hole or trailing byte.
 */
#ifndef BERT_FILES_SAFETENSORS_H
#define BERT_FILES_SAFETENSORS_H

#include "files/checkpoint.h"

#define SAFETENSORS_START 9 /* bytes that safetensors_recognize looks at */

/* Whether a file of size bytes that starts so can be one: length, and "{". */
bool safetensors_recognize(const unsigned char start[SAFETENSORS_START], uint64_t size);

/* The tensors in the order of their data. */
bool safetensors_open(Arena *arena, ByteSource *file, Checkpoint *part, Status *status);

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
	TensorDtype dtype; /* F32, F16, BF16, I8 or F64 */
	int rank;
	int64_t shape[CHECKPOINT_MAX_RANK];
} CheckpointDeclaration;

/*
 * Writes length, header ({"__metadata__":{"format":"pt"}, ...} padded with spaces to 8 bytes); the
 * data follows by the caller.
 */
bool safetensors_write_header(Arena *arena, const CheckpointDeclaration *tensors, size_t count,
							  const CheckpointWriter *writer, Status *status);

#endif
