/*
 * test_cancel.c: how much work lies between two questions "may I go on?", counted, not timed: long
 * work asks as often as its size demands, and a no ends it at once.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/bulk.h"
#include "core/sort.h"
#include "files/json.h"
#include "files/source.h"
#include "files/tokenizer_files.h"
#include "files/tokenizer_json.h"
#include "files/vocab_text.h"
#include "kernels/choose.h"
#include "nn/model.h"

#define MB ((size_t) 1024 * 1024)

typedef struct Patience
{
	size_t asked;
	size_t last; /* says no to this question and all after it; 0: to none */
} Patience;

static Patience patience;

static bool
ask(void *context)
{
	Patience *self = context;

	self->asked++;
	return self->last == 0 || self->asked < self->last;
}

static const MayContinue question = {ask, &patience};

/* Some work; its memory and its question are the arena's. */
typedef bool (*Work)(Arena *arena, Status *status);

static bool
run(Work work, size_t last, Status *status)
{
	Arena *arena = arena_create(&allocator_malloc, 0);
	bool ok;

	arena_set_question(arena, &question);
	patience = (Patience){0, last};
	*status = (Status){0};
	ok = work(arena, status);
	arena_destroy(arena);
	return ok;
}

/* The work asks at least so many times, and stops wherever it is told to. */
static void
expect(Work work, size_t least)
{
	Status status;
	size_t all;

	if (!run(work, 0, &status))
		fail_msg("%s", status.message);
	all = patience.asked;
	if (all < least)
		fail_msg("asked %zu times, not %zu", all, least);
	for (size_t i = 0; i < 5; i++)
	{
		size_t last = 1 + (all - 1) * i / 4;

		assert_false(run(work, last, &status));
		assert_int_equal(status.code, STATUS_CANCELLED);
		assert_true(patience.asked - last <= 1); /* json_write asks for the reason again */
	}
}

/* --- Memory and elements --- */

static unsigned char *bytes; /* (32 MB), zeros */

static bool
hash(Arena *arena, Status *status)
{
	unsigned char digest[SHA256_BYTES];
	unsigned char expected[SHA256_BYTES];
	Sha256 whole;

	if (!bulk_sha256(bytes, 8 * MB + 5, digest, arena_question(arena), status))
		return false;
	sha256_init(&whole);
	sha256_update(&whole, bytes, 8 * MB + 5);
	sha256_final(&whole, expected);
	assert_memory_equal(digest, expected, SHA256_BYTES);
	return true;
}

static bool
read_all(Arena *arena, Status *status)
{
	ByteSource source;

	source_from_memory(&source, "zeros", bytes, 32 * MB);
	return source_read_all(arena, &source, 32 * MB, status) != NULL;
}

static void
test_memory(void **state)
{
	(void) state;
	bytes = calloc(32, MB);
	assert_non_null(bytes);
	expect(hash, 8);
	expect(read_all, 7);
	free(bytes);
}

typedef struct Element
{
	uint32_t key;
	uint32_t place;
} Element;

static int
compare_keys(const void *a, const void *b)
{
	const Element *x = a;
	const Element *y = b;

	return (x->key > y->key) - (x->key < y->key);
}

static size_t n_elements;

static bool
sort(Arena *arena, Status *status)
{
	Element *elements = arena_alloc_array(arena, n_elements + 1, sizeof *elements);
	uint32_t number = 12345;

	for (size_t i = 0; i < n_elements; i++)
	{
		number = number * 1664525 + 1013904223;
		elements[i] = (Element){number >> 16, (uint32_t) i};
	}
	if (!sort_array(arena, elements, n_elements, sizeof *elements, compare_keys, status))
		return false;
	for (size_t i = 1; i < n_elements; i++)
		assert_true(
			elements[i - 1].key < elements[i].key ||
			(elements[i - 1].key == elements[i].key && elements[i - 1].place < elements[i].place));
	return true;
}

static void
test_sort(void **state)
{
	Status status;

	(void) state;
	for (n_elements = 0; n_elements < 70; n_elements++)
		assert_true(run(sort, 0, &status));
	n_elements = 300007;
	expect(sort, 300007 / 16384 * 16);
}

/* --- JSON --- */

static char *text;
static size_t length;

/* {"a": [ item, item, ... ]} of about so many bytes */
static void
make_json(const char *item, size_t size)
{
	size_t n = strlen(item);

	text = malloc(size + n + 64);
	length = (size_t) sprintf(text, "{\"a\": [%s", item);
	while (length < size)
	{
		text[length++] = ',';
		memcpy(text + length, item, n);
		length += n;
	}
	length += (size_t) sprintf(text + length, "]}");
}

static bool
parse(Arena *arena, Status *status)
{
	return json_open_object(arena, "the text", text, length, 64 * MB, status) != NULL;
}

/* Each kilobyte, and in the look before. */
static void
test_json(void **state)
{
	static const char *const items[] = {"0", "\"abc\"", "{\"a\":{\"b\":[]}}", "12.5e3"};

	(void) state;
	for (size_t i = 0; i < sizeof items / sizeof *items; i++)
	{
		make_json(items[i], MB);
		expect(parse, 1024 + 15);
		free(text);
	}
}

static void
test_json_bounds(void **state)
{
	Arena *arena = arena_create(&allocator_malloc, 4 * MB);
	Status status = {0};

	(void) state;
	/* the values count against the arena's limit, and go with it */
	make_json("0", MB);
	assert_null(json_open_object(arena, "the text", text, length, 64 * MB, &status));
	assert_int_equal(status.code, STATUS_OUT_OF_MEMORY);
	free(text);
	arena_destroy(arena);
	arena = arena_create(&allocator_malloc, 0);
	text = malloc(JSON_MAX_STRING + 64);
	length = (size_t) sprintf(text, "{\"a\": \"");
	memset(text + length, 'x', JSON_MAX_STRING);
	length += JSON_MAX_STRING;
	length += (size_t) sprintf(text + length, "\"}");
	assert_non_null(json_open_object(arena, "the text", text, length, 64 * MB, &status));
	text[length - 2] = 'x';
	assert_null(json_open_object(arena, "the text", text, length, 64 * MB, &status));
	assert_int_equal(status.code, STATUS_LIMIT);
	free(text);
	make_json("{\"a\":0}", (JSON_MAX_MEMBERS + 2) * 8);
	assert_null(json_open_object(arena, "the text", text, length, 64 * MB, &status));
	assert_int_equal(status.code, STATUS_LIMIT);
	free(text);
	arena_destroy(arena);
}

/* --- Vocabularies --- */

#define N_LINES 200000

static bool
read_vocabulary(Arena *arena, Status *status)
{
	VocabText vocab;

	return vocab_text_read(arena, text, length, &vocab, status);
}

static bool
write_tokenizer(Arena *arena, Status *status)
{
	TokenizerSettings settings;

	arena_set_question(arena, NULL);
	if (!tokenizer_settings_default(arena, &settings, status))
		return false;
	settings.vocab = text;
	settings.vocab_length = length;
	arena_set_question(arena, &question);
	return tokenizer_json_write(arena, &settings, status) != NULL;
}

static void
test_vocabulary(void **state)
{
	(void) state;
	text = malloc(N_LINES * 8);
	length = 0;
	for (unsigned i = 0; i < N_LINES; i++)
		length += (size_t) sprintf(text + length, "%x\n", (i * 2654435761U) >> 8);
	/* counted, split, filtered, sorted in 15 passes, thinned out, copied */
	expect(read_vocabulary, N_LINES / 16384 * 18);
	expect(write_tokenizer, N_LINES / 16384);
	free(text);
}

/* --- Prepared blocks --- */

#define ROWS 50000

static const Kernels *kernels;
static Precision precision;
static HeadKind head;
static BlockKind kind; /* of the block that is prepared */

static bool
prepare(Arena *arena, Status *status)
{
	BertConfig config;
	TensorTable table;
	Preparation preparation = {&table, &config, precision, kernels};
	float *floats;
	void *image;
	size_t size;
	size_t elements;
	int block = 0;

	if (!config_default(arena, &config, status))
		return false;
	config.vocab_size = ROWS;
	config.hidden_size = 8;
	config.num_hidden_layers = 1;
	config.num_attention_heads = 1;
	config.intermediate_size = 8;
	if (!tensor_table_build(arena, &config, head, &table, status))
		return false;
	while (table.blocks[block].kind != kind)
		block++;
	if (!prepared_size(&preparation, block, &size, status))
		return false;
	elements = table.blocks[block].elements;
	if (prepared_needs_embeddings(&table, &config, block))
		elements += table.tensors[0].elements; /* the decoder's weights, behind the block's own */
	floats = arena_alloc_array_zero(arena, elements, sizeof *floats);
	image = arena_alloc(arena, size);
	assert_true(floats != NULL && image != NULL);
	return prepared_write(&preparation, block, floats, image, size, &question, status);
}

static void
test_prepared(void **state)
{
	Status status;

	(void) state;
	kernels = kernels_choose("portable", &status);
	assert_non_null(kernels);
	for (precision = PRECISION_FP32; precision < PRECISION_COUNT; precision++)
	{
		head = HEAD_NONE;
		kind = BLOCK_EMBEDDINGS;
		expect(prepare, ROWS / 1024);
		/* the matrix that gives every token a logit is packed */
		head = HEAD_MASKED_LM;
		kind = BLOCK_HEAD;
		expect(prepare, ROWS);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_memory),     cmocka_unit_test(test_sort),
		cmocka_unit_test(test_json),       cmocka_unit_test(test_json_bounds),
		cmocka_unit_test(test_vocabulary), cmocka_unit_test(test_prepared),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
