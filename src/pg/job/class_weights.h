/*
 * class_weights.h: the option class_weights: "balanced", or an object of labels and their weights.
 */
#ifndef BERT_PG_JOB_CLASS_WEIGHTS_H
#define BERT_PG_JOB_CLASS_WEIGHTS_H

#include "pg/job/run.h"

/*
 * The option's value as text, palloc'd: balanced, or the object in JSON. 22023 for anything else,
 * and for weights that are not above 0.
 */
extern char *class_weights_read(const JsonbValue *value);
extern void class_weights_write(JsonbParseState **state, const char *text);

/* 22023 for a label that the model to be has not. */
extern void class_weights_check(const char *text, const LabelSet *labels);

/*
 * The weights (n_labels), NULL when none are asked for. Balanced: of one class a row, rows /
 * (classes that occur * rows of the class), as scikit-learn's; of tokens the same by tokens; of
 * several labels rows without the label / rows with it. What does not occur, or always does, has 1.
 */
extern const float *class_weights_of(JobRun *run);

#endif
