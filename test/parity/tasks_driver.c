/*
 * tasks_driver.c: runs tasks on a model folder for test/parity/tasks.py.
 *
 *     tasks_driver MODEL_FOLDER HEAD KERNEL < tasks.json > results.json
 *
 * tasks.json is an array of {"task": "entities", "text", "aggregation"}, {"task": "answers",
 * "question", "context", "top_k", "max_answer_tokens", "stride", "max_length", "null_answer"} and
 * {"task": "fill", "text", "top_k"}; results.json an array of arrays of objects with the reference
 * pipelines' member names.
 */
#include <jansson.h>

#include "model_fixture.h"
#include "nn/answers.h"
#include "nn/entities.h"
#include "nn/fill.h"

typedef struct Driver
{
	Fixture fixture;
	Tokenizer *tokenizer;
} Driver;

static const char *
text_of(const json_t *task, const char *name)
{
	const char *text = json_string_value(json_object_get(task, name));

	return text == NULL ? "" : text;
}

static int
int_of(const json_t *task, const char *name)
{
	return (int) json_integer_value(json_object_get(task, name));
}

/* Parameters: the options of encoding that tasks differ in. */
static bool
encode(const Driver *driver, Arena *arena, const char *text, const char *pair, int max_length,
	   int stride, bool overflow, EncodeResult *encoded, Status *status)
{
	EncodeOptions options = {true, pair == NULL ? TRUNCATE_LONGEST_FIRST : TRUNCATE_ONLY_SECOND,
							 max_length, stride, overflow};

	return tokenizer_encode(
		driver->tokenizer, arena,
		&(EncodeInput){text, strlen(text), pair, pair == NULL ? 0 : strlen(pair)}, &options, NULL,
		encoded, status);
}

static bool
entities(const Driver *driver, const json_t *task, Arena *arena, json_t *results, Status *status)
{
	const char *text = text_of(task, "text");
	EncodeResult encoded;
	ScoredTokens tokens;
	Aggregation aggregation;
	Entity *found;
	size_t n;

	if (!aggregation_parse(text_of(task, "aggregation"), &aggregation, status) ||
		!encode(driver, arena, text, NULL, driver->fixture.config.max_position_embeddings, 0, false,
				&encoded, status) ||
		!score_tokens(driver->fixture.model, &encoded, 0, arena, &tokens, NULL, status) ||
		!group_entities(&tokens,
						&(EntityRequest){&driver->fixture.config, driver->tokenizer, text,
										 strlen(text), aggregation, false},
						arena, &found, &n, status))
		return false;
	for (size_t i = 0; i < n; i++)
		json_array_append_new(results,
							  json_pack("{s:s,s:s,s:f,s:i,s:i}", "label", found[i].label, "word",
										found[i].word, "score", (double) found[i].score, "start",
										(int) found[i].start, "end", (int) found[i].end));
	return true;
}

static bool
answers(const Driver *driver, const json_t *task, Arena *arena, json_t *results, Status *status)
{
	AnswerOptions options = {(size_t) int_of(task, "top_k"),
							 (size_t) int_of(task, "max_answer_tokens"),
							 json_is_true(json_object_get(task, "null_answer"))};
	EncodeResult encoded;
	Answer *found;
	size_t n;

	if (!encode(driver, arena, text_of(task, "question"), text_of(task, "context"),
				int_of(task, "max_length"), int_of(task, "stride"), true, &encoded, status) ||
		!answer_question(&(AnswerRequest){driver->fixture.model, &encoded, &options}, arena, &found,
						 &n, NULL, status))
		return false;
	for (size_t i = 0; i < n; i++)
		json_array_append_new(results,
							  json_pack("{s:f,s:i,s:i}", "score", (double) found[i].score, "start",
										(int) found[i].start, "end", (int) found[i].end));
	return true;
}

static bool
fill(const Driver *driver, const json_t *task, Arena *arena, json_t *results, Status *status)
{
	EncodeResult encoded;
	Fill *found;
	size_t n;

	if (!encode(driver, arena, text_of(task, "text"), NULL,
				driver->fixture.config.max_position_embeddings, 0, false, &encoded, status) ||
		!fill_masks(&(FillRequest){driver->fixture.model, driver->tokenizer, &encoded.windows[0],
								   (size_t) int_of(task, "top_k")},
					arena, &found, &n, NULL, status))
		return false;
	for (size_t i = 0; i < n; i++)
		json_array_append_new(results,
							  json_pack("{s:f,s:i,s:s,s:s}", "score", (double) found[i].score,
										"token", (int) found[i].token_id, "token_str",
										found[i].token, "sequence", found[i].sequence));
	return true;
}

int
main(int argc, char **argv)
{
	Arena *arena = arena_create(&allocator_malloc, 0);
	json_t *tasks = json_loadf(stdin, 0, NULL);
	json_t *all = json_array();
	const Kernels *kernels;
	HeadKind head;
	Status status = {0};
	Driver driver;
	json_t *task;
	size_t index;

	if (argc != 4 || tasks == NULL)
	{
		fprintf(stderr, "usage: %s MODEL_FOLDER HEAD KERNEL < tasks.json\n", argv[0]);
		return 2;
	}
	kernels = kernels_choose(argv[3], &status);
	if (kernels == NULL || !head_kind_parse(argv[2], &head, &status) ||
		!fixture_load(arena, argv[1], "config.json", head, PRECISION_FP32, kernels, &driver.fixture,
					  &status) ||
		(driver.tokenizer = fixture_tokenizer(arena, argv[1], &status)) == NULL)
	{
		fprintf(stderr, "%s\n", status.message);
		return 1;
	}
	json_array_foreach(tasks, index, task)
	{
		const char *kind = text_of(task, "task");
		json_t *results = json_array();
		ArenaMark mark = arena_mark(arena);

		if (!(strcmp(kind, "entities") == 0  ? entities
			  : strcmp(kind, "answers") == 0 ? answers
											 : fill)(&driver, task, arena, results, &status))
		{
			fprintf(stderr, "task %zu: %s\n", index, status.message);
			return 1;
		}
		json_array_append_new(all, results);
		arena_rewind(arena, mark);
	}
	json_dumpf(all, stdout, JSON_REAL_PRECISION(9));
	json_decref(all);
	json_decref(tasks);
	arena_destroy(arena);
	return 0;
}
