/*
 * mine.c: bert.mine_negatives: for pairs of texts, other positives that are alike but not right.
 *
 * Texts are embedded and searched on several threads of this process. Between their start and their
 * end nothing of PostgreSQL runs but the question whether to go on, on the calling thread. Where a
 * table has the documents' embeddings, the server searches them instead, anchor by anchor.
 */
#include "pg/server/compat.h"

#include "executor/spi.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/builtins.h"

#include "pg/infer/corpus.h"
#include "pg/infer/input.h"
#include "pg/job/embedding.h"
#include "pg/job/mine_options.h"
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
	uint32 *seen;        /* (documents.capacity): the anchor + 1 whose search met it last */
	size_t n_seen;
} Miner;

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

/* Numbers of an embedding. */
static size_t
columns_of(const Miner *miner)
{
	return (size_t) sentence_dimensions(&miner->handle->config, &miner->embedding.pooling);
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
	/* what is wrong with the table is said before anything is computed */
	if (miner->options.corpus.table != NULL)
		mine_table_close(mine_table_open(&miner->options.corpus, miner->handle->sentence.similarity,
										 columns_of(miner)));
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

/*
 * Embeddings (texts, columns) with the prompt of the use, of length 1; those that stored ones are
 * compared with by anything but the angle stay as they are.
 */
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
	if (miner->options.corpus.table == NULL ||
		miner->handle->sentence.similarity == SIMILARITY_COSINE)
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
embed_documents(Miner *miner, MiningData *data)
{
	progress_phase("embedding documents", "texts", (int64) miner->documents.n);
	data->documents =
		embed_texts(miner, &miner->documents, EMBEDDING_PROMPT_DOCUMENT, data->columns);
}

/* Among all documents, on all threads. */
static void
search_documents(Miner *miner, MiningData *data, MinedNegatives *mined)
{
	Status status;
	bool ok;

	progress_phase("searching", "anchors", (int64) miner->anchors.n);
	progress_follow(0);
	data->pool = threadpool_create(miner->options.threads, &status);
	REPORT_UNLESS(data->pool != NULL, &status);
	ok = mining_find(data, &miner->options.mining, miner->arena, mined, &backend_may_continue,
					 &status);
	threadpool_destroy(data->pool);
	REPORT_UNLESS(ok, &status);
}

/* --- Search in a table --- */

/* What was found for one anchor. */
typedef struct AnchorSearch
{
	Miner *miner;
	const MiningData *data;
	size_t anchor;
	double limit;
	size_t skipped; /* of range_min */
	size_t n;
	Neighbour *found; /* (num_negatives) */
} AnchorSearch;

/* True when the anchor's search has not met the document before. */
static bool
meet(Miner *miner, size_t anchor, uint32 document)
{
	if (document >= miner->n_seen)
	{
		size_t n = miner->documents.capacity;

		miner->seen = miner->seen == NULL
						  ? palloc_extended(n * sizeof *miner->seen, MCXT_ALLOC_HUGE)
						  : repalloc_huge(miner->seen, n * sizeof *miner->seen);
		memset(miner->seen + miner->n_seen, 0, (n - miner->n_seen) * sizeof *miner->seen);
		miner->n_seen = n;
	}
	if (miner->seen[document] == anchor + 1)
		return false;
	miner->seen[document] = (uint32) anchor + 1;
	return true;
}

static bool
visit_document(void *context, const char *utf8, size_t length, double score)
{
	AnchorSearch *search = context;
	const MiningOptions *options = &search->miner->options.mining;
	uint32 document;

	if (score < options->min_score)
		return false;
	if (score > search->limit)
		return true;
	document = take_text(search->miner, &search->miner->documents, utf8, length);
	if (!meet(search->miner, search->anchor, document) ||
		relevance_has(search->data->positives, search->anchor, document))
		return true;
	if (search->skipped < options->range_min)
		search->skipped++;
	else
		search->found[search->n++] = (Neighbour){document, (float) score};
	return search->n < options->num_negatives;
}

static void
search_anchors(Miner *miner, const MiningData *data, const double *limits, MinedNegatives *mined,
			   Neighbour *found, size_t *counts)
{
	const MiningOptions *options = &miner->options.mining;
	TableSearch *table;

	SPI_connect();
	table = mine_table_open(&miner->options.corpus, data->similarity, data->columns);
	progress_phase("searching", "anchors", (int64) data->n_anchors);
	for (size_t a = 0; a < data->n_anchors; a++)
	{
		size_t positives = data->positives->starts[a + 1] - data->positives->starts[a];
		AnchorSearch search = {.miner = miner,
							   .data = data,
							   .anchor = a,
							   .limit = limits[a],
							   .found = found + a * options->num_negatives};

		mine_table_search(table, data->anchors + a * data->columns,
						  options->range_min + options->num_negatives + positives, visit_document,
						  &search);
		counts[a] = search.n;
		progress_add(1);
	}
	mine_table_close(table);
	SPI_finish();
	*mined = (MinedNegatives){options->num_negatives, found, counts};
}

/* Among the rows of a table. The positives' embeddings are made only where a margin asks for them.
 */
static void
search_table(Miner *miner, MiningData *data, MinedNegatives *mined)
{
	const MiningOptions *options = &miner->options.mining;
	size_t n = data->n_anchors;
	double *limits = take_memory(miner, n, sizeof *limits);
	Neighbour *found = take_memory(miner, n * options->num_negatives, sizeof *found);
	size_t *counts = take_memory(miner, n, sizeof *counts);
	const TrainKernels *kernels;
	Status status;

	kernels = train_kernels_choose("auto", &status);
	REPORT_UNLESS(kernels != NULL, &status);
	if (mining_has_margin(options))
		embed_documents(miner, data);
	mining_limits(data, options, kernels, limits);
	search_anchors(miner, data, limits, mined, found, counts);
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

	data.columns = columns_of(miner);
	progress_phase("embedding anchors", "texts", (int64) miner->anchors.n);
	data.anchors = embed_texts(miner, &miner->anchors, EMBEDDING_PROMPT_QUERY, data.columns);
	REPORT_UNLESS(relevance_make(miner->arena, miner->pairs, miner->n_pairs, miner->anchors.n,
								 &positives, &status),
				  &status);
	data.positives = &positives;
	if (miner->options.corpus.table != NULL)
		search_table(miner, &data, &mined);
	else
	{
		embed_documents(miner, &data);
		search_documents(miner, &data, &mined);
	}
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
	mine_options_read(ARGUMENT_JSONB(2), &miner->options);
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
