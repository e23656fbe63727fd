/* evaluate.c: bert.evaluate: a model's metrics on the labelled rows of a query. */
#include "pg/server/compat.h"

#include "executor/spi.h"
#include "funcapi.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/tuplestore.h"

#include "core/names.h"
#include "pg/model/handle.h"
#include "pg/job/data.h"
#include "pg/job/embedding.h"
#include "pg/job/options.h"
#include "pg/job/score.h"
#include "pg/server/detoast.h"
#include "pg/server/memory.h"
#include "pg/server/progress.h"
#include "pg/server/errors.h"
#include "train/predict.h"

#define BATCH_TOKENS 4096
#define MAX_BATCH 256

PG_FUNCTION_INFO_V1(bert_evaluate);

/*
 * Samples wait here until there are enough for a batch. They and what they point to live in the
 * arena, rewound after each flush; the array stays.
 */
typedef struct Evaluator
{
	ModelHandle *handle;
	const BertModel *model;
	TrainTask task;
	JobScore *score;
	JobDims dims; /* embeddings are cut to these as well */
	JobScore *cuts[EMBEDDING_MAX_DIMS];
	int max_length; /* tokens */
	double mask_probability;
	double threshold;
	uint64 seed;
	EmbeddingOptions embedding;
	Arena *arena;
	ArenaMark start;
	uint64 next_id;
	uint64 tokens;
	size_t n;
	size_t capacity;
	Sample *samples; /* (capacity) */
} Evaluator;

static bool
gives_several(const Evaluator *evaluator)
{
	return evaluator->task == TRAIN_SEQUENCE_CLASSIFICATION &&
		   evaluator->handle->config.problem_type == PROBLEM_MULTI_LABEL;
}

/* Scores samples first .. first+n-1. */
static void
score_batch(Evaluator *evaluator, size_t first, size_t n)
{
	Predictor predictor = {evaluator->model, evaluator->handle->tokenizer,
						   evaluator->mask_probability, evaluator->seed, &evaluator->embedding};
	ArenaMark mark = arena_mark(evaluator->arena);
	TrainSample batch[MAX_BATCH];
	Evaluation evaluation;
	Status status;

	for (size_t i = 0; i < n; i++)
		batch[i] = (TrainSample){&evaluator->samples[first + i], evaluator->next_id++, 0};
	REPORT_UNLESS(predict_samples(&predictor, batch, n, evaluator->arena, &evaluation,
								  &backend_may_continue, &status),
				  &status);
	job_score_add(evaluator->score, batch, n, &evaluation);
	for (int i = 0; i < evaluator->dims.n; i++)
		job_score_add(evaluator->cuts[i], batch, n, &evaluation);
	arena_rewind(evaluator->arena, mark);
}

static void
flush(Evaluator *evaluator)
{
	for (size_t first = 0; first < evaluator->n;)
	{
		size_t n = 0;
		uint64 tokens = 0;

		while (first + n < evaluator->n && n < MAX_BATCH && tokens < BATCH_TOKENS)
			tokens += evaluator->samples[first + n++].n_tokens;
		score_batch(evaluator, first, n);
		first += n;
	}
	evaluator->n = 0;
	evaluator->tokens = 0;
	arena_rewind(evaluator->arena, evaluator->start);
}

static bool
take_sample(void *context, const Sample *sample, Status *status)
{
	Evaluator *evaluator = context;

	if (evaluator->n == evaluator->capacity)
	{
		evaluator->capacity *= 2;
		evaluator->samples =
			repalloc_huge(evaluator->samples, evaluator->capacity * sizeof *evaluator->samples);
	}
	evaluator->samples[evaluator->n++] = *sample;
	evaluator->tokens += sample->n_tokens;
	return true;
}

static void
unknown_label(const Evaluator *evaluator, uint64 row, const char *label)
{
	ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					errmsg("row %llu of the query: model \"%s\" has no label \"%s\"",
						   (unsigned long long) row + 1, evaluator->handle->name, label),
					errhint("See the labels in the view bert.models.")));
}

/* The id of a label among the model's. */
static int32_t
label_id(const Evaluator *evaluator, const LabelSet *labels, uint64_t row, const char *label)
{
	int id = label_set_id(labels, label);

	if (id < 0)
		unknown_label(evaluator, row, label);
	return id;
}

/* buffer (labels): of the values of several labels */
static void
number_labels(const Evaluator *evaluator, LabelSet *labels, TaskRow *row, float *buffer)
{
	uint64_t number = row->sample.number;

	/* classes of texts are not the model's: any number will do that tells them apart */
	if (evaluator->task == TRAIN_EMBEDDING && row->label != NULL)
	{
		label_set_add(labels, row->label);
		row->sample.label = label_set_id(labels, row->label);
	}
	if (gives_several(evaluator))
	{
		const char *unknown = label_set_mark(labels, row, buffer);

		if (unknown != NULL)
			unknown_label(evaluator, number, unknown);
		row->sample.label_values = buffer;
		row->sample.n_label_values = (size_t) label_set_count(labels);
	}
	else if (evaluator->task == TRAIN_SEQUENCE_CLASSIFICATION)
		row->sample.label = label_id(evaluator, labels, number, row->label);
	if (evaluator->task == TRAIN_TOKEN_CLASSIFICATION)
	{
		int32_t *ids = palloc(Max(row->sample.n_items, 1) * sizeof *ids);

		for (size_t i = 0; i < row->sample.n_items; i++)
			ids[i] = row->item_labels[i] == NULL
						 ? LABEL_IGNORED
						 : label_id(evaluator, labels, number, row->item_labels[i]);
		row->sample.item_labels = ids;
	}
}

/* A model of several labels needs an array of them, and no other model takes one. */
static void
check_kind(const Evaluator *evaluator, const TaskQuery *query)
{
	bool several = gives_several(evaluator);

	if (evaluator->task == TRAIN_SEQUENCE_CLASSIFICATION &&
		task_query_several_labels(query) != several)
		ereport(ERROR, (errcode(ERRCODE_DATATYPE_MISMATCH),
						several ? errmsg("model \"%s\" gives several labels, the query's rows one",
										 evaluator->handle->name)
								: errmsg("model \"%s\" gives one class, the query's rows several "
										 "labels",
										 evaluator->handle->name),
						several ? errhint("Write ARRAY[label] AS label.") : 0));
	if (evaluator->task == TRAIN_EMBEDDING)
		job_refuse_bare_texts(task_query_shape(query), "query");
}

static uint64
evaluate_query(Evaluator *evaluator, const char *text)
{
	SampleEncoder encoder;
	TaskQuery *query;
	TaskRow row;
	LabelSet *labels;
	float *buffer;
	uint64 rows = 0;
	Status status;

	job_encoder(&encoder, evaluator->task, evaluator->handle->tokenizer, evaluator->max_length,
				ENCODE_TO_EVALUATE);
	job_encoder_prompts(&encoder, &evaluator->handle->sentence,
						arena_in_context(CurrentMemoryContext, 0));
	encoder.unplaced = true;
	SPI_connect();
	query = task_query_open(evaluator->task, text, "query");
	labels = evaluator->task == TRAIN_EMBEDDING
				 ? label_set_create(CurrentMemoryContext, false)
				 : label_set_of_model(CurrentMemoryContext, task_query_numeric_labels(query),
									  &evaluator->handle->config);
	buffer = palloc((Size) label_set_count(labels) * sizeof *buffer);
	check_kind(evaluator, query);
	for (; task_query_next(query, &row); rows++)
	{
		number_labels(evaluator, labels, &row, buffer);
		REPORT_UNLESS(samples_encode(&encoder, &row.sample, evaluator->arena, take_sample,
									 evaluator, &backend_may_continue, &status),
					  &status);
		progress_add(1);
		/* the row's texts go when the next one is read */
		if (evaluator->task == TRAIN_QUESTION_ANSWERING || evaluator->tokens >= BATCH_TOKENS ||
			evaluator->n >= MAX_BATCH / 4)
			flush(evaluator);
	}
	flush(evaluator);
	task_query_close(query);
	SPI_finish();
	return rows;
}

static void
check_dims(const Evaluator *evaluator, const JobDims *dims)
{
	const ModelHandle *handle = evaluator->handle;
	int columns = sentence_dimensions(&handle->config, &handle->sentence.pooling);

	if (dims->n > 0 && evaluator->task != TRAIN_EMBEDDING)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("option \"matryoshka_dims\" has no effect on the task %s",
							   train_task_name(evaluator->task)),
						errhint("It is for the task embedding.")));
	for (int i = 0; i < dims->n; i++)
		if (dims->values[i] > columns)
			ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
							errmsg("option \"matryoshka_dims\" has %d, but embeddings of model "
								   "\"%s\" have %d numbers",
								   dims->values[i], handle->name, columns)));
}

/* Of a job's options those that an evaluation knows; the others are refused. */
static void
read_options(Evaluator *evaluator, Jsonb *json)
{
	static const char *const names[] = {"max_length", "mask_probability", "seed", "threshold",
										"matryoshka_dims"};
	JsonbIterator *iterator = JsonbIteratorInit(&json->root);
	JsonbIteratorToken token;
	JsonbValue value;
	JobOptions options;
	bool seed_given = false;
	Status status;

	while ((token = JsonbIteratorNext(&iterator, &value, true)) != WJB_DONE)
		if (token == WJB_KEY)
		{
			int i = name_parse(pnstrdup(value.val.string.val, value.val.string.len),
							   "evaluation option", names, lengthof(names), &status);

			REPORT_UNLESS(i >= 0, &status);
			seed_given = seed_given || i == 2;
		}
	job_options_parse(json, &options);
	if (options.max_length > evaluator->handle->max_length)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("option \"max_length\" is %d, but model \"%s\" reads %d tokens",
							   options.max_length, evaluator->handle->name,
							   evaluator->handle->max_length)));
	evaluator->max_length =
		options.max_length > 0 ? options.max_length : evaluator->handle->max_length;
	evaluator->threshold = options.threshold;
	check_dims(evaluator, &options.matryoshka_dims);
	evaluator->dims = options.matryoshka_dims;
	evaluator->mask_probability = options.mask_probability;
	evaluator->seed = seed_given ? (uint64) options.seed : 0;
}

static void
put_score(ReturnSetInfo *result, const char *name, double value)
{
	Datum values[2] = {CStringGetTextDatum(name), Float8GetDatum(value)};
	bool nulls[2] = {false, false};

	tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
}

static void
put_scores(const Evaluator *evaluator, ReturnSetInfo *result)
{
	const Scores *scores = evaluator->score->scores;
	const Score *list;
	size_t n = scores_list(scores, &list);

	for (size_t i = 0; i < n; i++)
		put_score(result, list[i].name, list[i].value);
	for (size_t i = 0; i < scores_labels(scores); i++)
	{
		const char *label = evaluator->handle->config.id2label[i];

		put_score(result, psprintf("f1: %s", pg_any_to_server(label, (int) strlen(label), PG_UTF8)),
				  scores_label(scores, i).f1);
	}
}

/* The metrics of embeddings cut to the first numbers: "mrr@10 (64)". */
static void
put_cuts(const Evaluator *evaluator, ReturnSetInfo *result)
{
	for (int d = 0; d < evaluator->dims.n; d++)
	{
		const Score *list;
		size_t n;

		job_score_finish(evaluator->cuts[d], &backend_may_continue);
		n = scores_list(evaluator->cuts[d]->scores, &list);
		for (size_t i = 0; i < n; i++)
			put_score(result, psprintf("%s (%d)", list[i].name, evaluator->dims.values[d]),
					  list[i].value);
		job_score_free(evaluator->cuts[d]);
	}
}

static JobScore *
create_score(const Evaluator *evaluator, int dimensions)
{
	JobScore *score = job_score_create(CurrentMemoryContext, evaluator->task,
									   &evaluator->handle->config, evaluator->handle->tokenizer);

	job_score_compare_by(score,
						 &(EmbeddingCompare){evaluator->handle->sentence.similarity,
											 (size_t) dimensions, evaluator->embedding.normalize});
	return score;
}

/* bert.evaluate(model, task, query, options) */
Datum
bert_evaluate(PG_FUNCTION_ARGS)
{
	char *task_name = text_to_cstring(ARGUMENT_TEXT(1));
	char *query = text_to_cstring(ARGUMENT_TEXT(2));
	Evaluator *evaluator = palloc0(sizeof *evaluator);
	Status status;

	REPORT_UNLESS(train_task_parse(task_name, &evaluator->task, &status), &status);
	InitMaterializedSRF(fcinfo, 0);
	progress_begin("evaluate", NULL);
	evaluator->handle = model_handle_get(fcinfo->flinfo, ARGUMENT_TEXT(0), TASK_EMBED);
	progress_name("evaluate", evaluator->handle->name);
	read_options(evaluator, ARGUMENT_JSONB(3));
	evaluator->model = model_handle_bind(evaluator->handle, train_task_head(evaluator->task));
	if (evaluator->task == TRAIN_EMBEDDING)
		job_embedding_settings(&evaluator->handle->sentence, evaluator->handle->tokenizer,
							   evaluator->max_length, &evaluator->embedding);
	evaluator->score = create_score(evaluator, 0);
	for (int i = 0; i < evaluator->dims.n; i++)
		evaluator->cuts[i] = create_score(evaluator, evaluator->dims.values[i]);
	job_score_threshold(evaluator->score, evaluator->threshold);
	evaluator->arena = arena_for_call();
	evaluator->start = arena_mark(evaluator->arena);
	evaluator->capacity = MAX_BATCH;
	evaluator->samples = palloc(evaluator->capacity * sizeof *evaluator->samples);
	progress_phase("computing", "rows", -1);
	if (evaluate_query(evaluator, query) == 0)
		ereport(ERROR, (errcode(ERRCODE_NO_DATA), errmsg("the query returns no rows")));
	progress_phase("scoring", NULL, -1);
	job_score_finish(evaluator->score, &backend_may_continue);
	put_scores(evaluator, (ReturnSetInfo *) fcinfo->resultinfo);
	put_cuts(evaluator, (ReturnSetInfo *) fcinfo->resultinfo);
	job_score_free(evaluator->score);
	progress_end();
	return (Datum) 0;
}
