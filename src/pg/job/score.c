/* score.c: scores as jsonb. */
#include "pg/server/compat.h"

#include <math.h>

#include "lib/stringinfo.h"
#include "mb/pg_wchar.h"
#include "utils/builtins.h"
#include "utils/json.h"
#include "utils/memutils.h"

#include "pg/job/score.h"
#include "pg/server/memory.h"
#include "pg/server/errors.h"

#define CONFUSION_MAX_CLASSES 64

JobScore *
job_score_create(MemoryContext parent, TrainTask task, const BertConfig *config,
				 const Tokenizer *tokenizer)
{
	MemoryContext context = AllocSetContextCreate(parent, "bert scores", ALLOCSET_DEFAULT_SIZES);
	JobScore *score = MemoryContextAllocZero(context, sizeof *score);
	Status status;

	score->context = context;
	score->config = config;
	score->task = task;
	/* embeddings are kept to the end */
	score->scores =
		scores_create(arena_in_context(context, task == TRAIN_EMBEDDING ? memory_limit() : 0), task,
					  config, tokenizer, &status);
	REPORT_UNLESS(score->scores != NULL, &status);
	return score;
}

void
job_score_threshold(JobScore *score, double threshold)
{
	Status status;

	REPORT_UNLESS(scores_set_threshold(score->scores, threshold, &status), &status);
}

void
job_score_add(JobScore *score, const TrainSample *samples, size_t n, const Evaluation *evaluation)
{
	Status status;

	REPORT_UNLESS(scores_add(score->scores, samples, n, evaluation, &status), &status);
}

void
job_score_compare_by(JobScore *score, const EmbeddingCompare *compare)
{
	Status status;

	if (score->task == TRAIN_EMBEDDING)
		REPORT_UNLESS(scores_compare_by(score->scores, compare, &status), &status);
}

void
job_score_finish(JobScore *score, const MayContinue *question)
{
	Status status;

	REPORT_UNLESS(scores_finish(score->scores, question, &status), &status);
}

/* A JSON number, or null for what is not one. */
static void
append_number(StringInfo text, double value)
{
	if (isfinite(value))
		appendStringInfoString(
			text, DatumGetCString(DirectFunctionCall1(float8out, Float8GetDatum(value))));
	else
		appendStringInfoString(text, "null");
}

static void
append_text(StringInfo text, const char *utf8)
{
	escape_json(text, pg_any_to_server(utf8, (int) strlen(utf8), PG_UTF8));
}

static Jsonb *
parse_jsonb(StringInfo text)
{
	return DatumGetJsonbP(DirectFunctionCall1(jsonb_in, CStringGetDatum(text->data)));
}

Jsonb *
job_score_json(const JobScore *score)
{
	StringInfoData text;
	const Score *list;
	size_t n = scores_list(score->scores, &list);

	initStringInfo(&text);
	appendStringInfoChar(&text, '{');
	for (size_t i = 0; i < n; i++)
	{
		appendStringInfo(&text, "%s\"%s\": ", i == 0 ? "" : ", ", list[i].name);
		append_number(&text, list[i].value);
	}
	appendStringInfoChar(&text, '}');
	return parse_jsonb(&text);
}

static void
append_confusion(StringInfo text, const JobScore *score)
{
	size_t classes;
	const uint64_t *matrix = scores_confusion(score->scores, &classes);

	if (matrix == NULL)
		return;
	if (classes > CONFUSION_MAX_CLASSES)
	{
		appendStringInfo(text, "\"confusion\": {\"left_out\": %zu, \"most\": %d}, ", classes,
						 CONFUSION_MAX_CLASSES);
		return;
	}
	appendStringInfoString(text, "\"confusion\": {\"labels\": [");
	for (size_t i = 0; i < classes; i++)
	{
		bool named =
			(int) i < score->config->num_labels && (score->task == TRAIN_SEQUENCE_CLASSIFICATION ||
													score->task == TRAIN_TOKEN_CLASSIFICATION);

		appendStringInfoString(text, i == 0 ? "" : ", ");
		append_text(text, named                                ? score->config->id2label[i]
						  : score->task == TRAIN_NEXT_SENTENCE ? (i == 0 ? "true" : "false")
															   : psprintf("%zu", i + 1));
	}
	appendStringInfoString(text, "], \"counts\": [");
	for (size_t i = 0; i < classes; i++)
	{
		appendStringInfoString(text, i == 0 ? "[" : ", [");
		for (size_t j = 0; j < classes; j++)
			appendStringInfo(text, "%s%llu", j == 0 ? "" : ", ",
							 (unsigned long long) matrix[i * classes + j]);
		appendStringInfoChar(text, ']');
	}
	appendStringInfoString(text, "]}, ");
}

static void
append_labels(StringInfo text, const JobScore *score)
{
	size_t n = scores_labels(score->scores);

	if (n == 0)
		return;
	appendStringInfoString(text, "\"labels\": [");
	for (size_t i = 0; i < n; i++)
	{
		LabelScore label = scores_label(score->scores, i);

		appendStringInfo(text, "%s{\"label\": ", i == 0 ? "" : ", ");
		append_text(text, score->config->id2label[i]);
		appendStringInfo(text,
						 ", \"count\": %llu, \"precision\": ", (unsigned long long) label.count);
		append_number(text, label.precision);
		appendStringInfoString(text, ", \"recall\": ");
		append_number(text, label.recall);
		appendStringInfoString(text, ", \"f1\": ");
		append_number(text, label.f1);
		appendStringInfoChar(text, '}');
	}
	appendStringInfoString(text, "], ");
}

Jsonb *
job_score_details(const JobScore *score)
{
	StringInfoData text;
	const ScoreExample *worst;
	size_t n = scores_worst(score->scores, &worst);

	initStringInfo(&text);
	appendStringInfoChar(&text, '{');
	append_confusion(&text, score);
	append_labels(&text, score);
	appendStringInfoString(&text, "\"worst\": [");
	for (size_t i = 0; i < n; i++)
	{
		appendStringInfo(&text, "%s{\"row\": %llu, \"loss\": ", i == 0 ? "" : ", ",
						 (unsigned long long) worst[i].row + 1);
		append_number(&text, worst[i].loss);
		appendStringInfoString(&text, ", \"text\": ");
		append_text(&text, worst[i].text);
		appendStringInfoString(&text, ", \"label\": ");
		append_text(&text, worst[i].label);
		appendStringInfoString(&text, ", \"prediction\": ");
		append_text(&text, worst[i].prediction);
		appendStringInfoString(&text, ", \"probability\": ");
		append_number(&text, worst[i].probability);
		appendStringInfoChar(&text, '}');
	}
	appendStringInfoString(&text, "]}");
	return parse_jsonb(&text);
}

void
job_score_free(JobScore *score)
{
	MemoryContextDelete(score->context);
}
