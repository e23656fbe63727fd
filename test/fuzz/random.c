/*
 * random.c: runs a target without libFuzzer, for compilers that have none (gcc):
 *
 *     fuzz_NAME EXECUTIONS SEED FILE...
 *
 * Each input is one of the files, or a few bytes, with up to 16 changes at random. An input that
 * ends the program is left in the file crash-random.
 */
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MOST_BYTES 65536
#define MOST_FILES 4096

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
const char *__asan_default_options(void);
const char *__ubsan_default_options(void);

typedef struct Input
{
	size_t size;
	uint8_t *data;
} Input;

static Input inputs[MOST_FILES];
static size_t n_inputs;
static uint8_t current[MOST_BYTES];
static size_t current_size;
static uint64_t random_state;

const char *
__asan_default_options(void)
{
	return "abort_on_error=1";
}

const char *
__ubsan_default_options(void)
{
	return "abort_on_error=1:print_stacktrace=1";
}

static size_t
random_below(size_t n)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return n == 0 ? 0 : (size_t) (random_state >> 11) % n;
}

static void
keep_input(int number)
{
	int fd = open("crash-random", O_WRONLY | O_CREAT | O_TRUNC, 0666);

	if (fd < 0 || write(fd, current, current_size) != (ssize_t) current_size)
		_exit(2);
	signal(number, SIG_DFL);
	raise(number);
}

static void
add_file(const char *path)
{
	FILE *file = fopen(path, "rb");
	uint8_t *data = malloc(MOST_BYTES / 2);

	if (file != NULL && data != NULL && n_inputs < MOST_FILES)
		inputs[n_inputs++] = (Input){fread(data, 1, MOST_BYTES / 2, file), data};
	if (file != NULL)
		fclose(file);
}

static void
add_path(const char *path)
{
	DIR *folder = opendir(path);
	struct dirent *entry;

	if (folder == NULL)
	{
		add_file(path);
		return;
	}
	while ((entry = readdir(folder)) != NULL)
	{
		char name[4096];

		if (entry->d_name[0] != '.' &&
			snprintf(name, sizeof name, "%s/%s", path, entry->d_name) < (int) sizeof name)
			add_file(name);
	}
	closedir(folder);
}

static void
insert(size_t at, const uint8_t *bytes, size_t n)
{
	if (n > MOST_BYTES - current_size)
		n = MOST_BYTES - current_size;
	memmove(current + at + n, current + at, current_size - at);
	memmove(current + at, bytes, n);
	current_size += n;
}

static void
change(void)
{
	static const uint8_t values[] = {0, 1, 0x7F, 0x80, 0xC3, 0xFF, ' ', '"', '{', '[', '9', '-'};
	size_t at = random_below(current_size);
	size_t n = 1 + random_below(random_below(4) == 0 ? 64 : 4);
	const Input *other = &inputs[random_below(n_inputs)];
	uint8_t byte = (uint8_t) random_below(256);
	uint8_t bytes[64];

	if (n > current_size - at)
		n = current_size - at;
	switch (random_below(7))
	{
		case 0:
			current[at] ^= (uint8_t) (1 << random_below(8));
			break;
		case 1:
			current[at] = byte;
			break;
		case 2:
			current[at] = values[random_below(sizeof values)];
			break;
		case 3:
			insert(at, &byte, 1);
			break;
		case 4: /* the same once more, somewhere */
			memcpy(bytes, current + at, n);
			insert(random_below(current_size), bytes, n);
			break;
		case 5: /* a part of another input */
			n = random_below(64);
			at = random_below(other->size);
			insert(random_below(current_size), other->data + at,
				   n < other->size - at ? n : other->size - at);
			break;
		default:
			if (n < current_size)
			{
				memmove(current + at, current + at + n, current_size - at - n);
				current_size -= n;
			}
	}
}

int
main(int argc, char **argv)
{
	static uint8_t few[64];
	long executions = argc > 2 ? atol(argv[1]) : 0;

	if (executions <= 0)
	{
		fprintf(stderr, "usage: %s EXECUTIONS SEED FILE...\n", argv[0]);
		return 2;
	}
	random_state = (uint64_t) atol(argv[2]) * 2 + 88172645463325252u;
	for (size_t i = 0; i < sizeof few; i++)
		few[i] = (uint8_t) random_below(256);
	inputs[n_inputs++] = (Input){sizeof few, few};
	for (int i = 3; i < argc; i++)
		add_path(argv[i]);
	signal(SIGABRT, keep_input);
	signal(SIGSEGV, keep_input);
	for (long i = 0; i < executions; i++)
	{
		const Input *input = &inputs[random_below(n_inputs)];
		uint8_t *copy;

		current_size = input->size;
		memcpy(current, input->data, input->size);
		for (size_t changes = random_below(17); changes > 0; changes--)
			change();
		copy = malloc(current_size); /* of its own size, as libFuzzer's */
		if (copy == NULL && current_size > 0)
			return 2;
		memcpy(copy, current, current_size);
		LLVMFuzzerTestOneInput(copy, current_size);
		free(copy);
		if ((i + 1) % 100000 == 0)
			fprintf(stderr, "%ld executions\n", i + 1);
	}
	printf("%ld executions\n", executions);
	return 0;
}
