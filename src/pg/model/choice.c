/* choice.c: the setting bert.default_model. */
#include "pg/server/compat.h"

#include "utils/guc.h"

#include "core/names.h"
#include "pg/model/choice.h"

static char *default_model;

static const char *const task_names[MODEL_TASK_COUNT] = {
	"embed",     "classify",      "labels", "regress",  "tag",  "entities", "answer",
	"fill_mask", "next_sentence", "choose", "generate", "rank", "zero_shot"};

/* A part of the setting: [task =] model. */
typedef struct ChoiceItem
{
	bool has_task;
	char task[CHOICE_NAME_BYTES]; /* cut where it is longer: no task's name is */
	char model[CHOICE_NAME_BYTES];
	bool fits; /* the model's name is whole */
} ChoiceItem;

const char *
model_task_name(ModelTask task)
{
	return task_names[task];
}

static bool
is_space(char byte)
{
	return byte == ' ' || (byte >= '\t' && byte <= '\r');
}

/* The text without space around it; false if it does not fit. */
static bool
copy_trimmed(const char *text, size_t length, char *out)
{
	while (length > 0 && is_space(text[0]))
	{
		text++;
		length--;
	}
	while (length > 0 && is_space(text[length - 1]))
		length--;
	snprintf(out, CHOICE_NAME_BYTES, "%.*s", (int) Min(length, CHOICE_NAME_BYTES - 1), text);
	return length < CHOICE_NAME_BYTES;
}

/* Reads the item at *at and moves on behind its comma; *at becomes NULL after the last one. */
static void
next_item(const char **at, ChoiceItem *item)
{
	size_t length = strcspn(*at, ",");
	const char *equals = memchr(*at, '=', length);
	const char *model = equals == NULL ? *at : equals + 1;

	item->has_task = equals != NULL;
	item->task[0] = '\0';
	if (equals != NULL)
		(void) copy_trimmed(*at, (size_t) (equals - *at), item->task);
	item->fits = copy_trimmed(model, length - (size_t) (model - *at), item->model);
	*at = (*at)[length] == ',' ? *at + length + 1 : NULL;
}

static bool
is_empty(const char *value)
{
	while (is_space(*value))
		value++;
	return *value == '\0';
}

/* Syntax and tasks; whether a model is there is known when it is used. */
static bool
check_default_model(char **value, void **extra, GucSource source)
{
	bool seen[MODEL_TASK_COUNT + 1] = {false}; /* the last: without a task */
	const char *at = is_empty(*value) ? NULL : *value;

	while (at != NULL)
	{
		ChoiceItem item;
		Status status;
		int task = MODEL_TASK_COUNT;

		next_item(&at, &item);
		if (item.has_task)
			task = name_parse(item.task, "task", task_names, MODEL_TASK_COUNT, &status);
		if (task < 0)
		{
			GUC_check_errdetail("There is no task \"%s\".", item.task);
			GUC_check_errhint("%s", status.hint);
			return false;
		}
		if (item.model[0] == '\0' || !item.fits)
		{
			GUC_check_errdetail(item.fits ? "A model's name is missing."
										  : "A model's name is too long.");
			GUC_check_errhint("Name one model, or one for each task as in \"embed=minilm, "
							  "classify=sentiment\".");
			return false;
		}
		if (seen[task])
		{
			if (task == MODEL_TASK_COUNT)
				GUC_check_errdetail("There are two models without a task.");
			else
				GUC_check_errdetail("There are two models for the task \"%s\".", task_names[task]);
			return false;
		}
		seen[task] = true;
	}
	return true;
}

DefaultChoice
choice_by_setting(ModelTask task, char *name)
{
	const char *at = is_empty(default_model) ? NULL : default_model;
	DefaultChoice choice = CHOICE_NONE;

	while (at != NULL && choice != CHOICE_FOR_TASK)
	{
		ChoiceItem item;

		next_item(&at, &item);
		if (item.has_task && strcmp(item.task, task_names[task]) != 0)
			continue;
		choice = item.has_task ? CHOICE_FOR_TASK : CHOICE_GENERAL;
		strlcpy(name, item.model, CHOICE_NAME_BYTES);
	}
	return choice;
}

void
choice_init(void)
{
	DefineCustomStringVariable(
		"bert.default_model", "The model that is used when a function's model argument is NULL.",
		"One for all tasks that it can do, or a list as \"embed=minilm, classify=sentiment\". "
		"Empty: each task uses the bundled model made for it.",
		&default_model, "", PGC_USERSET, 0, check_default_model, NULL, NULL);
}
