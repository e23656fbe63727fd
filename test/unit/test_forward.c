/*
 * test_forward.c: what a forward pass must keep beyond its numbers: sequences of a packed batch do
 * not see each other, every allocation may fail, every question may be answered with no, memory
 * stays within what was announced, bad batches and damaged images are refused.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>

#include "core/rng.h"
#include "kernels/choose.h"
#include "kernels/portable.h"
#include "model_fixture.h"
#include "near.h"
#include "nn/answers.h"
#include "nn/entities.h"
#include "nn/fill.h"
#include "nn/generate.h"
#include "nn/select.h"

static Arena *arena;
static Status status;

static int
setup(void **state)
{
	arena = arena_create(&allocator_malloc, 0);
	return arena == NULL;
}

static int
teardown(void **state)
{
	arena_destroy(arena);
	return 0;
}

static Fixture
load(const char *name, HeadKind head, Precision precision)
{
	char folder[200];
	Fixture fixture = {0};
	const Kernels *kernels = kernels_choose("auto", &status);

	snprintf(folder, sizeof folder, GOLDEN "/models/%s", name);
	if (kernels == NULL ||
		!fixture_load(arena, folder, "config.json", head, precision, kernels, &fixture, &status))
		fail_msg("%s: %s", name, status.message);
	return fixture;
}

/* Sequences of 1, 2, 3 ... tokens. */
static Batch
staircase(size_t n_sequences, int vocab, uint8_t *mask)
{
	size_t n_tokens = n_sequences * (n_sequences + 1) / 2;
	int32_t *bounds = arena_alloc_array(arena, n_sequences + 1, sizeof(int32_t));
	int32_t *ids = arena_alloc_array(arena, n_tokens, sizeof(int32_t));
	Batch batch = {
		.n_sequences = n_sequences, .cu_seqlens = bounds, .input_ids = ids, .attention_mask = mask};

	bounds[0] = 0;
	for (size_t b = 0; b < n_sequences; b++)
		bounds[b + 1] = bounds[b] + (int32_t) b + 1;
	for (size_t t = 0; t < n_tokens; t++)
	{
		ids[t] = (int32_t) ((t * 7919) % (size_t) vocab);
		if (mask != NULL)
			mask[t] = t % 5 != 3;
	}
	return batch;
}

/* A sequence computed in a batch is what it is alone. */
static void
test_packing(void **state)
{
	Fixture fixture = load("bare", HEAD_NONE, PRECISION_FP32);
	uint8_t mask[30 * 31 / 2];
	ForwardWants wants = {.pooler_output = true, .hidden_states = true, .attentions = true};
	size_t hidden = (size_t) fixture.config.hidden_size;

	for (int pass = 0; pass < 4; pass++)
	{
		Batch batch = staircase(30, fixture.config.vocab_size, pass % 2 == 0 ? NULL : mask);
		EncoderOutput together;

		wants.attentions = pass >= 2;
		if (!encoder_forward(fixture.model, &batch, &wants, arena, &together, NULL, &status))
			fail_msg("%s", status.message);
		for (size_t b = 0; b < batch.n_sequences; b++)
		{
			size_t first = (size_t) batch.cu_seqlens[b];
			int32_t bounds[2] = {0, batch.cu_seqlens[b + 1] - batch.cu_seqlens[b]};
			Batch single = {.n_sequences = 1,
							.cu_seqlens = bounds,
							.input_ids = batch.input_ids + first,
							.attention_mask =
								batch.attention_mask == NULL ? NULL : batch.attention_mask + first};
			EncoderOutput alone;

			assert_true(
				encoder_forward(fixture.model, &single, &wants, arena, &alone, NULL, &status));
			for (size_t i = 0; i < (size_t) bounds[1] * hidden; i++)
				assert_near(alone.last_hidden_state[i],
							together.last_hidden_state[first * hidden + i], 2e-6);
			for (size_t i = 0; i < hidden; i++)
				assert_near(alone.pooler_output[i], together.pooler_output[b * hidden + i], 2e-6);
		}
	}
}

/* Where only first tokens are read they are what they are otherwise, to the last bit. */
static void
test_first_tokens(void **state)
{
	uint8_t mask[30 * 31 / 2];

	for (int precision = 0; precision < PRECISION_COUNT; precision++)
		for (int masked = 0; masked < 2; masked++)
		{
			Fixture fixture = load("bare", HEAD_NONE, (Precision) precision);
			Batch batch = staircase(30, fixture.config.vocab_size, masked ? mask : NULL);
			size_t hidden = (size_t) fixture.config.hidden_size;
			ForwardWants wants = {.pooler_output = true};
			EncoderOutput all;
			EncoderOutput first;

			assert_true(encoder_forward(fixture.model, &batch, &wants, arena, &all, NULL, &status));
			wants.first_tokens = true;
			assert_true(
				encoder_forward(fixture.model, &batch, &wants, arena, &first, NULL, &status));
			assert_memory_equal(first.pooler_output, all.pooler_output,
								batch.n_sequences * hidden * sizeof(float));
			for (size_t b = 0; b < batch.n_sequences; b++)
				assert_memory_equal(first.last_hidden_state + (size_t) batch.cu_seqlens[b] * hidden,
									all.last_hidden_state + (size_t) batch.cu_seqlens[b] * hidden,
									hidden * sizeof(float));
			/* it was left out */
			assert_memory_not_equal(first.last_hidden_state, all.last_hidden_state,
									(size_t) batch.cu_seqlens[30] * hidden * sizeof(float));
			wants.hidden_states = true;
			assert_true(
				encoder_forward(fixture.model, &batch, &wants, arena, &first, NULL, &status));
			assert_memory_equal(first.last_hidden_state, all.last_hidden_state,
								(size_t) batch.cu_seqlens[30] * hidden * sizeof(float));
		}
}

/* More sequences than the pooler takes at a time, and than a block has rows. */
static void
test_many_sequences(void **state)
{
	enum
	{
		SEQUENCES = 300
	};
	Fixture fixture = load("bare", HEAD_NONE, PRECISION_FP32);
	ForwardWants wants = {.pooler_output = true};
	size_t hidden = (size_t) fixture.config.hidden_size;
	int32_t bounds[SEQUENCES + 1] = {0};
	int32_t ids[SEQUENCES * 3];
	Batch batch = {.n_sequences = SEQUENCES, .cu_seqlens = bounds, .input_ids = ids};
	EncoderOutput together;
	float *pooled = arena_alloc_array(arena, SEQUENCES * hidden, sizeof(float));
	PoolingModes pooler = pooling_single(POOLING_POOLER);

	for (int b = 0; b < SEQUENCES; b++)
		bounds[b + 1] = bounds[b] + 1 + b % 3;
	for (int t = 0; t < bounds[SEQUENCES]; t++)
		ids[t] = (t * 7919) % fixture.config.vocab_size;
	if (!encoder_forward(fixture.model, &batch, &wants, arena, &together, NULL, &status))
		fail_msg("%s", status.message);
	assert_true(pool_forward(fixture.model, &batch, together.last_hidden_state,
							 &(PoolCall){&pooler, NULL}, arena, pooled, &status));
	assert_memory_equal(pooled, together.pooler_output, SEQUENCES * hidden * sizeof(float));
	for (int b = 0; b < SEQUENCES; b++)
	{
		int32_t own[2] = {0, bounds[b + 1] - bounds[b]};
		Batch single = {.n_sequences = 1, .cu_seqlens = own, .input_ids = ids + bounds[b]};
		EncoderOutput alone;

		assert_true(encoder_forward(fixture.model, &single, &wants, arena, &alone, NULL, &status));
		for (size_t i = 0; i < hidden; i++)
			assert_near(alone.pooler_output[i], pooled[(size_t) b * hidden + i], 2e-6);
	}
}

#define RANDOM_HIDDEN 128

static void
random_model(Fixture *fixture)
{
	Rng rng;

	assert_true(config_default(arena, &fixture->config, &status));
	fixture->config.hidden_size = RANDOM_HIDDEN;
	fixture->config.num_attention_heads = 4;
	fixture->config.num_hidden_layers = 2;
	fixture->config.intermediate_size = 256;
	fixture->config.vocab_size = 500;
	fixture->config.use_pooler = false;
	assert_true(tensor_table_build(arena, &fixture->config, HEAD_NONE, &fixture->table, &status));
	fixture->blocks = arena_alloc_array(arena, (size_t) fixture->table.n_blocks, sizeof(float *));
	rng_init(&rng, 1, 0);
	for (int b = 0; b < fixture->table.n_blocks; b++)
	{
		fixture->blocks[b] =
			arena_alloc_array(arena, fixture->table.blocks[b].elements, sizeof(float));
		for (size_t i = 0; i < fixture->table.blocks[b].elements; i++)
			fixture->blocks[b][i] = (float) (rng_uniform(&rng) - 0.5) * 0.5f;
	}
}

/* Each sequence alone gives the same bits as in the batch, and nearly what the plain way gives. */
static void
check_alone(const BertModel *model, const Batch *batch, const EncoderOutput *plain, double limit)
{
	const size_t hidden = RANDOM_HIDDEN;
	EncoderOutput together;

	assert_true(encoder_forward(model, batch, NULL, arena, &together, NULL, &status));
	for (size_t b = 0; b < batch->n_sequences; b++)
	{
		size_t first = (size_t) batch->cu_seqlens[b];
		size_t n = (size_t) batch->cu_seqlens[b + 1] - first;
		int32_t ends[2] = {0, (int32_t) n};
		Batch single = {
			.n_sequences = 1, .cu_seqlens = ends, .input_ids = batch->input_ids + first};
		EncoderOutput alone;

		assert_true(encoder_forward(model, &single, NULL, arena, &alone, NULL, &status));
		assert_memory_equal(alone.last_hidden_state, together.last_hidden_state + first * hidden,
							n * hidden * sizeof(float));
		for (size_t i = 0; i < n * hidden; i++)
			assert_near(alone.last_hidden_state[i], plain->last_hidden_state[first * hidden + i],
						limit);
	}
}

/* Texts of n lengths by every family of our own: what they give does not depend on each other. */
static void
check_lengths(const int *lengths, size_t n, Precision precision, double limit)
{
	Fixture fixture = {0};
	int32_t *bounds = arena_alloc_array(arena, n + 1, sizeof(int32_t));
	Batch batch = {.n_sequences = n, .cu_seqlens = bounds};
	int32_t *ids;
	EncoderOutput plain;

	random_model(&fixture);
	bounds[0] = 0;
	for (size_t b = 0; b < n; b++)
		bounds[b + 1] = bounds[b] + lengths[b];
	ids = arena_alloc_array(arena, (size_t) bounds[n], sizeof(int32_t));
	for (int t = 0; t < bounds[n]; t++)
		ids[t] = t * 7919 % 500;
	batch.input_ids = ids;
	assert_true(fixture_bind(arena, &fixture, PRECISION_FP32, kernels_choose("portable", &status),
							 &status));
	assert_true(encoder_forward(fixture.model, &batch, NULL, arena, &plain, NULL, &status));
	for (const KernelFamily *family = kernel_families; family->kernels != NULL; family++)
		if (family->kernels != &kernels_portable && family->kernels != &kernels_blas &&
			family->usable())
		{
			assert_true(fixture_bind(arena, &fixture, precision, family->kernels, &status));
			check_alone(fixture.model, &batch, &plain, limit);
		}
}

/* Where kernels gain from mixing the rows of a text. */
static void
test_mixed_rows(void **state)
{
	static const int lengths[] = {5, 25, 21, 130, 19, 40, 41, 12, 7, 19, 3};

	check_lengths(lengths, sizeof lengths / sizeof lengths[0], PRECISION_FP32, 2e-5);
}

/* Attention of long texts in int8 is in bytes where that gains: short ones may lie between them. */
static void
test_mixed_attention(void **state)
{
	static const int lengths[] = {5, 63, 130, 70, 40, 19, 64, 95, 96, 97, 12, 250, 31};

	check_lengths(lengths, sizeof lengths / sizeof lengths[0], PRECISION_INT8, 0.2);
}

/* Any rows of the logits, in any order, are those of the whole. */
static void
test_chosen_rows(void **state)
{
	Fixture fixture = load("masked_lm", HEAD_MASKED_LM, PRECISION_FP32);
	Batch batch = staircase(30, fixture.config.vocab_size, NULL);
	size_t vocab = (size_t) fixture.config.vocab_size;
	size_t rows[300];
	EncoderOutput encoded;
	HeadOutput all;
	HeadOutput some;

	for (size_t i = 0; i < 300; i++)
		rows[i] = 464 - (i * 7) % 465;
	assert_true(encoder_forward(fixture.model, &batch, NULL, arena, &encoded, NULL, &status));
	assert_true(head_forward(fixture.model, &(HeadInput){&batch, &encoded, NULL, 0}, arena, &all,
							 NULL, &status));
	assert_true(head_forward(fixture.model, &(HeadInput){&batch, &encoded, rows, 300}, arena, &some,
							 NULL, &status));
	assert_int_equal(all.n_rows, 465);
	assert_int_equal(some.n_rows, 300);
	for (size_t i = 0; i < 300; i++)
		for (size_t v = 0; v < vocab; v++)
			assert_near(some.logits[i * vocab + v], all.logits[rows[i] * vocab + v], 2e-5);
	rows[3] = 465;
	assert_false(head_forward(fixture.model, &(HeadInput){&batch, &encoded, rows, 300}, arena,
							  &some, NULL, &status));
}

/* The heap gives what sorting would. */
static void
test_selection(void **state)
{
	float scores[500];
	Candidate out[500];

	for (size_t n = 1; n <= 500; n += 83)
		for (size_t k = 0; k <= n + 1; k += 1 + k / 4)
		{
			size_t found;

			for (size_t i = 0; i < n; i++)
				scores[i] = (float) ((i * 7919 + k * 31) % 97);
			found = select_largest(scores, n, k, out);
			assert_int_equal(found, k < n ? k : n);
			for (size_t i = 0; i < found; i++)
			{
				size_t before = 0; /* scores that come before this one */

				assert_true(out[i].score == scores[out[i].id]);
				for (size_t j = 0; j < n; j++)
					before += scores[j] > out[i].score ||
							  (scores[j] == out[i].score && (int32_t) j < out[i].id);
				assert_int_equal(before, i);
			}
		}
}

/* An allocator whose calls fail from the countdown's end on. */
static int countdown;

static void *
failing_allocate(void *context, size_t size)
{
	return countdown-- > 0 ? malloc(size) : NULL;
}

static void
failing_release(void *context, void *pointer)
{
	free(pointer);
}

static const Allocator failing = {failing_allocate, failing_release, NULL};

/* One call of everything that computes; each with the arena and question given. */
typedef struct Everything
{
	Fixture bare;
	Fixture tagger;
	Fixture answerer;
	Fixture masked;
	Fixture causal;
	Tokenizer *tagger_words;
	Tokenizer *masked_words;
	EncodeResult tagged;
	EncodeResult answered;
	EncodeResult filled;
	Batch batch;
} Everything;

static EncodeResult
encode(const Tokenizer *tokenizer, const char *text, const char *pair)
{
	EncodeOptions options = {true, pair == NULL ? TRUNCATE_LONGEST_FIRST : TRUNCATE_ONLY_SECOND, 30,
							 5, true};
	EncodeResult result;

	assert_true(tokenizer_encode(
		tokenizer, arena, &(EncodeInput){text, strlen(text), pair, pair == NULL ? 0 : strlen(pair)},
		&options, NULL, &result, &status));
	return result;
}

static void
prepare_everything(Everything *all, Precision precision)
{
	const char *long_text = "Mary works at the big house in New York and John lives in Berlin, the "
							"capital of the world.";

	all->bare = load("bare", HEAD_NONE, precision);
	all->tagger = load("tagger", HEAD_TOKEN_CLASSIFICATION, precision);
	all->answerer = load("answerer", HEAD_QUESTION_ANSWERING, precision);
	all->masked = load("masked_lm", HEAD_MASKED_LM, precision);
	all->causal = load("causal_lm", HEAD_CAUSAL_LM, precision);
	all->tagger_words = fixture_tokenizer(arena, GOLDEN "/models/tagger", &status);
	all->masked_words = fixture_tokenizer(arena, GOLDEN "/models/masked_lm", &status);
	all->tagged = encode(all->tagger_words, long_text, NULL);
	all->answered =
		encode(fixture_tokenizer(arena, GOLDEN "/models/answerer", &status), "where", long_text);
	all->filled = encode(all->masked_words, "the [MASK] of [MASK]", NULL);
	all->batch = staircase(20, all->bare.config.vocab_size, NULL);
	assert_true(all->tagged.n_windows > 1 && all->answered.n_windows > 1);
}

#define N_CALLS 7

static bool
call(int which, const Everything *all, Arena *work, const MayContinue *question)
{
	static const int32_t prompt[] = {2, 70, 71};
	const ForwardWants wants = {.pooler_output = true, .hidden_states = true, .attentions = true};
	const AnswerOptions answer = {5, 10, true};
	const GenerateOptions generate = {
		.max_new_tokens = 10, .temperature = 1.0f, .top_p = 0.9f, .stop_id = -1};
	EncoderOutput encoded;
	ScoredTokens tokens;
	Entity *entities;
	Answer *answers;
	Fill *fills;
	int32_t *ids;
	float pooled[20 * 24];
	PoolingModes pooler = pooling_single(POOLING_POOLER);
	double perplexity;
	size_t n;

	switch (which)
	{
		case 0:
			return encoder_forward(all->bare.model, &all->batch, NULL, work, &encoded, question,
								   &status);
		case 1:
			return encoder_forward(all->bare.model, &all->batch, &wants, work, &encoded, question,
								   &status) &&
				   pool_forward(all->bare.model, &all->batch, encoded.last_hidden_state,
								&(PoolCall){&pooler, NULL}, work, pooled, &status);
		case 2:
			return score_tokens(all->tagger.model, &all->tagged, 5, work, &tokens, question,
								&status) &&
				   group_entities(&tokens,
								  &(EntityRequest){&all->tagger.config, all->tagger_words, "Mary",
												   4, AGGREGATE_AVERAGE, true},
								  work, &entities, &n, &status);
		case 3:
			return answer_question(&(AnswerRequest){all->answerer.model, &all->answered, &answer},
								   work, &answers, &n, question, &status);
		case 4:
			return fill_masks(
				&(FillRequest){all->masked.model, all->masked_words, &all->filled.windows[0], 5},
				work, &fills, &n, question, &status);
		case 5:
			return pseudo_perplexity(
				&(PerplexityRequest){all->masked.model, all->masked_words, &all->filled, 5}, work,
				&perplexity, question, &status);
		default:
			return generate_tokens(&(GenerateRequest){all->causal.model, prompt, 3, &generate},
								   work, &ids, &n, question, &status);
	}
}

static void
test_lack_of_memory(void **state)
{
	Everything all;
	int failures = 0;

	for (int precision = 0; precision < PRECISION_COUNT; precision++)
	{
		prepare_everything(&all, (Precision) precision);
		for (int which = 0; which < N_CALLS; which++)
			for (int allowed = 0;; allowed++)
			{
				Arena *work;
				bool ok;

				countdown = allowed + 1; /* the arena's own struct */
				work = arena_create(&failing, 0);
				assert_non_null(work);
				ok = call(which, &all, work, NULL);
				arena_destroy(work);
				if (ok)
					break;
				assert_int_equal(status.code, STATUS_OUT_OF_MEMORY);
				failures++;
			}
	}
	printf("# %d/%d calls without memory ended with an error\n", failures, failures);
	assert_true(failures > 3 * N_CALLS);
}

static int questions_left;

static bool
ask(void *context)
{
	return questions_left-- > 0;
}

static void
test_cancellation(void **state)
{
	const MayContinue question = {ask, NULL};
	Everything all;
	int cancelled = 0;

	prepare_everything(&all, PRECISION_FP32);
	for (int which = 0; which < N_CALLS; which++)
		for (int allowed = 0;; allowed = allowed < 20 ? allowed + 1 : allowed * 2)
		{
			Arena *work = arena_create(&allocator_malloc, 0);
			bool ok;

			questions_left = allowed;
			ok = call(which, &all, work, &question);
			arena_destroy(work);
			if (ok)
			{
				assert_true(allowed > 0);
				break;
			}
			assert_int_equal(status.code, STATUS_CANCELLED);
			cancelled++;
		}
	printf("# %d/%d calls ended when they were asked to\n", cancelled, cancelled);
}

static void
test_announced_memory(void **state)
{
	for (int precision = 0; precision < PRECISION_COUNT; precision++)
	{
		Fixture fixture = load("bare", HEAD_NONE, (Precision) precision);

		for (int outputs = 0; outputs < 8; outputs++)
			for (size_t n_sequences = 1; n_sequences <= 40; n_sequences += 13)
			{
				Batch batch = staircase(n_sequences, fixture.config.vocab_size, NULL);
				ForwardWants wants = {outputs & 1, (outputs & 2) != 0, (outputs & 4) != 0, false};
				EncoderOutput encoded;
				size_t bytes;
				Arena *work;

				assert_true(encoder_forward_memory(fixture.model, &batch, &wants, &bytes, &status));
				work = arena_create(&allocator_malloc, bytes);
				if (!encoder_forward(fixture.model, &batch, &wants, work, &encoded, NULL, &status))
					fail_msg("%s", status.message);
				assert_true(arena_peak(work) <= bytes);
				arena_destroy(work);
			}
	}
}

static void
refuse(const Fixture *fixture, const Batch *batch)
{
	EncoderOutput encoded;

	assert_false(encoder_forward(fixture->model, batch, NULL, arena, &encoded, NULL, &status));
	assert_int_equal(status.code, STATUS_INVALID_ARGUMENT);
}

static void
test_bad_batches(void **state)
{
	Fixture fixture = load("bare", HEAD_NONE, PRECISION_FP32);
	int32_t bounds[] = {0, 2, 4};
	int32_t empty[] = {0, 2, 2};
	int32_t ids[] = {1, 2, 3, 4};
	int32_t values[] = {0, 1, 2, 0};
	uint8_t mask[] = {1, 0, 1, 1};
	int32_t many[41] = {0};
	int32_t longer[] = {0, 41};
	const Batch good = {.n_sequences = 2,
						.cu_seqlens = bounds,
						.input_ids = ids,
						.token_type_ids = values,
						.position_ids = values,
						.attention_mask = mask};
	Batch batch = good;
	EncoderOutput encoded;

	assert_true(encoder_forward(fixture.model, &batch, NULL, arena, &encoded, NULL, &status));
	for (int i = 0; i < 2; i++)
	{
		ids[2] = i == 0 ? -1 : 97;
		refuse(&fixture, &good);
	}
	ids[2] = 0;
	values[3] = 3; /* a type too many */
	refuse(&fixture, &good);
	values[3] = -1;
	refuse(&fixture, &good);
	values[3] = 0;
	batch.token_type_ids = NULL;
	values[1] = 40; /* a position too many */
	refuse(&fixture, &batch);
	values[1] = 1;
	mask[1] = 2;
	refuse(&fixture, &good);
	mask[1] = 0;
	batch = good;
	batch.cu_seqlens = empty;
	refuse(&fixture, &batch);
	batch.n_sequences = 0;
	refuse(&fixture, &batch);
	batch = (Batch){.n_sequences = 1, .cu_seqlens = longer, .input_ids = many};
	refuse(&fixture, &batch);
	batch = good;
	batch.encoder_hidden_states = (float[24]){0};
	batch.encoder_cu_seqlens = bounds;
	refuse(&fixture, &batch);
	assert_true(encoder_forward(fixture.model, &good, NULL, arena, &encoded, NULL, &status));
}

/* Every byte of an image's header counts, its size and its alignment too. */
static void
test_damaged_images(void **state)
{
	Fixture fixture = load("tagger", HEAD_TOKEN_CLASSIFICATION, PRECISION_FP32);
	const Kernels *kernels = kernels_choose("auto", &status);
	PreparedImage images[8];
	BertModel *model;
	int n = fixture.table.n_blocks;
	int refused = 0;

	assert_true(n <= 8);
	for (int b = 0; b < n; b++)
	{
		assert_true(
			prepared_size(&(Preparation){&fixture.table, &fixture.config, PRECISION_FP32, kernels},
						  b, &images[b].size, &status));
		images[b].bytes = arena_alloc(arena, images[b].size);
		assert_true(prepared_write(
			&(Preparation){&fixture.table, &fixture.config, PRECISION_FP32, kernels}, b,
			fixture.blocks[b], (void *) images[b].bytes, images[b].size, NULL, &status));
	}
	assert_true(bert_model_bind(
		arena, &(Preparation){&fixture.table, &fixture.config, PRECISION_FP32, kernels}, images, n,
		&model, &status));
	for (int b = 0; b < n; b++)
	{
		unsigned char *bytes = (void *) images[b].bytes;

		for (size_t i = 0; i < 256; i++, refused++)
		{
			bytes[i] ^= 0x40;
			assert_false(bert_model_bind(
				arena, &(Preparation){&fixture.table, &fixture.config, PRECISION_FP32, kernels},
				images, n, &model, &status));
			assert_int_equal(status.code, STATUS_INVALID_DATA);
			bytes[i] ^= 0x40;
		}
		images[b].size--;
		assert_false(bert_model_bind(
			arena, &(Preparation){&fixture.table, &fixture.config, PRECISION_FP32, kernels}, images,
			n, &model, &status));
		images[b].size++;
		images[b].bytes = bytes + 1;
		assert_false(bert_model_bind(
			arena, &(Preparation){&fixture.table, &fixture.config, PRECISION_FP32, kernels}, images,
			n, &model, &status));
		images[b].bytes = bytes;
	}
	assert_false(bert_model_bind(
		arena, &(Preparation){&fixture.table, &fixture.config, PRECISION_BF16, kernels}, images, n,
		&model, &status));
	assert_true(bert_model_bind(
		arena, &(Preparation){&fixture.table, &fixture.config, PRECISION_FP32, kernels}, images, n,
		&model, &status));
	printf("# %d/%d damaged headers refused\n", refused, refused);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_packing),         cmocka_unit_test(test_first_tokens),
		cmocka_unit_test(test_many_sequences),  cmocka_unit_test(test_mixed_rows),
		cmocka_unit_test(test_mixed_attention), cmocka_unit_test(test_chosen_rows),
		cmocka_unit_test(test_selection),       cmocka_unit_test(test_lack_of_memory),
		cmocka_unit_test(test_cancellation),    cmocka_unit_test(test_announced_memory),
		cmocka_unit_test(test_bad_batches),     cmocka_unit_test(test_damaged_images),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
