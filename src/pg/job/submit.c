/* submit.c: bert.finetune: everything that can be wrong with a job is said here, before it is
 * accepted. */
#include "pg/server/compat.h"

#include "catalog/namespace.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/guc.h"

#include "pg/model/handle.h"
#include "pg/job/class_weights.h"
#include "pg/job/embedding.h"
#include "pg/job/few_shot.h"
#include "pg/job/teacher.h"
#include "pg/server/detoast.h"
#include "pg/server/errors.h"
#include "pg/server/values.h"
#include "pg/model/store.h"
#include "train/trainer.h"

PG_FUNCTION_INFO_V1(bert_finetune);

/* The new model's name is free, or its owner's to replace. */
static void
check_target(const char *name)
{
	ModelRow *row;

	store_check_name(name);
	row = store_find_rights(name);
	if (row != NULL && !store_owns(row, GetUserId()))
		ereport(ERROR, (errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
						errmsg("model \"%s\" exists and belongs to somebody else", name),
						errhint("Choose another name.")));
}

static void
check_options(const JobOptions *options, TrainTask task, const ModelHandle *base)
{
	TrainSubject subject = {&base->config, train_task_head(task), base->tokenizer};
	TrainOptions train;
	Status status;

	/* any number of steps: what is checked does not depend on it */
	job_options_train(options, 1, &train);
	if (task == TRAIN_EMBEDDING)
		job_embedding_settings(&base->sentence, base->tokenizer, base->max_length,
							   &train.embedding);
	REPORT_UNLESS(train_options_validate(&train, &subject, &status), &status);
	if (options->max_length > config_max_tokens(&base->config))
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("option \"max_length\" is %d, but model \"%s\" has %d positions",
							   options->max_length, base->name, config_max_tokens(&base->config))));
}

/* Enough labels to tell apart. */
static void
check_label_count(const DataSummary *train, const LabelSet *labels)
{
	if (label_set_count(labels) == 0)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("no row of the query has a label")));
	if (!train->several && labels == train->labels && label_set_count(labels) < 2)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("all rows of the query have the label \"%s\"", label_set_names(labels)[0]),
				 errhint("There must be at least two different labels to tell apart.")));
}

/* The labels of the model to be; says what becomes of the base's classifier for them. */
static LabelSet *
check_labels(TrainTask task, const ModelHandle *base, const ModelHandle *teacher,
			 const DataSummary *train)
{
	HeadKind head = job_base_head(base->head, &base->config);
	JobBase job_base = {head, &base->config, teacher == NULL ? NULL : &teacher->config};
	JobLabels labels = job_labels(task, &job_base, train);

	if (head != base->head && task == TRAIN_SEQUENCE_CLASSIFICATION)
		ereport(NOTICE, (errmsg("the classifier of model \"%s\" is made anew", base->name),
						 errdetail("The base's reads the embedding, which is not trained.")));

	if (labels.set != NULL)
		check_label_count(train, labels.set);
	if (labels.anew != NULL)
		ereport(NOTICE, (errmsg("the classifier of model \"%s\" is made anew", base->name),
						 errdetail_internal("%s", labels.anew)));
	if (labels.added != NULL)
		ereport(NOTICE, (errmsg("the classifier of model \"%s\" gets more labels: %s", base->name,
								labels.added),
						 errdetail("What it has learned of its own labels is kept.")));
	return labels.set;
}

/* Neither part of what eval_fraction divides may be empty. */
static void
check_split(const JobOptions *options, uint64 rows)
{
	uint64 held_back = 0;

	for (uint64 row = 0; row < rows; row++)
		held_back += job_row_held_back(options->seed, row, options->eval_fraction);
	if (options->eval_fraction > 0 && (held_back == 0 || held_back == rows))
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("option \"eval_fraction\" is %g, which leaves no row of %llu to %s",
							   options->eval_fraction, (unsigned long long) rows,
							   held_back == 0 ? "evaluate on" : "learn from"),
						errhint("Choose another eval_fraction or seed, or give an eval_query.")));
}

static void
check_few_shot(const DataSummary *train)
{
	if (train->several)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("option \"few_shot\" has no effect on rows with several labels"),
						errhint("Give each row one label, or leave it out.")));
	if (train->rows > FEW_SHOT_MAX_ROWS)
		ereport(ERROR, (errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
						errmsg("option \"few_shot\" is for at most %d rows, not %llu",
							   FEW_SHOT_MAX_ROWS, (unsigned long long) train->rows),
						errhint("With so many rows a job needs no such help: leave it out.")));
}

/* What depends on whether rows have one label or several, and which. */
static void
check_class_options(const JobOptions *options, TrainTask task, bool several, const LabelSet *labels)
{
	if (options->class_weights != NULL)
		class_weights_check(options->class_weights, labels);
	if (several && options->label_smoothing > 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("option \"label_smoothing\" has no effect on rows with several labels"),
				 errhint("Give each row one label, or leave it out.")));
	if (task == TRAIN_SEQUENCE_CLASSIFICATION && !several && options->threshold != SCORES_THRESHOLD)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("option \"threshold\" has no effect on rows with one label"),
						errhint("It is for rows whose label is an array.")));
}

static const ModelHandle *
check_teacher(const JobOptions *options, TrainTask task, const ModelHandle *base, bool several)
{
	const ModelHandle *teacher = teacher_open(options->teacher, task, several);

	if (task == TRAIN_EMBEDDING)
		teacher_check_columns(teacher, &base->config, &base->sentence.pooling);
	if (several && options->temperature > 0)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("option \"temperature\" has no effect on rows with several labels"),
						errhint("Leave it out: each label's own probability is learned.")));
	return teacher;
}

/* The rows, read once as the submitter: shape, NULLs, labels. */
static void
check_data(JobOptions *options, TrainTask task, const ModelHandle *base, const char *query)
{
	SampleEncoder encoder;
	DataSummary train;
	DataSummary eval;
	const ModelHandle *teacher = NULL;
	LabelSet *labels;

	job_encoder(&encoder, task, base->tokenizer,
				job_training_length(options, task, base->max_length), ENCODE_TO_TRAIN);
	job_data_check(&encoder, query, "query", &train);
	check_split(options, train.rows);
	if (options->few_shot)
		check_few_shot(&train);
	if (options->teacher != NULL)
		teacher = check_teacher(options, task, base, train.several);
	labels = check_labels(task, base, task == TRAIN_EMBEDDING ? NULL : teacher, &train);
	check_class_options(options, task, train.several, labels);
	if (task == TRAIN_EMBEDDING)
		job_embedding_resolve(options, &train);
	if (options->eval_query == NULL)
		return;
	job_encoder(&encoder, task, base->tokenizer, base->max_length, ENCODE_TO_EVALUATE);
	job_data_check(&encoder, options->eval_query, "eval_query", &eval);
	if (task == TRAIN_EMBEDDING)
		job_refuse_bare_texts(eval.shape, "eval_query");
	if (labels != NULL && eval.several != train.several)
		job_refuse_mixed_labels("eval_query");
	if (labels != NULL && task != TRAIN_EMBEDDING && label_set_missing(labels, eval.labels) != NULL)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("label \"%s\" of the eval_query does not occur in the query",
							   label_set_missing(labels, eval.labels))));
}

/* The job runs in a session of its submitter's: there must be one. */
static void
check_worker(const WorkerRole *who)
{
	const char *why = role_why_no_worker(who);

	if (why != NULL)
		ereport(ERROR, (errcode(ERRCODE_INSUFFICIENT_PRIVILEGE), errmsg_internal("%s", why),
						errdetail("A job runs in a session of the role that submits it."),
						errhint("Submit it as a role that may log in, or log in as a member of the "
								"role and SET ROLE.")));
}

Datum
bert_finetune(PG_FUNCTION_ARGS)
{
	char *name = text_argument(fcinfo, 0, "name");
	char *base = text_argument(fcinfo, 1, "base");
	char *task_name = text_argument(fcinfo, 2, "task");
	char *query = text_argument(fcinfo, 3, "query");
	JobOptions options;
	TrainTask task;
	ModelHandle *handle;
	Job job = {0};
	Status status;

	require_argument(fcinfo, 4, "options");
	PreventCommandIfReadOnly("bert.finetune()");
	REPORT_UNLESS(train_task_parse(task_name, &task, &status), &status);
	job_options_parse(ARGUMENT_JSONB(4), &options);
	job_options_check_use(ARGUMENT_JSONB(4), &options, task);
	check_target(name);
	handle = model_handle_get(fcinfo->flinfo, ARGUMENT_TEXT(1), TASK_EMBED);
	check_options(&options, task, handle);
	check_data(&options, task, handle, query);
	job.name = name;
	job.base = base;
	job.task = task_name;
	job.query = query;
	job.search_path = GetConfigOptionByName("search_path", NULL, false);
	job.options = job_options_write(&options);
	job.who = role_for_worker();
	check_worker(&job.who);
	job.job = job_insert(&job);
	job_start_worker_at_commit(&job);
	PG_RETURN_INT64(job.job);
}
