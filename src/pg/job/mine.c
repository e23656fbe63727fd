/*
 * mine.c: bert.mine_negatives: for pairs of texts, other positives that are alike but not right.
 *
 * Texts are embedded and searched on several threads of this process. Between their start and their
 * end nothing of PostgreSQL runs but the question whether to go on, on the calling thread.
 */
#include "pg/server/compat.h"

#include <math.h>
#include <unistd.h>

#include "executor/spi.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/numeric.h"

#include "core/names.h"
#include "pg/infer/corpus.h"
#include "pg/infer/input.h"
#include "pg/job/embedding.h"
#include "pg/job/text_set.h"
#include "pg/model/handle.h"
#include "pg/server/detoast.h"
#include "pg/server/errors.h"
#include "pg/server/memory.h"
#include "pg/server/progress.h"
#include "pg/server/values.h"
#include "train/embedder.h"
#include "train/mining.h"

PG_FUNCTION_INFO_V1(bert_mine_negatives);

#define TEXTS_AT_ONCE 2048
#define MOST_NEGATIVES 1000
#define MOST_SKIPPED 1000000

typedef struct MineOptions
{
	MiningOptions mining;
	char *corpus_query; /* NULL: none */
	int threads;
} MineOptions;

/* One call. */
typedef struct Miner
{
	MineOptions options;
	ModelHandle *handle;
	Predictor predictor;
	EmbeddingOptions embedding; /* of the predictor */
	SampleEncoder encoder;
	Arena *arena;
	TextSet anchors;
	TextSet documents;
	uint64 n_pairs;
	uint64 capacity;
	RelevantPair *pairs; /* (n_pairs): anchors and their positives */
} Miner;

/* --- Options --- */

static double
number_option(const char *name, const JsonbValue *value, double least, double most, bool whole)
{
	double number;

	if (value->type != jbvNumeric)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("option \"%s\" must be a number", name)));
	number = DatumGetFloat8(
		DirectFunctionCall1(numeric_float8_no_overflow, NumericGetDatum(value->val.numeric)));
	if (!(number >= least && number <= most) || (whole && number != floor(number)))
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("option \"%s\" is out of range: %g", name, number),
						errhint("It must be %s from %g to %g.",
								whole ? "a whole number" : "a number", least, most)));
	return number;
}

typedef enum MineOption
{
	MINE_NUM_NEGATIVES,
	MINE_RANGE_MIN,
	MINE_MAX_SCORE,
	MINE_MIN_SCORE,
	MINE_ABSOLUTE_MARGIN,
	MINE_RELATIVE_MARGIN,
	MINE_CORPUS_QUERY,
	MINE_THREADS,
	MINE_OPTIONS
} MineOption;

static const char *const option_names[MINE_OPTIONS] = {
	"num_negatives",   "range_min",       "max_score",    "min_score",
	"absolute_margin", "relative_margin", "corpus_query", "threads"};

static void
set_option(MineOptions *out, MineOption option, const JsonbValue *value)
{
	const char *name = option_names[option];
	MiningOptions *mining = &out->mining;

	switch (option)
	{
		case MINE_NUM_NEGATIVES:
			mining->num_negatives = (size_t) number_option(name, value, 1, MOST_NEGATIVES, true);
			break;
		case MINE_RANGE_MIN:
			mining->range_min = (size_t) number_option(name, value, 0, MOST_SKIPPED, true);
			break;
		case MINE_MAX_SCORE:
			mining->max_score = number_option(name, value, -1e9, 1e9, false);
			break;
		case MINE_MIN_SCORE:
			mining->min_score = number_option(name, value, -1e9, 1e9, false);
			break;
		case MINE_ABSOLUTE_MARGIN:
			mining->absolute_margin = number_option(name, value, 0, 1e9, false);
			break;
		case MINE_RELATIVE_MARGIN:
			mining->relative_margin = number_option(name, value, 0, 1, false);
			break;
		case MINE_CORPUS_QUERY:
			if (value->type != jbvString)
				ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
								errmsg("option \"%s\" must be a string", name)));
			out->corpus_query = pnstrdup(value->val.string.val, value->val.string.len);
			break;
		case MINE_THREADS:
			out->threads = (int) number_option(name, value, 1, COMPUTE_MAX_THREADS, true);
			break;
		case MINE_OPTIONS:
			break;
	}
}

static void
read_options(Jsonb *json, MineOptions *out)
{
	JsonbIterator *iterator = JsonbIteratorInit(&json->root);
	JsonbIteratorToken token;
	JsonbValue value;
	int option = 0;
	Status status;

	*out = (MineOptions){.mining = {.num_negatives = 3,
									.max_score = INFINITY,
									.min_score = -INFINITY,
									.absolute_margin = NAN,
									.relative_margin = NAN}};
	out->threads = (int) Max(1, Min(sysconf(_SC_NPROCESSORS_ONLN), COMPUTE_MAX_THREADS));
	if (!JB_ROOT_IS_OBJECT(json))
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("options must be a JSON object")));
	while ((token = JsonbIteratorNext(&iterator, &value, true)) != WJB_DONE)
		if (token == WJB_KEY)
		{
			option = name_parse(pnstrdup(value.val.string.val, value.val.string.len), "option",
								option_names, MINE_OPTIONS, &status);
			REPORT_UNLESS(option >= 0, &status);
		}
		else if (token == WJB_VALUE && value.type != jbvNull)
			set_option(out, (MineOption) option, &value);
}

/* --- Texts --- */

static uint32
take_text(Miner *miner, TextSet *set, const char *utf8, size_t length)
{
	uint32 number;
	Status status;

	REPORT_UNLESS(text_set_add(set, miner->arena, utf8, length, &number, &status), &status);
	return number;
}

static void
take_pair(Miner *miner, const SampleRow *row)
{
	if (miner->n_pairs == miner->capacity)
	{
		miner->capacity = Max(1024, 2 * miner->capacity);
		miner->pairs = miner->pairs == NULL
						   ? palloc(miner->capacity * sizeof *miner->pairs)
						   : repalloc_huge(miner->pairs, miner->capacity * sizeof *miner->pairs);
	}
	miner->pairs[miner->n_pairs++] =
		(RelevantPair){take_text(miner, &miner->anchors, row->input.bytes, row->input.length),
					   take_text(miner, &miner->documents, row->pair.bytes, row->pair.length)};
}

static void
take_document(void *context, const char *utf8, size_t length)
{
	Miner *miner = context;

	(void) take_text(miner, &miner->documents, utf8, length);
}

static void
read_texts(Miner *miner, const char *text)
{
	MemoryContext caller = CurrentMemoryContext;
	TaskQuery *query;
	TaskRow row;

	SPI_connect();
	query = task_query_open(TRAIN_EMBEDDING, text, "query");
	if (task_query_shape(query) != EMBEDDING_PAIRS || task_query_has_negatives(query))
		ereport(ERROR, (errcode(ERRCODE_UNDEFINED_COLUMN),
						errmsg("the columns of the query are not anchor and positive"),
						errhint("Name them with AS.")));
	while (task_query_next(query, &row))
	{
		MemoryContext old = MemoryContextSwitchTo(caller);

		take_pair(miner, &row.sample);
		progress_add(1);
		MemoryContextSwitchTo(old);
	}
	task_query_close(query);
	if (miner->options.corpus_query != NULL)
		visit_texts(miner->options.corpus_query, "corpus_query", take_document, miner);
	SPI_finish();
	if (miner->n_pairs == 0)
		ereport(ERROR, (errcode(ERRCODE_NO_DATA), errmsg("the query returns no rows")));
}

/* --- Embeddings --- */

static void *
take_memory(Miner *miner, size_t n, size_t size)
{
	void *memory = arena_alloc_array(miner->arena, n, size);
	Status status;

	if (memory == NULL)
		REPORT_UNLESS(arena_fail(miner->arena, &status, "embeddings", n * size), &status);
	return memory;
}

/* Samples of a group of texts, in the arena. */
typedef struct TextGroup
{
	size_t n;
	Sample *samples;
} TextGroup;

static bool
keep_sample(void *context, const Sample *sample, Status *status)
{
	TextGroup *group = context;

	group->samples[group->n++] = *sample;
	return true;
}

/* The embeddings of texts first .. first + n - 1 of the set, on all threads. */
static void
embed_group(Miner *miner, const TextSet *set, size_t first, size_t n, EmbedderCall *call)
{
	ArenaMark mark = arena_mark(miner->arena);
	TextGroup group = {0, take_memory(miner, n, sizeof(Sample))};
	Status status;
	bool ok;

	for (size_t i = 0; i < n; i++)
	{
		SampleRow row = {
			.number = first + i, .input = set->texts[first + i], .shape = EMBEDDING_LABELS};

		REPORT_UNLESS(samples_encode(&miner->encoder, &row, miner->arena, keep_sample, &group,
									 &backend_may_continue, &status),
					  &status);
	}
	call->n = n;
	call->samples = group.samples;
	call->pool = threadpool_create(miner->options.threads, &status);
	REPORT_UNLESS(call->pool != NULL, &status);
	ok = embedder_run(call, &backend_may_continue, &status);
	threadpool_destroy(call->pool);
	REPORT_UNLESS(ok, &status);
	call->out += n * call->columns;
	arena_rewind(miner->arena, mark);
}

/* Embeddings (texts, columns) of length 1, with the prompt of the use. */
static float *
embed_texts(Miner *miner, const TextSet *set, EmbeddingPrompt use, size_t columns)
{
	float *rows = take_memory(miner, set->n, columns * sizeof(float));
	EmbedderCall call = {.predictor = &miner->predictor,
						 .memory = Max(memory_limit() / (Size) miner->options.threads, 1),
						 .columns = columns,
						 .out = rows};
	const char *prompt = miner->encoder.prompts[EMBEDDING_PROMPT_DEFAULT];
	size_t unpooled = miner->embedding.unpooled[EMBEDDING_PROMPT_DEFAULT];

	/* texts one by one are encoded with the default prompt */
	miner->encoder.prompts[EMBEDDING_PROMPT_DEFAULT] = miner->encoder.prompts[use];
	miner->embedding.unpooled[EMBEDDING_PROMPT_DEFAULT] = miner->embedding.unpooled[use];
	for (size_t first = 0; first < set->n; first += TEXTS_AT_ONCE)
	{
		progress_set((int64) first);
		progress_follow((int64) first);
		embed_group(miner, set, first, Min(set->n - first, TEXTS_AT_ONCE), &call);
	}
	miner->encoder.prompts[EMBEDDING_PROMPT_DEFAULT] = prompt;
	miner->embedding.unpooled[EMBEDDING_PROMPT_DEFAULT] = unpooled;
	normalize_rows(set->n, columns, rows);
	return rows;
}

/* --- Search --- */

static Datum
text_datum(const TextSet *set, size_t number)
{
	return PointerGetDatum(output_text(set->texts[number].bytes, set->texts[number].length));
}

static void
put_negatives(FunctionCallInfo fcinfo, const Miner *miner, const MiningData *data,
			  const MinedNegatives *mined)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	bool nulls[4] = {false};

	for (size_t a = 0; a < data->n_anchors; a++)
		for (size_t p = data->positives->starts[a]; p < data->positives->starts[a + 1]; p++)
			for (size_t i = 0; i < mined->counts[a]; i++)
			{
				const Neighbour *negative = &mined->found[a * mined->k + i];
				Datum values[4] = {
					text_datum(&miner->anchors, a),
					text_datum(&miner->documents, data->positives->pairs[p].document),
					text_datum(&miner->documents, negative->document),
					Float4GetDatum(negative->score)};

				CHECK_FOR_INTERRUPTS();
				tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
				for (int v = 0; v < 3; v++)
					pfree(DatumGetPointer(values[v]));
			}
}

static void
mine(FunctionCallInfo fcinfo, Miner *miner)
{
	MiningData data = {.n_anchors = miner->anchors.n,
					   .n_documents = miner->documents.n,
					   .similarity = miner->handle->sentence.similarity};
	MinedNegatives mined;
	Relevance positives;
	Status status;
	bool ok;

	data.columns = (size_t) sentence_dimensions(&miner->handle->config, &miner->embedding.pooling);
	progress_phase("embedding anchors", "texts", (int64) miner->anchors.n);
	data.anchors = embed_texts(miner, &miner->anchors, EMBEDDING_PROMPT_QUERY, data.columns);
	progress_phase("embedding documents", "texts", (int64) miner->documents.n);
	data.documents = embed_texts(miner, &miner->documents, EMBEDDING_PROMPT_DOCUMENT, data.columns);
	REPORT_UNLESS(relevance_make(miner->arena, miner->pairs, miner->n_pairs, miner->anchors.n,
								 &positives, &status),
				  &status);
	data.positives = &positives;
	progress_phase("searching", "anchors", (int64) miner->anchors.n);
	progress_follow(0);
	data.pool = threadpool_create(miner->options.threads, &status);
	REPORT_UNLESS(data.pool != NULL, &status);
	ok = mining_find(&data, &miner->options.mining, miner->arena, &mined, &backend_may_continue,
					 &status);
	threadpool_destroy(data.pool);
	REPORT_UNLESS(ok, &status);
	put_negatives(fcinfo, miner, &data, &mined);
}

/* bert.mine_negatives(query, model, options) */
Datum
bert_mine_negatives(PG_FUNCTION_ARGS)
{
	char *query = text_argument(fcinfo, 0, "query");
	Miner *miner = palloc0(sizeof *miner);

	require_argument(fcinfo, 2, "options");
	InitMaterializedSRF(fcinfo, 0);
	read_options(ARGUMENT_JSONB(2), &miner->options);
	progress_begin("mine_negatives", NULL);
	miner->handle =
		model_handle_get(fcinfo->flinfo, PG_ARGISNULL(1) ? NULL : ARGUMENT_TEXT(1), TASK_EMBED);
	progress_name("mine_negatives", miner->handle->name);
	miner->arena = arena_for_call();
	job_embedding_settings(&miner->handle->sentence, miner->handle->tokenizer,
						   miner->handle->max_length, &miner->embedding);
	job_encoder(&miner->encoder, TRAIN_EMBEDDING, miner->handle->tokenizer,
				miner->handle->max_length, ENCODE_TO_EVALUATE);
	job_encoder_prompts(&miner->encoder, &miner->handle->sentence,
						arena_in_context(CurrentMemoryContext, 0));
	miner->predictor = (Predictor){.model = model_handle_bind(miner->handle, HEAD_NONE),
								   .tokenizer = miner->handle->tokenizer,
								   .embedding = &miner->embedding};
	progress_phase("reading texts", "rows", -1);
	read_texts(miner, query);
	mine(fcinfo, miner);
	progress_end();
	arena_destroy(miner->arena);
	return (Datum) 0;
}
