/*
 * settings_change.h: settings that a user gives a model, as JSON: in bert.alter_model, and beside
 * the files of an import that has no folder.
 *
 * Members: pooling (a name, "mean+max", or a list of names), normalize, include_prompt,
 * max_seq_length, prompts (an object of texts, in place of all that were there),
 * default_prompt_name, similarity. At an import also dense (a list of what a Dense module's
 * config.json says); of a model that is there labels (as many as it has), activation ("identity" or
 * "sigmoid", of a score), description. Null takes back to what a model has without the setting
 * (pooling, normalize, include_prompt and labels cannot be null).
 */
#ifndef BERT_FILES_SETTINGS_CHANGE_H
#define BERT_FILES_SETTINGS_CHANGE_H

#include "files/sentence.h"

typedef struct SettingsChange
{
	bool import; /* which members there are */
	HeadKind head;
	SentenceSettings *sentence; /* changed; what is new lies in the arena */
	BertConfig *config;         /* labels, activation and Dense modules are changed */
	bool describes;             /* description is given */
	const char *description;    /* or NULL */
} SettingsChange;

/*
 * All of the settings or none: STATUS_INVALID_ARGUMENT for one that is not known (the nearest is
 * named), of the wrong type, out of range, or not for this model. A model without sentence settings
 * gets those that it was used with first: mean, normalised.
 */
bool settings_change(Arena *arena, const char *json, size_t length, SettingsChange *change,
					 Status *status);

#endif
