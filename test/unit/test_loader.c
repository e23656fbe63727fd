/* test_loader.c: keys, report, values and initialization of what is missing; names of an export. */
#define _GNU_SOURCE

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "arena_fixture.h"
#include "folder_fixture.h"
#include "nn/folder.h"

static void
open_folder(Folder *folder, HeadKind head, ModelFolder *model)
{
	Status status;

	if (!modelfolder_open(folder->arena, folder_source(folder), &(FolderChoice){&head, NULL}, model,
						  NULL, &status))
		fail_msg("%s", status.message);
}

/* "loaded" ... for a key, NULL when the report has no line for it; the report is sorted. */
static const char *
line_of(const ModelFolder *model, const char *key)
{
	const char *found = NULL;

	for (size_t i = 0; i < model->plan.report.n_lines; i++)
	{
		const KeyReportLine *line = &model->plan.report.lines[i];

		if (i > 0 && !line->of_file)
			assert_true(strcmp(line[-1].key, line->key) < 0);
		if (strcmp(line->key, key) == 0)
			found = key_status_name(line->status);
	}
	return found;
}

static size_t
count_of(const ModelFolder *model, KeyStatus status)
{
	size_t n = 0;

	for (size_t i = 0; i < model->plan.report.n_lines; i++)
		n += model->plan.report.lines[i].status == status;
	return n;
}

static float *
block_of(Folder *folder, const ModelFolder *model, BlockKind kind, int layer)
{
	int block = tensor_table_block(&model->table, kind, layer);
	float *data =
		must(arena_alloc_array(folder->arena, model->table.blocks[block].elements, sizeof *data));
	Status status;

	if (!load_block(&model->plan, &model->config, block, 7, data, NULL, &status))
		fail_msg("%s", status.message);
	return data;
}

static void
test_own_head(void **state)
{
	Folder folder;
	ModelFolder model;

	folder_tiny(*state, &folder);
	open_folder(&folder, HEAD_SEQUENCE_CLASSIFICATION, &model);
	assert_int_equal(count_of(&model, KEY_LOADED), model.table.n_tensors);
	assert_int_equal(model.plan.report.n_lines, model.table.n_tensors);
	for (int i = 0; i < model.table.n_tensors; i++)
	{
		const TensorSpec *spec = &model.table.tensors[i];
		float *data = block_of(&folder, &model, model.table.blocks[spec->block].kind,
							   model.table.blocks[spec->block].layer);

		for (size_t e = 0; e < spec->elements; e++)
			assert_true(data[spec->offset + e] == sample_value(spec->name, e));
	}
}

/* The same weights as F16, BF16, F64 and I8 give the same numbers: the samples are exact in each.
 */
static void
test_formats(void **state)
{
	static const TensorDtype dtypes[] = {DTYPE_F32, DTYPE_F16, DTYPE_BF16, DTYPE_F64};

	for (size_t d = 0; d < sizeof dtypes / sizeof dtypes[0]; d++)
	{
		Folder folder;
		ModelFolder model;
		CheckpointDeclaration *tensors;
		size_t count;
		float *words;

		folder_tiny(*state, &folder);
		count = folder_declare(&folder, HEAD_SEQUENCE_CLASSIFICATION, dtypes[d], &tensors);
		weights_make(&folder, "model.safetensors", tensors, count);
		open_folder(&folder, HEAD_SEQUENCE_CLASSIFICATION, &model);
		words = block_of(&folder, &model, BLOCK_EMBEDDINGS, -1);
		for (size_t e = 0; e < 48; e++)
			assert_true(words[e] == sample_value(tensors[0].name, e));
		tensors[0].dtype = DTYPE_I8;
		tensors[count] = (CheckpointDeclaration){
			"bert.embeddings.word_embeddings.weight.scale", DTYPE_F32, 1, {12}};
		weights_make(&folder, "model.safetensors", tensors, count + 1);
		open_folder(&folder, HEAD_SEQUENCE_CLASSIFICATION, &model);
		assert_string_equal(line_of(&model, tensors[count].name), "loaded");
		words = block_of(&folder, &model, BLOCK_EMBEDDINGS, -1);
		for (size_t e = 0; e < 48; e++)
			assert_true(words[e] == sample_value(tensors[0].name, e) * 8 *
										sample_value(tensors[count].name, e / 4));
	}
}

/* Another head on the same checkpoint. */
static void
test_other_heads(void **state)
{
	Folder folder;
	ModelFolder model;
	const TensorSpec *spec;
	float *data;

	folder_tiny(*state, &folder);
	open_folder(&folder, HEAD_MASKED_LM, &model);
	assert_string_equal(line_of(&model, "cls.predictions.transform.LayerNorm.weight"), "missing");
	assert_string_equal(line_of(&model, "cls.predictions.bias"), "missing");
	assert_string_equal(line_of(&model, "cls.predictions.decoder.bias"), "missing");
	assert_string_equal(line_of(&model, "classifier.weight"), "unexpected");
	assert_string_equal(line_of(&model, "bert.pooler.dense.weight"), "ignored");
	data = block_of(&folder, &model, BLOCK_HEAD, -1);
	spec = tensor_table_role(&model.table, ROLE_TRANSFORM_NORM_WEIGHT, -1);
	for (size_t e = 0; e < spec->elements; e++)
		assert_true(data[spec->offset + e] == 1);
	spec = tensor_table_role(&model.table, ROLE_DECODER_BIAS, -1);
	for (size_t e = 0; e < spec->elements; e++)
		assert_true(data[spec->offset + e] == 0);
	spec = tensor_table_role(&model.table, ROLE_TRANSFORM_WEIGHT, -1);
	for (size_t e = 0; e < spec->elements; e++)
		assert_true(data[spec->offset + e] != 0 && data[spec->offset + e] > -0.2f &&
					data[spec->offset + e] < 0.2f);

	open_folder(&folder, HEAD_NONE, &model);
	assert_true(model.config.use_pooler);
	assert_string_equal(line_of(&model, "bert.pooler.dense.weight"), "loaded");
	assert_string_equal(line_of(&model, "classifier.bias"), "unexpected");
	assert_int_equal(count_of(&model, KEY_MISSING), 0);
}

/* Without prefix, with old names and buffers, into the masked language model. */
static void
test_published_names(void **state)
{
	Folder folder;
	ModelFolder model;
	CheckpointDeclaration *tensors;
	size_t count;

	folder_tiny(*state, &folder);
	folder_replace(&folder, "config.json", "BertForSequenceClassification", "BertForMaskedLM");
	count = folder_declare(&folder, HEAD_MASKED_LM, DTYPE_F32, &tensors);
	for (size_t i = 0; i < count; i++)
	{
		if (strcmp(tensors[i].name, "cls.predictions.bias") == 0)
			tensors[i].name = "cls.predictions.decoder.bias";
		else if (strcmp(tensors[i].name, "cls.predictions.transform.LayerNorm.weight") == 0)
			tensors[i].name = "cls.predictions.transform.LayerNorm.gamma";
		else if (strncmp(tensors[i].name, "bert.", 5) == 0)
			tensors[i].name += 5;
	}
	tensors[count++] = (CheckpointDeclaration){"embeddings.position_ids", DTYPE_F32, 2, {1, 8}};
	tensors[count++] = (CheckpointDeclaration){"cls.seq_relationship.weight", DTYPE_F32, 2, {2, 4}};
	weights_make(&folder, "model.safetensors", tensors, count);
	open_folder(&folder, HEAD_MASKED_LM, &model);
	assert_int_equal(count_of(&model, KEY_MISSING), 0);
	assert_int_equal(count_of(&model, KEY_LOADED), model.table.n_tensors);
	assert_string_equal(line_of(&model, "embeddings.position_ids"), "ignored");
	assert_string_equal(line_of(&model, "cls.predictions.decoder.bias"), "loaded");
	assert_string_equal(line_of(&model, "cls.seq_relationship.weight"), "unexpected");
}

/* The bytes of a tensor in the folder's weights. */
static char *
bytes_of(Folder *folder, const CheckpointDeclaration *tensors, const char *name)
{
	char *file = folder_find(folder, "model.safetensors")->bytes;
	uint64_t at;

	memcpy(&at, file, sizeof at);
	at += sizeof at;
	for (; strcmp(tensors->name, name) != 0; tensors++)
		at += sizeof(float) * (uint64_t) tensors->shape[0] *
			  (uint64_t) (tensors->rank == 2 ? tensors->shape[1] : 1);
	return file + at;
}

/*
 * The decoder's matrix and bias beside those that they are tied to: equal copies are nothing to
 * tell, others count, whatever config.json says.
 */
static void
test_tied(void **state)
{
	static const char weight[] = "cls.predictions.decoder.weight";
	static const char bias[] = "cls.predictions.decoder.bias";
	Folder folder;
	ModelFolder model;
	CheckpointDeclaration *tensors;
	size_t count;

	folder_tiny(*state, &folder);
	folder_replace(&folder, "config.json", "BertForSequenceClassification", "BertForMaskedLM");
	count = folder_declare(&folder, HEAD_MASKED_LM, DTYPE_F32, &tensors);
	tensors[count++] = (CheckpointDeclaration){weight, DTYPE_F32, 2, {12, 4}};
	tensors[count++] = (CheckpointDeclaration){bias, DTYPE_F32, 1, {12}};
	weights_make(&folder, "model.safetensors", tensors, count);

	open_folder(&folder, HEAD_MASKED_LM, &model); /* both differ */
	assert_false(model.config.tie_word_embeddings);
	assert_string_equal(line_of(&model, weight), "loaded");
	assert_string_equal(line_of(&model, bias), "loaded");
	assert_string_equal(line_of(&model, "config.json: tie_word_embeddings"), "ignored");
	assert_string_equal(line_of(&model, "model.safetensors: cls.predictions.bias"), "ignored");
	assert_int_equal(count_of(&model, KEY_MISSING) + count_of(&model, KEY_UNEXPECTED), 0);

	memcpy(bytes_of(&folder, tensors, weight),
		   bytes_of(&folder, tensors, "bert.embeddings.word_embeddings.weight"), 12 * 4 * 4);
	open_folder(&folder, HEAD_MASKED_LM, &model); /* the bias differs */
	assert_true(model.config.tie_word_embeddings);
	assert_string_equal(line_of(&model, bias), "loaded");
	assert_string_equal(line_of(&model, "model.safetensors: cls.predictions.bias"), "ignored");
	assert_int_equal(count_of(&model, KEY_LOADED), model.table.n_tensors);

	memcpy(bytes_of(&folder, tensors, bias), bytes_of(&folder, tensors, "cls.predictions.bias"),
		   12 * 4);
	open_folder(&folder, HEAD_MASKED_LM, &model); /* nothing differs */
	assert_true(model.config.tie_word_embeddings);
	assert_int_equal(count_of(&model, KEY_LOADED), model.plan.report.n_lines);

	for (size_t i = 0; i < count; i++)
		if (strcmp(tensors[i].name, "bert.embeddings.word_embeddings.weight") == 0)
			tensors[i--] = tensors[--count];
	weights_make(&folder, "model.safetensors", tensors, count);
	open_folder(&folder, HEAD_MASKED_LM, &model); /* the decoder's is the only one */
	assert_true(model.config.tie_word_embeddings);
	assert_memory_equal(block_of(&folder, &model, BLOCK_EMBEDDINGS, -1),
						bytes_of(&folder, tensors, weight), 12 * 4 * 4);
}

/* Other names than the reference's: the hint says which, and what to take away. */
static void
test_foreign_names(void **state)
{
	Folder folder;
	ModelFolder model;
	Status status;
	CheckpointDeclaration *tensors;
	size_t count;

	folder_tiny(*state, &folder);
	count = folder_declare(&folder, HEAD_SEQUENCE_CLASSIFICATION, DTYPE_F32, &tensors);
	for (size_t i = 0; i < count; i++)
	{
		char *name = must(arena_alloc(*state, 128));

		snprintf(name, 128, "module.%s", tensors[i].name);
		tensors[i].name = name;
	}
	weights_make(&folder, "model.safetensors", tensors, count);
	assert_false(modelfolder_open(*state, folder_source(&folder), &(FolderChoice){0}, &model, NULL,
								  &status));
	assert_non_null(strstr(status.hint, "\"module.bert.embeddings."));
	assert_non_null(strstr(status.hint, "without the \"module.bert.\""));
}

static void
test_which_head(void **state)
{
	for (int head = 0; head < HEAD_REPLACED_TOKEN; head++)
	{
		Folder folder;
		ModelFolder model;
		Status status;
		CheckpointDeclaration *tensors;
		size_t count;
		int expected = head == HEAD_CAUSAL_LM         ? HEAD_MASKED_LM
					   : head == HEAD_MULTIPLE_CHOICE ? HEAD_SEQUENCE_CLASSIFICATION
													  : head;

		folder_tiny(*state, &folder);
		folder_replace(&folder, "config.json", "\"BertForSequenceClassification\"", "");
		count = folder_declare(&folder, (HeadKind) head, DTYPE_F32, &tensors);
		weights_make(&folder, "model.safetensors", tensors, count);
		memset(&status, 0, sizeof status);
		if (modelfolder_open(*state, folder_source(&folder), &(FolderChoice){0}, &model, NULL,
							 &status))
			assert_int_equal(model.head, expected);
		else
			/* one row, and only the config could say why */
			assert_int_equal(head, HEAD_MULTIPLE_CHOICE);
	}
}

/* What export_declarations names is what the reference's class has. */
static void
test_export(void **state)
{
	Folder folder;
	ModelFolder model;
	CheckpointDeclaration *declarations;
	int *tensors;
	size_t count;
	Status status;
	bool found = false;

	folder_tiny(*state, &folder);
	open_folder(&folder, HEAD_NONE, &model);
	assert_true(
		export_declarations(*state, &model.table, -1, &declarations, &tensors, &count, &status));
	assert_int_equal(count, model.table.n_tensors);
	assert_string_equal(declarations[0].name, "embeddings.word_embeddings.weight");
	folder_replace(&folder, "config.json", "{\n", "{\n\"tie_word_embeddings\": false,\n");
	open_folder(&folder, HEAD_MASKED_LM, &model);
	assert_true(
		export_declarations(*state, &model.table, -1, &declarations, &tensors, &count, &status));
	assert_int_equal(count, model.table.n_tensors + 1);
	for (size_t i = 0; i < count; i++)
		if (strcmp(declarations[i].name, "cls.predictions.decoder.bias") == 0)
			found = model.table.tensors[tensors[i]].role == ROLE_DECODER_BIAS;
	assert_true(found);
	weights_make(&folder, "model.safetensors", declarations, count);
	open_folder(&folder, HEAD_MASKED_LM, &model);
	assert_int_equal(count_of(&model, KEY_MISSING) + count_of(&model, KEY_UNEXPECTED), 0);
	/* the decoder's own bias is the one that counts */
	assert_string_equal(line_of(&model, "cls.predictions.decoder.bias"), "loaded");
	assert_string_equal(line_of(&model, "model.safetensors: cls.predictions.bias"), "ignored");
}

static bool
never(void *context)
{
	return ++*(int *) context > 3;
}

static void
test_cancelled(void **state)
{
	Folder folder;
	ModelFolder model;
	int asked = 3;
	MayContinue stop = {never, &asked};
	Status status;
	float data[512];

	folder_tiny(*state, &folder);
	open_folder(&folder, HEAD_SEQUENCE_CLASSIFICATION, &model);
	assert_true(model.table.blocks[0].elements <= 512);
	assert_true(load_block(&model.plan, &model.config, 0, 1, data, &stop, &status));
	asked = 0;
	assert_false(load_block(&model.plan, &model.config, 0, 1, data, &stop, &status));
	assert_int_equal(status.code, STATUS_CANCELLED);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_own_head),    cmocka_unit_test(test_formats),
		cmocka_unit_test(test_other_heads), cmocka_unit_test(test_published_names),
		cmocka_unit_test(test_tied),        cmocka_unit_test(test_foreign_names),
		cmocka_unit_test(test_which_head),  cmocka_unit_test(test_export),
		cmocka_unit_test(test_cancelled),
	};

	return cmocka_run_group_tests(tests, open_arena, close_arena);
}
