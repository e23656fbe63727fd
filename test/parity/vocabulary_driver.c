/* vocabulary_driver.c: SIZE cased|uncased: a vocabulary from the lines of standard input, to
 * standard output. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "tokenizer/vocab_builder.h"

static double
now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double) t.tv_sec + (double) t.tv_nsec * 1e-9;
}

int
main(int argc, char **argv)
{
	Arena *arena = arena_create(&allocator_malloc, 0);
	VocabBuilderOptions options = vocab_builder_defaults(
		argc > 1 ? atoi(argv[1]) : 8000, argc > 2 && strcmp(argv[2], "uncased") == 0);
	Status status = {0};
	VocabBuilder *builder = vocab_builder_create(arena, &options, &status);
	double began = now();
	double counted;
	char *line = NULL;
	size_t capacity = 0;
	size_t bytes = 0;
	ssize_t length;
	char *vocab;
	size_t vocab_length;
	bool ok = builder != NULL;

	while (ok && (length = getline(&line, &capacity, stdin)) > 0)
	{
		ok = vocab_builder_add_text(builder, line, (size_t) length, NULL, &status);
		bytes += (size_t) length;
	}
	counted = now();
	if (!ok || !vocab_builder_finish(builder, NULL, &vocab, &vocab_length, &status))
	{
		fprintf(stderr, "%s\n", status.message);
		return 1;
	}
	fprintf(stderr, "%.1f MB: counting %.2f s, merging %.2f s, %.0f MB held\n",
			(double) bytes / 1e6, counted - began, now() - counted,
			(double) arena_peak(arena) / 1e6);
	fwrite(vocab, 1, vocab_length, stdout);
	return 0;
}
