/*
 * bench_tokenizer.c: megabytes of text per second on one core.
 *
 *     bench_tokenizer vocab.txt texts.txt [cased]
 *     bench_tokenizer FOLDER texts.txt
 *
 * A folder's tokenizer is what its files say (bench/tokenizer_speed.py compares).
 * Every line of the file is one text (for a .csv file: its fields after the first, unquoted and
 * joined by ". "), encoded with special tokens and without truncation. Rounds are repeated for two
 * seconds; the median counts.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "files/tokenizer_files.h"
#include "tokenizer/tokenizer.h"

#define MAX_ROUNDS 1000

static char *
read_file(const char *name, size_t *length)
{
	FILE *file = fopen(name, "rb");
	char *bytes;
	long size;

	if (file == NULL || fseek(file, 0, SEEK_END) != 0 || (size = ftell(file)) < 0)
	{
		perror(name);
		exit(1);
	}
	rewind(file);
	bytes = malloc((size_t) size + 1);
	*length = fread(bytes, 1, (size_t) size, file);
	bytes[*length] = '\0';
	fclose(file);
	return bytes;
}

static double
now(void)
{
	struct timespec t;

	/* Of this process: what others do on the machine is not ours. */
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (double) t.tv_sec + (double) t.tv_nsec * 1e-9;
}

static int
compare(const void *a, const void *b)
{
	double x = *(const double *) a;
	double y = *(const double *) b;

	return x < y ? -1 : x > y;
}

/* A csv record's fields after the first, in place; returns the length. */
static size_t
join_fields(char *line, size_t length)
{
	size_t out = 0;
	int field = 0;
	bool quoted = false;

	for (size_t i = 0; i < length; i++)
	{
		if (line[i] == '"' && quoted && i + 1 < length && line[i + 1] == '"')
		{
			if (field > 0)
				line[out++] = '"';
			i++;
		}
		else if (line[i] == '"')
			quoted = !quoted;
		else if (line[i] == ',' && !quoted)
		{
			if (field++ > 0)
			{
				line[out++] = '.';
				line[out++] = ' ';
			}
		}
		else if (field > 0)
			line[out++] = line[i];
	}
	return out;
}

static bool
is_folder(const char *path)
{
	struct stat about;

	return stat(path, &about) == 0 && S_ISDIR(about.st_mode);
}

/* What a model's folder says about its tokenizer. */
static void
read_folder(Arena *arena, const char *path, TokenizerSettings *settings)
{
	TokenizerContext context = {0};
	Status status = {0};
	ModelSource *source = modelsource_open_directory(arena, path, &status);

	if (source == NULL || !tokenizer_files_read(arena, source, &context, settings, &status))
	{
		fprintf(stderr, "%s: %s\n", path, status.message);
		exit(1);
	}
}

/* Lines of a file, those of a .csv without what separates fields. */
typedef struct Texts
{
	char **texts;
	size_t *lengths;
	size_t n;
	size_t bytes;
} Texts;

static Texts
read_texts(const char *path)
{
	bool fields = strlen(path) > 4 && strcmp(path + strlen(path) - 4, ".csv") == 0;
	size_t length;
	char *text = read_file(path, &length);
	Texts all = {malloc((length + 1) * sizeof *all.texts), malloc((length + 1) * sizeof(size_t)), 0,
				 0};

	for (char *line = text; line < text + length;)
	{
		char *end = memchr(line, '\n', (size_t) (text + length - line));
		size_t line_length = (size_t) ((end == NULL ? text + length : end) - line);

		all.lengths[all.n] = fields ? join_fields(line, line_length) : line_length;
		all.bytes += all.lengths[all.n];
		all.texts[all.n++] = line;
		line += line_length + 1;
	}
	return all;
}

/* How many tokens all texts have. */
static size_t
encode_texts(const Tokenizer *tokenizer, Arena *arena, const Texts *all)
{
	EncodeOptions options = {.special_tokens = true};
	size_t tokens = 0;
	Status status;

	for (size_t i = 0; i < all->n; i++)
	{
		ArenaMark mark = arena_mark(arena);
		EncodeResult result;

		if (!tokenizer_encode(tokenizer, arena,
							  &(EncodeInput){all->texts[i], all->lengths[i], NULL, 0}, &options,
							  NULL, &result, &status))
		{
			fprintf(stderr, "text %zu: %s\n", i, status.message);
			exit(1);
		}
		tokens += result.windows[0].n;
		arena_rewind(arena, mark);
	}
	return tokens;
}

static void
time_encode(const Tokenizer *tokenizer, Arena *arena, const Texts *all)
{
	double seconds[MAX_ROUNDS];
	double began = now();
	size_t tokens = 0;
	int rounds = 0;

	while (rounds < MAX_ROUNDS && now() - began < 2.0)
	{
		double start = now();

		tokens = encode_texts(tokenizer, arena, all);
		seconds[rounds++] = now() - start;
	}
	qsort(seconds, (size_t) rounds, sizeof *seconds, compare);
	printf("encode: %zu texts, %zu bytes, %zu tokens: median %.1f MB/s, best %.1f MB/s, %.1f "
		   "ns/token (%d rounds)\n",
		   all->n, all->bytes, tokens, (double) all->bytes / seconds[rounds / 2] / 1e6,
		   (double) all->bytes / seconds[0] / 1e6, seconds[rounds / 2] / (double) tokens * 1e9,
		   rounds);
}

static void
time_count(const Tokenizer *tokenizer, Arena *arena, const Texts *all)
{
	double began = now();
	size_t counted = 0;
	Status status;

	for (size_t i = 0; i < all->n; i++)
	{
		ArenaMark mark = arena_mark(arena);
		size_t count;

		if (!tokenizer_count(tokenizer, arena, all->texts[i], all->lengths[i], NULL, &count,
							 &status))
		{
			fprintf(stderr, "text %zu: %s\n", i, status.message);
			exit(1);
		}
		counted += count;
		arena_rewind(arena, mark);
	}
	printf("count: %zu tokens, %.1f MB/s\n", counted, (double) all->bytes / (now() - began) / 1e6);
}

int
main(int argc, char **argv)
{
	Arena *arena = arena_create(&allocator_malloc, 0);
	AddedToken added[5];
	const char *names[] = {"[UNK]", "[SEP]", "[PAD]", "[CLS]", "[MASK]"};
	bool cased = argc > 3;
	TokenizerSettings settings = {.clean_text = true,
								  .handle_chinese_chars = true,
								  .lowercase = !cased,
								  .strip_accents = !cased,
								  .unk_token = "[UNK]",
								  .sep_token = "[SEP]",
								  .pad_token = "[PAD]",
								  .cls_token = "[CLS]",
								  .mask_token = "[MASK]",
								  .continuing_subword_prefix = "##",
								  .max_input_chars_per_word = 100,
								  .n_added = 5,
								  .added = added};
	Status status = {0};
	double began;
	unsigned char *image;
	size_t length;
	Texts all;
	Tokenizer *tokenizer;

	if (argc < 3)
	{
		fprintf(stderr, "usage: bench_tokenizer vocab.txt|FOLDER texts [cased]\n");
		return 2;
	}
	for (int i = 0; i < 5; i++)
		added[i] = (AddedToken){.content = names[i], .id = -1, .special = true};
	if (is_folder(argv[1]))
		read_folder(arena, argv[1], &settings);
	else
		settings.vocab = read_file(argv[1], &settings.vocab_length);
	began = now();
	if (!tokenizer_compile(arena, &settings, &image, &length, &status))
	{
		fprintf(stderr, "%s\n", status.message);
		return 1;
	}
	printf("compile %.1f ms, image %zu bytes\n", (now() - began) * 1e3, length);
	began = now();
	tokenizer = tokenizer_open(arena, image, length, &status);
	printf("open %.1f us\n", (now() - began) * 1e6);
	all = read_texts(argv[2]);
	time_encode(tokenizer, arena, &all);
	time_count(tokenizer, arena, &all);
	arena_destroy(arena);
	return 0;
}
