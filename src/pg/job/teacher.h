/*
 * teacher.h: the model whose probabilities, or embeddings, another one learns (the option
 * "teacher").
 */
#ifndef BERT_PG_JOB_TEACHER_H
#define BERT_PG_JOB_TEACHER_H

#include "pg/job/task_query.h"
#include "pg/model/handle.h"

typedef struct Teacher Teacher;

/*
 * The model, as the current user; it stays as long as the current memory context. 42704, 42501 as
 * for any model; 22023 where it does not give what the task's rows have: a class a text, or several
 * labels. Of embeddings any model will do.
 */
extern ModelHandle *teacher_open(const char *name, TrainTask task, bool several);

/* 22023 where its embeddings are of another length than those of a base with such settings. */
extern void teacher_check_columns(const ModelHandle *teacher, const BertConfig *base,
								  const PoolingModes *pooling);

/* The labels of the model to be: the teacher's; 22023 for one of the rows' that it has not. */
extern LabelSet *teacher_labels(const BertConfig *config, const DataSummary *rows);

extern Teacher *teacher_create(ModelHandle *handle, TrainTask task, bool several);

/*
 * Adds to the row what the teacher says of it: logits, of several labels their probabilities in
 * place of the row's, an embedding. Memory comes from the arena.
 */
extern void teacher_tell(Teacher *teacher, SampleRow *row, Arena *arena);

#endif
