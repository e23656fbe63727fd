/*
 * test_tasks.c: entities, answers, masks, pseudo-perplexity, generation and pruning against what
 * the reference's pipelines gave (test/golden/pipelines-*.json), with plain C in fp32; and what
 * windows must keep.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>

#include "files/json.h"
#include "model_fixture.h"
#include "near.h"
#include "nn/answers.h"
#include "nn/entities.h"
#include "nn/fill.h"
#include "nn/generate.h"
#include "nn/prune.h"

#define SCORE_LIMIT 1e-5

static Arena *arena;
static Status status;
static json_t *results_5;
static json_t *results_4;
static double worst; /* largest difference of a score */

static json_t *
read_results(const char *path)
{
	size_t size = 0;
	unsigned char *text = fixture_read_file(arena, path, &size);

	return text == NULL
			   ? NULL
			   : json_open_object(arena, path, (const char *) text, size, 1024 * 1024, &status);
}

static int
setup(void **state)
{
	arena = arena_create(&allocator_malloc, 0);
	results_5 = read_results(GOLDEN "/pipelines-5.json");
	results_4 = read_results(GOLDEN "/pipelines-4.json");
	return results_5 == NULL || results_4 == NULL;
}

static int
teardown(void **state)
{
	arena_destroy(arena);
	return 0;
}

static int
begin(void **state)
{
	worst = 0.0;
	return 0;
}

static const Kernels *
kernels(void)
{
	const Kernels *found = kernels_choose("auto", &status);

	if (found == NULL)
		fail_msg("%s", status.message);
	return found;
}

static Fixture
load(const char *name, HeadKind head)
{
	char folder[200];
	Fixture fixture;

	snprintf(folder, sizeof folder, GOLDEN "/models/%s", name);
	if (!fixture_load(arena, folder, "config.json", head, PRECISION_FP32, kernels(), &fixture,
					  &status))
		fail_msg("%s: %s", name, status.message);
	return fixture;
}

static Tokenizer *
load_tokenizer(const char *name)
{
	char folder[200];
	Tokenizer *tokenizer;

	snprintf(folder, sizeof folder, GOLDEN "/models/%s", name);
	tokenizer = fixture_tokenizer(arena, folder, &status);
	if (tokenizer == NULL)
		fail_msg("%s: %s", name, status.message);
	return tokenizer;
}

static EncodeResult
encode(const Tokenizer *tokenizer, const char *text, const char *pair, int max_length, int stride,
	   bool overflow)
{
	EncodeOptions options = {true, pair == NULL ? TRUNCATE_LONGEST_FIRST : TRUNCATE_ONLY_SECOND,
							 max_length, stride, overflow};
	EncodeResult result;

	if (!tokenizer_encode(tokenizer, arena,
						  &(EncodeInput){text, strlen(text), pair, pair == NULL ? 0 : strlen(pair)},
						  &options, NULL, &result, &status))
		fail_msg("%s", status.message);
	return result;
}

static const char *
text_of(const json_t *object, const char *name)
{
	const char *text = json_string_value(json_object_get(object, name));

	assert_non_null(text);
	return text;
}

/* The cases of this name, at least so many. */
static const json_t *
entries(const json_t *results, const char *name, size_t least)
{
	const json_t *cases = json_object_get(results, name);

	assert_true(json_array_size(cases) >= least);
	return cases;
}

static void
check_score(double got, const json_t *expected, const char *where)
{
	double difference = fabs(got - json_number_value(json_object_get(expected, "score")));

	if (!(difference <= SCORE_LIMIT))
		fail_msg("%s: score %g is off by %g", where, got, difference);
	worst = fmax(worst, difference);
}

static void
check_place(const json_t *expected, uint32_t start, uint32_t end, const char *where)
{
	if (json_integer_value(json_object_get(expected, "start")) != start ||
		json_integer_value(json_object_get(expected, "end")) != end)
		fail_msg("%s: characters %u to %u where the reference has %lld to %lld", where, start, end,
				 (long long) json_integer_value(json_object_get(expected, "start")),
				 (long long) json_integer_value(json_object_get(expected, "end")));
}

static void
test_entities(void **state)
{
	Fixture fixture = load("tagger", HEAD_TOKEN_CLASSIFICATION);
	Tokenizer *tokenizer = load_tokenizer("tagger");
	size_t index;
	json_t *entry;
	size_t compared = 0;

	json_array_foreach(entries(results_5, "entities", 30), index, entry)
	{
		const char *text = text_of(entry, "text");
		const json_t *expected = json_object_get(entry, "entities");
		EncodeResult encoded = encode(tokenizer, text, NULL, 40, 0, false);
		Aggregation aggregation;
		ScoredTokens tokens;
		Entity *entities;
		size_t n = 0;

		assert_true(aggregation_parse(text_of(entry, "aggregation"), &aggregation, &status));
		if (!score_tokens(fixture.model, &encoded, 0, arena, &tokens, NULL, &status) ||
			!group_entities(&tokens,
							&(EntityRequest){&fixture.config, tokenizer, text, strlen(text),
											 aggregation, false},
							arena, &entities, &n, &status))
			fail_msg("%s: %s", text, status.message);
		assert_int_equal(n, json_array_size(expected));
		for (size_t i = 0; i < n; i++, compared++)
		{
			const json_t *one = json_array_get(expected, i);

			assert_string_equal(entities[i].label, text_of(one, "label"));
			assert_string_equal(entities[i].word, text_of(one, "word"));
			assert_int_equal(entities[i].index, json_integer_value(json_object_get(one, "index")));
			check_place(one, entities[i].start, entities[i].end, text);
			check_score(entities[i].score, one, text);
		}
	}
	printf("# entities: %zu of %zu equal, scores within %.1e\n", compared, compared, worst);
	assert_true(compared > 50);
	assert_false(aggregation_parse("middle", (Aggregation[1]){AGGREGATE_NONE}, &status));
}

/*
 * Every token of a long text appears once, in order, with the scores of the window that shows it
 * most context.
 */
static void
test_windows(void **state)
{
	Fixture fixture = load("tagger", HEAD_TOKEN_CLASSIFICATION);
	Tokenizer *tokenizer = load_tokenizer("tagger");
	const char *text = "Mary Smith works at the Berlin office of ACME, doesn't she? John lives in "
					   "New York, the cat lives in Paris and works at 10.";
	EncodeResult whole = encode(tokenizer, text, NULL, 4000, 0, false);

	for (int max_length = 8; max_length <= 40; max_length += 4)
		for (int stride = 0; stride < max_length - 3; stride += 3)
		{
			EncodeResult encoded = encode(tokenizer, text, NULL, max_length, stride, true);
			WindowMap map;
			ScoredTokens tokens;

			if (!windows_map(&encoded, (size_t) stride, arena, &map, &status) ||
				!score_tokens(fixture.model, &encoded, (size_t) stride, arena, &tokens, NULL,
							  &status))
				fail_msg("%s", status.message);
			assert_int_equal(map.n_tokens, whole.windows[0].n - 2);
			for (size_t t = 0; t < map.n_tokens; t++)
			{
				const Encoding *window = &encoded.windows[map.tokens[t].window];
				size_t position = map.tokens[t].position;
				size_t margin = position - 1 < window->n - 2 - position ? position - 1
																		: window->n - 2 - position;

				assert_int_equal(tokens.ids[t], whole.windows[0].ids[t + 1]);
				assert_int_equal(tokens.starts[t], whole.windows[0].starts[t + 1]);
				assert_int_equal(tokens.ends[t], whole.windows[0].ends[t + 1]);
				for (size_t w = 0; w < encoded.n_windows; w++)
					for (size_t i = 1; i + 1 < encoded.windows[w].n; i++)
						if (encoded.windows[w].starts[i] == window->starts[position])
							assert_true((i - 1 < encoded.windows[w].n - 2 - i
											 ? i - 1
											 : encoded.windows[w].n - 2 - i) <= margin);
			}
		}
}

static void
test_answers(void **state)
{
	Fixture fixture = load("answerer", HEAD_QUESTION_ANSWERING);
	Tokenizer *tokenizer = load_tokenizer("answerer");
	size_t index;
	json_t *entry;
	size_t compared = 0;

	json_array_foreach(entries(results_4, "answers", 5), index, entry)
	{
		const char *context = text_of(entry, "context");
		const json_t *expected = json_object_get(entry, "answers");
		EncodeResult encoded = encode(tokenizer, text_of(entry, "question"), context, 40, 10, true);
		AnswerOptions options = {6, 12, json_is_true(json_object_get(entry, "null_answer"))};
		Answer *answers;
		size_t n;

		if (!answer_question(&(AnswerRequest){fixture.model, &encoded, &options}, arena, &answers,
							 &n, NULL, &status))
			fail_msg("%s: %s", context, status.message);
		assert_int_equal(n, json_array_size(expected));
		for (size_t i = 0; i < n; i++, compared++)
		{
			check_place(json_array_get(expected, i), answers[i].start, answers[i].end, context);
			check_score(answers[i].score, json_array_get(expected, i), context);
			assert_int_equal(answers[i].is_null,
							 text_of(json_array_get(expected, i), "answer")[0] == '\0');
		}
	}
	printf("# answers: %zu of %zu equal, scores within %.1e\n", compared, compared, worst);
	assert_true(compared >= 25);
}

static void
test_fills(void **state)
{
	Fixture fixture = load("masked_lm", HEAD_MASKED_LM);
	Tokenizer *tokenizer = load_tokenizer("masked_lm");
	EncodeResult encoded = encode(tokenizer, "[MASK]", NULL, 40, 0, false);
	size_t index;
	json_t *entry;
	Fill *fills;
	size_t n;

	json_array_foreach(entries(results_5, "fills", 3), index, entry)
	{
		const json_t *expected = json_object_get(entry, "fills");

		encoded = encode(tokenizer, text_of(entry, "text"), NULL, 40, 0, false);
		if (!fill_masks(&(FillRequest){fixture.model, tokenizer, &encoded.windows[0], 4}, arena,
						&fills, &n, NULL, &status))
			fail_msg("%s", status.message);
		assert_int_equal(n, json_array_size(expected));
		for (size_t i = 0; i < n; i++)
		{
			const json_t *one = json_array_get(expected, i);

			assert_int_equal(fills[i].mask, json_integer_value(json_object_get(one, "mask")));
			assert_int_equal(fills[i].token_id,
							 json_integer_value(json_object_get(one, "token_id")));
			assert_string_equal(fills[i].token, text_of(one, "token"));
			assert_string_equal(fills[i].sequence, text_of(one, "sequence"));
			check_score(fills[i].score, one, text_of(entry, "text"));
		}
	}
	printf("# masks: scores within %.1e\n", worst);
	if (!fill_masks(&(FillRequest){fixture.model, tokenizer, &encoded.windows[0], 100000}, arena,
					&fills, &n, NULL, &status))
		fail_msg("%s", status.message);
	assert_int_equal(n, fixture.config.vocab_size);
	encoded = encode(tokenizer, "the cat", NULL, 40, 0, false);
	assert_false(fill_masks(&(FillRequest){fixture.model, tokenizer, &encoded.windows[0], 4}, arena,
							&fills, &n, NULL, &status));
	assert_int_equal(status.code, STATUS_INVALID_ARGUMENT);
}

static void
test_perplexity(void **state)
{
	Fixture fixture = load("masked_lm", HEAD_MASKED_LM);
	Tokenizer *tokenizer = load_tokenizer("masked_lm");
	EncodeResult encoded;
	size_t index;
	json_t *entry;
	double perplexity;

	json_array_foreach(entries(results_5, "perplexities", 3), index, entry)
	{
		double expected = json_number_value(json_object_get(entry, "perplexity"));

		encoded = encode(tokenizer, text_of(entry, "text"), NULL, 40, 10, true);
		if (!pseudo_perplexity(&(PerplexityRequest){fixture.model, tokenizer, &encoded, 10}, arena,
							   &perplexity, NULL, &status))
			fail_msg("%s", status.message);
		if (!(fabs(perplexity - expected) / expected <= SCORE_LIMIT))
			fail_msg("%s: %g, not %g", text_of(entry, "text"), perplexity, expected);
		worst = fmax(worst, fabs(perplexity - expected) / expected);
	}
	printf("# pseudo-perplexity: within %.1e of itself\n", worst);
	encoded = encode(tokenizer, "", NULL, 40, 0, false);
	assert_true(pseudo_perplexity(&(PerplexityRequest){fixture.model, tokenizer, &encoded, 0},
								  arena, &perplexity, NULL, &status));
	assert_true(isnan(perplexity));
}

static size_t
read_ids(const json_t *array, int32_t *out)
{
	for (size_t i = 0; i < json_array_size(array); i++)
		out[i] = (int32_t) json_integer_value(json_array_get(array, i));
	return json_array_size(array);
}

static void
test_generation(void **state)
{
	Fixture fixture = load("causal_lm", HEAD_CAUSAL_LM);
	GenerateOptions options = {.max_new_tokens = 100, .top_p = 1.0f, .stop_id = -1};
	size_t index;
	json_t *entry;
	int32_t prompt[40];
	int32_t expected[40];
	int32_t *ids;
	size_t n;

	json_array_foreach(entries(results_5, "generations", 3), index, entry)
	{
		size_t n_prompt = read_ids(json_object_get(entry, "prompt"), prompt);
		size_t n_expected = read_ids(json_object_get(entry, "ids"), expected);

		if (!generate_tokens(&(GenerateRequest){fixture.model, prompt, n_prompt, &options}, arena,
							 &ids, &n, NULL, &status))
			fail_msg("%s", status.message);
		assert_int_equal(n, n_expected);
		assert_memory_equal(ids, expected, n * sizeof(int32_t));
		options.stop_id = expected[2];
		assert_true(generate_tokens(&(GenerateRequest){fixture.model, prompt, n_prompt, &options},
									arena, &ids, &n, NULL, &status));
		for (size_t i = 0; i < n; i++)
			assert_int_not_equal(ids[i], options.stop_id);
		assert_true(n <= 2);
		options.stop_id = -1;
	}
	assert_false(generate_tokens(&(GenerateRequest){fixture.model, prompt, 0, &options}, arena,
								 &ids, &n, NULL, &status));
	assert_false(generate_tokens(&(GenerateRequest){fixture.model, prompt, 41, &options}, arena,
								 &ids, &n, NULL, &status));
	options.temperature = NAN;
	assert_false(generate_tokens(&(GenerateRequest){fixture.model, prompt, 1, &options}, arena,
								 &ids, &n, NULL, &status));
}

/* What is sampled is what the reference's warpers leave, as often as they say. */
static void
test_sampling(void **state)
{
	Fixture fixture = load("causal_lm", HEAD_CAUSAL_LM);
	const json_t *warpers = json_object_get(results_5, "warpers");
	const int draws = 3000;
	int32_t prompt[40];
	size_t n_prompt = read_ids(json_object_get(warpers, "prompt"), prompt);
	size_t index;
	json_t *entry;

	json_array_foreach(entries(warpers, "cases", 4), index, entry)
	{
		const json_t *top_k = json_object_get(entry, "top_k");
		const json_t *top_p = json_object_get(entry, "top_p");
		GenerateOptions options = {
			.max_new_tokens = 1,
			.temperature = (float) json_number_value(json_object_get(entry, "temperature")),
			.top_k = top_k == NULL ? 0 : (size_t) json_integer_value(top_k),
			.top_p = top_p == NULL ? 1.0f : (float) json_number_value(top_p),
			.stop_id = -1,
		};
		int counts[128] = {0};
		int again;

		for (int seed = 0; seed < draws; seed++)
		{
			ArenaMark mark = arena_mark(arena);
			int32_t *ids;
			size_t n;

			options.seed = (uint64_t) seed;
			if (!generate_tokens(&(GenerateRequest){fixture.model, prompt, n_prompt, &options},
								 arena, &ids, &n, NULL, &status))
				fail_msg("%s", status.message);
			again = ids[0];
			counts[ids[0]]++;
			assert_true(
				generate_tokens(&(GenerateRequest){fixture.model, prompt, n_prompt, &options},
								arena, &ids, &n, NULL, &status));
			assert_int_equal(ids[0], again);
			arena_rewind(arena, mark);
		}
		for (int id = 0; id < fixture.config.vocab_size; id++)
		{
			char key[16];
			double p;

			snprintf(key, sizeof key, "%d", id);
			p = json_number_value(json_object_get(json_object_get(entry, "probabilities"), key));
			if (p == 0.0 && counts[id] > 0)
				fail_msg("case %zu: token %d should never be sampled", index, id);
			if (!is_near(counts[id], draws * p, 5.0 * sqrt(draws * p * (1.0 - p)) + 1.0))
				fail_msg("case %zu: token %d sampled %d times of %d, probability %g", index, id,
						 counts[id], draws, p);
		}
	}
}

/* Heads pruned in memory give the model that the reference pruned. */
static void
test_pruning(void **state)
{
	Fixture unpruned = load("unpruned", HEAD_SEQUENCE_CLASSIFICATION);
	Fixture expected = load("pruned", HEAD_SEQUENCE_CLASSIFICATION);
	int first[] = {0};
	int second[] = {2, 0};
	int other[] = {1};
	int all[] = {0, 1, 2};
	PrunedHeads prune_first[] = {{0, 1, first}};
	PrunedHeads prune_rest[] = {{1, 1, other}, {0, 2, second}};
	PrunedHeads prune_all = {1, 3, all};
	PrunedHeads outside = {7, 1, first};
	Fixture stages[2];

	/* in two steps, the second naming a head that is gone already */
	for (int stage = 0; stage < 2; stage++)
	{
		const Fixture *before = stage == 0 ? &unpruned : &stages[0];
		Fixture *after = &stages[stage];

		if (!config_prune_heads(arena, &before->config, stage == 0 ? prune_first : prune_rest,
								stage + 1, &after->config, &status) ||
			!tensor_table_build(arena, &after->config, HEAD_SEQUENCE_CLASSIFICATION, &after->table,
								&status))
			fail_msg("%s", status.message);
		after->blocks = arena_alloc_array(arena, (size_t) after->table.n_blocks, sizeof(float *));
		for (int b = 0; b < after->table.n_blocks; b++)
		{
			after->blocks[b] = fixture_block(arena, after, b);
			prune_layer(&before->table, &before->config, &after->table, &after->config, b,
						before->blocks[b], after->blocks[b]);
		}
	}
	assert_int_equal(stages[1].table.elements, expected.table.elements);
	for (int b = 0; b < expected.table.n_blocks; b++)
		assert_memory_equal(stages[1].blocks[b], expected.blocks[b],
							expected.table.blocks[b].elements * sizeof(float));
	assert_int_equal(stages[1].config.n_pruned, expected.config.n_pruned);
	for (int i = 0; i < expected.config.n_pruned; i++)
	{
		assert_int_equal(stages[1].config.pruned_heads[i].layer,
						 expected.config.pruned_heads[i].layer);
		assert_int_equal(stages[1].config.pruned_heads[i].n_heads,
						 expected.config.pruned_heads[i].n_heads);
	}
	assert_false(
		config_prune_heads(arena, &unpruned.config, &prune_all, 1, &stages[0].config, &status));
	assert_false(
		config_prune_heads(arena, &unpruned.config, &outside, 1, &stages[0].config, &status));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_entities, begin),
		cmocka_unit_test_setup(test_windows, begin),
		cmocka_unit_test_setup(test_answers, begin),
		cmocka_unit_test_setup(test_fills, begin),
		cmocka_unit_test_setup(test_perplexity, begin),
		cmocka_unit_test_setup(test_generation, begin),
		cmocka_unit_test_setup(test_sampling, begin),
		cmocka_unit_test_setup(test_pruning, begin),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
