/*
 * choice.h: the tasks that functions do, and which model does one when none is given: the setting
 * bert.default_model, else the bundled model made for the task.
 *
 * The setting is one model for all tasks that it can do ('router'), or a list of one for each task
 * ('embed=bge, classify=router'); a list may hold one without a task, for the others.
 */
#ifndef BERT_PG_MODEL_CHOICE_H
#define BERT_PG_MODEL_CHOICE_H

typedef enum ModelTask
{
	TASK_EMBED, /* also tokenizing and everything that needs an encoder only */
	TASK_CLASSIFY,
	TASK_LABELS,
	TASK_REGRESS,
	TASK_TAG,
	TASK_ENTITIES,
	TASK_ANSWER,
	TASK_FILL_MASK,
	TASK_NEXT_SENTENCE,
	TASK_CHOOSE,
	TASK_GENERATE,
	TASK_RANK,
	TASK_ZERO_SHOT
} ModelTask;

#define MODEL_TASK_COUNT (TASK_ZERO_SHOT + 1)
/* Bytes of a name with precision and pin, the terminating zero included. */
#define CHOICE_NAME_BYTES 128

extern const char *model_task_name(ModelTask task); /* "fill_mask" */

typedef enum DefaultChoice
{
	CHOICE_NONE,     /* the setting names no model for the task */
	CHOICE_GENERAL,  /* the one without a task */
	CHOICE_FOR_TASK, /* the one for this task */
} DefaultChoice;

/* What bert.default_model says; name: CHOICE_NAME_BYTES. */
extern DefaultChoice choice_by_setting(ModelTask task, char *name);

/* Defines bert.default_model. */
extern void choice_init(void);

#endif
