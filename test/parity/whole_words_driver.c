/*
 * whole_words_driver.c: masks texts for whole_words.py.
 *
 *   whole_words_driver WHOLE_WORDS MASK_ID VOCAB_SIZE SPECIAL_ID...
 *
 * Of each line of standard input, tokens as ID START END one after the other, it writes one line:
 * of each token its number now, and 1 if it is to be predicted, else 0.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "nn/loss.h"
#include "train/masking.h"

#define MAX_TOKENS 4096
#define MAX_LINE (1 << 20)

typedef struct Specials
{
	int n;
	char **ids;
} Specials;

static bool
is_special(const void *context, int32_t id)
{
	const Specials *specials = context;

	for (int i = 0; i < specials->n; i++)
		if (atoi(specials->ids[i]) == id)
			return true;
	return false;
}

static bool
never(const void *context, int32_t id)
{
	(void) context;
	(void) id;
	return false;
}

int
main(int argc, char **argv)
{
	static char line[MAX_LINE];
	static int32_t ids[MAX_TOKENS];
	static uint32_t starts[MAX_TOKENS];
	static uint32_t ends[MAX_TOKENS];
	static int64_t labels[MAX_TOKENS];
	Specials specials = {argc - 4, argv + 4};
	MaskingOptions options = {.probability = 0.15,
							  .is_special = is_special,
							  .is_continuation = never,
							  .context = &specials};

	if (argc < 4)
		return 2;
	options.whole_words = atoi(argv[1]) != 0;
	options.mask_id = atoi(argv[2]);
	options.vocab_size = atoi(argv[3]);
	for (uint64_t stream = 0; fgets(line, sizeof line, stdin) != NULL; stream++)
	{
		char *at = line;
		size_t n = 0;

		for (char *end; n < MAX_TOKENS; n++)
		{
			long id = strtol(at, &end, 10);

			if (end == at)
				break;
			ids[n] = (int32_t) id;
			starts[n] = (uint32_t) strtoul(end, &at, 10);
			ends[n] = (uint32_t) strtoul(at, &at, 10);
		}
		masking_apply(&options, 42, stream, 0, &(MaskedText){ids, n, starts, ends}, labels);
		for (size_t i = 0; i < n; i++)
			printf("%d %d ", ids[i], labels[i] != LABEL_IGNORED);
		printf("\n");
	}
	return 0;
}
