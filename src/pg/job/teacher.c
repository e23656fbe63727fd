/* teacher.c: what another model says of a job's rows. */
#include "pg/server/compat.h"

#include <math.h>

#include "mb/pg_wchar.h"
#include "utils/builtins.h"

#include "nn/loss.h"
#include "pg/infer/embedding.h"
#include "pg/infer/rows.h"
#include "pg/job/data.h"
#include "pg/job/teacher.h"

struct Teacher
{
	ModelHandle *handle;
	RowsWanted wanted;
	bool several; /* labels a row */
};

ModelHandle *
teacher_open(const char *name, TrainTask task, bool several)
{
	ModelHandle *handle;

	if (task == TRAIN_EMBEDDING)
		return model_handle_get(NULL, cstring_to_text(name), TASK_EMBED);
	handle = model_handle_get(NULL, cstring_to_text(name), TASK_CLASSIFY);
	if (handle->head != HEAD_SEQUENCE_CLASSIFICATION ||
		loss_problem_type(&handle->config, true) !=
			(several ? PROBLEM_MULTI_LABEL : PROBLEM_SINGLE_LABEL))
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("model \"%s\" cannot be the teacher: it does not give %s a text",
							   name, several ? "several labels" : "one class"),
						errhint("Rows with one label need a teacher that gives one class, rows "
								"whose label is an array one that gives several labels.")));
	return handle;
}

void
teacher_check_columns(const ModelHandle *teacher, const BertConfig *base,
					  const PoolingModes *pooling)
{
	int theirs = sentence_dimensions(&teacher->config, &teacher->sentence.pooling);
	int ours = sentence_dimensions(base, pooling);

	if (theirs != ours)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("embeddings of the teacher \"%s\" have %d numbers, those of the base %d",
						teacher->name, theirs, ours),
				 errhint("Take a teacher or a base with as many, or learn how alike the teacher "
						 "finds two texts: rows (a, b, bert.similarity(a, b, '%s') AS score) with "
						 "the loss cosine_similarity.",
						 teacher->name)));
}

LabelSet *
teacher_labels(const BertConfig *config, const DataSummary *rows)
{
	LabelSet *labels = label_set_of_model(CurrentMemoryContext, rows->numeric, config);
	const char *missing = label_set_missing(labels, rows->labels);

	if (missing != NULL)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("the teacher has no label \"%s\"",
							   pg_any_to_server(missing, (int) strlen(missing), PG_UTF8)),
						errhint("The new model gets the teacher's labels; see bert.models.")));
	return labels;
}

Teacher *
teacher_create(ModelHandle *handle, TrainTask task, bool several)
{
	Teacher *teacher = palloc0(sizeof *teacher);

	teacher->handle = handle;
	teacher->several = several;
	if (task == TRAIN_EMBEDDING)
		teacher->wanted = want_embeddings(handle, OVERFLOW_TRUNCATE);
	else
		teacher->wanted =
			(RowsWanted){.model = model_handle_bind(handle, HEAD_SEQUENCE_CLASSIFICATION),
						 .overflow = OVERFLOW_TRUNCATE};
	return teacher;
}

static InputText
input_of(const SampleText *text)
{
	return (InputText){.utf8 = text->bytes,
					   .length = text->length,
					   .bytes = text->bytes,
					   .n_bytes = text->length,
					   .same = true};
}

void
teacher_tell(Teacher *teacher, SampleRow *row, Arena *arena)
{
	InputText input = input_of(&row->input);
	InputText pair = input_of(&row->pair);
	const float *logits;
	float *copy;
	Call call;

	call_begin_with(&call, teacher->handle, "teach");
	if (bert_model_head(teacher->wanted.model) == HEAD_NONE)
		use_prompt(&call, NULL, NULL, PROMPT_DEFAULT);
	row->n_label_values = row_columns(&call, &teacher->wanted);
	copy = arena_alloc_array(arena, row->n_label_values, sizeof *copy);
	if (copy == NULL)
		ereport(ERROR, (errcode(ERRCODE_OUT_OF_MEMORY), errmsg("out of memory")));
	logits = text_row(&call, &teacher->wanted, &input, row->has_pair ? &pair : NULL);
	for (size_t i = 0; i < row->n_label_values; i++)
		copy[i] = teacher->several ? (float) (1 / (1 + exp(-(double) logits[i]))) : logits[i];
	call_end(&call);
	row->label_values = copy;
	row->taught = !teacher->several;
}
