/* teacher.c: what another model says of a job's rows. */
#include "pg/server/compat.h"

#include "mb/pg_wchar.h"
#include "utils/builtins.h"

#include "nn/loss.h"
#include "pg/infer/rows.h"
#include "pg/job/data.h"
#include "pg/job/teacher.h"

struct Teacher
{
	ModelHandle *handle;
	RowsWanted wanted;
};

ModelHandle *
teacher_open(const char *name, bool several)
{
	ModelHandle *handle = model_handle_get(NULL, cstring_to_text(name), TASK_CLASSIFY);

	if (handle->head != HEAD_SEQUENCE_CLASSIFICATION ||
		loss_problem_type(&handle->config, true) != PROBLEM_SINGLE_LABEL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("model \"%s\" cannot be the teacher: it does not give one class a text",
						name)));
	if (several)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("option \"teacher\" has no effect on rows with several labels"),
				 errhint("Give each row one label, the one to compare with in evaluations.")));
	return handle;
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
teacher_create(ModelHandle *handle)
{
	Teacher *teacher = palloc0(sizeof *teacher);

	teacher->handle = handle;
	teacher->wanted = (RowsWanted){.model = model_handle_bind(handle, HEAD_SEQUENCE_CLASSIFICATION),
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
	row->n_label_values = row_columns(&call, &teacher->wanted);
	copy = arena_alloc_array(arena, row->n_label_values, sizeof *copy);
	if (copy == NULL)
		ereport(ERROR, (errcode(ERRCODE_OUT_OF_MEMORY), errmsg("out of memory")));
	logits = text_row(&call, &teacher->wanted, &input, row->has_pair ? &pair : NULL);
	memcpy(copy, logits, row->n_label_values * sizeof *copy);
	call_end(&call);
	row->label_values = copy;
	row->taught = true;
}
