/* golden_tensors.h: tensors that test/golden has in files, for tests that compare with them. */
#ifndef BERT_TEST_GOLDEN_TENSORS_H
#define BERT_TEST_GOLDEN_TENSORS_H

#include "files/checkpoint.h"
#include "train_fixture.h"

/* The caller closes *source when it has read what it wants of the tensors. */
static inline Checkpoint
open_tensors(Arena *arena, const char *folder, const char *file, ModelSource **source)
{
	Checkpoint checkpoint = {0};
	ByteSource *bytes;
	bool found;
	Status status;

	*source = modelsource_open_directory(arena, folder, &status);
	if (*source == NULL)
		fail_msg("%s", status.message);
	check_status((*source)->open(*source, file, &bytes, &found, &status), &status);
	assert_true(found);
	check_status(checkpoint_open_file(arena, bytes, &checkpoint, &status), &status);
	return checkpoint;
}

/* (n) values of a tensor; NULL without one of this name. */
static inline float *
read_tensor(Arena *arena, const Checkpoint *checkpoint, const char *name, size_t *n)
{
	const CheckpointTensor *tensor = checkpoint_find(checkpoint, name);
	float *values;
	Status status;

	*n = 0;
	if (tensor == NULL)
		return NULL;
	*n = (size_t) tensor->elements;
	values = arena_alloc_array(arena, *n, sizeof(float));
	check_status(checkpoint_read(tensor, 0, *n, values, &status), &status);
	return values;
}

#endif
