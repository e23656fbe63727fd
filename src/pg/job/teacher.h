/*
 * teacher.h: the model whose probabilities another one learns (the option "teacher").
 */
#ifndef BERT_PG_JOB_TEACHER_H
#define BERT_PG_JOB_TEACHER_H

#include "pg/job/task_query.h"
#include "pg/model/handle.h"

typedef struct Teacher Teacher;

/*
 * The model, as the current user; it stays as long as the current memory context. 42704, 42501 as
 * for any model; 22023 where it does not give one class a text, or the rows have several labels.
 */
extern ModelHandle *teacher_open(const char *name, bool several);

/* The labels of the model to be: the teacher's; 22023 for one of the rows' that it has not. */
extern LabelSet *teacher_labels(const BertConfig *config, const DataSummary *rows);

extern Teacher *teacher_create(ModelHandle *handle);

/* Adds the teacher's logits to the row; memory comes from the arena. */
extern void teacher_tell(Teacher *teacher, SampleRow *row, Arena *arena);

#endif
