/*
 * test_catalogue.c: every damaged model folder of the catalogue is refused with its status and
 * message, read from memory and from a directory.
 *
 * "test_catalogue --write DIR" writes each case as the folder DIR/name instead, and DIR/cases.tsv
 * with name, status code ("none" for those that must work) and message fragment, for tests at a
 * higher level.
 */
#define _GNU_SOURCE

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <ftw.h>
#include <unistd.h>

#include "catalogue_cases.h"
#include "failing_allocator.h"
#include "nn/folder.h"

#define N_CASES (sizeof catalogue / sizeof catalogue[0])

static const char tokenizer_json[] =
	"{\"version\": \"1.0\", \"truncation\": null, \"padding\": null, \"added_tokens\": [],\n"
	"\"normalizer\": {\"type\": \"BertNormalizer\", \"clean_text\": true, "
	"\"handle_chinese_chars\": true, \"strip_accents\": null, \"lowercase\": true},\n"
	"\"pre_tokenizer\": {\"type\": \"BertPreTokenizer\"},\n"
	"\"post_processor\": {\"type\": \"TemplateProcessing\", \"single\": [{\"SpecialToken\": "
	"{\"id\": \"[CLS]\", \"type_id\": 0}}, "
	"{\"Sequence\": {\"id\": \"A\", \"type_id\": 0}}, {\"SpecialToken\": {\"id\": \"[SEP]\", "
	"\"type_id\": 0}}], "
	"\"pair\": [{\"SpecialToken\": {\"id\": \"[CLS]\", \"type_id\": 0}}, {\"Sequence\": {\"id\": "
	"\"A\", \"type_id\": 0}}, "
	"{\"SpecialToken\": {\"id\": \"[SEP]\", \"type_id\": 0}}, {\"Sequence\": {\"id\": \"B\", "
	"\"type_id\": 1}}, {\"SpecialToken\": {\"id\": \"[SEP]\", \"type_id\": 1}}]},\n"
	"\"decoder\": {\"type\": \"WordPiece\", \"prefix\": \"##\", \"cleanup\": true},\n"
	"\"model\": {\"type\": \"WordPiece\", \"unk_token\": \"[UNK]\", \"continuing_subword_prefix\": "
	"\"##\", \"max_input_chars_per_word\": 100,\n"
	"\"vocab\": {\"[PAD]\": 0, \"[UNK]\": 1, \"[CLS]\": 2, \"[SEP]\": 3, \"[MASK]\": 4, \"a\": 5, "
	"\"b\": 6, \"c\": 7, \"##a\": 8, \"##b\": 9, \"##c\": 10, \"d\": 11}}}\n";

static void
make_shards(Folder *folder)
{
	static const char *const names[] = {FIRST_SHARD, "model-00002-of-00002.safetensors"};
	CheckpointDeclaration *tensors;
	size_t count = folder_declare(folder, HEAD_SEQUENCE_CLASSIFICATION, DTYPE_F32, &tensors);
	char *index = must(arena_alloc(folder->arena, 16384));
	char *at = stpcpy(index, "{\"metadata\": {\"total_size\": 1}, \"weight_map\": {");

	folder_remove(folder, WEIGHTS);
	weights_make(folder, names[0], tensors, count / 2);
	weights_make(folder, names[1], tensors + count / 2, count - count / 2);
	for (size_t i = 0; i < count; i++)
		at += sprintf(at, "%s\"%s\": \"%s\"", i == 0 ? "" : ", ", tensors[i].name,
					  names[i >= count / 2]);
	strcpy(at, "}}");
	folder_text(folder, INDEX, index);
}

/* Sets a member of a JSON object that has one member a line. */
static void
set_member(Folder *folder, const char *file, const char *member, const char *value)
{
	char line[1024];
	char start[128];
	FolderFile *text = folder_find(folder, file);
	char *old;

	snprintf(start, sizeof start, "\n\"%s\": ", member);
	old = strstr(text->bytes, start);
	if (old != NULL)
	{
		size_t length = strcspn(old + 1, "\n") + 1;
		bool comma = old[length - 1] == ',';

		snprintf(line, sizeof line, "%s%s%s", start, value, comma ? "," : "");
		folder_splice(folder, file, (size_t) (old - text->bytes), length, line, strlen(line));
	}
	else
	{
		snprintf(line, sizeof line, "%s%s,", start, value);
		folder_splice(folder, file, 1, 0, line, strlen(line));
	}
}

static void
make_sentence(Folder *folder)
{
	folder_text(folder, "modules.json",
				"[{\"idx\": 0, \"name\": \"0\", \"path\": \"\", \"type\": "
				"\"sentence_transformers.models.Transformer\"}, "
				"{\"idx\": 1, \"name\": \"1\", \"path\": \"1_Pooling\", \"type\": "
				"\"sentence_transformers.models.Pooling\"}, "
				"{\"idx\": 2, \"name\": \"2\", \"path\": \"2_Normalize\", \"type\": "
				"\"sentence_transformers.models.Normalize\"}]");
	folder_text(folder, "1_Pooling/config.json",
				"{\"word_embedding_dimension\": 4, \"pooling_mode_mean_tokens\": true, "
				"\"pooling_mode_cls_token\": false}");
}

static void
make_dense(Folder *folder)
{
	static const CheckpointDeclaration tensors[] = {
		{"linear.weight", DTYPE_F32, 2, {3, 4}},
		{"linear.bias", DTYPE_F32, 1, {3}},
	};

	make_sentence(folder);
	folder_replace(folder, "modules.json", "2_Normalize", "2_Dense");
	folder_replace(folder, "modules.json", "models.Normalize", "models.Dense");
	folder_text(folder, "2_Dense/config.json", "{\"in_features\": 4, \"out_features\": 3}");
	weights_make(folder, "2_Dense/model.safetensors", tensors, 2);
}

static void
make_folder(const Case *c, Arena *arena, Folder *folder)
{
	folder_tiny(arena, folder);
	if (c->base == WITH_JSON)
	{
		folder_remove(folder, VOCAB);
		folder_text(folder, JSON, tokenizer_json);
	}
	else if (c->base == SHARDED)
		make_shards(folder);
	else if (c->base == SENTENCE)
		make_sentence(folder);
	else if (c->base == DENSE)
		make_dense(folder);
	switch (c->change)
	{
		case SET:
			set_member(folder, c->file, c->a, c->b);
			break;
		case REPLACE:
			folder_replace(folder, c->file, c->a, c->b);
			break;
		case HEADER:
			weights_replace(folder, c->file, c->a, c->b);
			break;
		case TEXT:
			folder_text(folder, c->file, c->a);
			break;
		case REMOVE:
			folder_remove(folder, c->file);
			break;
		case CALL:
			c->function(folder);
			break;
	}
}

/* What an import does: everything is opened and checked, then every block read. */
static StatusCode
read_model(ModelSource *source, const Allocator *allocator, Status *status)
{
	Arena *arena = arena_create(allocator, 0);
	ModelFolder folder;
	bool ok;

	memset(status, 0, sizeof *status);
	if (arena == NULL)
		return status_fail(status, STATUS_OUT_OF_MEMORY, "out of memory"), status->code;
	ok = modelfolder_open(arena, source, &(FolderChoice){0}, &folder, NULL, status);
	for (int b = 0; ok && b < folder.table.n_blocks; b++)
	{
		float *data = arena_alloc_array(arena, folder.table.blocks[b].elements, sizeof *data);

		ok = data != NULL ? load_block(&folder.plan, &folder.config, b, 1, data, NULL, status)
						  : arena_fail(arena, status, "a block", 0);
	}
	arena_destroy(arena);
	return ok ? STATUS_NONE : status->code;
}

static bool
as_expected(const Case *c, const char *where, StatusCode code, const Status *status)
{
	if (code == c->code && (code == STATUS_NONE || strstr(status->message, c->fragment) != NULL))
		return true;
	print_error("%s from %s: status %d, \"%s\"; expected %d, \"%s\"\n", c->name, where, (int) code,
				status->message, (int) c->code, c->fragment);
	return false;
}

static int
remove_entry(const char *path, const struct stat *st, int type, struct FTW *walk)
{
	(void) st;
	(void) type;
	(void) walk;
	return remove(path);
}

static void
test_cases(void **state)
{
	char root[] = "/tmp/bert_catalogue_XXXXXX";
	size_t passed = 0;
	size_t weights = 0;
	size_t refused = 0;

	(void) state;
	assert_non_null(mkdtemp(root));
	for (size_t i = 0; i < N_CASES; i++)
	{
		const Case *c = &catalogue[i];
		Arena *arena = must(arena_create(&allocator_malloc, 0));
		Folder folder;
		Status status;
		char path[256];
		ModelSource *source;
		bool good;

		make_folder(c, arena, &folder);
		good = as_expected(c, "memory",
						   read_model(folder_source(&folder), &allocator_malloc, &status), &status);
		snprintf(path, sizeof path, "%s/%s", root, c->name);
		assert_true(folder_write(&folder, path));
		source = modelsource_open_directory(arena, path, &status);
		assert_non_null(source);
		good &=
			as_expected(c, "a directory", read_model(source, &allocator_malloc, &status), &status);
		modelsource_close(source);
		arena_destroy(arena);
		passed += good;
		refused += c->code != STATUS_NONE;
		weights += c->code != STATUS_NONE && c->file != NULL && strcmp(c->file, WEIGHTS) == 0;
	}
	nftw(root, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
	print_message("%zu/%zu cases as expected from memory and from a directory; %zu must be "
				  "refused, %zu of them for the safetensors file\n",
				  passed, N_CASES, refused, weights);
	assert_int_equal(passed, N_CASES);
	assert_true(refused >= 120 && weights >= 45);
}

/*
 * Every allocation of the arena fails once: an error each time, and nothing is kept. (malloc, which
 * json.c turns to when the arena refuses, is not made to fail: jansson's scanner would run past its
 * buffer, which is why json.c asks for the memory before it parses.)
 */
static void
test_allocation_failures(void **state)
{
	size_t tried = 0;
	size_t longest = 0;

	(void) state;
	for (size_t i = 0; i < N_CASES; i++)
	{
		const Case *c = &catalogue[i];
		Arena *arena;
		Folder folder;

		if (c->code != STATUS_NONE && c->function != NULL)
			continue; /* some are large, and the small ones' paths are others' too */
		arena = must(arena_create(&allocator_malloc, 0));
		make_folder(c, arena, &folder);
		for (long n = 0;; n++)
		{
			Failing failing = {n, 0};
			Allocator allocator = failing_allocator(&failing);
			Status status;
			StatusCode code = read_model(folder_source(&folder), &allocator, &status);

			if (failing.held != 0)
				fail_msg("%s: %ld pieces kept after allocation %ld failed", c->name, failing.held,
						 n);
			if (failing.until_failure >= 0)
			{
				longest = (size_t) n > longest ? (size_t) n : longest;
				break; /* it was never reached: all have failed once */
			}
			if (code == STATUS_NONE)
				fail_msg("%s was read although allocation %ld failed", c->name, n);
			tried++;
		}
		arena_destroy(arena);
	}
	print_message("%zu/%zu allocations failed once without harm, at most %zu for one folder\n",
				  tried, tried, longest);
	assert_true(tried > 200);
}

static int
write_cases(const char *root)
{
	char path[512];
	FILE *list;

	mkdir(root, 0755);
	snprintf(path, sizeof path, "%s/cases.tsv", root);
	list = fopen(path, "w");
	if (list == NULL)
		return 1;
	for (size_t i = 0; i < N_CASES; i++)
	{
		static const char *const codes[] = {"none",  "22023", "22P04", "22021",
											"58P01", "0A000", "54000"};
		Arena *arena = must(arena_create(&allocator_malloc, 0));
		Folder folder;

		make_folder(&catalogue[i], arena, &folder);
		snprintf(path, sizeof path, "%s/%s", root, catalogue[i].name);
		if (!folder_write(&folder, path))
			return 1;
		fprintf(list, "%s\t%s\t%s\n", catalogue[i].name, codes[catalogue[i].code],
				catalogue[i].fragment);
		arena_destroy(arena);
	}
	return fclose(list) == 0 ? 0 : 1;
}

int
main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_cases),
		cmocka_unit_test(test_allocation_failures),
	};

	if (argc == 3 && strcmp(argv[1], "--write") == 0)
		return write_cases(argv[2]);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
