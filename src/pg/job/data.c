/* data.c: from the submitter's query to spill files. */
#include "pg/server/compat.h"

#include <dirent.h>
#include <unistd.h>

#include "access/xact.h"
#include "executor/spi.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "storage/fd.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"

#include "core/rng.h"
#include "nn/answers.h"
#include "nn/loss.h"
#include "pg/model/cache.h"
#include "pg/job/checkpoint.h"
#include "pg/job/data.h"
#include "pg/job/embedding.h"
#include "pg/job/teacher.h"
#include "pg/server/memory.h"
#include "pg/server/errors.h"
#include "pg/server/role.h"

#define ROOM_ROWS 5000                            /* between looks at bert.max_cache_size */
#define SPLIT_STREAM UINT64_C(0x73706c6974000000) /* "split" */

static char *
spill_path(int64 number, const char *kind)
{
	return psprintf("%s/job_%u_%lld.%s", cache_directory(), MyDatabaseId, (long long) number, kind);
}

void
job_data_remove(int64 number)
{
	(void) unlink(spill_path(number, "train"));
	(void) unlink(spill_path(number, "eval"));
}

/* --- Files that nobody needs any more --- */

static List *dropped; /* of int64 *, in TopTransactionContext */

static void
at_transaction_end(XactEvent event, void *unused)
{
	ListCell *cell;

	if (event == XACT_EVENT_COMMIT)
		foreach (cell, dropped)
		{
			job_data_remove(*(int64 *) lfirst(cell));
			checkpoint_files_remove(*(int64 *) lfirst(cell));
		}
	if (event == XACT_EVENT_COMMIT || event == XACT_EVENT_ABORT || event == XACT_EVENT_PREPARE)
		dropped = NIL;
}

void
job_data_remove_at_commit(int64 number)
{
	static bool registered;
	MemoryContext previous = MemoryContextSwitchTo(TopTransactionContext);
	int64 *copy = palloc(sizeof *copy);

	if (!registered)
		RegisterXactCallback(at_transaction_end, NULL);
	registered = true;
	*copy = number;
	dropped = lappend(dropped, copy);
	MemoryContextSwitchTo(previous);
}

/* Of a database that is gone, or of a job of this one that is gone or ended long ago. */
static bool
is_left_over(const char *file)
{
	unsigned database;
	long long number;
	int length = 0;

	if (sscanf(file, "job_%u_%lld.%n", &database, &number, &length) != 2 || length == 0)
		return false;
	if (database != MyDatabaseId)
		return !SearchSysCacheExists1(DATABASEOID, ObjectIdGetDatum(database));
	return !job_lock_held(number) && !job_needs_files(number);
}

void
job_data_sweep(void)
{
	DIR *directory = opendir(cache_directory());
	struct dirent *entry;

	if (directory == NULL)
		return; /* nothing was ever kept */
	closedir(directory);
	directory = AllocateDir(cache_directory());
	while ((entry = ReadDirExtended(directory, cache_directory(), LOG)) != NULL)
		if (is_left_over(entry->d_name))
			(void) unlink(psprintf("%s/%s", cache_directory(), entry->d_name));
	FreeDir(directory);
}

void
job_encoder(SampleEncoder *encoder, TrainTask task, const Tokenizer *tokenizer, int max_length,
			EncodePurpose purpose)
{
	*encoder = (SampleEncoder){.tokenizer = tokenizer,
							   .task = task,
							   .max_length = max_length,
							   .stride = ANSWER_STRIDE,
							   .scored = purpose == ENCODE_TO_EVALUATE};
	for (int i = 0; i < EMBEDDING_PROMPT_COUNT; i++)
		encoder->prompts[i] = "";
	if (task == TRAIN_QUESTION_ANSWERING && purpose == ENCODE_TO_EVALUATE)
		encoder->max_length = Min(max_length, ANSWER_WINDOW);
}

/* What a job will ask of the row. */
static void
check_row(const SampleEncoder *encoder, const TaskRow *row, const char *name, Arena *arena)
{
	ArenaMark mark = arena_mark(arena);
	Status status;

	if (encoder->task == TRAIN_QUESTION_ANSWERING && row->sample.answer.length > 0 &&
		row->no_answer_start)
		ereport(
			ERROR,
			(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
			 errmsg("row %llu of the %s: column \"answer_start\" is NULL, \"answer_text\" is not",
					(unsigned long long) row->sample.number + 1, name),
			 errhint("It is the character of the context at which the answer begins, counted "
					 "from 0.")));
	REPORT_UNLESS(samples_check(encoder, &row->sample, arena, &backend_may_continue, &status),
				  &status);
	arena_rewind(arena, mark);
}

void
job_data_check(const SampleEncoder *encoder, const char *text, const char *name,
			   DataSummary *summary)
{
	MemoryContext caller = CurrentMemoryContext;
	Arena *arena = arena_in_context(caller, 0);
	TrainTask task = encoder->task;
	TaskQuery *query;
	TaskRow row;

	memset(summary, 0, sizeof *summary);
	SPI_connect();
	query = task_query_open(task, text, name);
	summary->shape = task_query_shape(query);
	if (task_query_has_classes(query))
	{
		summary->numeric = task_query_numeric_labels(query);
		summary->several = task_query_several_labels(query);
		summary->labels = label_set_create(caller, summary->numeric);
	}
	for (; task_query_next(query, &row); summary->rows++)
	{
		check_row(encoder, &row, name, arena);
		if (summary->labels != NULL)
			label_set_add_row(summary->labels, task, &row);
		if (row.sample.n_items == 0 && summary->without_negatives == 0)
			summary->without_negatives = summary->rows + 1;
	}
	task_query_close(query);
	SPI_finish();
	arena_destroy(arena);
	if (summary->rows == 0)
		ereport(ERROR, (errcode(ERRCODE_NO_DATA), errmsg("the %s returns no rows", name)));
}

/* Where the samples of the row that is being encoded go. */
typedef struct Sink
{
	SpillWriter *writer;
} Sink;

static bool
append_sample(void *context, const Sample *sample, Status *status)
{
	return spill_append(((Sink *) context)->writer, sample, status);
}

void
job_refuse_mixed_labels(const char *name)
{
	ereport(
		ERROR,
		(errcode(ERRCODE_DATATYPE_MISMATCH),
		 errmsg("column \"label\" of the %s is an array in one query and not in the other", name),
		 errhint("An array gives a row several labels, or none: write ARRAY[label] for one.")));
}

bool
job_row_held_back(int64 seed, uint64 row, double fraction)
{
	Rng rng;

	rng_init(&rng, (uint64_t) seed, SPLIT_STREAM + row);
	return rng_uniform(&rng) < fraction;
}

/* Where the rows of a set go, and how. */
typedef struct SpillSet
{
	SampleEncoder encoder;
	SpillWriter *writer;
} SpillSet;

/* A query whose rows go to `set`, or, the part held_back of them, to `eval`. */
typedef struct SpillQuery
{
	const char *text;
	const char *name;
	const LabelSet *labels; /* or NULL */
	bool several;
	Teacher *teacher; /* of what is trained on, or NULL */
	SpillSet *set;
	double held_back;
	int64 seed;
	SpillSet *eval;
} SpillQuery;

static void
check_label(const SpillQuery *spill, const TaskRow *row, const char *unknown)
{
	if (unknown != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("row %llu of the %s: label \"%s\" does not occur in the training data",
						(unsigned long long) row->sample.number + 1, spill->name, unknown)));
}

static void *
take(Arena *arena, size_t n, size_t size)
{
	void *memory = arena_alloc_array(arena, Max(n, 1), size);

	if (memory == NULL)
		ereport(ERROR, (errcode(ERRCODE_OUT_OF_MEMORY), errmsg("out of memory")));
	return memory;
}

/* Sets the label ids of a row, or the values of its several labels. */
static void
number_labels(const SpillQuery *spill, TaskRow *row, Arena *arena)
{
	TrainTask task = spill->set->encoder.task;
	bool words = task == TRAIN_TOKEN_CLASSIFICATION;
	size_t n = words ? row->sample.n_items : 1;
	int32_t *ids;

	if (spill->several)
	{
		size_t n_labels = (size_t) label_set_count(spill->labels);
		float *values = take(arena, n_labels, sizeof *values);

		check_label(spill, row, label_set_mark(spill->labels, row, values));
		row->sample.label_values = values;
		row->sample.n_label_values = n_labels;
		return;
	}
	ids = take(arena, n, sizeof *ids);
	for (size_t i = 0; i < n; i++)
	{
		const char *label = words ? row->item_labels[i] : row->label;

		ids[i] = label == NULL ? LABEL_IGNORED : label_set_id(spill->labels, label);
		check_label(spill, row, ids[i] < 0 ? label : NULL);
	}
	if (words)
		row->sample.item_labels = ids;
	else
		row->sample.label = ids[0];
}

static void
check_several(const SpillQuery *spill, const TaskQuery *query)
{
	if (spill->labels != NULL && task_query_several_labels(query) != spill->several)
		job_refuse_mixed_labels(spill->name);
}

static void
spill_query(const SpillQuery *spill)
{
	Arena *arena = arena_in_context(CurrentMemoryContext, 0);
	TrainTask task = spill->set->encoder.task;
	TaskQuery *query;
	TaskRow row;
	Status status;

	SPI_connect();
	query = task_query_open(task, spill->text, spill->name);
	check_several(spill, query);
	while (task_query_next(query, &row))
	{
		ArenaMark mark = arena_mark(arena);
		SpillSet *set;
		bool held_back;
		Sink sink;

		if (row.sample.number % ROOM_ROWS == 0)
			cache_make_room(0); /* of what was written so far */
		if (spill->labels != NULL)
			number_labels(spill, &row, arena);
		held_back = spill->eval != NULL && spill->held_back > 0 &&
					job_row_held_back(spill->seed, row.sample.number, spill->held_back);
		set = held_back ? spill->eval : spill->set;
		if (spill->teacher != NULL && !held_back)
			teacher_tell(spill->teacher, &row.sample, arena);
		sink.writer = set->writer;
		REPORT_UNLESS(samples_encode(&set->encoder, &row.sample, arena, append_sample, &sink,
									 &backend_may_continue, &status),
					  &status);
		arena_rewind(arena, mark);
	}
	task_query_close(query);
	SPI_finish();
	arena_destroy(arena);
}

/* The files, finished or not, are removed unless all of them were made. */
typedef struct WriterGuard
{
	MemoryContextCallback callback;
	SpillWriter *writer;
	const char *path;
	bool keep;
} WriterGuard;

static void
abandon_writer(void *argument)
{
	WriterGuard *guard = argument;

	spill_abandon(guard->writer);
	if (!guard->keep)
		(void) unlink(guard->path);
}

static WriterGuard *
create_writer(Arena *arena, const char *path)
{
	WriterGuard *guard = palloc0(sizeof *guard);
	Status status;

	guard->path = path;
	(void) unlink(path);
	guard->writer = spill_create(arena, path, &status);
	REPORT_UNLESS(guard->writer != NULL, &status);
	guard->callback.func = abandon_writer;
	guard->callback.arg = guard;
	MemoryContextRegisterResetCallback(CurrentMemoryContext, &guard->callback);
	return guard;
}

/* Why the base's classifier cannot go on learning from such rows, whatever its labels; or NULL. */
static const char *
other_kind(TrainTask task, const JobBase *base, const DataSummary *summary)
{
	ProblemType problem = loss_problem_type(base->config, true);

	if (task == TRAIN_REGRESSION && base->config->num_labels != 1)
		return psprintf("It has %d classes, where a regression has one value.",
						base->config->num_labels);
	if (task != TRAIN_SEQUENCE_CLASSIFICATION)
		return NULL;
	if (problem == PROBLEM_REGRESSION)
		return "It gives a value, not classes.";
	if ((problem == PROBLEM_MULTI_LABEL) == summary->several)
		return NULL;
	return summary->several ? "It gives one class, where the rows have several labels."
							: "It gives several labels, where the rows have one class.";
}

HeadKind
job_base_head(HeadKind head, const BertConfig *config)
{
	return config_head_shape(config, head)->reads == READS_EMBEDDING ? HEAD_NONE : head;
}

JobLabels
job_labels(TrainTask task, const JobBase *base, const DataSummary *summary)
{
	bool has_classifier = base->head == train_task_head(task);
	JobLabels result = {summary->labels, has_classifier ? other_kind(task, base, summary) : NULL,
						NULL};
	LabelSet *labels;
	const char *missing;

	if (result.set == NULL)
		return result;
	label_set_sort(result.set);
	if (base->teacher != NULL)
	{
		result.set = teacher_labels(base->teacher, summary);
		if (has_classifier && result.anew == NULL && !label_set_is_of(result.set, base->config))
			result.anew = "The teacher has other labels, or in another order.";
		return result;
	}
	if (!has_classifier || result.anew != NULL || task == TRAIN_EMBEDDING)
		return result;
	labels = label_set_of_model(CurrentMemoryContext, summary->numeric, base->config);
	missing = label_set_missing(labels, summary->labels);
	if (missing == NULL)
		result.set = labels;
	else if (label_set_shares(summary->labels, base->config))
	{
		result.set = label_set_of_model(CurrentMemoryContext, false, base->config);
		result.added = label_set_extend(result.set, summary->labels);
	}
	else
		result.anew = psprintf("It has no label \"%s\".",
							   pg_any_to_server(missing, (int) strlen(missing), PG_UTF8));
	return result;
}

static LabelSet *
find_labels(const JobDataRequest *request, const SampleEncoder *encoder, const char *query,
			const char *name, bool *several, Teacher **teacher)
{
	const char *taught_by = teacher == NULL ? NULL : request->options->teacher;
	JobBase base = request->base;
	DataSummary summary;

	job_data_check(encoder, query, name, &summary);
	*several = summary.several;
	if (taught_by != NULL)
	{
		ModelHandle *handle = teacher_open(taught_by, request->task, summary.several);

		if (request->task == TRAIN_EMBEDDING)
			teacher_check_columns(handle, base.config, &request->sentence->pooling);
		else
			base.teacher = &handle->config;
		*teacher = teacher_create(handle, request->task, summary.several);
	}
	return job_labels(request->task, &base, &summary).set;
}

static bool
evaluates(const JobOptions *options)
{
	return options->eval_query != NULL || options->eval_fraction > 0;
}

/* labels: of the job's query. Classes of texts are not a model's: held-back rows may have others.
 */
static void
spill_eval_query(const JobDataRequest *request, const LabelSet *labels, bool several, SpillSet *set)
{
	const char *text = request->options->eval_query;

	if (request->task == TRAIN_EMBEDDING)
		labels = find_labels(request, &set->encoder, text, "eval_query", &several, NULL);
	spill_query(&(SpillQuery){
		.text = text, .name = "eval_query", .labels = labels, .several = several, .set = set});
}

static void
build_files(const JobDataRequest *request, Arena *arena, JobData *data)
{
	const Job *job = request->job;
	const JobOptions *options = request->options;
	SpillSet train_set;
	SpillSet eval_set = {0};
	WriterGuard *train;
	WriterGuard *eval;
	unsigned char digest[SHA256_BYTES];
	LabelSet *labels;
	bool several;
	Teacher *teacher = NULL;
	RoleSwitch role;
	Status status;

	cache_make_directory();
	train = create_writer(arena, spill_path(job->job, "train"));
	eval = evaluates(options) ? create_writer(arena, spill_path(job->job, "eval")) : NULL;
	job_encoder(&train_set.encoder, request->task, request->tokenizer, request->max_length,
				ENCODE_TO_TRAIN);
	job_encoder(&eval_set.encoder, request->task, request->tokenizer,
				request->task == TRAIN_QUESTION_ANSWERING ? request->model_length
														  : request->max_length,
				ENCODE_TO_EVALUATE);
	job_encoder_prompts(&train_set.encoder, request->sentence, arena);
	job_encoder_prompts(&eval_set.encoder, request->sentence, arena);
	train_set.encoder.whole_words = eval_set.encoder.whole_words = options->whole_word_mask;
	train_set.writer = train->writer;
	eval_set.writer = eval == NULL ? NULL : eval->writer;
	role_become(&role, job->who.role, job->search_path);
	labels = find_labels(request, &train_set.encoder, job->query, "query", &several, &teacher);
	spill_query(&(SpillQuery){job->query, "query", labels, several, teacher, &train_set,
							  options->eval_fraction, options->seed, &eval_set});
	if (options->eval_query != NULL)
		spill_eval_query(request, labels, several, &eval_set);
	role_restore(&role);
	if (spill_count(train->writer) == 0 || (eval != NULL && spill_count(eval->writer) == 0))
		ereport(ERROR, (errcode(ERRCODE_NO_DATA),
						errmsg("the %s set is empty",
							   spill_count(train->writer) == 0 ? "training" : "evaluation"),
						options->eval_fraction > 0
							? errhint("Choose another eval_fraction or give an eval_query.")
							: 0));
	REPORT_UNLESS(spill_finish(train->writer, digest, &status), &status);
	if (eval != NULL)
		REPORT_UNLESS(spill_finish(eval->writer, digest, &status), &status);
	train->keep = true;
	if (eval != NULL)
		eval->keep = true;
	data->truncated = train_set.encoder.truncated + eval_set.encoder.truncated;
	if (labels != NULL)
	{
		data->n_labels = label_set_count(labels);
		data->labels = label_set_names(labels);
	}
}

/*
 * Privileges may have changed since the files were made: planning and starting the query checks
 * them.
 */
static void
check_query_allowed(const JobDataRequest *request)
{
	RoleSwitch role;

	role_become(&role, request->job->who.role, request->job->search_path);
	SPI_connect();
	task_query_close(task_query_open(request->task, request->job->query, "query"));
	if (request->options->eval_query != NULL)
		task_query_close(
			task_query_open(request->task, request->options->eval_query, "eval_query"));
	SPI_finish();
	role_restore(&role);
}

static bool
open_files(const JobDataRequest *request, Arena *arena, JobData *data, Status *status)
{
	memset(data->digest, 0, sizeof data->digest);
	data->train = spill_open(arena, spill_path(request->job->job, "train"), status);
	if (data->train == NULL)
		return false;
	memcpy(data->digest, spill_digest(data->train), SHA256_BYTES);
	if (!evaluates(request->options))
		return true;
	data->eval = spill_open(arena, spill_path(request->job->job, "eval"), status);
	if (data->eval == NULL)
		return false;
	memcpy(data->digest + SHA256_BYTES, spill_digest(data->eval), SHA256_BYTES);
	return true;
}

/* The file says whether its rows have several labels: they are values then. */
static void
find_kind(JobData *data, Arena *arena)
{
	ArenaMark mark = arena_mark(arena);
	Sample first;
	Status status;

	if (data->task != TRAIN_SEQUENCE_CLASSIFICATION)
		return;
	REPORT_UNLESS(spill_read(data->train, 0, arena, &first, &status), &status);
	data->several = first.n_values > 0 && first.n_labels == 0;
	arena_rewind(arena, mark);
}

void
job_data_open(const JobDataRequest *request, Arena *arena, JobData *data, bool *rebuilt)
{
	const Job *job = request->job;
	const bytea *expected = job->data_digest;
	Status status;

	memset(data, 0, sizeof *data);
	data->task = request->task;
	*rebuilt = false;
	if (expected != NULL && VARSIZE_ANY_EXHDR(expected) == sizeof data->digest)
	{
		check_query_allowed(request);
		data->n_labels = job->n_labels;
		data->labels = (const char *const *) job->labels;
		if (open_files(request, arena, data, &status) &&
			memcmp(VARDATA_ANY(expected), data->digest, sizeof data->digest) == 0)
		{
			find_kind(data, arena);
			return;
		}
		job_data_close(data);
	}
	*rebuilt = true;
	build_files(request, arena, data);
	REPORT_UNLESS(open_files(request, arena, data, &status), &status);
	find_kind(data, arena);
}

void
job_data_close(JobData *data)
{
	spill_close(data->train);
	spill_close(data->eval);
	data->train = data->eval = NULL;
}
