/* checkpoint_read.c: a tensor's elements as floats, whether they lie one after the other or not. */
#include "files/checkpoint.h"

#include <math.h>
#include <string.h>

#include "core/hash.h"

#define CHUNK_BYTES 16384
#define CHUNK_ELEMENTS 4096 /* of what has strides */
#define NEAR_BYTES 512      /* elements that are no farther apart are read together */

/* Elements at equal distances in the source, and where they go. */
typedef struct Run
{
	uint64_t start;  /* of the first, in elements from the tensor's offset */
	uint64_t stride; /* elements */
	uint64_t count;
	float *out;
	uint64_t out_stride;
} Run;

static bool
check_finite(const CheckpointTensor *tensor, uint64_t first, size_t count, const float *values,
			 Status *status)
{
	for (size_t i = 0; i < count; i++)
		if (!isfinite(values[i]))
			return status_fail(
				status, STATUS_INVALID_DATA,
				"%s: tensor \"%.100s\" has a value that is not finite%s at element %llu",
				tensor->source->name, tensor->name, tensor->dtype == DTYPE_F64 ? " as F32" : "",
				(unsigned long long) (first + i));
	return true;
}

/*
 * The checksum of what is read from the first byte to the last, in whatever pieces; once a piece
 * does not follow the one before, there is nothing to compare until the first byte is read again.
 */
static bool
add_to_checksum(const CheckpointTensor *tensor, uint64_t at, const void *bytes, size_t length,
				Status *status)
{
	TensorChecksum *checksum = tensor->checksum;

	if (at == 0)
		checksum->next = checksum->crc = 0;
	if (at != checksum->next)
		return true;
	checksum->crc = crc32_zip(checksum->crc, bytes, length);
	checksum->next += length;
	return checksum->next != tensor->bytes || checksum->crc == checksum->expected ||
		   status_fail(status, STATUS_INVALID_DATA,
					   "%s: tensor \"%.100s\" is damaged: its checksum is another one",
					   tensor->source->name, tensor->name);
}

static bool
read_contiguous(const CheckpointTensor *tensor, uint64_t first, size_t count, float *out,
				Status *status)
{
	size_t element = dtype_info(tensor->dtype)->bytes;
	unsigned char buffer[CHUNK_BYTES];

	while (count > 0)
	{
		size_t n = count < sizeof buffer / element ? count : sizeof buffer / element;

		if (!tensor->source->read(tensor->source, tensor->offset + first * element, buffer,
								  n * element, status))
			return false;
		if (tensor->checksum != NULL &&
			!add_to_checksum(tensor, first * element, buffer, n * element, status))
			return false;
		dtype_widen(tensor->dtype, buffer, n, out);
		if (!check_finite(tensor, first, n, out, status))
			return false;
		first += n;
		out += n;
		count -= n;
	}
	return true;
}

static bool
read_run(const CheckpointTensor *tensor, Run run, Status *status)
{
	size_t element = dtype_info(tensor->dtype)->bytes;
	unsigned char buffer[CHUNK_ELEMENTS * sizeof(double)];
	float values[CHUNK_ELEMENTS];
	size_t at_once = 1; /* elements of the run in a buffer */

	if (run.stride * element <= NEAR_BYTES && run.stride > 0)
		at_once = (CHUNK_ELEMENTS - 1) / (size_t) run.stride + 1;
	while (run.count > 0)
	{
		size_t n = run.count < at_once ? (size_t) run.count : at_once;
		size_t span = (n - 1) * (size_t) run.stride + 1;

		if (!tensor->source->read(tensor->source, tensor->offset + run.start * element, buffer,
								  span * element, status))
			return false;
		dtype_widen(tensor->dtype, buffer, span, values);
		for (size_t i = 0; i < n; i++)
			run.out[i * run.out_stride] = values[i * (size_t) run.stride];
		run.start += n * run.stride;
		run.out += n * run.out_stride;
		run.count -= n;
	}
	return true;
}

/* The shape without dimensions of size 1, as rows and columns; false with more than two. */
static bool
as_matrix(const CheckpointTensor *tensor, uint64_t shape[2], uint64_t strides[2])
{
	int n = 0;

	shape[0] = shape[1] = 1;
	strides[0] = strides[1] = 0;
	for (int i = tensor->rank - 1; i >= 0; i--)
	{
		if (tensor->shape[i] == 1)
			continue;
		if (n == 2)
			return false;
		shape[1 - n] = (uint64_t) tensor->shape[i];
		strides[1 - n] = (uint64_t) tensor->strides[i];
		n++;
	}
	return true;
}

/* Along rows or along columns, whichever lie closer in the source. */
static bool
read_strided(const CheckpointTensor *tensor, uint64_t first, size_t count, float *out,
			 Status *status)
{
	uint64_t end = first + count;
	uint64_t shape[2];
	uint64_t strides[2];

	if (!as_matrix(tensor, shape, strides))
		return status_fail(status, STATUS_UNSUPPORTED,
						   "%s: tensor \"%.100s\" has %d dimensions and is not contiguous",
						   tensor->source->name, tensor->name, tensor->rank);
	for (uint64_t at = first; strides[1] <= strides[0] && at < end;)
	{
		uint64_t row = at / shape[1];
		uint64_t column = at % shape[1];
		uint64_t n = end - at < shape[1] - column ? end - at : shape[1] - column;
		Run run = {row * strides[0] + column * strides[1], strides[1], n, out + (at - first), 1};

		if (!read_run(tensor, run, status))
			return false;
		at += n;
	}
	for (uint64_t column = 0; strides[1] > strides[0] && column < shape[1] && column < end;
		 column++)
	{
		uint64_t row = first / shape[1] + (column < first % shape[1]);
		uint64_t last = (end - column - 1) / shape[1]; /* row, inclusive */
		Run run = {row * strides[0] + column * strides[1], strides[0], last + 1 - row, NULL,
				   shape[1]};

		if (row > last)
			continue;
		run.out = out + (row * shape[1] + column - first);
		if (!read_run(tensor, run, status))
			return false;
	}
	return check_finite(tensor, first, count, out, status);
}

bool
checkpoint_read(const CheckpointTensor *tensor, uint64_t first, size_t count, float *out,
				Status *status)
{
	if (tensor->dtype == DTYPE_OTHER)
		return status_fail(
			status, STATUS_INVALID_DATA,
			"%s: tensor \"%.100s\" has dtype %s; weights must be F32, F16, BF16 or F64",
			tensor->source->name, tensor->name, tensor->dtype_name);
	if (first > tensor->elements || count > tensor->elements - first)
		return status_fail(status, STATUS_INTERNAL, "elements outside tensor \"%.100s\"",
						   tensor->name);
	if (count == 0)
		return true;
	return tensor->strides == NULL ? read_contiguous(tensor, first, count, out, status)
								   : read_strided(tensor, first, count, out, status);
}
