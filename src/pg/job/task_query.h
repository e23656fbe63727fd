/*
 * task_query.h: the rows that a task learns from or is evaluated on.
 *
 * A task names what the columns of the user's query mean (input, pair, label, ...). The query is
 * planned and run through a read-only cursor as the current user: its privileges and row security
 * apply, and it can change nothing. Columns that are missing, unknown or of the wrong type, and
 * NULLs, are errors that name the column and the row.
 */
#ifndef BERT_PG_JOB_TASK_QUERY_H
#define BERT_PG_JOB_TASK_QUERY_H

#include "train/samples.h"

typedef struct TaskQuery TaskQuery;

/* What a row holds before labels become ids; texts are UTF-8. */
typedef struct TaskRow
{
	SampleRow sample;         /* without label ids */
	const char *label;        /* of sequence_classification and embedding; NULL: several */
	const char **item_labels; /* (n_item_labels) of words, NULL: unknown; or the row's several */
	size_t n_item_labels;
	bool no_answer_start; /* the column was NULL */
} TaskRow;

/*
 * SPI must be connected, a snapshot active. name: what the query is called in messages ("query",
 * "eval_query"). The row and its texts live until the next call of task_query_next.
 */
extern TaskQuery *task_query_open(TrainTask task, const char *query, const char *name);
extern bool task_query_next(TaskQuery *query, TaskRow *row); /* false after the last */
extern void task_query_close(TaskQuery *query);

/* What the columns of a query for the task embedding are. */
extern EmbeddingShape task_query_shape(const TaskQuery *query);

/* True when the query has a column of negatives. */
extern bool task_query_has_negatives(const TaskQuery *query);

/* True when a row has a label, or labels, that are classes. */
extern bool task_query_has_classes(const TaskQuery *query);

/* True when the label column is of an integer type: labels are then ordered as numbers. */
extern bool task_query_numeric_labels(const TaskQuery *query);

/* True when the label column is an array: a row has any number of labels. */
extern bool task_query_several_labels(const TaskQuery *query);

/* The distinct labels of a data set; texts are copied into the context given. */
typedef struct LabelSet LabelSet;

extern LabelSet *label_set_create(MemoryContext context, bool numeric);
extern void label_set_add(LabelSet *set, const char *label);
extern void label_set_add_row(LabelSet *set, TrainTask task, const TaskRow *row);
/* orders them and gives ids 0 .. n-1; returns n */
extern int label_set_sort(LabelSet *set);
/*
 * The labels of a model's classifier. numeric: the data's labels are integers, which then are
 * numbers of classes, from 0, unless the model's own labels are numbers: those go by their names.
 */
extern LabelSet *label_set_of_model(MemoryContext context, bool numeric, const BertConfig *config);
/* whether one of the data's labels is, by its name, one of the model's */
extern bool label_set_shares(const LabelSet *data, const BertConfig *config);
/* adds those of the data that the set has not, in their order; their names, for a message */
extern char *label_set_extend(LabelSet *set, const LabelSet *data);
/* whether the labels are the model's, in the same order */
extern bool label_set_is_of(const LabelSet *set, const BertConfig *config);
/* a label of the data that the model has not, or NULL */
extern const char *label_set_missing(const LabelSet *model, const LabelSet *data);
extern int label_set_count(const LabelSet *set);
extern const char *const *label_set_names(const LabelSet *set);
extern int label_set_id(const LabelSet *set, const char *label); /* -1 if not there */
/* values (label_set_count) of a row with several labels; a label that is not in the set, or NULL */
extern const char *label_set_mark(const LabelSet *set, const TaskRow *row, float *values);

#endif
