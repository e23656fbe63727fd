/* test_tokenizer_files.c: which file decides what: every combination of what a tokenizer's files
 * may say, against what the reference's AutoTokenizer makes of it
 * (test/golden/generate_tokenizer_files.py). */
#define _GNU_SOURCE

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <jansson.h>

#include "files/tokenizer_files.h"
#include "folder_fixture.h"
#include "tokenizer/tokenizer.h"

#define GOLDEN "test/golden/tokenizer_files.json"

static json_t *golden;

/* A case's folder: one option of each dimension, members of one file put together. */
static void
make_folder(const json_t *product, size_t number, Folder *folder, char *description)
{
	const json_t *dimensions = json_object_get(product, "dimensions");
	json_t *files = json_pack("{s:o}", "config.json", json_copy(json_object_get(golden, "config")));
	const char *name;
	json_t *content;

	description[0] = '\0';
	for (size_t d = json_array_size(dimensions); d-- > 0;)
	{
		const json_t *options = json_array_get(dimensions, d);
		json_t *option = json_array_get(options, number % json_array_size(options));

		number /= json_array_size(options);
		json_object_foreach(option, name, content)
		{
			json_t *known = json_object_get(files, name);
			char *text = json_dumps(content, JSON_COMPACT | JSON_ENCODE_ANY);

			if (strlen(description) + strlen(text) < 4000)
				sprintf(description + strlen(description), "%s %.200s; ", name, text);
			free(text);
			if (known == NULL || json_is_string(content))
				json_object_set_new(files, name, json_copy(content));
			else
				json_object_update(known, content);
		}
	}
	json_object_foreach(files, name, content)
	{
		char *text = json_is_string(content) ? strdup(json_string_value(content))
											 : json_dumps(content, JSON_COMPACT);

		folder_text(folder, must(arena_strdup(folder->arena, name)), text);
		free(text);
	}
	json_decref(files);
}

static bool
same(const json_t *wanted, const int32_t *values, size_t n)
{
	if (json_array_size(wanted) != n)
		return false;
	for (size_t i = 0; i < n; i++)
		if (json_integer_value(json_array_get(wanted, i)) != values[i])
			return false;
	return true;
}

/* Whether our tokenizer of the folder does what the outcome says; null: it is refused. */
static bool
agrees(Folder *folder, const json_t *outcome, Status *status)
{
	const json_t *probes = json_object_get(golden, "probes");
	TokenizerContext context = {.rows = 64};
	TokenizerSettings settings;
	unsigned char *image;
	size_t length;
	Tokenizer *tokenizer;

	memset(status, 0, sizeof *status);
	if (!tokenizer_files_read(folder->arena, folder_source(folder), &context, &settings, status) ||
		!tokenizer_compile(folder->arena, &settings, &image, &length, status) ||
		(tokenizer = tokenizer_open(folder->arena, image, length, status)) == NULL)
		return json_is_null(outcome);
	if (json_is_null(outcome) ||
		json_integer_value(json_array_get(outcome, 0)) != settings.model_max_length)
		return false;
	assert_true(json_array_size(probes) >= 3);
	for (size_t i = 0; i < json_array_size(probes); i++)
	{
		const json_t *probe = json_array_get(probes, i);
		const char *text = json_string_value(json_array_get(probe, 0));
		const char *pair = json_string_value(json_array_get(probe, 1));
		EncodeOptions options = {.special_tokens = true, .truncation = TRUNCATE_NONE};
		EncodeResult result;

		if (!tokenizer_encode(
				tokenizer, folder->arena,
				&(EncodeInput){text, strlen(text), pair, pair == NULL ? 0 : strlen(pair)}, &options,
				NULL, &result, status))
			return false;
		if (!same(json_array_get(outcome, 1 + i * 2), result.windows[0].ids, result.windows[0].n) ||
			!same(json_array_get(outcome, 2 + i * 2), result.windows[0].type_ids,
				  result.windows[0].n))
			return false;
	}
	return true;
}

static void
test_all_combinations(void **state)
{
	const json_t *products = json_object_get(golden, "products");
	const json_t *outcomes = json_object_get(golden, "outcomes");
	size_t compared = 0;
	size_t different = 0;

	(void) state;
	for (size_t p = 0; p < json_array_size(products); p++)
	{
		const json_t *product = json_array_get(products, p);
		const json_t *cases = json_object_get(product, "cases");

		assert_true(json_array_size(cases) > 0);
		for (size_t i = 0; i < json_array_size(cases); i++)
		{
			Arena *arena = arena_create(&allocator_malloc, 0);
			Folder *folder = must(arena_alloc_zero(arena, sizeof *folder));
			size_t number = (size_t) json_integer_value(json_array_get(cases, i));
			char description[8192];
			Status status;

			folder->arena = arena;
			make_folder(product, i, folder, description);
			compared++;
			if (!agrees(folder, json_array_get(outcomes, number), &status))
			{
				different++;
				if (different <= 10)
					print_error("%s %zu: %s\n  %s\n",
								json_string_value(json_object_get(product, "name")), i, description,
								status.message);
			}
			arena_destroy(arena);
		}
	}
	print_message("%zu/%zu combinations as the reference\n", compared - different, compared);
	assert_int_equal(different, 0);
	assert_true(compared > 6000);
}

static int
load(void **state)
{
	json_error_t error;

	(void) state;
	golden = json_load_file(GOLDEN, 0, &error);
	if (golden == NULL)
		fail_msg("%s:%d: %s", GOLDEN, error.line, error.text);
	return 0;
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_all_combinations),
	};

	return cmocka_run_group_tests(tests, load, NULL);
}
