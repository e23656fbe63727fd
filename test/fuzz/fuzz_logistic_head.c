/*
 * fuzz_logistic_head.c: model_head.pkl of SetFit. What is accepted is written, and read again gives
 * the same numbers.
 */
#include <math.h>
#include <string.h>

#include "encoding.h"
#include "recycling.h"

#include "files/logistic_head.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
check_head(Arena *arena, const LogisticHead *head)
{
	size_t n = (size_t) head->n_labels;
	const unsigned char *bytes;
	LogisticHead again;
	ByteSource file;
	Status status = {0};
	size_t length;

	MUST(head->n_labels >= (head->several ? 1 : 2) && head->n_features >= 1);
	for (size_t i = 0; i < n; i++)
		MUST(isfinite(head->bias[i]) && head->classes[i] != NULL);
	for (size_t i = 0; i < n * (size_t) head->n_features; i++)
		MUST(isfinite(head->weight[i]));
	if (!logistic_head_write(arena, head, &bytes, &length, &status))
		return; /* more than there may be */
	source_from_memory(&file, "model_head.pkl", bytes, length);
	MUST(logistic_head_read(arena, &file, &again, &status));
	MUST(again.n_labels == head->n_labels && again.n_features == head->n_features);
	MUST(again.several == head->several && again.numbered);
	MUST(memcmp(again.weight, head->weight, n * (size_t) head->n_features * sizeof(float)) == 0);
	MUST(memcmp(again.bias, head->bias, n * sizeof(float)) == 0);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	Arena *arena = arena_create(&recycling, (size_t) 64 << 20);
	LogisticHead head;
	ByteSource file;
	Status status = {0};

	if (arena == NULL)
		return 0;
	source_from_memory(&file, "model_head.pkl", data, size);
	if (logistic_head_read(arena, &file, &head, &status))
		check_head(arena, &head);
	else
		MUST(status.code != STATUS_NONE && status.code != STATUS_INTERNAL);
	arena_destroy(arena);
	return 0;
}
